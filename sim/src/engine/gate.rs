//! What the facade needs of the engine.
//!
//! **Invariant: nothing here decides anything**: each function hands on to the engine.
//!
//! ```text
//!   millpond::sync::Mutex ── Tag::whose ──> Gate ──> point, event, block, wake, edges
//! ```
//!
//! Waiters of an object are a list through the slots of the threads: its head is the object's, its links are the threads'.

use super::access::Access;
use super::core::{Engine, Site, makes_progress, running};
use super::event::Op;
use super::outcome::{Verdict, Wait};
use super::tag::Tag;
use super::thread::NONE;
use super::weak::{HandOver, What};
use millpond_model::platform::{SpawnError, ThreadId};
use std::any::Any;
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// So often a thread may read the clock and see the same time, before it is taken to be waiting for a later one.
const PATIENCE: u32 = 3;

/// The running engine.
#[derive(Clone, Copy)]
pub(crate) struct Gate<'a> {
    pub(super) engine: &'a Engine,
}

/// What an access to a plain cell does, for the memory model.
#[inline(always)]
fn done_by(op: Op) -> What {
    if op == Op::CellWrite { What::Write } else { What::Read }
}

impl<'a> Gate<'a> {
    #[inline(always)]
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }

    /// The running engine, if this is code of an execution.
    #[inline(always)]
    pub fn open() -> Option<Self> {
        running().map(Self::new)
    }

    /// Stamp of the execution.
    #[inline]
    pub fn stamp(self) -> u32 {
        self.engine.stamp.get()
    }

    /// A scheduling point.
    #[inline(always)]
    pub fn point(self, access: Access, site: Site) {
        if !self.passes() {
            self.point_here(access, site);
        }
    }

    /// Whether the budget has room for another scheduling point. If not, there must be a [`Gate::point_here`].
    #[inline(always)]
    pub fn passes(self) -> bool {
        self.engine.passes()
    }

    /// A scheduling point with no budget left.
    #[inline(always)]
    pub fn point_here(self, access: Access, site: Site) {
        self.engine.point_here(access, site);
    }

    /// Writes an event down.
    #[inline(always)]
    pub fn event(self, op: Op, object: u32, extra: u32, site: Site) {
        if makes_progress(op) {
            self.engine.progressed.set(true);
        }
        if !self.engine.quiet.get() {
            self.tell(op, object, extra, site);
        }
    }

    #[inline(never)]
    fn tell(self, op: Op, object: u32, extra: u32, site: Site) {
        self.engine.event(op, object, 0, 0, extra, site);
    }

    /// Writes down an event by which the running thread comes after whoever released `by`: see [`Gate::acquires`].
    #[inline(always)]
    pub fn event_acquires(self, op: Op, object: u32, by: u32, site: Site) {
        self.engine.progressed.set(true);
        if !self.engine.plain.get() {
            self.tell_acquires(op, object, by, site);
        }
    }

    #[inline(never)]
    fn tell_acquires(self, op: Op, object: u32, by: u32, site: Site) {
        self.engine.event(op, object, 0, 0, 0, site);
        self.acquires(by);
    }

    /// As [`Gate::event_acquires`], from the other side.
    #[inline(always)]
    pub fn event_releases(self, op: Op, object: u32, by: u32, site: Site) {
        self.engine.progressed.set(true);
        if !self.engine.plain.get() {
            self.tell_releases(op, object, by, site);
        }
    }

    #[inline(never)]
    fn tell_releases(self, op: Op, object: u32, by: u32, site: Site) {
        self.engine.event(op, object, 0, 0, 0, site);
        self.releases(by);
    }

    /// Whether the execution is over and its threads are unwound.
    #[inline]
    pub fn stopping(self) -> bool {
        self.engine.stopping.get()
    }

    /// Number of the running thread.
    #[inline]
    pub fn thread(self) -> u32 {
        self.engine.thread_id.get()
    }

    /// Whether the running thread is between a panic of the program and its catch. Not while it is unwound because the execution is
    /// over.
    #[inline]
    pub fn panicking(self) -> bool {
        self.engine.panicked.get() && self.engine.here().panicking.get() && !self.engine.stopping.get()
    }

    /// Whether destructors of the running thread run because it unwinds, for whatever reason.
    #[inline]
    pub fn unwinding(self) -> bool {
        !self.engine.can_raise()
    }

    /// The running thread goes on with a panic that it had caught.
    pub fn resumes_panic(self, payload: &(dyn Any + Send), site: Site) {
        self.engine.resumes_panic(payload, site);
    }

    /// Whether the running thread destroys its thread-local variables.
    #[inline]
    pub fn ending(self) -> bool {
        self.engine.here().ending.get()
    }

    /// The running thread waits in the list at `head` until somebody wakes the list; it does `access` then. The caller looks again.
    #[inline(always)]
    pub fn wait_in(self, head: &Cell<u32>, wait: Wait, access: Access, site: Site) {
        if !self.stopping() {
            self.engine.here().next_waiter.set(head.replace(self.engine.current.get()));
        }
        self.engine.block(wait, access, site);
    }

    /// As [`Gate::wait_in`], until `until` at most. The caller, woken by time, leaves the list.
    #[inline(always)]
    pub fn wait_until(self, head: &Cell<u32>, until: Option<Duration>, wait: Wait, access: Access, site: Site) {
        if let (Some(until), false) = (until, self.stopping()) {
            self.engine.set_timer(until);
        }
        self.wait_in(head, wait, access, site);
    }

    /// Takes the running thread off the list, if it is there.
    pub fn leave(self, head: &Cell<u32>) {
        if self.stopping() {
            return;
        }
        let (me, mut link) = (self.engine.current.get(), head);
        while link.get() != NONE {
            let next = &self.engine.threads[link.get() as usize].next_waiter;
            if link.get() == me {
                link.set(next.replace(NONE));
                return;
            }
            link = next;
        }
    }

    /// Virtual time.
    pub fn now(self) -> Duration {
        self.engine.now.get()
    }

    /// Whether a wait at a condition variable ends for no reason. It may in one execution of eight, in one wait of four. A strategy
    /// that enumerates says what is complete without that.
    pub fn wakes_for_no_reason(self) -> bool {
        self.engine.choose_against_reason()
    }

    /// Virtual time, for the program. A thread that has read it several times and sees that it has not moved lets others run first: it
    /// may be waiting for a time.
    pub fn read_clock(self, site: Site) -> Duration {
        let (engine, me) = (self.engine, self.engine.here());
        if engine.is_looking() {
            return engine.now.get(); // an observer waits for nothing
        }
        let (seen, times) = me.clock.get();
        let times = if seen == engine.now.get() { times + 1 } else { 1 };
        if times > PATIENCE {
            engine.clock_watched.set(true);
            engine.yield_now(Op::Clock, site);
        } else {
            engine.point(Access::NONE, site);
            engine.event(Op::Clock, 0, 0, 0, 0, site);
        }
        me.clock.set((engine.now.get(), times));
        engine.now.get()
    }

    /// A fresh object's number.
    #[inline]
    pub fn new_object(self) -> u32 {
        self.engine.new_object()
    }

    /// The lock that the running thread is about to take is one that it would have waited for.
    #[inline(always)]
    pub fn takes_lock(self) {
        self.engine.takes_lock();
    }

    /// The running thread changes `object` with no event.
    #[inline]
    pub fn changes(self, object: u32) {
        self.engine.reduced_change(object);
    }

    /// Makes all threads of the list runnable: the strategy decides who comes first.
    #[inline(always)]
    pub fn wake_all(self, head: &Cell<u32>) {
        if head.get() != NONE {
            self.wake_list(head);
        }
    }

    #[inline(never)]
    fn wake_list(self, head: &Cell<u32>) {
        let mut waiter = head.replace(NONE);
        if self.stopping() {
            return; // waiters look again by themselves
        }
        while waiter != NONE {
            let next = self.engine.threads[waiter as usize].next_waiter.replace(NONE);
            self.engine.wake(waiter);
            waiter = next;
        }
    }

    /// The running thread waits for itself.
    pub fn self_deadlock(self, wait: Wait, site: Site) {
        if !self.stopping() {
            self.engine.self_deadlock(wait, site);
        }
    }

    /// A thread that is unwound can't have what it waits for: its destructors go no further.
    pub fn give_up_for_good(self) -> ! {
        loop {
            self.engine.point_of_abandoned();
        }
    }

    /// The lock that `object` is was opened: everything before happens before who acquires it next. For the memory model.
    #[inline(always)]
    pub fn releases(self, object: u32) {
        self.engine.released(HandOver::Object(object));
    }

    /// As [`Gate::releases`], from the other side.
    #[inline(always)]
    pub fn acquires(self, object: u32) {
        self.engine.acquired(HandOver::Object(object));
    }

    /// An acquire fence, with no scheduling point: what this thread's operations on atomic words have read is ordered before what
    /// comes.
    #[inline(always)]
    pub fn acquire_fence(self) {
        self.engine.modelled_fence(Ordering::Acquire);
    }

    /// The execution is over, and nothing was found.
    pub fn finish_early(self) {
        self.engine.fail_here(Verdict::Finished);
    }

    /// The program has to give back what has this number, made at `site`.
    pub fn owes(self, object: u32, site: Site) {
        self.engine.owed.borrow_mut().insert(object, site);
    }

    /// It has.
    pub fn gives_back(self, object: u32) {
        self.engine.owed.borrow_mut().remove(&object);
    }

    /// An access to a plain cell.
    #[inline(always)]
    pub fn cell(self, op: Op, object: u32, site: Site) {
        self.engine.cell_access(op, object, site);
        self.cell_ends(op, object, site);
    }

    /// A plain cell is made.
    pub fn makes(self, object: u32, site: Site) {
        self.engine.modelled_plain(object, What::Made, site);
    }

    /// A plain cell or an atomic word is somebody's alone.
    pub fn gives_up(self, object: u32, site: Site) {
        self.engine.modelled_freed(object, site);
    }

    /// A plain cell or an atomic word is dropped.
    pub fn drops(self, object: u32, site: Site) {
        if !self.engine.unseen_owners.get() {
            self.gives_up(object, site);
        }
    }

    /// An access to a plain cell ends: what came since it began must be ordered with it, too.
    #[inline(always)]
    pub fn cell_ends(self, op: Op, object: u32, site: Site) {
        self.engine.modelled_plain(object, done_by(op), site);
    }

    /// A guard of a plain cell is dropped: what came since it was used last must be ordered with that.
    pub fn cell_still(self, op: Op, object: u32, site: Site) {
        self.engine.cell_access(op, object, site);
        self.engine.modelled_still(object, done_by(op), site);
    }

    /// Starts a thread.
    ///
    /// # Safety
    /// What `f` borrows is there until it was called and has returned, or was dropped.
    pub unsafe fn spawn(self, name: String, f: impl FnOnce(), site: Site) -> Result<u32, SpawnError> {
        // SAFETY: by the contract.
        unsafe { self.engine.start(name, f, site) }
    }

    /// Waits for the end of a thread.
    pub fn join(self, thread: u32, site: Site) {
        self.engine.join(thread, site);
    }

    /// Whether a thread has ended.
    pub fn is_finished(self, thread: u32, site: Site) -> bool {
        self.engine.point(Access::NONE, site);
        self.engine.reduced_look(thread);
        self.engine.infos.borrow()[thread as usize].slot == NONE
    }

    /// Unparks a thread.
    pub fn unpark(self, thread: u32, site: Site) {
        self.engine.unpark(thread, site);
    }

    /// The name that a thread was given; empty if none.
    pub fn name(self, thread: u32) -> String {
        self.engine.infos.borrow()[thread as usize].name.clone().into_owned()
    }

    /// This execution's instance for the object with this tag.
    pub fn instance<T: 'static>(self, tag: &Tag, make: impl FnOnce() -> T) -> &'a T {
        self.engine.statics.instance(tag.key(), make)
    }

    /// A thread by number.
    pub fn id(thread: u32) -> ThreadId {
        ThreadId(thread)
    }
}
