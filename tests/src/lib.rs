//! Shared helpers of the test suite.

pub mod buffer_model;
pub mod crew;
pub mod litmus;
pub mod scale;
pub mod sim;
pub mod versions;

use millpond::outcome::Outcome;
use millpond::run::{How, execute};
use millpond::scenario::{self, Cell, Loaded, Scenario};
use std::path::{Path, PathBuf};

/// The folder of scenario files.
pub fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// A scenario file by its path within [`scenarios`].
///
/// # Panics
/// If it can't be loaded.
pub fn load(file: &str) -> Loaded {
    scenario::load(&scenarios().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// A scenario from its text.
///
/// # Panics
/// If it can't be parsed.
pub fn parse(text: &str) -> Loaded {
    scenario::parse(Path::new("inline.ron"), text.to_string()).unwrap_or_else(|e| panic!("{e}"))
}

/// The only cell of a scenario.
pub fn cell(scenario: Scenario) -> Cell {
    scenario::cells(&scenario).remove(0)
}

/// One execution, as `run` makes it.
pub fn outcome(cell: &Cell, seed: u64) -> Outcome {
    execute(cell, seed, &How::default()).0
}

/// The README's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
