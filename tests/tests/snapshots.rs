//! Pool statistics as snapshots: the stable text table, and every field through `serde`.
//!
//! The numbers that decide are those of real Netty: golden vector G1, first round (100,000 obtained by one business thread and
//! recycled by one loop): 4.1.8 retains 16,384 with 0 shared capacity left, 4.1.44 2,048 with 0, 4.1.71 4,096. The rest follows
//! by conservation (created = retained + dropped).

use insta::{assert_ron_snapshot, assert_snapshot};
use millpond::observed::Sample;
use millpond::outcome::Outcome;
use millpond::scenario::Metric;
use millpond_model::observe::Kind;
use millpond_model::recycler::RecyclerStats;
use millpond_tests::{outcome, parse};

/// G1's first round through the whole simulated path; the statistics of the write tasks after the drain.
fn first_round(preset: &str) -> RecyclerStats {
    let loaded = parse(&format!(
        r#"(
            name: "G1, round 1",
            pool: (preset: {preset}),
            topology: (event_loops: 1, business_threads: 1),
            preempt: AtTasks,
            schedule: RunOn,
            workload: [
                Phase(name: "burst", writes: 100_000, clients: Flood, loops_are: Stalled),
                Drain(), Close(), Shutdown(),
            ],
        )"#
    ));
    let outcome = outcome(&loaded.cells[0], 0);
    assert_eq!(outcome.findings, []);
    let sample: &Sample = outcome.samples.after("drain").expect("the step was reached");
    let crossing = |r: &&RecyclerStats| matches!(r.kind, Kind::WriteTask | Kind::WriteAndFlushTask);
    sample.pools.iter().filter(crossing).find(|r| r.total().created > 0).expect("tasks were obtained").clone()
}

#[test]
fn a_burst_at_4_1_8() {
    let stats = first_round("Netty4_1_8");
    let total = stats.total();
    assert_eq!((total.created, total.retained, total.shared_available), (100_000, 16_384, 0), "G1");
    assert_snapshot!(stats);
    assert_ron_snapshot!(stats);
}

#[test]
fn a_burst_at_4_1_44() {
    let stats = first_round("Netty4_1_44");
    let total = stats.total();
    assert_eq!((total.created, total.retained, total.shared_available), (100_000, 2_048, 0), "G1");
    assert_snapshot!(stats);
}

#[test]
fn a_burst_at_4_1_71() {
    let stats = first_round("Netty4_1_71");
    let total = stats.total();
    assert_eq!((total.created, total.retained), (100_000, 4_096), "G1");
    assert_snapshot!(stats);
}

/// The metrics at the end of each step.
type Readings = Vec<(String, Vec<(Metric, u64)>)>;

/// The metrics of memory after each step of `text`, and what the leak detector counted.
fn memory(text: &str) -> (Readings, Outcome) {
    const SHOWN: [Metric; 8] = [
        Metric::UsedMemory,
        Metric::Chunks,
        Metric::PinnedMemory,
        Metric::CachedMemory,
        Metric::LostMemory,
        Metric::ArenaAllocations,
        Metric::ActiveAllocations,
        Metric::ThreadCaches,
    ];
    let outcome = outcome(&parse(text).cells[0], 0);
    assert_eq!(outcome.findings, []);
    let row = |sample: &Sample| (sample.step.clone(), SHOWN.map(|m| (m, sample.metric(m))).to_vec());
    (outcome.samples.0.iter().map(row).collect(), outcome)
}

fn pooled(preset: &str) -> (Readings, Outcome) {
    memory(&format!(
        r#"(
            name: "ten blocks, twice, the second time of a thread that ends",
            pool: (preset: {preset}),
            topology: (event_loops: 1, business_threads: 1),
            allocator: (backend: Pooled, arenas: 1, chunk: MiB(1)),
            preempt: AtTasks,
            schedule: RunOn,
            workload: [
                Exchange(name: "first", buffers: 10, size: Exactly(KiB(1)), to: Held),
                Release(),
                Exchange(name: "second", buffers: 10, size: Exactly(KiB(1)), to: Held),
                Renew(),
                Release(name: "late"),
            ],
        )"#
    ))
}

