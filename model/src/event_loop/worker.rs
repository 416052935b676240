//! The thread of an event loop.
//!
//! **Invariant: when `run` returns, the state is Terminated and nothing will ever run on the loop again.**
//!
//! ```text
//!   turn:      wait if idle -> channels that are ready -> pass: due tasks into the queue, tasks, tail tasks
//!   shutdown:  turn -> close channels -> confirm: cancel timers, run all, hooks; quiet long enough? ──no──> turn
//!                                                                                       └──yes──> terminate
//! ```

use super::queue::Consumer;
use super::stats::bump;
use super::{
    ASLEEP, ASLEEP_LAZY, AWAKE, Closure, EventLoop, LoopState, OnLoop, Selector, ShutdownRule, TailRule, Task,
};
use super::{hook::Hooks, scheduled::Timers};
use crate::Platform;
use crate::channel::Channel;
use crate::observe::Reach;
use crate::platform::{AtomicOps, Lock};
use crate::task_queue::{Refusal, TaskConsumer};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

/// How long a loop in its quiet period sleeps between two looks (Netty).
const QUIET_STEP: Duration = Duration::from_millis(100);

/// Tasks between two looks at the clock (Netty: a look is expensive).
const CLOCK_INTERVAL: u64 = 64;

/// State of the loop's thread that its tasks use too.
pub(super) struct Private<P: Platform> {
    pub(super) timers: Timers<P>,
    pub(super) channels: Vec<Channel<P>>,
    pub(super) hooks: Hooks,
}

impl<P: Platform> Default for Private<P> {
    fn default() -> Self {
        Self { timers: Timers::default(), channels: Vec::new(), hooks: Hooks::default() }
    }
}

/// What waits for the loop's thread to take it.
pub(super) struct Outfit<P: Platform> {
    pub(super) tasks: Consumer<P>,
    pub(super) tails: TaskConsumer<Closure, P>,
    pub(super) selector: Box<dyn Selector<P>>,
}

