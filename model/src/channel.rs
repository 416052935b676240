//! A channel: what an application writes to, from any thread, and reads from, on its event loop.
//!
//! **Invariant: a message given to `write` is released once, and its promise completes once, on every path**: written,
//! cancelled, failed, closed, rejected, or the loop gone. And nothing calls the user while the channel's state is in between:
//! a listener or handler may write, flush, close, change the pipeline, and move the channel to another loop.
//!
//! ```text
//!  business thread                      event loop
//!  write ── WriteTask ──> queue ─> handlers ─> encode ─> outbound buffer ── flush ──> transport
//!     │ pending += size + 48              │ pending -= that; += size + 96         │ pending -= that
//!     └─ is_writable() <──── pending > 64 KiB: no; < 32 KiB: yes again ───────────┘
//!                              tail <─ handlers <─────────── buffer <─────────────── read ── transport
//! ```
//!
//! [`write`](self) takes a message in, `flush` moves it out, `read` brings one in, `close` ends everything, `pending` counts,
//! `registration` says which loop has the channel. The handlers are in the [`pipeline`](crate::pipeline); this is its head.

mod close;
mod connect;
mod flush;
mod pending;
mod read;
mod registration;
mod shutdown;
mod stats;
mod tail;
mod tracker;
mod writability;
mod write;

pub use pending::PendingIdentity;
pub use registration::Arrival;
pub use stats::ChannelStats;
pub use tracker::PendingBytesTracker;
pub use writability::WritabilityIndex;
pub use write::{Encoder, FillEncoder, IllegalPromise};

use crate::allocator::Allocator;
use crate::event_loop::{EventLoop, RejectReason};
use crate::outbound::OutboundBuffer;
use crate::pipeline::{Contexts, Named, Pipeline};
use crate::platform::AtomicOps;
use crate::promise::Promise;
use crate::transport::{Readiness, Transport};
use crate::write_path::{Pools, WritePathConfig};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use pending::Pending;
use registration::Registrations;
use stats::Counters;

/// What a channel is made of.
pub struct ChannelSetup<P: Platform = Std> {
    /// Where a close that may block is done (Netty's `GlobalEventExecutor`); without one it blocks the loop.
    pub linger_executor: Option<EventLoop<P>>,
    /// Its pools.
    pub pools: Arc<Pools<P>>,
    /// Its rules.
    pub config: Arc<WritePathConfig>,
    /// Its socket.
    pub transport: Box<dyn Transport<P>>,
    /// Its encoder.
    pub encoder: Box<dyn Encoder<P>>,
    /// Its handlers, from the transport to the application.
    pub handlers: Vec<Named<P>>,
}

/// State of the channel that belongs to its loop.
struct Private<P: Platform> {
    /// `None` from the beginning of the close: later writes fail at once.
    outbound: Option<OutboundBuffer<P>>,
    transport: Option<Box<dyn Transport<P>>>,
    /// Inside `flush0`.
    is_flushing: bool,
    /// The transport had no room: a flush waits for it (`OP_WRITE`).
    awaits_writable: bool,
    /// The transport has been told to say when there is room.
    told_write: bool,
    /// Bytes gathered into one write at most; follows what the transport takes.
    gather_bytes: usize,
    /// A task that continues the flush is queued.
    continues: bool,
    close_initiated: bool,
    /// On the list of its loop, which serves it.
    is_served: bool,
    /// Whether handlers have been told that it is connected.
    active_told: bool,
    /// A read was asked for, where the channel doesn't read by itself.
    read_wanted: bool,
    /// The transport said that there is something to read, and nobody has read to the end of it yet.
    is_readable: bool,
    /// No more is read.
    input_ended: bool,
    /// Inside the read loop.
    is_reading: bool,
    /// Of a connect that is in progress.
    connecting: Option<Promise<P>>,
}

pub(crate) struct Inner<P: Platform> {
    registrations: Registrations<P>,
    linger_executor: Option<EventLoop<P>>,
    pools: Arc<Pools<P>>,
    config: Arc<WritePathConfig>,
    encoder: Box<dyn Encoder<P>>,
    contexts: Contexts<P>,
    pending: Pending<P>,
    /// The transport isn't closed.
    is_open: P::Atomic<bool>,
    /// The transport is connected.
    is_connected: P::Atomic<bool>,
    /// What the transport has told and nobody has looked at; not zero: on the loop's list.
    told: P::Atomic<u32>,
    inactive_told: P::Atomic<bool>,
    closed: Promise<P>,
    counters: Counters<P>,
}

