//! The uniform random walk.
//!
//! **Invariant: each thread in the race is as likely as any other at every step.** The length of a run is drawn rather than a coin
//! a step: the walk is memoryless, so a run is geometric, and is drawn anew whenever the set of threads changes.
//!
//! ```text
//!   n runnable:  P(run = k) = (1/n)^k (1 - 1/n)      then one of the other n - 1
//! ```

use super::super::access::Access;
use super::super::core::{Engine, NEVER, Site};
use super::super::thread::{HandOff, NONE};

/// One in so many decisions lets time move although a thread could run, if a timer is set.
const TIME_ODDS: u32 = 256;

impl Engine {
    /// Of the random strategies: time may move although somebody could run.
    #[inline]
    pub(super) fn maybe_time(&self) {
        if self.timed.get() && self.roll(|g| g.below(TIME_ODDS)) == 0 {
            self.time_by_choice();
        }
    }

    /// How many points the running thread passes before a uniform walk over `n` threads leaves it.
    #[inline(always)]
    pub(super) fn run_length(&self, n: u32) -> u64 {
        if n < 2 {
            // Alone: the only choice is whether time moves.
            return if self.timed.get() { u64::from(self.roll(|g| g.below(2 * TIME_ODDS))) } else { NEVER };
        }
        self.roll(|g| {
            if n & !6 == 0 && n != 6 {
                // 2 or 4: so many zeros in a row, or pairs of them.
                return u64::from((u64::from(g.next_u32()) | 1 << 32).trailing_zeros() >> (n >> 2));
            }
            let mut length = 0;
            while g.below(n) == 0 {
                length += 1;
            }
            length
        })
    }

    /// *Random* at a point.
    #[inline]
    pub(super) fn walk_on(&self, natural: bool) -> Option<u32> {
        let current = self.current.get();
        if self.runnable.len() == 1 {
            if natural && self.timed.get() {
                self.time_by_choice();
            }
        } else {
            self.maybe_time();
        }
        let n = self.runnable.len();
        let stay = if natural && n > 1 { 0 } else { self.run_length(n) };
        if stay > 0 {
            self.set_budget(stay - 1);
            return Some(current);
        }
        let n = n.max(2); // alone, with a zero run before time moves
        let next = match self.runnable.len() {
            1 => Some(current),
            2 => self.runnable.nth(0, &self.yielded, current),
            _ => {
                let k = self.roll(|g| g.below(n - 1));
                self.runnable.nth(k, &self.yielded, current)
            }
        };
        self.set_budget(self.run_length(self.runnable.len()));
        next
    }

    /// Where the running thread of a walk can't go on, time need not move and somebody can run.
    #[inline]
    pub(super) fn walk_elsewhere(&self) -> Option<u32> {
        let n = self.eligible();
        let k = if n == 1 { 0 } else { self.roll(|g| g.below(n)) };
        let next = self.runnable.nth(k, &self.yielded, NONE);
        self.set_budget(self.run_length(self.runnable.len()));
        next
    }

    /// A scheduling point of the walk where nothing is out of the ordinary: what `scheduled_point` does, in one piece. None: that is
    /// what has to be done.
    #[inline(always)]
    pub(in super::super) fn walk(&self, access: Access, site: Site) -> Option<HandOff<'_>> {
        let n = self.runnable.len();
        let (before, max) = (self.steps.get(), self.max_steps.get());
        let steps = before + self.budget_set.get() + 1;
        if !self.natural.get() || n < 2 || !self.yielded.is_empty() || self.timed.get() || steps > max {
            return None;
        }
        let me = self.here();
        self.check_stack_of(me);
        me.pending.set(access);
        me.site.set(site);
        self.steps.set(steps);
        self.choices.set(self.choices.get() + (steps - before));
        // The run is over: it is another one.
        let k = if n == 2 { 0 } else { self.roll(|g| g.below(n - 1)) };
        let Some(next) = self.runnable.nth(k, &self.yielded, self.current.get()) else {
            unreachable!("the running thread is one of {n}")
        };
        let length = self.run_length(n);
        let budget = length.min(max - steps);
        self.natural.set(budget == length);
        self.budget_set.set(budget);
        self.budget.set(budget);
        self.preemptions.set(self.preemptions.get() + 1);
        self.switch_to(next);
        Some((me, next))
    }
}
