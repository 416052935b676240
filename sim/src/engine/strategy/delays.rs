//! Delay bounding (Emmi, Qadeer, Rakamarić, *Delay-bounded scheduling*, POPL 2011).
//!
//! **Invariant: a schedule is a deterministic scheduler and a list of the choices at which it skips the thread that it would have run.**
//! The scheduler lets a thread run until it waits, and goes round then. With d delays there are O(k^d) schedules, however many threads
//! there are.
//!
//! ```text
//!   choice:      1  2  3  4  5  6        k choices, [3]: at the third, the running thread is skipped
//!   [] :         A  A  A  A  B  B
//!   [3] :        A  A  B  B  A  A        the next in turn runs until it waits
//! ```
//!
//! A choice is a step at which more than one thread could run, counted from 1.

use super::super::core::{Engine, NEVER};
use std::sync::Arc;

/// All schedules with at most so many delays, those with fewer first. How many there are is told by the executions themselves.
///
/// ```
/// use millpond::engine::{DelaySchedules, Options, Strategy, execute};
///
/// let mut schedules = DelaySchedules::new(2);
/// let mut next = Some(schedules.first());
/// while let Some(delays) = next {
///     let execution = execute(&Options { strategy: Strategy::Delays(delays), ..Options::default() }, || { /* the program */ });
///     next = schedules.after(execution.choices);
/// }
/// ```
#[derive(Debug)]
pub struct DelaySchedules {
    most: u32,
    /// Schedules that are extended by one delay, each with the number of its choices; the schedule at `at` is being extended.
    bases: Vec<(Arc<[u64]>, u64)>,
    at: usize,
    /// Those of the level that comes next.
    made: Vec<(Arc<[u64]>, u64)>,
    last: Arc<[u64]>,
}

impl DelaySchedules {
    /// With at most `most` delays.
    pub fn new(most: u32) -> Self {
        Self { most, bases: Vec::new(), at: 0, made: Vec::new(), last: Arc::default() }
    }

    /// The schedule with no delay.
    pub fn first(&self) -> Arc<[u64]> {
        Arc::default()
    }

    /// The schedule after the last one, whose execution had `choices` of them; `None` when there is none.
    pub fn after(&mut self, choices: u64) -> Option<Arc<[u64]>> {
        let delays = self.last.len() as u32;
        if delays < self.most {
            self.made.push((Arc::clone(&self.last), choices));
        }
        // The last delay moves on; after its last place the next base has its turn, then the next level.
        if let Some((base, most)) = self.bases.get(self.at)
            && let Some(at) = self.last.last().map(|at| at + 1).filter(|at| at <= most)
        {
            self.last = extended(base, at);
            return Some(Arc::clone(&self.last));
        }
        self.at += 1;
        loop {
            if self.at >= self.bases.len() {
                self.bases = std::mem::take(&mut self.made);
                self.at = 0;
            }
            let (base, most) = self.bases.get(self.at)?;
            let first = base.last().copied().unwrap_or(1);
            if first <= *most {
                self.last = extended(base, first);
                return Some(Arc::clone(&self.last));
            }
            self.at += 1;
        }
    }
}

fn extended(base: &[u64], at: u64) -> Arc<[u64]> {
    base.iter().copied().chain([at]).collect()
}

/// The `index`th schedule with at most two delays among `choices` choices (2^31 at most): first none, then one, then two.
pub(in super::super) fn at_most_two(index: u64, choices: u64) -> Option<Vec<u64>> {
    if index == 0 {
        return Some(Vec::new());
    }
    if index <= choices {
        return Some(vec![index]);
    }
    let pair = index - choices - 1;
    // Pairs whose first delay is before `first`: choices, choices - 1, ... of them.
    let before = |first: u64| (first - 1) * choices - (first - 1) * first.saturating_sub(2) / 2;
    let (mut low, mut high) = (1, choices + 1);
    while high - low > 1 {
        let middle = low.midpoint(high);
        (low, high) = if before(middle) <= pair { (middle, high) } else { (low, middle) };
    }
    Some(vec![low, low + (pair - before(low))]).filter(|pair| pair[1] <= choices)
}

impl Engine {
    pub(super) fn set_delays(&self, list: &[u64]) {
        let mut delays = self.delays.borrow_mut();
        delays.extend_from_slice(list);
        delays.sort_unstable_by(|a, b| b.cmp(a));
    }

    pub(super) fn draw_delays(&self, most: u32, choices: u64) {
        let drawn: Vec<u64> = (0..most).map(|_| 1 + self.roll(|g| g.below_u64(choices.max(1)))).collect();
        self.set_delays(&drawn);
    }

    /// Points that `slot` passes before it is delayed.
    pub(super) fn until_delay(&self, slot: u32) -> u64 {
        if self.runnable.len() <= 1 {
            return NEVER;
        }
        let next = self.choices.get() + 1;
        let delay = self.delays.borrow().last().map_or(NEVER, |at| at.saturating_sub(next));
        delay.min(self.patience_ends(slot).saturating_sub(next))
    }

    /// How many threads are skipped at this choice.
    fn due(&self) -> usize {
        let mut delays = self.delays.borrow_mut();
        let mut due = 0;
        while let Some(at) = delays.pop_if(|at| *at <= self.choices.get()) {
            due += usize::from(at == self.choices.get());
        }
        due
    }

    /// At a point: the running thread goes on, unless it is skipped.
    pub(super) fn go_on_or_delay(&self) -> Option<u32> {
        let current = self.current.get();
        let skipped = self.due() + usize::from(self.is_patience_over());
        let next = if skipped == 0 { Some(current) } else { self.in_turn(skipped - 1) };
        self.set_budget(next.map_or(0, |slot| self.until_delay(slot)));
        next
    }

    /// Where the running thread can't go on.
    pub(super) fn next_in_turn(&self) -> Option<u32> {
        self.in_turn(self.due())
    }

    /// The `n`th of the race after the running thread, going round.
    fn in_turn(&self, n: usize) -> Option<u32> {
        let current = self.current.get();
        let race = || self.runnable.minus(&self.yielded);
        let all = race().count();
        let later = race().filter(|slot| *slot > current);
        later.chain(race().filter(|slot| *slot <= current)).nth(n.checked_rem(all)?)
    }
}
