//! What can be observed of a channel.

use super::{Channel, PendingIdentity};
use crate::Platform;
use crate::platform::CounterOps;
use crate::promise::{Cause, Outcome};
use serde::{Deserialize, Serialize};

/// The statistics of a channel. Exact at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChannelStats {
    /// Pending bytes, by where they are.
    pub pending: PendingIdentity,
    /// Times it became unwritable.
    pub became_unwritable: u64,
    /// Times it became writable again.
    pub became_writable: u64,
    /// Messages that reached the transport's side of the pipeline, or were refused on their way there.
    pub accepted: u64,
    /// Messages released because they were written.
    pub written: u64,
    /// ... because their promise was cancelled.
    pub cancelled: u64,
    /// ... because the channel was closed, before or while they were in it.
    pub closed: u64,
    /// ... because the loop refused them.
    pub rejected: u64,
    /// ... because of any other failure.
    pub failed: u64,
    /// Ends of a close that the loop refused and that are lost.
    pub lost_post_backs: u64,
    /// Panics of handlers and the encoder.
    pub user_panics: u64,
    /// Messages that no handler took, and the tail released.
    pub unhandled_messages: u64,
    /// Failures that no handler took.
    pub unhandled_exceptions: u64,
    /// Buffers gathered for writes to the transport: each as often as it was offered.
    pub gathered: u64,
}

impl ChannelStats {
    /// Messages accepted and not yet released.
    pub fn in_flight(&self) -> u64 {
        self.accepted - (self.written + self.cancelled + self.closed + self.rejected + self.failed)
    }
}

pub(super) struct Counters<P: Platform> {
    accepted: P::Counter,
    written: P::Counter,
    cancelled: P::Counter,
    closed: P::Counter,
    rejected: P::Counter,
    failed: P::Counter,
    lost_post_backs: P::Counter,
    user_panics: P::Counter,
    unhandled_messages: P::Counter,
    unhandled_exceptions: P::Counter,
    gathered: P::Counter,
}

impl<P: Platform> Default for Counters<P> {
    fn default() -> Self {
        Self {
            accepted: P::Counter::default(),
            written: P::Counter::default(),
            cancelled: P::Counter::default(),
            closed: P::Counter::default(),
            rejected: P::Counter::default(),
            failed: P::Counter::default(),
            lost_post_backs: P::Counter::default(),
            user_panics: P::Counter::default(),
            unhandled_messages: P::Counter::default(),
            unhandled_exceptions: P::Counter::default(),
            gathered: P::Counter::default(),
        }
    }
}

impl<P: Platform> Counters<P> {
    pub(super) fn accepted(&self) {
        self.accepted.add(1);
    }

    pub(super) fn user_panicked(&self) {
        self.user_panics.add(1);
    }

    pub(super) fn unhandled_message(&self) {
        self.unhandled_messages.add(1);
    }

    pub(super) fn unhandled_exception(&self) {
        self.unhandled_exceptions.add(1);
    }

    pub(super) fn gathered(&self) -> &P::Counter {
        &self.gathered
    }

    pub(super) fn post_back_lost(&self) {
        self.lost_post_backs.add(1);
    }

    /// A message has been released for this reason.
    pub(super) fn released(&self, outcome: Outcome) {
        match outcome {
            Ok(()) => self.written.add(1),
            Err(Cause::Cancelled) => self.cancelled.add(1),
            Err(Cause::ClosedChannel) => self.closed.add(1),
            Err(Cause::Rejected) => self.rejected.add(1),
            Err(_) => self.failed.add(1),
        }
    }
}

impl<P: Platform> Channel<P> {
    /// The statistics.
    pub fn stats(&self) -> ChannelStats {
        let (c, pending) = (&self.0.counters, &self.0.pending);
        ChannelStats {
            pending: self.pending_identity(),
            became_unwritable: pending.became_unwritable.get(),
            became_writable: pending.became_writable.get(),
            accepted: c.accepted.get(),
            written: c.written.get(),
            cancelled: c.cancelled.get(),
            closed: c.closed.get(),
            rejected: c.rejected.get(),
            failed: c.failed.get(),
            lost_post_backs: c.lost_post_backs.get(),
            user_panics: c.user_panics.get(),
            unhandled_messages: c.unhandled_messages.get(),
            unhandled_exceptions: c.unhandled_exceptions.get(),
            gathered: c.gathered.get(),
        }
    }
}
