//! Cells, mutexes, counters and thread-local variables of the simulated world.
//!
//! **Invariant: as for atomics, shared access is possible only inside the execution that made the object**; dropping and
//! access through an exclusive borrow are possible anywhere.
//!
//! An unlocked mutex goes to whoever gets there first: all waiters become runnable, and the strategy decides.

use super::access::Access;
use super::core::{Site, running};
use super::event::Op;
use super::outcome::Wait;
use super::tag::Tag;
use super::thread::NONE;
use super::weak::{HandOver, What};
use millpond_model::platform::{CellOps, CounterOps, LocalGone, LocalKey, Lock, ThreadId};
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A plain cell. Not a scheduling point; its accesses are in rich logs, and checked for races if memory is modelled.
pub struct SimCell<T> {
    value: UnsafeCell<T>,
    tag: Known,
}

impl<T> SimCell<T> {
    /// A cell of the execution that uses it first: for constructors that are `const`.
    pub const fn unclaimed(value: T) -> Self {
        Self { value: UnsafeCell::new(value), tag: Known(Tag::unclaimed()) }
    }

    #[inline(always)]
    fn access(&self, op: Op, what: What, site: Site) {
        let engine = self.tag.0.entered(site);
        engine.cell_access(op, self.tag.0.object(), site);
        engine.modelled_plain(self.tag.0.object(), what, site);
    }
}

impl<T> CellOps<T> for SimCell<T> {
    #[track_caller]
    fn new(value: T) -> Self {
        let tag = Tag::new();
        if let Some(engine) = tag.engine() {
            engine.modelled_plain(tag.object(), What::Made, Location::caller());
        }
        Self { value: UnsafeCell::new(value), tag: Known(tag) }
    }

    #[inline(always)]
    #[track_caller]
    fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.access(Op::CellRead, What::Read, Location::caller());
        f(self.value.get())
    }

    #[inline(always)]
    #[track_caller]
    fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.access(Op::CellWrite, What::Write, Location::caller());
        f(self.value.get())
    }

    fn get_mut(&mut self) -> &mut T {
        self.tag.forget();
        self.value.get_mut()
    }

    fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// The tag of an object that the memory model knows. What it knows is void once somebody has the object to himself: that may
/// have come about by means that are not simulated, such as the counts of the host's `Arc`, so that it is no race, whoever it is.
pub(super) struct Known(pub Tag);

impl Known {
    /// Somebody has the object to himself.
    #[inline]
    pub fn forget(&self) {
        if let Some(engine) = self.0.engine() {
            engine.modelled_forget(self.0.object());
        }
    }
}

impl Drop for Known {
    #[inline]
    fn drop(&mut self) {
        self.forget();
    }
}

/// A mutex.
pub struct SimMutex<T> {
    value: UnsafeCell<T>,
    tag: Tag,
    /// Number of the thread that holds it, or `NONE`.
    holder: Cell<u32>,
    /// First slot of the list of waiters, or `NONE`.
    waiters: Cell<u32>,
}

// SAFETY: the value may go where it likes, being `Send`, and the rest is numbers.
unsafe impl<T: Send> Send for SimMutex<T> {}
// SAFETY: `lock` and `try_lock` check that the running engine is the one that made the mutex, so all shared accesses come
// from one OS thread; the value is reached only through a guard, of which there is one at a time because `holder` is taken
// before and given up after; a guard can't leave the OS thread, being `!Send`.
unsafe impl<T: Send> Sync for SimMutex<T> {}

impl<T> SimMutex<T> {
    fn take(&self, site: Site) -> SimGuard<'_, T> {
        let engine = self.tag.entered(site);
        self.holder.set(engine.thread_id.get());
        engine.acquired(HandOver::Object(self.tag.object()));
        engine.event(Op::Lock, self.tag.object(), 0, 0, 0, site);
        SimGuard { unlock: Unlock { mutex: self, site }, _not_send: PhantomData }
    }
}

impl<T> Lock<T> for SimMutex<T> {
    type Guard<'a>
        = SimGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), tag: Tag::new(), holder: Cell::new(NONE), waiters: Cell::new(NONE) }
    }

    #[track_caller]
    fn lock(&self) -> SimGuard<'_, T> {
        let site = Location::caller();
        let engine = self.tag.entered(site);
        engine.point(Access::rmw(self.tag.object()), site);
        while self.holder.get() != NONE {
            let wait = Wait::Lock { object: self.tag.object(), holder: ThreadId(self.holder.get()) };
            if self.holder.get() == engine.thread_id.get() && !engine.stopping.get() {
                engine.self_deadlock(wait, site);
            }
            if !engine.stopping.get() {
                engine.here().next_waiter.set(self.waiters.replace(engine.current.get()));
            }
            engine.block(wait, Access::rmw(self.tag.object()), site);
        }
        engine.takes_lock();
        self.take(site)
    }

    #[track_caller]
    fn try_lock(&self) -> Option<SimGuard<'_, T>> {
        let site = Location::caller();
        let engine = self.tag.entered(site);
        engine.point(Access::rmw(self.tag.object()), site);
        if self.holder.get() != NONE {
            engine.event(Op::TryLockFailed, self.tag.object(), 0, 0, 0, site);
            return None;
        }
        Some(self.take(site))
    }

    fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// Opens the mutex when dropped, with no scheduling point: also when the point before it unwinds.
