//! Real threads, watched: time, waiting, the ledger, faults, and runs that hang.

use millpond::engine::{Plant, When};
use millpond::ledger::{FindingKind, Tolerance};
use millpond::threads::{Ended, Options, Watched as W, execute};
use millpond_model::Platform;
use millpond_model::observe::{Defect, Event, Fate, Kind, Reach};
use millpond_model::platform::{AtomicOps, JoinOps, LocalKey, Lock, ThreadId, ThreadOps};
use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const STORED: Event = Event::Recycled(Fate::StoredByOwner);
const MINUTE: Duration = Duration::from_secs(60);

/// Runs it, and demands that nothing is found.
#[track_caller]
fn clean(options: &Options, main: impl FnOnce() + Send + 'static) -> Ended {
    let ended = execute(options, main);
    assert_eq!((ended.findings.as_slice(), ended.hung), (&[][..], false));
    ended
}

/// What it finds, in order.
fn found(options: &Options, main: impl FnOnce() + Send + 'static) -> Vec<FindingKind> {
    execute(options, main).findings.iter().map(|f| f.kind).collect()
}

fn spawn(f: impl FnOnce() + Send + 'static) -> <W as Platform>::Join {
    W::spawn("other".to_string(), f).expect("a thread")
}

#[test]
fn a_minute_takes_no_minute() {
    let begun = Instant::now();
    let ended = clean(&Options::default(), || {
        assert_eq!(W::now(), Duration::ZERO);
        W::sleep(MINUTE);
        assert_eq!(W::now(), MINUTE, "exactly: nothing else moves the time");
        W::park_timeout(MINUTE);
        assert_eq!(W::now(), 2 * MINUTE);
        W::park_timeout(Duration::ZERO);
        W::sleep(Duration::ZERO);
        assert_eq!(W::now(), 2 * MINUTE);
    });
    assert_eq!((ended.now, ended.threads.as_slice()), (2 * MINUTE, &["main".to_string()][..]));
    assert!(begun.elapsed() < MINUTE, "it jumps");
}

#[test]
fn time_stands_still_while_a_thread_works() {
    clean(&Options::default(), || {
        let worker = spawn(|| {
            let begun = W::now();
            for _ in 0..100_000 {
                W::boundary();
            }
            assert_eq!(W::now(), begun, "although main wants to sleep meanwhile");
        });
        W::sleep(MINUTE);
        worker.join().expect("no panic");
    });
}

