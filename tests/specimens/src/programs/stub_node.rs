//! A queue's consumer hands out the last node and resets the head to the stub by a store.
//!
//! In an intrusive queue the last node can be handed out only if no producer can link to it any more. The consumer sees that the
//! head is that node and stores the stub there; a producer that took the head in between links its node to one that is gone.
//! An exchange that fails if the head moved is right. Finding: a node that was pushed never arrives.

use super::facade::hint;
use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "stub_node",
    history: "E5: Netty d1b90774bc; intrusive multi-producer queues with a stub",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const STUB: usize = 1;
const NODES: usize = 4;

struct Queue {
    head: AtomicUsize,
    next: [AtomicUsize; NODES],
}

impl Queue {
    fn push(&self, node: usize, noise: usize) {
        let noise = Noise::before(noise);
        let before = self.head.swap(node, AcqRel);
        self.next[before].store(node, Release);
        noise.middle();
    }

    /// A node, or 0; `tail` is the consumer's.
    fn pop(&self, tail: &mut usize, twin: bool) -> usize {
        if *tail == STUB {
            let next = self.next[STUB].load(Acquire);
            if next == 0 {
                return 0;
            }
            *tail = next;
        }
        let node = *tail;
        let mut next = self.next[node].load(Acquire);
        if next == 0 {
            self.next[STUB].store(0, Relaxed);
            let is_last = if twin {
                self.head.compare_exchange(node, STUB, AcqRel, Acquire).is_ok()
            } else {
                // The bug: the head may move between the look and the store.
                let is_last = self.head.load(Acquire) == node;
                if is_last {
                    self.head.store(STUB, Release);
                }
                is_last
            };
            if is_last {
                *tail = STUB;
                return node;
            }
            // A producer has the head and will link.
            while next == 0 {
                hint::spin_loop();
                next = self.next[node].load(Acquire);
            }
        }
        *tail = next;
        node
    }
}

pub fn run(twin: bool, noise: usize) {
    let next = [0; NODES].map(AtomicUsize::new);
    let queue = Arc::new(Queue { head: AtomicUsize::new(STUB), next });
    let one = go(&queue, move |q| q.push(2, noise));
    let two = go(&queue, move |q| q.push(3, noise));
    let consumer = go(&queue, move |q| {
        let noise = Noise::before(noise);
        let mut tail = STUB;
        let first = usize::from(q.pop(&mut tail, twin) != 0);
        noise.middle();
        (first + usize::from(q.pop(&mut tail, twin) != 0), tail)
    });
    one.join().unwrap();
    two.join().unwrap();
    let (mut popped, mut tail) = consumer.join().unwrap();
    while q_pop(&queue, &mut tail, twin) {
        popped += 1;
    }
    assert_eq!(popped, 2, "nodes that arrived");
}

fn q_pop(queue: &Queue, tail: &mut usize, twin: bool) -> bool {
    queue.pop(tail, twin) != 0
}
