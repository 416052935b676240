//! The verdict in words: who obtained, who released, what stayed, what stopped it, what decays, and whether closing matters.
//!
//! **Invariant: every clause is read from the executions.** A clause whose premise does not hold is not printed, so that
//! the text can't say more than the numbers.

use super::columns::{crossing_bytes, drops};
use super::numbers::{bytes, count};
use super::wrap;
use crate::ledger::Fates;
use crate::observed::{CROSSING, Sample, Samples};
use crate::outcome::{CellSummary, Outcome};
use crate::scenario::{Cell, Metric, Scenario, Step};
use millpond_model::observe::Kind;
use millpond_model::platform::ThreadId;
use std::collections::{BTreeMap, BTreeSet};

/// Pooled types, in the order in which they are spoken of.
const POOLED: [Kind; 5] =
    [Kind::WriteTask, Kind::WriteAndFlushTask, Kind::OutboundEntry, Kind::BufferShell, Kind::Object];

/// The whole text: a paragraph for each thing that can be said.
pub fn retention(scenario: &Scenario, cells: &[(&Cell, &CellSummary)]) -> String {
    let runs: Vec<(&str, &Outcome)> =
        cells.iter().filter_map(|(c, s)| Some((c.label.as_str(), s.first.as_ref()?))).collect();
    let mut paragraphs = vec![crossing(&runs)];
    if let Some((burst, drain)) = first_burst(scenario) {
        paragraphs.push(plateau(burst, drain, &runs));
        paragraphs.push(quiet(scenario, drain, &runs));
    }
    paragraphs.push(decay(scenario, &runs));
    paragraphs.push(close(scenario, &runs));
    paragraphs.retain(|p| !p.is_empty());
    paragraphs.iter().map(|p| wrap(p, "  ")).collect::<Vec<_>>().join("\n")
}

/// `business-3` and `business-17.2` belong to the group `business`.
fn group(thread: &str) -> &str {
    thread.rsplit_once('-').map_or(thread, |(group, _)| group)
}

/// What became of the objects of `kind`, by group of the obtaining and of the releasing thread. The flag tells whether
/// it was the same thread.
pub fn flows(outcome: &Outcome, kind: Kind) -> BTreeMap<(String, String, bool), Fates> {
    let mut flows: BTreeMap<(String, String, bool), Fates> = BTreeMap::new();
    if let Some(ledger) = outcome.kind(kind) {
        for (obtained, released, fates) in ledger.attribution.cells() {
            let key = (
                group(outcome.thread(obtained.0)).to_string(),
                group(outcome.thread(released.0)).to_string(),
                obtained == released,
            );
            flows.entry(key).or_default().add(fates);
        }
    }
    flows
}

fn crossing(runs: &[(&str, &Outcome)]) -> String {
    let mut across: BTreeMap<(Kind, String, String), u64> = BTreeMap::new();
    let mut same: BTreeMap<(Kind, String), u64> = BTreeMap::new();
    for kind in POOLED {
        for (_, outcome) in runs {
            for ((obtained, released, same_thread), fates) in flows(outcome, kind) {
                if same_thread {
                    *same.entry((kind, obtained)).or_default() += fates.total();
                } else {
                    *across.entry((kind, obtained, released)).or_default() += fates.total();
                }
            }
        }
    }
    if across.is_empty() {
        return match same.is_empty() {
            true => String::new(),
            false => {
                "No pooled object crossed threads: each was released by the thread that had obtained it.".to_string()
            }
        };
    }
    let mut text = String::from("What crossed threads:");
    for ((kind, obtained, released), n) in &across {
        text.push_str(&format!(" {kind}, obtained on {obtained}-* and released on {released}-*, {} times;", count(*n)));
    }
    text.pop();
    text.push('.');
    let quiet: Vec<String> = same
        .iter()
        .filter(|((kind, _), _)| !across.keys().any(|(k, _, _)| k == kind))
        .map(|((kind, group), n)| format!("{kind} on {group}-*, {} times", count(*n)))
        .collect();
    if !quiet.is_empty() {
        text.push_str(&format!(" Obtained and released by one and the same thread: {}.", quiet.join("; ")));
    }
    text
}

/// The first phase with stalled loops and the drain that follows it.
fn first_burst(scenario: &Scenario) -> Option<(&str, &str)> {
    let at = scenario
        .workload
        .iter()
        .position(|s| matches!(s, Step::Phase(p) if p.loops_are == crate::scenario::Loops::Stalled))?;
    let drain = scenario.workload[at..].iter().find(|s| matches!(s, Step::Drain(_)))?;
    Some((scenario.workload[at].name(), drain.name()))
}

