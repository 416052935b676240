//! The two operations whose order decides whether an execution fails.
//!
//! **Invariant: the pair comes in the one order in the execution that fails, and in the other order in one that doesn't and whose
//! schedule has one entry less.**
//!
//! ```text
//!   fails:    ... a ......... b ...       a, b touch one object, one of them changes it
//!   passes:   ... b ... a .........       the first such pair, in the order of the failure
//! ```

use super::story;
use crate::deviations::Entry;
use crate::engine::{Access, Execution};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decisive {
    /// In the failure this came first.
    pub first: String,
    /// And this second.
    pub second: String,
}

impl fmt::Display for Decisive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  before  {}", self.first, self.second)
    }
}

/// So many operations on an object before another one are compared with it.
const NEAR: usize = 64;

/// The pair of `fails`, whose schedule has these entries: from the schedules that lack one of them, the last ones first. `passes` executes
/// such a schedule, and gives what came of it if it does not fail.
pub(crate) fn without_one(
    fails: &Execution,
    entries: &[Entry],
    mut passes: impl FnMut(&[Entry]) -> Option<Execution>,
) -> Option<Decisive> {
    (0..entries.len()).rev().find_map(|i| {
        let fewer = [&entries[..i], &entries[i + 1..]].concat();
        passes(&fewer).and_then(|passes| between(fails, &passes))
    })
}

/// An operation by thread and number among the thread's own that touch something.
type Name = (u32, u32);

/// Operations that touch something, in order: name, what it touches, index in the log.
fn operations(execution: &Execution) -> Vec<(Name, Access, usize)> {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    let touching = execution.log.iter().enumerate().filter(|(_, entry)| entry.access() != Access::NONE);
    touching
        .map(|(index, entry)| {
            let count = counts.entry(entry.thread).or_default();
            *count += 1;
            ((entry.thread, *count), entry.access(), index)
        })
        .collect()
}

/// The first pair of `fails` that comes the other way round in `passes`.
fn between(fails: &Execution, passes: &Execution) -> Option<Decisive> {
    let there: BTreeMap<Name, (usize, Access)> =
        operations(passes).into_iter().enumerate().map(|(at, (name, access, _))| (name, (at, access))).collect();
    let here = operations(fails);
    let mut by_object: BTreeMap<u32, VecDeque<usize>> = BTreeMap::new();
    for (at, (name, access, index)) in here.iter().enumerate() {
        let earlier = by_object.entry(access.object).or_default();
        if earlier.len() > NEAR {
            earlier.pop_front();
        }
        for before in earlier.iter() {
            let (first, touched, first_index) = here[*before];
            if first.0 == name.0 || !touched.conflicts(*access) {
                continue;
            }
            let (Some((a, x)), Some((b, y))) = (there.get(&first), there.get(name)) else { continue };
            if a > b && x.conflicts(*y) {
                let text = |index: usize| story::line(fails, &fails.log[index]);
                return Some(Decisive { first: text(first_index), second: text(*index) });
            }
        }
        earlier.push_back(at);
    }
    None
}
