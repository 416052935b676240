//! What a codec has made and not given on yet.
//!
//! **Invariant: what is not taken out is released**, when the list is dropped. (Netty's `CodecOutputList` forgets it.)

use super::Context;
use crate::message::Message;
use crate::release::OwnedMessage;
use crate::{Platform, Std};
use alloc::collections::VecDeque;

/// Messages in order. See the [module](self).
pub struct Outputs<P: Platform = Std>(VecDeque<OwnedMessage<P>>);

impl<P: Platform> Default for Outputs<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Outputs<P> {
    /// None.
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Adds a message, which it takes over.
    pub fn push(&mut self, message: impl Into<Message<P>>) {
        self.0.push_back(message.into().into());
    }

    /// Takes the oldest one out.
    pub fn pop(&mut self) -> Option<Message<P>> {
        self.0.pop_front().map(OwnedMessage::into_message)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives all of them to the next handler: how many that were.
    pub(super) fn fire(&mut self, context: &dyn Context<P>) -> usize {
        let mut fired = 0;
        while let Some(message) = self.pop() {
            context.fire_read(message);
            fired += 1;
        }
        fired
    }
}
