//! Bad scenario files: what is said, where, and what to do about it.
//!
//! Expected places are counted by hand; each report must also name its place.

use millpond::scenario::{Colour, LoadError, parse};
use std::path::Path;
use std::time::{Duration, Instant};

/// The errors of a text.
#[track_caller]
fn errors(text: &str) -> LoadError {
    let begun = Instant::now();
    let error = parse(Path::new("bad.ron"), text.to_string()).expect_err("the text is bad");
    assert!(begun.elapsed() < Duration::from_secs(2), "bad input is refused promptly");
    error
}

/// The only error of a text: where it is, what it says, and what it advises.
#[track_caller]
fn error(text: &str, line: usize, column: usize, message: &str, help: &str) {
    let error = errors(text);
    let [problem] = error.problems() else { panic!("one problem, not\n{error}") };
    assert_eq!(problem.message, message, "{error}");
    assert_eq!(error.position(problem), Some((line, column)), "{error}");
    assert_eq!(problem.help.as_deref().unwrap_or(""), help, "{error}");
    assert!(error.to_string().contains(&format!("[bad.ron:{line}:{column}]")), "{error}");
}

/// Whether a text has an error that says this.
#[track_caller]
fn says(text: &str, message: &str) {
    let error = errors(text);
    assert!(error.problems().iter().any(|p| p.message.contains(message)), "{message:?} is not in\n{error}");
}

#[track_caller]
fn loads(text: &str) {
    if let Err(error) = parse(Path::new("good.ron"), text.to_string()) {
        panic!("{error}");
    }
}

#[test]
fn a_key_that_does_not_exist() {
    let text = "(\n    name: \"x\",\n    topology: (event_loop: 4),\n)\n";
    error(text, 3, 16, "`Topology` has no field `event_loop`", "did you mean `event_loops`?");
    let rendered = "  × `Topology` has no field `event_loop`
   ╭─[bad.ron:3:16]
 2 │     name: \"x\",
 3 │     topology: (event_loop: 4),
   ·                ─────┬────
   ·                     ╰── unknown field
 4 │ )
   ╰────
  help: did you mean `event_loops`?
";
    assert_eq!(errors(text).render(Colour::None), rendered);
    assert!(errors(text).render(Colour::Ansi).contains('\u{1b}'));
    error("(naem: \"x\")", 1, 2, "`Scenario` has no field `naem`", "did you mean `name`?");
    let fields = "its fields are `event_loops`, `business_threads` and `channels`";
    error("(name:\"x\",topology:(zzz:1))", 1, 21, "`Topology` has no field `zzz`", fields);
    error("(name: \"x\", name: \"y\")", 1, 13, "`name` is given twice", "keep one of the two");
    let call = "(name:\"x\", workload: [Phase(call: Write(flush_evry: 3)), Drain()])";
    error(call, 1, 41, "`Write` has no field `flush_evry`", "did you mean `flush_every`?");
}

#[test]
fn columns_are_characters() {
    let text = "(\n    /* ä€𝄞 */ nme: \"x\",\n)";
    error(text, 2, 15, "`Scenario` has no field `nme`", "did you mean `name`?");
    let rendered = errors(text).to_string();
    let caret = rendered.lines().find(|l| l.contains('┬')).expect("a caret");
    let line = rendered.lines().find(|l| l.contains("nme:")).expect("the line");
    let column = |line: &str, what: &str| line[..line.find(what).expect("there")].chars().count();
    assert_eq!(column(caret, "─┬─"), column(line, "nme"), "\n{rendered}");
}

#[test]
fn units() {
    let size = |value: &str| format!("(name:\"x\", socket: (send_window: {value}))");
    let units = "did you mean `KiB`? possible are `B`, `KiB`, `MiB` and `GiB`";
    error(&size("KB(64)"), 1, 34, "`KB` is not a unit of a `Size`", units);
    error(&size("64"), 1, 34, "a `Size` is needed here, not `64`", "write `KiB(64)`");
    error(&size("64MiB"), 1, 34, "a `Size` is needed here, not `64MiB`", "write `MiB(64)`");
    error(&size("\"64 kb\""), 1, 34, "a `Size` is needed here, not `\"64 kb\"`", "write `KiB(64)`");
    error(&size("KiB(1.5)"), 1, 38, "a whole number is needed here", "");
    error(&size("KiB(-1)"), 1, 38, "`-1` is below zero", "");
    let span = |value: &str| format!("(name:\"x\", budget: (wall: {value}))");
    let units = "did you mean `S`? possible are `Ns`, `Us`, `Ms` and `S`";
    error(&span("Sec(5)"), 1, 27, "`Sec` is not a unit of a `Span`", units);
    error(&span("5"), 1, 27, "a `Span` is needed here, not `5`", "write `Ms(5)`");
    let limit = "(name:\"x\", oracles: [Bounded(metric: RetainedBytes, at_most: MiB(24))])";
    error(limit, 1, 62, "a whole number is needed here", "write it without a unit: 25_165_824");
    let pojo = "(name:\"x\", workload: [Phase(message: Pojo(B(3)))])";
    error(pojo, 1, 43, "`Pojo` has no field `B`", "write `Pojo(encoded: B(3))`");
    let buffer = "(name:\"x\", workload: [Phase(message: Buffer(B(3)))])";
    error(buffer, 1, 45, "there is no `Payload` called `B`", "write `Exactly(B(3))`");
}

