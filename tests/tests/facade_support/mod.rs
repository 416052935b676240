//! Executions for the tests of the facade.
#![allow(dead_code)] // each test uses a part

use millpond::cell::UnsafeCell;
use millpond::engine::{Execution, Exhaustion, MemoryModel, Options, Strategy, Verdict, execute, exhaust};

/// A number that several threads use, which is sound if what is tested orders their accesses.
pub struct Plain(UnsafeCell<u32>);

// SAFETY: none for real threads; the accesses are of simulated ones, which are on one OS thread.
unsafe impl Sync for Plain {}
// SAFETY: as above.
unsafe impl Send for Plain {}

impl Plain {
    pub fn new(value: u32) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub fn cell(&self) -> &UnsafeCell<u32> {
        &self.0
    }

    #[track_caller]
    pub fn read(&self) -> u32 {
        // SAFETY: one thread at a time runs, and none in the middle of this.
        self.0.with(|p| unsafe { *p })
    }

    #[track_caller]
    pub fn write(&self) {
        // SAFETY: as above.
        self.0.with_mut(|p| unsafe { *p += 1 });
    }
}

/// An execution of the random walk on this memory.
pub fn run(memory: MemoryModel, index: u64, program: impl FnOnce()) -> Execution {
    execute(&Options { strategy: Strategy::Random, index, memory, ..Options::default() }, program)
}

/// Executes `program` once under a strategy.
pub fn once(strategy: Strategy, index: u64, program: impl FnOnce()) -> Execution {
    execute(&Options { strategy, index, pct_steps: 100, ..Options::default() }, program)
}

/// The execution finished.
#[track_caller]
pub fn finished(execution: &Execution) {
    assert!(matches!(execution.verdict, Verdict::Finished), "{}", execution.verdict);
    assert_eq!(execution.leaked_stacks, 0);
}

/// `program` finishes under several strategies, many times.
#[track_caller]
pub fn always(program: impl Fn()) {
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::RunOn, Strategy::Pct { depth: 3 }] {
        for index in 0..200 {
            finished(&once(strategy.clone(), index, &program));
        }
    }
}

/// `program` finishes under every schedule with at most so many preemptions.
#[track_caller]
pub fn everywhere(preemptions: u32, program: impl FnMut()) -> Exhaustion {
    let options = Options { strategy: Strategy::Dfs { preemptions }, ..Options::default() };
    let reached = exhaust(&options, 1_000_000, program).unwrap_or_else(|failure| panic!("{failure:?}"));
    assert!(reached.complete, "{reached:?}");
    reached
}

/// Some schedule of `program` with at most so many preemptions does not finish: what comes of it.
#[track_caller]
pub fn somewhere(preemptions: u32, program: impl FnMut()) -> Verdict {
    let options = Options { strategy: Strategy::Dfs { preemptions }, ..Options::default() };
    match exhaust(&options, 1_000_000, program) {
        Ok(reached) => panic!("no schedule fails: {reached:?}"),
        Err(failure) => failure.execution.verdict,
    }
}

/// What `program` gives in one execution.
#[track_caller]
pub fn inside<R>(program: impl FnOnce() -> R) -> R {
    let mut result = None;
    finished(&once(Strategy::RunOn, 0, || result = Some(program())));
    result.expect("it finished")
}
