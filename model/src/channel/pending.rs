//! The bytes pending in a channel, and its writability.
//!
//! **Invariant: `total` is the sum of what the queued write tasks, the entries of the outbound buffer and the queues of handlers have
//! counted**, at every moment when no thread is between counting and queueing. And writability has hysteresis: it is lost above the
//! high water mark and comes back below the low one.
//!
//! Netty keeps the total in the outbound buffer and forgets the queued tasks when a close detaches it. Here it stays with
//! the channel, so that a task gives back what it counted, closed or not.

use super::Channel;
use crate::Platform;
use crate::event_loop::Task;
use crate::observe::{Defect, Reach};
use crate::pipeline::Upstream;
use crate::platform::{AtomicOps, CellOps, CounterOps};
use core::sync::atomic::Ordering;
use serde::{Deserialize, Serialize};

/// The two sides of the identity of pending bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PendingIdentity {
    /// The total that decides about writability.
    pub total: u64,
    /// What the entries of the outbound buffer count.
    pub entries: u64,
    /// What the queued write tasks count.
    pub tasks: u64,
    /// What handlers have queued: see [`PendingBytesTracker`](super::PendingBytesTracker).
    pub queues: u64,
}

impl PendingIdentity {
    /// Whether nothing is lost and nothing is counted twice. Meaningful at rest.
    pub fn holds(self) -> bool {
        self.total == self.entries + self.tasks + self.queues
    }
}

/// When a channel that became writable again says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Notice {
    /// At once, or as soon as the loop comes to it.
    Now,
    /// By a task of its own: the caller is in the middle of a write.
    Later,
    /// It isn't even marked writable: it is being closed, or its output is broken.
    Never,
}

/// The bit of the water marks.
const WATER_MARKS: u32 = 1;

/// What other threads read to know whether the channel can be written to.
pub(super) struct Pending<P: Platform> {
    total: P::Atomic<u64>,
    /// Bit 0: the water marks; the others are the program's. Writable: none.
    pub(super) unwritable: P::Atomic<u32>,
    has_outbound: P::Atomic<bool>,
    /// With a planted defect: the same as plain memory.
    plain_outbound: Option<Plain<P>>,
    pub(super) task_bytes: P::Counter,
    pub(super) entry_bytes: P::Counter,
    pub(super) queue_bytes: P::Counter,
    pub(super) became_unwritable: P::Counter,
    pub(super) became_writable: P::Counter,
}

/// A plain field that threads share without a thought.
struct Plain<P: Platform>(P::Cell<()>);

// SAFETY: there is nothing in it.
unsafe impl<P: Platform> Send for Plain<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Plain<P> {}

impl<P: Platform> Pending<P> {
    pub(super) fn new() -> Self {
        Self {
            total: P::Atomic::new(0),
            unwritable: P::Atomic::new(0),
            has_outbound: P::Atomic::new(true),
            plain_outbound: P::planted(Defect::OutboundNotVolatile).then(|| Plain(P::Cell::new(()))),
            task_bytes: P::Counter::default(),
            entry_bytes: P::Counter::default(),
            queue_bytes: P::Counter::default(),
            became_unwritable: P::Counter::default(),
            became_writable: P::Counter::default(),
        }
    }

    pub(super) fn total(&self) -> u64 {
        // Relaxed: nothing else is read on the strength of it.
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn is_writable(&self) -> bool {
        // Relaxed: as above.
        self.unwritable.load(Ordering::Relaxed) == 0
    }

    fn is_above(&self) -> bool {
        // Relaxed: as above.
        self.unwritable.load(Ordering::Relaxed) & WATER_MARKS != 0
    }

    pub(super) fn has_outbound(&self) -> bool {
        if let Some(plain) = &self.plain_outbound {
            plain.0.with(|_| ());
        }
        // Acquire: pairs with `detach`. Netty before 4.1.3 read it plainly and counted for closed channels.
        self.has_outbound.load(Ordering::Acquire)
    }

    pub(super) fn detach(&self) {
        if let Some(plain) = &self.plain_outbound {
            plain.0.with_mut(|_| ());
        }
        // Release: pairs with `has_outbound`.
        self.has_outbound.store(false, Ordering::Release);
    }
}

impl<P: Platform> Channel<P> {
    /// The identity of pending bytes. Exact at rest.
    pub fn pending_identity(&self) -> PendingIdentity {
        let pending = &self.0.pending;
        let entries = pending.entry_bytes.get();
        if let Some(on) = self.here() {
            let outbound = self.private(on, |p| p.outbound.as_ref().map(|o| o.pending()));
            assert!(outbound.is_none_or(|sum| sum == entries), "entries count {entries}, and are {outbound:?}");
        }
        PendingIdentity {
            total: pending.total(),
            entries,
            tasks: pending.task_bytes.get(),
            queues: pending.queue_bytes.get(),
        }
    }

    /// Counts `size` bytes as pending.
    pub(super) fn add_pending(&self, size: u64, notice: Notice) {
        let pending = &self.0.pending;
        // AcqRel: with `subtract_pending`; who crosses a mark sees the writability that earlier crossings left.
        let total = pending.total.fetch_add(size, Ordering::AcqRel) + size;
        if total > self.config().high_water_mark
            && !pending.is_above()
            // AcqRel: one of several that cross the mark tells.
            && pending.unwritable.fetch_or(WATER_MARKS, Ordering::AcqRel) == 0
        {
            self.became_unwritable(notice == Notice::Later);
        }
    }

    /// Gives `size` bytes back.
    pub(super) fn subtract_pending(&self, size: u64, notice: Notice) {
        let pending = &self.0.pending;
        // AcqRel: as in `add_pending`.
        let before = pending.total.fetch_sub(size, Ordering::AcqRel);
        assert!(P::unwinding() || before >= size, "{size} bytes given back of {before}");
        if notice != Notice::Never
            && before - size < self.config().low_water_mark
            && pending.is_above()
            // AcqRel: as in `add_pending`.
            && pending.unwritable.fetch_and(!WATER_MARKS, Ordering::AcqRel) == WATER_MARKS
        {
            self.became_writable(notice == Notice::Later);
        }
    }

    pub(super) fn became_unwritable(&self, later: bool) {
        P::reach(Reach::Unwritable);
        self.0.pending.became_unwritable.add(1);
        self.tell_writability(later);
    }

    pub(super) fn became_writable(&self, later: bool) {
        self.0.pending.became_writable.add(1);
        self.tell_writability(later);
    }

    /// On the loop, unless `later`, now; from elsewhere as soon as the loop comes to it. A loop that has shut down has nobody to tell.
    fn tell_writability(&self, later: bool) {
        if !later && self.here().is_some() {
            self.writability_changed();
        } else {
            self.post(Task::WritabilityChanged(self.clone()));
        }
    }

    /// For the one that tells too early, on purpose.
    pub(crate) fn tell_without(&self, size: u64) {
        self.subtract_pending(size, Notice::Now);
        self.add_pending(size, Notice::Later);
    }

    pub(crate) fn writability_changed(&self) {
        if self.here().is_none() {
            self.forward(Task::WritabilityChanged(self.clone()));
        } else if self.0.pending.has_outbound() {
            self.fire(None, Upstream::WritabilityChanged);
        }
    }
}
