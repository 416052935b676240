//! The pipeline of every channel: codecs and handlers, from the transport to the application.
//!
//! **Invariant: an entry says what becomes of a message that it is given**; what it does besides, and in which of its callbacks,
//! is a list of `(what, where)` pairs.
//!
//! ```text
//!   pipeline: [
//!       Decoder(LengthField(max_frame: KiB(8))),                       cuts what the peer sends into requests
//!       Handler(name: "guard", does: [Removes("guard", Read(3))]),     forwards; leaves the pipeline at its third message
//!       Handler(name: "offload", owns: Transfers(Business)),           a business thread replies, and releases
//!       Encoder(LengthField(max_frame: KiB(8))),                       puts the length before each reply
//!   ]
//! ```

use serde::{Deserialize, Serialize};

use super::Size;

/// One entry of a pipeline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Entry {
    /// A decoder of what comes in, called `decoder`.
    Decoder(Decoder),
    /// An encoder of what goes out, called `encoder`.
    Encoder(Encoder),
    /// A handler of what comes in.
    Handler(Handler),
}

impl Entry {
    /// Its name, by which others refer to it.
    pub fn name(&self) -> &str {
        match self {
            Self::Decoder(_) => "decoder",
            Self::Encoder(_) => "encoder",
            Self::Handler(handler) => &handler.name,
        }
    }

    /// Whether it is in the pipeline from the beginning.
    pub fn is_there(&self) -> bool {
        !matches!(self, Self::Handler(Handler { there: There::Later, .. }))
    }
}

/// How bytes become messages. Peers send accordingly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Decoder {
    /// Each has this size.
    FixedLength(Size),
    /// Each begins with its length, in four bytes, which are not given on.
    LengthField {
        /// With its length; a longer one is refused.
        max_frame: Size,
    },
}

/// How messages become bytes. Peers read accordingly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Encoder {
    /// Their length in four bytes, and then themselves, not copied: two messages of one.
    LengthField {
        /// With its length; peers take a longer one for corrupted.
        max_frame: Size,
    },
    /// A copy (a message-to-byte encoder).
    Copies,
}

/// A handler of what comes in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handler {
    /// Its name.
    pub name: String,
    /// What becomes of a message that it is given.
    #[serde(default)]
    pub owns: Owns,
    /// On which thread it is called.
    #[serde(default)]
    pub on: On,
    /// Whether it is in the pipeline from the beginning.
    #[serde(default)]
    pub there: There,
    /// What it does besides.
    #[serde(default)]
    pub does: Vec<Does>,
}

/// What a handler does with the messages that it owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Owns {
    /// It gives them to the next handler.
    #[default]
    Forwards,
    /// It releases them, and the user events that reach it.
    Releases,
    /// It gives them on and keeps a reference to each for a while: the ninth oldest is released by a business thread if there
    /// is one, and all of them when the channel becomes inactive or the handler is removed.
    Retains,
    /// Others get them, reply with a copy (`channel.write_and_flush`) and release them.
    Transfers(Threads),
    /// It writes them back (`channel.write_and_flush`).
    Replies,
}

/// Which threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Threads {
    /// The business threads, in turn.
    Business,
}

/// On which thread a handler is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum On {
    /// On the channel's event loop.
    #[default]
    Loop,
    /// On the business executor of this index: one of `topology: (executors: ..)`.
    Executor(u32),
}

/// Whether a handler is in the pipeline from the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum There {
    /// It is.
    #[default]
    FromTheStart,
    /// Only when another one `Adds` it.
    Later,
}

/// What a handler does besides, and in which of its callbacks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Does {
    /// It removes the entry of this name: another one, or itself.
    Removes(String, In),
    /// It adds the entry of this name, if that isn't there, at its place in the order.
    Adds(String, In),
    /// It closes the channel.
    Closes(In),
    /// It fires a user event that carries a buffer.
    Fires(In),
    /// It writes a buffer towards the transport, and flushes.
    Writes(In),
}

impl Does {
    /// In which callback.
    pub fn place(&self) -> In {
        match self {
            Self::Removes(_, place) | Self::Adds(_, place) => *place,
            Self::Closes(place) | Self::Fires(place) | Self::Writes(place) => *place,
        }
    }

    /// The entry that it adds or removes.
    pub fn names(&self) -> Option<&str> {
        match self {
            Self::Removes(name, _) | Self::Adds(name, _) => Some(name),
            Self::Closes(_) | Self::Fires(_) | Self::Writes(_) => None,
        }
    }
}

/// A callback of a handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum In {
    /// When it was added.
    Added,
    /// When it is given its n-th message, from 1, and has not yet dealt with it.
    Read(u64),
    /// When the channel became writable or unwritable.
    WritabilityChanged,
    /// When a user event reaches it.
    UserEvent,
    /// When the channel became inactive.
    Inactive,
    /// When it was removed.
    Removed,
}
