//! Which execution a number stands for.
//!
//! **Invariant: number, seed and facts decide**; no execution depends on what came of another one.

use super::Checker;
use crate::engine::{Facts, MemoryModel, Options, Record, Strategy, execute, plan};

/// What a pilot execution tells of the program: the same for all numbers. It may fail: the executions that follow find that.
pub(super) fn facts(checker: &Checker, program: &impl Fn()) -> Facts {
    let options = Options { record: Record::Bare, ..checker.base() };
    Facts::of(&execute(&Facts::pilot(&options), program))
}

/// The options of execution `number`, and the name of the strategy.
pub(super) fn of(checker: &Checker, facts: &Facts, number: u64) -> (String, Options) {
    let base = Options { index: number, record: Record::Bare, pct_steps: facts.choices, ..checker.base() };
    let planned = plan(number, facts, [MemoryModel::Interleaving, MemoryModel::Weak]);
    let memory = checker.memory.unwrap_or(planned.memory);
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
