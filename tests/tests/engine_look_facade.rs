//! What a look through the facade leaves as it was.

mod facade_support;

use facade_support::{Plain, finished};
use millpond::engine::{Execution, MemoryModel, Options, Strategy, Verdict, execute, exhaust, observed};
use millpond::sync::atomic::{AtomicU64, Ordering::Relaxed};
use millpond::sync::{Arc, Mutex};
use millpond::thread;
use millpond::time::Instant;
use std::time::Duration;

/// Another thread writes plainly, main looks with nothing that orders the two.
fn looked_at(read: fn(&Plain) -> u32) {
    let options = Options { memory: MemoryModel::Races, strategy: Strategy::RunOn, ..Options::default() };
    let execution = execute(&options, || {
        let plain = Arc::new(Plain::new(0));
        let theirs = Arc::clone(&plain);
        let other = thread::spawn(move || theirs.write());
        thread::sleep(Duration::from_millis(1)); // the other one runs to its end
        assert_eq!(observed(|| read(&plain)), 1);
        other.join().expect("no panic");
    });
    finished(&execution);
}

#[test]
fn a_guard_of_a_cell_makes_no_race() {
    looked_at(Plain::read);
    // SAFETY: nobody writes meanwhile.
    looked_at(|plain| unsafe { *plain.cell().get().deref() });
}

/// A program with a look in the middle, during which nobody may run.
fn with(look: impl Fn()) -> Execution {
    let options = Options { strategy: Strategy::RoundRobin, ..Options::default() };
    execute(&options, || {
        let word = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&word);
        let other = thread::spawn(move || {
            for _ in 0..5 {
                theirs.fetch_add(1, Relaxed);
            }
        });
        observed(|| {
            let before = word.load(Relaxed);
            look();
            assert_eq!(word.load(Relaxed), before);
        });
        other.join().expect("no panic");
    })
}

#[test]
fn the_clock_read_again_and_again_is_no_step() {
    let watched = with(|| {
        for _ in 0..20 {
            assert_eq!(Instant::now().elapsed(), Duration::ZERO);
        }
    });
    finished(&watched);
    let plain = with(|| ());
    assert_eq!((watched.steps, watched.digest), (plain.steps, plain.digest));
}

#[test]
fn the_end_of_a_thread_is_no_access_of_a_look() {
    let many = |looks: bool| {
        let options = Options { strategy: Strategy::Dpor, ..Options::default() };
        let all = exhaust(&options, 1000, move || {
            let other = thread::spawn(|| ());
            let _ended = observed(|| looks && other.is_finished());
            other.join().expect("no panic");
        });
        all.unwrap_or_else(|failure| panic!("{failure:?}")).schedules
    };
    assert_eq!(many(true), many(false));
}

#[test]
fn a_lock_is_no_progress() {
    let spin = |look: bool| {
        let options = Options { max_steps: 100_000, ..Options::default() };
        let execution = execute(&options, || {
            let (word, lock) = (Arc::new(AtomicU64::new(0)), Mutex::new(()));
            let theirs = Arc::clone(&word);
            let other = thread::spawn(move || {
                while theirs.load(Relaxed) == 0 {
                    thread::yield_now();
                }
            });
            while word.load(Relaxed) == 0 {
                if look {
                    observed(|| drop(lock.lock()));
                }
                thread::yield_now();
            }
            other.join().expect("no panic");
        });
        execution.verdict
    };
    for look in [false, true] {
        let verdict = spin(look);
        assert!(matches!(verdict, Verdict::Livelock { .. }), "{look}: {verdict}");
    }
}

#[test]
fn what_fails_in_it_fails_at_its_step() {
    let steps = |reads: u32| {
        let execution = execute(&Options::default(), || {
            let word = AtomicU64::new(0);
            observed(|| {
                for _ in 0..reads {
                    assert_eq!(word.load(Relaxed), 0);
                }
                assert_ne!(word.load(Relaxed), 0);
            });
        });
        assert!(matches!(execution.verdict, Verdict::Panic { .. }), "{}", execution.verdict);
        execution.steps
    };
    assert_eq!(steps(50), steps(0));
}
