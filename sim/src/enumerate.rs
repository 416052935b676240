//! All schedules of one cell with one seed, or all partial orders: what `schedule: Dfs(preemptions: 1)` or `Dpor` asks for.
//!
//! **Invariant: an enumeration is one piece of work.** It is made by one worker from its first schedule to its last, so that the
//! number of jobs has no say in which schedules are executed; only the wall-clock budget has.
//!
//! ```text
//!   (cell, seed) ──> schedule 0 ──> schedule 1 ──> ... ──> complete, or a finding, or the budget is used up
//! ```

use crate::deviations::Deviations;
use crate::engine::{Options, Record, Search, Strategy};
use crate::outcome::Outcome;
use crate::run::{How, deviations, drawn, options, perform};
use crate::scenario::{Cell, Scenario, Schedule};
use millpond_model::observe::Reach;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Schedules between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// What is enumerated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// All schedules with at most so many preemptions.
    Preemptions(u32),
    /// All partial orders.
    PartialOrders,
}

impl Bound {
    /// The preemptions, where they are bounded.
    pub fn preemptions(self) -> Option<u32> {
        match self {
            Self::Preemptions(n) => Some(n),
            Self::PartialOrders => None,
        }
    }
}

/// What an enumeration came to.
#[derive(Clone, Debug)]
pub struct Enumeration {
    /// The bound.
    pub bound: Bound,
    /// Schedules executed.
    pub schedules: u64,
    /// Partial orders among them, where these are enumerated.
    pub classes: u64,
    /// Whether there is no other one within the bound.
    pub complete: bool,
    /// Steps of all of them.
    pub steps: u64,
    /// The different ones among them, by digest.
    pub distinct: BTreeSet<u64>,
    /// How often they passed each reach point, in the order of [`Reach::ALL`].
    pub reached: [u64; Reach::ALL.len()],
}

/// The bound, if `cell` is to be enumerated.
pub fn bound(cell: &Cell, how: &How) -> Option<Bound> {
    match how.schedule.unwrap_or(cell.scenario.schedule) {
        _ if deviations(&cell.scenario, how).is_some() => None,
        Schedule::Dfs { preemptions } => Some(Bound::Preemptions(preemptions)),
        Schedule::Dpor => Some(Bound::PartialOrders),
        _ => None,
    }
}

/// Executes `cell` with `seed` under all schedules within `bound`, until one of them finds something, the
/// budget of schedules is used up, or `stop` says so. Gives the first execution that found something, else the first
/// of all, and what all of them came to.
pub fn enumerate(cell: &Cell, seed: u64, bound: Bound, how: &How, stop: impl Fn() -> bool) -> Outcome {
    let (cell, swarm) = &drawn(cell, seed);
    let scenario = Arc::new(cell.scenario.clone());
    let (strategy, classes) = match bound {
        Bound::Preemptions(preemptions) => (Strategy::Dfs { preemptions }, false),
        Bound::PartialOrders => (Strategy::Dpor, true),
    };
    let options = Options { strategy, classes, ..options(cell, seed, how) };
    let memory = options.memory;
    let mut search = Search::new(options);
    let mut all = Enumeration {
        bound,
        schedules: 0,
        classes: 0,
        complete: false,
        steps: 0,
        distinct: BTreeSet::new(),
        reached: [0; Reach::ALL.len()],
    };
    let mut first = None;
    loop {
        let (mut outcome, _) = perform(cell, &scenario, seed, |main| search.execute(main));
        all.steps += outcome.steps;
        all.distinct.insert(outcome.digest);
        for (sum, n) in all.reached.iter_mut().zip(outcome.reached) {
            *sum += n;
        }
        // What a redundant one found another one finds, too, unless it is how it went on.
        let ended = outcome.finding().is_some() && !search.is_redundant();
        outcome.deviations =
            Some(if ended { told(cell, &scenario, seed, how, &search) } else { Deviations::default() });
        let kept = if ended { outcome } else { first.take().unwrap_or(outcome) };
        let spent = search.reached().schedules >= cell.scenario.budget.schedules;
        if ended || !search.advance() || spent || (search.reached().schedules.is_multiple_of(LOOK_EVERY) && stop()) {
            all.schedules = search.reached().schedules;
            all.classes = search.reached().classes;
            all.complete = search.reached().complete;
            return Outcome { enumeration: Some(all), swarm: swarm.clone(), memory, ..kept };
        }
        first = Some(kept);
    }
}

/// The schedule of the search's last execution.
fn told(cell: &Cell, scenario: &Arc<Scenario>, seed: u64, how: &How, search: &Search) -> Deviations {
    let strategy = Strategy::Deviate(search.deviations().to_vec().into());
    let choices = Some(search.choices().into());
    let options = Options { strategy, choices, record: Record::Rich, ..options(cell, seed, how) };
    let (_, execution) = perform(cell, scenario, seed, |main| crate::engine::execute(&options, main));
    Deviations::of(&execution)
}
