//! The scheduler loop: from the first thread to the last.
//!
//! **Invariant: when `drive` returns, no coroutine is alive**: each ended, was unwound, or was leaked and counted.
//!
//! ```text
//!   drive:    resume current ── it passes on to the one it chose, and that one to another ... ──ended──> choose ──> resume ...
//!   abandon:  resume each with Unwind; what would block comes again when the others are gone; the rest is leaked
//! ```
//!
//! Decisions are made on the stack of the running thread. It comes here when a thread ends.

use super::access::Access;
use super::core::{Engine, Site, UNWIND_OPERATIONS, running};
use super::coroutine::{Ended, Resume, Stackful};
use super::event::Op;
use super::options::Strategy;
use super::outcome::{Verdict, Wait};
use super::thread::{Info, NONE, Thread};
use super::weak::HandOver;
use corosensei::stack::DefaultStack;
use millpond_model::platform::{SpawnError, ThreadId};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

/// Stack that the engine keeps for its own work and for unwinding, in bytes, on top of what the program may use.
const STACK_RESERVE: usize = 32 * 1024;

/// Rounds of unwinding in which no thread ended, after which the rest is given up.
const IDLE_ROUNDS: u32 = 100;

/// So many destructors of a thread's variables may panic, before the rest of them is leaked.
const MOST_FAILURES: u32 = 1000;

/// All that a simulated thread does. What doesn't depend on `f` is elsewhere, and so is compiled once, as this crate is.
#[inline(always)]
fn body(f: impl FnOnce()) -> Ended {
    let Some(engine) = running() else { unreachable!("a thread runs inside an execution") };
    let result = if engine.begins_unwinding() {
        catch_unwind(AssertUnwindSafe(move || drop(f)))
    } else {
        catch_unwind(AssertUnwindSafe(f))
    };
    engine.leave(result)
}

impl Engine {
    /// Runs `main` and all that it starts, to the end.
    pub fn drive(&self, main: impl FnOnce()) {
        let slot = self.take_slot().unwrap_or_else(|error| panic!("no stack for the main thread: {error}"));
        // SAFETY: `main` and what it borrows outlive this call, and the coroutine does not: it ends, is unwound, or is
        // leaked and never resumed before `drive` returns.
        unsafe { self.arm(slot, || body(main)) };
        self.enrol(Cow::Borrowed("main"), None, slot, Location::caller());
        self.current.set(slot);
        self.set_changed();
        while !self.stopping.get() && !self.alive.is_empty() {
            if let Some(how) = self.resume(self.current.get(), Resume::Run) {
                self.ended(self.current.get(), how);
            }
        }
        if self.stopping.get() {
            self.abandon();
        } else {
            self.check_replayed();
            self.check_owed();
        }
    }

