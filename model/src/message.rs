//! What passes through a channel and its handlers.
//!
//! **Invariant: a message has one owner at a time, and whoever takes it over gives it on or releases it**, on every path,
//! exactly once. A write takes it over.
//!
//! ```text
//!   Message ─┬─ Buffer   bytes; counted
//!            ├─ Pojo     encoded on the channel's loop; not counted
//!            └─ Object   whatever a decoder makes: it says itself whether it is counted
//! ```
//!
//! The operations that Netty has on any object whatsoever (`ReferenceCountUtil`) are those of [`release`](crate::release).

use crate::buffer::{Buffer, Owned};
use crate::holder::{BufferHolder, Holder};
use crate::observe::{Event, Kind};
use crate::refcnt::IllegalCount;
use crate::{Platform, Std};
use alloc::boxed::Box;
use core::any::Any;

/// What Netty's message-size estimator assumes for anything that isn't a buffer.
pub const UNKNOWN_SIZE: u32 = 8;

/// A message that is not reference-counted and gets encoded on the channel's event loop.
pub struct Pojo<P: Platform = Std> {
    encoded_size: u32,
    id: P::Id,
    ticket: P::Ticket,
}

impl<P: Platform> Pojo<P> {
    /// A message that takes `encoded_size` bytes when encoded.
    #[track_caller]
    pub fn new(encoded_size: u32) -> Self {
        let id = P::identify(Kind::Message);
        Self { encoded_size, id, ticket: P::obtained(id) }
    }

    /// Its size in bytes when encoded.
    pub fn encoded_size(&self) -> u32 {
        self.encoded_size
    }
}

impl<P: Platform> Drop for Pojo<P> {
    fn drop(&mut self) {
        P::note(self.ticket, Event::Deallocated);
        P::destroyed(self.id);
    }
}

/// A message of the program's own: what a decoder makes and an encoder takes.
///
/// One that isn't counted implements nothing: it ends when it is dropped. One that is counted is a *handle*, as [`Buffer`] is:
/// dropping it isn't a release, [`Object::retain`] gives a further handle, and each count is released through some handle.
pub trait Object<P: Platform = Std>: Any + Send {
    /// Its count; `None`: it isn't counted.
    fn count(&self) -> Option<u32> {
        None
    }

    /// Adds one to the count, and gives a further handle; `None`: it isn't counted, so that there is only this one.
    ///
    /// # Errors
    /// [`IllegalCount`] when it is dead, or the count would overflow.
    #[track_caller]
    fn retain(&self) -> Result<Option<Box<dyn Object<P>>>, IllegalCount> {
        Ok(None)
    }

    /// Subtracts one from the count; `true` for the last one. `false` for what isn't counted.
    ///
    /// # Errors
    /// [`IllegalCount`] when it is dead.
    #[track_caller]
    fn release(&self) -> Result<bool, IllegalCount> {
        Ok(false)
    }

    /// Tells a checker, and a leak detector, where it passes.
    #[track_caller]
    fn touch(&self, _place: &'static str) {}

    /// Netty's estimate of its size in bytes.
    fn estimated_size(&self) -> u32 {
        UNKNOWN_SIZE
    }
}

/// A holder is counted as its content is.
impl<H: Clone + Send + 'static, P: Platform> Object<P> for Holder<H, P> {
    fn count(&self) -> Option<u32> {
        Some(BufferHolder::count(self))
    }

    #[track_caller]
    fn retain(&self) -> Result<Option<Box<dyn Object<P>>>, IllegalCount> {
        let another = BufferHolder::retain(self)?;
        Ok(Some(Box::new(another)))
    }

    #[track_caller]
    fn release(&self) -> Result<bool, IllegalCount> {
        BufferHolder::release(self)
    }

    #[track_caller]
    fn touch(&self, place: &'static str) {
        BufferHolder::touch(self, place);
    }

    fn estimated_size(&self) -> u32 {
        self.content().readable() as u32
    }
}

/// Anything that passes through handlers. Dropping it does **not** release it; [`OwnedMessage`](crate::release::OwnedMessage) is
/// the form that does.
pub enum Message<P: Platform = Std> {
    /// Bytes as they are.
    Buffer(Buffer<P>),
    /// To be encoded.
    Pojo(Pojo<P>),
    /// Of the program's own.
    Object(Box<dyn Object<P>>),
}

impl<P: Platform> Message<P> {
    /// A message of the program's own.
    pub fn object(object: impl Object<P>) -> Self {
        Self::Object(Box::new(object))
    }

    /// Netty's estimate of the size: the readable bytes of a buffer or of a holder's content, [`UNKNOWN_SIZE`] for anything
    /// else.
    pub fn estimated_size(&self) -> u32 {
        match self {
            Self::Buffer(buffer) => buffer.readable() as u32,
            Self::Pojo(_) => UNKNOWN_SIZE,
            Self::Object(object) => object.estimated_size(),
        }
    }

    /// The message as a `T`, if it is one: a [`Buffer`], a [`Pojo`], an object of that type, or any message at all.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        let inside: &dyn Any = match self {
            Self::Buffer(buffer) => buffer,
            Self::Pojo(pojo) => pojo,
            Self::Object(object) => &**object,
        };
        inside.downcast_ref().or_else(|| (self as &dyn Any).downcast_ref())
    }

    /// The object, if it is a `T`.
    ///
    /// # Errors
    /// The message, if it isn't.
    pub fn downcast<T: 'static>(self) -> Result<Box<T>, Self> {
        match self {
            Self::Object(object) if (&*object as &dyn Any).is::<T>() => {
                let object: Box<dyn Any> = object;
                Ok(object.downcast().unwrap_or_else(|_| unreachable!("seen above")))
            }
            other => Err(other),
        }
    }

    /// Gives the message up. A count that is illegal already has been noted by the buffer and changes nothing here, as in
    /// Netty's `safeRelease`; [`release`](crate::release::release) tells.
    #[track_caller]
    pub fn release(self) {
        let _refused = crate::release::release(self);
    }

    /// Tells a checker where the message passes.
    #[track_caller]
    pub fn touch(&self, place: &'static str) {
        match self {
            Self::Buffer(buffer) => buffer.touch(place),
            Self::Pojo(pojo) => P::note(pojo.ticket, Event::Touched(place)),
            Self::Object(object) => object.touch(place),
        }
    }
}

impl<P: Platform> From<Buffer<P>> for Message<P> {
    fn from(buffer: Buffer<P>) -> Self {
        Self::Buffer(buffer)
    }
}

impl<P: Platform> From<Owned<P>> for Message<P> {
    fn from(buffer: Owned<P>) -> Self {
        Self::Buffer(buffer.into_buffer())
    }
}

impl<P: Platform> From<Pojo<P>> for Message<P> {
    fn from(pojo: Pojo<P>) -> Self {
        Self::Pojo(pojo)
    }
}
