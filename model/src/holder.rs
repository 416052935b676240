//! Messages that have a buffer (Netty's `ByteBufHolder`).
//!
//! **Invariant: a holder has no count of its own. It shares its content's**: who owns the message owns one count of the buffer.
//!
//! ```text
//!   Holder                 Buffer            one count, whether it is retained and released here or there
//!     header: addresses,
//!     flags, whatever
//!     content ───────────> handle ──> count
//! ```
//!
//! | operation | header | content | the caller then owns |
//! |---|---|---|---|
//! | `copy` | a clone | a copy of the readable bytes, with a count of its own | that one, too |
//! | `duplicate` | a clone | a further handle; the count unchanged | nothing more |
//! | `retain` | a clone | a further handle; one more on the count | one count more |
//! | `retained_duplicate` | a clone | a derived buffer with a count of its own | that one, too |
//! | `replace` | a clone | what is given, with its count | the new message with it; the old one, as before |
//!
//! As with buffers, dropping a holder does not release.
//!
//! ```
//! use millpond_model::holder::{BufferHolder, DatagramPacket, Route};
//! use millpond_model::{Preset, allocator::Allocator};
//!
//! let mut content = Allocator::new(Preset::Millpond).allocate(4)?;
//! content.put(b"ping")?;
//! let route = Route { sender: None, recipient: "192.0.2.1:7".parse()? };
//! let packet = DatagramPacket::new(route, content); // takes the count over
//! let copy = packet.copy()?;
//! assert_eq!(packet.release(), Ok(true));
//! assert_eq!(&*copy.content().bytes()?, b"ping"); // it is another buffer
//! assert_eq!(copy.release(), Ok(true));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::buffer::{Buffer, BufferError, Owned};
use crate::refcnt::IllegalCount;
use crate::{Platform, Std};
use core::net::SocketAddr;

/// A message that shares its content's count. Only the content and how to replace it are the type's own.
pub trait BufferHolder<P: Platform = Std>: Sized {
    /// The buffer. Its count, and the bytes, are this message's.
    fn content(&self) -> &Buffer<P>;

    /// The buffer, to read from or write to.
    fn content_mut(&mut self) -> &mut Buffer<P>;

    /// The buffer, with the count that the message had.
    fn into_content(self) -> Buffer<P>;

    /// A message like this one, but with `content`, whose count it takes over. This one keeps its own.
    fn replace(&self, content: Buffer<P>) -> Self;

    /// The count of the content; 0 when it is dead.
    fn count(&self) -> u32 {
        self.content().count()
    }

    /// A message like this one with a copy of the readable bytes: a new buffer, the caller's to release.
    ///
    /// # Errors
    /// As [`Buffer::copy`].
    #[track_caller]
    fn copy(&self) -> Result<Self, BufferError> {
        let content = self.content();
        Ok(self.replace(content.copy(content.reader_index(), content.readable())?))
    }

    /// A message like this one that shares its count, which stays as it is.
    ///
    /// # Errors
    /// As [`Buffer::duplicate`].
    #[track_caller]
    fn duplicate(&self) -> Result<Self, BufferError> {
        Ok(self.replace(self.content().duplicate()?))
    }

    /// As [`BufferHolder::duplicate`], with a count of its own, the caller's to release.
    ///
    /// # Errors
    /// As [`Buffer::retained_duplicate`].
    #[track_caller]
    fn retained_duplicate(&self) -> Result<Self, BufferError> {
        Ok(self.replace(self.content().retained_duplicate()?))
    }

    /// One more owner, and its message.
    ///
    /// # Errors
    /// As [`Buffer::retain`].
    #[track_caller]
    fn retain(&self) -> Result<Self, IllegalCount> {
        Ok(self.replace(self.content().retain()?))
    }

    /// Adds `n` to the count.
    ///
    /// # Errors
    /// As [`Buffer::retain_many`].
    #[track_caller]
    fn retain_many(&self, n: u32) -> Result<(), IllegalCount> {
        self.content().retain_many(n)
    }

    /// Subtracts one from the count; `true`: it was the last, and the memory has been given back.
    ///
    /// # Errors
    /// As [`Buffer::release`].
    #[track_caller]
    fn release(&self) -> Result<bool, IllegalCount> {
        self.content().release()
    }

    /// Subtracts `n` from the count, as [`BufferHolder::release`].
    ///
    /// # Errors
    /// As [`Buffer::release_many`].
    #[track_caller]
    fn release_many(&self, n: u32) -> Result<bool, IllegalCount> {
        self.content().release_many(n)
    }

    /// Tells a checker where the message passes.
    #[track_caller]
    fn touch(&self, place: &'static str) {
        self.content().touch(place);
    }

    /// The content in the form that releases when dropped.
    fn into_owned_content(self) -> Owned<P> {
        Owned::from(self.into_content())
    }
}

/// A message that is a header and a buffer: what most holders are.
pub struct Holder<H, P: Platform = Std> {
    /// Everything but the bytes.
    pub header: H,
    content: Buffer<P>,
}

impl<H, P: Platform> Holder<H, P> {
    /// Takes the count of `content` over.
    pub fn new(header: H, content: Buffer<P>) -> Self {
        Self { header, content }
    }

    /// Both parts; the count goes with the buffer.
    pub fn into_parts(self) -> (H, Buffer<P>) {
        (self.header, self.content)
    }
}

impl<H: Clone, P: Platform> BufferHolder<P> for Holder<H, P> {
    fn content(&self) -> &Buffer<P> {
        &self.content
    }

    fn content_mut(&mut self) -> &mut Buffer<P> {
        &mut self.content
    }

    fn into_content(self) -> Buffer<P> {
        self.content
    }

    fn replace(&self, content: Buffer<P>) -> Self {
        // Owned until it is in the message: cloning a header may panic.
        let content = Owned::from(content);
        let header = self.header.clone();
        Self { header, content: content.into_buffer() }
    }
}

/// A datagram and where it goes.
pub type DatagramPacket<P = Std> = Holder<Route, P>;

/// The addresses of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Who sent it; `None` for one that is to be sent.
    pub sender: Option<SocketAddr>,
    /// To whom it goes.
    pub recipient: SocketAddr,
}

/// A part of a message in a protocol of frames: what WebSocket (RFC 6455, 5.2) and others have in common.
pub type Frame<P = Std> = Holder<FrameHeader, P>;

/// What stands before the bytes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Whether it is the last frame of its message.
    pub is_final: bool,
    /// What kind of frame, in the protocol's numbers.
    pub opcode: u8,
}
