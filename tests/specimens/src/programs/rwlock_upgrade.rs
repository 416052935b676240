//! A missing entry is seen under a read lock and made under a write lock.
//!
//! The read lock has to go before the write lock comes, and another thread makes the entry in between: two pools for one thread,
//! two arenas in one place. Finding: an entry is made twice.

use super::facade::sync::RwLock;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "rwlock_upgrade",
    history: "D17: Netty c8fb2a84c5; maps of lazily made pools",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

fn get_or_make(made: &RwLock<usize>, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    let is_there = *made.read().unwrap() > 0;
    if !is_there {
        let mut made = made.write().unwrap();
        // The bug: it was missing when it was read.
        if !twin || *made == 0 {
            *made += 1;
        }
    }
    noise.middle();
}

pub fn run(twin: bool, noise: usize) {
    let made = Arc::new(RwLock::new(0));
    let a = go(&made, move |m| get_or_make(m, twin, noise));
    let b = go(&made, move |m| get_or_make(m, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
    assert_eq!(*made.read().unwrap(), 1, "entries made");
}
