//! The world that the pool runs in, behind one type parameter.
//!
//! **Invariant: every operation through which two threads can affect each other, and every read of a clock, goes through
//! a [`Platform`].** What does not go through it is invisible to a simulator and can't be tested by it.
//!
//! ```text
//!            Recycler<T, P>   EventLoop<P>   Channel<P>            one source
//!                   \             |             /
//!                    \     P: Platform         /
//!          ┌──────────────────────┼──────────────────────┐
//!         Std                    Sim                  yours
//!   std atomics, threads,   every operation is a     a checker,
//!   clock; compiles to the  scheduling point of a    another OS, ...
//!   same machine code       deterministic scheduler
//! ```
//!
//! The trait has five groups of items: *shared memory* (atomics, cells, mutexes, fences, allocation), *threads*
//! (spawning, parking, thread-locals), *time*, *chance*, and *observation* (identities and notes for a checker). [`Std`]
//! gives the last group empty bodies and zero-sized types, so that it compiles to nothing.
//!
//! A platform is a stateless marker: everything is an associated function. A platform with state keeps it in a
//! thread-local, as the simulator does.

mod atomic;
pub mod local;
mod std;

pub use self::atomic::{Arith, AtomicOps, StdWord, Word};
pub use self::local::{LocalGone, LocalKey};
pub use self::std::{Std, StdAtomic, StdCell, StdCounter, StdJoin, StdLocal, StdMutex, StdThread};

use crate::observe::{Defect, Event, Fault, Kind, Reach};
use alloc::boxed::Box;
use alloc::string::String;
use core::alloc::Layout;
use core::any::Any;
use core::fmt::Debug;
use core::ops::DerefMut;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use core::time::Duration;

/// A thread's number: dense, in order of creation, never reused within one run of a platform; the two greatest are nobody's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ThreadId(pub u32);

/// The operating system, or the scenario, refused to start a thread.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("could not start thread `{name}`: {reason}")]
pub struct SpawnError {
    /// Name of the thread that was not started.
    pub name: String,
    /// Why, in the platform's words.
    pub reason: String,
}

/// A thread ended by a panic; the text is its message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("thread panicked: {0}")]
pub struct Panicked(pub String);

/// A memory cell whose accesses are seen by the platform: the place for every plain (non-atomic) field that two
/// threads touch. `Std` is a bare `UnsafeCell`.
///
/// A cell is not `Sync`; the structure that contains it says in its own `unsafe impl Sync` why its accesses are ordered.
pub trait CellOps<T> {
    /// A cell that holds `value`.
    fn new(value: T) -> Self;
    /// Reads through a shared pointer, valid during the call. The caller keeps writers away meanwhile.
    #[track_caller]
    fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R;
    /// Writes through an exclusive pointer, valid during the call. The caller keeps everyone else away meanwhile.
    #[track_caller]
    fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R;
    /// Plain access: the borrow proves that nobody else is there.
    fn get_mut(&mut self) -> &mut T;
    /// Takes the value out.
    fn into_inner(self) -> T;
}

/// A mutual-exclusion lock without poisoning: a panic inside the critical section leaves the value as it is.
pub trait Lock<T> {
    /// Unlocks when dropped.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a,
        T: 'a;
    /// An open lock around `value`.
    fn new(value: T) -> Self;
    /// Waits until the lock is open. Not re-entrant: locking twice on one thread is a deadlock.
    #[track_caller]
    fn lock(&self) -> Self::Guard<'_>;
    /// The lock if it is open now.
    #[track_caller]
    fn try_lock(&self) -> Option<Self::Guard<'_>>;
    /// Plain access: the borrow proves that nobody else is there.
    fn get_mut(&mut self) -> &mut T;
    /// Takes the value out.
    fn into_inner(self) -> T;
}

/// A statistic. It has no ordering, is never read for a decision, and is therefore **not** a scheduling point.
pub trait CounterOps: Default + Send + Sync {
    /// Adds `n`; wraps.
    fn add(&self, n: u64);
    /// Subtracts `n`; wraps.
    fn sub(&self, n: u64);
    /// Replaces the value; for a counter that only one thread writes.
    fn set(&self, n: u64);
    /// The value, exact only when no thread is writing.
    fn get(&self) -> u64;
}

/// A handle to a thread, to wake it.
pub trait ThreadOps: Clone + Send + Sync + 'static {
    /// Its number.
    fn id(&self) -> ThreadId;
    /// Makes the thread's current or next [`Platform::park`] return. Everything before `unpark` happens before the
    /// return of that `park`.
    #[track_caller]
    fn unpark(&self);
}

/// The right to wait for a thread.
pub trait JoinOps: Send {
    /// The thread.
    type Thread: ThreadOps;
    /// The thread waited for.
    fn thread(&self) -> &Self::Thread;
    /// Waits for its end, thread-local destructors included.
    ///
    /// # Errors
    /// [`Panicked`] if the thread ended by a panic.
    #[track_caller]
    fn join(self) -> Result<(), Panicked>;
}

