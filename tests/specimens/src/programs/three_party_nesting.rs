//! Three threads nest: one is inside the window of another that is inside the window of a third.
//!
//! A chunk is lent, borrowed by a second thread, trimmed by a third, given back by the second and then taken back by the first,
//! which frees it: that is wrong only if all five steps come in this order, since a trimmed chunk has been freed by the trim. It
//! takes two parked threads and their return in the order opposite to that in which they were parked, which a tester whose
//! later demotions are always the lower ones never tries. Finding: a chunk is freed twice.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "three_party_nesting",
    history: "the shape that separates PCT by the paper from PCT as commonly built",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const POOLED: usize = 0;
const LENT: usize = 1;
const BORROWED: usize = 2;
const TRIMMED: usize = 3;
const BACK: usize = 4;

struct Chunk {
    state: AtomicUsize,
    frees: AtomicUsize,
}

impl Chunk {
    fn moves(&self, from: usize, to: usize) -> bool {
        self.state.compare_exchange(from, to, AcqRel, Acquire).is_ok()
    }

    fn free(&self) {
        self.frees.fetch_add(1, AcqRel);
    }
}

pub fn run(twin: bool, noise: usize) {
    let chunk = Arc::new(Chunk { state: AtomicUsize::new(POOLED), frees: AtomicUsize::new(0) });
    let lender = go(&chunk, move |c| {
        let noise = Noise::before(noise);
        let lent = c.moves(POOLED, LENT);
        noise.middle();
        if lent && (c.moves(BACK, POOLED) || c.moves(LENT, POOLED)) {
            c.free();
        }
    });
    let borrower = go(&chunk, move |c| {
        let noise = Noise::before(noise);
        let borrowed = c.moves(LENT, BORROWED);
        noise.middle();
        if borrowed && !c.moves(BORROWED, BACK) && !twin {
            // The bug: what was trimmed goes back as if it were whole.
            c.moves(TRIMMED, BACK);
        }
    });
    let trimmer = go(&chunk, move |c| {
        let noise = Noise::before(noise);
        noise.middle();
        if c.moves(BORROWED, TRIMMED) {
            c.free();
        }
    });
    lender.join().unwrap();
    borrower.join().unwrap();
    trimmer.join().unwrap();
    assert!(chunk.frees.load(Acquire) <= 1, "a chunk is freed once");
}
