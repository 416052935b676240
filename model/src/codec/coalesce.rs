//! Buffers that wait to be written, and are written several as one.
//!
//! **Invariant: the number of readable bytes is the sum over the buffers that are there**, also after a failure; and whoever is
//! not there any more has been given on or released, and its promise follows what it became a part of.
//!
//! ```text
//!   add ──> [ ab | p1 ][ cdef | p2 ][ g | p3 ] ── remove(3, whole) ──> abc      p1 follows `whole`
//!                                                left: [ def | p2 ][ g | p3 ]
//! ```

use super::{Cumulator, HandlerError};
use crate::allocator::Allocator;
use crate::buffer::{Buffer, Owned};
use crate::channel::{Channel, PendingBytesTracker};
use crate::promise::{self, Cause, Promise, VoidPromise};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// A queue of buffers: Netty's `AbstractCoalescingBufferQueue`.
///
/// *Takes* buffers, and the duty to complete their promises; *gives* them on, joined by its cumulator; *keeps* the rest. What it
/// still has when it is dropped is released, and the promises are failed.
pub struct CoalescingQueue<P: Platform = Std> {
    entries: VecDeque<(Owned<P>, Promise<P>)>,
    readable: usize,
    cumulator: Box<dyn Cumulator<P>>,
    tracker: PendingBytesTracker<P>,
}

impl<P: Platform> CoalescingQueue<P> {
    /// Empty, joining by `cumulator`.
    pub fn new(cumulator: impl Cumulator<P> + 'static) -> Self {
        Self::with(None, Box::new(cumulator))
    }

    fn with(channel: Option<&Channel<P>>, cumulator: Box<dyn Cumulator<P>>) -> Self {
        Self { entries: VecDeque::new(), readable: 0, cumulator, tracker: PendingBytesTracker::new(channel) }
    }

    /// Empty, joining by `cumulator`; what waits counts as pending in `channel`, so that whoever writes sees it. Without that nobody
    /// is slowed down (Netty #7309).
    pub fn counted(channel: &Channel<P>, cumulator: impl Cumulator<P> + 'static) -> Self {
        Self::with(Some(channel), Box::new(cumulator))
    }

    fn come(&mut self, bytes: usize) {
        self.readable += bytes;
        self.tracker.add(bytes as u64);
    }

    fn go(&mut self, bytes: usize) {
        self.readable -= bytes;
        self.tracker.subtract(bytes as u64);
    }

    /// Bytes that wait.
    pub fn readable(&self) -> usize {
        self.readable
    }

    /// Whether there is no buffer.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a buffer at the end; `promise` will be completed with the write that its last byte goes out with.
    pub fn add(&mut self, buffer: Buffer<P>, promise: Promise<P>) {
        self.come(buffer.readable());
        self.entries.push_back((Owned::from(buffer), promise));
    }

    /// Takes the next bytes out, at most `bytes`, as one buffer, which is the caller's to write with `whole`. `None`: there is
    /// none.
    ///
    /// # Errors
    /// [`HandlerError`] when a buffer is dead or there is no memory. Then `whole` is failed, and what was taken out has been
    /// released. (Netty before 4.1.113 kept counting it: callers waited for bytes that weren't there.)
    /// Nothing is taken out when `whole` is void: what was added has to follow it; [`Promise::unvoid`] it.
    pub fn remove(
        &mut self,
        allocator: &Allocator<P>,
        bytes: usize,
        whole: &Promise<P>,
    ) -> Result<Option<Buffer<P>>, HandlerError> {
        if whole.is_void() {
            return Err(VoidPromise.into());
        }
        let mut taken = None;
        let joined = self.take(allocator, bytes, whole, &mut taken);
        if let Err(error) = joined {
            drop(taken);
            whole.try_complete(Err(error.cause()));
            return Err(error);
        }
        Ok(taken.map(Owned::into_buffer))
    }

    fn take(
        &mut self,
        allocator: &Allocator<P>,
        bytes: usize,
        whole: &Promise<P>,
        taken: &mut Option<Owned<P>>,
    ) -> Result<(), HandlerError> {
        let mut left = bytes;
        while let Some((mut buffer, promise)) = self.entries.pop_front() {
            let readable = buffer.readable();
            if readable > left && left == 0 {
                self.entries.push_front((buffer, promise));
                return Ok(());
            }
            let part = if readable > left {
                let part = buffer.read_retained_slice(left).inspect_err(|_| {
                    self.go(readable);
                    follow(promise.clone(), whole);
                })?;
                self.go(left);
                self.entries.push_front((buffer, promise));
                Owned::from(part)
            } else {
                self.go(readable);
                follow(promise, whole);
                buffer
            };
            left -= part.readable();
            match taken {
                None => *taken = Some(part),
                Some(first) => self.cumulator.cumulate(allocator, first, part)?,
            }
        }
        Ok(())
    }

    /// Releases all buffers, and fails their promises.
    ///
    /// # Panics
    /// When `cause` is [`Cause::Cancelled`].
    pub fn release_and_fail_all(&mut self, cause: Cause) {
        // One by one: a listener may not come back here, but another buffer may be its own.
        while let Some((buffer, promise)) = self.entries.pop_front() {
            self.go(buffer.readable());
            drop(buffer);
            promise.try_complete(Err(cause));
        }
    }
}

impl<P: Platform> Drop for CoalescingQueue<P> {
    fn drop(&mut self) {
        self.release_and_fail_all(Cause::ClosedChannel);
    }
}

/// Lets `part` end as `whole` does.
fn follow<P: Platform>(part: Promise<P>, whole: &Promise<P>) {
    let follows = promise::notify(whole, [part]);
    assert!(follows.is_ok(), "a void promise is refused before");
}
