//! A weak exchange that fails is taken for an exchange that another thread won.
//!
//! Two holders claim an object by one weak compare-exchange each, without a loop. On some machines it fails for no reason: both
//! leave the object to the other one, and nobody frees it. Finding: an object that nobody claims.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "weak_exchange_once",
    history: "spurious failures on load-linked machines; claims of pooled handles",
    finding: Finding::Assertion,
    needs: Needs::Weak,
};

fn claim(state: &AtomicUsize, twin: bool, noise: usize) -> bool {
    let noise = Noise::before(noise);
    noise.middle();
    loop {
        match state.compare_exchange_weak(0, 1, AcqRel, Acquire) {
            Ok(_) => return true,
            Err(0) if twin => {}
            // The bug: it may be 0, which is no reason to leave.
            Err(_) => return false,
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let state = Arc::new(AtomicUsize::new(0));
    let a = go(&state, move |s| claim(s, twin, noise));
    let b = go(&state, move |s| claim(s, twin, noise));
    let claims = usize::from(a.join().unwrap()) + usize::from(b.join().unwrap());
    assert_eq!(claims, 1, "claims of one object");
}
