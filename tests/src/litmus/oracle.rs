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

use super::program::{Op, Outcome, Outcomes, PLAIN, Place, Program};
use super::relation::Relation;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Whose rules for sequential consistency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// The C++20 standard, which is Rust's.
    Cpp20,
    /// RC11.
    Rc11,
}

/// One event of an execution.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// `None`: it initialises.
    thread: Option<usize>,
    place: Option<Place>,
    /// What it read.
    read: Option<u64>,
    /// What it wrote.
    wrote: Option<u64>,
    /// `None`: plain.
    order: Option<Ordering>,
}

impl Event {
    fn is_fence(&self) -> bool {
        self.place.is_none()
    }
    fn is_sc(&self) -> bool {
        self.order == Some(Ordering::SeqCst)
    }
    fn is_update(&self) -> bool {
        self.read.is_some() && self.wrote.is_some()
    }
    fn acquires(&self) -> bool {
        let order = matches!(self.order, Some(Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst));
        order && (self.is_fence() || self.read.is_some())
    }
    fn releases(&self) -> bool {
        let order = matches!(self.order, Some(Ordering::Release | Ordering::AcqRel | Ordering::SeqCst));
        order && (self.is_fence() || self.wrote.is_some())
    }
}

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

struct Candidate<'a> {
    program: &'a Program,
    model: Model,
    events: Vec<Event>,
    reads: Outcome,
    sb: Relation,
    /// The events that read, each with the writes that could explain it.
    readers: Vec<(usize, Vec<usize>)>,
}

impl<'a> Candidate<'a> {
    fn new(program: &'a Program, model: Model, events: Vec<Event>, reads: Outcome) -> Option<Self> {
        let n = events.len();
        assert!(n <= 32, "a litmus test has at most 32 events");
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
        let sb = Relation::of(n, |a, b| match (events[a].thread, events[b].thread) {
            (None, Some(_)) => true,
            (Some(t), Some(u)) => t == u && a < b,
            _ => false,
        });
        Some(Self { program, model, events, reads, sb, readers })
    }

    /// Chooses a write for each read in turn.
    fn explain(&self, chosen: &mut Vec<usize>, outcomes: &mut Outcomes) {
        if let Some((reader, writes)) = self.readers.get(chosen.len()) {
            for &write in writes {
                // A store is read by one read-modify-write at most.
                let taken = self.events[*reader].is_update()
                    && (0..chosen.len()).any(|i| chosen[i] == write && self.events[self.readers[i].0].is_update());
                if !taken {
                    chosen.push(write);
                    self.explain(chosen, outcomes);
                    chosen.pop();
                }
            }
            return;
        }
        let mut rf = Relation::EMPTY;
        for (i, write) in chosen.iter().enumerate() {
            rf.add(*write, self.readers[i].0);
        }
        if self.sb.or(&rf).is_acyclic() {
            self.order(&rf, outcomes);
        }
    }

    fn same_place(&self, a: usize, b: usize) -> bool {
        self.events[a].place.is_some() && self.events[a].place == self.events[b].place
    }

    /// Synchronises-with, in C++20's sense: release sequences are continued by read-modify-writes only.
    fn synchronises(&self, rf: &Relation) -> Relation {
        let events = &self.events;
        let n = events.len();
        let continued = rf.only(|_, b| events[b].is_update()).closed().or_same();
        let from_fence = self.sb.only(|a, b| events[a].is_fence() && events[b].wrote.is_some()).or_same();
        let to_fence = self.sb.only(|a, b| events[b].is_fence() && events[a].read.is_some()).or_same();
        let is_atomic = |e: usize| events[e].order.is_some() && events[e].thread.is_some();
        let write = Relation::of(n, |a, b| a == b && events[a].wrote.is_some() && is_atomic(a));
        let read = rf.only(|_, b| is_atomic(b));
        let path = from_fence.then(&write).then(&continued).then(&read).then(&to_fence);
        path.only(|a, b| events[a].releases() && events[b].acquires())
    }

    /// Orders the stores of each location.
    fn order(&self, rf: &Relation, outcomes: &mut Outcomes) {
        let n = self.events.len();
        let sw = self.synchronises(rf);
        let hb = self.sb.or(&sw).closed();
        if !hb.is_irreflexive() {
            return;
        }
        let mut orders: Vec<Vec<Relation>> = Vec::new();
        let places: BTreeSet<Place> = self.events.iter().filter_map(|event| event.place).collect();
        for place in places {
            let writes: Vec<usize> =
                (0..n).filter(|&w| self.events[w].place == Some(place) && self.events[w].wrote.is_some()).collect();
            let mut found = Vec::new();
            permute(&mut writes.clone(), 1, &mut |order| {
                let mut mo = Relation::EMPTY;
                for (i, a) in order.iter().enumerate() {
                    order[i + 1..].iter().for_each(|b| mo.add(*a, *b));
                }
                if self.is_coherent(place, rf, &mo, &hb) {
                    found.push(mo);
                }
            });
            if found.is_empty() {
                return;
            }
            orders.push(found);
        }
        self.product(&orders, Relation::EMPTY, &Given { rf, sw: &sw, hb: &hb }, outcomes);
    }

