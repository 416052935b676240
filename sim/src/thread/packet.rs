//! What a thread leaves to the one that joins it.
//!
//! **Invariant: there are two halves, the job's and the handle's, and `both` is touched on the host's thread of their execution only**, up
//! to the beginning of the next one there. So it is no atomic: those of two `Arc`s took a twentieth of a short execution.
//!
//! ```text
//!   job's half ──┐                       dropped there: the first clears `both`, the second frees
//!                ├── result, both        dropped elsewhere, or later, by a handle that got away: nobody frees
//!   handle's  ───┘
//! ```

use super::Result;
use crate::engine::{Gate, is_last_here};
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

struct Packet<T, I> {
    result: UnsafeCell<Option<Result<T>>>,
    /// Whether the other half is there, too.
    both: Cell<bool>,
    info: I,
}

/// A half of it. `I` is whatever else the handle keeps there.
pub(super) struct Half<T, I> {
    packet: NonNull<Packet<T, I>>,
    /// Of the execution.
    stamp: u32,
}

impl<T, I> Half<T, I> {
    /// The two halves, for a thread of the running execution.
    #[inline]
    pub fn pair(gate: Gate<'_>, info: I) -> (Self, Self) {
        let packet = Packet { result: UnsafeCell::new(None), both: Cell::new(true), info };
        let packet = NonNull::from(Box::leak(Box::new(packet)));
        let half = || Self { packet, stamp: gate.stamp() };
        (half(), half())
    }

    /// Stamp of the execution.
    #[inline]
    pub fn stamp(&self) -> u32 {
        self.stamp
    }

    /// What the handle keeps.
    pub fn info(&self) -> &I {
        // SAFETY: the packet is there as long as either half is, and nobody has more than a shared reference to this field.
        unsafe { &(*self.packet.as_ptr()).info }
    }

    /// Leaves the result.
    ///
    /// # Safety
    /// Nobody else touches it at the same time.
    #[inline]
    pub unsafe fn put(&self, result: T) {
        // SAFETY: by the contract; the packet is there as long as either half is.
        unsafe { *(*self.packet.as_ptr()).result.get() = Some(Ok(result)) };
    }

    /// Takes the result.
    ///
    /// # Safety
    /// Nobody else touches it at the same time.
    #[inline]
    pub unsafe fn take(&self) -> Option<Result<T>> {
        // SAFETY: as above.
        unsafe { (*(*self.packet.as_ptr()).result.get()).take() }
    }
}

impl<T, I> Drop for Half<T, I> {
    #[inline]
    fn drop(&mut self) {
        if !is_last_here(self.stamp) {
            return;
        }
        // SAFETY: all that comes here is on one thread, that of the execution; the packet is freed by the second half.
        let other = unsafe { (*self.packet.as_ptr()).both.replace(false) };
        if !other {
            // SAFETY: it came from a box, and the other half is gone.
            drop(unsafe { Box::from_raw(self.packet.as_ptr()) });
        }
    }
}
