//! A work-stealing deque's owner has no fence between its store and its load.
//!
//! The owner takes the bottom down and then reads the top; the thief reads the top and then the bottom. Without the sequentially
//! consistent fence in between, the owner may see an old top and the thief an old bottom, and both take the same object without
//! an exchange that would tell (Chase and Lev's deque; fences by Lê and others, PPoPP 2013). Finding: an object in two hands.

use super::facade::sync::atomic::{AtomicUsize, fence};
use super::prelude::*;

pub const ABOUT: About = About {
    name: "deque_without_fence",
    history: "H11's family: crossbeam-deque; Chase and Lev's deque on weak memory",
    finding: Finding::Assertion,
    needs: Needs::Weak,
};

const OBJECTS: usize = 2;

struct Deque {
    top: AtomicUsize,
    bottom: AtomicUsize,
}

impl Deque {
    fn pop(&self, twin: bool) -> Option<usize> {
        let bottom = self.bottom.load(Relaxed) - 1;
        self.bottom.store(bottom, Relaxed);
        if twin {
            // SeqCst: pairs with the thief's fence.
            fence(SeqCst);
        }
        // The bug: this load may be older than the store above is.
        let top = self.top.load(Relaxed);
        if top < bottom {
            return Some(bottom);
        }
        self.bottom.store(bottom + 1, Relaxed);
        let is_last = top == bottom && self.top.compare_exchange(top, top + 1, SeqCst, Relaxed).is_ok();
        is_last.then_some(bottom)
    }

    fn steal(&self) -> Option<usize> {
        let top = self.top.load(Acquire);
        fence(SeqCst);
        let bottom = self.bottom.load(Acquire);
        let is_ours = top < bottom && self.top.compare_exchange(top, top + 1, SeqCst, Relaxed).is_ok();
        is_ours.then_some(top)
    }
}

pub fn run(twin: bool, noise: usize) {
    let deque = Arc::new(Deque { top: AtomicUsize::new(0), bottom: AtomicUsize::new(OBJECTS) });
    let owner = go(&deque, move |d| {
        let noise = Noise::before(noise);
        noise.middle();
        d.pop(twin)
    });
    let thief = go(&deque, move |d| {
        let noise = Noise::before(noise);
        let first = d.steal();
        noise.middle();
        [first, d.steal()]
    });
    let mut hands = [0; OBJECTS];
    let taken = owner.join().unwrap().into_iter().chain(thief.join().unwrap().into_iter().flatten());
    taken.for_each(|object| hands[object] += 1);
    assert!(hands.iter().all(|&n| n <= 1), "hands that each object is in: {hands:?}");
}