#[test]
fn when_something_strikes() {
    let fault = |when: &str| format!("(name:\"x\", faults: [PeerReset({when})])");
    error(&fault("0.5"), 1, 31, "a `When` is needed here, not `0.5`", "write `Rate(0.5)`");
    error(&fault("7"), 1, 31, "a `When` is needed here, not `7`", "write `Nth(7)`");
    let plant = |what: &str| format!("(name:\"x\", plant: [{what}])");
    for when in ["Rate(0.5)", "Nth(3)", "At(Ms(5))", "Always"] {
        loads(&plant(&format!("LostTask({when}), DuplicateRelease({when}), ForgottenRelease({when})")));
    }
    let parentheses = "`ForgottenRelease` needs parentheses";
    error(&plant("ForgottenRelease"), 1, 20, parentheses, "write `ForgottenRelease(Always)`");
    let bare = "(name:\"x\", faults: [AllocationFails])";
    error(bare, 1, 21, "`AllocationFails` needs parentheses", "write `AllocationFails(Always)`");
    error(&plant("ForgottenRelease(0.5)"), 1, 37, "a `When` is needed here, not `0.5`", "write `Rate(0.5)`");
    error(&plant("LostTask(3)"), 1, 29, "a `When` is needed here, not `3`", "write `Nth(3)`");
    error(&plant("LostTask(Rate(2))"), 1, 34, "a probability is between 0 and 1, not 2", "");
    error(&plant("LostTask(Nth(0))"), 1, 33, "`Nth` counts from 1: it is at least 1, not 0", "");
    let pair = "a `Plant` is needed here, not a pair";
    error(&plant("(LostTask, Nth(3))"), 1, 20, pair, "write `LostTask(Nth(3))`");
    let plants = "possible are `ForgottenRelease`, `DuplicateRelease`, `ReadBufferReleasedTwice`, \
                  `UnflushedSkipped`, `ToldBeforeRemoved`, `VoidFailureSwallowed`, `QueueToldFirst`, \
                  `QueueFailedInPlace`, `LostTask`, `CompositeReleasesRoot`, `CompositeForgetsDropped`, \
                  `OutputKept`, `CumulationLeak`, `EarlyRemoval`, `ReentrantRead`, `CumulationKept`, \
                  `ForgottenParent` and `UntrackedAllocation`";
    error(&plant("Bug(Always)"), 1, 20, "there is no `Plant` called `Bug`", plants);
    let meant = "did you mean `LostTask`?";
    error(&plant("LostTsk(Always)"), 1, 20, "there is no `Plant` called `LostTsk`", meant);
    error(&plant("3"), 1, 20, "a `Plant` is needed here, not `3`", plants);
    for rate in ["1.5", "-0.1", "NaN", "inf"] {
        error(&fault(&format!("Rate({rate})")), 1, 36, &format!("a probability is between 0 and 1, not {rate}"), "");
    }
    error(&fault("Nth(0)"), 1, 35, "`Nth` counts from 1: it is at least 1, not 0", "");
    error(&fault("At(S(99_999_999))"), 1, 34, "a span of time is at most one year", "");
    error("(name:\"x\", socket: (partial_write: 2.0))", 1, 36, "a probability is between 0 and 1, not 2", "");
}

