//! What an object of the simulated world belongs to.
//!
//! **Invariant: the stamp of a tag changes once, from nobody's to that of an execution**, and only that execution touches the
//! object through a shared reference. An execution is on one OS thread from its beginning to its end, so that whoever
//! passes [`Tag::entered`] has the object to itself.
//!
//! ```text
//!   0 (nobody's) ──made inside an execution, or first used in one──> stamp << 32 | number
//!       └────────first used outside of all executions (facade)─────> a number of its own, for good
//! ```

use super::core::{Engine, Site, running};
use super::gate::Gate;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Numbers objects that were first used outside of all executions: their tags are told by the stamp 0, which no execution has. They
/// are compared for equality only.
static OUTSIDE: AtomicU32 = AtomicU32::new(0);

fn outside() -> u64 {
    1 + u64::from(OUTSIDE.fetch_add(1, Ordering::Relaxed) % (u32::MAX - 1))
}

/// Whose an object is, seen from the code that uses it.
pub(crate) enum Whose<'a> {
    /// It belongs to the running execution: only now, if it was nobody's.
    Mine(Gate<'a>),
    /// An execution is running, and it is another one's, or that of the world outside.
    Foreign(Gate<'a>),
    /// No execution is running on this OS thread, and none has used it.
    Outside,
    /// No execution is running on this OS thread, and it belongs to one.
    Gone,
}

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
    pub(super) fn engine<'a>(&self) -> Option<&'a Engine> {
        let stamp = (self.0.load(Ordering::Relaxed) >> 32) as u32;
        running().filter(|engine| engine.stamp.get() == stamp)
    }

    /// The engine.
    ///
    /// # Panics
    /// If the object does not belong to the running execution.
    #[inline(always)]
    pub(super) fn entered<'a>(&self, site: Site) -> &'a Engine {
        match self.engine() {
            Some(engine) => engine,
            None => self.claim(site),
        }
    }

    /// The running execution, if the object belongs to it already.
    #[inline(always)]
    pub fn mine<'a>(&self) -> Option<Gate<'a>> {
        self.engine().map(Gate::new)
    }

    /// Whose the object is; it is claimed if it is nobody's. Which of two executions on two OS threads gets it must not matter to
    /// them: the number that it has in each of them is the same.
    #[inline]
    pub fn whose<'a>(&self) -> Whose<'a> {
        match self.mine() {
            Some(gate) => Whose::Mine(gate),
            None => self.find_out(),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_out<'a>(&self) -> Whose<'a> {
        let Some(engine) = running() else {
            return if self.key() >> 32 == 0 { Whose::Outside } else { Whose::Gone };
        };
        let next = u64::from(engine.stamp.get()) << 32 | u64::from(engine.next_object.get());
        match self.0.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                engine.new_object();
                Whose::Mine(Gate::new(engine))
            }
            Err(_) => Whose::Foreign(Gate::new(engine)),
        }
    }

    /// What no other object has; an object that was nobody's is no execution's from here on.
    pub fn key(&self) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            0 => {
                let key = outside();
                self.0
                    .compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed)
                    .map_or_else(|other| other, |_| key)
            }
            key => key,
        }
    }

    /// Whether it is somebody's.
    pub fn is_claimed(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Whether the world outside of executions used the object first.
    pub fn is_outside(&self) -> bool {
        let tag = self.0.load(Ordering::Relaxed);
        tag != 0 && tag >> 32 == 0
    }

    /// The tag of an object made at run time: that of the running execution, or of the world outside.
    #[inline]
    pub fn here() -> Self {
        Self(AtomicU64::new(running().map_or_else(outside, Self::next)))
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
