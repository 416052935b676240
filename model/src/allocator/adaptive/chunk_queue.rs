//! The chunks that no magazine has: a bounded queue with many producers and many consumers.
//!
//! **Invariant: slot `i` is written by the one producer that moved `tail` from `i` to `i + 1`, and emptied by the one consumer that
//! moved `head` so**; its turn says whose it is.
//!
//! ```text
//!   turn of slot i (mod capacity):  i      free, for the producer of index i
//!                                   i + 1  written, for the consumer of index i
//!                                   i + capacity     free again, one round later
//! ```
//!
//! Vyukov's bounded queue (1024cores, "Bounded MPMC queue"), which Netty's (JCTools `MpmcArrayQueue`) is too. Unlike Netty's, a
//! poll doesn't wait for a producer that has reserved a slot and not written it yet: it finds nothing there.

use super::chunk::{Chunk, Held};
use crate::Platform;
use crate::platform::AtomicOps;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

struct Slot<P: Platform> {
    turn: P::Atomic<usize>,
    chunk: P::Atomic<*mut Chunk<P>>,
}

/// See the [module](self).
pub(super) struct ChunkQueue<P: Platform> {
    slots: Box<[Slot<P>]>,
    head: P::Atomic<usize>,
    tail: P::Atomic<usize>,
}

impl<P: Platform> ChunkQueue<P> {
    /// An empty queue for `capacity` chunks, a power of two of at least 2.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two() && capacity >= 2, "the turns of one slot differ");
        let slot = |turn| Slot { turn: P::Atomic::new(turn), chunk: P::Atomic::new(ptr::null_mut()) };
        Self { slots: (0..capacity).map(slot).collect(), head: P::Atomic::new(0), tail: P::Atomic::new(0) }
    }

    fn slot(&self, index: usize) -> &Slot<P> {
        &self.slots[index & (self.slots.len() - 1)]
    }

    /// Appends.
    ///
    /// # Errors
    /// The chunk, when the queue is full.
    pub fn offer(&self, held: Held<P>) -> Result<(), Held<P>> {
        let mut tail = self.tail.load(Relaxed); // Relaxed: a guess; the slot's turn decides
        let slot = loop {
            let slot = self.slot(tail);
            // Acquire: pairs with the Release in `poll`; the slot has been emptied.
            let ahead = slot.turn.load(Acquire).wrapping_sub(tail).cast_signed();
            if ahead < 0 {
                return Err(held);
            }
            if ahead > 0 {
                tail = self.tail.load(Relaxed); // what we have is old; Relaxed: a guess again
                continue;
            }
            // Relaxed: the reservation orders nothing; the slot's turn does.
            match self.tail.compare_exchange_weak(tail, tail.wrapping_add(1), Relaxed, Relaxed) {
                Ok(_) => break slot,
                Err(found) => tail = found,
            }
        };
        slot.chunk.store(Arc::into_raw(held.into_arc()).cast_mut(), Relaxed); // ordered by the Release below
        slot.turn.store(tail.wrapping_add(1), Release); // pairs with the Acquire in `poll`: the chunk goes with it
        Ok(())
    }

    /// Takes the oldest chunk.
    pub fn poll(&self) -> Option<Held<P>> {
        let mut head = self.head.load(Relaxed); // Relaxed: a guess; the slot's turn decides
        let slot = loop {
            let slot = self.slot(head);
            // Acquire: pairs with the Release in `offer`; the chunk has been written.
            let ahead = slot.turn.load(Acquire).wrapping_sub(head.wrapping_add(1)).cast_signed();
            if ahead < 0 {
                return None;
            }
            if ahead > 0 {
                head = self.head.load(Relaxed); // what we have is old; Relaxed: a guess again
                continue;
            }
            // Relaxed: the reservation orders nothing; the slot's turn does.
            match self.head.compare_exchange_weak(head, head.wrapping_add(1), Relaxed, Relaxed) {
                Ok(_) => break slot,
                Err(found) => head = found,
            }
        };
        let chunk = slot.chunk.swap(ptr::null_mut(), Relaxed); // ordered by the Acquire above and the Release below
        slot.turn.store(head.wrapping_add(self.slots.len()), Release); // pairs with the Acquire in `offer`
        // SAFETY: `offer` made the pointer with `Arc::into_raw` from a hold that it gave up, and the turn gave it to us alone.
        Some(unsafe { Held::from_arc(Arc::from_raw(chunk)) })
    }

    /// Shows the chunks, oldest first.
    ///
    /// # Safety
    /// Nobody offers or polls meanwhile, and what they did happened before.
    pub unsafe fn peek(&self, mut show: impl FnMut(&Chunk<P>)) {
        // Relaxed: nobody is inside, by the contract of this function.
        let (head, tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
        for index in head..tail {
            let chunk = self.slot(index).chunk.load(Relaxed); // Relaxed: as above
            // SAFETY: the queue owns one count of it while it is in a slot, and nobody polls meanwhile.
            if let Some(chunk) = unsafe { chunk.as_ref() } {
                show(chunk);
            }
        }
    }
}

impl<P: Platform> Drop for ChunkQueue<P> {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            let chunk = *slot.chunk.get_mut();
            if !chunk.is_null() {
                // SAFETY: as in `poll`: the pointer is in one slot, and nobody else is in the queue.
                drop(unsafe { Held::from_arc(Arc::from_raw(chunk)) });
            }
        }
    }
}
