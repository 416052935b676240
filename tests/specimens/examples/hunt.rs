//! Executions to the first finding: every specimen, every tester, the median over seeds, as Markdown.
//!
//! ```text
//! cargo run --release -p millpond-specimens --features peers --example hunt -- --noise 30
//! ```
//!
//! `--only TEXT`: specimens whose name contains it. `--testers TEXT,TEXT`: testers likewise. `--seeds N` (31). `--limit N`: executions of
//! one hunt (100,000); what two hunts miss is not looked for again. `--seconds N`: time of one hunt (5). `--jobs N`: specimens hunted
//! at once (1). `--times 1`: the median of the processor's time in microseconds too.

use millpond_specimens::options::Options;
use millpond_specimens::testers::{Hunt, Outcome, Tester, chosen, silence};
use std::fmt::Write;
use std::time::Duration;

/// A cell of the table, and what the mean takes of it.
struct Cell {
    text: String,
    median: Option<f64>,
}

fn main() {
    let options = Options::of_command_line(&["noise", "only", "testers", "seeds", "limit", "seconds", "jobs", "times"]);
    silence();
    let testers = chosen(options.text("testers"));
    let programs = testers[0].programs_named(options.text("only"));
    let work: Vec<_> = programs.iter().flat_map(|&p| (0..testers.len()).map(move |t| (p, t))).collect();
    let cells = options.on_all_jobs(&work, |&(program, tester)| {
        let tester = &testers[tester];
        let cell = cell(&options, tester, program);
        eprintln!("{} | {} | {}", tester.programs[program].about.name, tester.name, cell.text);
        cell
    });
    print!("{}", table(&testers, &programs, &cells));
}

/// The cells are those of the first program and all testers, then of the second one.
fn table(testers: &[Tester], programs: &[usize], cells: &[Cell]) -> String {
    let mut text = row("specimen", "needs", testers.iter().map(|tester| tester.name.clone()));
    text += &row("---", "---", testers.iter().map(|_| "---".to_string()));
    let rows: Vec<&[Cell]> = cells.chunks(testers.len()).collect();
    for (&program, cells) in programs.iter().zip(&rows) {
        let about = testers[0].programs[program].about;
        text += &row(about.name, &format!("{:?}", about.needs), cells.iter().map(|cell| cell.text.clone()));
    }
    let found = |t: usize| rows.iter().filter(|row| row[t].median.is_some()).count();
    text += &row(&format!("**found, of {}**", programs.len()), "", (0..testers.len()).map(|t| found(t).to_string()));
    let by_all: Vec<_> = rows.iter().filter(|row| row.iter().all(|cell| cell.median.is_some())).collect();
    let mean = |t: usize| {
        let logs: f64 = by_all.iter().filter_map(|row| row[t].median).map(f64::ln).sum();
        format!("{:.1}", (logs / by_all.len().max(1) as f64).exp())
    };
    let name = format!("geometric mean of the {} that all found", by_all.len());
    text + &row(&name, "", (0..testers.len()).map(mean))
}

fn row(first: &str, second: &str, others: impl Iterator<Item = String>) -> String {
    let mut text = format!("| {first} | {second} |");
    others.for_each(|other| write!(text, " {other} |").expect("a string grows"));
    text + "\n"
}

fn cell(options: &Options, tester: &Tester, program: usize) -> Cell {
    let executions = options.number("limit", 100_000);
    let time = Duration::from_secs(options.number("seconds", 5));
    let noise = usize::try_from(options.number("noise", 0)).expect("not so much noise");
    let seeds = if tester.is_seeded { options.number("seeds", 31) } else { 1 };
    let (mut found, mut missed) = (Vec::<Outcome>::new(), Vec::<Outcome>::new());
    for seed in 0..seeds {
        let outcome = tester.hunt(Hunt { program, twin: false, noise, seed, executions, time });
        if outcome.failure.is_some() { &mut found } else { &mut missed }.push(outcome);
        if found.is_empty() && missed.len() == 2 {
            break;
        }
    }
    if let (true, Some(missed)) = (found.is_empty(), missed.first()) {
        let word = if missed.is_complete { "complete in" } else { ">" };
        return Cell { text: format!("{word} {}", missed.executions), median: None };
    }
    // Those that missed it count as later than all others.
    let middle = usize::try_from(seeds / 2).expect("few seeds");
    let share = if missed.is_empty() { String::new() } else { format!(" ({}/{seeds})", found.len()) };
    found.sort_by_key(|outcome| outcome.executions);
    let Some(median) = found.get(middle).map(|outcome| outcome.executions) else {
        return Cell { text: format!("> {executions}{share}"), median: None };
    };
    found.sort_by_key(|outcome| outcome.time);
    let micros = found[middle].time.as_micros();
    let times = if options.number("times", 0) > 0 { format!(", {micros} µs") } else { String::new() };
    Cell { text: format!("{median}{share}{times}"), median: Some(median as f64) }
}
