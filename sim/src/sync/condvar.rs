//! `std::sync::Condvar`, simulated.
//!
//! **Invariant: each token has a waiter of its own that was there when it was made.** A token is a notification for one thread. Which
//! one gets it is not drawn but decided by who runs first: all waiters become runnable and compete, so that every strategy and
//! every enumeration covers the choice.
//!
//! ```text
//!   wait: number 0   wait: number 1   notify_one: token below 2   wait: number 2
//!            └────────────┴── either may take it ──┘                  └─ may not: it came later
//! ```
//!
//! A waiter takes the lowest token that it may: so another one that may take fewer finds one, too. In some executions a wait ends for
//! no reason, as it may in `std`.

use super::mutex::{MutexGuard, RawMutex};
use super::{LockResult, PoisonError, enter};
use crate::engine::{Access, Gate, NONE, Op, Site, Tag, Wait, Whose};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::Duration;

/// What the execution knows of it.
struct Waiting {
    tag: Tag,
    waiters: Cell<u32>,
    /// How many wait.
    count: Cell<usize>,
    /// Number of the next one.
    next: Cell<u64>,
    /// Whoever has a number below it may take the token; ascending.
    tokens: RefCell<Vec<u64>>,
}

impl Waiting {
    const fn new(tag: Tag) -> Self {
        Self {
            tag,
            waiters: Cell::new(NONE),
            count: Cell::new(0),
            next: Cell::new(0),
            tokens: RefCell::new(Vec::new()),
        }
    }

    fn access(&self) -> Access {
        Access::rmw(self.tag.object())
    }

    fn take_token(&self, number: u64) -> bool {
        let mut tokens = self.tokens.borrow_mut();
        let found = tokens.iter().position(|below| number < *below);
        found.map(|at| tokens.remove(at)).is_some()
    }

    /// Waits; whether it was notified.
    #[inline(always)]
    fn wait(&self, gate: Gate<'_>, mutex: &RawMutex, limit: Option<Duration>, site: Site) -> bool {
        gate.point(self.access(), site);
        let object = self.tag.object();
        let number = self.next.get();
        self.next.set(number + 1);
        self.count.set(self.count.get() + 1);
        gate.event(Op::Wait, object, 0, site);
        gate.point(mutex.access(), site);
        mutex.give(gate, site);
        let until = limit.map(|limit| gate.now().saturating_add(limit));
        let for_no_reason = gate.wakes_for_no_reason();
        if for_no_reason {
            gate.point(self.access(), site);
        }
        let notified = loop {
            if self.take_token(number) {
                break true;
            }
            if for_no_reason || until.is_some_and(|until| until <= gate.now()) {
                break false;
            }
            gate.wait_until(&self.waiters, until, Wait::Notify { object, until }, self.access(), site);
            if until.is_some() {
                gate.leave(&self.waiters); // it may have been woken by time
            }
        };
        self.count.set(self.count.get() - 1);
        gate.event(Op::Woken, object, if notified { 0 } else { 2 - u32::from(!for_no_reason) }, site);
        notified
    }

    #[inline(always)]
    fn notify(&self, gate: Gate<'_>, all: bool, site: Site) {
        gate.point(self.access(), site);
        gate.event(Op::Notify, self.tag.object(), u32::from(all), site);
        if self.count.get() != 0 {
            let mut tokens = self.tokens.borrow_mut();
            let new = self.count.get().saturating_sub(tokens.len());
            let new = if all { new } else { new.min(1) };
            tokens.extend(std::iter::repeat_n(self.next.get(), new));
        }
        gate.wake_all(&self.waiters);
    }
}

/// See [`std::sync::Condvar`].
pub struct Condvar {
    waiting: Waiting,
}

// SAFETY: what it knows is touched by the execution only that it belongs to, which is on one OS thread.
unsafe impl Send for Condvar {}
// SAFETY: as above.
unsafe impl Sync for Condvar {}
impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

impl Condvar {
    /// See [`std::sync::Condvar::new`].
    pub const fn new() -> Self {
        Self { waiting: Waiting::new(Tag::unclaimed()) }
    }

