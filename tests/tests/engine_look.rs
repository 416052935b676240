//! Who looks from outside of the program sees the newest values, and leaves no trace.

use millpond::engine::{Execution, MemoryModel, Options, Sim, Strategy, Verdict, execute, exhaust, newest, observed};
use millpond::ledger::FindingKind;
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, CellOps, JoinOps, Lock};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

type Atomic = <Sim as Platform>::Atomic<u64>;
type Mutex<T> = <Sim as Platform>::Mutex<T>;

const MOMENT: Duration = Duration::from_millis(1);

fn weak(index: u64) -> Options {
    Options { index, memory: MemoryModel::Weak, ..Options::default() }
}

fn spawn(f: impl FnOnce() + Send + 'static) -> impl JoinOps {
    Sim::spawn("other".to_string(), f).expect("a thread")
}

fn finished(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Finished)
}

fn join(thread: impl JoinOps) {
    thread.join().expect("no panic");
}

#[test]
fn it_sees_the_newest_value_of_a_relaxed_word() {
    let run_on = |read: fn(&Atomic) -> u64| {
        let seen = RefCell::new(BTreeSet::new());
        for index in 0..200 {
            execute(&Options { strategy: Strategy::RunOn, ..weak(index) }, || {
                let word = Arc::new(Atomic::new(0));
                let theirs = Arc::clone(&word);
                let other = spawn(move || (1..=3).for_each(|n| theirs.store(n, Relaxed)));
                Sim::sleep(MOMENT); // the other one runs to its end
                seen.borrow_mut().insert(read(&word));
                join(other);
            });
        }
        seen.into_inner()
    };
    assert_eq!(run_on(|word| word.load(Relaxed)), BTreeSet::from([0, 1, 2, 3]), "a thread of the program may see any");
    assert_eq!(run_on(|word| observed(|| word.load(Relaxed))), BTreeSet::from([3]));
    assert_eq!(run_on(|word| observed(|| word.load(Acquire))), BTreeSet::from([3]));
    assert_eq!(run_on(|word| newest(|| word.load(Relaxed))), BTreeSet::from([3]));
}

#[test]
fn it_may_come_at_any_time() {
    let seen = RefCell::new(BTreeSet::new());
    for index in 0..200 {
        let execution = execute(&weak(index), || {
            let word = Arc::new(Atomic::new(0));
            let theirs = Arc::clone(&word);
            let other = spawn(move || (1..=3).for_each(|n| theirs.store(n, Relaxed)));
            seen.borrow_mut().insert(observed(|| word.load(Relaxed)));
            join(other);
        });
        assert!(finished(&execution.verdict), "{}", execution.verdict);
    }
    assert_eq!(seen.into_inner(), BTreeSet::from([0, 1, 2, 3]), "others may run before it, as far as they like");
}

/// A program whose main thread does `look` in the middle.
fn with(options: &Options, look: impl Fn(&Atomic, &Mutex<u64>)) -> Execution {
    execute(options, || {
        let shared = Arc::new((Atomic::new(0), Mutex::<u64>::new(0)));
        let count = |shared: Arc<(Atomic, Mutex<u64>)>| {
            move || {
                for _ in 0..3 {
                    shared.0.fetch_add(1, Relaxed);
                    shared.0.load(Acquire);
                }
            }
        };
        let others = [spawn(count(Arc::clone(&shared))), spawn(count(Arc::clone(&shared)))];
        shared.0.fetch_add(1, Relaxed);
        look(&shared.0, &shared.1);
        shared.0.fetch_add(1, Relaxed);
        others.into_iter().for_each(join);
    })
}

