//! An owner takes a whole batch from other threads with a relaxed exchange.
//!
//! Every producer writes its object and links it with release; the owner unhooks the list and reads the objects, ordered after
//! nothing (links of Netty's recycler under a race detector: #4830). Finding: the producer's write and the owner's read race, in
//! every order of steps.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About =
    About { name: "batch_without_acquire", history: "A7: Netty #4830", finding: Finding::Race, needs: Needs::Races };

struct Batch {
    head: AtomicUsize,
    next: [Plain; 3],
}

impl Batch {
    fn push(&self, node: usize, noise: usize) {
        let noise = Noise::before(noise);
        let mut head = self.head.load(Relaxed);
        loop {
            self.next[node].set(head);
            noise.middle();
            // Release: the owner sees `next`.
            match self.head.compare_exchange(head, node, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn take(&self, twin: bool) -> usize {
        // The bug: Acquire is missing, which pairs with the Release of every push.
        let mut node = self.head.swap(0, if twin { Acquire } else { Relaxed });
        let mut taken = 0;
        while node != 0 {
            taken += 1;
            node = self.next[node].get();
        }
        taken
    }
}

pub fn run(twin: bool, noise: usize) {
    let batch = Batch { head: AtomicUsize::new(0), next: [Plain::new(0), Plain::new(0), Plain::new(0)] };
    let batch = Arc::new(batch);
    let one = go(&batch, move |b| b.push(1, noise));
    let two = go(&batch, move |b| b.push(2, noise));
    let owner = go(&batch, move |b| {
        let noise = Noise::before(noise);
        let taken = b.take(twin);
        noise.middle();
        taken + b.take(twin)
    });
    one.join().unwrap();
    two.join().unwrap();
    let taken = owner.join().unwrap() + batch.take(true);
    assert_eq!(taken, 2, "objects taken");
}
