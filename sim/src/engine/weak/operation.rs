//! What an atomic operation does to a word and a thread, once it is chosen.
//!
//! **Invariant: a thread's clock holds whatever it may have learned, and a store's view whatever its reader may learn.**
//!
//! ```text
//!   load:  view ──learn──> clock (acquire) or later (relaxed)             rmw:  both, and the view it read goes on in the new one:
//!   store: clock (release) or fenced (relaxed) ──> view of a new store          release sequences
//! ```
//!
//! Nothing here looks at the total order S: that is up to the state.

use super::order::Order;
use super::thread::{Thread, acquires, releases};
use super::word::{Does, Word};
use super::{Loaded, Pick};
use std::sync::atomic::Ordering;

pub(super) type Choose<'a> = dyn FnMut(Pick, u32) -> u32 + 'a;

/// What an operation found. Words, because they are handed on through memory: what is written in parts is slow to read as a whole.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub bits: u64,
    pub position: usize,
}

impl Found {
    /// As it is told outside.
    #[inline(always)]
    pub fn loaded(self) -> Loaded {
        Loaded { bits: self.bits, behind: self.position as u8 }
    }
}

/// An atomic operation under way.
pub(super) struct Operation<'a, const W: usize> {
    pub word: &'a mut Word<W>,
    pub thread: &'a mut Thread<W>,
    pub t: usize,
    pub order: &'a Order<W>,
    pub is_weak: bool,
}

impl<const W: usize> Operation<'_, W> {
    /// The positions that coherence allows.
    #[inline(always)]
    pub fn open(&self, does: Does) -> u32 {
        if !self.is_weak {
            return 1;
        }
        let open = if does == Does::Load { self.word.kept() } else { self.word.open() };
        if open == 1 { open } else { open & ((2 << self.word.floor(&self.thread.clock)) - 1) }
    }

    /// Loads the store at `position`.
    #[inline(always)]
    pub fn load(self, position: usize, order: Ordering) -> u64 {
        let Self { word, thread, t, .. } = self;
        let store = word.store_mut(position);
        let first = &mut store.loads[t];
        *first = (*first).min(thread.clock.0[t]);
        thread.learn(&store.view, order);
        thread.tick(t);
        store.value
    }

    /// Stores right above `position`. A read-modify-write of the store there continues the release sequences that the store is in.
    #[inline(always)]
    pub fn store(self, position: usize, value: u64, order: Ordering, does: Does) {
        let Self { word, thread, t, .. } = self;
        let mut continued = None;
        if does == Does::Update {
            let view = &word.store(position).view;
            thread.learn(view, order);
            if !(acquires(order) && releases(order)) {
                continued = Some(*view); // else it is in the clock
            }
        }
        let store =
            if self.is_weak { word.insert(position, does == Does::Update, self.order) } else { word.store_mut(0) };
        store.value = value;
        store.view = if releases(order) { thread.clock } else { thread.fenced };
        if let Some(view) = &continued {
            store.view.join(view);
        }
        store.time = thread.clock.0[t];
        store.thread = t as u8;
        thread.tick(t);
    }
}

/// One of the positions, the newest first.
#[inline]
pub(super) fn pick(open: u32, does: Does, choose: &mut Choose<'_>) -> usize {
    if open == 1 { 0 } else { pick_of_several(open, does, choose) }
}

#[inline(never)]
fn pick_of_several(open: u32, does: Does, choose: &mut Choose<'_>) -> usize {
    let what = if does == Does::Store { Pick::Place } else { Pick::Read };
    let mut rest = open;
    let count = open.count_ones();
    let chosen = if count == 1 { 0 } else { choose(what, count) };
    assert!(chosen < count, "{chosen} was chosen of {count}");
    for _ in 0..chosen {
        rest &= rest - 1;
    }
    rest.trailing_zeros() as usize
}
