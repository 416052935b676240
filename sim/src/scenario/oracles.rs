//! What must be true, and what is read to judge it.
//!
//! **Invariant: an oracle names what it reads**: a metric and a step, or a place.

use millpond_model::observe::Reach;
use serde::{Deserialize, Serialize};

use crate::ledger::FindingKind;

/// The expected verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Expect {
    /// No oracle finds anything, with any seed.
    #[default]
    MustHold,
    /// With at least one seed this is found, and nothing else with any.
    MustFind(FindingKind),
}

/// What must be true.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Oracle {
    /// No leak, double release, use after release, two owners, lost task; promises complete once; sums add up.
    Safety,
    /// A metric is within limits at the end of a step.
    Bounded {
        /// Which.
        metric: Metric,
        /// The lower limit.
        #[serde(default)]
        at_least: u64,
        /// The upper limit.
        #[serde(default = "unlimited")]
        at_most: u64,
        /// The step; any when absent.
        #[serde(default)]
        after: Option<String>,
    },
    /// A metric has come down to a value at the end of a step.
    Drains {
        /// Which.
        metric: Metric,
        /// The value.
        to: u64,
        /// The step; the last when absent.
        #[serde(default)]
        after: Option<String>,
    },
    /// A metric is the same before and after a step.
    Unchanged {
        /// Which.
        metric: Metric,
        /// The step.
        during: String,
    },
    /// What leaks is found by the leak detector, and nothing else is. A leak is then no finding by itself.
    LeaksAreFound,
    /// At least one execution of the cell reaches this place; otherwise the run is inconclusive.
    Sometimes(Reach),
}

fn unlimited() -> u64 {
    u64::MAX
}

millpond_model::listed! {
    /// A number that is read at the end of each step.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
    pub enum Metric {
        /// Objects in all pools.
        RetainedObjects,
        /// Estimated bytes of the objects in all pools.
        RetainedBytes,
        /// Objects in pools whose type crosses threads (the write tasks).
        CrossThreadRetained,
        /// Outbound entries and buffer shells in the loops' own pools.
        SameThreadRetained,
        /// Objects in pools of threads that have ended.
        DeadRetained,
        /// Objects made so far, of all pooled types.
        CreatedObjects,
        /// Threads that had ended, and that a pool still held, at the last `Collect`.
        HeldThreads,
        /// Tasks in the queues of all loops.
        QueuedTasks,
        /// The most tasks that were in the queue of one loop at any time so far.
        PeakQueuedTasks,
        /// Bytes pending in all channels.
        PendingBytes,
        /// Buffers that are alive.
        LiveBuffers,
        /// Requests of peers that channels have read so far, to their ends.
        RequestsRead,
        /// Replies that peers have received so far.
        RepliesReceived,
        /// Messages so far that no handler took, and the end of the pipeline released.
        UnhandledMessages,
        /// Shared capacity that no link holds and no pool can use: the drift of 4.1.3 to 4.1.37.
        LostCapacity,
        /// Pooled and adaptive: bytes of all chunks and of all blocks larger than a chunk.
        UsedMemory,
        /// Pooled and adaptive: chunks that exist.
        Chunks,
        /// Pooled: bytes of the blocks that are in use.
        PinnedMemory,
        /// Pooled: bytes of the blocks that wait in threads' caches.
        CachedMemory,
        /// Pooled: bytes that were released into a cache after it was freed, and are gone for good.
        LostMemory,
        /// Pooled: allocations that reached an arena so far; what a cache served isn't among them.
        ArenaAllocations,
        /// Pooled: allocations that reached an arena and have not come back to it.
        ActiveAllocations,
        /// Pooled: threads' caches that are bound to an arena.
        ThreadCaches,
        /// Leaks that the leak detector has found so far.
        FoundLeaks,
        /// Leaks that it has reported so far: the first of each history.
        ReportedLeaks,
        /// Buffers that it watches.
        WatchedBuffers,
    }
}

/// A column of the table that compares the cells of a sweep. All read the crossing types (the write tasks) unless they
/// say otherwise.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Column {
    /// Objects retained at the end of a step.
    Retained {
        /// The step.
        after: String,
    },
    /// Their estimated bytes.
    Bytes {
        /// The step.
        after: String,
    },
    /// The most objects retained for one thread at the end of a step.
    PerThread {
        /// The step.
        after: String,
    },
    /// Side queues and their links at the end of a step.
    Queues {
        /// The step.
        after: String,
    },
    /// Objects created during a step.
    Created {
        /// The step.
        during: String,
    },
    /// Why most recycled objects were not kept during a step.
    StoppedBy {
        /// The step.
        during: String,
    },
    /// Objects retained at the sampling points of a phase.
    Curve {
        /// The phase.
        during: String,
    },
    /// Tasks queued at the end of a step.
    Queued {
        /// The step.
        after: String,
    },
    /// A metric at the end of a step.
    Value {
        /// Which.
        metric: Metric,
        /// The step.
        after: String,
    },
}
