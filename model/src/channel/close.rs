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
//! Millpond goes on where it is: the buffer is owned by the close, not by the loop.

use super::Channel;
use super::pending::Notice;
use crate::Platform;
use crate::event_loop::{OnLoop, Task};
use crate::observe::Reach;
use crate::outbound::OutboundBuffer;
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
    /// Closes the channel, from any thread. Pending writes fail; closing twice is harmless.
    pub fn close(&self, promise: Promise<P>) {
        match self.here() {
            Some(on) => self.close_here(on, Some(promise), Cause::ClosedChannel),
            None => {
                if let Err(rejected) = self.event_loop().execute(Task::Close(self.clone(), promise)) {
                    rejected.task.refuse();
                }
            }
        }
    }

    /// Closes only the transport, from any thread, without waiting for anything. Pending writes fail when they are flushed or
    /// the channel is closed.
    pub fn close_forcibly(&self) {
        match self.here() {
            Some(on) => {
                let transport = self.private(on, |p| p.transport.take());
                self.close_transport(transport);
            }
            None => drop(self.event_loop().execute(Task::CloseForcibly(self.clone()))),
        }
    }

    /// The loop shuts down.
    pub(crate) fn close_for_shutdown(&self) {
        self.close_here(self.on_loop(), None, Cause::ClosedChannel);
    }

    pub(super) fn close_here(&self, on: OnLoop<'_, P>, promise: Option<Promise<P>>, cause: Cause) {
        if promise.as_ref().is_some_and(|promise| !promise.set_uncancellable()) {
            return;
        }
        if self.private(on, |p| core::mem::replace(&mut p.close_initiated, true)) {
            if let Some(promise) = promise {
                self.closed().add_listener(move |outcome| {
                    promise.complete(outcome);
                });
            }
            return;
        }
        self.0.pending.detach();
        let (outbound, transport) = self.private(on, |p| {
            p.awaits_writable = false;
            (p.outbound.take(), p.transport.take())
        });
        if outbound.as_ref().is_some_and(|outbound| outbound.len() > 0) {
            P::reach(Reach::ClosedWithPendingMessages);
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
        // Release: pairs with the acquire in `is_active`.
        self.0.is_active.store(false, Ordering::Release);
    }

    fn transport_closed(&self, transport: Option<Box<dyn Transport<P>>>, promise: Option<Promise<P>>) {
        self.close_transport(transport);
        self.closed().complete(Ok(()));
        if let Some(promise) = promise {
            promise.complete(Ok(()));
        }
    }

    /// The registration was refused.
    pub(super) fn abort_open(&self) {
        self.0.pending.detach();
        // Release: pairs with the acquire in `is_active`.
        self.0.is_active.store(false, Ordering::Release);
        self.closed().complete(Ok(()));
    }

    pub(crate) fn registered(&self, transport: Box<dyn Transport<P>>) {
        let on = self.on_loop();
        self.private(on, |p| p.transport = Some(transport));
        self.event_loop().register(on, self);
    }

    pub(crate) fn deregistered(&self) {
        self.event_loop().deregister(self.on_loop(), self);
        self.tell_inactive();
    }

    fn tell_inactive(&self) {
        // AcqRel: one teller.
        let told = self.0.inactive_told.swap(true, Ordering::AcqRel);
        assert!(!told, "a channel becomes inactive once");
        self.tell(|handler| handler.inactive(self));
    }

    /// Inactive and deregistered, later, as in Netty: the caller may be in the middle of something.
    fn become_inactive(&self) {
        let Err(rejected) = self.event_loop().execute(Task::Deregister(self.clone())) else { return };
        drop(rejected);
        if !self.config().inline_when_rejected {
            self.0.counters.post_back_lost();
            return;
        }
        match self.here() {
            Some(_) => self.deregistered(),
            None => self.tell_inactive(), // the loop has ended, and its registry with it
        }
    }
}

impl<P: Platform> Closing<P> {
    /// Fails what is left, then becomes inactive. On the loop, or where the loop refused it.
    fn finish(mut self) {
        let channel = &self.channel;
        if let Some(mut outbound) = self.outbound.take() {
            loop {
                let cause = if outbound.flushed() > 0 { self.cause } else { Cause::ClosedChannel };
                let Some(entry) = outbound.pop_any() else { break };
                channel.end_entry(entry, Err(cause), Notice::Never);
            }
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
        if let Err(rejected) = refused {
            rejected.task.run_here(); // the executor has ended: the loop has to wait itself
        }
    }

    fn come_back(self) {
        let channel = self.channel.clone();
        let refused = channel.event_loop().clone().execute_fn(move || self.finish());
        let Err(rejected) = refused else { return };
        if channel.config().inline_when_rejected {
            rejected.task.run_here();
        } else {
            channel.0.counters.post_back_lost();
        }
    }
}
