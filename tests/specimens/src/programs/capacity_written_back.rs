//! A pool's size is read, compared with its capacity, and written back.
//!
//! Two threads that return objects read the same size, both find room, and both write the same new size: the pool holds more than
//! it counts and outgrows its capacity (counters under different locks: #4829). Finding: more objects kept than fit.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "capacity_written_back",
    history: "B8, B24: Netty #2848, #4829",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const CAPACITY: usize = 3;

fn put(size: &AtomicUsize, twin: bool) -> usize {
    let mut old = size.load(Acquire);
    loop {
        if old == CAPACITY {
            return 0;
        }
        if !twin {
            // The bug: another put may have come in between.
            size.store(old + 1, Release);
            return 1;
        }
        match size.compare_exchange(old, old + 1, AcqRel, Acquire) {
            Ok(_) => return 1,
            Err(now) => old = now,
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let size = Arc::new(AtomicUsize::new(0));
    let returning = |size| {
        go(size, move |size: &AtomicUsize| {
            let noise = Noise::before(noise);
            let first = put(size, twin);
            noise.middle();
            first + put(size, twin)
        })
    };
    let (a, b) = (returning(&size), returning(&size));
    let kept = a.join().unwrap() + b.join().unwrap();
    assert!(kept <= CAPACITY, "{kept} objects in a pool of {CAPACITY}");
}
