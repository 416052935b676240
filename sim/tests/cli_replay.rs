//! `replay` as built: the lines that reports print do what they say, and finding files that are not whole are refused.

mod support;

use support::{Folder, Ran, refused, scenario};

/// Every execution leaks, and takes more than one prefix digest.
const LEAK: &str = r#"(name: "a leak", topology: (event_loops: 1, business_threads: 2), seeds: 0..2, workload: [
    Phase(writes: 100, clients: Flood),
    Close(name: "early close", awaits: Nothing),
    Phase(name: "late", writes: 5, clients: Flood, message: Buffer(Exactly(B(64)))),
    Shutdown(),
], plant: [ForgottenRelease(Always)])"#;

const FILE: &str = "target/millpond/leak-leak-0.ron";

/// A folder with a scenario in it that was run, and its report.
fn found(name: &str) -> (Folder, Ran) {
    let folder = Folder::new(name);
    folder.write("leak.ron", LEAK);
    let ran = folder.play(&["run", "leak.ron"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    (folder, ran)
}

/// The digest that a report shows.
#[track_caller]
fn digest(ran: &Ran) -> &str {
    let built = ran.line("  built    ");
    let (_, digest) = built.split_once("trace digest ").unwrap_or_else(|| panic!("{built}"));
    assert_eq!(digest.len(), 16, "{built}");
    digest
}

/// Both lines of a report reproduce its first finding.
#[track_caller]
fn reproduces(folder: &Folder, ran: &Ran) {
    for head in ["  replay   ", "  or       "] {
        let again = folder.paste(ran.line(head));
        assert_eq!((again.code, again.err.as_str()), (0, ""), "{head}\n{}", again.out);
        assert_eq!(again.line("reproduced: "), format!("digest {}", digest(ran)), "{}", again.out);
        assert_eq!(digest(&again), digest(ran));
    }
    let line = ran.line("  replay   ");
    assert!(line.ends_with(&format!(" --digest {}", digest(ran))), "{line}");
}

#[test]
fn planted_defects_are_found_told_and_reproduced() {
    for (name, kind, threads) in [
        ("forgotten_release", "Leak", &["business-0", "loop-0"][..]),
        ("double_release", "DoubleRelease", &["business-0", "loop-0"]),
        ("lost_task", "LostTask", &["business-"]),
        ("pool_bloat", "Bloat", &[]),
        ("outbound_not_volatile", "DataRace", &[]), // on weak memory, which its seed has drawn
    ] {
        let folder = Folder::new(name);
        let file = format!("{name}.ron");
        folder.write(&file, scenario(&format!("planted/{file}")));
        let ran = folder.play(&["run", &file]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{name}\n{}", ran.out);
        assert!(ran.line(&format!("FOUND {kind} (expected)   ")).starts_with("seed "), "{}", ran.out);
        for thread in threads {
            let told = ran.out.lines().any(|l| l.contains(&format!("  {thread}")) && l.contains("  step "));
            assert!(told, "{name}: {thread} is not in the story\n{}", ran.out);
        }
        reproduces(&folder, &ran);
    }
}

#[test]
fn a_replay_line_names_the_strategy() {
    let folder = Folder::new("strategy");
    folder.write("leak.ron", LEAK);
    let plain = folder.play(&["run", "leak.ron"]);
    for (given, printed) in [
        ("pct:3", "pct:3"),
        ("Pct(depth: 2)", "pct:2"),
        ("runon", "RunOn"),
        ("round-robin", "RoundRobin"),
        ("pos", "Pos"),
        ("urw", "Urw"),
        ("SURW", "Surw"),
        ("delay:2", "delay:2"),
        ("Delays(delays: 3)", "delay:3"),
        ("portfolio", "Portfolio"),
    ] {
        let ran = folder.play(&["run", "leak.ron", "--strategy", given]);
        let line = ran.line("  replay   ");
        assert!(line.contains(&format!(" --strategy {printed} ")), "{line}");
        // The portfolio is what the file has anyhow.
        assert_eq!(digest(&ran) == digest(&plain), printed == "Portfolio", "{given} is another schedule");
        reproduces(&folder, &ran);
        let turn = ran.out.lines().find(|line| line.starts_with("  found by the portfolio's "));
        assert_eq!(turn.is_some(), printed == "Portfolio", "{}", ran.out);
    }
}

#[test]
fn a_replay_line_names_the_cell_and_survives_a_shell() {
    let folder = Folder::new("cell");
    let swept = LEAK.replace("plant:", "sweep: Matrix(preset: [Netty4_1_8, Millpond], event_loops: [1, 2]), plant:");
    for file in ["leak.ron", "it's a $HOME & a \"leak\".ron"] {
        folder.write(file, &swept);
        let ran = folder.play(&["run", file]);
        let lines: Vec<&str> = ran.out.lines().filter_map(|l| l.strip_prefix("  replay   ")).collect();
        assert_eq!(lines.len(), 4, "one for each cell\n{}", ran.out);
        for line in lines {
            assert!(line.contains(" --cell "), "{line}");
            let again = folder.paste(line);
            assert_eq!((again.code, again.err.as_str()), (0, ""), "{line}\n{}", again.out);
            assert!(again.out.contains("\nreproduced: digest "), "{}", again.out);
        }
        for line in ran.out.lines().filter_map(|l| l.strip_prefix("  or       ")) {
            assert_eq!(folder.paste(line).code, 0, "{line}");
        }
    }
}

#[test]
fn a_clean_seed_is_replayed_too() {
    let folder = Folder::new("clean");
    folder.write("x.ron", "(name: \"x\", seeds: 3..5)");
    let ran = folder.play(&["replay", "x.ron"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    let line = ran.line("  nothing found in ");
    let digest = line.split_once("trace digest ").expect("a digest").1.to_string();
    assert!(ran.out.ends_with("no original was named to compare with (`--digest`)\n"), "{}", ran.out);
    assert_eq!(folder.play(&["replay", "x.ron", "--seed", "3"]).out, ran.out, "the file's first seed is the default");
    let ran = folder.play(&["replay", "x.ron", "--digest", &digest]);
    assert_eq!((ran.code, ran.line("reproduced: ")), (0, format!("digest {digest}").as_str()));
    let other = folder.play(&["replay", "x.ron", "--seed", "4", "--digest", &digest]);
    assert_eq!(other.code, 3, "another seed is another execution\n{}", other.out);
}

#[test]
fn another_execution_diverges() {
    let (folder, ran) = found("diverged");
    let line = ran.line("  replay   ").replace(digest(&ran), "0123456789abcdef");
    let again = folder.paste(&line);
    let words = format!(
        "0 or later: only the digest of the whole original is known: digest {}, the original's is 0123456789abcdef",
        digest(&ran)
    );
    assert_eq!((again.code, again.line("diverged at step ")), (3, words.as_str()), "{}", again.out);
    // A finding file knows more: its prefix digests tell where.
    let whole = folder.read(FILE);
    let (_, rest) = whole.split_once("checkpoints: \"").expect("prefix digests");
    let prefixes: Vec<&str> = rest.split_once('"').expect("their end").0.split(' ').collect();
    assert!(prefixes.len() >= 3, "{prefixes:?}");
    let place = |wrong: &str| -> u64 {
        let text = whole.replace(digest(&ran), "0123456789abcdef").replace(wrong, "fedcba9876543210");
        folder.write(FILE, text);
        let again = folder.paste(ran.line("  or       "));
        assert_eq!(again.code, 3, "{}", again.out);
        let (step, rest) = again.line("diverged at step ").split_once(' ').expect("a step");
        assert!(rest.starts_with("(or up to 1024 events later): digest "), "{rest}");
        step.parse().expect("a number")
    };
    let (first, second, third) = (place(prefixes[0]), place(prefixes[1]), place(prefixes[2]));
    assert!(first < second && second < third, "{first}, {second}, {third}");
    assert!(first < 1024, "the first window begins with the execution");
}

#[test]
fn a_repaired_scenario_no_longer_fails() {
    let (folder, ran) = found("repaired");
    let whole = folder.read(FILE);
    assert!(whole.contains("plant: [ForgottenRelease(Always)]"), "{whole}");
    folder.write(FILE, whole.replace("plant: [ForgottenRelease(Always)]", "plant: []"));
    let again = folder.paste(ran.line("  or       "));
    assert_eq!((again.code, again.err.as_str()), (1, ""), "{}", again.out);
    assert!(again.line("no longer fails: digest ").len() == 16, "{}", again.out);
    let json = folder.paste(&format!("{} --json", ran.line("  or       ")));
    assert!(json.code == 1 && json.out.contains("\"why\":[\"no longer fails\"]"), "{}", json.out);
    // An expected finding that is gone: the defect is there and never strikes.
    let name = "target/millpond/forgotten_release-leak-0.ron";
    folder.write("forgotten_release.ron", scenario("planted/forgotten_release.ron"));
    assert_eq!(folder.play(&["run", "forgotten_release.ron"]).code, 0);
    folder.write(name, folder.read(name).replace("Always", "Nth(1_000_000)"));
    let again = folder.play(&["replay", name]);
    assert_eq!(again.code, 1, "{}{}", again.out, again.err);
    assert!(again.out.contains("\nno longer fails: "), "{}", again.out);
}

#[test]
fn finding_files_that_are_not_whole_are_refused() {
    let (folder, ran) = found("corrupt");
    let whole = folder.read(FILE);
    let digest = digest(&ran).to_string();
    let with = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from} is not in\n{whole}");
        whole.replacen(from, to, 1)
    };
    let cases = [
        (with(&digest, "xyz"), "`digest` is \"xyz\", not a digest"),
        (with(&digest, &digest[1..]), "not a digest"),
        (with(&digest, &format!("+{}", &digest[1..])), "not a digest"),
        (with("v: 1", "v: 2"), "finding file of version 2: this program reads version 1"),
        (with("v: 1", "v: -1"), "not a finding file: 2:"),
        (with("checkpoints: \"", "checkpoints: \"beef "), "`beef` in `checkpoints` is not a digest"),
        (with("switches: \"", "switches: \"7-1 "), "`7-1` in `switches` is not a step and a thread"),
        (with("checkpoint_every: 1024", "checkpoint_every: 7"), "its prefix digests are 7 events apart"),
        (with("seed: 0", "seed: 0, sed: 1"), "not a finding file: "),
        (with("strategy: None", "strategy: Some(\"rondom\")"), "did you mean Random?"),
        (with("cell: \"\"", "cell: \"lops=2\""), "has no cell \"lops=2\""),
        (with("event_loops: 1", "event_loops: 0"), "the scenario in it does not load:"),
        (with("event_loops: 1", "event_loops: 0"), "`event_loops` is between 1 and 256, not 0"),
        ("Found(".to_string(), "not a finding file: "),
        (whole[..whole.len() / 2].to_string(), "not a finding file: "),
        (whole[..whole.len() - 2].to_string(), "not a finding file: "),
    ];
    for (text, words) in cases {
        folder.write(FILE, text);
        let again = folder.run(&["replay", FILE]);
        assert!(again.err.starts_with("error: "), "{}", again.err);
        refused(again, words);
    }
    folder.write(FILE, &whole);
    assert_eq!(folder.play(&["replay", FILE]).code, 0, "the whole file is not refused");
    refused(folder.run(&["check", FILE]), "");
}
