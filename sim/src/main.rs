//! The `millpond` command.
//!
//! ```text
//!   arguments ──cli──> verb ──> one function each ──> Exit
//! ```
//!
//! Reports go to standard output, complaints about input to standard error.

use clap::Parser;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use millpond::campaign;
use millpond::cli::{CheckArgs, Cli, KeepArgs, ListArgs, NewArgs, ReplayArgs, RunArgs, Verb};
use millpond::conform::command::conform;
use millpond::exit::Exit;
use millpond::found::{self, Finding};
use millpond::keep;
use millpond::list::list;
use millpond::new::scaffold;
use millpond::replay::{self, Original};
use millpond::scenario::{Cell, Colour, LoadError, Loaded, load, printable};
use millpond::suggest::nearest;

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    let reader_left = verb.when_nobody_reads();
    let out = &mut io::stdout().lock();
    let done = match verb {
        Verb::Run(args) => run(&args, out),
        Verb::Replay(args) => replay(&args, out),
        Verb::Shrink(args) => shrink(&args, out),
        Verb::Keep(args) => keep_finding(&args, out),
        Verb::Check(args) => check(&args, out),
        Verb::New(args) => new(&args, out),
        Verb::List(args) => list_all(&args, out),
        Verb::Conform(args) => conform(&args.options(), out, &mut io::stderr()),
    };
    match done.and_then(|exit| out.flush().map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => reader_left.into(),
        Err(error) => {
            complain(&format!("error: standard output: {error}"));
            Exit::Inconclusive.into()
        }
    }
}

fn run(args: &RunArgs, out: &mut dyn Write) -> io::Result<Exit> {
    if let Err(message) = args.check() {
        return Ok(complain(&message));
    }
    let loaded = match open(&args.file) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    // Opened before the run: a run of hours must not end with a path that was wrong from the beginning.
    let trace = match args.trace.as_deref().map(|path| trace_file(path, &args.file)).transpose() {
        Ok(trace) => trace,
        Err(message) => return Ok(complain(&message)),
    };
    let options = args.options();
    let done = campaign::run(&loaded, &options, out);
    if let Some(mut file) = trace
        && let Err(error) = campaign::trace(&loaded, &options, &mut file)
    {
        // The verdict stands whatever became of the trace.
        let _ = writeln!(io::stderr(), "warning: the trace is not complete: {error}");
    }
    done.map(Exit::from)
}

/// The file that a trace is written to: any but the scenario itself.
fn trace_file(path: &Path, scenario: &Path) -> Result<File, String> {
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(path, scenario) {
        return Err(format!("error: the trace would overwrite the scenario {}", printable(path)));
    }
    File::create(path).map_err(|e| format!("error: the trace cannot be written to {}: {e}", printable(path)))
}

/// A finding file says itself what to run; a scenario is told the seed.
fn replay(args: &ReplayArgs, out: &mut dyn Write) -> io::Result<Exit> {
    match found::open(&args.file) {
        Some(Ok(finding)) => return replay_finding(&finding, args, out),
        Some(Err(message)) => return Ok(complain(&format!("error: {}: {message}", printable(&args.file)))),
        None => {}
    }
    let loaded = match open(&args.file) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    let options = args.options(&loaded.scenario);
    match cell(&loaded, args.cell.as_deref()) {
        Ok(_) if options.is_many(&loaded.scenario) => Ok(complain(
            "error: an enumeration has many executions with this seed; name one: `--deviate`, or its finding file",
        )),
        Ok(cell) => {
            replay::replay(&loaded, cell, &options, &Original::with_digest(options.digest), out).map(Exit::from)
        }
        Err(message) => Ok(complain(&message)),
    }
}

fn replay_finding(finding: &Finding, args: &ReplayArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let label = Some(finding.found.cell.as_str()).filter(|label| !label.is_empty());
    match cell(&finding.loaded, label) {
        Ok(cell) => {
            let options = finding.options(args.options(&finding.loaded.scenario));
            replay::replay(&finding.loaded, cell, &options, &finding.original, out).map(Exit::from)
        }
        Err(message) => Ok(complain(&message)),
    }
}

