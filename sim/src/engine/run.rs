//! The scheduler loop: from the first thread to the last.
//!
//! **Invariant: when `drive` returns, no coroutine is alive**: each ended, was unwound, or was leaked and counted.
//!
//! ```text
//!   drive:    resume current ──suspended──> resume the one it chose ──> ...
//!                   └────────ended──> choose ──────────┘
//!   abandon:  resume each with Unwind; what would block comes again when the others are gone; the rest is leaked
//! ```
//!
//! The decision is made on the stack of the running thread; it comes here only if another one is chosen.

use super::access::Access;
use super::core::{Engine, Site, UNWIND_OPERATIONS, running};
use super::event::Op;
use super::options::Strategy;
use super::outcome::{Verdict, Wait};
use super::thread::{Ended, Info, NONE, Resume, Stackful};
use super::weak::HandOver;
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use millpond_model::platform::{SpawnError, ThreadId};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

/// Stack that the engine keeps for its own work and for unwinding, in bytes, on top of what the program may use.
const STACK_RESERVE: usize = 32 * 1024;

/// Rounds of unwinding in which no thread ended, after which the rest is given up.
const IDLE_ROUNDS: u32 = 100;

/// All that a simulated thread does.
fn body(yielder: &Yielder<Resume, ()>, first: Resume, f: impl FnOnce()) -> Ended {
    let Some(engine) = running() else { unreachable!("a thread runs inside an execution") };
    let me = engine.here();
    me.yielder.set(yielder);
    let result = if first == Resume::Unwind {
        me.unwinding.set(true);
        catch_unwind(AssertUnwindSafe(move || drop(f)))
    } else {
        catch_unwind(AssertUnwindSafe(f))
    };
    if let Err(payload) = result {
        engine.body_unwound(payload);
    }
    let site = Location::caller();
    let step = || {
        engine.point(Access::NONE, site);
        engine.event(Op::LocalDrop, 0, 0, 0, 0, site);
    };
    // Each failure has consumed a value, so that this ends.
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| me.table().clear(step))) {
        engine.body_unwound(payload);
    }
    me.locals_gone.set(true);
    let rest = me.table.take(); // what destructors have made again and again
    if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(rest))) {
        engine.body_unwound(payload);
    }
    Ended::Done
}

impl Engine {
    /// Runs `main` and all that it starts, to the end.
    pub fn drive(&self, main: impl FnOnce()) {
        let stack = self.take_stack().unwrap_or_else(|error| panic!("no stack for the main thread: {error}"));
        let guard = stack.limit().get();
        // SAFETY: `main` and what it borrows outlive this call, and the coroutine does not: it ends, is unwound, or is
        // leaked and never resumed before `drive` returns.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, |y, first| body(y, first, main)) };
        let slot = self.enrol("main".to_string(), None, coroutine, guard, Location::caller());
        self.current.set(slot);
        self.set_changed();
        while !self.stopping.get() && !self.alive.is_empty() {
            let slot = self.current.get();
            if let Some(how) = self.resume(slot, Resume::Run) {
                self.ended(slot, how);
            }
        }
        if self.stopping.get() {
            self.abandon();
        } else {
            self.check_replayed();
        }
    }

    #[inline]
    fn resume(&self, slot: u32, how: Resume) -> Option<Ended> {
        let mut coroutine = self.threads[slot as usize].coroutine.borrow_mut();
        let coroutine = coroutine.as_mut().unwrap_or_else(|| unreachable!("the slot is taken"));
        self.inside.set(true);
        let result = coroutine.resume(how);
        self.inside.set(false);
        match result {
            CoroutineResult::Yield(()) => None,
            CoroutineResult::Return(how) => Some(how),
        }
    }

    /// A thread ended: its slot and stack are free, its joiner goes on, and somebody else runs.
    fn ended(&self, slot: u32, how: Ended) {
        let id = self.threads[slot as usize].id.get();
        if how == Ended::Overflow {
            self.fail(Verdict::StackOverflow { thread: ThreadId(id), name: self.name_of(id) });
        }
        self.released(HandOver::End(id));
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

    /// Frees a slot; gives the slot of the thread that joins its thread. A stack that was not unwound is leaked: something
    /// on it may still be pointed to.
    fn vacate(&self, slot: u32, unwound: bool) -> u32 {
        let thread = &self.threads[slot as usize];
        thread.trap.set(None);
        match thread.coroutine.take() {
            Some(coroutine) if unwound => self.stacks.borrow_mut().push(coroutine.into_stack()),
            coroutine => {
                std::mem::forget(coroutine);
                std::mem::forget(thread.table.take());
                self.leaked_stacks.set(self.leaked_stacks.get() + 1);
            }
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

    fn take_stack(&self) -> std::io::Result<DefaultStack> {
        let kept = self.stacks.borrow_mut().pop();
        kept.map_or_else(|| DefaultStack::new(self.stack_bytes.get() + STACK_RESERVE), Ok)
    }

    /// Gives a coroutine a number and a slot, and makes it runnable.
    fn enrol(&self, name: String, parent: Option<u32>, coroutine: Stackful, guard: usize, site: Site) -> u32 {
        let slot = self.free_slots.borrow_mut().pop().unwrap_or_else(|| {
            let slot = self.slots_used.get();
            self.slots_used.set(slot + 1);
            slot
        });
        let mut infos = self.infos.borrow_mut();
        let id = infos.len() as u32;
        infos.push(Info { name, parent, slot, finished: false, joiner: NONE });
        let thread = &self.threads[slot as usize];
        thread.begin(id, coroutine, guard, site);
        self.classes.starts(id, parent);
        self.starts(slot, parent);
        if self.profiling.get() {
            self.profiler.borrow_mut().starts(id, parent);
        }
        self.alive.insert(slot);
        self.runnable.insert(slot);
        slot
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
        self.point(Access::NONE, site);
        self.check_stack();
        if self.stopping.get() {
            return Err(SpawnError { name, reason: "the execution is being abandoned".to_string() });
        }
        if self.alive.len() >= self.max_threads.get() || self.reduced_full() {
            self.event(Op::SpawnFailed, 0, 0, 0, 0, site);
            let reason = format!("{} threads are alive already", self.alive.len());
            return Err(SpawnError { name, reason });
        }
        let stack = match self.take_stack() {
            Ok(stack) => stack,
            Err(error) => {
                self.fail_here(Verdict::Stopped(format!("the host has no memory for a stack: {error}")));
                return Err(SpawnError { name, reason: error.to_string() });
            }
        };
        let guard = stack.limit().get();
        // SAFETY: by the contract of this function; a coroutine that is leaked is never resumed.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, move |y, first| body(y, first, f)) };
        self.account();
        let slot = self.enrol(name, Some(self.thread_id.get()), coroutine, guard, site);
        let id = self.threads[slot as usize].id.get();
        self.modelled_spawn(slot, id);
        self.event(Op::Spawn, id, 0, 0, 0, site);
        self.set_changed();
        Ok(id)
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
        let here = 0_u8;
        if (&raw const here).addr() < self.here().guard.get() + self.page_bytes + STACK_RESERVE / 2 {
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
