//! A message becomes others.
//!
//! **Invariant: the source is released on every way out; the outputs are written in order, and what isn't written is
//! released.** The promise stands for all of them.

use super::{CodecConfig, Context, HandlerError, Outbound, Outputs, resume};
use crate::message::Message;
use crate::promise::{Promise, PromiseCombiner};
use crate::release::OwnedMessage;
use crate::{Platform, Std};

/// The user's part of a [`MessageToMessageEncoder`].
pub trait EncodeMessages<P: Platform = Std>: Send {
    /// What it accepts: a buffer, an object, or any [`Message`].
    type Message: 'static;

    /// Whether it accepts this one.
    fn accepts(&self, _message: &Self::Message) -> bool {
        true
    }

    /// Makes messages of `message`, at least one. What it pushes is taken over; `message` isn't the encoder's, and has to be
    /// retained if it, or a part that shares its count, is pushed.
    ///
    /// # Errors
    /// Whatever.
    fn encode(
        &self,
        context: &dyn Context<P>,
        message: &Self::Message,
        out: &mut Outputs<P>,
    ) -> Result<(), HandlerError>;
}

/// A handler that makes one or more messages of each: Netty's `MessageToMessageEncoder`.
///
/// *Takes* what its encoder accepts, and releases it in all cases; *gives* the outputs towards the transport, in order, and
/// anything else as it is; *keeps* nothing. No output is an error.
pub struct MessageToMessageEncoder<E> {
    encoder: E,
    config: CodecConfig,
}

impl<E> MessageToMessageEncoder<E> {
    /// An encoder.
    pub fn new(encoder: E, config: impl Into<CodecConfig>) -> Self {
        Self { encoder, config: config.into() }
    }
}

impl<P: Platform, E: EncodeMessages<P>> Outbound<P> for MessageToMessageEncoder<E> {
    fn write(&self, context: &dyn Context<P>, message: Message<P>, promise: Promise<P>) -> Result<(), HandlerError> {
        if !message.get().is_some_and(|m| self.encoder.accepts(m)) {
            return Ok(context.write(message, promise)?);
        }
        let message = OwnedMessage::from(message);
        let mut out = Outputs::new(); // releases what is not written
        let encoded = P::catch(|| {
            self.encoder.encode(context, message.get().expect("it was accepted"), &mut out)?;
            if out.is_empty() { Err(HandlerError::NoOutput) } else { Ok(()) }
        });
        let released = message.release();
        if matches!(encoded, Ok(Ok(()))) {
            released?;
            return self.write_all(context, out, promise);
        }
        if self.config.write_partial_output && !out.is_empty() {
            let _failed_already = self.write_all(context, out, promise);
        }
        resume(encoded)
    }
}

impl<E> MessageToMessageEncoder<E> {
    fn write_all<P: Platform>(
        &self,
        context: &dyn Context<P>,
        mut out: Outputs<P>,
        promise: Promise<P>,
    ) -> Result<(), HandlerError> {
        if out.len() > 1 && self.config.combine_promises && !promise.is_void() {
            let mut parts = PromiseCombiner::new();
            while let Some(message) = out.pop() {
                let part = Promise::new();
                context.write(message, part.clone())?;
                parts.add(&part)?;
            }
            parts.finish(promise);
            return Ok(());
        }
        while let Some(message) = out.pop() {
            let is_last = out.is_empty();
            // A void one fails as often as its writes do.
            let promise = if is_last || promise.is_void() { promise.clone() } else { Promise::new() };
            context.write(message, promise)?;
        }
        Ok(())
    }
}
