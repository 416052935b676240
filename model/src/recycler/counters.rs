//! The live counters of one pool.
//!
//! **Invariant: a counter of [`OwnCounters`] is written by the pool's owner only** (or by the one thread that is left when
//! the owner has ended), so that it costs a load and a store; those of [`FarCounters`] are written by anybody.
//!
//! ```text
//!            created ──> in use ──stored_by_owner──> own store ──reused──> in use
//!                          │  └──stored_by_other──> queue ──taken──> own store, in use, or dropped
//!                          └──> dropped, forgotten
//! ```

use super::stats::{Drops, PoolStats};
use crate::Platform;
use crate::observe::{DropReason, Fate};
use crate::platform::CounterOps;

/// Written by the owner.
#[repr(align(64))]
pub(super) struct OwnCounters<P: Platform> {
    pub(super) created: P::Counter,
    pub(super) created_unpoolable: P::Counter,
    pub(super) reused: P::Counter,
    pub(super) stored: P::Counter,
    /// Taken out of the queues.
    pub(super) taken: P::Counter,
    /// Objects in the own store: length of the stack or batch.
    pub(super) len: P::Counter,
    pub(super) array_len: P::Counter,
    pub(super) admitted: P::Counter,
    /// Dropped by the ratio when the owner recycled.
    pub(super) ratio: P::Counter,
    /// Dropped by the ratio when the owner took it from a queue.
    pub(super) ratio_transfer: P::Counter,
    pub(super) full: P::Counter,
    /// Left in a queue that was unlinked while the pool was full.
    pub(super) full_unlinked: P::Counter,
    /// Dropped out of the pool because its owner ended.
    pub(super) dead: P::Counter,
    pub(super) lost: P::Counter,
    /// Hand-over: given back because they were not used.
    pub(super) unused: P::Counter,
}

/// Written by anybody.
#[repr(align(64))]
pub(super) struct FarCounters<P: Platform> {
    pub(super) stored: P::Counter,
    pub(super) ratio: P::Counter,
    pub(super) full: P::Counter,
    pub(super) no_shared_capacity: P::Counter,
    pub(super) delayed_limit: P::Counter,
    pub(super) dead: P::Counter,
    /// Hand-over: in batches that came when the pool was full.
    pub(super) full_late: P::Counter,
    /// Hand-over: in batches that came when the owner had ended.
    pub(super) dead_late: P::Counter,
    pub(super) not_poolable: P::Counter,
    pub(super) forgotten: P::Counter,
    pub(super) refused: P::Counter,
    pub(super) ignored: P::Counter,
    pub(super) abandoned: P::Counter,
    pub(super) queues: P::Counter,
    pub(super) links: P::Counter,
}

pub(super) struct Counters<P: Platform> {
    pub(super) own: OwnCounters<P>,
    pub(super) far: FarCounters<P>,
}

impl<P: Platform> Default for Counters<P> {
    fn default() -> Self {
        let own = OwnCounters {
            created: Default::default(),
            created_unpoolable: Default::default(),
            reused: Default::default(),
            stored: Default::default(),
            taken: Default::default(),
            len: Default::default(),
            array_len: Default::default(),
            admitted: Default::default(),
            ratio: Default::default(),
            ratio_transfer: Default::default(),
            full: Default::default(),
            full_unlinked: Default::default(),
            dead: Default::default(),
            lost: Default::default(),
            unused: Default::default(),
        };
        let far = FarCounters {
            stored: Default::default(),
            ratio: Default::default(),
            full: Default::default(),
            no_shared_capacity: Default::default(),
            delayed_limit: Default::default(),
            dead: Default::default(),
            full_late: Default::default(),
            dead_late: Default::default(),
            not_poolable: Default::default(),
            forgotten: Default::default(),
            refused: Default::default(),
            ignored: Default::default(),
            abandoned: Default::default(),
            queues: Default::default(),
            links: Default::default(),
        };
        Self { own, far }
    }
}

/// Adds to a counter that only this thread writes.
pub(super) fn bump<C: CounterOps>(counter: &C, n: u64) {
    counter.set(counter.get().wrapping_add(n));
}

impl<P: Platform> Counters<P> {
    /// Another thread's recycle had this fate.
    pub(super) fn far_fate(&self, fate: Fate) {
        let far = &self.far;
        match fate {
            Fate::StoredByOwner => unreachable!("the owner counts for itself"),
            Fate::StoredByOther => far.stored.add(1),
            Fate::Dropped(DropReason::Ratio) => far.ratio.add(1),
            Fate::Dropped(DropReason::PoolFull) => far.full.add(1),
            Fate::Dropped(DropReason::NoSharedCapacity) => far.no_shared_capacity.add(1),
            Fate::Dropped(DropReason::DelayedLimit) => far.delayed_limit.add(1),
            Fate::Dropped(DropReason::OwnerDead) => far.dead.add(1),
            Fate::Dropped(DropReason::NotPoolable) => far.not_poolable.add(1),
            Fate::Dropped(DropReason::Unused) => unreachable!("nothing is given back when it is recycled"),
        }
    }

