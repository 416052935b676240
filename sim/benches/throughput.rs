//! How many scheduling steps and writes a second, for both granularities, and whether memory follows the live data.
//!
//! `cargo bench -p millpond --bench throughput`
//!
//! A write goes the whole way: business thread, pooled task, event loop, encoder, pooled buffer and entry, outbound buffer,
//! peer, promise. Three rounds; the median is what to read. The last column is the resident memory at the end of the round:
//! with a bounded number of writes in flight it must not grow with the number of writes.

use millpond::run::{How, execute};
use millpond::scenario::{self, Cell};
use std::path::Path;
use std::time::Instant;

fn cell(preempt: &str, schedule: &str, clients: &str, writes: u64) -> Cell {
    let text = format!(
        r#"(
            name: "throughput", topology: (event_loops: 4, business_threads: 8), preempt: {preempt}, schedule: {schedule},
            workload: [Phase(name: "writes", writes: {writes}, clients: {clients}), Drain(), Close(), Shutdown()],
        )"#
    );
    scenario::parse(Path::new("throughput.ron"), text).unwrap_or_else(|e| panic!("{e}")).cells.remove(0)
}

/// Resident memory of the process in MiB, where the system tells it.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or_else(|| "?".to_string(), |kib| (kib / 1024).to_string())
}

fn main() {
    println!("{:<44} {:>10} {:>12} {:>12} {:>8}", "", "writes", "M steps/s", "k writes/s", "MiB");
    let cases = [
        ("AtTasks", "RunOn", "Closed(in_flight: 16)", 125_000),
        ("AtTasks", "Random", "Closed(in_flight: 16)", 31_250),
        ("AtTasks", "Random", "Closed(in_flight: 16)", 125_000),
        ("AtOperations", "RunOn", "Closed(in_flight: 16)", 125_000),
        ("AtOperations", "Random", "Closed(in_flight: 16)", 31_250),
        ("AtOperations", "Random", "Closed(in_flight: 16)", 125_000),
    ];
    for (preempt, schedule, clients, each) in cases {
        let cell = cell(preempt, schedule, clients, each);
        let writes = each * 8;
        let mut rounds: Vec<(f64, u64)> = (0..3)
            .map(|seed| {
                let start = Instant::now();
                let (outcome, _) = execute(&cell, seed, &How::default());
                assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
                (start.elapsed().as_secs_f64(), outcome.steps)
            })
            .collect();
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, steps) = rounds[1];
        println!(
            "{:<44} {writes:>10} {:>12.2} {:>12.0} {:>8}",
            format!("{preempt}, {schedule}, {clients}"),
            steps as f64 / seconds / 1e6,
            writes as f64 / seconds / 1e3,
            resident()
        );
    }
}
