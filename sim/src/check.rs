//! Anyone's concurrent code, under many schedules.
//!
//! **Invariant: what is reported is decided by the program, the seed and the [`Checker`]'s settings**, whatever the number of jobs.
//! Execution `i` of a check can be had without the others, and of all that fail the one with the smallest number is told.
//!
//! ```text
//!   check(f) ── facts: what pilot executions tell of the program
//!            ── hunt:  execution 0, 1, 2, ... on all cores; plan: number ──> strategy, memory, seed
//!                 │ fails                                        │ none does
//!              failure: again with everything written down       coverage: how many partial orders, how many are new
//!                 ├─ the same? if not: nondeterminism
//!                 ├─ shrink: as few preemptions and stale reads as still fail
//!                 ├─ decisive: the two operations whose order decides
//!                 └─ story, token: what happened, and how to have it again
//! ```

mod coverage;
pub(crate) mod decisive;
mod failure;
mod hunt;
mod nondeterminism;
mod plan;
mod regression;
mod report;
pub mod shrink;
pub(crate) mod story;
mod token;

pub use self::coverage::{Coverage, OneWay};
pub use self::decisive::Decisive;
pub use self::failure::Failure;
pub use self::nondeterminism::Divergence;
pub use self::report::{MemberCount, Report};
pub use self::token::Token;

use crate::engine::{MAX_THREADS, MemoryModel, Options, Strategy};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Executions of a check that doesn't say how many.
const EXECUTIONS: u64 = 10_000;

/// Executes `program` many times, with the default settings of [`Checker`].
///
/// ```
/// use millpond::sync::{Arc, atomic::{AtomicUsize, Ordering}};
///
/// millpond::check(|| {
///     let count = Arc::new(AtomicUsize::new(0));
///     let other = Arc::clone(&count);
///     let thread = millpond::thread::spawn(move || other.fetch_add(1, Ordering::Relaxed));
///     count.fetch_add(1, Ordering::Relaxed);
///     thread.join().unwrap();
///     assert_eq!(count.load(Ordering::Relaxed), 2);
/// });
/// ```
///
/// # Panics
/// With the [`Report`], if an execution fails: a panic, a deadlock, a livelock, a data race, or a finding of the pool's ledger.
pub fn check(program: impl Fn() + Send + Sync) {
    Checker::new().check(program);
}

