//! What decides an execution.
//!
//! **Invariant: equal options and an equal program give equal executions**, digest for digest, on any OS thread.

use super::choice::Choice;
use super::profile::Profile;
use super::set::MAX_THREADS;
use super::shift::Shift;
use millpond_model::observe::{Defect, Fault};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
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
    /// What is chosen besides who runs, sorted; where nothing is listed it is alternative 0. `None`: it is drawn.
    pub choices: Option<Arc<[Choice]>>,
    /// Whether the last owner of an atomic word or a cell may be found by counts that nobody sees, as those of `std::sync::Arc`: that
    /// it is dropped is no access then.
    pub unseen_owners: bool,
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
    /// PCT's estimate of the number of steps with a choice, and that of `DelayBounded`; take the largest `Execution::choices` of earlier
    /// executions of the program. A thread that takes more than twice as many, and 1,000, while others could run, is taken to wait for
    /// one of them in a loop without yielding: it goes behind them.
    pub pct_steps: u64,
    /// Whether each event is counted: [`Execution::profile`](super::Execution::profile). Slow; for pilot executions.
    pub profile: bool,
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
            choices: None,
            unseen_owners: false,
            classes: false,
            keep_switches: true,
            plants: Vec::new(),
            faults: Vec::new(),
            alloc_fails: None,
            memory_limit: None,
            pct_steps: 1000,
            profile: false,
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
    /// Partial order sampling (Yuan et al., CAV 2018): a random priority for each pending event; the highest runs, and what
    /// conflicts with it draws anew.
    Pos,
    /// Uniform over interleavings, by a pilot execution's counts (Zhao et al., ASPLOS 2025).
    Urw(Arc<Profile>),
    /// Uniform over the orders of a subset of events, drawn for each execution: the accesses to one shared object, or to all of them
    /// (same paper).
    Surw(Arc<Profile>),
    /// Delay bounding (Emmi et al., POPL 2011): each thread runs until it waits, then the next in turn; at the choices with these
    /// numbers, counted from 1 as in `Execution::choices`, the thread that would have run is skipped. See
    /// [`DelaySchedules`](super::DelaySchedules) for all such lists.
    Delays(Arc<[u64]>),
    /// As `Delays`, at random choices.
    DelayBounded {
        /// How many.
        delays: u32,
    },
    /// Exactly the recorded switches. Ends with `Verdict::Diverged` where one is impossible.
    Replay(Arc<[Switch]>),
    /// `RunOn` but for these switches; one that is impossible is skipped. For shrinking.
    Deviate(Arc<[Switch]>),
    /// `RunOn` but for these shifts, sorted; one that is impossible is skipped. For shrinking.
    Shifted(Arc<[Shift]>),
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

impl Strategy {
    /// Whether it is one of many executions that makes it: see [`Search`](super::Search).
    pub fn enumerates(&self) -> bool {
        matches!(self, Self::Dfs { .. } | Self::Dpor)
    }
}

impl fmt::Display for Strategy {
    /// As the command line spells it, where it does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("Random"),
            Self::RoundRobin => f.write_str("RoundRobin"),
            Self::RunOn => f.write_str("RunOn"),
            Self::Pct { depth } => write!(f, "pct:{depth}"),
            Self::Pos => f.write_str("Pos"),
            Self::Urw(_) => f.write_str("Urw"),
            Self::Surw(_) => f.write_str("Surw"),
            Self::Delays(list) if list.is_empty() => f.write_str("no delay"),
            Self::Delays(list) => {
                f.write_str("delays at")?;
                list.iter().try_for_each(|at| write!(f, " {at}"))
            }
            Self::DelayBounded { delays } => write!(f, "delay:{delays}"),
            Self::Replay(list) => write!(f, "a replay of {} switches", list.len()),
            Self::Shifted(list) => write!(f, "RunOn but for {} shifts", list.len()),
            Self::Deviate(list) => write!(f, "RunOn but for {} switches", list.len()),
            Self::Dfs { preemptions } => write!(f, "dfs:{preemptions}"),
            Self::Dpor => f.write_str("Dpor"),
        }
    }
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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
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

impl MemoryModel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Interleaving, Self::Races, Self::Weak];
}

impl fmt::Display for MemoryModel {
    /// In small letters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interleaving => "interleaving",
            Self::Races => "races",
            Self::Weak => "weak",
        })
    }
}

impl FromStr for MemoryModel {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|model| model.to_string() == word.to_lowercase());
        found.ok_or_else(|| format!("`{word}` is no memory model: there are interleaving, races and weak"))
    }
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
