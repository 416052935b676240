//! Traces of real Netty, replayed operation by operation. Expected values are in the files of `golden/`.

use millpond::conform::command::{On, conform_simulated, conform_with};
use millpond::conform::{Difference, Summary, conform_file};
use millpond::engine::{Options, Strategy};
use std::path::{Path, PathBuf};

fn golden() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = std::fs::read_dir(&folder).expect("the folder of traces");
    let mut paths: Vec<_> = files.map(|f| f.expect("an entry").path()).collect();
    // Those of allocators begin with `a_`, and have tests of their own.
    let is_allocator = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("a_"));
    paths.retain(|path| path.extension().is_some_and(|e| e == "gz") && !is_allocator(path));
    paths.sort();
    paths
}

fn every_trace_is_reproduced(conform: impl Fn(&Path) -> Result<Summary, Difference>) {
    let mut operations = 0;
    let mut differences = Vec::new();
    let paths = golden();
    assert_eq!(paths.len(), 78, "traces of recyclers in the folder");
    for path in &paths {
        match conform(path) {
            Ok(summary) => operations += summary.operations,
            Err(difference) => differences.push(difference.to_string()),
        }
    }
    assert!(differences.is_empty(), "{} traces differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(operations, 123_638, "operations in all traces");
}

#[test]
fn every_trace_is_reproduced_on_std() {
    every_trace_is_reproduced(|path| conform_file(path));
}

#[test]
fn every_trace_is_reproduced_on_sim() {
    every_trace_is_reproduced(|path| conform_with(On::Sim, path));
}

#[test]
fn every_trace_is_reproduced_on_sim_in_random_schedules() {
    let options = Options { strategy: Strategy::Random, max_steps: u64::MAX, ..Options::default() };
    every_trace_is_reproduced(|path| conform_simulated(&options, path));
}

#[test]
fn a_file_that_is_no_trace_is_refused() {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(matches!(conform_file(manifest), Err(Difference::Unusable { .. })));
}
