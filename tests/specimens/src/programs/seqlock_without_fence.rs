//! A sequence lock's fences are missing.
//!
//! The writer makes the sequence odd, writes two words and makes it even; the reader compares the sequence before and after. Without
//! a fence between the words and the second look (and one after the odd sequence), the second look may be at an older value than
//! the words. Finding: two words that never were together.

use super::facade::sync::atomic::{AtomicUsize, fence};
use super::prelude::*;

pub const ABOUT: About = About {
    name: "seqlock_without_fence",
    history: "sequence locks; statistics and pool tables read without a lock",
    finding: Finding::Assertion,
    needs: Needs::Weak,
};

struct Pair {
    sequence: AtomicUsize,
    words: [AtomicUsize; 2],
}

pub fn run(twin: bool, noise: usize) {
    let zero = || AtomicUsize::new(0);
    let pair = Arc::new(Pair { sequence: zero(), words: [zero(), zero()] });
    let writer = go(&pair, move |p| {
        let noise = Noise::before(noise);
        p.sequence.store(1, Relaxed);
        if twin {
            // Release: whoever sees a word of these sees the odd sequence too, given the reader's fence.
            fence(Release);
        }
        p.words[0].store(1, Relaxed);
        p.words[1].store(1, Relaxed);
        p.sequence.store(2, Release);
        noise.middle();
    });
    let reader = go(&pair, move |p| {
        let noise = Noise::before(noise);
        let before = p.sequence.load(Acquire);
        let first = p.words[0].load(Relaxed);
        let second = p.words[1].load(Relaxed);
        if twin {
            // Acquire: pairs with the writer's fence.
            fence(Acquire);
        }
        // The bug: nothing orders this look after the words.
        let after = p.sequence.load(Relaxed);
        if before == after && before % 2 == 0 {
            assert_eq!(first, second, "words of one version");
        }
        noise.middle();
    });
    writer.join().unwrap();
    reader.join().unwrap();
}
