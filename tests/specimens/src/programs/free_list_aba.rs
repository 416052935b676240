//! A free list's head is compared by address only.
//!
//! One thread has read the head and its successor when another takes two objects and puts the first back: the head is the same and
//! the successor is not. The exchange succeeds, and an object is both in the list and in somebody's hands (A, B, A). Finding: an
//! object in two places.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "free_list_aba",
    history: "A13; every free list without a tag or a deferred free",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

/// Bits of an index; above it are the changes so far.
const INDEX: usize = 0xff;

struct List {
    head: AtomicUsize,
    next: [AtomicUsize; 4],
    tagged: bool,
}

impl List {
    /// A head with this index after `old`: the tag makes it another one than before.
    fn head(&self, old: usize, index: usize) -> usize {
        if self.tagged { (old & !INDEX) + INDEX + 1 + index } else { index }
    }

    fn pop(&self) -> usize {
        loop {
            let head = self.head.load(Acquire);
            let index = head & INDEX;
            if index == 0 {
                return 0;
            }
            let next = self.next[index].load(Acquire);
            // The bug: the same index is taken for the same list.
            if self.head.compare_exchange(head, self.head(head, next), AcqRel, Acquire).is_ok() {
                return index;
            }
        }
    }

    fn push(&self, index: usize) {
        loop {
            let head = self.head.load(Acquire);
            self.next[index].store(head & INDEX, Release);
            if self.head.compare_exchange(head, self.head(head, index), AcqRel, Acquire).is_ok() {
                return;
            }
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let next = [0, 2, 3, 0].map(AtomicUsize::new);
    let list = Arc::new(List { head: AtomicUsize::new(1), next, tagged: twin });
    let one = go(&list, move |l| {
        let noise = Noise::before(noise);
        let object = l.pop();
        noise.middle();
        object
    });
    let two = go(&list, move |l| {
        let noise = Noise::before(noise);
        let first = l.pop();
        let second = l.pop();
        noise.middle();
        if first != 0 {
            l.push(first);
        }
        second
    });
    let mut places = [0; 4];
    places[one.join().unwrap()] += 1;
    places[two.join().unwrap()] += 1;
    let mut index = list.head.load(Acquire) & INDEX;
    while index != 0 && places[index] < 2 {
        places[index] += 1;
        index = list.next[index].load(Acquire);
    }
    assert_eq!(places[1..], [1, 1, 1], "places of each object");
}
