//! The oracles that a scenario names: numbers at the ends of its steps.
//!
//! **Invariant: an oracle reads samples and judges; it changes nothing and remembers nothing.** The safety oracles live
//! where they can see (`ledger`, and `world` at quiescence); `Sometimes` is judged over all executions of a cell.

use crate::ledger::{Finding, FindingKind};
use crate::observed::{Sample, Samples};
use crate::scenario::{Metric, Oracle, Scenario};

/// What the numeric oracles of `scenario` find in `samples`, in the order of the oracles. A step that was not reached is
/// not judged: something else ended the execution.
pub fn judge(scenario: &Scenario, samples: &Samples, step: u64) -> Vec<Finding> {
    scenario.oracles.iter().filter_map(|oracle| one(oracle, samples, step)).collect()
}

fn one(oracle: &Oracle, samples: &Samples, step: u64) -> Option<Finding> {
    match oracle {
        Oracle::Safety | Oracle::LeaksAreFound | Oracle::Sometimes(_) => None,
        Oracle::Bounded { metric, at_least, at_most, after } => {
            let bad = |s: &&Sample| !(*at_least..=*at_most).contains(&s.metric(*metric));
            let sample = match after {
                Some(name) => samples.after(name).filter(bad)?,
                None => samples.0.iter().find(bad)?,
            };
            Some(bounded(sample, *metric, *at_least, *at_most, step))
        }
        Oracle::Drains { metric, to, after } => {
            let sample = match after {
                Some(name) => samples.after(name)?,
                None => samples.0.last()?,
            };
            let value = sample.metric(*metric);
            let text = format!("{metric:?} is {value} after \"{}\", should be {to}", sample.step);
            (value != *to).then(|| Finding::plain(FindingKind::Stall, step, text))
        }
        Oracle::Unchanged { metric, during } => {
            let (before, after) = (samples.before(during)?.metric(*metric), samples.after(during)?.metric(*metric));
            let text = format!("{metric:?} went from {before} to {after} during \"{during}\", should not change");
            (before != after).then(|| Finding::plain(FindingKind::Stall, step, text))
        }
    }
}

fn bounded(sample: &Sample, metric: Metric, at_least: u64, at_most: u64, step: u64) -> Finding {
    let value = sample.metric(metric);
    let wanted = match (at_least, at_most) {
        (0, most) => format!("at most {most}"),
        (least, u64::MAX) => format!("at least {least}"),
        (least, most) if least == most => format!("{least}"),
        (least, most) => format!("{least} to {most}"),
    };
    let text = format!("{metric:?} is {value} after \"{}\", should be {wanted}", sample.step);
    Finding::plain(FindingKind::Bloat, step, text)
}
