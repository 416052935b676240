//! A queue is said to be drained before its last task has run.
//!
//! The loop takes the last task, marks itself drained, and runs it; whoever waited for that frees what the task uses. Loops that
//! confirm their shutdown while a task is still on the stack did so (0a8e1aaf19's flush after the flag is a cousin). Finding: the
//! task's use and the free race.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "drained_before_done",
    history: "D5, D20: Netty #1772, 0a8e1aaf19; flags that are set too early",
    finding: Finding::Race,
    needs: Needs::Races,
};

struct Loop {
    drained: AtomicUsize,
    memory: Plain,
}

pub fn run(twin: bool, noise: usize) {
    let l = Arc::new(Loop { drained: AtomicUsize::new(0), memory: Plain::new(7) });
    let worker = go(&l, move |l| {
        let noise = Noise::before(noise);
        if !twin {
            // The bug: Release orders what came before it, and the task comes after it.
            l.drained.store(1, Release);
        }
        assert_eq!(l.memory.get(), 7, "a task runs on memory that is still there");
        if twin {
            l.drained.store(1, Release);
        }
        noise.middle();
    });
    let waiting = go(&l, move |l| {
        let noise = Noise::before(noise);
        noise.middle();
        if l.drained.load(Acquire) == 1 {
            l.memory.set(0);
        }
    });
    worker.join().unwrap();
    waiting.join().unwrap();
}
