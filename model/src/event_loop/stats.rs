//! What can be observed of an event loop.

use super::LoopState;
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
    /// Tasks run, scheduled ones included.
    pub tasks_run: u64,
    /// Tasks that panicked, of those run.
    pub tasks_panicked: u64,
    /// Tasks refused.
    pub tasks_rejected: u64,
    /// Tasks accepted and never run.
    pub tasks_abandoned: u64,
    /// Scheduled tasks cancelled by the shutdown.
    pub scheduled_cancelled: u64,
    /// Times the loop went to sleep.
    pub sleeps: u64,
}

/// The counters behind [`LoopStats`]. All but `rejected` are written by the loop's thread only.
pub(super) struct Counters<P: Platform> {
    pub(super) run: P::Counter,
    pub(super) panicked: P::Counter,
    pub(super) rejected: P::Counter,
    pub(super) abandoned: P::Counter,
    pub(super) cancelled: P::Counter,
    pub(super) sleeps: P::Counter,
}

impl<P: Platform> Default for Counters<P> {
    fn default() -> Self {
        Self {
            run: P::Counter::default(),
            panicked: P::Counter::default(),
            rejected: P::Counter::default(),
            abandoned: P::Counter::default(),
            cancelled: P::Counter::default(),
            sleeps: P::Counter::default(),
        }
    }
}

/// Adds to a counter that only the running thread writes.
pub(super) fn bump(counter: &impl CounterOps, n: u64) {
    counter.set(counter.get() + n);
}
