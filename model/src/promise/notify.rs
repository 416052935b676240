//! Promises that follow another one.
//!
//! **Invariant: the follower ends as the one it follows, in all three ways: success, failure, cancellation**, unless it is complete
//! already.

use super::{Cause, Promise, VoidPromise};
use crate::Platform;

/// Lets each of `targets` end as `source` does: Netty's `PromiseNotifier`.
///
/// # Errors
/// [`VoidPromise`] when `source` never ends.
pub fn notify<P: Platform>(
    source: &Promise<P>,
    targets: impl IntoIterator<Item = Promise<P>> + Send + 'static,
) -> Result<(), VoidPromise> {
    source.try_add_listener(move |outcome| targets.into_iter().for_each(|target| target.follow(outcome)))
}

/// As [`notify`], and a cancellation of `target` cancels `source`: Netty's `PromiseNotifier.cascade`. Each keeps the other one alive
/// until the first of them is complete.
///
/// # Errors
/// [`VoidPromise`] when one of them never ends; nothing has been done then.
pub fn cascade<P: Platform>(source: &Promise<P>, target: &Promise<P>) -> Result<(), VoidPromise> {
    if source.is_void() || target.is_void() {
        return Err(VoidPromise);
    }
    let cancelled = source.clone();
    target.try_add_listener(move |outcome| {
        if outcome == Err(Cause::Cancelled) {
            cancelled.cancel();
        }
    })?;
    notify(source, [target.clone()])
}
