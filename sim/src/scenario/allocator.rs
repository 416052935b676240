//! Where the memory of buffers comes from.
//!
//! **Invariant: what is absent is as in the release that `pool: (preset: ...)` names.**

use millpond_model::leak::Level;
use millpond_model::refcnt::Scheme;
use serde::{Deserialize, Serialize};

use super::Size;

/// The allocator of all buffers: a backend, and what differs from the preset.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allocator {
    /// Where the memory comes from.
    pub backend: Backend,
    /// How counts are kept.
    pub scheme: Option<Scheme>,
    /// How closely leaks are looked for; nobody looks when absent.
    pub leak_detection: Option<Level>,
    /// When a leak is found.
    pub leaks_are_found: Option<Found>,
    /// Adaptive: the cores of the machine, which bound its magazines.
    pub cores: Option<u32>,
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
    /// From magazines of chunks, as many as threads meet at: as 4.2.7, and mended in Millpond's preset.
    Adaptive,
}

/// When a leak is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Found {
    /// At the moment when the last handle is dropped: Millpond.
    AtOnce,
    /// At the next allocation that belongs to the sample, as if the collector were always in time.
    ByTheNextAllocation,
    /// By the first such allocation after a `Collect`: Netty.
    AfterCollect,
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
