//! Writes that wait in a handler.
//!
//! **Invariant: a write leaves the queue before anybody hears of it**: handler, listener, or whoever watches the writability. So who
//! comes back in finds the queue as it is, and no write twice. And what waits counts as pending.
//!
//! ```text
//!   handler.write ──add──> [ a | b | c ] ──remove_and_write_all──> context.write(a), (b), (c), what they added meanwhile
//!                                        └─remove_and_fail_all ──> released, failed; ...
//! ```
//!
//! After Netty's `PendingWriteQueue` of 4.1.5 and later. What is left when the queue is dropped is released and failed; Netty
//! forgets it. `removeAndFail` there tells the promise while the write is still in the queue, to this day: a listener that comes back
//! ends it twice. Here it doesn't.

use crate::buffer::Buffer;
use crate::channel::{IllegalPromise, PendingBytesTracker};
use crate::handler::Context;
use crate::message::Message;
use crate::observe::Defect;
use crate::promise::{Cause, Promise, PromiseCombiner};
use crate::release::OwnedMessage;
use crate::{Platform, Std};
use alloc::collections::VecDeque;
use core::cell::RefCell;

/// What a write in a queue counts beyond its message (`io.netty.transport.pendingWriteSizeOverhead`).
pub const PENDING_WRITE_OVERHEAD: u64 = 64;

struct PendingWrite<P: Platform> {
    message: OwnedMessage<P>,
    promise: Promise<P>,
    size: u64,
}

struct State<P: Platform> {
    writes: VecDeque<PendingWrite<P>>,
    bytes: u64,
    tracker: PendingBytesTracker<P>,
}

/// A queue of writes, for the thread of one handler. See the [module](self).
///
/// *Takes* messages, and the duty to complete their promises; *gives* them on, in order; *keeps* the rest.
pub struct PendingWriteQueue<P: Platform = Std>(RefCell<State<P>>);

impl<P: Platform> PendingWriteQueue<P> {
    /// Empty. What waits counts as pending in the channel of `context`, if there is one.
    pub fn new(context: &dyn Context<P>) -> Self {
        let tracker = PendingBytesTracker::new(context.channel());
        Self(RefCell::new(State { writes: VecDeque::new(), bytes: 0, tracker }))
    }

