//! The facade's threads, thread-locals and time.

mod facade_support;

use facade_support::{always, everywhere, finished, inside, once, somewhere};
use millpond::engine::{Strategy, Verdict};
use millpond::sync::atomic::AtomicUsize;
use millpond::sync::atomic::Ordering::{Relaxed, SeqCst};
use millpond::sync::{Arc, Mutex};
use millpond::time::Instant;
use millpond::{hint, thread};
use std::cell::{Cell, RefCell};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn scoped_threads_borrow_and_are_awaited() {
    everywhere(2, || {
        let mut list = vec![1, 2];
        let sum = AtomicUsize::new(0);
        let length = thread::scope(|scope| {
            for item in &list {
                scope.spawn(|| sum.fetch_add(*item, Relaxed));
            }
            let nested = scope.spawn(|| scope.spawn(|| sum.fetch_add(10, Relaxed)).join().is_ok());
            assert!(nested.join().expect("no panic"));
            list.len()
        });
        assert_eq!((length, sum.into_inner()), (2, 13));
        list.push(3);
    });
}

#[test]
fn what_scoped_threads_borrow_outlives_them_when_the_execution_is_given_up() {
    struct Owner<'a>(&'a Cell<bool>);
    impl Drop for Owner<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    struct Borrower<'a>(&'a Owner<'a>);
    impl Drop for Borrower<'_> {
        fn drop(&mut self) {
            assert!(!self.0.0.get(), "the owner is gone");
        }
    }
    // SAFETY: simulated threads are on one OS thread.
    unsafe impl Sync for Owner<'_> {}
    for index in 0..50 {
        let gone = Cell::new(false);
        let execution = once(Strategy::Random, index, || {
            let owner = Owner(&gone);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let _borrower = Borrower(&owner);
                        park_for_ever();
                    });
                }
                park_for_ever();
            });
        });
        assert!(matches!(execution.verdict, Verdict::Deadlock { .. }), "{}", execution.verdict);
        assert_eq!(execution.leaked_stacks, 0);
        assert!(gone.get());
    }
    // The owner has left the closure of the scope, and waits for its threads.
    for index in 0..50 {
        let gone = Cell::new(false);
        let execution = once(Strategy::Random, index, || {
            let owner = Owner(&gone);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _borrower = Borrower(&owner);
                    park_for_ever();
                });
            });
        });
        assert!(execution.verdict.to_string().contains("of its scope"), "{}", execution.verdict);
        assert!(gone.get() && execution.leaked_stacks == 0);
    }
}

/// It may return for no reason, but not so often.
fn park_for_ever() {
    (0..1000).for_each(|_| thread::park());
}

millpond::thread_local! {
    static NUMBER: Cell<u32> = const { Cell::new(5) };
    /// With a destructor.
    static LIST: RefCell<Vec<Noisy>> = RefCell::new(Vec::new());
}

struct Noisy(&'static str, std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl Drop for Noisy {
    fn drop(&mut self) {
        let again = NUMBER.try_with(Cell::get).is_ok();
        self.1.lock().expect("no panic").push(format!("{} {again}", self.0));
    }
}

#[test]
fn a_thread_local_is_each_thread_s_own_and_is_destroyed_at_its_end() {
    for index in 0..20 {
        let log = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let theirs = log.clone();
        finished(&once(Strategy::Random, index, move || {
            NUMBER.set(6);
            let other_log = theirs.clone();
            let other = thread::spawn(move || {
                assert_eq!(NUMBER.get(), 5);
                LIST.with_borrow_mut(|list| list.push(Noisy("other", other_log)));
                NUMBER.replace(9)
            });
            assert_eq!(other.join().expect("no panic"), 5);
            assert_eq!(theirs.lock().expect("no panic").len(), 1, "it is destroyed before the thread is joined");
            LIST.set(vec![Noisy("main", theirs.clone())]);
            assert_eq!((NUMBER.take(), NUMBER.get()), (6, 0));
        }));
        assert_eq!(*log.lock().expect("no panic"), ["other true", "main true"]);
    }
    assert_eq!(NUMBER.get(), 5);
}

#[test]
fn thread_locals_work_outside_too() {
    NUMBER.set(8);
    assert_eq!(std::thread::spawn(|| NUMBER.get()).join().expect("no panic"), 5);
    assert_eq!(NUMBER.get(), 8);
    assert_eq!(inside(|| NUMBER.get()), 5);
}

#[test]
fn time_is_virtual() {
    inside(|| {
        let start = Instant::now();
        thread::sleep(MS * 1000);
        assert_eq!(start.elapsed(), MS * 1000);
        assert!(Instant::now() > start && Instant::now() - start == MS * 1000);
        thread::park_timeout(MS);
        assert_eq!(start.elapsed(), MS * 1001);
        assert_eq!(start.checked_add(MS).map(|later| later - start), Some(MS));
    });
}

