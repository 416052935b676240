//! `loom::future`: futures on simulated threads.
//!
//! **Invariant: a future is polled again after its waker was used**, or for no reason, as any executor may.

use crate::sync::{Mutex, Notify};
use crate::thread;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

struct Signal(Notify);

impl Wake for Signal {
    #[track_caller]
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }

    #[track_caller]
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify();
    }
}

/// Runs a future to its end on this thread.
#[track_caller]
pub fn block_on<F: Future>(f: F) -> F::Output {
    let mut f = pin!(f);
    let signal = Arc::new(Signal(Notify::new()));
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = f.as_mut().poll(&mut context) {
            return value;
        }
        signal.0.wait();
    }
}

/// Keeps the waker of one task for others.
#[derive(Debug, Default)]
pub struct AtomicWaker {
    waker: Mutex<Option<Waker>>,
}

impl AtomicWaker {
    /// A new one, without a waker.
    pub const fn new() -> Self {
        Self { waker: Mutex::new(None) }
    }

    /// Keeps `waker`. If somebody is taking one at the moment, it is used at once.
    #[track_caller]
    pub fn register(&self, waker: Waker) {
        match self.waker.try_lock() {
            Ok(mut place) => {
                let before = place.replace(waker);
                drop(place);
                drop(before);
            }
            Err(_) => {
                waker.wake();
                thread::yield_now();
            }
        }
    }

    /// As [`AtomicWaker::register`].
    #[track_caller]
    pub fn register_by_ref(&self, waker: &Waker) {
        self.register(waker.clone());
    }

    /// Uses the waker that is kept, if there is one.
    #[track_caller]
    pub fn wake(&self) {
        if let Some(waker) = self.take_waker() {
            waker.wake();
        }
    }

    /// Takes the waker out.
    #[track_caller]
    pub fn take_waker(&self) -> Option<Waker> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
