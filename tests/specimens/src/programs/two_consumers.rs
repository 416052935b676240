//! A queue for one consumer has two: its owner, and the thread that cleans up.
//!
//! Both read the same index, take the same object and move the index on. Netty's recycler let the owner and others poll one queue
//! (the lock-based one of #11972 was made to tell), and thread caches are drained by their thread and by a finalizer (#8108).
//! Finding: an object in two hands.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "two_consumers",
    history: "A12, B13: Netty #11972, #8108",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const OBJECTS: usize = 2;

struct Queue {
    read: AtomicUsize,
    slots: [AtomicUsize; OBJECTS],
}

fn poll(queue: &Queue, twin: bool) -> usize {
    loop {
        let read = queue.read.load(Acquire);
        if read == OBJECTS {
            return 0;
        }
        let object = queue.slots[read].load(Relaxed);
        if !twin {
            // The bug: the index was read some time ago.
            queue.read.store(read + 1, Release);
            return object;
        }
        if queue.read.compare_exchange(read, read + 1, AcqRel, Acquire).is_ok() {
            return object;
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let slots = [AtomicUsize::new(1), AtomicUsize::new(2)];
    let queue = Arc::new(Queue { read: AtomicUsize::new(0), slots });
    let consumer = move |q: &Queue| {
        let noise = Noise::before(noise);
        let object = poll(q, twin);
        noise.middle();
        object
    };
    let (owner, cleaner) = (go(&queue, consumer), go(&queue, consumer));
    let (a, b) = (owner.join().unwrap(), cleaner.join().unwrap());
    assert_ne!(a, b, "one object for two");
}