#[test]
fn variants_without_what_they_need() {
    error("(name:\"x\", workload: [Drain])", 1, 23, "`Drain` needs parentheses", "write `Drain()`");
    error("(name:\"x\", expect: MustFind)", 1, 20, "`MustFind` needs parentheses", "write `MustFind(Leak)`");
    error("(name:\"x\", schedule: Pct)", 1, 22, "`Pct` needs parentheses", "write `Pct(depth: ...)`");
    error("(name:\"x\", schedule: Pct(3))", 1, 26, "`Pct` has named fields", "write `Pct(depth: 3)`");
    let missing = "(name: \"x\", oracles: [Bounded(at_most: 3)])";
    error(missing, 1, 23, "`Bounded` needs the field `metric`", "");
    let missing = "(name: \"x\", oracles: [Drains(metric: RetainedBytes)])";
    error(missing, 1, 23, "`Drains` needs the field `to`", "");
    error("(name: \"x\", workload: [Idel()])", 1, 24, "there is no `Step` called `Idel`", "did you mean `Idle`?");
}

#[test]
fn a_preset_by_its_release_number() {
    let preset = |value: &str| format!("(name:\"x\", pool: (preset: {value}))");
    error(&preset("\"4.1.8\""), 1, 27, "a `Preset` is needed here, not `\"4.1.8\"`", "write `Netty4_1_8`");
    error(&preset("4.1.22"), 1, 27, "a `Preset` is needed here, not `4.1.22`", "write `Netty4_1_22`");
    // A release in between behaves like the last one before it.
    error(&preset("Netty4_1_43"), 1, 27, "there is no `Preset` called `Netty4_1_43`", "did you mean `Netty4_1_38`?");
    error(&preset("Milpond"), 1, 27, "there is no `Preset` called `Milpond`", "did you mean `Millpond`?");
}

#[test]
fn ranges() {
    error("(name:\"x\", seeds: 5)", 1, 19, "a range is needed here", "write `0..5`, which ends before 5");
    let closed = "a range is written `a..b` and ends before b";
    error("(name:\"x\", seeds: 2..=3)", 1, 19, closed, "write `2..4`");
    let empty = "a range ends before its second number: `0..1` is one seed";
    error("(name:\"x\", seeds: 4..4)", 1, 19, "there is no seed in this range", empty);
    error("(name:\"x\", seeds: 5..4)", 1, 19, "there is no seed in this range", empty);
    error("(name:\"x\", seeds: (0, 4))", 1, 20, "a range is needed here", "write `0..4`, which ends before 4");
}

#[test]
fn the_frame() {
    let smallest = "the smallest scenario is  ( name: \"first run\" )";
    for (text, message) in [("", "the file is empty"), (" // none\n/* */ ", "the file has no scenario in it")] {
        let error = errors(text);
        let problem = &error.problems()[0];
        assert_eq!((problem.message.as_str(), problem.help.as_deref()), (message, Some(smallest)));
    }
    let parentheses = "a scenario stands in parentheses";
    let smallest = "the smallest one is  ( name: \"first run\" )";
    error("name: \"x\"", 1, 1, parentheses, smallest);
    error("{\"name\": \"x\"}", 1, 1, parentheses, smallest);
    let name = "only `name` is required: say what the scenario shows, such as  name: \"first run\"";
    error("// hello\n(\n  topology: (),\n)", 2, 1, "the scenario has no `name`", name);
    error("(name: x)", 1, 8, "text in quotes is needed here", "write `\"x\"`");
    error("(name:\"x\") foo", 1, 12, "something follows the scenario's end", "");
    error("(name:\"x\" seeds: 0..3)", 1, 10, "a comma is missing before `seeds`", "");
    error("(name:\"x\", faults: 3)", 1, 20, "a list in `[` and `]` is needed here", "");
}

#[test]
fn brackets_and_quotes() {
    error("(name: \"x\", workload: [Drain()]\n", 1, 1, "`(` is never closed", "");
    error("(name: \"x\", workload: [Drain()\n)", 2, 1, "`)` cannot close the `[` of line 1", "");
    error("(name: \"x\"))", 1, 12, "`)` closes nothing", "");
    error("(name: \"x)", 1, 8, "a string is never closed", "");
    error("(name: r##\"x\"#)", 1, 8, "a string is never closed", "");
    error("/* (name: \"x\")", 1, 1, "a comment is never closed", "");
    error("/* /* */ (name: \"x\")", 1, 1, "a comment is never closed", "");
    loads("/* a /* ( */ [ */ (name: \"x\")");
}

#[test]
fn nesting() {
    for open in ["(", "[", "{", "Some("] {
        let column = 65 * open.len();
        error(&open.repeat(100_000), 1, column, "brackets are nested more than 64 levels deep", "");
    }
    // Brackets in strings and comments are none.
    let deep = "(((([[[[".repeat(20);
    loads(&format!("(name: \"{deep}\", /* {deep} */ seeds: 0..4 // {deep}\n)"));
}

