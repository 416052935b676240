//! `conform`: many traces, one line each.
//!
//! **Invariant: every file gets its line, in the order in which they were named**, whatever came of the others.

use super::{Difference, FirstDifference, Summary, conform_file, conform_on};
use crate::engine::{Granularity, Options, Sim, Strategy, Verdict, execute, with_ledger};
use crate::exit::Exit;
use crate::explore;
use crate::report::numbers::count;
use crate::scenario::printable;
pub use crate::threads::On;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What `conform` was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConformOptions {
    /// The traces.
    pub files: Vec<PathBuf>,
    /// Traces at the same time.
    pub jobs: NonZeroUsize,
    /// Whose threads.
    pub on: On,
    /// One JSON object a line.
    pub json: bool,
}

/// How many files ended how.
#[derive(Default)]
struct Sums {
    reproduced: u64,
    differ: u64,
    unusable: u64,
    operations: u64,
}

/// Replays traces: what was reproduced or differs goes to `out`, what can't be used to `complaints`; all of it to `out` in
/// JSON.
///
/// # Errors
/// If `out` fails.
pub fn conform(options: &ConformOptions, out: &mut dyn Write, complaints: &mut dyn Write) -> io::Result<Exit> {
    let mut sums = Sums::default();
    let mut written = Ok(());
    let replay = |index: usize| conform_with(options.on, &options.files[index]);
    explore::in_order(options.files.len(), options.jobs.get(), replay, |index, result| {
        let file = printable(&options.files[index]);
        sums.add(&result);
        written = match (&result, options.json) {
            (result, true) => writeln!(out, "{}", object(&file, result)),
            (Ok(summary), false) => writeln!(out, "{}", ok_line(&file, summary)),
            (Err(Difference::Differs(first)), false) => writeln!(out, "DIFFERS  {first}"),
            (Err(unusable), false) => {
                // If nobody can read it, the exit code still tells.
                let _ = writeln!(complaints, "error: {unusable}");
                Ok(())
            }
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    written?;
    if options.json {
        writeln!(out, "{}", sums.object())?;
    }
    Ok(sums.exit())
}

/// Replays a trace on the threads of a platform.
///
/// # Errors
/// As [`conform_on`].
pub fn conform_with(on: On, path: &Path) -> Result<Summary, Difference> {
    match on {
        On::Std => conform_file(path),
        On::Sim => conform_simulated(&in_turn(), path),
    }
}

/// Operations are hand-offs: any schedule reproduces a trace, and this one does it fastest.
fn in_turn() -> Options {
    Options { strategy: Strategy::RunOn, granularity: Granularity::Task, max_steps: u64::MAX, ..Options::default() }
}

/// Replays a trace in a simulation.
///
/// # Errors
/// As [`conform_on`].
pub fn conform_simulated(options: &Options, path: &Path) -> Result<Summary, Difference> {
    let mut result = None;
    let execution = execute(options, || {
        // A trace has misuse in it, on purpose.
        with_ledger(|ledger| ledger.only_count());
        result = Some(conform_on::<Sim>(path));
    });
    match (execution.verdict, result) {
        (Verdict::Finished, Some(result)) => result,
        (verdict, _) => {
            let reason = format!("the simulation ended early: {verdict}");
            Err(Difference::Unusable { file: printable(path), line: None, reason })
        }
    }
}

fn ok_line(file: &str, summary: &Summary) -> String {
    let what = format!("{} {}", printable(Path::new(&summary.name)), printable(Path::new(&summary.netty)));
    format!("ok  {what:<24}  {:>7} operations  {file}", count(summary.operations))
}

fn object(file: &str, result: &Result<Summary, Difference>) -> Value {
    match result {
        Ok(Summary { netty, name, operations }) => json!({
            "v": 1, "kind": "trace", "file": file, "result": "reproduced",
            "netty": netty, "name": name, "operations": operations,
        }),
        Err(Difference::Differs(first)) => {
            let FirstDifference { line, operation, what, trace, here, .. } = first.as_ref();
            json!({
                "v": 1, "kind": "trace", "file": file, "result": "differs",
                "line": line, "operation": operation, "what": what, "trace": trace, "here": here,
            })
        }
        Err(Difference::Unusable { line, reason, .. }) => json!({
            "v": 1, "kind": "trace", "file": file, "result": "unusable", "line": line, "reason": reason,
        }),
    }
}

impl Sums {
    fn add(&mut self, result: &Result<Summary, Difference>) {
        match result {
            Ok(summary) => {
                self.reproduced += 1;
                self.operations += summary.operations;
            }
            Err(Difference::Differs(_)) => self.differ += 1,
            Err(Difference::Unusable { .. }) => self.unusable += 1,
        }
    }

    fn object(&self) -> Value {
        let Self { reproduced, differ, unusable, operations } = self;
        json!({
            "v": 1, "kind": "summary", "files": reproduced + differ + unusable,
            "reproduced": reproduced, "differ": differ, "unusable": unusable, "operations": operations,
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self { unusable: 1.., .. } => Exit::BadInput,
            Self { differ: 1.., .. } => Exit::Unexpected,
            _ => Exit::Expected,
        }
    }
}
