//! One object together with its handle.
//!
//! **Invariant: a node doesn't know its pool, so that a pool full of nodes is no cycle.** What is in use holds its home;
//! what is in the pool is held by it.
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

use crate::Platform;
use crate::observe::Kind;
use crate::platform::AtomicOps;
use core::cell::UnsafeCell;

/// `last` and `confirmed` of an object that its owner put back itself.
pub(super) const OWN: i32 = -1;
/// `last` of an object of generation B that is in use.
pub(super) const CLAIMED: i32 = 0;
/// `last` of an object of generation B that is not.
pub(super) const AVAILABLE: i32 = 1;

pub(super) struct Node<T, P: Platform> {
    pub(super) last: P::Atomic<i32>,
    pub(super) confirmed: P::Atomic<i32>,
    pub(super) homed: P::Atomic<bool>,
    pub(super) admitted: P::Atomic<bool>,
    pub(super) id: P::Id,
    value: UnsafeCell<T>,
}

// SAFETY: moving a node moves its value; everything else in it is atomic.
unsafe impl<T: Send, P: Platform> Send for Node<T, P> {}
// SAFETY: the value is reached only through `Node::value`, whose contract asks either for exclusive ownership (T: Send is
// enough) or for shared access to a `T: Sync`.
unsafe impl<T: Send, P: Platform> Sync for Node<T, P> {}

impl<T, P: Platform> Node<T, P> {
    /// A node in use.
    pub(super) fn new(value: T, kind: Kind) -> Self {
        Self {
            last: P::Atomic::new(0),
            confirmed: P::Atomic::new(0),
            homed: P::Atomic::new(true),
            admitted: P::Atomic::new(false),
            id: P::identify(kind),
            value: UnsafeCell::new(value),
        }
    }

    /// Where the value is. Dereferencing asks for exclusive ownership of the node, or for `T: Sync` and that nobody ever
    /// writes.
    pub(super) fn value(&self) -> *mut T {
        self.value.get()
    }
}

impl<T, P: Platform> Drop for Node<T, P> {
    fn drop(&mut self) {
        P::destroyed(self.id);
    }
}
