//! The handler that releases what its consumer has used.
//!
//! **Invariant: what the consumer accepts is released when it returns, fails or panics**; anything else passes through.

use super::{Context, HandlerError, Inbound};
use crate::message::Message;
use crate::release::OwnedMessage;
use crate::{Platform, Std};

/// The user's part of a [`SimpleInbound`].
pub trait Consume<P: Platform = Std>: Send {
    /// What it accepts: a buffer, an object, or any [`Message`].
    type Message: 'static;

    /// Whether it accepts this one.
    fn accepts(&self, _message: &Self::Message) -> bool {
        true
    }

    /// Uses the message, which is released afterwards. Who wants to keep it retains it.
    ///
    /// # Errors
    /// Whatever; the message is released all the same.
    fn consume(&self, context: &dyn Context<P>, message: &Self::Message) -> Result<(), HandlerError>;
}

/// A handler that releases what it consumes: Netty's `SimpleChannelInboundHandler`.
///
/// *Takes* what its consumer accepts, and releases it in all cases; *gives* anything else onwards; *keeps* nothing.
pub struct SimpleInbound<C> {
    consumer: C,
    auto_release: bool,
}

impl<C> SimpleInbound<C> {
    /// A handler that releases.
    pub const fn new(consumer: C) -> Self {
        Self { consumer, auto_release: true }
    }

    /// A handler whose consumer releases: the count goes over to it. The consumer takes a handle of its own, by
    /// [`Buffer::duplicate`](crate::buffer::Buffer::duplicate), or releases before it returns; if it does neither, that is a leak.
    pub const fn without_release(consumer: C) -> Self {
        Self { consumer, auto_release: false }
    }
}

impl<P: Platform, C: Consume<P>> Inbound<P> for SimpleInbound<C> {
    fn read(&self, context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        if !message.get().is_some_and(|m| self.consumer.accepts(m)) {
            context.fire_read(message);
            return Ok(());
        }
        let consume = |message: &Message<P>| {
            let message = message.get().expect("it was accepted");
            self.consumer.consume(context, message)
        };
        if !self.auto_release {
            return consume(&message);
        }
        let message = OwnedMessage::from(message); // released if the consumer panics
        let consumed = consume(&message);
        let released = message.release();
        consumed?;
        released?;
        Ok(())
    }
}
