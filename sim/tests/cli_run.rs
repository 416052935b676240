//! `run` as built: verdicts, exit codes, JSON, traces, and what it does when the host refuses.

mod support;

use serde_json::Value;
use std::process::Stdio;
use support::{Folder, LEAK, Ran, expecting, refused, scenario};

/// The exit code, and the report's last line.
fn verdict(ran: &Ran) -> (i32, &str) {
    (ran.code, ran.out.lines().last().unwrap_or(""))
}

#[test]
fn the_exit_code_is_the_verdict() {
    let folder = Folder::new("verdicts");
    let nth = expecting("MustFind(Leak)").replace("Always", "Nth(1_000_000)");
    let calm = |rest: &str| format!("(name: \"x\", seeds: 0..2, {rest})");
    let cases = [
        (calm(""), 0, "ok: verdict as expected"),
        (LEAK.to_string(), 1, "FAILED: verdict not as expected: 4 of 4 executions found something"),
        (expecting("MustFind(Leak)"), 0, "ok: verdict as expected: Leak in 4 of 4 executions"),
        (
            expecting("MustFind(DoubleRelease)"),
            1,
            "FAILED: verdict not as expected: 4 of 4 executions found something else than DoubleRelease",
        ),
        (nth, 1, "FAILED: verdict not as expected: Leak was not found in 4 executions"),
        (
            calm("oracles: [Sometimes(PartialWrite)]"),
            4,
            "INCONCLUSIVE: Sometimes(PartialWrite): reached in 0 of 2 executions",
        ),
        (calm("budget: (wall: Ns(0))"), 4, "INCONCLUSIVE: the wall-clock budget ended the run after 1 execution"),
        (calm("budget: (steps: 100), expect: MustFind(StepBudget)"), 0, "StepBudget in 2 of 2 executions"),
    ];
    for (text, code, last) in cases {
        folder.write("x.ron", &text);
        let ran = folder.play(&["run", "x.ron"]);
        assert_eq!(verdict(&ran).0, code, "{text}\n{}{}", ran.out, ran.err);
        assert!(verdict(&ran).1.ends_with(last), "{text}\n{}", ran.out);
        assert_eq!(ran.err, "", "progress is for terminals, and the report for standard output");
    }
}

