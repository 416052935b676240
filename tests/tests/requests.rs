//! Requests from peers, and what the handlers of a scenario do with them.
//!
//! Expected numbers follow from the scenarios: what is sent, what is answered, and what a fault takes away.

use millpond::outcome::Outcome;
use millpond::scenario::{Expect, Metric, Sweep, cells};
use millpond_model::observe::Reach;
use millpond_model::preset::Preset;
use millpond_tests::{cell, load, outcome, parse};

/// Two channels of one loop, the codecs, `handlers` and what is `more`.
fn text(handlers: &str, more: &str) -> String {
    format!(
        r#"(
            name: "x",
            topology: (event_loops: 1, business_threads: 2, executors: 1, channels: 2),
            pipeline: [
                Decoder(LengthField(max_frame: KiB(1))), Encoder(LengthField(max_frame: KiB(1))), {handlers}
            ],
            {more}
        )"#
    )
}

/// The outcomes of the first seeds; nothing is found in any.
#[track_caller]
fn outcomes(text: &str) -> Vec<Outcome> {
    let loaded = parse(text);
    let all: Vec<_> = (0..6).map(|seed| outcome(&loaded.cells[0], seed)).collect();
    for one in &all {
        assert_eq!(one.findings, [], "seed {}", one.seed);
    }
    all
}

/// A metric after a step, which must be the same with every seed.
#[track_caller]
fn always(outcomes: &[Outcome], step: &str, metric: Metric) -> u64 {
    let after = |outcome: &Outcome| outcome.samples.after(step).expect("the step was reached").metric(metric);
    let first = after(&outcomes[0]);
    assert!(outcomes.iter().all(|outcome| after(outcome) == first), "{metric:?} differs");
    first
}

const ALL: &str = "workload: [Requests(requests: 10, in_flight: 3), Drain(), Close(), Shutdown()]";

#[test]
fn a_failure_takes_its_own_message_only() {
    for fault in ["HandlerThrows", "HandlerPanics"] {
        let faults = format!("faults: [{fault}(\"fragile\", Nth(3))], {ALL}");
        let seen = outcomes(&text("Handler(name: \"fragile\"), Handler(name: \"echo\", owns: Replies)", &faults));
        assert_eq!(always(&seen, "drain", Metric::RequestsRead), 20, "{fault}");
        assert_eq!(always(&seen, "drain", Metric::RepliesReceived), 18, "{fault}: one of each channel fails");
        assert_eq!(always(&seen, "drain", Metric::LiveBuffers), 0, "{fault}");
    }
}

#[test]
fn a_handler_that_closes_gets_no_more() {
    let one = "workload: [Requests(requests: 10), Drain(), Shutdown()]";
    let seen = outcomes(&text("Handler(name: \"x\", owns: Replies, does: [Closes(Read(4))])", one));
    assert_eq!(always(&seen, "drain", Metric::RequestsRead), 8, "the fourth closes, on both channels");
    assert_eq!(always(&seen, "drain", Metric::RepliesReceived), 6, "and isn't answered any more");
}

#[test]
fn a_reset_ends_what_is_read() {
    let none = format!("faults: [PeerReset(Nth(1))], {ALL}");
    let seen = outcomes(&text("Handler(name: \"echo\", owns: Replies)", &none));
    assert_eq!(always(&seen, "drain", Metric::RequestsRead), 0);
    assert_eq!(always(&seen, "drain", Metric::PendingBytes), 0);
}

#[test]
fn what_nobody_takes_is_counted_at_the_tail() {
    let seen = outcomes(&text("Handler(name: \"watches\", on: Executor(0))", ALL));
    assert_eq!(always(&seen, "drain", Metric::UnhandledMessages), 20);
    assert_eq!(always(&seen, "drain", Metric::RepliesReceived), 0);
    assert!(seen.iter().all(|outcome| outcome.reached[Reach::HandlerChangedThreads as usize] > 0));
}

