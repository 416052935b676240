//! A table is made once, under a lock, and found by a relaxed look at a flag.
//!
//! The fast path doesn't acquire: it knows that the table is there, and may see it as it was before. Finding: the initialisation
//! and the fast path's read race, whenever the fast path is taken.

use super::facade::sync::Mutex;
use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "double_checked_init",
    history: "double-checked locking; lazily made arenas and size tables",
    finding: Finding::Race,
    needs: Needs::Races,
};

struct Lazy {
    ready: AtomicUsize,
    lock: Mutex<()>,
    table: Plain,
}

fn get(lazy: &Lazy, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    // The bug: Acquire is missing, which pairs with the Release below.
    if lazy.ready.load(if twin { Acquire } else { Relaxed }) == 0 {
        let _lock = lazy.lock.lock().unwrap();
        // Relaxed: ordered by the lock.
        if lazy.ready.load(Relaxed) == 0 {
            lazy.table.set(7);
            lazy.ready.store(1, Release);
        }
    }
    assert_eq!(lazy.table.get(), 7, "a table that was made");
    noise.middle();
}

pub fn run(twin: bool, noise: usize) {
    let lazy = Arc::new(Lazy { ready: AtomicUsize::new(0), lock: Mutex::new(()), table: Plain::new(0) });
    let a = go(&lazy, move |l| get(l, twin, noise));
    let b = go(&lazy, move |l| get(l, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
}
