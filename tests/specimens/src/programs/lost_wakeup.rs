//! A condition is looked at outside the lock of its condition variable.
//!
//! The waiter reads that nothing is there, the producer sets the condition and notifies nobody, and then the waiter waits: for ever.
//! Finding: a deadlock.

use super::facade::sync::atomic::AtomicUsize;
use super::facade::sync::{Condvar, Mutex};
use super::prelude::*;

pub const ABOUT: About = About {
    name: "lost_wakeup",
    history: "the condition outside the lock; D7's executors that wait for each other (Netty #9603)",
    finding: Finding::Deadlock,
    needs: Needs::Interleaving,
};

struct Gate {
    open: AtomicUsize,
    lock: Mutex<bool>,
    changed: Condvar,
}

pub fn run(twin: bool, noise: usize) {
    let gate = Gate { open: AtomicUsize::new(0), lock: Mutex::new(false), changed: Condvar::new() };
    let gate = Arc::new(gate);
    let waiter = go(&gate, move |g| {
        let noise = Noise::before(noise);
        if twin {
            let mut open = g.lock.lock().unwrap();
            while !*open {
                open = g.changed.wait(open).unwrap();
            }
        } else {
            // The bug: it may open, and be notified, before the lock is taken.
            while g.open.load(Acquire) == 0 {
                let lock = g.lock.lock().unwrap();
                drop(g.changed.wait(lock).unwrap());
            }
        }
        noise.middle();
    });
    let opener = go(&gate, move |g| {
        let noise = Noise::before(noise);
        g.open.store(1, Release);
        noise.middle();
        if twin {
            *g.lock.lock().unwrap() = true;
        }
        g.changed.notify_one();
    });
    waiter.join().unwrap();
    opener.join().unwrap();
}
