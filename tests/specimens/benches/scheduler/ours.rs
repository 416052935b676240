//! Our side: one engine, one strategy, one memory model.

use millpond::engine::{MemoryModel, Strategy};
use millpond_specimens::testers::millpond::{Made, by};
use millpond_specimens::timing::Run;

/// A strategy.
pub struct Row {
    pub name: &'static str,
    pub run: Box<Run>,
}

fn row(name: &'static str, strategy: Made, memory: MemoryModel) -> Row {
    Row { name, run: Box::new(by(strategy, memory)) }
}

pub fn random() -> Row {
    row("random", |_| Strategy::Random, MemoryModel::Interleaving)
}

pub fn random_weak() -> Row {
    row("random, weak memory and races", |_| Strategy::Random, MemoryModel::Weak)
}

pub fn pct() -> Row {
    row("PCT 3", |_| Strategy::Pct { depth: 3 }, MemoryModel::Interleaving)
}

pub fn pos() -> Row {
    row("POS", |_| Strategy::Pos, MemoryModel::Interleaving)
}

pub fn urw() -> Row {
    row("URW", Strategy::Urw, MemoryModel::Interleaving)
}

pub fn surw() -> Row {
    row("SURW", Strategy::Surw, MemoryModel::Interleaving)
}
