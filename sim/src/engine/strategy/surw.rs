//! Selectively uniform random walk (Zhao, Wolff, Mathur, Roychoudhury, *Selectively uniform concurrency testing*, ASPLOS 2025): SURW.
//!
//! **Invariant: all orders of the interesting events are equally likely**, if the profile's counts are exact and nothing blocks; every
//! interleaving remains possible. Interesting are, drawn for each execution, the accesses to one shared object or to all
//! shared ones.
//!
//! ```text
//!   race:  A (load x, interesting)   B (store y)   C (store x, interesting)        intended, by interesting events left: C
//!   A is held, as what it does next is interesting and it isn't its turn: the step is drawn from B and C
//!   when C has done what it intended, the next intention is drawn
//! ```
//!
//! The paper draws from all and holds what must not run; that gives each of the others the same chance as to draw from them alone. If all
//! are held the intention is drawn anew.
//!
//! An object is known by what its threads call it, "the third that the first child of main touched": the numbers of objects depend on
//! the schedule. Each thread that touches an object may have another name for it; the first that comes by in an execution
//! settles which it is.

use super::super::access::Access;
use super::super::core::Engine;
use super::super::profile::Profile;
use super::super::thread::NONE;
use std::cell::{Cell, RefCell};

/// Not known yet.
const UNKNOWN: u32 = 0;
/// Known to be no shared one.
const PRIVATE: u32 = 1;
/// The first shared one; the others follow.
const FIRST: u32 = 2;

/// What is known of the objects of the running execution: by number, and for what is waited for and woken by thread.
#[derive(Default)]
struct Objects {
    /// `UNKNOWN`, `PRIVATE`, or `FIRST` and the number in the profile.
    which: Vec<u32>,
    /// The threads below 64 that have touched it.
    touched: Vec<u64>,
}

impl Objects {
    fn clear(&mut self) {
        self.which.clear();
        self.touched.clear();
    }

    fn grow(&mut self, index: usize) {
        if index >= self.which.len() {
            self.which.resize(index + 1, UNKNOWN);
            self.touched.resize(index + 1, 0);
        }
    }
}

/// The strategy's state.
pub(in super::super) struct Surw {
    objects: RefCell<Objects>,
    tokens: RefCell<Objects>,
    /// The interesting object, `FIRST` and its number; `UNKNOWN`: all.
    chosen: Cell<u32>,
    /// Interesting events of each thread of the profile, and of those that it starts.
    weights: RefCell<Vec<u64>>,
    intended: Cell<u32>,
}

impl Surw {
    pub fn new() -> Self {
        Self {
            objects: RefCell::default(),
            tokens: RefCell::default(),
            chosen: Cell::new(UNKNOWN),
            weights: RefCell::default(),
            intended: Cell::new(NONE),
        }
    }
}

impl Engine {
    /// Draws what is interesting.
    pub(super) fn draw_subset(&self, profile: &Profile) {
        let state = &self.surw;
        state.objects.borrow_mut().clear();
        state.tokens.borrow_mut().clear();
        state.intended.set(NONE);
        let shared = profile.shared();
        let one = shared > 0 && self.below(2) == 0;
        let chosen = if one { FIRST + self.below(u64::from(shared)) as u32 } else { UNKNOWN };
        state.chosen.set(chosen);
        profile.weigh(chosen.checked_sub(FIRST), &mut state.weights.borrow_mut());
    }

    /// A thread begins in `slot`: it takes over its parent's share of the interesting events, and maybe its turn.
    pub(super) fn takes_interest(&self, slot: u32, parent_slot: Option<u32>, profile: &Profile) {
        let weights = self.surw.weights.borrow();
        let thread = &self.threads[slot as usize];
        let Some(parent_slot) = parent_slot else {
            thread.node.set(0);
            thread.weight.set(weights.first().copied().unwrap_or(0));
            return;
        };
        let parent = &self.threads[parent_slot as usize];
        let node = self.place_in(slot, parent.node.get(), parent.children.get(), profile);
        parent.children.set(parent.children.get() + 1);
        let share = weights.get(node as usize).copied().unwrap_or(0);
        let before = parent.weight.get();
        if self.surw.intended.get() == parent_slot && before > 0 && self.below(before) < share {
            self.surw.intended.set(slot);
        }
        thread.weight.set(share);
        parent.weight.set(before.saturating_sub(share));
    }

    /// Whether what the running thread does next is interesting, written down for when it is drawn.
    pub(super) fn judge_pending(&self, profile: &Profile) {
        let me = self.here();
        me.interesting.set(self.is_interesting(me.pending.get(), profile));
    }

    fn is_interesting(&self, access: Access, profile: &Profile) -> bool {
        if access == Access::NONE {
            return false;
        }
        let me = self.here();
        let (objects, index) = match access.thread_number() {
            Some(thread) => (&self.surw.tokens, thread),
            None => (&self.surw.objects, access.object),
        };
        let mut objects = objects.borrow_mut();
        let index = index as usize;
        objects.grow(index);
        // Beyond 64 threads an object has the name that one of the first gave it.
        let bit = 1_u64.checked_shl(self.thread_id.get()).unwrap_or(0);
        if objects.touched[index] & bit != bit {
            objects.touched[index] |= bit;
            let nth = me.touched.get();
            me.touched.set(nth + 1);
            if objects.which[index] < FIRST {
                objects.which[index] = profile.object(me.node.get(), nth).map_or(PRIVATE, |number| FIRST + number);
            }
        }
        let which = objects.which[index];
        which >= FIRST && (self.surw.chosen.get() == UNKNOWN || self.surw.chosen.get() == which)
    }

    /// Takes the next step of the walk.
    pub(super) fn pick_selectively(&self) -> Option<u32> {
        let state = &self.surw;
        if self.is_patience_over() {
            state.intended.set(NONE);
        }
        let race = || self.runnable.minus(&self.yielded);
        let (mut all, mut free) = (0, 0);
        for slot in race() {
            let thread = &self.threads[slot as usize];
            all += 1;
            free += u32::from(!thread.interesting.get());
            if thread.interesting.get() && thread.weight.get() == 0 {
                thread.weight.set(1); // more than the profile knew of
            }
        }
        if all == free {
            let k = if all <= 1 { 0 } else { self.roll(|g| g.below(all)) };
            return race().nth(k as usize);
        }
        let is_interesting = |slot: u32| self.threads[slot as usize].interesting.get();
        let waits = |slot: u32| slot != NONE && self.runnable.contains(slot) && !self.yielded.contains(slot);
        let mut intended = state.intended.get();
        // Nobody left to wait for, if all in the race are held.
        if intended == NONE || (free == 0 && !waits(intended)) {
            intended = self.by_weight()?;
            state.intended.set(intended);
        }
        let its_turn = waits(intended) && is_interesting(intended);
        let candidates = free + u32::from(its_turn);
        let k = if candidates <= 1 { 0 } else { self.roll(|g| g.below(candidates)) };
        if its_turn && k == free {
            let weight = &self.threads[intended as usize].weight;
            weight.set(weight.get() - 1);
            state.intended.set(NONE);
            return Some(intended);
        }
        race().filter(|slot| !is_interesting(*slot)).nth(k as usize)
    }
}
