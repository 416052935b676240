//! Which execution a number stands for.
//!
//! **Invariant: number, seed and facts decide**; no execution depends on what came of another one.

use super::Checker;
use crate::engine::{Facts, Member, MemoryModel, Options, Record, Strategy, execute, plan};
use std::sync::Arc;

/// The two that have the executions by turns.
const MEMORIES: [MemoryModel; 2] = [MemoryModel::Interleaving, MemoryModel::Weak];

/// What a pilot execution tells of the program: the same for all numbers. It may fail: the executions that follow find that.
pub(super) fn facts(checker: &Checker, program: &impl Fn()) -> Facts {
    let options = Options { record: Record::Bare, ..checker.base() };
    Facts::of(&execute(&Facts::pilot(&options), program))
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Turn {
    /// That of the only strategy.
    Only,
    /// That of a member of the portfolio; PCT with this depth.
    Of(Member, u32),
}

/// The executions of a check: the options of one after the other, changed in place.
pub(super) struct Planner<'a> {
    checker: &'a Checker,
    facts: Facts,
    pub options: Options,
}

impl<'a> Planner<'a> {
    /// For one worker: what it knows is shared with no other one.
    pub fn new(checker: &'a Checker, facts: &Facts) -> Self {
        let base = checker.base();
        let strategy = match &checker.strategy {
            Some(Strategy::Urw(profile)) => Strategy::Urw(Arc::new((**profile).clone())),
            Some(Strategy::Surw(profile)) => Strategy::Surw(Arc::new((**profile).clone())),
            Some(strategy) => strategy.clone(),
            None => Strategy::RunOn,
        };
        let options = Options { strategy, record: Record::Bare, pct_steps: facts.choices, ..base };
        Self { checker, facts: facts.copied(), options }
    }

    /// The options become those of execution `number`.
    pub fn go_to(&mut self, number: u64) -> Turn {
        self.options.index = number;
        self.options.record = Record::Bare;
        self.options.memory = self.checker.memory.unwrap_or(MEMORIES[(number % 2) as usize]);
        if self.checker.strategy.is_some() {
            return Turn::Only;
        }
        let planned = plan(number, &self.facts, MEMORIES);
        self.options.memory = self.checker.memory.unwrap_or(planned.memory);
        self.options.strategy = planned.strategy;
        match self.options.strategy {
            Strategy::Pct { depth } => Turn::Of(planned.member, depth),
            _ => Turn::Of(planned.member, 0),
        }
    }

    /// What a turn is called in reports.
    pub fn name(&self, turn: Turn) -> String {
        match turn {
            Turn::Only => self.options.strategy.to_string(),
            Turn::Of(Member::Pct, depth) => Strategy::Pct { depth }.to_string(),
            Turn::Of(member, _) => member.to_string(),
        }
    }
}

/// The options of execution `number`, and the name of the strategy.
pub(super) fn of(checker: &Checker, facts: &Facts, number: u64) -> (String, Options) {
    let mut planner = Planner::new(checker, facts);
    let turn = planner.go_to(number);
    (planner.name(turn), planner.options)
}
