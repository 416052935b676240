//! A channel under every schedule: with close, reject, cancel and reset at every position of a small program.
//!
//! **Invariant: every enumeration here is complete**: after each schedule within the bound every law of
//! [`Law`](exhaustive_support::Law) was looked at. `--nocapture` shows how many schedules that was; when this was written it was:
//!
//! ```text
//!   at every position      1 preemption,       2 preemptions,      threads: main, the loop, and a second writer, the one
//!                          4 messages          2 or 3 messages     who closes (cancels, ...), the peer or the executor
//!   close                   32,790              905,841
//!   forcible close          30,421              125,415
//!   cancel                  83,358              628,002
//!   reset                   29,102              702,434
//!   shutdown                29,943              701,740
//!   full queue             180,784              232,620
//!   slow peer              150,262
//!   awaited                 24,100               95,448
//!   close with linger      101,814              200,488
//!   Netty's releases       482,000
//! ```
//!
//! What a longer program or another preemption would show is for the random strategies.

mod exhaustive_support;

use exhaustive_support::{Case, Do, Law, all, all_hold, at_every_position, written};
use millpond_model::Preset;
use millpond_model::observe::Defect;
use millpond_model::promise::Cause::{self, Cancelled, ClosedChannel, ConnectionReset, Rejected};

use Do::{Await, Cancel, Close, CloseForcibly, Flush, Open, Reset, ShutDown, Start, Write, WriteAndFlush};

/// Main's three messages.
const WRITES: [Do; 5] = [Write(0), Write(1), Flush, Write(2), Flush];

/// One, where there are two preemptions and three threads.
const ONE: [Do; 2] = [Write(0), Flush];

const WRITTEN: Result<(), Cause> = Ok(());

fn programs(scripts: Vec<Vec<Do>>, other: &[Do]) -> Vec<Case> {
    scripts.into_iter().map(|main| Case::new(main, other.to_vec())).collect()
}

/// Main alone, with `what` at every position.
fn alone(script: &[Do], what: Do) -> Vec<Case> {
    programs(at_every_position(script, what), &[])
}

/// So, beside a thread that writes one message more.
fn beside_a_writer(script: &[Do], what: Do) -> Vec<Case> {
    let scripts = at_every_position(script, what).into_iter().map(|main| [vec![Start], main].concat());
    programs(scripts.collect(), &[WriteAndFlush(written(script).count())])
}

/// Another thread does `what`, begun at every position.
fn by_another(script: &[Do], what: &[Do]) -> Vec<Case> {
    programs(at_every_position(script, Start), what)
}

/// Four messages, three threads: for one preemption.
fn large(what: Do) -> Vec<Case> {
    [beside_a_writer(&WRITES, what), by_another(&WRITES, &[what]), by_another(&WRITES, &[what, WriteAndFlush(3)])]
        .concat()
}

/// Three messages on two threads, or two on three, and no handler: for two preemptions.
fn small(what: Do) -> Vec<Case> {
    quiet([alone(&WRITES, what), beside_a_writer(&ONE, what), by_another(&ONE, &[what])].concat())
}

/// Without a handler.
fn quiet(programs: Vec<Case>) -> Vec<Case> {
    with(programs, |case| case.listens = false)
}

/// `change` made to each program.
fn with(mut programs: Vec<Case>, change: impl Fn(&mut Case)) -> Vec<Case> {
    programs.iter_mut().for_each(change);
    programs
}

/// A close through the executor that may block, and then `what`, or before: each at every position.
fn lingering(script: &[Do], what: Do) -> Vec<Case> {
    let closed = at_every_position(script, Close).into_iter();
    let cases = closed.flat_map(|script| programs(at_every_position(&script, what), &[]));
    with(cases.collect(), |case| case.linger = true)
}

#[test]
fn close_at_every_position() {
    all_hold("close", 1, &large(Close), &[WRITTEN, Err(ClosedChannel)]);
    all_hold("close", 2, &small(Close), &[WRITTEN, Err(ClosedChannel)]);
    all_hold("forcible close", 1, &large(CloseForcibly), &[WRITTEN, Err(ClosedChannel)]);
    all_hold("forcible close", 2, &quiet(alone(&WRITES, CloseForcibly)), &[WRITTEN, Err(ClosedChannel)]);
}

