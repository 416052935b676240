//! What a race is, and how it is told.
//!
//! **Invariant: a race has two accesses, in the order in which they were executed**, of which neither happens before the other.
//!
//! ```text
//!   data race: thread 2 wrote (plain) at src/pool.rs:41:9, and thread 0 read (plain) at src/pool.rs:77:13;
//!   neither happens before the other
//! ```

use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;

/// A place in the program.
pub type Site = &'static Location<'static>;

/// What was done to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The object was made: a plain write of all of it.
    Made,
    /// A plain read.
    Read,
    /// A plain write.
    Write,
    /// An atomic load, or a compare-and-exchange that failed.
    Load,
    /// An atomic store.
    Store,
    /// An atomic read-modify-write.
    Rmw,
    /// The memory was given up.
    Freed,
}

impl What {
    fn text(self) -> &'static str {
        match self {
            Self::Made => "made it",
            Self::Read => "read it",
            Self::Write => "wrote it",
            Self::Load => "loaded it",
            Self::Store => "stored to it",
            Self::Rmw => "updated it",
            Self::Freed => "freed it",
        }
    }
}

/// One access to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Number of the thread.
    pub thread: u32,
    /// What it did.
    pub what: What,
    /// The ordering of an atomic operation; `None`: a plain access.
    pub order: Option<Ordering>,
    /// Where.
    pub site: Site,
}

impl Access {
    /// The access in words; `name` names threads.
    pub fn told(&self, name: &str) -> String {
        let order = self.order.map_or("plain".to_string(), |order| format!("{order:?}"));
        format!("{name} {} ({order}) at {}", self.what.text(), self.site)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(&format!("thread {}", self.thread)))
    }
}

/// The kind of a [`Race`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RaceKind {
    /// Two accesses, one of them a write and one of them not atomic, and neither happens before the other.
    Data,
    /// Memory was given up by a thread that another one's access does not happen before.
    Free,
}

/// Two accesses to the same memory of which neither happens before the other. In Rust that is undefined behaviour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Race {
    /// Whether one of the accesses freed the memory.
    pub kind: RaceKind,
    /// Number of the object.
    pub object: u32,
    /// The access that was executed first.
    pub first: Access,
    /// The access that was executed last.
    pub second: Access,
}

impl Race {
    /// The race in words; `name` names threads.
    pub fn told(&self, name: impl Fn(u32) -> String) -> String {
        let kind = match self.kind {
            RaceKind::Data => "data race on",
            RaceKind::Free => "free not ordered after the last use of",
        };
        let (first, second) = (self.first.told(&name(self.first.thread)), self.second.told(&name(self.second.thread)));
        format!("{kind} object {}: {first}; {second}; neither happens before the other", self.object)
    }
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(|thread| format!("thread {thread}")))
    }
}

/// An access as it is kept for a later report.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub time: super::clock::Time,
    pub what: What,
    pub order: Option<Ordering>,
    pub site: Site,
}

impl Mark {
    /// No access.
    pub fn none() -> Self {
        Self { time: 0, what: What::Made, order: None, site: Location::caller() }
    }
}
