//! One JSON object a line, for programs. `"v"` is the version of the format: 1.
//!
//! **Invariant: the lines are those of the text, in the same order**: one for each execution, one for each cell, and last
//! a `summary`.

use super::Verdict;
use crate::exit::Exit;
use crate::observed::Sample;
use crate::outcome::{CellSummary, Outcome};
use crate::run::Command;
use crate::scenario::{Cell, Metric, Scenario};
use millpond_model::observe::Reach;
use serde_json::{Map, Value, json};

/// One execution.
pub fn execution(cell: &Cell, outcome: &Outcome, command: &Command) -> Value {
    let findings: Vec<Value> = outcome
        .findings
        .iter()
        .map(|f| {
            json!({
                "finding": f.kind.to_string(),
                "text": f.text,
                "step": f.step,
                "object": f.object.map(|(kind, serial)| json!({ "kind": kind.to_string(), "serial": serial })),
                "story": f.story.iter().map(|l| json!({
                    "thread": outcome.thread(l.thread.0), "step": l.step,
                    "t_ns": u64::try_from(l.time.as_nanos()).unwrap_or(u64::MAX), "site": l.site, "what": l.what,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut line = json!({
        "v": 1, "kind": "execution", "cell": cell.label, "seed": outcome.seed,
        "digest": format!("{:016x}", outcome.digest), "steps": outcome.steps, "events": outcome.events,
        "findings": findings,
    });
    if let Some(all) = &outcome.enumeration {
        line["enumeration"] = json!({
            "preemptions": all.preemptions, "schedules": all.schedules, "complete": all.complete, "steps": all.steps,
        });
    }
    if outcome.finding().is_some() {
        line["replay"] = Value::String(command.replay(outcome));
    }
    line
}

/// One cell.
pub fn cell(cell: &Cell, summary: &CellSummary) -> Value {
    let reached: Map<String, Value> = Reach::ALL
        .iter()
        .zip(summary.reached)
        .filter(|(_, n)| *n > 0)
        .map(|(point, n)| (format!("{point:?}"), json!(n)))
        .collect();
    let found: Map<String, Value> = summary.found.iter().map(|(k, n)| (k.to_string(), json!(n))).collect();
    let samples: Vec<Value> = summary.first.iter().flat_map(|o| o.samples.0.iter()).map(sample).collect();
    let mut line = json!({
        "v": 1, "kind": "cell", "cell": cell.label, "executions": summary.executions, "steps": summary.steps,
        "distinct_schedules": summary.distinct.len(), "found": found, "reached": reached, "samples": samples,
        "attribution": summary.first.iter().flat_map(attribution).collect::<Vec<_>>(),
    });
    if let Some(all) = &summary.enumerated {
        line["enumeration"] = json!({
            "preemptions": all.preemptions, "seeds": all.seeds, "schedules": all.schedules, "complete": all.is_complete(),
        });
    }
    line
}

/// The attribution matrix of each pooled type, a cell a row.
fn attribution(outcome: &Outcome) -> Vec<Value> {
    let rows =
        outcome.kinds.iter().flat_map(|(kind, ledger)| ledger.attribution.cells().map(move |cell| (*kind, cell)));
    rows.map(|(kind, (obtained, released, fates))| {
        json!({
            "kind": kind.to_string(), "obtained_on": outcome.thread(obtained.0),
            "released_on": outcome.thread(released.0), "objects": fates.total(), "fates": fates,
        })
    })
    .collect()
}

fn sample(sample: &Sample) -> Value {
    let metrics: Map<String, Value> =
        Metric::ALL.iter().map(|m| (format!("{m:?}"), json!(sample.metric(*m)))).collect();
    let pools: Vec<Value> =
        sample.pools.iter().map(|r| json!({ "kind": r.kind.to_string(), "total": r.total() })).collect();
    json!({ "step": sample.step, "at_write": sample.at_write, "metrics": metrics, "pools": pools })
}

/// The end.
pub fn summary(scenario: &Scenario, executions: u64, verdict: Verdict, why: &[String]) -> Value {
    json!({
        "v": 1, "kind": "summary", "name": scenario.name, "expect": format!("{:?}", scenario.expect),
        "executions": executions, "verdict": format!("{verdict:?}"), "why": why, "exit": Exit::from(verdict) as u8,
    })
}