/// A finding file says itself what to reduce; a scenario is told the seed, or its first one that finds anything is taken.
fn shrink(args: &ReplayArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let (loaded, options, seeds, label) = match found::open(&args.file) {
        Some(Ok(finding)) => {
            let options = finding.options(args.options(&finding.loaded.scenario));
            let label = Some(finding.found.cell).filter(|label| !label.is_empty());
            (finding.loaded, options, None, label)
        }
        Some(Err(message)) => return Ok(complain(&format!("error: {}: {message}", printable(&args.file)))),
        None => match open(&args.file) {
            Ok(loaded) => {
                let options = args.options(&loaded.scenario);
                let seeds = Some(loaded.scenario.seeds.clone()).filter(|_| !args.names_seed());
                (loaded, options, seeds, args.cell.clone())
            }
            Err(exit) => return Ok(exit),
        },
    };
    match cell(&loaded, label.as_deref()) {
        Ok(_) if options.is_many(&loaded.scenario) => Ok(complain(
            "error: an enumeration has many executions with this seed; name one: `--deviate`, or its finding file",
        )),
        Ok(cell) => {
            let seeds = seeds.unwrap_or(options.seed..options.seed + 1);
            keep::shrink(&loaded, cell, seeds, &options.how(), out).map(Exit::from)
        }
        Err(message) => Ok(complain(&message)),
    }
}

fn keep_finding(args: &KeepArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let finding = match found::open(&args.file) {
        Some(Ok(finding)) => finding,
        Some(Err(message)) => return Ok(complain(&format!("error: {}: {message}", printable(&args.file)))),
        None => return Ok(complain(&format!("error: {} is not a finding file", printable(&args.file)))),
    };
    let label = Some(finding.found.cell.as_str()).filter(|label| !label.is_empty());
    let (seed, how) = (finding.found.seed, finding.how());
    match cell(&finding.loaded, label).map(|cell| keep::keep(cell, seed, &how, &args.name, &args.dir)) {
        Ok(Ok(path)) => {
            let path = printable(&path);
            writeln!(out, "wrote {path}\n\n  run it    millpond run {path}\n\nthe test suite runs it from here on")?;
            Ok(Exit::Expected)
        }
        Ok(Err(error)) => Ok(complain(&format!("error: {error}"))),
        Err(message) => Ok(complain(&message)),
    }
}

/// Looks at every file, also after a bad one.
fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let mut exit = Exit::Expected;
    for file in &args.files {
        match open(file) {
            Ok(loaded) => writeln!(out, "{}", ok_line(&loaded))?,
            Err(bad) => exit = bad,
        }
    }
    Ok(exit)
}

fn new(args: &NewArgs, out: &mut dyn Write) -> io::Result<Exit> {
    match scaffold(&args.name, &args.dir) {
        Ok(path) => {
            let path = printable(&path);
            writeln!(out, "wrote {path}\n\n  check it  millpond check {path}\n  run it    millpond run {path}")?;
            Ok(Exit::Expected)
        }
        Err(error) => Ok(complain(&format!("error: {error}"))),
    }
}

fn list_all(args: &ListArgs, out: &mut dyn Write) -> io::Result<Exit> {
    list(args.topic, args.json, out).map(|()| Exit::Expected)
}

/// The scenario in a file; what is wrong with it goes to standard error.
fn open(file: &Path) -> Result<Loaded, Exit> {
    load(file).map_err(|error: LoadError| complain(error.render(colour()).trim_end()))
}

/// The cell of a sweep that a label names; the only one needs no label.
fn cell<'a>(loaded: &'a Loaded, label: Option<&str>) -> Result<&'a Cell, String> {
    let labels = || loaded.cells.iter().map(|c| c.label.as_str());
    let file = printable(&loaded.path);
    match label {
        None if loaded.cells.len() == 1 => Ok(&loaded.cells[0]),
        None => Err(format!(
            "error: {file} has {} cells; name one: --cell \"{}\"",
            loaded.cells.len(),
            loaded.cells[0].label
        )),
        Some(label) => loaded.cells.iter().find(|c| c.label == label).ok_or_else(|| {
            let other = nearest(label, labels()).unwrap_or(&loaded.cells[0].label);
            format!("error: {file} has no cell \"{label}\"; did you mean --cell \"{other}\"?")
        }),
    }
}

/// `ok FILE: 1 cell x 16 seeds`.
fn ok_line(loaded: &Loaded) -> String {
    let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let seeds = loaded.scenario.seeds.end - loaded.scenario.seeds.start;
    let cells = plural(loaded.cells.len() as u64, "cell");
    format!("ok {}: {cells} x {}", printable(&loaded.path), plural(seeds, "seed"))
}

/// Says on standard error what is wrong with the input.
fn complain(message: &str) -> Exit {
    // If nobody can read it, the exit code still tells.
    let _ = writeln!(io::stderr(), "{message}");
    Exit::BadInput
}

fn colour() -> Colour {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && io::stderr().is_terminal() { Colour::Ansi } else { Colour::None }
}
