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
    /// There is no memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl BufferError {
    pub(super) fn range(at: u32, length: u32, capacity: u32) -> Self {
        Self::Range { at: at as usize, length: length as usize, capacity: capacity as usize }
    }
}
