//! A finding told: what, where, the object's life by thread and step, and how to see it again.

use super::numbers::{count, time};
use crate::outcome::Outcome;
use crate::run::Command;
use crate::threads::On;
use std::fmt::Write;

/// Lines of one story at most: the beginning and the end of a longer one are shown.
const LINES_MAX: usize = 24;

/// The text of `outcome`'s deciding finding; `None` if it has none.
pub fn tell(outcome: &Outcome, expected: bool, command: &Command, file: Option<&str>) -> Option<String> {
    let finding = outcome.finding()?;
    let mut out = String::new();
    let mark = if expected { "expected" } else { "not expected" };
    let cell = if command.cell.is_empty() { String::new() } else { format!("cell {}, ", command.cell) };
    let place = match command.on {
        On::Sim => format!("step {}, t = ", count(finding.step)),
        On::Std => "on real threads, t = ".to_string(),
    };
    let at = time(finding.story.last().map_or(outcome.now, |line| line.time));
    let _ = writeln!(out, "FOUND {} ({mark})   {cell}seed {}, {place}{at}", finding.kind, outcome.seed);
    match finding.object {
        Some((kind, serial)) => {
            let _ = writeln!(out, "  {kind} #{serial} {}", finding.text);
        }
        None => {
            for line in finding.text.lines() {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
    if let Some(swarm) = &outcome.swarm {
        let _ = writeln!(out, "  this seed drew: {swarm}");
    }
    let memory = outcome.told_memory().map(|memory| format!("the memory is {memory}"));
    let turn = outcome.turn.as_ref().map(|turn| format!("found by the portfolio's {turn}"));
    let how: Vec<String> = turn.into_iter().chain(memory).collect();
    if !how.is_empty() {
        let _ = writeln!(out, "  {}", how.join("; "));
    }
    // A real thread counts its own operations.
    out.push_str(&life(outcome, if command.on == On::Sim { "step" } else { "operation" }));
    for other in outcome.findings.iter().skip(1).take(4) {
        let object = other.object.map(|(kind, serial)| format!("{kind} #{serial} ")).unwrap_or_default();
        let _ = writeln!(out, "  also {}: {object}{}", other.kind, other.text);
    }
    if outcome.findings.len() > 5 {
        let _ = writeln!(out, "  and {} more", outcome.findings.len() - 5);
    }
    if command.on == On::Std {
        let _ = writeln!(out, "\n  again    {}", command.again(outcome));
        let _ = writeln!(
            out,
            "           (real threads: it may take another course; without `--platform std` a seed is an execution)"
        );
        let _ = writeln!(out, "  built    {}", crate::built());
        return Some(out);
    }
    let _ = writeln!(out, "\n  replay   {}", command.replay(outcome));
    if let Some(file) = file {
        let _ = writeln!(out, "  or       {}", command.replay_file(file));
    }
    let _ = writeln!(out, "  built    {}, trace digest {:016x}", crate::built(), outcome.digest);
    Some(out)
}

fn life(outcome: &Outcome, steps: &str) -> String {
    let Some(finding) = outcome.finding() else { return String::new() };
    let story = &finding.story;
    let names = story.iter().map(|l| outcome.thread(l.thread.0).len()).max().unwrap_or_default();
    let whats = story.iter().map(|l| l.what.len()).max().unwrap_or_default().min(60);
    let mut out = String::new();
    for (i, line) in story.iter().enumerate() {
        let hidden = story.len().saturating_sub(LINES_MAX);
        if hidden > 0 && i >= LINES_MAX / 2 && i < LINES_MAX / 2 + hidden {
            if i == LINES_MAX / 2 {
                let _ = writeln!(out, "    ... {hidden} more ...");
            }
            continue;
        }
        let _ = writeln!(
            out,
            "    {:<whats$}  {:<names$}  {steps} {:>7}  {}",
            line.what,
            outcome.thread(line.thread.0),
            count(line.step),
            line.site
        );
    }
    out
}
