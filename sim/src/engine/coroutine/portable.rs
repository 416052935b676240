//! Through the scheduler, by corosensei.
//!
//! **Invariant: a coroutine is resumed by `drive` alone.**

use super::super::core::{Engine, running};
use super::super::thread::Thread;
use super::{Ended, Resume};
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// The scheduler, while threads run: corosensei knows all of it.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Scheduler;

/// A stack, for one coroutine after the other.
pub(in super::super) struct Stackful {
    /// Between two coroutines.
    stack: Option<DefaultStack>,
    coroutine: Option<Coroutine<(), (), Ended, DefaultStack>>,
    guard: usize,
}

impl Stackful {
    pub fn new(stack: DefaultStack) -> Self {
        let guard = stack.limit().get();
        Self { stack: Some(stack), coroutine: None, guard }
    }

    /// `thread` is to run on it.
    pub fn install(&self, thread: &Thread) {
        thread.guard.set(self.guard);
    }

    /// A coroutine that will run `body` for `thread`.
    ///
    /// # Safety
    /// What `body` borrows outlives the coroutine's last switch. The one before has ended, or was unwound.
    pub unsafe fn arm<F: FnOnce() -> Ended>(&mut self, thread: &Thread, body: F) {
        let before = self.coroutine.take().map(Coroutine::into_stack);
        let stack = self.stack.take().or(before).unwrap_or_else(|| unreachable!("it is in one of them"));
        let first = move |yielder: &Yielder<(), ()>, ()| {
            let Some(engine) = running() else { unreachable!("a thread runs inside an execution") };
            engine.here().context.set((&raw const *yielder).cast::<u8>().cast_mut());
            body()
        };
        // SAFETY: by the caller's promise.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, first) };
        thread.trap.set(Some(coroutine.trap_handler()));
        self.coroutine = Some(coroutine);
    }
}

impl Engine {
    /// Gives the OS thread to the thread in `slot` until the scheduler is needed: `Some` when a thread ended, the `current` one.
    pub fn resume(&self, slot: u32, how: Resume) -> Option<Ended> {
        let mut coroutine = self.threads[slot as usize].coroutine.borrow_mut();
        let stackful = coroutine.as_mut().and_then(|c| c.coroutine.as_mut());
        let coroutine = stackful.unwrap_or_else(|| unreachable!("the slot is taken"));
        let Scheduler = self.scheduler;
        self.how.set(how);
        self.inside.set(true);
        let result = coroutine.resume(());
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
