//! State that belongs to one event loop's thread.
//!
//! **Invariant: a [`LoopBound`] value is borrowed only on its loop's thread, and by one borrower at a time.** The proof of the
//! first is a token that exists only there; the second is checked. Borrows are short: no user code runs inside one,
//! so that a listener or handler may call anything.

use crate::Platform;
use crate::platform::{AtomicOps, CellOps, ThreadId};
use alloc::sync::Arc;
use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;

const NOBODY: u32 = u32::MAX;

/// The thread of an event loop, once it has one; it never changes while that thread runs tasks. When the loop has ended, one thread
/// at a time may stand in for it.
pub(crate) struct LoopThread<P: Platform>(Arc<P::Atomic<u32>>);

impl<P: Platform> Clone for LoopThread<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A flag that belongs to the thread of an event loop, and that other threads don't see.
pub(crate) struct LoopFlag<P: Platform> {
    thread: LoopThread<P>,
    value: Cell<bool>,
}

// SAFETY: `value` is touched only with a token of `thread`, which exists on one thread at a time (checked).
unsafe impl<P: Platform> Sync for LoopFlag<P> {}

impl<P: Platform> LoopFlag<P> {
    pub(crate) fn new(thread: LoopThread<P>, value: bool) -> Self {
        Self { thread, value: Cell::new(value) }
    }

    #[inline]
    pub(crate) fn get(&self, on: OnLoop<'_, P>) -> bool {
        self.cell(on).get()
    }

    pub(crate) fn set(&self, on: OnLoop<'_, P>, value: bool) {
        self.cell(on).set(value);
    }

    fn cell(&self, on: OnLoop<'_, P>) -> &Cell<bool> {
        assert!(Arc::ptr_eq(&on.thread.0, &self.thread.0), "a flag of another event loop");
        &self.value
    }
}

/// The proof of being on the thread of an event loop. It can't leave that thread.
pub(crate) struct OnLoop<'a, P: Platform> {
    thread: &'a LoopThread<P>,
    _stays_here: PhantomData<*const ()>,
}

impl<P: Platform> Clone for OnLoop<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Platform> Copy for OnLoop<'_, P> {}

impl<P: Platform> LoopThread<P> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(P::Atomic::new(NOBODY)))
    }

    /// Makes the running thread the loop's, for good.
    pub(crate) fn claim(&self) {
        let ThreadId(id) = P::current_id();
        // Relaxed: other threads only find that it isn't they.
        let claimed = self.0.compare_exchange(NOBODY, id, Ordering::Relaxed, Ordering::Relaxed);
        assert!(claimed.is_ok(), "an event loop has one thread");
    }

    /// Makes the running thread stand in for that of a loop that has ended: who stood there before.
    pub(super) fn stand_in(&self) -> ThreadId {
        let ThreadId(id) = P::current_id();
        // Relaxed: as in `claim`; one thread at a time does this, by a lock (see `surely`).
        ThreadId(self.0.swap(id, Ordering::Relaxed))
    }

    /// The loop has ended: what still runs on its thread isn't on the loop any more.
    pub(super) fn leave(&self) {
        // Relaxed: under the lock of the list of sure tasks, as standing in is (see `surely`).
        self.0.store(NOBODY, Ordering::Relaxed);
    }

    /// Ends that.
    pub(super) fn step_down(&self, before: ThreadId) {
        // Relaxed: as above.
        self.0.store(before.0, Ordering::Relaxed);
    }

    /// The token, on the loop's thread.
    #[inline]
    pub(crate) fn here(&self) -> Option<OnLoop<'_, P>> {
        // Relaxed: a thread sees its own store, and thread numbers are never reused.
        let here = self.0.load(Ordering::Relaxed) == P::current_id().0;
        here.then_some(OnLoop { thread: self, _stays_here: PhantomData })
    }
}

/// A value that belongs to the thread of an event loop.
pub(crate) struct LoopBound<T, P: Platform> {
    thread: LoopThread<P>,
    borrowed: Cell<bool>,
    value: P::Cell<T>,
}

// SAFETY: `borrowed` and `value` are touched only with a token of `thread` (checked in `with`), which exists on that one
// thread only, or through `&mut self`. The value may be made and dropped elsewhere, hence `T: Send`.
unsafe impl<T: Send, P: Platform> Send for LoopBound<T, P> {}
// SAFETY: as above.
unsafe impl<T: Send, P: Platform> Sync for LoopBound<T, P> {}

struct Returned<'a>(&'a Cell<bool>);

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<T, P: Platform> LoopBound<T, P> {
    pub(crate) fn new(thread: LoopThread<P>, value: T) -> Self {
        Self { thread, borrowed: Cell::new(false), value: P::Cell::new(value) }
    }

    /// Borrows the value.
    ///
    /// # Panics
    /// When `on` is the token of another loop, or the value is borrowed already.
    #[inline]
    pub(crate) fn with<R>(&self, on: OnLoop<'_, P>, f: impl FnOnce(&mut T) -> R) -> R {
        assert!(Arc::ptr_eq(&on.thread.0, &self.thread.0), "state of another event loop");
        assert!(!self.borrowed.replace(true), "loop-private state is borrowed already");
        let _returned = Returned(&self.borrowed);
        // SAFETY: the token proves the thread and the flag that there is no other borrow on it.
        self.value.with_mut(|value| f(unsafe { &mut *value }))
    }
}
