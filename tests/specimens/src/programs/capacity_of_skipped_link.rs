//! A link that was read to its end before it had a successor is skipped later, and its capacity is never given back.
//!
//! The owner gives a link's capacity back when it is exhausted and has a successor. If the successor comes later, the next transfer
//! merely moves on: sixteen units less each time, until nothing is pooled any more (#9394). Whether it happens depends on where the
//! owner stands when the writer appends. Finding: at rest, capacity and links do not add up.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "capacity_of_skipped_link",
    history: "B4: Netty #9394",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

/// Links that the capacity allows, each of one object.
const LINKS: usize = 2;

struct Queue {
    available: AtomicUsize,
    written: [AtomicUsize; LINKS],
    has_next: AtomicUsize,
}

/// The owner's place: a link, and whether it was read.
#[derive(Clone, Copy)]
struct Place {
    link: usize,
    is_read: bool,
}

impl Queue {
    fn transfer(&self, place: &mut Place, twin: bool) {
        if place.is_read {
            if place.link + 1 == LINKS || self.has_next.load(Acquire) == 0 {
                return;
            }
            // The bug: it moves on without giving back.
            if twin {
                self.available.fetch_add(1, AcqRel);
            }
            *place = Place { link: place.link + 1, is_read: false };
        }
        if self.written[place.link].load(Acquire) == 1 {
            place.is_read = true;
            if place.link == 0 && self.has_next.load(Acquire) == 1 {
                self.available.fetch_add(1, AcqRel);
                *place = Place { link: 1, is_read: false };
            }
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let zero = || AtomicUsize::new(0);
    let queue = Queue { available: AtomicUsize::new(LINKS), written: [zero(), zero()], has_next: zero() };
    let queue = Arc::new(queue);
    let writer = go(&queue, move |q| {
        let noise = Noise::before(noise);
        q.available.fetch_sub(1, AcqRel);
        q.written[0].store(1, Release);
        q.available.fetch_sub(1, AcqRel);
        q.has_next.store(1, Release);
        q.written[1].store(1, Release);
        noise.middle();
    });
    let owner = go(&queue, move |q| {
        let noise = Noise::before(noise);
        let mut place = Place { link: 0, is_read: false };
        q.transfer(&mut place, twin);
        noise.middle();
        q.transfer(&mut place, twin);
        place
    });
    writer.join().unwrap();
    let mut place = owner.join().unwrap();
    for _ in 0..LINKS {
        queue.transfer(&mut place, twin);
    }
    assert_eq!(queue.available.load(Acquire), LINKS - 1, "all but the last link is given back");
}
