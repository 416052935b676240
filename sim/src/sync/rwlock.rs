//! `std::sync::RwLock`, simulated.
//!
//! **Invariant: there is a writer, or there are readers, or nobody.** An opened lock goes to whoever gets there first, reader or
//! writer: all that wait become runnable, and the strategy decides. `std` promises no more.
//!
//! ```text
//!   write ── releases `written` ──> read, write          a reader is ordered after writers, not after other readers
//!   read  ── releases `read`    ──> write
//! ```

use super::mutex::panicking;
use super::{LockResult, PoisonError, TryLockError, TryLockResult, enter};
use crate::engine::{Access, Gate, NONE, Op, Site, Tag, Wait};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Outside of executions: a writer is there.
const WRITTEN: usize = usize::MAX;

/// The lock without its value.
struct RawLock {
    written: Tag,
    read: Tag,
    /// Number of the thread that writes, or `NONE`.
    writer: Cell<u32>,
    readers: Cell<u32>,
    waiters: Cell<u32>,
    /// Outside of executions: the number of readers, or `WRITTEN`.
    held: AtomicUsize,
    poisoned: AtomicBool,
}

impl RawLock {
    const fn new() -> Self {
        Self {
            written: Tag::unclaimed(),
            read: Tag::unclaimed(),
            writer: Cell::new(NONE),
            readers: Cell::new(0),
            waiters: Cell::new(NONE),
            held: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
        }
    }

    fn object(&self) -> u32 {
        self.written.object()
    }

    /// The gate; both tags are claimed by whoever claims the first.
    fn enter<'a>(&self, site: Site) -> Option<Gate<'a>> {
        let gate = enter(&self.written, "RwLock", site);
        enter(&self.read, "RwLock", site);
        gate
    }

    fn access(&self, write: bool) -> Access {
        if write { Access::rmw(self.object()) } else { Access::load(self.object()) }
    }

    fn is_open(&self, write: bool) -> bool {
        self.writer.get() == NONE && (!write || self.readers.get() == 0)
    }

    fn taken(&self, gate: Gate<'_>, write: bool, site: Site) {
        gate.acquires(self.object());
        if write {
            self.writer.set(gate.thread());
            gate.event(Op::Lock, self.object(), 0, site);
            gate.acquires(self.read.object());
        } else {
            self.readers.set(self.readers.get() + 1);
            gate.event(Op::ReadLock, self.object(), 0, site);
        }
    }

    fn lock(&self, write: bool, site: Site) {
        let Some(gate) = self.enter(site) else {
            assert!(self.try_outside(write), "outside of executions nobody opens a locked RwLock, at {site}");
            return;
        };
        gate.point(self.access(write), site);
        while !self.is_open(write) {
            let object = self.object();
            let writer = Some(self.writer.get()).filter(|w| *w != NONE).map(Gate::id);
            let wait = match writer {
                Some(writer) if !write => Wait::Read { object, writer },
                _ => Wait::Write { object, writer, readers: self.readers.get() },
            };
            if self.writer.get() == gate.thread() {
                gate.self_deadlock(wait, site);
            }
            gate.wait_in(&self.waiters, wait, self.access(write), site);
        }
        gate.takes_lock();
        self.taken(gate, write, site);
    }

    fn try_lock(&self, write: bool, site: Site) -> bool {
        let Some(gate) = self.enter(site) else { return self.try_outside(write) };
        gate.point(self.access(write), site);
        let is_open = self.is_open(write);
        if is_open {
            self.taken(gate, write, site);
        } else {
            gate.event(Op::TryLockFailed, self.object(), 0, site);
        }
        is_open
    }

    // Acquire, to see what the holders before did.
    fn try_outside(&self, write: bool) -> bool {
        let next = |held| match (held, write) {
            (0, true) => Some(WRITTEN),
            (_, true) | (WRITTEN, false) => None,
            (readers, false) => Some(readers + 1),
        };
        self.held.fetch_update(Ordering::Acquire, Ordering::Relaxed, next).is_ok()
    }

    /// Opens it, with no scheduling point: also when the one before unwinds.
    fn give(&self, write: bool, site: Site) {
        // A guard that outlived its execution has nobody to tell.
        let Some(gate) = self.written.mine() else {
            if self.written.is_outside() {
                // Release: the next holder sees what this one did.
                let less = |held| Some(if write { 0 } else { held - 1 });
                let held = self.held.fetch_update(Ordering::Release, Ordering::Relaxed, less);
                assert!(held.is_ok(), "it is always given up");
            }
            return;
        };
        if write {
            self.writer.set(NONE);
            gate.event(Op::Unlock, self.object(), 0, site);
            gate.releases(self.object());
        } else {
            self.readers.set(self.readers.get() - 1);
            gate.event(Op::ReadUnlock, self.object(), 0, site);
            gate.releases(self.read.object());
        }
        if self.readers.get() == 0 || write {
            gate.wake_all(&self.waiters);
        }
    }

    fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }
}

