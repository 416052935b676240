//! The way out: from the outbound buffer to the transport.
//!
//! **Invariant: while something is flushed, either the channel waits for its transport to become writable, or a task to
//! continue is queued, or the flush is going on.** So flushed data gets on.

use super::pending::Notice;
use super::{Channel, Private};
use crate::Platform;
use crate::event_loop::{OnLoop, Task};
use crate::message::Message;
use crate::observe::{Defect, Reach};
use crate::outbound::{Entry, Gather, Step};
use crate::pipeline::Downstream;
use crate::platform::{AtomicOps, CounterOps};
use crate::promise::{Cause, Outcome};
use crate::recycler::Pooled;
use crate::transport::{Interest, Transport, told};
use crate::write_path::VoidFailures;
use core::sync::atomic::Ordering;

/// Bytes gathered into one write at most: as many as Netty can count.
const GATHER_MOST: usize = i32::MAX as usize;

/// Writes of more bytes than 4,096 make what is gathered less.
const GATHER_SMALL: usize = 4097;

impl<P: Platform> Private<P> {
    /// Twice what the transport buffers: what is gathered first.
    pub(super) fn first_gather(transport: &dyn Transport<P>) -> usize {
        transport.send_buffer().map_or(GATHER_MOST, |bytes| bytes.saturating_mul(2).clamp(1, GATHER_MOST))
    }
}

impl<P: Platform> Channel<P> {
    /// Flushes everything written so far, from any thread, through the handlers.
    pub fn flush(&self) {
        self.go_down(None, Downstream::Flush);
    }

