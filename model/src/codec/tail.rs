//! The end of the line.
//!
//! **Invariant: what reaches the tail is released**: messages, user events (from Netty 4.1.0.Beta5) and exceptions.

use super::{Context, HandlerError, Inbound, UserEvent};
use crate::Platform;
use crate::message::Message;

/// What nobody has taken.
#[derive(Debug)]
pub enum Unhandled {
    /// A message.
    Message,
    /// A user event.
    UserEvent,
    /// A failure.
    Exception(HandlerError),
}

/// The last handler: releases whatever nobody took, and tells, as Netty's log.
pub struct Tail<L>(pub L);

impl<P: Platform, L: Fn(Unhandled) + Send> Inbound<P> for Tail<L> {
    fn read(&self, _context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        message.touch("reached the tail");
        message.release();
        (self.0)(Unhandled::Message);
        Ok(())
    }

    fn read_complete(&self, _context: &dyn Context<P>) -> Result<(), HandlerError> {
        Ok(())
    }

    fn inactive(&self, _context: &dyn Context<P>) -> Result<(), HandlerError> {
        Ok(())
    }

    fn user_event(&self, _context: &dyn Context<P>, event: UserEvent<P>) -> Result<(), HandlerError> {
        if let UserEvent::Message(message) = event {
            message.release();
        }
        (self.0)(Unhandled::UserEvent);
        Ok(())
    }

    fn exception(&self, _context: &dyn Context<P>, error: HandlerError) -> Result<(), HandlerError> {
        (self.0)(Unhandled::Exception(error));
        Ok(())
    }
}
