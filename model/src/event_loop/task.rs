//! What an event loop runs.

use super::{ScheduledTask, Timer};
use crate::channel::Channel;
use crate::promise::{Cause, Promise};
use crate::recycler::Pooled;
use crate::transport::Transport;
use crate::write_task::WriteTask;
use crate::{Platform, Std};
use alloc::boxed::Box;

/// A task. The frequent ones are named, so that giving one to a loop allocates nothing beyond its place in the queue.
pub enum Task<P: Platform = Std> {
    /// A write that came from another thread.
    Write(Pooled<WriteTask<P>, P>),
    /// A flush that came from another thread.
    Flush(Channel<P>),
    /// The rest of a flush that used up its spin count.
    FlushMore(Channel<P>),
    /// A close that came from another thread.
    Close(Channel<P>, Promise<P>),
    /// As [`Task::Close`], but only the transport.
    CloseForcibly(Channel<P>),
    /// A channel's registration, with its transport.
    Register(Channel<P>, Box<dyn Transport<P>>),
    /// A channel's deregistration.
    Deregister(Channel<P>),
    /// A change of writability that another thread caused.
    WritabilityChanged(Channel<P>),
    /// A scheduled task: from another thread, or due.
    Scheduled(Box<Timer<P>>),
    /// A scheduled task was cancelled by another thread.
    Unschedule(ScheduledTask<P>),
    /// Anything.
    Closure(Box<dyn FnOnce() + Send>),
}

impl<P: Platform> Task<P> {
    /// Whether the task can wait until the loop wakes for something else: Netty's `NonWakeupRunnable`.
    pub(crate) fn is_lazy(&self) -> bool {
        match self {
            Self::Write(task) => !task.is_flushing(),
            Self::Unschedule(_) => true,
            _ => false,
        }
    }

    /// Runs it, on its loop's thread.
    pub(super) fn run(self) {
        match self {
            Self::Write(task) => WriteTask::run(task),
            Self::Flush(channel) => channel.flush(),
            Self::FlushMore(channel) => channel.flush_more(),
            Self::Close(channel, promise) => channel.close(promise),
            Self::CloseForcibly(channel) => channel.close_forcibly(),
            Self::Register(channel, transport) => channel.registered(transport),
            Self::Deregister(channel) => channel.deregistered(),
            Self::WritabilityChanged(channel) => channel.writability_changed(),
            Self::Scheduled(timer) => timer.run(),
            Self::Unschedule(handle) => handle.unschedule(),
            Self::Closure(f) => f(),
        }
    }

    /// Runs a refused closure on the thread that could not hand it over.
    pub(crate) fn run_here(self) {
        assert!(matches!(self, Self::Closure(_)), "only a closure can run anywhere");
        self.run();
    }

    /// Drops it as Netty drops a task that it accepted and won't run: neither is its message released nor its promise
    /// completed, and its shell is lost to the pool.
    pub(super) fn abandon(self) {
        if let Self::Write(task) = self {
            WriteTask::abandon(task);
        }
    }

    /// The way out for a task that a shut-down loop refused, where the caller has no better one.
    pub(crate) fn refuse(self) {
        match self {
            Self::Write(task) => WriteTask::reject(task),
            Self::Close(_, promise) => {
                promise.complete(Err(Cause::Rejected));
            }
            Self::Register(_, mut transport) => transport.close(),
            _ => (),
        }
    }
}
