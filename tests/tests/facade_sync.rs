//! The facade's locks, condition variables, barriers and initialisations.

mod facade_support;

use facade_support::{always, everywhere, finished, inside, once, somewhere};
use millpond::engine::{Strategy, Verdict, Wait};
use millpond::panic::catch_unwind;
use millpond::sync::atomic::AtomicUsize;
use millpond::sync::atomic::Ordering::{Relaxed, SeqCst};
use millpond::sync::{
    Barrier, Condvar, LazyLock, Mutex, MutexGuard, Once, OnceLock, RwLock, RwLockWriteGuard, TryLockError,
};
use millpond::thread;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic as host;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no poison")
}

#[test]
fn readers_share_and_writers_do_not() {
    let together = host::AtomicUsize::new(0);
    everywhere(2, || {
        let lock = RwLock::new(0_u32);
        let (readers, writers) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let guard = lock.read().expect("no poison");
                    let others = readers.fetch_add(1, SeqCst);
                    assert_eq!(writers.load(SeqCst), 0);
                    together.fetch_max(others, host::Ordering::Relaxed);
                    assert!(*guard <= 1);
                    readers.fetch_sub(1, SeqCst);
                });
            }
            scope.spawn(|| {
                let mut guard = lock.write().expect("no poison");
                assert_eq!(writers.fetch_add(1, SeqCst) + readers.load(SeqCst), 0);
                *guard += 1;
                writers.fetch_sub(1, SeqCst);
            });
        });
        assert_eq!(lock.into_inner().expect("no poison"), 1);
    });
    assert_eq!(together.into_inner(), 1, "two readers met");
}

#[test]
fn a_downgraded_writer_lets_readers_in_and_no_writer() {
    everywhere(2, || {
        let lock = RwLock::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = lock.write().expect("no poison");
                *guard = 1;
                let guard = RwLockWriteGuard::downgrade(guard);
                assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
                let seen = *lock.try_read().expect("shared");
                assert_eq!((*guard, seen), (1, 1), "nobody wrote in between");
            });
            scope.spawn(|| *lock.write().expect("no poison") = 2);
        });
    });
}

#[test]
fn a_reader_that_wants_to_write_waits_for_itself() {
    let verdict = somewhere(0, || {
        let lock = RwLock::new(());
        let _read = lock.read().expect("no poison");
        drop(lock.write());
    });
    let Verdict::Deadlock { waiting } = &verdict else { panic!("{verdict}") };
    assert!(matches!(waiting[0].wait, Wait::Write { readers: 1, writer: None, .. }), "{verdict}");
}

#[test]
fn a_panic_poisons_and_the_poison_can_be_cleared() {
    inside(|| {
        let mutex = Mutex::new(1);
        let lock = RwLock::new(1);
        let once = Once::new();
        assert!(
            catch_unwind(AssertUnwindSafe(|| {
                let _guard = locked(&mutex);
                panic!("on purpose")
            }))
            .is_err()
        );
        assert!(
            catch_unwind(AssertUnwindSafe(|| {
                let _guard = lock.write();
                panic!("on purpose")
            }))
            .is_err()
        );
        assert!(catch_unwind(AssertUnwindSafe(|| once.call_once(|| panic!("on purpose")))).is_err());
        assert!(mutex.is_poisoned() && lock.is_poisoned());
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
        assert_eq!(*mutex.lock().expect_err("poisoned").into_inner(), 1);
        mutex.clear_poison();
        assert_eq!(*locked(&mutex), 1);
        assert_eq!(*lock.read().expect_err("poisoned").into_inner(), 1);
        assert!(catch_unwind(AssertUnwindSafe(|| once.call_once(|| ()))).is_err(), "poisoned");
        once.call_once_force(|state| assert!(state.is_poisoned()));
        once.call_once(|| unreachable!("it is done"));
        // A reader that panics poisons nothing; nor does a guard taken while the thread was panicking.
        let lock = RwLock::new(1);
        assert!(
            catch_unwind(AssertUnwindSafe(|| {
                let _guard = lock.read();
                panic!("on purpose")
            }))
            .is_err()
        );
        assert!(!lock.is_poisoned());
        struct Locks<'a>(&'a Mutex<i32>);
        impl Drop for Locks<'_> {
            fn drop(&mut self) {
                drop(self.0.lock());
            }
        }
        assert!(
            catch_unwind(AssertUnwindSafe(|| {
                let _locks = Locks(&mutex);
                panic!("on purpose")
            }))
            .is_err()
        );
        assert!(!mutex.is_poisoned());
    });
}

