//! Handlers, and the codecs among them.
//!
//! **Invariant: whoever is called with a message owns it**, and gives it on, keeps it or releases it, exactly once, on every way
//! out: success, error, panic.
//!
//! ```text
//!   transport ──read──> ByteToMessageDecoder ──read──> SimpleInbound (releases) ── what nobody takes ──> Tail (releases)
//!                         keeps: cumulation
//!   transport <─write── MessageToByteEncoder <─write── MessageToMessageEncoder <─write── application
//! ```
//!
//! | who | takes | gives | keeps |
//! |---|---|---|---|
//! | [`SimpleInbound`] | what it accepts, and releases it | anything else, onwards | nothing |
//! | [`MessageToByteEncoder`] | what it accepts, and releases it | one buffer, onwards; anything else as it is | nothing |
//! | [`MessageToMessageEncoder`] | what it accepts, and releases it | its outputs in order, onwards; anything else as it is | nothing |
//! | [`ByteToMessageDecoder`] | buffers | its outputs; at its removal what it hasn't read; anything else as it is | the cumulation |
//! | [`CoalescingQueue`] | buffers and their promises | several as one | those, until they are taken out or failed |
//! | [`Tail`] | everything, and releases it | nothing | nothing |
//!
//! A handler is called through `&self`, because it can be called again while it is on the stack: by what it calls downstream.
//! Errors are values: `Err` is what a Netty handler throws. Whoever called the handler tells it on: an inbound error to
//! [`Inbound::exception`], an outbound one to the promise of the write, as far as that isn't complete
//! ([`HandlerError::cause`]). In neither case is the message the caller's again.
//!
//! A panic of the user's code passes through, when the contract has been fulfilled. That is Netty's `finally`.

mod byte_encoder;
mod coalesce;
mod combine;
mod config;
mod cumulator;
mod decoder;
mod error;
mod fixed_length;
mod length_field;
mod message_encoder;
mod outputs;
mod prepender;
mod simple;
mod tail;

pub use byte_encoder::{Encode, MessageToByteEncoder};
pub use coalesce::CoalescingQueue;
pub use config::{CodecConfig, ReentrantRead};
pub use cumulator::{CompositeCumulator, Cumulator, MergeCumulator};
pub use decoder::{ByteToMessageDecoder, Decode};
pub use error::HandlerError;
pub use fixed_length::FixedLengthFrameDecoder;
pub use length_field::{LengthField, LengthFieldFrameDecoder};
pub use message_encoder::{EncodeMessages, MessageToMessageEncoder};
pub use outputs::Outputs;
pub use prepender::LengthFieldPrepender;
pub use simple::{Consume, SimpleInbound};
pub use tail::{Tail, Unhandled};

use crate::allocator::Allocator;
use crate::channel::IllegalPromise;
use crate::message::Message;
use crate::promise::Promise;
use crate::{Platform, Std};
use alloc::boxed::Box;
use core::any::Any;

/// What happens on a channel besides messages.
pub enum UserEvent<P: Platform = Std> {
    /// The peer sends no more (`ChannelInputShutdownEvent`).
    InputShutdown,
    /// Of the program's own. Whoever takes it releases it.
    Message(Message<P>),
}

/// Where a handler stands: what it calls to go on.
///
/// None of these calls unwinds, unless the platform does: whoever implements it catches the panics of the handlers beyond.
pub trait Context<P: Platform = Std> {
    /// Where buffers come from.
    fn allocator(&self) -> &Allocator<P>;

    /// Whether the handler has been removed.
    fn is_removed(&self) -> bool;

    /// Removes the handler, which is told by [`Inbound::removed`] before this returns.
    fn remove(&self);

    /// Gives a message that was read to the next handler, who owns it from now on.
    fn fire_read(&self, message: Message<P>);

    /// Tells the next handler that there is no more to read for now.
    fn fire_read_complete(&self);

    /// Tells the next handler that the channel is closed.
    fn fire_inactive(&self);

    /// Gives an event to the next handler, who owns it from now on.
    fn fire_user_event(&self, event: UserEvent<P>);

    /// Tells the next handler of a failure.
    fn fire_exception(&self, error: HandlerError);

    /// Gives a message to the handler before, towards the transport. It is theirs from now on, **also when this is refused**:
    /// then it has been released.
    ///
    /// # Errors
    /// [`IllegalPromise`] when `promise` is complete but for a cancellation, which is legal: there is nothing to do.
    fn write(&self, message: Message<P>, promise: Promise<P>) -> Result<(), IllegalPromise>;

    /// Flushes what was written.
    fn flush(&self);
}

/// A handler of what comes in. What it doesn't implement passes through.
pub trait Inbound<P: Platform = Std>: Send {
    /// A message was read. It is the handler's.
    ///
    /// # Errors
    /// Whatever; the message is the handler's all the same.
    fn read(&self, context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        context.fire_read(message);
        Ok(())
    }

    /// There is no more to read for now.
    ///
    /// # Errors
    /// Whatever.
    fn read_complete(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.fire_read_complete();
        Ok(())
    }

    /// The channel is closed.
    ///
    /// # Errors
    /// Whatever.
    fn inactive(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.fire_inactive();
        Ok(())
    }

    /// Something else happened. What the event carries is the handler's.
    ///
    /// # Errors
    /// Whatever.
    fn user_event(&self, context: &dyn Context<P>, event: UserEvent<P>) -> Result<(), HandlerError> {
        context.fire_user_event(event);
        Ok(())
    }

    /// A handler failed, this one or one before it.
    ///
    /// # Errors
    /// Whatever.
    fn exception(&self, context: &dyn Context<P>, error: HandlerError) -> Result<(), HandlerError> {
        context.fire_exception(error);
        Ok(())
    }

    /// The handler was removed: nothing more will come, and what it keeps it gives on or releases.
    ///
    /// # Errors
    /// Whatever.
    fn removed(&self, _context: &dyn Context<P>) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// A handler of what goes out. What it doesn't implement passes through.
pub trait Outbound<P: Platform = Std>: Send {
    /// A message is written. It is the handler's, as is the duty to complete the promise by handing it on.
    ///
    /// # Errors
    /// Whatever; the message is the handler's all the same, and the caller fails the promise if that isn't complete.
    fn write(&self, context: &dyn Context<P>, message: Message<P>, promise: Promise<P>) -> Result<(), HandlerError> {
        Ok(context.write(message, promise)?)
    }

    /// What was written shall go out.
    ///
    /// # Errors
    /// Whatever.
    fn flush(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.flush();
        Ok(())
    }
}

/// Goes on with a panic that was caught.
fn resume<T>(caught: Result<T, Box<dyn Any + Send>>) -> T {
    caught.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}