fn plateau(burst: &str, drain: &str, runs: &[(&str, &Outcome)]) -> String {
    // Cells that say the same are spoken of together.
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    let mut backlog = None;
    for (label, outcome) in runs {
        let Some(sample) = outcome.samples.after(drain) else { continue };
        backlog = backlog.or_else(|| outcome.samples.after(burst).map(|s| s.metric(Metric::QueuedTasks)));
        let sentence = kept(sample, &outcome.samples, drain);
        match groups.iter_mut().find(|(s, _)| *s == sentence) {
            Some((_, labels)) => labels.push(label),
            None => groups.push((sentence, vec![label])),
        }
    }
    let Some(backlog) = backlog else { return String::new() };
    let mut text = format!(
        "What stayed: while the loops were stalled {} tasks queued up, live memory that no pool can answer for. After \
         \"{drain}\" every one of them had run, and yet:",
        count(backlog)
    );
    for (sentence, labels) in groups {
        text.push_str(&format!("\n    {:<22} {sentence}", labels.join(", ")));
    }
    text
}

fn kept(sample: &Sample, samples: &Samples, drain: &str) -> String {
    let retained = sample.metric(Metric::CrossThreadRetained);
    let drops: Vec<_> = drops(samples, drain).unwrap_or_default();
    let dropped: u64 = drops.iter().map(|(_, n)| n).sum();
    let size = bytes(crossing_bytes(sample));
    if retained == 0 {
        return "nothing stayed".to_string();
    }
    if dropped == 0 {
        return format!("{} stay ({size}): nothing stopped it", count(retained));
    }
    let caps: Vec<String> = drops
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(reason, n)| format!("{} let go of {}", named(super::columns::cap(*reason)), count(*n)))
        .collect();
    format!("{} stay ({size}); {}", count(retained), caps.join(", "))
}

fn named(cap: &str) -> String {
    match cap {
        "never poolable" => "the ratio at creation".to_string(),
        cap => format!("the {cap}"),
    }
}

fn quiet(scenario: &Scenario, drain: &str, runs: &[(&str, &Outcome)]) -> String {
    let Some(at) = scenario.workload.iter().position(|s| s.name() == drain) else { return String::new() };
    let idle: Vec<&str> = scenario.workload[at + 1..]
        .iter()
        .take_while(|s| matches!(s, Step::Idle(_) | Step::Collect(_)))
        .map(Step::name)
        .collect();
    let Some(last) = idle.last() else { return String::new() };
    let changed: Vec<&str> = runs
        .iter()
        .filter(|(_, o)| {
            let value = |step| o.samples.after(step).map(|s| s.metric(Metric::CrossThreadRetained));
            value(drain) != value(last)
        })
        .map(|(label, _)| *label)
        .collect();
    let steps = idle.iter().map(|s| format!("\"{s}\"")).collect::<Vec<_>>().join(" and ");
    match changed.is_empty() {
        true => format!(
            "What time and collection do: nothing. After {steps} every version keeps exactly what it kept before."
        ),
        false => format!("What time and collection do: after {steps} the pools of {} changed.", changed.join(", ")),
    }
}

fn decay(scenario: &Scenario, runs: &[(&str, &Outcome)]) -> String {
    let Some(phase) = scenario.workload.iter().find_map(|s| match s {
        Step::Phase(p) if p.sample_at.len() > 1 => Some(p),
        _ => None,
    }) else {
        return String::new();
    };
    let (mut decays, mut stays) = (Vec::new(), Vec::new());
    for (label, outcome) in runs {
        let curve: Vec<(u64, u64)> = phase
            .sample_at
            .iter()
            .filter_map(|k| Some((*k, super::columns::curve_point(&outcome.samples, &phase.name, *k)?)))
            .collect();
        let (Some(first), Some(last)) = (curve.first(), curve.last()) else { continue };
        if last.1 < first.1 {
            let floor = curve.iter().find(|(_, n)| *n == last.1).unwrap_or(last);
            decays.push(format!("{label} ({} to {} within {} writes)", count(first.1), count(last.1), count(floor.0)));
        } else {
            stays.push(*label);
        }
    }
    let mut text = String::new();
    if !decays.is_empty() {
        text.push_str(&format!("What decays with use: {}, and then no further.", decays.join(", ")));
    }
    if !stays.is_empty() {
        text.push_str(&format!(
            "{}What never decays: {} {} what the burst left after {} more writes.",
            if text.is_empty() { "" } else { " " },
            stays.join(", "),
            if stays.len() == 1 { "keeps" } else { "keep" },
            count(*phase.sample_at.last().unwrap_or(&0))
        ));
    }
    text.push_str(
        " Only the thread that obtains can use up what was kept for it: a thread that is idle keeps it for ever.",
    );
    text
}

