//! `schedule: Dfs(..)` as built: what the report says of an enumeration is true, and its replay lines name one execution of many.

mod support;

use support::{Folder, Ran, refused, scenario};

/// Nothing to find; a few schedules.
const HOLDS: &str = r#"(name: "holds", topology: (event_loops: 1, business_threads: 1), seeds: 0..2, schedule: Dfs(preemptions: 1),
    workload: [Phase(writes: 1), Close(), Shutdown()])"#;

/// One of all schedules loses a task, and not the first.
const LOSES: &str = r#"(name: "loses", topology: (event_loops: 1, business_threads: 1), seeds: 0..2, schedule: Dfs(preemptions: 1),
    workload: [Phase(writes: 1, clients: Flood, awaits: Nothing), Shutdown(quiet: Ms(0), timeout: Ms(1))], plant: [LostTask(Always)])"#;

fn play(name: &str, text: &str, arguments: &[&str]) -> (Folder, Ran) {
    let folder = Folder::new(name);
    folder.write("x.ron", text);
    let ran = folder.play(&[&["run", "x.ron"], arguments].concat());
    (folder, ran)
}

/// The number before `word` in a line.
#[track_caller]
fn number(line: &str, word: &str) -> u64 {
    let (before, _) = line.split_once(word).unwrap_or_else(|| panic!("{word:?} is not in {line}"));
    let digits = before.trim_end().rsplit(' ').next().unwrap_or_default().replace(',', "");
    digits.parse().unwrap_or_else(|_| panic!("{line}"))
}

/// The JSON lines of a run of one kind.
fn lines(ran: &Ran, kind: &str) -> Vec<serde_json::Value> {
    let all = ran.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    all.filter(|line: &serde_json::Value| line["kind"] == kind).collect()
}

#[test]
fn a_complete_enumeration_says_how_many_schedules_it_was() {
    let (folder, ran) = play("complete", HOLDS, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    let line = ran.line("  complete: ").to_string();
    assert!(line.ends_with(" of 2 seeds with at most 1 preemption"), "{line}");
    let schedules = number(&line, " schedule");
    assert_eq!(number(ran.line("  "), " business thread"), 1);
    assert!(ran.out.contains(&format!("  {} executions, ", line.split(' ').next().expect("a number"))), "{}", ran.out);

    // The seeds have as many each, and one alone has them, too.
    let one = folder.play(&["run", "x.ron", "--seed", "1"]);
    assert_eq!(number(one.line("  complete: "), " schedule") * 2, schedules);

    // Without a preemption there are fewer, with two more.
    let by = |strategy: &str| {
        let ran = folder.play(&["run", "x.ron", "--seed", "1", "--strategy", strategy]);
        number(ran.line("  complete: "), " schedule")
    };
    assert!(by("dfs:0") < schedules / 2);
    assert!(by("Dfs(preemptions: 2)") > schedules / 2);

    let json = folder.play(&["run", "x.ron", "--json"]);
    let cells = lines(&json, "cell");
    assert_eq!(cells[0]["enumeration"]["schedules"], schedules);
    assert_eq!(cells[0]["enumeration"]["complete"], true);
    assert_eq!(cells[0]["enumeration"]["seeds"], 2);
    assert_eq!(cells[0]["enumeration"]["preemptions"], 1);
    let executions = lines(&json, "execution");
    assert_eq!(executions.len(), 2);
    assert!(executions.iter().all(|line| line["enumeration"]["schedules"] == schedules / 2));
    assert_eq!(lines(&json, "summary")[0]["executions"], schedules);
}

#[test]
fn an_enumeration_that_the_budget_ends_is_inconclusive() {
    let text = HOLDS.replace("workload:", "budget: (schedules: 10), workload:");
    let (folder, ran) = play("budget", &text, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (4, ""), "{}", ran.out);
    assert_eq!(ran.line("  not complete: "), "stopped after 20 schedules of 2 seeds with at most 1 preemption");
    assert_eq!(ran.line("INCONCLUSIVE: "), "nothing was found in 20 schedules, but there are more: raise the `budget`");
    let json = folder.play(&["run", "x.ron", "--json"]);
    assert_eq!(json.code, 4);
    assert_eq!(lines(&json, "cell")[0]["enumeration"]["complete"], false);
    assert_eq!(lines(&json, "summary")[0]["verdict"], "Inconclusive");

    // So is one that has yet to find what it must.
    let text = LOSES.replace("workload:", "expect: MustFind(LostTask), budget: (schedules: 1), workload:");
    let (_, ran) = play("budget-find", &text, &[]);
    assert_eq!(ran.code, 4, "{}", ran.out);
    assert_eq!(ran.line("INCONCLUSIVE: "), "LostTask was not found before the budget was used up");
}

#[test]
fn a_complete_enumeration_without_the_finding_is_a_failure() {
    // Nobody writes to a closed channel.
    let wanted = "expect: MustFind(Leak), plant: [ForgottenRelease(Always)], workload:";
    let text = HOLDS.replace("workload:", wanted);
    let (_, ran) = play("missing", &text, &[]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.line("FAILED: ").contains("Leak was not found in "), "{}", ran.out);
}

#[test]
fn the_line_and_the_file_of_a_finding_reproduce_it() {
    for strategy in [None, Some("dfs:0"), Some("dfs:1")] {
        let arguments = strategy.map_or(vec![], |strategy| vec!["--strategy", strategy]);
        let (folder, ran) = play(&format!("finding-{}", strategy.unwrap_or("own")), LOSES, &arguments);
        assert_eq!(ran.code, 1, "{}", ran.out);
        assert!(ran.line("  not complete: ").starts_with("a finding ended it after "), "{}", ran.out);
        let (_, digest) = ran.line("  built    ").split_once("trace digest ").expect("a digest");
        let line = ran.line("  replay   ");
        assert!(line.contains(" --strategy RunOn --deviate "), "{line}");
        for head in ["  replay   ", "  or       "] {
            let again = folder.paste(ran.line(head));
            assert_eq!((again.code, again.err.as_str()), (0, ""), "{head}\n{}", again.out);
            assert_eq!(again.line("reproduced: "), format!("digest {digest}"), "{}", again.out);
            assert!(again.line("FOUND LostTask").starts_with(" (not expected)"), "{}", again.out);
            assert_eq!(again.line("  replay   "), line);
        }
        // With another deviation it is another execution.
        let (head, _) = line.split_once(" --deviate ").expect("deviations");
        let other = folder.paste(&format!("{head} --digest {digest}"));
        assert_eq!(other.code, 3, "{}", other.out);
    }
}

#[test]
fn a_finding_in_the_first_schedule_is_reproduced_without_deviations() {
    let text = r#"(name: "first", topology: (event_loops: 1, business_threads: 1), seeds: 0..1, schedule: Dfs(preemptions: 3),
        workload: [Phase(writes: 2), Close(name: "early", awaits: Nothing), Phase(name: "late", writes: 1), Shutdown()],
        plant: [ForgottenRelease(Always)])"#;
    let (folder, ran) = play("first", text, &[]);
    assert_eq!(ran.line("  not complete: "), "a finding ended it after 1 schedule with at most 3 preemptions");
    let line = ran.line("  replay   ");
    assert!(line.contains(" --strategy RunOn --digest "), "{line}");
    for head in ["  replay   ", "  or       "] {
        let again = folder.paste(ran.line(head));
        assert_eq!(again.code, 0, "{}{}", again.out, again.err);
        again.line("reproduced: ");
    }
}

