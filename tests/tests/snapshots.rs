//! Pool statistics as snapshots: the stable text table, and every field through `serde`.
//!
//! The numbers that decide are those of real Netty: golden vector G1, first round (100,000 obtained by one business thread and
//! recycled by one loop): 4.1.8 retains 16,384 with 0 shared capacity left, 4.1.44 2,048 with 0, 4.1.71 4,096. The rest follows
//! by conservation (created = retained + dropped).

use insta::{assert_ron_snapshot, assert_snapshot};
use millpond::observed::Sample;
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
