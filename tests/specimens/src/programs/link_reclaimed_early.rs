//! A link of a queue is reused as soon as it is read up to what was written, not when it is full.
//!
//! The writer still has the link as its own and adds the next object to what is by then somebody else's (the weak-order queue of
//! Netty's recycler, whose links are reclaimed only when exhausted: #9394, #9640). Finding: an object that was added never arrives.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "link_reclaimed_early",
    history: "A4, B4: Netty #9640, #9394",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const CAPACITY: usize = 2;

struct Link {
    written: AtomicUsize,
    slots: [AtomicUsize; CAPACITY],
}

impl Link {
    /// What is new since `read`, which moves on.
    fn transfer(&self, read: &mut usize, twin: bool) -> usize {
        let written = self.written.load(Acquire);
        let mut got = 0;
        while *read < written {
            got += self.slots[*read].swap(0, Relaxed);
            *read += 1;
        }
        // The bug: all that is written is not all that will be.
        let is_done = if twin { *read == CAPACITY } else { *read > 0 };
        if is_done {
            self.written.store(0, Release);
            *read = 0;
        }
        got
    }
}

pub fn run(twin: bool, noise: usize) {
    let slots = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let link = Arc::new(Link { written: AtomicUsize::new(0), slots });
    let writer = go(&link, move |l| {
        let noise = Noise::before(noise);
        for at in 0..CAPACITY {
            l.slots[at].store(1, Relaxed);
            // Release: pairs with the Acquire in `transfer`. The writer's index is its own; the link's is for the owner.
            l.written.store(at + 1, Release);
        }
        noise.middle();
    });
    let owner = go(&link, move |l| {
        let noise = Noise::before(noise);
        let mut read = 0;
        let first = l.transfer(&mut read, twin);
        noise.middle();
        (first + l.transfer(&mut read, twin), read)
    });
    writer.join().unwrap();
    let (mut got, mut read) = owner.join().unwrap();
    got += link.transfer(&mut read, twin);
    assert_eq!(got, CAPACITY, "objects that arrived");
}
