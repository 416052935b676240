//! What every object in use looks like, whatever store it came from: one pointer is enough to use it and to give it back.
//!
//! **Invariant: a slot begins with its gate, and the value is at the same place in every kind of node**; the gate says what else
//! the node is.
//!
//! ```text
//!   Pooled ──> [ gate | link | value | ...of generations A and B: Node ]
//!                 │
//!                 └─> owner's number: is it this thread? ──yes──> its own store (hand_over)
//!                                                        └─no───> another thread's (outbox), or generation A or B
//! ```

use crate::Platform;
use crate::observe::Kind;
use crate::platform::{CellOps, ThreadId};
use core::cell::UnsafeCell;
use core::mem::{MaybeUninit, offset_of};
use core::ptr::{self, NonNull};

/// Where an object in use is given back.
pub(super) struct Gate {
    /// The thread whose store it goes to without further ado; [`NOBODY`] for generations A and B.
    pub(super) owner: ThreadId,
    /// It is the first field of a [`HandOver`](super::hand_over::HandOver).
    pub(super) hand_over: bool,
}

/// No thread's number: see [`ThreadId`].
pub(super) const NOBODY: ThreadId = ThreadId(u32::MAX - 1);

/// The gate of what generations A and B give out: each node knows its home itself.
pub(super) static BY_NODE: Gate = Gate { owner: NOBODY, hand_over: false };

/// The part of a slot that is the same for all types.
#[repr(C)]
pub(super) struct Head<P: Platform> {
    pub(super) gate: NonNull<Gate>,
    /// Hand-over: the next object in a batch or chain; [`in_use`] while somebody has it. Who has the object, or the list that it is
    /// in, has the link.
    link: P::Cell<*mut Head<P>>,
    pub(super) id: P::Id,
    /// Of the period of ownership that goes on, or was the last; not set before the first.
    ticket: UnsafeCell<MaybeUninit<P::Ticket>>,
}

/// What the link of an object in use is: the address of nothing.
fn in_use<P: Platform>() -> *mut Head<P> {
    ptr::without_provenance_mut(2)
}

impl<P: Platform> Head<P> {
    /// The start of a period of ownership.
    ///
    /// # Safety
    /// The object is the caller's alone.
    #[inline(always)]
    #[track_caller]
    pub(super) unsafe fn obtain(&self) {
        // SAFETY: ours alone.
        self.link.with_mut(|link| unsafe { *link = in_use() });
        // SAFETY: ours alone.
        unsafe { self.set_ticket(P::obtained(self.id)) };
    }

    /// Says which period of ownership it is.
    ///
    /// # Safety
    /// The object is the caller's alone.
    #[inline(always)]
    pub(super) unsafe fn set_ticket(&self, ticket: P::Ticket) {
        // SAFETY: ours alone.
        unsafe { (*self.ticket.get()).write(ticket) };
    }

    /// Whether it is in use: if it isn't, a recycle is one too many.
    ///
    /// # Safety
    /// The object, or the list that it is in, is the caller's alone.
    #[inline(always)]
    pub(super) unsafe fn is_in_use(&self) -> bool {
        // SAFETY: ours alone.
        self.link.with(|link| unsafe { *link == in_use() })
    }

    /// Sets what follows it; it is not in use any more.
    ///
    /// # Safety
    /// As [`Head::is_in_use`].
    #[inline(always)]
    pub(super) unsafe fn set_next(&self, next: *mut Head<P>) {
        // SAFETY: ours alone.
        self.link.with_mut(|link| unsafe { *link = next });
    }

    /// What follows it.
    ///
    /// # Safety
    /// As [`Head::is_in_use`].
    pub(super) unsafe fn next(&self) -> *mut Head<P> {
        // SAFETY: ours alone.
        self.link.with(|link| unsafe { *link })
    }

    /// The period of ownership.
    ///
    /// # Safety
    /// As [`Head::is_in_use`], and there has been one.
    #[inline(always)]
    pub(super) unsafe fn ticket(&self) -> P::Ticket {
        // SAFETY: ours alone, and set by the last `obtain`.
        unsafe { (*self.ticket.get()).assume_init() }
    }
}

/// An object with its head.
#[repr(C)]
pub(super) struct Slot<T, P: Platform> {
    pub(super) head: Head<P>,
    value: UnsafeCell<T>,
}

impl<T, P: Platform> Slot<T, P> {
    /// An object that nobody owns yet.
    pub(super) fn new(value: T, gate: NonNull<Gate>, kind: Kind) -> Self {
        let ticket = UnsafeCell::new(MaybeUninit::uninit());
        let head = Head { gate, link: P::Cell::new(ptr::null_mut()), id: P::identify(kind), ticket };
        Self { head, value: UnsafeCell::new(value) }
    }

    /// Where the value is. Dereferencing asks for exclusive ownership of the object, or for `T: Sync` and that nobody ever
    /// writes.
    #[inline(always)]
    pub(super) fn value(&self) -> *mut T {
        self.value.get()
    }

    /// Where the value of the slot at `slot` is: a pointer that is as good for the slot.
    #[inline(always)]
    pub(super) fn to_value(slot: NonNull<Self>) -> NonNull<T> {
        // SAFETY: inside the allocation.
        unsafe { slot.byte_add(offset_of!(Self, value)).cast() }
    }

    /// The slot whose value is at `value`.
    ///
    /// # Safety
    /// `value` came from [`Slot::to_value`].
    #[inline(always)]
    pub(super) unsafe fn of_value(value: NonNull<T>) -> NonNull<Self> {
        // SAFETY: inside the allocation, by the contract of this function.
        unsafe { value.byte_sub(offset_of!(Self, value)).cast() }
    }
}

impl<T, P: Platform> Drop for Slot<T, P> {
    fn drop(&mut self) {
        P::destroyed(self.head.id);
    }
}
