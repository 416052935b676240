//! Which execution a number stands for.
//!
//! **Invariant: number, seed and facts decide**; no execution depends on what came of another one.

use super::Checker;
use crate::engine::{MemoryModel, Options, Record, Strategy, execute};

/// What pilot executions tell of the program: the same for all numbers.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Most steps with a choice.
    pub choices: u64,
    /// Most steps.
    pub steps: u64,
}

/// The number of the first pilot: none that an execution has.
const PILOT: u64 = 1 << 63;

impl Facts {
    /// Executes `program` a few times. A pilot may fail: the executions that follow find it, or one like it.
    pub fn of(checker: &Checker, program: &impl Fn()) -> Self {
        let pilot = |strategy, number| {
            let options = Options { strategy, index: PILOT + number, record: Record::Bare, ..checker.base() };
            execute(&options, program)
        };
        let pilots = [pilot(Strategy::RunOn, 0), pilot(Strategy::Random, 1)];
        Self {
            choices: pilots.iter().map(|e| e.choices).max().unwrap_or_default().max(1),
            steps: pilots.iter().map(|e| e.steps).max().unwrap_or_default(),
        }
    }
}

/// The options of execution `number`, and the name of the strategy.
pub(super) fn of(checker: &Checker, facts: &Facts, number: u64) -> (String, Options) {
    let strategy = checker.strategy.clone().unwrap_or(match number % 4 {
        0 | 1 => Strategy::Random,
        n => Strategy::Pct { depth: n as u32 },
    });
    let memory =
        checker.memory.unwrap_or(if number.is_multiple_of(2) { MemoryModel::Weak } else { MemoryModel::Races });
    let options = Options { index: number, memory, record: Record::Bare, pct_steps: facts.choices, ..checker.base() };
    (name(&strategy), Options { strategy, ..options })
}

/// The name of a strategy, as `--strategy` spells it.
pub(super) fn name(strategy: &Strategy) -> String {
    match strategy {
        Strategy::Random => "random".to_string(),
        Strategy::RoundRobin => "round-robin".to_string(),
        Strategy::RunOn => "run-on".to_string(),
        Strategy::Pct { depth } => format!("pct:{depth}"),
        Strategy::Dfs { preemptions } => format!("dfs:{preemptions}"),
        Strategy::Replay(_) | Strategy::Deviate(_) | Strategy::Shifted(_) => "replay".to_string(),
    }
}
