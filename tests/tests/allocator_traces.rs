//! Traces of real Netty's pooled allocator, replayed operation by operation on buffers. Expected values are in the files of
//! `golden/`; every field of every line is compared.

use millpond::conform::command::{On, conform_simulated, conform_with};
use millpond::conform::{Difference, Summary, conform_file};
use millpond::engine::{Options, Strategy};
use std::path::{Path, PathBuf};

fn golden() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = std::fs::read_dir(&folder).expect("the folder of traces");
    let mut paths: Vec<_> = files.map(|f| f.expect("an entry").path()).collect();
    let is_allocator = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("a_"));
    paths.retain(|path| path.extension().is_some_and(|e| e == "gz") && is_allocator(path));
    paths.sort();
    paths
}

fn every_trace_is_reproduced(conform: impl Fn(&Path) -> Result<Summary, Difference>) {
    let mut operations = 0;
    let mut differences = Vec::new();
    let paths = golden();
    assert_eq!(paths.len(), 35, "traces of allocators in the folder");
    for path in &paths {
        match conform(path) {
            Ok(summary) => operations += summary.operations,
            Err(difference) => differences.push(difference.to_string()),
        }
    }
    assert!(differences.is_empty(), "{} traces differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(operations, 29_300, "operations in all traces");
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

/// A trace by hand of these operations, from the first lines of `a_basic`, which all releases have alike.
fn by_hand(test: &str, netty: &str, generation: &str, operations: &[&str]) -> Result<Summary, Difference> {
    let header = format!(
        r#"{{"fmt":"netty-lockstep/1","netty":"{netty}","gen":"{generation}","cfg":{{"name":"dead","domain":"alloc","threads":1,"ftl":1,
"exit":"removeAll","nHeap":1,"nDirect":1,"page":8192,"order":11,"tiny":512,"small":256,"normal":64,"cacheAll":1,"fullEvery":25,
"jvm":"-Dio.netty.recycler.ratio=1"}},"statics":{{"DEFAULT_MAX_CAPACITY_PER_THREAD":4096,"INITIAL_CAPACITY":256,
"MAX_SHARED_CAPACITY_FACTOR":2,"MAX_DELAYED_QUEUES_PER_THREAD":16,"LINK_CAPACITY":16,"RATIO":1,"DELAYED_QUEUE_RATIO":1,
"DEFAULT_QUEUE_CHUNK_SIZE_PER_THREAD":32,"BATCH_FAST_TL_ONLY":true}}}}"#
    );
    let mut text = header.replace('\n', "") + "\n";
    for (i, operation) in operations.iter().enumerate() {
        text += &format!("{{\"i\":{i},{}}}\n", operation.replace('\n', ""));
    }
    text += &format!("{{\"end\":1,\"ops\":{}}}\n", operations.len());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{netty}-{}.jsonl", std::process::id()));
    std::fs::write(&path, text).expect("a file for the test");
    let outcome = conform_file(&path);
    std::fs::remove_file(&path).expect("the file of the test");
    outcome
}

const RELEASES: [(&str, &str); 6] =
    [("4.0.43", "A1"), ("4.1.48", "A2"), ("4.1.68", "A3"), ("4.1.74", "B1"), ("4.1.118", "B2"), ("4.2.7", "C")];
const ALLOCATED: &str = r#""op":"alloc","t":0,"b":0,"size":4096,"k":"d","res":{"bid":0,"new":1,
    "cls":"PooledUnsafeDirectByteBuf","rc":1,"ar":"d0","ch":0,"off":0,"len":4096,"max":4096,"hit":0}"#;
/// The buffer object and its memory come again.
const ALLOCATED_AGAIN: &str = r#""op":"alloc","t":0,"b":3,"size":4096,"k":"d","res":{"bid":0,"new":0,
    "cls":"PooledUnsafeDirectByteBuf","rc":1,"ar":"d0","ch":0,"off":0,"len":4096,"max":4096,"hit":1}"#;
const LAST: &str = r#""op":"rel","t":0,"b":0,"last":1,"res":{"freed":1,"rc":0,"arena":0}"#;
const NOT_LAST: &str = r#""op":"rel","t":0,"b":0,"res":{"freed":1,"rc":0,"arena":0}"#;
const RELEASED_AGAIN: &str = r#""op":"rel","t":0,"b":0,"res":{"ex":"IllegalReferenceCountException",
    "msg":"refCnt: 0, decrement: 1"}"#;
const RETAINED_DEAD: &str = r#""op":"ret","t":0,"b":0,"res":{"ex":"IllegalReferenceCountException",
    "msg":"refCnt: 0, increment: 1"}"#;
const WITHOUT_TEXT: &str = r#""op":"ret","t":0,"b":0,"res":{"ex":"IllegalReferenceCountException"}"#;

#[test]
fn a_dead_buffer_refuses_as_nettys_does() {
    for (netty, generation) in RELEASES {
        for last in [LAST, NOT_LAST] {
            let lines = [ALLOCATED, last, RELEASED_AGAIN, RETAINED_DEAD, WITHOUT_TEXT, RELEASED_AGAIN];
            let summary = by_hand("refused", netty, generation, &lines).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(summary.operations, 6, "{netty}");
        }
        // The record of a dead buffer keeps nothing: its object is used again.
        let lines = [ALLOCATED, LAST, RELEASED_AGAIN, ALLOCATED_AGAIN];
        by_hand("again", netty, generation, &lines).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn another_answer_of_a_dead_buffer_is_a_difference() {
    let wrong = [
        (RELEASED_AGAIN.replace("decrement", "increment"), "res.msg"),
        (RETAINED_DEAD.replace("refCnt: 0", "refCnt: 1"), "res.msg"),
        (WITHOUT_TEXT.replace("IllegalReferenceCountException", "IllegalStateException"), "res.ex"),
        (r#""op":"ret","t":0,"b":0,"res":{"rc":1}"#.into(), "res.ex"),
        (LAST.into(), "res.arena"),
    ];
    for (operation, what) in wrong {
        let lines = [ALLOCATED, LAST, &operation];
        match by_hand("wrong", "4.1.48", "A2", &lines) {
            Err(Difference::Differs(first)) => assert_eq!((first.line, first.what.as_str()), (4, what)),
            other => panic!("{operation}: {other:?}"),
        }
    }
}

#[test]
fn a_dead_buffer_whose_object_lives_again_is_not_replayed() {
    let lines = [ALLOCATED, LAST, ALLOCATED_AGAIN, RELEASED_AGAIN];
    let outcome = by_hand("reused", "4.1.48", "A2", &lines);
    let said = "buffer 0 is dead, and its object is another buffer by now";
    assert!(
        matches!(&outcome, Err(Difference::Unusable { line: Some(5), reason, .. }) if reason == said),
        "{outcome:?}"
    );
}
