//! Requests: what peers send.
//!
//! **Invariant: what a peer sends depends on the step, the seed and its channel only**; when it sends depends on the replies.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::phase::Payload;
use super::step::Awaits;
use super::{Size, Span};

/// The peers send requests, and await the replies if the pipeline replies. A peer that is still at an earlier step's requests comes to
/// its end first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requests {
    /// Its name.
    pub name: String,
    /// The channels whose peers send; all of them when absent.
    pub channels: Option<Range<u32>>,
    /// Requests of each peer.
    pub requests: u64,
    /// Requests of a peer that aren't answered yet, at most; where nobody replies: that the channel has not read yet. What isn't
    /// answered within about a second is not awaited any longer.
    pub in_flight: u32,
    /// How large they are, without the length before them.
    pub size: Payload,
    /// Pause before the next one.
    pub think: Span,
    /// What becomes of a peer's end after its last request.
    pub ends: Ends,
    /// Whether the step waits until all of them are answered before the next begins.
    pub awaits: Awaits,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            name: "requests".to_string(),
            channels: None,
            requests: 20,
            in_flight: 1,
            size: Payload::Exactly(Size::b(64)),
            think: Span::ZERO,
            ends: Ends::Open,
            awaits: Awaits::Completion,
        }
    }
}

/// What becomes of a peer's end after its last request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ends {
    /// It stays open.
    Open,
    /// It sends no more, and still reads.
    HalfClosed,
    /// It resets the connection, whatever hasn't been answered.
    Reset,
}
