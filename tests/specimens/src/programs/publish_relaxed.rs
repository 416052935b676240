//! A slot is published before what it holds is visible.
//!
//! The producer stores the object's fields and then the slot's state, both relaxed; the consumer acquires the state, but there is no
//! release to pair with, and it may see the object as it was before. Netty's outbound buffer was such a field, read by business
//! threads without any order (0fbb791ad6), and so was the count behind `refCnt()` (#2187). Finding: a stale field.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "publish_relaxed",
    history: "G2, G3: Netty #2187, 0fbb791ad6",
    finding: Finding::Assertion,
    needs: Needs::Weak,
};

struct Slot {
    length: AtomicUsize,
    full: AtomicUsize,
}

pub fn run(twin: bool, noise: usize) {
    let slot = Arc::new(Slot { length: AtomicUsize::new(0), full: AtomicUsize::new(0) });
    let producer = go(&slot, move |s| {
        let noise = Noise::before(noise);
        s.length.store(64, Relaxed);
        noise.middle();
        // The bug: Release is missing, which pairs with the consumer's Acquire.
        s.full.store(1, if twin { Release } else { Relaxed });
    });
    let consumer = go(&slot, move |s| {
        let noise = Noise::before(noise);
        if s.full.load(Acquire) == 1 {
            noise.middle();
            assert_eq!(s.length.load(Relaxed), 64, "a slot that is full");
        }
    });
    producer.join().unwrap();
    consumer.join().unwrap();
}
