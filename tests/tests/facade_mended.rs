//! Faults that the facade once had, each of which a reading of its code found.

mod facade_support;

use facade_support::{Plain, finished, inside, once, run};
use millpond::engine::{MemoryModel, Strategy, Verdict};
use millpond::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use millpond::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
use millpond::sync::mpsc::{Receiver, channel, sync_channel};
use millpond::sync::{Arc, Condvar, LazyLock, Mutex, Once, OnceLock};
use millpond::time::Instant;
use millpond::{panic, thread};
use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::ptr::null_mut;
use std::time::Duration;

#[track_caller]
fn ordered(program: impl Fn()) {
    for memory in [MemoryModel::Races, MemoryModel::Weak] {
        (0..200).for_each(|index| finished(&run(memory, index, &program)));
    }
}

/// Some execution has a race, and none fails otherwise.
#[track_caller]
fn racy(program: impl Fn()) {
    for memory in [MemoryModel::Races, MemoryModel::Weak] {
        let raced = (0..200).any(|index| match run(memory, index, &program).verdict {
            Verdict::Finished => false,
            Verdict::Finding(_) => true,
            other => panic!("{other}"),
        });
        assert!(raced, "{memory:?}");
    }
}

/// All executions end with the panic of `program`, and every stack is unwound.
#[track_caller]
fn given_up(program: impl Fn()) {
    for index in 0..300 {
        let execution = once(Strategy::Random, index, &program);
        assert!(execution.verdict.to_string().contains("over"), "{}", execution.verdict);
        assert_eq!(execution.leaked_stacks, 0, "execution {index}");
    }
}

#[test]
fn a_lock_that_moves_keeps_its_value() {
    let (first, second) = (OnceLock::from(1), OnceLock::from(2));
    inside(move || {
        let mut place = [first];
        assert_eq!(place[0].get(), Some(&1));
        let moved = std::mem::replace(&mut place[0], second);
        assert_eq!((moved.get(), place[0].get()), (Some(&1), Some(&2)));
    });
}

#[test]
fn an_arc_that_is_looked_at_is_counted_when_the_execution_ends() {
    given_up(|| {
        let other = thread::spawn(|| {
            thread::yield_now();
            panic!("over");
        });
        let mut arc = Arc::new(0_u32);
        let weak = Arc::downgrade(&arc);
        for _ in 0..10 {
            *Arc::make_mut(&mut arc) += 1;
            assert!(Arc::get_mut(&mut arc).is_some());
        }
        drop(weak);
        _ = other.join();
    });
}

#[test]
fn a_scope_is_for_its_execution() {
    inside(|| {
        thread::scope(|scope| {
            let spawned = std::thread::scope(|host| host.spawn(move || drop(scope.spawn(|| ()))).join());
            let payload = spawned.expect_err("it is another execution's");
            let text = payload.downcast_ref::<&str>().expect("a text");
            assert!(text.contains("a scope was used outside"), "{text}");
        });
    });
}

#[test]
fn what_is_published_without_release_is_a_race() {
    let publish = |store: Ordering, load: Ordering| {
        let place = AtomicPtr::<Plain>::new(null_mut());
        thread::scope(|scope| {
            scope.spawn(|| place.store(Box::into_raw(Box::new(Plain::new(7))), store));
            let found = place.load(load);
            if !found.is_null() {
                // SAFETY: it is there until the scope has ended.
                assert_eq!(unsafe { (*found).read() }, 7);
            }
        });
        // SAFETY: the other thread stored it, and has ended.
        drop(unsafe { Box::from_raw(place.load(Relaxed)) });
    };
    racy(|| publish(Relaxed, Relaxed));
    racy(|| publish(Release, Relaxed));
    ordered(|| publish(Release, Acquire));
}

#[test]
fn what_is_freed_without_acquire_is_a_race() {
    struct Counted {
        count: AtomicUsize,
        value: Plain,
    }
    let count = |order: Ordering| {
        let counted = Box::into_raw(Box::new(Counted { count: AtomicUsize::new(2), value: Plain::new(1) }));
        let place = AtomicPtr::new(counted);
        let put = || {
            let counted = place.load(Relaxed);
            // SAFETY: this thread is one of the two that are counted.
            let last = unsafe {
                assert_eq!((*counted).value.read(), 1);
                (*counted).count.fetch_sub(1, order) == 1
            };
            if last {
                if order == Release {
                    fence(Acquire);
                }
                // SAFETY: the other one is done with it.
                drop(unsafe { Box::from_raw(counted) });
            }
        };
        thread::scope(|scope| {
            scope.spawn(put);
            put();
        });
    };
    racy(|| count(Relaxed));
    ordered(|| count(Release));
}

#[test]
fn a_thread_that_never_got_to_wait_opens_the_mutex() {
    struct Locks(Arc<(Mutex<u32>, Condvar)>);
    impl Drop for Locks {
        fn drop(&mut self) {
            *self.0.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
        }
    }
    given_up(|| {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let _locks = Locks(shared);
        thread::spawn(move || {
            let guard = theirs.0.lock().expect("nobody panics with it");
            drop(theirs.1.wait(guard));
        });
        thread::yield_now();
        panic!("over");
    });
}

