//! Our side: one engine, one strategy, one memory model.

use millpond::Checker;
use millpond::engine::{MemoryModel, Strategy};
use millpond_specimens::timing::Run;
use std::num::NonZeroUsize;

/// A strategy.
pub struct Row {
    pub name: &'static str,
    pub run: Box<Run>,
}

fn row(name: &'static str, strategy: Strategy, memory: MemoryModel) -> Row {
    let checker = Checker::new().strategy(strategy).memory(memory).seed(7).jobs(NonZeroUsize::MIN);
    let run = move |program: Box<dyn Fn() + Send + Sync>, executions: u64| {
        checker.clone().executions(executions).check(program);
    };
    Row { name, run: Box::new(run) }
}

pub fn random() -> Row {
    row("random", Strategy::Random, MemoryModel::Interleaving)
}

pub fn random_weak() -> Row {
    row("random, weak memory and races", Strategy::Random, MemoryModel::Weak)
}

pub fn pct() -> Row {
    row("PCT 3", Strategy::Pct { depth: 3 }, MemoryModel::Interleaving)
}

pub fn pos() -> Row {
    row("POS", Strategy::Pos, MemoryModel::Interleaving)
}

pub fn urw() -> Row {
    row("URW", Strategy::Urw, MemoryModel::Interleaving)
}

pub fn surw() -> Row {
    row("SURW", Strategy::Surw, MemoryModel::Interleaving)
}
