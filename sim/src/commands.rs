//! What `run` and `replay` ask of the engine.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;

use crate::exit::Exit;
use crate::scenario::{Cell, Loaded, Schedule};

/// What `run` was asked for beyond the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// Other seeds than the file's.
    pub seeds: Option<Range<u64>>,
    /// Executions at the same time.
    pub jobs: NonZeroUsize,
    /// Another strategy than the file's.
    pub strategy: Option<Schedule>,
    /// How results are printed.
    pub format: Format,
    /// Where the events of the first execution go.
    pub trace: Option<PathBuf>,
}

/// What `replay` was asked for beyond the file and the cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayOptions {
    /// The seed.
    pub seed: u64,
    /// Another strategy than the file's.
    pub strategy: Option<Schedule>,
    /// The digest that the execution is expected to have.
    pub digest: Option<u128>,
    /// How results are printed.
    pub format: Format,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Text for a person, without the sweep's table.
    Brief,
    /// Text for a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Runs every cell of a scenario with every seed.
///
/// # Errors
/// If `out` fails.
pub fn run(_loaded: &Loaded, _options: &RunOptions, out: &mut dyn Write) -> io::Result<Exit> {
    writeln!(out, "run is not built yet")?;
    Ok(Exit::BadInput)
}

/// Runs one cell with one seed again.
///
/// # Errors
/// If `out` fails.
pub fn replay(_loaded: &Loaded, _cell: &Cell, _options: &ReplayOptions, out: &mut dyn Write) -> io::Result<Exit> {
    writeln!(out, "replay is not built yet")?;
    Ok(Exit::BadInput)
}
