//! The promise of an asynchronous operation.
//!
//! **Invariant: a promise completes once; its listeners run once each, after it is complete, on the thread that completes it
//! or, when they come later, on the thread that adds them.**
//!
//! ```text
//!   Pending ──set_uncancellable──> Uncancellable
//!      │  └──────────┬────────────────┘
//!   cancel        complete            state word: outcome | LISTENERS (the list may be non-empty) | PANICKED
//!      v             v
//!  Err(Cancelled)  Ok(()) / Err(cause)
//! ```
//!
//! A [void](Promise::void) promise is the exception: nobody waits for it, so that it never completes, and a failure becomes an
//! exception in the pipeline of its channel.

mod aggregate;
mod combine;
mod notify;
mod progress;
mod void;

pub use aggregate::PromiseAggregator;
pub use combine::PromiseCombiner;
pub use notify::{cascade, notify};
pub use progress::NotProgressive;
pub use void::VoidPromise;

use crate::channel::Channel;
use crate::observe::{Event, Kind};
use crate::platform::{AtomicOps, Lock, ThreadOps};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use progress::Progress;
use serde::{Deserialize, Serialize};
use void::Void;

/// Why an operation failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Cause {
    /// The promise was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The channel is closed.
    #[error("closed channel")]
    ClosedChannel,
    /// The peer reset the connection.
    #[error("connection reset")]
    ConnectionReset,
    /// The executor refused the task.
    #[error("rejected by the executor")]
    Rejected,
    /// No memory for the encoded message.
    #[error("out of memory")]
    OutOfMemory,
    /// The encoder failed.
    #[error("encoder failed")]
    EncoderFailed,
    /// The message is dead already.
    #[error("illegal reference count")]
    IllegalCount,
    /// The transport can't write a message of this type.
    #[error("unsupported message type")]
    UnsupportedMessage,
    /// The channel isn't connected yet.
    #[error("not yet connected")]
    NotYetConnected,
    /// The channel has never had an event loop.
    #[error("not registered")]
    NotRegistered,
    /// The channel has an event loop.
    #[error("already registered")]
    AlreadyRegistered,
    /// The channel is connected, or is being connected.
    #[error("already connected")]
    AlreadyConnected,
    /// The peer refused the connection.
    #[error("connection refused")]
    ConnectionRefused,
    /// The output of the channel is shut down.
    #[error("output shut down")]
    OutputShutdown,
    /// The operation needs a promise that completes, and got a void one.
    #[error("void promise")]
    VoidPromise,
}

impl Cause {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 15] = [
        Self::Cancelled,
        Self::ClosedChannel,
        Self::ConnectionReset,
        Self::Rejected,
        Self::OutOfMemory,
        Self::EncoderFailed,
        Self::IllegalCount,
        Self::UnsupportedMessage,
        Self::NotYetConnected,
        Self::NotRegistered,
        Self::AlreadyRegistered,
        Self::AlreadyConnected,
        Self::ConnectionRefused,
        Self::OutputShutdown,
        Self::VoidPromise,
    ];

    /// Its name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::ClosedChannel => "closed channel",
            Self::ConnectionReset => "connection reset",
            Self::Rejected => "rejected",
            Self::OutOfMemory => "out of memory",
            Self::EncoderFailed => "encoder failed",
            Self::IllegalCount => "illegal count",
            Self::UnsupportedMessage => "unsupported message",
            Self::NotYetConnected => "not yet connected",
            Self::NotRegistered => "not registered",
            Self::AlreadyRegistered => "already registered",
            Self::AlreadyConnected => "already connected",
            Self::ConnectionRefused => "connection refused",
            Self::OutputShutdown => "output shut down",
            Self::VoidPromise => "void promise",
        }
    }
}

/// How an operation ended.
pub type Outcome = Result<(), Cause>;

type Listener = Box<dyn FnOnce(Outcome) + Send>;

const PENDING: u32 = 0;
const UNCANCELLABLE: u32 = 1;
const SUCCESS: u32 = 2;
const FAILURE: u32 = 3; // plus the cause's code
const STATE: u32 = 0xff;
const LISTENERS: u32 = 1 << 8;
const PANICKED: u32 = 1 << 9;

fn encode(outcome: Outcome) -> u32 {
    outcome.map_or_else(|cause| FAILURE + cause as u32, |()| SUCCESS)
}

