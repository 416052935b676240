//! Mutual exclusion by flags, with acquire and release only.
//!
//! Peterson's algorithm stands on stores that are seen before the next load, which only SeqCst gives. With less, both find the
//! other's flag down. Finding: two threads in the critical section.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "peterson_acq_rel",
    history: "Dekker's and Peterson's algorithms, biased locks, asymmetric hand-overs",
    finding: Finding::Assertion,
    needs: Needs::Weak,
};

struct Door {
    wants: [AtomicUsize; 2],
    turn: AtomicUsize,
    inside: AtomicUsize,
}

fn enter(door: &Door, me: usize, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    // The bug: Release and Acquire let the load of the other's flag pass the store of one's own.
    let (store, load) = if twin { (SeqCst, SeqCst) } else { (Release, Acquire) };
    let other = 1 - me;
    door.wants[me].store(1, store);
    door.turn.store(other, store);
    if door.wants[other].load(load) == 0 || door.turn.load(load) == me {
        assert_eq!(door.inside.fetch_add(1, AcqRel), 0, "others inside");
        door.inside.fetch_sub(1, AcqRel);
    }
    door.wants[me].store(0, store);
    noise.middle();
}

pub fn run(twin: bool, noise: usize) {
    let zero = || AtomicUsize::new(0);
    let door = Arc::new(Door { wants: [zero(), zero()], turn: zero(), inside: zero() });
    let a = go(&door, move |d| enter(d, 0, twin, noise));
    let b = go(&door, move |d| enter(d, 1, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
}
