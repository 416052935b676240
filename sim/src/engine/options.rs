//! What decides an execution.
//!
//! **Invariant: equal options and an equal program give equal executions**, digest for digest, on any OS thread.

use super::set::MAX_THREADS;
use millpond_model::observe::{Defect, Fault};
use std::sync::Arc;
use std::time::Duration;

/// Everything that decides an execution, besides the program.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of the campaign.
    pub seed: u64,
    /// Number of the execution within the campaign.
    pub index: u64,
    /// Who chooses the next thread.
    pub strategy: Strategy,
    /// Where a thread may be preempted.
    pub granularity: Granularity,
    /// Steps after which the execution ends with `Verdict::StepBudget`.
    pub max_steps: u64,
    /// Threads alive at once; at most [`MAX_THREADS`]. `Platform::spawn` refuses more.
    pub max_threads: u32,
    /// Stack of each thread, in bytes.
    pub stack_bytes: usize,
    /// What is written down.
    pub record: Record,
    /// What a load may return, and whether accesses are checked for races.
    pub memory: MemoryModel,
    /// Whether the execution's partial order is told: [`Execution::class`](super::Execution::class).
    pub classes: bool,
    /// Whether the switches are: they grow with the length of the execution, where the program's own data need not.
    pub keep_switches: bool,
    /// Defects to plant.
    pub plants: Vec<Plant>,
    /// Faults of the environment that happen inside the model.
    pub faults: Vec<(Fault, When)>,
    /// Which calls of `Platform::alloc` fail.
    pub alloc_fails: Option<When>,
    /// Bytes that `Platform::alloc` may have outstanding; it fails beyond. `None`: no limit.
    pub memory_limit: Option<u64>,
    /// PCT's estimate of the number of steps with a choice; take the largest `Execution::choices` of earlier executions of the
    /// program.
    pub pct_steps: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            index: 0,
            strategy: Strategy::Random,
            granularity: Granularity::Operation,
            max_steps: 10_000_000,
            max_threads: MAX_THREADS,
            stack_bytes: 256 * 1024,
            record: Record::Lean,
            memory: MemoryModel::Interleaving,
            classes: false,
            keep_switches: true,
            plants: Vec::new(),
            faults: Vec::new(),
            alloc_fails: None,
            memory_limit: None,
            pct_steps: 1000,
        }
    }
}

/// Who chooses the next thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// A uniform choice among the runnable threads at every scheduling point.
    Random,
    /// The next thread at every scheduling point.
    RoundRobin,
    /// The running thread until it blocks, then the one with the lowest number: the default that schedules are written as
    /// deviations from.
    RunOn,
    /// Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010): random priorities, `depth` - 1 changes.
    /// Finds a bug of that depth with a probability of at least 1 / (threads x steps^(depth - 1)).
    Pct {
        /// Number of ordering constraints to hope for; 1 at least.
        depth: u32,
    },
    /// Exactly the recorded switches. Ends with `Verdict::Diverged` where one is impossible.
    Replay(Arc<[Switch]>),
    /// `RunOn` but for these switches; one that is impossible is skipped. For shrinking.
    Deviate(Arc<[Switch]>),
    /// Every schedule with at most so many preemptions, one after the other: see [`exhaust`](super::exhaust()) and
    /// [`Search`](super::Search). An execution by itself is given the first one: that of `RunOn`. At most
    /// [`DFS_THREADS`](super::DFS_THREADS) threads may be alive at once.
    Dfs {
        /// Switches away from a thread that could have gone on.
        preemptions: u32,
    },
    /// Every partial order of conflicting operations, one execution each or a few more: see [`exhaust`](super::exhaust()) and
    /// [`Search`](super::Search). Time moves only when nobody can run, and loops that wait are cut: see the description of
    /// `engine::dpor`. An execution by itself is given the first schedule: that of `RunOn`, but that yields let others go first.
    /// At most [`DPOR_THREADS`](super::DPOR_THREADS) threads may be started.
    Dpor,
}

/// Where a thread may be preempted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Granularity {
    /// Before every synchronisation operation.
    Operation,
    /// At `Platform::boundary`, and where a thread yields or blocks.
    Task,
}

/// What is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record {
    /// Switches: for searching fast. The digest is that of no events.
    Bare,
    /// Switches and the digest: for searching.
    Lean,
    /// Every event with its step and source location: for replaying.
    Rich,
}

/// What a load may return, and whether accesses are checked for races.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum MemoryModel {
    /// Every load returns the newest store: sequential consistency, whatever the orderings say. Races are not looked for.
    #[default]
    Interleaving,
    /// The same values; accesses to plain memory that the orderings written leave unordered are findings.
    Races,
    /// As C++20 has it, without load buffering: a load may return any store that coherence and happens-before allow it; accesses to
    /// plain memory that are unordered are findings.
    Weak,
}

/// The running thread changed, or time moved by choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Switch {
    /// At which step.
    pub step: u64,
    /// Number of the thread that ran from there, or [`Switch::TIME`].
    pub to: u32,
}

impl Switch {
    /// Not a thread: the strategy let time move to the next timer.
    pub const TIME: u32 = u32::MAX;

    /// At the beginning of a list, not a switch: time waits for threads that spin, as under `Strategy::Dpor`.
    pub const PATIENT: Self = Self { step: 0, to: Self::TIME };

    /// With this bit, and if it is not [`Switch::TIME`], not a thread but a value that was chosen.
    pub const VALUE: u32 = 1 << 31;

    /// Not a switch: `value` was chosen in `step`, after so many others.
    pub fn chosen(step: u64, others: u32, value: u32) -> Self {
        assert!(value <= 0xFF, "a value is a byte");
        Self { step, to: Self::VALUE | others << 8 & !Self::VALUE | value }
    }

    /// The value that was chosen, if it is one.
    pub fn value(self) -> Option<u32> {
        (self.to & Self::VALUE != 0 && self.to != Self::TIME).then_some(self.to & 0xFF)
    }
}

/// A defect to plant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plant {
    /// Which one.
    pub defect: Defect,
    /// On which of its occasions it strikes.
    pub when: When,
}

/// On which of its occasions a planted defect or a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// With this probability in units of 2^-32, drawn from the fault stream. See [`When::rate`].
    Rate(u64),
    /// On the `n`th occasion, from 1.
    Nth(u64),
    /// On the first occasion at or after this virtual time.
    At(Duration),
    /// On all.
    Always,
}

impl When {
    /// With probability `p`; what is below 0 or not a number counts as 0, what is above 1 as 1. Exact for multiples of
    /// 2^-32, else rounded down.
    pub fn rate(p: f64) -> Self {
        // `as` saturates and gives 0 for NaN: defined by the language, the same on every machine.
        Self::Rate((p.clamp(0.0, 1.0) * 4_294_967_296.0) as u64)
    }
}

/// How often something could have struck, and how often it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chances {
    /// Occasions so far.
    pub occasions: u64,
    /// Strikes so far.
    pub strikes: u64,
}

impl Chances {
    /// Whether what was asked for at `when` strikes on this occasion, at virtual time `now`; `chance` draws with a threshold
    /// in units of 2^-32.
    pub fn strike(&mut self, when: When, now: Duration, chance: impl FnOnce(u64) -> bool) -> bool {
        self.occasions += 1;
        let strikes = match when {
            When::Always => true,
            When::Nth(n) => self.occasions == n,
            When::At(time) => self.strikes == 0 && now >= time,
            When::Rate(threshold) => chance(threshold),
        };
        self.strikes += u64::from(strikes);
        strikes
    }
}
