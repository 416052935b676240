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

use crate::observe::{Event, Kind};
use crate::platform::{AtomicOps, Lock, ThreadOps};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use serde::{Deserialize, Serialize};

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
}

impl Cause {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 14] = [
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
}

impl<P: Platform> Drop for Inner<P> {
    fn drop(&mut self) {
        if let Some((id, _)) = self.tracked {
            P::destroyed(id);
        }
    }
}

/// A promise; clones are the same promise. See the [module](self).
pub struct Promise<P: Platform = Std>(Arc<Inner<P>>);

impl<P: Platform> Clone for Promise<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
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
        Self::with(Some((id, P::obtained(id))))
    }

    /// A pending promise that need never complete, so that no checker shall wait for it.
    pub fn untracked() -> Self {
        Self::with(None)
    }

    #[track_caller]
    fn with(tracked: Option<(P::Id, P::Ticket)>) -> Self {
        let (word, listeners) = (P::Atomic::new(PENDING), P::Mutex::new(Vec::new()));
        Self(Arc::new(Inner { word, listeners, tracked }))
    }

    #[track_caller]
    fn note(&self, event: Event) {
        if let Some((_, ticket)) = self.0.tracked {
            P::note(ticket, event);
        }
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        // Acquire: pairs with the release half of `finish`, so that what the operation did is seen.
        decode(self.0.word.load(Ordering::Acquire))
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
        self.0.word.load(Ordering::Relaxed) & PANICKED != 0
    }

    /// Completes it if it isn't complete; `false` otherwise, and nothing happens.
    ///
    /// # Panics
    /// When `outcome` is `Err(Cancelled)`: only [`Promise::cancel`] cancels.
    #[track_caller]
    pub fn try_complete(&self, outcome: Outcome) -> bool {
        assert_ne!(outcome, Err(Cause::Cancelled), "only `cancel` cancels");
        self.finish(outcome, |state| matches!(state, PENDING | UNCANCELLABLE))
    }

    /// Completes it, as the one whose duty that is. Finding it complete already is a violation, unless it was cancelled; it
    /// is noted, and `false` is given.
    #[track_caller]
    pub fn complete(&self, outcome: Outcome) -> bool {
        let done = self.try_complete(outcome);
        if !done && !self.is_cancelled() {
            self.note(Event::CompletedAgain);
        }
        done
    }

    /// Cancels it unless it is complete or uncancellable; says whether.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.finish(Err(Cause::Cancelled), |state| state == PENDING)
    }

    /// Forbids to cancel it from now on; `false` when it was cancelled before.
    pub fn set_uncancellable(&self) -> bool {
        let result = self.update(|word| (word & STATE == PENDING).then_some(word | UNCANCELLABLE));
        result.is_ok() || !self.is_cancelled()
    }

    #[track_caller]
    fn finish(&self, outcome: Outcome, from: impl Fn(u32) -> bool) -> bool {
        let result = self.update(|word| from(word & STATE).then_some(word & !STATE | encode(outcome)));
        let Ok(before) = result else { return false };
        self.note(match outcome {
            Ok(()) => Event::Succeeded,
            Err(cause) => Event::Failed(cause.name()),
        });
        if before & LISTENERS != 0 {
            self.notify(outcome);
        }
        true
    }

    /// Replaces the word by `next` of it, and gives the word before; `Err` with the word when there is no next.
    fn update(&self, next: impl Fn(u32) -> Option<u32>) -> Result<u32, u32> {
        // Acquire: as in `outcome`, for the case that there is no next.
        let mut word = self.0.word.load(Ordering::Acquire);
        loop {
            let new = next(word).ok_or(word)?;
            // Release: the operation's effects happen before its completion is seen. Acquire: as in `outcome`.
            match self.0.word.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(word),
                Err(found) => word = found,
            }
        }
    }

    /// Runs `listener` when the promise completes, or now.
    pub fn add_listener(&self, listener: impl FnOnce(Outcome) + Send + 'static) {
        let mut listeners = self.0.listeners.lock();
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
        let listeners = core::mem::take(&mut *self.0.listeners.lock());
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

    /// Waits until it is complete. Not for an event loop's own thread.
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
