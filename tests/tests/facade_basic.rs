//! The facade's atomics, `Arc`, `Mutex` and threads.

mod facade_support;

use facade_support::{always, everywhere, finished, inside, once, somewhere};
use millpond::cell::UnsafeCell;
use millpond::engine::{Strategy, Verdict};
use millpond::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use millpond::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
use millpond::sync::{Arc, Mutex, Weak};
use millpond::{hint, thread};
use std::collections::BTreeSet;
use std::sync::atomic as host;

static COUNTER: AtomicUsize = AtomicUsize::new(3);

#[test]
fn a_static_starts_from_its_initial_value_in_each_execution() {
    for index in 0..5 {
        finished(&once(Strategy::Random, index, || {
            assert_eq!(COUNTER.fetch_add(1, Relaxed), 3);
            let other = thread::spawn(|| COUNTER.fetch_add(1, Relaxed));
            assert!([4, 5].contains(&COUNTER.fetch_add(1, Relaxed)));
            other.join().expect("no panic");
            assert_eq!(COUNTER.load(Relaxed), 6);
        }));
    }
}

#[test]
fn a_static_is_the_same_on_other_os_threads_at_the_same_time() {
    static SHARED: AtomicU64 = AtomicU64::new(0);
    let run = || {
        (0..200).map(|index| {
            let execution = once(Strategy::Random, index, || {
                let threads: Vec<_> = (0..2).map(|_| thread::spawn(|| SHARED.fetch_add(1, SeqCst))).collect();
                let seen: BTreeSet<u64> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
                assert_eq!(seen, BTreeSet::from([0, 1]));
                assert_eq!(SHARED.load(SeqCst), 2);
            });
            finished(&execution);
            execution.digest
        })
    };
    let digests: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(|| run().collect())).collect();
        workers.into_iter().map(|w| w.join().expect("no panic")).collect()
    });
    assert!(digests.iter().all(|d| *d == digests[0]));
}

#[test]
fn outside_of_executions_it_is_an_atomic_of_the_host() {
    static OUTSIDE: AtomicUsize = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| _ = OUTSIDE.fetch_add(1, Relaxed)));
        }
    });
    assert_eq!(OUTSIDE.load(Relaxed), 4000);
    for _ in 0..3 {
        assert_eq!(inside(|| OUTSIDE.fetch_add(1, Relaxed)), 4000);
    }
    assert_eq!(OUTSIDE.load(Relaxed), 4000);
}

#[test]
fn what_an_execution_uses_is_not_for_the_world_outside() {
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    inside(|| INSIDE.store(1, Relaxed));
    let error = std::panic::catch_unwind(|| INSIDE.load(Relaxed)).expect_err("it is not");
    let text = error.downcast_ref::<String>().expect("a text");
    assert!(text.contains("leave through the types of std"), "{text}");
}

#[test]
fn store_buffering_needs_the_interleaving() {
    // With sequential consistency one of the two sees the other's store; 0/0 is impossible, the others are seen.
    let seen = host::AtomicUsize::new(0);
    everywhere(2, || {
        let words = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let theirs = Arc::clone(&words);
        let other = thread::spawn(move || {
            theirs[0].store(true, SeqCst);
            theirs[1].load(SeqCst)
        });
        words[1].store(true, SeqCst);
        let here = words[0].load(SeqCst);
        let there = other.join().expect("no panic");
        seen.fetch_or(1 << (usize::from(here) * 2 + usize::from(there)), host::Ordering::Relaxed);
    });
    assert_eq!(seen.into_inner(), 0b1110);
}

#[test]
fn a_counter_with_a_gap_is_found() {
    let verdict = somewhere(1, || {
        let word = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let word = Arc::clone(&word);
                thread::spawn(move || word.store(word.load(Acquire) + 1, Release))
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        assert_eq!(word.load(Relaxed), 2, "an update is lost");
    });
    assert!(matches!(&verdict, Verdict::Panic { message, .. } if message.contains("an update is lost")), "{verdict}");
}

#[test]
fn a_mutex_excludes() {
    let entered = host::AtomicUsize::new(0);
    everywhere(2, || {
        let data = Arc::new((Mutex::new(0), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let data = Arc::clone(&data);
                thread::spawn(move || {
                    let mut guard = data.0.lock().expect("no poison");
                    assert_eq!(data.1.fetch_add(1, Relaxed), 0, "two inside");
                    *guard += 1;
                    data.1.fetch_sub(1, Relaxed);
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        assert_eq!(*data.0.lock().expect("no poison"), 3);
        entered.fetch_add(1, host::Ordering::Relaxed);
    });
    assert!(entered.into_inner() > 100);
}

#[test]
fn two_mutexes_in_two_orders_are_a_deadlock() {
    let verdict = somewhere(1, || {
        let pair = Arc::new((Mutex::new(()), Mutex::new(())));
        let theirs = Arc::clone(&pair);
        let other = thread::Builder::new().name("other".into());
        let other = other.spawn(move || {
            let _b = theirs.1.lock().expect("no poison");
            let _a = theirs.0.lock().expect("no poison");
        });
        let _a = pair.0.lock().expect("no poison");
        let _b = pair.1.lock().expect("no poison");
        drop((_a, _b));
        other.expect("room").join().expect("no panic");
    });
    let Verdict::Deadlock { waiting } = &verdict else { panic!("{verdict}") };
    let names: BTreeSet<&str> = waiting.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["main", "other"]));
    assert!(verdict.to_string().contains("held by"), "{verdict}");
}

#[test]
fn an_abandoned_guard_poisons_nothing_and_a_static_mutex_is_one_execution_s() {
    static GUARDED: Mutex<u32> = Mutex::new(0);
    let execution = once(Strategy::RunOn, 0, || {
        let _guard = GUARDED.lock().expect("no poison");
        drop(GUARDED.lock()); // a deadlock
    });
    assert!(matches!(execution.verdict, Verdict::Deadlock { .. }));
    assert!(!GUARDED.is_poisoned());
    let execution = once(Strategy::RunOn, 0, || drop(GUARDED.lock()));
    let Verdict::Panic { message, .. } = &execution.verdict else { panic!("{}", execution.verdict) };
    assert!(message.contains("LazyLock"), "{message}");
}

#[test]
fn an_arc_frees_once_and_after_the_last_use() {
    struct Dropped(std::sync::Arc<host::AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, host::Ordering::Relaxed);
        }
    }
    everywhere(3, || {
        let drops = std::sync::Arc::new(host::AtomicUsize::new(0));
        let arc = Arc::new(Dropped(drops.clone()));
        let weak = Arc::downgrade(&arc);
        let theirs = Arc::clone(&arc);
        let other = thread::spawn(move || drop(theirs));
        let upgrading = thread::spawn(move || weak.upgrade().is_some());
        drop(arc);
        other.join().expect("no panic");
        upgrading.join().expect("no panic");
        assert_eq!(drops.load(host::Ordering::Relaxed), 1);
    });
}

