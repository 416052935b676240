//! The event loop: what it accepts it runs; how it sleeps, wakes and ends.

mod write_path_support;

use millpond_model::event_loop::{EventLoop, LazyRule, LoopConfig, LoopState, RejectReason, ShutdownRule, Stall};
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use millpond_model::promise::Promise;
use millpond_model::{Platform, Preset};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use write_path_support::{World, end, on_loop, ours};

on_both!(
    runs_tasks_in_order,
    starts_with_its_first_task,
    survives_a_panicking_task,
    bounded_queue_rejects,
    rejects_after_shutdown,
    zero_quiet_period_runs_what_was_accepted,
    quiet_period_restarts_with_each_task,
    timeout_ends_the_quiet_period,
    scheduled_tasks_run_by_deadline,
    shutdown_of_a_loop_that_never_ran,
    stall_builds_a_backlog,
    accepted_tasks_run_while_the_loop_shuts_down;
    in_turn: // they have an upper bound for what can be done within a time
    lazy_task_waits_under_netty_rules,
    lazy_task_wakes_under_our_rules,
    shutdown_cancels_scheduled_tasks,
);

fn runs_tasks_in_order<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let seen = Arc::new(P::Mutex::new(Vec::new()));
    for n in 0..1000 {
        let (seen, this) = (Arc::clone(&seen), event_loop.clone());
        let accepted = event_loop.execute_fn(move || {
            assert!(this.in_loop());
            seen.lock().push(n);
        });
        accepted.expect("it is open");
    }
    assert!(!event_loop.in_loop());
    end(&event_loop);
    assert_eq!(*seen.lock(), (0..1000).collect::<Vec<_>>());
    let stats = event_loop.stats();
    assert_eq!((stats.tasks_run, stats.tasks_rejected, stats.tasks_abandoned), (1000, 0, 0));
}

fn starts_with_its_first_task<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    assert_eq!(event_loop.state(), LoopState::NotStarted);
    on_loop(&event_loop, || ());
    assert_eq!(event_loop.state(), LoopState::Started);
    end(&event_loop);
}

fn survives_a_panicking_task<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    event_loop.execute_fn(|| panic!("a task's own business")).expect("it is open");
    on_loop(&event_loop, || ());
    end(&event_loop);
    assert_eq!((event_loop.stats().tasks_panicked, event_loop.stats().tasks_run), (1, 2));
}

fn bounded_queue_rejects<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", LoopConfig { max_pending_tasks: Some(16), ..ours() });
    let stall = Stall::hold(&event_loop).expect("it is open");
    stall.wait_until_reached();
    // The stalling task itself has been polled.
    let refused = (0..20).filter(|_| event_loop.execute_fn(|| ()).is_err()).count();
    assert_eq!((refused, event_loop.stats().queue_length), (4, 16));
    let reason = event_loop.execute_fn(|| ()).expect_err("it is full").reason;
    assert_eq!(reason, RejectReason::Full);
    stall.release();
    end(&event_loop);
    assert_eq!((event_loop.stats().tasks_run, event_loop.stats().tasks_rejected), (17, 5));
}

fn rejects_after_shutdown<P: Platform>() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_1_44, Preset::Millpond] {
        let event_loop = EventLoop::<P>::new("loop", preset.into());
        on_loop(&event_loop, || ());
        end(&event_loop);
        let reason = event_loop.execute_fn(|| unreachable!("it was rejected")).expect_err("it has ended").reason;
        assert_eq!(reason, RejectReason::ShutDown);
        assert_eq!(event_loop.stats().tasks_rejected, 1);
    }
}

fn zero_quiet_period_runs_what_was_accepted<P: Platform>() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_1_44, Preset::Millpond] {
        let event_loop = EventLoop::<P>::new("loop", preset.into());
        let stall = Stall::hold(&event_loop).expect("it is open");
        stall.wait_until_reached();
        for _ in 0..100 {
            event_loop.execute_fn(|| ()).expect("it is open");
        }
        event_loop.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5));
        assert_eq!(event_loop.state(), LoopState::ShuttingDown);
        event_loop.execute_fn(|| ()).expect("a loop that shuts down still takes tasks");
        stall.release();
        event_loop.join().expect("the loop ends well");
        assert_eq!(event_loop.stats().tasks_run, 102);
    }
}

fn quiet_period_restarts_with_each_task<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    on_loop(&event_loop, || ());
    let began = P::now();
    event_loop.shutdown_gracefully(Duration::from_millis(300), Duration::from_secs(10));
    P::sleep(Duration::from_millis(150));
    event_loop.execute_fn(|| ()).expect("the quiet period isn't over");
    event_loop.await_termination();
    // The task ran at 150 ms or later, and the quiet period begins anew.
    assert!(P::now() - began >= Duration::from_millis(450), "{:?}", P::now() - began);
    assert_eq!(event_loop.stats().tasks_run, 2);
}

fn timeout_ends_the_quiet_period<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    on_loop(&event_loop, || ());
    let began = P::now();
    event_loop.shutdown_gracefully(Duration::from_millis(150), Duration::from_millis(300));
    while event_loop.execute_fn(|| ()).is_ok() {
        P::sleep(Duration::from_millis(20));
        assert!(P::now() - began < Duration::from_secs(20), "the timeout never came");
        if P::now() - began > Duration::from_millis(400) {
            break;
        }
    }
    event_loop.await_termination();
    assert!(P::now() - began >= Duration::from_millis(150));
}

