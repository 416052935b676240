//! `std::panic`, simulated.
//!
//! **Invariant: what an execution itself unwinds its threads with is never caught by the program.**
//!
//! A panic that no [`catch_unwind`] of this module sees ends the execution: it is a finding. So code under test that lives on after a
//! panic, as tests of poisoning do, uses this one.

use crate::engine::Sim;
use crate::thread::Result;
use millpond_model::Platform;

pub use std::panic::{AssertUnwindSafe, Location, RefUnwindSafe, UnwindSafe, panic_any, resume_unwind};

/// See [`std::panic::catch_unwind`].
///
/// # Errors
/// What the panic was about.
pub fn catch_unwind<F: FnOnce() -> R + UnwindSafe, R>(f: F) -> Result<R> {
    Sim::catch(f)
}
