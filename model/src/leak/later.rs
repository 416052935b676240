//! Releases that can wait.
//!
//! **Invariant: what was put off is released once, at the latest when its [`ReleaseLater`] is dropped.**

use crate::buffer::{Buffer, BufferError};
use crate::message::Message;
use crate::refcnt::IllegalCount;
use crate::release::OwnedMessage;
use crate::{Platform, Std};
use alloc::vec::Vec;

/// Releases buffers at the end of a scope, so that a test needs not say when it has done with each
/// (`ReferenceCountUtil.releaseLater`).
///
/// Netty's releases when the calling thread has ended, which a watcher looks for once a second; it is deprecated, and only
/// meant for tests. This one is a value: its owner decides when it ends.
///
/// ```
/// use millpond_model::{Preset, allocator::Allocator, leak::ReleaseLater};
///
/// let allocator = Allocator::new(Preset::Millpond);
/// let mut later = ReleaseLater::new();
/// let mut buffer = later.release_later(allocator.allocate(16)?)?;
/// buffer.put(b"no release below")?;
/// assert_eq!(later.finish(), Ok(1));
/// assert_eq!(buffer.count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ReleaseLater<P: Platform = Std> {
    /// Handles of their own, with the number of releases.
    put_off: Vec<(Buffer<P>, u32)>,
    messages: Vec<OwnedMessage<P>>,
}

impl<P: Platform> Default for ReleaseLater<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> ReleaseLater<P> {
    /// Nothing is put off yet.
    pub const fn new() -> Self {
        Self { put_off: Vec::new(), messages: Vec::new() }
    }

    /// Puts one release of `buffer` off, and gives it back.
    ///
    /// # Errors
    /// [`BufferError::Count`] when it is dead: there is nothing to release.
    #[track_caller]
    pub fn release_later(&mut self, buffer: Buffer<P>) -> Result<Buffer<P>, BufferError> {
        self.release_many_later(buffer, 1)
    }

    /// As [`ReleaseLater::release_later`], for `n` releases at once.
    ///
    /// # Errors
    /// As [`ReleaseLater::release_later`].
    #[track_caller]
    pub fn release_many_later(&mut self, buffer: Buffer<P>, n: u32) -> Result<Buffer<P>, BufferError> {
        let handle = buffer.duplicate()?;
        self.put_off.push((handle, n));
        Ok(buffer)
    }

    /// Takes a message of any kind over, releases it later, and lends it meanwhile: a message can't have a handle that owes no
    /// release, as a buffer can.
    ///
    /// ```
    /// use millpond_model::message::Message;
    /// use millpond_model::{Preset, allocator::Allocator, leak::ReleaseLater};
    ///
    /// let buffer = Allocator::new(Preset::Millpond).allocate(16)?;
    /// let witness = buffer.duplicate()?;
    /// let mut later = ReleaseLater::new();
    /// assert_eq!(later.release_message_later(Message::Buffer(buffer)).estimated_size(), 0);
    /// assert_eq!(witness.count(), 1);
    /// assert_eq!(later.finish(), Ok(1));
    /// assert_eq!(witness.count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release_message_later(&mut self, message: Message<P>) -> &Message<P> {
        self.messages.push(message.into());
        &self.messages[self.messages.len() - 1]
    }

    /// Releases now, in the order in which the releases were put off, buffers before messages: how many of both that were.
    ///
    /// # Errors
    /// The first [`IllegalCount`]: somebody else released already. The others are released all the same.
    #[track_caller]
    pub fn finish(mut self) -> Result<usize, IllegalCount> {
        let mut result = Ok(self.put_off.len() + self.messages.len());
        for (buffer, n) in self.put_off.drain(..) {
            if let Err(refused) = buffer.release_many(n) {
                result = result.and(Err(refused));
            }
        }
        for message in self.messages.drain(..) {
            if let Err(refused) = message.release() {
                result = result.and(Err(refused));
            }
        }
        result
    }
}

impl<P: Platform> Drop for ReleaseLater<P> {
    /// As [`ReleaseLater::finish`]; what is refused has been noted by the buffer, and is let pass, as in Netty.
    fn drop(&mut self) {
        for (buffer, n) in self.put_off.drain(..) {
            let _refused = buffer.release_many(n);
        }
    }
}
