//! A reference is dropped with a relaxed decrement, and the last holder frees the buffer.
//!
//! The holder that comes to zero has an acquire fence, but nothing to pair it with: what the other one still did with the buffer
//! is not ordered before the free. It happens with every hand-made count that copies the increment's `Relaxed` to the decrement;
//! `Arc` and Netty's counts have release here. Finding: the use and the free race, in every order of steps.

use super::facade::sync::atomic::{AtomicUsize, fence};
use super::prelude::*;

pub const ABOUT: About = About {
    name: "refcount_relaxed",
    history: "hand-made reference counts; the ordering of Arc's drop",
    finding: Finding::Race,
    needs: Needs::Races,
};

struct Buffer {
    count: AtomicUsize,
    bytes: Plain,
}

impl Buffer {
    fn last_use_and_release(&self, twin: bool, noise: usize) {
        let noise = Noise::before(noise);
        assert_eq!(self.bytes.get(), 7);
        noise.middle();
        // The bug: Release is missing, which pairs with the fence of the one that frees.
        if self.count.fetch_sub(1, if twin { Release } else { Relaxed }) == 1 {
            fence(Acquire);
            self.bytes.set(0);
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let buffer = Arc::new(Buffer { count: AtomicUsize::new(2), bytes: Plain::new(7) });
    let a = go(&buffer, move |b| b.last_use_and_release(twin, noise));
    let b = go(&buffer, move |b| b.last_use_and_release(twin, noise));
    a.join().unwrap();
    b.join().unwrap();
}
