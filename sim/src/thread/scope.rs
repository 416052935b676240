//! Threads that may borrow from whoever starts them.
//!
//! **Invariant: a scope is left, however, after everything of its threads is gone**: so what they borrow is there.
//!
//! ```text
//!   scope(|s| ...) ── running += 1 for each thread ── Running dropped last: running -= 1 ── running == 0: the scope is left
//! ```
//!
//! It holds for an execution that is given up, too: the thread that owns the scope waits until those in it have been unwound, and if
//! one never is, it is leaked with it.

use super::spawn::Handle;
use super::{Builder, Result, Thread, gate};
use crate::engine::{Access, Gate, NONE, Site, Tag, Wait};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;

struct Data {
    tag: Tag,
    running: Cell<u32>,
    owner: Cell<u32>,
}

// SAFETY: the cells are touched by threads of the execution only that made the scope: a scope and its threads can't leave it.
unsafe impl Send for Data {}
// SAFETY: as above.
unsafe impl Sync for Data {}

/// A thread of the scope has something left.
struct Running(Arc<Data>);

impl Drop for Running {
    fn drop(&mut self) {
        let data = &*self.0;
        data.running.set(data.running.get() - 1);
        if let Some(gate) = data.tag.mine() {
            gate.releases(data.tag.object());
            if data.running.get() == 0 {
                gate.wake_all(&data.owner);
            }
        }
    }
}

/// Leaves the scope.
struct Leave<'a>(&'a Data, Gate<'a>, Site);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let Self(data, gate, site) = *self;
        let mut unwound = None;
        while data.running.get() != 0 {
            let wait = Wait::Scope { running: data.running.get() };
            // If the execution is given up meanwhile, this thread is unwound only when the others are gone.
            let waited = catch_unwind(AssertUnwindSafe(|| gate.wait_in(&data.owner, wait, Access::NONE, site)));
            unwound = unwound.or(waited.err());
        }
        if let Some(payload) = unwound {
            resume_unwind(payload);
        }
        gate.acquires(data.tag.object());
    }
}

/// See [`std::thread::Scope`].
pub struct Scope<'scope, 'env: 'scope> {
    data: Arc<Data>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// See [`std::thread::scope`].
///
/// # Panics
/// Outside of executions.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let (gate, site) = (gate(), Location::caller());
    let data = Arc::new(Data { tag: Tag::here(), running: Cell::new(0), owner: Cell::new(NONE) });
    let scope = Scope { data, scope: PhantomData, env: PhantomData };
    let leave = Leave(&scope.data, gate, site);
    let result = f(&scope);
    drop(leave);
    result
}

impl<'scope> Scope<'scope, '_> {
    /// See [`std::thread::Scope::spawn`].
    ///
    /// # Panics
    /// If more threads are alive than the execution's options allow.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        Builder::new().spawn_scoped(self, f).unwrap_or_else(|error| panic!("failed to spawn thread: {error}"))
    }
}

impl Builder {
    /// See [`std::thread::Builder::spawn_scoped`].
    ///
    /// # Errors
    /// If more threads are alive than the execution's options allow.
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        assert!(scope.data.tag.mine().is_some(), "a scope was used outside of the execution in which it was entered");
        scope.data.running.set(scope.data.running.get() + 1);
        let done = Running(Arc::clone(&scope.data));
        // SAFETY: `Leave` waits until `done` has been dropped, also if the scope is left by unwinding; what lives for 'scope lives
        // longer than that.
        let handle = unsafe { Handle::start(self.name, f, done, Location::caller()) }?;
        Ok(ScopedJoinHandle { handle, scope: PhantomData })
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.data.tag.mine().map(|_| self.data.running.get());
        f.debug_struct("Scope").field("num_running_threads", &running).finish_non_exhaustive()
    }
}

/// See [`std::thread::ScopedJoinHandle`].
pub struct ScopedJoinHandle<'scope, T> {
    handle: Handle<T>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// See [`std::thread::ScopedJoinHandle::thread`].
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }

    /// See [`std::thread::ScopedJoinHandle::join`].
    ///
    /// # Errors
    /// Never: see the [module](super).
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.handle.join(Location::caller())
    }

    /// See [`std::thread::ScopedJoinHandle::is_finished`].
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished(Location::caller())
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").finish_non_exhaustive()
    }
}
