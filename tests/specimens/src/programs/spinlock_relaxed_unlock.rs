//! A spin lock is unlocked with a relaxed store.
//!
//! It excludes, but it doesn't order: what was done under the lock need not be visible to who takes it next. Finding: two critical
//! sections race, in every order of steps.

use super::facade::hint;
use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "spinlock_relaxed_unlock",
    history: "hand-made locks around free lists; G7's lists without their lock (Netty #4198)",
    finding: Finding::Race,
    needs: Needs::Races,
};

struct Lock {
    locked: AtomicUsize,
    size: Plain,
}

fn add(lock: &Lock, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    while lock.locked.swap(1, Acquire) == 1 {
        hint::spin_loop();
    }
    let size = lock.size.get();
    noise.middle();
    lock.size.set(size + 1);
    // The bug: Release is missing, which pairs with the Acquire of the next one.
    lock.locked.store(0, if twin { Release } else { Relaxed });
}

pub fn run(twin: bool, noise: usize) {
    let lock = Arc::new(Lock { locked: AtomicUsize::new(0), size: Plain::new(0) });
    let a = go(&lock, move |l| add(l, twin, noise));
    let b = go(&lock, move |l| add(l, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
    assert_eq!(lock.size.get(), 2);
}
