//! `std::hint`, simulated.
//!
//! **Invariant: a spin hint lets another thread run first**, under every strategy, so that a loop that waits ends, or is reported as
//! a livelock. What the program promises is checked: a promise that it breaks is a panic, not undefined behaviour.

use crate::engine::{Gate, Sim};
use millpond_model::Platform;

pub use std::hint::black_box;

/// See [`std::hint::spin_loop`].
#[inline]
#[track_caller]
pub fn spin_loop() {
    match Gate::open() {
        Some(_) => Sim::spin_hint(),
        None => std::hint::spin_loop(),
    }
}

/// See [`std::hint::unreachable_unchecked`].
///
/// # Safety
/// As of that.
///
/// # Panics
/// If it is reached.
#[track_caller]
pub const unsafe fn unreachable_unchecked() -> ! {
    panic!("what was said to be unreachable was reached")
}

/// See [`std::hint::assert_unchecked`].
///
/// # Safety
/// As of that.
///
/// # Panics
/// If the condition doesn't hold.
#[inline]
#[track_caller]
pub const unsafe fn assert_unchecked(condition: bool) {
    assert!(condition, "what was said to hold does not");
}