#[test]
fn cancel_at_every_position() {
    let one: Vec<Vec<Case>> = (0..3).map(|n| large(Cancel(n))).collect();
    all_hold("cancel", 1, &one.concat(), &[WRITTEN, Err(Cancelled), Err(ClosedChannel)]);
    all_hold("cancel", 2, &small(Cancel(0)), &[WRITTEN, Err(Cancelled), Err(ClosedChannel)]);
}

#[test]
fn reset_at_every_position() {
    all_hold("reset", 1, &large(Reset), &[WRITTEN, Err(ConnectionReset), Err(ClosedChannel)]);
    all_hold("reset", 2, &small(Reset), &[WRITTEN, Err(ConnectionReset), Err(ClosedChannel)]);
}

#[test]
fn rejection_by_a_loop_that_shuts_down_at_every_position() {
    all_hold("shutdown", 1, &large(ShutDown), &[WRITTEN, Err(Rejected), Err(ClosedChannel)]);
    all_hold("shutdown", 2, &small(ShutDown), &[WRITTEN, Err(Rejected), Err(ClosedChannel)]);
}

#[test]
fn what_is_flushed_ends_without_another_word() {
    // Main waits for its messages before anything is shut down: who forgets to wake the loop makes a deadlock.
    let awaited = |script: &[Do], other: &[Do]| {
        let waits = written(script).map(Await).collect::<Vec<_>>();
        with(by_another(script, other), |case| case.main.extend(&waits))
    };
    let slow = |script: &[Do], other: &[Do]| with(awaited(script, other), |case| case.window = 0);
    let main = [WriteAndFlush(0), Write(1), Flush];
    let all = [awaited(&main, &[WriteAndFlush(2), Await(2)]), slow(&main, &[Open(1), Open(1)])].concat();
    all_hold("awaited", 1, &all, &[WRITTEN]);
    all_hold("awaited", 2, &quiet(slow(&main[..1], &[Open(1)])), &[WRITTEN]);
    let closed = [slow(&main, &[Open(1), Close]), slow(&main, &[CloseForcibly, Close])].concat();
    all_hold("awaited, close", 1, &closed, &[WRITTEN, Err(ClosedChannel)]);
    let reset = slow(&main, &[Open(1), Reset, Open(1)]);
    all_hold("awaited, reset", 1, &reset, &[WRITTEN, Err(ConnectionReset), Err(ClosedChannel)]);
}

#[test]
fn rejection_by_a_full_queue() {
    let both = |what: Do| [large(what), with(large(what), |case| case.queue = Some(2))].concat();
    let bounded = |what: Do| with(both(what), |case| case.queue = case.queue.or(Some(1)));
    let outcomes = |cause| [WRITTEN, Err(Rejected), Err(ClosedChannel), Err(cause)];
    all_hold("full queue, close", 1, &bounded(Close), &outcomes(ClosedChannel));
    all_hold("full queue, cancel", 1, &bounded(Cancel(1)), &outcomes(Cancelled));
    all_hold("full queue, reset", 1, &bounded(Reset), &outcomes(ConnectionReset));
    all_hold("full queue, shutdown", 1, &bounded(ShutDown), &outcomes(Rejected));
    let two = with(by_another(&ONE, &[WriteAndFlush(1)]), |case| case.queue = Some(1));
    all_hold("full queue", 2, &quiet(two), &outcomes(Rejected));
}

#[test]
fn a_slow_peer_and_everything_at_every_position() {
    // What is flushed waits for room, and the room comes from another thread.
    let slow = |what: Do| {
        let scripts = at_every_position(&WRITES, what).into_iter().map(|main| [vec![Start], main].concat());
        let by_main = programs(scripts.collect(), &[Open(1), Open(1)]);
        let all = [by_main, by_another(&WRITES, &[Open(1), what, Open(2)])].concat();
        [with(all.clone(), |case| case.window = 0), with(all, |case| case.window = 1)].concat()
    };
    let outcomes = |cause| [WRITTEN, Err(ClosedChannel), Err(cause)];
    all_hold("slow peer, close", 1, &slow(Close), &outcomes(ClosedChannel));
    all_hold("slow peer, cancel", 1, &slow(Cancel(1)), &outcomes(Cancelled));
    all_hold("slow peer, reset", 1, &slow(Reset), &outcomes(ConnectionReset));
    all_hold("slow peer, shutdown", 1, &slow(ShutDown), &outcomes(Rejected));
}

