//! Who runs next.
//!
//! **Invariant: every decision has a step of its own**, so that the list of (step, switch) is a complete schedule.
//!
//! ```text
//!   decision at ...        the running thread        chosen by
//!   a scheduling point     may go on                 pick_at_point
//!   a yield or spin hint   is set aside              pick_other
//!   a block or an exit     is not runnable           pick_other, after moving time if nobody is
//! ```
//!
//! *Random* draws the length of a run rather than a coin a step: the same distribution (the walk is memoryless, so a run is
//! geometric and is drawn anew whenever the set of threads changes), one draw per switch. *PCT* follows Burckhardt et
//! al. 2010 to the letter: the change points are not sorted before they get their priorities.

use super::core::{Engine, NEVER, Site};
use super::event::Op;
use super::options::{Options, Strategy, Switch};
use super::outcome::{Spinning, Verdict, Wait, Waiting};
use super::random::Stream;
use super::set::Set;
use super::thread::{NONE, Thread};
use millpond_model::platform::ThreadId;
use std::time::Duration;

/// Yields in a row without progress by anyone that make a livelock.
pub const LIVELOCK_YIELDS: u64 = 10_000;

/// One in so many decisions lets time move although a thread could run, if a timer is set.
const TIME_ODDS: u32 = 256;

impl Engine {
    pub fn begin_schedule(&self, options: &Options) {
        self.seed.set(options.seed);
        self.index.set(options.index);
        for stream in &self.streams {
            stream.replace(None);
        }
        self.progressed.set(false);
        self.current.set(0);
        self.thread_id.set(0);
        self.budget.set(0);
        self.tasks.set(0);
        self.budget_set.set(0);
        self.steps.set(0);
        self.choices.set(0);
        self.contended.set(false);
        self.runnable.clear();
        self.yielded.clear();
        self.spun.clear();
        self.spins.set(0);
        self.replayed.set(0);
        self.demoted.set(0);
        self.switches.borrow_mut().clear();
        self.preemptions.set(0);
        self.granularity.set(options.granularity);
        self.max_steps.set(options.max_steps);
        let mut changes = self.changes.borrow_mut();
        changes.clear();
        if let Strategy::Pct { depth } = options.strategy {
            let steps = options.pct_steps.max(1);
            for priority in 1..depth {
                let at = 1 + self.draw(Stream::Schedule, |g| g.below_u64(steps));
                changes.push((at, i64::from(priority)));
            }
            changes.sort_unstable_by(|a, b| b.cmp(a));
        }
        self.strategy.replace(options.strategy.clone());
    }

    /// A decision with the running thread in the race.
    pub fn scheduled_point(&self, site: Site) {
        self.check_stack();
        let me = self.here();
        me.site.set(site);
        let natural = self.natural.get() && self.yielded.is_empty();
        let in_budget = self.take_step();
        self.yielded.clear();
        let next = if in_budget { self.pick_at_point(natural) } else { None };
        self.go(me, next, true);
    }

    /// The running thread lets others go first.
    pub fn yield_now(&self, op: Op, site: Site) {
        if self.stopping.get() {
            self.wait_abandoned();
            return;
        }
        self.check_stack();
        let me = self.here();
        let slot = self.current.get();
        me.site.set(site);
        me.spin_site.set(site);
        let in_budget = self.take_step();
        if self.progressed.replace(false) {
            self.spun.clear();
            self.spins.set(0);
        }
        self.event(op, 0, 0, 0, 0, site);
        self.spun.insert(slot);
        self.spins.set(self.spins.get() + 1);
        if !in_budget || !self.check_spinning() {
            return self.go(me, None, false);
        }
        self.yielded.insert(slot);
        if self.yielded.len() == self.runnable.len() {
            self.yielded.clear();
            if self.runnable.len() > 1 {
                self.yielded.insert(slot);
            }
        }
        if matches!(*self.strategy.borrow(), Strategy::Pct { .. }) {
            self.demoted.set(self.demoted.get() - 1);
            me.priority.set(self.demoted.get());
        }
        if self.yielded.is_empty() {
            return self.set_changed(); // it is alone
        }
        let next = self.pick_other(true);
        self.go(me, next, false);
    }

    /// If every runnable thread has yielded and nobody has made progress: time moves on, or it is a livelock.
    fn check_spinning(&self) -> bool {
        if self.spun.len() < self.runnable.len() {
            return true;
        }
        if self.fire_timers() {
            return true;
        }
        if self.spins.get() >= LIVELOCK_YIELDS {
            let spinning = self
                .spun
                .minus(&Set::default())
                .map(|slot| {
                    let thread = &self.threads[slot as usize];
                    let (id, site) = (thread.id.get(), thread.spin_site.get());
                    Spinning { thread: ThreadId(id), name: self.name_of(id), site }
                })
                .collect();
            self.fail(Verdict::Livelock { spinning });
            return false;
        }
        true
    }

