//! Bytes that can be kept.
//!
//! **Invariant: it has a count, a handle and a pin of its own**, so that its bytes stay as they are for as long as it lives,
//! whoever releases too often meanwhile.
//!
//! ```text
//!   Owned ──freeze──> Frozen ──clone, slice──> Frozen       Buffer::wrap_bytes(bytes)
//!     ^──into_owned─────┘ └─────into─────> bytes::Bytes ─────────> Buffer
//! ```

use super::access::Access;
use super::{Buffer, BufferError, Owned};
use crate::{Platform, Std};
use bytes::{Buf, Bytes};
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;
use core::slice;

/// The readable bytes of a buffer, to keep and to share; dropping it releases.
pub struct Frozen<P: Platform = Std> {
    /// Declared before the handle, and so ended before it.
    access: Access<'static, P>,
    /// Its indices are those of the bytes.
    buffer: Owned<P>,
    start: NonNull<u8>,
}

// SAFETY: it is an owner of bytes that nobody writes; any thread may end its pins and its count. The access is only ended.
unsafe impl<P: Platform> Send for Frozen<P> {}
// SAFETY: as above; what moves its reader index borrows it exclusively.
unsafe impl<P: Platform> Sync for Frozen<P> {}

impl<P: Platform> Owned<P> {
    /// The readable bytes, to keep and to share.
    ///
    /// # Errors
    /// [`BufferError`] when the buffer is dead, somebody is writing, it has become smaller than that, it is in several components,
    /// or [`MAX_PINS`](crate::refcnt::MAX_PINS) accesses are going on. The buffer is released then.
    #[track_caller]
    pub fn freeze(self) -> Result<Frozen<P>, BufferError> {
        let access = self.enter()?;
        let start = NonNull::from(access.slice(self.reader_index(), self.readable())?).cast();
        // SAFETY: the access is kept with the handle, and ended first.
        let access = unsafe { access.unbound() };
        Ok(Frozen { access, buffer: self, start })
    }
}

impl<P: Platform> Frozen<P> {
    fn bytes(&self) -> &[u8] {
        P::touches(self.start, self.buffer.readable(), false);
        // SAFETY: the access keeps the memory, all of it initialised, and keeps writers out.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.buffer.readable()) }
    }

    /// The buffer that this is made of; what was consumed stays consumed.
    pub fn into_owned(self) -> Owned<P> {
        let Self { access, buffer, .. } = self;
        drop(access);
        buffer
    }

    /// A further owner of a part of the bytes.
    ///
    /// # Errors
    /// [`BufferError`] when it has no such bytes, or there are too many owners, handles or accesses.
    #[track_caller]
    pub fn slice(&self, at: usize, length: usize) -> Result<Self, BufferError> {
        let readable = self.buffer.readable();
        if at.checked_add(length).is_none_or(|end| end > readable) {
            return Err(BufferError::Range { at, length, capacity: readable });
        }
        let mut part = Owned::from(self.buffer.retain()?);
        let from = self.buffer.reader_index() + at;
        part.set_indices(from, from + length)?;
        part.freeze()
    }

    /// A further owner of the same bytes.
    ///
    /// # Errors
    /// [`BufferError::Count`] when the buffer was released too often, or there are too many owners, handles or accesses.
    #[track_caller]
    pub fn try_clone(&self) -> Result<Self, BufferError> {
        Owned::from(self.buffer.retain()?).freeze()
    }
}

impl<P: Platform> Clone for Frozen<P> {
    /// A further owner of the same bytes.
    ///
    /// # Panics
    /// Where [`Frozen::try_clone`] fails. [`Bytes`] can be cloned more often.
    #[track_caller]
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(|error| panic!("frozen bytes can't be cloned: {error}"))
    }
}

impl<P: Platform> Deref for Frozen<P> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

impl<P: Platform> AsRef<[u8]> for Frozen<P> {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl<P: Platform> Buf for Frozen<P> {
    fn remaining(&self) -> usize {
        self.buffer.readable()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes()
    }

    fn advance(&mut self, n: usize) {
        self.buffer.advance(n);
        // SAFETY: there were as many bytes, or `advance` would have panicked.
        self.start = unsafe { self.start.add(n) };
    }

    /// Without copying.
    ///
    /// # Panics
    /// When there are fewer than `n` bytes, or where [`Frozen::slice`] fails.
    fn copy_to_bytes(&mut self, n: usize) -> Bytes {
        let part = self.slice(0, n).unwrap_or_else(|error| panic!("no part of frozen bytes: {error}"));
        self.advance(n);
        part.into()
    }
}

impl<P: Platform> From<Frozen<P>> for Bytes {
    /// Without copying: the buffer is released when the last clone of the result is dropped.
    fn from(frozen: Frozen<P>) -> Self {
        Self::from_owner(frozen)
    }
}

impl<P: Platform> fmt::Debug for Frozen<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<P: Platform> Buffer<P> {
    /// As [`Owned::freeze`], with a count more: this handle keeps its own.
    ///
    /// # Errors
    /// As [`Owned::freeze`]; and when the count would overflow.
    #[track_caller]
    pub fn frozen(&self) -> Result<Frozen<P>, BufferError> {
        Owned::from(self.retain()?).freeze()
    }
}
