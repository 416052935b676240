//! Coroutines: a stack each, and how the OS thread goes from one to another.
//!
//! **Invariant: a coroutine that is not running is suspended in [`Engine::pass`], has not begun, or has ended**; and whoever runs knows it
//! by the engine's `current`.
//!
//! ```text
//!   direct (x86-64):      drive ──resume──> A ──pass──> B ──pass──> A ── ... ──ended──> drive        B never meets the scheduler
//!   portable (others):    drive ──resume──> A ──pass──> drive ──resume──> B ── ...                   by corosensei
//! ```
//!
//! Both do the same, in the same order; the feature `portable-switch` takes the second on x86-64, too.

#[cfg(all(target_arch = "x86_64", unix, not(feature = "portable-switch")))]
mod direct;
#[cfg(not(all(target_arch = "x86_64", unix, not(feature = "portable-switch"))))]
mod portable;

#[cfg(all(target_arch = "x86_64", unix, not(feature = "portable-switch")))]
pub(super) use self::direct::{Scheduler, Stackful};
#[cfg(not(all(target_arch = "x86_64", unix, not(feature = "portable-switch"))))]
pub(super) use self::portable::{Scheduler, Stackful};

/// What a coroutine is resumed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// Go on.
    Run,
    /// The execution is abandoned: unwind.
    Unwind,
}

/// How a coroutine ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its body returned or was unwound.
    Done,
    /// It ran into the guard page; its frames are lost.
    Overflow,
}
