//! The task that carries a write from another thread to the channel's event loop.
//!
//! **Invariant: a task that is in its pool refers to nothing.** It is taken from the pool of the thread that writes and
//! recycled on the loop: the one pooled object of the write path that crosses threads, on every write.

use crate::channel::Channel;
use crate::event_loop::Task;
use crate::message::Message;
use crate::pipeline::Place;
use crate::promise::Promise;
use crate::recycler::Pooled;
use crate::{Platform, Std};
use alloc::sync::Arc;

/// What a write needs on the loop.
pub(crate) struct Write<P: Platform> {
    pub(crate) channel: Channel<P>,
    /// The handler that is called; none: the head of the pipeline.
    pub(crate) place: Option<Arc<Place<P>>>,
    pub(crate) message: Message<P>,
    pub(crate) promise: Promise<P>,
    /// Bytes counted as pending at submission; `None` when they weren't.
    pub(crate) counted: Option<u64>,
    pub(crate) flush: bool,
}

/// A pooled task. See the [module](self).
pub struct WriteTask<P: Platform = Std>(pub(crate) Option<Write<P>>);

impl<P: Platform> Default for WriteTask<P> {
    fn default() -> Self {
        Self(None)
    }
}

impl<P: Platform> WriteTask<P> {
    fn take(&mut self) -> Write<P> {
        self.0.take().expect("a task that is queued carries a write")
    }

    pub(crate) fn is_flushing(&self) -> bool {
        self.0.as_ref().is_some_and(|write| write.flush)
    }

    /// Runs on the loop, then recycles the task there, as Netty's `finally` does.
    pub(crate) fn run(mut task: Pooled<Self, P>) {
        let write = task.0.as_ref().expect("a task that is queued carries a write");
        let channel = write.channel.clone();
        if !channel.is_write_here(write) {
            return channel.forward(Task::Write(task));
        }
        let write = task.take();
        channel.run_write(write);
        drop(channel);
        drop(task);
    }

    /// The write was refused: its message is released and its promise failed.
    pub(crate) fn reject(mut task: Pooled<Self, P>) {
        let write = task.take();
        if write.channel.config().cancel_on_rejection {
            drop(task);
        } else {
            core::mem::forget(task); // lost to its pool, as in Netty through 4.1.30
        }
        write.channel.clone().reject_write(write);
    }

    /// The write was accepted and will never run.
    pub(crate) fn abandon(mut task: Pooled<Self, P>) {
        let write = task.take();
        write.channel.clone().abandon_write(write);
        core::mem::forget(task);
    }
}
