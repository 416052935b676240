//! The way in: from `write`, on any thread, to an entry of the outbound buffer.
//!
//! **Invariant: from the moment `write` is called the message belongs to the channel**, which keeps it, or releases it and
//! completes its promise.

use super::Channel;
use super::pending::Notice;
use crate::buffer::{Buffer, Owned};
use crate::event_loop::{OnLoop, Task};
use crate::handler::HandlerError;
use crate::message::{Message, Pojo};
use crate::observe::{Defect, Event, Reach};
use crate::pipeline::{Direction, Place, Upstream};
use crate::platform::CounterOps;
use crate::promise::{Cause, Outcome, Promise};
use crate::write_path::VoidFailures;
use crate::write_task::Write;
use crate::{Platform, Std};
use alloc::sync::Arc;

/// The promise of a write was complete already, or is another channel's void one. The message has been released.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the promise is complete already, or another channel's: write with a new one")]
pub struct IllegalPromise;

/// Makes bytes of a message, on the event loop.
pub trait Encoder<P: Platform = Std>: Send + Sync {
    /// Appends the bytes of `message` to `out`, which has room for [`Pojo::encoded_size`] bytes.
    ///
    /// # Errors
    /// Any failure; it becomes the outcome of the write.
    fn encode(&self, message: &Pojo<P>, out: &mut Buffer<P>) -> Result<(), Cause>;
}

/// Encodes a message as this byte, repeated.
#[derive(Clone, Copy, Debug)]
pub struct FillEncoder(pub u8);

impl<P: Platform> Encoder<P> for FillEncoder {
    fn encode(&self, message: &Pojo<P>, out: &mut Buffer<P>) -> Result<(), Cause> {
        out.put_repeated(self.0, message.encoded_size() as usize).map_err(|_| Cause::EncoderFailed)
    }
}

impl<P: Platform> Channel<P> {
    /// Writes a message: it goes to the outbound buffer and waits for a flush.
    ///
    /// # Errors
    /// [`IllegalPromise`] when `promise` is another channel's void promise, or complete; but a cancellation is legal, and means
    /// that there is nothing to do.
    pub fn write(&self, message: Message<P>, promise: Promise<P>) -> Result<(), IllegalPromise> {
        self.submit(message, promise, false)
    }

    /// Writes a message and flushes everything written so far.
    ///
    /// # Errors
    /// As [`Channel::write`].
    pub fn write_and_flush(&self, message: Message<P>, promise: Promise<P>) -> Result<(), IllegalPromise> {
        self.submit(message, promise, true)
    }

    fn submit(&self, message: Message<P>, promise: Promise<P>, flush: bool) -> Result<(), IllegalPromise> {
        message.touch("Channel::write");
        self.write_from(None, message, promise, flush)
    }

    /// Writes towards the transport: from the handler at `from`, or else from the application.
    pub(crate) fn write_from(
        &self,
        from: Option<&Arc<Place<P>>>,
        message: Message<P>,
        promise: Promise<P>,
        flush: bool,
    ) -> Result<(), IllegalPromise> {
        if promise.is_done() || !promise.is_for(self) {
            self.refuse_write(message, &promise);
            return if promise.is_cancelled() { Ok(()) } else { Err(IllegalPromise) };
        }
        match self.contexts().next(from, Direction::Outbound) {
            None => self.write_at_head(message, promise, flush),
            Some(place) if self.is_at(&place) => self.invoke_write(&place, message, promise, flush),
            Some(place) => self.submit_task(Some(place), message, promise, flush),
        }
        Ok(())
    }

    /// The promise forbids to write.
    fn refuse_write(&self, message: Message<P>, promise: &Promise<P>) {
        if !promise.is_cancelled() && P::planted(Defect::IllegalPromiseLeaks) {
            return;
        }
        self.0.counters.accepted();
        self.release(message, Err(Cause::Cancelled));
    }

