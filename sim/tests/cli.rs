//! The built command: what it prints, where, and how it exits.

mod support;

use std::fs;
use std::process::{Command, Stdio};
use support::{Folder, Ran, refused};

#[test]
fn bad_content_is_shown_with_its_place() {
    let folder = Folder::new("content");
    folder.write("typo.ron", "(\n    name: \"x\",\n    topology: (event_loop: 4),\n)\n");
    let report = "  × `Topology` has no field `event_loop`
   ╭─[typo.ron:3:16]
 2 │     name: \"x\",
 3 │     topology: (event_loop: 4),
   ·                ─────┬────
   ·                     ╰── unknown field
 4 │ )
   ╰────
  help: did you mean `event_loops`?
";
    for verb in ["check", "run", "replay"] {
        let ran = folder.run(&[verb, "typo.ron"]);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (2, "", report), "{verb}");
    }
    let cases: [(&str, &str); 6] = [
        ("(name: \"x\", socket: (send_window: KB(64)))", "did you mean `KiB`?"),
        ("(name: \"x\", faults: [PeerReset(Rate(1.5))])", "a probability is between 0 and 1, not 1.5"),
        ("(name: \"x\", workload: [Phase(writes: 1_000_000_000_000)])", "a phase writes at most 1_000_000_000"),
        ("(name: \"x\", topology: (business_threads: 1_000_000))", "`business_threads` is between 0 and 512"),
        ("", "the file is empty"),
        ("(topology: ())", "the scenario has no `name`"),
    ];
    for (text, words) in cases {
        folder.write("bad.ron", text);
        refused(folder.run(&["check", "bad.ron"]), words);
    }
    folder.write("bad.ron", "(".repeat(100_000));
    refused(folder.run(&["check", "bad.ron"]), "brackets are nested more than 64 levels deep");
    folder.write("bad.ron", b"(\n  name: \"x\xff\xfe\",\n)");
    refused(folder.run(&["check", "bad.ron"]), "not UTF-8: byte 12 (0xFF), in line 2");
    refused(folder.run(&["check", "bad.ron"]), "[bad.ron:2:11]");
    folder.write("bad.ron", "(name: \"x\0\")");
    refused(folder.run(&["check", "bad.ron"]), "a NUL byte in a scenario file");
}

