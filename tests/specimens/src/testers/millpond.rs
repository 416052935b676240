//! Millpond: each strategy by itself, on sequentially consistent memory with a look at races and on weak memory, and the portfolio.

use super::{Hunt, Outcome, Tester};
use crate::under_millpond::programs::ALL;
use millpond::Checker;
use millpond::engine::{MemoryModel, Strategy};
use std::num::NonZeroUsize;
use std::time::Instant;

/// The strategies of the tables, and what they are called there.
pub const STRATEGIES: &[(&str, Strategy)] = &[
    ("random", Strategy::Random),
    ("PCT 3", Strategy::Pct { depth: 3 }),
    ("PCT 5", Strategy::Pct { depth: 5 }),
    ("POS", Strategy::Pos),
    ("URW", Strategy::Urw),
    ("SURW", Strategy::Surw),
];

pub(super) fn all() -> Vec<Tester> {
    let mut all = vec![tester("millpond".to_string(), Checker::new())];
    for (memory, word) in [(MemoryModel::Races, ""), (MemoryModel::Weak, " weak")] {
        for (name, strategy) in STRATEGIES {
            let checker = Checker::new().strategy(strategy.clone()).memory(memory);
            all.push(tester(format!("millpond {name}{word}"), checker));
        }
    }
    all
}

fn tester(name: String, checker: Checker) -> Tester {
    Tester { name, programs: ALL, is_seeded: true, hunt: Box::new(move |hunt| run(hunt, &checker)) }
}

fn run(hunt: Hunt, checker: &Checker) -> Outcome {
    let run = ALL[hunt.program].run;
    let checker = checker.clone().seed(hunt.seed).executions(hunt.executions).jobs(NonZeroUsize::MIN);
    // Only the finding is timed, not its reduction.
    let checker = checker.wall(hunt.time).explain(false);
    let start = Instant::now();
    let report = checker.run(|| run(hunt.twin, hunt.noise));
    let time = start.elapsed();
    let failure = (!report.is_clean()).then(|| report.to_string());
    Outcome { executions: report.executions, failure, is_complete: report.complete, time }
}
