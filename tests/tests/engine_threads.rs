//! Threads, time, locks and thread-locals of the simulated world.

use millpond::engine::{Execution, Granularity, MAX_THREADS, Op, Options, Record, Sim, Strategy, Verdict, execute};
use millpond_model::Platform;
use millpond_model::platform::{
    AtomicOps, CellOps, CounterOps, JoinOps, LocalGone, LocalKey, Lock, ThreadId, ThreadOps,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

type Atomic = <Sim as Platform>::Atomic<u64>;
type Mutex<T> = <Sim as Platform>::Mutex<T>;
type Local<T> = <Sim as Platform>::Local<T>;

const MS: Duration = Duration::from_millis(1);

fn finished(options: &Options, main: impl FnOnce()) -> Execution {
    let execution = execute(options, main);
    assert!(matches!(execution.verdict, Verdict::Finished), "{options:?} {:?}", execution.verdict);
    assert_eq!(execution.leaked_stacks, 0);
    execution
}

fn run_on() -> Options {
    Options { strategy: Strategy::RunOn, ..Options::default() }
}

/// Every strategy and granularity, a few executions each.
fn everywhere(main: impl Fn()) {
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::RunOn, Strategy::Pct { depth: 3 }] {
        for granularity in [Granularity::Operation, Granularity::Task] {
            for index in 0..20 {
                let strategy = strategy.clone();
                finished(&Options { strategy, granularity, index, pct_steps: 100, ..Options::default() }, &main);
            }
        }
    }
}

#[test]
fn sleepers_wake_in_order_of_time_and_then_of_sleeping() {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let theirs = Arc::clone(&log);
    let execution = finished(&run_on(), move || {
        for (name, ms) in [("c", 3), ("a1", 1), ("b", 2), ("a2", 1)] {
            let log = Arc::clone(&theirs);
            Sim::spawn(name.into(), move || {
                Sim::sleep(MS * ms);
                log.lock().expect("no panic").push((name, Sim::now()));
            })
            .expect("room");
        }
    });
    let seen = log.lock().expect("no panic").clone();
    assert_eq!(seen, [("a1", MS), ("a2", MS), ("b", MS * 2), ("c", MS * 3)]);
    assert_eq!(execution.now, MS * 3);
}

#[test]
fn time_stands_still_while_someone_can_run_unless_the_strategy_moves_it() {
    let work = || {
        let word = Arc::new(Atomic::new(0));
        Sim::spawn("sleeper".into(), || Sim::sleep(MS)).expect("room");
        Sim::yield_now(); // let it fall asleep
        for _ in 0..5000 {
            word.fetch_add(1, Relaxed);
        }
        word.store(Sim::now().as_nanos() as u64, Relaxed);
        word.load(Relaxed)
    };
    let mut at = 1;
    finished(&run_on(), || at = work());
    assert_eq!(at, 0);
    // Under Random a lone thread with a timer pending lets time move once in 256 points on average.
    let moved = (0..20).filter(|index| {
        let mut at = 0;
        finished(&Options { index: *index, ..Options::default() }, || at = work());
        at != 0
    });
    assert_eq!(moved.count(), 20);
}

#[test]
fn park_consumes_one_token_and_park_timeout_ends_by_itself() {
    everywhere(|| {
        let me = Sim::current();
        me.unpark();
        me.unpark();
        Sim::park(); // at once, and takes both
        let before = Sim::now();
        Sim::park_timeout(MS * 5);
        assert!(Sim::now() >= before + MS * 5);
        let t = Sim::spawn("waker".into(), move || me.unpark()).expect("room");
        Sim::park();
        t.join().expect("no panic");
        Sim::park_timeout(Duration::ZERO);
    });
}

#[test]
fn an_unpark_ends_a_park_timeout_early_and_its_timer_is_gone() {
    let execution = finished(&run_on(), || {
        let main = Sim::current();
        let t = Sim::spawn("waker".into(), move || main.unpark()).expect("room");
        Sim::park_timeout(Duration::from_secs(60));
        t.join().expect("no panic");
        Sim::sleep(MS);
    });
    assert_eq!(execution.now, MS);
}

#[test]
fn a_mutex_excludes_and_its_guard_writes() {
    everywhere(|| {
        let (lock, inside) = (Arc::new(Mutex::new(0_u64)), Arc::new(Atomic::new(0)));
        let joins: Vec<_> = (0..4)
            .map(|i| {
                let (lock, inside) = (Arc::clone(&lock), Arc::clone(&inside));
                Sim::spawn(format!("t{i}"), move || {
                    for _ in 0..5 {
                        let mut guard = lock.lock();
                        assert_eq!(inside.fetch_add(1, AcqRel), 0);
                        *guard += 1;
                        assert!(lock.try_lock().is_none());
                        assert_eq!(inside.fetch_sub(1, AcqRel), 1);
                    }
                })
                .expect("room")
            })
            .collect();
        joins.into_iter().for_each(|j| j.join().expect("no panic"));
        assert_eq!(*lock.try_lock().expect("open"), 20);
    });
}

