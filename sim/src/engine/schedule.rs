//! When a decision is due, and what it does.
//!
//! **Invariant: every decision has a step of its own**, so that the list of (step, switch) is a complete schedule.
//!
//! ```text
//!   decision at ...        the running thread        chosen by
//!   a scheduling point     may go on                 pick_at_point
//!   a yield or spin hint   is set aside              pick_other
//!   a block or an exit     is not runnable           pick_other, after moving time if nobody is
//! ```

use super::access::Access;
use super::core::{Engine, Site};
use super::event::Op;
use super::options::{Options, Switch};
use super::outcome::{Spinning, Verdict, Wait, Waiting};
use super::set::Set;
use super::thread::{HandOff, Thread};
use millpond_model::platform::ThreadId;
use std::time::Duration;

/// Yields in a row without progress by anyone that make a livelock.
pub const LIVELOCK_YIELDS: u64 = 10_000;

/// Nobody waits for a later time than this by reading the clock: a century.
const MOST_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Engine {
    #[inline(always)]
    pub fn begin_schedule(&mut self, options: &Options) {
        for generator in &mut self.streams {
            generator.get_mut().reset(options.seed, options.index);
        }
        self.runnable.clear();
        self.ranks.clear();
        self.yielded.clear();
        self.spun.clear();
        self.switches.get_mut().clear();
        if self.profiling.get() {
            self.profiler.take();
        }
        self.begin_strategy(options);
    }

    /// A decision with the running thread in the race.
    #[inline(always)]
    pub fn scheduled_point(&self, access: Access, site: Site) -> Option<HandOff<'_>> {
        self.check_stack();
        let me = self.here();
        me.pending.set(access);
        me.site.set(site);
        let natural = self.natural.get() && self.yielded.is_empty();
        let in_budget = self.take_step();
        self.yielded.clear();
        let next = if in_budget { self.pick_at_point(natural) } else { None };
        if self.rich.get()
            && let Some(slot) = next.filter(|slot| *slot != self.current.get())
        {
            self.note_shift(self.threads[slot as usize].id.get());
        }
        self.go(me, next, true)
    }

    /// The running thread lets others go first.
    pub fn yield_now(&self, op: Op, site: Site) {
        if self.stopping.get() {
            self.wait_abandoned();
            return;
        }
        if self.is_looking() {
            return self.interrupted(|| self.yield_now(op, site));
        }
        self.check_stack();
        let me = self.here();
        let slot = self.current.get();
        me.site.set(site);
        me.pending.set(Access::NONE);
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
            return self.give_up();
        }
        self.yielded.insert(slot);
        if self.yielded.len() == self.runnable.len() {
            self.yielded.clear();
            if self.runnable.len() > 1 {
                self.yielded.insert(slot);
            }
        }
        self.yields();
        if self.yielded.is_empty() && !self.patient.get() {
            return self.set_changed(); // it is alone
        }
        let next = self.pick_other(true);
        if let Some(switch) = self.go(me, next, false) {
            self.perform(switch);
        }
    }

    /// If every runnable thread has yielded and nobody has made progress: time moves on, or it is a livelock.
    fn check_spinning(&self) -> bool {
        if self.spun.len() < self.runnable.len() {
            return true;
        }
        if self.patient.get() {
            self.stay_patient();
        } else if self.fire_timers() || self.move_clock() {
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

    /// If somebody waits for a time by reading the clock: it moves, each time by as much as has passed, so that each time comes soon.
    pub fn move_clock(&self) -> bool {
        let now = self.now.get();
        if !self.clock_watched.replace(false) || now > MOST_TIME {
            return false;
        }
        self.now.set(now + now.max(Duration::from_micros(1)));
        self.event(Op::Time, 0, 0, 0, self.now.get().as_nanos() as u32, self.here().site.get());
        true
    }

    /// The running thread waits until it is woken, and does `access` then. The caller looks again at what it waited for.
    #[inline(always)]
    pub fn block(&self, wait: Wait, access: Access, site: Site) {
        let me = self.here();
        me.wait.set(Some(wait)); // here, so that it is made in its place
        if let Some(switch) = self.stops(access, site) {
            self.perform(switch);
            if self.stopping.get() {
                me.wait.set(None);
            }
        }
    }

    /// The running thread, which knows what it waits for, is not runnable.
    #[inline(never)]
    fn stops(&self, access: Access, site: Site) -> Option<HandOff<'_>> {
        let me = self.here();
        if self.stopping.get() {
            me.wait.set(None);
            self.wait_abandoned();
            return None;
        }
        if self.is_looking() {
            let Some(wait) = me.wait.take() else { unreachable!("it knows what it waits for") };
            self.interrupted(|| self.block(wait, access, site));
            return None;
        }
        self.check_stack();
        me.site.set(site);
        me.pending.set(access);
        let in_budget = self.take_step();
        self.remove_current();
        let next = if in_budget { self.pick_other(false) } else { None };
        let switch = self.go(me, next, false);
        if self.stopping.get() {
            me.wait.set(None);
        }
        switch
    }

    /// The running thread is not runnable any more.
    #[inline(always)]
    pub fn remove_current(&self) {
        let slot = self.current.get();
        self.runnable.remove(slot);
        self.ranks.leaves(self.here());
        if !self.spun.is_empty() {
            self.spun.remove(slot);
        }
        if !self.yielded.is_empty() {
            self.yielded.clear(); // to block is a step
        }
        self.progressed.set(true);
    }

    /// Counts the step of a decision; false when there is none left.
    #[inline(always)]
    pub fn take_step(&self) -> bool {
        self.account();
        let steps = self.steps.get();
        if steps >= self.max_steps.get() {
            self.fail(Verdict::StepBudget { steps });
            return false;
        }
        self.steps.set(steps + 1);
        self.count_own(1);
        if self.contended.get() {
            self.choices.set(self.choices.get() + 1);
        }
        true
    }

    /// Continues with `next`; with none the execution is over.
    #[inline(always)]
    fn go<'a>(&self, me: &'a Thread, next: Option<u32>, preempted: bool) -> Option<HandOff<'a>> {
        match next {
            Some(next) if next == self.current.get() => None,
            Some(next) => {
                self.preemptions.set(self.preemptions.get() + u64::from(preempted));
                self.switch_to(next);
                Some((me, next))
            }
            None => {
                self.give_up();
                None
            }
        }
    }

    /// Makes `next` the thread that the scheduler resumes.
    #[inline(always)]
    pub fn switch_to(&self, next: u32) {
        debug_assert!(!self.is_looking(), "nobody runs while somebody looks");
        let id = self.threads[next as usize].id.get();
        self.switched(id);
        self.current.set(next);
        self.thread_id.set(id);
        self.turn.set(self.choices.get());
    }

    /// Writes a switch down.
    #[inline(always)]
    pub fn switched(&self, to: u32) {
        if self.keep_switches.get() {
            self.switches.borrow_mut().push(Switch { step: self.steps.get(), to });
        }
    }

    /// Makes a blocked thread runnable. The caller tells the strategy.
    #[inline(always)]
    pub fn make_runnable(&self, slot: u32) {
        let thread = &self.threads[slot as usize];
        thread.wait.set(None);
        if self.timed.get()
            && let Some(key) = thread.timer.take()
        {
            let mut timers = self.timers.borrow_mut();
            timers.remove(&key);
            self.timed.set(!timers.is_empty());
        }
        self.enters(slot);
        self.progressed.set(true);
    }

    /// `slot` is runnable from here on.
    #[inline]
    pub fn enters(&self, slot: u32) {
        self.runnable.insert(slot);
        self.ranks.enters(&self.threads[slot as usize]);
    }

    /// Wakes a blocked thread while the running one goes on.
    #[inline]
    pub fn wake(&self, slot: u32) {
        if self.is_looking() {
            // Somebody has waited for a lock that an interrupted look held.
            return self.interrupted(|| self.wake(slot));
        }
        self.make_runnable(slot);
        if self.prioritising.get() && self.has_woken(slot) {
            return;
        }
        if !self.stopping.get() {
            if self.reducing.get() {
                self.reduced_wake(slot);
            }
            self.account();
            self.set_changed();
        }
    }

    /// Sets the running thread's timer.
    pub fn set_timer(&self, at: Duration) {
        let sequence = self.timer_sequence.get();
        self.timer_sequence.set(sequence + 1);
        self.timers.borrow_mut().insert((at, sequence), self.current.get());
        self.timed.set(true);
        self.here().timer.set(Some((at, sequence)));
    }

    /// Moves time to the next timer, and wakes whoever waits for that time; false if there is none.
    pub fn fire_timers(&self) -> bool {
        if !self.timed.get() {
            return false;
        }
        let first = self.timers.borrow().first_key_value().map(|(key, _)| key.0);
        let Some(time) = first else { return false };
        assert!(time >= self.now.get(), "time went backwards");
        self.now.set(time);
        self.reduced_time();
        self.event(Op::Time, 0, 0, 0, time.as_nanos() as u32, self.here().site.get());
        loop {
            let due = self.timers.borrow().first_key_value().filter(|(key, _)| key.0 <= time).map(|(_, slot)| *slot);
            let Some(slot) = due else { return true };
            self.make_runnable(slot);
        }
    }

    pub fn deadlock(&self) {
        self.reduced_stuck();
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
