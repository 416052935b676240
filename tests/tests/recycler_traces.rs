//! Traces of real Netty, replayed operation by operation. Expected values are in the files of `golden/`.

use millpond::conform::{Difference, conform_file};
use std::path::PathBuf;

fn golden() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = std::fs::read_dir(&folder).expect("the folder of traces");
    let mut paths: Vec<_> = files.map(|f| f.expect("an entry").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "gz"));
    paths.sort();
    paths
}

#[test]
fn every_trace_is_reproduced() {
    let mut operations = 0;
    let mut differences = Vec::new();
    let paths = golden();
    assert_eq!(paths.len(), 77, "traces in the folder");
    for path in &paths {
        match conform_file(path) {
            Ok(summary) => operations += summary.operations,
            Err(difference) => differences.push(difference.to_string()),
        }
    }
    assert!(differences.is_empty(), "{} traces differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(operations, 123_438, "operations in all traces");
}

#[test]
fn a_file_that_is_no_trace_is_refused() {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(matches!(conform_file(manifest), Err(Difference::Unusable { .. })));
}
