//! The event loop: one thread that runs the tasks that any thread gives it, and serves its channels.
//!
//! **Invariant: a task that `execute` accepted is run, once, on the loop's thread; one that it refused comes back in the
//! error.** (Under the shutdown rules of Netty the first half has the holes that Netty has; see [`ShutdownRule`].)
//!
//! ```text
//!   NotStarted ──execute──> Started ──shutdown_gracefully──> ShuttingDown ──> Shutdown ──> Terminated
//!                             │                               runs tasks       refuses      thread gone
//!   one turn: wait if idle -> channels that became writable -> up to 64 tasks -> if shutting down: close channels, confirm
//! ```
//!
//! The loop sleeps with [`Platform::park`]. A producer appends its task and then looks at the sleep flag; the loop
//! raises the flag and then looks at the queue: sequentially consistent operations on both make one of them see the other.

mod bound;
mod config;
mod stall;
mod stats;
mod surely;
mod task;
mod worker;

pub(crate) use bound::{LoopBound, LoopFlag, LoopThread, OnLoop};
pub use config::{LazyRule, LoopConfig, ShutdownRule};
pub use stall::Stall;
pub use stats::LoopStats;
pub use task::Task;

use crate::channel::Channel;
use crate::observe::{Defect, Reach};
use crate::platform::{AtomicOps, CounterOps, JoinOps, Lock, Panicked, SpawnError, ThreadOps};
use crate::promise::Promise;
use crate::task_queue::{Refusal, TaskConsumer, TaskQueue, task_queue};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use stats::Counters;
use surely::Surely;
use worker::{Private, Worker};

/// Where an event loop is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum LoopState {
    /// No task yet, hence no thread.
    NotStarted,
    /// Running.
    Started,
    /// Running what comes until nothing has come for the quiet period.
    ShuttingDown,
    /// Refusing tasks; running the last ones.
    Shutdown,
    /// Its thread has nothing more to do.
    Terminated,
}

impl LoopState {
    const ALL: [Self; 5] = [Self::NotStarted, Self::Started, Self::ShuttingDown, Self::Shutdown, Self::Terminated];
}

/// Why a task was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RejectReason {
    /// The queue is at its bound.
    #[error("the queue is full")]
    Full,
    /// The event loop has shut down.
    #[error("the event loop has shut down")]
    ShutDown,
    /// The event loop has no thread and could not start one.
    #[error(transparent)]
    NoThread(#[from] SpawnError),
}

/// A refused task: it comes back, so that what it carries can be released.
pub struct Rejected<P: Platform = Std> {
    /// The task.
    pub task: Task<P>,
    /// Why.
    pub reason: RejectReason,
}

impl<P: Platform> core::fmt::Debug for Rejected<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Rejected({:?})", self.reason)
    }
}

/// Saturating: five hundred years are for ever.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The loop isn't asleep, or is being woken.
const AWAKE: u32 = 0;
/// The loop sleeps, or is about to.
const ASLEEP: u32 = 1;
/// The loop sleeps and has been told that there are lazy tasks.
const ASLEEP_LAZY: u32 = 2;

struct Shared<P: Platform> {
    name: String,
    config: LoopConfig,
    state: P::Atomic<u32>,
    sleep: P::Atomic<u32>,
    owner: LoopThread<P>,
    /// The loop's thread, to wake it; set when it runs.
    thread: P::Mutex<Option<P::Thread>>,
    join: P::Mutex<Option<P::Join>>,
    queue: TaskQueue<Task<P>, P>,
    /// Until the thread takes it.
    consumer: P::Mutex<Option<TaskConsumer<Task<P>, P>>>,
    /// Channels whose transport became writable.
    ready: P::Mutex<Vec<Channel<P>>>,
    ready_count: P::Atomic<u32>,
    quiet_period: P::Atomic<u64>,
    timeout: P::Atomic<u64>,
    terminated: Promise<P>,
    counters: Counters<P>,
    private: LoopBound<Private<P>, P>,
    surely: Surely<P>,
}

/// An event loop; clones are the same loop. It lives until it is shut down. See the [module](self).
pub struct EventLoop<P: Platform = Std>(Arc<Shared<P>>);

