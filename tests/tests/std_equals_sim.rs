//! Where a scenario is confluent, real threads come to the same numbers as simulated ones.
//!
//! A scenario is *confluent* if what it comes to at rest doesn't depend on the schedule. Its pools are then used in one order, or in
//! orders that count the same: threads that touch pools of their own, additions to queues that don't fill up, blocks that
//! come back to one chunk. It is not confluent if two threads want the last place of something, or if one may find what another is
//! just putting back. Nobody need take our word for it: each scenario here comes to the same numbers under every strategy of the
//! simulator, and one that only seems to be confluent doesn't.
//!
//! Three things are history rather than rest, and are left out: the most tasks that were ever in a queue, the order in which
//! threads made their pools, and the moment at which `Shutdown` ends, while the loops' threads still destroy their variables.

use millpond::observed::Sample;
use millpond::run::{How, execute};
use millpond::scenario::{Cell, Metric, Schedule};
use millpond::stress::{self, Pace};
use millpond_tests::{load, parse, scenarios};
use std::collections::BTreeSet;

const FILES: [&str; 5] = ["backlog.ron", "churn.ron", "held.ron", "together.ron", "turns.ron"];

const STRATEGIES: [Schedule; 4] = [Schedule::RunOn, Schedule::Random, Schedule::RoundRobin, Schedule::Pct { depth: 3 }];

const SEEDS: std::ops::Range<u64> = 0..2;

/// What is at rest at the end of each step, and inside phases.
fn at_rest(samples: &[Sample]) -> Vec<Sample> {
    let mut samples: Vec<Sample> = samples.iter().filter(|s| s.step != "shutdown").cloned().collect();
    for sample in &mut samples {
        sample.metrics[Metric::PeakQueuedTasks as usize] = 0;
        for recycler in &mut sample.pools {
            recycler.pools.sort_by_key(|pool| pool.owner);
        }
    }
    samples
}

fn simulated(cell: &Cell, seed: u64, strategy: Schedule) -> Vec<Sample> {
    let how = How { schedule: Some(strategy), ..How::default() };
    let outcome = execute(cell, seed, &how).0;
    assert_eq!(outcome.findings, [], "{} seed {seed} {strategy:?}", cell.label);
    at_rest(&outcome.samples.0)
}

fn real(cell: &Cell, seed: u64) -> Vec<Sample> {
    let outcome = stress::execute(cell, seed, Pace::default()).outcome;
    assert_eq!(outcome.findings, [], "{} seed {seed} on real threads", cell.label);
    at_rest(&outcome.samples.0)
}

/// Panics at the first difference.
#[track_caller]
fn equal(wanted: &[Sample], got: &[Sample], what: &str) {
    for (a, b) in wanted.iter().zip(got) {
        let place = format!("{what}, step {:?} at {:?}", a.step, a.at_write);
        for metric in Metric::ALL {
            assert_eq!(a.metric(metric), b.metric(metric), "{metric:?} {place}");
        }
        assert_eq!(a, b, "{place}");
    }
    assert_eq!(wanted.len(), got.len(), "{what}: as many samples");
}

fn is_confluent_and_the_same_on_real_threads(file: &str) {
    let loaded = load(&format!("confluent/{file}"));
    let mut numbers = BTreeSet::new();
    for cell in &loaded.cells {
        for seed in SEEDS {
            let what = |how: &str| format!("{file} {} seed {seed} {how}", cell.label);
            let wanted = simulated(cell, seed, STRATEGIES[0]);
            for strategy in &STRATEGIES[1..] {
                equal(&wanted, &simulated(cell, seed, *strategy), &what(&format!("{strategy:?}")));
            }
            equal(&wanted, &real(cell, seed), &what("on real threads"));
            numbers.insert(format!("{:?}", wanted.iter().map(|s| s.metrics).collect::<Vec<_>>()));
        }
    }
    assert!(numbers.len() >= 4, "{file}: the presets differ, so that equal numbers say something");
}

#[test]
fn backlog() {
    is_confluent_and_the_same_on_real_threads("backlog.ron");
}

#[test]
fn churn() {
    is_confluent_and_the_same_on_real_threads("churn.ron");
}

#[test]
fn held() {
    is_confluent_and_the_same_on_real_threads("held.ron");
}

#[test]
fn together() {
    is_confluent_and_the_same_on_real_threads("together.ron");
}

#[test]
fn turns() {
    is_confluent_and_the_same_on_real_threads("turns.ron");
}

/// The main job at its own size: 201 threads, 17 loops, two million writes.
#[test]
fn the_riddle_is_the_same_on_real_threads() {
    let loaded = load("riddle.ron");
    let cell = loaded.cells.iter().find(|cell| cell.label == "4.1.8").expect("the riddle's version");
    let wanted = simulated(cell, 0, loaded.scenario.schedule);
    equal(&wanted, &real(cell, 0), "the riddle on real threads");
    let kept = wanted.iter().find(|s| s.step == "drain").expect("it drains").metric(Metric::CrossThreadRetained);
    assert_eq!(kept, 80_000, "what the riddle is about");
}

#[test]
fn every_confluent_scenario_is_here() {
    let folder = scenarios().join("confluent");
    let names =
        std::fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("an entry").file_name());
    let there: BTreeSet<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(there, FILES.map(str::to_string).into());
}

/// The numbers that the strategies come to.
fn outcomes(text: &str) -> usize {
    let loaded = parse(text);
    let all = STRATEGIES.iter().flat_map(|s| (0..4).map(|seed| simulated(&loaded.cells[0], seed, *s)));
    all.map(|samples| format!("{samples:?}")).collect::<BTreeSet<_>>().len()
}

#[test]
fn the_comparison_sees_what_is_not_confluent() {
    // One write at a time seems to leave no choice; but a promise completes before its task is recycled.
    let unrested = r#"(name: "x", topology: (event_loops: 1, business_threads: 1), pool: (preset: Netty4_1_8), workload: [
        Phase(writes: 40, clients: Closed(in_flight: 1)), Drain(), Close(), Shutdown(), Idle(name: "gone"),
    ])"#;
    assert!(outcomes(unrested) > 1, "the next write may or may not find the task in the pool");
    let rested = unrested.replace("writes: 40", "sample_at: [1, 2, 3, 4, 5, 6], writes: 6");
    assert_eq!(outcomes(&rested), 1);
    // Loops that drain together want the same shared capacity.
    let contended = r#"(name: "x", topology: (event_loops: 2, business_threads: 1),
        pool: (preset: Netty4_1_8, max_capacity: 64, max_shared_capacity_factor: 1), workload: [
        Phase(writes: 80, clients: Flood, loops_are: Stalled), DRAIN, Shutdown(), Idle(name: "gone"),
    ])"#;
    assert!(outcomes(&contended.replace("DRAIN", "Drain()")) > 1);
    assert_eq!(outcomes(&contended.replace("DRAIN", "Drain(order: InTurn)")), 1);
}
