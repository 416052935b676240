//! Bytes to read.
//!
//! **Invariant: while the guard exists nobody writes, and the memory stays**, whoever releases meanwhile.

use super::BufferError;
use super::access::Access;
use crate::{Platform, Std};
use bytes::Buf;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;
use core::slice;

/// Bytes of a buffer, pinned.
pub struct Readable<'a, P: Platform = Std> {
    start: NonNull<u8>,
    length: usize,
    _access: Access<'a, P>,
}

// SAFETY: it is a shared borrow of bytes, which are kept by a pin that any thread may end.
unsafe impl<P: Platform> Send for Readable<'_, P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Readable<'_, P> {}

impl<'a, P: Platform> Readable<'a, P> {
    /// The bytes from `from` to `to` of what `access` is about.
    pub(super) fn new(access: Access<'a, P>, from: u32, to: u32) -> Result<Self, BufferError> {
        let bytes = access.slice(from as usize, (to - from) as usize)?;
        let (start, length) = (NonNull::from(bytes).cast(), bytes.len());
        Ok(Self { start, length, _access: access })
    }
}

impl<P: Platform> Deref for Readable<'_, P> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the access keeps the memory and keeps writers out, and all of it is initialised.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<P: Platform> AsRef<[u8]> for Readable<'_, P> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<P: Platform> Buf for Readable<'_, P> {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self
    }

    /// The guard sees less; the handle's reader index stays.
    fn advance(&mut self, n: usize) {
        assert!(n <= self.length, "{n} bytes consumed of {}", self.length);
        // SAFETY: within the bytes, or one past their end.
        self.start = unsafe { self.start.add(n) };
        self.length -= n;
    }
}

impl<P: Platform> fmt::Debug for Readable<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
