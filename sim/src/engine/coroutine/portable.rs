//! Through the scheduler, by corosensei.
//!
//! **Invariant: a coroutine is resumed by `drive` alone.**

use super::super::core::{Engine, running};
use super::super::thread::Thread;
use super::{Ended, Resume};
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// A coroutine.
pub(in super::super) struct Stackful {
    coroutine: Coroutine<(), (), Ended, DefaultStack>,
    guard: usize,
}

impl Stackful {
    /// A coroutine that will run `body`.
    ///
    /// # Safety
    /// What `body` borrows outlives the coroutine's last switch.
    pub unsafe fn new<F: FnOnce() -> Ended>(stack: DefaultStack, body: F) -> Self {
        let guard = stack.limit().get();
        let first = move |yielder: &Yielder<(), ()>, ()| {
            let Some(engine) = running() else { unreachable!("a thread runs inside an execution") };
            engine.here().context.set((&raw const *yielder).cast::<u8>().cast_mut());
            body()
        };
        // SAFETY: by the caller's promise.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, first) };
        Self { coroutine, guard }
    }

    /// The stack, after the end of the coroutine.
    pub fn into_stack(self) -> DefaultStack {
        self.coroutine.into_stack()
    }

    /// Lowest address of the stack: its guard page.
    pub fn guard(&self) -> usize {
        self.guard
    }

    /// The thread in `slot` is to run it.
    pub fn install(&self, thread: &Thread) {
        thread.trap.set(Some(self.coroutine.trap_handler()));
    }
}

impl Engine {
    /// Gives the OS thread to the thread in `slot` until the scheduler is needed: `Some` when a thread ended, the `current` one.
    pub fn resume(&self, slot: u32, how: Resume) -> Option<Ended> {
        let mut coroutine = self.threads[slot as usize].coroutine.borrow_mut();
        let stackful = coroutine.as_mut().unwrap_or_else(|| unreachable!("the slot is taken"));
        self.how.set(how);
        self.inside.set(true);
        let result = stackful.coroutine.resume(());
        self.inside.set(false);
        match result {
            CoroutineResult::Yield(()) => None,
            CoroutineResult::Return(how) => Some(how),
        }
    }

    /// The running thread `me` gives the OS thread to the thread in slot `to`, or to the scheduler. Returns when it is resumed.
    #[inline(always)]
    pub fn pass(&self, me: &Thread, _to: Option<u32>) {
        let yielder = me.context.get().cast::<Yielder<(), ()>>();
        // SAFETY: `me` is the running thread; its yielder was set at the start of its coroutine, on whose stack it lives, and
        // we are on that stack.
        unsafe { (*yielder).suspend(()) }
    }
}