impl<P: Platform> Clone for EventLoop<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> EventLoop<P> {
    /// A loop that starts its thread `name` when it gets its first task.
    pub fn new(name: impl Into<String>, config: LoopConfig) -> Self {
        let (queue, consumer) = task_queue(config.max_pending_tasks);
        let owner = LoopThread::new();
        Self(Arc::new(Shared {
            name: name.into(),
            config,
            state: P::Atomic::new(LoopState::NotStarted as u32),
            sleep: P::Atomic::new(AWAKE),
            owner: owner.clone(),
            thread: P::Mutex::new(None),
            join: P::Mutex::new(None),
            queue,
            consumer: P::Mutex::new(Some(consumer)),
            ready: P::Mutex::new(Vec::new()),
            ready_count: P::Atomic::new(0),
            quiet_period: P::Atomic::new(0),
            timeout: P::Atomic::new(0),
            terminated: Promise::untracked(),
            counters: Counters::default(),
            private: LoopBound::new(owner, Private::default()),
            surely: Surely::new(),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the running thread is the loop's.
    pub fn in_loop(&self) -> bool {
        self.here().is_some()
    }

    pub(crate) fn thread(&self) -> &LoopThread<P> {
        &self.0.owner
    }

    #[inline]
    pub(crate) fn here(&self) -> Option<OnLoop<'_, P>> {
        self.0.owner.here()
    }

    /// Its state.
    pub fn state(&self) -> LoopState {
        // SeqCst: a shutdown is in one order with the sleep flag, as a task is.
        LoopState::ALL[self.0.state.load(Ordering::SeqCst) as usize]
    }

    /// Gives the loop a task. The first one starts its thread.
    ///
    /// # Errors
    /// [`Rejected`], with the task, when the loop has shut down, its queue is full or its thread can't be started.
    pub fn execute(&self, task: Task<P>) -> Result<(), Rejected<P>> {
        let shared = &*self.0;
        let in_loop = self.in_loop();
        let state = self.state();
        if state == LoopState::NotStarted && !in_loop {
            // Before the task is in the queue, out of which it could not come back.
            if let Err(error) = self.start() {
                return Err(self.rejected(task, error.into()));
            }
        }
        if state >= LoopState::Shutdown {
            return Err(self.rejected(task, RejectReason::ShutDown));
        }
        if state == LoopState::ShuttingDown && P::planted(Defect::LostTask) {
            task.abandon();
            return Ok(());
        }
        let lazy = task.is_lazy();
        if let Err((task, refusal)) = shared.queue.offer(task) {
            let reason = if refusal == Refusal::Full { RejectReason::Full } else { RejectReason::ShutDown };
            return Err(self.rejected(task, reason));
        }
        if !in_loop {
            self.wake(lazy && shared.config.lazy == LazyRule::AtNextWake);
        }
        Ok(())
    }

    /// Gives the loop a closure to run.
    ///
    /// # Errors
    /// As [`EventLoop::execute`].
    pub fn execute_fn(&self, f: impl FnOnce() + Send + 'static) -> Result<(), Rejected<P>> {
        self.execute(Task::Closure(Box::new(f)))
    }

    /// Has the loop run `f` after `delay`, unless it shuts down before.
    ///
    /// # Errors
    /// As [`EventLoop::execute`].
    pub fn schedule(&self, delay: Duration, f: impl FnOnce() + Send + 'static) -> Result<(), Rejected<P>> {
        let deadline = P::now().saturating_add(delay);
        let task = Box::new(f);
        if let Some(on) = self.here() {
            self.0.private.with(on, |p| p.schedule(deadline, task));
            return Ok(());
        }
        let this = self.clone();
        self.execute_fn(move || {
            let on = this.here().expect("a task runs on its loop");
            this.0.private.with(on, |p| p.schedule(deadline, task));
        })
    }

    /// Starts to shut down: the loop ends when no task has come for `quiet_period`, or after `timeout`. Netty's defaults are
    /// 2 s and 15 s. Later calls change nothing.
    pub fn shutdown_gracefully(&self, quiet_period: Duration, timeout: Duration) {
        let shared = &*self.0;
        for from in [LoopState::NotStarted, LoopState::Started] {
            if self.state() == from {
                // Relaxed: published by the exchange of the state below. Two callers may mix their values; both are valid.
                shared.quiet_period.store(nanoseconds(quiet_period), Ordering::Relaxed);
                shared.timeout.store(nanoseconds(timeout.max(quiet_period)), Ordering::Relaxed);
                if self.advance(from, LoopState::ShuttingDown) {
                    if from == LoopState::NotStarted && self.spawn().is_err() {
                        // Nobody has seen a thread, so that nothing can have been accepted but by a racing `execute`,
                        // whose task is abandoned with the queue.
                        self.set_state(LoopState::Terminated);
                        shared.terminated.complete(Ok(()));
                    }
                    break;
                }
            }
        }
        self.wake(false);
    }

    /// Waits until the loop has terminated. Not for the loop's own thread.
    pub fn await_termination(&self) {
        let ended = self.0.terminated.wait();
        assert_eq!(ended, Ok(()), "termination can't fail");
    }

    /// Waits until the loop's thread has ended, with its thread-local variables.
    ///
    /// # Errors
    /// [`Panicked`] when the loop itself failed; a panic of a task doesn't end it.
    pub fn join(&self) -> Result<(), Panicked> {
        self.await_termination();
        let join = self.0.join.lock().take();
        join.map_or(Ok(()), JoinOps::join)
    }

    /// The statistics.
    pub fn stats(&self) -> LoopStats {
        let (shared, c) = (&*self.0, &self.0.counters);
        let (state, queue_length) = (self.state(), shared.queue.len());
        let stranded = if state == LoopState::Terminated { queue_length } else { 0 };
        LoopStats {
            state,
            queue_length,
            peak_queue_length: shared.queue.peak(),
            tasks_run: c.run.get(),
            tasks_panicked: c.panicked.get(),
            tasks_rejected: c.rejected.get(),
            tasks_abandoned: c.abandoned.get() + stranded,
            scheduled_cancelled: c.cancelled.get(),
            sleeps: c.sleeps.get(),
        }
    }

    /// Runs what a task is; its panic is counted.
    fn run_caught(&self, f: impl FnOnce()) {
        if P::catch(f).is_err() {
            self.0.counters.panicked.add(1);
        }
        P::boundary();
    }

    /// Whether `other` is the same loop.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Puts a channel whose transport became writable on the loop's list. One that has ended keeps no channel, which would keep
    /// it in turn.
    pub(crate) fn channel_ready(&self, channel: Channel<P>) {
        let mut list = self.0.ready.lock();
        if self.state() == LoopState::Terminated {
            drop(list);
            return;
        }
        list.push(channel);
        // SeqCst: as the gate of the task queue, in one order with the sleep flag. Under the lock, so that the count is that
        // of the list.
        self.0.ready_count.fetch_add(1, Ordering::SeqCst);
        drop(list);
        self.wake(false);
    }

    pub(crate) fn register(&self, on: OnLoop<'_, P>, channel: &Channel<P>) {
        self.0.private.with(on, |p| p.channels.push(channel.clone()));
    }

    pub(crate) fn deregister(&self, on: OnLoop<'_, P>, channel: &Channel<P>) {
        let removed = self.0.private.with(on, |p| {
            let at = p.channels.iter().position(|c| c.is(channel));
            at.map(|at| p.channels.remove(at))
        });
        drop(removed); // outside the borrow
    }

    fn rejected(&self, task: Task<P>, reason: RejectReason) -> Rejected<P> {
        self.0.counters.rejected.add(1);
        P::reach(Reach::TaskRejected);
        Rejected { task, reason }
    }

    fn advance(&self, from: LoopState, to: LoopState) -> bool {
        // SeqCst: see `state`.
        self.0.state.compare_exchange(from as u32, to as u32, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn set_state(&self, to: LoopState) {
        // SeqCst: see `state`.
        self.0.state.store(to as u32, Ordering::SeqCst);
    }

    fn start(&self) -> Result<(), SpawnError> {
        if !self.advance(LoopState::NotStarted, LoopState::Started) {
            return Ok(()); // another thread starts it
        }
        // Since Netty 4.1.19 a failed start leaves the loop as it was.
        self.spawn().inspect_err(|_| {
            self.advance(LoopState::Started, LoopState::NotStarted);
        })
    }

    fn spawn(&self) -> Result<(), SpawnError> {
        let this = self.clone();
        let mut join = self.0.join.lock(); // so that `join` finds it as soon as the thread can have ended
        *join = Some(P::spawn(self.0.name.clone(), move || Worker::new(this).run())?);
        Ok(())
    }

    /// Wakes the loop if it sleeps; `gently`: only tells it that there is something to do before long.
    fn wake(&self, gently: bool) {
        let shared = &*self.0;
        // SeqCst: after the task in the total order; see the module.
        match shared.sleep.load(Ordering::SeqCst) {
            AWAKE => return,
            ASLEEP if gently => {
                // Release: the loop that sees the flag sees the task.
                let told = shared.sleep.compare_exchange(ASLEEP, ASLEEP_LAZY, Ordering::AcqRel, Ordering::Relaxed);
                if told.is_err() {
                    return;
                }
            }
            _ if gently => return,
            _ => {
                // AcqRel: as above.
                if shared.sleep.swap(AWAKE, Ordering::AcqRel) == AWAKE {
                    return;
                }
            }
        }
        if let Some(thread) = &*shared.thread.lock() {
            thread.unpark();
        }
    }
}
