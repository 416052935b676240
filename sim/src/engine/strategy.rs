//! The strategies: how long the running thread may go on, and who comes after it.
//!
//! **Invariant: a strategy draws from the schedule stream only, and looks at nothing but sets, numbers and time.**
//!
//! *Random* draws the length of a run rather than a coin a step: the same distribution (the walk is memoryless, so a run is
//! geometric and is drawn anew whenever the set of threads changes), one draw per switch. *PCT* follows Burckhardt et
//! al. 2010 to the letter: the change points are not sorted before they get their priorities.

use super::core::{Engine, NEVER};
use super::options::{Strategy, Switch};
use super::outcome::Verdict;
use super::random::Stream;
use super::thread::{NONE, Thread};

/// One in so many decisions lets time move although a thread could run, if a timer is set.
const TIME_ODDS: u32 = 256;

impl Engine {
    /// *Random* and *PCT*: time may move although somebody could run.
    #[inline]
    fn maybe_time(&self) {
        if !self.timers.borrow().is_empty() && self.draw(Stream::Schedule, |g| g.below(TIME_ODDS)) == 0 {
            self.time_by_choice();
        }
    }

    fn time_by_choice(&self) {
        self.switched(Switch::TIME);
        self.fire_timers();
    }

    /// Threads in the race.
    fn eligible(&self) -> u32 {
        self.runnable.len() - self.yielded.len()
    }

    /// The set of threads changed while the running one goes on.
    pub fn set_changed(&self) {
        self.new_budget(&self.strategy.borrow(), self.current.get());
    }

    /// The budget of `slot`, which runs from here on.
    fn new_budget(&self, strategy: &Strategy, slot: u32) {
        let budget = match strategy {
            Strategy::Random => self.run_length(self.runnable.len()),
            Strategy::RoundRobin => self.until_round_robin(),
            Strategy::RunOn => NEVER,
            Strategy::Pct { .. } if self.top() == Some(slot) => self.until_change(),
            Strategy::Pct { .. } => 0,
            Strategy::Replay(list) | Strategy::Deviate(list) => self.until_switch(list),
            Strategy::Dfs { .. } => self.until_decision(slot),
            Strategy::Dpor => self.reduced_budget(),
        };
        self.set_budget(budget);
    }

