//! Stack overflow of a simulated thread.
//!
//! **Invariant: only a fault in the guard page of the running simulated thread is ours**; every other one goes to the handler
//! that was there before.
//!
//! ```text
//!   limit                                           base
//!     | guard page |  ......  stack, grows down <── |
//!         fault ──> SIGSEGV on the alternate stack ──> registers point at where the scheduler waits
//! ```
//!
//! The frames on the overflown stack are lost without running their destructors, and the stack is leaked.

use super::core::{Engine, running};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

/// Bytes of an alternate signal stack, for threads that have none.
const SIGNAL_STACK: usize = 64 * 1024;

/// Size of a page, and so of a guard page.
pub(super) fn page_bytes() -> usize {
    // SAFETY: asks for a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or_else(|_| panic!("the system has no page size"))
}

/// What handled the signals before.
struct Previous {
    segv: libc::sigaction,
    bus: libc::sigaction,
}

static PREVIOUS: OnceLock<Previous> = OnceLock::new();

thread_local! {
    static STACK: Cell<bool> = const { Cell::new(false) };
}

/// Installs the handler if it isn't, and gives this OS thread an alternate stack if it has none.
pub(super) fn install() {
    PREVIOUS.get_or_init(|| Previous { segv: replace(libc::SIGSEGV), bus: replace(libc::SIGBUS) });
    if !STACK.replace(true) {
        ensure_signal_stack();
    }
}

fn replace(signal: libc::c_int) -> libc::sigaction {
    let mut previous = MaybeUninit::uninit();
    // SAFETY: all-zero is a valid `sigaction`, whose fields are set to a handler of the right type; `previous` is written by
    // a successful call, which is asserted.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        assert_eq!(libc::sigaction(signal, &raw const action, previous.as_mut_ptr()), 0, "no signal handler");
        previous.assume_init()
    }
}

fn ensure_signal_stack() {
    // SAFETY: asking for the current alternate stack writes it to `current`; a new one is memory that is never freed, so
    // that it is valid as long as the thread.
    unsafe {
        let mut current: libc::stack_t = std::mem::zeroed();
        assert_eq!(libc::sigaltstack(null(), &raw mut current), 0, "no alternate stack");
        if current.ss_flags & libc::SS_DISABLE != 0 {
            let memory = Box::leak(vec![0_u8; SIGNAL_STACK].into_boxed_slice());
            let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: SIGNAL_STACK };
            assert_eq!(libc::sigaltstack(&raw const stack, null_mut()), 0, "no alternate stack");
        }
    }
}

unsafe extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system calls us with valid pointers, `context` being a `ucontext_t`, because of SA_SIGINFO.
    unsafe {
        let context_of = &mut *context.cast::<libc::ucontext_t>();
        if !leave_coroutine((*info).si_addr() as usize, context_of) {
            hand_on(signal, info, context);
        }
    }
}

/// If the fault is an overflow of the running simulated thread, makes it end.
fn leave_coroutine(address: usize, context: &mut libc::ucontext_t) -> bool {
    let Some(engine) = running() else { return false };
    if !engine.inside.get() || !engine.in_guard(address) {
        return false;
    }
    divert(engine, context)
}

/// Sends the OS thread to the scheduler. The fault may be a little below the stack pointer, or far below for a large frame that is
/// probed; if the stack pointer is outside the stack, it is none of ours.
#[cfg(all(target_arch = "x86_64", unix, not(feature = "portable-switch")))]
fn divert(engine: &Engine, context: &mut libc::ucontext_t) -> bool {
    let here = engine.here();
    if !(here.guard.get()..here.base.get()).contains(&stack_pointer(context)) {
        return false;
    }
    let (address, stack) = engine.after_overflow();
    let gregs = &mut context.uc_mcontext.gregs;
    gregs[libc::REG_RIP as usize] = address as i64;
    gregs[libc::REG_RSP as usize] = stack as i64;
    true
}

/// Makes the coroutine end.
#[cfg(not(all(target_arch = "x86_64", unix, not(feature = "portable-switch"))))]
fn divert(engine: &Engine, context: &mut libc::ucontext_t) -> bool {
    let Some(trap) = engine.here().trap.get().filter(|trap| trap.stack_ptr_in_bounds(stack_pointer(context))) else {
        return false;
    };
    // SAFETY: the stack pointer is within the coroutine, and the registers are set as demanded. The frames that are lost are
    // those of a program that has overflown its stack; nothing on that stack is used again, since it is leaked.
    let registers = unsafe { trap.setup_trap_handler(|| super::coroutine::Ended::Overflow) };
    set_registers(context, registers);
    true
}

/// Calls the handler that was there before.
unsafe fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(previous) = PREVIOUS.get() else { std::process::abort() };
    let action = if signal == libc::SIGSEGV { &previous.segv } else { &previous.bus };
    match action.sa_sigaction {
        // SAFETY: resets the signal to the action it had. The fault happens again on return and then ends the process.
        libc::SIG_DFL | libc::SIG_IGN => unsafe {
            libc::sigaction(signal, &raw const *action, null_mut());
        },
        // SAFETY: with SA_SIGINFO the previous action is a function with three arguments, and we pass on what we got.
        address if action.sa_flags & libc::SA_SIGINFO != 0 => unsafe {
            type Three = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            std::mem::transmute::<usize, Three>(address)(signal, info, context);
        },
        // SAFETY: without SA_SIGINFO it is a function with one argument.
        address => unsafe {
            std::mem::transmute::<usize, unsafe extern "C" fn(libc::c_int)>(address)(signal);
        },
    }
}

#[cfg(target_arch = "x86_64")]
fn stack_pointer(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize
}

#[cfg(all(target_arch = "x86_64", feature = "portable-switch"))]
fn set_registers(context: &mut libc::ucontext_t, registers: corosensei::trap::TrapHandlerRegs) {
    let corosensei::trap::TrapHandlerRegs { rip, rsp, rbp, rdi, rsi } = registers;
    let gregs = &mut context.uc_mcontext.gregs;
    gregs[libc::REG_RIP as usize] = rip as i64;
    gregs[libc::REG_RSP as usize] = rsp as i64;
    gregs[libc::REG_RBP as usize] = rbp as i64;
    gregs[libc::REG_RDI as usize] = rdi as i64;
    gregs[libc::REG_RSI as usize] = rsi as i64;
}

#[cfg(target_arch = "aarch64")]
fn stack_pointer(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.sp as usize
}

#[cfg(target_arch = "aarch64")]
fn set_registers(context: &mut libc::ucontext_t, registers: corosensei::trap::TrapHandlerRegs) {
    let corosensei::trap::TrapHandlerRegs { pc, sp, x0, x1, x29, lr } = registers;
    let machine = &mut context.uc_mcontext;
    machine.pc = pc;
    machine.sp = sp;
    machine.regs[0] = x0;
    machine.regs[1] = x1;
    machine.regs[29] = x29;
    machine.regs[30] = lr;
}
