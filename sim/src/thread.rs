//! `std::thread`, simulated.
//!
//! **Invariant: a simulated thread ends inside its execution**, because the execution ends when all threads have.
//!
//! ```text
//!   spawn ──> Packet { result } <── join
//!                 │ shared by the thread, which writes it, and the handle, which takes it
//! ```
//!
//! A panic of a thread that no `millpond::panic::catch_unwind` sees ends the execution: it is what the check reports. So `join` of a
//! thread that panicked is never reached, and the `Err` of [`Result`] is for code that is written for `std`.

use crate::engine::{Gate, Sim};
use millpond_model::Platform;
use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::panic::Location;
use std::sync::{Arc, OnceLock};
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
    fn new(gate: Gate<'_>, number: u32) -> Self {
        Self { number, stamp: gate.stamp(), name: OnceLock::new() }
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

/// What a thread leaves to the one that joins it.
struct Packet<T> {
    result: UnsafeCell<Option<Result<T>>>,
}

// SAFETY: the thread writes the result before its end, and the handle, of which there is one, takes it after.
unsafe impl<T: Send> Sync for Packet<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Packet<T> {}

/// See [`std::thread::JoinHandle`].
pub struct JoinHandle<T> {
    thread: Thread,
    packet: Arc<Packet<T>>,
}

// SAFETY: as `std`'s: a shared handle gives no way to the result.
unsafe impl<T> Send for JoinHandle<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// See [`std::thread::JoinHandle::thread`].
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// See [`std::thread::JoinHandle::join`].
    ///
    /// # Errors
    /// Never: see the [module](self).
    ///
    /// # Panics
    /// In another execution than the thread's.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        let gate = gate();
        assert_eq!(gate.stamp(), self.thread.stamp, "a thread of another execution");
        gate.join(self.thread.number, Location::caller());
        // SAFETY: the thread has ended, or will never come to its end: nobody writes. There is one handle.
        let result = unsafe { (*self.packet.result.get()).take() };
        // A thread that was unwound has left nothing.
        result.unwrap_or_else(|| gate.give_up_for_good())
    }

    /// See [`std::thread::JoinHandle::is_finished`].
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        let gate = gate();
        assert_eq!(gate.stamp(), self.thread.stamp, "a thread of another execution");
        gate.is_finished(self.thread.number, Location::caller())
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}

/// See [`std::thread::Builder`].
#[derive(Debug, Default)]
#[must_use = "must eventually spawn the thread"]
pub struct Builder {
    name: Option<String>,
}

impl Builder {
    /// See [`std::thread::Builder::new`].
    pub fn new() -> Self {
        Self::default()
    }

    /// See [`std::thread::Builder::name`].
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// Accepted, and without effect: the stacks of an execution are all of one size, which its options say. A stack that is used up is
    /// a finding.
    pub fn stack_size(self, _size: usize) -> Self {
        self
    }

    /// See [`std::thread::Builder::spawn`].
    ///
    /// # Errors
    /// If more threads are alive than the execution's options allow.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let gate = gate();
        let packet = Arc::new(Packet { result: UnsafeCell::new(None) });
        let theirs = Arc::clone(&packet);
        let body = move || {
            let result = f();
            // SAFETY: the handle looks at it after the end of this thread only.
            unsafe { *theirs.result.get() = Some(Ok(result)) };
        };
        // SAFETY: it borrows nothing: it is `'static`.
        let started = unsafe { gate.spawn(self.name.unwrap_or_default(), body, Location::caller()) };
        match started {
            Ok(number) => Ok(JoinHandle { thread: Thread::new(gate, number), packet }),
            Err(_) if gate.stopping() => gate.give_up_for_good(),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// See [`std::thread::spawn`].
///
/// # Panics
/// If more threads are alive than the execution's options allow; outside of executions.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(f).unwrap_or_else(|error| panic!("failed to spawn thread: {error}"))
}

/// See [`std::thread::current`].
///
/// # Panics
/// Outside of executions.
#[track_caller]
pub fn current() -> Thread {
    let gate = gate();
    Thread::new(gate, gate.thread())
}

/// See [`std::thread::park`].
#[track_caller]
pub fn park() {
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
