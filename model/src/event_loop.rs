//! The event loop: one thread that runs the tasks that any thread gives it, and serves its channels.
//!
//! **Invariant: a task that `execute` accepted is run, once, on the loop's thread; one that it refused comes back in the
//! error.** (Under the rules of Netty the first half has the holes that Netty has; see [`ShutdownRule`] and [`StartRule`].)
//!
//! ```text
//!   NotStarted ──execute──> Started ──shutdown_gracefully──> ShuttingDown ──> Shutdown ──> Terminated
//!                             │                               runs tasks       refuses      thread gone
//!   one turn: wait if idle -> channels that became writable -> tasks, as long as the I/O ratio lets them -> tail tasks
//!             -> if shutting down: close channels, confirm
//! ```
//!
//! The loop sleeps with its [`Selector`]. A producer appends its task and then looks at the sleep flag; the loop
//! raises the flag and then looks at the queue: sequentially consistent operations on both make one of them see the other.

mod bound;
mod config;
mod global;
mod group;
mod hook;
mod queue;
mod reject;
mod scheduled;
mod selector;
mod stall;
mod state;
mod stats;
mod surely;
mod task;
mod worker;

pub(crate) use bound::{LoopBound, LoopFlag, LoopThread, OnLoop};
pub use config::{LazyRule, LoopConfig, QueueRule, RejectionRule, ShutdownRule, StartRule, TailRule};
pub use global::GlobalExecutor;
pub use group::EventLoopGroup;
pub use hook::ShutdownHook;
pub use reject::{RejectReason, Rejected};
pub use scheduled::{ScheduledState, ScheduledTask, Timer};
pub use selector::{Park, Selector, Waker};
pub use stall::Stall;
pub use state::LoopState;
pub use stats::LoopStats;
pub use task::Task;

use crate::channel::Channel;
use crate::observe::{Defect, Fault, Reach};
use crate::platform::{AtomicOps, CounterOps, JoinOps, Lock, Panicked, SpawnError};
use crate::promise::Promise;
use crate::task_queue::{TaskQueue, task_queue};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;
use queue::{Queue, queue};
use stats::Counters;
use surely::Surely;
use worker::{Outfit, Private, Worker};

/// A task without a name.
type Closure = Box<dyn FnOnce() + Send>;

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

/// The loop's thread, from its start.
enum Launch<P: Platform> {
    Never,
    Started(P::Join),
    /// Somebody has waited for it.
    Joined,
}

