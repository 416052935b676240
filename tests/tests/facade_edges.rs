//! What the facade's types order, and what they don't: told by data races on cells beside them.

mod facade_support;

use facade_support::{Plain, finished, run};
use millpond::engine::{MemoryModel, Options, Strategy, Verdict, exhaust};
use millpond::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use millpond::sync::atomic::{AtomicBool, AtomicUsize, fence};
use millpond::sync::mpsc::{channel, sync_channel};
use millpond::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Notify, Once, OnceLock, RwLock};
use millpond::{hint, thread};

const MEMORIES: [MemoryModel; 2] = [MemoryModel::Races, MemoryModel::Weak];

/// No execution has a race.
#[track_caller]
fn ordered(program: impl Fn()) {
    for memory in MEMORIES {
        for index in 0..300 {
            finished(&run(memory, index, &program));
        }
    }
}

/// Some execution has a race, and none fails otherwise.
#[track_caller]
fn racy(program: impl Fn()) {
    for memory in MEMORIES {
        let raced = (0..300).any(|index| match run(memory, index, &program).verdict {
            Verdict::Finished => false,
            verdict @ Verdict::Finding(_) => verdict.to_string().contains("race"),
            other => panic!("{other}"),
        });
        assert!(raced, "{memory:?}");
    }
}

#[test]
fn threads() {
    ordered(|| {
        let cell = Arc::new(Plain::new(0));
        cell.write();
        let theirs = Arc::clone(&cell);
        thread::spawn(move || theirs.write()).join().expect("no panic");
        assert_eq!(cell.read(), 2);
        let cell = Plain::new(0);
        cell.write();
        thread::scope(|scope| {
            scope.spawn(|| cell.write());
        });
        assert_eq!(cell.read(), 2);
    });
    racy(|| {
        let cell = Arc::new(Plain::new(0));
        let theirs = Arc::clone(&cell);
        let other = thread::spawn(move || theirs.write());
        cell.read();
        other.join().expect("no panic");
    });
    racy(|| {
        let cell = Plain::new(0);
        thread::scope(|scope| {
            scope.spawn(|| cell.write());
            scope.spawn(|| cell.read());
        });
    });
    // Whoever is unparked comes after. Enumerated, since nobody parks for no reason then.
    let unparked = || {
        let (cell, flag) = (Plain::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let main = thread::current();
            let (cell, flag) = (&cell, &flag);
            scope.spawn(move || {
                cell.write();
                flag.store(true, Relaxed);
                main.unpark();
            });
            thread::park();
            if flag.load(Relaxed) {
                cell.read();
            }
        });
    };
    let options =
        Options { strategy: Strategy::Dfs { preemptions: 2 }, memory: MemoryModel::Races, ..Options::default() };
    let reached = exhaust(&options, 100_000, unparked).unwrap_or_else(|failure| panic!("{failure:?}"));
    assert!(reached.complete, "{reached:?}");
}

#[test]
fn locks() {
    ordered(|| {
        let (mutex, lock, cell) = (Mutex::new(()), RwLock::new(()), Plain::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _guard = mutex.lock();
                    cell.write();
                });
            }
        });
        thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = lock.write();
                cell.write();
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    let _guard = lock.read();
                    cell.read();
                });
            }
        });
    });
    // Readers are not ordered among each other.
    racy(|| {
        let (lock, cell) = (RwLock::new(()), Plain::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _guard = lock.read();
                    cell.write();
                });
            }
        });
    });
    // Two locks exclude nobody.
    racy(|| {
        let (a, b, cell) = (Mutex::new(()), Mutex::new(()), Plain::new(0));
        let work = |mutex: &Mutex<()>| {
            let _guard = mutex.lock();
            cell.write();
        };
        thread::scope(|scope| {
            scope.spawn(|| work(&a));
            scope.spawn(|| work(&b));
        });
    });
}

#[test]
fn conditions_barriers_and_notifications() {
    ordered(|| {
        let (mutex, condvar, cell) = (Mutex::new(false), Condvar::new(), Plain::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                cell.write();
                *mutex.lock().expect("no poison") = true;
                condvar.notify_one();
            });
            let guard = mutex.lock().expect("no poison");
            drop(condvar.wait_while(guard, |ready| !*ready).expect("no poison"));
            cell.read();
        });
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                cell.write();
                barrier.wait();
                barrier.wait();
                cell.write();
            });
            barrier.wait();
            cell.read();
            barrier.wait();
        });
        let (notify, flag) = (Notify::new(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                cell.write();
                flag.store(true, Relaxed);
                notify.notify();
            });
            while !flag.load(Relaxed) {
                notify.wait();
            }
        });
    });
    racy(|| {
        let (barrier, cell) = (Barrier::new(2), Plain::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                cell.write();
            });
            barrier.wait();
            cell.read();
        });
    });
}

#[test]
fn initialisations() {
    ordered(|| {
        let (once, lock, cell) = (Once::new(), OnceLock::new(), Plain::new(0));
        let lazy = LazyLock::new(|| cell.write());
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    LazyLock::force(&lazy);
                    cell.read();
                });
            }
        });
        thread::scope(|scope| {
            scope.spawn(|| once.call_once(|| cell.write()));
            scope.spawn(|| {
                if once.is_completed() {
                    cell.read();
                }
            });
        });
        thread::scope(|scope| {
            scope.spawn(|| lock.get_or_init(|| cell.write()));
            scope.spawn(|| lock.get().map(|()| cell.read()));
        });
    });
}

