//! Which event loop has the channel.
//!
//! **Invariant: the private state of a channel is at one place: waiting for the first loop, on the thread of a loop, or in the task
//! that brings it to one.** Whoever is on the loop that has it may touch it, and call the handlers that have no executor of their
//! own.
//!
//! ```text
//!   new ──> waiting ── register ──> Register task ──> loop A ── deregister, register ──> Register task ──> loop B
//!                                                       │ calls that still come to A are forwarded to B
//! ```
//!
//! The order of one thread's writes is kept as long as the channel stays at its loop. During a move a write that is forwarded and
//! one that goes to the new loop at once may overtake each other, as in Netty.

use super::{Channel, Private};
use crate::Platform;
use crate::event_loop::{EventLoop, LoopBound, LoopFlag, OnLoop, RejectReason, Task};
use crate::observe::Reach;
use crate::pipeline::Upstream;
use crate::platform::{AtomicOps, Lock};
use crate::promise::{Cause, Promise};
use crate::transport::Readiness;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::Ordering;

enum Slot<P: Platform> {
    /// It has not arrived.
    Absent,
    Present(Private<P>),
    /// It was here, and is at this loop, or on its way there.
    Moved(EventLoop<P>),
}

/// A channel's place at one event loop.
struct Registration<P: Platform> {
    event_loop: EventLoop<P>,
    /// Whether the slot is `Present`.
    is_present: LoopFlag<P>,
    slot: LoopBound<Slot<P>, P>,
}

/// See the [module](self).
pub(super) struct Registrations<P: Platform> {
    /// Null before the first one; else one of `kept`.
    current: P::Atomic<*mut Registration<P>>,
    /// All there ever were: one for each loop that the channel has been at.
    kept: P::Mutex<Vec<Arc<Registration<P>>>>,
    waiting: P::Mutex<Option<Private<P>>>,
    /// An event loop serves the channel.
    is_registered: P::Atomic<bool>,
    /// It was closed on the way to its first loop, which closes it.
    is_unwanted: P::Atomic<bool>,
}

// SAFETY: `current` points to one of `kept`, which is never taken out; a registration itself is `Send` and `Sync`.
unsafe impl<P: Platform> Send for Registrations<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Registrations<P> {}

/// The private state of a channel on its way to an event loop.
pub struct Arrival<P: Platform> {
    registration: Arc<Registration<P>>,
    private: Private<P>,
    promise: Option<Promise<P>>,
}

impl<P: Platform> Registrations<P> {
    pub(super) fn new(private: Private<P>) -> Self {
        Self {
            current: P::Atomic::new(ptr::null_mut()),
            kept: P::Mutex::new(Vec::new()),
            waiting: P::Mutex::new(Some(private)),
            is_registered: P::Atomic::new(false),
            is_unwanted: P::Atomic::new(false),
        }
    }

    fn current(&self) -> Option<&Registration<P>> {
        // Acquire: pairs with the release in `Channel::arrives` and `send_to`.
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: it points to one of `kept`, whose `Arc` stays there as long as `self`.
        unsafe { current.as_ref() }
    }

    /// The channel's place at this loop: the one that it has had there, if it comes back.
    fn at(&self, event_loop: &EventLoop<P>) -> Arc<Registration<P>> {
        let mut kept = self.kept.lock();
        if let Some(known) = kept.iter().find(|registration| registration.event_loop.is_same(event_loop)) {
            return Arc::clone(known);
        }
        let thread = event_loop.thread();
        let registration = Arc::new(Registration {
            event_loop: event_loop.clone(),
            is_present: LoopFlag::new(thread.clone(), false),
            slot: LoopBound::new(thread.clone(), Slot::Absent),
        });
        kept.push(Arc::clone(&registration));
        registration
    }
}

impl<P: Platform> Registration<P> {
    fn install(&self, on: OnLoop<'_, P>, private: Private<P>) {
        let before = self.slot.with(on, |slot| core::mem::replace(slot, Slot::Present(private)));
        assert!(!matches!(before, Slot::Present(_)), "a channel has one private state");
        self.is_present.set(on, true);
    }