/// The world: shared memory, threads, time, and what a checker wants to know. See the [module](self).
pub trait Platform: Sized + Copy + Default + Debug + Send + Sync + 'static {
    // ---- shared memory

    /// An atomic word.
    type Atomic<V: Word>: AtomicOps<V>;
    /// A plain cell whose accesses are seen.
    type Cell<T>: CellOps<T>;
    /// A lock.
    type Mutex<T: Send>: Lock<T> + Send + Sync;
    /// A statistic.
    type Counter: CounterOps;

    /// An atomic fence.
    #[track_caller]
    fn fence(order: Ordering);
    /// Memory for `layout`, all zero; `None` when it is exhausted. A zero-sized layout gives a dangling pointer.
    #[track_caller]
    fn alloc(layout: Layout) -> Option<NonNull<u8>>;
    /// Gives memory back.
    ///
    /// # Safety
    /// `ptr` came from [`Platform::alloc`] of the same platform with the same `layout`, and is not used again.
    #[track_caller]
    unsafe fn dealloc(ptr: NonNull<u8>, layout: Layout);

    /// Says that the running thread has something to itself which others had, and that it knows so by a count which the platform
    /// does not see: an [`Arc`](alloc::sync::Arc) was dropped for the last time. What they did happens before.
    #[inline(always)]
    fn inherits() {}
    /// Says that the running thread reads bytes of memory from [`Platform::alloc`], or writes them.
    #[inline(always)]
    #[track_caller]
    fn touches(_start: NonNull<u8>, _length: usize, _writes: bool) {}

    // ---- threads

    /// A handle to a thread.
    type Thread: ThreadOps;
    /// The right to join a thread.
    type Join: JoinOps<Thread = Self::Thread>;
    /// A thread-local variable.
    type Local<T: 'static>: LocalKey<T>;

    /// Starts a thread.
    ///
    /// # Errors
    /// [`SpawnError`] when no thread can be had; `f` is dropped.
    #[track_caller]
    fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> Result<Self::Join, SpawnError>;
    /// The running thread.
    #[track_caller]
    fn current() -> Self::Thread;
    /// The running thread's number.
    #[track_caller]
    fn current_id() -> ThreadId;
    /// Whether that is the running thread: what is asked most often.
    #[inline(always)]
    #[track_caller]
    fn is_current(id: ThreadId) -> bool {
        Self::current_id() == id
    }
    /// Waits for [`ThreadOps::unpark`]. May return without one.
    #[track_caller]
    fn park();
    /// As [`Platform::park`], for at most `limit`.
    #[track_caller]
    fn park_timeout(limit: Duration);
    /// Waits for `time`.
    #[track_caller]
    fn sleep(time: Duration);
    /// Lets other threads run.
    #[track_caller]
    fn yield_now();
    /// Says that the thread is waiting in a loop for another one.
    #[track_caller]
    fn spin_hint();
    /// Runs `f` and catches its panic. Unlike `std::panic::catch_unwind` it lets pass what the platform itself unwinds
    /// with, so that a simulated thread can be abandoned.
    ///
    /// # Errors
    /// The payload of the panic.
    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>>;
    /// Whether the running thread is being unwound: a destructor then must not assert.
    fn unwinding() -> bool;

    // ---- time

    /// Time since the platform's start.
    fn now() -> Duration;

    // ---- chance

    /// 64 random bits, for what the pool itself draws: which objects a leak detector watches, which chunks an adaptive allocator
    /// retires. A simulator draws them from a stream of their own, decided by the seed.
    fn random() -> u64;

    // ---- observation: empty on `Std`

    /// Identity of a tracked object. Zero-sized on `Std`.
    type Id: Copy + Debug + Send + Sync + 'static;
    /// One period of ownership of a tracked object: (identity, generation). A ticket of an earlier period is stale.
    /// Zero-sized on `Std`.
    type Ticket: Copy + Debug + Send + Sync + 'static;

    /// A new tracked object of `kind`, owned by nobody yet.
    #[track_caller]
    fn identify(kind: Kind) -> Self::Id;
    /// The object gets an owner: the start of a period of ownership.
    #[track_caller]
    fn obtained(id: Self::Id) -> Self::Ticket;
    /// Something happens to the object, on the authority of the holder of `ticket`.
    #[track_caller]
    fn note(ticket: Self::Ticket, event: Event);
    /// The object's memory is given up. Nothing may be noted about it afterwards.
    #[track_caller]
    fn destroyed(id: Self::Id);
    /// The end of one unit of work (a task, a message): where a thread that isn't preempted inside may be switched.
    #[track_caller]
    fn boundary();
    /// A place that is worth knowing to have been reached.
    #[track_caller]
    fn reach(point: Reach);
    /// Whether the environment fails here and now as `fault` says: the one hook behind which the faults are injected that
    /// happen inside the model. `false` on `Std`.
    #[inline(always)]
    #[track_caller]
    fn strikes(_fault: Fault) -> bool {
        false
    }
    /// Whether `defect` is planted here and now: the one hook behind which a bug is injected. `false` on `Std`.
    #[track_caller]
    fn planted(defect: Defect) -> bool;
}