#[test]
fn any_waiter_may_get_the_mutex_next() {
    let mut orders = std::collections::BTreeSet::new();
    for index in 0..200 {
        let mut order = Vec::new();
        finished(&Options { index, ..Options::default() }, || {
            let (lock, ready) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Atomic::new(0)));
            let guard = lock.lock();
            let joins: Vec<_> = (0..3)
                .map(|i| {
                    let (lock, ready) = (Arc::clone(&lock), Arc::clone(&ready));
                    Sim::spawn(format!("t{i}"), move || {
                        ready.fetch_add(1, AcqRel);
                        lock.lock().push(i);
                    })
                    .expect("room")
                })
                .collect();
            while ready.load(Acquire) < 3 {
                Sim::yield_now();
            }
            drop(guard);
            joins.into_iter().for_each(|j| j.join().expect("no panic"));
            order.clone_from(&lock.lock());
        });
        orders.insert(order);
    }
    assert_eq!(orders.len(), 6, "{orders:?}");
}

/// Writes its name to the log when destroyed.
struct Noisy(&'static str, Arc<std::sync::Mutex<Vec<(&'static str, u32)>>>);

impl Drop for Noisy {
    fn drop(&mut self) {
        self.1.lock().expect("no panic").push((self.0, Sim::current_id().0));
    }
}

