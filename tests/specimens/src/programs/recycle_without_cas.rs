//! Two threads recycle the same object at once, each into a queue of its own.
//!
//! Both read that the object is in use, both say that it is not any more, and both append it: its owner finds it in two queues and
//! hands it out twice (#10986; claimed by compare-exchange since 4.1.60). Recycling twice is an error of the callers, but it must be
//! refused, not obeyed. Finding: the owner gets one object twice.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "recycle_without_cas",
    history: "A1: Netty #10986",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const IN_USE: usize = 1;
const POOLED: usize = 2;

struct Pool {
    state: AtomicUsize,
    queues: [AtomicUsize; 2],
}

impl Pool {
    fn recycle(&self, queue: usize, twin: bool, noise: usize) {
        let noise = Noise::before(noise);
        let is_ours = if twin {
            self.state.compare_exchange(IN_USE, POOLED, AcqRel, Acquire).is_ok()
        } else {
            // The bug: a read and a write where one exchange is needed.
            let in_use = self.state.load(Acquire) == IN_USE;
            if in_use {
                self.state.store(POOLED, Release);
            }
            in_use
        };
        noise.middle();
        if is_ours {
            self.queues[queue].store(1, Release);
        }
    }

    fn collect(&self) -> usize {
        self.queues.iter().map(|queue| queue.swap(0, AcqRel)).sum()
    }
}

pub fn run(twin: bool, noise: usize) {
    let pool = Pool { state: AtomicUsize::new(IN_USE), queues: [AtomicUsize::new(0), AtomicUsize::new(0)] };
    let pool = Arc::new(pool);
    let f = go(&pool, move |p| p.recycle(0, twin, noise));
    let g = go(&pool, move |p| p.recycle(1, twin, noise));
    let owner = go(&pool, move |p| {
        let noise = Noise::before(noise);
        noise.middle();
        p.collect()
    });
    f.join().unwrap();
    g.join().unwrap();
    let got = owner.join().unwrap() + pool.collect();
    assert_eq!(got, 1, "times that the owner got the object");
}
