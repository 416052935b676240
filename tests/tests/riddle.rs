//! The numbers of the riddle's table are those measured on real Netty (golden vectors G3, first column, and G4), for every
//! preset that the vectors name.

use millpond::explore;
use millpond::observed::{Sample, Samples};
use millpond::report::columns::{created, curve_point};
use millpond::scenario::Metric;
use millpond_tests::{load, outcome};
use std::ops::ControlFlow;

/// A row of G3: release, retained, (side queues, links), created in the second burst.
type Burst = (&'static str, u64, Option<(u64, u64)>, u64);

/// G3, T=200 L=16 N=5000: release, retained after the first burst, side queues and links, created in the second burst.
const BURST: [Burst; 11] = [
    ("4.1.2", 1_000_000, Some((3_200, 64_000)), 0),
    ("4.1.3", 1_000_000, Some((3_200, 64_000)), 0),
    ("4.1.4", 1_000_000, Some((3_200, 64_000)), 0),
    ("4.1.8", 80_000, Some((256, 5_120)), 990_000),
    ("4.1.22", 74_096, Some((256, 4_736)), 990_717),
    ("4.1.38", 74_096, Some((256, 4_736)), 990_717), // the vectors' row of 4.1.43
    ("4.1.44", 8_960, Some((256, 768)), 998_992),
    ("4.1.66", 8_960, Some((256, 768)), 998_992), // the row of 4.1.70
    ("4.1.71", 125_000, None, 875_000),
    ("4.1.88", 125_000, None, 875_000), // the row of 4.1.128
    ("4.2.7", 125_000, None, 875_000),  // as 4.1.71: G1 gives one row for all
];

/// G4: retained after so many writes with one in flight, after a burst of 20,000.
const POINTS: [u64; 12] = [0, 1, 2, 3, 16, 100, 500, 1_000, 2_000, 2_048, 5_000, 40_000];
const DECAY: [(&str, [u64; 12]); 8] = [
    ("4.1.2", [20_000; 12]),
    ("4.1.4", [16_384; 12]),
    ("4.1.8", [16384, 16370, 16370, 16356, 16272, 15684, 12884, 9384, 2384, 2048, 2048, 2048]),
    ("4.1.38", [2048, 2034, 2034, 2020, 1936, 1348, 256, 256, 256, 256, 256, 256]), // the row of 4.1.43
    ("4.1.44", [2048, 2033, 2032, 2017, 1905, 1163, 0, 0, 0, 0, 0, 0]),
    ("4.1.66", [2048, 2034, 2034, 2020, 1920, 1252, 228, 228, 228, 228, 228, 228]), // the row of 4.1.70
    ("4.1.71", [2_500; 12]),
    ("4.1.88", [2_500; 12]), // the row of 4.1.128
];

#[test]
fn the_table_of_the_riddle_has_the_numbers_of_real_netty() {
    let loaded = load("riddle.ron");
    let labels: Vec<&str> = loaded.cells.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(labels, BURST.map(|row| row.0), "a row for every preset");
    let mut checked = 0;
    let work = |i: usize| outcome(&loaded.cells[i], loaded.scenario.seeds.start);
    explore::in_order(loaded.cells.len(), 2, work, |i, outcome| {
        assert_eq!(outcome.findings, [], "{}", labels[i]);
        burst(&outcome.samples, i);
        if let Some((label, row)) = DECAY.iter().find(|(label, _)| *label == labels[i]) {
            for (k, expected) in POINTS.iter().zip(row) {
                assert_eq!(curve_point(&outcome.samples, "trickle", *k), Some(*expected), "{label} after {k} writes");
                checked += 1;
            }
        }
        unchanged(&outcome.samples, labels[i]);
        ControlFlow::Continue(())
    });
    assert_eq!(checked, DECAY.len() * POINTS.len());
}

fn burst(samples: &Samples, i: usize) {
    let (label, retained, queues, second) = BURST[i];
    let after = samples.after("drain").expect("the step was reached");
    assert_eq!(after.metric(Metric::CrossThreadRetained), retained, "{label}: retained");
    let sums = |s: &Sample| s.crossing().fold((0, 0), |(q, l), p| (q + p.queues, l + p.links));
    assert_eq!(sums(after), queues.unwrap_or_default(), "{label}: side queues and links");
    assert_eq!(created(samples, "burst"), Some(1_000_000), "{label}: created in the first burst");
    assert_eq!(created(samples, "second burst"), Some(second), "{label}: created in the second burst");
}

/// Neither time nor a collection nor closing takes anything out of the pools that cross threads.
fn unchanged(samples: &Samples, label: &str) {
    let value = |s: Option<&Sample>| s.expect("the step was reached").metric(Metric::CrossThreadRetained);
    for step in ["quiet", "full GC", "close"] {
        assert_eq!(value(samples.before(step)), value(samples.after(step)), "{label}: {step}");
    }
}
