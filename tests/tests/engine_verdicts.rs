//! Each way in which an execution can end.

use millpond::engine::{Execution, Options, Record, Sim, Strategy, Switch, Verdict, Wait, execute, stop, stop_with};
use millpond::engine::{Plant, When};
use millpond_model::Platform;
use millpond_model::observe::{Defect, Event, Fate, Kind};
use millpond_model::platform::{AtomicOps, JoinOps, Lock, ThreadId};
use std::alloc::Layout;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

type Atomic = <Sim as Platform>::Atomic<u64>;
type Mutex<T> = <Sim as Platform>::Mutex<T>;

fn run_on(main: impl FnOnce()) -> Execution {
    execute(&Options { strategy: Strategy::RunOn, max_steps: 100_000, ..Options::default() }, main)
}

/// The engine works as ever.
fn assert_usable() {
    let execution = run_on(|| {
        let word = Arc::new(Atomic::new(1));
        let theirs = Arc::clone(&word);
        Sim::spawn("t".into(), move || theirs.store(2, Release)).expect("room").join().expect("no panic");
        assert_eq!(word.load(Acquire), 2);
    });
    assert!(matches!(execution.verdict, Verdict::Finished), "{:?}", execution.verdict);
    assert_eq!(execution.leaked_stacks, 0);
}

#[test]
fn finished_when_every_thread_has_ended_even_if_main_ends_first() {
    let mut told = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let theirs = Arc::clone(&told);
    let execution = run_on(move || {
        Sim::spawn("late".into(), move || {
            Sim::sleep(Duration::from_secs(1));
            theirs.store(7, SeqCst);
        })
        .expect("room");
    });
    assert!(matches!(execution.verdict, Verdict::Finished));
    assert_eq!(*Arc::get_mut(&mut told).expect("nobody else has it").get_mut(), 7);
    assert_eq!(execution.now, Duration::from_secs(1));
    let names: Vec<_> = execution.threads.iter().map(|t| (t.name.as_str(), t.parent, t.finished)).collect();
    assert_eq!(names, [("main", None, true), ("late", Some(ThreadId(0)), true)]);
}

#[test]
fn deadlock_names_who_waits_for_what_and_where() {
    let mut lines = [0; 2];
    let execution = run_on(|| {
        let (a, b) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let (a2, b2) = (Arc::clone(&a), Arc::clone(&b));
        let _b = b.lock();
        lines[1] = line!() + 3;
        let _join = Sim::spawn("other".into(), move || {
            let _a = a2.lock();
            let _b = b2.lock();
        });
        Sim::sleep(Duration::from_millis(1));
        lines[0] = line!() + 1;
        let _a = a.lock();
    });
    let Verdict::Deadlock { waiting } = execution.verdict else { panic!("{:?}", execution.verdict) };
    let seen: Vec<_> = waiting.iter().map(|w| (w.name.as_str(), w.site.line())).collect();
    assert_eq!(seen, [("main", lines[0]), ("other", lines[1])]);
    assert!(matches!(waiting[0].wait, Wait::Lock { holder: ThreadId(1), .. }));
    assert!(matches!(waiting[1].wait, Wait::Lock { holder: ThreadId(0), .. }));
    assert!(waiting[0].site.file().ends_with("engine_verdicts.rs"));
    assert_usable();
}

#[test]
fn a_park_that_nobody_ends_is_a_deadlock() {
    let execution = run_on(Sim::park);
    let Verdict::Deadlock { waiting } = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert_eq!(waiting[0].wait, Wait::Park);
}

#[test]
fn to_lock_twice_is_a_deadlock_though_others_could_run() {
    let execution = run_on(|| {
        let lock = Mutex::new(());
        Sim::spawn("idle".into(), || Sim::sleep(Duration::from_secs(9))).expect("room");
        let _first = lock.lock();
        let _second = lock.lock();
    });
    let Verdict::Deadlock { waiting } = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert_eq!(waiting.len(), 1);
    assert!(matches!(waiting[0].wait, Wait::Lock { holder: ThreadId(0), .. }));
    assert_usable();
}

#[test]
fn to_join_oneself_in_a_ring_is_a_deadlock() {
    let execution = run_on(|| {
        let main = Sim::current();
        assert_eq!(millpond_model::platform::ThreadOps::id(&main), ThreadId(0));
        let a = Sim::spawn("a".into(), Sim::park).expect("room");
        a.join().expect("never");
    });
    let Verdict::Deadlock { waiting } = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert_eq!(waiting.iter().map(|w| w.wait).collect::<Vec<_>>(), [Wait::Join(ThreadId(1)), Wait::Park]);
}

