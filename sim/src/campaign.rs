//! `run`: all cells, all seeds, all cores; then the report.
//!
//! **Invariant: standard output is a function of scenario, seeds and binary**, whatever the number of jobs. Progress and
//! speed go to standard error.

use crate::cli::strategy_argument;
use crate::engine::MemoryModel;
use crate::enumerate::{bound, enumerate};
use crate::explore;
use crate::found::Found;
use crate::ledger::FindingKind;
use crate::outcome::{CellSummary, Outcome};
use crate::report::{self, Verdict, chrome, explain, json, story};
use crate::run::{Command, How, execute};
use crate::scenario::{Cell, Expect, Loaded, Schedule, printable};
use crate::stress::{self, Pace};
use crate::threads::On;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What `run` was asked for beyond the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// Other seeds than the file's.
    pub seeds: Option<Range<u64>>,
    /// Executions at the same time.
    pub jobs: NonZeroUsize,
    /// Another strategy than the file's.
    pub strategy: Option<Schedule>,
    /// Another memory than the file's.
    pub memory: Option<MemoryModel>,
    /// How results are printed.
    pub format: Format,
    /// Whether a person is looking: shows a progress bar and the speed on standard error.
    pub progress: bool,
    /// Whether finding files are written.
    pub files: bool,
    /// Whose threads.
    pub on: On,
    /// How real threads are run.
    pub pace: Pace,
}

