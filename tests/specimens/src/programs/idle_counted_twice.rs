//! A worker that wakes for the shutdown counts itself out, after a spawner has counted it out already.
//!
//! A spawner takes one off the number of idle threads and notifies; before the worker has the lock again, the pool shuts down, and
//! the worker takes the second one off (tokio #7922). Finding: fewer than no idle threads.

use super::facade::sync::{Condvar, Mutex};
use super::prelude::*;

pub const ABOUT: About = About {
    name: "idle_counted_twice",
    history: "H10: tokio #7922",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

#[derive(Default)]
struct State {
    idle: usize,
    notified: usize,
    shutdown: bool,
}

struct Workers {
    state: Mutex<State>,
    changed: Condvar,
}

pub fn run(twin: bool, noise: usize) {
    let workers = Arc::new(Workers { state: Mutex::new(State::default()), changed: Condvar::new() });
    let worker = go(&workers, move |w| {
        let noise = Noise::before(noise);
        let mut state = w.state.lock().unwrap();
        state.idle += 1;
        while state.notified == 0 && !state.shutdown {
            state = w.changed.wait(state).unwrap();
        }
        noise.middle();
        // The bug: whoever notified it has counted it out.
        let is_counted = if twin { state.notified == 0 } else { state.shutdown };
        state.notified = 0;
        if is_counted {
            state.idle = state.idle.checked_sub(1).expect("it was idle");
        }
    });
    let spawner = go(&workers, move |w| {
        let noise = Noise::before(noise);
        let mut state = w.state.lock().unwrap();
        noise.middle();
        if state.idle > 0 {
            state.idle -= 1;
            state.notified = 1;
            w.changed.notify_one();
        }
    });
    let closer = go(&workers, move |w| {
        let noise = Noise::before(noise);
        noise.middle();
        w.state.lock().unwrap().shutdown = true;
        w.changed.notify_all();
    });
    worker.join().unwrap();
    spawner.join().unwrap();
    closer.join().unwrap();
    assert_eq!(workers.state.lock().unwrap().idle, 0);
}
