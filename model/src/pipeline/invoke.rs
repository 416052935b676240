//! Calls: from handler to handler, from thread to thread.
//!
//! **Invariant: a call reaches the next handler that is in the pipeline, on that handler's executor, or ends at the tail or the
//! head; where an executor refuses it, what it carries is not forgotten** (but under Netty's rules, which forget it).

use super::Place;
use super::context::View;
use super::list::Direction;
use crate::Platform;
use crate::channel::Channel;
use crate::event_loop::{EventLoop, Task};
use crate::handler::{Handler, HandlerError, UserEvent};
use crate::message::Message;
use crate::observe::Reach;
use crate::promise::{Cause, Promise};
use crate::write_path::VoidFailures;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// A call towards the application.
pub enum Upstream<P: Platform> {
    Added,
    Removed,
    Registered,
    Unregistered,
    Active,
    Inactive,
    Read(Message<P>),
    ReadComplete,
    WritabilityChanged,
    UserEvent(UserEvent<P>),
    Exception(HandlerError),
    /// Passes every handler after all that it was told before, so that they can be removed then.
    Destroy,
}

impl<P: Platform> Upstream<P> {
    /// Whether it ends something, so that it must not be refused.
    fn is_end(&self) -> bool {
        matches!(self, Self::Removed | Self::Unregistered | Self::Inactive | Self::Destroy)
    }

    /// Releases what it carries.
    fn release(self) {
        if let Self::Read(message) | Self::UserEvent(UserEvent::Message(message)) = self {
            message.touch("refused by the handler's executor");
            message.release();
        }
    }
}

/// A call towards the transport that isn't a write.
pub enum Downstream<P: Platform> {
    Flush,
    Read,
    Close(Promise<P>),
    Deregister(Promise<P>),
}

impl<P: Platform> Downstream<P> {
    fn promise(&self) -> Option<&Promise<P>> {
        match self {
            Self::Close(promise) | Self::Deregister(promise) => Some(promise),
            Self::Flush | Self::Read => None,
        }
    }
}

/// A call on its way to another thread. Without a place it goes to the tail, or to the head.
pub struct Posted<P: Platform, C> {
    channel: Channel<P>,
    place: Option<Arc<Place<P>>>,
    call: C,
}

impl<P: Platform> Posted<P, Upstream<P>> {
    pub(crate) fn run(self) {
        match self.place {
            Some(place) => self.channel.call_up(place, self.call),
            None => self.channel.call_tail(self.call),
        }
    }

    /// The executor refused it.
    pub(crate) fn refuse(self) {
        P::reach(Reach::HandlerCallRefused);
        if self.channel.config().keeps_refused {
            self.call.release();
        }
    }
}

impl<P: Platform> Posted<P, Downstream<P>> {
    pub(crate) fn run(self) {
        match self.place {
            Some(place) => self.channel.call_down(place, self.call),
            None => self.channel.call_head(self.call),
        }
    }

    /// The executor refused it.
    pub(crate) fn refuse(self) {
        P::reach(Reach::HandlerCallRefused);
        if let Some(promise) = self.call.promise() {
            promise.try_complete(Err(Cause::Rejected));
        }
    }
}

impl<P: Platform> Channel<P> {
    /// Whether the running thread may call the handler at `place`.
    pub(crate) fn is_at(&self, place: &Place<P>) -> bool {
        match place.executor() {
            Some(executor) => executor.in_loop(),
            None => self.here().is_some(),
        }
    }

    fn executor_of(&self, place: Option<&Place<P>>) -> Option<EventLoop<P>> {
        place.and_then(Place::executor).cloned().or_else(|| self.loop_ahead())
    }

    // ---- towards the application

    /// Calls the next handler after `from`; after none: from the transport.
    pub(crate) fn fire(&self, from: Option<&Arc<Place<P>>>, event: Upstream<P>) {
        match self.contexts().next(from, Direction::Inbound) {
            Some(place) => self.call_up(place, event),
            None => self.call_tail(event),
        }
    }

    fn call_up(&self, place: Arc<Place<P>>, event: Upstream<P>) {
        if self.is_at(&place) {
            self.invoke_up(&place, event);
        } else {
            self.post_up(Some(place), event);
        }
    }

    fn call_tail(&self, event: Upstream<P>) {
        let needs_loop =
            matches!(event, Upstream::Read(_) | Upstream::UserEvent(_) | Upstream::Exception(_) | Upstream::Destroy);
        if !needs_loop || self.here().is_some() {
            self.tail(event);
        } else {
            self.post_up(None, event);
        }
    }