    /// The running thread waits until it is woken. The caller looks again at what it waited for.
    pub fn block(&self, wait: Wait, site: Site) {
        if self.stopping.get() {
            self.wait_abandoned();
            return;
        }
        self.check_stack();
        let me = self.here();
        me.site.set(site);
        me.wait.set(Some(wait));
        let in_budget = self.take_step();
        self.remove_current();
        let next = if in_budget { self.pick_other(false) } else { None };
        self.go(me, next, false);
        if self.stopping.get() {
            me.wait.set(None);
        }
    }

    /// The running thread is not runnable any more.
    pub fn remove_current(&self) {
        let slot = self.current.get();
        self.runnable.remove(slot);
        self.spun.remove(slot);
        self.yielded.clear(); // to block is a step
        self.progressed.set(true);
    }

    /// Counts the step of a decision; false when there is none left.
    pub fn take_step(&self) -> bool {
        self.account();
        let steps = self.steps.get();
        if steps >= self.max_steps.get() {
            self.fail(Verdict::StepBudget { steps });
            return false;
        }
        self.steps.set(steps + 1);
        if self.contended.get() {
            self.choices.set(self.choices.get() + 1);
        }
        true
    }

    /// Continues with `next`; with none the execution is over.
    fn go(&self, me: &Thread, next: Option<u32>, preempted: bool) {
        match next {
            Some(next) if next == self.current.get() => {}
            Some(next) => {
                self.preemptions.set(self.preemptions.get() + u64::from(preempted));
                self.switch_to(next);
                self.suspend(me);
            }
            None => self.give_up(),
        }
    }

    /// Makes `next` the thread that the scheduler resumes.
    pub fn switch_to(&self, next: u32) {
        let id = self.threads[next as usize].id.get();
        self.switches.borrow_mut().push(Switch { step: self.steps.get(), to: id });
        self.current.set(next);
        self.thread_id.set(id);
    }

    /// Makes a blocked thread runnable. The caller tells the strategy.
    pub fn make_runnable(&self, slot: u32) {
        let thread = &self.threads[slot as usize];
        thread.wait.set(None);
        if let Some(key) = thread.timer.take() {
            self.timers.borrow_mut().remove(&key);
        }
        self.runnable.insert(slot);
        self.progressed.set(true);
    }

    /// Wakes a blocked thread while the running one goes on.
    pub fn wake(&self, slot: u32) {
        self.make_runnable(slot);
        if !self.stopping.get() {
            self.account();
            self.set_changed();
        }
    }

    /// Sets the running thread's timer.
    pub fn set_timer(&self, at: Duration) {
        let sequence = self.timer_sequence.get();
        self.timer_sequence.set(sequence + 1);
        self.timers.borrow_mut().insert((at, sequence), self.current.get());
        self.here().timer.set(Some((at, sequence)));
    }

    /// Moves time to the next timer, and wakes whoever waits for that time; false if there is none.
    pub fn fire_timers(&self) -> bool {
        let first = self.timers.borrow().first_key_value().map(|(key, _)| key.0);
        let Some(time) = first else { return false };
        assert!(time >= self.now.get(), "time went backwards");
        self.now.set(time);
        self.event(Op::Time, 0, 0, 0, time.as_nanos() as u32, self.here().site.get());
        loop {
            let due = self.timers.borrow().first_key_value().filter(|(key, _)| key.0 <= time).map(|(_, slot)| *slot);
            let Some(slot) = due else { return true };
            self.make_runnable(slot);
        }
    }

    /// *Random* and *PCT*: time may move although somebody could run.
    fn maybe_time(&self) {
        if !self.timers.borrow().is_empty() && self.draw(Stream::Schedule, |g| g.below(TIME_ODDS)) == 0 {
            self.time_by_choice();
        }
    }

    fn time_by_choice(&self) {
        self.switches.borrow_mut().push(Switch { step: self.steps.get(), to: Switch::TIME });
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
        };
        self.set_budget(budget);
    }

    /// How many points the running thread passes before a uniform walk over `n` threads leaves it.
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
    fn pick_at_point(&self, natural: bool) -> Option<u32> {
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
        }
    }

    /// *Random* at a point.
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
            Strategy::Deviate(_) => chosen.filter(|s| !self.yielded.contains(*s)).or_else(|| self.by_default(yielding)),
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

    fn deadlock(&self) {
        let waiting = self
            .alive
            .minus(&self.runnable)
            .filter_map(|slot| {
                let thread = &self.threads[slot as usize];
                let (id, site) = (thread.id.get(), thread.site.get());
                Some(Waiting { thread: ThreadId(id), name: self.name_of(id), wait: thread.wait.get()?, site })
            })
            .collect();
        self.fail(Verdict::Deadlock { waiting });
    }

    /// A thread waits for what it holds itself, or for its own end.
    pub fn self_deadlock(&self, wait: Wait, site: Site) {
        let id = self.thread_id.get();
        let waiting = vec![Waiting { thread: ThreadId(id), name: self.name_of(id), wait, site }];
        self.fail_here(Verdict::Deadlock { waiting });
    }
}