fn close(scenario: &Scenario, runs: &[(&str, &Outcome)]) -> String {
    let Some(step) = scenario.workload.iter().find(|s| matches!(s, Step::Close(_))).map(Step::name) else {
        return String::new();
    };
    let mut changed = Vec::new();
    let mut judged = 0;
    for (label, outcome) in runs {
        let value = |s: Option<&Sample>| s.map(|s| s.metric(Metric::CrossThreadRetained));
        let (before, after) = (value(outcome.samples.before(step)), value(outcome.samples.after(step)));
        if before.is_none() || after.is_none() {
            continue;
        }
        judged += 1;
        if before != after {
            changed.push(*label);
        }
    }
    if judged == 0 {
        return String::new();
    }
    if changed.is_empty() {
        return "The close path: closing every channel left these pools exactly as they were. What close releases was \
                obtained on the same loop. It is not the cause."
            .to_string();
    }
    format!("The close path: closing changed the pools of {}.", changed.join(", "))
}

/// One line for each pooled type: how many objects went from which threads to which, and what became of them.
pub fn attribution(outcome: &Outcome) -> String {
    let mut rows = Vec::new();
    for kind in POOLED {
        for ((obtained, released, same), fates) in flows(outcome, kind) {
            let to = if same { "the same thread".to_string() } else { format!("{released}-*") };
            let dropped: Vec<String> = fates
                .dropped
                .by_reason()
                .iter()
                .filter(|(_, n)| *n > 0)
                .map(|(reason, n)| format!("{} {}", super::columns::cap(*reason), count(*n)))
                .collect();
            rows.push(vec![
                kind.to_string(),
                format!("{obtained}-*"),
                to,
                count(fates.total()),
                count(fates.stored_by_owner + fates.stored_by_other),
                if dropped.is_empty() { "-".to_string() } else { dropped.join(", ") },
            ]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let head = ["pooled type", "obtained on", "released on", "objects", "stored", "dropped by"].map(str::to_string);
    super::numbers::table(&head, &rows)
}

/// Rows and columns of a matrix at most: more don't fit a screen, and are in the JSON.
const MATRIX_MAX: usize = 12;

/// For each pooled type that crosses threads, the matrix of *obtained on thread* by *released on thread*: how many objects.
pub fn matrices(outcome: &Outcome) -> String {
    let mut out = String::new();
    for kind in POOLED {
        let Some(ledger) = outcome.kind(kind) else { continue };
        let cells: Vec<_> = ledger.attribution.cells().collect();
        let threads = |f: fn(&(ThreadId, ThreadId, &Fates)) -> u32| {
            cells.iter().map(f).collect::<BTreeSet<u32>>().into_iter().collect::<Vec<u32>>()
        };
        let (rows, columns) = (threads(|c| c.0.0), threads(|c| c.1.0));
        let crosses = cells.iter().any(|(obtained, released, _)| obtained != released);
        if !crosses || rows.len() > MATRIX_MAX || columns.len() > MATRIX_MAX {
            continue;
        }
        let head: Vec<String> = [format!("{kind}, obtained on")]
            .into_iter()
            .chain(columns.iter().map(|c| format!("released on\n{}", outcome.thread(*c))))
            .collect();
        let number = |row: u32, column: u32| {
            let cell = cells.iter().find(|(o, r, _)| (o.0, r.0) == (row, column));
            cell.map_or_else(|| "-".to_string(), |(_, _, fates)| count(fates.total()))
        };
        let table: Vec<Vec<String>> = rows
            .iter()
            .map(|r| {
                [outcome.thread(*r).to_string()].into_iter().chain(columns.iter().map(|c| number(*r, *c))).collect()
            })
            .collect();
        out.push_str(&super::numbers::table(&head, &table));
        out.push('\n');
    }
    out
}

/// Whether the scenario compares what pools keep.
pub fn is_about_retention(scenario: &Scenario, cells: &[(&Cell, &CellSummary)]) -> bool {
    !scenario.table.is_empty()
        && cells.iter().any(|(_, s)| {
            s.first.as_ref().is_some_and(|o| CROSSING.iter().any(|k| o.kind(*k).is_some_and(|l| l.obtained > 0)))
        })
}
