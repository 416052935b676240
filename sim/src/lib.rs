//! Millpond: a deterministic simulation testbed for reference-counted, pooled buffers.
//!
//! # Speed of tests
//!
//! A check is a tight loop of the engine's and of the program's own code: an unoptimised build of them is many times slower. So optimise
//! dependencies in tests, the engine among them, and if checks are still slow the program too, which has the engine's shortest paths
//! inlined; debug assertions and overflow checks stay on:
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//!
//! [profile.dev]
//! opt-level = 1
//! ```

pub mod alloc;
pub mod campaign;
pub mod cell;
pub mod check;
pub mod cli;
mod compat;
pub mod conform;
pub mod crew;
pub mod deviations;
pub mod engine;
pub mod enumerate;
pub mod exit;
pub mod explore;
pub mod found;
pub mod future;
pub mod hint;
pub mod keep;
pub mod ledger;
pub mod list;
pub mod model;
pub mod new;
pub mod observed;
pub mod oracle;
pub mod outcome;
pub mod panic;
pub mod reduce;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;
pub mod stress;
pub mod suggest;
pub mod sync;
pub mod thread;
pub mod threads;
pub mod time;
pub mod world;

pub use check::{Checker, Report, check, replay};
pub use compat::{
    MAX_THREADS, check_dfs, check_pct, check_random, check_random_with_seed, check_urw, explore, skip_branch,
    stop_exploring,
};
pub use model::model;

/// What the program was built from: commit, whether the sources differ from it, compiler, version.
pub fn built() -> &'static str {
    concat!(env!("MILLPOND_BUILT"), ", millpond ", env!("CARGO_PKG_VERSION"))
}
