//! A ring's consumer gives a slot back before it has read it.
//!
//! The read index moves on, the producer finds room and writes the next object there, and the consumer reads that one: one object
//! twice, one not at all. Finding: the producer's write and the consumer's read race.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "ring_slot_given_back_early",
    history: "A4's family: Netty #9640; single-producer rings",
    finding: Finding::Race,
    needs: Needs::Races,
};

/// A ring of one slot.
struct Ring {
    written: AtomicUsize,
    read: AtomicUsize,
    slot: Plain,
}

pub fn run(twin: bool, noise: usize) {
    // The first object is there.
    let ring = Ring { written: AtomicUsize::new(1), read: AtomicUsize::new(0), slot: Plain::new(1) };
    let ring = Arc::new(ring);
    let producer = go(&ring, move |r| {
        let noise = Noise::before(noise);
        noise.middle();
        // Acquire: the consumer is done with the slot.
        if r.read.load(Acquire) == 1 {
            r.slot.set(2);
            r.written.store(2, Release);
        }
    });
    let consumer = go(&ring, move |r| {
        let noise = Noise::before(noise);
        if twin {
            let object = r.slot.get();
            r.read.store(1, Release);
            noise.middle();
            object
        } else {
            // The bug: the slot is given back and then read.
            r.read.store(1, Release);
            let object = r.slot.get();
            noise.middle();
            object
        }
    });
    producer.join().unwrap();
    assert_eq!(consumer.join().unwrap(), 1, "the object that was there first");
    assert!(ring.written.load(Acquire) > 0);
}
