//! The oracle: every execution of a program that the axioms allow.
//!
//! **Invariant: an execution is in the set if and only if it fulfils each axiom of the chosen standard**, and program order with
//! reads-from has no cycle. Nothing is executed: values are guessed, then explained.
//!
//! ```text
//!   guess what each load returned ── match each with a store (rf) ── order the stores of each location (mo)
//!        sw, hb from rf alone        coherence: hb; eco irreflexive      atomicity       S or psc acyclic       races: by hb
//! ```
//!
//! [`Model::Cpp20`] is the standard's text ([intro.races] 12, [atomics.order] 4), [`Model::Rc11`] the paper that it comes from
//! (Lahav, Vafeiadis, Kang, Hur, Dreyer, *Repairing sequential consistency in C/C++11*, PLDI 2017). They differ in corners.

use super::axioms;
use super::program::{Op, Outcome, Outcomes, PLAIN, Place, Program};
use super::relation::Small;

pub use super::axioms::{Event, Model};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What a thread could do, if its loads returned what was guessed.
#[derive(Clone, Default)]
struct Trace {
    events: Vec<Event>,
    reads: Vec<u64>,
}

/// All outcomes of a program.
pub fn outcomes(program: &Program, model: Model) -> Outcomes {
    let values = values(program);
    let traces: Vec<Vec<Trace>> =
        program.threads.iter().enumerate().map(|(t, ops)| traces_of(t, ops, &values)).collect();
    let mut outcomes = Outcomes::default();
    let mut chosen = Vec::new();
    combine(program, model, &traces, &mut chosen, &mut outcomes);
    outcomes
}

/// All values that any location could ever hold, and perhaps some more.
fn values(program: &Program) -> BTreeSet<u64> {
    let mut values = BTreeSet::from([0]);
    for op in program.threads.iter().flatten() {
        match *op {
            Op::Store(_, value, _) | Op::Swap(_, value, _) | Op::Write(_, value) => {
                values.insert(value);
            }
            Op::Cas(_, _, value, ..) => values.extend([value, 1]), // that it succeeded may be stored, too
            _ => {}
        }
    }
    for op in program.threads.iter().flatten() {
        if let Op::Add(_, n, _) = *op {
            let more: Vec<u64> = values.iter().map(|value| value + n).collect();
            values.extend(more);
        }
    }
    values
}

fn traces_of(thread: usize, ops: &[Op], values: &BTreeSet<u64>) -> Vec<Trace> {
    let mut done = Vec::new();
    let mut open = vec![Trace::default()];
    for op in ops {
        let mut next = Vec::new();
        for trace in open {
            match *op {
                Op::Until(value) => match trace.reads.last() {
                    Some(last) if *last == value => next.push(trace),
                    _ => done.push(trace),
                },
                _ => next.extend(after(thread, &trace, op, values)),
            }
        }
        open = next;
    }
    done.extend(open);
    done
}

/// The trace with one more operation, in all ways in which it could go.
fn after(thread: usize, trace: &Trace, op: &Op, values: &BTreeSet<u64>) -> Vec<Trace> {
    let mut found = Vec::new();
    let place = op.place();
    let mut push = |read: Option<u64>, wrote: Option<u64>, order: Option<Ordering>, reads: &[u64]| {
        let mut trace = trace.clone();
        trace.events.push(Event { thread: Some(thread), place, read, wrote, order });
        trace.reads.extend(reads);
        found.push(trace);
    };
    match *op {
        Op::Store(_, value, order) => push(None, Some(value), Some(order), &[]),
        Op::StoreLast(_, order) => push(None, trace.reads.last().copied().or(Some(0)), Some(order), &[]),
        Op::Write(_, value) => push(None, Some(value), None, &[]),
        Op::Fence(order) => push(None, None, Some(order), &[]),
        Op::Until(_) => {}
        Op::Load(_, order) => values.iter().for_each(|&v| push(Some(v), None, Some(order), &[v])),
        Op::Read(_) => values.iter().for_each(|&v| push(Some(v), None, None, &[v])),
        Op::Add(_, n, order) => values.iter().for_each(|&v| push(Some(v), Some(v + n), Some(order), &[v])),
        Op::Swap(_, new, order) => values.iter().for_each(|&v| push(Some(v), Some(new), Some(order), &[v])),
        Op::Cas(_, expected, new, success, failure, is_weak) => {
            for &v in values {
                if v == expected {
                    push(Some(v), Some(new), Some(success), &[v, 1]);
                }
                if v != expected || is_weak {
                    push(Some(v), None, Some(failure), &[v, 0]);
                }
            }
        }
    }
    found
}

