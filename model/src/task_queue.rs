//! The task queue of an event loop: many producers, one consumer, unbounded or bounded.
//!
//! **Invariant: what an offer accepted is polled exactly once, in order for each producer; after [`TaskQueue::close`]
//! nothing more is accepted.** So the consumer can know that it has seen the last task.
//!
//! ```text
//!   offer:  1 reserve: gate += 2 (length), refused if the closed bit is set or the bound is reached
//!           2 last.swap(node)          <- between 2 and 3 the node is reserved but not linked:
//!           3 previous.next = node        poll sees a length but no node, and spins
//!   poll:   first (spent) ──next──> task ──next──> task ──X  <── last
//!           takes the task out of first.next, which becomes the spent node; then gate -= 2
//! ```
//!
//! The list is Vyukov's intrusive-style queue (1024cores, "Non-intrusive MPSC node-based queue"). The gate is ours: it is
//! length and closed bit in one word, so that "accepted" and "closed" can't cross (Netty through 4.2.7 can lose a task there).

mod removable;

pub use removable::RemovableQueue;

use crate::platform::{AtomicOps, CellOps, CounterOps};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr;
use core::sync::atomic::Ordering;

const CLOSED: u64 = 1;
const ONE: u64 = 2;

/// Why an offer was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The queue is at its bound.
    #[error("the queue is full")]
    Full,
    /// The queue is closed.
    #[error("the queue is closed")]
    Closed,
}

struct Node<T, P: Platform> {
    next: P::Atomic<*mut Node<T, P>>,
    task: P::Cell<Option<T>>,
}

impl<T, P: Platform> Node<T, P> {
    fn boxed(task: Option<T>) -> *mut Self {
        Box::into_raw(Box::new(Self { next: P::Atomic::new(ptr::null_mut()), task: P::Cell::new(task) }))
    }
}

struct Shared<T, P: Platform> {
    gate: P::Atomic<u64>,
    last: P::Atomic<*mut Node<T, P>>,
    /// The spent node. Only the consumer touches it.
    first: P::Cell<*mut Node<T, P>>,
    bound: u64,
    peak: P::Counter,
}

// SAFETY: producers touch `gate`, `last` and, once each, the `next` of the node they replaced; `first` and the nodes' tasks
// belong to the one consumer after `next` was published. Tasks move between threads, hence `T: Send`.
unsafe impl<T: Send, P: Platform> Send for Shared<T, P> {}
// SAFETY: as above.
unsafe impl<T: Send, P: Platform> Sync for Shared<T, P> {}

/// The producers' side; clones are the same queue.
pub struct TaskQueue<T: Send, P: Platform = Std>(Arc<Shared<T, P>>);

impl<T: Send, P: Platform> Clone for TaskQueue<T, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The consumer's side: there is one.
pub struct TaskConsumer<T: Send, P: Platform = Std>(Arc<Shared<T, P>>);

/// An empty queue of at most `bound` tasks.
pub fn task_queue<T: Send, P: Platform>(bound: Option<u32>) -> (TaskQueue<T, P>, TaskConsumer<T, P>) {
    let spent = Node::boxed(None);
    let shared = Arc::new(Shared {
        gate: P::Atomic::new(0),
        last: P::Atomic::new(spent),
        first: P::Cell::new(spent),
        bound: bound.map_or(u64::MAX / ONE, u64::from),
        peak: P::Counter::default(),
    });
    (TaskQueue(Arc::clone(&shared)), TaskConsumer(shared))
}

impl<T: Send, P: Platform> TaskQueue<T, P> {
    /// Appends a task.
    ///
    /// # Errors
    /// The task comes back when the queue is closed or full.
    pub fn offer(&self, task: T) -> Result<(), (T, Refusal)> {
        if let Err(refusal) = self.reserve() {
            return Err((task, refusal));
        }
        let node = Node::boxed(Some(task));
        // Release: pairs with the next offer's acquire below, which then may write to `node`. Acquire: we are going to write
        // to the node that another producer made.
        let previous = self.0.last.swap(node, Ordering::AcqRel);
        // SAFETY: the consumer frees a node only after it has seen its `next`, which only we write: `previous` is alive.
        // Release: pairs with the consumer's acquire in `poll`, which then reads the task.
        unsafe { (*previous).next.store(node, Ordering::Release) };
        Ok(())
    }

    fn reserve(&self) -> Result<(), Refusal> {
        // Relaxed: a first guess for the exchange.
        let mut gate = self.0.gate.load(Ordering::Relaxed);
        loop {
            if gate & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            if gate / ONE >= self.0.bound {
                return Err(Refusal::Full);
            }
            // SeqCst: in one total order with the consumer's `is_empty` and the sleep flag of its event loop, so that either
            // the loop sees this task before it sleeps or the producer sees the loop asleep.
            match self.0.gate.compare_exchange_weak(gate, gate + ONE, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(found) => gate = found,
            }
        }
    }

    /// The number of tasks accepted and not yet polled.
    pub fn len(&self) -> u64 {
        // SeqCst: see `reserve`.
        self.0.gate.load(Ordering::SeqCst) / ONE
    }

    /// Whether no task is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The greatest length there ever was. Exact when read by the consumer or at rest.
    pub fn peak(&self) -> u64 {
        self.0.peak.get().max(self.len())
    }

    /// Refuses all further offers.
    pub fn close(&self) {
        // AcqRel: pairs with the exchange in `reserve`; an offer is before it, and will be polled, or refused.
        self.0.gate.fetch_or(CLOSED, Ordering::AcqRel);
    }
}

impl<T: Send, P: Platform> TaskConsumer<T, P> {
    /// The oldest task.
    pub fn poll(&mut self) -> Option<T> {
        let shared = &*self.0;
        // Relaxed: a task that isn't seen now is seen by the next poll or by the `is_empty` before sleeping.
        if shared.gate.load(Ordering::Relaxed) / ONE == 0 {
            return None;
        }
        // SAFETY: only the consumer touches `first`, and `&mut self` is the one consumer.
        let first = shared.first.with(|f| unsafe { *f });
        let next = loop {
            // SAFETY: `first` is alive until freed below.
            // Acquire: pairs with the store in `offer`; the task in the node is readable then.
            let next = unsafe { (*first).next.load(Ordering::Acquire) };
            if !next.is_null() {
                break next;
            }
            P::spin_hint(); // reserved but not linked: a producer is between its steps
        };
        // SAFETY: `next` is published and belongs to the consumer now.
        let task = unsafe { (*next).task.with_mut(|t| (*t).take()) };
        // SAFETY: as above.
        shared.first.with_mut(|f| unsafe { *f = next });
        // SAFETY: it came from `Node::boxed`; its `next` is set, so that no producer will touch it, and nobody else knows it.
        drop(unsafe { Box::from_raw(first) });
        // Relaxed: nothing is published by a poll.
        let before = shared.gate.fetch_sub(ONE, Ordering::Relaxed) / ONE;
        // The length falls only here, so that every peak is seen here or by `peak`.
        if before > shared.peak.get() {
            shared.peak.set(before);
        }
        assert!(task.is_some(), "a linked node carries a task");
        task
    }
}

impl<T, P: Platform> Drop for Shared<T, P> {
    fn drop(&mut self) {
        let mut node = *self.first.get_mut();
        while !node.is_null() {
            // SAFETY: nobody else has the queue any more, so that all nodes are linked and ours; each is freed once.
            let mut owned = unsafe { Box::from_raw(node) };
            node = *owned.next.get_mut();
        }
    }
}
