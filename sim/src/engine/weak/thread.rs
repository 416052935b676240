//! What a thread knows.
//!
//! **Invariant: `clock[t]` of thread t is the time of its next event**, so that plain accesses, which have no time of their
//! own, bear the time of the event that may publish them.
//!
//! ```text
//!   acquire load   clock  ⊔= view of the store          relaxed load    later   ⊔= view of the store
//!   acquire fence  clock  ⊔= later                      release fence   fenced   = clock
//!   release store  view    = clock                      relaxed store   view     = fenced
//! ```

use super::clock::{Clock, Time};
use std::sync::atomic::Ordering;

/// Whether an operation acquires.
#[inline(always)]
pub(super) fn acquires(order: Ordering) -> bool {
    matches!(order, Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst)
}

/// Whether an operation releases.
#[inline(always)]
pub(super) fn releases(order: Ordering) -> bool {
    matches!(order, Ordering::Release | Ordering::AcqRel | Ordering::SeqCst)
}

/// A thread's clocks.
#[derive(Clone, Copy)]
pub(super) struct Thread<const W: usize> {
    /// What happens before its next event.
    pub clock: Clock<W>,
    /// What an acquire fence would add.
    pub later: Clock<W>,
    /// What happened before its last release fence.
    pub fenced: Clock<W>,
    /// What it knew at its last sequentially consistent event.
    pub at_sc: Clock<W>,
}

impl<const W: usize> Thread<W> {
    pub const NEW: Self = Self { clock: Clock::ZERO, later: Clock::ZERO, fenced: Clock::ZERO, at_sc: Clock::ZERO };

    /// Reads a store that has this view.
    #[inline(always)]
    pub fn learn(&mut self, view: &Clock<W>, order: Ordering) {
        if acquires(order) {
            self.clock.join(view);
        } else {
            self.later.join(view);
        }
    }

    /// An event is over.
    #[inline(always)]
    pub fn tick(&mut self, t: usize) {
        self.clock.0[t] += 1;
    }

    /// The same with room for more threads.
    pub fn widened<const V: usize>(&self) -> Thread<V> {
        Thread {
            clock: self.clock.widened(),
            later: self.later.widened(),
            fenced: self.fenced.widened(),
            at_sc: self.at_sc.widened(),
        }
    }
}

/// Whose a lane was when: lanes are used again after a thread's end.
#[derive(Default)]
pub(super) struct Names {
    /// Lane, its first time, number of the thread; in order of creation.
    tenants: Vec<(u8, Time, u32)>,
}

impl Names {
    /// Forgets everything but the first thread.
    pub fn begin(&mut self) {
        self.tenants.clear();
        self.tenants.push((0, 0, 0));
    }

    /// From `time` on, lane `t` is the thread with this number.
    pub fn add(&mut self, t: usize, time: Time, number: u32) {
        self.tenants.push((t as u8, time, number));
    }

    /// The number of the thread whose event it was.
    pub fn of(&self, t: usize, time: Time) -> u32 {
        let whose = self.tenants.iter().rev().find(|(lane, from, _)| *lane as usize == t && *from <= time);
        whose.map_or(t as u32, |(_, _, number)| *number)
    }
}