#[test]
fn only_regular_files_of_moderate_size_are_read() {
    let folder = Folder::new("files");
    let large = fs::File::create(folder.0.join("large.ron")).expect("a file");
    large.set_len(100 << 20).expect("a sparse file");
    refused(folder.run(&["check", "large.ron"]), "too large: 100.0 MiB, and the limit for a scenario file is 1 MiB");
    folder.write("edge.ron", format!("(name: \"x\"){}", " ".repeat((1 << 20) - 11)));
    assert_eq!(folder.run(&["check", "edge.ron"]).code, 0, "1 MiB is not too large");
    folder.write("over.ron", " ".repeat((1 << 20) + 1));
    refused(folder.run(&["check", "over.ron"]), "too large");
    fs::create_dir(folder.0.join("folder")).expect("a folder");
    refused(folder.run(&["check", "folder"]), "folder is a directory; a scenario is a file");
    refused(folder.run(&["check", "/dev/zero"]), "/dev/zero is not a regular file");
    let made = Command::new("mkfifo").arg(folder.0.join("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    refused(folder.run(&["check", "pipe"]), "pipe is not a regular file; pipes and devices are not read");
}

#[test]
fn a_missing_file_may_have_another_name() {
    let folder = Folder::new("missing");
    fs::create_dir_all(folder.0.join("scenarios/deep")).expect("folders");
    folder.write("scenarios/deep/riddle.ron", "(name: \"a riddle\")");
    refused(folder.run(&["check", "scenarios/deep/ridle.ron"]), "did you mean scenarios/deep/riddle.ron?");
    refused(folder.run(&["run", "riddle"]), "did you mean scenarios/deep/riddle.ron?");
    refused(folder.run(&["check", "zzzzzz.ron"]), "`millpond list scenarios` shows those in ./scenarios");
    refused(folder.run(&["check", "scenarios"]), "it has scenarios in it, such as scenarios/deep/riddle.ron");
}

#[test]
fn check_looks_at_every_file() {
    let folder = Folder::new("check");
    folder.write("one.ron", "(name: \"x\", seeds: 3..4)");
    folder.write("bad.ron", "(name: 3)");
    folder.write("many.ron", "(name: \"x\", sweep: Matrix(event_loops: [1, 2], preset: [Millpond]))");
    let ran = folder.run(&["check", "one.ron", "bad.ron", "many.ron"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.out, "ok one.ron: 1 cell x 1 seed\nok many.ron: 2 cells x 16 seeds\n");
    assert!(ran.err.contains("[bad.ron:1:8]"), "{}", ran.err);
    assert_eq!(folder.run(&["check", "one.ron"]).code, 0);
}

#[test]
fn new_writes_a_scenario_that_checks_and_never_overwrites() {
    let folder = Folder::new("new");
    let ran = folder.run(&["new", "pool-bloat_2"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("millpond run scenarios/pool-bloat_2.ron"), "the next command is told: {}", ran.out);
    let written = fs::read(folder.0.join("scenarios/pool-bloat_2.ron")).expect("the file");
    let ran = folder.run(&["check", "scenarios/pool-bloat_2.ron"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok scenarios/pool-bloat_2.ron: 1 cell x 16 seeds\n"), "{}", ran.err);
    refused(folder.run(&["new", "pool-bloat_2"]), "scenarios/pool-bloat_2.ron exists already; nothing was written");
    assert_eq!(fs::read(folder.0.join("scenarios/pool-bloat_2.ron")).expect("the file"), written);
    assert_eq!(folder.run(&["new", "other.ron", "--dir", "elsewhere"]).code, 0);
    assert!(folder.0.join("elsewhere/other.ron").is_file());
    let files: Vec<_> = fs::read_dir(folder.0.join("scenarios")).expect("the folder").collect();
    assert_eq!(files.len(), 1, "no draft stays behind");
}

/// Whoever begins with the scaffold has what the documents call the default.
#[test]
fn a_new_scenario_is_searched_by_the_portfolio() {
    let folder = Folder::new("portfolio");
    assert_eq!(folder.run(&["new", "x"]).code, 0);
    let ran = folder.play(&["run", "scenarios/x.ron"]);
    assert!(ran.code == 0 && ran.out.contains("Portfolio, preempted at operations"), "{}", ran.out);
}

/// What a new scenario shows in comments can be used as it is.
#[test]
fn the_commented_lines_of_a_new_scenario_load() {
    let folder = Folder::new("comments");
    assert_eq!(folder.run(&["new", "x"]).code, 0);
    let used = |line: &str| match line.trim_start().strip_prefix("// ") {
        Some(code) if code.ends_with("],") || code.ends_with("),") => code.to_string(),
        _ => line.to_string(),
    };
    let text = folder.read("scenarios/x.ron");
    let all: Vec<String> = text.lines().map(used).collect();
    assert_eq!(text.lines().zip(&all).filter(|(old, new)| old != new).count(), 7, "{text}");
    folder.write("all.ron", all.join("\n"));
    let ran = folder.run(&["check", "all.ron"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok all.ron: 3 cells x 16 seeds\n"), "{}", ran.err);
}

#[test]
fn new_refuses_names_that_are_not_names() {
    let folder = Folder::new("names");
    let long = "x".repeat(81);
    for name in ["", "../x", "/tmp/x", "a/b", ".hidden", "Upper", "a b", "ä", "_a", "a\nb", long.as_str()] {
        refused(folder.run(&["new", "--", name]), "a name has small letters, digits, `-` and `_`");
    }
    refused(folder.run(&["new", "Pool Bloat"]), "how about pool-bloat?");
    assert_eq!(fs::read_dir(&folder.0).expect("the folder").count(), 0, "nothing was written");
}

#[test]
fn list_shows_what_there_is() {
    let folder = Folder::new("list");
    fs::create_dir_all(folder.0.join("scenarios/b")).expect("folders");
    folder.write("scenarios/b/two.ron", "(name: \"the second\")");
    folder.write("scenarios/z.ron", "(nam: \"x\")");
    folder.write("scenarios/a.ron", "(name: \"the first\")");
    folder.write("scenarios/notes.txt", "no scenario");
    let expected = "\
scenarios/a.ron      the first
scenarios/b/two.ron  the second
scenarios/z.ron      does not load: `Scenario` has no field `nam`
";
    let ran = folder.run(&["list", "scenarios"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, expected));
    let all = folder.run(&["list"]).out;
    for name in
        ["Netty4_1_8", "Pct", "Safety", "RetainedBytes", "PeerReset", "LostTask", "PartialWrite", "Curve", "Leak"]
    {
        assert!(all.contains(name), "{name}");
    }
    let json = folder.run(&["list", "faults", "--json"]).out;
    let lines: Vec<serde_json::Value> = json.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert!(lines.iter().all(|line| line["v"] == 1));
    assert_eq!((&lines[0]["kind"], &lines[0]["name"]), (&"faults".into(), &"PeerReset".into()));
    let last = lines.len() - 1;
    assert_eq!((&lines[last]["kind"], &lines[last]["count"]), (&"summary".into(), &last.into()));
}

#[test]
fn usage_errors_exit_with_2() {
    let folder = Folder::new("usage");
    folder.write("x.ron", "(name: \"x\", sweep: Matrix(event_loops: [1, 2]))");
    refused(folder.run(&[]), "Usage: millpond <COMMAND>");
    refused(folder.run(&["frobnicate"]), "unrecognized subcommand");
    refused(folder.run(&["check"]), "required");
    refused(folder.run(&["list", "nothing"]), "invalid value");
    let run = |arguments: &[&str]| folder.run(&[&["run", "x.ron"], arguments].concat());
    refused(run(&["--jobs", "0"]), "write a number between 1 and 1024");
    refused(run(&["--seeds", "5..5"]), "there is no seed in this range");
    refused(run(&["--seeds", "9..3"]), "there is no seed in this range");
    refused(run(&["--seeds", "a..3"]), "write 0..100, 0..=99, or a single seed");
    refused(run(&["--seeds", ""]), "write 0..100, 0..=99, or a single seed");
    refused(run(&["--seeds", "0..99999999999999999999"]), "too large for a seed");
    refused(run(&["--seeds", "0..10000001"]), "10_000_001 seeds; at most 10_000_000");
    refused(run(&["--seed", "1", "--seeds", "1..2"]), "cannot be used with");
    refused(run(&["--seed", "18446744073709551615"]), "invalid value");
    refused(run(&["--strategy", "rondom"]), "did you mean Random?");
    refused(run(&["--strategy", "pct:0"]), "a depth is between 1 and 64");
    refused(run(&["--strategy", "delay:65"]), "a schedule is delayed at most 64 times");
    refused(run(&["--strategy", "delays"]), "say how many delays: delay:2");
    let replay = |arguments: &[&str]| folder.run(&[&["replay", "x.ron"], arguments].concat());
    refused(replay(&["--digest", "xyz"]), "a digest has at most 16 hexadecimal digits");
    refused(replay(&[]), "x.ron has 2 cells; name one: --cell \"loops=1\"");
    refused(replay(&["--cell", "lops=2"]), "did you mean --cell \"loops=2\"?");
    assert_eq!(folder.run(&["--help"]).code, 0);
    assert_eq!(folder.run(&["--version"]).code, 0);
}

#[test]
fn a_reader_who_leaves_is_no_reason_to_panic() {
    let folder = Folder::new("pipe");
    folder.write("x.ron", "(name: \"x\")");
    for (arguments, code) in [(vec!["list"], 0), (["check"].into_iter().chain(["x.ron"; 2_000]).collect(), 4)] {
        let mut child = folder.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        drop(child.stdout.take());
        let ran = Ran::from(child.wait_with_output().expect("ends"));
        assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{:?}", arguments[0]);
    }
}

#[test]
fn a_report_does_not_depend_on_the_environment() {
    let folder = Folder::new("environment");
    folder.write("x.ron", "(name: \"x\", seeds: 3)");
    let plain = folder.run(&["check", "x.ron"]).err;
    let variables =
        [("NO_COLOR", "1"), ("COLUMNS", "20"), ("LANG", "tr_TR.UTF-8"), ("TERM", "dumb"), ("FORCE_COLOR", "1")];
    for (name, value) in variables {
        let output = folder.command(&["check", "x.ron"]).env(name, value).output().expect("runs");
        assert_eq!(Ran::from(output).err, plain, "{name}");
    }
}
