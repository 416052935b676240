//! Why a handler failed.
//!
//! **Invariant: an error owns no message**: whoever fails has released what it took.

use crate::buffer::BufferError;
use crate::channel::IllegalPromise;
use crate::memory::OutOfMemory;
use crate::promise::{Cause, VoidPromise};
use crate::refcnt::IllegalCount;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::any::Any;
use core::error::Error;

/// Why a handler failed: what a Netty handler throws.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A buffer refused: it is dead, too small, or there is no memory.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// The promise was complete already.
    #[error(transparent)]
    Promise(#[from] IllegalPromise),
    /// A promise that is needed to complete is void.
    #[error(transparent)]
    Void(#[from] VoidPromise),
    /// A decoder made a message and read nothing: it would go on for ever.
    #[error("a message was decoded, but nothing was read")]
    NoProgress,
    /// A message-to-message encoder made nothing.
    #[error("an encoder must produce at least one message")]
    NoOutput,
    /// A decoder released its input, or gave it on without a retain.
    #[error("the decoder released its input, or gave it on without a retain: {0}")]
    InputReleased(IllegalCount),
    /// A frame exceeds the limit. Its bytes are discarded.
    #[error("a frame of {length} bytes: at most {limit} are taken")]
    TooLongFrame {
        /// Bytes of the frame; with what is before it and is stripped.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// The length in a frame can't be.
    #[error("a frame cannot have the length {length}")]
    CorruptedFrame {
        /// As read, or as computed of what was read.
        length: i64,
    },
    /// The transport failed.
    #[error(transparent)]
    Transport(Cause),
    /// A write failed whose promise is void, so that nobody else would hear of it.
    #[error("a write failed, and its promise is void: {0}")]
    Write(Cause),
    /// A handler panicked; the text is its message.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// Anything else.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
}

impl HandlerError {
    /// An error of the program's own.
    pub fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// Of the payload of a caught panic.
    pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        Self::Panicked(text.or_else(|| payload.downcast_ref().cloned()).unwrap_or_else(|| "no text".to_string()))
    }

    /// What the promise of a write is failed with.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Buffer(BufferError::Memory(_)) => Cause::OutOfMemory,
            Self::Buffer(BufferError::Count(_)) | Self::InputReleased(_) => Cause::IllegalCount,
            Self::Void(_) => Cause::VoidPromise,
            Self::Transport(cause) | Self::Write(cause) => *cause,
            _ => Cause::EncoderFailed,
        }
    }
}

impl From<IllegalCount> for HandlerError {
    fn from(refused: IllegalCount) -> Self {
        Self::Buffer(refused.into())
    }
}

impl From<OutOfMemory> for HandlerError {
    fn from(refused: OutOfMemory) -> Self {
        Self::Buffer(refused.into())
    }
}
