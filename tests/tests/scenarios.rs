//! Every scenario file is a test: its verdict is the expected one.

use libtest_mimic::{Arguments, Trial};
use millpond::campaign::{RunOptions, run};
use millpond::report::Verdict;
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
    libtest_mimic::run(&arguments, trials.collect()).exit();
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
