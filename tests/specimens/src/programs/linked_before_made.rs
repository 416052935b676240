//! A queue is linked into its owner's list by its own constructor, before its last field is set.
//!
//! The owner walks the list and reads a field that isn't there yet (part of 3c5e677964). Finding: the owner's read and the
//! constructor's write race.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About =
    About { name: "linked_before_made", history: "A6: Netty 3c5e677964", finding: Finding::Race, needs: Needs::Races };

struct Stack {
    queues: AtomicUsize,
    capacity_of_first: Plain,
}

pub fn run(twin: bool, noise: usize) {
    let stack = Arc::new(Stack { queues: AtomicUsize::new(0), capacity_of_first: Plain::new(0) });
    let foreign = go(&stack, move |s| {
        let noise = Noise::before(noise);
        if twin {
            s.capacity_of_first.set(16);
            s.queues.store(1, Release);
        } else {
            // The bug: Release orders what came before it, and the field comes after it.
            s.queues.store(1, Release);
            s.capacity_of_first.set(16);
        }
        noise.middle();
    });
    let owner = go(&stack, move |s| {
        let noise = Noise::before(noise);
        noise.middle();
        if s.queues.load(Acquire) == 1 {
            assert_eq!(s.capacity_of_first.get(), 16, "a queue that is linked is made");
        }
    });
    foreign.join().unwrap();
    owner.join().unwrap();
}
