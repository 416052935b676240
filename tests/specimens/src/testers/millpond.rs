//! Millpond: the portfolio, and each strategy by itself, on sequentially consistent memory with a look at races and on weak memory.

use super::{Hunt, Outcome, Tester};
use crate::timing::Clock;
use crate::under_millpond::programs::ALL;
use millpond::engine::{Facts, MemoryModel, Options, Profile, Strategy, execute};
use millpond::{Checker, Report};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// What the counting strategies count with.
pub type Counts = Arc<Profile>;

/// A strategy by its counts.
pub type Made = fn(Counts) -> Strategy;

/// The strategies of the tables, and what they are called there.
pub const STRATEGIES: &[(&str, Made)] = &[
    ("random", |_| Strategy::Random),
    ("PCT 3", |_| Strategy::Pct { depth: 3 }),
    ("PCT 5", |_| Strategy::Pct { depth: 5 }),
    ("POS", |_| Strategy::Pos),
    ("URW", Strategy::Urw),
    ("SURW", Strategy::Surw),
];

/// The operations of a program, counted in one execution of it.
pub fn counts(program: &dyn Fn()) -> Counts {
    Facts::of(&execute(&Facts::pilot(&Options::default()), program)).profile
}

/// Executes a program so many times on one worker, with one strategy and one memory.
pub fn by(strategy: Made, memory: MemoryModel) -> impl Fn(Box<dyn Fn() + Send + Sync>, u64) {
    move |program, executions| {
        let checker = Checker::new().strategy(strategy(counts(&*program))).memory(memory).seed(7);
        checker.jobs(NonZeroUsize::MIN).executions(executions).check(program);
    }
}

pub(super) fn all() -> Vec<Tester> {
    let mut all = vec![tester("millpond portfolio".to_string(), |hunt| checker(hunt).run(|| execute_one(hunt)))];
    for (memory, word) in [(MemoryModel::Races, ""), (MemoryModel::Weak, " weak")] {
        for (name, strategy) in STRATEGIES {
            let run = move |hunt| {
                let strategy = strategy(counts(&|| execute_one(hunt)));
                checker(hunt).strategy(strategy).memory(memory).run(|| execute_one(hunt))
            };
            all.push(tester(format!("millpond {name}{word}"), run));
        }
    }
    all
}

fn tester(name: String, run: impl Fn(Hunt) -> Report + Send + Sync + 'static) -> Tester {
    let hunt = move |hunt| {
        let start = Clock::Thread.now();
        let report = run(hunt);
        let time = Clock::Thread.now() - start;
        let failure = (!report.is_clean()).then(|| report.to_string());
        Outcome { executions: report.executions, failure, is_complete: report.complete, time }
    };
    Tester { name, programs: ALL, is_seeded: true, hunt: Box::new(hunt) }
}

fn execute_one(hunt: Hunt) {
    (ALL[hunt.program].run)(hunt.twin, hunt.noise);
}

/// One job, and only the finding, not its reduction.
fn checker(hunt: Hunt) -> Checker {
    let checker = Checker::new().seed(hunt.seed).executions(hunt.executions).jobs(NonZeroUsize::MIN);
    checker.wall(hunt.time).explain(false)
}
