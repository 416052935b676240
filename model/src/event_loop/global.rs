//! The one executor that nobody shuts down: Netty's `GlobalEventExecutor`.
//!
//! **Invariant: a task that it accepted is run, and a second after the last one no thread is left.**
//!
//! ```text
//!   execute ──> loop 1 ──a quiet second──> shuts down by itself        execute ──> loop 2, a new thread ──> ...
//!                  └── refused: it has shut down ──> make the next loop, try there
//! ```
//!
//! Netty restarts one executor. Here each thread is an [`EventLoop`] that ends when it has been idle for a second; it refuses a
//! task that comes too late, which then starts the next one. So the race of the last task with the end of the thread is the
//! one that [`ShutdownRule::CloseQueue`](super::ShutdownRule) decides already.

use super::{EventLoop, LoopConfig, RejectReason, Rejected, ShutdownRule, Task};
use crate::platform::Lock;
use crate::preset::Preset;
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

/// How long it is idle before its thread ends.
const QUIET_PERIOD: Duration = Duration::from_secs(1);

struct State<P: Platform> {
    current: EventLoop<P>,
    /// How many loops there have been, this one included.
    count: u64,
}

struct Shared<P: Platform> {
    name: String,
    config: LoopConfig,
    state: P::Mutex<State<P>>,
}

/// An executor whose thread comes and goes; clones are the same one. See the [module](self).
pub struct GlobalExecutor<P: Platform = Std>(Arc<Shared<P>>);

impl<P: Platform> Clone for GlobalExecutor<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> GlobalExecutor<P> {
    /// One whose threads are named `name-1`, `name-2`, ...; it has none until the first task.
    pub fn new(name: &str) -> Self {
        let config = LoopConfig { idle_end: Some(QUIET_PERIOD), ..LoopConfig::executor(Preset::Millpond) };
        assert_eq!(config.shutdown, ShutdownRule::CloseQueue, "else a task could be lost");
        let state = P::Mutex::new(State { current: EventLoop::new(format!("{name}-1"), config.clone()), count: 1 });
        Self(Arc::new(Shared { name: name.into(), config, state }))
    }

    /// The loop that takes the next task, unless it ends before.
    pub fn current(&self) -> EventLoop<P> {
        self.0.state.lock().current.clone()
    }

    /// How many threads there have been.
    pub fn started(&self) -> u64 {
        self.0.state.lock().count
    }

    /// Gives it a task.
    ///
    /// # Errors
    /// [`Rejected`], with the task, when a thread can't be started.
    pub fn execute(&self, mut task: Task<P>) -> Result<(), Rejected<P>> {
        loop {
            let current = self.current();
            match current.execute(task) {
                Err(Rejected { task: back, reason: RejectReason::ShutDown }) => task = back,
                other => return other,
            }
            let mut state = self.0.state.lock();
            if state.current.is_same(&current) {
                state.count += 1;
                state.current = EventLoop::new(format!("{}-{}", self.0.name, state.count), self.0.config.clone());
            }
        }
    }

    /// Gives it a closure to run.
    ///
    /// # Errors
    /// As [`GlobalExecutor::execute`].
    pub fn execute_fn(&self, f: impl FnOnce() + Send + 'static) -> Result<(), Rejected<P>> {
        self.execute(Task::Closure(Box::new(f)))
    }
}
