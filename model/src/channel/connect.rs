//! The beginning of a connection.
//!
//! **Invariant: the promise of a connect completes once: when the transport has an answer, or with the close.** What is flushed
//! before fails: the channel isn't connected yet.

use super::Channel;
use crate::Platform;
use crate::event_loop::{OnLoop, Task};
use crate::pipeline::Upstream;
use crate::platform::AtomicOps;
use crate::promise::{Cause, Promise};
use crate::transport::ConnectOutcome;
use core::sync::atomic::Ordering;

impl<P: Platform> Channel<P> {
    /// Connects a channel whose transport isn't connected yet, from any thread. `promise` fails with
    /// [`Cause::AlreadyConnected`] if it is, or a connect is in progress; with [`Cause::ConnectionRefused`] if the peer refuses:
    /// the channel is closed then; with [`Cause::NotRegistered`] if it has no event loop;
    /// with [`Cause::VoidPromise`] if it is void.
    pub fn connect(&self, promise: Promise<P>) {
        if !self.may_begin(&promise) {
            return;
        }
        match self.here() {
            Some(on) => self.connect_here(on, promise),
            None => self.post(Task::Connect(self.clone(), promise)),
        }
    }

    fn connect_here(&self, on: OnLoop<'_, P>, promise: Promise<P>) {
        if !promise.set_uncancellable() {
            return;
        }
        let is_active = self.is_active();
        let begun = self.private(on, |p| match &mut p.transport {
            None => Err(Cause::ClosedChannel),
            Some(_) if is_active || p.connecting.is_some() => Err(Cause::AlreadyConnected),
            Some(transport) => Ok(transport.connect()),
        });
        match begun {
            Err(cause) => drop(promise.complete(Err(cause))),
            Ok(outcome) => {
                self.private(on, |p| p.connecting = Some(promise));
                self.connect_ends(on, outcome);
            }
        }
    }

    /// The transport told that a connect has ended.
    pub(super) fn finish_connect(&self, on: OnLoop<'_, P>) {
        let outcome = self.private(on, |p| match (&p.connecting, &mut p.transport) {
            (Some(_), Some(transport)) => transport.finish_connect(),
            _ => ConnectOutcome::InProgress, // nobody waits for it
        });
        self.connect_ends(on, outcome);
    }

    fn connect_ends(&self, on: OnLoop<'_, P>, outcome: ConnectOutcome) {
        if outcome == ConnectOutcome::InProgress {
            return;
        }
        let Some(promise) = self.private(on, |p| p.connecting.take()) else { return };
        if outcome == ConnectOutcome::Refused {
            promise.complete(Err(Cause::ConnectionRefused));
            self.close_here(on, None, Cause::ClosedChannel);
            return;
        }
        // Release: pairs with `is_active`.
        self.0.is_connected.store(true, Ordering::Release);
        promise.complete(Ok(()));
        self.tell_active();
    }

    /// Tells the handlers, once, if it is connected.
    pub(super) fn tell_active(&self) {
        // A listener or handler may have moved or closed it meanwhile.
        let Some(on) = self.here() else { return };
        if self.is_active() && !self.private(on, |p| core::mem::replace(&mut p.active_told, true)) {
            self.fire(None, Upstream::Active);
        }
        if let Some(on) = self.here() {
            self.tell_interest(on);
        }
    }
}
