//! `std::sync::Mutex`, simulated.
//!
//! **Invariant: `holder` is a thread, or nobody and then there is no guard.** An opened mutex goes to whoever gets there first: all
//! waiters become runnable, and the strategy decides.
//!
//! Outside of executions it is a flag of the host: whoever would have to wait panics, since set-up code has nobody to wait for.

use super::{LockResult, PoisonError, TryLockError, TryLockResult, enter};
use crate::engine::{Access, Gate, NONE, Op, Site, Tag, Wait};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

/// The lock without its value.
pub(super) struct RawMutex {
    tag: Tag,
    /// Number of the thread that holds it, or `NONE`.
    holder: Cell<u32>,
    waiters: Cell<u32>,
    /// Outside of executions: whether it is held.
    held: AtomicBool,
    /// Written with the lock held; read by whoever asks.
    poisoned: AtomicBool,
}

impl RawMutex {
    const fn new() -> Self {
        Self {
            tag: Tag::unclaimed(),
            holder: Cell::new(NONE),
            waiters: Cell::new(NONE),
            held: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
        }
    }

    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    pub fn access(&self) -> Access {
        Access::rmw(self.tag.object())
    }

    fn lock(&self, site: Site) {
        let Some(gate) = enter(&self.tag, "Mutex", site) else {
            assert!(self.try_outside(), "outside of executions nobody opens a locked Mutex, at {site}");
            return;
        };
        gate.point(self.access(), site);
        self.take(gate, site);
    }

    /// Waits until it is open, with no scheduling point before.
    pub fn take(&self, gate: Gate<'_>, site: Site) {
        while self.holder.get() != NONE {
            let holder = self.holder.get();
            let wait = Wait::Lock { object: self.tag.object(), holder: Gate::id(holder) };
            if holder == gate.thread() {
                gate.self_deadlock(wait, site);
            }
            gate.wait_in(&self.waiters, wait, self.access(), site);
        }
        gate.takes_lock();
        self.taken(gate, site);
    }

    fn taken(&self, gate: Gate<'_>, site: Site) {
        self.holder.set(gate.thread());
        gate.event(Op::Lock, self.tag.object(), 0, site);
        gate.acquires(self.tag.object());
    }

    fn try_lock(&self, site: Site) -> bool {
        let Some(gate) = enter(&self.tag, "Mutex", site) else { return self.try_outside() };
        gate.point(self.access(), site);
        if self.holder.get() != NONE {
            gate.event(Op::TryLockFailed, self.tag.object(), 0, site);
            return false;
        }
        self.taken(gate, site);
        true
    }

    // Acquire: it sees what the holder before did.
    fn try_outside(&self) -> bool {
        !self.held.swap(true, Ordering::Acquire)
    }

    /// Opens it, with no scheduling point: also when the one before unwinds.
    pub fn give(&self, site: Site) {
        // A guard that outlived its execution has nobody to tell.
        let Some(gate) = self.tag.mine() else {
            if self.tag.is_outside() {
                self.held.store(false, Ordering::Release); // the next holder sees what this one did
            }
            return;
        };
        self.holder.set(NONE);
        gate.event(Op::Unlock, self.tag.object(), 0, site);
        gate.releases(self.tag.object());
        gate.wake_all(&self.waiters);
    }

    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }
}

/// Whether the thread is between a panic of the program and its catch.
pub(super) fn panicking() -> bool {
    Gate::open().map_or_else(std::thread::panicking, Gate::panicking)
}

/// See [`std::sync::Mutex`].
///
/// A `static` mutex belongs to the execution that uses it first; a second execution panics. Put such a mutex into a
/// `millpond::sync::LazyLock`.
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: the value may go where it likes, being `Send`, and the rest is numbers.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: the cells of `raw` are touched by the execution only that the mutex belongs to, which is on one OS thread, its atomics by
// anyone. The value is reached through a guard only, of which there is one at a time: `holder`, or outside of executions `held`, is
// taken before and given up after.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    /// See [`std::sync::Mutex::new`].
    pub const fn new(value: T) -> Self {
        Self { raw: RawMutex::new(), value: UnsafeCell::new(value) }
    }

    /// See [`std::sync::Mutex::into_inner`].
    ///
    /// # Errors
    /// If it is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.raw.is_poisoned();
        let value = self.value.into_inner();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// See [`std::sync::Mutex::lock`].
    ///
    /// # Errors
    /// If it is poisoned.
    ///
    /// # Panics
    /// If it belongs to another execution; outside of executions if it is locked.
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let site = Location::caller();
        self.raw.lock(site);
        self.guarded(site)
    }

    /// See [`std::sync::Mutex::try_lock`].
    ///
    /// # Errors
    /// If it is locked, or poisoned.
    #[track_caller]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let site = Location::caller();
        if !self.raw.try_lock(site) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guarded(site)?)
    }

    /// The guard of a thread that has just locked it.
    fn guarded(&self, site: Site) -> LockResult<MutexGuard<'_, T>> {
        let open = Open { mutex: self, site, panicking: panicking() };
        let guard = MutexGuard { open, _not_send: PhantomData };
        if self.raw.is_poisoned() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }

    /// See [`std::sync::Mutex::is_poisoned`].
    pub fn is_poisoned(&self) -> bool {
        self.raw.is_poisoned()
    }

    /// See [`std::sync::Mutex::clear_poison`].
    pub fn clear_poison(&self) {
        self.raw.poisoned.store(false, Ordering::Relaxed);
    }

    /// See [`std::sync::Mutex::get_mut`].
    ///
    /// # Errors
    /// If it is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.raw.is_poisoned();
        let value = self.value.get_mut();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    /// As `std`'s, but nothing is locked for it: to look must not change what is looked at.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex, and where it was locked.
    pub(super) fn parts(&self) -> (&'a RawMutex, Site) {
        (&self.open.mutex.raw, self.open.site)
    }
}

/// Opens the mutex when dropped.
struct Open<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    site: Site,
    /// Whether the thread was panicking when it locked.
    panicking: bool,
}

impl<T: ?Sized> Drop for Open<'_, T> {
    fn drop(&mut self) {
        if !self.panicking && panicking() {
            self.mutex.raw.poisoned.store(true, Ordering::Relaxed);
        }
        self.mutex.raw.give(self.site);
    }
}

/// See [`std::sync::MutexGuard`].
///
/// ```compile_fail
/// fn send<T: Send>(_: T) {}
/// let mutex = millpond::sync::Mutex::new(1);
/// send(mutex.lock().unwrap());
/// ```
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    open: Open<'a, T>,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: through a shared guard there is a shared reference to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists while its thread holds the mutex, and there is one guard at a time.
        unsafe { &*self.open.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.open.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let raw = &self.open.mutex.raw;
        if let Some(gate) = raw.tag.mine() {
            gate.point(raw.access(), self.open.site);
        }
        // then the field `open` is dropped, even if the point unwinds
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