    fn is_coherent(&self, place: Place, rf: &Relation, mo: &Relation, hb: &Relation) -> bool {
        let here = rf.only(|a, _| self.events[a].place == Some(place));
        let fr = here.reversed().then(mo).only(|a, b| a != b);
        let eco = here.or(mo).or(&fr).closed();
        let immediate = mo.only(|a, b| !(0..32).any(|c| mo.has(a, c) && mo.has(c, b)));
        let atomic =
            (0..32).all(|w| (0..32).all(|r| !here.has(w, r) || !self.events[r].is_update() || immediate.has(w, r)));
        atomic && eco.is_irreflexive() && hb.then(&eco).is_irreflexive()
    }

    /// Combines the orders of all locations.
    fn product(&self, orders: &[Vec<Relation>], mo: Relation, given: &Given<'_>, outcomes: &mut Outcomes) {
        if let Some((first, rest)) = orders.split_first() {
            for order in first {
                self.product(rest, mo.or(order), given, outcomes);
            }
            return;
        }
        let consistent = match self.model {
            Model::Cpp20 => self.has_total_order(&mo, given),
            Model::Rc11 => self.has_no_psc_cycle(&mo, given),
        };
        if !consistent {
            return;
        }
        if self.has_race(given.hb) {
            outcomes.races = true;
            return;
        }
        let mut outcome = self.reads.clone();
        if self.program.finals {
            let last = |place: usize| {
                let is_last = |w: usize| {
                    self.events[w].place == Some(place as Place)
                        && self.events[w].wrote.is_some()
                        && (0..32).all(|v| !mo.has(w, v))
                };
                (0..self.events.len()).find(|&w| is_last(w)).and_then(|w| self.events[w].wrote).unwrap_or(0)
            };
            outcome.push((0..self.program.places()).map(last).collect());
        }
        outcomes.seen.insert(outcome);
    }

    /// [atomics.order] 4: there is a total order S of all sequentially consistent events.
    fn has_total_order(&self, mo: &Relation, given: &Given<'_>) -> bool {
        let Given { rf, sw, hb } = given;
        let sc = |e: usize| self.events[e].is_sc();
        let fence = |e: usize| self.events[e].is_fence() && sc(e);
        let fr = rf.reversed().then(mo).only(|a, b| a != b);
        let coherence_ordered = rf.or(mo).or(&fr).closed();
        let strongly = self.sb.or(&sw.only(|a, b| sc(a) && sc(b))).or(&self.sb.then(hb).then(&self.sb)).closed();
        let n = self.events.len();
        let event = Relation::of(n, |a, b| a == b && sc(a) && !self.events[a].is_fence());
        let first = event.or(&hb.only(|a, _| fence(a)));
        let last = event.or(&hb.only(|_, b| fence(b)));
        let s = first.then(&coherence_ordered).then(&last).or(&strongly.only(|a, b| sc(a) && sc(b)));
        s.is_acyclic()
    }

    /// RC11, section 3: the partial SC relation has no cycle.
    fn has_no_psc_cycle(&self, mo: &Relation, given: &Given<'_>) -> bool {
        let Given { rf, hb, .. } = given;
        let sc = |e: usize| self.events[e].is_sc();
        let fence = |e: usize| self.events[e].is_fence() && sc(e);
        let n = self.events.len();
        let fr = rf.reversed().then(mo).only(|a, b| a != b);
        let eco = rf.or(mo).or(&fr).closed();
        let elsewhere = self.sb.only(|a, b| !self.same_place(a, b));
        let here = hb.only(|a, b| self.same_place(a, b));
        let scb = self.sb.or(&elsewhere.then(hb).then(&elsewhere)).or(&here).or(mo).or(&fr);
        let event = Relation::of(n, |a, b| a == b && sc(a));
        let first = event.or(&hb.only(|a, _| fence(a)));
        let last = event.or(&hb.only(|_, b| fence(b)));
        let base = first.then(&scb).then(&last);
        let fences = hb.or(&hb.then(&eco).then(hb)).only(|a, b| fence(a) && fence(b));
        base.or(&fences).is_acyclic()
    }

    fn has_race(&self, hb: &Relation) -> bool {
        let n = self.events.len();
        let conflict = |a: usize, b: usize| {
            let (x, y) = (&self.events[a], &self.events[b]);
            self.same_place(a, b)
                && x.thread.is_some()
                && y.thread.is_some()
                && x.thread != y.thread
                && (x.wrote.is_some() || y.wrote.is_some())
                && (x.order.is_none() || y.order.is_none())
        };
        (0..n).any(|a| (0..a).any(|b| conflict(a, b) && !hb.has(a, b) && !hb.has(b, a)))
    }
}

/// What is known before stores are ordered.
struct Given<'a> {
    rf: &'a Relation,
    sw: &'a Relation,
    hb: &'a Relation,
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
