//! What a person reads.
//!
//! **Invariant: the text is a function of the outcomes.** Times of the host go to standard error, so that the same command
//! prints the same bytes whatever the number of jobs.

pub mod chrome;
pub mod columns;
pub mod explain;
pub mod json;
pub mod numbers;
pub mod story;

use crate::enumerate::Bound;
use crate::exit::Exit;
use crate::outcome::{CellSummary, Enumerated};
use crate::scenario::{Cell, Expect, Oracle, Preempt, Scenario};
use crate::threads::On;
use numbers::{count, plural};

/// Columns of running text.
const WIDTH: usize = 118;

/// The first lines: what is run.
pub fn title(scenario: &Scenario, cells: usize, strategy: Option<&str>) -> String {
    let strategy = strategy.map_or_else(|| format!("{:?}", scenario.schedule), str::to_string);
    let preempt = match scenario.preempt {
        Preempt::AtOperations => "preempted at operations",
        Preempt::AtTasks => "preempted at tasks",
    };
    format!("{}\n  {}, {strategy}, {preempt}\n", scenario.name, facts(scenario, cells))
}

/// As [`title`], for a run on real threads.
pub fn title_on_threads(scenario: &Scenario, cells: usize) -> String {
    let what = "on real threads: a stress run; a seed decides the workload, not the schedule; \
                `schedule` and `preempt` have no meaning here";
    format!("{}\n  {}\n{}", scenario.name, facts(scenario, cells), wrap(what, "  "))
}

fn facts(scenario: &Scenario, cells: usize) -> String {
    let t = &scenario.topology;
    let loops = plural(u64::from(t.event_loops), "loop", "loops");
    let threads = plural(u64::from(t.business_threads), "business thread", "business threads");
    let pools = if cells == 1 { scenario.pool.preset.to_string() } else { plural(cells as u64, "cell", "cells") };
    format!("{loops}, {threads}, {pools}")
}

/// One line of totals.
pub fn totals(cells: &[(&Cell, &CellSummary)], on: On) -> String {
    let sum = |f: fn(&CellSummary) -> u64| cells.iter().map(|(_, s)| f(s)).sum::<u64>();
    if on == On::Std {
        let runs = plural(sum(|s| s.executions), "execution", "executions");
        return format!("  {runs} on real threads, {} operations watched\n", count(sum(|s| s.steps)));
    }
    format!(
        "  {}, {}, {}\n",
        plural(sum(|s| s.executions), "execution", "executions"),
        plural(sum(|s| s.steps), "step", "steps"),
        plural(sum(|s| s.distinct.len() as u64), "distinct schedule", "distinct schedules"),
    )
}

/// For each cell, how many schedules were enumerated and whether that was all; empty if that was not asked for.
pub fn enumerations(cells: &[(&Cell, &CellSummary)]) -> String {
    let only = cells.len() == 1;
    let lines = cells.iter().filter_map(|(cell, summary)| {
        let cell = if only { String::new() } else { format!("cell {}: ", cell.label) };
        Some(format!("  {cell}{}\n", enumeration(summary.enumerated.as_ref()?)))
    });
    lines.collect()
}

fn enumeration(all: &Enumerated) -> String {
    let word = match all {
        all if all.is_complete() => "complete: ",
        all if all.cut == 0 => "not complete: a finding ended it after ",
        _ => "not complete: stopped after ",
    };
    let seeds = if all.seeds == 1 { String::new() } else { format!(" of {} seeds", count(all.seeds)) };
    let schedules = plural(all.schedules, "schedule", "schedules");
    match all.bound {
        Bound::Preemptions(n) => {
            let bound = plural(n.into(), "preemption", "preemptions");
            format!("{word}{schedules}{seeds} with at most {bound}")
        }
        // Nothing but plain enumeration could tell that these are all.
        Bound::PartialOrders => {
            let orders = plural(all.classes, "partial order", "partial orders");
            let (word, more) = match all {
                all if all.is_complete() => ("", "; there is no further one, by partial order reduction"),
                _ => (word, ""),
            };
            format!("{word}{schedules}{seeds} of {orders}{more}")
        }
    }
}

/// How a run came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As expected.
    AsExpected,
    /// Not as expected.
    NotAsExpected,
    /// Nothing wrong was found, but the run did not show what it claims.
    Inconclusive,
    /// The same seed gave two digests.
    Nondeterministic,
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::AsExpected => Self::Expected,
            Verdict::NotAsExpected => Self::Unexpected,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Nondeterministic => Self::Nondeterminism,
        }
    }
}