    fn write_at_head(&self, message: Message<P>, promise: Promise<P>, flush: bool) {
        let Some(on) = self.here() else { return self.submit_task(None, message, promise, flush) };
        self.0.counters.accepted();
        self.write_here(on, message, promise);
        if flush {
            self.flush_here(on);
        }
    }

    /// A channel that has never been registered has nobody to write. Netty finds that out between the validation of the promise
    /// and the transfer of ownership, throws, and nobody releases the message.
    fn write_unregistered(&self, message: Message<P>, promise: &Promise<P>) {
        P::reach(Reach::WriteBeforeRegistration);
        self.0.counters.accepted();
        if self.config().keeps_refused {
            self.fail_here(message, promise, if self.is_open() { Cause::NotRegistered } else { Cause::ClosedChannel });
        } else {
            promise.complete(Err(Cause::NotRegistered));
        }
    }

    fn submit_task(&self, place: Option<Arc<Place<P>>>, message: Message<P>, promise: Promise<P>, flush: bool) {
        let Some(event_loop) = self.registered_loop() else { return self.write_unregistered(message, &promise) };
        let executor = place.as_deref().and_then(Place::executor).unwrap_or(event_loop).clone();
        if place.is_none() {
            self.0.counters.accepted();
        }
        let pools = &self.0.pools;
        let mut task = if flush { &pools.write_and_flush_task } else { &pools.write_task }.get();
        let size = u64::from(message.estimated_size()) + u64::from(self.config().task_overhead);
        let counted = (self.config().estimate_on_submit && self.0.pending.has_outbound()).then_some(size);
        assert!(task.0.is_none(), "a pooled task refers to nothing");
        task.0 = Some(Write { channel: self.clone(), place, message, promise, counted, flush });
        if counted.is_some() {
            self.0.pending.task_bytes.add(size);
            self.add_pending(size, Notice::Now);
        }
        P::note(task.ticket(), Event::Touched("submitted to its event loop"));
        executor.execute_or_refuse(Task::Write(task));
    }

    /// The end of a write that the executor refused.
    pub(crate) fn reject_write(&self, write: Write<P>) {
        if write.place.is_some() {
            self.0.counters.accepted();
        }
        if let Some(size) = write.counted {
            self.0.pending.task_bytes.sub(size);
            if self.config().cancel_on_rejection {
                self.subtract_pending(size, Notice::Later);
            }
        }
        if P::planted(Defect::RejectedWriteLeaks) {
            write.promise.complete(Err(Cause::Rejected));
            return;
        }
        self.fail(write.message, &write.promise, Cause::Rejected, VoidFailures::Rejected);
    }

    /// A queued write will never run: what it counted stays counted, as in Netty.
    pub(crate) fn abandon_write(&self, write: Write<P>) {
        self.0.pending.task_bytes.sub(write.counted.unwrap_or(0));
        // Nor is the message released. It is a part of what is lost, not one that somebody let go of.
        core::mem::forget(write.message);
    }

    /// Whether a queued write is on the thread that it was sent to: the channel may have moved meanwhile.
    pub(crate) fn is_write_here(&self, write: &Write<P>) -> bool {
        write.place.as_ref().is_some_and(|place| place.executor().is_some()) || self.here().is_some()
    }

    /// A queued write has reached its thread.
    pub(crate) fn run_write(&self, write: Write<P>) {
        let Write { place, message, promise, counted, flush, .. } = write;
        if let Some(size) = counted {
            self.0.pending.task_bytes.sub(size);
            self.subtract_pending(size, Notice::Later);
        }
        match place {
            Some(place) => self.invoke_write(&place, message, promise, flush),
            None => {
                let on = self.here().expect("seen before");
                self.write_here(on, message, promise);
                if flush {
                    self.flush_here(on);
                }
            }
        }
    }

