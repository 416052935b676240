//! A schedule as what differs from the default one.
//!
//! **Invariant: every list of [`Shift`]s is a schedule**: an entry that is impossible is skipped. Dropping one leaves the
//! others where they were in their own threads, however the rest moves: that is what makes a schedule shrink.
//!
//! ```text
//!   default (`RunOn`):  the running thread goes on; if it can't, the one with the lowest number
//!   a shift:            when thread 1 takes its own step 12, thread 2 runs
//!
//!   execution ──`Options::record` Rich──> its shifts ──some of them──> `Strategy::Shifted` ──> an execution
//! ```
//!
//! After Jalbert and Sen, *A trace simplification technique for effective debugging of concurrent programs* (FSE 2010), and
//! the fewest preemptions of CHESS (OSDI 2008).

use super::core::{Engine, NEVER};
use super::options::Switch;
use super::thread::NONE;

/// At its own step number `at`, thread `thread` gives way to thread `to`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shift {
    /// Number of the thread.
    pub thread: u32,
    /// Number of the step among the thread's own, from 1.
    pub at: u64,
    /// Number of the thread that runs from there, or [`Switch::TIME`].
    pub to: u32,
}

impl Shift {
    /// At the beginning of a list, no switch: time waits for threads that spin, as under `Strategy::Dpor`.
    pub const PATIENT: Self = Self { thread: 0, at: 0, to: Switch::TIME };
}

/// The entries of `list`, which is sorted, for step `at` of `thread`.
fn due(list: &[Shift], thread: u32, at: u64) -> &[Shift] {
    let from = list.partition_point(|s| (s.thread, s.at) < (thread, at));
    let len = list[from..].partition_point(|s| (s.thread, s.at) == (thread, at));
    &list[from..from + len]
}

impl Engine {
    /// *Shifted*: points that `slot` passes before the next entry that concerns it.
    pub fn until_shift(&self, list: &[Shift], slot: u32) -> u64 {
        let thread = &self.threads[slot as usize];
        let (id, own) = (thread.id.get(), thread.own_steps.get());
        let next = list.get(list.partition_point(|s| (s.thread, s.at) <= (id, own)));
        next.filter(|s| s.thread == id).map_or(NEVER, |s| s.at - own - 1)
    }

    /// *Shifted*: moves time and gives the slot of the thread that runs from this step on, if the list says so and it can.
    pub fn shifted(&self, list: &[Shift]) -> Option<u32> {
        let own = self.threads[self.current.get() as usize].own_steps.get();
        let mut next = None;
        for shift in due(list, self.thread_id.get(), own) {
            if shift.to == Switch::TIME {
                self.time_by_choice();
                continue;
            }
            let slot = self.infos.borrow().get(shift.to as usize).map_or(NONE, |info| info.slot);
            // A thread that only a timer can wake becomes runnable if time has to move now.
            while self.runnable.is_empty() && self.fire_timers() {}
            if slot != NONE && self.runnable.contains(slot) {
                next = Some(slot);
            }
        }
        next
    }

    /// Writes down that the default would have been another: `to` runs from here on.
    pub fn note_shift(&self, to: u32) {
        if self.rich.get() && !self.stopping.get() {
            let at = self.threads[self.current.get() as usize].own_steps.get();
            self.shifts.borrow_mut().push(Shift { thread: self.thread_id.get(), at, to });
        }
    }
}