#[test]
fn two_threads_that_spin_for_each_other_are_a_livelock_under_every_strategy() {
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::RunOn, Strategy::Pct { depth: 3 }] {
        let execution = execute(&Options { strategy: strategy.clone(), ..Options::default() }, || {
            let word = Arc::new(Atomic::new(0));
            let theirs = Arc::clone(&word);
            let other = Sim::spawn("other".into(), move || {
                while theirs.load(Acquire) != 1 {
                    Sim::spin_hint();
                }
            });
            while word.load(Acquire) != 2 {
                Sim::yield_now();
            }
            drop(other);
        });
        let Verdict::Livelock { spinning } = execution.verdict else { panic!("{strategy:?} {:?}", execution.verdict) };
        let mut names: Vec<_> = spinning.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["main", "other"]);
        assert!(spinning.iter().all(|s| s.site.file().ends_with("engine_verdicts.rs")));
    }
    assert_usable();
}

#[test]
fn a_spinning_thread_starves_nobody_under_any_strategy() {
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::RunOn, Strategy::Pct { depth: 3 }] {
        for index in 0..50 {
            let options = Options { strategy: strategy.clone(), index, max_steps: 1_000_000, ..Options::default() };
            let execution = execute(&options, || {
                let word = Arc::new(Atomic::new(0));
                for name in ["a", "b"] {
                    let word = Arc::clone(&word);
                    Sim::spawn(name.into(), move || {
                        while word.load(Acquire) == 0 {
                            Sim::yield_now()
                        }
                    })
                    .expect("room");
                }
                let setter = Arc::clone(&word);
                Sim::spawn("setter".into(), move || {
                    for _ in 0..30_000 {
                        setter.load(Relaxed); // reads only: no progress that anyone could see, and no livelock
                    }
                    Sim::sleep(Duration::from_secs(1)); // time moves although others spin
                    setter.store(1, Release);
                })
                .expect("room");
            });
            assert!(matches!(execution.verdict, Verdict::Finished), "{strategy:?} {:?}", execution.verdict);
            assert_eq!(execution.now, Duration::from_secs(1));
        }
    }
}

#[test]
fn a_panic_is_reported_with_message_thread_and_place() {
    let mut line = 0;
    let execution = run_on(|| {
        line = line!() + 1;
        let t = Sim::spawn("bad".into(), || panic!("it is {}", 42)).expect("room");
        t.join().expect("never returns");
        unreachable!("the execution is over");
    });
    let Verdict::Panic { thread, name, message, location } = execution.verdict else {
        panic!("{:?}", execution.verdict)
    };
    assert_eq!((thread, name.as_str(), message.as_str()), (ThreadId(1), "bad", "it is 42"));
    assert!(location.contains(&format!("engine_verdicts.rs:{line}:")), "{location}");
    assert_usable();
}

#[test]
fn a_panic_passed_on_by_resume_unwind_is_a_panic_too() {
    let execution = run_on(|| {
        let payload = Sim::catch(|| panic!("inner")).expect_err("it panics");
        std::panic::resume_unwind(payload);
    });
    let Verdict::Panic { message, .. } = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert_eq!(message, "inner");
    assert_usable();
}

#[test]
fn the_panic_of_a_thread_local_destructor_is_a_panic() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let execution = run_on(|| {
        use millpond_model::platform::LocalKey;
        let local = <Sim as Platform>::Local::<Bad>::new();
        local.with(|| Bad, |_| ()).expect("alive");
    });
    let Verdict::Panic { message, .. } = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert_eq!(message, "in a destructor");
    assert_usable();
}

#[test]
fn caught_panics_nest_and_the_thread_goes_on() {
    let execution = run_on(|| {
        let outer = Sim::catch(|| -> () {
            let inner = Sim::catch(|| -> u32 { panic!("one") });
            assert_eq!(inner.expect_err("it panics").downcast_ref::<&str>(), Some(&"one"));
            assert!(!Sim::unwinding());
            Sim::yield_now();
            panic!("two");
        });
        assert_eq!(outer.expect_err("it panics").downcast_ref::<&str>(), Some(&"two"));
        assert_eq!(Sim::catch(|| 3).expect("no panic"), 3);
    });
    assert!(matches!(execution.verdict, Verdict::Finished), "{:?}", execution.verdict);
}

