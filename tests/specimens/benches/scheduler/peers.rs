//! The peers' side.

use loom::model::Builder;
use millpond_specimens::Load;
use millpond_specimens::testers::shuttle::config;
use millpond_specimens::timing::{Clock, Run};
use shuttle::Runner;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler, UrwRandomScheduler};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A strategy.
pub struct Row {
    pub name: &'static str,
    pub run: Box<Run>,
}

fn row<S: Scheduler + 'static>(name: &'static str, scheduler: impl Fn(usize) -> S + 'static) -> Row {
    let run = move |program: Box<dyn Fn() + Send + Sync>, executions: u64| {
        let executions = usize::try_from(executions).expect("a number of executions");
        let mut config = config();
        // Room for the largest program.
        config.max_steps = shuttle::MaxSteps::None;
        Runner::new(scheduler(executions), config).run(program);
    };
    Row { name, run: Box::new(run) }
}

pub fn random() -> Row {
    row("random", |executions| RandomScheduler::new_from_seed(7, executions))
}

pub fn pct() -> Row {
    row("PCT 3", |executions| PctScheduler::new_from_seed(7, 3, executions))
}

pub fn urw() -> Row {
    row("URW", |executions| UrwRandomScheduler::new_from_seed(7, executions))
}

/// How far loom came.
pub struct Loom {
    pub executions: u64,
    pub is_complete: bool,
    /// Of the processor.
    pub time: Duration,
}

pub fn loom(load: Load, bound: Option<usize>, time: Duration) -> Loom {
    let begun = Arc::new(AtomicU64::new(0));
    let count = begun.clone();
    let mut builder = Builder::new();
    builder.preemption_bound = bound;
    builder.max_duration = Some(time);
    builder.checkpoint_interval = 16;
    let (start, processor) = (Instant::now(), Clock::Processor.now());
    builder.check(move || {
        // Relaxed: one thread counts.
        count.fetch_add(1, Relaxed);
        (load.run)();
    });
    let (took, used) = (start.elapsed(), Clock::Processor.now() - processor);
    Loom { executions: begun.load(Relaxed), is_complete: took < time, time: used }
}