fn decode(word: u32) -> Option<Outcome> {
    match word & STATE {
        PENDING | UNCANCELLABLE => None,
        SUCCESS => Some(Ok(())),
        code => Some(Err(Cause::ALL[(code - FAILURE) as usize])),
    }
}

struct Inner<P: Platform> {
    word: P::Atomic<u32>,
    listeners: P::Mutex<Vec<Listener>>,
    /// `None` for the library's own promises, which no checker follows.
    tracked: Option<(P::Id, P::Ticket)>,
    /// Of one that tells how far it is.
    progress: Option<Box<Progress<P>>>,
}

impl<P: Platform> Drop for Inner<P> {
    fn drop(&mut self) {
        if let Some((id, _)) = self.tracked {
            P::destroyed(id);
        }
    }
}

/// A promise; clones are the same promise. See the [module](self).
pub struct Promise<P: Platform = Std>(Form<P>);

enum Form<P: Platform> {
    Real(Arc<Inner<P>>),
    Void(Void<P>),
}

impl<P: Platform> Clone for Promise<P> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Form::Real(inner) => Form::Real(Arc::clone(inner)),
            Form::Void(void) => Form::Void(void.clone()),
        })
    }
}

impl<P: Platform> Default for Promise<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Promise<P> {
    /// A pending promise.
    #[track_caller]
    pub fn new() -> Self {
        let id = P::identify(Kind::Promise);
        Self::with(Some((id, P::obtained(id))), None)
    }

    /// A pending promise that need never complete, so that no checker shall wait for it.
    pub fn untracked() -> Self {
        Self::with(None, None)
    }

    /// A promise for any number of writes of `channel` that nobody waits for: no allocation, no completion, no listeners. When
    /// `tells`, a failure becomes an exception in the channel's pipeline. After Netty's `VoidChannelPromise`.
    ///
    /// Only writes take it. What else gets it fails it with [`Cause::VoidPromise`] and does nothing.
    pub fn void(channel: &Channel<P>, tells: bool) -> Self {
        Self(Form::Void(Void::new(channel, tells)))
    }

    fn with(tracked: Option<(P::Id, P::Ticket)>, progress: Option<Box<Progress<P>>>) -> Self {
        let (word, listeners) = (P::Atomic::new(PENDING), P::Mutex::new(Vec::new()));
        Self(Form::Real(Arc::new(Inner { word, listeners, tracked, progress })))
    }

    fn inner(&self) -> Result<&Inner<P>, &Void<P>> {
        match &self.0 {
            Form::Real(inner) => Ok(inner),
            Form::Void(void) => Err(void),
        }
    }

    /// Whether it never completes, because nobody waits for it: see [`Promise::void`].
    pub fn is_void(&self) -> bool {
        self.inner().is_err()
    }

    /// How it ended, once it has. A void one never does.
    pub fn outcome(&self) -> Option<Outcome> {
        self.inner().ok().and_then(Inner::outcome)
    }

    /// Whether it is complete.
    pub fn is_done(&self) -> bool {
        self.outcome().is_some()
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.outcome() == Some(Err(Cause::Cancelled))
    }

    /// Whether a listener panicked.
    pub fn listener_panicked(&self) -> bool {
        // Relaxed: a statistic.
        self.inner().is_ok_and(|inner| inner.word.load(Ordering::Relaxed) & PANICKED != 0)
    }

    /// Completes it if it isn't complete; `false` otherwise, and nothing happens. A void one tells a failure, and gives `false`.
    ///
    /// # Panics
    /// When `outcome` is `Err(Cancelled)`: only [`Promise::cancel`] cancels.
    #[track_caller]
    pub fn try_complete(&self, outcome: Outcome) -> bool {
        match self.inner() {
            Ok(inner) => inner.try_complete(outcome),
            Err(void) => {
                if let Err(cause) = outcome {
                    void.fail(cause);
                }
                false
            }
        }
    }

    /// Completes it, as the one whose duty that is. Finding it complete already is a violation, unless it was cancelled; it
    /// is noted, and `false` is given. A void one is as for [`Promise::try_complete`].
    #[track_caller]
    pub fn complete(&self, outcome: Outcome) -> bool {
        let done = self.try_complete(outcome);
        if let (false, Ok(inner)) = (done, self.inner())
            && inner.outcome() != Some(Err(Cause::Cancelled))
        {
            inner.note(Event::CompletedAgain);
        }
        done
    }