/// A channel; clones are the same channel. See the [module](self).
pub struct Channel<P: Platform = Std>(Arc<Inner<P>>);

impl<P: Platform> Clone for Channel<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> Channel<P> {
    /// Hands over what the running thread has recycled for the owners of its pools: see `Domain::flush`.
    pub(crate) fn hand_over(&self) {
        self.0.pools.domain.flush();
    }

    /// A channel without an event loop. What is written before it is registered is refused.
    ///
    /// # Panics
    /// When two handlers have the same name.
    pub fn new(setup: ChannelSetup<P>) -> Self {
        let is_connected = setup.transport.is_connected();
        let this = Self(Arc::new(Inner {
            registrations: Registrations::new(Private::new(setup.transport)),
            linger_executor: setup.linger_executor,
            pools: setup.pools,
            config: setup.config,
            encoder: setup.encoder,
            contexts: Contexts::new(setup.handlers),
            pending: Pending::new(),
            is_open: P::Atomic::new(true),
            is_connected: P::Atomic::new(is_connected),
            told: P::Atomic::new(0),
            inactive_told: P::Atomic::new(false),
            closed: Promise::untracked(),
            counters: Counters::default(),
        }));
        // When the channel is there, so that what the transport tells at once is heard.
        this.open_transport(Readiness(Arc::downgrade(&this.0)));
        this
    }

    /// A channel, and its registration at `event_loop` begun.
    ///
    /// # Errors
    /// Why the loop refused the channel; the transport is closed then.
    pub fn open(event_loop: &EventLoop<P>, setup: ChannelSetup<P>) -> Result<Self, RejectReason> {
        let this = Self::new(setup);
        this.register_first(event_loop).map(|()| this)
    }

    pub(crate) fn from_inner(inner: Arc<Inner<P>>) -> Self {
        Self(inner)
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner<P>> {
        Arc::downgrade(&self.0)
    }

    /// A promise for writes that nobody waits for; their failures become exceptions. See [`Promise::void`].
    pub fn void_promise(&self) -> Promise<P> {
        Promise::void(self, true)
    }

    /// Whether `other` is the same channel.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Its handlers.
    pub fn pipeline(&self) -> Pipeline<'_, P> {
        Pipeline(self)
    }

    pub(crate) fn contexts(&self) -> &Contexts<P> {
        &self.0.contexts
    }

    /// Where its buffers come from.
    pub fn allocator(&self) -> &Allocator<P> {
        &self.0.pools.buffers
    }

    /// Its rules.
    pub fn config(&self) -> &WritePathConfig {
        &self.0.config
    }

    /// Completes when the channel is closed.
    pub fn closed(&self) -> &Promise<P> {
        &self.0.closed
    }

    /// Whether its transport is open: not closed yet.
    pub fn is_open(&self) -> bool {
        // Acquire: pairs with the release in the close paths.
        self.0.is_open.load(Ordering::Acquire)
    }

    /// Whether its transport is open and connected.
    pub fn is_active(&self) -> bool {
        // Acquire: pairs with the release in `connect`.
        self.is_open() && self.0.is_connected.load(Ordering::Acquire)
    }

    /// Whether it makes sense to write more: it isn't closed, what is pending hasn't crossed the high water mark since it was last
    /// below the low one, and the program has [cleared](Channel::set_user_writability) no bit of its own.
    pub fn is_writable(&self) -> bool {
        self.0.pending.has_outbound() && self.0.pending.is_writable()
    }

    /// Bytes that can be written until it becomes unwritable; 0 when it is.
    pub fn bytes_before_unwritable(&self) -> u64 {
        let room = (self.config().high_water_mark + u64::from(self.config().exact_bytes_before))
            .saturating_sub(self.0.pending.total());
        if self.is_writable() { room } else { 0 }
    }

    /// Bytes pending: queued on the way to the loop, or in the outbound buffer.
    pub fn pending_bytes(&self) -> u64 {
        self.0.pending.total()
    }

    /// A handler or encoder panicked.
    pub(crate) fn count_panic(&self) {
        self.0.counters.user_panicked();
    }
}

impl<P: Platform> Private<P> {
    fn new(transport: Box<dyn Transport<P>>) -> Self {
        let gather_bytes = Self::first_gather(&*transport);
        Self {
            outbound: Some(OutboundBuffer::new()),
            transport: Some(transport),
            is_flushing: false,
            awaits_writable: false,
            told_write: false,
            gather_bytes,
            continues: false,
            close_initiated: false,
            is_served: false,
            active_told: false,
            read_wanted: false,
            is_readable: false,
            input_ended: false,
            is_reading: false,
            connecting: None,
        }
    }
}
