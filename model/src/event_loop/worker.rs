//! The thread of an event loop.
//!
//! **Invariant: when `run` returns, the state is Terminated and nothing will ever run on the loop again.**

use super::stats::bump;
use super::{ASLEEP, ASLEEP_LAZY, AWAKE, EventLoop, LoopState, OnLoop, ShutdownRule, Task};
use crate::Platform;
use crate::channel::Channel;
use crate::observe::Reach;
use crate::platform::{AtomicOps, Lock};
use crate::task_queue::TaskConsumer;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

/// How long a loop in its quiet period sleeps between two looks (Netty).
const QUIET_STEP: Duration = Duration::from_millis(100);

/// State of the loop's thread that its tasks use too.
pub(super) struct Private<P: Platform> {
    /// By deadline, then in order of scheduling.
    scheduled: BTreeMap<(Duration, u64), Box<dyn FnOnce() + Send>>,
    next_number: u64,
    pub(super) channels: Vec<Channel<P>>,
}

impl<P: Platform> Default for Private<P> {
    fn default() -> Self {
        Self { scheduled: BTreeMap::new(), next_number: 0, channels: Vec::new() }
    }
}

impl<P: Platform> Private<P> {
    pub(super) fn schedule(&mut self, deadline: Duration, task: Box<dyn FnOnce() + Send>) {
        self.next_number += 1;
        self.scheduled.insert((deadline, self.next_number), task);
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.scheduled.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    fn take_due(&mut self, now: Duration) -> Option<Box<dyn FnOnce() + Send>> {
        self.next_deadline().filter(|&deadline| deadline <= now)?;
        self.scheduled.pop_first().map(|(_, task)| task)
    }
}

pub(super) struct Worker<P: Platform> {
    event_loop: EventLoop<P>,
    consumer: TaskConsumer<Task<P>, P>,
    last_execution: Duration,
    shutdown_started: Option<Duration>,
    /// Tasks taken from the queue so far.
    polled: u64,
    /// What can't be refused, and after how many tasks of the queue each comes.
    sure: VecDeque<(u64, Task<P>)>,
}

impl<P: Platform> Worker<P> {
    pub(super) fn new(event_loop: EventLoop<P>) -> Self {
        let shared = &*event_loop.0;
        shared.owner.claim();
        *shared.thread.lock() = Some(P::current());
        let consumer = shared.consumer.lock().take().expect("an event loop has one thread");
        Self {
            event_loop,
            consumer,
            last_execution: P::now(),
            shutdown_started: None,
            polled: 0,
            sure: VecDeque::new(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            self.turn();
            if self.event_loop.state() >= LoopState::ShuttingDown {
                self.close_channels();
                if self.confirm_shutdown() {
                    break;
                }
            }
        }
        self.terminate();
    }

    fn on(&self) -> OnLoop<'_, P> {
        self.event_loop.here().expect("the worker runs on its loop")
    }

    fn private<R>(&self, f: impl FnOnce(&mut Private<P>) -> R) -> R {
        self.event_loop.0.private.with(self.on(), f)
    }

    fn turn(&mut self) {
        if self.is_idle() {
            self.wait();
        }
        self.serve_channels();
        let mut any = self.run_scheduled();
        for _ in 0..self.event_loop.0.config.tasks_per_turn.max(1) {
            if !self.run_one() {
                break;
            }
            any = true;
        }
        any |= self.run_surely();
        if any {
            self.last_execution = P::now();
        }
    }

    fn is_idle(&self) -> bool {
        let shared = &*self.event_loop.0;
        // SeqCst: see `channel_ready`.
        shared.queue.is_empty()
            && shared.ready_count.load(Ordering::SeqCst) == 0
            && shared.surely.is_empty()
            && self.sure.is_empty()
            && self.event_loop.state() < LoopState::ShuttingDown
    }

    /// Sleeps until a task comes, a channel becomes writable, a scheduled task is due, or the shutdown begins.
    fn wait(&self) {
        let shared = &*self.event_loop.0;
        let mut deadline = self.private(|p| p.next_deadline());
        let began = P::now();
        if deadline.is_some_and(|d| d <= began) {
            return;
        }
        // What this thread has recycled for others would wait as long as it does. Channels of one application share their pools.
        if let Some(channel) = self.private(|p| p.channels.first().cloned()) {
            channel.hand_over();
        }
        // SeqCst: before the look at the queue in the total order; see the module of `EventLoop`.
        shared.sleep.store(ASLEEP, Ordering::SeqCst);
        if self.is_idle() {
            bump(&shared.counters.sleeps, 1);
            loop {
                match deadline {
                    None => P::park(),
                    Some(d) => P::park_timeout(d.saturating_sub(P::now())),
                }
                // Acquire: pairs with the release in `wake`.
                match shared.sleep.load(Ordering::Acquire) {
                    AWAKE => break,
                    ASLEEP_LAZY => {
                        let last = began.saturating_add(shared.config.lazy_wait);
                        deadline = Some(deadline.map_or(last, |d| d.min(last)));
                    }
                    _ => (),
                }
                if deadline.is_some_and(|d| d <= P::now()) {
                    break;
                }
            }
        }
        // Relaxed: who finds the flag still up only wakes in vain.
        shared.sleep.store(AWAKE, Ordering::Relaxed);
    }

