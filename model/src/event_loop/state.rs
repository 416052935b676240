//! Where an event loop is in its life.
//!
//! **Invariant: a state changes only as [`LoopState::may_become`] says.**
//!
//! | state | takes tasks | schedules | runs tasks | ends when |
//! |---|---|---|---|---|
//! | NotStarted | yes, and starts its thread | as a task | no thread | the first task or the shutdown comes |
//! | Started | yes | yes | yes | `shutdown_gracefully` |
//! | ShuttingDown | yes | yes, but the next pass cancels it | yes | nothing came for the quiet period, or the timeout is over |
//! | Shutdown | no | no | the last ones | these have run |
//! | Terminated | no | no | no | |

use super::EventLoop;
use crate::Platform;
use crate::platform::AtomicOps;
use core::sync::atomic::Ordering;
use serde::{Deserialize, Serialize};

/// Where an event loop is in its life. See the [module](self).
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

    /// Whether a loop in this state can be in state `next` after one step.
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::NotStarted, Self::Started | Self::ShuttingDown) => true,
            // A thread that could not be started.
            (Self::Started, Self::NotStarted) => true,
            (Self::Started, Self::ShuttingDown) => true,
            // Netty through 4.1.43 has no Shutdown between; nor has a loop that never had a thread.
            (Self::ShuttingDown, Self::Shutdown | Self::Terminated) => true,
            (Self::Shutdown, Self::Terminated) => true,
            _ => false,
        }
    }
}

impl<P: Platform> EventLoop<P> {
    /// Its state.
    pub fn state(&self) -> LoopState {
        // SeqCst: a shutdown is in one order with the sleep flag, as a task is.
        LoopState::ALL[self.0.state.load(Ordering::SeqCst) as usize]
    }

    /// Whether it is shutting down or has ended.
    pub fn is_shutting_down(&self) -> bool {
        self.state() >= LoopState::ShuttingDown
    }

    /// Whether it takes no more tasks.
    pub fn is_shut_down(&self) -> bool {
        self.state() >= LoopState::Shutdown
    }

    /// Whether it has ended.
    pub fn is_terminated(&self) -> bool {
        self.state() == LoopState::Terminated
    }

    pub(super) fn advance(&self, from: LoopState, to: LoopState) -> bool {
        assert!(from.may_become(to), "{from:?} can't become {to:?}");
        // SeqCst: see `state`.
        self.0.state.compare_exchange(from as u32, to as u32, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The state has come so far that only the caller changes it.
    pub(super) fn set_state(&self, from: LoopState, to: LoopState) {
        let set = self.advance(from, to);
        assert!(set, "one thread ends a loop");
    }
}
