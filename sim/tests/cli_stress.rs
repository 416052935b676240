//! `run --platform std` as built: what it says, what it refuses, and that it claims no replay.

mod support;

use serde_json::Value;
use support::{Folder, LEAK, expecting, refused};

#[test]
fn the_exit_code_is_the_verdict() {
    let folder = Folder::new("stress-verdicts");
    let calm = |rest: &str| format!("(name: \"x\", seeds: 0..2, {rest})");
    let cases = [
        (calm(""), 0, "ok: verdict as expected"),
        (calm("schedule: Pct(depth: 3), preempt: AtTasks, budget: (steps: 100)"), 0, "ok: verdict as expected"),
        (LEAK.to_string(), 1, "FAILED: verdict not as expected: 4 of 4 executions found something"),
        (expecting("MustFind(Leak)"), 0, "ok: verdict as expected: Leak in 4 of 4 executions"),
        (
            expecting("MustFind(DoubleRelease)"),
            1,
            "FAILED: verdict not as expected: 4 of 4 executions found something else than DoubleRelease",
        ),
        (
            calm("oracles: [Sometimes(PartialWrite)]"),
            4,
            "INCONCLUSIVE: Sometimes(PartialWrite): reached in 0 of 2 executions",
        ),
        (calm("budget: (wall: Ns(0))"), 4, "INCONCLUSIVE: the wall-clock budget ended the run after 1 execution"),
    ];
    for (text, code, last) in cases {
        folder.write("x.ron", &text);
        let ran = folder.play(&["run", "x.ron", "--platform", "std"]);
        assert_eq!((ran.code, ran.out.lines().last()), (code, Some(last)), "{text}\n{}{}", ran.out, ran.err);
        assert_eq!(ran.err, "", "progress is for terminals, and the report for standard output");
    }
}

#[test]
fn the_report_says_what_it_is_and_claims_no_replay() {
    let folder = Folder::new("stress-report");
    folder.write("x.ron", LEAK);
    let ran = folder.play(&["run", "x.ron", "--platform", "std", "--rate", "2"]);
    let words =
        "  on real threads: a stress run; a seed decides the workload, not the schedule; `schedule` and `preempt`";
    assert_eq!(ran.out.matches(words).count(), 1, "{}", ran.out);
    assert!(ran.out.contains("\n  4 executions on real threads, "), "{}", ran.out);
    assert!(ran.out.contains("FOUND Leak (not expected)   seed 0, on real threads, t = "), "{}", ran.out);
    for word in ["digest", "replay", "distinct schedules", " steps"] {
        assert!(!ran.out.contains(word), "{word:?} is in\n{}", ran.out);
    }
    assert!(!folder.0.join("target").exists(), "no finding file: it could not be replayed");
    let line = ran.line("  again    ");
    assert!(line.ends_with("run x.ron --platform std --seed 0 --rate 2"), "{line}");
    let again = folder.paste(line);
    assert_eq!((again.code, again.err.as_str()), (1, ""), "{}", again.out);
    assert!(again.out.contains("\n  1 execution on real threads, "), "{}", again.out);
    // A story: the object's life, on named threads.
    assert!(ran.out.lines().any(|l| l.trim_start().starts_with("obtained") && l.contains("business-")), "{}", ran.out);
}

#[test]
fn json_tells_the_platform() {
    let folder = Folder::new("stress-json");
    folder.write("x.ron", LEAK);
    let ran = folder.play(&["run", "x.ron", "--platform", "std", "--json", "--seeds", "5..8"]);
    let lines: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).expect("an object a line")).collect();
    let kinds: Vec<&str> = lines.iter().map(|l| l["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["execution", "execution", "execution", "cell", "summary"]);
    for (line, seed) in lines[..3].iter().zip(5..) {
        assert_eq!((line["platform"].as_str(), line["seed"].as_u64()), (Some("std"), Some(seed)));
        assert_eq!(line["findings"][0]["finding"], "Leak");
        assert!(line["operations"].as_u64() > Some(20), "{line}");
        let again = line["again"].as_str().expect("a line");
        assert!(again.ends_with(&format!("run x.ron --platform std --seed {seed}")), "{again}");
        for key in ["digest", "replay", "steps", "events"] {
            assert_eq!(line.get(key), None, "{key}");
        }
    }
    assert_eq!((lines[3]["platform"].as_str(), lines[3].get("distinct_schedules")), (Some("std"), None));
    assert_eq!((lines[4]["exit"].as_i64(), ran.code), (Some(1), 1));
}

#[test]
fn what_has_no_meaning_is_refused_with_the_way_out() {
    let folder = Folder::new("stress-refused");
    folder.write("x.ron", LEAK);
    let run = |arguments: &[&str]| folder.run(&[&["run", "x.ron"], arguments].concat());
    let out = "leave out --strategy, or --platform std";
    refused(run(&["--platform", "std", "--strategy", "RunOn"]), out);
    refused(run(&["--platform", "std", "--trace", "t.json"]), "leave out --trace, or --platform std");
    assert!(!folder.0.join("t.json").exists());
    refused(run(&["--rate", "3"]), "--rate is for real threads: add --platform std, or leave it out");
    refused(run(&["--platform", "sim", "--patience", "3"]), "--patience is for real threads: add --platform std");
    refused(run(&["--platform", "std", "--patience", "0"]), "--patience");
    refused(run(&["--platform", "java"]), "[possible values: std, sim]");
}

#[test]
fn the_simulator_is_the_default() {
    let folder = Folder::new("stress-default");
    folder.write("x.ron", LEAK);
    let (default, named) = (folder.play(&["run", "x.ron"]), folder.play(&["run", "x.ron", "--platform", "sim"]));
    assert_eq!((default.code, &default.out, &default.err), (named.code, &named.out, &named.err));
    assert!(default.out.contains("digest"), "{}", default.out);
}