    fn serve_channels(&self) {
        let shared = &*self.event_loop.0;
        // SeqCst: see `channel_ready`.
        if shared.ready_count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut list = shared.ready.lock();
        let ready = core::mem::take(&mut *list);
        // SeqCst: as above. Under the lock, so that the count is that of the list.
        shared.ready_count.store(0, Ordering::SeqCst);
        drop(list);
        for channel in ready {
            self.run_caught(|| channel.transport_ready());
        }
    }

    fn run_caught(&self, f: impl FnOnce()) {
        if P::catch(f).is_err() {
            bump(&self.event_loop.0.counters.panicked, 1);
        }
        P::boundary();
    }

    /// Runs what can't be refused: few, and each the end of something. Each after the tasks that were in the queue when it was
    /// seen first, so that it overtakes nothing that its giver gave before.
    fn run_surely(&mut self) -> bool {
        while let Some(task) = self.event_loop.0.surely.poll() {
            self.sure.push_back((self.polled + self.event_loop.0.queue.len(), task));
        }
        let mut any = false;
        while let Some((_, task)) = self.sure.pop_front_if(|(after, _)| *after <= self.polled) {
            any = true;
            self.run_sure(task);
        }
        any
    }

    /// Runs the last of them, when the queue is empty for good.
    fn run_last(&mut self) {
        while let Some((_, task)) = self.sure.pop_front() {
            self.run_sure(task);
        }
        while let Some(task) = self.event_loop.0.surely.poll_last() {
            self.run_sure(task);
        }
    }

    fn run_sure(&self, task: Task<P>) {
        bump(&self.event_loop.0.counters.run, 1);
        self.run_caught(|| task.run());
    }

    fn run_one(&mut self) -> bool {
        let Some(task) = self.consumer.poll() else { return false };
        self.polled += 1;
        bump(&self.event_loop.0.counters.run, 1);
        self.run_caught(|| task.run());
        true
    }

    fn run_scheduled(&self) -> bool {
        let mut any = false;
        while let Some(task) = self.private(|p| p.next_deadline().and_then(|_| p.take_due(P::now()))) {
            any = true;
            bump(&self.event_loop.0.counters.run, 1);
            self.run_caught(task);
        }
        any
    }

    /// Runs tasks until there are none; says whether there were any. Producers that are fast enough keep it busy for ever.
    fn run_all(&mut self) -> bool {
        let mut any = false;
        while self.run_one() {
            any = true;
        }
        if any {
            self.last_execution = P::now();
        }
        any
    }

    /// As `run_all`, but only the tasks that are here now: those that come meanwhile can't put the end off.
    fn run_present(&mut self) -> bool {
        let present = self.event_loop.0.queue.len();
        for _ in 0..present {
            self.run_one();
        }
        if present > 0 {
            self.last_execution = P::now();
        }
        present > 0
    }

    fn close_channels(&self) {
        let channels = self.private(|p| p.channels.clone());
        for channel in channels {
            channel.close_for_shutdown();
        }
    }

    fn cancel_scheduled(&self) {
        let cancelled = self.private(|p| core::mem::take(&mut p.scheduled));
        bump(&self.event_loop.0.counters.cancelled, cancelled.len() as u64);
    }

    /// Netty's `confirmShutdown`. Ours asks for the timeout also while tasks keep coming.
    fn confirm_shutdown(&mut self) -> bool {
        self.cancel_scheduled();
        let started = *self.shutdown_started.get_or_insert_with(P::now);
        let shared = &*self.event_loop.0;
        let ours = shared.config.shutdown == ShutdownRule::CloseQueue;
        // Relaxed: stored before the state, which we have read.
        let quiet_period = Duration::from_nanos(shared.quiet_period.load(Ordering::Relaxed));
        let timeout = Duration::from_nanos(shared.timeout.load(Ordering::Relaxed));
        let any = if ours { self.run_present() } else { self.run_all() };
        let now = P::now();
        let late = now - started > timeout;
        if any {
            return quiet_period.is_zero() || ours && late;
        }
        if late {
            return true;
        }
        if now - self.last_execution <= quiet_period && !quiet_period.is_zero() {
            P::sleep(QUIET_STEP);
            return false;
        }
        true
    }

    fn terminate(mut self) {
        match self.event_loop.0.config.shutdown {
            ShutdownRule::NoFinalPass => (),
            ShutdownRule::FinalPass => {
                self.event_loop.set_state(LoopState::Shutdown);
                self.run_all();
            }
            ShutdownRule::CloseQueue => {
                self.event_loop.0.queue.close();
                self.event_loop.set_state(LoopState::Shutdown);
                if !self.event_loop.0.queue.is_empty() {
                    P::reach(Reach::TerminatedWithTasks);
                }
                self.run_all();
                self.close_channels(); // one may have been registered by the last tasks
                self.cancel_scheduled();
                assert!(self.event_loop.0.queue.is_empty(), "a closed queue stays empty");
            }
        }
        self.run_last();
        self.event_loop.set_state(LoopState::Terminated);
        // After the state: who comes to the list later sees it. Outside the lock, as a channel may be dropped here.
        let ready = core::mem::take(&mut *self.event_loop.0.ready.lock());
        drop(ready);
        self.abandon_leftovers();
        self.event_loop.0.terminated.complete(Ok(()));
    }

    fn abandon_leftovers(&mut self) {
        while let Some(task) = self.consumer.poll() {
            P::reach(Reach::TerminatedWithTasks);
            bump(&self.event_loop.0.counters.abandoned, 1);
            task.abandon();
        }
    }
}
