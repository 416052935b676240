//! Every planted scenario, and every one of a latent hazard, finds its bug, and without the bug it holds with the same seeds.
//!
//! **Invariant: what a planted scenario finds is its bug and nothing else**: one thing is taken out of the scenario, and the finding
//! is gone.

use libtest_mimic::{Arguments, Trial};
use millpond::scenario::{Backend, Expect, Scenario, Size, Step, Sweep, cells};
use millpond_tests::{load, outcome, scenarios};

/// The same scenario without its bug: no defect is planted, the preset is the one in which the bug is mended, the count and the ends
/// of threads are those of the preset, memory comes from arenas, and the program forgets nothing.
fn mended(planted: &Scenario) -> Scenario {
    let mut twin = planted.clone();
    twin.expect = Expect::MustHold;
    twin.plant.clear();
    if planted.plant.is_empty() {
        twin.pool.preset = planted.mended_in.unwrap_or_default();
        if let Sweep::Matrix { preset, .. } = &mut twin.sweep
            && !preset.is_empty()
        {
            *preset = vec![twin.pool.preset];
        }
        twin.allocator.scheme = None;
        twin.allocator.thread_end = None;
        if twin.allocator.backend == Backend::Adaptive {
            twin.allocator.backend = Backend::Pooled;
            (twin.allocator.arenas, twin.allocator.chunk) = (Some(1), Some(Size::kib(1024)));
        }
    }
    for step in &mut twin.workload {
        if let Step::Exchange(exchange) = step {
            exchange.forgets = None;
        }
    }
    twin
}

/// Runs every cell with every seed; what was found first.
fn found(scenario: &Scenario) -> Option<String> {
    cells(scenario).iter().find_map(|cell| {
        scenario.seeds.clone().find_map(|seed| {
            let outcome = outcome(cell, seed);
            let finding = outcome.finding()?;
            Some(format!("cell `{}`, seed {seed}: {}: {}", cell.label, finding.kind, finding.text))
        })
    })
}

fn main() {
    let arguments = Arguments::from_args();
    let in_folder = |folder: &str| {
        let entries = std::fs::read_dir(scenarios().join(folder)).expect("the folder can be read");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        entries.map(|entry| format!("{folder}/{}", name(entry).to_string_lossy())).collect::<Vec<String>>()
    };
    let mut files = [in_folder("planted"), in_folder("latent")].concat();
    files.sort();
    assert!(files.len() >= 50, "the scenarios are found: {files:?}");
    let trials = files.into_iter().map(|file| {
        Trial::test(file.clone(), move || {
            let planted = load(&file).scenario;
            assert!(matches!(planted.expect, Expect::MustFind(_)), "such a scenario is to find something");
            if file.starts_with("latent/") {
                assert!(planted.plant.is_empty(), "a latent hazard is found without a plant");
            }
            let twin = mended(&planted);
            match found(&twin) {
                None => Ok(()),
                Some(text) => Err(format!("without its bug it still finds something: {text}").into()),
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
