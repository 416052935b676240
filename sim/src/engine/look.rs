//! Looks: what somebody reads who stands outside of the program, or drives it.
//!
//! **Invariant: a look changes nothing.** Within [`observed`] each word has its newest value, whatever the memory; nothing is a step, an
//! event, an access for a reduction or an edge of happens-before, so that no race is hidden and none is made; and no other thread runs.
//!
//! ```text
//!   main:  Close ── point ──┐ observed: statistics, laws ┌── Shutdown          budget, digest and clocks are those of before
//!   loop-0:      ... may run ┘      nobody runs          └ ...
//! ```
//!
//! The one point is before it: what others do may come before the look or after it. Where the look finds a lock taken, it is
//! interrupted until its holder has left. A *thread of the program* that reads a statistic in order to decide something is no
//! observer: whoever drives the program and waits for it to come to rest has [`newest`], which makes ordinary loads that happen
//! to return the newest store.

use super::access::Access;
use super::core::{Engine, NEVER, running};
use std::panic::Location;

/// What a look has set aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    budget: u64,
    tasks: u64,
    budget_set: u64,
    quiet: bool,
    watched: bool,
    progressed: bool,
}

/// Ends a look when dropped, as a panic does that goes through it.
struct Ends<'a>(&'a Engine);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end_look();
    }
}

/// Runs `f`, which reads and changes nothing, as an observer of the running execution; outside of all it just runs. To clone an `Arc` is
/// a change: it makes an edge.
#[track_caller]
pub fn observed<R>(f: impl FnOnce() -> R) -> R {
    let Some(engine) = running().filter(|engine| !engine.is_looking() && !engine.stopping.get()) else { return f() };
    engine.point(Access::NONE, Location::caller());
    engine.begin_look();
    let _ends = Ends(engine);
    f()
}

/// Makes a thread's loads be like others again when dropped.
struct Forgets<'a>(&'a std::cell::Cell<bool>, bool);

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Runs `f`, whose loads return the newest stores: steps of the running thread like any other, on a memory with fewer choices.
pub fn newest<R>(f: impl FnOnce() -> R) -> R {
    let Some(engine) = running() else { return f() };
    let mine = &engine.here().sees_newest;
    let _forgets = Forgets(mine, mine.replace(true));
    f()
}

impl Engine {
    /// Whether what runs is an observer's look.
    #[inline]
    pub fn is_looking(&self) -> bool {
        self.look.get().is_some()
    }

    fn begin_look(&self) {
        if self.stopping.get() {
            return;
        }
        self.check_stack();
        self.account();
        let look = Look {
            budget: self.budget.replace(NEVER),
            tasks: self.tasks.replace(NEVER),
            budget_set: self.budget_set.replace(NEVER),
            quiet: self.quiet.replace(true),
            watched: self.watched.replace(false),
            progressed: self.progressed.get(),
        };
        assert!(self.look.replace(Some(look)).is_none(), "one look at a time");
    }

    fn end_look(&self) {
        let Some(look) = self.look.take() else { return };
        self.quiet.set(look.quiet);
        self.watched.set(look.watched);
        self.progressed.set(look.progressed); // the locks that it took are open again
        self.taking.set(false); // the lock that was waited for is one of the look's
        // While threads are unwound, the budget is another one.
        if !self.stopping.get() {
            self.budget.set(look.budget);
            self.tasks.set(look.tasks);
            self.budget_set.set(look.budget_set);
        }
    }

    /// The look is interrupted: `f` is a step of the running thread.
    #[cold]
    #[inline(never)]
    pub fn interrupted(&self, f: impl FnOnce()) {
        self.end_look();
        f();
        self.begin_look();
    }
}
