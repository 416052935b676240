//! What can be observed of an event loop.

use super::{EventLoop, LoopState};
use crate::Platform;
use crate::platform::CounterOps;
use serde::{Deserialize, Serialize};

/// The statistics of an event loop. Exact at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoopStats {
    /// Its state.
    pub state: LoopState,
    /// Tasks in its queue.
    pub queue_length: u64,
    /// The most there ever were.
    pub peak_queue_length: u64,
    /// Tail tasks in their queue.
    pub tail_length: u64,
    /// Tasks run: everything that came through the queue, scheduled tasks included.
    pub tasks_run: u64,
    /// Tail tasks run.
    pub tail_tasks_run: u64,
    /// Shutdown hooks run.
    pub hooks_run: u64,
    /// Of all those, the ones that panicked.
    pub tasks_panicked: u64,
    /// Tasks refused, tail tasks included.
    pub tasks_rejected: u64,
    /// Further attempts to put a task into a full queue: see `RejectionRule::BackOff`.
    pub rejection_retries: u64,
    /// Tasks accepted and never run, tail tasks included.
    pub tasks_abandoned: u64,
    /// Scheduled tasks cancelled by the shutdown.
    pub scheduled_cancelled: u64,
    /// Scheduled tasks cancelled by their handles.
    pub scheduled_removed: u64,
    /// Threads that could not be started.
    pub failed_starts: u64,
    /// Times the loop went to sleep.
    pub sleeps: u64,
}

/// The counters behind [`LoopStats`].
pub(super) struct Counters<P: Platform> {
    // Written by the loop's thread only.
    pub(super) run: P::Counter,
    pub(super) tail_run: P::Counter,
    pub(super) hooks_run: P::Counter,
    pub(super) abandoned: P::Counter,
    pub(super) sleeps: P::Counter,
    pub(super) panicked: P::Counter,
    pub(super) cancelled: P::Counter,
    // By any.
    pub(super) rejected: P::Counter,
    pub(super) retries: P::Counter,
    pub(super) scheduled_removed: P::Counter,
    pub(super) failed_starts: P::Counter,
}

impl<P: Platform> Default for Counters<P> {
    fn default() -> Self {
        Self {
            run: P::Counter::default(),
            tail_run: P::Counter::default(),
            hooks_run: P::Counter::default(),
            abandoned: P::Counter::default(),
            sleeps: P::Counter::default(),
            panicked: P::Counter::default(),
            cancelled: P::Counter::default(),
            rejected: P::Counter::default(),
            retries: P::Counter::default(),
            scheduled_removed: P::Counter::default(),
            failed_starts: P::Counter::default(),
        }
    }
}

/// Adds to a counter that only the running thread writes.
pub(super) fn bump(counter: &impl CounterOps, n: u64) {
    counter.set(counter.get() + n);
}

impl<P: Platform> EventLoop<P> {
    /// The statistics.
    pub fn stats(&self) -> LoopStats {
        let (shared, c) = (&*self.0, &self.0.counters);
        let (state, queue_length, tail_length) = (self.state(), shared.queue.len(), shared.tails.len());
        let stranded = if state == LoopState::Terminated { queue_length + tail_length } else { 0 };
        LoopStats {
            state,
            queue_length,
            peak_queue_length: shared.queue.peak(),
            tail_length,
            tasks_run: c.run.get(),
            tail_tasks_run: c.tail_run.get(),
            hooks_run: c.hooks_run.get(),
            tasks_panicked: c.panicked.get(),
            tasks_rejected: c.rejected.get(),
            rejection_retries: c.retries.get(),
            tasks_abandoned: c.abandoned.get() + stranded,
            scheduled_cancelled: c.cancelled.get(),
            scheduled_removed: c.scheduled_removed.get(),
            failed_starts: c.failed_starts.get(),
            sleeps: c.sleeps.get(),
        }
    }
}
