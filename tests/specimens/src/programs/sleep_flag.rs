//! An event loop goes to sleep while somebody pushes a task.
//!
//! The loop says that it sleeps and then looks at the queue once more; the producer pushes and then looks whether the loop sleeps.
//! With acquire and release only, both may miss the other's store (store buffering): the task waits for a loop that nobody wakes.
//! Netty's `wakenUp`/`nextWakeupNanos` protocols are of this shape. Finding: asleep with a task and without a wakeup.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "sleep_flag",
    history: "store buffering; the wakeup flags of event loops",
    finding: Finding::Assertion,
    needs: Needs::Weak,
};

struct Loop {
    asleep: AtomicUsize,
    tasks: AtomicUsize,
}

pub fn run(twin: bool, noise: usize) {
    // The bug: Release and Acquire leave a store in its buffer while the load passes it; SeqCst doesn't.
    let (store, load) = if twin { (SeqCst, SeqCst) } else { (Release, Acquire) };
    let l = Arc::new(Loop { asleep: AtomicUsize::new(0), tasks: AtomicUsize::new(0) });
    let sleeper = go(&l, move |l| {
        let noise = Noise::before(noise);
        l.asleep.store(1, store);
        noise.middle();
        l.tasks.load(load) == 0
    });
    let producer = go(&l, move |l| {
        let noise = Noise::before(noise);
        l.tasks.store(1, store);
        noise.middle();
        l.asleep.load(load) == 1
    });
    let sleeps = sleeper.join().unwrap();
    let wakes = producer.join().unwrap();
    assert!(!sleeps || wakes, "it sleeps, there is a task, and nobody wakes it");
}
