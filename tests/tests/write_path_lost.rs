//! What the simulator is for: tasks that a shutdown loses, and planted defects, each found and nothing found without it.

mod write_path_support;

use millpond::engine::{Execution, Options, Plant, Sim, Strategy, Verdict, When, execute};
use millpond::ledger::FindingKind::{self, DoubleRelease, Leak, LostTask, PromiseLost};
use millpond_model::event_loop::{EventLoop, LoopConfig, ShutdownRule, Stall};
use millpond_model::observe::{Defect, Kind};
use millpond_model::platform::{AtomicOps, JoinOps};
use millpond_model::promise::Promise;
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{random, scheduled, soundly};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use write_path_support::{World, on_loop, schedules};

/// Tasks given until the first one that is refused: twelve, so that the shutdown has something to race with.
const TASKS: u64 = 12;

/// Tasks that race with a shutdown: whether one was accepted and never run (in Netty through 4.2.7).
fn loses_a_task<P: Platform>(shutdown: ShutdownRule) -> bool {
    let event_loop = EventLoop::<P>::new("loop", LoopConfig { shutdown, ..LoopConfig::default() });
    on_loop(&event_loop, || ());
    let run = Arc::new(P::Atomic::new(0_u64));
    let accepted = Arc::new(P::Atomic::new(0_u64));
    let producer = {
        let (event_loop, run, accepted) = (event_loop.clone(), Arc::clone(&run), Arc::clone(&accepted));
        P::spawn("producer".to_string(), move || {
            let offer = |_: &u64| {
                let run = Arc::clone(&run);
                event_loop.execute_fn(move || assert!(run.fetch_add(1, Ordering::SeqCst) < TASKS)).is_ok()
            };
            accepted.store((0..TASKS).take_while(offer).count() as u64, Ordering::SeqCst);
        })
    };
    event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    event_loop.join().expect("the loop ends well");
    producer.expect("threads are to be had").join().expect("no panic");
    let lost = accepted.load(Ordering::SeqCst) - run.load(Ordering::SeqCst);
    assert_eq!(lost, event_loop.stats().tasks_abandoned);
    lost > 0
}

/// The schedules in which the race is tried: 4,000.
fn races() -> impl Iterator<Item = Options> {
    // One execution says how many decisions there are.
    let first = execute(&Options::default(), || {
        loses_a_task::<Sim>(ShutdownRule::CloseQueue);
    });
    let pct = scheduled(&[Strategy::Pct { depth: 2 }, Strategy::Pct { depth: 3 }], 1000);
    random(2000).chain(pct.map(move |options| Options { pct_steps: first.choices, ..options }))
}

fn losing(shutdown: ShutdownRule) -> impl Iterator<Item = Options> {
    races().filter(move |options| {
        let mut lost = false;
        soundly(options, || lost = loses_a_task::<Sim>(shutdown));
        lost
    })
}

#[test]
fn a_final_pass_loses_a_task_in_some_schedule() {
    for rule in [ShutdownRule::NoFinalPass, ShutdownRule::FinalPass] {
        let by = |wanted: fn(&Strategy) -> bool| losing(rule).filter(|o| wanted(&o.strategy)).count();
        assert!(by(|s| *s == Strategy::Random) > 0, "{rule:?} at random");
        assert!(by(|s| matches!(s, Strategy::Pct { .. })) > 0, "{rule:?} by PCT");
    }
}

#[test]
fn a_closed_queue_loses_no_task_in_any_schedule() {
    assert_eq!(losing(ShutdownRule::CloseQueue).next().map(|o| (o.seed, o.strategy)), None);
}

/// What is still owned at the end, as a scenario's execution reports it.
fn unended(execution: &Execution) -> Vec<FindingKind> {
    let kinds = [Kind::WriteAndFlushTask, Kind::WriteTask, Kind::Buffer, Kind::Message, Kind::Promise];
    kinds.iter().flat_map(|kind| execution.ledger.owned(*kind, 8)).map(|finding| finding.kind).collect()
}

/// Writes to a closed channel.
fn late_write() {
    let world = World::<Sim>::new(Preset::Millpond, 100);
    assert_eq!(world.close(), Ok(()));
    let message = message(&world);
    let promise = Promise::new();
    world.channel.write_and_flush(message, promise.clone()).expect("the promise is new");
    assert!(promise.wait().is_err());
    world.settle();
    world.shut_down();
}

/// Writes to a loop that shuts down.
fn write_during_shutdown() {
    let world = World::<Sim>::new(Preset::Millpond, 100);
    world.settle();
    let stall = Stall::hold(&world.event_loop).expect("it is open");
    stall.wait_until_reached();
    world.event_loop.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5));
    world.channel.write_and_flush(message(&world), Promise::new()).expect("the promise is new");
    stall.release();
    world.shut_down();
}

/// A message whose only owner is the write.
fn message(world: &World<Sim>) -> millpond_model::message::Message<Sim> {
    let (message, witness) = world.message("m");
    witness.release().expect("it is alive");
    message
}

/// Runs `program` with `defect` and without: the finding that ended each execution, or what was unended.
fn with_and_without(defect: Defect, program: fn(), expected: &[FindingKind]) {
    for options in schedules() {
        let found = |plants: Vec<Plant>| {
            let struck = plants.len() as u64;
            let execution = execute(&Options { plants, ..options.clone() }, program);
            assert_eq!(execution.plants_struck.iter().sum::<u64>(), struck, "{options:?}");
            match &execution.verdict {
                Verdict::Finished => unended(&execution),
                Verdict::Finding(finding) => vec![finding.kind],
                other => panic!("{options:?}: {other}"),
            }
        };
        assert_eq!(found(vec![Plant { defect, when: When::Nth(1) }]), expected, "{options:?}");
        assert_eq!(found(vec![]), [], "{options:?}");
    }
}

#[test]
fn forgotten_release_is_found() {
    with_and_without(Defect::ForgottenRelease, late_write, &[Leak]);
}

#[test]
fn duplicate_release_is_found() {
    with_and_without(Defect::DuplicateRelease, late_write, &[DoubleRelease]);
}

#[test]
fn lost_task_is_found() {
    with_and_without(Defect::LostTask, write_during_shutdown, &[LostTask, Leak, PromiseLost]);
}