#[test]
fn an_arc_does_what_that_of_std_does() {
    always(|| {
        let mut arc = Arc::new(5);
        *Arc::get_mut(&mut arc).expect("alone") += 1;
        let other = Arc::clone(&arc);
        assert_eq!((Arc::strong_count(&arc), Arc::weak_count(&arc)), (2, 0));
        assert!(Arc::get_mut(&mut arc).is_none() && Arc::ptr_eq(&arc, &other));
        let arc = Arc::try_unwrap(arc).expect_err("not alone");
        assert_eq!(Arc::into_inner(arc), None);
        let weak = Arc::downgrade(&other);
        let mut changed = other;
        *Arc::make_mut(&mut changed) = 7;
        assert!(weak.upgrade().is_none(), "the data moved away from the weak one");
        assert_eq!(Arc::try_unwrap(changed).expect("alone"), 7);
        let cyclic = Arc::new_cyclic(|weak: &Weak<(u8, Weak<()>)>| {
            assert!(weak.upgrade().is_none());
            (3, Weak::new())
        });
        assert_eq!(cyclic.0, 3);
        let words: Arc<str> = Arc::from("words");
        let list: Arc<[u16]> = vec![1, 2, 3].into();
        let shape: Arc<dyn Fn() -> usize> = millpond::unsize!(Arc::new(move || words.len() + list.len()));
        let again = Arc::clone(&shape);
        assert_eq!(again(), 8);
        let boxed: Arc<dyn std::fmt::Debug> = Arc::from(Box::new(4) as Box<dyn std::fmt::Debug>);
        let raw = Arc::into_raw(boxed);
        // SAFETY: it comes from the line above.
        assert_eq!(format!("{:?}", unsafe { Arc::from_raw(raw) }), "4");
    });
}

#[test]
fn an_arc_from_outside_is_shared_by_all_executions() {
    let outside = Arc::new(9);
    for index in 0..3 {
        let theirs = Arc::clone(&outside);
        finished(&once(Strategy::Random, index, move || {
            let again = Arc::clone(&theirs);
            thread::spawn(move || assert_eq!(*again, 9)).join().expect("no panic");
        }));
    }
    assert_eq!(Arc::strong_count(&outside), 1);
}

#[test]
fn an_arc_that_outlives_its_execution_is_leaked_and_can_be_read() {
    let arc = inside(|| Arc::new(7));
    assert_eq!(*arc, 7);
    drop(arc);
}

#[test]
fn a_spin_loop_ends_and_a_hopeless_one_is_a_livelock() {
    let wait = |says_so: bool| {
        move || {
            let flag = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&flag);
            let other = thread::spawn(move || theirs.store(says_so, Release));
            while !flag.load(Acquire) {
                hint::spin_loop();
            }
            other.join().expect("no panic");
        }
    };
    always(wait(true));
    assert!(matches!(once(Strategy::Random, 0, wait(false)).verdict, Verdict::Livelock { .. }));
}

#[test]
fn park_and_unpark() {
    everywhere(2, || {
        let main = thread::current();
        assert_eq!(main.name(), Some("main"));
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let other = thread::spawn(move || {
            theirs.store(true, Release);
            main.unpark();
        });
        while !flag.load(Acquire) {
            thread::park();
        }
        assert!(other.thread().name().is_none());
        other.join().expect("no panic");
    });
}

#[test]
fn a_cell_and_a_fence_can_be_used() {
    always(|| {
        let cell = Arc::new(UnsafeCellThatIsSync(UnsafeCell::new(1), AtomicBool::new(false)));
        let theirs = Arc::clone(&cell);
        let other = thread::spawn(move || {
            // SAFETY: the main thread waits for the flag.
            theirs.0.with_mut(|p| unsafe { *p = 2 });
            fence(AcqRel);
            theirs.1.store(true, Relaxed);
        });
        while !cell.1.load(Acquire) {
            thread::yield_now();
        }
        // SAFETY: the other thread doesn't touch it any more.
        assert_eq!(cell.0.with(|p| unsafe { *p }), 2);
        // SAFETY: as above.
        assert_eq!(unsafe { *cell.0.get().deref() }, 2);
        other.join().expect("no panic");
    });
}

struct UnsafeCellThatIsSync(UnsafeCell<u32>, AtomicBool);
// SAFETY: the flag says who may touch the cell.
unsafe impl Sync for UnsafeCellThatIsSync {}
