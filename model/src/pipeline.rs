//! The pipeline of a channel: its handlers, in order.
//!
//! **Invariant: a handler is called on the thread of its own executor, by nobody else meanwhile, after it was told that it was
//! added and not after it was told that it was removed**; and what a call carries is owned by one handler at a time, the
//! [tail](tail) at last, which releases it.
//!
//! ```text
//!                 ┌────────┐ fire_read  ┌────────┐ fire_read  ┌────────┐
//!   transport ──> │ head   │ ─────────> │decoder │ ─────────> │business│ ──────> tail: releases what nobody took
//!             <── │(channel)│ <──────── │encoder │ <───────── │(own    │ <────── Channel::write
//!                 └────────┘   write    └────────┘   write    │executor)│
//!                                                             └────────┘
//!   the next handler's executor is this thread?  yes: call it     no: a task, on that executor
//! ```
//!
//! A handler bound to an executor of its own (a business executor in the middle of a pipeline) makes every message that passes
//! it change threads: obtained on one, released on another. After Netty's `DefaultChannelPipeline`; like there, what is removed
//! keeps its place among the others for the calls that it still makes.
//!
//! A write and its flush are two calls: where a handler with an executor of its own is removed between them, the flush takes the
//! short way and may overtake the write, which then waits for the next flush. That is so in Netty too.
//!
//! What an executor refuses: Netty lets the exception go up to the caller, and forgets what the call carried. Under Millpond's
//! rules it is released, and the calls that end something (inactive, unregistered, removed) can't be refused.

mod context;
mod invoke;
mod list;

pub(crate) use context::Place;
pub(crate) use invoke::{Downstream, Posted, Upstream};
pub(crate) use list::{Contexts, Direction};

use crate::channel::Channel;
use crate::event_loop::EventLoop;
use crate::handler::{Handler, Inbound, InboundHandler, Outbound, OutboundHandler};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Why a pipeline wasn't changed. The handler has been dropped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PipelineError {
    /// There is one with this name already.
    #[error("the pipeline has a handler `{0}` already: choose another name")]
    NameTaken(String),
    /// There is none with this name.
    #[error("the pipeline has no handler `{0}`")]
    NoSuchHandler(String),
    /// The channel is closed, and its pipeline with it.
    #[error("the channel is closed: its pipeline takes no handlers any more")]
    Closed,
}

/// A handler with its name, and the executor that calls it.
pub struct Named<P: Platform = Std> {
    pub(crate) name: String,
    pub(crate) executor: Option<EventLoop<P>>,
    pub(crate) handler: Box<dyn Handler<P>>,
}

impl<P: Platform> Named<P> {
    /// A handler that the channel's event loop calls.
    pub fn new(name: impl Into<String>, handler: impl Handler<P> + 'static) -> Self {
        Self { name: name.into(), executor: None, handler: Box::new(handler) }
    }

    /// A handler of what comes in.
    pub fn inbound(name: impl Into<String>, handler: impl Inbound<P> + 'static) -> Self {
        Self::new(name, InboundHandler(handler))
    }

    /// A handler of what goes out.
    pub fn outbound(name: impl Into<String>, handler: impl Outbound<P> + 'static) -> Self {
        Self::new(name, OutboundHandler(handler))
    }

    /// The same handler, called by `executor`, which is usually none of the loops that serve channels.
    #[must_use]
    pub fn on(mut self, executor: &EventLoop<P>) -> Self {
        self.executor = Some(executor.clone());
        self
    }
}

/// Where a handler is put.
enum Position<'a> {
    First,
    Last,
    Before(&'a str),
    After(&'a str),
}

/// The pipeline of a channel. See the [module](self).
///
/// It can be changed at any time, from any thread, also from inside a handler.
pub struct Pipeline<'a, P: Platform = Std>(pub(crate) &'a Channel<P>);

impl<P: Platform> Pipeline<'_, P> {
    /// Puts a handler next to the transport.
    ///
    /// # Errors
    /// The name is taken, or the channel is closed.
    pub fn add_first(&self, handler: Named<P>) -> Result<(), PipelineError> {
        self.add(Position::First, handler)
    }

    /// Puts a handler next to the application.
    ///
    /// # Errors
    /// The name is taken, or the channel is closed.
    pub fn add_last(&self, handler: Named<P>) -> Result<(), PipelineError> {
        self.add(Position::Last, handler)
    }

    /// Puts a handler between `name` and what is nearer to the transport.
    ///
    /// # Errors
    /// The name is taken, there is no `name`, or the channel is closed.
    pub fn add_before(&self, name: &str, handler: Named<P>) -> Result<(), PipelineError> {
        self.add(Position::Before(name), handler)
    }

    /// Puts a handler between `name` and what is nearer to the application.
    ///
    /// # Errors
    /// The name is taken, there is no `name`, or the channel is closed.
    pub fn add_after(&self, name: &str, handler: Named<P>) -> Result<(), PipelineError> {
        self.add(Position::After(name), handler)
    }

    fn add(&self, position: Position<'_>, handler: Named<P>) -> Result<(), PipelineError> {
        let place = self.0.contexts().add(handler, |places| list::index(places, &position))?;
        self.0.tell_added(&place);
        Ok(())
    }

    /// Removes a handler; it is told, on its executor.
    ///
    /// # Errors
    /// There is no `name`.
    pub fn remove(&self, name: &str) -> Result<(), PipelineError> {
        let place = self.0.contexts().named(name).ok_or_else(|| PipelineError::NoSuchHandler(name.into()))?;
        if self.0.remove_place(&place) { Ok(()) } else { Err(PipelineError::NoSuchHandler(name.into())) }
    }

    /// Puts a handler in the place of `name`. The new one is told first, as in Netty, so that what the old one gives on at its
    /// removal finds it ready.
    ///
    /// # Errors
    /// The new name is taken, there is no `name`, or the channel is closed.
    pub fn replace(&self, name: &str, handler: Named<P>) -> Result<(), PipelineError> {
        let [old, new] = self.0.contexts().replace(name, handler)?;
        self.0.tell_added(&new);
        self.0.tell_removed(&old);
        Ok(())
    }

    /// The names of its handlers, from the transport to the application.
    pub fn names(&self) -> Vec<String> {
        self.0.contexts().all().iter().map(|place| String::from(place.name())).collect()
    }
}

/// Equality of places.
fn same<P: Platform>(a: &Arc<Place<P>>, b: &Arc<Place<P>>) -> bool {
    Arc::ptr_eq(a, b)
}
