//! The queue of an event loop, of either kind.
//!
//! **Invariant: an offer says where the task is, if it can be taken back from there.**

use super::{QueueRule, Task};
use crate::Platform;
use crate::task_queue::{Refusal, RemovableQueue, TaskConsumer, TaskQueue, task_queue};

/// The producers' side.
pub(super) enum Queue<P: Platform> {
    Mpsc(TaskQueue<Task<P>, P>),
    Removable(RemovableQueue<Task<P>, P>),
}

/// The loop's side.
pub(super) enum Consumer<P: Platform> {
    Mpsc(TaskConsumer<Task<P>, P>),
    Removable(RemovableQueue<Task<P>, P>),
}

pub(super) fn queue<P: Platform>(rule: QueueRule, bound: Option<u32>) -> (Queue<P>, Consumer<P>) {
    match rule {
        QueueRule::Mpsc => {
            let (queue, consumer) = task_queue(bound);
            (Queue::Mpsc(queue), Consumer::Mpsc(consumer))
        }
        QueueRule::Removable => {
            let queue = RemovableQueue::new(bound);
            (Queue::Removable(queue.clone()), Consumer::Removable(queue))
        }
    }
}

impl<P: Platform> Queue<P> {
    /// Appends; the number of the task, if it can be taken back.
    pub(super) fn offer(&self, task: Task<P>) -> Result<Option<u64>, (Task<P>, Refusal)> {
        match self {
            Self::Mpsc(queue) => queue.offer(task).map(|()| None),
            Self::Removable(queue) => queue.offer(task).map(Some),
        }
    }

    pub(super) fn take_back(&self, number: u64) -> Option<Task<P>> {
        match self {
            Self::Mpsc(_) => None,
            Self::Removable(queue) => queue.take_back(number),
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Mpsc(queue) => queue.len(),
            Self::Removable(queue) => queue.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn peak(&self) -> u64 {
        match self {
            Self::Mpsc(queue) => queue.peak(),
            Self::Removable(queue) => queue.peak(),
        }
    }

    pub(super) fn close(&self) {
        match self {
            Self::Mpsc(queue) => queue.close(),
            Self::Removable(queue) => queue.close(),
        }
    }
}

impl<P: Platform> Consumer<P> {
    pub(super) fn poll(&mut self) -> Option<Task<P>> {
        match self {
            Self::Mpsc(queue) => queue.poll(),
            Self::Removable(queue) => queue.poll(),
        }
    }
}
