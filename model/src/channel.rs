//! A channel: what an application writes to, from any thread.
//!
//! **Invariant: a message given to `write` is released once, and its promise completes once, on every path**: written,
//! cancelled, failed, closed, rejected, or the loop gone. And nothing calls the user while the channel's state is in between:
//! a listener or handler may write, flush and close.
//!
//! ```text
//!  business thread                      event loop
//!  write ── WriteTask ──> queue ──────> encode ─> outbound buffer ── flush ──> transport
//!     │ pending += size + 48              │ pending -= that; += size + 96         │ pending -= that
//!     └─ is_writable() <──── pending > 64 KiB: no; < 32 KiB: yes again ───────────┘
//! ```
//!
//! [`write`](self) takes a message in, `flush` moves it out, `close` ends everything, `pending` counts.

mod close;
mod flush;
mod pending;
mod stats;
mod write;

pub use pending::PendingIdentity;
pub use stats::ChannelStats;
pub use write::{Encoder, FillEncoder, IllegalPromise};

use crate::event_loop::{EventLoop, LoopBound, OnLoop, RejectReason, Task};
use crate::outbound::OutboundBuffer;
use crate::platform::AtomicOps;
use crate::promise::Promise;
use crate::transport::{Transport, Writable};
use crate::write_path::{Pools, WritePathConfig};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use pending::Pending;
use stats::Counters;

/// What an application hears of its channel, on the channel's event loop.
pub trait Handler<P: Platform = Std>: Send + Sync {
    /// It became writable or unwritable. Posted, and so possibly late, when another thread caused it.
    fn writability_changed(&self, _channel: &Channel<P>, _writable: bool) {}
    /// It was closed; told once, when all its writes have ended.
    fn inactive(&self, _channel: &Channel<P>) {}
}

/// Hears nothing.
impl<P: Platform> Handler<P> for () {}

/// What a channel is made of.
pub struct ChannelSetup<P: Platform = Std> {
    /// Its event loop.
    pub event_loop: EventLoop<P>,
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
    /// Its ears.
    pub handler: Box<dyn Handler<P>>,
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
    /// A task that continues the flush is queued.
    continues: bool,
    close_initiated: bool,
}

pub(crate) struct Inner<P: Platform> {
    event_loop: EventLoop<P>,
    linger_executor: Option<EventLoop<P>>,
    pools: Arc<Pools<P>>,
    config: Arc<WritePathConfig>,
    encoder: Box<dyn Encoder<P>>,
    handler: Box<dyn Handler<P>>,
    pending: Pending<P>,
    /// The transport is open.
    is_active: P::Atomic<bool>,
    /// On the loop's list of channels whose transport became writable.
    is_listed: P::Atomic<bool>,
    inactive_told: P::Atomic<bool>,
    closed: Promise<P>,
    private: LoopBound<Private<P>, P>,
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

    /// Opens a connected channel and registers it at its loop.
    ///
    /// # Errors
    /// Why the loop refused the channel, when it has shut down; the transport is closed then.
    pub fn open(setup: ChannelSetup<P>) -> Result<Self, RejectReason> {
        let thread = setup.event_loop.thread().clone();
        let mut transport = setup.transport;
        let inner = Arc::new_cyclic(|weak| {
            transport.open(Writable(weak.clone()));
            Inner {
                event_loop: setup.event_loop,
                linger_executor: setup.linger_executor,
                pools: setup.pools,
                config: setup.config,
                encoder: setup.encoder,
                handler: setup.handler,
                pending: Pending::new(),
                is_active: P::Atomic::new(true),
                is_listed: P::Atomic::new(false),
                inactive_told: P::Atomic::new(false),
                closed: Promise::untracked(),
                private: LoopBound::new(
                    thread,
                    Private {
                        outbound: Some(OutboundBuffer::new()),
                        transport: None,
                        is_flushing: false,
                        awaits_writable: false,
                        continues: false,
                        close_initiated: false,
                    },
                ),
                counters: Counters::default(),
            }
        });
        let this = Self(inner);
        if this.event_loop().in_loop() {
            this.registered(transport);
        } else if let Err(rejected) = this.event_loop().execute(Task::Register(this.clone(), transport)) {
            rejected.task.refuse();
            this.abort_open();
            return Err(rejected.reason);
        }
        Ok(this)
    }

    pub(crate) fn from_inner(inner: Arc<Inner<P>>) -> Self {
        Self(inner)
    }

    /// Whether `other` is the same channel.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Its event loop.
    pub fn event_loop(&self) -> &EventLoop<P> {
        &self.0.event_loop
    }

    /// Its rules.
    pub fn config(&self) -> &WritePathConfig {
        &self.0.config
    }

    /// Completes when the channel is closed.
    pub fn closed(&self) -> &Promise<P> {
        &self.0.closed
    }

    /// Whether its transport is open.
    pub fn is_active(&self) -> bool {
        // Acquire: pairs with the release in the close paths.
        self.0.is_active.load(Ordering::Acquire)
    }

    /// Whether it makes sense to write more: it isn't closed, and what is pending hasn't crossed the high water mark since it
    /// was last below the low one.
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

    fn here(&self) -> Option<OnLoop<'_, P>> {
        self.event_loop().here()
    }

    fn on_loop(&self) -> OnLoop<'_, P> {
        self.here().expect("only a task of the channel's own loop calls this")
    }

    fn private<R>(&self, on: OnLoop<'_, P>, f: impl FnOnce(&mut Private<P>) -> R) -> R {
        self.0.private.with(on, f)
    }

    /// Calls the handler; its panic is counted and harms nobody.
    fn tell(&self, f: impl FnOnce(&dyn Handler<P>)) {
        if P::catch(|| f(&*self.0.handler)).is_err() {
            self.0.counters.handler_panicked();
        }
    }
}