/// Chooses a trace for each thread in turn, then explains what was read.
fn combine(program: &Program, model: Model, traces: &[Vec<Trace>], chosen: &mut Vec<Trace>, outcomes: &mut Outcomes) {
    if let Some(mine) = traces.get(chosen.len()) {
        for trace in mine {
            chosen.push(trace.clone());
            combine(program, model, traces, chosen, outcomes);
            chosen.pop();
        }
        return;
    }
    let places: BTreeSet<Place> = program.threads.iter().flatten().filter_map(Op::place).collect();
    let mut events: Vec<Event> = places
        .iter()
        .map(|place| {
            let order = if *place < PLAIN { Some(Ordering::Relaxed) } else { None };
            Event { thread: None, place: Some(*place), read: None, wrote: Some(0), order }
        })
        .collect();
    for trace in chosen.iter() {
        events.extend(&trace.events);
    }
    let candidate = Candidate::new(program, model, events, chosen.iter().map(|trace| trace.reads.clone()).collect());
    if let Some(candidate) = candidate {
        candidate.explain(&mut Vec::new(), outcomes);
    }
}

type Graph = axioms::Graph<1, 64>;
type Known = axioms::Known<1, 64>;

struct Candidate<'a> {
    program: &'a Program,
    model: Model,
    graph: Graph,
    reads: Outcome,
    /// The events that read, each with the writes that could explain it.
    readers: Vec<(usize, Vec<usize>)>,
}

impl<'a> Candidate<'a> {
    fn new(program: &'a Program, model: Model, events: Vec<Event>, reads: Outcome) -> Option<Self> {
        let n = events.len();
        let explains = |w: usize, r: usize| {
            w != r
                && events[w].place == events[r].place
                && events[w].wrote.is_some()
                && events[w].wrote == events[r].read
        };
        let readers: Vec<(usize, Vec<usize>)> = (0..n)
            .filter(|&r| events[r].read.is_some())
            .map(|r| (r, (0..n).filter(|&w| explains(w, r)).collect()))
            .collect();
        if readers.iter().any(|(_, writes)| writes.is_empty()) {
            return None;
        }
        Some(Self { program, model, graph: Graph::new(events), reads, readers })
    }

    /// Chooses a write for each read in turn.
    fn explain(&self, chosen: &mut Vec<usize>, outcomes: &mut Outcomes) {
        let is_update = |reader: usize| self.graph.events[reader].is_update();
        if let Some((reader, writes)) = self.readers.get(chosen.len()) {
            for &write in writes {
                // A store is read by one read-modify-write at most.
                let taken =
                    is_update(*reader) && (0..chosen.len()).any(|i| chosen[i] == write && is_update(self.readers[i].0));
                if !taken {
                    chosen.push(write);
                    self.explain(chosen, outcomes);
                    chosen.pop();
                }
            }
            return;
        }
        let mut rf = Small::empty(self.graph.events.len());
        for (i, write) in chosen.iter().enumerate() {
            rf.add(*write, self.readers[i].0);
        }
        if let Some(known) = self.graph.known(rf) {
            self.order(&known, outcomes);
        }
    }

    /// Orders the stores of each location.
    fn order(&self, known: &Known, outcomes: &mut Outcomes) {
        let events = &self.graph.events;
        let mut orders: Vec<Vec<Small>> = Vec::new();
        let places: BTreeSet<Place> = events.iter().filter_map(|event| event.place).collect();
        for place in places {
            let is_store = |w: &usize| events[*w].place == Some(place) && events[*w].wrote.is_some();
            let mut writes: Vec<usize> = (0..events.len()).filter(is_store).collect();
            let mut found = Vec::new();
            permute(&mut writes, 1, &mut |order| {
                let mut mo = Small::empty(events.len());
                for (i, a) in order.iter().enumerate() {
                    order[i + 1..].iter().for_each(|b| mo.add(*a, *b));
                }
                if self.graph.is_coherent(place, &mo, known) {
                    found.push(mo);
                }
            });
            if found.is_empty() {
                return;
            }
            orders.push(found);
        }
        self.product(&orders, &Small::empty(events.len()), known, outcomes);
    }

    /// Combines the orders of all locations.
    fn product(&self, orders: &[Vec<Small>], mo: &Small, known: &Known, outcomes: &mut Outcomes) {
        if let Some((first, rest)) = orders.split_first() {
            for order in first {
                self.product(rest, &mo.or(order), known, outcomes);
            }
            return;
        }
        if !self.graph.is_consistent(self.model, mo, known) {
            return;
        }
        if self.graph.has_race(&known.hb) {
            outcomes.races = true;
            return;
        }
        let mut outcome = self.reads.clone();
        if self.program.finals {
            let events = &self.graph.events;
            let last = |place: usize| {
                let is_last = |w: &usize| {
                    events[*w].place == Some(place as Place)
                        && events[*w].wrote.is_some()
                        && (0..events.len()).all(|v| !mo.has(*w, v))
                };
                (0..events.len()).find(is_last).and_then(|w| events[w].wrote).unwrap_or(0)
            };
            outcome.push((0..self.program.places()).map(last).collect());
        }
        outcomes.seen.insert(outcome);
    }
}

/// All orders of `items[from..]`.
fn permute(items: &mut [usize], from: usize, found: &mut dyn FnMut(&[usize])) {
    if from >= items.len() {
        found(items);
        return;
    }
    for i in from..items.len() {
        items.swap(from, i);
        permute(items, from + 1, found);
        items.swap(from, i);
    }
}
