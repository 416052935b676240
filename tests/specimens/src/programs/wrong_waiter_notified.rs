//! Producers and consumers of a bounded queue wait at one condition variable, and one of them is notified.
//!
//! A consumer that makes room may wake another consumer, who finds nothing and waits again; the producer for whom there is room now
//! sleeps on. Two condition variables, or waking all of them, is right. Finding: a deadlock.

use super::facade::sync::{Condvar, Mutex};
use super::prelude::*;

pub const ABOUT: About = About {
    name: "wrong_waiter_notified",
    history: "bounded hand-over queues with one condition variable",
    finding: Finding::Deadlock,
    needs: Needs::Interleaving,
};

/// A queue of at most one object.
struct Bounded {
    full: Mutex<bool>,
    changed: Condvar,
    wake_all: bool,
}

impl Bounded {
    fn turn(&self, full: bool) {
        let mut now = self.full.lock().unwrap();
        while *now == full {
            now = self.changed.wait(now).unwrap();
        }
        *now = full;
        drop(now);
        if self.wake_all {
            self.changed.notify_all();
        } else {
            // The bug: the one who wakes may be of the wrong kind.
            self.changed.notify_one();
        }
    }
}

pub fn run(twin: bool, noise: usize) {
    let queue = Arc::new(Bounded { full: Mutex::new(false), changed: Condvar::new(), wake_all: twin });
    let producer = go(&queue, move |q| {
        let noise = Noise::before(noise);
        q.turn(true);
        noise.middle();
        q.turn(true);
    });
    let consume = move |q: &Bounded| {
        let noise = Noise::before(noise);
        noise.middle();
        q.turn(false);
    };
    let (a, b) = (go(&queue, consume), go(&queue, consume));
    producer.join().unwrap();
    a.join().unwrap();
    b.join().unwrap();
}