#[test]
fn characters_that_do_not_belong_in_text() {
    let help = "scenario files are plain text: printable characters, spaces, tabs and line ends";
    error("(name: \"a\0b\")", 1, 10, "a NUL byte in a scenario file", help);
    error("(name: \"a\u{1b}[31mb\")", 1, 10, "the invisible character U+001B in a scenario file", help);
    error("(name: \"a\u{202e}b\")", 1, 10, "the invisible character U+202E in a scenario file", help);
    error("\u{feff}(name: \"x\")", 1, 1, "the file begins with a byte order mark", "save it without");
    assert!(!errors("(name: \"a\u{1b}[31mb\")").to_string().contains('\u{1b}'), "a report is safe to print");
    loads("(\r\n\tname: \"x\",\r\n)\r\n");
}

#[test]
fn numbers_beyond_their_limits() {
    let topology = |what: &str| format!("(name:\"x\", topology: ({what}))");
    let threads = "`business_threads` is between 0 and 512, not 1_000_000";
    error(&topology("business_threads: 1_000_000"), 1, 41, threads, "");
    error(&topology("event_loops: 0"), 1, 36, "`event_loops` is between 1 and 256, not 0", "");
    error(&topology("event_loops: 257"), 1, 36, "`event_loops` is between 1 and 256, not 257", "");
    error(&topology("channels: 100_001"), 1, 33, "`channels` is between 0 and 100_000, not 100_001", "");
    let fits = "the largest number that fits here is 4_294_967_295";
    error(&topology("event_loops: 99999999999"), 1, 36, "`99999999999` is too large", fits);
    says("(name:\"x\", budget: (steps: 0))", "`steps` is at least 1, not 0");
    says("(name:\"x\", schedule: Pct(depth: 65))", "`depth` is between 1 and 64, not 65");
    says("(name:\"x\", schedule: Pct(depth: 0))", "`depth` is between 1 and 64, not 0");
    says("(name:\"x\", socket: (send_window: B(0)))", "a size is between 1 byte and 1 GiB");
    says("(name:\"x\", socket: (send_window: GiB(18446744073709551615)))", "a size is between 1 byte and 1 GiB");
    says("(name:\"x\", socket: (write_spin: 0))", "`write_spin` is between 1 and 1_000_000, not 0");
    says("(name:\"x\", socket: (low_water: KiB(2), high_water: KiB(1)))", "`low_water` is above `high_water`");
    says("(name:\"x\", socket: (high_water: KiB(1)))", "`low_water` is above `high_water`");
    says("(name:\"x\", pool: (max_shared_capacity_factor: 0))", "`max_shared_capacity_factor` is between 1 and");
}

#[test]
fn products_beyond_their_limits() {
    let writes = "4 threads x 1_000_000_000_000 writes = 4_000_000_000_000; a phase writes at most 1_000_000_000";
    error("(name:\"x\", workload: [Phase(writes: 1_000_000_000_000)])", 1, 37, writes, "");
    let total = "800 writes in 2 cells x 5_000_000 seeds = 4_000_000_000; a run writes at most 1_000_000_000";
    error("(name:\"x\", seeds: 0..5_000_000, sweep: Matrix(event_loops: [1, 2]))", 1, 19, total, "");
    let executions = "2 cells x 9_000_000 seeds = 18_000_000 executions; at most 10_000_000";
    error("(name:\"x\", seeds: 0..9_000_000, sweep: Matrix(event_loops: [1, 2]))", 1, 19, executions, "");
    says("(name:\"x\", seeds: 0..18446744073709551615)", "1 cell x 18_446_744_073_709_551_615 seeds");
    let list = |n: u32| (1..=n).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let many = format!("(name:\"x\", sweep: Matrix(event_loops: [{0}], business_threads: [{0}]))", list(50));
    says(&many, "2_500 cells; a sweep has at most 1_000");
    let steps: String = (0..101).map(|i| format!("Idle(name: \"{i}\"), ")).collect();
    says(&format!("(name:\"x\", workload: [{steps}])"), "101 steps; at most 100");
    let points: String = (1..=1_001).map(|i| format!("{i},")).collect();
    let phase = format!("(name:\"x\", workload: [Phase(writes: 2_000, sample_at: [{points}])])");
    says(&phase, "1_001 sampling points; at most 1_000");
}

