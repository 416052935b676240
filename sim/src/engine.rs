//! The deterministic engine: runs a program of simulated threads on one OS thread.
//!
//! **Invariant: an execution is decided by its [`Options`] and its program.** No clock, address, hash order or other OS thread
//! has a say: eight executions run side by side in one process and each gives the digest that it gives alone.
//!
//! ```text
//!   execute(options, main)
//!      │
//!      ├─ series     who has the OS thread's engine: one execution, or one after the other
//!      ├─ core       the state, and the scheduling point that each operation begins with       course   what begins at zero
//!      ├─ schedule   decisions: at points, yields and blocks          strategy   who runs next, and for how long
//!      ├─ shift      a schedule as what differs from the default one      choice   what is chosen besides
//!      ├─ profile    what a pilot execution tells            portfolio  which strategy each execution of a campaign has
//!      ├─ search     every schedule, one after the other      exhaust    until there is none left
//!      ├─ dpor       every partial order instead
//!      ├─ run        threads from start to end; unwinding of what is abandoned       coroutine  how one goes on with another
//!      ├─ thread     a simulated thread's slot          set      the sets of slots
//!      ├─ event      events and their digest            random   the five streams
//!      ├─ panics, overflow, stop                        blocks   memory of `Platform::alloc`
//!      ├─ access     what an operation is about to do        classes  which partial order an execution was
//!      ├─ platform, atomic, sync    what the program sees: `Sim`
//!      ├─ look       reading from outside of the program
//!      └─ gate       what the facade needs of the engine        statics  objects that outlive executions
//! ```
//!
//! Program and engine share nothing but the one pointer, in a thread-local, to the running engine.

mod access;
mod atomic;
mod blocks;
mod choice;
mod classes;
mod core;
mod coroutine;
mod course;
mod dpor;
mod event;
mod exhaust;
mod gate;
mod look;
mod options;
mod outcome;
mod overflow;
mod panics;
mod platform;
mod portfolio;
mod profile;
mod random;
mod run;
mod schedule;
mod search;
mod series;
mod set;
mod shift;
mod statics;
mod stop;
mod strategy;
mod sync;
mod tag;
mod thread;
pub mod weak;

pub use self::access::{Access, Touch};
pub use self::atomic::SimAtomic;
pub use self::choice::Choice;
pub use self::dpor::DPOR_THREADS;
pub use self::event::{CHECKPOINT_EVERY, Entry, MAX_LOG, Op};
pub use self::exhaust::{Exhaustion, Failure, Search, exhaust, exhaust_with};
pub use self::look::{newest, observed};
pub use self::options::{Chances, Granularity, MemoryModel, Options, Plant, Record, Strategy, Switch, When};
pub use self::outcome::{Execution, Spinning, ThreadInfo, Verdict, Wait, Waiting};
pub use self::platform::{Sim, SimId, SimJoin, SimThread, SimTicket};
pub use self::portfolio::{DELAY_SCHEDULES, Facts, Member, PCT_DEPTHS, Plan, interleaved, memory_of, plan};
pub use self::profile::Profile;
pub use self::random::{Generator, Stream};
pub use self::schedule::LIVELOCK_YIELDS;
pub use self::search::DFS_THREADS;
pub use self::series::{Brief, Series, execute};
pub use self::set::MAX_THREADS;
pub use self::shift::Shift;
pub use self::strategy::DelaySchedules;
pub use self::sync::{SimCell, SimCounter, SimGuard, SimLocal, SimMutex};
pub use self::weak::MAX_LANES as MAX_MODELLED_THREADS;

pub(crate) use self::core::{Site, is_last_here};
pub(crate) use self::gate::Gate;

pub(crate) use self::tag::{Tag, Whose};
pub(crate) use self::thread::NONE;

use self::core::Engine;
use self::platform::engine;
use crate::ledger::{Finding, Ledger};
use millpond_model::platform::ThreadId;

/// A stream of the running execution.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    stream: Stream,
}

/// A stream of random numbers of the running execution.
pub fn draw(stream: Stream) -> Draws {
    Draws { stream }
}

impl Draws {
    /// 32 random bits.
    ///
    /// # Panics
    /// Outside an execution, as all functions here.
    pub fn next_u32(self) -> u32 {
        engine().draw(self.stream, Generator::next_u32)
    }

    /// 64 random bits.
    pub fn next_u64(self) -> u64 {
        engine().draw(self.stream, Generator::next_u64)
    }

