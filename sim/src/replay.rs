//! `replay`: one execution again, and whether it was the same.
//!
//! **Invariant: the answer is one of three.** *reproduced*: the digest is that of the original. *no longer fails*: nothing is
//! found any more. *diverged at step k*: the executions part at step k.

use crate::campaign::Format;
use crate::cli::strategy_argument;
use crate::deviations::Deviations;
use crate::engine::{CHECKPOINT_EVERY, Execution, MemoryModel};
use crate::found::{self, Found};
use crate::outcome::Outcome;
use crate::report::{self, Verdict, json, story};
use crate::run::{Command, How, execute};
use crate::scenario::{Cell, Expect, Loaded, Scenario, Schedule, printable};
use std::io::{self, Write};

/// What `replay` was asked for beyond the file and the cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayOptions {
    /// The seed.
    pub seed: u64,
    /// Another strategy than the file's.
    pub strategy: Option<Schedule>,
    /// Another memory than the file's.
    pub memory: Option<MemoryModel>,
    /// In place of any strategy: that of `RunOn`, but for these switches.
    pub deviations: Option<Deviations>,
    /// The digest that the execution is expected to have.
    pub digest: Option<u64>,
    /// How results are printed.
    pub format: Format,
}

impl ReplayOptions {
    /// The execution they name.
    pub fn how(&self) -> How {
        How { schedule: self.strategy, memory: self.memory, deviations: self.deviations.clone(), ..How::default() }
    }

    /// Whether they name a whole enumeration rather than one of its executions.
    pub fn is_many(&self, scenario: &Scenario) -> bool {
        let schedule = self.strategy.unwrap_or(scenario.schedule);
        let deviates = self.deviations.is_some() || (scenario.deviations.is_some() && self.strategy.is_none());
        !deviates && matches!(schedule, Schedule::Dfs { .. } | Schedule::Dpor)
    }
}

/// What the original execution left behind.
#[derive(Clone, Debug, Default)]
pub struct Original {
    /// Its digest, if it is known.
    pub digest: Option<u64>,
    /// Its prefix digests; empty when they are not known.
    pub checkpoints: Vec<u64>,
    /// Whether it is known to have failed.
    pub failed: bool,
}

impl Original {
    /// Of which at most the digest is known.
    pub fn with_digest(digest: Option<u64>) -> Self {
        Self { digest, ..Self::default() }
    }

    /// From a finding file.
    ///
    /// # Errors
    /// A sentence.
    pub fn of(found: &Found) -> Result<Self, String> {
        let digest =
            found::digest(&found.digest).ok_or_else(|| format!("`digest` is {:?}, not a digest", found.digest))?;
        Ok(Self { digest: Some(digest), checkpoints: found.checkpoints()?, failed: true })
    }
}

/// Runs `cell` with `seed` twice, compares the two with each other and with the original, and writes the story to `out`.
///
/// # Errors
/// What writing says.
pub fn replay(
    loaded: &Loaded,
    cell: &Cell,
    options: &ReplayOptions,
    original: &Original,
    out: &mut dyn Write,
) -> io::Result<Verdict> {
    let deviations = options.deviations.clone();
    let how = How { schedule: options.strategy, memory: options.memory, deviations, rich: true, ..How::default() }
        .for_cell(cell);
    let command = Command {
        file: printable(&loaded.path),
        cell: if loaded.cells.len() == 1 { String::new() } else { cell.label.clone() },
        strategy: options.strategy.map(strategy_argument),
        memory: options.memory,
        ..Command::default()
    };
    let (outcome, execution) = execute(cell, options.seed, &how);
    let (again, second) = execute(cell, options.seed, &how);
    if options.format == Format::Json {
        writeln!(out, "{}", json::execution(cell, &outcome, &command))?;
        let quiet = &mut io::sink();
        let verdict = compare(loaded, (&outcome, &execution), (&again, &second), original, quiet)?;
        let why = [answer_word(verdict, original).to_string()];
        writeln!(out, "{}", json::summary(&cell.scenario, 1, verdict, &why))?;
        return Ok(verdict);
    }
    write!(out, "{}", report::title(&cell.scenario, 1, command.strategy.as_deref()))?;
    writeln!(out)?;
    let expected = matches!((cell.scenario.expect, outcome.finding()), (Expect::MustFind(k), Some(f)) if f.kind == k);
    match story::tell(&outcome, expected, &command, None) {
        Some(story) => writeln!(out, "{story}")?,
        None => writeln!(out, "  nothing found in {} steps, trace digest {:016x}\n", outcome.steps, outcome.digest)?,
    }
    compare(loaded, (&outcome, &execution), (&again, &second), original, out)
}

