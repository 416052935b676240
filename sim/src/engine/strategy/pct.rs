//! Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010), by the paper's rule.
//!
//! **Invariant: the change points are drawn independently and each keeps the priority that it was drawn with.** Many
//! implementations sort the points first and give the latest the lowest priority: then "A stops, B stops, C runs, B before A" can't
//! happen unless A has a step in between.
//!
//! ```text
//!   priorities:   1 .. depth - 1       of the change points: the i-th drawn sets priority i
//!                 depth ..             of the threads, at random
//!                 below 0              of threads that yielded, or ran for ever: the latest is the lowest
//! ```
//!
//! The highest priority runs, so that a loop that waits for another thread and says so to nobody would never end. A thread that has run
//! through so many steps in a row as no execution of the program has, while others could have run, is demoted as if
//! it had yielded. A program without such loops never comes to that: its guarantee is the paper's.

use super::super::core::{Engine, NEVER};
use super::super::thread::Thread;

impl Engine {
    /// Draws the change points among `steps` steps.
    pub(super) fn draw_changes(&self, depth: u32, steps: u64) {
        let mut changes = self.changes.borrow_mut();
        for priority in 1..depth {
            let at = 1 + self.roll(|g| g.below_u64(steps));
            changes.push((at, i64::from(priority)));
        }
        changes.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// A new thread gets a random place in the band of the priorities that never change.
    pub(super) fn first_priority(&self, depth: u32, thread: &Thread) {
        thread.priority.set(i64::from(depth) + i64::from(self.roll(|g| g.next_u32())));
    }

    /// Points that `slot` passes before the next change of priorities. Steps without a choice do not count.
    pub(super) fn until_change(&self, slot: u32) -> u64 {
        if self.runnable.len() <= 1 {
            return NEVER;
        }
        let next = self.choices.get() + 1;
        let change = self.changes.borrow().last().map_or(NEVER, |(at, _)| at.saturating_sub(next));
        change.min(self.patience_ends(slot).saturating_sub(next))
    }

    /// The thread in the race with the highest priority.
    pub(super) fn top(&self) -> Option<u32> {
        self.runnable.minus(&self.yielded).max_by_key(|slot| {
            let thread = &self.threads[*slot as usize];
            (thread.priority.get(), std::cmp::Reverse(thread.id.get()))
        })
    }

    pub(super) fn pick_by_priority(&self) -> Option<u32> {
        let mut changes = self.changes.borrow_mut();
        while let Some((_, priority)) = changes.pop_if(|(at, _)| *at <= self.choices.get()) {
            self.here().priority.set(priority);
        }
        drop(changes);
        if self.is_patience_over() {
            self.demote();
        }
        let next = self.top();
        self.set_budget(next.map_or(0, |slot| self.until_change(slot)));
        next
    }

    /// The running thread goes below all others.
    pub(super) fn demote(&self) {
        self.demoted.set(self.demoted.get() - 1);
        self.here().priority.set(self.demoted.get());
    }

    /// The budget of `slot` when the set of threads has changed.
    pub(super) fn until_overtaken(&self, slot: u32) -> u64 {
        if self.top() == Some(slot) { self.until_change(slot) } else { 0 }
    }
}