    pub(crate) fn flush_at_head(&self) {
        match self.here() {
            Some(on) => self.flush_here(on),
            // A loop that has shut down has closed the channel, and one without a loop has nothing: nothing is left to flush.
            None => self.post(Task::Flush(self.clone())),
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
        let Some(on) = self.here() else { return self.forward(Task::FlushMore(self.clone())) };
        if self.config().flush_task_flushes_new {
            self.flush_here(on);
        } else {
            self.private(on, |p| p.awaits_writable = false);
            self.flush0(on);
        }
    }

    /// The transport has told something: puts the channel on its loop's list, once.
    pub(crate) fn make_ready(self, bit: u32) {
        // AcqRel: pairs with the swap in `transport_ready`; what the peer did is seen there. And who finds nothing told yet sees
        // the loop to which the channel has moved.
        if self.0.told.fetch_or(bit, Ordering::AcqRel) == 0
            // Without one: the registration looks.
            && let Some(event_loop) = self.registered_loop().cloned()
        {
            event_loop.channel_ready(self);
        }
    }

    /// The loop found the channel on its list.
    pub(crate) fn transport_ready(&self) {
        // One that has moved is looked at by its new loop.
        let Some(on) = self.here() else { return };
        if !self.private(on, |p| p.is_served) {
            return; // what was told stays told until it is registered again
        }
        // Before anything is done about it, so that what is told meanwhile lists the channel again. AcqRel: see `make_ready`.
        let told = self.0.told.swap(0, Ordering::AcqRel);
        if told & told::CONNECTED != 0 {
            self.finish_connect(on);
        }
        // First out, then in, as Netty does: room is made before more is read.
        if told & told::WRITABLE != 0 && self.private(on, |p| core::mem::replace(&mut p.awaits_writable, false)) {
            self.flush0(on);
        }
        if told & told::READABLE != 0 {
            self.transport_readable(on);
        }
        // Unless a handler has moved it.
        if let Some(on) = self.here() {
            self.private(on, |p| {
                if let Some(transport) = &mut p.transport {
                    transport.looked();
                }
            });
        }
    }

    /// Tells the transport what the channel waits for.
    pub(super) fn tell_interest(&self, on: OnLoop<'_, P>) {
        self.private(on, |p| {
            let interest = Interest {
                read: !p.input_ended && (self.config().auto_read || p.read_wanted),
                write: p.awaits_writable,
            };
            p.told_write = interest.write;
            if let Some(transport) = &mut p.transport {
                transport.interest(interest);
            }
        });
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
        } else if self.is_open() {
            self.fail_flushed(on, Cause::NotYetConnected, Notice::Now);
        } else {
            self.fail_flushed(on, Cause::ClosedChannel, Notice::Never);
        }
        let is_done = self.private(on, |p| {
            p.is_flushing = false;
            let left = p.outbound.as_ref().is_some_and(|outbound| outbound.flushed() > 0 && p.transport.is_some());
            assert!(!left || p.awaits_writable || p.continues, "flushed data is stranded");
            p.told_write && !p.awaits_writable
        });
        if is_done {
            self.tell_interest(on); // or a level-triggered transport tells for ever that there is room
        }
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
                    self.tell_interest(on);
                    return;
                }
                Step::Reset => {
                    self.write_failed(on);
                    return;
                }
                Step::Dead => self.fail_dead(on),
                Step::Wrote { taken, offered } => {
                    let whole = taken == offered && !config.spin_bounds_flush;
                    spin = if whole { full } else { spin - u32::from(offered > 0) };
                    self.adjust_gather(on, taken, offered);
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

    /// The transport failed: the channel is closed, unless it shall stay open to be read.
    fn write_failed(&self, on: OnLoop<'_, P>) {
        let cause = Cause::ConnectionReset;
        if self.config().auto_close {
            self.close_here(on, None, cause);
        } else if self.config().output_shutdown_fails_pending {
            self.shutdown_output_here(on, None, cause);
        } else {
            // Netty through 4.1.15: the channel becomes writable again, and a handler that writes then fails again.
            self.fail_flushed(on, cause, Notice::Now);
        }
    }

    fn write_step(&self, on: OnLoop<'_, P>) -> Step {
        let config = self.config();
        self.private(on, |p| match (&p.outbound, &mut p.transport) {
            (Some(outbound), Some(transport)) => {
                let bytes = if config.adaptive_gather { p.gather_bytes } else { usize::MAX };
                let count = self.0.counters.gathered();
                outbound.write_to(&mut **transport, &Gather { buffers: config.max_gather as usize, bytes, count })
            }
            _ => Step::Empty, // a listener closed the channel
        })
    }

    /// Gathers twice as much when the transport takes everything, half as much when it takes less than half: Netty's
    /// `adjustMaxBytesPerGatheringWrite`.
    fn adjust_gather(&self, on: OnLoop<'_, P>, taken: usize, offered: usize) {
        let adjusted = |most: usize| match offered {
            _ if taken == offered => most.max(offered.saturating_mul(2).min(GATHER_MOST)),
            GATHER_SMALL.. if taken < offered / 2 => offered / 2,
            _ => most,
        };
        if self.config().adaptive_gather && offered > 0 {
            self.private(on, |p| p.gather_bytes = adjusted(p.gather_bytes));
        }
    }

    fn remove_bytes(&self, on: OnLoop<'_, P>, mut taken: usize) {
        if P::planted(Defect::ToldBeforeRemoved) {
            return self.remove_told_bytes(on, taken);
        }
        while let Some(written) =
            self.private(on, |p| p.outbound.as_mut().and_then(|outbound| outbound.pop_written(&mut taken)))
        {
            if let Some(progress) = written.progress {
                progress.tell();
            }
            if let Some(entry) = written.entry {
                self.end_entry(entry, Ok(()), Notice::Now);
            }
        }
    }

    /// The planted defect: who is told that an entry has ended finds it in the list all the same.
    fn remove_told_bytes(&self, on: OnLoop<'_, P>, mut taken: usize) {
        while let Some((buffer, promise)) =
            self.private(on, |p| p.outbound.as_ref().and_then(|outbound| outbound.first_written(taken)))
        {
            self.release(Message::Buffer(buffer), Ok(()));
            promise.complete(Ok(()));
            let first = self.private(on, |p| p.outbound.as_mut().and_then(|o| o.pop_written(&mut taken)));
            let Some(mut entry) = first.and_then(|written| written.entry) else { continue };
            let size = core::mem::take(&mut entry.pending);
            core::mem::forget(entry.content.take());
            self.0.pending.entry_bytes.sub(size);
            self.subtract_pending(size, Notice::Now);
        }
        let partial = self.private(on, |p| p.outbound.as_mut().and_then(|o| o.pop_written(&mut taken)));
        assert!(partial.is_none_or(|written| written.entry.is_none()), "what is out as a whole has gone");
    }

    /// The first message that isn't empty was released once too often by somebody.
    fn fail_dead(&self, on: OnLoop<'_, P>) {
        self.remove_bytes(on, 0);
        if let Some(entry) = self.private(on, |p| p.outbound.as_mut().and_then(|outbound| outbound.pop_flushed())) {
            self.end_entry(entry, Err(Cause::IllegalCount), Notice::Now);
        }
    }

    /// Fails what is flushed. A listener that flushes meanwhile adds to the same round.
    fn fail_flushed(&self, on: OnLoop<'_, P>, cause: Cause, notice: Notice) {
        let begins = self.private(on, |p| {
            p.outbound.as_mut().is_some_and(|outbound| !core::mem::replace(&mut outbound.is_failing, true))
        });
        if !begins {
            return;
        }
        while let Some(entry) = self.private(on, |p| p.outbound.as_mut().and_then(|outbound| outbound.pop_flushed())) {
            self.end_entry(entry, Err(cause), notice);
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
            match outcome {
                Ok(()) => drop(promise.complete(outcome)),
                Err(cause) => self.fail_promise(&promise, cause, VoidFailures::Buffered),
            }
            self.subtract_pending(size, notice);
        }
        assert!(entry.content.is_none() && entry.pending == 0, "a pooled entry refers to nothing");
    }
}
