//! What an event loop runs.

use super::{EventLoop, ScheduledTask, Timer};
use crate::channel::{Arrival, Channel};
use crate::pipeline::{Downstream, Posted, Upstream};
use crate::promise::{Cause, Promise};
use crate::recycler::Pooled;
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
    /// The end of the output of a channel, that came from another thread.
    ShutdownOutput(Channel<P>, Promise<P>),
    /// A request to read, that came from another thread.
    Read(Channel<P>),
    /// A connect that came from another thread.
    Connect(Channel<P>, Promise<P>),
    /// A channel's registration: its private state arrives.
    Register(Channel<P>, Box<Arrival<P>>),
    /// A channel moves to another event loop.
    Move(Channel<P>, EventLoop<P>, Promise<P>),
    /// A channel's deregistration.
    Deregister(Channel<P>, Promise<P>),
    /// The same, and it is closed: it becomes inactive.
    Inactive(Channel<P>),
    /// A call towards the application, for another thread's handler.
    Upstream(Box<Posted<P, Upstream<P>>>),
    /// A call towards the transport, for another thread's handler.
    Downstream(Box<Posted<P, Downstream<P>>>),
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
            Self::Flush(channel) => channel.flush_at_head(),
            Self::FlushMore(channel) => channel.flush_more(),
            Self::Close(channel, promise) => channel.close_at_head(promise),
            Self::CloseForcibly(channel) => channel.close_forcibly(),
            Self::ShutdownOutput(channel, promise) => channel.shutdown_output(promise),
            Self::Read(channel) => channel.read_at_head(),
            Self::Connect(channel, promise) => channel.connect(promise),
            Self::Register(channel, arrival) => channel.arrives(*arrival),
            Self::Move(channel, to, promise) => channel.moves(&to, promise),
            Self::Deregister(channel, promise) => channel.deregistered(Some(promise)),
            Self::Inactive(channel) => channel.deregistered(None),
            Self::Upstream(posted) => posted.run(),
            Self::Downstream(posted) => posted.run(),
            Self::WritabilityChanged(channel) => channel.writability_changed(),
            Self::Scheduled(timer) => timer.run(),
            Self::Unschedule(handle) => handle.unschedule(),
            Self::Closure(f) => f(),
        }
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
            Self::Close(_, promise)
            | Self::ShutdownOutput(_, promise)
            | Self::Connect(_, promise)
            | Self::Move(_, _, promise)
            | Self::Deregister(_, promise) => {
                promise.complete(Err(Cause::Rejected));
            }
            Self::Register(channel, arrival) => channel.refused(*arrival),
            Self::Upstream(posted) => posted.refuse(),
            Self::Downstream(posted) => posted.refuse(),
            Self::Flush(_)
            | Self::FlushMore(_)
            | Self::CloseForcibly(_)
            | Self::Read(_)
            | Self::Inactive(_)
            | Self::WritabilityChanged(_)
            | Self::Scheduled(_)
            | Self::Unschedule(_)
            | Self::Closure(_) => (),
        }
    }
}
