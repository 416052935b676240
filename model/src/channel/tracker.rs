//! Bytes that wait in a handler, counted as pending.
//!
//! **Invariant: what a tracker has counted it gives back**, at the latest when it is dropped. So whoever writes sees the back
//! pressure of a queue in the middle of the pipeline, too. (Netty 4.1.16 forgot to count one such queue: #7309.)

use super::pending::Notice;
use super::{Channel, Inner};
use crate::platform::CounterOps;
use crate::{Platform, Std};
use alloc::sync::Weak;

/// Counts bytes that a handler keeps as pending in its channel: Netty's `PendingBytesTracker`. A change of writability is told
/// later, by a task.
pub struct PendingBytesTracker<P: Platform = Std> {
    channel: Option<Weak<Inner<P>>>,
    counted: u64,
}

impl<P: Platform> PendingBytesTracker<P> {
    /// For `channel`; without one nothing is counted.
    pub fn new(channel: Option<&Channel<P>>) -> Self {
        Self { channel: channel.map(Channel::downgrade), counted: 0 }
    }

    /// Bytes that it has counted.
    pub fn counted(&self) -> u64 {
        self.counted
    }

    fn channel(&self) -> Option<Channel<P>> {
        self.channel.as_ref().and_then(Weak::upgrade).map(Channel::from_inner)
    }

    /// Counts `bytes` more.
    pub fn add(&mut self, bytes: u64) {
        self.counted += bytes;
        if let Some(channel) = self.channel() {
            channel.0.pending.queue_bytes.add(bytes);
            channel.add_pending(bytes, Notice::Later);
        }
    }

    /// Gives `bytes` back.
    ///
    /// # Panics
    /// When it hasn't counted so many.
    pub fn subtract(&mut self, bytes: u64) {
        let left = self.counted.checked_sub(bytes);
        self.counted = left.expect("a tracker gives back what it has counted");
        if let Some(channel) = self.channel() {
            channel.0.pending.queue_bytes.sub(bytes);
            channel.subtract_pending(bytes, Notice::Later);
        }
    }
}

impl<P: Platform> Drop for PendingBytesTracker<P> {
    fn drop(&mut self) {
        if self.counted > 0 {
            self.subtract(self.counted);
        }
    }
}