/// The verdict over all cells, with the sentences that say why. `complete` is false when the wall-clock budget cut the run. An
/// enumeration that a budget cut has proved nothing: it is inconclusive whether the scenario holds.
pub fn judge(scenario: &Scenario, cells: &[(&Cell, &CellSummary)], complete: bool) -> (Verdict, Vec<String>) {
    let mut why = Vec::new();
    let executions: u64 = cells.iter().map(|(_, s)| s.executions).sum();
    let cut = cells.iter().any(|(_, s)| s.enumerated.is_some_and(|all| all.cut > 0));
    let mut found = 0;
    let mut other = 0;
    for (_, summary) in cells {
        for (kind, n) in &summary.found {
            if scenario.expect == Expect::MustFind(*kind) {
                found += n;
            } else {
                other += n;
            }
        }
    }
    match scenario.expect {
        Expect::MustHold if other > 0 => {
            why.push(format!("{} of {} executions found something", count(other), count(executions)));
            return (Verdict::NotAsExpected, why);
        }
        Expect::MustFind(kind) if other > 0 => {
            why.push(format!("{} of {} executions found something else than {kind}", count(other), count(executions)));
            return (Verdict::NotAsExpected, why);
        }
        Expect::MustFind(kind) if found == 0 => {
            if !complete || cut {
                let budget = if complete { "budget" } else { "wall-clock budget" };
                why.push(format!("{kind} was not found before the {budget} was used up"));
                return (Verdict::Inconclusive, why);
            }
            why.push(format!("{kind} was not found in {}", plural(executions, "execution", "executions")));
            return (Verdict::NotAsExpected, why);
        }
        Expect::MustFind(kind) => why.push(format!("{kind} in {} of {} executions", count(found), count(executions))),
        Expect::MustHold => {}
    }
    let only = cells.len() == 1;
    let missed: Vec<String> = cells.iter().flat_map(|(cell, summary)| missed(scenario, cell, only, summary)).collect();
    if !missed.is_empty() {
        why.extend(missed);
        return (Verdict::Inconclusive, why);
    }
    if cut && scenario.expect == Expect::MustHold {
        let n = cells.iter().filter_map(|(_, s)| s.enumerated).map(|all| all.schedules).sum();
        let schedules = plural(n, "schedule", "schedules");
        why.push(format!("nothing was found in {schedules}, but there are more: raise the `budget`"));
        return (Verdict::Inconclusive, why);
    }
    if !complete {
        why.push(format!(
            "the wall-clock budget ended the run after {}",
            plural(executions, "execution", "executions")
        ));
        return (Verdict::Inconclusive, why);
    }
    (Verdict::AsExpected, why)
}

fn missed(scenario: &Scenario, cell: &Cell, only: bool, summary: &CellSummary) -> Vec<String> {
    scenario
        .oracles
        .iter()
        .filter_map(|oracle| match oracle {
            Oracle::Sometimes(point) if summary.times(*point) == 0 => {
                let n = plural(summary.executions, "execution", "executions");
                let cell = if only { String::new() } else { format!(" of cell {}", cell.label) };
                Some(format!("Sometimes({point:?}): reached in 0 of {n}{cell}"))
            }
            _ => None,
        })
        .collect()
}

/// The last lines.
pub fn closing(verdict: Verdict, why: &[String]) -> String {
    let word = match verdict {
        Verdict::AsExpected => "ok: verdict as expected",
        Verdict::NotAsExpected => "FAILED: verdict not as expected",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Nondeterministic => "NONDETERMINISTIC: the same seed gave two executions",
    };
    if why.is_empty() { format!("{word}\n") } else { format!("{word}: {}\n", why.join("; ")) }
}

/// Breaks running text at [`WIDTH`]; lines that begin with a space are left as they are.
fn wrap(text: &str, indent: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with(' ') {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let mut at = 0;
        for word in line.split_whitespace() {
            if at == 0 {
                out.push_str(indent);
                at = indent.len();
            } else if at + 1 + word.chars().count() > WIDTH {
                out.push('\n');
                out.push_str(indent);
                at = indent.len();
            } else {
                out.push(' ');
                at += 1;
            }
            out.push_str(word);
            at += word.chars().count();
        }
        out.push('\n');
    }
    out
}