#[test]
fn with_a_rate_time_passes_while_a_thread_works() {
    let options = Options { rate: 1_000_000, ..Options::default() };
    clean(&options, || {
        let done = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&done);
        let worker = spawn(move || {
            // A sleeper whose time comes although this thread never waits.
            let sleeper = spawn(move || {
                let begun = W::now();
                W::sleep(MINUTE);
                assert!(W::now() >= begun + MINUTE, "not before its time");
                theirs.store(true, Ordering::Release); // Release: pairs with the Acquire below
            });
            while !done.load(Ordering::Acquire) {
                W::boundary();
                W::yield_now();
            }
            assert!(W::now() >= MINUTE);
            sleeper.join().expect("no panic");
        });
        worker.join().expect("no panic");
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_times() {
    clean(&Options::default(), || {
        let order = Arc::new(Mutex::new(Vec::new()));
        let sleepers: Vec<_> = [30, 10, 20, 10]
            .into_iter()
            .map(|ms| {
                let order = Arc::clone(&order);
                spawn(move || {
                    W::sleep(Duration::from_millis(ms));
                    order.lock().expect("no panic").push((ms, W::now()));
                })
            })
            .collect();
        sleepers.into_iter().for_each(|s| s.join().expect("no panic"));
        let order: Vec<_> = order.lock().expect("no panic").clone();
        assert_eq!(order.iter().map(|(ms, _)| *ms).collect::<Vec<_>>(), [10, 10, 20, 30]);
        assert!(order.iter().all(|(ms, now)| *now == Duration::from_millis(*ms)), "{order:?}");
    });
}

#[test]
fn an_unpark_is_remembered_once() {
    clean(&Options::default(), || {
        W::current().unpark();
        W::current().unpark();
        W::park();
        assert_eq!(W::now(), Duration::ZERO, "it returned at once");
        W::park_timeout(MINUTE);
        assert_eq!(W::now(), MINUTE, "and the second one waits");
    });
}

#[test]
fn threads_that_wake_each_other_lose_no_wake() {
    const ROUNDS: u64 = 20_000;
    clean(&Options::default(), || {
        let turn = Arc::new(<W as Platform>::Atomic::<u64>::new(0));
        let player = |me: u64, turn: Arc<<W as Platform>::Atomic<u64>>, other: <W as Platform>::Thread| {
            loop {
                let at = turn.load(Ordering::Acquire); // Acquire: pairs with the Release below
                if at >= ROUNDS {
                    other.unpark();
                    return;
                }
                if at % 2 == me {
                    turn.store(at + 1, Ordering::Release); // Release: as above
                    other.unpark();
                } else {
                    W::park();
                }
            }
        };
        // Neither is the main thread, which goes on only when the others rest.
        let referee = spawn(move || {
            let (first, theirs) = (W::current(), Arc::clone(&turn));
            let second = spawn(move || player(1, theirs, first));
            player(0, Arc::clone(&turn), second.thread().clone());
            second.join().expect("no panic");
            assert_eq!(turn.load(Ordering::Relaxed), ROUNDS); // Relaxed: they have ended
        });
        referee.join().expect("no panic");
    });
}

#[test]
fn the_main_thread_goes_on_when_the_others_rest() {
    clean(&Options::default(), || {
        let count = Arc::new(AtomicU64::new(0));
        let (master, theirs) = (W::current(), Arc::clone(&count));
        let worker = spawn(move || {
            master.unpark();
            for _ in 0..200_000 {
                theirs.fetch_add(1, Ordering::Relaxed); // Relaxed: a count
            }
            W::park();
        });
        W::park();
        assert_eq!(count.load(Ordering::Relaxed), 200_000, "what it reads is at rest");
        worker.thread().unpark();
        worker.join().expect("no panic");
    });
}

#[test]
fn a_mutex_excludes_and_those_who_wait_for_it_let_time_pass() {
    clean(&Options::default(), || {
        let sum = Arc::new(<W as Platform>::Mutex::new(0u64));
        let adders: Vec<_> = (0..4)
            .map(|_| {
                let sum = Arc::clone(&sum);
                spawn(move || (0..20_000).for_each(|_| *sum.lock() += 1))
            })
            .collect();
        adders.into_iter().for_each(|a| a.join().expect("no panic"));
        assert_eq!(*sum.lock(), 80_000);
        let theirs = Arc::clone(&sum);
        let holder = spawn(move || {
            let mut guard = theirs.lock();
            W::sleep(MINUTE); // main waits for the lock meanwhile
            *guard += 1;
        });
        while sum.try_lock().is_some() {
            W::yield_now();
        }
        assert_eq!((*sum.lock(), W::now()), (80_001, MINUTE));
        holder.join().expect("no panic");
    });
}

/// Says so when its thread's variables are destroyed.
struct Last(Arc<AtomicU64>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.store(u64::from(W::current_id().0), Ordering::Relaxed); // Relaxed: read after the join
    }
}

#[test]
fn a_join_waits_for_the_threads_variables() {
    clean(&Options::default(), || {
        let local = Arc::new(<W as Platform>::Local::<Last>::new());
        let (told, theirs) = (Arc::new(AtomicU64::new(0)), Arc::clone(&local));
        let teller = Arc::clone(&told);
        let worker = spawn(move || theirs.with(|| Last(teller), |_| ()).expect("it lives"));
        worker.join().expect("no panic");
        assert_eq!(told.load(Ordering::Relaxed), 1, "the destructor ran on thread 1, which knew who it was");
    });
}

#[test]
fn numbers_are_dense_and_of_one_run() {
    let one = || {
        let ended = clean(&Options::default(), || {
            assert_eq!(W::current_id(), ThreadId(0));
            for number in 1..=20 {
                let worker = spawn(move || assert_eq!(W::current_id(), ThreadId(number)));
                assert_eq!(worker.thread().id(), ThreadId(number));
                W::obtained(W::identify(Kind::Message));
                W::reach(Reach::PartialWrite);
                worker.join().expect("no panic");
            }
        });
        assert_eq!(ended.threads.len(), 21);
        assert_eq!(ended.owned(Kind::Message, 100).len(), 20, "its own, and nobody else's");
        assert_eq!(ended.reached[Reach::PartialWrite as usize], 20);
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(one))));
}

#[test]
fn periods_of_ownership_are_judged_whoever_notes() {
    let options = Options::default();
    let twice = || {
        let ticket = W::obtained(W::identify(Kind::Object));
        spawn(move || W::note(ticket, STORED)).join().expect("no panic");
        W::note(ticket, STORED);
    };
    assert_eq!(found(&options, twice), [FindingKind::DoubleRelease]);
    let two_owners = || {
        let id = W::identify(Kind::Object);
        W::obtained(id);
        spawn(move || _ = W::obtained(id)).join().expect("no panic");
    };
    assert_eq!(found(&options, two_owners), [FindingKind::TwoOwners]);
    let used = || {
        let ticket = W::obtained(W::identify(Kind::Buffer));
        W::note(ticket, Event::Deallocated);
        spawn(move || W::note(ticket, Event::Touched("late"))).join().expect("no panic");
    };
    assert_eq!(found(&options, used), [FindingKind::UseAfterRelease]);
    let refused = || {
        let ticket = W::obtained(W::identify(Kind::Buffer));
        W::note(ticket, Event::Deallocated);
        W::note(ticket, Event::IllegalRelease);
        W::note(ticket, Event::IllegalCount);
    };
    assert_eq!(found(&options, refused), [FindingKind::DoubleRelease, FindingKind::UseAfterRelease]);
    let tolerant = Options { tolerance: Tolerance { leaks: true, refusals: true }, ..Options::default() };
    let ended = clean(&tolerant, || {
        let ticket = W::obtained(W::identify(Kind::Buffer));
        W::note(ticket, Event::Leaked(1));
        W::note(ticket, Event::IllegalRelease);
    });
    assert_eq!((ended.tolerated.leaks, ended.tolerated.refusals), (1, 1));
}

