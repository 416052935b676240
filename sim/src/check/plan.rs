//! Which execution a number stands for.
//!
//! **Invariant: number, seed and what the pilots told decide**; no execution depends on what came of another one.
//!
//! ```text
//!   pilots: random walks, no delay, round robin ──> Known: most choices, most threads, a profile
//!   plan:   number, Known ──> strategy, memory
//! ```

use super::Checker;
use crate::engine::{Facts, MAX_MODELLED_THREADS, MemoryModel, Options, Record, Strategy, Verdict, execute, plan};
use std::sync::Arc;

/// What pilot executions tell of the program: the same for all numbers.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// For the strategies: the most that any of them had.
    pub most: Facts,
    /// The options of the first pilot that failed.
    pub failed: Option<Options>,
}

/// The number of the first pilot; the others have those before.
const PILOT: u64 = u64::MAX;

/// Executes `program` a few times. Strategies differ in how long threads live side by side, and each bound wants the most.
pub(super) fn known(checker: &Checker, program: &impl Fn()) -> Known {
    let base = Options { record: Record::Bare, ..Facts::pilot(&checker.base()) };
    let strategies =
        [Strategy::Random, Strategy::Random, Strategy::Random, Strategy::Delays(Arc::default()), Strategy::RoundRobin];
    let mut known = Known { most: Facts { choices: 1, threads: 0, profile: Arc::default() }, failed: None };
    for (number, strategy) in strategies.into_iter().enumerate() {
        let options = Options { strategy, index: PILOT - number as u64, ..base.clone() };
        let execution = execute(&options, program);
        let facts = Facts::of(&execution);
        known.most.threads = known.most.threads.max(facts.threads);
        let longer = facts.choices >= known.most.choices;
        if matches!(options.strategy, Strategy::Random) && (number == 0 || longer) {
            known.most.profile = facts.profile;
        }
        known.most.choices = known.most.choices.max(facts.choices);
        if known.failed.is_none() && !matches!(execution.verdict, Verdict::Finished) {
            known.failed = Some(options);
        }
    }
    known
}

/// The options of execution `number`, and the name of the strategy.
pub(super) fn of(checker: &Checker, known: &Known, number: u64) -> (String, Options) {
    let facts = &known.most;
    let base = Options { index: number, record: Record::Bare, pct_steps: facts.choices, ..checker.base() };
    let planned = plan(number, facts, [MemoryModel::Interleaving, MemoryModel::Weak]);
    // Clocks have a bounded number of lanes: more threads interleave.
    let few = facts.threads <= MAX_MODELLED_THREADS;
    let memory = checker.memory.unwrap_or(if few { planned.memory } else { MemoryModel::Interleaving });
    match &checker.strategy {
        Some(strategy) => (strategy.to_string(), Options { strategy: strategy.clone(), memory, ..base }),
        None => {
            let name = match &planned.strategy {
                Strategy::Pct { depth } => format!("pct:{depth}"),
                _ => planned.member.to_string(),
            };
            (name, Options { memory, ..planned.apply(facts, &base) })
        }
    }
}