/// Executes `program` once, as `token` says: the text that a report's `replay` line holds.
///
/// # Panics
/// With the story of the failure if it fails, and if `token` is not such a text.
pub fn replay(token: &str, program: impl Fn() + Send + Sync) {
    Checker::new().replay(token, program);
}

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct Checker {
    executions: u64,
    seed: u64,
    jobs: Option<NonZeroUsize>,
    strategy: Option<Strategy>,
    memory: Option<MemoryModel>,
    max_steps: u64,
    max_threads: u32,
    stack_bytes: usize,
    unseen_owners: bool,
    wall: Option<Duration>,
    progress: bool,
    explain: bool,
    regressions: Option<(PathBuf, String)>,
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// 10,000 executions of the portfolio, seed 0, all cores.
    pub fn new() -> Self {
        let options = Options::default();
        Self {
            executions: EXECUTIONS,
            seed: 0,
            jobs: None,
            strategy: None,
            memory: None,
            max_steps: 1_000_000,
            max_threads: MAX_THREADS,
            stack_bytes: options.stack_bytes,
            unseen_owners: false,
            wall: None,
            progress: false,
            explain: true,
            regressions: None,
        }
    }

    /// How many executions; those of an exhaustive strategy at most.
    #[must_use]
    pub fn executions(self, executions: u64) -> Self {
        Self { executions, ..self }
    }

    /// Another seed: other executions.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// OS threads to use. The report does not depend on it.
    #[must_use]
    pub fn jobs(self, jobs: NonZeroUsize) -> Self {
        Self { jobs: Some(jobs), ..self }
    }

    /// One strategy in place of the portfolio. With `Strategy::Dfs` every schedule is executed, as far as `executions` reach.
    #[must_use]
    pub fn strategy(self, strategy: Strategy) -> Self {
        Self { strategy: Some(strategy), ..self }
    }

    /// One memory model for all executions. By default half of them are [`MemoryModel::Weak`] and half
    /// interleave, fast; an exhaustive strategy has [`MemoryModel::Races`].
    #[must_use]
    pub fn memory(self, memory: MemoryModel) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Steps after which an execution fails: 1,000,000 by default.
    #[must_use]
    pub fn max_steps(self, max_steps: u64) -> Self {
        Self { max_steps, ..self }
    }

    /// Threads alive at once, after which `spawn` fails.
    #[must_use]
    pub fn max_threads(self, max_threads: u32) -> Self {
        Self { max_threads, ..self }
    }

    /// Stack of each thread, in bytes.
    #[must_use]
    pub fn stack_bytes(self, stack_bytes: usize) -> Self {
        Self { stack_bytes, ..self }
    }

    /// The program shares atomics or cells by `std::sync::Arc`, or by anything else that nobody sees: so that one is dropped with nothing
    /// that orders it after the last use is no finding. Without, it is, and this crate's `Arc` has counts that are seen. Who can
    /// have it should: this hides a count that is ordered too weakly.
    #[must_use]
    pub fn unseen_owners(self, unseen_owners: bool) -> Self {
        Self { unseen_owners, ..self }
    }

    /// Begins no further executions after this time. How many there are depends on the host then; what each does never.
    #[must_use]
    pub fn wall(self, wall: Duration) -> Self {
        Self { wall: Some(wall), ..self }
    }

    /// Shows how far it is on standard error, once a second.
    #[must_use]
    pub fn progress(self) -> Self {
        Self { progress: true, ..self }
    }

    /// Whether a failure is reduced and explained, which takes some thousand executions; without, it is told as it was found.
    #[must_use]
    pub fn explain(self, explain: bool) -> Self {
        Self { explain, ..self }
    }

    /// Keeps failures in `directory`, as readable files whose names begin with `name`, and repeats those that are there first.
    #[must_use]
    pub fn regressions(self, directory: impl Into<PathBuf>, name: &str) -> Self {
        Self { regressions: Some((directory.into(), name.to_string())), ..self }
    }

    /// Executes `program`.
    ///
    /// # Panics
    /// With the report, if an execution fails or the program is not deterministic.
    pub fn check(&self, program: impl Fn() + Send + Sync) {
        let report = self.run(program);
        assert!(report.is_clean(), "{report}");
    }

    /// Executes `program` and tells what came of it. The caller asks [`Report::is_clean`].
    ///
    /// # Panics
    /// Inside an execution, and if the directory for regressions can't be read or written.
    pub fn run(&self, program: impl Fn() + Send + Sync) -> Report {
        assert!(!crate::engine::is_running(), "a check can't run inside an execution");
        if let Some(report) = self.repeat_regressions(&program) {
            return report;
        }
        let report = hunt::hunt(self, &program);
        if let (Some(failure), Some((directory, name))) = (&report.failure, &self.regressions) {
            let kept = regression::keep(directory, name, failure);
            kept.unwrap_or_else(|e| panic!("the regression can't be written to {}: {e}", directory.display()));
        }
        report
    }

    /// Executes `program` once, as `token` says, and tells on standard error what happens if it fails no longer.
    ///
    /// # Panics
    /// As [`replay`].
    pub fn replay(&self, token: &str, program: impl Fn() + Send + Sync) {
        let token: Token = token.parse().unwrap_or_else(|e| panic!("{e}"));
        match self.again(&token, &program) {
            Some(failure) => panic!("{failure}"),
            None => eprintln!("millpond: no longer fails: {token}"),
        }
    }

    /// The failure of the one execution that `token` stands for.
    fn again(&self, token: &Token, program: &(dyn Fn() + Send + Sync)) -> Option<Failure> {
        failure::repeat(&token.options(self.base()), token, program)
    }

    fn repeat_regressions(&self, program: &(dyn Fn() + Send + Sync)) -> Option<Report> {
        let (directory, name) = self.regressions.as_ref()?;
        let kept = regression::read(directory, name).unwrap_or_else(|e| panic!("{e}"));
        let mut executions = 0;
        for (path, token) in kept {
            executions += 1;
            if let Some(failure) = self.again(&token, program) {
                let member = format!("the regression {}", path.display());
                return Some(Report::failed(executions, Failure { member, ..failure }));
            }
        }
        None
    }

    /// What all executions have in common.
    fn base(&self) -> Options {
        Options {
            seed: self.seed,
            max_steps: self.max_steps,
            max_threads: self.max_threads,
            stack_bytes: self.stack_bytes,
            unseen_owners: self.unseen_owners,
            keep_switches: false,
            ..Options::default()
        }
    }
}
