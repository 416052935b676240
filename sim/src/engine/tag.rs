//! What an object of the simulated world belongs to.
//!
//! **Invariant: the stamp of a tag changes once, from nobody's to that of an execution**, and only that execution touches the
//! object through a shared reference. An execution is on one OS thread from its beginning to its end, so that whoever
//! passes [`Tag::entered`] has the object to itself.
//!
//! ```text
//!   0 (nobody's) ──made inside an execution, or first used in one──> stamp << 32 | number
//! ```

use super::core::{Engine, Site, running};
use std::sync::atomic::{AtomicU64, Ordering};

/// The tag of one object.
#[derive(Debug)]
pub(crate) struct Tag(AtomicU64);

impl Tag {
    /// The tag of a new object: that of the running execution. One made outside any execution can be dropped and nothing else.
    #[inline]
    pub fn new() -> Self {
        Self(AtomicU64::new(running().map_or(u64::from(u32::MAX), Self::next)))
    }

    /// The tag of an object that belongs to the execution that uses it first.
    pub const fn unclaimed() -> Self {
        Self(AtomicU64::new(0))
    }

    fn next(engine: &Engine) -> u64 {
        u64::from(engine.stamp.get()) << 32 | u64::from(engine.new_object())
    }

    // Relaxed in all places: a stranger only compares the stamp, and an execution reads what it wrote itself.

    /// The object's number.
    #[inline(always)]
    pub fn object(&self) -> u32 {
        self.0.load(Ordering::Relaxed) as u32
    }

    /// The engine, if it is the one that the object belongs to.
    #[inline(always)]
    pub fn engine<'a>(&self) -> Option<&'a Engine> {
        let stamp = (self.0.load(Ordering::Relaxed) >> 32) as u32;
        running().filter(|engine| engine.stamp.get() == stamp)
    }

    /// The engine.
    ///
    /// # Panics
    /// If the object does not belong to the running execution.
    #[inline(always)]
    pub fn entered<'a>(&self, site: Site) -> &'a Engine {
        match self.engine() {
            Some(engine) => engine,
            None => self.claim(site),
        }
    }

    /// The object is nobody's, or somebody else's.
    #[cold]
    #[inline(never)]
    fn claim<'a>(&self, site: Site) -> &'a Engine {
        let Some(engine) = running().filter(|_| self.0.load(Ordering::Relaxed) == 0) else { foreign(site) };
        // Two executions may meet here, on two OS threads: one of them gets the object.
        match self.0.compare_exchange(0, Self::next(engine), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => engine,
            Err(_) => foreign(site),
        }
    }
}

#[cold]
#[inline(never)]
fn foreign(site: Site) -> ! {
    panic!("an object of a simulated execution was used outside of it, at {site}");
}