fn scheduled_tasks_run_by_deadline<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let seen = Arc::new(P::Mutex::new(Vec::new()));
    let done = Promise::<P>::untracked();
    let began = P::now();
    for (n, delay) in [(2, 40), (1, 20), (3, 40)] {
        let (seen, done) = (Arc::clone(&seen), done.clone());
        let accepted = event_loop.schedule(Duration::from_millis(delay), move || {
            assert!(P::now() - began >= Duration::from_millis(delay));
            seen.lock().push(n);
            if n == 3 {
                done.complete(Ok(()));
            }
        });
        accepted.expect("it is open");
    }
    assert_eq!(done.wait(), Ok(()));
    assert_eq!(*seen.lock(), [1, 2, 3]);
    end(&event_loop);
}

fn shutdown_cancels_scheduled_tasks<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    event_loop.schedule(Duration::from_secs(3600), || unreachable!("it was cancelled")).expect("it is open");
    on_loop(&event_loop, || ());
    end(&event_loop);
    assert_eq!(event_loop.stats().scheduled_cancelled, 1);
}

fn shutdown_of_a_loop_that_never_ran<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    end(&event_loop);
    assert!(event_loop.execute_fn(|| ()).is_err());
}

fn stall_builds_a_backlog<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let stall = Stall::hold(&event_loop).expect("it is open");
    stall.wait_until_reached();
    for _ in 0..500 {
        event_loop.execute_fn(|| ()).expect("it is open");
    }
    let stats = event_loop.stats();
    assert_eq!((stats.queue_length, stats.peak_queue_length, stats.tasks_run), (500, 500, 1));
    stall.release();
    end(&event_loop);
    let stats = event_loop.stats();
    assert_eq!((stats.queue_length, stats.peak_queue_length, stats.tasks_run), (0, 500, 501));
}

/// Accepted and run are the same number, however the shutdown races with the producers (Netty #9603).
fn accepted_tasks_run_while_the_loop_shuts_down<P: Platform>() {
    for round in 0..50 {
        let event_loop = EventLoop::<P>::new("loop", ours());
        let (accepted, run) = (Arc::new(P::Atomic::new(0_u64)), Arc::new(P::Atomic::new(0_u64)));
        on_loop(&event_loop, || ());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (event_loop, accepted, run) = (event_loop.clone(), Arc::clone(&accepted), Arc::clone(&run));
                let body = move || loop {
                    let run = Arc::clone(&run);
                    let task = move || assert!(run.fetch_add(1, Ordering::SeqCst) < u64::MAX);
                    if event_loop.execute_fn(task).is_err() {
                        break;
                    }
                    accepted.fetch_add(1, Ordering::SeqCst);
                    P::sleep(Duration::from_micros(1 + round));
                };
                P::spawn("producer".to_string(), body).expect("threads are to be had")
            })
            .collect();
        P::sleep(Duration::from_millis(1));
        event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
        event_loop.join().expect("the loop ends well");
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        assert_eq!(accepted.load(Ordering::SeqCst), run.load(Ordering::SeqCst));
    }
}

fn lazy_task_waits_under_netty_rules<P: Platform>() {
    let world = World::<P>::new(Preset::Netty4_1_8, 1000);
    world.settle();
    P::sleep(Duration::from_millis(50)); // the loop goes to sleep
    let began = P::now();
    let written = world.write("a");
    while world.event_loop.stats().queue_length > 0 {
        P::sleep(Duration::from_millis(5));
    }
    let waited = P::now() - began;
    // One second from when it fell asleep.
    assert!(waited >= Duration::from_millis(700) && waited < Duration::from_secs(5), "{waited:?}");
    assert!(!written.promise.is_done());
    world.channel.flush(); // which wakes it
    written.assert_ended(Ok(()));
    world.shut_down();
}

fn lazy_task_wakes_under_our_rules<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    world.settle();
    P::sleep(Duration::from_millis(50));
    let began = P::now();
    let _written = world.write("a");
    while world.event_loop.stats().queue_length > 0 {
        P::sleep(Duration::from_millis(5));
    }
    assert!(P::now() - began < Duration::from_millis(700));
    world.shut_down();
}

#[test]
fn presets() {
    let rule = |preset| LoopConfig::from(preset).shutdown;
    assert_eq!(rule(Preset::Netty4_0_43), ShutdownRule::NoFinalPass);
    assert_eq!(rule(Preset::Netty4_1_38), ShutdownRule::NoFinalPass);
    assert_eq!(rule(Preset::Netty4_1_44), ShutdownRule::FinalPass);
    assert_eq!(rule(Preset::Netty4_2_7), ShutdownRule::FinalPass);
    assert_eq!(rule(Preset::Millpond), ShutdownRule::CloseQueue);
    assert_eq!(LoopConfig::default().lazy, LazyRule::Wake);
    assert_eq!(LoopConfig::from(Preset::Netty4_2_7).lazy, LazyRule::AtNextWake);
}
