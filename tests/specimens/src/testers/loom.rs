//! loom 0.7.2.

use super::{Hunt, Outcome, Tester, outcome};
use crate::under_loom::programs::ALL;
use loom::model::Builder;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Executions after which it looks at the time.
const INTERVAL: usize = 16;

pub(super) fn all() -> Vec<Tester> {
    vec![tester("loom 2", Some(2)), tester("loom", None)]
}

fn tester(name: &'static str, bound: Option<usize>) -> Tester {
    Tester { name: name.to_string(), programs: ALL, is_seeded: false, hunt: Box::new(move |hunt| run(hunt, bound)) }
}

fn run(hunt: Hunt, bound: Option<usize>) -> Outcome {
    let begun = Arc::new(AtomicU64::new(0));
    let count = begun.clone();
    let run = ALL[hunt.program].run;
    let program = move || {
        // Relaxed: one thread counts.
        count.fetch_add(1, Relaxed);
        run(hunt.twin, hunt.noise);
    };
    let mut builder = Builder::new();
    builder.preemption_bound = bound;
    builder.max_permutations = usize::try_from(hunt.executions).ok();
    builder.max_duration = Some(hunt.time);
    builder.checkpoint_interval = INTERVAL;
    outcome(hunt, || begun.load(Relaxed), || builder.check(program))
}