#[test]
fn it_is_no_step_no_event_and_no_choice() {
    let long = |word: &Atomic, lock: &Mutex<u64>| {
        observed(|| {
            for _ in 0..50 {
                word.load(Acquire);
                *lock.lock() += 1;
            }
        });
    };
    let strategies = [Strategy::Random, Strategy::RoundRobin, Strategy::Pos, Strategy::Pct { depth: 3 }];
    for (memory, strategy) in MemoryModel::ALL.into_iter().flat_map(|m| strategies.iter().map(move |s| (m, s))) {
        for index in 0..50 {
            let options = Options { index, memory, strategy: strategy.clone(), classes: true, ..Options::default() };
            let (short, long) = (with(&options, |_, _| observed(|| ())), with(&options, long));
            let of = |e: &Execution| (finished(&e.verdict), e.digest, e.class, e.steps, e.choices, e.switches.clone());
            assert_eq!(of(&long), of(&short), "{memory}, {strategy}, {index}");
        }
    }
}

#[test]
fn it_adds_nothing_to_an_enumeration() {
    for strategy in [Strategy::Dfs { preemptions: 1 }, Strategy::Dpor] {
        let options = Options { strategy: strategy.clone(), ..Options::default() };
        let many = |reads: u32| {
            let program = move || {
                let word = Arc::new(Atomic::new(0));
                let theirs = Arc::clone(&word);
                let other = spawn(move || {
                    theirs.fetch_add(1, Relaxed);
                    theirs.fetch_add(1, Relaxed);
                });
                let _seen = observed(|| (0..reads).map(|_| word.load(Relaxed)).max());
                word.fetch_add(1, Relaxed);
                join(other);
            };
            let all = exhaust(&options, 1_000_000, program).unwrap_or_else(|failure| panic!("{failure:?}"));
            assert!(all.complete, "{strategy}");
            all.schedules
        };
        assert_eq!(many(100), many(0), "{strategy}");
    }
}

/// One thread writes plainly and opens a lock, main looks at that and another lock, a third opens that one and reads.
fn handed_over(by: impl Fn(&Mutex<()>)) -> Verdict {
    let options = Options { memory: MemoryModel::Races, strategy: Strategy::RunOn, ..Options::default() };
    struct Plain(<Sim as Platform>::Cell<u64>);
    // SAFETY: the execution is on one OS thread, and ends when a race is found.
    unsafe impl Sync for Plain {}
    // SAFETY: as above.
    unsafe impl Send for Plain {}
    let execution = execute(&options, || {
        let shared = Arc::new((Plain(<Sim as Platform>::Cell::new(0)), Mutex::new(()), Mutex::new(())));
        let (a, b) = (Arc::clone(&shared), Arc::clone(&shared));
        let writer = spawn(move || {
            // SAFETY: see above.
            a.0.0.with_mut(|p| unsafe { *p = 1 });
            drop(a.1.lock());
        });
        let reader = spawn(move || {
            Sim::sleep(2 * MOMENT);
            drop(b.2.lock());
            // SAFETY: see above.
            b.0.0.with(|p| unsafe { *p });
        });
        Sim::sleep(MOMENT);
        by(&shared.1);
        by(&shared.2);
        join(writer);
        join(reader);
    });
    execution.verdict
}

#[test]
fn it_hides_no_race() {
    assert!(finished(&handed_over(|lock| drop(lock.lock()))), "a thread of the program hands on");
    let found = handed_over(|lock| observed(|| drop(lock.lock())));
    assert!(matches!(&found, Verdict::Finding(f) if f.kind == FindingKind::DataRace), "{found}");
}

#[test]
fn it_waits_for_a_lock_that_is_taken() {
    for index in 0..50 {
        let execution = execute(&weak(index), || {
            let shared = Arc::new((Mutex::new(0), Mutex::new(0)));
            let theirs = Arc::clone(&shared);
            let other = spawn(move || {
                let mut first = theirs.0.lock();
                *first = 1;
                Sim::sleep(10 * MOMENT);
                *first = 2;
                drop(first);
                *theirs.1.lock() += 1; // which the look may hold when it is interrupted
            });
            Sim::sleep(MOMENT);
            let seen = observed(|| {
                let _second = shared.1.lock();
                *shared.0.lock()
            });
            assert_eq!(seen, 2);
            join(other);
            assert_eq!(*shared.1.lock(), 1);
        });
        assert!(finished(&execution.verdict), "{index}: {}", execution.verdict);
    }
}
