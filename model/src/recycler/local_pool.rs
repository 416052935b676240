//! Generation B: a bounded queue a thread, with a batch in front of it (Netty 4.1.71+).
//!
//! **Invariant: an object is available exactly while it is in the batch, in the queue, or dropped; the batch belongs to the
//! owner; the queue has one consumer: the owner while the pool is open, whoever holds `drain` once it is closed.**
//!
//! ```text
//!   owner ──get──< [ batch ] <─refill─ [ queue, bounded ] <──offer── everybody
//!         └─recycle─> ^   full ────────────────^
//! ```

use super::config::{BatchOrder, Guard, RecyclerConfig, Refill};
use super::counters::{Counters, bump};
use super::error::RecyclerError;
use super::node::{AVAILABLE, CLAIMED, Node};
use crate::Platform;
use crate::mpsc::MpscQueue;
use crate::observe::{Defect, DropReason, Event, Fate, Reach};
use crate::platform::{AtomicOps, CellOps, CounterOps, Lock};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

/// What only the owner touches.
pub(super) struct Owned<T: Send + 'static, P: Platform> {
    /// Youngest at the back.
    pub(super) batch: VecDeque<Arc<Node<T, P>>>,
    /// `ratioCounter`.
    pub(super) gate: u32,
}

pub(super) struct LocalPool<T: Send + 'static, P: Platform> {
    pub(super) owned: P::Cell<Owned<T, P>>,
    pub(super) queue: MpscQueue<Node<T, P>, P>,
    /// Netty: the reference to the queue is not null.
    pub(super) open: P::Atomic<bool>,
    /// Netty: the reference to the owner is not null.
    pub(super) owner_known: P::Atomic<bool>,
    /// Who empties a closed queue.
    drain: P::Mutex<()>,
    chunk: usize,
}

// SAFETY: nodes move between threads: T: Send. `owned` is touched by the owner only, by the contracts below.
unsafe impl<T: Send + 'static, P: Platform> Send for LocalPool<T, P> {}
// SAFETY: as above.
unsafe impl<T: Send + 'static, P: Platform> Sync for LocalPool<T, P> {}

/// Where a recycle comes from.
pub(super) struct From {
    /// On the owner's thread.
    pub(super) owner: bool,
    /// The owner has ended.
    pub(super) dead: bool,
}

