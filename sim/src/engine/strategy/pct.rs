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
//!
//! Priorities change rarely and threads wait and are woken all the time, so that the threads are kept in order:
//!
//! ```text
//!   order:   slot 2   slot 0   slot 3   slot 1        ascending; a thread's rank is its bit here
//!   ready:     1        0        1        0           the highest bit is the one that runs: slot 3
//! ```

use super::super::access::Access;
use super::super::core::{Engine, NEVER, Site};
use super::super::thread::{HandOff, NONE, Thread};
use std::cell::Cell;

/// Threads that a word has ranks for. With more of them alive nobody has one, and all are looked at.
const RANKS: usize = 64;

/// The threads in the order of their priorities.
pub struct Ranks {
    /// The slot of each rank.
    order: [Cell<u32>; RANKS],
    /// Which of them are runnable.
    ready: Cell<u64>,
    /// Whether priorities are others since.
    is_stale: Cell<bool>,
}

impl Default for Ranks {
    fn default() -> Self {
        Self { order: [const { Cell::new(NONE) }; RANKS], ready: Cell::new(0), is_stale: Cell::new(false) }
    }
}

impl Ranks {
    /// Nobody has a rank.
    pub fn clear(&self) {
        self.ready.set(0);
        self.is_stale.set(false);
    }

    /// The thread is runnable.
    #[inline(always)]
    pub fn enters(&self, thread: &Thread) {
        self.ready.set(self.ready.get() | thread.rank.get());
    }

    /// The thread is not.
    #[inline(always)]
    pub fn leaves(&self, thread: &Thread) {
        self.ready.set(self.ready.get() & !thread.rank.get());
    }

    /// The slot of the highest rank that is ready; `NONE` if there is none.
    #[inline(always)]
    fn top(&self) -> u32 {
        let ready = self.ready.get();
        if ready == 0 { NONE } else { self.order[63 - ready.leading_zeros() as usize].get() }
    }
}

impl Engine {
    /// Draws the change points among `steps` steps.
    pub(super) fn draw_changes(&self, depth: u32, steps: u64) {
        let mut changes = self.changes.borrow_mut();
        for priority in 1..depth {
            let at = 1 + self.roll(|g| g.below_u64(steps));
            changes.push((at, i64::from(priority)));
        }
        changes.sort_unstable_by(|a, b| b.cmp(a));
        self.change_at.set(changes.last().map_or(NEVER, |(at, _)| *at));
    }

    /// A new thread gets a random place in the band of the priorities that never change.
    pub(super) fn first_priority(&self, depth: u32, thread: &Thread) {
        thread.priority.set(i64::from(depth) + i64::from(self.roll(|g| g.next_u32())));
        self.ranks.is_stale.set(true);
    }

    /// Points that `slot` passes before the next change of priorities. Steps without a choice do not count.
    #[inline]
    pub(super) fn until_change(&self, slot: u32) -> u64 {
        if self.runnable.len() <= 1 {
            return NEVER;
        }
        self.change_at.get().min(self.patience_ends(slot)).saturating_sub(self.choices.get() + 1)
    }

    /// The thread in the race with the highest priority.
    #[inline]
    pub(super) fn top(&self) -> Option<u32> {
        if self.ranks.is_stale.get() {
            self.rank();
        }
        let top = self.ranks.top();
        if top == NONE || (!self.yielded.is_empty() && self.yielded.contains(top)) {
            return self.top_of_all();
        }
        debug_assert_eq!(Some(top), self.top_of_all(), "ranks are as priorities are");
        Some(top)
    }

    #[cold]
    #[inline(never)]
    fn top_of_all(&self) -> Option<u32> {
        self.runnable.minus(&self.yielded).max_by_key(|slot| self.place(*slot))
    }

    /// What threads are ordered by: of two new ones that have drawn the same, the older one comes first.
    fn place(&self, slot: u32) -> (i64, std::cmp::Reverse<u32>) {
        let thread = &self.threads[slot as usize];
        (thread.priority.get(), std::cmp::Reverse(thread.id.get()))
    }

