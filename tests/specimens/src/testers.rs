//! Testers that look for a specimen's bug, each in the same words.
//!
//! **Invariant: what a hunt finds depends on nothing but its fields**, unless it ends by time: a passed one says how far it came.

#[cfg(feature = "peers")]
mod loom;
pub mod millpond;
#[cfg(feature = "peers")]
pub mod shuttle;

use crate::Program;
#[cfg(feature = "peers")]
use crate::timing::Clock;
#[cfg(feature = "peers")]
use std::any::Any;
#[cfg(feature = "peers")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
#[cfg(feature = "peers")]
use std::time::Instant;
use std::{panic, thread};

/// A tester with its strategy.
pub struct Tester {
    /// What heads its column.
    pub name: String,
    /// The programs as this tester sees them, in the order of every other.
    pub programs: &'static [Program],
    /// Whether another seed gives another hunt.
    pub is_seeded: bool,
    hunt: Box<dyn Fn(Hunt) -> Outcome + Send + Sync>,
}

/// One program, and how long it is executed.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// Its number in `Tester::programs`.
    pub program: usize,
    /// Whether it is repaired.
    pub twin: bool,
    /// Unrelated operations before those that matter, in each thread.
    pub noise: usize,
    /// The seed.
    pub seed: u64,
    /// Executions at most.
    pub executions: u64,
    /// Time at most, looked at between executions.
    pub time: Duration,
}

/// What came of a hunt.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Executions, with the failing one.
    pub executions: u64,
    /// What it failed with, if it did.
    pub failure: Option<String>,
    /// Whether it ended because there was nothing left to execute.
    pub is_complete: bool,
    /// The processor's time for it, with everything that the tester does besides executing.
    pub time: Duration,
}

impl Tester {
    /// The numbers of the programs whose names contain this text.
    pub fn programs_named(&self, text: &str) -> Vec<usize> {
        (0..self.programs.len()).filter(|&program| self.programs[program].about.name.contains(text)).collect()
    }

    /// One hunt.
    ///
    /// # Panics
    /// If the tester itself breaks.
    pub fn hunt(&self, hunt: Hunt) -> Outcome {
        // On a thread of its own: what a tester leaves in thread-local variables after a failure is gone with it.
        thread::scope(|scope| scope.spawn(|| (self.hunt)(hunt)).join().expect("a tester returns"))
    }
}

/// All testers that were built.
pub fn all() -> Vec<Tester> {
    #[allow(unused_mut)]
    let mut all = self::millpond::all();
    #[cfg(feature = "peers")]
    all.extend(self::shuttle::all());
    #[cfg(feature = "peers")]
    all.extend(self::loom::all());
    all
}

/// Those whose names contain this text. Ends the process with code 2 if there are none.
pub fn chosen(text: &str) -> Vec<Tester> {
    let mut all = all();
    all.retain(|tester| tester.name.contains(text));
    if all.is_empty() {
        eprintln!("no tester is called {text:?}, or none was built (--features peers)");
        std::process::exit(2);
    }
    all
}

/// Panics say nothing from here on: those of a hunt are what it hunts for. Before the first one, since some testers chain to it.
pub fn silence() {
    panic::set_hook(Box::new(|_| {}));
}

/// Runs a tester that panics when it finds something, and that tells how many executions it has begun.
#[cfg(feature = "peers")]
fn outcome(hunt: Hunt, begun: impl Fn() -> u64, run: impl FnOnce()) -> Outcome {
    let (start, used) = (Instant::now(), Clock::Thread.now());
    let result = catch_unwind(AssertUnwindSafe(run));
    let (took, time) = (start.elapsed(), Clock::Thread.now() - used);
    let executions = begun();
    let is_complete = result.is_ok() && executions < hunt.executions && took < hunt.time;
    Outcome { executions, failure: result.err().map(|payload| message(&*payload)), is_complete, time }
}

/// The words of a panic.
#[cfg(feature = "peers")]
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_string()
}