impl<T: Send + 'static, P: Platform> LocalPool<T, P> {
    pub(super) fn new(config: &RecyclerConfig) -> Self {
        Self {
            // The count starts where one is pooled: the first one is.
            owned: P::Cell::new(Owned { batch: VecDeque::new(), gate: config.ratio }),
            queue: MpscQueue::new(config.queue_capacity()),
            open: P::Atomic::new(true),
            owner_known: P::Atomic::new(config.owner_batch),
            drain: P::Mutex::new(()),
            chunk: config.effective_chunk(),
        }
    }

    /// Takes an object.
    ///
    /// # Safety
    /// On the owner's thread.
    pub(super) unsafe fn claim(&self, config: &RecyclerConfig, counters: &Counters<P>) -> Option<Arc<Node<T, P>>> {
        // Relaxed: the owner closes it itself, or has ended.
        if !self.open.load(Relaxed) {
            return None;
        }
        // SAFETY: the owner's cell and the owner's queue, by the contract of this function; nothing is destroyed.
        let node = self.owned.with_mut(|o| unsafe {
            let batch = &mut (*o).batch;
            if batch.is_empty() && config.refill == Refill::Chunk {
                while batch.len() < self.chunk
                    && let Some(node) = self.queue.poll()
                {
                    bump(&counters.own.taken, 1);
                    batch.push_back(node);
                }
            }
            let node = match config.batch_order {
                BatchOrder::Fifo => batch.pop_front(),
                BatchOrder::Lifo => batch.pop_back(),
            };
            counters.own.len.set(batch.len() as u64);
            node
        });
        let node = match node {
            None if config.refill == Refill::OneByOne => {
                // SAFETY: the owner is the consumer while the pool is open.
                let node = unsafe { self.queue.poll() }?;
                bump(&counters.own.taken, 1);
                node
            }
            node => node?,
        };
        // Release: the next recycle's exchange sees that the object is in use. What gave it to us is the batch or the queue.
        node.last.store(CLAIMED, Release);
        bump(&counters.own.reused, 1);
        Some(node)
    }

    /// Whether the next object that is created gets a place in the pool.
    ///
    /// # Safety
    /// On the owner's thread.
    pub(super) unsafe fn next_is_poolable(&self, config: &RecyclerConfig) -> bool {
        // SAFETY: the owner's cell.
        self.owned.with_mut(|o| unsafe {
            let gate = &mut (*o).gate;
            *gate = gate.saturating_add(1);
            let poolable = *gate >= config.ratio;
            if poolable {
                *gate = 0;
            }
            poolable
        })
    }

    /// Puts an object back: takes it out of `object`, or leaves it there to be dropped.
    pub(super) fn release(
        &self,
        config: &RecyclerConfig,
        counters: &Counters<P>,
        from: &From,
        object: &mut Option<Arc<Node<T, P>>>,
        ticket: P::Ticket,
    ) -> Result<(), RecyclerError> {
        let Some(node) = object.as_ref() else { unreachable!("the caller has it") };
        if !from.owner {
            P::reach(Reach::RecycledByOtherThread);
        }
        let was = match config.guard {
            // AcqRel: pairs with the Release in `claim`; and the holder's work happens before the next holder's.
            Guard::Exchange | Guard::Period if !P::planted(Defect::RacyClaim) => node.last.swap(AVAILABLE, AcqRel),
            Guard::Exchange | Guard::Period | Guard::PlainCheck => {
                let was = node.last.load(Relaxed); // a plain read: a racing double recycle is not seen
                if was == CLAIMED {
                    node.last.store(AVAILABLE, Release);
                }
                was
            }
            Guard::None => CLAIMED,
        };
        if was != CLAIMED {
            return Err(RecyclerError::ObjectRecycledAlready);
        }
        self.store(config, counters, from, object, ticket);
        Ok(())
    }

    fn store(
        &self,
        config: &RecyclerConfig,
        counters: &Counters<P>,
        from: &From,
        object: &mut Option<Arc<Node<T, P>>>,
        ticket: P::Ticket,
    ) {
        let owner_known = self.owner_known.load(Relaxed); // Relaxed: at worst an object isn't pooled
        if owner_known && from.owner {
            // SAFETY: on the owner's thread.
            let stored = self.owned.with_mut(|o| unsafe {
                let batch = &mut (*o).batch;
                if batch.len() < self.chunk {
                    batch.extend(object.take());
                    counters.own.len.set(batch.len() as u64);
                }
                object.is_none()
            });
            if stored {
                bump(&counters.own.stored, 1);
                P::note(ticket, Event::Recycled(Fate::StoredByOwner));
                return;
            }
        }
        let abandon = owner_known && !from.owner && from.dead && config.terminated_owner_check;
        if abandon {
            counters.far.abandoned.add(1);
            self.close(counters);
        }
        // Relaxed: races with the closing are what `recheck_after_offer` is for.
        let fate = if abandon || !self.open.load(Relaxed) {
            Fate::Dropped(DropReason::OwnerDead)
        } else {
            self.offer(config, counters, object, ticket)
        };
        counters.far_fate(fate);
        if fate != Fate::StoredByOther {
            P::note(ticket, Event::Recycled(fate)); // a stored one was noted before it was published
        }
    }

    fn offer(
        &self,
        config: &RecyclerConfig,
        counters: &Counters<P>,
        object: &mut Option<Arc<Node<T, P>>>,
        ticket: P::Ticket,
    ) -> Fate {
        let Some(node) = object.take() else { unreachable!("the caller has it") };
        let noted = || P::note(ticket, Event::Recycled(Fate::StoredByOther));
        if let Err(refused) = self.queue.offer(node, noted) {
            *object = Some(refused);
            return Fate::Dropped(DropReason::PoolFull);
        }
        if config.recheck_after_offer {
            // SeqCst: with the one in `close`, either this thread sees the pool closed, or the closer sees the element.
            P::fence(SeqCst);
            // Acquire: pairs with the Release in `close`.
            if !self.open.load(Acquire) {
                self.empty_closed_queue(counters);
            }
        }
        Fate::StoredByOther
    }

    /// Forgets the owner and the queue. By the owner, or when it has ended.
    pub(super) fn close(&self, counters: &Counters<P>) {
        self.owner_known.store(false, Relaxed); // as in `store`
        self.open.store(false, Release); // pairs with the Acquire in `offer`: the owner has polled for the last time
        P::fence(SeqCst); // pairs with the one in `offer`
        self.empty_closed_queue(counters);
    }

    /// Drops what a closed queue holds, as the collector does once nobody refers to it.
    fn empty_closed_queue(&self, counters: &Counters<P>) {
        let guard = self.drain.lock();
        let mut dropped = Vec::new();
        // SAFETY: the pool is closed: the owner doesn't poll any more, and `drain` makes one consumer of all others.
        while let Some(node) = unsafe { self.queue.poll() } {
            dropped.push(node);
        }
        counters.own.taken.add(dropped.len() as u64);
        counters.own.dead.add(dropped.len() as u64);
        drop(guard);
        drop(dropped); // runs destructors, which may come back here
    }

    /// The owner's thread removes the pool: closes the queue, or empties it (to 4.1.73).
    ///
    /// # Safety
    /// On the owner's thread.
    pub(super) unsafe fn remove(&self, config: &RecyclerConfig, counters: &Counters<P>) {
        if config.close_on_removal {
            self.close(counters);
        } else {
            self.empty_closed_queue(counters);
        }
        if config.drop_batch_on_removal {
            // SAFETY: the owner's cell; the objects are destroyed outside.
            let batch = self.owned.with_mut(|o| unsafe { core::mem::take(&mut (*o).batch) });
            counters.own.len.set(0);
            counters.own.dead.add(batch.len() as u64);
            drop(batch);
        }
    }
}
