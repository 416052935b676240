//! The form of a buffer that releases.
//!
//! **Invariant: an `Owned` has one count, and gives it back together with its handle**, in one step.

use super::{Buffer, Shell};
use crate::leak::Access;
use crate::refcnt::IllegalCount;
use crate::{Platform, Std};
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

/// A buffer that is released when dropped.
pub struct Owned<P: Platform = Std>(ManuallyDrop<Buffer<P>>);

impl<P: Platform> Owned<P> {
    /// Keeps the count: the handle is the caller's to release.
    pub fn into_buffer(self) -> Buffer<P> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used or dropped again.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }

    /// Subtracts one from the count and drops the handle, in one step. The last release gives memory and shell back, on this
    /// thread, and says `true`.
    ///
    /// # Errors
    /// [`IllegalCount`] when the buffer is dead: somebody released once too often.
    #[track_caller]
    pub fn release(self) -> Result<bool, IllegalCount> {
        let buffer = self.into_buffer();
        buffer.record(Access::Released);
        match buffer.shell {
            Some(_) if buffer.view.unreleasable => Ok(false),
            // SAFETY: the handle is ours, and isn't dropped as one, too.
            Some(shell) => unsafe {
                core::mem::forget(buffer);
                Shell::end(shell)
            },
            None => Ok(false),
        }
    }
}

impl<P: Platform> From<Buffer<P>> for Owned<P> {
    #[inline(always)]
    fn from(buffer: Buffer<P>) -> Self {
        Self(ManuallyDrop::new(buffer))
    }
}

impl<P: Platform> Deref for Owned<P> {
    type Target = Buffer<P>;
    fn deref(&self) -> &Buffer<P> {
        &self.0
    }
}

impl<P: Platform> DerefMut for Owned<P> {
    fn deref_mut(&mut self) -> &mut Buffer<P> {
        &mut self.0
    }
}

impl<P: Platform> Drop for Owned<P> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(shell) = self.0.shell
            && !self.0.view.unreleasable
            // SAFETY: the handle is ours, and `self` is being dropped: it is not used again if it was given up.
            && unsafe { Shell::end_alone(shell) }
        {
            return;
        }
        // SAFETY: `self` is being dropped, so that the handle is not used again.
        let buffer = unsafe { ManuallyDrop::take(&mut self.0) };
        let _refused = Self::from(buffer).release(); // a double release has been noted already
    }
}