struct Shared<P: Platform> {
    name: String,
    config: LoopConfig,
    state: P::Atomic<u32>,
    sleep: P::Atomic<u32>,
    owner: LoopThread<P>,
    waker: Arc<dyn Waker>,
    launch: P::Mutex<Launch<P>>,
    queue: Queue<P>,
    tails: TaskQueue<Closure, P>,
    /// Until the thread takes it.
    outfit: P::Mutex<Option<Outfit<P>>>,
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
        Self::with_selector(name, config, Box::<Park<P>>::default())
    }

    /// As [`EventLoop::new`], with a wait of its own.
    pub fn with_selector(name: impl Into<String>, config: LoopConfig, selector: Box<dyn Selector<P>>) -> Self {
        let (queue, tasks) = queue(config.queue, config.max_pending_tasks);
        let (tail_queue, tails) = task_queue(config.max_pending_tasks);
        let owner = LoopThread::new();
        Self(Arc::new(Shared {
            name: name.into(),
            config,
            state: P::Atomic::new(LoopState::NotStarted as u32),
            sleep: P::Atomic::new(AWAKE),
            owner: owner.clone(),
            waker: selector.waker(),
            launch: P::Mutex::new(Launch::Never),
            queue,
            tails: tail_queue,
            outfit: P::Mutex::new(Some(Outfit { tasks, tails, selector })),
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

    /// Its rules.
    pub fn config(&self) -> &LoopConfig {
        &self.0.config
    }

    /// Whether `other` is the same event loop.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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
        let place = match self.offer(task, in_loop) {
            Ok(place) => place,
            Err((task, refusal)) => return Err(self.rejected(task, refusal.into())),
        };
        if !in_loop {
            if let Some(number) = place
                && self.is_shut_down()
                && let Some(task) = shared.queue.take_back(number)
            {
                return Err(self.rejected(task, RejectReason::ShutDown));
            }
            self.wake(lazy && shared.config.lazy == LazyRule::AtNextWake);
        }
        Ok(())
    }

    /// Gives the loop a task; one that it refuses ends as refused tasks do.
    pub(crate) fn execute_or_refuse(&self, task: Task<P>) {
        if let Err(rejected) = self.execute(task) {
            rejected.task.refuse();
        }
    }

    /// Gives the loop a closure to run.
    ///
    /// # Errors
    /// As [`EventLoop::execute`].
    pub fn execute_fn(&self, f: impl FnOnce() + Send + 'static) -> Result<(), Rejected<P>> {
        self.execute(Task::Closure(Box::new(f)))
    }

    /// Gives the loop a tail task: a closure to run after its pass over the ordinary tasks, once (Netty's
    /// `executeAfterEventLoopIteration`). Unlike Netty it starts the thread, as any task does.
    ///
    /// # Errors
    /// As [`EventLoop::execute`]; the bound is that of the tail tasks' own queue.
    pub fn execute_after_iteration(&self, f: impl FnOnce() + Send + 'static) -> Result<(), Rejected<P>> {
        let f: Closure = Box::new(f);
        let state = self.state();
        if state == LoopState::NotStarted
            && let Err(error) = self.start()
        {
            return Err(self.rejected(Task::Closure(f), error.into()));
        }
        if state >= LoopState::Shutdown {
            return Err(self.rejected(Task::Closure(f), RejectReason::ShutDown));
        }
        if let Err((f, refusal)) = self.0.tails.offer(f) {
            return Err(self.rejected(Task::Closure(f), refusal.into()));
        }
        if !self.in_loop() {
            self.wake(false);
        }
        Ok(())
    }

    /// Starts to shut down: the loop ends when no task has come for `quiet_period`, or after `timeout`. Netty's defaults are
    /// 2 s and 15 s. Later calls change nothing.
    pub fn shutdown_gracefully(&self, quiet_period: Duration, timeout: Duration) {
        let shared = &*self.0;
        loop {
            let from = self.state();
            if from >= LoopState::ShuttingDown {
                break;
            }
            // Relaxed: published by the exchange of the state below. Two callers may mix their values; both are valid.
            shared.quiet_period.store(nanoseconds(quiet_period), Ordering::Relaxed);
            shared.timeout.store(nanoseconds(timeout.max(quiet_period)), Ordering::Relaxed);
            if self.advance(from, LoopState::ShuttingDown) {
                if from == LoopState::NotStarted && self.spawn_once(&mut shared.launch.lock()).is_err() {
                    self.end_without_thread();
                }
                break;
            }
        }
        self.wake(false);
    }

    /// Completes, with success, when the loop has terminated.
    pub fn terminated(&self) -> &Promise<P> {
        &self.0.terminated
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
        let launch = core::mem::replace(&mut *self.0.launch.lock(), Launch::Joined);
        match launch {
            Launch::Started(join) => join.join(),
            Launch::Never | Launch::Joined => Ok(()),
        }
    }

    /// Runs what a task is; its panic is counted.
    fn run_caught(&self, f: impl FnOnce()) {
        if P::catch(f).is_err() {
            self.0.counters.panicked.add(1);
        }
        P::boundary();
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

    fn start(&self) -> Result<(), SpawnError> {
        let rule = self.0.config.start;
        if rule == StartRule::ThreadFirst {
            let mut launch = self.0.launch.lock(); // whoever comes meanwhile waits for the outcome
            if self.state() == LoopState::NotStarted {
                self.spawn_once(&mut launch)?;
                self.advance(LoopState::NotStarted, LoopState::Started); // unless a shutdown was faster
            }
            return Ok(());
        }
        if !self.advance(LoopState::NotStarted, LoopState::Started) {
            return Ok(()); // another thread starts it
        }
        self.spawn_once(&mut self.0.launch.lock()).inspect_err(|_| {
            if rule == StartRule::Restored {
                self.advance(LoopState::Started, LoopState::NotStarted);
            }
        })
    }

    /// Under the lock, so that `join` finds the thread as soon as it can have ended.
    fn spawn_once(&self, launch: &mut Launch<P>) -> Result<(), SpawnError> {
        if !matches!(launch, Launch::Never) {
            return Ok(());
        }
        let this = self.clone();
        let spawned = if P::strikes(Fault::ThreadStartFails) {
            Err(SpawnError { name: self.0.name.clone(), reason: "a fault that the scenario asked for".into() })
        } else {
            P::spawn(self.0.name.clone(), move || Worker::new(this).run())
        };
        match spawned {
            Ok(join) => *launch = Launch::Started(join),
            Err(error) => {
                P::reach(Reach::ThreadStartFailed);
                self.0.counters.failed_starts.add(1);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The shutdown found no thread and can't have one. Nothing can have been accepted but, under Netty's rules, by a racing
    /// `execute`, whose task is abandoned with the queue.
    fn end_without_thread(&self) {
        if self.0.config.shutdown == ShutdownRule::CloseQueue {
            self.close_queues();
        }
        self.set_state(LoopState::ShuttingDown, LoopState::Terminated);
        self.end_list();
        self.0.terminated.complete(Ok(()));
    }

    /// Nothing is accepted any more: Millpond's rule.
    fn close_queues(&self) {
        self.0.queue.close();
        self.0.tails.close();
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
        shared.waker.wake();
    }
}
