//! What one execution showed: samples of the pools at the end of each step.
//!
//! **Invariant: a sample is taken at a quiescent point or not at all** — no thread of the scenario is between two
//! operations on a pool — so that the sums in it are exact.

use crate::scenario::Metric;
use millpond_model::observe::Kind;
use millpond_model::recycler::{PoolStats, RecyclerStats};

/// The pooled types that cross threads: obtained by a writer, recycled by a loop.
pub const CROSSING: [Kind; 2] = [Kind::WriteTask, Kind::WriteAndFlushTask];

/// Bytes of one object of `kind` in Netty, on 64-bit HotSpot with compressed pointers (heap histograms of Netty issues 3319
/// and 5651).
pub fn object_bytes(kind: Kind) -> u64 {
    match kind {
        Kind::WriteTask | Kind::WriteAndFlushTask => 32,
        Kind::OutboundEntry => 64,
        Kind::BufferShell => 96,
        Kind::DerivedShell | Kind::CacheEntry | Kind::Buffer | Kind::Message | Kind::Promise | Kind::Object => 0,
    }
}

/// Bytes that Netty would retain in these pools.
pub fn retained_bytes(stats: &RecyclerStats) -> u64 {
    stats.pools.iter().map(|p| p.java_bytes(object_bytes(stats.kind))).sum()
}

/// One reading of everything.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// The step at whose end, or inside which, it was taken.
    pub step: String,
    /// Inside a phase: how many messages each thread had written.
    pub at_write: Option<u64>,
    /// Inside a phase: the numbers of the threads that write in it.
    pub writers: Vec<u32>,
    /// The metrics, in the order of [`Metric::ALL`].
    pub metrics: [u64; Metric::ALL.len()],
    /// The statistics of every recycler.
    pub pools: Vec<RecyclerStats>,
}

impl Sample {
    /// The value of `metric`.
    pub fn metric(&self, metric: Metric) -> u64 {
        self.metrics[metric as usize]
    }

    /// The pools of the crossing types, with the thread that owns each.
    pub fn crossing(&self) -> impl Iterator<Item = &PoolStats> {
        self.pools.iter().filter(|r| CROSSING.contains(&r.kind)).flat_map(|r| r.pools.iter())
    }
}

/// The samples of one execution, in order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// The sample at the end of `step`.
    pub fn after(&self, step: &str) -> Option<&Sample> {
        self.0.iter().find(|s| s.step == step && s.at_write.is_none())
    }

    /// The sample at the end of the step before `step`; `None` if it is the first.
    pub fn before(&self, step: &str) -> Option<&Sample> {
        let at = self.0.iter().position(|s| s.step == step)?;
        self.0[..at].iter().rev().find(|s| s.at_write.is_none())
    }

    /// The samples inside the phase `step`, with the number of writes of each.
    pub fn inside(&self, step: &str) -> impl Iterator<Item = (u64, &Sample)> {
        self.0.iter().filter(move |s| s.step == step).filter_map(|s| Some((s.at_write?, s)))
    }
}