/// A metric after a step.
fn after(outcome: &Outcome, step: &str, metric: Metric) -> u64 {
    outcome.samples.after(step).expect("the step was reached").metric(metric)
}

/// Ten blocks of 1 KiB reach the arena once: two pages of eight in one chunk. Released by the loop they wait in their thread's
/// cache, which serves the second ten. When the thread ends it frees its cache, which is empty.
fn ten_blocks_twice(outcome: &Outcome) {
    let after = |step, metric| after(outcome, step, metric);
    assert_eq!((after("first", Metric::PinnedMemory), after("first", Metric::CachedMemory)), (10 << 10, 0));
    assert_eq!((after("release", Metric::PinnedMemory), after("release", Metric::CachedMemory)), (0, 10 << 10));
    assert_eq!((after("second", Metric::PinnedMemory), after("second", Metric::CachedMemory)), (10 << 10, 0));
    assert_eq!((after("second", Metric::ArenaAllocations), after("second", Metric::ThreadCaches)), (10, 1));
    assert_eq!((after("renew", Metric::ThreadCaches), after("late", Metric::UsedMemory)), (0, 1 << 20));
}

/// To 4.1.84 the late releases go into the freed cache, and are lost.
#[test]
fn pooled_memory_at_4_1_44() {
    let (rows, outcome) = pooled("Netty4_1_44");
    ten_blocks_twice(&outcome);
    assert_eq!(after(&outcome, "late", Metric::LostMemory), 10 << 10);
    assert_ron_snapshot!(rows);
}

/// From 4.1.85 on they go to the arena.
#[test]
fn pooled_memory_at_4_2_7() {
    let (rows, outcome) = pooled("Netty4_2_7");
    ten_blocks_twice(&outcome);
    assert_eq!(
        (after(&outcome, "late", Metric::LostMemory), after(&outcome, "late", Metric::ActiveAllocations)),
        (0, 0)
    );
    assert_ron_snapshot!(rows);
}

/// Chunks of 128 KiB, one for each of the three size classes; they stay.
#[test]
fn adaptive_memory_at_4_2_7() {
    let (rows, outcome) = memory(
        r#"(
            name: "three sizes",
            pool: (preset: Netty4_2_7),
            topology: (event_loops: 1, business_threads: 1),
            allocator: (backend: Adaptive, cores: 1),
            preempt: AtTasks,
            schedule: RunOn,
            workload: [
                Exchange(name: "32", buffers: 5, size: Exactly(B(32))),
                Exchange(name: "1024", buffers: 5, size: Exactly(B(1000))),
                Exchange(name: "4096", buffers: 5, size: Exactly(B(4000))),
            ],
        )"#,
    );
    for (step, chunks) in [("32", 1), ("1024", 2), ("4096", 3)] {
        let seen = (after(&outcome, step, Metric::Chunks), after(&outcome, step, Metric::UsedMemory));
        assert_eq!(seen, (chunks, chunks * (128 << 10)), "{step}");
    }
    assert_ron_snapshot!(rows);
}

/// Ten buffers are watched, nine are closed, and the one that was forgotten is found.
#[test]
fn a_leak_among_ten() {
    let (_, outcome) = memory(
        r#"(
            name: "one of ten is forgotten",
            topology: (event_loops: 1, business_threads: 1),
            allocator: (leak_detection: Paranoid),
            preempt: AtTasks,
            schedule: RunOn,
            workload: [Exchange(buffers: 10, forgets: Nth(5))],
            oracles: [Safety, LeaksAreFound],
        )"#,
    );
    let stats = outcome.leaks.expect("there is a detector");
    assert_eq!((stats.seen, stats.closed, stats.found, stats.reported, stats.open), (10, 9, 1, 1, 0));
    // Filled in two parts, touched, read and released: five records each, but for one release.
    assert_eq!(stats.recorded, 10 * 5 - 1);
    assert_ron_snapshot!(stats);
}
