//! The axioms: whether an execution is consistent.
//!
//! **Invariant: an execution is judged as a whole, by the text of the standard**, by nothing that an engine would remember.
//!
//! ```text
//!   events, sb, rf ── sw, hb ── mo ── coherence: hb; eco irreflexive    atomicity    S or psc acyclic    races: by hb
//! ```

use super::program::Place;
use super::relation::Relation;
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
pub struct Event {
    /// `None`: it initialises.
    pub thread: Option<usize>,
    /// `None`: a fence.
    pub place: Option<Place>,
    /// What it read.
    pub read: Option<u64>,
    /// What it wrote.
    pub wrote: Option<u64>,
    /// `None`: plain.
    pub order: Option<Ordering>,
}

impl Event {
    fn is_fence(&self) -> bool {
        self.place.is_none()
    }
    fn is_sc(&self) -> bool {
        self.order == Some(Ordering::SeqCst)
    }
    /// Whether it reads and writes.
    pub fn is_update(&self) -> bool {
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

/// Events, and what each thread did in which order.
pub struct Graph<const N: usize, const M: usize> {
    /// The events.
    pub events: Vec<Event>,
    /// Sequenced before; what initialises comes before everything.
    pub sb: Relation<N, M>,
}

/// Who read from whom, and what follows from that.
pub struct Known<const N: usize, const M: usize> {
    /// Reads from: from the store to the load.
    pub rf: Relation<N, M>,
    /// Synchronises with.
    pub sw: Relation<N, M>,
    /// Happens before.
    pub hb: Relation<N, M>,
}

impl<const N: usize, const M: usize> Graph<N, M> {
    /// The graph of these events, each thread's in its order.
    pub fn new(events: Vec<Event>) -> Self {
        let sb = Relation::of(events.len(), |a, b| match (events[a].thread, events[b].thread) {
            (None, Some(_)) => true,
            (Some(t), Some(u)) => t == u && a < b,
            _ => false,
        });
        Self { events, sb }
    }

    /// What follows from who read from whom; `None` if that is impossible.
    pub fn known(&self, rf: Relation<N, M>) -> Option<Known<N, M>> {
        let sw = self.synchronises(&rf);
        let hb = self.sb.or(&sw).closed();
        let possible = self.sb.or(&rf).is_acyclic() && hb.is_irreflexive();
        possible.then_some(Known { rf, sw, hb })
    }

    fn same_place(&self, a: usize, b: usize) -> bool {
        self.events[a].place.is_some() && self.events[a].place == self.events[b].place
    }

    /// Synchronises-with, in C++20's sense: release sequences are continued by read-modify-writes only.
    fn synchronises(&self, rf: &Relation<N, M>) -> Relation<N, M> {
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

    /// Whether the order `mo` of the stores to `place` is coherent, and each read-modify-write is right behind what it read.
    pub fn is_coherent(&self, place: Place, mo: &Relation<N, M>, known: &Known<N, M>) -> bool {
        let (rf, hb) = (&known.rf, &known.hb);
        let here = rf.only(|a, _| self.events[a].place == Some(place));
        let fr = here.reversed().then(mo).only(|a, b| a != b);
        let eco = here.or(mo).or(&fr).closed();
        let immediate = mo.only(|a, b| !(0..self.events.len()).any(|c| mo.has(a, c) && mo.has(c, b)));
        let atomic = (0..self.events.len()).all(|w| {
            (0..self.events.len()).all(|r| !here.has(w, r) || !self.events[r].is_update() || immediate.has(w, r))
        });
        atomic && eco.is_irreflexive() && hb.then(&eco).is_irreflexive()
    }

    /// Whether the order of all stores leaves room for a total order of the sequentially consistent events.
    pub fn is_consistent(&self, model: Model, mo: &Relation<N, M>, known: &Known<N, M>) -> bool {
        match model {
            Model::Cpp20 => self.has_total_order(mo, known),
            Model::Rc11 => self.has_no_psc_cycle(mo, known),
        }
    }

    /// [atomics.order] 4: there is a total order S of all sequentially consistent events.
    fn has_total_order(&self, mo: &Relation<N, M>, given: &Known<N, M>) -> bool {
        let Known { rf, sw, hb } = given;
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
    fn has_no_psc_cycle(&self, mo: &Relation<N, M>, given: &Known<N, M>) -> bool {
        let Known { rf, hb, .. } = given;
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

    /// Whether two accesses race.
    pub fn has_race(&self, hb: &Relation<N, M>) -> bool {
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
