//! A task queue out of which a producer can take its task back.
//!
//! **Invariant: a task that was offered is polled, or taken back, or still there; never two of these.** One lock decides.
//!
//! ```text
//!   offer ──> [ 7 | 8 | 9 ]  ──> poll        each task has a number, so that its producer can name it
//!               take_back(8): still there -> comes back; polled already -> None
//! ```
//!
//! It is Netty's `LinkedBlockingQueue`, which its executors without channels use: slower than the queue of an event loop
//! with channels, but with `remove`.

use super::Refusal;
use crate::platform::Lock;
use crate::{Platform, Std};
use alloc::collections::VecDeque;
use alloc::sync::Arc;

struct State<T> {
    /// By number, ascending.
    tasks: VecDeque<(u64, T)>,
    next_number: u64,
    closed: bool,
    peak: u64,
}

struct Shared<T: Send, P: Platform> {
    state: P::Mutex<State<T>>,
    bound: u64,
}

/// The queue; clones are the same queue. Any thread may offer and poll.
pub struct RemovableQueue<T: Send, P: Platform = Std>(Arc<Shared<T, P>>);

impl<T: Send, P: Platform> Clone for RemovableQueue<T, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send, P: Platform> RemovableQueue<T, P> {
    /// An empty queue of at most `bound` tasks.
    pub fn new(bound: Option<u32>) -> Self {
        let state = State { tasks: VecDeque::new(), next_number: 0, closed: false, peak: 0 };
        Self(Arc::new(Shared { state: P::Mutex::new(state), bound: bound.map_or(u64::MAX, u64::from) }))
    }

    /// Appends a task; its number is for [`RemovableQueue::take_back`].
    ///
    /// # Errors
    /// The task comes back when the queue is closed or full.
    pub fn offer(&self, task: T) -> Result<u64, (T, Refusal)> {
        let mut state = self.0.state.lock();
        if state.closed {
            return Err((task, Refusal::Closed));
        }
        let length = state.tasks.len() as u64;
        if length >= self.0.bound {
            return Err((task, Refusal::Full));
        }
        let number = state.next_number;
        state.next_number += 1;
        state.tasks.push_back((number, task));
        state.peak = state.peak.max(length + 1);
        Ok(number)
    }

    /// Takes the task of this number out, if it was not polled.
    pub fn take_back(&self, number: u64) -> Option<T> {
        let mut state = self.0.state.lock();
        let at = state.tasks.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        state.tasks.remove(at).map(|(_, task)| task)
    }

    /// The oldest task.
    pub fn poll(&self) -> Option<T> {
        self.0.state.lock().tasks.pop_front().map(|(_, task)| task)
    }

    /// The number of tasks in it.
    pub fn len(&self) -> u64 {
        self.0.state.lock().tasks.len() as u64
    }

    /// Whether no task is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The greatest length there ever was.
    pub fn peak(&self) -> u64 {
        self.0.state.lock().peak
    }

    /// Refuses all further offers.
    pub fn close(&self) {
        self.0.state.lock().closed = true;
    }
}
