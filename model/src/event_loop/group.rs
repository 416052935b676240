//! A group of event loops.
//!
//! **Invariant: the loops of a group are asked in turn, and the group has terminated when all of them have.** An application
//! has several side by side: one that accepts connections, one that serves them, one without channels for its own work.

use super::{EventLoop, LoopConfig, LoopStats};
use crate::platform::{AtomicOps, Panicked};
use crate::promise::Promise;
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

struct Shared<P: Platform> {
    loops: Box<[EventLoop<P>]>,
    next: P::Atomic<u64>,
    terminated: Promise<P>,
}

/// A group of event loops; clones are the same group. See the [module](self).
pub struct EventLoopGroup<P: Platform = Std>(Arc<Shared<P>>);

impl<P: Platform> Clone for EventLoopGroup<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> EventLoopGroup<P> {
    /// `count` loops, one at least, named `name-0`, `name-1`, ...
    pub fn new(name: &str, count: usize, config: &LoopConfig) -> Self {
        Self::of((0..count.max(1)).map(|i| EventLoop::new(format!("{name}-{i}"), config.clone())).collect())
    }

    /// A group of these loops.
    ///
    /// # Panics
    /// When there are none.
    pub fn of(loops: Vec<EventLoop<P>>) -> Self {
        assert!(!loops.is_empty(), "a group has a loop");
        let (terminated, left) = (Promise::untracked(), Arc::new(P::Atomic::new(loops.len() as u64)));
        for event_loop in &loops {
            let (terminated, left) = (terminated.clone(), Arc::clone(&left));
            event_loop.terminated().add_listener(move |_| {
                // AcqRel: the last one has seen the ends of all others.
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    terminated.complete(Ok(()));
                }
            });
        }
        Self(Arc::new(Shared { loops: loops.into(), next: P::Atomic::new(0), terminated }))
    }

    /// The next loop, in turn. Netty has a chooser for powers of two and one for other numbers: with a count of 64 bits both give
    /// this sequence. (With one of 32 bits, before 4.1.53, the second one jumps when it overflows.)
    pub fn next(&self) -> &EventLoop<P> {
        // Relaxed: which one it is orders nothing.
        let n = self.0.next.fetch_add(1, Ordering::Relaxed);
        &self.0.loops[(n % self.0.loops.len() as u64) as usize]
    }

    /// Its loops, in order.
    pub fn loops(&self) -> &[EventLoop<P>] {
        &self.0.loops
    }

    /// Whether all of its loops are shutting down, or have ended.
    pub fn is_shutting_down(&self) -> bool {
        self.0.loops.iter().all(EventLoop::is_shutting_down)
    }

    /// Whether all of its loops have ended.
    pub fn is_terminated(&self) -> bool {
        self.0.loops.iter().all(EventLoop::is_terminated)
    }

    /// Shuts every loop down: see [`EventLoop::shutdown_gracefully`].
    pub fn shutdown_gracefully(&self, quiet_period: Duration, timeout: Duration) {
        for event_loop in &self.0.loops {
            event_loop.shutdown_gracefully(quiet_period, timeout);
        }
    }

    /// Completes, with success, when the last loop has terminated.
    pub fn terminated(&self) -> &Promise<P> {
        &self.0.terminated
    }

    /// Waits until every loop's thread has ended.
    ///
    /// # Errors
    /// The first loop's that failed, as [`EventLoop::join`]. All have ended in any case.
    pub fn join(&self) -> Result<(), Panicked> {
        let ends: Vec<_> = self.0.loops.iter().map(EventLoop::join).collect();
        ends.into_iter().collect()
    }

    /// The statistics of each loop.
    pub fn stats(&self) -> Vec<LoopStats> {
        self.0.loops.iter().map(EventLoop::stats).collect()
    }
}
