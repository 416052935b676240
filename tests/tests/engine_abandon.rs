//! What is left of an execution that is given up: nothing.

use millpond::engine::{Options, Sim, Strategy, Verdict, execute, stop};
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, JoinOps, LocalKey, Lock};
use std::alloc::Layout;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};

type Atomic = <Sim as Platform>::Atomic<u64>;
type Mutex<T> = <Sim as Platform>::Mutex<T>;

/// Counts those alive; its destructor uses the platform like a pool's would.
struct Counted(Arc<AtomicI64>, Arc<Atomic>, Box<[u8]>);

impl Counted {
    fn new(alive: &Arc<AtomicI64>, word: &Arc<Atomic>) -> Self {
        alive.fetch_add(1, SeqCst);
        Self(Arc::clone(alive), Arc::clone(word), vec![7; 100].into())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(self.2[99], 7);
        self.1.fetch_add(1, AcqRel);
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Threads that park, sleep, hold locks, wait for locks, have not begun, or spin, each with counted objects on its stack,
/// in its closure, and in a thread-local; then `end` happens on the main thread.
fn crowd(alive: &Arc<AtomicI64>, end: impl FnOnce()) {
    let word = Arc::new(Atomic::new(0));
    let lock = Arc::new(Mutex::new(()));
    let local = Arc::new(<Sim as Platform>::Local::<Counted>::new());
    let mine = Counted::new(alive, &word);
    let start = |name: &str, f: fn(&Mutex<()>)| {
        let (mine, word, alive) = (Counted::new(alive, &word), Arc::clone(&word), Arc::clone(alive));
        let (lock, local) = (Arc::clone(&lock), Arc::clone(&local));
        Sim::spawn(name.into(), move || {
            let _in_closure = mine;
            let _on_stack = Counted::new(&alive, &word);
            local.with(|| Counted::new(&alive, &word), |_| ()).expect("alive");
            Sim::alloc(Layout::new::<[u64; 9]>()).expect("memory");
            f(&lock);
            word.fetch_add(1, Relaxed);
        })
        .expect("room")
    };
    start("parks", |_| Sim::park());
    start("sleeps", |_| Sim::sleep(std::time::Duration::from_secs(9)));
    start("holds", |lock| {
        let _guard = lock.lock();
        Sim::park();
    });
    start("waits", |lock| drop(lock.lock()));
    start("waits too", |lock| drop(lock.lock()));
    start("joins", |_| Sim::spawn("inner".into(), Sim::park).expect("room").join().expect("no panic"));
    start("spins", |_| {
        loop {
            Sim::yield_now()
        }
    });
    start("catches", |_| {
        let _ = Sim::catch(Sim::park);
        unreachable!("the catch lets the engine's unwinding pass");
    });
    for _ in 0..30 {
        Sim::yield_now();
    }
    start("may not have begun", |_| Sim::park());
    end();
    drop(mine);
}

#[test]
fn every_object_is_dropped_and_all_memory_is_freed_whatever_the_end() {
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::RunOn, Strategy::Pct { depth: 3 }] {
        for index in 0..30 {
            let ends: [(&str, fn()); 4] = [
                ("Stopped", || stop("by hand".into())),
                ("Panic", || panic!("by hand")),
                ("Deadlock", || {
                    let lock = Mutex::new(());
                    let _first = lock.lock();
                    drop(lock.lock());
                }),
                ("StepBudget", || {
                    loop {
                        Sim::fence(SeqCst)
                    }
                }),
            ];
            for (name, end) in ends {
                let alive = Arc::new(AtomicI64::new(0));
                let options = Options { strategy: strategy.clone(), index, max_steps: 3000, ..Options::default() };
                let execution = execute(&options, || crowd(&alive, end));
                assert_eq!(execution.verdict.name(), name, "{options:?} {:?}", execution.verdict);
                assert_eq!(alive.load(SeqCst), 0, "{name} {options:?}");
                assert_eq!(execution.leaked_stacks, 0, "{name} {options:?}");
                assert_eq!(Arc::strong_count(&alive), 1);
            }
        }
    }
}

#[test]
fn abandoned_threads_do_not_run_on() {
    let ran_on = Arc::new(AtomicI64::new(0));
    for index in 0..50 {
        let theirs = Arc::clone(&ran_on);
        let execution = execute(&Options { index, ..Options::default() }, move || {
            for _ in 0..3 {
                let theirs = Arc::clone(&theirs);
                Sim::spawn("t".into(), move || {
                    Sim::park();
                    theirs.fetch_add(1, SeqCst);
                })
                .expect("room");
            }
        });
        assert!(matches!(execution.verdict, Verdict::Deadlock { .. }));
        assert!(execution.threads[1..].iter().all(|t| !t.finished));
        assert!(execution.threads[0].finished);
    }
    assert_eq!(ran_on.load(SeqCst), 0);
}

#[test]
fn unwinding_is_told_and_nothing_more_is_hashed() {
    struct Tells(Arc<AtomicI64>, bool);
    impl Drop for Tells {
        fn drop(&mut self) {
            assert!(Sim::unwinding());
            Sim::park(); // returns at once
            assert!(Sim::spawn("late".into(), || unreachable!("it is never run")).is_err());
            if self.1 {
                Sim::fence(SeqCst);
                Sim::yield_now();
            }
            assert!(Sim::catch(|| panic!("caught in a destructor")).is_err());
            self.0.fetch_add(1, SeqCst);
        }
    }
    let run = |more| {
        let told = Arc::new(AtomicI64::new(0));
        let theirs = Arc::clone(&told);
        let execution = execute(&Options::default(), move || {
            assert!(!Sim::unwinding());
            let tells = Tells(Arc::clone(&theirs), more);
            Sim::spawn("t".into(), move || {
                let _tells = tells;
                Sim::park();
            })
            .expect("room");
            let _mine = Tells(theirs, more);
            Sim::park();
        });
        assert!(matches!(execution.verdict, Verdict::Deadlock { .. }), "{:?}", execution.verdict);
        assert_eq!(told.load(SeqCst), 2);
        assert_eq!(execution.leaked_stacks, 0);
        (execution.digest, execution.events, execution.steps)
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_destructor_that_waits_for_another_threads_end_gets_it() {
    struct Joins(Option<<Sim as Platform>::Join>);
    impl Drop for Joins {
        fn drop(&mut self) {
            if let Some(join) = self.0.take() {
                join.join().expect("no panic");
            }
        }
    }
    struct Locks(Arc<Mutex<u32>>);
    impl Drop for Locks {
        fn drop(&mut self) {
            *self.0.lock() += 1;
        }
    }
    let execution = execute(&Options::default(), || {
        let lock = Arc::new(Mutex::new(0));
        let theirs = Arc::clone(&lock);
        let join = Sim::spawn("held".into(), move || {
            let _guard = theirs.lock();
            Sim::park();
        });
        let _joins = Joins(join.ok());
        let _locks = Locks(Arc::clone(&lock));
        Sim::sleep(std::time::Duration::from_secs(1));
        stop("now".into());
    });
    assert!(matches!(execution.verdict, Verdict::Stopped(_)));
    assert_eq!(execution.leaked_stacks, 0);
}

#[test]
fn what_can_not_be_unwound_is_leaked_and_counted() {
    struct Hangs(Arc<Atomic>, bool);
    impl Drop for Hangs {
        fn drop(&mut self) {
            while self.0.load(Acquire) == 0 {
                if self.1 {
                    Sim::yield_now();
                }
            }
        }
    }
    for yields in [false, true] {
        let execution = execute(&Options::default(), || {
            let hangs = Hangs(Arc::new(Atomic::new(0)), yields);
            Sim::spawn("hangs".into(), move || {
                let _hangs = hangs;
                Sim::park();
            })
            .expect("room");
        });
        assert!(matches!(execution.verdict, Verdict::Deadlock { .. }));
        assert_eq!(execution.leaked_stacks, 1);
        let after = execute(&Options::default(), || {
            assert!(!Sim::unwinding());
            Sim::spawn("t".into(), || assert!(!Sim::unwinding())).expect("room").join().expect("no panic");
        });
        assert!(matches!(after.verdict, Verdict::Finished), "{:?}", after.verdict);
    }
}
