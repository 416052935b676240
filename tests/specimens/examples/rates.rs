//! How fast the engine is as it was built: nanoseconds of an execution, the best of a few slices; for `unoptimised.sh`.

use millpond::engine::{MemoryModel, Strategy};
use millpond_specimens::Load;
use millpond_specimens::testers::millpond::by;
use millpond_specimens::testers::silence;
use millpond_specimens::timing::{Clock, executions_for, slice};
use millpond_specimens::under_millpond::loads;
use std::time::Duration;

fn main() {
    silence();
    for name in ["W2", "W3", "2 x 1", "3 x 10"] {
        let load = Load::named(loads::ALL, name);
        for memory in [MemoryModel::Interleaving, MemoryModel::Weak] {
            let run = by(|_| Strategy::Random, memory);
            let executions = executions_for(load, Duration::from_millis(100), &run);
            let slices = (0..5).map(|_| slice(load, executions, Clock::Processor, &run).nanos_per_execution());
            println!("{name}, {memory}\t{:.0}", slices.fold(f64::MAX, f64::min));
        }
    }
}
