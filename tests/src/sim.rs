//! Generic tests on the simulator.

use millpond::engine::{Execution, Granularity, Options, Strategy, Verdict, execute};

/// One thread after the other, switched only where one waits: for tests that say themselves who runs when.
pub fn in_turn() -> Options {
    Options { strategy: Strategy::RunOn, granularity: Granularity::Task, max_steps: u64::MAX, ..Options::default() }
}

/// Random schedules, preempted at every operation: `seeds` of them.
pub fn random(seeds: u64) -> impl Iterator<Item = Options> {
    scheduled(&[Strategy::Random], seeds)
}

/// Each strategy with the seeds 0 to `seeds` - 1, preempted at every operation.
pub fn scheduled(strategies: &[Strategy], seeds: u64) -> impl Iterator<Item = Options> {
    strategies.iter().flat_map(move |strategy| {
        (0..seeds).map(move |seed| Options { seed, strategy: strategy.clone(), ..Options::default() })
    })
}

/// Runs `main` to its end, whatever the ledger finds.
///
/// # Panics
/// If it ends in another way.
pub fn to_the_end(options: &Options, main: impl FnOnce()) -> Execution {
    let execution = execute(options, main);
    assert!(
        matches!(execution.verdict, Verdict::Finished),
        "seed {}, {:?}, {:?}: {}\n{:#?}",
        options.seed,
        options.strategy,
        options.granularity,
        execution.verdict,
        execution.verdict,
    );
    assert_eq!(execution.leaked_stacks, 0);
    execution
}

/// Runs `main` to its end; the ledger must find nothing.
///
/// # Panics
/// If it ends in another way, or something is found.
pub fn soundly(options: &Options, main: impl FnOnce()) -> Execution {
    let execution = to_the_end(options, main);
    let found = execution.ledger.findings();
    assert!(found.is_empty(), "seed {}, {:?}: {found:#?}", options.seed, options.strategy);
    execution
}
