//! Whoever finds itself to be the only holder writes, after a relaxed look at the count.
//!
//! The other holder has released with release, but the look doesn't acquire it: what it read before is not ordered before the
//! write. Netty's plain read behind `refCnt()` (#2187) and bytes' conversions of unique buffers (#773) decide like this. Finding:
//! the former holder's read and the write race.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "unique_without_acquire",
    history: "G2, H8: Netty #2187; bytes #773",
    finding: Finding::Race,
    needs: Needs::Races,
};

struct Buffer {
    count: AtomicUsize,
    bytes: Plain,
}

pub fn run(twin: bool, noise: usize) {
    let buffer = Arc::new(Buffer { count: AtomicUsize::new(2), bytes: Plain::new(7) });
    let former = go(&buffer, move |b| {
        let noise = Noise::before(noise);
        assert_eq!(b.bytes.get(), 7);
        noise.middle();
        b.count.fetch_sub(1, Release);
    });
    let unique = go(&buffer, move |b| {
        let noise = Noise::before(noise);
        noise.middle();
        // The bug: Acquire is missing, which pairs with the other's Release.
        if b.count.load(if twin { Acquire } else { Relaxed }) == 1 {
            b.bytes.set(8);
        }
    });
    former.join().unwrap();
    unique.join().unwrap();
}
