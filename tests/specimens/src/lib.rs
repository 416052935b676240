//! Specimens: small programs with one cross-thread bug each, in the shapes that pools and reference counts had in the field.
//!
//! **Invariant: one source, many testers.** A program names `sync`, `thread`, `hint` and `cell` of a facade, and nothing of any
//! tester; each tester below includes the same files under its own facade. What differs between two rows of a table is the tester.
//!
//! ```text
//!   programs/double_release.rs ──┬── under_std       std's own types, on threads of the system
//!   programs/free_list_aba.rs  ──┼── under_millpond  ours
//!   ...                        ──┼── under_shuttle   shuttle 0.9.9   (feature `peers`)
//!                                └── under_loom      loom 0.7.2      (feature `peers`)
//! ```
//!
//! Each program is run as it was (`twin` false) or repaired (`twin` true: nobody may complain), and with or without unrelated
//! operations around the ones that matter, which is what separates strategies from each other.

#![allow(clippy::duplicate_mod)]

use std::cell::Cell;

mod about;
pub mod options;
pub mod testers;
mod thin;
pub mod timing;
#[cfg(feature = "peers")]
pub mod under_loom;
pub mod under_millpond;
#[cfg(feature = "peers")]
pub mod under_shuttle;
pub mod under_std;

pub use about::{About, Finding, Load, Needs, Program};

/// Unrelated operations before the ones that matter, in the rows "with noise".
pub const NOISE: usize = 30;

std::thread_local! {
    static POINTS: Cell<u64> = const { Cell::new(0) };
}

/// So many more operations were executed by [`Load`]s on this OS thread, on which a tester runs all of theirs.
fn count_points(points: u64) {
    POINTS.set(POINTS.get() + points);
}

/// The operations that [`Load`]s have executed on this OS thread.
pub fn points() -> u64 {
    POINTS.get()
}
