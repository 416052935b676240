//! The promise that nobody waits for.
//!
//! **Invariant: a failure is told once, as an exception in the channel's pipeline, where that is wanted**; nothing else happens.
//!
//! ```text
//!   write(message, void) ── written ──> nothing
//!                        └─ failed ───> fire_exception: the handlers, the tail
//!   unvoid ──> a promise of its own ── failed ──> as above, and its listeners
//! ```
//!
//! A checker sees each failure as a promise that has to be completed, by telling it: a failure that is swallowed is a lost promise.

use super::{Cause, Outcome, Promise};
use crate::Platform;
use crate::channel::{self, Channel};
use crate::observe::{Event, Kind};
use alloc::sync::Weak;

/// A void promise has no listeners.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a void promise never completes, and has no listeners: `unvoid` it, or use another one")]
pub struct VoidPromise;

/// See the [module](self).
pub(super) struct Void<P: Platform> {
    channel: Weak<channel::Inner<P>>,
    tells: bool,
}

impl<P: Platform> Clone for Void<P> {
    fn clone(&self) -> Self {
        Self { channel: Weak::clone(&self.channel), tells: self.tells }
    }
}

impl<P: Platform> Void<P> {
    pub(super) fn new(channel: &Channel<P>, tells: bool) -> Self {
        Self { channel: channel.downgrade(), tells }
    }

    /// The one place where a failure is told. Netty forgets it when the channel has no event loop.
    #[track_caller]
    pub(super) fn fail(&self, cause: Cause) {
        let id = P::identify(Kind::Promise);
        let failure = P::obtained(id);
        if self.tells
            && let Some(channel) = self.channel.upgrade()
        {
            Channel::from_inner(channel).write_failed_unheard(cause);
        }
        P::note(failure, Event::Failed(cause.name()));
        P::destroyed(id);
    }

    /// The failure that nobody is told of.
    #[track_caller]
    fn swallow() {
        let id = P::identify(Kind::Promise);
        let _failure = P::obtained(id);
        P::destroyed(id);
    }
}

impl<P: Platform> Promise<P> {
    /// It, or, of a void one, a new promise that tells its failure as the void one would. For whoever needs to listen.
    #[track_caller]
    pub fn unvoid(self) -> Self {
        let Err(void) = self.inner() else { return self };
        let (void, real) = (void.clone(), Self::new());
        if void.tells {
            real.add_listener(move |outcome: Outcome| {
                if let Err(cause) = outcome {
                    void.fail(cause);
                }
            });
        }
        real
    }

    /// Whether `channel` may write with it: a void one belongs to one channel.
    pub(crate) fn is_for(&self, channel: &Channel<P>) -> bool {
        self.inner().err().is_none_or(|void| Weak::ptr_eq(&void.channel, &channel.downgrade()))
    }

    /// Refuses a void promise, where Netty does; `false`: it completes.
    #[track_caller]
    pub(crate) fn refuse_void(&self) -> bool {
        if let Err(void) = self.inner() {
            void.fail(Cause::VoidPromise);
        }
        self.is_void()
    }

    /// The write of a void promise failed, and nobody is told: a rule of old releases.
    #[track_caller]
    pub(crate) fn swallow_failure(&self) {
        assert!(self.is_void(), "a failure is told to its promise");
        Void::<P>::swallow();
    }
}