    /// Whether no write waits.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().writes.is_empty()
    }

    /// Writes that wait.
    pub fn len(&self) -> usize {
        self.0.borrow().writes.len()
    }

    /// Bytes that the waiting writes count: the estimated sizes of their messages, and [`PENDING_WRITE_OVERHEAD`] for each.
    pub fn bytes(&self) -> u64 {
        self.0.borrow().bytes
    }

    /// Calls `f` with the first message that waits; `None`: there is none. `f` must leave the queue alone.
    pub fn with_current<R>(&self, f: impl FnOnce(&Message<P>) -> R) -> Option<R> {
        self.0.borrow().writes.front().map(|write| f(&write.message))
    }

    /// Adds a write at the end. Also while all are being written or failed: then it will be, too, after those before it.
    pub fn add(&self, message: Message<P>, promise: Promise<P>) {
        let size = u64::from(message.estimated_size()) + PENDING_WRITE_OVERHEAD;
        let mut state = self.0.borrow_mut();
        state.writes.push_back(PendingWrite { message: message.into(), promise, size });
        state.bytes += size;
        state.tracker.add(size); // told later: nobody is called from here
    }

    /// Takes the first write out.
    fn pop(&self) -> Option<PendingWrite<P>> {
        let mut state = self.0.borrow_mut();
        let write = state.writes.pop_front()?;
        state.bytes -= write.size;
        state.tracker.subtract(write.size); // told later
        Some(write)
    }

    /// Takes all writes out; what is added meanwhile waits behind them. Each still counts as pending until it is given back.
    fn detach(&self) -> VecDeque<PendingWrite<P>> {
        let mut state = self.0.borrow_mut();
        state.bytes = 0;
        core::mem::take(&mut state.writes)
    }

    fn give_back(&self, size: u64) {
        self.0.borrow_mut().tracker.subtract(size);
    }

    /// Gives the first write on; `None`: there is none.
    ///
    /// # Errors
    /// As [`Context::write`]: the message has been released.
    pub fn remove_and_write(&self, context: &dyn Context<P>) -> Option<Result<(), IllegalPromise>> {
        let PendingWrite { message, promise, .. } =
            if P::planted(Defect::QueueToldFirst) { self.pop_told(context)? } else { self.pop()? };
        Some(context.write(message.into_message(), promise))
    }

    /// Gives all writes on, also those that are added meanwhile. The promise completes when theirs have, and fails with what failed
    /// first; a void one isn't waited for. `None`: there is none.
    pub fn remove_and_write_all(&self, context: &dyn Context<P>) -> Option<Promise<P>> {
        if self.is_empty() {
            return None;
        }
        let (whole, mut parts) = (Promise::new(), PromiseCombiner::new());
        while !self.is_empty() {
            // A list of their own: who comes back in on the way doesn't overtake them.
            for PendingWrite { message, promise, size } in self.detach() {
                self.give_back(size);
                let _void = parts.add(&promise);
                // Refused: somebody has completed it. That goes for this one only; Netty forgets those after it.
                let _refused = context.write(message.into_message(), promise);
            }
        }
        parts.finish(whole.clone());
        Some(whole)
    }

    /// Releases the first message and fails its promise; `false`: there is none.
    ///
    /// # Panics
    /// When `cause` is [`Cause::Cancelled`].
    pub fn remove_and_fail(&self, cause: Cause) -> bool {
        let Some(write) = self.pop() else { return false };
        Self::fail(write, cause);
        true
    }

    /// Releases all messages and fails their promises, also of those that are added meanwhile.
    ///
    /// # Panics
    /// When `cause` is [`Cause::Cancelled`].
    pub fn remove_and_fail_all(&self, cause: Cause) {
        if P::planted(Defect::QueueFailedInPlace) {
            return self.fail_in_place(cause);
        }
        while !self.is_empty() {
            for write in self.detach() {
                self.give_back(write.size);
                Self::fail(write, cause);
            }
        }
    }

    fn fail(write: PendingWrite<P>, cause: Cause) {
        drop(write.message);
        write.promise.try_complete(Err(cause));
    }

    /// Releases the first message, and gives its promise, which is the caller's to complete; `None`: there is none.
    pub fn remove(&self) -> Option<Promise<P>> {
        self.pop().map(|write| write.promise)
    }

    // ---- the planted defects

    /// The first buffer that waits, still there, as if it weren't.
    fn stale(&self) -> Option<(Buffer<P>, Promise<P>, u64)> {
        let state = self.0.borrow();
        let first = state.writes.front()?;
        let Message::Buffer(buffer) = &*first.message else { return None };
        Some((buffer.duplicate().ok()?, first.promise.clone(), first.size))
    }

    /// Forgets the first write, unless somebody has ended it: then there are fewer than `before`.
    fn forget_first(&self, before: usize) {
        if self.len() == before {
            core::mem::forget(self.pop().map(|write| write.message.into_message()));
        }
    }

    /// Has the writability told, and takes the first write out then.
    fn pop_told(&self, context: &dyn Context<P>) -> Option<PendingWrite<P>> {
        let before = self.len();
        let (buffer, promise, size) = self.stale()?;
        if let Some(channel) = context.channel() {
            channel.tell_without(size);
        }
        self.forget_first(before);
        Some(PendingWrite { message: Message::Buffer(buffer).into(), promise, size })
    }

    /// Fails writes that are still there.
    fn fail_in_place(&self, cause: Cause) {
        while let Some((buffer, promise, _)) = self.stale() {
            let before = self.len();
            promise.complete(Err(cause));
            Message::Buffer(buffer).release();
            self.forget_first(before);
        }
    }
}

impl<P: Platform> Drop for PendingWriteQueue<P> {
    fn drop(&mut self) {
        if !P::unwinding() {
            self.remove_and_fail_all(Cause::ClosedChannel);
        }
    }
}