    /// Cancels it unless it is complete, uncancellable or void; says whether.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.inner().is_ok_and(|inner| inner.finish(Err(Cause::Cancelled), |state| state == PENDING))
    }

    /// Forbids to cancel it from now on; `false` when it was cancelled before.
    pub fn set_uncancellable(&self) -> bool {
        let Ok(inner) = self.inner() else { return true };
        let result = inner.update(|word| (word & STATE == PENDING).then_some(word | UNCANCELLABLE));
        result.is_ok() || inner.outcome() != Some(Err(Cause::Cancelled))
    }

    /// Runs `listener` when the promise completes, or now.
    ///
    /// # Panics
    /// When it is void, as Netty throws; [`Promise::try_add_listener`] doesn't.
    #[track_caller]
    pub fn add_listener(&self, listener: impl FnOnce(Outcome) + Send + 'static) {
        if let Err(refused) = self.try_add_listener(listener) {
            panic!("{refused}");
        }
    }

    /// Runs `listener` when the promise completes, or now.
    ///
    /// # Errors
    /// [`VoidPromise`] when it is void: the listener is dropped.
    pub fn try_add_listener(&self, listener: impl FnOnce(Outcome) + Send + 'static) -> Result<(), VoidPromise> {
        self.inner().map_err(|_| VoidPromise)?.add_listener(listener);
        Ok(())
    }

    /// Waits until it is complete. Not for an event loop's own thread.
    ///
    /// # Panics
    /// When it is void, as Netty throws.
    #[track_caller]
    pub fn wait(&self) -> Outcome {
        if let Some(outcome) = self.outcome() {
            return outcome;
        }
        let thread = P::current();
        self.add_listener(move |_| thread.unpark());
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            P::park();
        }
    }
}

impl<P: Platform> Inner<P> {
    #[track_caller]
    fn note(&self, event: Event) {
        if let Some((_, ticket)) = self.tracked {
            P::note(ticket, event);
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        // Acquire: pairs with the release half of `finish`, so that what the operation did is seen.
        decode(self.word.load(Ordering::Acquire))
    }

    #[track_caller]
    fn try_complete(&self, outcome: Outcome) -> bool {
        assert_ne!(outcome, Err(Cause::Cancelled), "only `cancel` cancels");
        self.finish(outcome, |state| matches!(state, PENDING | UNCANCELLABLE))
    }

    #[track_caller]
    fn finish(&self, outcome: Outcome, from: impl Fn(u32) -> bool) -> bool {
        let result = self.update(|word| from(word & STATE).then_some(word & !STATE | encode(outcome)));
        let Ok(before) = result else { return false };
        self.note(match outcome {
            Ok(()) => Event::Succeeded,
            Err(cause) => Event::Failed(cause.name()),
        });
        if let Some(progress) = &self.progress {
            progress.end();
        }
        if before & LISTENERS != 0 {
            self.notify(outcome);
        }
        true
    }

    /// Replaces the word by `next` of it, and gives the word before; `Err` with the word when there is no next.
    fn update(&self, next: impl Fn(u32) -> Option<u32>) -> Result<u32, u32> {
        // Acquire: as in `outcome`, for the case that there is no next.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let new = next(word).ok_or(word)?;
            // Release: the operation's effects happen before its completion is seen. Acquire: as in `outcome`.
            match self.word.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(word),
                Err(found) => word = found,
            }
        }
    }

    fn add_listener(&self, listener: impl FnOnce(Outcome) + Send + 'static) {
        let mut listeners = self.listeners.lock();
        // The flag goes up under the lock, so that a completer that sees the flag finds the listener; one that came before
        // leaves it to us, and it alone: those in the list are the completer's.
        if self.update(|word| decode(word).is_none().then_some(word | LISTENERS)).is_ok() {
            listeners.push(Box::new(listener));
            return;
        }
        drop(listeners);
        self.tell(listener, self.outcome().expect("only a complete promise refuses the flag"));
    }

    fn notify(&self, outcome: Outcome) {
        let listeners = core::mem::take(&mut *self.listeners.lock());
        for listener in listeners {
            self.tell(listener, outcome);
        }
    }

    fn tell(&self, listener: impl FnOnce(Outcome), outcome: Outcome) {
        if P::catch(|| listener(outcome)).is_err() {
            let marked = self.update(|word| Some(word | PANICKED));
            debug_assert!(marked.is_ok(), "an unconditional update succeeds");
        }
    }
}