    /// What the running execution knows of it.
    #[inline]
    fn find<'a>(&'a self, site: Site) -> Option<(&'a Waiting, Gate<'a>)> {
        match self.waiting.tag.whose() {
            Whose::Mine(gate) => Some((&self.waiting, gate)),
            Whose::Foreign(gate) => Some((gate.instance(&self.waiting.tag, || Waiting::new(Tag::here())), gate)),
            Whose::Outside => None,
            Whose::Gone => panic!("a Condvar of a simulated execution was used outside of it, at {site}"),
        }
    }

    /// Whether it was notified.
    #[inline]
    fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
        site: Site,
    ) -> (LockResult<MutexGuard<'a, T>>, bool) {
        // It lives on meanwhile without its lock.
        let guard = ManuallyDrop::new(guard);
        let notified = self.wait_unlocked(guard.parts(), limit, site);
        let guard = ManuallyDrop::into_inner(guard);
        let guard = if guard.parts().0.is_poisoned() { Err(PoisonError::new(guard)) } else { Ok(guard) };
        (guard, notified)
    }

    /// As [`Condvar::wait_for`], with the parts of the guard.
    fn wait_unlocked(&self, (mutex, locked_at): (&RawMutex, Site), limit: Option<Duration>, site: Site) -> bool {
        let unlocked = Unlocked { mutex, site: locked_at };
        let Some((waiting, gate)) = self.find(site) else {
            panic!("outside of executions nobody notifies a Condvar, at {site}");
        };
        assert!(enter(mutex.tag(), "Mutex", site).is_some(), "the guard is one of the running execution");
        let was_panicking = mutex.was_panicking();
        let notified = waiting.wait(gate, mutex, limit, site);
        gate.point(mutex.access(), site);
        mutex.take(gate, site);
        mutex.locked(was_panicking);
        std::mem::forget(unlocked);
        notified
    }

    /// See [`std::sync::Condvar::wait`].
    ///
    /// # Errors
    /// If the mutex is poisoned.
    ///
    /// # Panics
    /// Outside of executions.
    #[inline]
    #[track_caller]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_for(guard, None, Location::caller()).0
    }

    /// See [`std::sync::Condvar::wait_while`].
    ///
    /// # Errors
    /// If the mutex is poisoned.
    #[track_caller]
    pub fn wait_while<'a, T, F>(&self, mut guard: MutexGuard<'a, T>, mut condition: F) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// See [`std::sync::Condvar::wait_timeout`]. The time is virtual.
    ///
    /// # Errors
    /// If the mutex is poisoned.
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let site = Location::caller();
        let start = self.find(site).map_or(Duration::ZERO, |(_, gate)| gate.now());
        let (guard, notified) = self.wait_for(guard, Some(limit), site);
        let passed = self.find(site).map_or(Duration::ZERO, |(_, gate)| gate.now() - start);
        let result = WaitTimeoutResult(!notified && passed >= limit);
        match guard {
            Ok(guard) => Ok((guard, result)),
            Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), result))),
        }
    }

    /// See [`std::sync::Condvar::wait_timeout_while`]. The time is virtual.
    ///
    /// # Errors
    /// If the mutex is poisoned.
    #[track_caller]
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let site = Location::caller();
        let now = || self.find(site).map_or(Duration::ZERO, |(_, gate)| gate.now());
        let until = now().saturating_add(limit);
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            let left = until.saturating_sub(now());
            if left.is_zero() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = self.wait_timeout(guard, left)?.0;
        }
    }

    /// See [`std::sync::Condvar::notify_one`].
    #[track_caller]
    pub fn notify_one(&self) {
        let site = Location::caller();
        if let Some((waiting, gate)) = self.find(site) {
            waiting.notify(gate, false, site);
        }
    }

    /// See [`std::sync::Condvar::notify_all`].
    #[track_caller]
    pub fn notify_all(&self) {
        let site = Location::caller();
        if let Some((waiting, gate)) = self.find(site) {
            waiting.notify(gate, true, site);
        }
    }
}

/// A guard whose mutex is open. If its thread is unwound the mutex is not its to open, unless that was before it could open it.
struct Unlocked<'a> {
    mutex: &'a RawMutex,
    /// Where it was locked.
    site: Site,
}

impl Drop for Unlocked<'_> {
    fn drop(&mut self) {
        if self.mutex.is_held() {
            self.mutex.unlock(self.site);
        }
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

/// See [`std::sync::WaitTimeoutResult`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// See [`std::sync::WaitTimeoutResult::timed_out`].
    pub fn timed_out(&self) -> bool {
        self.0
    }
}
