//! A promise is completed by its write and cancelled by its caller, and both believe that they were first.
//!
//! Each looks whether it is done, stores its result and says that it is done (promises that somebody else completes between submit
//! and encode; #5553, e2f5012f3b). Finding: two completions.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "promise_completed_twice",
    history: "C10, D2, D18: Netty e2f5012f3b, #5553",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

struct Promise {
    result: AtomicUsize,
    done: AtomicUsize,
}

fn complete(promise: &Promise, result: usize, twin: bool, noise: usize) -> bool {
    let noise = Noise::before(noise);
    if promise.done.load(Acquire) == 1 {
        return false;
    }
    if twin && promise.result.compare_exchange(0, result, AcqRel, Acquire).is_err() {
        return false;
    }
    if !twin {
        // The bug: the result is whose it was last.
        promise.result.store(result, Relaxed);
    }
    promise.done.store(1, Release);
    noise.middle();
    true
}

pub fn run(twin: bool, noise: usize) {
    let promise = Arc::new(Promise { result: AtomicUsize::new(0), done: AtomicUsize::new(0) });
    let write = go(&promise, move |p| complete(p, 1, twin, noise));
    let cancel = go(&promise, move |p| complete(p, 2, twin, noise));
    let completions = usize::from(write.join().unwrap()) + usize::from(cancel.join().unwrap());
    assert_eq!(completions, 1, "completions");
}
