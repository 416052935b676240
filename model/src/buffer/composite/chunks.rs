//! Bytes of several components to read, without copying.
//!
//! **Invariant: while the guard exists nobody writes, and the memory stays**, of all the pieces, whoever releases meanwhile.
//!
//! ```text
//!   pieces:  [ consumed ][ con|sumed next ][ ....... ]
//!                             ^ chunk() begins here
//! ```
//!
//! It is a [`Buf`]: look at [`Buf::chunk`] or [`Buf::chunks_vectored`], consume with [`Buf::advance`], until nothing remains.

use super::reach::Piece;
use crate::buffer::access;
use crate::buffer::{Buffer, BufferError};
use crate::leak::Access;
use crate::{Platform, Std};
use alloc::vec::Vec;
use bytes::Buf;
use core::fmt;
use std::io::IoSlice;

/// The readable bytes of a buffer, in as many pieces as there are, pinned. Consuming them doesn't move the buffer's indices.
pub struct Chunks<'a, P: Platform = Std> {
    pieces: Vec<Piece<P>>,
    /// The piece with the next byte, and where in it that is. No piece is empty.
    next: usize,
    within: usize,
    remaining: usize,
    access: access::Access<'a, P>,
}

// SAFETY: it is a shared borrow of bytes, which are kept by pins that any thread may end; what is in the access is used only
// when the guard is made and when it is dropped.
unsafe impl<P: Platform> Send for Chunks<'_, P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Chunks<'_, P> {}

impl<P: Platform> Buffer<P> {
    /// The readable bytes, in as many pieces as there are, pinned until the guard is dropped.
    ///
    /// # Errors
    /// [`BufferError`] when the buffer or a component is dead, somebody is writing, or it has become smaller than that.
    #[track_caller]
    pub fn chunks(&self) -> Result<Chunks<'_, P>, BufferError> {
        self.chunks_up_to(usize::MAX, usize::MAX)
    }

    /// As [`Buffer::chunks`], of no more than `count` pieces and `bytes` bytes: whoever writes as much as a peer takes, and then
    /// looks again, has to bound what he looks at, or he spends his time collecting (Netty #7478).
    ///
    /// # Errors
    /// As [`Buffer::chunks`].
    #[track_caller]
    pub fn chunks_up_to(&self, count: usize, bytes: usize) -> Result<Chunks<'_, P>, BufferError> {
        self.record(Access::Used);
        self.chunks_in_reach(count, bytes)
    }

    /// As `chunks_up_to`, as a part of an operation that the leak detector has been told of.
    #[track_caller]
    pub(super) fn chunks_in_reach(&self, count: usize, bytes: usize) -> Result<Chunks<'_, P>, BufferError> {
        let access = self.reach()?;
        let (at, length) = (self.view.reader as usize, self.readable());
        access.check(at, length)?;
        let pieces = access.pieces(at, length.min(bytes), count)?;
        let remaining = pieces.iter().map(|piece| piece.length).sum();
        Ok(Chunks { pieces, next: 0, within: 0, remaining, access })
    }
}

impl<P: Platform> Chunks<'_, P> {
    /// The pieces not yet consumed, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.within;
        self.pieces[self.next..].iter().map(move |piece| &piece.bytes(&self.access)[core::mem::take(&mut skip)..])
    }
}

impl<P: Platform> Buf for Chunks<'_, P> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.iter().next().unwrap_or(&[])
    }

    fn chunks_vectored<'s>(&'s self, to: &mut [IoSlice<'s>]) -> usize {
        to.iter_mut().zip(self.iter()).map(|(place, chunk)| *place = IoSlice::new(chunk)).count()
    }

    fn advance(&mut self, n: usize) {
        assert!(n <= self.remaining, "{n} bytes consumed of {}", self.remaining);
        self.remaining -= n;
        self.within += n;
        while self.pieces.get(self.next).is_some_and(|piece| piece.length <= self.within) {
            self.within -= self.pieces[self.next].length;
            self.next += 1;
        }
    }
}

impl<P: Platform> fmt::Debug for Chunks<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
