//! `std::sync::Once`, simulated; and what `OnceLock` and `LazyLock` are made of.
//!
//! **Invariant: one thread runs the initialisation, and whoever sees it done is ordered after it.**
//!
//! ```text
//!   New ──> Running(thread) ──returned──> Done
//!    ^            └────────panicked────> Poisoned, or New again (OnceLock)
//! ```

use super::mutex::panicking;
use crate::engine::{Access, Gate, NONE, Op, Site, Tag, Wait, Whose};
use std::cell::Cell;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

/// How far an initialisation is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    New,
    Running(u32),
    Poisoned,
    Done,
}

/// What an execution knows of an initialisation.
pub(super) struct Progress {
    pub tag: Tag,
    state: Cell<State>,
    waiters: Cell<u32>,
}

/// Ends an initialisation: as it should unless it is dropped by an unwinding.
struct Ending<'a> {
    progress: &'a Progress,
    gate: Gate<'a>,
    site: Site,
    after: State,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let Self { progress, gate, site, after } = *self;
        if panicking() || !gate.stopping() {
            progress.state.set(after);
            gate.event(Op::OnceEnd, progress.tag.object(), u32::from(after != State::Done), site);
            gate.releases(progress.tag.object());
            gate.wake_all(&progress.waiters);
        }
    }
}

impl Progress {
    pub const fn new(tag: Tag) -> Self {
        Self { tag, state: Cell::new(State::New), waiters: Cell::new(NONE) }
    }

    /// Of what was done outside of executions.
    pub fn done(tag: Tag) -> Self {
        Self { state: Cell::new(State::Done), ..Self::new(tag) }
    }

    /// Whether it is done.
    pub fn look(&self, gate: Gate<'_>, site: Site) -> bool {
        let object = self.tag.object();
        gate.point(Access::load(object), site);
        gate.event(Op::OnceLook, object, 0, site);
        let done = self.state.get() == State::Done;
        if done {
            gate.acquires(object);
        }
        done
    }

    /// Runs `f`, unless that is done; waits if another thread does it. After a panic of `f` it is `after`; with
    /// `forced`, an earlier one doesn't matter.
    pub fn call(&self, gate: Gate<'_>, forced: bool, after: State, f: impl FnOnce(&OnceState), site: Site) {
        if self.look(gate, site) {
            return;
        }
        let object = self.tag.object();
        gate.point(Access::rmw(object), site);
        let before = loop {
            match self.state.get() {
                State::Done => return gate.acquires(object),
                State::Poisoned if !forced => panic!("Once instance has previously been poisoned"),
                State::Running(by) => {
                    let wait = Wait::Once { object, by: Some(Gate::id(by)) };
                    if by == gate.thread() {
                        gate.self_deadlock(wait, site);
                    }
                    gate.wait_in(&self.waiters, wait, Access::rmw(object), site);
                }
                state => break state,
            }
        };
        self.state.set(State::Running(gate.thread()));
        gate.acquires(object);
        gate.event(Op::OnceBegin, object, 0, site);
        let mut ending = Ending { progress: self, gate, site, after };
        f(&OnceState(before == State::Poisoned));
        gate.point(Access::rmw(object), site);
        ending.after = State::Done;
    }

    /// Waits until it is done.
    pub fn wait(&self, gate: Gate<'_>, forced: bool, site: Site) {
        let object = self.tag.object();
        gate.point(Access::rmw(object), site);
        loop {
            let by = match self.state.get() {
                State::Done => return gate.acquires(object),
                State::Poisoned if !forced => panic!("Once instance has previously been poisoned"),
                State::Running(by) => Some(Gate::id(by)),
                _ => None,
            };
            gate.wait_in(&self.waiters, Wait::Once { object, by }, Access::rmw(object), site);
        }
    }
}

/// See [`std::sync::Once`].
pub struct Once {
    progress: Progress,
    /// For the world outside.
    host: std::sync::Once,
}

// SAFETY: what it knows is touched by the execution only that it belongs to, which is on one OS thread.
unsafe impl Send for Once {}
// SAFETY: as above.
unsafe impl Sync for Once {}
impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

#[allow(clippy::new_without_default)] // as in `std`
impl Once {
    /// See [`std::sync::Once::new`].
    pub const fn new() -> Self {
        Self { progress: Progress::new(Tag::unclaimed()), host: std::sync::Once::new() }
    }

    fn find<'a>(&'a self, site: Site) -> Option<(&'a Progress, Gate<'a>)> {
        match self.progress.tag.whose() {
            Whose::Mine(gate) => Some((&self.progress, gate)),
            Whose::Foreign(gate) => {
                let done = self.progress.tag.is_outside() && self.host.is_completed();
                let make = || if done { Progress::done(Tag::here()) } else { Progress::new(Tag::here()) };
                Some((gate.instance(&self.progress.tag, make), gate))
            }
            Whose::Outside => None,
            Whose::Gone => panic!("a Once of a simulated execution was used outside of it, at {site}"),
        }
    }

    /// See [`std::sync::Once::call_once`].
    ///
    /// # Panics
    /// If an earlier initialisation panicked.
    #[track_caller]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        let site = Location::caller();
        match self.find(site) {
            Some((progress, gate)) => progress.call(gate, false, State::Poisoned, |_| f(), site),
            None => self.host.call_once(f),
        }
    }

    /// See [`std::sync::Once::call_once_force`].
    #[track_caller]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        let site = Location::caller();
        match self.find(site) {
            Some((progress, gate)) => progress.call(gate, true, State::Poisoned, f, site),
            None => self.host.call_once_force(|state| f(&OnceState(state.is_poisoned()))),
        }
    }

    /// See [`std::sync::Once::is_completed`].
    #[track_caller]
    pub fn is_completed(&self) -> bool {
        let site = Location::caller();
        self.find(site).map_or_else(|| self.host.is_completed(), |(progress, gate)| progress.look(gate, site))
    }

    /// See [`std::sync::Once::wait`].
    ///
    /// # Panics
    /// If the initialisation panicked; outside of executions, if there was none.
    #[track_caller]
    pub fn wait(&self) {
        self.waiting(false, Location::caller());
    }

    /// See [`std::sync::Once::wait_force`].
    ///
    /// # Panics
    /// Outside of executions, if there was no initialisation.
    #[track_caller]
    pub fn wait_force(&self) {
        self.waiting(true, Location::caller());
    }

    fn waiting(&self, forced: bool, site: Site) {
        match self.find(site) {
            Some((progress, gate)) => progress.wait(gate, forced, site),
            None => assert!(self.host.is_completed(), "outside of executions nobody initialises it, at {site}"),
        }
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

/// See [`std::sync::OnceState`].
#[derive(Debug)]
pub struct OnceState(bool);

impl OnceState {
    /// See [`std::sync::OnceState::is_poisoned`].
    pub fn is_poisoned(&self) -> bool {
        self.0
    }
}
