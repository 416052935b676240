//! The way out: from the outbound buffer to the transport.
//!
//! **Invariant: while something is flushed, either the channel waits for its transport to become writable, or a task to
//! continue is queued, or the flush is going on.** So flushed data gets on.

use super::Channel;
use super::pending::Notice;
use crate::Platform;
use crate::event_loop::{OnLoop, Task};
use crate::message::Message;
use crate::observe::Reach;
use crate::outbound::{Entry, Step};
use crate::platform::{AtomicOps, CounterOps};
use crate::promise::{Cause, Outcome};
use crate::recycler::Pooled;
use core::sync::atomic::Ordering;

impl<P: Platform> Channel<P> {
    /// Flushes everything written so far, from any thread.
    pub fn flush(&self) {
        match self.here() {
            Some(on) => self.flush_here(on),
            // A loop that has shut down has closed the channel: nothing is left to flush.
            None => drop(self.event_loop().execute(Task::Flush(self.clone()))),
        }
    }

    pub(super) fn flush_here(&self, on: OnLoop<'_, P>) {
        // One entry at a time: the release of a cancelled one may call back in.
        while let Some(hollowed) = self.private(on, |p| p.outbound.as_mut().and_then(|outbound| outbound.flush_next()))
        {
            if let Some((buffer, size)) = hollowed {
                self.release(Message::Buffer(buffer), Err(Cause::Cancelled));
                self.0.pending.entry_bytes.sub(size);
                self.subtract_pending(size, Notice::Now);
            }
        }
        // A flush that waits for the transport is continued when the transport says so.
        if !self.private(on, |p| p.awaits_writable) {
            self.flush0(on);
        }
    }

    /// The task that continues a flush.
    pub(crate) fn flush_more(&self) {
        let on = self.on_loop();
        if self.config().flush_task_flushes_new {
            self.flush_here(on);
        } else {
            self.private(on, |p| p.awaits_writable = false);
            self.flush0(on);
        }
    }

    /// The transport has room: puts the channel on its loop's list, once.
    pub(crate) fn make_ready(self) {
        // AcqRel: pairs with the swap in `transport_writable`; what the peer did is seen by the flush.
        if !self.0.is_listed.swap(true, Ordering::AcqRel) {
            self.event_loop().clone().channel_ready(self);
        }
    }

    /// The loop found the channel on its list.
    pub(crate) fn transport_writable(&self) {
        let on = self.on_loop();
        // Before the flush, so that room made during it lists the channel again. AcqRel: see `make_ready`.
        self.0.is_listed.swap(false, Ordering::AcqRel);
        if self.private(on, |p| core::mem::replace(&mut p.awaits_writable, false)) {
            self.flush0(on);
        }
    }

    fn flush0(&self, on: OnLoop<'_, P>) {
        let begins = self.private(on, |p| {
            let some = p.outbound.as_ref().is_some_and(|outbound| outbound.flushed() > 0);
            let begins = some && !p.is_flushing;
            p.is_flushing |= begins;
            begins
        });
        if !begins {
            return;
        }
        if self.is_active() {
            self.do_write(on);
        } else {
            self.fail_flushed(on, Cause::ClosedChannel);
        }
        self.private(on, |p| {
            p.is_flushing = false;
            let left = p.outbound.as_ref().is_some_and(|outbound| outbound.flushed() > 0 && p.transport.is_some());
            assert!(!left || p.awaits_writable || p.continues, "flushed data is stranded");
        });
    }

    fn do_write(&self, on: OnLoop<'_, P>) {
        let config = self.config();
        let full = config.write_spin_count.max(1);
        let mut spin = full;
        self.private(on, |p| p.continues = false);
        while spin > 0 {
            match self.write_step(on) {
                Step::Empty => return,
                Step::WouldBlock => {
                    self.private(on, |p| p.awaits_writable = true);
                    return;
                }
                Step::Reset => {
                    self.close_here(on, None, Cause::ConnectionReset);
                    return;
                }
                Step::Dead => self.fail_dead(on),
                Step::Wrote { taken, offered } => {
                    let whole = taken == offered && !config.spin_bounds_flush;
                    spin = if whole { full } else { spin - u32::from(offered > 0) };
                    self.remove_bytes(on, taken);
                }
            }
        }
        let left = self.private(on, |p| p.outbound.as_ref().is_some_and(|outbound| outbound.flushed() > 0));
        if !left {
            return;
        }
        P::reach(Reach::WriteSpinExhausted);
        self.private(on, |p| p.continues = true);
        if let Err(rejected) = self.event_loop().execute(Task::FlushMore(self.clone())) {
            // A loop in its last pass, or with a full queue: nobody would continue.
            drop(rejected);
            self.close_here(on, None, Cause::Rejected);
        }
    }

    fn write_step(&self, on: OnLoop<'_, P>) -> Step {
        let max = self.config().max_gather as usize;
        self.private(on, |p| match (&p.outbound, &mut p.transport) {
            (Some(outbound), Some(transport)) => outbound.write_to(&mut **transport, max),
            _ => Step::Empty, // a listener closed the channel
        })
    }

    fn remove_bytes(&self, on: OnLoop<'_, P>, mut taken: usize) {
        while let Some(entry) =
            self.private(on, |p| p.outbound.as_mut().and_then(|outbound| outbound.pop_written(&mut taken)))
        {
            self.end_entry(entry, Ok(()), Notice::Now);
        }
    }

    /// The first message that isn't empty was released once too often by somebody.
    fn fail_dead(&self, on: OnLoop<'_, P>) {
        self.remove_bytes(on, 0);
        if let Some(entry) = self.private(on, |p| p.outbound.as_mut().and_then(|outbound| outbound.pop_flushed())) {
            self.end_entry(entry, Err(Cause::IllegalCount), Notice::Now);
        }
    }

    /// Fails what is flushed. A listener that flushes meanwhile adds to the same round.
    fn fail_flushed(&self, on: OnLoop<'_, P>, cause: Cause) {
        let begins = self.private(on, |p| {
            p.outbound.as_mut().is_some_and(|outbound| !core::mem::replace(&mut outbound.is_failing, true))
        });
        if !begins {
            return;
        }
        while let Some(entry) = self.private(on, |p| p.outbound.as_mut().and_then(|outbound| outbound.pop_flushed())) {
            self.end_entry(entry, Err(cause), Notice::Never);
        }
        self.private(on, |p| {
            if let Some(outbound) = &mut p.outbound {
                outbound.is_failing = false;
            }
        });
    }

    /// The end of one entry that is in no list any more: message, promise, pending bytes, and then the entry itself.
    pub(super) fn end_entry(&self, mut entry: Pooled<Entry<P>, P>, outcome: Outcome, notice: Notice) {
        let size = core::mem::take(&mut entry.pending);
        if let Some((buffer, promise)) = entry.content.take() {
            self.release(Message::Buffer(buffer), outcome);
            self.0.pending.entry_bytes.sub(size);
            promise.complete(outcome);
            self.subtract_pending(size, notice);
        }
        assert!(entry.content.is_none() && entry.pending == 0, "a pooled entry refers to nothing");
    }
}
