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
use std::time::{Duration, Instant};

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
    /// How many executions; as many as [`Checker::new`] says if `None`. From `LOOM_MAX_PERMUTATIONS`.
    pub max_permutations: Option<usize>,
    /// Begins no further execution after this time. From `LOOM_MAX_DURATION`, in seconds.
    pub max_duration: Option<Duration>,
    /// Before anything else all schedules with so many preemptions are executed, or as many as `max_permutations` says.
    /// From `LOOM_MAX_PREEMPTIONS`.
    pub preemption_bound: Option<usize>,
    /// Accepted, and without effect: a check needs none to go on, since each execution can be had without those before.
    pub checkpoint_file: Option<PathBuf>,
    /// As `checkpoint_file`.
    pub checkpoint_interval: usize,
    /// Accepted, and without effect: everything is explored.
    pub expect_explicit_explore: bool,
    /// Accepted, and without effect: a failure has locations.
    pub location: bool,
    /// See [`Checker::unseen_owners`]: true, as if with `loom`, which doesn't see a drop, and for whose sake `std`'s `Arc` is where its own
    /// can't be.
    pub unseen_owners: bool,
    /// The report is printed, with the time that it took, if nothing is found, too. From `LOOM_LOG`.
    pub log: bool,
}

impl Builder {
    /// The default; what the environment says of it, as in `loom`.
    ///
    /// # Panics
    /// If a variable that should be a number is none.
    pub fn new() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<usize>().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
        };
        Self {
            max_threads: crate::engine::MAX_THREADS as usize,
            max_branches: 1_000,
            max_permutations: number("LOOM_MAX_PERMUTATIONS"),
            max_duration: number("LOOM_MAX_DURATION").map(|seconds| Duration::from_secs(seconds as u64)),
            preemption_bound: number("LOOM_MAX_PREEMPTIONS"),
            checkpoint_file: None,
            checkpoint_interval: 20_000,
            expect_explicit_explore: false,
            location: false,
            unseen_owners: true,
            log: std::env::var_os("LOOM_LOG").is_some(),
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
        let mut checker = Checker::new().unseen_owners(self.unseen_owners);
        if let Some(executions) = self.max_permutations {
            checker = checker.executions(executions as u64);
        }
        if let Some(duration) = self.max_duration {
            checker = checker.wall(duration);
        }
        if let Some(bound) = self.preemption_bound {
            let preemptions = u32::try_from(bound).unwrap_or(u32::MAX);
            self.run(&checker.clone().strategy(Strategy::Dfs { preemptions }).memory(MemoryModel::Races), &f);
        }
        self.run(&checker, &f);
    }

    fn run(&self, checker: &Checker, f: &(dyn Fn() + Sync + Send)) {
        let start = Instant::now();
        let report = checker.run(f);
        if self.log {
            let (thread, time) = (std::thread::current(), start.elapsed().as_secs_f64());
            let name = thread.name().unwrap_or_default();
            eprintln!(
                "millpond: {name}: {} executions, {} steps in {time:?}\n{report}",
                report.executions, report.steps
            );
        }
        assert!(report.is_clean(), "{report}");
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}