struct Unlock<'a, T> {
    mutex: &'a SimMutex<T>,
    site: Site,
}

impl<T> Drop for Unlock<'_, T> {
    fn drop(&mut self) {
        self.mutex.holder.set(NONE);
        let mut waiter = self.mutex.waiters.replace(NONE);
        // A guard that outlived its execution has nobody to tell.
        let Some(engine) = self.mutex.tag.engine() else { return };
        engine.event(Op::Unlock, self.mutex.tag.object(), 0, 0, 0, self.site);
        engine.released(HandOver::Object(self.mutex.tag.object()));
        if engine.stopping.get() {
            return; // waiters look again by themselves
        }
        while waiter != NONE {
            let next = engine.threads[waiter as usize].next_waiter.replace(NONE);
            engine.wake(waiter);
            waiter = next;
        }
    }
}

/// Unlocks when dropped.
pub struct SimGuard<'a, T> {
    unlock: Unlock<'a, T>,
    _not_send: PhantomData<*const ()>,
}

impl<T> Deref for SimGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard exists while its thread holds the mutex, and there is one guard at a time.
        unsafe { &*self.unlock.mutex.value.get() }
    }
}

impl<T> DerefMut for SimGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.unlock.mutex.value.get() }
    }
}

impl<T> Drop for SimGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(engine) = self.unlock.mutex.tag.engine() {
            engine.point(Access::rmw(self.unlock.mutex.tag.object()), self.unlock.site);
        }
        // then the field `unlock` is dropped, even if the point unwinds
    }
}

/// A statistic: no scheduling point, no event. It can be read after the execution, too.
#[derive(Default)]
pub struct SimCounter(AtomicU64);

impl CounterOps for SimCounter {
    #[inline(always)]
    fn add(&self, n: u64) {
        // A load and a store, not one operation: all writers are simulated threads of one OS thread.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }
    #[inline(always)]
    fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }
    #[inline(always)]
    fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
    #[inline(always)]
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A thread-local variable: an index into the simulated thread's table.
pub struct SimLocal<T> {
    index: usize,
    stamp: u64,
    tag: Tag,
    _value: PhantomData<fn() -> T>,
}

impl<T: 'static> LocalKey<T> for SimLocal<T> {
    fn new() -> Self {
        let tag = Tag::new();
        let Some(engine) = running() else { return Self { index: 0, stamp: 0, tag, _value: PhantomData } };
        let stamp = engine.local_stamp.get() + 1;
        engine.local_stamp.set(stamp);
        let index = engine.free_locals.borrow_mut().pop().unwrap_or_else(|| {
            let index = engine.next_local.get();
            engine.next_local.set(index + 1);
            index
        });
        Self { index, stamp, tag, _value: PhantomData }
    }

    #[track_caller]
    fn with<R>(&self, init: impl FnOnce() -> T, f: impl FnOnce(&T) -> R) -> Result<R, LocalGone> {
        let me = self.tag.entered(Location::caller()).here();
        if me.locals_gone.get() {
            return Err(LocalGone);
        }
        let found = me.local::<T>(self.index, self.stamp);
        let value = match found {
            Some(value) => value,
            None => {
                let value = Rc::new(init()); // outside the table: it may use other variables
                me.table().set(self.index, self.stamp, Rc::clone(&value));
                value
            }
        };
        Ok(f(&value))
    }

    #[track_caller]
    fn with_existing<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let me = self.tag.entered(Location::caller()).here();
        let value = me.local::<T>(self.index, self.stamp)?;
        Some(f(&value))
    }

    #[track_caller]
    fn peek(&self) -> Option<NonNull<T>> {
        let me = self.tag.entered(Location::caller()).here();
        let value = me.local::<T>(self.index, self.stamp)?;
        NonNull::new(Rc::as_ptr(&value).cast_mut()) // the table keeps it
    }

    #[track_caller]
    fn remove(&self) -> bool {
        let me = self.tag.entered(Location::caller()).here();
        let value = me.table().take(self.index, self.stamp);
        value.is_some()
    }
}

impl<T> Drop for SimLocal<T> {
    fn drop(&mut self) {
        // Values on other threads are stale now: the stamp tells.
        if let Some(engine) = self.tag.engine() {
            engine.free_locals.borrow_mut().push(self.index);
        }
    }
}
