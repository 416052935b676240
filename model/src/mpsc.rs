//! A bounded queue with many producers and one consumer: what other threads hand over to a pool's owner.
//!
//! **Invariant: slot `i` is written by the one producer that moved `tail` from `i` to `i + 1`, and read once, by the
//! consumer, before `head` moves past `i`; `tail - head` never exceeds the capacity.**
//!
//! ```text
//!   directory (2 x capacity / SEGMENT entries, at least 2)          index i lives in entry (i / SEGMENT) mod entries
//!   [ seg | seg |  -  |  -  |  -  |  -  |  -  |  - ]                slot i mod SEGMENT
//!      │     └──> [ x x x . . . . . ]   . = empty (null)
//!      └──> [ - - x x x ? x x ]         ? = reserved by a producer that hasn't written yet: poll gives None there
//!                 ^head     ^...
//!
//!   offer:  read tail, read head (Acquire)  full? -> refuse      poll:  read the slot at head (Acquire)
//!           compare-exchange tail                                       null -> None
//!           segment missing? -> install one (CAS)                       write null; last slot of its segment? -> take
//!           write the slot (Release)                                    the segment out; write head + 1 (Release)
//! ```
//!
//! Memory follows the contents: a segment is installed by the first producer that needs it and taken out by the consumer
//! when it has read its last slot. The directory has at least one entry more than the live indices can span, so that
//! nobody can be installing a segment in the entry that the consumer is emptying. One emptied segment is kept as a spare.
//!
//! The bound is that of Netty's `MpscChunkedArrayQueue` (capacity rounded up to a power of two); the segments with a
//! directory replace its linked chunks.

use crate::Platform;
use crate::platform::{AtomicOps, CellOps};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Slots a segment: half a kilobyte of pointers.
const SEGMENT: usize = 64;

struct Segment<T, P: Platform> {
    slots: [P::Atomic<*mut T>; SEGMENT],
}

impl<T: 'static, P: Platform> Segment<T, P> {
    fn new() -> *mut Self {
        let slots = core::array::from_fn(|_| P::Atomic::new(ptr::null_mut()));
        Box::into_raw(Box::new(Self { slots }))
    }
}

/// A bounded queue of shared pointers. See the [module](self).
pub struct MpscQueue<T: 'static, P: Platform> {
    head: Padded<P::Atomic<usize>>,
    tail: Padded<P::Atomic<usize>>,
    spare: P::Atomic<*mut Segment<T, P>>,
    directory: Box<[P::Atomic<*mut Segment<T, P>>]>,
    capacity: usize,
    /// Where the consumer reads: its own copy of `head`.
    at: P::Cell<usize>,
}

/// On a cache line of its own, so that producers and the consumer don't slow each other down.
#[repr(align(64))]
struct Padded<A>(A);

// SAFETY: elements are `Arc<T>`s that move between threads: Send + Sync is what `Arc` asks for that. `at` is touched by the
// consumer only, by the contract of `poll`.
unsafe impl<T: Send + Sync, P: Platform> Send for MpscQueue<T, P> {}
// SAFETY: as above; everything else shared is atomic.
unsafe impl<T: Send + Sync, P: Platform> Sync for MpscQueue<T, P> {}

