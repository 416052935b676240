//! The end of the output, while the input stays open.
//!
//! **Invariant: when the output is shut down, what waits in the outbound buffer fails, once**, and a later close still closes.

use super::Channel;
use super::pending::Notice;
use crate::Platform;
use crate::event_loop::{OnLoop, Task};
use crate::handler::UserEvent;
use crate::observe::{Defect, Reach};
use crate::outbound::OutboundBuffer;
use crate::pipeline::Upstream;
use crate::promise::{Cause, Promise};

impl<P: Platform> Channel<P> {
    /// Tells the peer that nothing more will be written, from any thread. What isn't written yet fails with
    /// [`Cause::OutputShutdown`], from Netty 4.1.15 on; before, it stays in the outbound buffer.
    ///
    /// `promise` fails with [`Cause::ClosedChannel`] when the channel or its output is closed already, and with
    /// [`Cause::NotRegistered`] when it has no event loop, and with [`Cause::VoidPromise`] when it is void.
    pub fn shutdown_output(&self, promise: Promise<P>) {
        if !self.may_begin(&promise) {
            return;
        }
        match self.here() {
            Some(on) => self.shutdown_output_here(on, Some(promise), Cause::OutputShutdown),
            None => self.post(Task::ShutdownOutput(self.clone(), promise)),
        }
    }

    pub(super) fn shutdown_output_here(&self, on: OnLoop<'_, P>, promise: Option<Promise<P>>, cause: Cause) {
        if promise.as_ref().is_some_and(|promise| !promise.set_uncancellable()) {
            return;
        }
        let fails = self.config().output_shutdown_fails_pending;
        let outbound = self.private(on, |p| {
            let transport = p.transport.as_mut().filter(|_| p.outbound.is_some() && !p.close_initiated)?;
            transport.shutdown_output();
            p.awaits_writable = false;
            Some(if fails { p.outbound.take() } else { None })
        });
        self.tell_interest(on); // there may be room, and nobody is interested
        let Some(outbound) = outbound else {
            if let Some(promise) = promise {
                promise.complete(Err(Cause::ClosedChannel));
            }
            return;
        };
        if let Some(promise) = promise {
            promise.complete(Ok(()));
        }
        if let Some(outbound) = outbound {
            self.0.pending.detach();
            if outbound.len() > 0 {
                P::reach(Reach::OutputShutDownWithPendingMessages);
            }
            self.fail_all(outbound, cause, Cause::OutputShutdown);
        }
        self.fire(None, Upstream::UserEvent(UserEvent::OutputShutdown));
    }

    /// Ends every entry of an outbound buffer that is the channel's no more: the flushed ones for `cause`, the others for `rest`.
    pub(super) fn fail_all(&self, mut outbound: OutboundBuffer<P>, cause: Cause, rest: Cause) {
        let skips = outbound.is_failing && P::planted(Defect::UnflushedSkipped);
        loop {
            let is_flushed = outbound.flushed() > 0;
            let Some(entry) = outbound.pop_any() else { return };
            if skips && !is_flushed {
                core::mem::forget(entry);
                continue;
            }
            let cause = if is_flushed { cause } else { rest };
            self.end_entry(entry, Err(cause), Notice::Never);
        }
    }
}
