//! Tasks that an event loop refuses.
//!
//! **Invariant: a refused task comes back to who gave it, whole, and is counted once.**

use super::{EventLoop, RejectionRule, Task};
use crate::observe::{Fault, Reach};
use crate::platform::{CounterOps, SpawnError};
use crate::task_queue::Refusal;
use crate::{Platform, Std};

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

impl From<Refusal> for RejectReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Self::Full,
            Refusal::Closed => Self::ShutDown,
        }
    }
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

impl<P: Platform> EventLoop<P> {
    pub(super) fn rejected(&self, task: Task<P>, reason: RejectReason) -> Rejected<P> {
        self.0.counters.rejected.add(1);
        P::reach(Reach::TaskRejected);
        Rejected { task, reason }
    }

    /// Puts a task into the queue, by the [`RejectionRule`]; where it is, if it can be taken back.
    pub(super) fn offer(&self, task: Task<P>, in_loop: bool) -> Result<Option<u64>, (Task<P>, Refusal)> {
        let (retries, pause) = match self.0.config.rejection {
            RejectionRule::BackOff { retries, pause } if !in_loop => (retries, pause),
            _ => return self.offer_once(task),
        };
        let mut offered = self.offer_once(task);
        for _ in 0..retries {
            let Err((task, Refusal::Full)) = offered else { break };
            self.0.counters.retries.add(1);
            self.wake(false); // so that it empties its queue
            P::park_timeout(pause);
            if self.is_shut_down() {
                return Err((task, Refusal::Closed));
            }
            offered = self.offer_once(task);
        }
        offered
    }

    fn offer_once(&self, task: Task<P>) -> Result<Option<u64>, (Task<P>, Refusal)> {
        if P::strikes(Fault::TaskRejected) {
            return Err((task, Refusal::Full));
        }
        self.0.queue.offer(task)
    }
}
