//! The steps of a workload.
//!
//! **Invariant: steps are taken one after another**, by the main thread of an execution.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::Span;
use super::closing::{Close, Connect, Move, Register};
use super::exchange::{Exchange, Release};
use super::objects::Objects;
use super::phase::Phase;
use super::requests::Requests;

/// One step of a workload.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Business threads write.
    Phase(Phase),
    /// The peers send requests.
    Requests(Requests),
    /// Stalls end; waits until task queues and outbound buffers are empty.
    Drain(Drain),
    /// Nothing happens for a while.
    Idle(Idle),
    /// Business threads allocate buffers, and others read and release them.
    Exchange(Exchange),
    /// Business threads obtain pooled objects, and others recycle them.
    Objects(Objects),
    /// The buffers that are held are read and released, and the objects recycled.
    Release(Release),
    /// One full garbage collection.
    Collect(Named),
    /// Business threads end and new ones take their places.
    Renew(Renew),
    /// Channels that have no event loop get theirs.
    Register(Register),
    /// Channels that aren't connected get connected.
    Connect(Connect),
    /// Channels move to other event loops.
    Move(Move),
    /// Channels are closed.
    Close(Close),
    /// Loops and executors shut down gracefully.
    Shutdown(Shutdown),
}

impl Step {
    /// The step's name, by which oracles and columns refer to it.
    pub fn name(&self) -> &str {
        match self {
            Self::Phase(s) => &s.name,
            Self::Requests(s) => &s.name,
            Self::Drain(s) => &s.name,
            Self::Idle(s) => &s.name,
            Self::Exchange(s) => &s.name,
            Self::Objects(s) => &s.name,
            Self::Release(s) => &s.name,
            Self::Collect(s) => &s.name,
            Self::Renew(s) => &s.name,
            Self::Register(s) => &s.name,
            Self::Connect(s) => &s.name,
            Self::Move(s) => &s.name,
            Self::Close(s) => &s.name,
            Self::Shutdown(s) => &s.name,
        }
    }
}

/// 100 writes a business thread with two in flight, then drain, close and shut down.
pub(super) fn default_workload() -> Vec<Step> {
    vec![
        Step::Phase(Phase { name: "steady".to_string(), ..Phase::default() }),
        Step::Drain(Drain::default()),
        Step::Close(Close::default()),
        Step::Shutdown(Shutdown::default()),
    ]
}

/// Whether things happen one after another or all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Order {
    /// All together.
    #[default]
    Together,
    /// One after another, in index order.
    InTurn,
}

/// Ends stalls and waits for quiescence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Its name.
    pub name: String,
    /// Whether the loops drain one after another.
    pub order: Order,
}

impl Default for Drain {
    fn default() -> Self {
        Self { name: "drain".to_string(), order: Order::Together }
    }
}

/// Nothing happens.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Idle {
    /// Its name.
    pub name: String,
    /// How long.
    pub lasts: Span,
}

impl Default for Idle {
    fn default() -> Self {
        Self { name: "idle".to_string(), lasts: Span::ms(100) }
    }
}

/// A step without parameters.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Named {
    /// Its name.
    pub name: String,
}

impl Default for Named {
    fn default() -> Self {
        Self { name: "collect".to_string() }
    }
}

/// Business threads end and new ones take their places.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Renew {
    /// Its name.
    pub name: String,
    /// Which ones; all when absent.
    pub threads: Option<Range<u32>>,
}

impl Default for Renew {
    fn default() -> Self {
        Self { name: "renew".to_string(), threads: None }
    }
}

/// Whether a step waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Awaits {
    /// Until what it started has completed.
    Completion,
    /// Not at all: the next step races with it.
    Nothing,
}

/// Loops and executors shut down gracefully.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// Its name.
    pub name: String,
    /// Who shuts down.
    pub of: Ending,
    /// A loop ends when it had nothing to do for so long.
    pub quiet: Span,
    /// It ends after so long in any case.
    pub timeout: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { name: "shutdown".to_string(), of: Ending::Everybody, quiet: Span::ZERO, timeout: Span::s(15) }
    }
}

/// Who shuts down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ending {
    /// The event loops, and then the executors.
    Everybody,
    /// The executors, while the event loops go on.
    Executors,
}