#[test]
fn an_enumeration_says_its_memory() {
    let text = HOLDS.replace("workload:", "budget: (schedules: 10), workload:");
    for strategy in ["dfs:0", "dpor"] {
        for memory in ["interleaving", "races"] {
            let json = play("memory", &text, &["--strategy", strategy, "--memory", memory, "--json"]).1;
            let executions = lines(&json, "execution");
            assert_eq!(executions.len(), 2, "{strategy}: {}{}", json.out, json.err);
            assert!(executions.iter().all(|line| line["memory"] == memory), "{strategy}: {}", json.out);
        }
    }
}

#[test]
fn the_number_of_jobs_does_not_change_the_answer() {
    let swept = LOSES.replace("workload:", "sweep: Matrix(preset: [Netty4_1_88, Millpond]), workload:");
    for text in [HOLDS, LOSES, &swept] {
        let (folder, one) = play("jobs", text, &["--jobs", "1"]);
        assert_eq!(folder.play(&["run", "x.ron", "--jobs", "4"]).out, one.out);
        let json = |jobs| folder.play(&["run", "x.ron", "--json", "--jobs", jobs]).out;
        assert_eq!(json("1"), json("3"));
    }
}

#[test]
fn what_names_no_single_execution_is_refused() {
    let folder = Folder::new("refused");
    folder.write("x.ron", HOLDS);
    refused(folder.run(&["replay", "x.ron", "--seed", "0"]), "an enumeration has many executions with this seed");
    folder.write("y.ron", "(name: \"y\")");
    refused(
        folder.run(&["replay", "y.ron", "--strategy", "dfs:1"]),
        "an enumeration has many executions with this seed",
    );
    refused(folder.run(&["replay", "y.ron", "--deviate", "12"]), "`12` is neither a switch nor a choice");
    refused(folder.run(&["run", "y.ron", "--strategy", "dfs"]), "say with how many preemptions at most: dfs:1");
    refused(folder.run(&["run", "y.ron", "--strategy", "dfs:65"]), "a schedule is preempted at most 64 times");
}

#[test]
fn the_planted_scenario_is_found_and_the_good_one_is_complete() {
    for (name, code, head) in
        [("planted/lost_task_everywhere.ron", 0, "  not complete: "), ("good/every_schedule.ron", 0, "  complete: ")]
    {
        let (_, ran) = play("files", &scenario(name), &[]);
        assert_eq!(ran.code, code, "{}", ran.out);
        ran.line(head);
    }
}
