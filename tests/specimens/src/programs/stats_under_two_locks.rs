//! A counter is changed under two locks, each in a place of its own.
//!
//! Tiny allocations count under the lock of their size, small ones under that of theirs; the counter is one (#4829). Finding: the
//! changes race, and one gets lost.

use super::facade::sync::Mutex;
use super::prelude::*;

pub const ABOUT: About =
    About { name: "stats_under_two_locks", history: "B24: Netty #4829", finding: Finding::Race, needs: Needs::Races };

struct Arena {
    locks: [Mutex<()>; 2],
    allocations: Plain,
}

fn allocate(arena: &Arena, size: usize, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    // The bug: the lock is that of the size, not that of the counter.
    let _lock = arena.locks[if twin { 0 } else { size }].lock().unwrap();
    let allocations = arena.allocations.get();
    arena.allocations.set(allocations + 1);
    noise.middle();
}

pub fn run(twin: bool, noise: usize) {
    let arena = Arc::new(Arena { locks: [Mutex::new(()), Mutex::new(())], allocations: Plain::new(0) });
    let a = go(&arena, move |a| allocate(a, 0, twin, noise));
    let b = go(&arena, move |a| allocate(a, 1, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
    assert_eq!(arena.allocations.get(), 2, "allocations counted");
}
