//! `shrink` and `keep`: a finding, reduced, told, and written down as a scenario of its own.
//!
//! **Invariant: what is kept is an ordinary scenario file**: it is checked, run and replayed like any other, and the test suite runs it
//! with the rest. No file is overwritten, none is left half written.
//!
//! ```text
//!   finding file, or scenario and seed ──reduce──> told (`shrink`)
//!                                          └────> scenarios/regressions/NAME.ron (`keep`)
//!                                                 the cell's scenario, its one seed, `deviations`
//! ```

use crate::check;
use crate::found::Found;
use crate::new::{NewError, write};
use crate::reduce::{Reduced, reduce};
use crate::report::{Verdict, story};
use crate::run::{Command, How, execute};
use crate::scenario::{Cell, Expect, Loaded, Scenario, Sweep, printable, text_of};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where kept findings go, from the working directory.
pub const DIRECTORY: &str = "scenarios/regressions";

/// Reduces what `cell` finds with the first of `seeds` that finds anything, tells it to `out`, and writes its finding file.
///
/// # Errors
/// What writing to `out` says.
pub fn shrink(loaded: &Loaded, cell: &Cell, seeds: Range<u64>, how: &How, out: &mut dyn Write) -> io::Result<Verdict> {
    let one = seeds.end - seeds.start == 1;
    let first = if one { Some(seeds.start) } else { first_found(cell, seeds.clone(), how) };
    let Some(reduced) = first.and_then(|seed| reduce(cell, seed, how)) else {
        match first {
            Some(seed) => {
                let other = "`run` names the seeds that find something";
                writeln!(out, "nothing is found with seed {seed}: there is nothing to reduce; {other}")?;
            }
            None => {
                let Range { start, end } = seeds;
                writeln!(out, "nothing is found with seeds {start}..{end}: there is nothing to reduce")?;
            }
        }
        return Ok(Verdict::NotAsExpected);
    };
    let command = Command {
        file: printable(&loaded.path),
        cell: if loaded.cells.len() == 1 { String::new() } else { cell.label.clone() },
        ..Command::default()
    };
    let found = Found::new(&reduced.outcome, &command, &loaded.text);
    let file = found.write().map(|path| printable(&path));
    write!(out, "{}", summary(&reduced))?;
    if let Some(decisive) = &reduced.decisive {
        writeln!(out, "\n  it is found because\n          {decisive}\n  the other way round it is not")?;
    }
    if reduced.after == 0 {
        writeln!(out, "  it is found with the default schedule: no order of the threads is to blame")?;
    } else {
        writeln!(out, "\n  its end ({})\n{}", check::story::LEGEND, reduced.story)?;
    }
    let expected = expected(&cell.scenario, &reduced);
    if let Some(story) = story::tell(&reduced.outcome, expected, &command, file.as_deref().ok()) {
        writeln!(out, "{story}")?;
    }
    match &file {
        Ok(file) => writeln!(out, "  keep     cargo run -q --release -- keep {file} NAME")?,
        Err(e) => writeln!(out, "  the finding file could not be written: {e}")?,
    }
    Ok(Verdict::AsExpected)
}

/// The first of `seeds` with which `cell` finds anything.
fn first_found(cell: &Cell, mut seeds: Range<u64>, how: &How) -> Option<u64> {
    let how = how.for_cell(cell);
    seeds.find(|seed| execute(cell, *seed, &how).0.finding().is_some())
}

/// `reduced from 531 deviations to 2 (1 preemption) in 412 executions`.
fn summary(reduced: &Reduced) -> String {
    let Reduced { before, after, preemptions, tries, .. } = reduced;
    let plural = if *preemptions == 1 { "" } else { "s" };
    format!("reduced from {before} deviations to {after} ({preemptions} preemption{plural}) in {tries} executions\n")
}

fn expected(scenario: &Scenario, reduced: &Reduced) -> bool {
    matches!((scenario.expect, reduced.outcome.finding()), (Expect::MustFind(kind), Some(f)) if f.kind == kind)
}

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// There is nothing to keep.
    #[error("nothing is found with seed {0}: there is nothing to keep")]
    Nothing(u64),
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] NewError),
}

/// Reduces what `cell` finds with `seed` and writes it as `folder/name.ron`.
///
/// # Errors
/// If nothing is found, if there is such a file, or if the file system refuses.
pub fn keep(cell: &Cell, seed: u64, how: &How, name: &str, folder: &Path) -> Result<PathBuf, KeepError> {
    let reduced = reduce(cell, seed, how).ok_or(KeepError::Nothing(seed))?;
    let scenario = Scenario {
        seeds: seed..seed + 1,
        deviations: reduced.outcome.deviations.clone(),
        memory: reduced.outcome.told_memory(),
        sweep: Sweep::default(),
        table: Vec::new(),
        ..cell.scenario.clone()
    };
    let finding = reduced.outcome.finding().ok_or(KeepError::Nothing(seed))?;
    let mut comments = format!("// {}: {}\n", finding.kind, finding.text.lines().next().unwrap_or_default());
    comments.push_str(&format!("// {}", summary(&reduced)));
    if let Some(decisive) = &reduced.decisive {
        comments.push_str("// It is found because\n");
        decisive.to_string().lines().for_each(|line| comments.push_str(&format!("//   {}\n", line.trim())));
    }
    Ok(write(name, folder, &format!("{comments}{}", text_of(&scenario)))?)
}
