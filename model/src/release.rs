//! Releasing, retaining and touching whatever it is.
//!
//! **Invariant: what isn't counted is left as it is**, and the answer says so. After Netty's `ReferenceCountUtil`.
//!
//! | operation | on what is counted | on what isn't |
//! |---|---|---|
//! | [`count`] | the count | `None` |
//! | [`retain`] | one more, with a message of its own | `None` |
//! | [`release`] | one less; `true` for the last one | `false`; it ends, as its only owner gave it up |
//! | [`safe_release`] | the same; a refusal goes to a hook | the same |
//! | [`touch`] | noted | noted where it is tracked |
//!
//! [`OwnedMessage`] is Netty's `finally { release(msg); }`: it releases on every way out of a scope, a panic included, unless the
//! message has been given on.

use crate::buffer::Owned;
use crate::message::Message;
use crate::refcnt::IllegalCount;
use crate::{Platform, Std};
use core::ops::Deref;

/// The count; `None`: it isn't counted.
pub fn count<P: Platform>(message: &Message<P>) -> Option<u32> {
    match message {
        Message::Buffer(buffer) => Some(buffer.count()),
        Message::Pojo(_) => None,
        Message::Object(object) => object.count(),
    }
}

/// Adds one to the count, and gives the message that has to be released for it; `None`: it isn't counted.
///
/// # Errors
/// [`IllegalCount`] when the message is dead, or the count would overflow.
#[track_caller]
pub fn retain<P: Platform>(message: &Message<P>) -> Result<Option<Message<P>>, IllegalCount> {
    match message {
        Message::Buffer(buffer) => buffer.retain().map(|buffer| Some(Message::Buffer(buffer))),
        Message::Pojo(_) => Ok(None),
        Message::Object(object) => Ok(object.retain()?.map(Message::Object)),
    }
}

/// Subtracts one from the count, and gives the message up: `true` for the last one, `false` for what isn't counted.
///
/// # Errors
/// [`IllegalCount`] when the message is dead: somebody released once too often.
#[track_caller]
pub fn release<P: Platform>(message: Message<P>) -> Result<bool, IllegalCount> {
    match message {
        Message::Buffer(buffer) => Owned::from(buffer).release(),
        Message::Pojo(_) => Ok(false),
        Message::Object(object) => object.release(),
    }
}

/// As [`release`], where a refusal can't be an answer: `hook` is told, as Netty's log is.
#[track_caller]
pub fn safe_release<P: Platform>(message: Message<P>, hook: impl FnOnce(IllegalCount)) {
    if let Err(refused) = release(message) {
        hook(refused);
    }
}

/// Tells a checker, and a leak detector, that the message passes `place`; gives it back.
#[track_caller]
pub fn touch<P: Platform>(message: Message<P>, place: &'static str) -> Message<P> {
    message.touch(place);
    message
}

/// A message that is released when dropped.
pub struct OwnedMessage<P: Platform = Std>(Option<Message<P>>);

impl<P: Platform> OwnedMessage<P> {
    /// Gives the message on: it isn't released here any more.
    pub fn into_message(mut self) -> Message<P> {
        self.0.take().expect("it goes once")
    }

    /// Releases it here.
    ///
    /// # Errors
    /// As [`release`].
    #[track_caller]
    pub fn release(self) -> Result<bool, IllegalCount> {
        release(self.into_message())
    }
}

impl<P: Platform> From<Message<P>> for OwnedMessage<P> {
    fn from(message: Message<P>) -> Self {
        Self(Some(message))
    }
}

impl<P: Platform> Deref for OwnedMessage<P> {
    type Target = Message<P>;
    fn deref(&self) -> &Message<P> {
        self.0.as_ref().expect("it is there until it goes")
    }
}

impl<P: Platform> Drop for OwnedMessage<P> {
    fn drop(&mut self) {
        if let Some(message) = self.0.take() {
            message.release();
        }
    }
}
