//! What is written to a channel.
//!
//! **Invariant: a write takes the message over**; from then on the channel releases it, on every path, exactly once.

use crate::buffer::{Buffer, Owned};
use crate::observe::{Event, Kind};
use crate::{Platform, Std};

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

/// A message on its way to a channel's outbound buffer.
pub enum Message<P: Platform = Std> {
    /// Bytes as they are.
    Buffer(Buffer<P>),
    /// To be encoded.
    Pojo(Pojo<P>),
}

impl<P: Platform> Message<P> {
    /// Netty's estimate of the size: the readable bytes of a buffer, [`UNKNOWN_SIZE`] for anything else.
    pub fn estimated_size(&self) -> u32 {
        match self {
            Self::Buffer(buffer) => buffer.readable() as u32,
            Self::Pojo(_) => UNKNOWN_SIZE,
        }
    }

    /// Gives the message up. A count that is illegal already has been noted by the buffer and changes nothing here, as in
    /// Netty's `safeRelease`.
    #[track_caller]
    pub fn release(self) {
        match self {
            Self::Buffer(buffer) => drop(Owned::from(buffer)),
            Self::Pojo(pojo) => drop(pojo),
        }
    }

    /// Tells a checker where the message passes.
    #[track_caller]
    pub fn touch(&self, place: &'static str) {
        match self {
            Self::Buffer(buffer) => buffer.touch(place),
            Self::Pojo(pojo) => P::note(pojo.ticket, Event::Touched(place)),
        }
    }
}
