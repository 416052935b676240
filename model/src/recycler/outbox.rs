//! A thread's outgoing mail: what it recycled for other threads and hasn't handed over yet.
//!
//! **Invariant: a place holds objects of one pool, fewer than a batch; nothing stays for longer than 512 further posts, a
//! period of the thread's own operations, or the thread's next flush, whichever is first**; a thread that ends flushes.
//!
//! ```text
//!   recycle for pool 5 ──> place 5: obj -> obj -> obj        full: one compare-exchange hands it over
//!   recycle for pool 37 ─> place 5: taken by pool 5?         that batch is handed over first
//! ```

use super::hand_over::HandOver;
use super::slot::Head;
use crate::Platform;
use crate::platform::{CellOps, CounterOps};
use alloc::boxed::Box;
use core::ptr::{self, NonNull};

/// Pools that a thread can have batches for at once.
const PLACES: usize = 32;
/// Posts after which one place, each in its turn, is handed over whatever it holds.
const LOOK: u64 = 16;

/// Objects of one pool on their way to it, linked first to last.
pub(super) struct Parcel<P: Platform> {
    pub(super) first: NonNull<Head<P>>,
    pub(super) last: NonNull<Head<P>>,
    pub(super) len: u64,
}

/// A batch that grows.
struct Place<P: Platform> {
    /// The pool, or null.
    pool: *const HandOver<P>,
    first: *mut Head<P>,
    last: *mut Head<P>,
}

/// How full a place is. A statistic, but also what the thread itself goes by: only it writes here.
struct Mark<P: Platform> {
    number: P::Counter,
    len: P::Counter,
}

pub(super) struct Outbox<P: Platform> {
    places: P::Cell<[Place<P>; PLACES]>,
    marks: Box<[Mark<P>]>,
    posts: P::Counter,
}

impl<P: Platform> Outbox<P> {
    pub(super) fn new() -> Self {
        let mark = |_| Mark { number: P::Counter::default(), len: P::Counter::default() };
        Self {
            places: P::Cell::new(
                [const { Place { pool: ptr::null(), first: ptr::null_mut(), last: ptr::null_mut() } }; PLACES],
            ),
            marks: (0..PLACES).map(mark).collect(),
            posts: P::Counter::default(),
        }
    }

    /// Posts an object to its pool.
    ///
    /// # Safety
    /// On the outbox's thread. The object is of `pool` and the caller's alone, and not used again.
    pub(super) unsafe fn post(&self, pool: &HandOver<P>, head: NonNull<Head<P>>) {
        let (number, batch) = (pool.number, pool.batch);
        let at = number as usize % PLACES;
        let pool: *const HandOver<P> = pool;
        // A destructor that runs when a batch isn't wanted may post something here again.
        // SAFETY: the thread's cell.
        while self.places.with(|p| unsafe { !(*p)[at].pool.is_null() && (*p)[at].pool != pool }) {
            // SAFETY: on the outbox's thread.
            unsafe { self.hand_over(at) };
        }
        let mark = &self.marks[at];
        // SAFETY: the thread's cell; the caller's object.
        self.places.with_mut(|places| unsafe {
            let place = &mut (*places)[at];
            if place.pool.is_null() {
                (place.pool, place.last) = (pool, head.as_ptr());
                mark.number.set(number);
            }
            head.as_ref().set_next(place.first);
            place.first = head.as_ptr();
        });
        let len = mark.len.get() + 1;
        mark.len.set(len);
        let posts = self.posts.get().wrapping_add(1);
        self.posts.set(posts);
        if len >= batch {
            // SAFETY: on the outbox's thread.
            unsafe { self.hand_over(at) };
        }
        if posts.is_multiple_of(LOOK) {
            // SAFETY: on the outbox's thread.
            unsafe { self.hand_over((posts / LOOK) as usize % PLACES) };
        }
    }

    /// Hands everything over.
    ///
    /// # Safety
    /// On the outbox's thread.
    pub(super) unsafe fn flush(&self) {
        for at in 0..PLACES {
            if self.marks[at].len.get() > 0 {
                // SAFETY: on the outbox's thread.
                unsafe { self.hand_over(at) };
            }
        }
    }

    /// Hands the batch of one place over, if there is one.
    ///
    /// # Safety
    /// On the outbox's thread.
    unsafe fn hand_over(&self, at: usize) {
        let mark = &self.marks[at];
        let len = mark.len.get();
        // SAFETY: the thread's cell.
        let (first, last) = self.places.with_mut(|places| unsafe {
            let place = &mut (*places)[at];
            place.pool = ptr::null();
            (core::mem::replace(&mut place.first, ptr::null_mut()), place.last)
        });
        mark.len.set(0); // before it counts as waiting: at worst it is missed for a moment
        if let (Some(first), Some(last)) = (NonNull::new(first), NonNull::new(last)) {
            // SAFETY: they are in no place any more, and of the pool that the place was for.
            unsafe { HandOver::deliver(Parcel { first, last, len }) };
        }
    }

    /// Objects for the pool of this number.
    pub(super) fn posted(&self, number: u64) -> u64 {
        let mark = &self.marks[number as usize % PLACES];
        if mark.number.get() == number { mark.len.get() } else { 0 }
    }
}
