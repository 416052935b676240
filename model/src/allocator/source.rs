//! The backends as one.
//!
//! **Invariant: a backend knows nothing of buffers**; it gives blocks.

use super::adaptive::{AdaptiveBackend, Request};
use super::config::{AllocatorConfig, Backend};
use super::millpond::{MillpondBackend, MillpondBlock, MillpondMemory};
use super::pooled::PooledBackend;
use crate::Platform;
use crate::memory::{Area, Memory, OutOfMemory, UnpooledBlock};
use crate::recycler::Domain;
use core::marker::PhantomData;

/// Gives the blocks of one allocator.
pub(crate) enum Source<P: Platform> {
    Unpooled(PhantomData<P>),
    Millpond(MillpondBackend<P>),
    Pooled(PooledBackend<P>),
    Adaptive(AdaptiveBackend<P>),
}

impl<P: Platform> Source<P> {
    pub(super) fn new(domain: &Domain<P>, config: &AllocatorConfig) -> Self {
        match config.backend {
            Backend::Unpooled => Self::Unpooled(PhantomData),
            Backend::Millpond => Self::Millpond(MillpondBackend::new(domain)),
            Backend::Pooled(config) => Self::Pooled(PooledBackend::new_in(domain, config)),
            Backend::Adaptive(config) => Self::Adaptive(AdaptiveBackend::new_on(config)),
        }
    }

    /// A block that is there, by the short way; else see [`Source::allocate`].
    #[inline(always)]
    #[track_caller]
    pub(crate) fn reuse(&self, capacity: usize) -> Option<MillpondBlock<P>> {
        match self {
            Self::Millpond(backend) => backend.reuse(capacity),
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
            Self::Pooled(backend) => backend.allocate(capacity, area).map(Memory::Pooled),
            Self::Adaptive(backend) => backend.allocate(capacity, area).map(|block| Memory::Adaptive(block, area)),
        }
    }

    /// A block of `capacity` bytes to take the place of `memory`, which came from here.
    pub(crate) fn sibling(&self, memory: &mut Memory<P>, capacity: usize) -> Result<Memory<P>, OutOfMemory> {
        match (self, memory) {
            (Self::Adaptive(backend), Memory::Adaptive(_, area)) => {
                let request = Request { reallocation: true, ..Request::new(capacity) };
                backend.allocate_for(request, *area).map(|block| Memory::Adaptive(block, *area))
            }
            (_, memory) => memory.sibling(capacity),
        }
    }

    /// The adaptive backend.
    pub(super) fn adaptive(&self) -> Option<&AdaptiveBackend<P>> {
        match self {
            Self::Adaptive(backend) => Some(backend),
            Self::Unpooled(_) | Self::Millpond(_) | Self::Pooled(_) => None,
        }
    }

    /// The pooled backend.
    pub(super) fn pooled(&self) -> Option<&PooledBackend<P>> {
        match self {
            Self::Pooled(backend) => Some(backend),
            Self::Unpooled(_) | Self::Millpond(_) | Self::Adaptive(_) => None,
        }
    }
}
