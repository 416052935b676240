//! All schedules of one cell with one seed: what `schedule: Dfs(preemptions: 1)` asks for.
//!
//! **Invariant: an enumeration is one piece of work.** It is made by one worker from its first schedule to its last, so that the
//! number of jobs has no say in which schedules are executed; only the wall-clock budget has.
//!
//! ```text
//!   (cell, seed) ──> schedule 0 ──> schedule 1 ──> ... ──> complete, or a finding, or the budget is used up
//! ```

use crate::deviations::Deviations;
use crate::engine::{Record, Search, Strategy};
use crate::outcome::Outcome;
use crate::run::{How, deviations, drawn, options, perform};
use crate::scenario::{Cell, Scenario, Schedule};
use millpond_model::observe::Reach;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Schedules between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// What an enumeration came to.
#[derive(Clone, Debug, Default)]
pub struct Enumeration {
    /// The bound.
    pub preemptions: u32,
    /// Schedules executed.
    pub schedules: u64,
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
pub fn preemptions(cell: &Cell, how: &How) -> Option<u32> {
    match how.schedule.unwrap_or(cell.scenario.schedule) {
        Schedule::Dfs { preemptions } if deviations(&cell.scenario, how).is_none() => Some(preemptions),
        _ => None,
    }
}

/// Executes `cell` with `seed` under all schedules with at most `preemptions` preemptions, until one of them finds something, the
/// budget of schedules is used up, or `stop` says so. Gives the first execution that found something, else the first
/// of all, and what all of them came to.
pub fn enumerate(cell: &Cell, seed: u64, preemptions: u32, how: &How, stop: impl Fn() -> bool) -> Outcome {
    let (cell, swarm) = &drawn(cell, seed);
    let scenario = Arc::new(cell.scenario.clone());
    let mut search =
        Search::new(crate::engine::Options { strategy: Strategy::Dfs { preemptions }, ..options(cell, seed, how) });
    let mut all = Enumeration { preemptions, ..Enumeration::default() };
    let mut first = None;
    loop {
        let (mut outcome, _) = perform(cell, &scenario, seed, |main| search.execute(main));
        all.steps += outcome.steps;
        all.distinct.insert(outcome.digest);
        for (sum, n) in all.reached.iter_mut().zip(outcome.reached) {
            *sum += n;
        }
        let ended = outcome.finding().is_some();
        outcome.deviations =
            Some(if ended { told(cell, &scenario, seed, how, &search) } else { Deviations::default() });
        let kept = if ended { outcome } else { first.take().unwrap_or(outcome) };
        let spent = search.reached().schedules >= cell.scenario.budget.schedules;
        if ended || !search.advance() || spent || (search.reached().schedules.is_multiple_of(LOOK_EVERY) && stop()) {
            all.schedules = search.reached().schedules;
            all.complete = search.reached().complete;
            return Outcome { enumeration: Some(all), swarm: swarm.clone(), ..kept };
        }
        first = Some(kept);
    }
}

/// The schedule of the search's last execution.
fn told(cell: &Cell, scenario: &Arc<Scenario>, seed: u64, how: &How, search: &Search) -> Deviations {
    let strategy = Strategy::Deviate(search.deviations().to_vec().into());
    let options = crate::engine::Options { strategy, record: Record::Rich, ..options(cell, seed, how) };
    let (_, execution) = perform(cell, scenario, seed, |main| crate::engine::execute(&options, main));
    Deviations::of(&execution)
}
