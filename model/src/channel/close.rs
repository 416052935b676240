//! The end of a channel.
//!
//! **Invariant: whoever begins the close takes the outbound buffer out of the channel at once**, so that every later write
//! fails by itself and every earlier one is ended by that one close, wherever it runs.
//!
//! ```text
//!   close ─> outbound taken ─┬─ no linger ─────────────> transport closed ──────────────┬─> entries failed ─> inactive
//!                            └─ linger: to the executor ─> transport closed (may block) ─> back to the loop ─┘
//! ```
//!
//! Under Netty's rules the way back can be refused by a loop that has ended meanwhile, and the messages are lost with it.
//! Under Millpond's it can't be refused: somebody stands in for a loop that has ended.

use super::{Channel, Private};
use crate::Platform;
use crate::event_loop::{OnLoop, Task};
use crate::observe::Reach;
use crate::outbound::OutboundBuffer;
use crate::pipeline::{Downstream, Upstream};
use crate::platform::AtomicOps;
use crate::promise::{Cause, Promise};
use crate::transport::Transport;
use alloc::boxed::Box;
use core::sync::atomic::Ordering;
use core::time::Duration;

/// What a close carries along: all that is left of the channel's inside.
struct Closing<P: Platform> {
    channel: Channel<P>,
    outbound: Option<OutboundBuffer<P>>,
    /// Of the flushed entries; the others get `ClosedChannel`.
    cause: Cause,
}

impl<P: Platform> Channel<P> {
    /// Closes the channel, from any thread, through the handlers. Pending writes fail; closing twice is harmless.
    ///
    /// A void promise is refused: it fails with [`Cause::VoidPromise`], and nothing is closed.
    pub fn close(&self, promise: Promise<P>) {
        if promise.refuse_void() {
            return;
        }
        if self.registered_loop().is_none() {
            self.close_at_head(promise);
        } else {
            self.go_down(None, Downstream::Close(promise));
        }
    }

    pub(crate) fn close_at_head(&self, promise: Promise<P>) {
        if let Some(on) = self.here() {
            return self.close_here(on, Some(promise), Cause::ClosedChannel);
        }
        match self.take_waiting() {
            Some(private) => {
                self.end_unregistered(private);
                promise.complete(Ok(()));
            }
            None if self.is_awaited() => self.follow_close(promise),
            None => self.post(Task::Close(self.clone(), promise)),
        }
    }

    /// Completes when the channel is closed.
    fn follow_close(&self, promise: Promise<P>) {
        self.closed().add_listener(move |outcome| {
            promise.complete(outcome);
        });
    }

    /// Closes only the transport, from any thread, without waiting for anything. Pending writes fail when they are flushed or
    /// the channel is closed.
    pub fn close_forcibly(&self) {
        match self.here() {
            Some(on) => {
                let (transport, connecting) = self.private(on, |p| {
                    p.awaits_writable = false; // nobody will say that there is room: the next flush fails what waits
                    (p.transport.take(), p.connecting.take())
                });
                self.close_transport(transport);
                if let Some(connecting) = connecting {
                    connecting.complete(Err(Cause::ClosedChannel));
                }
            }
            None => match self.take_waiting() {
                Some(private) => self.end_unregistered(private),
                None if self.is_awaited() => (), // it is closed when it arrives
                None => self.post(Task::CloseForcibly(self.clone())),
            },
        }
    }

    /// The loop shuts down.
    pub(crate) fn close_for_shutdown(&self) {
        if let Some(on) = self.here() {
            self.close_here(on, None, Cause::ClosedChannel);
        }
    }

    pub(super) fn close_here(&self, on: OnLoop<'_, P>, promise: Option<Promise<P>>, cause: Cause) {
        if promise.as_ref().is_some_and(|promise| !promise.set_uncancellable()) {
            return;
        }
        if self.private(on, |p| core::mem::replace(&mut p.close_initiated, true)) {
            if let Some(promise) = promise {
                self.follow_close(promise);
            }
            return;
        }
        self.0.pending.detach();
        let (outbound, transport, connecting) = self.private(on, |p| {
            p.awaits_writable = false;
            (p.outbound.take(), p.transport.take(), p.connecting.take())
        });
        if outbound.as_ref().is_some_and(|outbound| outbound.len() > 0) {
            P::reach(Reach::ClosedWithPendingMessages);
        }
        if let Some(connecting) = connecting {
            connecting.complete(Err(Cause::ClosedChannel));
        }
        let closing = Closing { channel: self.clone(), outbound, cause };
        let linger = transport.as_ref().and_then(|transport| transport.linger()).filter(|time| *time > Duration::ZERO);
        match (&self.0.linger_executor, linger) {
            (Some(executor), Some(_)) => {
                P::reach(Reach::ClosedThroughLinger);
                self.event_loop().deregister(on, self); // as Netty cancels the key: the loop no longer closes it
                let executor = executor.clone();
                closing.through(&executor, transport, promise);
            }
            _ => {
                self.transport_closed(transport, promise);
                closing.finish();
            }
        }
    }

    fn close_transport(&self, transport: Option<Box<dyn Transport<P>>>) {
        if let Some(mut transport) = transport {
            transport.close();
        }
        // Release: pairs with the acquire in `is_open`.
        self.0.is_open.store(false, Ordering::Release);
    }

    fn transport_closed(&self, transport: Option<Box<dyn Transport<P>>>, promise: Option<Promise<P>>) {
        self.close_transport(transport);
        self.closed().complete(Ok(()));
        if let Some(promise) = promise {
            promise.complete(Ok(()));
        }
    }

    /// The end of a channel that no event loop ever had.
    pub(super) fn end_unregistered(&self, mut private: Private<P>) {
        self.0.pending.detach();
        let outbound = private.outbound.take();
        assert!(outbound.is_none_or(|outbound| outbound.len() == 0), "without a loop nothing gets there");
        self.transport_closed(private.transport.take(), None);
        self.destroy_pipeline(); // nobody was told that it was added
    }

    /// Tells the handlers, once, if they had been told that it was active.
    pub(super) fn tell_inactive(&self) {
        // AcqRel: one teller.
        let told = self.0.inactive_told.swap(true, Ordering::AcqRel);
        assert!(!told, "a channel becomes inactive once");
        if self.here().is_some_and(|on| self.private(on, |p| p.active_told)) {
            self.fire(None, Upstream::Inactive);
        }
    }

    /// Inactive and deregistered, later, as in Netty: the caller may be in the middle of something.
    fn become_inactive(&self) {
        self.post_back(Task::Inactive(self.clone()));
    }
}

impl<P: Platform> Closing<P> {
    /// Fails what is left, then becomes inactive. On the loop, or where the loop refused it.
    fn finish(mut self) {
        let channel = &self.channel;
        if let Some(outbound) = self.outbound.take() {
            channel.fail_all(outbound, self.cause, Cause::ClosedChannel);
        }
        channel.become_inactive();
    }

    /// Closes the transport on `executor`, which may block there, and comes back to the loop.
    fn through(
        self,
        executor: &crate::event_loop::EventLoop<P>,
        transport: Option<Box<dyn Transport<P>>>,
        promise: Option<Promise<P>>,
    ) {
        let refused = executor.execute_fn(move || {
            self.channel.transport_closed(transport, promise);
            self.come_back();
        });
        if let Err(rejected) = refused
            && let Task::Closure(close) = rejected.task
        {
            close(); // the executor has ended: the loop has to wait itself
        }
    }

    fn come_back(self) {
        let channel = self.channel.clone();
        channel.post_back(Task::Closure(Box::new(move || self.finish())));
    }
}
