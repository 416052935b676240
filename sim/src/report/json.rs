//! One JSON object a line, for programs. `"v"` is the version of the format: 1.
//!
//! **Invariant: the lines are those of the text, in the same order**: one for each execution, one for each cell, and last
//! a `summary`.

use super::Verdict;
use crate::enumerate::Bound;
use crate::exit::Exit;
use crate::observed::Sample;
use crate::outcome::{CellSummary, Outcome};
use crate::run::Command;
use crate::scenario::{Cell, Metric, Scenario};
use crate::threads::On;
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
        "v": 1, "kind": "execution", "cell": cell.label, "seed": outcome.seed, "findings": findings,
    });
    match command.on {
        On::Sim => {
            line["memory"] = json!(outcome.memory.to_string());
            line["digest"] = json!(format!("{:016x}", outcome.digest));
            line["steps"] = json!(outcome.steps);
            line["events"] = json!(outcome.events);
        }
        On::Std => {
            line["platform"] = json!("std");
            line["operations"] = json!(outcome.steps);
        }
    }
    if let Some(all) = &outcome.enumeration {
        line["enumeration"] = json!({
            "preemptions": all.bound.preemptions(), "schedules": all.schedules, "complete": all.complete, "steps": all.steps,
        });
        if all.bound == Bound::PartialOrders {
            line["enumeration"]["partial_orders"] = json!(all.classes);
        }
    }
    if outcome.finding().is_some() {
        let (key, again) = match command.on {
            On::Sim => ("replay", command.replay(outcome)),
            On::Std => ("again", command.again(outcome)),
        };
        line[key] = Value::String(again);
    }
    line
}

/// One cell.
pub fn cell(cell: &Cell, summary: &CellSummary, on: On) -> Value {
    let reached: Map<String, Value> = Reach::ALL
        .iter()
        .zip(summary.reached)
        .filter(|(_, n)| *n > 0)
        .map(|(point, n)| (format!("{point:?}"), json!(n)))
        .collect();
    let found: Map<String, Value> = summary.found.iter().map(|(k, n)| (k.to_string(), json!(n))).collect();
    let samples: Vec<Value> = summary.first.iter().flat_map(|o| o.samples.0.iter()).map(sample).collect();
    let mut line = json!({
        "v": 1, "kind": "cell", "cell": cell.label, "executions": summary.executions, "found": found,
        "reached": reached, "samples": samples,
        "attribution": summary.first.iter().flat_map(attribution).collect::<Vec<_>>(),
    });
    match on {
        On::Sim => {
            line["steps"] = json!(summary.steps);
            line["distinct_schedules"] = json!(summary.distinct.len());
        }
        On::Std => {
            line["platform"] = json!("std");
            line["operations"] = json!(summary.steps);
        }
    }
    if let Some(all) = &summary.enumerated {
        line["enumeration"] = json!({
            "preemptions": all.bound.preemptions(), "seeds": all.seeds, "schedules": all.schedules, "complete": all.is_complete(),
        });
        if all.bound == Bound::PartialOrders {
            line["enumeration"]["partial_orders"] = json!(all.classes);
        }
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
