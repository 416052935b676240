//! A producer takes its predecessor's place with release only, and then writes to the predecessor.
//!
//! What the predecessor's thread wrote to that node before is not ordered before this write: its initial null may come last, and
//! everything behind it is lost (snmalloc 0fd5c375). Finding: the initialisation and the link race.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "tail_exchange_without_acquire",
    history: "H1: snmalloc 0fd5c375",
    finding: Finding::Race,
    needs: Needs::Races,
};

struct Queue {
    tail: AtomicUsize,
    next: [Plain; 3],
}

fn push(queue: &Queue, node: usize, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    queue.next[node].set(0);
    noise.middle();
    // The bug: Acquire is missing, which orders the predecessor's initialisation before the link.
    let before = queue.tail.swap(node, if twin { AcqRel } else { Release });
    if before != 0 {
        queue.next[before].set(node);
    }
}

pub fn run(twin: bool, noise: usize) {
    let queue = Queue { tail: AtomicUsize::new(0), next: [Plain::new(0), Plain::new(0), Plain::new(0)] };
    let queue = Arc::new(queue);
    let a = go(&queue, move |q| push(q, 1, twin, noise));
    let b = go(&queue, move |q| push(q, 2, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
    let last = queue.tail.load(Acquire);
    assert_eq!(queue.next[3 - last].get(), last, "the first node is linked to the second");
}