/// The count is changed, and another thread ends the object's life, and only then the change is noted: nothing is wrong.
#[test]
fn a_release_that_is_noted_late_is_no_finding() {
    clean(&Options { stories: true, ..Options::default() }, || {
        let id = W::identify(Kind::Buffer);
        let ticket = W::obtained(id);
        spawn(move || {
            W::note(ticket, Event::Released(0));
            W::note(ticket, Event::Deallocated);
            W::destroyed(id);
        })
        .join()
        .expect("no panic");
        W::note(ticket, Event::Released(1));
        W::note(ticket, Event::Retained(2));
        // Nor is it told as part of the life of what took the entry.
        let next = W::obtained(W::identify(Kind::Buffer));
        W::note(ticket, Event::Released(1));
        W::note(next, Event::Deallocated);
    });
}

#[test]
fn what_stays_owned_is_told_at_the_end() {
    let ended = clean(&Options { stories: true, ..Options::default() }, || {
        for _ in 0..3 {
            spawn(|| _ = W::obtained(W::identify(Kind::Promise))).join().expect("no panic");
        }
        W::note(W::obtained(W::identify(Kind::Promise)), Event::Succeeded);
    });
    let lost = ended.owned(Kind::Promise, 2);
    assert_eq!(lost.iter().map(|f| f.kind).collect::<Vec<_>>(), [FindingKind::PromiseLost; 2], "at most two");
    assert!(lost[0].object < lost[1].object && lost[0].story.len() == 1, "{lost:?}");
    let promises = &ended.kinds.iter().find(|(kind, _)| *kind == Kind::Promise).expect("there were some").1;
    assert_eq!((promises.created, promises.obtained, promises.owned), (4, 4, 3), "over all books");
}

