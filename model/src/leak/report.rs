//! What is said about a leak.
//!
//! **Invariant: the text has no address, no thread and no time in it**, so that leaks with the same history have the same
//! text, which is what duplicates are recognised by.

use super::TrackId;
use super::records::Record;
use alloc::string::String;
use core::fmt;

/// How an object was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Its last handle was dropped while its count was positive.
    Dropped,
    /// A weak reference to it was enqueued before its tracker was closed: Netty's way.
    Unreachable,
    /// It isn't lost, but somebody waited for its end: see [`LeakGuard`](super::LeakGuard).
    Alive,
}

/// An object that was not released. Displays as the whole report.
#[derive(Clone, Debug)]
pub struct Leak {
    /// Its tracker's number; `None`: it did not belong to the sample.
    pub id: Option<TrackId>,
    /// What it is.
    pub resource: &'static str,
    /// How it was found.
    pub finding: Finding,
    /// Where it was created, if that is remembered.
    pub created: Option<Record>,
    /// Its records as a text that begins with a line end; empty when there are none.
    pub records: String,
    /// The detector has reported the same text before.
    pub duplicate: bool,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.resource;
        match self.finding {
            Finding::Dropped => write!(f, "LEAK: {resource} was not released before its last handle was dropped.")?,
            Finding::Unreachable => {
                write!(f, "LEAK: {resource}.release() was not called before it became unreachable.")?
            }
            Finding::Alive => write!(f, "LEAK: {resource} is still held.")?,
        }
        if self.records.is_empty() {
            f.write_str(" To find out where the leak occurred, set the detector's level to `Advanced`.")
        } else {
            f.write_str(&self.records)
        }
    }
}