#[test]
fn a_budget_that_is_too_small_is_a_finding() {
    let folder = Folder::new("budget");
    folder.write("x.ron", "(name: \"x\", budget: (steps: 100))");
    let ran = folder.play(&["run", "x.ron", "--seed", "3"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("FOUND StepBudget (not expected)   seed 3, step 100,"), "{}", ran.out);
    assert!(ran.out.contains("not quiescent after 100 steps: raise `budget: (steps: ..)`"), "{}", ran.out);
    for head in ["  replay   ", "  or       "] {
        let again = folder.paste(ran.line(head));
        assert_eq!((again.code, again.err.as_str()), (0, ""), "{}", again.out);
        assert!(again.line("reproduced: ").starts_with("digest "), "{}", again.out);
    }
}

#[test]
fn seeds_are_those_that_were_asked_for() {
    let folder = Folder::new("seeds");
    folder.write("x.ron", LEAK);
    let seeds = |arguments: &[&str]| -> Vec<u64> {
        let ran = folder.play(&[&["run", "x.ron", "--json"], arguments].concat());
        lines(&ran).iter().filter(|l| l["kind"] == "execution").map(|l| l["seed"].as_u64().expect("a seed")).collect()
    };
    assert_eq!(seeds(&[]), [0, 1, 2, 3]);
    assert_eq!(seeds(&["--seeds", "5..9"]), [5, 6, 7, 8]);
    assert_eq!(seeds(&["--seeds", "5..=7"]), [5, 6, 7]);
    assert_eq!(seeds(&["--seeds", "12"]), [12]);
    assert_eq!(seeds(&["--seed", "7"]), [7]);
    assert_eq!(seeds(&["--seed", "18446744073709551614"]), [u64::MAX - 1]);
    let ran = folder.play(&["run", "x.ron", "--seeds", "5..9"]);
    assert!(ran.out.contains("\n  4 executions, ") && ran.out.contains("(not expected)   seed 5,"), "{}", ran.out);
}

/// The lines of `--json`.
#[track_caller]
fn lines(ran: &Ran) -> Vec<Value> {
    let parsed: Vec<Value> =
        ran.out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    assert!(parsed.iter().all(|line| line["v"] == 1), "every line has its version");
    let last = parsed.last().expect("a line");
    assert_eq!((&last["kind"], last["exit"].as_i64()), (&"summary".into(), Some(ran.code.into())));
    assert!(parsed[..parsed.len() - 1].iter().all(|line| line["kind"] != "summary"), "one summary, at the end");
    assert_eq!(ran.err, "");
    parsed
}

#[test]
fn json_is_one_object_a_line() {
    let folder = Folder::new("json");
    folder.write("found.ron", expecting("MustFind(Leak)"));
    folder.write("held.ron", "(name: \"x\", seeds: 0..3)");
    folder.write("never.ron", "(name: \"x\", seeds: 0..1, oracles: [Sometimes(PartialWrite)])");
    folder.write("cells.ron", "(name: \"x\", seeds: 0..3, sweep: Matrix(event_loops: [1, 2]))");
    folder.write("failed.ron", LEAK);
    // Executions, cells, exit code.
    for (file, executions, cells, code) in
        [("found", 4, 1, 0), ("held", 3, 1, 0), ("never", 1, 1, 4), ("cells", 6, 2, 0), ("failed", 4, 1, 1)]
    {
        let ran = folder.play(&["run", &format!("{file}.ron"), "--json"]);
        let lines = lines(&ran);
        let count = |kind: &str| lines.iter().filter(|l| l["kind"] == kind).count();
        assert_eq!((count("execution"), count("cell"), lines.len()), (executions, cells, executions + cells + 1));
        assert_eq!((ran.code, &lines[lines.len() - 1]["executions"]), (code, &executions.into()), "{file}");
        for line in lines.iter().filter(|l| l["kind"] == "execution") {
            let found = line["findings"].as_array().expect("a list").len();
            assert_eq!(line.get("replay").is_some(), found > 0, "{line}");
        }
    }
    let ran = folder.play(&["run", "failed.ron", "--json", "--seed", "2"]);
    let execution = &lines(&ran)[0];
    assert_eq!((&execution["findings"][0]["finding"], &execution["seed"]), (&"Leak".into(), &2.into()));
    let again = folder.paste(&format!("{} --json", execution["replay"].as_str().expect("a line")));
    let replayed = lines(&again);
    assert_eq!((&replayed[0]["digest"], &replayed[1]["why"][0]), (&execution["digest"], &"reproduced".into()));
}

#[test]
fn the_number_of_jobs_changes_no_byte() {
    let folder = Folder::new("jobs");
    folder.write("one.ron", LEAK.replace("0..4", "0..40"));
    folder.write("cells.ron", LEAK.replace("plant:", "sweep: Matrix(preset: [Netty4_1_8, Millpond]), plant:"));
    for file in ["one.ron", "cells.ron"] {
        for format in [&[][..], &["--json"], &["--no-table"]] {
            let ran = |jobs| folder.play(&[&["run", file, "--jobs", jobs], format].concat());
            let (one, four) = (ran("1"), ran("4"));
            assert!(one.out.len() > 200, "{}", one.out);
            assert_eq!((one.code, &one.out, &one.err), (four.code, &four.out, &four.err), "{file} {format:?}");
        }
    }
}

#[test]
fn a_trace_names_the_threads_and_their_steps() {
    let folder = Folder::new("trace");
    folder.write("x.ron", LEAK);
    let plain = folder.play(&["run", "x.ron"]);
    let ran = folder.play(&["run", "x.ron", "--trace", "trace.json"]);
    assert_eq!((ran.code, &ran.out, ran.err.as_str()), (1, &plain.out, ""), "a trace changes nothing");
    let trace: Vec<Value> = serde_json::from_str(&folder.read("trace.json")).expect("a JSON array");
    let names: Vec<&str> = trace
        .iter()
        .filter(|e| e["ph"] == "M" && e["name"] == "thread_name")
        .map(|e| e["args"]["name"].as_str().expect("a name"))
        .collect();
    for name in ["business-0", "business-1", "loop-0"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let events: Vec<&Value> = trace.iter().filter(|e| e["ph"] == "X").collect();
    assert!(events.len() > 100);
    assert!(events.windows(2).all(|pair| pair[0]["ts"].as_u64() <= pair[1]["ts"].as_u64()), "in the order of steps");
    assert!(events.iter().all(|e| e["tid"].as_u64().is_some_and(|tid| tid < names.len() as u64)), "each has a track");
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error_before_the_run() {
    let folder = Folder::new("untraceable");
    folder.write("x.ron", LEAK);
    let trace = |to: &str| folder.run(&["run", "x.ron", "--trace", to]);
    refused(trace("missing/trace.json"), "error: the trace cannot be written to missing/trace.json: No such file");
    refused(trace("."), "error: the trace cannot be written to .: Is a directory");
    refused(trace("./x.ron"), "error: the trace would overwrite the scenario ./x.ron");
    assert_eq!(folder.read("x.ron"), LEAK);
    assert!(!folder.0.join("target").exists(), "nothing was run");
}

/// `/dev/full` refuses every byte that is written to it.
#[test]
#[cfg(target_os = "linux")]
fn a_trace_that_ends_early_is_told_and_the_verdict_stands() {
    let folder = Folder::new("full");
    folder.write("x.ron", LEAK);
    let ran = folder.play(&["run", "x.ron", "--trace", "/dev/full"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.starts_with("warning: the trace is not complete: "), "{}", ran.err);
    assert!(ran.out.ends_with("4 of 4 executions found something\n"), "{}", ran.out);
}

#[test]
fn findings_that_cannot_be_written_change_nothing_else() {
    let folder = Folder::new("unwritable");
    folder.write("x.ron", LEAK);
    let kept = folder.play(&["run", "x.ron"]);
    let name = "target/millpond/x-leak-0.ron";
    assert!(folder.0.join(name).is_file() && kept.line("  or       ").ends_with(name), "{}", kept.out);
    std::fs::remove_dir_all(folder.0.join("target")).expect("removed");
    folder.write("target", "a file where a folder should be");
    let ran = folder.play(&["run", "x.ron"]);
    let words = format!("warning: the finding of seed 0 could not be written to {name}: ");
    assert!(ran.err.starts_with(&words) && ran.err.lines().count() == 1, "{}", ran.err);
    assert_eq!(ran.code, 1);
    let or = format!("  or       {}\n", kept.line("  or       "));
    assert_eq!(ran.out, kept.out.replace(&or, ""), "a file that isn't there is not named");
}

/// Where one writes to a reader who has left already.
fn left() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer
}

#[test]
fn a_reader_who_leaves_ends_a_run_without_a_panic() {
    let folder = Folder::new("left");
    folder.write("x.ron", LEAK.replace("0..4", "0..200"));
    for arguments in [&["run", "x.ron"][..], &["run", "x.ron", "--json"], &["replay", "x.ron"]] {
        let mut child = folder.command(arguments).stdout(left()).stderr(left()).spawn().expect("runs");
        assert_eq!(child.wait().expect("ends").code(), Some(4), "{arguments:?}: there is no verdict that nobody read");
    }
    // Finding files are refused, so that a warning is due on a standard error that is closed; the verdict is read.
    let folder = Folder::new("deaf");
    folder.write("x.ron", LEAK);
    folder.write("target", "a file");
    let child = folder.command(&["run", "x.ron"]).stdout(Stdio::piped()).stderr(left()).spawn().expect("runs");
    assert_eq!(verdict(&Ran::from(child.wait_with_output().expect("ends"))).0, 1);
    let folder = Folder::new("head");
    folder.write("x.ron", LEAK);
    let ran = folder.paste("cargo run -q --release -- run x.ron --json | head -1");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "head's exit code, and no complaint");
    assert_eq!(ran.out.lines().count(), 1);
}

#[test]
fn the_first_scenario_of_the_readme() {
    let folder = Folder::new("first");
    folder.write("first_run.ron", scenario("first_run.ron"));
    let ran = folder.play(&["run", "first_run.ron"]);
    assert_eq!(verdict(&ran), (0, "ok: verdict as expected"), "{}", ran.out);
    assert!(!ran.out.contains("FOUND") && !folder.0.join("target").exists(), "nothing found, nothing written");
}
