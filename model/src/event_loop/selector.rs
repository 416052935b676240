//! How an event loop waits.
//!
//! **Invariant: a wait that began before [`Waker::wake`] ends after it, and a wake that comes when nobody waits is kept for the
//! next wait.** A wait may end for no reason.
//!
//! ```text
//!   the loop's thread: bind ──> select(limit) ──> serve channels, run tasks ──> select_now ──> ... ──> select(limit)
//!   any thread:                    ^ wake
//! ```
//!
//! The default parks the thread. A poller of sockets plugs in here: it tells its channels what is ready, and the loop serves
//! them when `select` returns.

use crate::platform::{Lock, ThreadOps};
use crate::{Platform, Std};
use alloc::sync::Arc;
use core::time::Duration;

/// Ends the wait of a [`Selector`], from any thread.
pub trait Waker: Send + Sync {
    /// Ends the current wait, or the next one.
    fn wake(&self);
}

/// What an event loop waits with. It lives on the loop's thread.
pub trait Selector<P: Platform = Std>: Send {
    /// What wakes it. Asked once, before the loop has a thread.
    fn waker(&self) -> Arc<dyn Waker>;
    /// The running thread is the one that will wait.
    fn bind(&mut self);
    /// Waits until it is woken, something is ready, or `limit` is over. Whether the loop must look for work although nobody gave
    /// it any: `true` when in doubt.
    fn select(&mut self, limit: Option<Duration>) -> bool;
    /// Looks for what is ready and does not wait: the loop has work already.
    fn select_now(&mut self) {}
}

struct ParkWaker<P: Platform>(P::Mutex<Option<P::Thread>>);

impl<P: Platform> Waker for ParkWaker<P> {
    fn wake(&self) {
        if let Some(thread) = &*self.0.lock() {
            thread.unpark();
        }
    }
}

/// Waits with [`Platform::park`]: the default.
pub struct Park<P: Platform = Std>(Arc<ParkWaker<P>>);

impl<P: Platform> Default for Park<P> {
    fn default() -> Self {
        Self(Arc::new(ParkWaker(P::Mutex::new(None))))
    }
}

impl<P: Platform> Selector<P> for Park<P> {
    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.0) as Arc<dyn Waker>
    }

    fn bind(&mut self) {
        *self.0.0.lock() = Some(P::current());
    }

    fn select(&mut self, limit: Option<Duration>) -> bool {
        match limit {
            None => P::park(),
            Some(limit) => P::park_timeout(limit),
        }
        false
    }
}
