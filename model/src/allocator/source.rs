//! The backends as one.
//!
//! **Invariant: a backend knows nothing of buffers**; it gives blocks.

use super::config::{AllocatorConfig, Backend};
use super::millpond::{MillpondBackend, MillpondMemory};
use crate::Platform;
use crate::memory::{Area, Memory, OutOfMemory, UnpooledBlock};
use crate::recycler::Domain;
use core::marker::PhantomData;

/// Gives the blocks of one allocator.
pub(crate) enum Source<P: Platform> {
    Unpooled(PhantomData<P>),
    Millpond(MillpondBackend<P>),
}

impl<P: Platform> Source<P> {
    pub(super) fn new(domain: &Domain<P>, config: &AllocatorConfig) -> Self {
        match config.backend {
            Backend::Unpooled => Self::Unpooled(PhantomData),
            Backend::Millpond => Self::Millpond(MillpondBackend::new(domain)),
        }
    }

    /// A block that is there, by the short way; else see [`Source::allocate`].
    #[inline(always)]
    #[track_caller]
    pub(crate) fn reuse(&self, capacity: usize) -> Option<Memory<P>> {
        match self {
            Self::Millpond(backend) => backend.reuse(capacity).map(Memory::Millpond),
            _ => None,
        }
    }

    /// A block of at least `capacity` bytes.
    #[inline]
    pub(crate) fn allocate(&self, capacity: usize, area: Area) -> Result<Memory<P>, OutOfMemory> {
        match self {
            Self::Unpooled(_) => UnpooledBlock::allocate(capacity, area).map(Memory::Unpooled),
            Self::Millpond(backend) => Ok(match backend.allocate(capacity, area)? {
                MillpondMemory::Pooled(block) => Memory::Millpond(block),
                MillpondMemory::Unpooled(block) => Memory::Unpooled(block),
            }),
        }
    }
}
