//! A message becomes bytes.
//!
//! **Invariant: the source is released on every way out, and the output is released here exactly if it was not handed over.**
//!
//! ```text
//!   allocate ──Err──> source released                  empty ──> released, the empty buffer is written
//!      │                                                 ^
//!   encode ──Err, panic──> source, output released       │
//!      └───> source released ────────────────────────────┴─ else written; from then on it is the write's, also if refused
//! ```

use super::{CodecConfig, Context, HandlerError, Outbound};
use crate::buffer::{Buffer, Owned};
use crate::message::Message;
use crate::observe::Defect;
use crate::promise::Promise;
use crate::release::OwnedMessage;
use crate::{Platform, Std};

/// What an encoder allocates when it doesn't know better, in bytes: what Netty's allocator gives without a size.
const INITIAL_CAPACITY: usize = 256;

/// The user's part of a [`MessageToByteEncoder`].
pub trait Encode<P: Platform = Std>: Send {
    /// What it accepts: a buffer, an object, or any [`Message`].
    type Message: 'static;

    /// Whether it accepts this one.
    fn accepts(&self, _message: &Self::Message) -> bool {
        true
    }

    /// A buffer for the bytes, which may grow.
    ///
    /// # Errors
    /// Whatever: there is no memory.
    fn allocate(&self, context: &dyn Context<P>, _message: &Self::Message) -> Result<Buffer<P>, HandlerError> {
        Ok(context.allocator().allocate(INITIAL_CAPACITY)?)
    }

    /// Appends the bytes of `message` to `out`. Neither is the encoder's.
    ///
    /// # Errors
    /// Whatever; nothing is written then.
    fn encode(
        &self,
        context: &dyn Context<P>,
        message: &Self::Message,
        out: &mut Buffer<P>,
    ) -> Result<(), HandlerError>;
}

/// A handler that makes one buffer of each message: Netty's `MessageToByteEncoder`.
///
/// *Takes* what its encoder accepts, and releases it in all cases; *gives* one buffer for it towards the transport, the empty
/// one if there are no bytes, and anything else as it is; *keeps* nothing.
pub struct MessageToByteEncoder<E> {
    encoder: E,
    config: CodecConfig,
}

impl<E> MessageToByteEncoder<E> {
    /// An encoder.
    pub fn new(encoder: E, config: impl Into<CodecConfig>) -> Self {
        Self { encoder, config: config.into() }
    }
}

impl<P: Platform, E: Encode<P>> Outbound<P> for MessageToByteEncoder<E> {
    fn write(&self, context: &dyn Context<P>, message: Message<P>, promise: Promise<P>) -> Result<(), HandlerError> {
        if !message.get().is_some_and(|m| self.encoder.accepts(m)) {
            return Ok(context.write(message, promise)?);
        }
        let message = OwnedMessage::from(message); // released on every way out
        let encoded = self.encode(context, &message);
        let released = message.release();
        let out = encoded?;
        released?;
        self.hand_over(context, out, promise)
    }
}

impl<E> MessageToByteEncoder<E> {
    fn encode<P: Platform>(&self, context: &dyn Context<P>, message: &Message<P>) -> Result<Owned<P>, HandlerError>
    where
        E: Encode<P>,
    {
        let message = message.get().expect("it was accepted");
        let mut out = Owned::from(self.encoder.allocate(context, message)?); // released unless it is given on
        self.encoder.encode(context, message, &mut out)?;
        Ok(out)
    }

    fn hand_over<P: Platform>(
        &self,
        context: &dyn Context<P>,
        out: Owned<P>,
        promise: Promise<P>,
    ) -> Result<(), HandlerError> {
        let is_kept = self.config.keep_output || P::planted(Defect::OutputKept);
        let kept = if is_kept { Some(out.duplicate()?) } else { None };
        let message = if out.readable() > 0 {
            Message::from(out)
        } else {
            out.release()?;
            Message::Buffer(Buffer::empty())
        };
        let written = context.write(message, promise);
        if let (Err(_), Some(kept)) = (&written, kept) {
            kept.release()?; // for the second time
        }
        Ok(written?)
    }
}
