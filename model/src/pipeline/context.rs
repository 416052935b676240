//! The place of a handler in a pipeline.
//!
//! **Invariant: the handler is lent on the thread of its executor only.**
//!
//! ```text
//!   Pending ── told that it was added ──> Added ── taken out of the list ──> Removed
//! ```

use super::Named;
use super::list::Direction;
use crate::Platform;
use crate::allocator::Allocator;
use crate::channel::{Channel, IllegalPromise};
use crate::event_loop::EventLoop;
use crate::handler::{Context, Handler, HandlerError, UserEvent};
use crate::message::Message;
use crate::pipeline::{Downstream, Upstream};
use crate::platform::{AtomicOps, Lock};
use crate::promise::Promise;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::Ordering;

/// Not told yet that it is in the pipeline: calls pass by.
const PENDING: u32 = 0;
/// A task that tells it is on its way.
const TELLING: u32 = 1;
/// In the pipeline.
const ADDED: u32 = 2;
/// Out of it: calls pass by.
const REMOVED: u32 = 3;

/// What a place that was removed remembers.
pub(super) struct Links<P: Platform> {
    pub(super) before: Option<Arc<Place<P>>>,
    pub(super) after: Option<Arc<Place<P>>>,
}

/// A handler, only for the thread of its executor.
struct Confined<T>(T);

// SAFETY: the value is shared only by `lend`, whose caller proves that it is on the one thread that may have it. It may be
// dropped elsewhere, when nobody has it, hence `T: Send`.
unsafe impl<T: Send> Sync for Confined<T> {}

/// See the [module](self).
pub struct Place<P: Platform> {
    name: String,
    executor: Option<EventLoop<P>>,
    state: P::Atomic<u32>,
    /// Of one that was removed.
    was_told: P::Atomic<bool>,
    is_inbound: bool,
    is_outbound: bool,
    links: P::Mutex<Option<Links<P>>>,
    handler: Confined<Box<dyn Handler<P>>>,
    /// Calls of the handler that are on the stack.
    calls: Confined<Cell<u32>>,
}

impl<P: Platform> Place<P> {
    pub(super) fn new(named: Named<P>) -> Self {
        Self {
            name: named.name,
            executor: named.executor,
            state: P::Atomic::new(PENDING),
            was_told: P::Atomic::new(false),
            is_inbound: named.handler.inbound().is_some(),
            is_outbound: named.handler.outbound().is_some(),
            links: P::Mutex::new(None),
            handler: Confined(named.handler),
            calls: Confined(Cell::new(0)),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Who calls it, if that isn't the channel's event loop.
    pub(crate) fn executor(&self) -> Option<&EventLoop<P>> {
        self.executor.as_ref()
    }

    pub(super) fn takes(&self, direction: Direction) -> bool {
        match direction {
            Direction::Inbound => self.is_inbound,
            Direction::Outbound => self.is_outbound,
        }
    }

    /// Begins to tell it that it was added; `false`: that has begun already.
    pub(super) fn begins_telling(&self) -> bool {
        // AcqRel: one of several tells, and sees what was done before the handler was put here.
        self.state.compare_exchange(PENDING, TELLING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Calls reach it from now on; `false`: it was removed meanwhile.
    pub(super) fn is_told(&self) -> bool {
        // AcqRel: pairs with the swap in `unlink`.
        self.state.compare_exchange(TELLING, ADDED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(super) fn is_added(&self) -> bool {
        // Acquire: pairs with `is_told` and `unlink`.
        self.state.load(Ordering::Acquire) == ADDED
    }

    pub(super) fn is_removed(&self) -> bool {
        // Acquire: pairs with `unlink`.
        self.state.load(Ordering::Acquire) == REMOVED
    }

    /// It is in no list any more.
    pub(super) fn unlink(&self, links: Links<P>) {
        *self.links.lock() = Some(links);
        // AcqRel: pairs with the others; the links are there when it is seen to be removed.
        let before = self.state.swap(REMOVED, Ordering::AcqRel);
        assert_ne!(before, REMOVED, "a handler is removed once");
        // Relaxed: read by the remover only, or in a task that it posts.
        self.was_told.store(before == ADDED, Ordering::Relaxed);
    }

    /// Whether a handler that was removed had been told that it was added.
    pub(super) fn was_told(&self) -> bool {
        // Relaxed: see `unlink`.
        self.was_told.load(Ordering::Relaxed)
    }

    /// Its neighbour when it was removed.
    pub(super) fn neighbour(&self, inwards: bool) -> Option<Arc<Self>> {
        let links = self.links.lock();
        let links = links.as_ref()?;
        if inwards { links.after.clone() } else { links.before.clone() }
    }

    /// The handler.
    ///
    /// # Safety
    /// The caller is on the thread of the handler's executor: its own one's, or else of the event loop that has the channel's
    /// private state.
    pub(super) unsafe fn lend(&self) -> &dyn Handler<P> {
        &*self.handler.0
    }

    /// How many calls of the handler are on the stack.
    ///
    /// # Safety
    /// As [`Place::lend`].
    pub(super) unsafe fn calls(&self) -> &Cell<u32> {
        &self.calls.0
    }
}

/// What a handler sees of its place while it is called.
pub(super) struct View<'a, P: Platform> {
    pub(super) channel: &'a Channel<P>,
    pub(super) place: &'a Arc<Place<P>>,
}

impl<P: Platform> View<'_, P> {
    fn fire(&self, event: Upstream<P>) {
        self.channel.fire(Some(self.place), event);
    }
}

impl<P: Platform> Context<P> for View<'_, P> {
    fn allocator(&self) -> &Allocator<P> {
        self.channel.allocator()
    }

    fn channel(&self) -> Option<&Channel<P>> {
        Some(self.channel)
    }

    fn is_removed(&self) -> bool {
        self.place.is_removed()
    }

    fn remove(&self) {
        self.channel.remove_place(self.place);
    }

    fn fire_registered(&self) {
        self.fire(Upstream::Registered);
    }

    fn fire_unregistered(&self) {
        self.fire(Upstream::Unregistered);
    }

    fn fire_active(&self) {
        self.fire(Upstream::Active);
    }

    fn fire_read(&self, message: Message<P>) {
        self.fire(Upstream::Read(message));
    }

    fn fire_read_complete(&self) {
        self.fire(Upstream::ReadComplete);
    }

    fn fire_inactive(&self) {
        self.fire(Upstream::Inactive);
    }

    fn fire_writability_changed(&self) {
        self.fire(Upstream::WritabilityChanged);
    }

    fn fire_user_event(&self, event: UserEvent<P>) {
        self.fire(Upstream::UserEvent(event));
    }

    fn fire_exception(&self, error: HandlerError) {
        self.fire(Upstream::Exception(error));
    }

    fn write(&self, message: Message<P>, promise: Promise<P>) -> Result<(), IllegalPromise> {
        self.channel.write_from(Some(self.place), message, promise, false)
    }

    fn flush(&self) {
        self.channel.go_down(Some(self.place), Downstream::Flush);
    }

    fn read(&self) {
        self.channel.go_down(Some(self.place), Downstream::Read);
    }

    fn close(&self, promise: Promise<P>) {
        if promise.refuse_void() {
            return;
        }
        self.channel.go_down(Some(self.place), Downstream::Close(promise));
    }

    fn deregister(&self, promise: Promise<P>) {
        if promise.refuse_void() {
            return;
        }
        self.channel.go_down(Some(self.place), Downstream::Deregister(promise));
    }
}
