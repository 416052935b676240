//! False alarms: every repaired twin, with and without noise, under every tester that was built, as Markdown.
//!
//! ```text
//! cargo run --release -p millpond-specimens --example alarms -- --testers portfolio --executions 10000000 --seconds 3600
//! ```
//!
//! `--executions N`: of each twin and noise (20,000). `--noise N`: only with so much. `--seconds N`: time of each (60).
//! `--only TEXT`, `--testers TEXT,TEXT`, `--seed N`, `--jobs N` as in `hunt`. Ends with 1 if there was an alarm.

use millpond_specimens::NOISE;
use millpond_specimens::options::Options;
use millpond_specimens::testers::{Hunt, chosen, silence};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let options = Options::of_command_line(&["executions", "noise", "seconds", "only", "testers", "seed", "jobs"]);
    silence();
    let testers = chosen(options.text("testers"));
    let programs: Vec<usize> = testers[0].programs_named(options.text("only"));
    let (executions, seed) = (options.number("executions", 20_000), options.number("seed", 0));
    let time = Duration::from_secs(options.number("seconds", 60));
    let noises = match options.text("noise") {
        "" => vec![0, NOISE],
        _ => vec![usize::try_from(options.number("noise", 0)).expect("not so much noise")],
    };
    let noises = &noises;
    let work: Vec<_> = (0..testers.len())
        .flat_map(|t| programs.iter().flat_map(move |&p| noises.iter().map(move |&noise| (t, p, noise))))
        .collect();
    let outcomes = options.on_all_jobs(&work, |&(tester, program, noise)| {
        testers[tester].hunt(Hunt { program, twin: true, noise, seed, executions, time })
    });
    println!("| tester | twins | executions | alarms |\n|---|---|---|---|");
    let mut alarms = 0;
    for (t, tester) in testers.iter().enumerate() {
        let mine = || work.iter().zip(&outcomes).filter(move |((tester, ..), _)| *tester == t);
        let all: u64 = mine().map(|(_, outcome)| outcome.executions).sum();
        let failed: Vec<_> = mine().filter(|(_, outcome)| outcome.failure.is_some()).collect();
        let named =
            |(_, p, noise): &(usize, usize, usize)| format!("{} (noise {noise})", tester.programs[*p].about.name);
        let list: Vec<String> = failed.iter().map(|(place, _)| named(place)).collect();
        println!("| {} | {} | {all} | {} {} |", tester.name, programs.len(), failed.len(), list.join(", "));
        for (place, outcome) in &failed {
            let words = outcome.failure.as_deref().unwrap_or_default();
            eprintln!("{}: {} at execution {}:\n{words}\n", tester.name, named(place), outcome.executions);
        }
        alarms += failed.len();
    }
    if alarms == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