#[test]
fn phases() {
    let phase = |what: &str| format!("(name:\"x\", workload: [Phase({what})])");
    let clients = |what: &str| phase(&format!("clients: {what}"));
    says(&clients("Closed(in_flight: 0)"), "`in_flight` is between 1 and 1_000_000, not 0");
    says(&clients("Closed(in_flight: 1, think: S(40_000_000))"), "a span of time is at most one year");
    says(&clients("Open(per_s: 0)"), "`per_s` is between 1 and 1_000_000_000, not 0");
    says(&phase("writes: 100_000_000, clients: Open(per_s: 1)"), "the phase lasts more than a year");
    says(&clients("Open(per_s: 1, arrival: Burst(every: Ms(0), size: 1))"), "bursts need a distance");
    says(&clients("Open(per_s: 1, arrival: Burst(every: Ms(1), size: 0))"), "`size` is between 1 and");
    says(&phase("call: Write(flush_every: 0)"), "`flush_every` is at least 1, not 0");
    says(&phase("message: Pojo(encoded: GiB(2))"), "a size is between 1 byte and 1 GiB");
    says(&phase("message: Buffer(Exactly(B(0)))"), "a size is between 1 byte and 1 GiB");
    says(&phase("message: Buffer(Uniform(B(9), B(3)))"), "the smaller size comes first");
    says(&phase("message: Buffer(Mix([]))"), "a mix needs at least one size");
    says(&phase("message: Buffer(Mix([(0, B(3))]))"), "a weight is between 1 and 1_000_000, not 0");
    says(&phase("threads: 2..2"), "there is no business thread in this range");
    says(&phase("threads: 2..5"), "there are only 4 business threads (`0..4`)");
    says(&phase("loops: 1..3"), "there are only 2 event loops (`0..2`)");
    loads(&phase("sample_at: [0, 1, 100]"));
    says(&phase("sample_at: [0, 0]"), "sampling points are strictly ascending");
    says(&phase("sample_at: [1, 3, 3]"), "sampling points are strictly ascending");
    says(&phase("sample_at: [101]"), "each thread writes only 100 times in this phase");
    let sweep = "(name:\"x\", workload: [Phase(threads: 2..4)], sweep: Matrix(business_threads: [8, 3]))";
    says(sweep, "there are only 3 business threads (`0..3`)");
    says("(name:\"x\", topology: (business_threads: 0))", "no business thread is there to write in this phase");
    says("(name:\"x\", workload: [Shutdown(quiet: S(20))])", "the quiet period is longer than the timeout");
}

#[test]
fn where_a_phase_writes_and_whether_it_waits() {
    let phase = |what: &str| format!("(name:\"x\", workload: [Phase({what})])");
    for what in ["spread: OverLoops", "spread: OwnChannel", "awaits: Completion", "awaits: Nothing"] {
        loads(&phase(what));
    }
    let spreads = "possible are `OverLoops` and `OwnChannel`";
    error(&phase("spread: Evenly"), 1, 37, "there is no `Spread` called `Evenly`", spreads);
    let awaits = "possible are `Completion` and `Nothing`";
    error(&phase("awaits: true"), 1, 37, "there is no `Awaits` called `true`", awaits);
    let on = |loops: &str| {
        let topology = "topology: (event_loops: 4, channels: 2)";
        format!("(name:\"x\", {topology}, workload: [Phase(loops: {loops})])")
    };
    // Channels 0 and 1 are on loops 0 and 1: loops 2 and 3 have none, and a phase on loop 1 and up has one.
    let each = "channel c is on loop c mod `event_loops`; `channels: 0` gives each loop one";
    error(&on("2..4"), 1, 77, "2 channels: loop 2 has none to write to", each);
    says(&on("3..4"), "2 channels: loop 3 has none to write to");
    loads(&on("1..3"));
    loads(&on("2..4").replace("channels: 2", "channels: 3"));
    loads(&on("2..4").replace("channels: 2", "channels: 0"));
}

/// Writes that nobody waits for take memory, each of them.
#[test]
fn writes_that_may_all_be_queued() {
    let phase = |what: &str| format!("(name:\"x\", seeds: 0..1, workload: [Phase({what}), Drain()])");
    let clients = ["Flood", "Open(per_s: 1_000)"];
    for clients in clients {
        let text = phase(&format!("clients: {clients}, writes: 1_000_001"));
        says(
            &text,
            "4 threads x 1_000_001 writes = 4_000_004; a phase that doesn't wait for its writes has at most 4_000_000",
        );
        loads(&phase(&format!("clients: {clients}, writes: 1_000_000")));
        loads(&phase(&format!("clients: {clients}, writes: 4_000_000, threads: 0..1")));
    }
    let help = "use `Closed(in_flight: ...)`, whose memory is bounded";
    let message =
        "4 threads x 2_000_000 writes = 8_000_000; a phase that doesn't wait for its writes has at most 4_000_000";
    error(&phase("clients: Flood, writes: 2_000_000"), 1, 66, message, help);
    loads(&phase("clients: Closed(in_flight: 2), writes: 2_000_000"));
}

