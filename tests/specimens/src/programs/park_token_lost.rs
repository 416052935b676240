//! A thread parks once for each event that it waits for.
//!
//! There is one token: two unparks that come before the first park are one, and the second park never ends. A thread parks until
//! what it waits for has come. Finding: a deadlock.

use super::facade::sync::atomic::AtomicUsize;
use super::facade::thread;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "park_token_lost",
    history: "A park token stands for one wakeup; the shutdown counts of tokio #7922",
    finding: Finding::Deadlock,
    needs: Needs::Interleaving,
};

const EVENTS: usize = 2;

pub fn run(twin: bool, noise: usize) {
    let events = Arc::new(AtomicUsize::new(0));
    let waiter = go(&events, move |e| {
        let noise = Noise::before(noise);
        if twin {
            while e.load(Acquire) < EVENTS {
                thread::park();
            }
        } else {
            for _ in 0..EVENTS {
                // The bug: the number of wakeups is not the number of events.
                thread::park();
                noise.middle();
            }
        }
    });
    let happen = |waiter: thread::Thread| {
        go(&events, move |e| {
            let noise = Noise::before(noise);
            e.fetch_add(1, AcqRel);
            noise.middle();
            waiter.unpark();
        })
    };
    let (a, b) = (happen(waiter.thread().clone()), happen(waiter.thread().clone()));
    a.join().unwrap();
    b.join().unwrap();
    waiter.join().unwrap();
}
