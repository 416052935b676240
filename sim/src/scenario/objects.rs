//! Objects: a recycler of a program's own, without buffers and channels.
//!
//! **Invariant: each object is recycled once each time it was obtained**, unless the step says otherwise.
//!
//! ```text
//!   business-0 ──obtain some, together──> objects ──to──> loop-0: recycle
//!        ^                                           └──> held, until a `Release` step
//!        └───────── all are recycled, or held: the next round
//! ```

use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::When;
use super::exchange::To;

/// Business threads obtain pooled objects in rounds, and others recycle them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// Its name.
    pub name: String,
    /// The business threads that obtain; all of them when absent.
    pub threads: Option<Range<u32>>,
    /// Rounds of each thread. A round ends when its objects are recycled, or held.
    pub rounds: u64,
    /// Objects that a thread obtains in one round, before it gives the first one away.
    pub together: u32,
    /// Who recycles them.
    pub to: To,
    /// A program's own mistake: in which rounds the first object is recycled twice, and how. A pool refuses that, or at least lets
    /// nobody else suffer from it.
    pub misuse: Option<Misuse>,
}

impl Default for Objects {
    fn default() -> Self {
        Self { name: "objects".to_string(), threads: None, rounds: 100, together: 1, to: To::Loops, misuse: None }
    }
}

/// How an object is recycled twice. A scenario with one of these recycles by hand, as in Java; else each object has one owner, who
/// can't.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Misuse {
    /// By two loops at the same time.
    AtOnce(When),
    /// By one loop, and then by the next.
    InTurn(When),
    /// By the thread that obtained it, and then by a loop.
    AfterItsOwner(When),
    /// By a loop, and by another one in the next round, when the object may have another use.
    Stale(When),
}

impl Misuse {
    /// In which rounds, and the name.
    pub fn parts(self) -> (When, &'static str) {
        match self {
            Self::AtOnce(when) => (when, "AtOnce"),
            Self::InTurn(when) => (when, "InTurn"),
            Self::AfterItsOwner(when) => (when, "AfterItsOwner"),
            Self::Stale(when) => (when, "Stale"),
        }
    }
}
