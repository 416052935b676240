//! `loom::sync::Notify`.
//!
//! **Invariant: one thread at a time waits**; a notification that nobody waits for is kept for the next wait.

use crate::engine::{Access, Gate, NONE, Op, Tag, Wait};
use std::cell::Cell;
use std::fmt;
use std::panic::Location;

/// Lets one thread wait for others.
pub struct Notify {
    tag: Tag,
    notified: Cell<bool>,
    waits: Cell<bool>,
    waiters: Cell<u32>,
}

// SAFETY: the cells are touched by the execution only in which it was made, which is on one OS thread.
unsafe impl Send for Notify {}
// SAFETY: as above.
unsafe impl Sync for Notify {}

impl Notify {
    /// A new one, not notified.
    pub fn new() -> Self {
        Self { tag: Tag::here(), notified: Cell::new(false), waits: Cell::new(false), waiters: Cell::new(NONE) }
    }

    fn gate<'a>(&self) -> Gate<'a> {
        let Some(gate) = self.tag.mine() else { panic!("a Notify was used outside of the execution that made it") };
        gate
    }

    /// Makes the current or next [`Notify::wait`] return.
    ///
    /// # Panics
    /// Outside of the execution in which it was made.
    #[track_caller]
    pub fn notify(&self) {
        let (gate, site, object) = (self.gate(), Location::caller(), self.tag.object());
        gate.point(Access::rmw(object), site);
        gate.event(Op::Notify, object, 0, site);
        gate.releases(object);
        self.notified.set(true);
        gate.wake_all(&self.waiters);
    }

    /// Waits for [`Notify::notify`]. May return without one.
    ///
    /// # Panics
    /// If another thread waits already; outside of the execution in which it was made.
    #[track_caller]
    pub fn wait(&self) {
        let (gate, site, object) = (self.gate(), Location::caller(), self.tag.object());
        gate.point(Access::rmw(object), site);
        assert!(!self.waits.replace(true), "only a single thread may wait on `Notify`");
        gate.event(Op::Wait, object, 0, site);
        let for_no_reason = gate.wakes_for_no_reason();
        while !self.notified.get() && !for_no_reason {
            gate.wait_in(&self.waiters, Wait::Notify { object, until: None }, Access::rmw(object), site);
        }
        if self.notified.replace(false) {
            gate.acquires(object);
        }
        self.waits.set(false);
        gate.event(Op::Woken, object, 0, site);
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}
