//! What an execution chooses besides who runs: which store a load returns, whether a weak exchange fails.
//!
//! **Invariant: alternative 0 is what a sequentially consistent memory does.** So a list of the other ones taken is complete,
//! every part of it is a list, and the empty one is sequential consistency: choices shrink as [`Shift`](super::Shift)s do.
//!
//! ```text
//!   choose(n):   Dfs, Dpor ──> each alternative, one execution after the other
//!                Options::choices given ──> the alternative listed for (thread, its own how manieth choice), else 0
//!                otherwise ──> drawn from Stream::Memory          every alternative but 0 is written down in a rich record
//! ```

use super::core::Engine;
use super::options::Strategy;
use super::outcome::Verdict;
use super::random::Stream;

/// In its choice number `nth`, thread `thread` took the alternative `pick`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Choice {
    /// Number of the thread.
    pub thread: u32,
    /// Number of the choice among the thread's own, from 1.
    pub nth: u32,
    /// Which alternative; never 0.
    pub pick: u32,
}

impl Engine {
    /// One of `n` alternatives, each as likely as the others.
    pub fn choose(&self, n: u32) -> u32 {
        self.decide(n, |engine| engine.draw(Stream::Memory, |g| g.below(n)))
    }

    /// One of `n` alternatives: 0 half of the time, each of the others as likely as the others. Most bugs need few old values, and a
    /// loop that waits for a new one should see it soon.
    pub fn choose_old(&self, n: u32) -> u32 {
        self.decide(n, |engine| (engine.draw(Stream::Memory, |g| g.below(2 * (n - 1))) + 2).saturating_sub(n))
    }

    /// Alternative 1 rather than 0 once in `odds` times.
    pub fn choose_rarely(&self, odds: u32) -> bool {
        self.decide(2, |engine| u32::from(engine.draw(Stream::Memory, |g| g.below(odds)) == 0)) == 1
    }

    /// Whether a wait ends for no reason. It may in one execution of eight, in one wait of four; in none that is enumerated, which
    /// would have no end. The choice has its number in each of them, so that a schedule that was written down finds it.
    pub fn choose_against_reason(&self) -> bool {
        let draw = |engine: &Self| {
            if engine.enumerates.get() {
                return 0;
            }
            let may = engine.spurious.get().unwrap_or_else(|| engine.draw(Stream::Faults, |g| g.below(8)) == 0);
            engine.spurious.set(Some(may));
            u32::from(may && engine.draw(Stream::Memory, |g| g.below(4)) == 0)
        };
        self.numbered(2, draw) == 1
    }

    /// The alternative whose turn it is.
    fn enumerated(&self, n: u32) -> u32 {
        let reduces = matches!(*self.strategy.borrow(), Strategy::Dpor);
        let pick = if reduces { self.reduced_value(n) } else { self.value_on_path(n) };
        pick.unwrap_or_else(|| {
            self.fail_here(Verdict::Diverged { step: self.step() });
            0
        })
    }

    fn decide(&self, n: u32, draw: impl FnOnce(&Self) -> u32) -> u32 {
        self.numbered(n, |engine| if engine.enumerates.get() { engine.enumerated(n) } else { draw(engine) })
    }

    /// The alternative that was asked for, or what `draw` says.
    fn numbered(&self, n: u32, draw: impl FnOnce(&Self) -> u32) -> u32 {
        if n < 2 || self.stopping.get() {
            return 0;
        }
        let me = self.here();
        let nth = me.own_choices.get() + 1;
        me.own_choices.set(nth);
        let thread = self.thread_id.get();
        let pick = match &*self.given_choices.borrow() {
            Some(list) => {
                let found = list.binary_search_by_key(&(thread, nth), |c| (c.thread, c.nth));
                // One that is impossible now is the nearest that is possible: a list stays one when entries are dropped.
                found.map_or(0, |at| list[at].pick.min(n - 1))
            }
            None => draw(self),
        };
        if pick != 0 && (self.rich.get() || self.enumerates.get()) {
            self.taken.borrow_mut().push(Choice { thread, nth, pick });
        }
        pick
    }
}
