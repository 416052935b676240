//! Executions for the tests of the facade.
#![allow(dead_code)] // each test uses a part

use millpond::engine::{Execution, Exhaustion, Options, Strategy, Verdict, execute, exhaust};

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