#[test]
fn a_loop_that_waits_for_a_time_ends() {
    always(|| {
        let deadline = Instant::now() + Duration::from_secs(3600);
        let other = thread::spawn(move || {
            while Instant::now() < deadline {
                hint::spin_loop();
            }
        });
        while Instant::now() < deadline {}
        other.join().expect("no panic");
    });
    // But one that waits for another thing doesn't.
    let verdict = once(Strategy::Random, 0, || {
        let word = AtomicUsize::new(0);
        while word.load(SeqCst) == 0 {
            hint::black_box(Instant::now());
        }
    });
    assert!(matches!(verdict.verdict, Verdict::Livelock { .. }), "{}", verdict.verdict);
}

#[test]
fn handles_and_names() {
    always(|| {
        let thread = thread::Builder::new().name("worker".into()).stack_size(1).spawn(|| thread::current().id());
        let thread = thread.expect("room");
        assert_eq!(thread.thread().name(), Some("worker"));
        let id = thread.thread().id();
        while !thread.is_finished() {
            thread::yield_now();
        }
        assert_eq!(thread.join().expect("no panic"), id);
        assert_ne!(thread::current().id(), id);
        assert!(!thread::panicking() && thread::available_parallelism().is_ok());
    });
}

/// Joined, let go of before its thread has ended, and after.
#[test]
fn what_a_thread_leaves_is_destroyed_once() {
    struct Left(std::sync::Arc<std::sync::atomic::AtomicU32>);
    impl Drop for Left {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    always(|| {
        let gone = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let leave = |from: &std::sync::Arc<_>| {
            let left = Left(std::sync::Arc::clone(from));
            thread::spawn(move || left)
        };
        let (joined, early, late) = (leave(&gone), leave(&gone), leave(&gone));
        drop(early);
        let result = joined.join().expect("no panic");
        while !late.is_finished() {
            thread::yield_now();
        }
        let before = gone.load(Relaxed);
        drop(late);
        assert_eq!(gone.load(Relaxed), before + 1, "the handle was the last");
        drop(result);
        while std::sync::Arc::strong_count(&gone) > 1 {
            thread::yield_now(); // until the second thread has ended
        }
        assert_eq!(gone.load(Relaxed), 3);
    });
}

#[test]
fn what_a_thread_leaves_is_destroyed_with_a_handle_that_outlives_the_execution() {
    let (left, mut kept) = (std::sync::Arc::new(()), None);
    finished(&once(Strategy::RunOn, 0, || {
        let left = std::sync::Arc::clone(&left);
        kept = Some(thread::spawn(move || left));
    }));
    assert_eq!(std::sync::Arc::strong_count(&left), 2, "the thread's result");
    drop(kept);
    assert_eq!(std::sync::Arc::strong_count(&left), 1);
}

/// What its thread leaves is lost then.
#[test]
fn a_handle_may_be_let_go_of_on_another_thread_of_the_host_or_in_another_execution() {
    static AWAY: std::sync::Mutex<Vec<thread::JoinHandle<String>>> = std::sync::Mutex::new(Vec::new());
    finished(&once(Strategy::Random, 0, || {
        let two = [thread::spawn(|| "one".to_string()), thread::spawn(|| "two".to_string())];
        let [one, two] = two;
        let elsewhere = std::thread::spawn(move || drop(one));
        elsewhere.join().expect("it touches nothing");
        AWAY.lock().expect("no panic").push(two);
    }));
    let away = std::mem::take(&mut *AWAY.lock().expect("no panic"));
    assert_eq!(away.len(), 1);
    finished(&once(Strategy::Random, 0, move || drop(away))); // in another one
}

#[test]
fn a_panic_of_a_thread_is_the_finding() {
    let verdict = somewhere(0, || {
        let other = thread::Builder::new().name("other".into()).spawn(|| panic!("on purpose"));
        drop(other.expect("room").join());
    });
    assert!(matches!(&verdict, Verdict::Panic { name, .. } if name == "other"), "{verdict}");
}

#[test]
fn destructors_that_use_everything_survive_an_execution_that_is_given_up() {
    struct Uses(Arc<(Mutex<u32>, AtomicUsize)>, millpond::sync::mpsc::Sender<u32>);
    impl Drop for Uses {
        fn drop(&mut self) {
            *self.0.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
            self.0.1.fetch_add(1, SeqCst);
            _ = self.1.send(1);
            drop(Arc::clone(&self.0));
            thread::yield_now();
        }
    }
    for index in 0..50 {
        let execution = once(Strategy::Random, index, || {
            let shared = Arc::new((Mutex::new(0), AtomicUsize::new(0)));
            let (sender, receiver) = millpond::sync::mpsc::channel();
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let uses = Uses(Arc::clone(&shared), sender.clone());
                    thread::spawn(move || {
                        let _uses = uses;
                        park_for_ever();
                    })
                })
                .collect();
            for _ in 0..4 {
                receiver.recv().expect("never");
            }
            drop(threads);
        });
        assert!(matches!(execution.verdict, Verdict::Deadlock { .. }), "{}", execution.verdict);
        assert_eq!(execution.leaked_stacks, 0);
    }
}