    fn write_here(&self, on: OnLoop<'_, P>, message: Message<P>, promise: Promise<P>) {
        match message {
            Message::Buffer(buffer) => self.add_to_outbound(on, buffer, promise),
            Message::Pojo(pojo) => {
                let encoded = self.encode(&pojo);
                drop(pojo); // Netty releases the source whether or not the encoding succeeded
                match encoded {
                    Ok(buffer) => self.add_to_outbound(on, buffer, promise),
                    Err(cause) => {
                        self.0.counters.released(Err(cause));
                        self.fail_promise(&promise, cause, VoidFailures::All);
                    }
                }
            }
            object @ Message::Object(_) => self.fail_here(object, &promise, Cause::UnsupportedMessage),
        }
    }

    fn encode(&self, message: &Pojo<P>) -> Result<Buffer<P>, Cause> {
        let size = message.encoded_size() as usize;
        let buffer = self.0.pools.buffers.allocate_max(size, size).map_err(|_| Cause::OutOfMemory)?;
        let mut out = Owned::from(buffer); // released if the encoder fails or panics
        let encoded = P::catch(|| self.0.encoder.encode(message, &mut out)).unwrap_or_else(|_| {
            self.count_panic();
            Err(Cause::EncoderFailed)
        });
        encoded.map(|()| out.into_buffer())
    }

    fn add_to_outbound(&self, on: OnLoop<'_, P>, buffer: Buffer<P>, promise: Promise<P>) {
        if self.private(on, |p| p.outbound.is_none()) {
            P::reach(Reach::WriteAfterClose);
            self.fail_closed(Message::Buffer(buffer), &promise);
            return;
        }
        let mut entry = self.0.pools.entry.get();
        let size = buffer.readable() as u64 + u64::from(self.config().entry_overhead);
        entry.fill(buffer, promise, size);
        self.private(on, |p| p.outbound.as_mut().expect("seen above").add(entry));
        self.0.pending.entry_bytes.add(size);
        self.add_pending(size, Notice::Now);
    }

    /// The one place where a write that finds its channel closed gives its message up.
    fn fail_closed(&self, message: Message<P>, promise: &Promise<P>) {
        message.touch("the channel is closed");
        if P::planted(Defect::ForgottenRelease) {
            promise.complete(Err(Cause::ClosedChannel));
            return;
        }
        if P::planted(Defect::DuplicateRelease)
            && let Message::Buffer(buffer) = &message
        {
            let _planted = buffer.release();
        }
        self.fail_here(message, promise, Cause::ClosedChannel);
    }

    /// Ends a write that comes no further than here.
    fn fail_here(&self, message: Message<P>, promise: &Promise<P>, cause: Cause) {
        self.fail(message, promise, cause, VoidFailures::All);
    }

    /// Releases the message and fails its promise, in the order of the configured release. `told_from`: see
    /// [`Channel::fail_promise`].
    fn fail(&self, message: Message<P>, promise: &Promise<P>, cause: Cause, told_from: VoidFailures) {
        if self.config().release_before_notify {
            self.release(message, Err(cause));
            self.fail_promise(promise, cause, told_from);
        } else {
            self.fail_promise(promise, cause, told_from);
            self.release(message, Err(cause));
        }
    }

    /// The one place where the promise of a write fails. A void one tells it by an exception, under the rule `told_from` and
    /// those after it.
    pub(crate) fn fail_promise(&self, promise: &Promise<P>, cause: Cause, told_from: VoidFailures) {
        let is_told = || self.config().void_failures >= told_from && !P::planted(Defect::VoidFailureSwallowed);
        if promise.is_void() && !is_told() {
            promise.swallow_failure();
        } else {
            promise.complete(Err(cause));
        }
    }

    /// The write of a void promise failed: an exception, where there is somebody to be told.
    pub(crate) fn write_failed_unheard(&self, cause: Cause) {
        if self.is_registered() {
            self.fire(None, Upstream::Exception(HandlerError::Write(cause)));
        } else {
            self.count_unhandled();
        }
    }

    pub(super) fn release(&self, message: Message<P>, outcome: Outcome) {
        message.release();
        self.0.counters.released(outcome);
    }
}