/// See [`std::sync::RwLock`].
///
/// A `static` lock belongs to the execution that uses it first; a second execution panics. Put such a lock into a
/// `millpond::sync::LazyLock`.
pub struct RwLock<T: ?Sized> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: the value may go where it likes, being `Send`, and the rest is numbers.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: the cells of `raw` are touched by the execution only that the lock belongs to, which is on one OS thread, its atomics by
// anyone. The value is reached through guards only: one that writes, or any number that read.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    /// See [`std::sync::RwLock::new`].
    pub const fn new(value: T) -> Self {
        Self { raw: RawLock::new(), value: UnsafeCell::new(value) }
    }

    /// See [`std::sync::RwLock::into_inner`].
    ///
    /// # Errors
    /// If it is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.raw.is_poisoned();
        let value = self.value.into_inner();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// See [`std::sync::RwLock::read`].
    ///
    /// # Errors
    /// If it is poisoned.
    ///
    /// # Panics
    /// If it belongs to another execution; outside of executions if it is locked.
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let site = Location::caller();
        self.raw.lock(false, site);
        self.poisoned(RwLockReadGuard { give: self.giving(false, site), _not_send: PhantomData })
    }

    /// See [`std::sync::RwLock::try_read`].
    ///
    /// # Errors
    /// If it is being written, or poisoned.
    #[track_caller]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let site = Location::caller();
        if !self.raw.try_lock(false, site) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.poisoned(RwLockReadGuard { give: self.giving(false, site), _not_send: PhantomData })?)
    }

    /// See [`std::sync::RwLock::write`].
    ///
    /// # Errors
    /// If it is poisoned.
    ///
    /// # Panics
    /// If it belongs to another execution; outside of executions if it is locked.
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let site = Location::caller();
        self.raw.lock(true, site);
        self.poisoned(RwLockWriteGuard { give: self.giving(true, site), _not_send: PhantomData })
    }

    /// See [`std::sync::RwLock::try_write`].
    ///
    /// # Errors
    /// If it is being read or written, or poisoned.
    #[track_caller]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let site = Location::caller();
        if !self.raw.try_lock(true, site) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.poisoned(RwLockWriteGuard { give: self.giving(true, site), _not_send: PhantomData })?)
    }

    fn giving(&self, write: bool, site: Site) -> Give<'_, T> {
        Give { lock: self, write, site, panicking: panicking() }
    }

    fn poisoned<G>(&self, guard: G) -> LockResult<G> {
        if self.raw.is_poisoned() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }

    /// See [`std::sync::RwLock::is_poisoned`].
    pub fn is_poisoned(&self) -> bool {
        self.raw.is_poisoned()
    }

    /// See [`std::sync::RwLock::clear_poison`].
    pub fn clear_poison(&self) {
        self.raw.poisoned.store(false, Ordering::Relaxed);
    }

    /// See [`std::sync::RwLock::get_mut`].
    ///
    /// # Errors
    /// If it is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.raw.is_poisoned();
        let value = self.value.get_mut();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    /// As `std`'s, but nothing is locked for it: to look must not change what is looked at.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

/// Opens the lock when dropped.
struct Give<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    write: bool,
    site: Site,
    /// Whether the thread was panicking when it locked.
    panicking: bool,
}

impl<T: ?Sized> Give<'_, T> {
    fn point(&self) {
        if let Some(gate) = self.lock.raw.written.mine() {
            gate.point(self.lock.raw.access(self.write), self.site);
        }
    }
}

impl<T: ?Sized> Drop for Give<'_, T> {
    fn drop(&mut self) {
        if self.write && !self.panicking && panicking() {
            self.lock.raw.poisoned.store(true, Ordering::Relaxed);
        }
        self.lock.raw.give(self.write, self.site);
    }
}

/// See [`std::sync::RwLockReadGuard`].
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    give: Give<'a, T>,
    _not_send: PhantomData<*const ()>,
}

/// See [`std::sync::RwLockWriteGuard`].
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    give: Give<'a, T>,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: through a shared guard there is a shared reference to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// See [`std::sync::RwLockWriteGuard::downgrade`].
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        let (lock, site) = (this.give.lock, this.give.site);
        this.give.point();
        if lock.raw.written.mine().is_none() {
            if lock.raw.written.is_outside() {
                lock.raw.held.store(1, Ordering::Release); // other readers see what this one wrote
            }
        } else if let Some(gate) = lock.raw.written.mine() {
            lock.raw.give(true, site);
            lock.raw.taken(gate, false, site);
        }
        std::mem::forget(this);
        RwLockReadGuard { give: lock.giving(false, site), _not_send: PhantomData }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard exists while its thread reads, and nobody writes then.
        unsafe { &*self.give.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard exists while its thread writes, and nobody else is there.
        unsafe { &*self.give.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.give.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.give.point(); // then the field `give` is dropped, even if the point unwinds
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.give.point(); // then the field `give` is dropped, even if the point unwinds
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
