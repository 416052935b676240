//! A task is accepted by an executor that has made its final pass.
//!
//! The caller reads that the executor runs; the executor finds its queue empty for the last time and terminates; the caller offers
//! and returns. Nobody runs the task, refuses it or completes its promise (#9603; with a queue that cannot remove, to this day).
//! Finding: an accepted task that is never run.

use super::facade::sync::Mutex;
use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "task_lost_at_shutdown",
    history: "D7, D8: Netty #9603",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const SHUTDOWN: usize = 1;

struct Executor {
    state: AtomicUsize,
    queue: Mutex<usize>,
}

impl Executor {
    fn execute(&self, twin: bool) -> usize {
        if twin {
            // The state is read and written under the queue's lock.
            let mut queue = self.queue.lock().unwrap();
            if self.state.load(Acquire) == SHUTDOWN {
                return 0;
            }
            *queue += 1;
            return 1;
        }
        // The bug: the state may change before the offer.
        if self.state.load(Acquire) == SHUTDOWN {
            return 0;
        }
        *self.queue.lock().unwrap() += 1;
        1
    }

    fn shut_down(&self, twin: bool) -> usize {
        if !twin {
            self.state.store(SHUTDOWN, Release);
        }
        let mut queue = self.queue.lock().unwrap();
        if twin {
            self.state.store(SHUTDOWN, Release);
        }
        std::mem::take(&mut *queue)
    }
}

pub fn run(twin: bool, noise: usize) {
    let executor = Arc::new(Executor { state: AtomicUsize::new(0), queue: Mutex::new(0) });
    let caller = go(&executor, move |e| {
        let noise = Noise::before(noise);
        let first = e.execute(twin);
        noise.middle();
        first + e.execute(twin)
    });
    let worker = go(&executor, move |e| {
        let noise = Noise::before(noise);
        noise.middle();
        e.shut_down(twin)
    });
    let accepted = caller.join().unwrap();
    let ran = worker.join().unwrap();
    assert_eq!(ran, accepted, "tasks that ran, of those accepted");
}
