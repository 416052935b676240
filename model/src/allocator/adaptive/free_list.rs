//! The free segments of a chunk: a bounded queue of offsets with many producers and one consumer.
//!
//! **Invariant: an offset is in the list at most once, and the list is as long as the chunk has segments**; so an offer always
//! finds room, and what is polled belongs to the consumer alone.
//!
//! ```text
//!   slots   [ . . 128 0 ? 64 . . ]     . = EMPTY     ? = reserved by a producer that hasn't written yet
//!             head ^      tail ^       poll spins at a `?`, as Netty's `MpscAtomicIntegerArrayQueue` does
//! ```
//!
//! The consumer is whoever holds the chunk: a magazine, under its lock or on its thread, or an allocation that took the
//! chunk out of a shared place.

use crate::Platform;
use crate::platform::{AtomicOps, CellOps};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// No offset.
const EMPTY: u32 = u32::MAX;

/// See the [module](self).
pub(super) struct FreeList<P: Platform> {
    slots: Box<[P::Atomic<u32>]>,
    tail: P::Atomic<usize>,
    /// The consumer's.
    head: P::Cell<usize>,
}

impl<P: Platform> FreeList<P> {
    /// A list that holds the offsets of all `segments`, ascending.
    pub fn new(segments: u32, segment: u32) -> Self {
        let capacity = segments.next_power_of_two();
        let offset = |i: u32| if i < segments { i * segment } else { EMPTY };
        Self {
            slots: (0..capacity).map(|i| P::Atomic::new(offset(i))).collect(),
            tail: P::Atomic::new(segments as usize),
            head: P::Cell::new(0),
        }
    }

    fn slot(&self, index: usize) -> &P::Atomic<u32> {
        &self.slots[index & (self.slots.len() - 1)]
    }

    /// Puts an offset back.
    pub fn offer(&self, offset: u32) {
        // There is room: see the invariant. AcqRel: pairs with itself. The slot's last offset, one turn ago, was polled before
        // this one or one of those offered since was, so the chain of reservations orders the consumer's EMPTY before our store.
        let index = self.tail.fetch_add(1, AcqRel);
        // Release: pairs with the Acquire in `poll`; the last user of the segment is done with it.
        self.slot(index).store(offset, Release);
    }

    /// Takes the oldest offset.
    ///
    /// # Safety
    /// The caller holds the chunk: no other thread is here, and what the last one did happened before.
    pub unsafe fn poll(&self) -> Option<u32> {
        // SAFETY: the consumer's own cell, by the contract of this function.
        let head = self.head.with(|p| unsafe { *p });
        let slot = self.slot(head);
        let offset = loop {
            // Acquire: pairs with the Release in `offer`.
            let offset = slot.load(Acquire);
            if offset != EMPTY {
                break offset;
            }
            // Relaxed: only whether somebody is about to write the slot. Nobody is, or will ever be, once threads are abandoned.
            if self.tail.load(Relaxed) == head || P::unwinding() {
                return None;
            }
            P::spin_hint();
        };
        // Relaxed: ordered by the reservations: see `offer`.
        slot.store(EMPTY, Relaxed);
        // SAFETY: the consumer's own cell, as above.
        self.head.with_mut(|p| unsafe { *p = head + 1 });
        Some(offset)
    }

    /// Number of offsets, those included that are reserved and not yet written.
    ///
    /// # Safety
    /// As [`FreeList::poll`].
    pub unsafe fn len(&self) -> usize {
        // SAFETY: the consumer's own cell, by the contract of this function.
        let head = self.head.with(|p| unsafe { *p });
        self.tail.load(Relaxed) - head // Relaxed: a number; `poll` orders what is taken
    }

    /// The offsets, oldest first.
    ///
    /// # Safety
    /// As [`FreeList::poll`], and nobody is in [`FreeList::offer`].
    pub unsafe fn offsets(&self) -> Vec<u32> {
        // SAFETY: the consumer's own cell, by the contract of this function.
        let head = self.head.with(|p| unsafe { *p });
        // Relaxed: nobody is inside, by the contract of this function.
        (head..self.tail.load(Relaxed)).map(|i| self.slot(i).load(Relaxed)).collect()
    }
}
