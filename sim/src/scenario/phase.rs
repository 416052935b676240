//! A phase: business threads write to channels.
//!
//! **Invariant: what a thread writes depends on the phase, the seed and its own index only.**

use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::step::{Awaits, Order};
use super::{Size, Span, When};

/// Business threads write to channels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// The business threads that write; all of them when absent.
    pub threads: Option<Range<u32>>,
    /// The loops whose channels are written to; all of them when absent.
    pub loops: Option<Range<u32>>,
    /// To which channel each write goes.
    pub spread: Spread,
    /// Writes of each thread.
    pub writes: u64,
    /// How fast a thread writes.
    pub clients: Clients,
    /// What it writes.
    pub message: Message,
    /// Which method it calls.
    pub call: Call,
    /// On which thread the write is called.
    pub from: From,
    /// Which writes are cancelled by the writer, right after the call.
    pub cancels: Option<When>,
    /// Which writes are called with a promise that is complete already: illegal, and refused.
    pub completed: Option<When>,
    /// Whether threads look at the channel's writability.
    pub heeds: Heeds,
    /// Whether the threads write one after another or all together.
    pub order: Order,
    /// What the loops do meanwhile.
    pub loops_are: Loops,
    /// Whether the step waits until all writes have been called before the next step begins.
    pub awaits: Awaits,
    /// Retained objects are sampled when the phase's threads have written this many messages each.
    pub sample_at: Vec<u64>,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            name: "phase".to_string(),
            threads: None,
            loops: None,
            spread: Spread::OverLoops,
            writes: 100,
            clients: Clients::Closed { in_flight: 2, think: Span::ZERO },
            message: Message::Pojo { encoded: Size::b(512) },
            call: Call::WriteAndFlush,
            from: From::Business,
            cancels: None,
            completed: None,
            heeds: Heeds::Nothing,
            order: Order::Together,
            loops_are: Loops::Running,
            awaits: Awaits::Completion,
            sample_at: Vec::new(),
        }
    }
}

/// To which channel each write of a phase goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Spread {
    /// Write j of thread i goes to loop (i + j) mod the number of the phase's loops, and to that loop's channels in turn.
    OverLoops,
    /// All writes of thread i go to channel i mod the number of channels of the phase's loops.
    OwnChannel,
}

/// How fast a thread writes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Clients {
    /// A closed system: at most so many writes are incomplete, with a pause after each completion.
    Closed {
        /// Writes in flight at most.
        in_flight: u32,
        /// Pause before the next one.
        #[serde(default)]
        think: Span,
    },
    /// An open system: writes arrive at a rate, whatever happens to them.
    Open {
        /// Writes a second and thread.
        per_s: u32,
        /// How they are spread.
        #[serde(default)]
        arrival: Arrival,
    },
    /// As fast as the thread can.
    Flood,
}

/// How the arrivals of an open system are spread.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Arrival {
    /// At equal distances.
    #[default]
    Constant,
    /// With exponential distances.
    Poisson,
    /// So many at once at equal distances; the rate then only says when the phase's writes are used up.
    Burst {
        /// Distance of bursts.
        every: Span,
        /// Writes in one.
        size: u32,
    },
}

/// What is written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Message {
    /// An object that the loop encodes into a buffer.
    Pojo {
        /// Size of the buffer.
        encoded: Size,
    },
    /// A buffer allocated on the writing thread.
    Buffer(Payload),
}

/// The size of a buffer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// Always the same.
    Exactly(Size),
    /// Uniform between two sizes, both included.
    Uniform(Size, Size),
    /// One of several, by weight.
    Mix(Vec<(u32, Size)>),
}

/// Which method a writer calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Call {
    /// `write_and_flush`: wakes the loop.
    WriteAndFlush,
    /// `write`, with a `flush` of the channels written to after every so many, before the thread waits, and at the end.
    Write {
        /// Writes for each flush.
        flush_every: u32,
    },
}

/// On which thread the write is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum From {
    /// On the business thread.
    Business,
    /// On the loop: the business thread only submits an ordinary task that writes.
    Loop,
}

/// Whether writers look at the channel's writability.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Heeds {
    /// No.
    Nothing,
    /// A thread waits until the channel is writable.
    Writability,
}

/// What the loops do during a phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Loops {
    /// They run.
    Running,
    /// Each is inside one long task, until the next `Drain`.
    Stalled,
}
