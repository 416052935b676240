//! The portfolio: which strategy an execution of a campaign has.
//!
//! **Invariant: [`plan`] is a function of the execution's index and of what a pilot execution told.** No wall time: the weights are
//! nominal costs, so that each member gets about the same share of it.
//!
//! ```text
//!   index:  0 .. D - 1        the schedules with no, one and two delays (all of them, if there are no more than 1,024)
//!           D ..              a rotation of 16:  SURW 2, POS 3, Random 4, PCT 7  (costs a step: about 50, 30, 20, 10 ns)
//!                             PCT's depth goes through PCT_DEPTHS
//!   few seeds:  0, 4, 8, ... are the schedules with delays, the others the rotation
//!   memory: the two models that were asked for by turns
//! ```
//!
//! Why a portfolio: no single strategy is the best on more than half of the known bugs, and they differ in cost by a factor of ten.

use super::options::{MemoryModel, Options, Strategy};
use super::outcome::Execution;
use super::profile::Profile;
use super::strategy::at_most_two;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Most executions that are spent on schedules with delays.
pub const DELAY_SCHEDULES: u64 = 1024;

/// A member of the portfolio.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Member {
    /// The schedules with no, one or two delays.
    Delays,
    /// [`Strategy::Surw`].
    Surw,
    /// [`Strategy::Pct`].
    Pct,
    /// [`Strategy::Pos`].
    Pos,
    /// [`Strategy::Random`].
    Random,
}

impl Member {
    /// All members.
    pub const ALL: [Self; 5] = [Self::Delays, Self::Surw, Self::Pct, Self::Pos, Self::Random];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delays => "delays",
            Self::Surw => "SURW",
            Self::Pct => "PCT",
            Self::Pos => "POS",
            Self::Random => "random walk",
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Executions in which each member has its turns.
const ROUND: u64 = 16;

/// The order in which the members have their turn.
const ROTATION: [Member; ROUND as usize] = {
    use Member::{Pct as C, Pos as O, Random as R, Surw as S};
    [S, C, O, R, C, R, C, O, S, C, R, C, O, C, R, C]
};

/// Choices beyond these are not delayed at.
const MOST_CHOICES: u64 = 1 << 31;

/// PCT's depths, by turns.
pub const PCT_DEPTHS: RangeInclusive<u32> = 2..=6;

/// How often PCT has its turn in a rotation.
const PCT_TURNS: u64 = 7;

/// What a pilot execution tells of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Steps with a choice.
    pub choices: u64,
    /// Threads that were started.
    pub threads: usize,
    /// Events and shared objects.
    pub profile: Arc<Profile>,
}

impl Facts {
    /// Those of an execution with [`Options::profile`].
    ///
    /// # Panics
    /// If it was executed without.
    pub fn of(pilot: &Execution) -> Self {
        let profile =
            pilot.profile.clone().unwrap_or_else(|| panic!("the pilot execution must have `Options::profile`"));
        Self { choices: pilot.choices.max(1), threads: pilot.threads.len(), profile }
    }

    /// The options of the pilot execution of what `options` are for.
    pub fn pilot(options: &Options) -> Options {
        Options { strategy: Strategy::Random, index: u64::MAX, profile: true, keep_switches: false, ..options.clone() }
    }
}

/// How one execution is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Who has its turn.
    pub member: Member,
    /// The member's strategy.
    pub strategy: Strategy,
    /// What loads may return.
    pub memory: MemoryModel,
}

impl Plan {
    /// `options` with this plan.
    #[must_use]
    pub fn apply(&self, facts: &Facts, options: &Options) -> Options {
        Options { strategy: self.strategy.clone(), memory: self.memory, pct_steps: facts.choices, ..options.clone() }
    }
}

/// How execution `index` of a campaign is made, half of whose executions have either memory.
pub fn plan(index: u64, facts: &Facts, memories: [MemoryModel; 2]) -> Plan {
    let memory = memory_of(index, facts, memories);
    let choices = facts.choices.min(MOST_CHOICES);
    let delays = delay_schedules(choices).min(DELAY_SCHEDULES);
    if index < delays {
        let strategy = Strategy::Delays(delay_schedule(index, choices).into());
        return Plan { member: Member::Delays, strategy, memory };
    }
    let (round, turn) = ((index - delays) / ROUND, (index - delays) % ROUND);
    let member = ROTATION[turn as usize];
    let strategy = match member {
        Member::Surw => Strategy::Surw(Arc::clone(&facts.profile)),
        Member::Pos => Strategy::Pos,
        Member::Pct => {
            let earlier = ROTATION[..turn as usize].iter().filter(|m| **m == Member::Pct).count() as u64;
            let depths = PCT_DEPTHS.end() - PCT_DEPTHS.start() + 1;
            Strategy::Pct { depth: PCT_DEPTHS.start() + ((round * PCT_TURNS + earlier) % u64::from(depths)) as u32 }
        }
        Member::Random | Member::Delays => Strategy::Random,
    };
    Plan { member, strategy, memory }
}

/// The memory of execution `index`: that of its [`plan`].
pub fn memory_of(index: u64, facts: &Facts, memories: [MemoryModel; 2]) -> MemoryModel {
    let delays = delay_schedules(facts.choices.min(MOST_CHOICES)).min(DELAY_SCHEDULES);
    // Each member has either memory in every other round.
    let turn = index.checked_sub(delays).map_or(index, |after| after / ROUND + after % ROUND);
    memories[(turn % 2) as usize]
}

/// The execution of a campaign that is made in place of number `seed`, where few seeds are run: every fourth is one of the schedules with
/// delays, as long as there are any, so that the others have their turn from the beginning.
pub fn interleaved(seed: u64, facts: &Facts) -> u64 {
    let delays = delay_schedules(facts.choices.min(MOST_CHOICES)).min(DELAY_SCHEDULES);
    let (round, turn) = (seed / 4, seed % 4);
    if turn == 0 && round < delays {
        return round;
    }
    delays + (seed - seed.div_ceil(4).min(delays))
}

/// Schedules with at most two delays among `choices` choices.
fn delay_schedules(choices: u64) -> u64 {
    1 + choices + choices * (choices + 1) / 2
}

/// The one that is executed as number `index`. If there are too many for all: as many with one delay as with two, spread evenly.
fn delay_schedule(index: u64, choices: u64) -> Vec<u64> {
    let all = delay_schedules(choices);
    if all <= DELAY_SCHEDULES {
        return at_most_two(index, choices).unwrap_or_default();
    }
    let ones = choices.min(DELAY_SCHEDULES / 2);
    let spread = |i: u64, of: u64, over: u64| (u128::from(i) * u128::from(over) / u128::from(of)) as u64;
    match index {
        0 => Vec::new(),
        i if i <= ones => vec![1 + spread(i - 1, ones, choices)],
        i => {
            let pairs = all - 1 - choices;
            let nth = spread(i - ones - 1, DELAY_SCHEDULES - ones - 1, pairs);
            at_most_two(1 + choices + nth, choices).unwrap_or_default()
        }
    }
}
