//! Bytes of several components to read, without copying.
//!
//! **Invariant: while the guard exists nobody writes, and the memory stays**, of all the pieces, whoever releases meanwhile.
//!
//! ```text
//!   pieces:  [ consumed ][ con|sumed next ][ ....... ]
//!                             ^ chunk() begins here
//! ```
//!
//! The shape is that of `bytes::Buf`: look at [`Chunks::chunk`], consume with [`Chunks::advance`], until nothing remains.

use super::reach::Piece;
use crate::buffer::access::Access;
use crate::buffer::{Buffer, BufferError};
use crate::{Platform, Std};
use alloc::vec::Vec;
use core::fmt;
use std::io::IoSlice;

/// The readable bytes of a buffer, in as many pieces as there are, pinned. Consuming them doesn't move the buffer's indices.
pub struct Chunks<'a, P: Platform = Std> {
    pieces: Vec<Piece<P>>,
    /// The piece with the next byte, and where in it that is. No piece is empty.
    next: usize,
    within: usize,
    remaining: usize,
    access: Access<'a, P>,
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
        let access = self.enter()?;
        let (at, length) = (self.view.reader as usize, self.readable());
        access.check(at, length)?;
        let pieces = access.pieces(at, length.min(bytes), count)?;
        let remaining = pieces.iter().map(|piece| piece.length).sum();
        Ok(Chunks { pieces, next: 0, within: 0, remaining, access })
    }
}

impl<P: Platform> Chunks<'_, P> {
    /// Bytes not yet consumed.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// The next bytes that are in one piece; empty only when nothing remains.
    pub fn chunk(&self) -> &[u8] {
        self.iter().next().unwrap_or(&[])
    }

    /// The pieces not yet consumed, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.within;
        self.pieces[self.next..].iter().map(move |piece| &piece.bytes(&self.access)[core::mem::take(&mut skip)..])
    }

    /// Puts the pieces not yet consumed into `to`, as many as there is room for, and gives their number.
    pub fn chunks_vectored<'s>(&'s self, to: &mut [IoSlice<'s>]) -> usize {
        to.iter_mut().zip(self.iter()).map(|(place, chunk)| *place = IoSlice::new(chunk)).count()
    }

    /// Consumes `n` bytes.
    ///
    /// # Panics
    /// When fewer remain.
    #[track_caller]
    pub fn advance(&mut self, n: usize) {
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