    /// Puts all threads that are alive in order.
    #[cold]
    #[inline(never)]
    fn rank(&self) {
        self.ranks.clear();
        let is_too_many = self.alive.len() as usize > RANKS;
        for (n, slot) in self.alive.iter().enumerate() {
            if is_too_many {
                self.threads[slot as usize].rank.set(0);
                continue;
            }
            // From below: whoever is demoted was at the top.
            let mut at = n;
            while at > 0 && self.place(self.ranks.order[at - 1].get()) > self.place(slot) {
                self.ranks.order[at].set(self.ranks.order[at - 1].get());
                at -= 1;
            }
            self.ranks.order[at].set(slot);
        }
        if is_too_many {
            return;
        }
        for (n, slot) in self.ranks.order.iter().map(Cell::get).take(self.alive.len() as usize).enumerate() {
            let thread = &self.threads[slot as usize];
            thread.rank.set(1 << n);
            if self.runnable.contains(slot) {
                self.ranks.enters(thread);
            }
        }
    }

    /// The thread in `slot` was woken: the running one passes no further point if it is overtaken, and else as many as before. False:
    /// it has to be given another budget.
    #[inline]
    pub(in super::super) fn has_woken(&self, slot: u32) -> bool {
        let rank = self.threads[slot as usize].rank.get();
        // Alone, it had a budget of another kind.
        if self.ranks.is_stale.get() || rank == 0 || !self.contended.get() {
            return false;
        }
        // No branch: which of the two is random.
        let left = self.budget.get();
        let lost = left & 0_u64.wrapping_sub(u64::from(rank > self.here().rank.get()));
        self.budget.set(left - lost);
        self.budget_set.set(self.budget_set.get() - lost);
        true
    }

    /// The thread that runs when the running one can't.
    #[inline]
    pub(super) fn climb(&self) -> Option<u32> {
        let next = self.top()?;
        self.set_budget(self.until_change(next));
        Some(next)
    }

    /// A scheduling point where a thread that was woken goes on, and nothing else is to be done: what `scheduled_point` does, in one
    /// piece. None: that is what has to be done.
    #[inline(always)]
    pub(in super::super) fn overtaken(&self, access: Access, site: Site) -> Option<HandOff<'_>> {
        let (top, passed, max) = (self.ranks.top(), self.budget_set.get() + 1, self.max_steps.get());
        let steps = self.steps.get() + passed;
        let choices = self.choices.get() + if self.contended.get() { passed } else { 0 };
        let change = self.change_at.get();
        let is_due = choices >= change || choices >= self.turn.get().saturating_add(self.patience.get());
        if top == NONE || top == self.current.get() || steps > max || is_due {
            return None;
        }
        if self.ranks.is_stale.get() || self.timed.get() || !self.yielded.is_empty() {
            return None;
        }
        debug_assert_eq!(Some(top), self.top_of_all(), "ranks are as priorities are");
        let me = self.here();
        self.check_stack_of(me);
        me.pending.set(access);
        me.site.set(site);
        self.steps.set(steps);
        self.choices.set(choices);
        let wanted = change.min(choices.saturating_add(self.patience.get())) - (choices + 1);
        let budget = wanted.min(max - steps);
        self.natural.set(budget == wanted);
        self.budget_set.set(budget);
        self.budget.set(budget);
        self.contended.set(true);
        self.preemptions.set(self.preemptions.get() + 1);
        self.switch_to(top);
        Some((me, top))
    }

    pub(super) fn pick_by_priority(&self) -> Option<u32> {
        let mut changes = self.changes.borrow_mut();
        while let Some((_, priority)) = changes.pop_if(|(at, _)| *at <= self.choices.get()) {
            self.here().priority.set(priority);
            self.ranks.is_stale.set(true);
        }
        self.change_at.set(changes.last().map_or(NEVER, |(at, _)| *at));
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
        self.ranks.is_stale.set(true);
    }

    /// The budget of `slot` when the set of threads has changed.
    #[inline]
    pub(super) fn until_overtaken(&self, slot: u32) -> u64 {
        if self.top() == Some(slot) { self.until_change(slot) } else { 0 }
    }
}
