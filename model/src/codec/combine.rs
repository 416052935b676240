//! Several promises as one.
//!
//! **Invariant: the one completes once, when the last of the others has**, and fails with what failed first.

use crate::Platform;
use crate::platform::Lock;
use crate::promise::{Cause, Outcome, Promise};
use alloc::sync::Arc;

/// The promises that are still awaited, and the first failure.
struct Awaited {
    left: usize,
    outcome: Outcome,
}

/// Completes `whole` when all of `parts`, of which there is at least one, have completed: Netty's `PromiseCombiner`. If somebody
/// else has completed it meanwhile, nothing happens.
pub(super) fn combine<P: Platform>(parts: &[Promise<P>], whole: &Promise<P>) {
    let awaited = Arc::new(P::Mutex::new(Awaited { left: parts.len(), outcome: Ok(()) }));
    for part in parts {
        let (awaited, whole) = (Arc::clone(&awaited), whole.clone());
        part.add_listener(move |outcome| {
            let mut all = awaited.lock();
            all.left -= 1;
            all.outcome = all.outcome.and(outcome);
            let (left, outcome) = (all.left, all.outcome);
            drop(all); // listeners of the whole may do anything
            if left == 0 {
                finish(&whole, outcome);
            }
        });
    }
}

fn finish<P: Platform>(whole: &Promise<P>, outcome: Outcome) {
    match outcome {
        Err(Cause::Cancelled) => whole.cancel(),
        outcome => whole.try_complete(outcome),
    };
}