#[test]
fn an_initialisation_that_ended_while_all_is_given_up_is_done() {
    struct Calls(Arc<Once>);
    impl Drop for Calls {
        fn drop(&mut self) {
            self.0.call_once(|| ());
        }
    }
    given_up(|| {
        let once = Arc::new(Once::new());
        let theirs = Calls(Arc::clone(&once));
        let _mine = Calls(once);
        thread::spawn(move || {
            let _theirs = theirs;
            (0..1000).for_each(|_| thread::park());
        });
        thread::yield_now();
        panic!("over");
    });
}

#[test]
fn a_sender_that_is_given_up_is_gone() {
    struct Drains(Receiver<u32>);
    impl Drop for Drains {
        fn drop(&mut self) {
            while self.0.recv().is_ok() {}
        }
    }
    given_up(|| {
        let (sender, receiver) = channel();
        let _drains = Drains(receiver);
        thread::spawn(move || drop(sender));
        thread::yield_now();
        panic!("over");
    });
}

#[test]
fn a_resumed_panic_poisons() {
    inside(|| {
        let mutex = Mutex::new(0);
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.lock();
            panic::resume_unwind(Box::new("again"));
        }));
        assert_eq!(result.expect_err("it panicked").downcast_ref(), Some(&"again"));
        assert!(mutex.is_poisoned() && !thread::panicking());
    });
    let execution = once(Strategy::Random, 0, || panic::resume_unwind(Box::new("for good")));
    assert!(execution.verdict.to_string().contains("for good"), "{}", execution.verdict);
}

#[test]
fn a_variable_of_a_thread_is_destroyed_once() {
    struct First(Cell<u32>);
    struct Second(Cell<u32>);
    millpond::thread_local! {
        static FIRST: First = First(Cell::new(0));
        static SECOND: Second = Second(Cell::new(0));
        static NEW: Cell<u32> = const { Cell::new(4) };
    }
    impl Drop for First {
        fn drop(&mut self) {
            assert!(FIRST.try_with(|_| ()).is_err(), "it revives");
            assert_eq!(SECOND.try_with(|second| second.0.get()), Ok(2));
        }
    }
    impl Drop for Second {
        fn drop(&mut self) {
            assert!(FIRST.try_with(|first| first.0.set(1)).is_err(), "it revives");
            assert!(SECOND.try_with(|_| ()).is_err(), "it revives");
            assert_eq!(NEW.try_with(Cell::get), Ok(4));
        }
    }
    inside(|| {
        for _ in 0..2 {
            let other = thread::spawn(|| {
                FIRST.with(|first| first.0.set(1));
                SECOND.with(|second| second.0.set(2));
                assert_eq!(FIRST.with(|first| first.0.get()), 1);
            });
            other.join().expect("no panic");
        }
    });
}

#[test]
fn an_access_lasts_as_long_as_its_closure() {
    racy(|| {
        let (plain, flag) = (Plain::new(0), AtomicBool::new(false));
        let plain = &plain;
        thread::scope(|scope| {
            scope.spawn(|| plain.cell().with(|_| flag.store(true, Release)));
            if flag.load(Acquire) {
                plain.write();
            }
        });
    });
    ordered(|| {
        let (plain, flag) = (Plain::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                plain.read();
                flag.store(true, Release);
            });
            if flag.load(Acquire) {
                plain.write();
            }
        });
    });
}

#[test]
fn statics_can_be_used_before_and_after_executions() {
    static SET: OnceLock<u32> = OnceLock::new();
    static LAZY: LazyLock<u32> = LazyLock::new(|| 7);
    static ONCE: Once = Once::new();
    for _ in 0..2 {
        inside(|| {
            assert_eq!((*SET.get_or_init(|| 5), *LAZY), (5, 7));
            ONCE.call_once(|| ());
            assert!(ONCE.is_completed());
        });
    }
    assert_eq!(SET.get(), None);
    assert_eq!((*SET.get_or_init(|| 6), *LAZY), (6, 7));
    assert!(!ONCE.is_completed());
    ONCE.call_once(|| ());
    assert!(ONCE.is_completed());
    inside(|| assert_eq!(*SET.get_or_init(|| 5), 5));
}

#[test]
fn there_was_a_time_before_the_execution() {
    inside(|| {
        let now = Instant::now();
        assert_eq!(now - (now - Duration::from_secs(5)), Duration::from_secs(5));
    });
}

#[test]
fn to_park_may_end_for_no_reason() {
    let ended = |index| matches!(once(Strategy::Random, index, thread::park).verdict, Verdict::Finished);
    let count = (0..1000).filter(|index| ended(*index)).count();
    assert!(count > 0, "it never does");
    assert!(count < 100, "{count} of 1000: one execution in eight does, one time in four");
}

#[test]
fn who_uses_a_place_comes_after_who_emptied_it() {
    let program = |bound| {
        let plain = Plain::new(0);
        let (sender, receiver) = sync_channel(bound);
        let plain = &plain;
        thread::scope(|scope| {
            scope.spawn(move || {
                plain.write();
                receiver.recv().expect("two are sent");
                receiver.recv().expect("two are sent");
            });
            sender.send(1).expect("it is received");
            sender.send(2).expect("it is received");
            plain.read();
        });
    };
    ordered(|| program(1));
    racy(|| program(2));
}
