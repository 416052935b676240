//! Memory for buffers.
//!
//! **Invariant: a block of memory has one owner, and goes back where it came from when that owner drops it.** All its bytes are
//! initialised, be it with what an earlier user left: the platform's memory is zero when it is new.
//!
//! ```text
//!   Source (an allocator's backend) ──allocate──> Memory (a block, exclusive) ──drop──> where it came from
//!     Unpooled: the platform                        start, length, Send + Sync
//! ```

use crate::allocator::MillpondBlock;
use crate::allocator::adaptive;
use crate::allocator::pooled::{Block, BlockPlace, CacheHold};
use crate::{Platform, Std};
use alloc::vec::Vec;
use bytes::Bytes;
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Which of the two kinds of memory: Netty keeps them in separate arenas. Here both come from the platform; the kind
/// only decides the arena.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum Area {
    /// Outside the collected heap in Netty: what sockets read and write.
    Direct,
    /// A byte array in Netty.
    Heap,
}

/// No memory for a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("out of memory: a buffer of {capacity} bytes")]
pub struct OutOfMemory {
    /// The bytes asked for.
    pub capacity: usize,
}

/// A block straight from the platform: Netty's unpooled buffers have one each.
pub struct UnpooledBlock<P: Platform = Std> {
    start: NonNull<u8>,
    layout: Layout,
    area: Area,
    _platform: PhantomData<P>,
}

// SAFETY: the block is exclusive, so that its bytes go with it; they are reached only by whoever may use the block.
unsafe impl<P: Platform> Send for UnpooledBlock<P> {}
// SAFETY: a shared block gives away a pointer and a length; who uses the pointer has to say why.
unsafe impl<P: Platform> Sync for UnpooledBlock<P> {}

impl<P: Platform> UnpooledBlock<P> {
    /// A block of exactly `capacity` bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the platform has none.
    pub fn allocate(capacity: usize, area: Area) -> Result<Self, OutOfMemory> {
        let refused = OutOfMemory { capacity };
        let layout = Layout::array::<u8>(capacity).map_err(|_| refused)?;
        let start = P::alloc(layout).ok_or(refused)?;
        Ok(Self { start, layout, area, _platform: PhantomData })
    }
}

impl<P: Platform> Drop for UnpooledBlock<P> {
    fn drop(&mut self) {
        // SAFETY: it came from `P::alloc` with this layout, and its only owner is dropped.
        unsafe { P::dealloc(self.start, self.layout) };
    }
}

/// Memory that was there before. Its bytes stay where they are, wherever this and what owns them is moved.
pub(crate) struct Wrapped {
    bytes: NonNull<[u8]>,
    owner: Owner,
}

enum Owner {
    Vec(#[expect(dead_code, reason = "kept for its drop")] Vec<u8>),
    Nobody,
    Bytes(#[expect(dead_code, reason = "kept for its drop")] Bytes),
}

// SAFETY: the bytes are owned, or shared for ever, and go with their owner; they are reached only by whoever may use the memory.
unsafe impl Send for Wrapped {}
// SAFETY: as for a block.
unsafe impl Sync for Wrapped {}

impl From<Vec<u8>> for Wrapped {
    fn from(mut vec: Vec<u8>) -> Self {
        Self { bytes: NonNull::from(vec.as_mut_slice()), owner: Owner::Vec(vec) }
    }
}

impl From<&'static [u8]> for Wrapped {
    fn from(bytes: &'static [u8]) -> Self {
        Self { bytes: NonNull::from(bytes), owner: Owner::Nobody }
    }
}

impl From<Bytes> for Wrapped {
    fn from(bytes: Bytes) -> Self {
        Self { bytes: NonNull::from(&*bytes), owner: Owner::Bytes(bytes) }
    }
}

impl Wrapped {
    /// Whether its owner alone may write it.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.owner, Owner::Vec(_))
    }
}

/// The memory of a buffer: a block of any kind.
pub(crate) enum Memory<P: Platform> {
    Unpooled(UnpooledBlock<P>),
    Millpond(MillpondBlock<P>),
    Pooled(Block<P>),
    Adaptive(adaptive::Block<P>, Area),
    Wrapped(Wrapped),
}

impl<P: Platform> Memory<P> {
    /// Its first byte. All of them are initialised.
    pub(crate) fn start(&self) -> NonNull<u8> {
        match self {
            Self::Unpooled(block) => block.start,
            Self::Millpond(block) => block.start(),
            Self::Pooled(block) => block.start(),
            Self::Adaptive(block, _) => block.start(),
            Self::Wrapped(wrapped) => wrapped.bytes.cast(),
        }
    }

    /// Bytes that can be used: what Netty calls the maximal length of a pooled buffer.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Unpooled(block) => block.layout.size(),
            Self::Millpond(block) => block.len(),
            Self::Pooled(block) => block.len(),
            Self::Adaptive(block, _) => block.len(),
            Self::Wrapped(wrapped) => wrapped.bytes.len(),
        }
    }

    /// Whether a buffer of `old` bytes in this block may become one of `new` bytes without moving.
    pub(crate) fn fits(&self, old: usize, new: usize) -> bool {
        match self {
            Self::Unpooled(_) => new == old, // Netty's makes a new one for any other capacity
            // It moves to a smaller class when it would use less than half of this one.
            Self::Millpond(block) => new <= block.len() && (new >= old || new > block.len() / 2),
            Self::Pooled(block) => block.keeps(old, new),
            Self::Adaptive(block, _) => new <= block.len(),
            Self::Wrapped(wrapped) => new <= wrapped.bytes.len(),
        }
    }

    /// Where it is, if it is pooled.
    pub(crate) fn place(&self) -> Option<BlockPlace> {
        match self {
            Self::Unpooled(_) | Self::Millpond(_) | Self::Adaptive(..) | Self::Wrapped(_) => None,
            Self::Pooled(block) => Some(block.place()),
        }
    }

    /// Gives it back, and says what the shell holds on to until it is used again.
    pub(crate) fn give_back(self) -> Option<CacheHold<P>> {
        match self {
            Self::Unpooled(_) | Self::Millpond(_) | Self::Adaptive(..) | Self::Wrapped(_) => None,
            Self::Pooled(block) => block.give_back(),
        }
    }

    /// A block of `capacity` bytes from where this one came, to take its place.
    pub(crate) fn sibling(&mut self, capacity: usize) -> Result<Self, OutOfMemory> {
        match self {
            Self::Unpooled(block) => UnpooledBlock::allocate(capacity, block.area).map(Self::Unpooled),
            Self::Millpond(block) => match block.sibling(capacity) {
                Some(sibling) => sibling.map(Self::Millpond),
                None => UnpooledBlock::allocate(capacity, Area::Direct).map(Self::Unpooled),
            },
            Self::Pooled(block) => block.sibling(capacity).map(Self::Pooled),
            Self::Adaptive(_, area) => UnpooledBlock::allocate(capacity, *area).map(Self::Unpooled), // see `Source::sibling`
            Self::Wrapped(_) => Err(OutOfMemory { capacity }), // never asked: it is as large as it may be
        }
    }
}