#[test]
fn a_thread_that_unwinds_from_a_caught_panic_is_scheduled_like_any_other() {
    struct Releases(Arc<Atomic>);
    impl Drop for Releases {
        fn drop(&mut self) {
            assert!(Sim::unwinding());
            while self.0.load(Acquire) == 0 {
                Sim::yield_now(); // only the other thread can end this
            }
        }
    }
    for index in 0..20 {
        let execution = execute(&Options { index, ..Options::default() }, || {
            let word = Arc::new(Atomic::new(0));
            let guard = Releases(Arc::clone(&word));
            let other = Sim::spawn("other".into(), move || {
                assert!(!Sim::unwinding());
                word.store(1, Release);
                // Both panic at once now and then: neither sees the other's.
                assert!(Sim::catch(|| panic!("mine")).is_err());
            });
            let caught = Sim::catch(move || {
                let _guard = guard;
                panic!("on its way");
            });
            assert!(caught.is_err());
            assert!(!Sim::unwinding());
            other.expect("room").join().expect("no panic");
        });
        assert!(matches!(execution.verdict, Verdict::Finished), "{:?}", execution.verdict);
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if frame[0] == u64::MAX { 0 } else { recurse(depth + 1) + frame[63] }
}

#[allow(unconditional_recursion)] // that is the point
fn recurse_with_operations(word: &Atomic, depth: u64) -> u64 {
    let _heap = Box::new(depth);
    word.fetch_add(1, Relaxed);
    let memory = Sim::alloc(Layout::new::<u64>());
    recurse_with_operations(word, depth + 1) + u64::from(memory.is_some())
}

#[test]
fn a_stack_overflow_is_a_verdict_and_the_process_goes_on() {
    for _ in 0..3 {
        let execution = run_on(|| {
            let t = Sim::spawn("deep".into(), || {
                black_box(recurse(0));
            });
            t.expect("room").join().expect("never returns");
        });
        let Verdict::StackOverflow { thread, name } = execution.verdict else { panic!("{:?}", execution.verdict) };
        assert_eq!((thread, name.as_str()), (ThreadId(1), "deep"));
        assert_eq!(execution.leaked_stacks, 1);
        assert_usable();
    }
}

#[test]
fn an_overflow_in_code_full_of_operations_is_seen_before_the_guard_page_and_unwinds() {
    for record in [Record::Lean, Record::Rich] {
        let execution = execute(&Options { record, ..Options::default() }, || {
            let word = Atomic::new(0);
            let _yielding = Sim::spawn("other".into(), Sim::yield_now);
            black_box(recurse_with_operations(&word, 0));
        });
        assert!(matches!(execution.verdict, Verdict::StackOverflow { .. }), "{:?}", execution.verdict);
        assert_eq!(execution.leaked_stacks, 0);
        assert_usable();
    }
}

#[test]
fn overflows_on_many_os_threads_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(a_stack_overflow_is_a_verdict_and_the_process_goes_on);
        }
    });
}

#[test]
fn the_step_budget_ends_an_endless_execution_at_that_step() {
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::RunOn, Strategy::Pct { depth: 2 }] {
        let execution = execute(&Options { strategy, max_steps: 1234, ..Options::default() }, || {
            let word = Arc::new(Atomic::new(0));
            let theirs = Arc::clone(&word);
            Sim::spawn("t".into(), move || {
                loop {
                    theirs.fetch_add(1, Relaxed);
                }
            })
            .expect("room");
            loop {
                word.fetch_add(1, Relaxed);
            }
        });
        let Verdict::StepBudget { steps } = execution.verdict else { panic!("{:?}", execution.verdict) };
        assert_eq!((steps, execution.steps), (1234, 1234));
    }
}

#[test]
fn with_task_granularity_a_loop_without_boundaries_ends_too() {
    let granularity = millpond::engine::Granularity::Task;
    let execution = execute(&Options { granularity, ..Options::default() }, || {
        let word = Arc::new(Atomic::new(0));
        let theirs = Arc::clone(&word);
        Sim::spawn("setter".into(), move || theirs.store(1, Release)).expect("room");
        while word.load(Acquire) == 0 {}
    });
    assert!(matches!(execution.verdict, Verdict::Finished), "{:?}", execution.verdict);
}

#[test]
fn a_finding_of_the_ledger_ends_the_execution_there() {
    let execution = run_on(|| {
        let id = Sim::identify(Kind::Object);
        let ticket = Sim::obtained(id);
        Sim::note(ticket, Event::Recycled(Fate::StoredByOwner));
        Sim::note(ticket, Event::Recycled(Fate::StoredByOwner));
        unreachable!("the second recycle is a finding");
    });
    let found = matches!(execution.verdict, Verdict::Finding(_));
    // A ledger that allows this recycle lets the thread run into the panic.
    assert!(found || matches!(execution.verdict, Verdict::Panic { .. }), "{:?}", execution.verdict);
}

#[test]
fn stop_ends_the_execution_from_anywhere() {
    let execution = run_on(|| {
        Sim::spawn("t".into(), || {
            stop("enough".to_string());
            unreachable!("stopped");
        })
        .expect("room");
        Sim::park();
    });
    let Verdict::Stopped(reason) = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert_eq!(reason, "enough");
    let _: fn(millpond::ledger::Finding) = stop_with;
}