/// Its steps ask for the same peers: the second one begins where the first one ends.
const TWICE: &str =
    "Requests(requests: 10, in_flight: 3, awaits: Nothing), Renew(), Renew(name: \"again\", threads: 0..1),
    Requests(name: \"more\", requests: 5)";

#[test]
fn no_errand_is_lost_when_business_threads_are_renewed() {
    for schedule in ["Portfolio", "Random", "RoundRobin", "RunOn", "Pos", "Pct(depth: 3)", "Delays(delays: 2)"] {
        let renewed = format!("schedule: {schedule}, workload: [{TWICE}, Drain(), Close(), Shutdown()]");
        let seen = outcomes(&text("Handler(name: \"offload\", owns: Transfers(Business))", &renewed));
        assert_eq!(always(&seen, "more", Metric::RequestsRead), 30, "{schedule}: 15 of each peer, in its order");
        assert_eq!(always(&seen, "more", Metric::RepliesReceived), 30, "{schedule}: and each is answered once");
        assert_eq!(always(&seen, "shutdown", Metric::RepliesReceived), 30, "{schedule}");
    }
}

#[test]
fn a_peer_that_has_ended_begins_no_other_step() {
    let half = "socket: (half_close: Allowed), workload: [
        Requests(requests: 3, in_flight: 2, ends: HalfClosed, awaits: Nothing), Requests(name: \"more\", requests: 4),
        Drain(), Close(), Shutdown(),
    ]";
    let seen = outcomes(&text("Handler(name: \"echo\", owns: Replies)", half));
    assert_eq!(always(&seen, "drain", Metric::RequestsRead), 6, "three of each peer");
}

#[test]
fn what_is_read_when_nobody_waits_any_longer_counts() {
    let two = "channels: 2, channels_are: Unregistered";
    let late = "workload: [Requests(requests: 3), Register(), Drain(), Close(), Shutdown()]";
    let seen = outcomes(&text("Handler(name: \"echo\", owns: Replies)", late).replace("channels: 2", two));
    assert_eq!(always(&seen, "requests", Metric::RequestsRead), 0, "no loop reads yet");
    assert_eq!(always(&seen, "drain", Metric::RequestsRead), 6, "three of each peer");
}

#[test]
fn threads_that_die_leave_the_rest_to_others() {
    let dying = "faults: [ThreadDies(Business, Always)], workload: [
        Phase(name: \"writes\", writes: 4, message: Buffer(Exactly(B(9)))), Drain(),
        Requests(requests: 3), Drain(name: \"end\"), Exchange(buffers: 3, to: Itself), Close(), Shutdown(),
    ]";
    let seen = outcomes(&text("Handler(name: \"offload\", owns: Transfers(Business))", dying));
    assert_eq!(always(&seen, "drain", Metric::RepliesReceived), 8, "every write once: two threads, four each");
    assert_eq!(always(&seen, "end", Metric::RepliesReceived), 14);
    for outcome in &seen {
        let died = outcome.threads.iter().filter(|name| name.starts_with("business-")).count();
        // Each write, each errand, each buffer: one thread's last message. Two are left.
        assert_eq!(died, 8 + 6 + 6 + 2, "{:?}", outcome.threads);
    }
}

#[test]
fn two_handlers_that_add_and_remove_each_other_come_to_an_end() {
    let endless = "Handler(name: \"a\", does: [Adds(\"b\", Added), Adds(\"b\", Removed)]), \
                   Handler(name: \"b\", there: Later, does: [Removes(\"a\", Added), Adds(\"a\", Added), Adds(\"a\", Removed)])";
    let seen = outcomes(&text(endless, ALL));
    assert_eq!(always(&seen, "drain", Metric::RequestsRead), 20);
}

#[test]
fn pipelines_are_deterministic() {
    for file in ["good/pipeline_handlers_come_and_go.ron", "good/thread_dies_while_working.ron"] {
        let loaded = load(file);
        let last = loaded.cells.last().expect("a sweep has cells");
        let [first, second] = [outcome(last, 3), outcome(last, 3)];
        assert_eq!((first.digest, first.steps), (second.digest, second.steps), "{file}");
        assert_ne!(first.digest, outcome(last, 4).digest, "{file}: another seed, another execution");
    }
}

#[test]
fn what_is_latent_in_netty_holds_on_millpond() {
    for file in ["executor_ended", "loop_ended_under_executor", "decoder_removed_overtakes"] {
        let file = &format!("latent/{file}.ron");
        let mut scenario = load(file).scenario;
        assert!(matches!(scenario.expect, Expect::MustFind(_)), "{file}");
        assert!(cells(&scenario).iter().all(|cell| cell.scenario.pool.preset != Preset::Millpond));
        (scenario.sweep, scenario.pool.preset) = (Sweep::Single, Preset::Millpond);
        let ours = cell(scenario);
        for seed in 0..32 {
            assert_eq!(outcome(&ours, seed).findings, [], "{file}, seed {seed}");
        }
    }
}
