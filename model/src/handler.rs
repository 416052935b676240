//! Handlers: what a [pipeline](crate::pipeline) is made of.
//!
//! **Invariant: whoever is called with a message owns it**, and gives it on, keeps it or releases it, exactly once, on every way
//! out: success, error, panic.
//!
//! ```text
//!            ┌──────────── Context: how a handler goes on ────────────┐
//!   before <─┤ write, flush, read, close, deregister      fire_... ├─> next
//!            └── Outbound <──────── handler ────────> Inbound ──────────┘
//! ```
//!
//! A handler is called on the thread of its executor only, and through `&self`, because it can be called again while it is on
//! the stack: by what it calls downstream. Errors are values: `Err` is what a Netty handler throws. Whoever called the handler
//! tells it on: an inbound error to [`Inbound::exception`], an outbound one to the promise of the write, as far as that isn't
//! complete ([`HandlerError::cause`]). In neither case is the message the caller's again.

mod error;

pub use error::HandlerError;

use crate::allocator::Allocator;
use crate::channel::{Channel, IllegalPromise};
use crate::message::Message;
use crate::promise::Promise;
use crate::{Platform, Std};

/// What happens on a channel besides messages.
pub enum UserEvent<P: Platform = Std> {
    /// The peer sends no more (`ChannelInputShutdownEvent`).
    InputShutdown,
    /// This side sends no more (`ChannelOutputShutdownEvent`).
    OutputShutdown,
    /// Of the program's own. Whoever takes it releases it.
    Message(Message<P>),
}

/// Where a handler stands: what it calls to go on.
///
/// None of these calls unwinds, unless the platform does: whoever implements it catches the panics of the handlers beyond.
pub trait Context<P: Platform = Std> {
    /// Where buffers come from.
    fn allocator(&self) -> &Allocator<P>;

    /// The channel, where there is one.
    fn channel(&self) -> Option<&Channel<P>> {
        None
    }

    /// Whether the handler has been removed.
    fn is_removed(&self) -> bool;

    /// Removes the handler, which is told by [`Inbound::removed`] before this returns.
    fn remove(&self);

    /// Tells the next handler that the channel has an event loop.
    fn fire_registered(&self) {}

    /// Tells the next handler that the channel has no event loop any more.
    fn fire_unregistered(&self) {}

    /// Tells the next handler that the channel is connected.
    fn fire_active(&self) {}

    /// Gives a message that was read to the next handler, who owns it from now on.
    fn fire_read(&self, message: Message<P>);

    /// Tells the next handler that there is no more to read for now.
    fn fire_read_complete(&self);

    /// Tells the next handler that the channel is closed.
    fn fire_inactive(&self);

    /// Tells the next handler that the channel became writable or unwritable.
    fn fire_writability_changed(&self) {}

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

    /// Asks for what the peer sends, where the channel doesn't read by itself.
    fn read(&self) {}

    /// Closes the channel.
    fn close(&self, promise: Promise<P>) {
        promise.try_complete(Ok(()));
    }

    /// Takes the channel off its event loop.
    fn deregister(&self, promise: Promise<P>) {
        promise.try_complete(Ok(()));
    }
}

/// A handler of what comes in. What it doesn't implement passes through.
pub trait Inbound<P: Platform = Std>: Send {
    /// The handler is in the pipeline: what is called from now on reaches it.
    ///
    /// # Errors
    /// Whatever: the handler is removed then.
    fn added(&self, _context: &dyn Context<P>) -> Result<(), HandlerError> {
        Ok(())
    }

    /// The channel has an event loop.
    ///
    /// # Errors
    /// Whatever.
    fn registered(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.fire_registered();
        Ok(())
    }

    /// The channel has no event loop any more.
    ///
    /// # Errors
    /// Whatever.
    fn unregistered(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.fire_unregistered();
        Ok(())
    }

    /// The channel is connected.
    ///
    /// # Errors
    /// Whatever.
    fn active(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.fire_active();
        Ok(())
    }

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

    /// The channel became writable or unwritable: [`Channel::is_writable`] tells. Posted, and so possibly late, when another
    /// thread caused it.
    ///
    /// # Errors
    /// Whatever.
    fn writability_changed(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.fire_writability_changed();
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

    /// What the peer sends is asked for.
    ///
    /// # Errors
    /// Whatever.
    fn read(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.read();
        Ok(())
    }

    /// The channel shall be closed.
    ///
    /// # Errors
    /// Whatever; the caller fails the promise if that isn't complete.
    fn close(&self, context: &dyn Context<P>, promise: Promise<P>) -> Result<(), HandlerError> {
        context.close(promise);
        Ok(())
    }

    /// The channel shall be taken off its event loop.
    ///
    /// # Errors
    /// Whatever; the caller fails the promise if that isn't complete.
    fn deregister(&self, context: &dyn Context<P>, promise: Promise<P>) -> Result<(), HandlerError> {
        context.deregister(promise);
        Ok(())
    }

    /// The handler was removed: nothing more will come, and what it keeps it gives on, releases or fails.
    ///
    /// # Errors
    /// Whatever.
    fn removed(&self, _context: &dyn Context<P>) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// A handler of a pipeline: of what comes in, of what goes out, or of both.
pub trait Handler<P: Platform = Std>: Send {
    /// It, as a handler of what comes in.
    fn inbound(&self) -> Option<&dyn Inbound<P>> {
        None
    }

    /// It, as a handler of what goes out.
    fn outbound(&self) -> Option<&dyn Outbound<P>> {
        None
    }
}

/// A handler of what comes in.
pub struct InboundHandler<H>(pub H);

impl<P: Platform, H: Inbound<P>> Handler<P> for InboundHandler<H> {
    fn inbound(&self) -> Option<&dyn Inbound<P>> {
        Some(&self.0)
    }
}

/// A handler of what goes out.
pub struct OutboundHandler<H>(pub H);

impl<P: Platform, H: Outbound<P>> Handler<P> for OutboundHandler<H> {
    fn outbound(&self) -> Option<&dyn Outbound<P>> {
        Some(&self.0)
    }
}

/// A handler of both. It is told of its removal as a handler of what comes in.
pub struct DuplexHandler<H>(pub H);

impl<P: Platform, H: Inbound<P> + Outbound<P>> Handler<P> for DuplexHandler<H> {
    fn inbound(&self) -> Option<&dyn Inbound<P>> {
        Some(&self.0)
    }
    fn outbound(&self) -> Option<&dyn Outbound<P>> {
        Some(&self.0)
    }
}
