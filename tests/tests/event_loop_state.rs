//! The life of an event loop: its states, its quiet period, its hooks and its end.

mod write_path_support;

use millpond::engine::Sim;
use millpond_model::event_loop::{EventLoop, LoopState, RejectReason, Stall};
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, random, soundly};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use write_path_support::{end, on_loop, ours};

on_both!(
    states_from_birth_to_death,
    termination_is_told_when_it_has_come,
    every_state_takes_or_refuses_tasks,
    the_first_shutdown_counts,
    hooks_run_once_in_order_on_the_loop,
    a_removed_hook_does_not_run,
    what_a_hook_executes_is_run,
    a_panicking_hook_harms_nobody,
    hooks_run_whatever_comes,
);

const RULES: [Preset; 3] = [Preset::Netty4_1_8, Preset::Netty4_1_44, Preset::Millpond];

#[test]
fn legal_steps() {
    use LoopState::{NotStarted, Shutdown, ShuttingDown, Started, Terminated};
    let all = [NotStarted, Started, ShuttingDown, Shutdown, Terminated];
    let legal = [
        (NotStarted, Started),
        (Started, NotStarted), // its thread could not be started
        (NotStarted, ShuttingDown),
        (Started, ShuttingDown),
        (ShuttingDown, Shutdown),
        (ShuttingDown, Terminated), // through 4.1.43
        (Shutdown, Terminated),
    ];
    for from in all {
        for to in all {
            assert_eq!(from.may_become(to), legal.contains(&(from, to)), "{from:?} to {to:?}");
        }
    }
}

fn states_from_birth_to_death<P: Platform>() {
    for preset in RULES {
        let event_loop = EventLoop::<P>::new("loop", preset.into());
        let is = |state, shutting_down, shut_down, terminated| {
            assert_eq!(event_loop.state(), state);
            assert_eq!(event_loop.is_shutting_down(), shutting_down);
            assert_eq!(event_loop.is_shut_down(), shut_down);
            assert_eq!(event_loop.is_terminated(), terminated);
            assert_eq!(event_loop.terminated().is_done(), terminated);
        };
        is(LoopState::NotStarted, false, false, false);
        on_loop(&event_loop, || ());
        is(LoopState::Started, false, false, false);
        let stall = Stall::hold(&event_loop).expect("it is open");
        stall.wait_until_reached();
        event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
        is(LoopState::ShuttingDown, true, false, false);
        stall.release();
        event_loop.join().expect("the loop ends well");
        is(LoopState::Terminated, true, true, true);
        event_loop.join().expect("the second time there is nothing to wait for");
    }
}

fn termination_is_told_when_it_has_come<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let told = Arc::new(P::Atomic::new(false));
    let (theirs, inside) = (event_loop.clone(), Arc::clone(&told));
    event_loop.terminated().add_listener(move |outcome| {
        assert_eq!((outcome, theirs.state()), (Ok(()), LoopState::Terminated));
        inside.store(true, Ordering::SeqCst);
    });
    on_loop(&event_loop, || ());
    assert!(!told.load(Ordering::SeqCst));
    end(&event_loop);
    assert!(told.load(Ordering::SeqCst));
}

fn every_state_takes_or_refuses_tasks<P: Platform>() {
    for preset in RULES {
        let event_loop = EventLoop::<P>::new("loop", preset.into());
        let run = Arc::new(P::Atomic::new(0_u32));
        let give = || {
            let run = Arc::clone(&run);
            event_loop.execute_fn(move || assert!(run.fetch_add(1, Ordering::SeqCst) < 3))
        };
        give().expect("NotStarted takes it and starts");
        give().expect("Started takes it");
        let stall = Stall::hold(&event_loop).expect("it is open");
        stall.wait_until_reached();
        event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
        give().expect("ShuttingDown takes it");
        let late = event_loop.schedule(Duration::from_secs(3600), || unreachable!("cancelled"));
        late.expect("ShuttingDown takes it");
        stall.release();
        event_loop.join().expect("the loop ends well");
        assert_eq!(give().expect_err("Terminated takes nothing").reason, RejectReason::ShutDown);
        let later = event_loop.schedule(Duration::ZERO, || unreachable!("refused"));
        assert_eq!(later.map(drop).expect_err("nor that").reason, RejectReason::ShutDown);
        let tail = event_loop.execute_after_iteration(|| unreachable!("refused"));
        assert_eq!(tail.expect_err("nor that").reason, RejectReason::ShutDown);
        let hook = event_loop.add_shutdown_hook(|| unreachable!("refused"));
        assert_eq!(hook.map(drop).expect_err("nor that").reason, RejectReason::ShutDown);
        let stats = event_loop.stats();
        assert_eq!((run.load(Ordering::SeqCst), stats.tasks_rejected, stats.tasks_abandoned), (3, 4, 0));
    }
}