    /// Whether the running thread was abandoned before it began.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn begins_unwinding(&self) -> bool {
        let unwinds = self.how.get() == Resume::Unwind;
        if unwinds {
            self.here().unwinding.set(true);
        }
        unwinds
    }

    /// The running thread's program has ended.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn leave(&self, result: std::thread::Result<()>) -> Ended {
        if let Err(payload) = result {
            self.body_unwound(payload);
        }
        let me = self.here();
        me.ending.set(true);
        if !me.table.borrow().is_unused() {
            self.destroy_locals(me);
        }
        me.locals_gone.set(true);
        Ended::Done
    }

    /// Destroys the running thread's thread-local variables.
    #[inline(never)]
    fn destroy_locals(&self, me: &Thread) {
        let site = Location::caller();
        let step = || {
            self.point(Access::NONE, site);
            self.event(Op::LocalDrop, 0, 0, 0, 0, site);
        };
        // Each failure has consumed a value, but a destructor may have made another one.
        let mut failures = 0;
        while let Err(payload) = catch_unwind(AssertUnwindSafe(|| me.table().clear(step))) {
            self.body_unwound(payload);
            failures += 1;
            if failures == MOST_FAILURES {
                std::mem::forget(me.table.take());
                break;
            }
        }
        me.locals_gone.set(true); // before the rest goes
        let rest = me.table.take(); // what destructors have made again and again
        if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(rest))) {
            self.body_unwound(payload);
        }
    }

    /// What had to be given back must have been.
    #[inline(always)]
    fn check_owed(&self) {
        if !self.owed.borrow().is_empty() {
            self.fail_owing();
        }
    }

    #[cold]
    fn fail_owing(&self) {
        let owed = self.owed.borrow();
        if let Some((_, site)) = owed.first_key_value() {
            self.fail(Verdict::Stopped(format!("{} allocations leaked, the first one made at {site}", owed.len())));
        }
    }

    #[cold]
    fn fail_overflown(&self, id: u32) {
        self.fail(Verdict::StackOverflow { thread: ThreadId(id), name: self.name_of(id) });
    }

    /// A thread ended: its slot and stack are free, its joiner goes on, and somebody else runs.
    #[inline(always)]
    fn ended(&self, slot: u32, how: Ended) {
        let id = self.threads[slot as usize].id.get();
        if how == Ended::Overflow {
            self.fail_overflown(id);
        }
        self.modelled_end(id);
        self.event(Op::Exit, id, 0, 0, 0, self.threads[slot as usize].site.get());
        let joiner = self.vacate(slot, how == Ended::Done);
        if self.stopping.get() || self.alive.is_empty() {
            return;
        }
        let in_budget = self.take_step();
        self.remove_current();
        if joiner != NONE {
            self.make_runnable(joiner);
        }
        if let Some(next) = in_budget.then(|| self.pick_other(false)).flatten() {
            self.switch_to(next);
        }
    }

    #[cold]
    fn leak(&self, thread: &Thread) {
        std::mem::forget(thread.coroutine.take());
        std::mem::forget(thread.table.take());
        self.leaked_stacks.set(self.leaked_stacks.get() + 1);
    }

    /// Frees a slot; gives the slot of the thread that joins its thread. A stack that was not unwound is leaked: something
    /// on it may still be pointed to.
    #[inline(always)]
    fn vacate(&self, slot: u32, unwound: bool) -> u32 {
        let thread = &self.threads[slot as usize];
        if !unwound {
            self.leak(thread);
        }
        self.alive.remove(slot);
        self.free_slots.borrow_mut().push(slot);
        let mut infos = self.infos.borrow_mut();
        let info = &mut infos[thread.id.get() as usize];
        info.slot = NONE;
        info.finished = unwound && !self.stopping.get();
        info.joiner
    }

    /// Unwinds all threads that are alive, the current one first.
    fn abandon(&self) {
        let first = self.current.get();
        let mut pending: Vec<u32> = self.alive.minus(&super::set::Set::default()).collect();
        pending.sort_by_key(|slot| (*slot != first, self.threads[*slot as usize].id.get()));
        let mut idle = 0;
        while !pending.is_empty() && idle < IDLE_ROUNDS {
            let before = pending.len();
            pending.retain(|slot| !self.unwind(*slot));
            idle = if pending.len() < before { 0 } else { idle + 1 };
        }
        for slot in pending {
            self.vacate(slot, false);
        }
    }

    /// Whether the thread ended.
    fn unwind(&self, slot: u32) -> bool {
        let thread = &self.threads[slot as usize];
        if thread.hopeless.get() {
            return false;
        }
        self.current.set(slot);
        self.thread_id.set(thread.id.get());
        self.budget.set(UNWIND_OPERATIONS);
        let ended = self.resume(slot, Resume::Unwind);
        if let Some(how) = ended {
            self.vacate(slot, how == Ended::Done);
        }
        ended.is_some()
    }

    /// A replay must have used all its switches.
    fn check_replayed(&self) {
        if let Strategy::Replay(list) = &*self.strategy.borrow()
            && let Some(entry) = list.get(self.replayed.get())
        {
            self.fail(Verdict::Diverged { step: entry.step });
        }
    }

    /// A free slot, with a stack.
    #[inline(always)]
    fn take_slot(&self) -> std::io::Result<u32> {
        let free = self.free_slots.borrow_mut().pop();
        let slot = free.unwrap_or_else(|| self.slots_used.replace(self.slots_used.get() + 1));
        if self.threads[slot as usize].coroutine.borrow().is_none() {
            self.take_stack(slot)?;
        }
        Ok(slot)
    }

    /// A stack for a slot that was taken.
    #[cold]
    #[inline(never)]
    fn take_stack(&self, slot: u32) -> std::io::Result<()> {
        let thread = &self.threads[slot as usize];
        let stack = DefaultStack::new(self.stack_bytes.get() + STACK_RESERVE)
            .inspect_err(|_| self.free_slots.borrow_mut().push(slot))?;
        thread.coroutine.borrow_mut().insert(Stackful::new(stack)).install(thread);
        Ok(())
    }

    /// The thread that begins in `slot` will run `body`.
    ///
    /// # Safety
    /// `slot` is free. What `body` borrows outlives the execution.
    #[inline(always)]
    unsafe fn arm(&self, slot: u32, body: impl FnOnce() -> Ended) {
        let thread = &self.threads[slot as usize];
        let mut coroutine = thread.coroutine.borrow_mut();
        let coroutine = coroutine.as_mut().unwrap_or_else(|| unreachable!("a slot that was taken has a stack"));
        // SAFETY: by the caller's promise; a slot is free when its thread has ended or was unwound.
        unsafe { coroutine.arm(thread, body) };
    }

    /// Gives the thread in `slot` a number, and makes it runnable.
    #[inline(always)]
    fn enrol(&self, name: Cow<'static, str>, parent: Option<u32>, slot: u32, site: Site) -> u32 {
        let mut infos = self.infos.borrow_mut();
        let id = infos.len() as u32;
        infos.push(Info { name, parent, slot, finished: false, joiner: NONE });
        let thread = &self.threads[slot as usize];
        thread.begin(id, site);
        self.classes.starts(id, parent);
        self.starts(slot, parent);
        if self.profiling.get() {
            self.profiler.borrow_mut().starts(id, parent);
        }
        assert!(self.alive.insert(slot), "the slot is taken");
        self.enters(slot);
        id
    }

    /// Starts a thread, and gives its number.
    pub fn spawn(&self, name: String, f: impl FnOnce() + 'static, site: Site) -> Result<u32, SpawnError> {
        // SAFETY: `f` borrows nothing.
        unsafe { self.start(name, f, site) }
    }

    /// As [`Engine::spawn`].
    ///
    /// # Safety
    /// What `f` borrows is there until it was called and has returned, or was dropped.
    pub unsafe fn start(&self, name: String, f: impl FnOnce(), site: Site) -> Result<u32, SpawnError> {
        let (slot, name) = self.slot_for(name, site)?;
        // SAFETY: by the contract of this function; a coroutine that is leaked is never resumed.
        unsafe { self.arm(slot, move || body(f)) };
        Ok(self.started(slot, name, site))
    }

    /// A slot for another thread, which comes back with its name.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn slot_for(&self, name: String, site: Site) -> Result<(u32, String), SpawnError> {
        self.point(Access::NONE, site);
        self.check_stack();
        if self.stopping.get() {
            return Err(SpawnError { name, reason: "the execution is being abandoned".to_string() });
        }
        if self.alive.len() >= self.max_threads.get() || self.reduced_full() {
            self.event(Op::SpawnFailed, 0, 0, 0, 0, site);
            let reason = format!("{} threads are alive already", self.alive.len());
            if self.alive.len() < self.asked_threads.get() {
                // Not a limit that the program was told.
                self.fail_here(Verdict::Stopped(format!(
                    "{reason}: more than the memory model can follow; an interleaving memory has no such limit"
                )));
            }
            return Err(SpawnError { name, reason });
        }
        match self.take_slot() {
            Ok(slot) => Ok((slot, name)),
            Err(error) => {
                self.fail_here(Verdict::Stopped(format!("the host has no memory for a stack: {error}")));
                Err(SpawnError { name, reason: error.to_string() })
            }
        }
    }

    /// The thread that was armed in `slot` is started: its number.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn started(&self, slot: u32, name: String, site: Site) -> u32 {
        self.account();
        let id = self.enrol(Cow::Owned(name), Some(self.thread_id.get()), slot, site);
        self.modelled_spawn(slot, id);
        self.event(Op::Spawn, id, 0, 0, 0, site);
        self.set_changed();
        id
    }

    /// Waits for the end of thread `id`.
    pub fn join(&self, id: u32, site: Site) {
        self.point(Access::NONE, site);
        loop {
            let slot = self.infos.borrow()[id as usize].slot;
            if slot == NONE {
                break;
            }
            if slot == self.current.get() && !self.stopping.get() {
                self.self_deadlock(Wait::Join(ThreadId(id)), site);
            }
            self.infos.borrow_mut()[id as usize].joiner = self.current.get();
            self.block(Wait::Join(ThreadId(id)), Access::NONE, site);
        }
        self.acquired(HandOver::End(id));
        self.event(Op::Join, id, 0, 0, 0, site);
    }

    /// Ends the execution if the running thread has used up its stack. The engine asks before it does anything that must
    /// not be interrupted by the guard page: it holds borrows then, or is inside the host's allocator.
    #[inline]
    pub fn check_stack(&self) {
        self.check_stack_of(self.here());
    }

    /// As [`Engine::check_stack`]; `me` is the running thread.
    #[inline(always)]
    pub fn check_stack_of(&self, me: &Thread) {
        let here = 0_u8;
        if (&raw const here).addr() < me.guard.get() + self.page_bytes + STACK_RESERVE / 2 {
            self.out_of_stack();
        }
    }

    #[cold]
    fn out_of_stack(&self) {
        if self.inside.get() && self.can_raise() {
            let id = self.thread_id.get();
            self.fail_here(Verdict::StackOverflow { thread: ThreadId(id), name: self.name_of(id) });
        }
    }

    /// Whether `address` is in the running thread's guard page.
    pub fn in_guard(&self, address: usize) -> bool {
        let guard = self.here().guard.get();
        (guard..guard + self.page_bytes).contains(&address)
    }
}
