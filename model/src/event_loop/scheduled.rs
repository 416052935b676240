//! Tasks that run later, once or again and again.
//!
//! **Invariant: a scheduled task is in the timers of its loop, or in its queue, or running, or ended; and only the loop's thread
//! runs or drops its closure once the loop has accepted it.** Timers are ordered by deadline, then by number.
//!
//! ```text
//!   schedule ──outside──> queue ──not due──> timers ──due──> queue ──> run ──period──> timers
//!           └──on the loop────────────────────^                         └─> Ended, Panicked
//!   cancel: Waiting ──> Cancelled, at once, from any thread; the closure is dropped when the loop comes to it
//! ```
//!
//! Netty puts the sign of the period to use: positive is a fixed rate, negative a fixed delay. Here it has two names.

use super::{EventLoop, LoopBound, LoopState, OnLoop, Rejected, Task};
use crate::observe::Reach;
use crate::platform::{AtomicOps, CounterOps};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use core::time::Duration;

/// Where a scheduled task is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScheduledState {
    /// It will run: a periodic one, again.
    Waiting,
    /// It is running for the only time, or has begun to.
    Running,
    /// It has run for the only time.
    Ended,
    /// It was cancelled, by its handle or by the end of its loop.
    Cancelled,
    /// It panicked: a periodic one runs no more.
    Panicked,
}

impl ScheduledState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Ended, Self::Cancelled, Self::Panicked];
}

/// Deadline, then number.
type Key = (Duration, u64);

struct Handle<P: Platform> {
    event_loop: EventLoop<P>,
    state: P::Atomic<u32>,
    /// Its key in the timers, while it is there.
    place: LoopBound<Option<Key>, P>,
}

/// A handle to a scheduled task; clones are the same task. Dropping it changes nothing.
pub struct ScheduledTask<P: Platform = Std>(Arc<Handle<P>>);

impl<P: Platform> Clone for ScheduledTask<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> ScheduledTask<P> {
    fn new(event_loop: &EventLoop<P>) -> Self {
        Self(Arc::new(Handle {
            event_loop: event_loop.clone(),
            state: P::Atomic::new(ScheduledState::Waiting as u32),
            place: LoopBound::new(event_loop.thread().clone(), None),
        }))
    }

    /// Where it is in its life.
    pub fn state(&self) -> ScheduledState {
        // Acquire: pairs with the exchange in `advance`; what the task did is seen when it has ended.
        ScheduledState::ALL[self.0.state.load(Ordering::Acquire) as usize]
    }

    fn advance(&self, from: ScheduledState, to: ScheduledState) -> bool {
        // AcqRel: the end of a run is seen by `state`, and one of two that cancel or run it wins.
        self.0.state.compare_exchange(from as u32, to as u32, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Cancels it, from any thread; `false` when it runs, has run or was cancelled already. A periodic task can be cancelled
    /// while it runs: that run is then its last. Its closure is dropped by the loop's thread: at once if that calls, else when
    /// the loop comes to it, when the task would have been due, or at the end of the loop.
    pub fn cancel(&self) -> bool {
        if !self.advance(ScheduledState::Waiting, ScheduledState::Cancelled) {
            return false;
        }
        P::reach(Reach::ScheduledTaskCancelled);
        let event_loop = &self.0.event_loop;
        event_loop.0.counters.scheduled_removed.add(1);
        match event_loop.here() {
            Some(on) => drop(self.remove(on)),
            // A loop that refuses it will drop the closure later.
            None => drop(event_loop.execute(Task::Unschedule(self.clone()))),
        }
        true
    }

    fn remove(&self, on: OnLoop<'_, P>) -> Option<Box<Timer<P>>> {
        let key = self.0.place.with(on, Option::take)?;
        self.0.event_loop.0.private.with(on, |p| p.timers.by_key.remove(&key))
    }

    /// The loop comes to a cancelled task.
    pub(super) fn unschedule(&self) {
        let on = self.0.event_loop.here().expect("a task runs on its loop");
        drop(self.remove(on));
    }
}

/// When a task that has run runs again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeat {
    /// So long after the last deadline, however long it took.
    Rate(Duration),
    /// So long after its end.
    Delay(Duration),
}

enum Body {
    Once(Box<dyn FnOnce() + Send>),
    Again(Repeat, Box<dyn FnMut() + Send>),
}

/// A scheduled task with its closure.
pub struct Timer<P: Platform = Std> {
    handle: ScheduledTask<P>,
    deadline: Duration,
    /// 0: not in the timers yet.
    number: u64,
    body: Body,
}

/// Marks a task as panicked unless it comes to its end.
struct Run<'a, P: Platform>(&'a ScheduledTask<P>, ScheduledState);

impl<P: Platform> Drop for Run<'_, P> {
    fn drop(&mut self) {
        self.0.advance(self.1, ScheduledState::Panicked);
    }
}

