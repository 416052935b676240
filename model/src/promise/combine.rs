//! Several promises as one, which waits for all.
//!
//! **Invariant: the whole completes once, when the last of its parts has and there will be no more**, and fails with what failed
//! first.
//!
//! ```text
//!   add(a), add(b), finish(whole)      a: ok, b: reset  ──both complete──>  whole: reset
//! ```

use super::{Cause, Outcome, Promise, VoidPromise};
use crate::platform::Lock;
use crate::{Platform, Std};
use alloc::sync::Arc;

/// The parts that are awaited, and the first failure.
struct Awaited<P: Platform> {
    left: usize,
    outcome: Outcome,
    whole: Option<Promise<P>>,
}

/// Completes one promise when several others have: Netty's `PromiseCombiner`. If somebody else has completed it meanwhile,
/// nothing happens. Unlike there, the parts may complete on any thread.
pub struct PromiseCombiner<P: Platform = Std>(Arc<P::Mutex<Awaited<P>>>);

impl<P: Platform> Default for PromiseCombiner<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> PromiseCombiner<P> {
    /// Without parts.
    pub fn new() -> Self {
        Self(Arc::new(P::Mutex::new(Awaited { left: 0, outcome: Ok(()), whole: None })))
    }

    /// The whole will wait for `part`.
    ///
    /// # Errors
    /// [`VoidPromise`]: there is nothing to wait for.
    pub fn add(&mut self, part: &Promise<P>) -> Result<(), VoidPromise> {
        if part.is_void() {
            return Err(VoidPromise);
        }
        self.0.lock().left += 1;
        let awaited = Arc::clone(&self.0);
        part.try_add_listener(move |outcome| {
            let mut all = awaited.lock();
            all.left -= 1;
            all.outcome = all.outcome.and(outcome);
            let all_done = if all.left == 0 { all.whole.take().map(|whole| (whole, all.outcome)) } else { None };
            drop(all); // listeners of the whole may do anything
            if let Some((whole, outcome)) = all_done {
                whole.follow(outcome);
            }
        })
    }

    /// There are no more parts: `whole` completes when those that were added have, at once when they have already, or when there
    /// are none.
    pub fn finish(self, whole: Promise<P>) {
        let mut all = self.0.lock();
        if all.left > 0 {
            all.whole = Some(whole);
            return;
        }
        let outcome = all.outcome;
        drop(all);
        whole.follow(outcome);
    }
}

impl<P: Platform> Promise<P> {
    /// Ends as another one did; if it is complete, nothing happens. Also a cancellation that it can't have any more by itself is
    /// followed, or it would never end.
    pub(crate) fn follow(&self, outcome: Outcome) {
        match (outcome, self.inner()) {
            (Err(Cause::Cancelled), Ok(inner)) => {
                inner.finish(outcome, |state| matches!(state, super::PENDING | super::UNCANCELLABLE))
            }
            (Err(cause), Err(void)) => {
                void.fail(cause);
                false
            }
            (outcome, _) => self.try_complete(outcome),
        };
    }
}