#[test]
fn a_defect_strikes_as_often_as_it_is_asked_to() {
    let struck = |when: When, seed: u64| {
        let plants = vec![Plant { defect: Defect::LostTask, when }];
        let counts = Arc::new(Mutex::new(vec![0u64; 4]));
        let theirs = Arc::clone(&counts);
        let ended = clean(&Options { seed, plants, ..Options::default() }, move || {
            assert!(!W::planted(Defect::DuplicateRelease), "another one");
            let threads: Vec<_> = (0..4)
                .map(|t| {
                    let counts = Arc::clone(&theirs);
                    spawn(move || {
                        let n = (0..500).filter(|_| W::planted(Defect::LostTask)).count();
                        counts.lock().expect("no panic")[t] = n as u64;
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().expect("no panic"));
        });
        let counts = counts.lock().expect("no panic").clone();
        assert_eq!(ended.plants_struck, [counts.iter().sum::<u64>()]);
        counts
    };
    assert_eq!(struck(When::Always, 0), [500; 4]);
    assert_eq!(struck(When::Nth(1_234), 0).iter().sum::<u64>(), 1, "counted over all threads");
    assert_eq!(struck(When::Nth(2_001), 0).iter().sum::<u64>(), 0);
    assert_eq!(struck(When::At(Duration::ZERO), 0).iter().sum::<u64>(), 1, "the first occasion at or after it");
    assert_eq!(struck(When::At(Duration::from_nanos(1)), 0).iter().sum::<u64>(), 0, "no time passes");
    let half = struck(When::rate(0.5), 7);
    assert_eq!(half, struck(When::rate(0.5), 7), "a thread's stream is decided by the seed");
    assert_ne!(half, struck(When::rate(0.5), 8));
    assert!(half.iter().all(|n| (200..300).contains(n)), "{half:?}");
}

#[test]
fn memory_is_limited_and_allocations_fail() {
    let kib = Layout::from_size_align(1024, 8).expect("a layout");
    let limited = Options { memory_limit: Some(10 * 1024), ..Options::default() };
    clean(&limited, move || {
        let threads: Vec<_> = (0..4).map(|_| spawn(move || (0..5).for_each(|_| _ = W::alloc(kib)))).collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        assert_eq!(W::alloc(kib), None, "ten of twenty succeeded, and were kept");
        assert!(W::alloc(Layout::new::<()>()).is_some(), "nothing is always to be had");
    });
    clean(&limited, move || {
        for _ in 0..100 {
            let block = W::alloc(kib).expect("it was given back");
            // SAFETY: it has just been allocated with this layout, and is not used again.
            unsafe { W::dealloc(block, kib) };
        }
    });
    clean(&Options { alloc_fails: Some(When::Nth(2)), ..Options::default() }, move || {
        let got: Vec<bool> = (0..3).map(|_| W::alloc(kib).is_some()).collect();
        assert_eq!(got, [true, false, true]);
    });
}

#[test]
fn random_numbers_come_from_the_seed() {
    let drawn = |seed: u64| {
        let numbers = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&numbers);
        clean(&Options { seed, ..Options::default() }, move || {
            for _ in 0..2 {
                let numbers = Arc::clone(&theirs);
                spawn(move || numbers.lock().expect("no panic").push(W::random())).join().expect("no panic");
            }
        });
        let numbers = numbers.lock().expect("no panic").clone();
        assert_ne!(numbers[0], numbers[1], "each thread has a stream of its own");
        numbers
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn a_panic_is_a_finding_and_a_caught_one_is_not() {
    let ended = execute(&Options::default(), || {
        assert!(W::catch(|| panic!("caught")).is_err());
        let worker = spawn(|| panic!("not caught"));
        assert!(worker.join().is_err());
        panic!("nor this");
    });
    let texts: Vec<&str> = ended.findings.iter().map(|f| f.text.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].starts_with("other panicked at ") && texts[0].ends_with(": not caught"), "{texts:?}");
    assert!(texts[1].starts_with("main panicked at ") && texts[1].contains("std_threads.rs:"), "{texts:?}");
    assert!(ended.findings.iter().all(|f| f.kind == FindingKind::Panic) && !ended.hung);
}

#[test]
fn threads_that_wait_for_each_other_are_known_at_once() {
    let begun = Instant::now();
    let ended = execute(&Options::default(), || {
        W::obtained(W::identify(Kind::WriteTask));
        let sleeper = W::spawn("sleeper".to_string(), || {
            W::sleep(MINUTE);
            W::park(); // nobody will unpark it
        });
        sleeper.expect("a thread").join().expect("it never ends");
    });
    assert!(begun.elapsed() < MINUTE, "no patience is needed");
    let [finding] = &ended.findings[..] else { panic!("{:?}", ended.findings) };
    assert_eq!((finding.kind, ended.hung, ended.now), (FindingKind::Deadlock, true, MINUTE));
    let lines: Vec<&str> = finding.text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "every thread waits, and no timer is set");
    assert!(lines[1].starts_with("main waits for the end of thread 1 at tests/tests/std_threads.rs:"), "{lines:?}");
    assert!(lines[2].starts_with("sleeper waits for an unpark at tests/tests/std_threads.rs:"), "{lines:?}");
    assert_eq!(lines[3..], ["owned: 1 WriteTask"]);
    let locked = execute(&Options::default(), || {
        let mutex = <W as Platform>::Mutex::new(());
        let _first = mutex.lock();
        drop(mutex.lock());
    });
    assert_eq!(locked.findings[0].kind, FindingKind::Deadlock);
    assert!(locked.findings[0].text.contains("main waits for a mutex at "), "{}", locked.findings[0].text);
}

#[test]
fn the_watchdog_tells_of_a_run_in_which_nothing_happens() {
    static STUCK: AtomicBool = AtomicBool::new(true);
    let options = Options { patience: Duration::from_millis(200), ..Options::default() };
    let ended = execute(&options, || {
        let spinner = W::spawn("spinner".to_string(), || {
            // Relaxed: it only shall end, some time after the run.
            while STUCK.load(Ordering::Relaxed) {
                W::yield_now();
            }
        });
        spinner.expect("a thread").join().expect("no panic");
    });
    STUCK.store(false, Ordering::Relaxed); // Relaxed: as above
    let [finding] = &ended.findings[..] else { panic!("{:?}", ended.findings) };
    assert_eq!((finding.kind, ended.hung), (FindingKind::Livelock, true));
    let lines: Vec<&str> = finding.text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "nothing has happened for 200ms, and threads work");
    assert!(lines[1].starts_with("main waits for the end of thread 1 at "), "{lines:?}");
    assert_eq!(lines[2], "spinner runs, after 0 operations");
}

/// A run may take longer than the patience: something happens all the time.
#[test]
fn the_watchdog_is_patient_while_something_happens() {
    let patience = Duration::from_secs(1);
    clean(&Options { patience, ..Options::default() }, move || {
        let begun = Instant::now();
        while begun.elapsed() < patience * 3 / 2 {
            W::boundary();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
