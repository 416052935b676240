//! A waiter takes its waking for the truth of what it waited for.
//!
//! It is woken because there is an object, and until it has the lock again somebody else has taken it. The condition must be
//! looked at again. Finding: an object is expected that isn't there.

use super::facade::sync::{Condvar, Mutex};
use super::prelude::*;

pub const ABOUT: About = About {
    name: "condvar_without_loop",
    history: "waits without a loop; pools that block when they are empty",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

struct Pool {
    objects: Mutex<usize>,
    returned: Condvar,
}

fn get(pool: &Pool, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    let mut objects = pool.objects.lock().unwrap();
    // The bug: `if` where `while` is needed.
    if *objects == 0 {
        objects = pool.returned.wait(objects).unwrap();
    }
    while twin && *objects == 0 {
        objects = pool.returned.wait(objects).unwrap();
    }
    *objects = objects.checked_sub(1).expect("an object");
    noise.middle();
}

pub fn run(twin: bool, noise: usize) {
    let pool = Arc::new(Pool { objects: Mutex::new(0), returned: Condvar::new() });
    let a = go(&pool, move |p| get(p, twin, noise));
    let b = go(&pool, move |p| get(p, twin, noise));
    let returning = go(&pool, move |p| {
        let noise = Noise::before(noise);
        for _ in 0..2 {
            *p.objects.lock().unwrap() += 1;
            p.returned.notify_one();
            noise.middle();
        }
    });
    a.join().unwrap();
    b.join().unwrap();
    returning.join().unwrap();
}
