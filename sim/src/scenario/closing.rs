//! Steps that begin, move and end channels.
//!
//! **Invariant: a channel that no step ends is ended by the shutdown of its loop.**

use serde::{Deserialize, Serialize};

use super::{Awaits, Span};

/// Channels are closed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Close {
    /// Its name.
    pub name: String,
    /// SO_LINGER of the channels: above zero, the socket is closed by the linger executor.
    pub linger: Span,
    /// What is done to each channel.
    pub way: Way,
    /// Where it is called.
    pub from: Closer,
    /// Threads that do so at the same time, each to every channel.
    pub callers: u32,
    /// Whether the step waits until every close has completed before the next begins.
    pub awaits: Awaits,
}

impl Default for Close {
    fn default() -> Self {
        Self {
            name: "close".to_string(),
            linger: Span::ZERO,
            way: Way::Close,
            from: Closer::Business,
            callers: 1,
            awaits: Awaits::Completion,
        }
    }
}

/// What is done to a channel that is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Way {
    /// It is closed.
    Close,
    /// It is closed twice in a row.
    Twice,
    /// Its transport is closed first, without regard for what waits.
    Forcibly,
    /// Its output is shut down first.
    OutputFirst,
    /// Only its output is shut down; a later step, or the end of its loop, closes it.
    OutputOnly,
    /// It is taken off its loop first.
    Deregistered,
}

/// Where a close is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Closer {
    /// On a thread that is no loop's.
    Business,
    /// On the channel's loop, in a task.
    Loop,
    /// In a listener of a write's promise, in the middle of a flush.
    Listener,
    /// In a handler that is asked to flush.
    Handler,
}

/// Channels that have no event loop get theirs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Register {
    /// Its name.
    pub name: String,
    /// Whether the step waits until they have.
    pub awaits: Awaits,
}

impl Default for Register {
    fn default() -> Self {
        Self { name: "register".to_string(), awaits: Awaits::Completion }
    }
}

/// Channels that aren't connected get connected.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connect {
    /// Its name.
    pub name: String,
    /// How long the peers take to answer.
    pub takes: Span,
    /// Whether the step waits for the answers.
    pub awaits: Awaits,
}

impl Default for Connect {
    fn default() -> Self {
        Self { name: "connect".to_string(), takes: Span::ZERO, awaits: Awaits::Completion }
    }
}

/// Each channel is taken off its event loop and registered at the next one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Move {
    /// Its name.
    pub name: String,
    /// Whether the step waits until all have moved.
    pub awaits: Awaits,
}

impl Default for Move {
    fn default() -> Self {
        Self { name: "move".to_string(), awaits: Awaits::Completion }
    }
}

/// What channels are at the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum ChannelsAre {
    /// Connected, and at their event loops.
    #[default]
    Registered,
    /// At their event loops; a `Connect` step connects them.
    Unconnected,
    /// Connected; a `Register` step gives them their event loops.
    Unregistered,
}
