//! One object of generation A or B together with its handle.
//!
//! **Invariant: a node in a pool doesn't know its pool, so that a pool full of nodes is no cycle.** What is in use holds its
//! home; what is in the pool is held by it.
//!
//! | field | generation A | generation B |
//! |---|---|---|
//! | `last` | `lastRecycledId`: 0 in use, else the store that took it last | 0 claimed, 1 available |
//! | `confirmed` | `recycleId`: the same, confirmed by the owner | unused |
//! | `homed` | whether `handle.stack` is not null | unused |
//! | `admitted` | `hasBeenRecycled`: passed the owner's ratio once | unused |
//!
//! In Java these are plain fields (until 4.1.60 made `last` volatile); a racing access is then legal and reads some value.
//! Relaxed atomics say the same.

use super::pool::{Home, Obtained};
use super::slot::{BY_NODE, Slot};
use crate::Platform;
use crate::observe::Kind;
use crate::platform::AtomicOps;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::ptr::NonNull;

/// `last` and `confirmed` of an object that its owner put back itself.
pub(super) const OWN: i32 = -1;
/// `last` of an object of generation B that is in use.
pub(super) const CLAIMED: i32 = 0;
/// `last` of an object of generation B that is not.
pub(super) const AVAILABLE: i32 = 1;

#[repr(C)]
pub(super) struct Node<T: Send + 'static, P: Platform> {
    pub(super) slot: Slot<T, P>,
    /// Where it belongs while an exclusive owner has it.
    home: UnsafeCell<Option<Home<T, P>>>,
    pub(super) last: P::Atomic<i32>,
    pub(super) confirmed: P::Atomic<i32>,
    pub(super) homed: P::Atomic<bool>,
    pub(super) admitted: P::Atomic<bool>,
}

// SAFETY: moving a node moves its value and its home, which refers to pools of the same objects; everything else is atomic.
unsafe impl<T: Send, P: Platform> Send for Node<T, P> {}
// SAFETY: the value is reached only through `Slot::value`, whose contract asks either for exclusive ownership (T: Send is
// enough) or for shared access to a `T: Sync`; the home and the rest of the slot only by the exclusive owner.
unsafe impl<T: Send, P: Platform> Sync for Node<T, P> {}

impl<T: Send + 'static, P: Platform> Node<T, P> {
    /// A node in use.
    pub(super) fn new(value: T, kind: Kind) -> Self {
        Self {
            slot: Slot::new(value, NonNull::from_ref(&BY_NODE), kind),
            home: UnsafeCell::new(None),
            last: P::Atomic::new(0),
            confirmed: P::Atomic::new(0),
            homed: P::Atomic::new(true),
            admitted: P::Atomic::new(false),
        }
    }

    /// Where the value is: see [`Slot::value`].
    pub(super) fn value(&self) -> *mut T {
        self.slot.value()
    }

    /// Gives the object to an exclusive owner, as one pointer.
    pub(super) fn lend(obtained: Obtained<T, P>) -> NonNull<Slot<T, P>> {
        let Obtained { node, ticket, home } = obtained;
        // What makes `DerefMut` of a `Pooled` sound, whatever a pool might do wrong.
        assert!(Arc::strong_count(&node) == 1, "a pool gave out an object that somebody else has");
        // SAFETY: nobody else has the object.
        unsafe {
            node.slot.head.set_ticket(ticket);
            *node.home.get() = Some(home);
        }
        let node = Arc::into_raw(node).cast_mut();
        NonNull::new(node).unwrap_or_else(|| unreachable!("an `Arc` is somewhere")).cast()
    }

    /// Takes it back from its owner.
    ///
    /// # Safety
    /// `slot` came from [`Node::lend`], and is not used again.
    pub(super) unsafe fn returned(slot: NonNull<Slot<T, P>>) -> Obtained<T, P> {
        // SAFETY: by the contract of this function the one count of the node is here.
        let node = unsafe { Arc::from_raw(slot.cast::<Self>().as_ptr().cast_const()) };
        // SAFETY: the owner's object, whose ticket and home `lend` has set.
        let (ticket, home) = unsafe { (node.slot.head.ticket(), (*node.home.get()).take()) };
        Obtained { node, ticket, home: home.unwrap_or_else(|| unreachable!("what is in use has a home")) }
    }

    /// Whether the object that an exclusive owner has belongs into a pool.
    ///
    /// # Safety
    /// `slot` came from [`Node::lend`] and wasn't returned yet.
    pub(super) unsafe fn is_poolable(slot: NonNull<Slot<T, P>>) -> bool {
        // SAFETY: it is in use, by the contract of this function.
        unsafe { matches!(&*slot.cast::<Self>().as_ref().home.get(), Some(Home::Pool(_))) }
    }
}
