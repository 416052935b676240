//! The statistics of a leak detector.
//!
//! **Invariant: every tracker ever opened is open, closed, or found leaked, and only one of these**: [`LeakStats::check`]
//! (INV-L3).

use super::TrackId;
use serde::{Deserialize, Serialize};

/// The statistics of a leak detector. Netty has none; these are what its behaviour can be compared by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LeakStats {
    /// Candidates, while the level was not `Disabled`; derivatives of a tracked object count as well.
    pub seen: u64,
    /// Of these, tracked because they belong to the sample, or because the level is `Paranoid`.
    pub sampled: u64,
    /// Of these, tracked because the object that they derive from is.
    pub forced: u64,
    /// Trackers that were closed in time.
    pub closed: u64,
    /// Attempts to close a tracker that was closed or found before.
    pub closes_refused: u64,
    /// Trackers that are open: measured, not counted.
    pub open: u64,
    /// References enqueued. With [`Detection::Exact`](super::Detection::Exact) none are.
    pub enqueued: u64,
    /// Trackers whose object was found leaked.
    pub found: u64,
    /// Leaks of objects that did not belong to the sample; only exact detection finds them.
    pub untracked: u64,
    /// Leaks that were told.
    pub reported: u64,
    /// Leaks that were not, because their text had been told before.
    pub suppressed: u64,
    /// Accesses that were recorded.
    pub recorded: u64,
    /// Records given up for newer ones.
    pub dropped: u64,
    /// Records that equalled their predecessor and were merged with it.
    pub merged: u64,
}

impl LeakStats {
    /// Accesses recorded that were kept.
    pub fn kept(&self) -> u64 {
        self.recorded - self.dropped - self.merged
    }

    /// INV-L3: what was opened is open, closed or found; what was found was told or suppressed.
    ///
    /// # Errors
    /// The numbers, if they disagree.
    pub fn check(&self) -> Result<(), LeakViolation> {
        let opened = self.sampled + self.forced;
        let ended = self.closed + self.found;
        let told = self.reported + self.suppressed;
        if opened == ended + self.open && told == self.found + self.untracked && opened <= self.seen {
            return Ok(());
        }
        Err(LeakViolation::Sums(*self))
    }
}

/// The detector contradicts the truth, or itself.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LeakViolation {
    /// INV-L1: it found a leak that is none.
    #[error("{0} was found leaked, and is not")]
    NotLeaked(TrackId),
    /// INV-L2: it did not find a leak.
    #[error("{0} leaked, and was not found")]
    NotFound(TrackId),
    /// It found a leak twice.
    #[error("{0} was found leaked twice")]
    Twice(TrackId),
    /// INV-L3: its numbers disagree.
    #[error("trackers opened are not the sum of those open, closed and found: {0:?}")]
    Sums(LeakStats),
}