fn the_first_shutdown_counts<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    on_loop(&event_loop, || ());
    event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    event_loop.shutdown_gracefully(Duration::from_secs(3600), Duration::from_secs(7200));
    let began = P::now();
    event_loop.join().expect("the loop ends well");
    assert!(P::now() - began < Duration::from_secs(3600));
}

/// When a loop ends that has run its last task at zero: `program` gives it tasks meanwhile.
fn ends_at(preset: Preset, quiet: u64, timeout: u64, program: fn(&EventLoop<Sim>)) -> Duration {
    let mut ended = Duration::ZERO;
    soundly(&in_turn(), || {
        let event_loop = EventLoop::<Sim>::new("loop", preset.into());
        on_loop(&event_loop, || ());
        assert_eq!(Sim::now(), Duration::ZERO, "time stands still while a thread can run");
        event_loop.shutdown_gracefully(Duration::from_millis(quiet), Duration::from_millis(timeout));
        program(&event_loop);
        event_loop.await_termination();
        ended = Sim::now();
        event_loop.join().expect("the loop ends well");
    });
    ended
}

/// Looks every 100 ms, and goes on while the last task is at most the quiet period ago: at 0, 100, 200 and 300 ms.
#[test]
fn quiet_period_to_the_millisecond() {
    for preset in RULES {
        assert_eq!(ends_at(preset, 300, 10_000, |_| ()), Duration::from_millis(400), "{preset}");
        assert_eq!(ends_at(preset, 299, 10_000, |_| ()), Duration::from_millis(300), "{preset}");
        assert_eq!(ends_at(preset, 0, 10_000, |_| ()), Duration::ZERO, "{preset}");
        let one_more = |event_loop: &EventLoop<Sim>| {
            Sim::sleep(Duration::from_millis(250));
            event_loop.execute_fn(|| ()).expect("the quiet period isn't over");
        };
        // It is run at the look at 300 ms, from which the period begins anew: 300 to 600 are too early.
        assert_eq!(ends_at(preset, 300, 10_000, one_more), Duration::from_millis(700), "{preset}");
    }
}

#[test]
fn timeout_to_the_millisecond() {
    for preset in RULES {
        // Tasks that keep coming: at 400 ms the timeout is over, and it doesn't wait for the quiet period.
        let busy = |event_loop: &EventLoop<Sim>| {
            for tick in 0..7 {
                Sim::sleep(Duration::from_millis(if tick == 0 { 25 } else { 50 }));
                event_loop.execute_fn(|| ()).expect("it still runs");
            }
        };
        assert_eq!(ends_at(preset, 300, 300, busy), Duration::from_millis(400), "{preset}");
        // The timeout is never shorter than the quiet period.
        assert_eq!(ends_at(preset, 300, 0, |_| ()), Duration::from_millis(400), "{preset}");
    }
}

fn hooks_run_once_in_order_on_the_loop<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let seen = Arc::new(P::Mutex::new(Vec::new()));
    for n in 1..=3 {
        let (seen, this) = (Arc::clone(&seen), event_loop.clone());
        let hook = event_loop.add_shutdown_hook(move || {
            assert!(this.in_loop() && this.state() == LoopState::ShuttingDown);
            seen.lock().push(n);
            if n == 2 {
                let again = Arc::clone(&seen);
                this.add_shutdown_hook(move || again.lock().push(4)).map(drop).expect("the loop's own");
            }
        });
        hook.map(drop).expect("it is open");
    }
    on_loop(&event_loop, || ());
    assert_eq!(seen.lock().len(), 0);
    end(&event_loop);
    assert_eq!((seen.lock().clone(), event_loop.stats().hooks_run), (vec![1, 2, 3, 4], 4));
}