/// What the JSON summary says about the comparison.
fn answer_word(verdict: Verdict, original: &Original) -> &'static str {
    match verdict {
        Verdict::Nondeterministic => "diverged",
        Verdict::NotAsExpected if original.failed => "no longer fails",
        _ if original.digest.is_some() => "reproduced",
        _ => "ran twice with the same digest",
    }
}

fn compare(
    loaded: &Loaded,
    (outcome, execution): (&Outcome, &Execution),
    (again, second): (&Outcome, &Execution),
    original: &Original,
    out: &mut dyn Write,
) -> io::Result<Verdict> {
    if outcome.digest != again.digest {
        let step = parting(execution, second);
        writeln!(out, "diverged at step {step}: the same seed gave two executions in this process")?;
        return Ok(Verdict::Nondeterministic);
    }
    answer(loaded, outcome, execution, original, out)
}

fn answer(
    loaded: &Loaded,
    outcome: &Outcome,
    execution: &Execution,
    original: &Original,
    out: &mut dyn Write,
) -> io::Result<Verdict> {
    let as_expected = match (loaded.scenario.expect, outcome.finding()) {
        (Expect::MustHold, None) => Verdict::AsExpected,
        (Expect::MustFind(kind), Some(f)) if f.kind == kind => Verdict::AsExpected,
        _ => Verdict::NotAsExpected,
    };
    match original.digest {
        None => {
            writeln!(out, "ran twice with the same digest; no original was named to compare with (`--digest`)")?;
            Ok(as_expected)
        }
        Some(digest) if digest == outcome.digest => {
            writeln!(out, "reproduced: digest {digest:016x}")?;
            Ok(Verdict::AsExpected)
        }
        Some(_) if original.failed && outcome.finding().is_none() => {
            writeln!(out, "no longer fails: digest {:016x}", outcome.digest)?;
            Ok(Verdict::NotAsExpected)
        }
        Some(digest) => {
            let place = match differing(&original.checkpoints, &outcome.checkpoints) {
                Some(window) => {
                    let step = step_of(execution, window * CHECKPOINT_EVERY as usize);
                    format!("diverged at step {step} (or up to {CHECKPOINT_EVERY} events later)")
                }
                None => "diverged at step 0 or later: only the digest of the whole original is known".to_string(),
            };
            writeln!(out, "{place}: digest {:016x}, the original's is {digest:016x}", outcome.digest)?;
            Ok(Verdict::Nondeterministic)
        }
    }
}

/// Index of the first prefix digest that differs.
fn differing(a: &[u64], b: &[u64]) -> Option<usize> {
    if a.is_empty() {
        return None;
    }
    Some(a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len())))
}

/// The step at which two rich executions of one seed part.
fn parting(a: &Execution, b: &Execution) -> u64 {
    let index = a.log.iter().zip(&b.log).position(|(a, b)| a != b).unwrap_or(a.log.len().min(b.log.len()));
    step_of(a, index)
}

fn step_of(execution: &Execution, event: usize) -> u64 {
    execution.log.get(event).map_or(execution.steps, |e| e.step)
}
