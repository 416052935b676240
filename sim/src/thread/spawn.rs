//! Threads that may outlive whoever starts them.
//!
//! **Invariant: a thread writes its result before its end, and the handle, of which there is one, takes it after.**
//!
//! ```text
//!   Job { body, packet, done } ──runs──> packet's result <──takes── JoinHandle
//!                        └ dropped last, also if the job never ran: what the body borrows is free from there on
//! ```

use super::packet::Half;
use super::{Result, Thread, gate};
use crate::engine::{Gate, Site};
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::OnceLock;

/// What may be given to a thread, and come back: what is `Send`. With `--cfg loom` everything, because `loom` asks for nothing: simulated
/// threads share one thread of the host.
#[cfg(not(loom))]
pub trait Given: Send {}
#[cfg(not(loom))]
impl<T: Send> Given for T {}

/// As above.
#[cfg(loom)]
pub trait Given {}
#[cfg(loom)]
impl<T> Given for T {}

/// With the thread, once the handle was asked for it: so a handle is small.
type Packet<T> = Half<T, OnceLock<Thread>>;

/// All that a thread does. Its fields are dropped in this order.
struct Job<F, T, D> {
    body: F,
    packet: Packet<T>,
    done: D,
}

impl<F: FnOnce() -> T, T, D> Job<F, T, D> {
    fn run(self) {
        let Self { body, packet, done } = self;
        // Also if the body unwinds they are dropped in this order: locals are in the opposite one.
        let done = done;
        let packet = packet;
        let result = body();
        // SAFETY: the handle looks at it after the end of this thread only.
        unsafe { packet.put(result) };
        drop(packet);
        drop(done);
    }
}

/// The right to join a thread.
pub(super) struct Handle<T> {
    number: u32,
    packet: Packet<T>,
}

// SAFETY: as for `std`'s: a shared handle gives no way to the result, and `T` is `Send`. The half that it has touches nothing that is the
// execution's own when it is dropped elsewhere.
#[cfg(not(loom))]
unsafe impl<T> Send for Handle<T> {}
// SAFETY: the result may leave the host's thread with the handle.
#[cfg(loom)]
unsafe impl<T: Send> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Handle<T> {}

impl<T> Handle<T> {
    /// Starts a thread. `done` is dropped after everything of `body`.
    ///
    /// # Safety
    /// What `body` and `T` borrow is there until `done` has been dropped.
    pub unsafe fn start<F, D>(name: Option<String>, body: F, done: D, site: Site) -> io::Result<Self>
    where
        F: FnOnce() -> T + Given,
        T: Given,
    {
        let gate = gate();
        let (packet, theirs) = Half::pair(gate, OnceLock::new());
        let job = Job { body, packet: theirs, done };
        // SAFETY: by the contract of this function.
        match unsafe { gate.spawn(name.unwrap_or_default(), move || job.run(), site) } {
            Ok(number) => Ok(Self { number, packet }),
            Err(_) if gate.stopping() => gate.give_up_for_good(),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn gate<'a>(&self) -> Gate<'a> {
        let gate = gate();
        assert_eq!(gate.stamp(), self.packet.stamp(), "a thread of another execution");
        gate
    }

    pub fn thread(&self) -> &Thread {
        self.packet.info().get_or_init(|| Thread::new(self.number, self.packet.stamp()))
    }

    pub fn join(self, site: Site) -> Result<T> {
        let gate = self.gate();
        gate.join(self.number, site);
        // SAFETY: the thread has ended, or will never come to its end: nobody writes. There is one handle.
        let result = unsafe { self.packet.take() };
        // A thread that was unwound has left nothing.
        result.unwrap_or_else(|| gate.give_up_for_good())
    }

    pub fn is_finished(&self, site: Site) -> bool {
        self.gate().is_finished(self.number, site)
    }
}

/// See [`std::thread::JoinHandle`].
pub struct JoinHandle<T>(Handle<T>);

impl<T> JoinHandle<T> {
    /// See [`std::thread::JoinHandle::thread`].
    pub fn thread(&self) -> &Thread {
        self.0.thread()
    }

    /// See [`std::thread::JoinHandle::join`].
    ///
    /// # Errors
    /// Never: see the [module](super).
    ///
    /// # Panics
    /// In another execution than the thread's.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.0.join(Location::caller())
    }

    /// See [`std::thread::JoinHandle::is_finished`].
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished(Location::caller())
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
    pub(super) name: Option<String>,
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
        F: FnOnce() -> T + Given + 'static,
        T: Given + 'static,
    {
        // SAFETY: nothing is borrowed.
        unsafe { Handle::start(self.name, f, (), Location::caller()) }.map(JoinHandle)
    }
}

/// See [`std::thread::spawn`].
///
/// # Panics
/// If more threads are alive than the execution's options allow; outside of executions.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Given + 'static,
    T: Given + 'static,
{
    Builder::new().spawn(f).unwrap_or_else(|error| panic!("failed to spawn thread: {error}"))
}
