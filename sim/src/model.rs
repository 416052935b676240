//! `loom::model`.
//!
//! **Invariant: a program that `loom` accepts is checked, not enumerated**: what `loom` calls complete is a bounded enumeration of a
//! memory model with gaps, and takes hours for what takes a check a second.
//!
//! ```text
//!   model(f) ──> Builder::new().check(f) ──> Checker: portfolio, half of the executions with weak memory
//!                        └─ preemption_bound: Some(n) ──> before that, every schedule with at most n preemptions
//! ```

use crate::Checker;
use crate::engine::{MemoryModel, Strategy};
use std::path::PathBuf;
use std::time::Duration;

/// Checks `f`: see [`Builder`].
///
/// # Panics
/// With the report, if an execution fails.
pub fn model<F>(f: F)
where
    F: Fn() + Sync + Send + 'static,
{
    Builder::new().check(f);
}

/// Interface of `loom::model::Builder`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Builder {
    /// Accepted, and without effect: there may be as many as the engine can have.
    pub max_threads: usize,
    /// Accepted, and without effect: `loom` gives up an execution that has so many choices. Here it fails after a million steps.
    pub max_branches: usize,
    /// How many executions; 10,000 if `None`.
    pub max_permutations: Option<usize>,
    /// Begins no further execution after this time.
    pub max_duration: Option<Duration>,
    /// Before anything else all schedules with so many preemptions are executed, or as many as `max_permutations` says.
    pub preemption_bound: Option<usize>,
    /// Accepted, and without effect: a check needs none to go on, since each execution can be had without those before.
    pub checkpoint_file: Option<PathBuf>,
    /// As `checkpoint_file`.
    pub checkpoint_interval: usize,
    /// Accepted, and without effect: everything is explored.
    pub expect_explicit_explore: bool,
    /// Accepted, and without effect: a failure has locations.
    pub location: bool,
    /// Accepted, and without effect: a failure has a story.
    pub log: bool,
}

impl Builder {
    /// The default.
    pub fn new() -> Self {
        Self {
            max_threads: crate::engine::MAX_THREADS as usize,
            max_branches: 1_000,
            max_permutations: None,
            max_duration: None,
            preemption_bound: None,
            checkpoint_file: None,
            checkpoint_interval: 20_000,
            expect_explicit_explore: false,
            location: false,
            log: false,
        }
    }

    /// Accepted, and without effect: see the field.
    pub fn checkpoint_file(&mut self, file: &str) -> &mut Self {
        self.checkpoint_file = Some(file.into());
        self
    }

    /// Checks `f`.
    ///
    /// # Panics
    /// With the report, if an execution fails.
    pub fn check<F>(&self, f: F)
    where
        F: Fn() + Sync + Send + 'static,
    {
        let mut checker = Checker::new().executions(self.max_permutations.unwrap_or(10_000) as u64);
        if let Some(duration) = self.max_duration {
            checker = checker.wall(duration);
        }
        if let Some(bound) = self.preemption_bound {
            let preemptions = u32::try_from(bound).unwrap_or(u32::MAX);
            checker.clone().strategy(Strategy::Dfs { preemptions }).memory(MemoryModel::Races).check(&f);
        }
        checker.check(f);
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}
