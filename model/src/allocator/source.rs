//! The backends as one.
//!
//! **Invariant: a backend knows nothing of buffers**; it gives blocks.

use super::config::{AllocatorConfig, Backend};
use super::pooled::PooledBackend;
use crate::Platform;
use crate::memory::{Area, Memory, OutOfMemory, UnpooledBlock};
use crate::recycler::Domain;
use core::marker::PhantomData;

/// Gives the blocks of one allocator.
pub(crate) enum Source<P: Platform> {
    Unpooled(PhantomData<P>),
    Pooled(PooledBackend<P>),
}

impl<P: Platform> Source<P> {
    pub(super) fn new(domain: &Domain<P>, config: &AllocatorConfig) -> Self {
        match config.backend {
            Backend::Unpooled => Self::Unpooled(PhantomData),
            Backend::Pooled(config) => Self::Pooled(PooledBackend::new_in(domain, config)),
        }
    }

    /// A block of at least `capacity` bytes.
    #[inline]
    pub(crate) fn allocate(&self, capacity: usize, area: Area) -> Result<Memory<P>, OutOfMemory> {
        match self {
            Self::Unpooled(_) => UnpooledBlock::allocate(capacity, area).map(Memory::Unpooled),
            Self::Pooled(backend) => backend.allocate(capacity, area).map(Memory::Pooled),
        }
    }

    /// The pooled backend.
    pub(super) fn pooled(&self) -> Option<&PooledBackend<P>> {
        match self {
            Self::Pooled(backend) => Some(backend),
            Self::Unpooled(_) => None,
        }
    }
}