impl<P: Platform> Timer<P> {
    /// The loop comes to it: it runs if it is due, else it waits among the timers.
    pub(super) fn run(mut self: Box<Self>) {
        let handle = self.handle.clone();
        let event_loop = &handle.0.event_loop;
        if handle.state() == ScheduledState::Cancelled {
            return;
        }
        if self.deadline > P::now() {
            event_loop.insert(self);
            return;
        }
        let repeat = match self.body {
            Body::Once(f) => {
                if handle.advance(ScheduledState::Waiting, ScheduledState::Running) {
                    let panicked = Run(&handle, ScheduledState::Running);
                    f();
                    handle.advance(ScheduledState::Running, ScheduledState::Ended);
                    drop(panicked);
                }
                return;
            }
            Body::Again(repeat, ref mut f) => {
                let panicked = Run(&handle, ScheduledState::Waiting);
                f();
                core::mem::forget(panicked); // it only borrows
                repeat
            }
        };
        self.deadline = match repeat {
            Repeat::Rate(period) => self.deadline.saturating_add(period),
            Repeat::Delay(delay) => P::now().saturating_add(delay),
        };
        if event_loop.state() < LoopState::Shutdown && handle.state() == ScheduledState::Waiting {
            event_loop.insert(self);
        } else {
            event_loop.cancelled_at_end(self);
        }
    }
}

/// The timers of a loop.
pub(super) struct Timers<P: Platform> {
    by_key: BTreeMap<Key, Box<Timer<P>>>,
    last_number: u64,
}

impl<P: Platform> Default for Timers<P> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), last_number: 0 }
    }
}

impl<P: Platform> Timers<P> {
    fn insert(&mut self, on: OnLoop<'_, P>, mut timer: Box<Timer<P>>) {
        if timer.number == 0 {
            self.last_number += 1;
            timer.number = self.last_number;
        }
        let key = (timer.deadline, timer.number);
        timer.handle.0.place.with(on, |place| *place = Some(key));
        let before = self.by_key.insert(key, timer);
        assert!(before.is_none(), "numbers are unique");
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.by_key.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    pub(super) fn take_due(&mut self, on: OnLoop<'_, P>, now: Duration) -> Option<Box<Timer<P>>> {
        self.next_deadline().filter(|deadline| *deadline <= now)?;
        let (_, timer) = self.by_key.pop_first()?;
        timer.handle.0.place.with(on, |place| *place = None);
        Some(timer)
    }

    pub(super) fn put_back(&mut self, on: OnLoop<'_, P>, timer: Box<Timer<P>>) {
        self.insert(on, timer);
    }

    fn take_all(&mut self, on: OnLoop<'_, P>) -> BTreeMap<Key, Box<Timer<P>>> {
        let all = core::mem::take(&mut self.by_key);
        for timer in all.values() {
            timer.handle.0.place.with(on, |place| *place = None);
        }
        all
    }
}

impl<P: Platform> EventLoop<P> {
    /// Has the loop run `f` after `delay`, unless it shuts down before. Due tasks queue up behind those that are in the queue
    /// already. The handle may be dropped.
    ///
    /// # Errors
    /// As [`EventLoop::execute`].
    pub fn schedule(
        &self,
        delay: Duration,
        f: impl FnOnce() + Send + 'static,
    ) -> Result<ScheduledTask<P>, Rejected<P>> {
        self.schedule_body(delay, Body::Once(Box::new(f)))
    }

    /// Has the loop run `f` after `delay` and then at every `period` from there, however long it takes; what is late is made up
    /// for, one run a pass. A panic ends it. A period is one nanosecond at least.
    ///
    /// # Errors
    /// As [`EventLoop::execute`].
    pub fn schedule_at_fixed_rate(
        &self,
        delay: Duration,
        period: Duration,
        f: impl FnMut() + Send + 'static,
    ) -> Result<ScheduledTask<P>, Rejected<P>> {
        self.schedule_body(delay, Body::Again(Repeat::Rate(period.max(SHORTEST)), Box::new(f)))
    }

    /// Has the loop run `f` after `delay` and then again `pause` after the end of each run. A panic ends it. A pause is one
    /// nanosecond at least.
    ///
    /// # Errors
    /// As [`EventLoop::execute`].
    pub fn schedule_with_fixed_delay(
        &self,
        delay: Duration,
        pause: Duration,
        f: impl FnMut() + Send + 'static,
    ) -> Result<ScheduledTask<P>, Rejected<P>> {
        self.schedule_body(delay, Body::Again(Repeat::Delay(pause.max(SHORTEST)), Box::new(f)))
    }

    fn schedule_body(&self, delay: Duration, body: Body) -> Result<ScheduledTask<P>, Rejected<P>> {
        let deadline = P::now().saturating_add(delay);
        let handle = ScheduledTask::new(self);
        let timer = Box::new(Timer { handle: handle.clone(), deadline, number: 0, body });
        if self.in_loop() && self.state() < LoopState::Shutdown {
            self.insert(timer);
        } else {
            self.execute(Task::Scheduled(timer))?;
        }
        Ok(handle)
    }

    fn insert(&self, timer: Box<Timer<P>>) {
        let on = self.here().expect("timers are the loop's own");
        self.0.private.with(on, |p| p.timers.insert(on, timer));
    }

    fn cancelled_at_end(&self, timer: Box<Timer<P>>) {
        if timer.handle.advance(ScheduledState::Waiting, ScheduledState::Cancelled) {
            self.0.counters.cancelled.add(1);
        }
        drop(timer);
    }

    /// Cancels all of them: the loop shuts down.
    pub(super) fn cancel_scheduled(&self, on: OnLoop<'_, P>) {
        let all = self.0.private.with(on, |p| p.timers.take_all(on));
        for timer in all.into_values() {
            // Destructors of closures are the user's.
            if P::catch(|| self.cancelled_at_end(timer)).is_err() {
                self.0.counters.panicked.add(1);
            }
        }
    }
}

/// The shortest period.
const SHORTEST: Duration = Duration::from_nanos(1);
