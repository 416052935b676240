//! The chunk that waits in a magazine is taken by a read and a write.
//!
//! An allocator parks one chunk for whoever needs the next. Two threads take the same one, or both find the place empty and put
//! theirs there, and one chunk is referenced by nobody (Netty's adaptive allocator: #14348, #15424). Finding: a chunk with two
//! users, or with none.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "magazine_swap",
    history: "B21, B22: Netty #15424, #14348",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

/// The chunk with this index is parked; 0 is none.
struct Magazine {
    parked: AtomicUsize,
    users: [AtomicUsize; 4],
    freed: AtomicUsize,
}

impl Magazine {
    fn take(&self, twin: bool) -> usize {
        if twin {
            return self.parked.swap(0, AcqRel);
        }
        // The bug: another one takes it before it is gone.
        let chunk = self.parked.load(Acquire);
        if chunk != 0 {
            self.parked.store(0, Release);
        }
        chunk
    }

    fn park(&self, chunk: usize, twin: bool) {
        let is_parked = if twin {
            self.parked.compare_exchange(0, chunk, AcqRel, Acquire).is_ok()
        } else {
            // The bug again: another one parks in between.
            let is_empty = self.parked.load(Acquire) == 0;
            if is_empty {
                self.parked.store(chunk, Release);
            }
            is_empty
        };
        if !is_parked {
            self.freed.fetch_add(1, AcqRel);
        }
    }

    fn work(&self, own: usize, twin: bool, noise: usize) {
        let noise = Noise::before(noise);
        let chunk = match self.take(twin) {
            0 => own,
            chunk => chunk,
        };
        assert_eq!(self.users[chunk].fetch_add(1, AcqRel), 0, "users of a chunk that is taken");
        self.users[chunk].fetch_sub(1, AcqRel);
        noise.middle();
        if chunk != own {
            self.freed.fetch_add(1, AcqRel);
        }
        self.park(own, twin);
    }
}

pub fn run(twin: bool, noise: usize) {
    let zero = || AtomicUsize::new(0);
    let magazine = Magazine { parked: AtomicUsize::new(1), users: [zero(), zero(), zero(), zero()], freed: zero() };
    let magazine = Arc::new(magazine);
    let a = go(&magazine, move |m| m.work(2, twin, noise));
    let b = go(&magazine, move |m| m.work(3, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
    let parked = usize::from(magazine.parked.load(Acquire) != 0);
    assert_eq!(magazine.freed.load(Acquire) + parked, 3, "chunks that somebody has");
}
