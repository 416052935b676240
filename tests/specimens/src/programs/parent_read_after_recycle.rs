//! A derived buffer goes back to its pool before its parent is read from it.
//!
//! Once it is in the pool, its owner gets it and gives it another parent, and the first thread releases that one: one parent leaks
//! and another is freed under its holder (7137d22994). Finding: counts that don't add up.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "parent_read_after_recycle",
    history: "A8: Netty 7137d22994",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

/// A pooled slice, and the counts of the two buffers that it may be a slice of.
struct Slice {
    pooled: AtomicUsize,
    parent: AtomicUsize,
    counts: [AtomicUsize; 2],
}

pub fn run(twin: bool, noise: usize) {
    let counts = [AtomicUsize::new(1), AtomicUsize::new(1)];
    let slice = Arc::new(Slice { pooled: AtomicUsize::new(0), parent: AtomicUsize::new(0), counts });
    let releasing = go(&slice, move |s| {
        let noise = Noise::before(noise);
        let parent = if twin {
            let parent = s.parent.load(Relaxed);
            s.pooled.store(1, Release);
            parent
        } else {
            s.pooled.store(1, Release);
            // The bug: it may be somebody else's slice by now.
            s.parent.load(Relaxed)
        };
        noise.middle();
        s.counts[parent].fetch_sub(1, AcqRel);
    });
    let owner = go(&slice, move |s| {
        let noise = Noise::before(noise);
        noise.middle();
        if s.pooled.swap(0, Acquire) == 1 {
            s.parent.store(1, Relaxed);
        }
    });
    releasing.join().unwrap();
    owner.join().unwrap();
    assert_eq!(slice.counts[0].load(Acquire), 0, "holders of the first parent");
    assert_eq!(slice.counts[1].load(Acquire), 1, "holders of the second parent");
}
