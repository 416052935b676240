//! How many executions it takes to find each planted bug: the numbers of `scenarios/BUGS.md`.
//!
//! **Invariant: a campaign is seeds one after another until the bug is found**, so that its length is what a person waits for.
//!
//! ```sh
//! cargo run --release -p millpond-tests --example planted [part of a file's name]
//! ```

use millpond::run::{How, execute};
use millpond::scenario::{Cell, Expect, Schedule};
use millpond_tests::{load, scenarios};

/// Campaigns for each scenario and strategy.
const CAMPAIGNS: u64 = 31;
/// Executions after which a campaign gives up.
const LIMIT: u64 = 2_000;
/// Executions for each scenario and strategy after which no further campaign begins.
const ENOUGH: u64 = 20_000;

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let folder = scenarios().join("planted");
    let entries = std::fs::read_dir(folder).expect("the folder of planted scenarios can be read");
    let mut files: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    files.retain(|file| file.contains(&wanted));
    files.sort();
    println!("| scenario | finds | Random | Pct(depth: 3) |");
    println!("|---|---|---:|---:|");
    for file in files {
        let loaded = load(&format!("planted/{file}"));
        let Expect::MustFind(kind) = loaded.scenario.expect else { continue };
        let [random, pct] = [Schedule::Random, Schedule::Pct { depth: 3 }].map(|schedule| {
            let how = How { schedule: Some(schedule), ..How::default() }.for_cell(&loaded.cells[0]);
            summary(campaigns(&loaded.cells[0], &how))
        });
        println!("| {file} | {kind} | {random} | {pct} |");
    }
}

/// The length of each campaign, ascending; none: it gave up.
fn campaigns(cell: &Cell, how: &How) -> Vec<Option<u64>> {
    let (mut lengths, mut executions) = (Vec::new(), 0);
    for campaign in 0..CAMPAIGNS {
        let first = campaign * LIMIT;
        let finds = |seed: &u64| execute(cell, *seed, how).0.finding().is_some();
        let found = (first..first + LIMIT).find(finds).map(|seed| seed - first + 1);
        executions += found.unwrap_or(LIMIT);
        lengths.push(found);
        if executions >= ENOUGH {
            break;
        }
    }
    lengths.sort_by_key(|length| length.unwrap_or(u64::MAX));
    lengths
}

/// Median and worst.
fn summary(lengths: Vec<Option<u64>>) -> String {
    let text = |length: Option<u64>| length.map_or(format!("> {LIMIT}"), |n| n.to_string());
    let (median, worst) = (lengths[lengths.len() / 2], lengths[lengths.len() - 1]);
    if median == worst { text(median) } else { format!("{}, at worst {}", text(median), text(worst)) }
}
