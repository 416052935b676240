//! Every scenario file is a test: its verdict is the expected one.

use libtest_mimic::{Arguments, Trial};
use millpond::campaign::{RunOptions, run};
use millpond::report::Verdict;
use millpond::scenario::parse;
use millpond_tests::{load, scenarios};
use std::path::Path;

fn main() {
    let arguments = Arguments::from_args();
    let root = scenarios();
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    // The main job is a test of its own, number by number: riddle.rs.
    files.retain(|file| file != "riddle.ron");
    files.sort();
    assert!(files.len() >= 20, "the scenarios are found: {files:?}");
    let trials = files.into_iter().map(|file| {
        Trial::test(file.clone(), move || {
            let mut report = Vec::new();
            let verdict = run(&load(&file), &RunOptions::default(), &mut report).map_err(|e| e.to_string())?;
            match verdict {
                Verdict::AsExpected => Ok(()),
                other => Err(format!("{other:?}\n{}", String::from_utf8_lossy(&report)).into()),
            }
        })
    });
    libtest_mimic::run(&arguments, trials.chain(examples(&root)).collect()).exit();
}

/// The examples of the README: what it teaches is true.
fn examples(root: &Path) -> Vec<Trial> {
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README can be read");
    let blocks =
        readme.split("```ron\n").skip(1).map(|rest| rest.split("```").next().expect("a block ends").to_string());
    let trials: Vec<Trial> = blocks
        .enumerate()
        .map(|(i, text)| {
            Trial::test(format!("README.md, example {}", i + 1), move || {
                let loaded = parse(Path::new("README.md"), text).map_err(|e| e.to_string())?;
                let mut report = Vec::new();
                let verdict = run(&loaded, &RunOptions::default(), &mut report).map_err(|e| e.to_string())?;
                let report = String::from_utf8_lossy(&report);
                if verdict == Verdict::AsExpected { Ok(()) } else { Err(format!("{verdict:?}\n{report}").into()) }
            })
        })
        .collect();
    assert!(trials.len() >= 8, "the examples are found");
    trials
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the folder of scenarios can be read") {
        let path = entry.expect("its entries too").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|e| e == "ron") {
            let name = path.strip_prefix(root).expect("it is below the root").to_str().expect("its name is text");
            files.push(name.to_string());
        }
    }
}