#[test]
fn close_through_the_linger_executor_and_everything_at_every_position() {
    let outcomes = |cause| [WRITTEN, Err(ClosedChannel), Err(cause)];
    all_hold("linger, close", 1, &lingering(&WRITES, Close), &outcomes(ClosedChannel));
    all_hold("linger, cancel", 1, &lingering(&WRITES, Cancel(1)), &outcomes(Cancelled));
    all_hold("linger, reset", 1, &lingering(&WRITES, Reset), &outcomes(ConnectionReset));
    all_hold("linger, shutdown", 1, &lingering(&WRITES, ShutDown), &outcomes(Rejected));
    all_hold("linger, shutdown", 2, &quiet(lingering(&[WriteAndFlush(0)], ShutDown)), &outcomes(Rejected));
}

/// The Netty releases whose write path is tried.
const NETTY: [Preset; 3] = [Preset::Netty4_1_44, Preset::Netty4_1_88, Preset::Netty4_2_7];

/// The laws that `cases` break on `preset`, with the fewest preemptions that it takes: at most `preemptions`.
fn broken_on(preset: Preset, name: &str, preemptions: u32, cases: Vec<Case>) -> Vec<(Law, u64)> {
    let cases = with(cases, |case| case.preset = preset);
    all(&format!("{preset}, {name}"), preemptions, &cases).broken.into_iter().collect()
}

#[test]
fn netty_loses_a_task_to_a_shutdown_with_one_preemption() {
    // D8: a thread finds the loop not shut down, is preempted, and offers its write after the loop's last look.
    for preset in NETTY {
        assert_eq!(broken_on(preset, "shutdown", 0, large(ShutDown)), [], "{preset}");
        let lost =
            [Law::NoLostTask, Law::Released, Law::Completed, Law::NothingPending, Law::Freed].map(|law| (law, 1));
        assert_eq!(broken_on(preset, "shutdown", 1, large(ShutDown)), lost, "{preset}");
    }
}

#[test]
fn netty_before_4_1_31_keeps_the_bytes_of_a_rejected_write() {
    // B17 (#8343): what a write counted at its submission is not given back when the queue is full.
    let full = with(large(Cancel(1)), |case| case.queue = Some(1));
    for preset in [Preset::Netty4_1_8, Preset::Netty4_1_22] {
        let broken = broken_on(preset, "full queue", 0, full.clone());
        assert!(broken.contains(&(Law::NothingPending, 0)), "{preset}: {broken:?}");
    }
    assert_eq!(broken_on(Preset::Netty4_1_38, "full queue", 0, full), []);
}

#[test]
fn netty_loses_the_end_of_a_lingering_close_without_a_preemption() {
    // D9: the loop is gone when the executor that has closed the socket comes back to it.
    for preset in NETTY {
        let lost = [Law::Released, Law::NoLostPostBack, Law::InactiveOnce].map(|law| (law, 0));
        assert_eq!(broken_on(preset, "linger, shutdown", 0, lingering(&WRITES, ShutDown)), lost, "{preset}");
    }
}

#[test]
fn netty_keeps_the_laws_otherwise() {
    for preset in NETTY {
        for what in [Close, CloseForcibly, Cancel(1), Reset] {
            assert_eq!(broken_on(preset, &format!("{what:?}"), 1, large(what)), [], "{preset} {what:?}");
        }
    }
}

#[test]
fn planted_defects_break_the_laws() {
    let broken = |defect: Defect, cases: Vec<Case>| -> Vec<Law> {
        let cases = with(cases, |case| case.plant = Some(defect));
        all(&format!("{defect:?}"), 1, &cases).broken.into_keys().collect()
    };
    // Both end the execution where the ledger sees them.
    assert_eq!(broken(Defect::ForgottenRelease, large(Close)), [Law::Released]);
    assert_eq!(broken(Defect::DuplicateRelease, large(Close)), [Law::AtMostOnce]);
    // The task that deregisters the channel, and then tells the handler, may be the lost one.
    let told = Law::InactiveOnce;
    let lost = [Law::NoLostTask, Law::Released, Law::Completed, Law::NothingPending, told, Law::Freed];
    assert_eq!(broken(Defect::LostTask, large(ShutDown)), lost);
}
