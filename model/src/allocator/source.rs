//! The backends as one.
//!
//! **Invariant: a backend knows nothing of buffers**; it gives blocks.

use super::config::{AllocatorConfig, Backend};
use crate::Platform;
use crate::memory::{Area, Memory, OutOfMemory, UnpooledBlock};
use crate::recycler::Domain;
use core::marker::PhantomData;

/// Gives the blocks of one allocator.
pub(crate) enum Source<P: Platform> {
    Unpooled(PhantomData<P>),
}

impl<P: Platform> Source<P> {
    pub(super) fn new(_domain: &Domain<P>, config: &AllocatorConfig) -> Self {
        match config.backend {
            Backend::Unpooled => Self::Unpooled(PhantomData),
        }
    }

    /// A block of at least `capacity` bytes.
    #[inline]
    pub(crate) fn allocate(&self, capacity: usize, area: Area) -> Result<Memory<P>, OutOfMemory> {
        match self {
            Self::Unpooled(_) => UnpooledBlock::allocate(capacity, area).map(Memory::Unpooled),
        }
    }
}