#[test]
fn each_waiter_may_be_the_one_that_is_notified() {
    let who = std::sync::Mutex::new(BTreeSet::new());
    let program = || {
        let state = (Mutex::new((0, None)), Condvar::new());
        thread::scope(|scope| {
            for name in 0..3 {
                let state = &state;
                scope.spawn(move || {
                    let mut guard = locked(&state.0);
                    guard.0 += 1;
                    let mut guard = state.1.wait(guard).expect("no poison");
                    guard.1.get_or_insert(name);
                    state.1.notify_one();
                });
            }
            while locked(&state.0).0 < 3 {
                thread::yield_now();
            }
            state.1.notify_one();
        });
        let first = locked(&state.0).1;
        who.lock().expect("no panic").insert(first.expect("somebody was"));
    };
    everywhere(0, program);
    assert_eq!(*who.lock().expect("no panic"), BTreeSet::from([0, 1, 2]), "an enumeration covers the choice");
}

#[test]
fn a_notification_is_not_for_who_comes_later() {
    // The waiter that the notification was for runs after another has begun to wait: it must not lose its token to that.
    everywhere(3, || {
        let state = (Mutex::new(0), Condvar::new());
        thread::scope(|scope| {
            let waits = |limit: Option<Duration>| {
                let mut guard = locked(&state.0);
                *guard += 1;
                match limit {
                    None => drop(state.1.wait(guard).expect("no poison")),
                    Some(limit) => drop(state.1.wait_timeout(guard, limit).expect("no poison")),
                }
            };
            let first = scope.spawn(move || waits(None));
            while *locked(&state.0) == 0 {
                thread::yield_now();
            }
            state.1.notify_one();
            let late = scope.spawn(move || waits(Some(MS)));
            first.join().expect("no panic");
            late.join().expect("no panic");
        });
    });
}

#[test]
fn a_lost_wakeup_is_a_deadlock() {
    let verdict = somewhere(2, || {
        let state = (AtomicUsize::new(0), Mutex::new(()), Condvar::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                // The condition isn't guarded by the mutex.
                if state.0.load(SeqCst) == 0 {
                    drop(state.2.wait(locked(&state.1)));
                }
            });
            state.0.store(1, SeqCst);
            state.2.notify_one();
        });
    });
    assert!(verdict.to_string().contains("a notification of condition variable"), "{verdict}");
    assert!(verdict.to_string().contains("1 threads of its scope"), "{verdict}");
}

#[test]
fn waits_end_for_no_reason_in_some_executions() {
    let spurious = |index| {
        let execution = once(Strategy::Random, index, || {
            let state = (Mutex::new(()), Condvar::new());
            drop(state.1.wait(locked(&state.0)));
        });
        matches!(execution.verdict, Verdict::Finished)
    };
    let ended = (0..1000).filter(|index| spurious(*index)).count();
    // One in thirty-two on average: 31, with a deviation of 5.5.
    assert!((10..=60).contains(&ended), "{ended} of 1000");
}

#[test]
fn timeouts_come_in_virtual_time() {
    inside(|| {
        let state = (Mutex::new(0), Condvar::new());
        let start = millpond::time::Instant::now();
        let (guard, result) = state.1.wait_timeout(locked(&state.0), MS * 5).expect("no poison");
        assert!(result.timed_out());
        assert_eq!(start.elapsed(), MS * 5);
        let (guard, result) = state.1.wait_timeout_while(guard, MS * 5, |n| *n == 0).expect("no poison");
        assert!(result.timed_out() && start.elapsed() == MS * 10);
        let (guard, result) = state.1.wait_timeout_while(guard, MS, |n| *n != 0).expect("no poison");
        assert!(!result.timed_out() && start.elapsed() == MS * 10);
        drop(state.1.wait_while(guard, |n| *n != 0).expect("no poison"));
    });
}

