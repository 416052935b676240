//! Where the memory of buffers comes from.
//!
//! **Invariant: what is absent is as in the release that `pool: (preset: ...)` names.**

use serde::{Deserialize, Serialize};

use super::Size;

/// The allocator of all buffers: a backend, and what differs from the preset.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allocator {
    /// Where the memory comes from.
    pub backend: Backend,
    /// Pooled: arenas of each area.
    pub arenas: Option<u32>,
    /// Pooled: a page, a power of two.
    pub page: Option<Size>,
    /// Pooled: a chunk, a power of two.
    pub chunk: Option<Size>,
    /// Pooled: blocks of each size in a thread's cache at most; 0: threads have none.
    pub thread_cache: Option<u32>,
    /// Pooled: a thread's cache is trimmed after so many allocations.
    pub trim_every: Option<u32>,
    /// Pooled: what a thread that ends does with its cache.
    pub thread_end: Option<ThreadEnd>,
    /// What becomes of the memory of a buffer that nobody can release any more.
    pub leaked_memory: Option<LeakedMemory>,
}

/// Where memory comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Backend {
    /// From the platform, for each buffer.
    #[default]
    Unpooled,
    /// From arenas of chunks, with a cache for each thread.
    Pooled,
}

/// What a thread that ends does with its cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ThreadEnd {
    /// It frees it.
    FreesItsCache,
    /// Nothing: the collector does, as soon as it runs and finds the thread dead.
    LeavesItsCache,
}

/// What becomes of the memory of a buffer whose last handle is dropped while its count is positive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LeakedMemory {
    /// It is lost to its pool: Netty.
    Lost,
    /// It is given back: Millpond.
    Reclaimed,
}
