//! Oracles and columns refer to steps that exist, and an expected finding has a reason to be found.

use millpond_model::preset::Preset;

use super::Flaws;
use crate::ledger::FindingKind;
use crate::scenario::{Budget, Column, Expect, Oracle, Scenario, Step, Sweep, limits};
use crate::suggest::{grouped, nearest, quoted};

pub fn check(flaws: &mut Flaws, scenario: &Scenario) {
    flaws.count("oracles", "oracles", scenario.oracles.len(), limits::ORACLES);
    flaws.count("table", "columns", scenario.table.len(), limits::COLUMNS);
    for (i, oracle) in scenario.oracles.iter().enumerate().take(limits::ORACLES) {
        if let Oracle::Bounded { at_least, at_most, .. } = oracle {
            bounds(flaws, &format!("oracles[{i}].Bounded"), *at_least, *at_most);
        }
        let (kind, key, step) = match oracle {
            Oracle::Bounded { after: Some(step), .. } => ("Bounded", "after", step),
            Oracle::Drains { after: Some(step), .. } => ("Drains", "after", step),
            Oracle::Unchanged { during, .. } => ("Unchanged", "during", during),
            _ => continue,
        };
        exists(flaws, &format!("oracles[{i}].{kind}.{key}"), step, scenario);
    }
    if let Some(i) = scenario.oracles.iter().position(|o| *o == Oracle::LeaksAreFound)
        && scenario.allocator.leak_detection.is_none()
    {
        let message = "nobody looks for leaks in this scenario";
        flaws.add(format!("oracles[{i}]"), message, "nobody looks").help =
            Some("write `allocator: (leak_detection: Paranoid)`".to_string());
    }
    for (i, column) in scenario.table.iter().enumerate().take(limits::COLUMNS) {
        self::column(flaws, i, column, scenario);
    }
    expectation(flaws, scenario);
}

/// A bound that every value keeps, or none, is a mistake.
fn bounds(flaws: &mut Flaws, at: &str, at_least: u64, at_most: u64) {
    if at_least > at_most {
        let message = format!(
            "`at_least` is {} and `at_most` is {}: no value is within these limits",
            grouped(at_least.into()),
            grouped(at_most.into())
        );
        flaws.add(format!("{at}.at_least"), message, "the wrong way round");
    } else if (at_least, at_most) == (0, u64::MAX) {
        flaws.add(at, "`Bounded` has no limit: every value is within it", "no limit").help =
            Some("add `at_most: ...` or `at_least: ...`".to_string());
    }
}

/// The step of this name.
fn exists<'a>(flaws: &mut Flaws, path: &str, name: &str, scenario: &'a Scenario) -> Option<&'a Step> {
    let steps = &scenario.workload[..scenario.workload.len().min(limits::STEPS)];
    let found = steps.iter().find(|s| s.name() == name);
    if found.is_none() {
        let names: Vec<String> = steps.iter().map(|s| quoted(s.name())).collect();
        let help = match nearest(name, steps.iter().map(Step::name)) {
            Some(other) => format!("did you mean {}?", quoted(other)),
            None => format!("the steps are {}", names[..names.len().min(12)].join(", ")),
        };
        flaws.add(path, format!("no step is called {}", quoted(name)), "unknown step").help = Some(help);
    }
    found
}

fn column(flaws: &mut Flaws, index: usize, column: &Column, scenario: &Scenario) {
    let (kind, key, name) = match column {
        Column::Retained { after } => ("Retained", "after", after),
        Column::Bytes { after } => ("Bytes", "after", after),
        Column::PerThread { after } => ("PerThread", "after", after),
        Column::Queues { after } => ("Queues", "after", after),
        Column::Created { during } => ("Created", "during", during),
        Column::StoppedBy { during } => ("StoppedBy", "during", during),
        Column::Curve { during } => ("Curve", "during", during),
        Column::Queued { after } => ("Queued", "after", after),
        Column::Value { after, .. } => ("Value", "after", after),
    };
    let path = format!("table[{index}].{kind}.{key}");
    let Some(step) = exists(flaws, &path, name, scenario) else { return };
    if let Column::Curve { .. } = column
        && !matches!(step, Step::Phase(p) if !p.sample_at.is_empty())
    {
        let message = format!("{} has no sampling points to draw a curve through", quoted(name));
        flaws.add(path, message, "no curve").help = Some("give the phase some: `sample_at: [100, 1_000]`".to_string());
    }
}

/// A finding that is expected although nothing could cause it is a mistake in the file.
fn expectation(flaws: &mut Flaws, scenario: &Scenario) {
    let Expect::MustFind(kind) = scenario.expect else { return };
    let is_judged = |oracle: &Oracle| match oracle {
        Oracle::Bounded { .. } | Oracle::Drains { .. } | Oracle::Unchanged { .. } => true,
        Oracle::Safety | Oracle::Sometimes(_) | Oracle::LeaksAreFound => false,
    };
    let sweeps_presets = matches!(&scenario.sweep, Sweep::Matrix { preset, .. } if !preset.is_empty());
    let errs = |step: &Step| match step {
        Step::Exchange(e) => e.forgets.is_some() || e.misuse.is_some(),
        Step::Objects(o) => o.misuse.is_some(),
        _ => false,
    };
    let has_reason = !scenario.plant.is_empty()
        || scenario.workload.iter().any(errs)
        || !scenario.faults.is_empty()
        || scenario.oracles.iter().any(is_judged)
        || sweeps_presets
        || scenario.pool.preset != Preset::Millpond
        || (kind == FindingKind::StepBudget && scenario.budget.steps != Budget::default().steps);
    if !has_reason {
        let message = format!("nothing in this scenario can cause a {kind:?}");
        flaws.add("expect", message, "expected, but why?").help = Some(
            "plant a defect, inject a fault, add a `Bounded`, `Drains` or `Unchanged` oracle, or choose another preset"
                .to_string(),
        );
    }
}
