//! Several promises as one, which doesn't wait longer than it must.
//!
//! **Invariant: the whole completes once: with the first failure, or when nothing that was added is awaited any more.** And where
//! that is wanted the parts fail with the first of them.
//!
//! ```text
//!   add(a), add(b)      a: reset ──at once──> whole: reset  (and b: reset, where pending parts fail)
//! ```

use super::{Cause, Outcome, Promise, VoidPromise};
use crate::platform::Lock;
use crate::{Platform, Std};
use alloc::sync::Arc;
use alloc::vec::Vec;

struct Pending<P: Platform> {
    /// The number of the latest part.
    last: u64,
    parts: Vec<(u64, Promise<P>)>,
}

struct Shared<P: Platform> {
    whole: Promise<P>,
    fail_pending: bool,
    pending: P::Mutex<Pending<P>>,
}

/// Completes one promise for several others: Netty's `PromiseAggregator`. It succeeds when no part is pending, so that all parts
/// should be added before the first one completes.
pub struct PromiseAggregator<P: Platform = Std>(Arc<Shared<P>>);

impl<P: Platform> PromiseAggregator<P> {
    /// For `whole`. When `fail_pending`, the failure of one part fails all others, too (Netty's default).
    pub fn new(whole: Promise<P>, fail_pending: bool) -> Self {
        let pending = P::Mutex::new(Pending { last: 0, parts: Vec::new() });
        Self(Arc::new(Shared { whole, fail_pending, pending }))
    }

    /// The whole depends on `part`.
    ///
    /// # Errors
    /// [`VoidPromise`]: it says nothing.
    pub fn add(&self, part: &Promise<P>) -> Result<(), VoidPromise> {
        if part.is_void() {
            return Err(VoidPromise);
        }
        let number = {
            let pending = &mut *self.0.pending.lock();
            pending.last += 1;
            pending.parts.push((pending.last, part.clone()));
            pending.last
        };
        let shared = Arc::clone(&self.0);
        part.try_add_listener(move |outcome| shared.ended(number, outcome))
    }
}

impl<P: Platform> Shared<P> {
    fn ended(&self, number: u64, outcome: Outcome) {
        let mut pending = self.pending.lock();
        pending.parts.retain(|(n, _)| *n != number);
        let is_last = pending.parts.is_empty();
        let others =
            if outcome.is_err() && self.fail_pending { core::mem::take(&mut pending.parts) } else { Vec::new() };
        drop(pending); // listeners may do anything
        if outcome.is_err() || is_last {
            self.whole.follow(outcome);
        }
        // A part can't be cancelled for another one: that one's cancellation is its own.
        let cause = outcome.err().unwrap_or(Cause::Cancelled);
        for (_, part) in others {
            part.follow(Err(cause));
        }
    }
}
