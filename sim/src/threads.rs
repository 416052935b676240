//! Real threads, watched: the world of a scenario without the scheduler.
//!
//! **Invariant: a finding is true whatever the order in which notes arrive.** What depends on that order is not judged.
//!
//! ```text
//!   execute(options, main)
//!      │
//!      ├─ run        what the threads of a run share; each reaches it through a thread-local
//!      ├─ clock      who waits for what, virtual time, and when everybody waits for ever
//!      ├─ books      the ledger, behind many locks             panics     as findings
//!      └─ platform, sync    what the program sees: `Watched`
//! ```
//!
//! In the simulator a note and the operation that it tells of are one step. Here other threads run in between. The model
//! notes what gives authority away (a recycle, a deallocation, a completion) *before* others can act on it, so that the end of a
//! period of ownership arrives before the next period begins. Two events are noted *after* their operation, which they tell the
//! outcome of: `Released(n)` and `Retained(n)`. Another thread may have ended the object's life in between, so that one that
//! comes too late is no finding; a release or retain of a dead object is told by the refusal of its count, as it is in a simulation.
//! All else is judged as it arrives. What asks for rest (leaks, lost tasks and promises, sums) is judged at the end.
//!
//! A run goes on after a finding: a thread can't be stopped. The first one decides.
//!
//! The locks of the books order threads more than the program does by itself: a missing barrier is not found here.

mod books;
mod clock;
mod panics;
mod platform;
mod run;
mod sync;

pub use self::books::{WatchedId, WatchedTicket};
pub use self::platform::{Watched, WatchedJoin, WatchedThread};
pub use self::sync::{WatchedGuard, WatchedMutex};

use self::clock::End;
use self::run::Run;
use crate::engine::{Plant, When};
use crate::ledger::{Finding, FindingKind, KindLedger, Tolerance, Tolerated};
use millpond_model::observe::{Fault, Kind, Reach};
use millpond_model::platform::JoinOps;
use std::sync::Arc;
use std::time::Duration;

/// Whose threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum On {
    /// Real threads
    Std,
    /// The simulator's
    #[default]
    Sim,
}

/// What a run depends on, besides the program and what the host does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides what is drawn.
    pub seed: u64,
    /// Defects to plant.
    pub plants: Vec<Plant>,
    /// Faults of the environment that happen inside the model.
    pub faults: Vec<(Fault, When)>,
    /// Which calls of `Platform::alloc` fail.
    pub alloc_fails: Option<When>,
    /// Bytes that `Platform::alloc` may have outstanding; it fails beyond. `None`: no limit.
    pub memory_limit: Option<u64>,
    /// What the program does wrong on purpose.
    pub tolerance: Tolerance,
    /// Whether each object's story is kept: for small programs.
    pub stories: bool,
    /// Virtual seconds that pass in a second of work. 0: time stands still while any thread works.
    pub rate: u32,
    /// How long threads may work without anything happening, in real time.
    pub patience: Duration,
}

/// The default of [`Options::patience`].
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            plants: Vec::new(),
            faults: Vec::new(),
            alloc_fails: None,
            memory_limit: None,
            tolerance: Tolerance::default(),
            stories: false,
            rate: 0,
            patience: PATIENCE,
        }
    }
}

/// What came of a run.
pub struct Ended {
    /// What was found while it ran, in the order in which it was seen.
    pub findings: Vec<Finding>,
    /// Whether it hung. Its threads are then left as they are.
    pub hung: bool,
    /// Virtual time at the end.
    pub now: Duration,
    /// Names of the threads, by number.
    pub threads: Vec<String>,
    /// How often each place was reached, in the order of [`Reach::ALL`].
    pub reached: [u64; Reach::ALL.len()],
    /// How often each planted defect struck, in the order of [`Options::plants`].
    pub plants_struck: Vec<u64>,
    /// The ledger's numbers.
    pub kinds: Vec<(Kind, KindLedger)>,
    /// What was tolerated.
    pub tolerated: Tolerated,
    /// Notes, parks, sleeps and joins.
    pub operations: u64,
    run: Arc<Run>,
}

impl Ended {
    /// Objects of `kind` that are still owned, at most `limit` of them.
    pub fn owned(&self, kind: Kind, limit: usize) -> Vec<Finding> {
        self.run.books.owned(kind, limit)
    }
}

/// Runs `main` as thread 0, named `main`, together with all threads that it starts, until all have ended or hang.
///
/// A run hangs when every thread waits for another, which is known at once, or when threads work and nothing happens for
/// [`Options::patience`].
///
/// # Panics
/// If the host has no thread for `main`.
pub fn execute(options: &Options, main: impl FnOnce() + Send + 'static) -> Ended {
    panics::install();
    let run = Run::new(options);
    let (_, join) = run.spawn("main".to_string(), main).unwrap_or_else(|error| panic!("{error}"));
    let end = run.clock.watch(options.patience);
    match &end {
        End::Ended => {
            // Its panic is a finding already.
            let _ = join.join();
        }
        End::AllWait(list) => {
            let head = "every thread waits, and no timer is set";
            run.found(hang(&run, FindingKind::Deadlock, head, list));
        }
        End::NoProgress(list) => {
            let head = format!("nothing has happened for {:?}, and threads work", options.patience);
            run.found(hang(&run, FindingKind::Livelock, &head, list));
        }
    }
    Ended {
        findings: run.findings(),
        hung: end != End::Ended,
        now: run.clock.now(),
        threads: run.clock.names(),
        reached: run.reached(),
        plants_struck: run.struck(),
        kinds: run.books.kinds(),
        tolerated: run.books.tolerated(),
        operations: run.clock.operations(),
        run,
    }
}

/// A line for each thread, and one for what is owned: tasks that wait in queues are.
fn hang(run: &Run, kind: FindingKind, head: &str, list: &[String]) -> Finding {
    let owned: Vec<String> =
        run.books.kinds().iter().filter(|(_, n)| n.owned > 0).map(|(kind, n)| format!("{} {kind}", n.owned)).collect();
    let mut text = head.to_string();
    for line in list {
        text.push_str("\n  ");
        text.push_str(line);
    }
    if !owned.is_empty() {
        text.push_str(&format!("\n  owned: {}", owned.join(", ")));
    }
    Finding::plain(kind, run.clock.operations(), text)
}
