//! shuttle 0.9.9.

use super::{Hunt, Outcome, Tester, outcome};
use crate::under_shuttle::programs::ALL;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler, UrwRandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Its defaults, but it says nothing, writes nothing, and doesn't go on after a failure.
pub fn config() -> Config {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    config
}

pub(super) fn all() -> Vec<Tester> {
    vec![
        tester("shuttle random", true, |h| RandomScheduler::new_from_seed(h.seed, executions(h))),
        tester("shuttle PCT 3", true, |h| PctScheduler::new_from_seed(h.seed, 3, executions(h))),
        tester("shuttle URW", true, |h| UrwRandomScheduler::new_from_seed(h.seed, executions(h))),
        tester("shuttle DFS", false, |h| DfsScheduler::new(Some(executions(h)), false)),
    ]
}

fn executions(hunt: Hunt) -> usize {
    usize::try_from(hunt.executions).expect("a number of executions")
}

fn tester<S: Scheduler + 'static>(
    name: &'static str,
    is_seeded: bool,
    scheduler: impl Fn(Hunt) -> S + Send + Sync + 'static,
) -> Tester {
    let hunt = move |hunt| run(hunt, scheduler(hunt));
    Tester { name: name.to_string(), programs: ALL, is_seeded, hunt: Box::new(hunt) }
}

fn run<S: Scheduler + 'static>(hunt: Hunt, scheduler: S) -> Outcome {
    let begun = Arc::new(AtomicU64::new(0));
    let count = begun.clone();
    let run = ALL[hunt.program].run;
    let program = move || {
        // Relaxed: one thread counts.
        count.fetch_add(1, Relaxed);
        run(hunt.twin, hunt.noise);
    };
    let mut config = config();
    config.max_time = Some(hunt.time);
    let runner = Runner::new(scheduler, config);
    outcome(
        hunt,
        || begun.load(Relaxed),
        || {
            runner.run(program);
        },
    )
}
