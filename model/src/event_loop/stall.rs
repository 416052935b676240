//! A gate that holds an event loop up.
//!
//! **Invariant: the loop's thread is inside [`Stall::hold`]'s task from `reached` to `release`.** It stands for a long task:
//! everything queued meanwhile is backlog.

use super::{EventLoop, Rejected};
use crate::promise::Promise;
use crate::{Platform, Std};

/// Holds an event loop up until it is released or dropped.
pub struct Stall<P: Platform = Std> {
    reached: Promise<P>,
    opened: Promise<P>,
}

impl<P: Platform> Stall<P> {
    /// Gives `event_loop` a task that lasts until [`Stall::release`].
    ///
    /// # Errors
    /// As [`EventLoop::execute`].
    pub fn hold(event_loop: &EventLoop<P>) -> Result<Self, Rejected<P>> {
        let stall = Self { reached: Promise::untracked(), opened: Promise::untracked() };
        let (reached, opened) = (stall.reached.clone(), stall.opened.clone());
        event_loop.execute_fn(move || {
            reached.complete(Ok(()));
            let released = opened.wait();
            assert_eq!(released, Ok(()), "a gate only opens");
        })?;
        Ok(stall)
    }

    /// Waits until the loop stands at the gate.
    pub fn wait_until_reached(&self) {
        let reached = self.reached.wait();
        assert_eq!(reached, Ok(()), "a gate is only reached");
    }

    /// Opens the gate. More than once is as good as once.
    pub fn release(&self) {
        self.opened.try_complete(Ok(()));
    }
}

impl<P: Platform> Drop for Stall<P> {
    fn drop(&mut self) {
        self.release();
    }
}