#[test]
fn stop_while_a_caught_panic_unwinds_takes_effect_at_the_catch() {
    struct Stops;
    impl Drop for Stops {
        fn drop(&mut self) {
            stop("in a destructor".to_string());
        }
    }
    let execution = run_on(|| {
        let _ = Sim::catch(|| {
            let _stops = Stops;
            panic!("caught");
        });
        unreachable!("stopped");
    });
    let Verdict::Stopped(reason) = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert_eq!(reason, "in a destructor");
    assert_usable();
}

#[test]
fn an_impossible_replay_diverges_at_its_step() {
    let program = || {
        let word = Arc::new(Atomic::new(0));
        let theirs = Arc::clone(&word);
        let t = Sim::spawn("t".into(), move || {
            theirs.store(1, Release);
        })
        .expect("room");
        for _ in 0..10 {
            word.load(Acquire);
        }
        t.join().expect("no panic");
    };
    for (list, step) in [
        (vec![Switch { step: 5, to: 9 }], 5),
        (vec![Switch { step: 3, to: 1 }, Switch { step: 4, to: 1 }], 4),
        (vec![], 13),
        (vec![Switch { step: 12, to: 1 }, Switch { step: 14, to: 0 }, Switch { step: 99, to: 1 }], 99),
    ] {
        let strategy = Strategy::Replay(list.clone().into());
        let execution = execute(&Options { strategy, ..Options::default() }, program);
        let Verdict::Diverged { step: at } = execution.verdict else { panic!("{list:?} {:?}", execution.verdict) };
        assert_eq!(at, step, "{list:?}");
    }
}

#[test]
fn deviations_that_are_impossible_are_skipped() {
    let list = vec![Switch { step: 2, to: 9 }, Switch { step: 3, to: 1 }, Switch { step: 1, to: 0 }];
    let strategy = Strategy::Deviate(list.into());
    let execution = execute(&Options { strategy, ..Options::default() }, || {
        let word = Arc::new(Atomic::new(0));
        let theirs = Arc::clone(&word);
        Sim::spawn("t".into(), move || theirs.store(1, Release)).expect("room");
        for _ in 0..10 {
            word.load(Acquire);
        }
    });
    assert!(matches!(execution.verdict, Verdict::Finished));
    assert_eq!(execution.switches[0], Switch { step: 3, to: 1 });
}

#[test]
fn memory_and_threads_beyond_their_limits_are_refused() {
    let options = Options { memory_limit: Some(100), max_threads: 3, ..Options::default() };
    let execution = execute(&options, || {
        let layout = Layout::from_size_align(60, 64).expect("a layout");
        let block = Sim::alloc(layout).expect("60 of 100");
        assert_eq!(block.as_ptr().addr() % 64, 0);
        assert!(Sim::alloc(layout).is_none());
        // SAFETY: the block came from `alloc` with this layout.
        unsafe { Sim::dealloc(block, layout) };
        let again = Sim::alloc(layout).expect("60 of 100 again");
        // SAFETY: as above.
        unsafe { Sim::dealloc(again, layout) };
        assert!(Sim::alloc(Layout::new::<()>()).is_some());
        let a = Sim::spawn("a".into(), Sim::park).expect("two of three");
        let _b = Sim::spawn("b".into(), || ()).expect("three of three");
        let error = Sim::spawn("c".into(), || ()).err().expect("a fourth");
        assert_eq!(error.name, "c");
        millpond_model::platform::ThreadOps::unpark(a.thread());
    });
    assert!(matches!(execution.verdict, Verdict::Finished), "{:?}", execution.verdict);
    assert_eq!(execution.leaked_bytes, 0);
}

#[test]
fn plants_strike_when_they_should() {
    let count = |when| {
        let plants = vec![Plant { defect: Defect::LostTask, when }];
        let mut hits = Vec::new();
        let execution = execute(&Options { plants, ..Options::default() }, || {
            for i in 0..1000 {
                if Sim::planted(Defect::LostTask) {
                    hits.push(i);
                }
                assert!(!Sim::planted(Defect::ForgottenRelease));
            }
        });
        assert_eq!(execution.plants_struck, [hits.len() as u64]);
        hits
    };
    assert_eq!(count(When::Always).len(), 1000);
    assert_eq!(count(When::Nth(4)), [3]);
    assert_eq!(count(When::rate(0.0)).len(), 0);
    assert_eq!(count(When::rate(f64::NAN)).len(), 0);
    assert_eq!(count(When::rate(1.0)).len(), 1000);
    let half = count(When::rate(0.5));
    assert!((400..600).contains(&half.len()), "{}", half.len()); // 500 +- 6 standard deviations
    assert_eq!(count(When::rate(0.5)), half);
}
