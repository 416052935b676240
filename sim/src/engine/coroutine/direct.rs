//! From stack to stack in one step, for x86-64 with the System V calling convention.
//!
//! **Invariant: a saved stack pointer points at the address to continue at**, with the registers that the compiler can't be told are lost
//! above it.
//!
//! ```text
//!   suspended:   sp ──> address | rbp | rbx | frames ...
//!   not begun:   sp ──> start   |  0  | the body, moved there | base          0: no caller, backtraces end here
//! ```
//!
//! Nothing unwinds across a switch: a body ends by returning. There is no signal mask to save and no floating-point mode that a
//! program of the simulator changes.

use super::super::core::{Engine, running};
use super::super::thread::Thread;
use super::{Ended, Resume};
use corosensei::stack::{DefaultStack, Stack};
use std::arch::asm;
use std::cell::Cell;

/// The scheduler, while threads run.
pub(in super::super) struct Scheduler {
    /// How the running thread ended, on the way to the scheduler.
    told: Cell<Option<Ended>>,
    /// How to go on with it.
    context: Cell<*mut u8>,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self { told: Cell::new(None), context: Cell::new(std::ptr::null_mut()) }
    }
}

/// A stack, for one coroutine after the other.
pub(in super::super) struct Stackful {
    stack: DefaultStack,
}

impl Stackful {
    pub fn new(stack: DefaultStack) -> Self {
        Self { stack }
    }

    /// `thread` is to run on it.
    pub fn install(&self, thread: &Thread) {
        thread.guard.set(self.stack.limit().get());
        thread.base.set(self.stack.base().get());
    }

    /// A coroutine that will run `body` for `thread`.
    ///
    /// # Safety
    /// What `body` borrows outlives the coroutine's last switch. The one before has ended, or was unwound.
    pub unsafe fn arm<F: FnOnce() -> Ended>(&mut self, thread: &Thread, body: F) {
        let align = align_of::<F>().max(16);
        let (guard, base) = (thread.guard.get(), thread.base.get());
        assert!(
            size_of::<F>() + 2 * align + 16 < (base - guard) / 2,
            "what a thread takes with it does not fit on its stack"
        );
        // Both roundings go down; the frame is 16 bytes, and a multiple of 16 like the body above it.
        let place = (base - size_of::<F>()) & !(align - 1);
        let begin = (place - 16) as *mut u8;
        let start: unsafe extern "sysv64" fn(*mut u8, *mut u8) -> ! = start::<F>;
        // SAFETY: the stack's upper half is ours and is mapped, nothing runs on it, and `place` is aligned for `F`.
        unsafe {
            (place as *mut F).write(body);
            begin.cast::<usize>().write(start as usize);
            begin.cast::<usize>().add(1).write(0);
        }
        thread.context.set(begin);
    }
}

/// Where a coroutine begins: jumped to by `switch`, whose arguments are in the registers still.
unsafe extern "sysv64" fn start<F: FnOnce() -> Ended>(_: *mut u8, begin: *mut u8) -> ! {
    // SAFETY: `Stackful::arm` put the body there, and a coroutine begins once.
    let body = unsafe { begin.add(16).cast::<F>().read() };
    let how = body();
    let Some(engine) = running() else { std::process::abort() };
    engine.scheduler.told.set(Some(how));
    let lost = Cell::new(std::ptr::null_mut());
    // SAFETY: the scheduler is suspended in `resume`. Nobody comes back here: the slot is vacated.
    unsafe { switch(&lost, engine.scheduler.context.get()) };
    std::process::abort();
}

/// Saves where this stack is in `save`, and goes on at `to`.
///
/// # Safety
/// `to` was saved by this function or is where a coroutine begins, it was not gone to since, and its stack is alive.
#[inline(always)]
unsafe fn switch(save: &Cell<*mut u8>, to: *mut u8) {
    // SAFETY: rbx and rbp, which can't be named as lost, are saved on this stack; all other registers are named. The stack
    // pointer is that of a suspended stack, by the caller's promise, so that what is popped was pushed by this code there. The
    // red zone is not used across an `asm!` that may use the stack.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdi], rsp",
            "mov rsp, rsi",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbp",
            "pop rbx",
            inout("rdi") save.as_ptr() => _,
            inout("rsi") to => _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
        );
    }
}

impl Engine {
    /// Gives the OS thread to the thread in `slot` until the scheduler is needed: `Some` when a thread ended, the `current` one.
    pub fn resume(&self, slot: u32, how: Resume) -> Option<Ended> {
        self.how.set(how);
        self.inside.set(true);
        // SAFETY: the thread is alive, so it is suspended in `pass` or has not begun: its context is of this time.
        unsafe { switch(&self.scheduler.context, self.threads[slot as usize].context.get()) };
        self.inside.set(false);
        self.scheduler.told.take()
    }

    /// The running thread `me` gives the OS thread to the thread in slot `to`, or to the scheduler. Returns when it is resumed.
    #[inline(always)]
    pub fn pass(&self, me: &Thread, to: Option<u32>) {
        let context = to.map_or(self.scheduler.context.get(), |slot| self.threads[slot as usize].context.get());
        // SAFETY: as above; the scheduler waits in `resume`.
        unsafe { switch(&me.context, context) };
    }

    /// The running thread has run into its guard page: where to go on, and with which stack, so that the scheduler is told.
    pub fn after_overflow(&self) -> (usize, usize) {
        self.scheduler.told.set(Some(Ended::Overflow));
        let scheduler = self.scheduler.context.get().cast::<usize>();
        // SAFETY: the scheduler is suspended in `resume`: its stack pointer points at the address to continue at.
        let address = unsafe { scheduler.read() };
        (address, scheduler as usize + size_of::<usize>())
    }
}
