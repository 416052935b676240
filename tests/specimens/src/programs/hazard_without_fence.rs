//! A reader announces what it reads, and looks again whether that is still current, without a fence in between.
//!
//! The reclaimer unlinks and then reads the announcements. With acquire and release only, each may miss the other's store, and the
//! object is freed under its reader (hazard pointers; crossbeam-epoch's pinning has the fence for this reason, and its queue freed a
//! node that was still reachable: 26188305). Finding: the read and the free race.

use super::facade::sync::atomic::{AtomicUsize, fence};
use super::prelude::*;

pub const ABOUT: About = About {
    name: "hazard_without_fence",
    history: "H7's family: crossbeam-epoch 26188305; hazard pointers",
    finding: Finding::Race,
    needs: Needs::Weak,
};

struct Domain {
    current: AtomicUsize,
    hazard: AtomicUsize,
    first: Plain,
}

pub fn run(twin: bool, noise: usize) {
    let domain = Domain { current: AtomicUsize::new(1), hazard: AtomicUsize::new(0), first: Plain::new(7) };
    let domain = Arc::new(domain);
    let reader = go(&domain, move |d| {
        let noise = Noise::before(noise);
        let object = d.current.load(Acquire);
        d.hazard.store(object, Release);
        noise.middle();
        if twin {
            // SeqCst: pairs with the reclaimer's fence: one of the two sees the other's store.
            fence(SeqCst);
        }
        // The bug: this load may come before the store above.
        if object == 1 && d.current.load(Acquire) == 1 {
            assert_eq!(d.first.get(), 7, "it is announced and current");
        }
        d.hazard.store(0, Release);
    });
    let reclaimer = go(&domain, move |d| {
        let noise = Noise::before(noise);
        d.current.store(2, Release);
        noise.middle();
        if twin {
            fence(SeqCst);
        }
        if d.hazard.load(Acquire) != 1 {
            d.first.set(0);
        }
    });
    reader.join().unwrap();
    reclaimer.join().unwrap();
}