    /// How many points the running thread passes before a uniform walk over `n` threads leaves it.
    #[inline]
    fn run_length(&self, n: u32) -> u64 {
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

    fn until_round_robin(&self) -> u64 {
        if self.runnable.len() > 1 { 0 } else { NEVER }
    }

    /// PCT: points before the next change of priorities. Steps without a choice do not count.
    fn until_change(&self) -> u64 {
        match self.changes.borrow().last() {
            Some((at, _)) if self.runnable.len() > 1 => at.saturating_sub(self.choices.get() + 1),
            _ => NEVER,
        }
    }

    fn until_switch(&self, list: &[Switch]) -> u64 {
        list.get(self.replayed.get()).map_or(NEVER, |s| s.step.saturating_sub(self.steps.get() + 1))
    }

    /// PCT: the thread in the race with the highest priority.
    fn top(&self) -> Option<u32> {
        self.runnable.minus(&self.yielded).max_by_key(|slot| {
            let thread = &self.threads[*slot as usize];
            (thread.priority.get(), std::cmp::Reverse(thread.id.get()))
        })
    }

    /// PCT: a new thread gets a random place in the band of the priorities that never change.
    pub fn first_priority(&self, thread: &Thread) {
        if let Strategy::Pct { depth } = *self.strategy.borrow() {
            thread.priority.set(i64::from(depth) + i64::from(self.draw(Stream::Schedule, |g| g.next_u32())));
        }
    }

    fn apply_changes(&self) {
        let mut changes = self.changes.borrow_mut();
        while let Some((_, priority)) = changes.pop_if(|(at, _)| *at <= self.choices.get()) {
            self.here().priority.set(priority);
        }
    }

    /// The choice at a point that the running thread may pass. `natural`: the budget ran out by itself.
    #[inline]
    pub fn pick_at_point(&self, natural: bool) -> Option<u32> {
        let current = self.current.get();
        let strategy = self.strategy.borrow();
        match &*strategy {
            Strategy::Random => self.walk_on(natural),
            Strategy::RoundRobin => {
                let next = self.runnable.after(current, &self.yielded);
                self.set_budget(self.until_round_robin());
                next
            }
            Strategy::RunOn => {
                self.set_budget(NEVER);
                Some(current)
            }
            Strategy::Pct { .. } => {
                self.maybe_time();
                self.apply_changes();
                let next = self.top();
                self.set_budget(self.until_change());
                next
            }
            Strategy::Replay(list) => {
                let next = self.follow(list);
                self.set_budget(self.until_switch(list));
                next
            }
            Strategy::Deviate(list) => {
                let next = self.deviate(list).unwrap_or(current);
                self.set_budget(self.until_switch(list));
                Some(next)
            }
            Strategy::Dfs { .. } => {
                let (next, budget) = self.follow_path();
                self.set_budget(budget);
                next
            }
            Strategy::Dpor => self.reduced_point(),
        }
    }

    /// *Random* at a point.
    #[inline]
    fn walk_on(&self, natural: bool) -> Option<u32> {
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

    /// The choice when the running thread is out of the race: it yielded, blocked or ended. None: the execution is over.
    pub fn pick_other(&self, yielding: bool) -> Option<u32> {
        let strategy = self.strategy.borrow();
        if matches!(*strategy, Strategy::Random | Strategy::Pct { .. }) {
            self.maybe_time();
        }
        let chosen = match &*strategy {
            Strategy::Replay(list) | Strategy::Deviate(list) => self.move_time_as_recorded(list),
            _ => None,
        };
        while self.runnable.is_empty() {
            if !self.fire_timers() {
                self.deadlock();
                return None;
            }
        }
        let current = self.current.get();
        let next = match &*strategy {
            Strategy::Random => {
                let n = self.eligible();
                let k = if n == 1 { 0 } else { self.draw(Stream::Schedule, |g| g.below(n)) };
                self.runnable.nth(k, &self.yielded, NONE)
            }
            Strategy::RoundRobin => self.runnable.after(current, &self.yielded),
            Strategy::RunOn => self.by_default(yielding),
            Strategy::Pct { .. } => self.top(),
            Strategy::Replay(_) => chosen.or_else(|| self.runnable.contains(current).then_some(current)),
            Strategy::Deviate(_) => chosen.or_else(|| self.by_default(yielding)),
            Strategy::Dfs { .. } => self.forced_by_path(self.by_default(yielding)),
            Strategy::Dpor => self.reduced_other(|| self.by_default(yielding), yielding),
        };
        match next {
            Some(next) => self.new_budget(&strategy, next),
            None => self.fail(Verdict::Diverged { step: self.steps.get() }),
        }
        next
    }

    /// *RunOn*: the lowest number; after a yield the next one, going round, so that two spinning threads starve no third.
    fn by_default(&self, yielding: bool) -> Option<u32> {
        let id = |slot: &u32| self.threads[*slot as usize].id.get();
        let race = || self.runnable.minus(&self.yielded);
        if yielding {
            let mine = self.thread_id.get();
            let later = race().filter(|slot| id(slot) > mine).min_by_key(id);
            return later.or_else(|| race().min_by_key(id));
        }
        race().min_by_key(id)
    }

    /// *Replay* at a point: where the list says, or on.
    fn follow(&self, list: &[Switch]) -> Option<u32> {
        let overdue = list.get(self.replayed.get()).is_some_and(|s| s.step < self.steps.get());
        let listed = list.get(self.replayed.get()).is_some_and(|s| s.step == self.steps.get());
        let next = self.move_time_as_recorded(list);
        let more = self.replayed.get() > 0 && list[self.replayed.get() - 1].to != Switch::TIME;
        // A recording has no switch to the thread that runs already.
        if overdue || (listed && more && next.is_none_or(|slot| slot == self.current.get())) {
            self.fail(Verdict::Diverged { step: self.steps.get() });
            return None;
        }
        Some(next.unwrap_or(self.current.get()))
    }

    /// *Deviate* at a point: where the list says, if that is possible.
    fn deviate(&self, list: &[Switch]) -> Option<u32> {
        while list.get(self.replayed.get()).is_some_and(|s| s.step < self.steps.get()) {
            self.replayed.set(self.replayed.get() + 1);
        }
        self.move_time_as_recorded(list)
    }

    /// Consumes the entries of this step: moves time, and gives the slot of the thread to switch to if it can run.
    fn move_time_as_recorded(&self, list: &[Switch]) -> Option<u32> {
        let step = self.steps.get();
        loop {
            let entry = list.get(self.replayed.get()).filter(|s| s.step <= step)?;
            self.replayed.set(self.replayed.get() + 1);
            if entry.step < step {
                continue;
            }
            if entry.to == Switch::TIME {
                self.time_by_choice();
                continue;
            }
            let slot = self.infos.borrow().get(entry.to as usize).map_or(NONE, |info| info.slot);
            // A thread that only a timer can wake becomes runnable if time has to move now.
            while self.runnable.is_empty() && self.fire_timers() {}
            return (slot != NONE && self.runnable.contains(slot)).then_some(slot);
        }
    }
}
