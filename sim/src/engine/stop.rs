//! Giving up: an execution, or the thread that runs.
//!
//! **Invariant: an unwinding is never started on a thread that is unwinding already**: the second one would abort the
//! process. Such a thread goes on to its next `Platform::catch`, or to its end.
//!
//! ```text
//!   fail ──> verdict, digest frozen, no scheduling any more ──> give_up ──> suspend ──> `run::abandon` resumes with Unwind
//! ```

use super::core::{Engine, Site, UNWIND_OPERATIONS};
use super::coroutine::Resume;
use super::outcome::Verdict;
use super::thread::{Abandon, HandOff, Thread};
use crate::ledger::{At, Finding, Ledger};
use millpond_model::platform::ThreadId;

impl Engine {
    /// Ends the execution: from here on nothing is scheduled, nothing is hashed, and every thread is unwound. The first
    /// verdict counts.
    #[cold]
    pub fn fail(&self, verdict: Verdict) {
        if self.stopping.get() {
            return;
        }
        if !self.is_looking() {
            self.account(); // else that was done before, and what came since is no step
        }
        *self.verdict.borrow_mut() = Some(verdict);
        self.events.freeze();
        self.stopping.set(true);
        self.walking.set(false);
        self.prioritising.set(false);
        self.budget.set(if self.can_raise() { 0 } else { UNWIND_OPERATIONS });
        self.budget_set.set(0);
        self.tasks.set(0);
    }

    /// As [`Engine::fail`], and gives up the running thread, unless it is in the middle of a panic.
    #[cold]
    pub fn fail_here(&self, verdict: Verdict) {
        self.fail(verdict);
        self.give_up();
    }

    /// The running thread of an abandoned execution goes no further, unless it is being unwound already.
    #[cold]
    pub fn give_up(&self) {
        if self.can_raise() {
            self.suspend(self.here(), None);
        }
    }

    /// Ends the execution if the ledger found something.
    #[inline]
    pub fn judge<R>(&self, site: Site, f: impl FnOnce(&mut Ledger, &At) -> Result<R, Finding>) -> Option<R> {
        self.check_stack();
        let at = At { thread: ThreadId(self.thread_id.get()), step: self.step(), time: self.now.get(), site };
        self.observed.set(true);
        let result = f(&mut self.ledger.borrow_mut(), &at);
        match result {
            Ok(value) => Some(value),
            Err(finding) => {
                self.fail_here(Verdict::Finding(finding));
                None
            }
        }
    }

    /// Whether an unwinding may be started on the running thread: a second one on top of the first would abort the process.
    #[inline]
    pub fn can_raise(&self) -> bool {
        let here = self.here();
        if here.unwinding.get() || here.panicking.get() {
            return false;
        }
        // With no panic in flight elsewhere, `std` knows better than our flags: it sees `resume_unwind` too.
        self.in_flight.get() != 0 || !std::thread::panicking()
    }

    /// Gives the OS thread to the thread in slot `to`, or to the scheduler, until this thread is resumed.
    #[inline(always)]
    pub fn suspend(&self, me: &Thread, to: Option<u32>) {
        if me.unwinding.get() || me.panicking.get() {
            self.in_flight.set(self.in_flight.get() + 1);
            self.pass(me, to);
            self.in_flight.set(self.in_flight.get() - 1);
        } else {
            self.pass(me, to);
        }
        if self.how.get() == Resume::Unwind {
            self.unwind_from_here(me);
        }
    }

    /// Does what was decided.
    #[inline(always)]
    pub fn perform(&self, (me, to): HandOff<'_>) {
        self.suspend(me, Some(to));
    }

    #[cold]
    #[inline(never)]
    fn unwind_from_here(&self, me: &Thread) {
        if self.can_raise() {
            me.unwinding.set(true);
            std::panic::resume_unwind(Box::new(Abandon));
        }
    }

    /// A scheduling point of a thread in an abandoned execution.
    #[cold]
    pub fn point_of_abandoned(&self) {
        self.give_up();
        // It is being unwound, and its destructors have used up what they may do.
        let me = self.here();
        me.hopeless.set(true);
        loop {
            self.suspend(me, None);
        }
    }

    /// A thread in an abandoned execution would block: the others are unwound first.
    pub fn wait_abandoned(&self) {
        self.suspend(self.here(), None);
    }
}
