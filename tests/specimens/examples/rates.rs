//! How fast the engine is as it was built: nanoseconds of an execution, the best of a few slices; for `unoptimised.sh`.

use millpond::Checker;
use millpond::engine::{MemoryModel, Strategy};
use millpond_specimens::testers::silence;
use millpond_specimens::timing::{Clock, executions_for, slice};
use millpond_specimens::under_millpond::loads;
use std::num::NonZeroUsize;
use std::time::Duration;

fn main() {
    silence();
    for name in ["W2", "W3", "2 x 1", "3 x 10"] {
        let load = *loads::ALL.iter().find(|load| load.name == name).expect("a load is called so");
        for memory in [MemoryModel::Interleaving, MemoryModel::Weak] {
            let run = move |program: Box<dyn Fn() + Send + Sync>, executions: u64| {
                let checker = Checker::new().strategy(Strategy::Random).memory(memory).seed(7);
                checker.jobs(NonZeroUsize::MIN).executions(executions).check(program);
            };
            let executions = executions_for(load, Duration::from_millis(100), &run);
            let slices = (0..5).map(|_| slice(load, executions, Clock::Processor, &run).nanos_per_execution());
            println!("{name}, {memory}\t{:.0}", slices.fold(f64::MAX, f64::min));
        }
    }
}