impl<T: 'static, P: Platform> MpscQueue<T, P> {
    /// An empty queue for at least `capacity` elements: rounded up to a power of two.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.next_power_of_two();
        let entries = (2 * capacity / SEGMENT).max(2);
        Self {
            head: Padded(P::Atomic::new(0)),
            tail: Padded(P::Atomic::new(0)),
            spare: P::Atomic::new(ptr::null_mut()),
            directory: (0..entries).map(|_| P::Atomic::new(ptr::null_mut())).collect(),
            capacity,
            at: P::Cell::new(0),
        }
    }

    /// Elements it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn entry(&self, index: usize) -> &P::Atomic<*mut Segment<T, P>> {
        &self.directory[(index / SEGMENT) & (self.directory.len() - 1)]
    }

    /// Appends. `reserved` runs when room is certain and before the consumer can see the element.
    ///
    /// # Errors
    /// The element, when the queue is full.
    pub fn offer(&self, item: Arc<T>, reserved: impl FnOnce()) -> Result<(), Arc<T>> {
        let mut tail = self.tail.0.load(Relaxed); // Relaxed: a guess; the compare-exchange below decides
        loop {
            // Acquire: pairs with the Release in `poll`; the slots and entries behind `head` are empty.
            let head = self.head.0.load(Acquire);
            let len = tail.wrapping_sub(head);
            if len > self.capacity {
                tail = self.tail.0.load(Relaxed); // `tail` was read long before `head`: too old to tell
                continue;
            }
            if len == self.capacity {
                return Err(item);
            }
            // Relaxed: the reservation orders nothing; the slot's Release publishes the element.
            match self.tail.0.compare_exchange_weak(tail, tail.wrapping_add(1), Relaxed, Relaxed) {
                Ok(_) => break,
                Err(found) => tail = found,
            }
        }
        reserved();
        let segment = self.install(tail);
        // SAFETY: index `tail` is reserved and unread, so `head` hasn't passed it and its segment isn't taken out before
        // the slot below is written and read.
        let slot = unsafe { &(*segment).slots[tail % SEGMENT] };
        // Release: pairs with the Acquire in `poll`; publishes the element.
        slot.store(Arc::into_raw(item).cast_mut(), Release);
        Ok(())
    }

    /// The segment of a reserved `index`, installed if it is missing.
    fn install(&self, index: usize) -> *mut Segment<T, P> {
        let entry = self.entry(index);
        // Acquire: pairs with the Release of the exchange below by another producer; the slots are initialised.
        let found = entry.load(Acquire);
        if !found.is_null() {
            return found;
        }
        // Acquire: pairs with the Release in `retire`; the spare's slots are empty.
        let spare = self.spare.swap(ptr::null_mut(), Acquire);
        let fresh = if spare.is_null() { Segment::new() } else { spare };
        // Release: pairs with the Acquire loads of the entry. Acquire on failure: the winner's slots are initialised.
        match entry.compare_exchange(ptr::null_mut(), fresh, AcqRel, Acquire) {
            Ok(_) => fresh,
            Err(winner) => {
                self.retire(fresh);
                winner
            }
        }
    }

    /// Keeps an empty segment as the spare, or frees it.
    fn retire(&self, segment: *mut Segment<T, P>) {
        // Release: pairs with the Acquire of the swap in `install`; the emptied slots go with it.
        let old = self.spare.swap(segment, AcqRel);
        if !old.is_null() {
            // SAFETY: the swap made the old spare ours alone; it came from `Segment::new`, and its slots are empty.
            drop(unsafe { Box::from_raw(old) });
        }
    }

    /// Takes the oldest element; `None` when there is none, or when the oldest place is reserved and not yet written.
    ///
    /// # Safety
    /// One consumer: no other thread is in `poll` or `peek`, and the last one's call happened before this one.
    pub unsafe fn poll(&self) -> Option<Arc<T>> {
        // SAFETY: the consumer's own cell, by the contract of this function.
        let at = self.at.with(|p| unsafe { *p });
        // Acquire: pairs with the Release of the exchange in `install`; the slots are initialised.
        let segment = self.entry(at).load(Acquire);
        if segment.is_null() {
            return None;
        }
        // SAFETY: only the consumer takes segments out, and it takes this one out only below.
        let slot = unsafe { &(*segment).slots[at % SEGMENT] };
        // Acquire: pairs with the Release in `offer`; the element is complete.
        let item = slot.load(Acquire);
        if item.is_null() {
            return None;
        }
        slot.store(ptr::null_mut(), Relaxed); // ordered by the Release of `head`
        let next = at.wrapping_add(1);
        // SAFETY: the consumer's own cell, as above.
        self.at.with_mut(|p| unsafe { *p = next });
        if next.is_multiple_of(SEGMENT) {
            // All its slots have been read, and nobody can reserve an index of this entry's next turn before `head` moves:
            // the directory spans at least one segment more than the capacity.
            self.entry(at).store(ptr::null_mut(), Relaxed); // ordered by the Release of `head`
            self.retire(segment);
        }
        // Release: pairs with the Acquire in `offer`; the emptied slot and entry go with it.
        self.head.0.store(next, Release);
        // SAFETY: `offer` made the pointer with `Arc::into_raw`, and each slot is read once.
        Some(unsafe { Arc::from_raw(item) })
    }

    /// Shows the elements, oldest first, and takes nothing.
    ///
    /// # Safety
    /// As [`MpscQueue::poll`], and no producer is in `offer`.
    pub unsafe fn peek(&self, mut show: impl FnMut(&T)) {
        // SAFETY: the consumer's own cell, by the contract of this function.
        let mut at = self.at.with(|p| unsafe { *p });
        loop {
            let segment = self.entry(at).load(Acquire); // as in `poll`
            if segment.is_null() {
                return;
            }
            // SAFETY: as in `poll`; nobody takes the segment out meanwhile.
            let item = unsafe { (*segment).slots[at % SEGMENT].load(Acquire) }; // as in `poll`
            if item.is_null() {
                return;
            }
            // SAFETY: the slot owns one count of the element, and nobody polls meanwhile.
            show(unsafe { &*item });
            at = at.wrapping_add(1);
        }
    }
}

impl<T: 'static, P: Platform> Drop for MpscQueue<T, P> {
    fn drop(&mut self) {
        let mut items = Vec::new();
        let spare = *self.spare.get_mut();
        for segment in self.directory.iter_mut().map(|e| *e.get_mut()).chain([spare]).filter(|s| !s.is_null()) {
            // SAFETY: `&mut self`: nobody else is in the queue, and each segment is in one place.
            let mut segment = unsafe { Box::from_raw(segment) };
            items.extend(segment.slots.iter_mut().map(|s| *s.get_mut()).filter(|i| !i.is_null()));
        }
        for item in items {
            // SAFETY: `offer` made the pointer with `Arc::into_raw`, and it is still in a slot, so unread.
            drop(unsafe { Arc::from_raw(item) });
        }
    }
}