    /// Uniform in `0..n`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(self, n: u32) -> u32 {
        engine().draw(self.stream, |g| g.below(n))
    }

    /// Uniform in `0..n`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below_u64(self, n: u64) -> u64 {
        engine().draw(self.stream, |g| g.below_u64(n))
    }

    /// True with probability `threshold` / 2^32.
    pub fn chance(self, threshold: u64) -> bool {
        engine().draw(self.stream, |g| g.chance(threshold))
    }
}

/// One of `n` alternatives of the program's own: drawn, enumerated, or repeated together with the schedule. Alternative 0 is the plain
/// one: a failing execution is shrunk to as few others as still fail.
///
/// # Panics
/// Outside an execution, and if `n` is 0.
pub fn choose(n: u32) -> u32 {
    assert!(n != 0, "nothing to choose from");
    engine().choose(n)
}

/// As [`choose`], between no and, once in `odds` times, yes.
///
/// # Panics
/// Outside an execution, and if `odds` is 0.
pub fn choose_rarely(odds: u32) -> bool {
    assert!(odds != 0, "no odds");
    engine().choose_rarely(odds)
}

/// Ends the execution with [`Verdict::Stopped`]. Returns only if the thread is in the middle of a panic, or if the execution
/// is being abandoned already; it goes no further than the next `Platform::catch` then.
pub fn stop(reason: String) {
    engine().fail_here(Verdict::Stopped(reason));
}

/// Ends the execution with [`Verdict::Finding`]; returns when [`stop`] does.
pub fn stop_with(finding: Finding) {
    engine().fail_here(Verdict::Finding(finding));
}

/// Scheduling points passed so far.
pub fn step() -> u64 {
    engine().step()
}

/// Whether the calling code runs inside an execution.
pub fn is_running() -> bool {
    self::core::running().is_some()
}

/// The name of a thread, or `#` and its number if there is none.
pub fn thread_name(id: ThreadId) -> String {
    engine().name_of(id.0)
}

/// Runs `f` on the ledger of the running execution.
pub fn with_ledger<R>(f: impl FnOnce(&mut Ledger) -> R) -> R {
    let engine = engine();
    engine.observed.set(true);
    f(&mut engine.ledger.borrow_mut())
}

impl Engine {
    /// What came of the execution, if it ended well.
    #[inline(always)]
    fn brief(&self) -> Option<Brief> {
        let found = self.observed.get() && !self.ledger.borrow().findings().is_empty();
        if self.stopping.get() || found {
            return None;
        }
        let digest = self.events.finish_digest();
        self.blocks.release();
        // As `account` would have it: the points since the last decision are steps too.
        let (steps, preemptions) = (self.step(), self.preemptions.get());
        let choices = self.choices.get() + if self.contended.get() { steps - self.steps.get() } else { 0 };
        Some(Brief { digest, class: self.classes.finish(), steps, choices, preemptions })
    }

    /// What came of the execution.
    fn finish(&self) -> Execution {
        if !self.stopping.get() {
            self.account(); // the points since the last decision are steps too
        }
        if self.enumerates.get() {
            self.end_path();
        }
        let verdict = self.verdict.take().unwrap_or(Verdict::Finished);
        let events = self.events.count();
        let (digest, checkpoints, log) = self.events.finish();
        let leaked_bytes = self.blocks.bytes();
        if matches!(verdict, Verdict::Finished) {
            self.blocks.release();
        } else {
            // SAFETY: all threads have been unwound, or leaked and are never resumed; `execute` demands of its caller that
            // no object in this memory is used after an abandoned execution.
            unsafe { self.blocks.free_all() };
        }
        let mut infos = self.infos.borrow_mut();
        let threads = infos.drain(..).enumerate().map(|(id, info)| ThreadInfo {
            id: ThreadId(id as u32),
            name: info.name.into_owned(),
            parent: info.parent.map(ThreadId),
            finished: info.finished,
        });
        Execution {
            verdict,
            digest,
            class: self.classes.finish(),
            checkpoints,
            events,
            steps: self.steps.get(),
            choices: self.choices.get(),
            switches: self.switches.take(),
            shifts: self.shifts.take(),
            choices_taken: self.taken.take(),
            preemptions: self.preemptions.get(),
            now: self.now.get(),
            threads: threads.collect(),
            reach_counts: std::array::from_fn(|i| self.reached[i].get()),
            plants_struck: self.plants.borrow().iter().map(|(_, chances)| chances.strikes).collect(),
            log,
            profile: self.profiling.get().then(|| self.profiler.take().finish()),
            ledger: self.ledger.replace(Ledger::new(false)),
            leaked_stacks: self.leaked_stacks.get(),
            leaked_bytes,
        }
    }
}
