//! Room to write.
//!
//! **Invariant: while the guard exists nobody else is in the memory**; what was written counts when the guard is dropped.

use super::access::Access;
use super::{Buffer, BufferError};
use crate::{Platform, Std};
use bytes::BufMut;
use bytes::buf::UninitSlice;
use core::ptr::NonNull;
use core::slice;

/// The room after the writer index, which moves when this is dropped.
pub struct Writable<'a, P: Platform = Std> {
    /// Declared before the handle, and so ended before it.
    _access: Access<'static, P>,
    buffer: &'a mut Buffer<P>,
    /// The first byte of the room that is left.
    start: NonNull<u8>,
    left: usize,
    at: usize,
}

impl<P: Platform> Buffer<P> {
    /// Makes room for `n` more bytes and gives all the room that there is then. Only the sole owner may.
    ///
    /// # Errors
    /// As [`Buffer::put`]; [`BufferError::Split`] when the room is in several components.
    #[track_caller]
    pub fn write_guard(&mut self, n: usize) -> Result<Writable<'_, P>, BufferError> {
        if self.writable() < n {
            self.enter_to_write()?;
            self.grow(n)?;
        }
        let at = self.writer_index();
        let mut access = self.enter_to_write()?;
        access.check(at, n)?;
        let left = access.capacity as usize - at;
        let start = NonNull::from(access.slice_mut(at, left)?).cast();
        // SAFETY: the guard borrows the handle and ends the access first.
        let access = unsafe { access.unbound() };
        Ok(Writable { _access: access, buffer: self, start, left, at })
    }
}

impl<P: Platform> Writable<'_, P> {
    /// The room left. What is in it is what an earlier user left.
    pub fn room(&mut self) -> &mut [u8] {
        // SAFETY: the access keeps the memory, all of it initialised, and keeps everybody else out; `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.left) }
    }

    /// Counts the first `n` bytes of the room as written.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.left, "{n} bytes written into {}", self.left);
        // SAFETY: within the room, or one past its end.
        self.start = unsafe { self.start.add(n) };
        self.left -= n;
        self.at += n;
    }
}

// SAFETY: `chunk_mut` and `remaining_mut` speak of the same room, and `advance_mut` stays within it.
unsafe impl<P: Platform> BufMut for Writable<'_, P> {
    fn remaining_mut(&self) -> usize {
        self.left
    }

    unsafe fn advance_mut(&mut self, n: usize) {
        self.commit(n);
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::new(self.room())
    }
}

impl<P: Platform> Drop for Writable<'_, P> {
    fn drop(&mut self) {
        self.buffer.view.writer = self.at as u32;
    }
}
