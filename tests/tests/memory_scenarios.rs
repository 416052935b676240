//! The scenarios that are right are right under every memory model.

use millpond::engine::MemoryModel;
use millpond::ledger::FindingKind;
use millpond::run::{How, execute};
use millpond::scenario::{self, Plant, Scenario, Schedule, When};
use millpond_tests::{load, parse, scenarios};
use std::path::{Path, PathBuf};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "ron") {
            found.push(path);
        }
    }
    found.sort();
}

/// Seeds of each cell; more by hand.
fn seeds() -> u64 {
    std::env::var("MILLPOND_MEMORY_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

/// What the first cells of all good scenarios give with `memory`.
fn good(memory: MemoryModel, seeds: u64) -> Vec<String> {
    let mut paths = Vec::new();
    files(&scenarios().join("good"), &mut paths);
    let mut wrong = Vec::new();
    for path in paths {
        let loaded = scenario::load(&path).unwrap_or_else(|e| panic!("{e}"));
        let scenario: &Scenario = &loaded.scenario;
        let cells = scenario::cells(scenario);
        for cell in cells.iter().take(4) {
            for seed in 0..seeds {
                let (outcome, _) = execute(cell, seed, &How { memory: Some(memory), ..How::default() });
                if let Some(finding) = outcome.findings.first() {
                    wrong.push(format!("{} seed {seed}: {}: {}", path.display(), finding.kind, finding.text));
                    break;
                }
            }
        }
    }
    wrong
}

#[test]
fn good_scenarios_have_no_races() {
    let wrong = good(MemoryModel::Races, seeds());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn good_scenarios_are_good_on_weak_memory() {
    let wrong = good(MemoryModel::Weak, seeds());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The first finding of a planted defect in the given seeds of a good scenario's cells.
fn planted(file: &str, plant: Plant, memory: MemoryModel, seeds: u64) -> Option<FindingKind> {
    let mut scenario = load(file).scenario;
    scenario.plant = vec![plant];
    let how = How { memory: Some(memory), schedule: Some(Schedule::Random), ..How::default() };
    scenario::cells(&scenario).iter().find_map(|cell| {
        (0..seeds).find_map(|seed| execute(cell, seed, &how).0.findings.first().map(|finding| finding.kind))
    })
}

/// Netty before 4.1.3: `outboundBuffer` was not volatile. No interleaving shows it, for the value that is read is right.
#[test]
fn a_field_that_is_not_volatile_is_found_by_its_orderings() {
    let plant = Plant::OutboundNotVolatile(When::Always);
    let file = "good/every_schedule.ron";
    assert_eq!(planted(file, plant, MemoryModel::Interleaving, 2), None);
    assert_eq!(planted(file, plant, MemoryModel::Races, 2), Some(FindingKind::DataRace));
    assert_eq!(planted(file, plant, MemoryModel::Weak, 2), Some(FindingKind::DataRace));
}

/// Netty before 4.1.7: a queue was linked in from inside its constructor.
#[test]
fn a_queue_that_is_published_plainly_is_found() {
    let plant = Plant::QueueNotVolatile(When::Always);
    let file = "good/thread_dies_while_working.ron";
    assert_eq!(planted(file, plant, MemoryModel::Interleaving, 1), None);
    assert_eq!(planted(file, plant, MemoryModel::Races, 8), Some(FindingKind::DataRace));
}

/// Netty #4830: the link is complete when the index in it says so, but who reads `next` without ordering may not see it.
#[test]
fn a_link_that_is_published_plainly_is_found() {
    let plant = Plant::LinkNotVolatile(When::Always);
    let file = "good/thread_dies_while_working.ron";
    assert_eq!(planted(file, plant, MemoryModel::Interleaving, 1), None);
    assert_eq!(planted(file, plant, MemoryModel::Races, 8), Some(FindingKind::DataRace));
}

/// The memories of the first executions of a scenario.
fn memories(text: &str) -> Vec<MemoryModel> {
    let loaded = parse(text);
    let all = (0..8).map(|seed| execute(&loaded.cells[0], seed, &How::default()).0);
    all.inspect(|outcome| assert_eq!(outcome.findings, [], "{text}")).map(|outcome| outcome.memory).collect()
}

#[test]
fn half_of_a_portfolios_executions_have_weak_memory() {
    let all = memories("(name: \"x\")");
    assert_eq!(all[0], MemoryModel::Interleaving, "the first one is the plain one");
    assert_eq!(all.iter().filter(|memory| **memory == MemoryModel::Weak).count(), 4, "{all:?}");
    for memory in MemoryModel::ALL {
        assert_eq!(memories(&format!("(name: \"x\", memory: {memory:?})")), [memory; 8], "it can be asked for");
    }
    let plain = [MemoryModel::Interleaving; 8];
    assert_eq!(memories("(name: \"x\", schedule: Random)"), plain, "other schedules have it when they ask");
    assert_eq!(memories("(name: \"x\", preempt: AtTasks)"), plain, "what is too large to be looked at closely");
    let many = "(name: \"x\", topology: (business_threads: 61), workload: [Phase(writes: 1), Drain(), Shutdown()])";
    assert_eq!(
        memories(many),
        plain,
        "clocks have 64 lanes, and there are main, two loops, 61 and the one that lingers"
    );
}