    /// The numbers; those of the structures (owner, shared capacity, ...) are for the caller to fill in.
    pub(super) fn stats(&self) -> PoolStats {
        self.stats_with(self.far.stored.get(), self.own.taken.get())
    }

    /// As [`Counters::stats`], when so many objects were stored by others, and so many taken over, besides those that came late.
    pub(super) fn stats_with(&self, stored: u64, taken: u64) -> PoolStats {
        let (own, far) = (&self.own, &self.far);
        let late = far.full_late.get() + far.dead_late.get();
        let (stored, taken) = (stored + late, taken + late);
        let dropped = Drops {
            ratio: own.ratio.get() + own.ratio_transfer.get() + far.ratio.get(),
            pool_full: own.full.get() + own.full_unlinked.get() + far.full.get() + far.full_late.get(),
            no_shared_capacity: far.no_shared_capacity.get(),
            delayed_limit: far.delayed_limit.get(),
            owner_dead: own.dead.get() + far.dead.get() + far.dead_late.get(),
            not_poolable: far.not_poolable.get(),
            unused: own.unused.get(),
            lost: own.lost.get(),
        };
        let left_store = own.ratio_transfer.get() + own.full_unlinked.get() + own.dead.get() + own.lost.get();
        let left_pool = left_store + own.unused.get() + late;
        // Wrapping: while threads are at work, one counter may be ahead of another; at rest the sum is right.
        let dropped_at_recycle = dropped.total().wrapping_sub(left_pool);
        let recycled = (own.stored.get() + stored + far.forgotten.get()).wrapping_add(dropped_at_recycle);
        // Saturating: while threads are at work, an object may have been taken before it was counted as stored.
        let queue_len = stored.saturating_sub(taken);
        PoolStats {
            created: own.created.get(),
            created_unpoolable: own.created_unpoolable.get(),
            reused: own.reused.get(),
            stored_by_owner: own.stored.get(),
            stored_by_other: stored,
            transferred: taken,
            dropped,
            forgotten: far.forgotten.get(),
            retained: own.len.get() + queue_len,
            own_len: own.len.get(),
            queue_len,
            in_use: (own.created.get() + own.reused.get()).wrapping_sub(recycled).cast_signed(),
            array_len: own.array_len.get(),
            queues: far.queues.get(),
            links: far.links.get(),
            admitted: own.admitted.get(),
            double_recycles_refused: far.refused.get(),
            double_recycles_ignored: far.ignored.get(),
            abandoned: far.abandoned.get(),
            ..PoolStats::default()
        }
    }

    /// Adds the history of a pool that is being destroyed. What it still held counts as dropped with its owner.
    pub(super) fn absorb(&self, pool: &Self) {
        let pairs = [
            (&self.own.created, &pool.own.created),
            (&self.own.created_unpoolable, &pool.own.created_unpoolable),
            (&self.own.reused, &pool.own.reused),
            (&self.own.stored, &pool.own.stored),
            (&self.own.taken, &pool.own.taken),
            (&self.own.admitted, &pool.own.admitted),
            (&self.own.ratio, &pool.own.ratio),
            (&self.own.ratio_transfer, &pool.own.ratio_transfer),
            (&self.own.full, &pool.own.full),
            (&self.own.full_unlinked, &pool.own.full_unlinked),
            (&self.own.dead, &pool.own.dead),
            (&self.own.lost, &pool.own.lost),
            (&self.own.unused, &pool.own.unused),
            (&self.far.stored, &pool.far.stored),
            (&self.far.ratio, &pool.far.ratio),
            (&self.far.full, &pool.far.full),
            (&self.far.no_shared_capacity, &pool.far.no_shared_capacity),
            (&self.far.delayed_limit, &pool.far.delayed_limit),
            (&self.far.dead, &pool.far.dead),
            (&self.far.full_late, &pool.far.full_late),
            (&self.far.dead_late, &pool.far.dead_late),
            (&self.far.not_poolable, &pool.far.not_poolable),
            (&self.far.forgotten, &pool.far.forgotten),
            (&self.far.refused, &pool.far.refused),
            (&self.far.ignored, &pool.far.ignored),
            (&self.far.abandoned, &pool.far.abandoned),
        ];
        for (sum, part) in pairs {
            sum.add(part.get());
        }
        let held = pool.stats();
        self.own.taken.add(held.queue_len);
        self.own.dead.add(held.retained);
    }
}
