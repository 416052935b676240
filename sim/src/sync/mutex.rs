//! `std::sync::Mutex`, simulated.
//!
//! **Invariant: `holder` is a thread, or nobody and then there is no guard.** An opened mutex goes to whoever gets there first: all
//! waiters become runnable, and the strategy decides.
//!
//! Outside of executions it is a flag of the host: whoever would have to wait panics, since set-up code has nobody to wait for.

use super::{AtEnd, LockResult, PoisonError, TryLockError, TryLockResult, enter};
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
    /// Whether the holder was panicking when it locked. Of the holder alone: a guard is as small as can be, and is moved often.
    panicking: AtomicBool,
}

impl RawMutex {
    const fn new() -> Self {
        Self {
            tag: Tag::unclaimed(),
            holder: Cell::new(NONE),
            waiters: Cell::new(NONE),
            held: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            panicking: AtomicBool::new(false),
        }
    }

    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    #[inline(always)]
    pub fn access(&self) -> Access {
        Access::rmw(self.tag.object())
    }

    // What goes on elsewhere is called last, so that its frame takes the place of this one.
    fn lock(&self, site: Site) {
        let Some(gate) = self.tag.mine() else { return self.lock_first(site) };
        if !gate.passes() {
            return self.lock_from_point(gate, site);
        }
        if self.holder.get() != NONE {
            return self.lock_held(gate, site);
        }
        gate.takes_lock();
        self.taken(gate, site);
    }

    #[cold]
    #[inline(never)]
    fn lock_first(&self, site: Site) {
        match enter(&self.tag, "Mutex", site) {
            Some(_) => self.lock(site),
            None => assert!(self.try_outside(), "outside of executions nobody opens a locked Mutex, at {site}"),
        }
    }

    #[inline(never)]
    fn lock_from_point(&self, gate: Gate<'_>, site: Site) {
        gate.point_here(self.access(), site);
        self.take(gate, site);
    }

    #[inline(never)]
    fn lock_held(&self, gate: Gate<'_>, site: Site) {
        self.take(gate, site);
    }

    /// Waits until it is open, with no scheduling point before.
    #[inline(always)]
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

    #[inline(always)]
    fn taken(&self, gate: Gate<'_>, site: Site) {
        self.holder.set(gate.thread());
        self.locked(gate.panicking());
        gate.event_acquires(Op::Lock, self.tag.object(), self.tag.object(), site);
    }

    /// Notes whether the thread that has just locked it is panicking.
    #[inline(always)]
    pub fn locked(&self, panicking: bool) {
        self.panicking.store(panicking, Ordering::Relaxed); // the holder's own
    }

    /// Whether the holder was panicking when it locked.
    #[inline(always)]
    pub fn was_panicking(&self) -> bool {
        self.panicking.load(Ordering::Relaxed) // the holder's own
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
    #[cold]
    fn try_outside(&self) -> bool {
        let was_open = !self.held.swap(true, Ordering::Acquire);
        if was_open {
            self.locked(std::thread::panicking());
        }
        was_open
    }

    /// Opens it and poisons it if the thread panics.
    pub fn unlock(&self, site: Site) {
        let Some(gate) = self.tag.mine() else { return self.unlock_elsewhere() };
        if !gate.passes() {
            return self.unlock_from_point(gate, site);
        }
        self.poison(gate.panicking());
        self.give(gate, site);
    }

    #[inline(never)]
    fn unlock_from_point(&self, gate: Gate<'_>, site: Site) {
        let opens = AtEnd(|| {
            self.poison(gate.panicking());
            self.give(gate, site);
        });
        gate.point_here(self.access(), site);
        drop(opens);
    }

    #[cold]
    #[inline(never)]
    fn unlock_elsewhere(&self) {
        self.poison(panicking());
        // A guard that outlived its execution has nobody to tell.
        if self.tag.is_outside() {
            self.held.store(false, Ordering::Release); // the next holder sees what this one did
        }
    }

    #[inline(always)]
    fn poison(&self, panicking: bool) {
        if panicking && !self.was_panicking() {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }

    /// Opens it, with no scheduling point.
    #[inline(always)]
    pub fn give(&self, gate: Gate<'_>, site: Site) {
        self.holder.set(NONE);
        gate.event_releases(Op::Unlock, self.tag.object(), self.tag.object(), site);
        gate.wake_all(&self.waiters);
    }

    /// Whether the guard that a thread had before it waited is its own again, or still.
    pub fn is_held(&self) -> bool {
        self.tag.mine().is_none_or(|gate| self.holder.get() == gate.thread())
    }

    #[inline]
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
    #[inline]
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
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let site = Location::caller();
        if !self.raw.try_lock(site) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guarded(site)?)
    }

    /// The guard of a thread that has just locked it.
    #[inline]
    fn guarded(&self, site: Site) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard { mutex: self, site, _not_send: PhantomData };
        if self.raw.is_poisoned() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }

    /// See [`std::sync::Mutex::is_poisoned`].
    #[track_caller]
    pub fn is_poisoned(&self) -> bool {
        if let Some(gate) = self.raw.tag.mine() {
            gate.point(self.raw.access(), Location::caller());
            gate.changes(self.raw.tag.object());
        }
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
        f.debug_struct("Mutex").field("poisoned", &self.raw.is_poisoned()).finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex, and where it was locked.
    pub(super) fn parts(&self) -> (&'a RawMutex, Site) {
        (&self.mutex.raw, self.site)
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
    mutex: &'a Mutex<T>,
    site: Site,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: through a shared guard there is a shared reference to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists while its thread holds the mutex, and there is one guard at a time.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.raw.unlock(self.site);
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
