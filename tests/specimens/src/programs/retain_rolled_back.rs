//! A count is changed first and put right if that was wrong.
//!
//! A retain of a dead buffer takes the count from zero to one before it notices. In that moment a release, just as illegal, takes
//! it from one to zero and frees a second time (#8563, introduced in 4.1.17). Two errors of callers must not become a third thing.
//! Finding: two frees.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "retain_rolled_back",
    history: "G1: Netty #8563, #8583",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

fn retain(count: &AtomicUsize, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    if twin {
        let _ = count.fetch_update(AcqRel, Acquire, |count| (count > 0).then(|| count + 1));
        return;
    }
    // The bug: for a moment it is alive again.
    if count.fetch_add(1, AcqRel) == 0 {
        count.fetch_sub(1, AcqRel);
    }
    noise.middle();
}

/// How often it was freed by this.
fn release(count: &AtomicUsize, twin: bool, noise: usize) -> usize {
    let noise = Noise::before(noise);
    noise.middle();
    if twin {
        let old = count.fetch_update(AcqRel, Acquire, |count| count.checked_sub(1));
        return usize::from(old == Ok(1));
    }
    let old = count.fetch_sub(1, AcqRel);
    if old == 0 {
        count.fetch_add(1, AcqRel);
    }
    usize::from(old == 1)
}

pub fn run(twin: bool, noise: usize) {
    let count = Arc::new(AtomicUsize::new(1));
    let a = go(&count, move |c| release(c, twin, noise));
    let b = go(&count, move |c| release(c, twin, noise));
    let c = go(&count, move |c| retain(c, twin, noise));
    c.join().unwrap();
    let frees = a.join().unwrap() + b.join().unwrap();
    // A retain that came first was legal, and then nobody may free at all before both have released.
    assert!(frees <= 1, "{frees} frees");
}
