//! A listener is added while the promise completes.
//!
//! It is added because the promise isn't done, after the promise has called all listeners that it had. The one who adds must look
//! again. Finding: a listener that is never called.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "listener_lost",
    history: "A10, H5: Netty #3367; tokio #8095; listeners and wakers that are registered late",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

struct Promise {
    done: AtomicUsize,
    listener: AtomicUsize,
}

impl Promise {
    /// Calls the listener, if there is one; who gets it calls it.
    fn call(&self) -> usize {
        self.listener.swap(0, AcqRel)
    }
}

pub fn run(twin: bool, noise: usize) {
    let promise = Arc::new(Promise { done: AtomicUsize::new(0), listener: AtomicUsize::new(0) });
    let adder = go(&promise, move |p| {
        let noise = Noise::before(noise);
        if p.done.load(Acquire) == 1 {
            return 1;
        }
        // AcqRel: after the completion's exchange, the load below sees that it is done.
        p.listener.swap(1, AcqRel);
        // The bug: it doesn't look again.
        let calls = if twin && p.done.load(Acquire) == 1 { p.call() } else { 0 };
        noise.middle();
        calls
    });
    let completer = go(&promise, move |p| {
        let noise = Noise::before(noise);
        p.done.store(1, Release);
        noise.middle();
        p.call()
    });
    let calls = adder.join().unwrap() + completer.join().unwrap();
    assert_eq!(calls, 1, "calls of the listener");
}