impl Default for RunOptions {
    /// One job, text, nothing written but the report.
    fn default() -> Self {
        Self {
            seeds: None,
            jobs: NonZeroUsize::MIN,
            strategy: None,
            memory: None,
            format: Format::Text,
            progress: false,
            files: false,
            on: On::Sim,
            pace: Pace::default(),
        }
    }
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

/// Runs a scenario and writes the report to `out`.
///
/// # Errors
/// What writing says.
pub fn run(loaded: &Loaded, options: &RunOptions, out: &mut dyn Write) -> io::Result<Verdict> {
    if options.on == On::Std {
        return stress::run(loaded, options, out);
    }
    let scenario = &loaded.scenario;
    let seeds = options.seeds.clone().unwrap_or_else(|| scenario.seeds.clone());
    let per_cell = usize::try_from(seeds.end - seeds.start).expect("the number of seeds was checked");
    let how = How { schedule: options.strategy, memory: options.memory, ..How::default() };
    let count = loaded.cells.len() * per_cell;
    let mut summaries: Vec<CellSummary> = loaded.cells.iter().map(|_| CellSummary::default()).collect();
    let wall = scenario.budget.wall.map(|w| w.duration());
    let strategy = options.strategy.map(strategy_argument);
    if options.format != Format::Json {
        write!(out, "{}", report::title(scenario, loaded.cells.len(), strategy.as_deref()))?;
        out.flush()?;
    }
    let bar = progress_bar(options, count);
    let start = Instant::now();
    let mut done = 0;
    let mut unwritten = Unwritten::new();
    let mut written = Ok(());
    let at = |index: usize| (index / per_cell, seeds.start + (index % per_cell) as u64);
    let kept = Mutex::new(BTreeSet::new());
    let hows: Vec<OnceLock<How>> = loaded.cells.iter().map(|_| OnceLock::new()).collect();
    explore::in_order(
        count,
        options.jobs.get(),
        |index| {
            let (cell, seed) = at(index);
            let (cell, how) = (&loaded.cells[cell], hows[cell].get_or_init(|| how.for_cell(&loaded.cells[cell])));
            let lean = match bound(cell, how) {
                Some(bound) => enumerate(cell, seed, bound, how, || wall.is_some_and(|wall| start.elapsed() > wall)),
                None => execute(cell, seed, how).0,
            };
            if lean.finding().is_none() {
                return (lean.digest, lean);
            }
            let (digest, rich) = rich(cell, lean, how);
            keep_first(&rich, &kept, &command(loaded, cell, options), loaded, options);
            (digest, rich)
        },
        |index, (lean_digest, outcome)| {
            let cell = &loaded.cells[at(index).0];
            if outcome.digest != lean_digest {
                written = Err(Stop::Nondeterministic(outcome.seed, lean_digest, outcome.digest));
                return ControlFlow::Break(());
            }
            let command = command(loaded, cell, options);
            if options.format == Format::Json
                && let Err(e) = writeln!(out, "{}", json::execution(cell, &outcome, &command))
            {
                written = Err(Stop::Output(e));
                return ControlFlow::Break(());
            }
            keep(&outcome, &summaries[cell.index], &command, loaded, options, &mut unwritten);
            summaries[cell.index].add(outcome);
            done += 1;
            bar.inc(1);
            // Between executions only: a slow host may see fewer seeds, never another verdict on one of them.
            if wall.is_some_and(|wall| start.elapsed() > wall) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    bar.finish_and_clear();
    match written {
        Ok(()) => {}
        Err(Stop::Output(e)) => return Err(e),
        Err(Stop::Nondeterministic(seed, a, b)) => {
            let why = [format!("seed {seed} gave digest {a:016x}, then {b:016x}")];
            let verdict = Verdict::Nondeterministic;
            match options.format {
                Format::Json => writeln!(out, "{}", json::summary(scenario, executions(&summaries), verdict, &why))?,
                Format::Brief | Format::Text => write!(out, "{}", report::closing(verdict, &why))?,
            }
            return Ok(verdict);
        }
    }
    let cells: Vec<(&Cell, &CellSummary)> = loaded.cells.iter().zip(&summaries).collect();
    speed(options, &cells, start.elapsed());
    let (verdict, why) = report::judge(scenario, &cells, done == count);
    tell(loaded, options, &cells, &unwritten, (executions(&summaries), verdict, &why), out)?;
    Ok(verdict)
}

/// The report's end: what all executions came to, and the verdict.
pub(crate) fn tell(
    loaded: &Loaded,
    options: &RunOptions,
    cells: &[(&Cell, &CellSummary)],
    unwritten: &Unwritten,
    (done, verdict, why): (u64, Verdict, &[String]),
    out: &mut dyn Write,
) -> io::Result<()> {
    if options.format != Format::Json {
        text(loaded, options, cells, unwritten, out)?;
        return write!(out, "{}", report::closing(verdict, why));
    }
    for (cell, summary) in cells {
        writeln!(out, "{}", json::cell(cell, summary, options.on))?;
    }
    writeln!(out, "{}", json::summary(&loaded.scenario, done, verdict, why))
}

fn executions(cells: &[CellSummary]) -> u64 {
    cells.iter().map(|cell| cell.executions).sum()
}

enum Stop {
    Output(io::Error),
    Nondeterministic(u64, u64, u64),
}

/// Runs a failing execution again with stories, and keeps both digests: they must be equal.
fn rich(cell: &Cell, lean: Outcome, how: &How) -> (u64, Outcome) {
    let deviations = lean.deviations;
    let (rich, _) = execute(cell, lean.seed, &How { rich: true, deviations, ..how.clone() });
    (lean.digest, Outcome { enumeration: lean.enumeration, ..rich })
}

/// Findings whose file could not be written: the report must not name one.
pub(crate) type Unwritten = BTreeSet<(usize, FindingKind)>;

/// Writes a finding to disk the moment it is made, if it is the first of its kind and cell: an interrupted run loses
/// nothing. Which seed comes first may depend on the number of jobs; the file that the report names is written besides.
fn keep_first(
    outcome: &Outcome,
    kept: &Mutex<BTreeSet<(usize, FindingKind)>>,
    command: &Command,
    loaded: &Loaded,
    options: &RunOptions,
) {
    let Some(finding) = outcome.finding() else { return };
    let first = kept.lock().unwrap_or_else(PoisonError::into_inner).insert((outcome.cell, finding.kind));
    if first && options.files {
        // One that can't be written is told of when the report's own file can't be.
        let _ = Found::new(outcome, command, &loaded.text).write();
    }
}

/// Writes the finding with the smallest seed of its kind and cell: the one that the report tells. A host that refuses is no
/// reason for another verdict.
fn keep(
    outcome: &Outcome,
    before: &CellSummary,
    command: &Command,
    loaded: &Loaded,
    options: &RunOptions,
    unwritten: &mut Unwritten,
) {
    let Some(finding) = outcome.finding() else { return };
    if !options.files || before.examples.contains_key(&finding.kind) {
        return;
    }
    let found = Found::new(outcome, command, &loaded.text);
    if let Err(e) = found.write() {
        unwritten.insert((outcome.cell, finding.kind));
        let path = found.path();
        // Not `eprintln`, which panics when nobody reads.
        let _ = writeln!(
            io::stderr(),
            "warning: the finding of seed {} could not be written to {}: {e}",
            outcome.seed,
            printable(&path)
        );
    }
}

/// Writes the events of the first execution that [`run`] makes, for Perfetto and other viewers of Chrome traces.
///
/// # Errors
/// What writing says.
pub fn trace(loaded: &Loaded, options: &RunOptions, to: &mut dyn Write) -> io::Result<()> {
    let seed = options.seeds.as_ref().unwrap_or(&loaded.scenario.seeds).start;
    let how = How { schedule: options.strategy, memory: options.memory, rich: true, ..How::default() };
    let (_, execution) = execute(&loaded.cells[0], seed, &how);
    let mut to = io::BufWriter::new(to);
    chrome::write(&execution, &mut to)?;
    to.flush()
}

pub(crate) fn command(loaded: &Loaded, cell: &Cell, options: &RunOptions) -> Command {
    Command {
        file: printable(&loaded.path),
        cell: if loaded.cells.len() == 1 { String::new() } else { cell.label.clone() },
        strategy: options.strategy.map(strategy_argument),
        memory: options.memory,
        on: options.on,
        rate: options.pace.rate,
    }
}

fn text(
    loaded: &Loaded,
    options: &RunOptions,
    cells: &[(&Cell, &CellSummary)],
    unwritten: &Unwritten,
    out: &mut dyn Write,
) -> io::Result<()> {
    let scenario = &loaded.scenario;
    writeln!(out, "{}{}", report::totals(cells, options.on), report::enumerations(cells))?;
    for (cell, summary) in cells {
        for (kind, example) in &summary.examples {
            let command = command(loaded, cell, options);
            let is_kept = options.files && !unwritten.contains(&(cell.index, *kind));
            let file = is_kept.then(|| printable(&Found::new(example, &command, "").path()));
            let expected = scenario.expect == Expect::MustFind(*kind);
            if let Some(story) = story::tell(example, expected, &command, file.as_deref()) {
                writeln!(out, "{story}")?;
            }
        }
    }
    if !scenario.table.is_empty() && options.format == Format::Text {
        writeln!(out, "{}", report::columns::tables(&scenario.table, cells))?;
    }
    if explain::is_about_retention(scenario, cells) {
        writeln!(out, "{}", explain::retention(scenario, cells))?;
    } else if let Some(first) = cells.first().and_then(|(_, s)| s.first.as_ref()) {
        let attribution = explain::attribution(first);
        if !attribution.is_empty() {
            writeln!(out, "{attribution}")?;
        }
        write!(out, "{}", explain::matrices(first))?;
    }
    Ok(())
}

pub(crate) fn progress_bar(options: &RunOptions, count: usize) -> ProgressBar {
    if !options.progress || count < 2 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count as u64);
    let style =
        ProgressStyle::with_template("  {bar:32} {pos}/{len}  {per_sec}  {eta}").expect("the template is valid");
    bar.set_style(style);
    bar
}

pub(crate) fn speed(options: &RunOptions, cells: &[(&Cell, &CellSummary)], took: Duration) {
    if options.progress {
        let executions: u64 = cells.iter().map(|(_, s)| s.executions).sum();
        let steps: u64 = cells.iter().map(|(_, s)| s.steps).sum();
        let seconds = took.as_secs_f64().max(1e-9);
        let _ = writeln!(
            io::stderr(),
            "  {seconds:.2} s, {:.0} seeds/s, {:.1} M steps/s",
            executions as f64 / seconds,
            steps as f64 / seconds / 1e6
        );
    }
}