    fn take(&self, on: OnLoop<'_, P>, to: &EventLoop<P>) -> Private<P> {
        self.is_present.set(on, false);
        match self.slot.with(on, |slot| core::mem::replace(slot, Slot::Moved(to.clone()))) {
            Slot::Present(private) => private,
            Slot::Absent | Slot::Moved(_) => unreachable!("the caller has seen it"),
        }
    }
}

impl<P: Platform> Channel<P> {
    /// The loop that it is registered at, or was last.
    ///
    /// # Panics
    /// When it never was; [`Channel::registered_loop`] doesn't.
    pub fn event_loop(&self) -> &EventLoop<P> {
        self.registered_loop().expect("the channel has never been registered")
    }

    /// The loop that it is registered at, or was last.
    pub fn registered_loop(&self) -> Option<&EventLoop<P>> {
        self.0.registrations.current().map(|registration| &registration.event_loop)
    }

    /// Whether an event loop serves it.
    pub fn is_registered(&self) -> bool {
        // Acquire: pairs with the releases below.
        self.0.registrations.is_registered.load(Ordering::Acquire)
    }

    /// The token, on the thread of the loop that has the private state.
    pub(crate) fn here(&self) -> Option<OnLoop<'_, P>> {
        let registration = self.0.registrations.current()?;
        let on = registration.event_loop.here()?;
        registration.is_present.get(on).then_some(on)
    }

    pub(super) fn private<R>(&self, on: OnLoop<'_, P>, f: impl FnOnce(&mut Private<P>) -> R) -> R {
        let registration = self.0.registrations.current().expect("the token proves it");
        registration.slot.with(on, |slot| match slot {
            Slot::Present(private) => f(private),
            Slot::Absent | Slot::Moved(_) => panic!("the private state of a channel is elsewhere"),
        })
    }

    /// The loop that has the private state, or gets it next, as far as the running thread knows: a loop that the channel has left
    /// knows where it went.
    pub(crate) fn loop_ahead(&self) -> Option<EventLoop<P>> {
        let registration = self.0.registrations.current()?;
        let moved = registration.event_loop.here().and_then(|on| {
            registration.slot.with(on, |slot| if let Slot::Moved(to) = slot { Some(to.clone()) } else { None })
        });
        Some(moved.unwrap_or_else(|| registration.event_loop.clone()))
    }

    /// Whether an operation of the channel's loop may begin; otherwise its promise has failed: it is void, or there is no loop.
    pub(super) fn may_begin(&self, promise: &Promise<P>) -> bool {
        if promise.refuse_void() {
            return false;
        }
        let has_loop = self.registered_loop().is_some();
        if !has_loop {
            promise.complete(Err(Cause::NotRegistered));
        }
        has_loop
    }

    /// Gives the channel's loop the end of something that was begun. Under Netty's rules a loop that refuses it loses it.
    pub(super) fn post_back(&self, task: Task<P>) {
        let Err(rejected) = self.event_loop().execute(task) else { return };
        if self.config().keeps_refused {
            self.event_loop().execute_surely(rejected.task);
        } else {
            self.0.counters.post_back_lost();
        }
    }

    /// Gives the channel's loop a task, or refuses it.
    pub(super) fn post(&self, task: Task<P>) {
        let Some(event_loop) = self.loop_ahead() else { return task.refuse() };
        let Err(rejected) = event_loop.execute(task) else { return };
        // A full queue must not swallow what nobody would ask for again; and a channel that is at no loop, whose last loop has
        // ended, has nobody else to close it.
        let matters = match rejected.task {
            Task::Flush(_) | Task::Read(_) => rejected.reason == RejectReason::Full,
            Task::Close(..) | Task::CloseForcibly(_) => !self.is_registered(),
            _ => false,
        };
        if matters && self.config().keeps_refused {
            event_loop.execute_surely(rejected.task);
        } else {
            rejected.task.refuse();
        }
    }

    /// Gives a task that came to a loop that the channel has left to the one that has it.
    pub(crate) fn forward(&self, task: Task<P>) {
        P::reach(Reach::Forwarded);
        self.post(task);
    }

    /// Registers the channel at `event_loop`, from any thread: for the first time, or after it was deregistered.
    ///
    /// `promise` fails with [`Cause::AlreadyRegistered`] when the channel is at a loop, with [`Cause::ClosedChannel`] when it is
    /// closed, and with [`Cause::Rejected`] when the loop refuses it: the channel is closed then. With [`Cause::VoidPromise`] when it
    /// is void.
    pub fn register(&self, event_loop: &EventLoop<P>, promise: Promise<P>) {
        if promise.refuse_void() {
            return;
        }
        let waiting = self.0.registrations.waiting.lock().take();
        if let Some(private) = waiting {
            // A refusal has been told to the promise.
            let _refused = self.send_to(event_loop, private, Some(promise));
            return;
        }
        let Some(current) = self.registered_loop().cloned() else {
            promise.complete(Err(if self.is_open() { Cause::AlreadyRegistered } else { Cause::ClosedChannel }));
            return;
        };
        // Later also on the loop itself: the caller may be in the middle of a flush, or in a handler.
        current.execute_or_refuse(Task::Move(self.clone(), event_loop.clone(), promise));
    }

    pub(super) fn register_first(&self, event_loop: &EventLoop<P>) -> Result<(), RejectReason> {
        let private = self.0.registrations.waiting.lock().take().expect("a new channel waits");
        self.send_to(event_loop, private, None)
    }

    /// Whether the channel is on its way to its first loop, or has ended without one: a loop that gets it will close it.
    pub(super) fn is_awaited(&self) -> bool {
        if self.registered_loop().is_some() {
            return false;
        }
        // SeqCst, both: in one order with the store of `current` and the look at this flag in `arrives`: either the loop sees that
        // the channel is unwanted, or we see the loop.
        self.0.registrations.is_unwanted.store(true, Ordering::SeqCst);
        self.0.registrations.current.load(Ordering::SeqCst).is_null()
    }

    /// Has the transport told who listens.
    pub(super) fn open_transport(&self, readiness: Readiness<P>) {
        let mut waiting = self.0.registrations.waiting.lock();
        let transport = waiting.as_mut().and_then(|private| private.transport.as_mut());
        transport.expect("a new channel has its transport").open(readiness);
    }

    /// What a channel that was never registered has; the caller ends it.
    pub(super) fn take_waiting(&self) -> Option<Private<P>> {
        self.0.registrations.waiting.lock().take()
    }

    fn send_to(
        &self,
        event_loop: &EventLoop<P>,
        private: Private<P>,
        promise: Option<Promise<P>>,
    ) -> Result<(), RejectReason> {
        let registration = self.0.registrations.at(event_loop);
        let arrival = Arrival { registration: Arc::clone(&registration), private, promise };
        if event_loop.in_loop() {
            self.arrives(arrival);
            return Ok(());
        }
        if let Err(rejected) = event_loop.execute(Task::Register(self.clone(), Box::new(arrival))) {
            rejected.task.refuse();
            return Err(rejected.reason);
        }
        // For the first registration; otherwise the last one stays, until the state arrives. Release: pairs with `current`. Who
        // sees it posts its task after the one that brings the state. The loop may have been quicker, and a move too: then it is set.
        let current = Arc::as_ptr(&registration).cast_mut();
        let registrations = &self.0.registrations.current;
        let _set = registrations.compare_exchange(ptr::null_mut(), current, Ordering::Release, Ordering::Relaxed);
        Ok(())
    }

    /// Moves the channel to another loop, on the one that has it.
    pub(crate) fn moves(&self, to: &EventLoop<P>, promise: Promise<P>) {
        let Some(on) = self.here() else {
            return self.forward(Task::Move(self.clone(), to.clone(), promise));
        };
        let refusal = self.private(on, |p| match (p.is_served, p.close_initiated) {
            (_, true) => Some(Cause::ClosedChannel),
            (true, _) => Some(Cause::AlreadyRegistered),
            _ => None,
        });
        if let Some(cause) = refusal {
            promise.complete(Err(cause));
            return;
        }
        assert!(self.private(on, |p| !p.is_flushing && !p.is_reading), "a channel moves between two tasks");
        P::reach(Reach::Reregistered);
        let private = self.0.registrations.current().expect("the token proves it").take(on, to);
        // A refusal has closed the channel, and has been told to the promise.
        let _refused = self.send_to(to, private, Some(promise));
    }

    /// The private state has arrived at its loop.
    pub(crate) fn arrives(&self, arrival: Arrival<P>) {
        let Arrival { registration, private, promise } = arrival;
        let on = registration.event_loop.here().expect("it arrives on its loop");
        registration.install(on, private);
        // SeqCst: pairs with `current`: who sees it finds the state there; and in one order with `is_unwanted`, see there.
        self.0.registrations.current.store(Arc::as_ptr(&registration).cast_mut(), Ordering::SeqCst);
        self.private(on, |p| p.is_served = true);
        registration.event_loop.register(on, self);
        // Release: pairs with `is_registered`.
        self.0.registrations.is_registered.store(true, Ordering::Release);
        self.tell_all_added();
        if let Some(promise) = promise {
            promise.complete(Ok(()));
        }
        self.fire(None, Upstream::Registered);
        self.tell_active();
        // What the transport has told meanwhile is on no loop's list, or on the wrong one's.
        registration.event_loop.channel_ready(self.clone());
        // SeqCst: see `is_awaited`.
        if self.0.registrations.is_unwanted.load(Ordering::SeqCst)
            && let Some(on) = self.here()
        {
            self.close_here(on, None, Cause::ClosedChannel);
        }
    }

    /// Its loop refused it.
    pub(crate) fn refused(&self, arrival: Arrival<P>) {
        let Arrival { private, promise, .. } = arrival;
        match self.0.registrations.current() {
            None => self.end_unregistered(private),
            Some(registration) => {
                // It is still on the stack of the loop that it wanted to leave.
                let on = registration.event_loop.here().expect("a loop gives a channel away on its own thread");
                registration.install(on, private);
                self.close_here(on, None, Cause::ClosedChannel);
            }
        }
        if let Some(promise) = promise {
            promise.complete(Err(Cause::Rejected));
        }
    }

    /// Takes the channel off its event loop, from any thread, when all handlers that want to have had a say. It stays open, and
    /// can be [registered](Channel::register) again. A void promise is refused: it fails with [`Cause::VoidPromise`].
    pub fn deregister(&self, promise: Promise<P>) {
        if promise.refuse_void() {
            return;
        }
        if self.registered_loop().is_none() {
            promise.complete(Ok(()));
            return;
        }
        self.go_down(None, crate::pipeline::Downstream::Deregister(promise));
    }

    /// Later, as in Netty: the caller may be in the middle of something.
    pub(crate) fn deregister_at_head(&self, promise: Promise<P>) {
        self.post_back(Task::Deregister(self.clone(), promise));
    }

    /// It leaves its loop. Without a promise: because it is closed, and becomes inactive.
    pub(crate) fn deregistered(&self, promise: Option<Promise<P>>) {
        let Some(on) = self.here() else {
            return self.forward(match promise {
                Some(promise) => Task::Deregister(self.clone(), promise),
                None => Task::Inactive(self.clone()),
            });
        };
        let is_closed = promise.is_none();
        let was_served = self.private(on, |p| core::mem::take(&mut p.is_served));
        if was_served {
            self.event_loop().deregister(on, self);
            // Release: pairs with `is_registered`.
            self.0.registrations.is_registered.store(false, Ordering::Release);
        }
        if is_closed {
            self.tell_inactive();
        }
        if was_served {
            self.fire(None, Upstream::Unregistered);
        }
        if let Some(promise) = promise {
            promise.complete(Ok(()));
        }
        // Not before the handlers have heard that it is inactive: a close may be on its way through the linger executor.
        if is_closed {
            self.begin_destruction();
        }
    }
}
