//! Frames of one length.
//!
//! **Invariant: a frame has a count of its own** and shares the cumulation's memory.

use super::{Context, Decode, HandlerError, Outputs};
use crate::Platform;
use crate::buffer::Buffer;

/// Cuts the stream into frames of a fixed length: Netty's `FixedLengthFrameDecoder`.
#[derive(Clone, Copy, Debug)]
pub struct FixedLengthFrameDecoder {
    length: usize,
}

impl FixedLengthFrameDecoder {
    /// Frames of `length` bytes.
    ///
    /// # Panics
    /// When `length` is 0.
    pub fn new(length: usize) -> Self {
        assert!(length > 0, "a frame has bytes");
        Self { length }
    }
}

impl<P: Platform> Decode<P> for FixedLengthFrameDecoder {
    fn decode(&self, _: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        if input.readable() >= self.length {
            out.push(input.read_retained_slice(self.length)?);
        }
        Ok(())
    }
}