    fn post_up(&self, place: Option<Arc<Place<P>>>, event: Upstream<P>) {
        P::reach(Reach::HandlerChangedThreads);
        let is_sure = event.is_end() && self.config().keeps_refused;
        let executor = self.executor_of(place.as_deref());
        let posted = Box::new(Posted { channel: self.clone(), place, call: event });
        let Some(executor) = executor else { return posted.refuse() };
        if is_sure {
            // Always this way, so that no end overtakes another one that a full queue refused.
            executor.execute_surely(Task::Upstream(posted));
        } else {
            executor.execute_or_refuse(Task::Upstream(posted));
        }
    }

    fn invoke_up(&self, place: &Arc<Place<P>>, event: Upstream<P>) {
        match event {
            Upstream::Added => return self.invoke_added(place),
            Upstream::Removed => return self.invoke_removed(place),
            Upstream::Destroy => return self.fire(Some(place), event),
            event if !place.is_added() => return self.fire(Some(place), event),
            _ => (),
        }
        let view = View { channel: self, place };
        let is_exception = matches!(event, Upstream::Exception(_));
        let result = self.caught(place, |handler| {
            let inbound = handler.inbound().expect("the list gives those that are inbound");
            match event {
                Upstream::Added | Upstream::Removed | Upstream::Destroy => unreachable!("seen above"),
                Upstream::Registered => inbound.registered(&view),
                Upstream::Unregistered => inbound.unregistered(&view),
                Upstream::Active => inbound.active(&view),
                Upstream::Inactive => inbound.inactive(&view),
                Upstream::Read(message) => inbound.read(&view, message),
                Upstream::ReadComplete => inbound.read_complete(&view),
                Upstream::WritabilityChanged => inbound.writability_changed(&view),
                Upstream::UserEvent(event) => inbound.user_event(&view, event),
                Upstream::Exception(error) => inbound.exception(&view, error),
            }
        });
        match result {
            Ok(()) => (),
            Err(_) if is_exception => self.count_unhandled(), // Netty logs it
            Err(error) => self.invoke_exception(place, error),
        }
    }

    /// The handler failed: it is the first to hear of it.
    fn invoke_exception(&self, place: &Arc<Place<P>>, error: HandlerError) {
        if place.is_added() {
            self.invoke_up(place, Upstream::Exception(error));
        } else {
            self.fire(Some(place), Upstream::Exception(error));
        }
    }

    /// Lends the handler for one call, and catches its panic.
    fn caught(
        &self,
        place: &Arc<Place<P>>,
        call: impl FnOnce(&dyn Handler<P>) -> Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        assert!(self.is_at(place), "a handler is called by its executor");
        // SAFETY: seen above. The event loop that has the private state of the channel is one at a time, and hands it on between
        // two tasks; a place's own executor never changes.
        let (handler, calls) = unsafe { (place.lend(), place.calls()) };
        calls.set(calls.get() + 1);
        let result = P::catch(|| call(handler));
        calls.set(calls.get() - 1);
        result.unwrap_or_else(|payload| {
            self.count_panic();
            Err(HandlerError::panicked(&*payload))
        })
    }

    // ---- added and removed

    /// Tells a handler that it was added, if the channel has an event loop.
    pub(super) fn tell_added(&self, place: &Arc<Place<P>>) {
        if self.registered_loop().is_some() && place.begins_telling() {
            self.call_up(Arc::clone(place), Upstream::Added);
        }
    }

    /// Tells those that were added before there was an event loop.
    pub(crate) fn tell_all_added(&self) {
        for place in self.contexts().all() {
            if place.begins_telling() {
                self.call_up(place, Upstream::Added);
            }
        }
    }

    fn invoke_added(&self, place: &Arc<Place<P>>) {
        if !place.is_told() {
            return; // removed before it was told
        }
        let view = View { channel: self, place };
        let added = self.caught(place, |handler| handler.inbound().map_or(Ok(()), |inbound| inbound.added(&view)));
        if let Err(error) = added {
            self.remove_place(place);
            self.fire(Some(place), Upstream::Exception(error));
        }
    }

