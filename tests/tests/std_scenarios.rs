//! The scenarios of this repository on real threads: what must hold holds, and a planted defect is found, as far as its scenario
//! needs no particular schedule.

use millpond::ledger::FindingKind;
use millpond::outcome::Outcome;
use millpond::scenario::{Cell, Expect};
use millpond::stress::{Pace, execute};
use millpond_tests::{load, scenarios};

/// Their defect strikes under some schedules only.
const NEED_A_SCHEDULE: [&str; 2] = ["planted/lost_task.ron", "planted/optimistic_count.ron"];

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
    let mut found = 0;
    for file in files("planted").into_iter().filter(|file| !NEED_A_SCHEDULE.contains(&file.as_str())) {
        let loaded = load(&file);
        let Expect::MustFind(kind) = loaded.scenario.expect else { panic!("{file} must find something") };
        let outcomes = || loaded.scenario.seeds.clone().map(|seed| once(&loaded.cells[0], seed));
        let first: Vec<FindingKind> = outcomes().filter_map(|o| Some(o.finding()?.kind)).take(1).collect();
        assert_eq!(first, [kind], "{file}");
        found += 1;
    }
    assert!(found >= 10, "{found} defects");
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
