//! Memory for buffers.
//!
//! **Invariant: a block of memory has one owner, and goes back where it came from when that owner drops it.**

/// Which of the two kinds of memory: Netty keeps them in separate arenas. Here both come from the platform; the kind
/// only decides the arena.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
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
