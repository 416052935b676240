//! The mutex.
//!
//! **Invariant: a thread that waits for a mutex is known to wait.** The lock itself is that of `Std`.
//!
//! ```text
//!   lock ── open? ──yes──> the guard
//!            │ no: try a little longer, then say so and wait ── opened ──> try again
//! ```

use super::clock::Site;
use super::run::here;
use millpond_model::platform::{Lock, StdMutex};
use std::hint;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// Tries before a thread waits, as `std`'s own mutex does.
const TRIES: u32 = 100;

/// A `std` mutex, with the number of threads that wait for it.
pub struct WatchedMutex<T> {
    inner: StdMutex<T>,
    waiting: AtomicU32,
}

impl<T: Send> WatchedMutex<T> {
    fn address(&self) -> usize {
        std::ptr::from_ref(&self.waiting).addr()
    }

    fn guard<'a>(&'a self, inner: MutexGuard<'a, T>) -> WatchedGuard<'a, T> {
        WatchedGuard { inner, _opens: Opens { waiting: &self.waiting } }
    }

    #[cold]
    fn lock_slowly(&self, site: Site) -> WatchedGuard<'_, T> {
        for _ in 0..TRIES {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            hint::spin_loop();
        }
        // SeqCst: either the holder, who opens and then looks, sees that somebody waits, or it is open when we look.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut got = None;
        while got.is_none() {
            here(|me| {
                me.run.clock.wait_for_lock(&me.slot, self.address(), site, || {
                    got = self.inner.try_lock();
                    got.is_some()
                });
            });
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed); // Relaxed: at worst somebody looks in vain
        self.guard(got.unwrap_or_else(|| unreachable!("the loop ends with it")))
    }
}

impl<T: Send> Lock<T> for WatchedMutex<T> {
    type Guard<'a>
        = WatchedGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Self { inner: StdMutex::new(value), waiting: AtomicU32::new(0) }
    }

    #[inline]
    #[track_caller]
    fn lock(&self) -> WatchedGuard<'_, T> {
        match self.inner.try_lock() {
            Some(guard) => self.guard(guard),
            None => self.lock_slowly(Location::caller()),
        }
    }

    #[inline]
    fn try_lock(&self) -> Option<WatchedGuard<'_, T>> {
        self.inner.try_lock().map(|guard| self.guard(guard))
    }

    fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

/// Unlocks when dropped: the fields go in this order.
pub struct WatchedGuard<'a, T> {
    inner: MutexGuard<'a, T>,
    _opens: Opens<'a>,
}

impl<T> Deref for WatchedGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for WatchedGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// Tells those who wait that the mutex is open.
struct Opens<'a> {
    waiting: &'a AtomicU32,
}

impl Drop for Opens<'_> {
    #[inline]
    fn drop(&mut self) {
        fence(Ordering::SeqCst); // SeqCst: see `lock_slowly`
        if self.waiting.load(Ordering::Relaxed) > 0 {
            let address = std::ptr::from_ref(self.waiting).addr();
            here(|me| me.run.clock.opened(address));
        }
    }
}
