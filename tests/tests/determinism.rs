//! The same scenario and seed give the same execution: in a row, in eight OS threads at once, and whatever the number of
//! jobs.

use millpond::campaign::{Format, RunOptions, run};
use millpond::run::{How, execute};
use millpond_tests::{load, outcome};
use std::num::NonZeroUsize;
use std::thread;

const FILES: [&str; 5] = [
    "good/closed_clients.ron",
    "good/slow_peers.ron",
    "good/peer_reset.ron",
    "good/close_with_linger.ron",
    "planted/lost_task.ron",
];

#[test]
fn the_same_seed_gives_the_same_digest_twice() {
    for file in FILES {
        let loaded = load(file);
        let (a, b) = (outcome(&loaded.cells[0], 3), outcome(&loaded.cells[0], 3));
        assert_eq!((a.digest, a.steps, a.checkpoints), (b.digest, b.steps, b.checkpoints), "{file}");
    }
}

/// A rich execution looks at the step of every event, a lean one hardly ever: that must not count any.
#[test]
fn rich_and_lean_executions_have_the_same_steps_and_digest() {
    for file in FILES {
        let loaded = load(file);
        for seed in 0..8 {
            let lean = outcome(&loaded.cells[0], seed);
            let rich = execute(&loaded.cells[0], seed, &How { rich: true, ..How::default() }).0;
            assert_eq!(
                (lean.digest, lean.steps, lean.events),
                (rich.digest, rich.steps, rich.events),
                "{file}, {seed}"
            );
        }
    }
}

#[test]
fn eight_simulations_at_once_give_the_digests_of_one_after_another() {
    let loaded = load("good/closed_clients.ron");
    let alone: Vec<u64> = (0..8).map(|seed| outcome(&loaded.cells[0], seed).digest).collect();
    let together: Vec<u64> = thread::scope(|scope| {
        let cell = &loaded.cells[0];
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || outcome(cell, seed).digest)).collect();
        threads.into_iter().map(|t| t.join().expect("the harness does not panic")).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn different_seeds_give_different_schedules() {
    let loaded = load("good/closed_clients.ron");
    let digests: std::collections::BTreeSet<u64> = (0..16).map(|seed| outcome(&loaded.cells[0], seed).digest).collect();
    assert_eq!(digests.len(), 16, "sixteen random schedules of thousands of steps are not the same");
}

#[test]
fn the_report_is_the_same_for_any_number_of_jobs() {
    for (file, format) in [
        ("good/every_preset.ron", Format::Text),
        ("planted/double_release.ron", Format::Text),
        ("good/peer_reset.ron", Format::Json),
    ] {
        let loaded = load(file);
        let report = |jobs: usize| {
            let mut out = Vec::new();
            let options =
                RunOptions { jobs: NonZeroUsize::new(jobs).expect("not zero"), format, ..RunOptions::default() };
            run(&loaded, &options, &mut out).expect("a vector takes everything");
            String::from_utf8(out).expect("the report is text")
        };
        let one = report(1);
        assert!(one.lines().count() > 3, "{one}");
        for jobs in [2, 3, 8] {
            assert_eq!(one, report(jobs), "{file} with {jobs} jobs");
        }
    }
}
