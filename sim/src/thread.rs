//! `std::thread`, simulated.
//!
//! **Invariant: a simulated thread ends inside its execution**, because the execution ends when all threads have.
//!
//! ```text
//!   spawn    threads that may outlive whoever starts them      scope    threads that may not, and so may borrow
//!   local    variables of which each thread has its own        here     what a thread knows of itself
//! ```
//!
//! A panic of a thread that no `millpond::panic::catch_unwind` sees ends the execution: it is what the check reports. So `join` of a
//! thread that panicked is never reached, and the `Err` of [`Result`] is for code that is written for `std`.

mod local;
mod packet;
mod scope;
mod spawn;

pub use self::local::{AccessError, LocalKey};
pub use self::scope::{Scope, ScopedJoinHandle, scope};
pub use self::spawn::{Builder, JoinHandle, spawn};

use crate::engine::{Gate, Sim};
use millpond_model::Platform;
use std::any::Any;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::panic::Location;
use std::sync::OnceLock;
use std::time::Duration;

/// See [`std::thread::Result`].
pub type Result<T> = std::result::Result<T, Box<dyn Any + Send + 'static>>;

#[track_caller]
fn gate<'a>() -> Gate<'a> {
    let Some(gate) = Gate::open() else { panic!("a simulated thread is needed, and this is outside of executions") };
    gate
}

/// See [`std::thread::ThreadId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ThreadId(u32);

/// See [`std::thread::Thread`].
#[derive(Clone)]
pub struct Thread {
    number: u32,
    stamp: u32,
    /// Looked up when it is first asked for.
    name: OnceLock<Option<Box<str>>>,
}

impl Thread {
    fn new(number: u32, stamp: u32) -> Self {
        Self { number, stamp, name: OnceLock::new() }
    }

    /// See [`std::thread::Thread::id`].
    pub fn id(&self) -> ThreadId {
        ThreadId(self.number)
    }

    /// See [`std::thread::Thread::name`]. Also of the main thread, which is `main`.
    pub fn name(&self) -> Option<&str> {
        let gate = Gate::open().filter(|gate| gate.stamp() == self.stamp);
        let name =
            || gate.map(|gate| gate.name(self.number)).filter(|name| !name.is_empty()).map(String::into_boxed_str);
        self.name.get_or_init(name).as_deref()
    }

    /// See [`std::thread::Thread::unpark`].
    ///
    /// # Panics
    /// If the thread is one of another execution.
    #[track_caller]
    pub fn unpark(&self) {
        let gate = gate();
        assert_eq!(gate.stamp(), self.stamp, "a thread of another execution");
        gate.unpark(self.number, Location::caller());
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

/// See [`std::thread::current`].
///
/// # Panics
/// Outside of executions.
#[track_caller]
pub fn current() -> Thread {
    let gate = gate();
    Thread::new(gate.thread(), gate.stamp())
}

/// See [`std::thread::park`]. As `std` allows, in some executions it returns for no reason.
#[track_caller]
pub fn park() {
    let gate = gate();
    if gate.wakes_for_no_reason() {
        return yield_now();
    }
    Sim::park();
}

/// See [`std::thread::park_timeout`]. The time is virtual.
#[track_caller]
pub fn park_timeout(limit: Duration) {
    Sim::park_timeout(limit);
}

/// See [`std::thread::sleep`]. The time is virtual.
#[track_caller]
pub fn sleep(time: Duration) {
    match Gate::open() {
        Some(_) => Sim::sleep(time),
        None => std::thread::sleep(time),
    }
}

/// See [`std::thread::yield_now`]. Another thread runs first, under every strategy.
#[track_caller]
pub fn yield_now() {
    match Gate::open() {
        Some(_) => Sim::yield_now(),
        None => std::thread::yield_now(),
    }
}

/// See [`std::thread::panicking`]. Also true while the thread is unwound because the execution is over.
pub fn panicking() -> bool {
    Gate::open().map_or_else(std::thread::panicking, Gate::unwinding)
}

/// See [`std::thread::available_parallelism`]. The same on every host: two.
///
/// # Errors
/// Never.
pub fn available_parallelism() -> io::Result<NonZero<usize>> {
    Ok(const { NonZero::new(2).unwrap() })
}
