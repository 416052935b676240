//! The length before the message.
//!
//! **Invariant: the message itself is not copied**: its length goes out as a buffer of its own before it.

use super::{Context, EncodeMessages, HandlerError, LengthField, Outputs};
use crate::Platform;
use crate::buffer::{Buffer, Owned};
use core::marker::PhantomData;

/// Prepends the length to each buffer, big-endian: Netty's `LengthFieldPrepender`. For a
/// [`MessageToMessageEncoder`](super::MessageToMessageEncoder).
pub struct LengthFieldPrepender<P> {
    field: LengthField,
    includes_itself: bool,
    _platform: PhantomData<P>,
}

impl<P: Platform> LengthFieldPrepender<P> {
    /// A length of `width` bytes.
    ///
    /// # Panics
    /// When `width` isn't 1, 2, 3, 4 or 8.
    pub fn new(width: usize) -> Self {
        let field = LengthField::first(width);
        field.check();
        Self { field, includes_itself: false, _platform: PhantomData }
    }

    /// What is added to the length of the message, and whether the length counts its own bytes.
    pub fn adjust(mut self, adjustment: i64, includes_itself: bool) -> Self {
        self.field.adjustment = adjustment;
        self.includes_itself = includes_itself;
        self
    }
}

impl<P: Platform> EncodeMessages<P> for LengthFieldPrepender<P> {
    type Message = Buffer<P>;

    fn encode(&self, context: &dyn Context<P>, message: &Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        let width = self.field.width;
        let itself = if self.includes_itself { width as i64 } else { 0 };
        let length = message.readable() as i64 + self.field.adjustment + itself;
        let bytes = length.to_be_bytes();
        let (above, number) = bytes.split_at(8 - width);
        if length < 0 || above.iter().any(|&byte| byte != 0) {
            return Err(HandlerError::CorruptedFrame { length });
        }
        let mut prefix = Owned::from(context.allocator().allocate(width)?);
        prefix.put(number)?;
        let message = message.retain()?;
        out.push(prefix);
        out.push(message);
        Ok(())
    }
}