#[test]
fn bounds() {
    let bounded = |limits: &str| format!("(name:\"x\", oracles: [Bounded(metric: PeakQueuedTasks{limits})])");
    loads(&bounded(", at_least: 3"));
    loads(&bounded(", at_most: 3"));
    loads(&bounded(", at_least: 3, at_most: 3"));
    let none = "`at_least` is 4_000 and `at_most` is 3: no value is within these limits";
    error(&bounded(", at_least: 4_000, at_most: 3"), 1, 65, none, "");
    let help = "add `at_most: ...` or `at_least: ...`";
    error(&bounded(""), 1, 22, "`Bounded` has no limit: every value is within it", help);
    error(&bounded(", at_least: 0"), 1, 22, "`Bounded` has no limit: every value is within it", help);
}

#[test]
fn places_of_nested_values() {
    let text = "(
    name: \"x\", // workload: [Phase(writes: 3)]
    workload: [
        Drain(),
        Phase(name: \"a, b: (\", writes: 10),
        Phase(name: \"c\", message: Buffer(Mix([(1, B(4)), (2, GiB(3))]))),
    ],
)";
    error(text, 6, 62, "a size is between 1 byte and 1 GiB", "");
    let text = text.replace("GiB(3)", "KiB(3)").replace("writes: 10", "writes: 10, threads: Some(3..7)");
    error(&text, 5, 53, "there are only 4 business threads (`0..4`)", "");
}

#[test]
fn steps_that_would_wait_for_ever() {
    let after = |steps: &str| {
        let stall = "Phase(name: \"burst\", clients: Flood, loops_are: Stalled)";
        format!("(name:\"x\", workload: [{stall}, {steps}])")
    };
    says(&after("Close()"), "\"close\" needs the loops, which are stalled since \"burst\"");
    says(&after("Idle(), Shutdown()"), "\"shutdown\" needs the loops, which are stalled since \"burst\"");
    says(&after("Phase(name: \"b\")"), "\"b\" needs the loops, which are stalled since \"burst\"");
    says(&after("Idle()"), "the loops are stalled since \"burst\" and never drained");
    loads(&after("Idle(), Drain(), Close(), Shutdown()"));
    let stalled = |what: &str| format!("(name:\"x\", workload: [Phase({what}, loops_are: Stalled), Drain()])");
    says(&stalled("writes: 1"), "`Closed` clients wait for their writes, and a stalled loop completes none");
    loads(&stalled("clients: Flood, from: Loop"));
    says(&stalled("clients: Flood, heeds: Writability"), "a thread that heeds writability waits");
    let late = "(name:\"x\", workload: [Shutdown(), Phase()])";
    says(late, "\"phase\" comes after \"shutdown\", when no loop runs any more");
}

#[test]
fn exchanges() {
    let exchange = |what: &str| format!("(name:\"x\", workload: [Exchange({what})])");
    error(&exchange("buffer: 3"), 1, 32, "`Exchange` has no field `buffer`", "did you mean `buffers`?");
    error(&exchange("size: KiB(4)"), 1, 38, "there is no `Payload` called `KiB`", "write `Exactly(KiB(4))`");
    error(&exchange("size: Exactly(B(0))"), 1, 46, "a size is between 1 byte and 1 GiB", "");
    error(&exchange("size: Uniform(B(2), B(1))"), 1, 38, "the smaller size comes first", "");
    error(&exchange("threads: 2..9"), 1, 41, "there are only 4 business threads (`0..4`)", "");
    error(&exchange("in_flight: 0"), 1, 43, "`in_flight` is between 1 and 1_000_000, not 0", "");
    error(&exchange("forgets: Rate(2)"), 1, 46, "a probability is between 0 and 1, not 2", "");
    error(&exchange("forgets: 0.5"), 1, 41, "a `When` is needed here, not `0.5`", "write `Rate(0.5)`");
    let slice = "did you mean `Slice`?";
    error(&exchange("form: Slic"), 1, 38, "there is no `Form` called `Slic`", slice);
    says(&exchange("misuse: Nth(0)"), "`Nth` counts from 1: it is at least 1, not 0");
    let held = "what is held goes through no codec";
    error(&exchange("to: Held, through: Decoder"), 1, 51, held, "use `to: Loops` or `to: Itself`");
    says(&exchange("through: Decoder, forgets: Always"), "a codec forgets nothing");
    let alone = "misuse needs several threads: `to: Loops`";
    error(&exchange("to: Held, misuse: Always"), 1, 50, alone, "");
    let held = "4 threads x 2_000_000 buffers = 8_000_000; an exchange holds at most 4_000_000";
    error(&exchange("to: Held, buffers: 2_000_000"), 1, 51, held, "");
    says(&exchange("buffers: 1_000_000_000"), "an exchange has at most 1_000_000_000");
    says("(name:\"x\", workload: [Exchange(buffers: 20_000_000)])", "a run writes at most 1_000_000_000");
    let nobody = |steps: &str| format!("(name:\"x\", topology: (business_threads: 0), workload: [{steps}])");
    says(&nobody("Exchange()"), "no business thread is there to allocate in this exchange");
    says(&nobody("Release(from: Business)"), "no business thread is there to release anything");
    loads(&nobody("Release()"));
    let late = |steps: &str| format!("(name:\"x\", workload: [Shutdown(), {steps}])");
    says(&late("Exchange()"), "\"exchange\" comes after \"shutdown\", when no loop runs any more");
    says(&late("Release()"), "\"release\" comes after \"shutdown\", when no loop runs any more");
    loads(&late("Exchange(to: Itself), Exchange(name: \"b\", to: Held), Release(from: Business)"));
    let limit = |size: &str| format!("(name:\"x\", faults: [MemoryLimit({size})])");
    error(&limit("MiB(5_000)"), 1, 33, "a size is between 1 byte and 1 GiB", "");
    error(&limit("Always"), 1, 33, "`Always` is not a unit of a `Size`", "possible are `B`, `KiB`, `MiB` and `GiB`");
}

#[test]
fn allocators() {
    let allocator = |what: &str| format!("(name:\"x\", allocator: (backend: Pooled, {what}))");
    error(&allocator("arena: 3"), 1, 41, "`Allocator` has no field `arena`", "did you mean `arenas`?");
    error(&allocator("arenas: 5_000"), 1, 49, "`arenas` is between 0 and 1_000, not 5_000", "");
    error(&allocator("page: KiB(3)"), 1, 47, "a page is between 4 KiB and 1 GiB", "");
    error(&allocator("page: KiB(12)"), 1, 47, "a page is a power of two", "");
    error(&allocator("chunk: GiB(2)"), 1, 48, "a chunk is between 4 KiB and 1 GiB", "");
    error(&allocator("chunk: GiB(20_000_000_000_000)"), 1, 48, "a size is between 1 byte and 1 GiB", "");
    error(&allocator("chunk: KiB(4)"), 1, 48, "a chunk has at least one page, which is 8_192 bytes", "");
    error(&allocator("trim_every: 0"), 1, 53, "`trim_every` is at least 1, not 0", "");
    says(&allocator("page: KiB(4), chunk: GiB(1)"), "it must be from 0 to 14");
    loads(&allocator("page: KiB(64), chunk: GiB(1)"));
    loads(&allocator("arenas: 0, page: KiB(8), chunk: KiB(8)"));
    let unpooled = "(name:\"x\", allocator: (thread_cache: 3))";
    let useless = "`thread_cache` is of no use: memory doesn't come from arenas";
    error(unpooled, 1, 38, useless, "write `backend: Pooled` before it");
    let cores = "`cores` is of no use: only the adaptive allocator asks for them";
    error(&allocator("cores: 3"), 1, 48, cores, "write `backend: Adaptive` before it");
    let nobody = "(name:\"x\", allocator: (leaks_are_found: AtOnce))";
    let paranoid = "write `leak_detection: Paranoid` before it";
    error(nobody, 1, 41, "`leaks_are_found` is of no use: nobody looks for leaks", paranoid);
    let nobody = "(name:\"x\", oracles: [Safety, LeaksAreFound])";
    let paranoid = "write `allocator: (leak_detection: Paranoid)`";
    error(nobody, 1, 30, "nobody looks for leaks in this scenario", paranoid);
    let backend = "(name:\"x\", allocator: (backend: Poold))";
    says(backend, "there is no `Backend` called `Poold`");
}

#[test]
fn names() {
    says("(name: \"\")", "the scenario's name is empty");
    says("(name: \"a\\nb\")", "the scenario's name has a line end or another control character in it");
    says("(name: \"a\\u{1b}b\")", "the scenario's name has a line end or another control character in it");
    says(&format!("(name: \"{}\")", "x".repeat(201)), "the scenario's name has 201 characters; at most 200");
    loads(&format!("(name: \"{}\")", "ä".repeat(200)));
    says("(name: \"x\", workload: [Idle(name: \" \")])", "the step's name is empty");
    says("(name: \"x\", workload: [Idle(), Idle()])", "two steps are called \"idle\"");
}

#[test]
fn references_to_steps() {
    let oracle = "(name:\"x\", oracles: [Bounded(metric: LiveBuffers, at_most: 3, after: \"stead\")])";
    error(oracle, 1, 70, "no step is called \"stead\"", "did you mean \"steady\"?");
    let steps = "the steps are \"steady\", \"drain\", \"close\", \"shutdown\"";
    let column = "(name:\"x\", table: [Retained(after: \"xyz\")])";
    error(column, 1, 36, "no step is called \"xyz\"", steps);
    says("(name:\"x\", oracles: [Unchanged(metric: LiveBuffers, during: \"xyz\")])", "no step is called \"xyz\"");
    says("(name:\"x\", oracles: [Drains(metric: LiveBuffers, to: 0, after: \"xyz\")])", "no step is called \"xyz\"");
    let curve = |step: &str| format!("(name:\"x\", table: [Curve(during: \"{step}\")])");
    says(&curve("steady"), "\"steady\" has no sampling points to draw a curve through");
    says(&curve("drain"), "\"drain\" has no sampling points");
}

#[test]
fn sweeps_and_expectations() {
    says("(name:\"x\", sweep: Matrix())", "the sweep lists nothing");
    error("(name:\"x\", sweep: Matrix(event_loops: [1, 2, 1]))", 1, 46, "this value is listed twice", "");
    says("(name:\"x\", sweep: Matrix(event_loops: [1, 300]))", "`event_loops` is between 1 and 256, not 300");
    says("(name:\"x\", sweep: Matrix(business_threads: [513]))", "`business_threads` is between 0 and 512, not 513");
    let help =
        "plant a defect, inject a fault, add a `Bounded`, `Drains` or `Unchanged` oracle, or choose another preset";
    error("(name:\"x\", expect: MustFind(Leak))", 1, 20, "nothing in this scenario can cause a Leak", help);
    let budget = |kind: &str, steps: &str| format!("(name:\"x\", expect: MustFind({kind}), budget: (steps: {steps}))");
    loads(&budget("StepBudget", "100"));
    says(&budget("StepBudget", "100_000_000"), "nothing in this scenario can cause a StepBudget");
    says(&budget("Leak", "100"), "nothing in this scenario can cause a Leak");
    says(
        "(name:\"x\", expect: MustFind(Leak), oracles: [Safety, Sometimes(PartialWrite)])",
        "nothing in this scenario",
    );
    says("(name:\"x\", expect: MustFind(Leak), sweep: Matrix(event_loops: [1, 2]))", "nothing in this scenario");
    for reason in [
        "plant: [ForgottenRelease(Always)]",
        "oracles: [Drains(metric: LiveBuffers, to: 0)]",
        "oracles: [Unchanged(metric: LiveBuffers, during: \"drain\")]",
        "faults: [PeerReset(Always)]",
        "oracles: [Bounded(metric: LiveBuffers, at_most: 1)]",
        "sweep: Matrix(preset: [Netty4_1_8, Millpond])",
        "pool: (preset: Netty4_1_8)",
    ] {
        loads(&format!("(name:\"x\", expect: MustFind(Leak), {reason})"));
    }
}

#[test]
fn all_errors_of_a_file_at_once_but_ten_at_most() {
    let text = "(name: \"\", topology: (event_loops: 0),\n socket: (partial_write: 7.0))";
    let error = errors(text);
    let places: Vec<_> = error.problems().iter().map(|p| error.position(p)).collect();
    assert_eq!(places, [Some((1, 8)), Some((1, 36)), Some((2, 26))]);
    assert!(error.to_string().ends_with("3 problems in bad.ron\n"));
    let many = format!("(name: \"x\", faults: [{}])", "PeerReset(Rate(2)), ".repeat(50));
    assert_eq!(errors(&many).problems().len(), 10);
}

#[test]
fn a_long_line_is_shown_in_part() {
    let text = format!("(name: \"x\", workload: [{}Idel()])", "Idle(), ".repeat(50_000));
    let rendered = errors(&text).to_string();
    assert!(rendered.contains("[bad.ron:1:400024]") && rendered.contains("Idel()"), "{rendered}");
    assert!(rendered.len() < 2_000);
}