pub(super) struct Worker<P: Platform> {
    event_loop: EventLoop<P>,
    outfit: Outfit<P>,
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
        let mut outfit = shared.outfit.lock().take().expect("an event loop has one thread");
        outfit.selector.bind();
        let (last_execution, shutdown_started) = (P::now(), None);
        Self { event_loop, outfit, last_execution, shutdown_started, polled: 0, sure: VecDeque::new() }
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
        } else {
            self.outfit.selector.select_now();
        }
        let io_time = self.serve_channels();
        let any = match u32::from(self.event_loop.0.config.io_ratio.clamp(1, 100)) {
            100 => self.run_until_empty(),
            ratio => self.run_for(io_time.saturating_mul(100 - ratio) / ratio),
        };
        if self.run_surely() || any {
            self.last_execution = P::now();
        }
        self.run_tails();
    }

    fn is_idle(&self) -> bool {
        let shared = &*self.event_loop.0;
        // SeqCst: see `channel_ready`.
        shared.queue.is_empty()
            && shared.ready_count.load(Ordering::SeqCst) == 0
            && shared.tails.is_empty()
            && shared.surely.is_empty()
            && self.sure.is_empty()
            && self.event_loop.state() < LoopState::ShuttingDown
    }

    /// Sleeps until a task comes, a channel becomes writable, a scheduled task is due, or the shutdown begins.
    fn wait(&mut self) {
        let event_loop = self.event_loop.clone();
        let shared = &*event_loop.0;
        let next_timer = self.private(|p| p.timers.next_deadline());
        let began = P::now();
        if next_timer.is_some_and(|d| d <= began) {
            return;
        }
        // A loop that has something to come isn't idle for good.
        let idle_end = shared.config.idle_end.filter(|_| next_timer.is_none()).map(|time| began.saturating_add(time));
        let mut deadline = next_timer.or(idle_end);
        // What this thread has recycled for others would wait as long as it does. Channels of one application share their pools.
        if let Some(channel) = self.private(|p| p.channels.first().cloned()) {
            channel.hand_over();
        }
        // SeqCst: before the look at the queue in the total order; see the module of `EventLoop`.
        shared.sleep.store(ASLEEP, Ordering::SeqCst);
        if self.is_idle() {
            bump(&shared.counters.sleeps, 1);
            loop {
                if self.outfit.selector.select(deadline.map(|d| d.saturating_sub(P::now()))) {
                    break;
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
        if idle_end.is_some_and(|end| end <= P::now()) && self.is_idle() {
            event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
        }
    }

    /// Serves the channels that are ready; how long that took.
    fn serve_channels(&self) -> Duration {
        let shared = &*self.event_loop.0;
        // SeqCst: see `channel_ready`.
        if shared.ready_count.load(Ordering::SeqCst) == 0 {
            return Duration::ZERO;
        }
        let began = P::now();
        let mut list = shared.ready.lock();
        let ready = core::mem::take(&mut *list);
        // SeqCst: as above. Under the lock, so that the count is that of the list.
        shared.ready_count.store(0, Ordering::SeqCst);
        drop(list);
        for channel in ready {
            self.run_caught(|| channel.transport_ready());
        }
        P::now().saturating_sub(began)
    }

    fn run_caught(&self, f: impl FnOnce()) {
        self.event_loop.run_caught(f);
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
    ///
    /// When it returns, another thread may stand in for this one already: nothing that belongs to the loop is touched any more.
    fn run_last(&mut self) {
        while let Some((_, task)) = self.sure.pop_front() {
            self.run_sure(task);
        }
        loop {
            self.cancel_scheduled(); // what the last task scheduled
            let Some(task) = self.event_loop.0.surely.poll_last(|| self.event_loop.0.owner.leave()) else { return };
            self.run_sure(task);
        }
    }

    fn run_sure(&self, task: Task<P>) {
        bump(&self.event_loop.0.counters.run, 1);
        self.run_caught(|| task.run());
    }

    fn run_one(&mut self) -> bool {
        let Some(task) = self.outfit.tasks.poll() else { return false };
        self.polled += 1;
        bump(&self.event_loop.0.counters.run, 1);
        self.run_caught(|| task.run());
        true
    }

    /// Moves what is due into the queue, behind what is there; whether there was room for all.
    fn fetch_due(&self) -> bool {
        while let Some(timer) = self.private(|p| match p.timers.next_deadline() {
            Some(_) => p.timers.take_due(self.on(), P::now()),
            None => None,
        }) {
            if let Err((Task::Scheduled(timer), refusal)) = self.event_loop.0.queue.offer(Task::Scheduled(timer)) {
                self.private(|p| p.timers.put_back(self.on(), timer));
                return refusal == Refusal::Closed; // then there never will be room
            }
        }
        true
    }

    /// Runs tasks for `budget` from now, but 64 in any case; says whether there were any.
    fn run_for(&mut self, budget: Duration) -> bool {
        self.fetch_due();
        let deadline = P::now().saturating_add(budget);
        let mut run = 0;
        while self.run_one() {
            run += 1;
            if run % CLOCK_INTERVAL == 0 && P::now() >= deadline {
                break;
            }
        }
        run > 0
    }

    /// Runs tasks until there are none; says whether there were any. Producers that are fast enough keep it busy for ever.
    fn run_until_empty(&mut self) -> bool {
        let mut any = false;
        loop {
            let fetched_all = self.fetch_due();
            while self.run_one() {
                any = true;
            }
            if fetched_all {
                return any;
            }
        }
    }

    /// A whole pass: all tasks, then the tail tasks.
    fn run_all(&mut self) -> bool {
        let any = self.run_until_empty();
        if any {
            self.last_execution = P::now();
        }
        self.run_tails();
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
        self.run_tails();
        present > 0
    }

    fn run_tails(&mut self) {
        let mut left = match self.event_loop.0.config.tail {
            TailRule::UntilEmpty => u64::MAX,
            TailRule::Present => self.event_loop.0.tails.len(),
        };
        while left > 0
            && let Some(task) = self.outfit.tails.poll()
        {
            left -= 1;
            P::reach(Reach::TailTaskRun);
            bump(&self.event_loop.0.counters.tail_run, 1);
            self.run_caught(task);
        }
    }

    /// Runs the shutdown hooks, those that they add included; says whether there were any.
    fn run_hooks(&mut self) -> bool {
        let mut any = false;
        loop {
            let hooks = self.private(|p| p.hooks.take());
            if hooks.is_empty() {
                break;
            }
            any = true;
            for hook in hooks {
                bump(&self.event_loop.0.counters.hooks_run, 1);
                self.run_caught(hook);
            }
        }
        if any {
            self.last_execution = P::now();
        }
        any
    }

    fn close_channels(&self) {
        let channels = self.private(|p| p.channels.clone());
        for channel in channels {
            channel.close_for_shutdown();
        }
    }

    fn cancel_scheduled(&self) {
        self.event_loop.cancel_scheduled(self.on());
    }

    /// Netty's `confirmShutdown`: hooks run in the first pass without tasks. Ours asks for the timeout also while tasks keep coming.
    fn confirm_shutdown(&mut self) -> bool {
        self.cancel_scheduled();
        let started = *self.shutdown_started.get_or_insert_with(P::now);
        let shared = &*self.event_loop.0;
        let ours = shared.config.shutdown == ShutdownRule::CloseQueue;
        // Relaxed: stored before the state, which we have read.
        let quiet_period = Duration::from_nanos(shared.quiet_period.load(Ordering::Relaxed));
        let timeout = Duration::from_nanos(shared.timeout.load(Ordering::Relaxed));
        let any = if ours { self.run_present() } else { self.run_all() } || self.run_hooks();
        let now = P::now();
        let late = now - started > timeout;
        if any {
            return quiet_period.is_zero() || ours && late;
        }
        if late {
            return true;
        }
        // Without a quiet period nothing is waited for: a simulated clock stands still meanwhile, as a real one doesn't.
        if now - self.last_execution <= quiet_period && !quiet_period.is_zero() {
            P::sleep(QUIET_STEP);
            return false;
        }
        true
    }

    fn terminate(mut self) {
        match self.event_loop.0.config.shutdown {
            ShutdownRule::NoFinalPass => while !self.confirm_shutdown() {},
            ShutdownRule::FinalPass => {
                while !self.confirm_shutdown() {}
                self.event_loop.set_state(LoopState::ShuttingDown, LoopState::Shutdown);
                self.cancel_scheduled();
                let _any = self.run_all() || self.run_hooks(); // a `confirm_shutdown` whose answer is known
            }
            ShutdownRule::CloseQueue => {
                self.run_hooks(); // before the end, so that what they execute is accepted
                self.event_loop.close_queues();
                self.event_loop.set_state(LoopState::ShuttingDown, LoopState::Shutdown);
                if !self.event_loop.0.queue.is_empty() {
                    P::reach(Reach::TerminatedWithTasks);
                }
                while self.run_all() || self.run_hooks() || !self.event_loop.0.tails.is_empty() {}
                self.close_channels(); // one may have been registered by the last tasks
                assert!(self.event_loop.0.queue.is_empty(), "a closed queue stays empty");
            }
        }
        self.run_last();
        self.event_loop.set_state(self.event_loop.state(), LoopState::Terminated);
        // After the state: who comes to the list later sees it. Outside the lock, as a channel may be dropped here.
        let ready = core::mem::take(&mut *self.event_loop.0.ready.lock());
        drop(ready);
        self.abandon_leftovers();
        self.event_loop.0.terminated.complete(Ok(()));
    }

    fn abandon_leftovers(&mut self) {
        while let Some(task) = self.outfit.tasks.poll() {
            self.abandoned();
            task.abandon();
        }
        while let Some(task) = self.outfit.tails.poll() {
            self.abandoned();
            drop(task);
        }
    }

    fn abandoned(&self) {
        P::reach(Reach::TerminatedWithTasks);
        bump(&self.event_loop.0.counters.abandoned, 1);
    }
}
