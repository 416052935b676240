//! `std::hint`, simulated.
//!
//! **Invariant: a spin hint lets another thread run first**, under every strategy, so that a loop that waits ends, or is reported as
//! a livelock.

use crate::engine::{Gate, Sim};
use millpond_model::Platform;

pub use std::hint::{assert_unchecked, black_box, unreachable_unchecked};

/// See [`std::hint::spin_loop`].
#[inline]
#[track_caller]
pub fn spin_loop() {
    match Gate::open() {
        Some(_) => Sim::spin_hint(),
        None => std::hint::spin_loop(),
    }
}