#[test]
fn thread_locals_are_destroyed_on_their_thread_in_order_before_join_returns() {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let theirs = Arc::clone(&log);
    let execution = finished(&Options { record: Record::Rich, ..run_on() }, move || {
        let log = theirs;
        let keys = Arc::new((Local::<Noisy>::new(), Local::<Noisy>::new(), Local::<Again>::new()));
        struct Again(Arc<(Local<Noisy>, Local<Noisy>, Local<Again>)>, Arc<std::sync::Mutex<Vec<(&'static str, u32)>>>);
        impl Drop for Again {
            fn drop(&mut self) {
                // The first variable is gone already and comes back for a further pass.
                assert!(self.0.0.with_existing(|_| ()).is_none());
                self.0.0.with(|| Noisy("again", Arc::clone(&self.1)), |_| ()).expect("not too late");
            }
        }
        let (k, l) = (Arc::clone(&keys), Arc::clone(&log));
        let t = Sim::spawn("t".into(), move || {
            k.1.with(|| Noisy("second", Arc::clone(&l)), |n| assert_eq!(n.0, "second")).expect("alive");
            k.0.with(|| Noisy("first", Arc::clone(&l)), |_| ()).expect("alive");
            k.2.with(|| Again(Arc::clone(&k), Arc::clone(&l)), |_| ()).expect("alive");
            k.0.with(|| unreachable!("it is there"), |n| assert_eq!(n.0, "first")).expect("alive");
        });
        t.expect("room").join().expect("no panic");
        assert_eq!(log.lock().expect("no panic").len(), 3);
        // Each thread has its own.
        assert!(keys.0.with_existing(|_| ()).is_none());
        keys.0.with(|| Noisy("removed", Arc::clone(&log)), |_| ()).expect("alive");
        assert!(keys.0.remove());
        assert!(!keys.0.remove());
        keys.1.with(|| Noisy("main's", log), |_| ()).expect("alive");
    });
    let seen = log.lock().expect("no panic").clone();
    assert_eq!(seen, [("first", 1), ("second", 1), ("again", 1), ("removed", 0), ("main's", 0)]);
    assert_eq!(execution.log.iter().filter(|e| e.op == Op::LocalDrop).count(), 5);
}

#[test]
fn a_destructor_that_always_comes_back_is_given_up() {
    struct Forever(Arc<Local<Forever>>, Arc<std::sync::Mutex<Vec<bool>>>);
    impl Drop for Forever {
        fn drop(&mut self) {
            let (key, log) = (Arc::clone(&self.0), Arc::clone(&self.1));
            let made = self.0.with(|| Forever(key, log), |_| ());
            self.1.lock().expect("no panic").push(made != Err(LocalGone));
        }
    }
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let theirs = Arc::clone(&log);
    finished(&run_on(), move || {
        let key = Arc::new(Local::new());
        key.with(|| Forever(Arc::clone(&key), theirs), |_| ()).expect("alive");
    });
    let made = log.lock().expect("no panic").clone();
    assert_eq!(made.iter().filter(|m| !**m).count(), 1, "{made:?}");
    assert!(made.len() < 20);
}

#[test]
fn a_local_reuses_an_index_but_not_a_value() {
    finished(&run_on(), || {
        let first = Local::<u64>::new();
        first.with(|| 1, |_| ()).expect("alive");
        drop(first);
        let second = Local::<u64>::new();
        assert!(second.with_existing(|_| ()).is_none());
        assert_eq!(second.with(|| 2, |v| *v), Ok(2));
    });
}

#[test]
fn a_thousand_threads_live_at_once() {
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::RunOn, Strategy::Pct { depth: 3 }] {
        let execution = finished(&Options { strategy, ..Options::default() }, || {
            let word = Arc::new(Atomic::new(0));
            let joins: Vec<_> = (0..MAX_THREADS - 1)
                .map(|i| {
                    let word = Arc::clone(&word);
                    Sim::spawn(format!("t{i}"), move || {
                        word.fetch_add(1, AcqRel);
                        Sim::park();
                        word.fetch_add(1, AcqRel);
                    })
                    .expect("room")
                })
                .collect();
            while word.load(Acquire) < u64::from(MAX_THREADS - 1) {
                Sim::yield_now();
            }
            assert!(Sim::spawn("one too many".into(), || ()).is_err());
            for join in joins {
                join.thread().unpark();
                join.join().expect("no panic");
            }
            assert_eq!(word.load(Acquire), 2 * u64::from(MAX_THREADS - 1));
        });
        assert_eq!(execution.threads.len(), MAX_THREADS as usize);
    }
}

#[test]
fn numbers_are_dense_and_never_reused_though_slots_are() {
    let execution = finished(&Options { max_threads: 2, ..run_on() }, || {
        for i in 1..=5000 {
            let t = Sim::spawn(String::new(), move || assert_eq!(Sim::current_id(), ThreadId(i))).expect("room");
            assert_eq!(t.thread().id(), ThreadId(i));
            let ended = t.thread().clone();
            t.join().expect("no panic");
            ended.unpark(); // nobody is there: nothing happens
        }
    });
    assert_eq!(execution.threads.len(), 5001);
}

#[test]
fn objects_work_only_inside_their_execution() {
    let (mut word, mut escaped) = (None, None);
    finished(&run_on(), || {
        word = Some(Arc::new(Atomic::new(5)));
        escaped = Some((<Sim as Platform>::Cell::new(1), Mutex::new(2), Local::<u8>::new()));
    });
    let mut word = word.expect("made");
    let outside = catch_unwind(AssertUnwindSafe(|| word.load(SeqCst)));
    assert!(outside.is_err());
    let theirs = Arc::clone(&word);
    let execution = execute(&run_on(), move || {
        theirs.load(SeqCst);
    });
    let Verdict::Panic { message, .. } = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert!(message.contains("outside of it"), "{message}");
    // ... but an exclusive borrow and a drop are possible anywhere.
    assert_eq!(*Arc::get_mut(&mut word).expect("alone").get_mut(), 5);
    let (cell, mutex, _local) = escaped.expect("made");
    assert_eq!(cell.into_inner() + mutex.into_inner(), 3);
    assert!(catch_unwind(Sim::park).is_err());
}

#[test]
fn memory_of_a_finished_execution_may_be_given_back_later() {
    let layout = std::alloc::Layout::from_size_align(1000, 8).expect("a layout");
    let mut blocks = Vec::new();
    let execution = finished(&run_on(), || blocks.extend((0..3).map(|_| Sim::alloc(layout).expect("memory"))));
    assert_eq!(execution.leaked_bytes, 3000);
    // SAFETY: the blocks came from `alloc` with this layout.
    unsafe { Sim::dealloc(blocks[1], layout) };
    let second = finished(&run_on(), || {
        // SAFETY: as above.
        unsafe {
            Sim::dealloc(blocks[0], layout);
            Sim::dealloc(blocks[2], layout);
        }
    });
    assert_eq!(second.leaked_bytes, 0);
}

#[test]
fn a_rich_log_has_every_event_with_its_place_and_the_digest_is_the_lean_one() {
    let program = || {
        let word = Atomic::new(1);
        let cell = <Sim as Platform>::Cell::new(2);
        word.store(3, Release);
        // SAFETY: nobody else has the cell.
        cell.with_mut(|c| unsafe { *c = 4 });
        assert_eq!(word.compare_exchange(9, 10, AcqRel, Acquire), Err(3));
        assert_eq!(word.compare_exchange_weak(3, 10, AcqRel, Acquire), Ok(3));
        <Sim as Platform>::Counter::default().add(1);
        Sim::fence(SeqCst);
        for _ in 0..3000 {
            word.fetch_or(1, Relaxed);
        }
    };
    let rich = finished(&Options { record: Record::Rich, ..run_on() }, program);
    let lean = finished(&run_on(), program);
    assert_eq!((rich.digest, &rich.checkpoints, rich.events), (lean.digest, &lean.checkpoints, lean.events));
    assert_eq!(rich.checkpoints.len(), 2);
    assert!(lean.log.is_empty());
    let seen: Vec<_> = rich.log[..5].iter().map(|e| (e.op, e.object, e.ordering, e.class, e.event, e.step)).collect();
    assert_eq!(
        seen,
        [
            (Op::Store, 0, Some(Release), 3, 0, 1),
            (Op::CellWrite, 1, None, 0, 1, 1),
            (Op::CompareExchangeFailed, 0, Some(Acquire), 3, 1, 2),
            (Op::CompareExchange, 0, Some(AcqRel), 3, 2, 3),
            (Op::Fence, 0, Some(SeqCst), 0, 3, 4),
        ]
    );
    assert!(rich.log[..5].windows(2).all(|w| w[0].site.line() < w[1].site.line()));
    assert!(rich.log[..5].iter().all(|e| e.site.file().ends_with("engine_threads.rs")));
    assert_eq!(rich.log.len() as u64, rich.events + 1);
}
