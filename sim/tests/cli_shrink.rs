//! `shrink` and `keep` as built: few preemptions are left, the order that decides is named, and what is kept is a scenario.

mod support;

use support::{Folder, Ran, expecting, refused};

/// A loop's end takes a task with it, in some schedules.
const LOSES: &str = r#"(name: "loses", topology: (event_loops: 1, business_threads: 1), seeds: 0..64,
    workload: [Phase(writes: 1, clients: Flood, awaits: Nothing), Shutdown(quiet: Ms(0), timeout: Ms(1))],
    plant: [LostTask(Always)], expect: MustFind(LostTask))"#;

/// Nothing to find.
const HOLDS: &str = r#"(name: "holds", topology: (event_loops: 1, business_threads: 1), seeds: 0..2,
    workload: [Phase(writes: 1), Close(), Shutdown()])"#;

fn run(name: &str, text: &str) -> (Folder, Ran) {
    let folder = Folder::new(name);
    folder.write("x.ron", text);
    let ran = folder.play(&["run", "x.ron"]);
    (folder, ran)
}

/// The finding file that a report names.
fn file(ran: &Ran) -> String {
    ran.line("  or       ").rsplit(' ').next().expect("a path").to_string()
}

#[test]
fn a_finding_is_reduced_to_few_preemptions_and_reproduced() {
    let (folder, ran) = run("shrink", LOSES);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let shrunk = folder.play(&["shrink", &file(&ran)]);
    assert_eq!((shrunk.code, shrunk.err.as_str()), (0, ""), "{}", shrunk.out);
    let line = shrunk.line("reduced from ");
    let (_, rest) = line.split_once(" deviations to ").expect("numbers");
    let left: u32 = rest.split(' ').next().expect("a number").parse().expect("a number");
    assert!(left <= 3, "{line}");
    assert!(shrunk.out.contains("FOUND LostTask (expected)"), "{}", shrunk.out);
    // The line that it prints repeats the reduced execution.
    let again = folder.paste(shrunk.line("  replay   "));
    assert_eq!(again.code, 0, "{}{}", again.out, again.err);
    assert!(again.out.contains("reproduced: "), "{}", again.out);
}

/// As the README has it.
#[test]
fn without_a_seed_it_is_the_first_that_finds_anything() {
    let (folder, ran) = run("first", &support::scenario("planted/lost_task.ron"));
    let line = ran.line("  replay   ");
    assert!(!line.contains("--seed 0 "), "the first seed finds nothing: {line}");
    let seed = line.split("--seed ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a seed");
    let shrunk = folder.play(&["shrink", "x.ron"]);
    assert_eq!((shrunk.code, shrunk.err.as_str()), (0, ""), "{}", shrunk.out);
    assert!(shrunk.line("  replay   ").contains(&format!("--seed {seed} ")), "{}", shrunk.out);
    let first = folder.play(&["shrink", "x.ron", "--seed", "0"]);
    assert_eq!(first.code, 1, "{}", first.out);
    assert!(first.out.contains("`run` names the seeds that find something"), "{}", first.out);
}

#[test]
fn what_is_found_in_every_schedule_has_no_order_to_blame() {
    let (folder, ran) = run("blameless", &expecting("MustFind(Leak)"));
    assert_eq!(ran.code, 0, "{}", ran.out);
    let shrunk = folder.play(&["shrink", "x.ron", "--seed", "3"]);
    assert_eq!(shrunk.code, 0, "{}", shrunk.out);
    assert!(shrunk.line("reduced from ").contains(" deviations to 0 (0 preemptions)"), "{}", shrunk.out);
    assert!(shrunk.out.contains("no order of the threads is to blame"), "{}", shrunk.out);
}

#[test]
fn a_finding_that_is_kept_is_a_scenario_like_any_other() {
    let (folder, ran) = run("keep", LOSES);
    let found = file(&ran);
    let kept = folder.play(&["keep", &found, "a-task-is-lost"]);
    assert_eq!((kept.code, kept.err.as_str()), (0, ""), "{}", kept.out);
    let path = "scenarios/regressions/a-task-is-lost.ron";
    assert_eq!(kept.line("wrote "), path);
    for arguments in [["check", path], ["run", path]] {
        let ran = folder.play(&arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}\n{}", ran.out);
    }
    let text = folder.read(path);
    assert!(text.starts_with("// LostTask: ") && text.contains("deviations: "), "{text}");
    assert!(!text.contains("socket"), "what has its default is left out:\n{text}");
    // Without the bug it does not find anything: the file is the judge of a repair.
    folder.write("mended.ron", text.replace("LostTask(Always),", ""));
    folder.write("mended.ron", folder.read("mended.ron").replace("expect: MustFind(LostTask)", "expect: MustHold"));
    let mended = folder.play(&["run", "mended.ron"]);
    assert_eq!((mended.code, mended.err.as_str()), (0, ""), "{}", mended.out);
    // A file that is there stays.
    refused(folder.play(&["keep", &found, "a-task-is-lost"]), "exists already");
    assert_eq!(folder.read(path), text);
}

/// Only the memory that some of its seeds have shows it, and that goes with the finding wherever it goes.
#[test]
fn a_finding_on_weak_memory_keeps_its_memory() {
    let (folder, ran) = run("weak", &support::scenario("planted/outbound_not_volatile.ron"));
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.line("  replay   ").contains(" --memory weak "), "{}", ran.out);
    assert!(folder.read(&file(&ran)).contains("memory: Some(Weak)"), "{}", folder.read(&file(&ran)));
    let shrunk = folder.play(&["shrink", &file(&ran)]);
    assert_eq!((shrunk.code, shrunk.err.as_str()), (0, ""), "{}", shrunk.out);
    let again = folder.paste(shrunk.line("  replay   "));
    assert_eq!(again.code, 0, "{}{}", again.out, again.err);
    assert!(again.out.contains("reproduced: "), "{}", again.out);
    let kept = folder.play(&["keep", &file(&ran), "plainly"]);
    assert_eq!((kept.code, kept.err.as_str()), (0, ""), "{}", kept.out);
    let path = "scenarios/regressions/plainly.ron";
    assert!(folder.read(path).contains("memory: Weak"), "{}", folder.read(path));
    let ran = folder.play(&["run", path]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
}

#[test]
fn nothing_to_reduce_and_no_finding_are_said() {
    let folder = Folder::new("nothing");
    folder.write("x.ron", HOLDS);
    let ran = folder.play(&["shrink", "x.ron"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("nothing is found with seeds 0..2"), "{}", ran.out);
    refused(folder.play(&["keep", "x.ron", "name"]), "is not a finding file");
    refused(folder.play(&["shrink", "none.ron"]), "none.ron");
}
