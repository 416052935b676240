//! Frames that begin with their length.
//!
//! **Invariant: a frame has a count of its own** and shares the cumulation's memory; a frame that is too long is discarded as it
//! comes, and kept by nobody.
//!
//! ```text
//!   |<- offset ->|<- width ->|<---- length + adjustment ---->|
//!   +------------+-----------+-------------------------------+
//!   | header     | length    | rest of the frame             |
//!   +------------+-----------+-------------------------------+
//!   |<- strip ------>|<---------- what is given on --------->|
//! ```

use super::{Context, Decode, HandlerError, Outputs};
use crate::Platform;
use crate::buffer::{Buffer, BufferError};
use core::cell::Cell;

/// Where the length is, and what it means. Sizes in bytes, numbers big-endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LengthField {
    /// What is before it.
    pub offset: usize,
    /// Its own size: 1, 2, 3, 4 or 8.
    pub width: usize,
    /// What is to be added to it to get the number of bytes behind it.
    pub adjustment: i64,
}

impl LengthField {
    /// A length of `width` bytes at the very beginning, of all that comes after it.
    pub const fn first(width: usize) -> Self {
        Self { offset: 0, width, adjustment: 0 }
    }

    /// # Panics
    /// When the width isn't one of those allowed.
    pub(super) fn check(self) {
        assert!(matches!(self.width, 1 | 2 | 3 | 4 | 8), "a length field of {} bytes", self.width);
    }

    /// Where it ends.
    fn end(self) -> usize {
        self.offset + self.width
    }

    /// The length as it stands in what is readable, in which it is complete, and stays so.
    fn peek<P: Platform>(self, input: &Buffer<P>) -> Result<i64, BufferError> {
        let mut number = [0; 8];
        input.get(input.reader_index() + self.offset, &mut number[8 - self.width..])?;
        Ok(i64::from_be_bytes(number))
    }
}

/// What of a frame that is too long is still to come.
#[derive(Clone, Copy)]
struct Discarding {
    frame: u64,
    left: u64,
}

/// Cuts the stream into frames by the length that each begins with: Netty's `LengthFieldBasedFrameDecoder`.
pub struct LengthFieldFrameDecoder {
    field: LengthField,
    limit: usize,
    strip: usize,
    fail_fast: bool,
    discarding: Cell<Option<Discarding>>,
}

impl LengthFieldFrameDecoder {
    /// Frames of at most `limit` bytes, of which `strip` at the beginning are not given on. One that is too long is reported
    /// as soon as its length is known.
    ///
    /// # Panics
    /// When the length field is not within `limit`, or its width isn't one of those allowed.
    pub fn new(field: LengthField, limit: usize, strip: usize) -> Self {
        field.check();
        assert!(field.end() <= limit, "a length field that ends at {} in a frame of at most {limit}", field.end());
        Self { field, limit, strip, fail_fast: true, discarding: Cell::new(None) }
    }

    /// Whether a frame that is too long is reported as soon as its length is known, or when it has passed.
    pub fn fail_fast(self, fail_fast: bool) -> Self {
        Self { fail_fast, ..self }
    }

    fn too_long(&self, frame: u64) -> HandlerError {
        HandlerError::TooLongFrame { length: frame, limit: self.limit as u64 }
    }

    /// Skips what there is of the frame that is too long.
    fn discard<P: Platform>(
        &self,
        mut now: Discarding,
        is_first: bool,
        input: &mut Buffer<P>,
    ) -> Result<(), HandlerError> {
        let there = now.left.min(input.readable() as u64);
        input.advance(there as usize);
        now.left -= there;
        self.discarding.set((now.left > 0).then_some(now));
        let reports = if self.fail_fast { is_first } else { now.left == 0 };
        if reports { Err(self.too_long(now.frame)) } else { Ok(()) }
    }
}

impl<P: Platform> Decode<P> for LengthFieldFrameDecoder {
    fn decode(&self, _: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        if let Some(now) = self.discarding.get() {
            self.discard(now, false, input)?;
        }
        let (readable, start) = (input.readable(), self.field.end());
        if readable < start {
            return Ok(());
        }
        let length = self.field.peek(input)?;
        let frame = length.saturating_add(self.field.adjustment).saturating_add(start as i64);
        if length < 0 || frame < start as i64 {
            input.advance(start);
            return Err(HandlerError::CorruptedFrame { length });
        }
        if frame > self.limit as i64 {
            let frame = frame as u64;
            return self.discard(Discarding { frame, left: frame }, true, input);
        }
        let frame = frame as usize;
        if readable < frame {
            return Ok(());
        }
        if self.strip > frame {
            input.advance(frame);
            return Err(HandlerError::CorruptedFrame { length });
        }
        input.advance(self.strip);
        out.push(input.read_retained_slice(frame - self.strip)?);
        Ok(())
    }
}