#[test]
fn channels() {
    ordered(|| {
        let (cell, (sender, receiver)) = (Plain::new(0), channel());
        thread::scope(|scope| {
            let cell = &cell;
            scope.spawn(move || {
                cell.write();
                sender.send(1).expect("a receiver");
                cell.read();
            });
            receiver.recv().expect("a message");
            assert_eq!(cell.read(), 1);
            // The end of the channel, too.
            assert!(receiver.recv().is_err());
            cell.write();
        });
        // With no places, receiving comes before sending has returned.
        let (cell, (sender, receiver)) = (Plain::new(0), sync_channel(0));
        thread::scope(|scope| {
            let cell = &cell;
            scope.spawn(move || {
                sender.send(1).expect("a receiver");
                cell.read();
            });
            cell.write();
            receiver.recv().expect("a message");
        });
    });
    // A message says nothing of another sender's work.
    racy(|| {
        let (cell, (sender, receiver)) = (Plain::new(0), channel());
        thread::scope(|scope| {
            let (cell, second) = (&cell, sender.clone());
            scope.spawn(move || {
                cell.write();
                sender.send(1).expect("a receiver");
            });
            scope.spawn(move || second.send(2).expect("a receiver"));
            if receiver.recv() == Ok(2) {
                cell.read();
            }
            while receiver.recv().is_ok() {}
        });
    });
    // A bound makes no order backwards.
    racy(|| {
        let (cell, (sender, receiver)) = (Plain::new(0), sync_channel(2));
        thread::scope(|scope| {
            let cell = &cell;
            scope.spawn(move || {
                sender.send(1).expect("a receiver");
                cell.read();
            });
            cell.write();
            receiver.recv().expect("a message");
        });
    });
}

#[test]
fn reference_counts() {
    struct Reads(Arc<Plain>);
    impl Drop for Reads {
        fn drop(&mut self) {
            self.0.read();
        }
    }
    // What was done with one reference comes before the destructor, which another thread runs.
    ordered(|| {
        let cell = Arc::new(Plain::new(0));
        let shared = Arc::new(Reads(Arc::clone(&cell)));
        let theirs = (Arc::clone(&shared), Arc::clone(&cell));
        let other = thread::spawn(move || {
            theirs.1.write();
            drop(theirs.0);
        });
        drop(shared);
        other.join().expect("no panic");
    });
    ordered(|| {
        let mut shared = Arc::new(Plain::new(0));
        let theirs = Arc::clone(&shared);
        let other = thread::spawn(move || theirs.write());
        while Arc::get_mut(&mut shared).is_none() {
            hint::spin_loop();
        }
        shared.read();
        other.join().expect("no panic");
    });
    // Dropping a reference that is not the last orders nothing.
    racy(|| {
        let cell = Arc::new(Plain::new(0));
        let shared = Arc::new(());
        let theirs = (Arc::clone(&shared), Arc::clone(&cell));
        let other = thread::spawn(move || {
            theirs.1.write();
            drop(theirs.0);
        });
        let again = Arc::clone(&shared);
        drop(again);
        if Arc::strong_count(&shared) == 1 {
            cell.read();
        }
        other.join().expect("no panic");
    });
}

#[test]
fn atomics() {
    let message = |store, load, fences: bool| {
        move || {
            let (cell, ready) = (Plain::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                scope.spawn(|| {
                    cell.write();
                    if fences {
                        fence(Release);
                    }
                    ready.store(1, store);
                });
                if ready.load(load) == 1 {
                    if fences {
                        fence(Acquire);
                    }
                    cell.read();
                }
            });
        }
    };
    ordered(message(Release, Acquire, false));
    ordered(message(Relaxed, Relaxed, true));
    racy(message(Release, Relaxed, false));
    racy(message(Relaxed, Acquire, false));
}

#[test]
fn a_static_is_anew_for_the_memory_model_too() {
    static READY: AtomicUsize = AtomicUsize::new(0);
    ordered(|| {
        let cell = Plain::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                cell.write();
                READY.fetch_add(1, Release);
            });
            match READY.load(Acquire) {
                0 => {}
                1 => _ = cell.read(),
                n => panic!("{n}"),
            }
        });
        assert_eq!(READY.load(Relaxed), 1);
    });
}

/// A thread does `publish` with a cell and a flag; this one reads the cell if it sees the flag.
fn read_if_ready(publish: impl Fn(&Plain, &AtomicBool) + Sync) {
    let (cell, ready) = (Plain::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| publish(&cell, &ready));
        if ready.load(Acquire) {
            cell.read();
        }
    });
}

#[test]
fn a_guard_of_a_cell_is_an_access_until_it_is_dropped() {
    racy(|| {
        read_if_ready(|cell, ready| {
            let guard = cell.cell().get_mut();
            ready.store(true, Release); // too early
            ready.load(Relaxed); // others may run before the guard is dropped
            drop(guard);
        });
    });
    racy(|| {
        read_if_ready(|cell, ready| {
            let guard = cell.cell().get_mut();
            ready.store(true, Release); // too early
            // SAFETY: none: it is seen.
            guard.with(|value| unsafe { *value = 1 });
        });
    });
    racy(|| {
        read_if_ready(|cell, ready| {
            let guard = cell.cell().get_mut();
            ready.store(true, Release); // too early
            // SAFETY: none: it is seen.
            let _ = unsafe { guard.deref() };
        });
    });
    // A guard that is a field outlives the destructor that publishes its data, and nothing is done with it.
    ordered(|| {
        read_if_ready(|cell, ready| {
            let _guard = cell.cell().get_mut();
            ready.store(true, Release);
        });
    });
    ordered(|| {
        let (cell, ready) = (Plain::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                drop(cell.cell().get_mut());
                ready.store(true, Release);
            });
            if ready.load(Acquire) {
                // SAFETY: nobody writes any more.
                assert_eq!(unsafe { *cell.cell().get().deref() }, 0);
            }
        });
    });
}
