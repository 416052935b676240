//! Two locks are taken in either order.
//!
//! A buffer moves between two pools, each under its lock; two moves in opposite directions wait for each other. Finding: a deadlock.

use super::facade::sync::Mutex;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "lock_order",
    history: "deadlock by lock order: arenas, channel pools, handlers that close each other",
    finding: Finding::Deadlock,
    needs: Needs::Interleaving,
};

fn move_one(pools: &[Mutex<usize>; 2], from: usize, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    let to = 1 - from;
    // The bug: the order is that of the move, not that of the pools.
    let first = if twin { 0 } else { from };
    let mut one = pools[first].lock().unwrap();
    let mut other = pools[1 - first].lock().unwrap();
    let (source, target) = if first == from { (&mut one, &mut other) } else { (&mut other, &mut one) };
    **source -= 1;
    **target += 1;
    drop(other);
    drop(one);
    noise.middle();
    assert!(to < 2);
}

pub fn run(twin: bool, noise: usize) {
    let pools = Arc::new([Mutex::new(2), Mutex::new(2)]);
    let a = go(&pools, move |p| move_one(p, 0, twin, noise));
    let b = go(&pools, move |p| move_one(p, 1, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
    assert_eq!((*pools[0].lock().unwrap(), *pools[1].lock().unwrap()), (2, 2));
}
