//! A buffer is retained from a count of zero.
//!
//! Whoever finds a buffer in a cache looks whether it is alive and then counts itself in. Between the two the last holder releases
//! and frees; the count goes from zero to one and everything looks in order (`Weak::upgrade` without its loop, #2187's decisions on
//! a count read before). Finding: use after free.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "resurrection",
    history: "G1, G2: Netty #8563, #2187; upgrades of weak references",
    finding: Finding::Race,
    needs: Needs::Interleaving,
};

const LIVE: usize = 7;

struct Buffer {
    count: AtomicUsize,
    bytes: Plain,
}

impl Buffer {
    fn retain(&self, twin: bool) -> bool {
        let mut count = self.count.load(Acquire);
        loop {
            if count == 0 {
                return false;
            }
            if !twin {
                // The bug: it may be zero by now.
                self.count.fetch_add(1, AcqRel);
                return true;
            }
            match self.count.compare_exchange(count, count + 1, AcqRel, Acquire) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
    }

    fn release(&self) {
        if self.count.fetch_sub(1, AcqRel) == 1 {
            self.bytes.set(0);
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let buffer = Arc::new(Buffer { count: AtomicUsize::new(1), bytes: Plain::new(LIVE) });
    let last = go(&buffer, move |b| {
        let noise = Noise::before(noise);
        noise.middle();
        b.release();
    });
    let finder = go(&buffer, move |b| {
        let noise = Noise::before(noise);
        if b.retain(twin) {
            assert_eq!(b.bytes.get(), LIVE, "it is used after it was freed");
            b.release();
        }
        noise.middle();
    });
    last.join().unwrap();
    finder.join().unwrap();
}
