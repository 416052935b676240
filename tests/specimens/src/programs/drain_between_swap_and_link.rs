//! An owner takes a queue for empty while a producer stands between taking the head and linking its node.
//!
//! Producers swap the head and then link the node before it. While one stands between the two, everything behind it is invisible,
//! also what others have pushed and finished. An owner that goes by the missing link alone drains "everything" and drops the rest
//! (the final pass of an event loop, a dying recycler queue: #9603). Finding: an object that was pushed is not drained.

use super::facade::hint;
use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "drain_between_swap_and_link",
    history: "D7, D8: Netty #9603; linked multi-producer queues",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

struct Queue {
    head: AtomicUsize,
    next: [AtomicUsize; 3],
    pushed: AtomicUsize,
}

impl Queue {
    fn push(&self, node: usize) {
        let before = self.head.swap(node, AcqRel);
        self.next[before].store(node, Release);
    }

    /// The nodes behind `tail`, as bits.
    fn drain(&self, mut tail: usize, twin: bool) -> usize {
        let mut found = 0;
        loop {
            let mut next = self.next[tail].load(Acquire);
            // The bug: without a link, only the head says whether the queue is empty.
            while twin && next == 0 && self.head.load(Acquire) != tail {
                hint::spin_loop();
                next = self.next[tail].load(Acquire);
            }
            if next == 0 {
                return found;
            }
            found |= 1 << next;
            tail = next;
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let zero = || AtomicUsize::new(0);
    let queue = Arc::new(Queue { head: zero(), next: [zero(), zero(), zero()], pushed: zero() });
    let one = go(&queue, move |q| {
        let noise = Noise::before(noise);
        q.push(1);
        noise.middle();
    });
    let two = go(&queue, move |q| {
        let noise = Noise::before(noise);
        q.push(2);
        q.pushed.store(1, Release);
        noise.middle();
    });
    let owner = go(&queue, move |q| {
        let noise = Noise::before(noise);
        let is_in = q.pushed.load(Acquire) == 1;
        noise.middle();
        let found = q.drain(0, twin);
        assert!(!is_in || found & 1 << 2 != 0, "the second was pushed before the last drain");
    });
    one.join().unwrap();
    two.join().unwrap();
    owner.join().unwrap();
}
