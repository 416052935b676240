//! A finding of a scenario, reduced: the schedule with the fewest deviations that still finds it.
//!
//! **Invariant: what is told was executed**: the reduced schedule finds the same kind of thing about the same kind of object, and without
//! any one of its deviations it doesn't, unless the steps allowed were used up.
//!
//! ```text
//!   (cell, seed) ──rich──> deviations ──shrink──> fewer ──rich──> outcome, story
//!                                                   └─ without one: passes ──> decisive
//! ```

use crate::check::{Decisive, decisive, shrink::shrink, story};
use crate::deviations::Deviations;
use crate::engine::Execution;
use crate::ledger::FindingKind;
use crate::outcome::Outcome;
use crate::run::{How, execute};
use crate::scenario::Cell;
use millpond_model::observe::Kind;

/// Steps that a reduction may take, all executions together.
const STEPS: u64 = 2_000_000_000;

/// Turns of threads that the story tells.
const TURNS: usize = 8;

/// Executions that it may use at least and at most.
const TRIES: (u64, u64) = (50, 5000);

/// What is left of a finding.
#[derive(Debug)]
pub struct Reduced {
    /// The reduced execution.
    pub outcome: Outcome,
    /// Deviations before.
    pub before: usize,
    /// Deviations after.
    pub after: usize,
    /// Switches away from a thread that could have gone on.
    pub preemptions: u64,
    /// Executions used.
    pub tries: u32,
    /// The two operations whose order decides.
    pub decisive: Option<Decisive>,
    /// What happened, one line an operation.
    pub story: String,
}

/// What makes two findings the same.
fn same(outcome: &Outcome) -> Option<(FindingKind, Option<Kind>)> {
    outcome.finding().map(|finding| (finding.kind, finding.object.map(|(kind, _)| kind)))
}

/// Reduces what `cell` finds with `seed`; `None` if it finds nothing.
pub fn reduce(cell: &Cell, seed: u64, how: &How) -> Option<Reduced> {
    let (original, execution) = execute(cell, seed, &How { rich: true, ..how.clone() });
    let wanted = same(&original)?;
    let all = Deviations::of(&execution);
    // Without its turn in the portfolio it has the same memory.
    let how = How { memory: Some(original.memory), ..how.clone() };
    let run = |deviations: Deviations, rich: bool| -> (Outcome, Execution) {
        execute(cell, seed, &How { deviations: Some(deviations), rich, ..how.clone() })
    };
    if same(&run(all.clone(), false).0) != Some(wanted) {
        // Not one that a list of deviations repeats.
        return None;
    }
    let most = (STEPS / execution.steps.max(1)).clamp(TRIES.0, TRIES.1);
    let shrunk =
        shrink(&all.entries(), most as u32, |part| same(&run(part.iter().copied().collect(), false).0) == Some(wanted));
    let (_, least) = run(shrunk.entries.into_iter().collect(), true);
    let deviations = Deviations::of(&least);
    let (outcome, least) = run(deviations.clone(), true);
    let decisive = decisive::without_one(&least, &deviations.entries(), |fewer| {
        let (passes, other) = run(fewer.iter().copied().collect(), true);
        passes.finding().is_none().then_some(other)
    });
    Some(Reduced {
        before: all.len(),
        after: deviations.len(),
        preemptions: least.preemptions,
        tries: shrunk.tries,
        decisive,
        story: story::tell(&least, TURNS),
        outcome,
    })
}
