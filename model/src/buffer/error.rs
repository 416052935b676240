//! How a buffer refuses.
//!
//! **Invariant: a refused operation has changed nothing.**

use crate::memory::OutOfMemory;
use crate::refcnt::IllegalCount;

/// An operation on the bytes of a buffer was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BufferError {
    /// The buffer is dead, has several owners, or somebody is inside.
    #[error(transparent)]
    Count(#[from] IllegalCount),
    /// It may not become so large.
    #[error("no room for {needed} bytes: {room} are free")]
    Full {
        /// Bytes to put.
        needed: usize,
        /// Bytes free up to the maximal capacity.
        room: usize,
    },
    /// So much can't be read.
    #[error("{needed} bytes wanted: {readable} are readable")]
    Short {
        /// Bytes wanted.
        needed: usize,
        /// Bytes readable.
        readable: usize,
    },
    /// This part is not within the buffer.
    #[error("bytes {at} to {}: the capacity is {capacity}", at + length)]
    Range {
        /// Its first byte.
        at: usize,
        /// Its length.
        length: usize,
        /// Bytes of the buffer.
        capacity: usize,
    },
    /// The handle is only for reading.
    #[error("the buffer is read-only")]
    ReadOnly,
    /// Its capacity can't be changed: it is a part of another buffer, or wraps memory that is somebody else's.
    #[error("the capacity is fixed")]
    Fixed,
    /// These bytes of a composite are not in one piece. [`Buffer::chunks`](super::Buffer::chunks) gives the pieces;
    /// [`Buffer::copy`](super::Buffer::copy) and [`Buffer::read_into`](super::Buffer::read_into) make one of them.
    #[error("bytes {at} to {} are in several components, the first {contiguous} in one: use chunks, or copy them", at + length)]
    Split {
        /// The first byte.
        at: usize,
        /// Their number.
        length: usize,
        /// Of these, the bytes in the first piece.
        contiguous: usize,
    },
    /// A composite can't be a part of itself.
    #[error("a composite can't contain itself")]
    Cycle,
    /// The composite has no such components.
    #[error("components {at} to {}: there are {components}", at + count)]
    NoComponent {
        /// The first one.
        at: usize,
        /// Their number.
        count: usize,
        /// The components that there are.
        components: usize,
    },
    /// The handle isn't one of a whole composite.
    #[error("not a composite")]
    NotComposite,
    /// There is no memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl BufferError {
    pub(super) fn range(at: u32, length: u32, capacity: u32) -> Self {
        Self::Range { at: at as usize, length: length as usize, capacity: capacity as usize }
    }
}
