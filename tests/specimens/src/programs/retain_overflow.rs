//! A retain looks whether the count may grow, and then lets it grow.
//!
//! Near the maximum two threads both find room for one more, and the count goes beyond what its bits hold: the next release finds
//! a count that means something else. Netty's counts detect overflow after the fact, `Arc` leaves room for every thread there is.
//! Finding: a count above its maximum.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "retain_overflow",
    history: "G1's family: the overflow checks of reference counts",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const MAX: usize = 5;

fn retain(count: &AtomicUsize, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    if twin {
        noise.middle();
        let _ = count.fetch_update(AcqRel, Acquire, |count| (count < MAX).then(|| count + 1));
        return;
    }
    // The bug: there was room when it looked.
    let has_room = count.load(Acquire) < MAX;
    if has_room {
        count.fetch_add(1, AcqRel);
    }
    noise.middle();
}

pub fn run(twin: bool, noise: usize) {
    let count = Arc::new(AtomicUsize::new(MAX - 2));
    let threads = [0; 3].map(|_| go(&count, move |c| retain(c, twin, noise)));
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(count.load(Acquire) <= MAX, "a count above its maximum");
}