#[test]
fn one_of_a_round_leads_and_all_leave_after_it_is_full() {
    everywhere(2, || {
        let (barrier, came, led) = (Barrier::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        let round = || {
            came.fetch_add(1, SeqCst);
            led.fetch_add(usize::from(barrier.wait().is_leader()), SeqCst);
            assert_eq!(came.load(SeqCst), 3);
        };
        thread::scope(|scope| {
            scope.spawn(round);
            scope.spawn(round);
            round();
        });
        assert_eq!(led.into_inner(), 1);
    });
    always(|| {
        let (barrier, led) = (Barrier::new(2), AtomicUsize::new(0));
        let rounds = || (0..5).for_each(|_| _ = led.fetch_add(usize::from(barrier.wait().is_leader()), SeqCst));
        thread::scope(|scope| {
            scope.spawn(rounds);
            rounds();
        });
        assert_eq!(led.into_inner(), 5);
    });
    let verdict = somewhere(0, || _ = Barrier::new(2).wait());
    assert!(verdict.to_string().contains("1 more at barrier"), "{verdict}");
}

#[test]
fn an_initialisation_runs_once_and_all_see_it() {
    static ONCE: Once = Once::new();
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static LOCK: OnceLock<usize> = OnceLock::new();
    everywhere(2, || {
        let work = || {
            ONCE.call_once(|| _ = RUNS.fetch_add(1, Relaxed));
            assert!(ONCE.is_completed());
            assert_eq!(RUNS.load(Relaxed) % 10, 1);
            *LOCK.get_or_init(|| 10 + RUNS.fetch_add(10, Relaxed))
        };
        assert!(LOCK.get().is_none());
        let other = thread::spawn(work);
        assert_eq!(work(), 11);
        assert_eq!(other.join().expect("no panic"), 11);
        assert_eq!((LOCK.set(5), RUNS.load(Relaxed)), (Err(5), 11));
    });
}

#[test]
fn a_lazy_static_is_made_anew_in_each_execution() {
    static LIST: LazyLock<Mutex<Vec<usize>>> = LazyLock::new(|| Mutex::new(vec![7]));
    always(|| {
        let other = thread::spawn(|| locked(&LIST).push(8));
        locked(&LIST).push(9);
        other.join().expect("no panic");
        let mut list = locked(&LIST).clone();
        list.sort_unstable();
        assert_eq!(list, [7, 8, 9]);
    });
}

#[test]
fn a_lazy_lock_that_captures_is_one_execution_s() {
    let text = String::from("captured");
    let lock = std::sync::Arc::new(LazyLock::new(move || text));
    let theirs = lock.clone();
    inside(move || assert_eq!(theirs.len(), 8));
    let execution = once(Strategy::RunOn, 0, move || assert_eq!(lock.len(), 8));
    let Verdict::Panic { message, .. } = &execution.verdict else { panic!("{}", execution.verdict) };
    assert!(message.contains("captures"), "{message}");
}

#[test]
fn a_lazy_lock_whose_initialiser_panics_is_poisoned_and_a_once_lock_is_not() {
    inside(|| {
        let lazy = LazyLock::<u32>::new(|| panic!("on purpose"));
        for _ in 0..2 {
            assert!(catch_unwind(AssertUnwindSafe(|| *lazy)).is_err());
        }
        let lock = OnceLock::new();
        assert!(catch_unwind(AssertUnwindSafe(|| lock.get_or_init(|| panic!("on purpose")))).is_err());
        assert_eq!(*lock.get_or_init(|| 3), 3);
        let mut lock = lock;
        *lock.get_mut().expect("there") += 1;
        assert_eq!((lock.take(), lock.take(), lock.into_inner()), (Some(4), None, None));
    });
}

#[test]
fn what_is_initialised_outside_is_there_in_executions() {
    static NAME: OnceLock<String> = OnceLock::new();
    static LAZY: LazyLock<String> = LazyLock::new(|| "lazy".to_string());
    static DONE: Once = Once::new();
    NAME.set("outside".to_string()).expect("new");
    DONE.call_once(|| ());
    assert_eq!(LAZY.as_str(), "lazy");
    for index in 0..3 {
        finished(&once(Strategy::Random, index, || {
            assert_eq!(NAME.get().map(String::as_str), Some("outside"));
            assert_eq!(LAZY.as_str(), "lazy");
            DONE.call_once(|| unreachable!("it is done"));
        }));
    }
    let mut lock = OnceLock::from(5);
    inside(|| {
        assert_eq!(lock.get(), Some(&5));
        *lock.get_mut().expect("there") = 6;
        assert_eq!((lock.get().copied(), lock.take(), lock.get()), (Some(6), Some(6), None));
    });
}

#[test]
fn locks_work_outside_where_nobody_waits() {
    let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
    *locked(&mutex) += 1;
    {
        let _guard = locked(&mutex);
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    }
    *lock.write().expect("no poison") += 1;
    let (a, b) = (lock.read().expect("no poison"), lock.read().expect("no poison"));
    assert!((*a, *b) == (2, 2) && lock.try_write().is_err());
    drop((a, b));
    assert_eq!((mutex.into_inner().expect("no poison"), lock.into_inner().expect("no poison")), (2, 2));
}

#[test]
fn a_guard_that_was_waited_with_poisons_if_it_is_older_than_the_panic() {
    struct Waits<'a>(&'a Condvar, Option<MutexGuard<'a, u32>>);
    impl Drop for Waits<'_> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            let guard = self.1.take().expect("a guard");
            drop(self.0.wait_timeout(guard, MS).expect("no poison yet"));
        }
    }
    everywhere(2, || {
        let (mutex, condvar) = (Mutex::new(0), Condvar::new());
        let older = catch_unwind(AssertUnwindSafe(|| {
            let _waits = Waits(&condvar, Some(locked(&mutex)));
            panic!("while it is locked");
        }));
        assert!(older.is_err() && mutex.is_poisoned());
    });
}
