//! What a thread has under way.
//!
//! **Invariant: each take-off has one landing**: its guard's drop, wherever that happens.

use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, ThreadOps};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What one thread has under way.
pub(super) struct Flight<P: Platform> {
    count: P::Atomic<u32>,
    owner: P::Thread,
}

/// One thing under way, until it is dropped.
pub(super) struct Landing<P: Platform>(Arc<Flight<P>>);

impl<P: Platform> Flight<P> {
    /// Nothing, of the running thread.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { count: P::Atomic::new(0), owner: P::current() })
    }

    pub(super) fn takes_off(self: &Arc<Self>) -> Landing<P> {
        // Relaxed: the thread's own count; the release of the landing orders its end.
        self.count.fetch_add(1, Ordering::Relaxed);
        Landing(Arc::clone(self))
    }

    pub(super) fn is_below(&self, limit: u32) -> bool {
        // Acquire: pairs with the release of the landing.
        self.count.load(Ordering::Acquire) < limit
    }

    /// Waits until less than `limit` is under way; on the owner's thread.
    pub(super) fn await_below(&self, limit: u32) {
        while !self.is_below(limit) {
            P::park();
        }
    }
}

impl<P: Platform> Drop for Landing<P> {
    fn drop(&mut self) {
        if P::unwinding() {
            return;
        }
        // Release: pairs with the acquire in `is_below`.
        self.0.count.fetch_sub(1, Ordering::Release);
        self.0.owner.unpark();
    }
}