fn a_removed_hook_does_not_run<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let (kept, dropped_on) = (Arc::new(P::Atomic::new(0_u32)), Arc::new(P::Atomic::new(u32::MAX)));
    let run = Arc::clone(&kept);
    let _stays = event_loop.add_shutdown_hook(move || run.store(1, Ordering::SeqCst)).expect("it is open");
    let witness = DropWitness::<P>(Arc::clone(&dropped_on));
    let hook = event_loop.add_shutdown_hook(move || unreachable!("removed: {}", witness.0.load(Ordering::SeqCst)));
    hook.expect("it is open").remove().expect("it is open");
    let id = Arc::new(P::Atomic::new(0_u32));
    let theirs = Arc::clone(&id);
    on_loop(&event_loop, move || theirs.store(P::current_id().0, Ordering::SeqCst));
    assert_eq!(dropped_on.load(Ordering::SeqCst), id.load(Ordering::SeqCst), "dropped by the loop's thread");
    end(&event_loop);
    assert_eq!((kept.load(Ordering::SeqCst), event_loop.stats().hooks_run), (1, 1));
}

/// Notes the thread that drops it.
struct DropWitness<P: Platform>(Arc<P::Atomic<u32>>);

impl<P: Platform> Drop for DropWitness<P> {
    fn drop(&mut self) {
        self.0.store(P::current_id().0, Ordering::SeqCst);
    }
}

fn what_a_hook_executes_is_run<P: Platform>() {
    for preset in RULES {
        let event_loop = EventLoop::<P>::new("loop", preset.into());
        let run = Arc::new(P::Atomic::new(false));
        let (this, inside) = (event_loop.clone(), Arc::clone(&run));
        let hook = event_loop.add_shutdown_hook(move || {
            this.execute_fn(move || inside.store(true, Ordering::SeqCst)).expect("it still takes tasks");
        });
        hook.map(drop).expect("it is open");
        end(&event_loop);
        assert!(run.load(Ordering::SeqCst), "{preset}");
        assert_eq!(event_loop.stats().tasks_abandoned, 0);
    }
}

fn a_panicking_hook_harms_nobody<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let run = Arc::new(P::Atomic::new(false));
    let inside = Arc::clone(&run);
    event_loop.add_shutdown_hook(|| panic!("a hook's own business")).map(drop).expect("it is open");
    event_loop.add_shutdown_hook(move || inside.store(true, Ordering::SeqCst)).map(drop).expect("it is open");
    end(&event_loop);
    assert!(run.load(Ordering::SeqCst));
    assert_eq!(event_loop.stats().tasks_panicked, 1);
}

/// Tasks to the very end, so that no pass of a loop with a quiet period of zero finds a moment for the hook: whether it ran.
fn hook_runs<P: Platform>(preset: Preset) -> bool {
    let event_loop = EventLoop::<P>::new("loop", preset.into());
    let run = Arc::new(P::Atomic::new(false));
    let inside = Arc::clone(&run);
    event_loop.add_shutdown_hook(move || inside.store(true, Ordering::SeqCst)).map(drop).expect("it is open");
    let stall = Stall::hold(&event_loop).expect("it is open");
    stall.wait_until_reached();
    // More than the pass that the stall is in runs.
    (0..100).for_each(|_| event_loop.execute_fn(|| ()).expect("it is open"));
    let this = event_loop.clone();
    // Some bound: a strategy with priorities may run only this thread.
    let producer = P::spawn("producer".to_string(), move || {
        (0..10_000).take_while(|_| this.execute_fn(|| ()).is_ok()).for_each(|_| P::sleep(Duration::from_micros(10)));
    });
    event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    stall.release();
    event_loop.join().expect("the loop ends well");
    producer.expect("threads are to be had").join().expect("no panic");
    assert_eq!(event_loop.stats().hooks_run, u64::from(run.load(Ordering::SeqCst)));
    run.load(Ordering::SeqCst)
}

fn hooks_run_whatever_comes<P: Platform>() {
    assert!(hook_runs::<P>(Preset::Millpond));
}

/// In Netty a pass with tasks has no time for hooks, and with a quiet period of zero such a pass may be the last.
#[test]
fn netty_may_skip_hooks() {
    let skips = |options: &_| {
        let mut ran = true;
        soundly(options, || ran = hook_runs::<Sim>(Preset::Netty4_1_8));
        !ran
    };
    assert!(random(500).any(|options| skips(&options)));
}