    /// Takes a handler out; `false`: it was out already.
    pub(crate) fn remove_place(&self, place: &Arc<Place<P>>) -> bool {
        let removed = self.contexts().remove(place);
        if removed {
            if self.is_on_stack(place) {
                P::reach(Reach::HandlerRemovedInside);
            }
            self.tell_removed(place);
        }
        removed
    }

    /// Whether the running thread is inside a call of the handler.
    fn is_on_stack(&self, place: &Place<P>) -> bool {
        // SAFETY: as in `caught`.
        self.is_at(place) && unsafe { place.calls() }.get() > 0
    }

    /// It is in no list any more.
    pub(super) fn tell_removed(&self, place: &Arc<Place<P>>) {
        if place.was_told() {
            self.call_up(Arc::clone(place), Upstream::Removed);
        }
    }

    fn invoke_removed(&self, place: &Arc<Place<P>>) {
        let view = View { channel: self, place };
        let removed = self.caught(place, |handler| match (handler.inbound(), handler.outbound()) {
            (Some(inbound), _) => inbound.removed(&view),
            (None, Some(outbound)) => outbound.removed(&view),
            (None, None) => Ok(()),
        });
        if let Err(error) = removed {
            self.fire(Some(place), Upstream::Exception(error));
        }
    }

    /// The channel is closed and has no event loop any more: all handlers go, when they have heard what they were told.
    pub(crate) fn begin_destruction(&self) {
        self.fire(None, Upstream::Destroy);
    }

    /// All handlers go, the last one first.
    pub(crate) fn destroy_pipeline(&self) {
        for place in self.contexts().close().iter().rev() {
            self.remove_place(place);
        }
    }

    // ---- towards the transport

    /// Calls the next handler before `from`; before none: from the application.
    pub(crate) fn go_down(&self, from: Option<&Arc<Place<P>>>, call: Downstream<P>) {
        match self.contexts().next(from, Direction::Outbound) {
            Some(place) => self.call_down(place, call),
            None => self.call_head(call),
        }
    }

    fn call_down(&self, place: Arc<Place<P>>, call: Downstream<P>) {
        if self.is_at(&place) {
            self.invoke_down(&place, call);
            return;
        }
        let executor = self.executor_of(Some(&place));
        let posted = Box::new(Posted { channel: self.clone(), place: Some(place), call });
        let Some(executor) = executor else { return posted.refuse() };
        executor.execute_or_refuse(Task::Downstream(posted));
    }

    fn invoke_down(&self, place: &Arc<Place<P>>, call: Downstream<P>) {
        if !place.is_added() {
            return self.go_down(Some(place), call);
        }
        let view = View { channel: self, place };
        let promise = call.promise().cloned();
        let result = self.caught(place, |handler| {
            let outbound = handler.outbound().expect("the list gives those that are outbound");
            match call {
                Downstream::Flush => outbound.flush(&view),
                Downstream::Read => outbound.read(&view),
                Downstream::Close(promise) => outbound.close(&view, promise),
                Downstream::Deregister(promise) => outbound.deregister(&view, promise),
            }
        });
        match (result, promise) {
            (Err(error), Some(promise)) => drop(promise.try_complete(Err(error.cause()))),
            (Err(error), None) => self.invoke_exception(place, error),
            (Ok(()), _) => (),
        }
    }

    fn call_head(&self, call: Downstream<P>) {
        match call {
            Downstream::Flush => self.flush_at_head(),
            Downstream::Read => self.read_at_head(),
            Downstream::Close(promise) => self.close_at_head(promise),
            Downstream::Deregister(promise) => self.deregister_at_head(promise),
        }
    }

    /// Calls the handler at `place` with a write, on its executor's thread.
    pub(crate) fn invoke_write(&self, place: &Arc<Place<P>>, message: Message<P>, promise: Promise<P>, flush: bool) {
        if !place.is_added() {
            // Validated when it was submitted; what happened to the promise since is the next one's business.
            let _released = self.write_from(Some(place), message, promise, flush);
            return;
        }
        let view = View { channel: self, place };
        let theirs = promise.clone();
        let written = self.caught(place, |handler| {
            handler.outbound().expect("the list gives those that are outbound").write(&view, message, theirs)
        });
        match written {
            Err(error) if promise.is_void() => self.fail_promise(&promise, error.cause(), VoidFailures::Buffered),
            Err(error) => drop(promise.try_complete(Err(error.cause()))),
            Ok(()) => (),
        }
        if flush {
            self.invoke_down(place, Downstream::Flush);
        }
    }
}
