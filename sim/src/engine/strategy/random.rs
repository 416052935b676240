//! The uniform random walk.
//!
//! **Invariant: each thread in the race is as likely as any other at every step.** The length of a run is drawn rather than a coin
//! a step: the walk is memoryless, so a run is geometric, and is drawn anew whenever the set of threads changes.
//!
//! ```text
//!   n runnable:  P(run = k) = (1/n)^k (1 - 1/n)      then one of the other n - 1
//! ```

use super::super::core::{Engine, NEVER};
use super::super::random::Stream;

/// One in so many decisions lets time move although a thread could run, if a timer is set.
const TIME_ODDS: u32 = 256;

impl Engine {
    /// Of the random strategies: time may move although somebody could run.
    #[inline]
    pub(super) fn maybe_time(&self) {
        if !self.timers.borrow().is_empty() && self.draw(Stream::Schedule, |g| g.below(TIME_ODDS)) == 0 {
            self.time_by_choice();
        }
    }

    /// How many points the running thread passes before a uniform walk over `n` threads leaves it.
    #[inline]
    pub(super) fn run_length(&self, n: u32) -> u64 {
        self.draw(Stream::Schedule, |g| match n {
            // Alone: the only choice is whether time moves.
            0 | 1 if self.timers.borrow().is_empty() => NEVER,
            0 | 1 => u64::from(g.below(2 * TIME_ODDS)),
            2 => u64::from((u64::from(g.next_u32()) | 1 << 32).trailing_zeros()),
            4 => u64::from((u64::from(g.next_u32()) | 1 << 32).trailing_zeros() / 2),
            _ => {
                let mut length = 0;
                while g.below(n) == 0 {
                    length += 1;
                }
                length
            }
        })
    }

    /// *Random* at a point.
    #[inline]
    pub(super) fn walk_on(&self, natural: bool) -> Option<u32> {
        let current = self.current.get();
        if self.runnable.len() == 1 {
            if natural && !self.timers.borrow().is_empty() {
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
                let k = self.draw(Stream::Schedule, |g| g.below(n - 1));
                self.runnable.nth(k, &self.yielded, current)
            }
        };
        self.set_budget(self.run_length(self.runnable.len()));
        next
    }
}
