//! The scenarios that are right are right under every memory model.

use millpond::engine::MemoryModel;
use millpond::run::{How, execute};
use millpond::scenario::{self, Scenario};
use millpond_tests::scenarios;
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
                let (outcome, _) = execute(cell, seed, &How { memory, ..How::default() });
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
