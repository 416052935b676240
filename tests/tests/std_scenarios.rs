//! The scenarios of this repository on real threads: what must hold holds, and a planted defect is found, as far as its scenario
//! needs no particular schedule.

use millpond::ledger::FindingKind;
use millpond::outcome::Outcome;
use millpond::run::{self, How};
use millpond::scenario::{Cell, Expect, Schedule};
use millpond::stress::{Pace, execute};
use millpond_tests::{load, scenarios};

/// Seeds with which a defect that needs no particular schedule is found by every strategy.
const SURELY: u64 = 4;

/// Whether the simulator finds it with every strategy and the first seeds: then no schedule is needed.
fn needs_no_schedule(cell: &Cell, kind: FindingKind) -> bool {
    let seeds = cell.scenario.seeds.clone().take(SURELY as usize);
    seeds.into_iter().all(|seed| {
        [Schedule::RunOn, Schedule::RoundRobin, Schedule::Random].into_iter().all(|schedule| {
            let how = How { schedule: Some(schedule), ..How::default() };
            run::execute(cell, seed, &how).0.finding().is_some_and(|finding| finding.kind == kind)
        })
    })
}

/// The scenarios in a folder.
fn files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(scenarios().join(folder)).expect("the folder can be read");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut files: Vec<String> = names.filter(|name| name.ends_with(".ron")).map(|n| format!("{folder}/{n}")).collect();
    files.sort();
    assert!(files.len() >= 10, "{folder} has scenarios: {files:?}");
    files
}

fn once(cell: &Cell, seed: u64) -> Outcome {
    let run = execute(cell, seed, Pace::default());
    assert!(!run.hung, "{:?}", run.outcome.findings);
    run.outcome
}

#[test]
fn what_must_hold_holds_on_real_threads() {
    for file in files("good").into_iter().chain(["first_run.ron".to_string(), "riddle/plateau.ron".to_string()]) {
        let loaded = load(&file);
        assert_eq!(loaded.scenario.expect, Expect::MustHold, "{file}");
        for cell in &loaded.cells {
            let seed = loaded.scenario.seeds.start;
            let outcome = once(cell, seed);
            assert_eq!(outcome.findings, [], "{file} {} seed {seed}", cell.label);
            assert!(outcome.samples.0.len() >= loaded.scenario.workload.len(), "{file}: every step has a sample");
            assert!(outcome.kinds.iter().any(|(_, numbers)| numbers.obtained > 0), "{file}: something happened");
        }
    }
}

#[test]
fn planted_defects_are_found_on_real_threads() {
    // What ends a thread, or makes it wait for ever, leaves the others waiting: a run of it hangs, and is told so.
    let hangs = |kind| matches!(kind, FindingKind::Panic | FindingKind::Deadlock | FindingKind::Livelock);
    let mut found = 0;
    for file in files("planted") {
        let loaded = load(&file);
        let Expect::MustFind(kind) = loaded.scenario.expect else { panic!("{file} must find something") };
        if hangs(kind) || !needs_no_schedule(&loaded.cells[0], kind) {
            continue;
        }
        let outcome = once(&loaded.cells[0], loaded.scenario.seeds.start);
        assert_eq!(outcome.finding().map(|finding| finding.kind), Some(kind), "{file}");
        found += 1;
    }
    assert!(found >= 30, "{found} defects");
}

#[test]
fn a_finding_tells_the_objects_story() {
    let loaded = load("planted/double_release.ron");
    let outcome = once(&loaded.cells[0], 0);
    let finding = outcome.finding().expect("it is found");
    let lines: Vec<&str> = finding.story.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(finding.kind, FindingKind::DoubleRelease);
    assert_eq!(lines.first(), Some(&"obtained"));
    assert_eq!(lines.last(), Some(&"release refused by a holder whose ownership had ended"));
    assert!(lines.contains(&"deallocated"), "{lines:?}");
    assert!(finding.story.iter().all(|line| line.site.contains("src/")), "each line has its place");
}
