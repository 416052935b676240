//! `std::sync::mpsc`, simulated.
//!
//! **Invariant: messages come out in the order in which they went in, each once, or are destroyed with the receiver.** Everything before
//! a message was sent happens before it is received, and nothing more is ordered.
//!
//! ```text
//!   Sender, SyncSender ──> Channel { queue, senders, receiver } ──> Receiver
//!      bound n: a sender waits for a place      bound 0: for its message to be received
//! ```

use super::{AtEnd, enter_own};
use crate::engine::{Access, Gate, NONE, Op, Site, Tag, Wait};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// A message on its way.
struct Message<T> {
    value: T,
    /// How many were sent before it.
    number: u64,
    /// For the memory model: what its sending is ordered by.
    object: u32,
}

struct Channel<T> {
    tag: Tag,
    queue: RefCell<VecDeque<Message<T>>>,
    sent: Cell<u64>,
    /// With places: the objects of messages that were received, whose places nobody has used again; in order.
    free: RefCell<VecDeque<u32>>,
    bound: Option<usize>,
    senders: Cell<usize>,
    /// Whether there is one.
    receiver: Cell<bool>,
    /// Whether the receiver waits now: what a message can be handed to that has no place.
    waits: Cell<bool>,
    receiving: Cell<u32>,
    sending: Cell<u32>,
}

// SAFETY: the cells are touched by the execution only in which the channel was made, which is on one OS thread; messages are `Send`.
unsafe impl<T: Send> Send for Channel<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Channel<T> {}

impl<T> Channel<T> {
    fn new(bound: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            tag: Tag::here(),
            queue: RefCell::new(VecDeque::new()),
            sent: Cell::new(0),
            free: RefCell::new(VecDeque::new()),
            bound,
            senders: Cell::new(1),
            receiver: Cell::new(true),
            waits: Cell::new(false),
            receiving: Cell::new(NONE),
            sending: Cell::new(NONE),
        })
    }

    fn object(&self) -> u32 {
        self.tag.object()
    }

    fn access(&self) -> Access {
        Access::rmw(self.object())
    }

    #[inline(always)]
    fn gate<'a>(&self, site: Site) -> Gate<'a> {
        enter_own(&self.tag, "channel", site)
    }

    /// An operation begins, with a scheduling point.
    #[inline(always)]
    fn enter<'a>(&self, site: Site) -> Gate<'a> {
        let gate = self.gate(site);
        gate.point(self.access(), site);
        gate
    }

    /// Whether a message has a place, or a receiver that waits for it.
    fn has_place(&self) -> bool {
        let len = || self.queue.borrow().len();
        match self.bound {
            None => true,
            Some(0) => self.waits.get() && len() == 0,
            Some(bound) => len() < bound,
        }
    }

    fn push(&self, gate: Gate<'_>, value: T, site: Site) -> u64 {
        let (number, object) = (self.sent.get(), gate.new_object());
        self.sent.set(number + 1);
        if self.bound.is_some_and(|bound| number >= bound as u64) {
            gate.event(Op::Send, self.object(), 0, site);
            if let Some(place) = self.free.borrow_mut().pop_front() {
                gate.acquires(place); // whoever emptied the place did so before
            }
            gate.releases(object);
        } else {
            gate.event_releases(Op::Send, self.object(), object, site);
        }
        self.queue.borrow_mut().push_back(Message { value, number, object });
        gate.wake_all(&self.receiving);
        number
    }

    fn send(&self, value: T, site: Site) -> Result<(), SendError<T>> {
        let gate = self.enter(site);
        while self.receiver.get() && self.bound != Some(0) && !self.has_place() {
            gate.wait_in(&self.sending, Wait::Send { object: self.object() }, self.access(), site);
        }
        if !self.receiver.get() {
            return Err(SendError(self.refused(gate, value, site)));
        }
        let number = self.push(gate, value, site);
        if self.bound == Some(0) {
            return self.hand_over(gate, number, site);
        }
        Ok(())
    }

    /// With no places: waits until the message was received.
    fn hand_over(&self, gate: Gate<'_>, number: u64, site: Site) -> Result<(), SendError<T>> {
        loop {
            let at = self.queue.borrow().iter().position(|message| message.number == number);
            let Some(at) = at else {
                gate.acquires(self.object());
                return Ok(());
            };
            if !self.receiver.get() {
                let message = self.queue.borrow_mut().remove(at);
                let Some(message) = message else { unreachable!("it was there") };
                return Err(SendError(self.refused(gate, message.value, site)));
            }
            gate.wait_in(&self.sending, Wait::Send { object: self.object() }, self.access(), site);
        }
    }

    fn refused(&self, gate: Gate<'_>, value: T, site: Site) -> T {
        gate.event(Op::SendFailed, self.object(), 0, site);
        gate.acquires(self.object());
        value
    }

    fn try_send(&self, value: T, site: Site) -> Result<(), TrySendError<T>> {
        let gate = self.enter(site);
        if !self.receiver.get() {
            return Err(TrySendError::Disconnected(self.refused(gate, value, site)));
        }
        if !self.has_place() {
            gate.event(Op::SendFailed, self.object(), 1, site);
            return Err(TrySendError::Full(value));
        }
        self.push(gate, value, site);
        Ok(())
    }

    fn pop(&self, gate: Gate<'_>, site: Site) -> Option<T> {
        let message = self.queue.borrow_mut().pop_front()?;
        gate.event_acquires(Op::Receive, self.object(), message.object, site);
        match self.bound {
            None => {}
            Some(0) => gate.releases(self.object()),
            Some(_) => {
                gate.releases(message.object);
                self.free.borrow_mut().push_back(message.object);
            }
        }
        gate.wake_all(&self.sending);
        Some(message.value)
    }

    /// What a receiver finds: a message, or why there is none.
    fn look(&self, gate: Gate<'_>, site: Site) -> Result<T, TryRecvError> {
        if let Some(value) = self.pop(gate, site) {
            return Ok(value);
        }
        if self.senders.get() == 0 {
            gate.event(Op::ReceiveFailed, self.object(), 1, site);
            gate.acquires(self.object());
            return Err(TryRecvError::Disconnected);
        }
        Err(TryRecvError::Empty)
    }

    #[inline]
    fn receive(&self, limit: Option<Duration>, site: Site) -> Result<T, RecvTimeoutError> {
        let gate = self.enter(site);
        let object = self.object();
        let until = limit.map(|limit| gate.now().saturating_add(limit));
        loop {
            match self.look(gate, site) {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            if until.is_some_and(|until| until <= gate.now()) {
                gate.event(Op::ReceiveFailed, object, 2, site);
                return Err(RecvTimeoutError::Timeout);
            }
            self.waits.set(true);
            gate.wait_until(&self.receiving, until, Wait::Receive { object, until }, self.access(), site);
            self.waits.set(false);
            if until.is_some() {
                gate.leave(&self.receiving); // it may have been woken by time
            }
        }
    }

    fn try_receive(&self, site: Site) -> Result<T, TryRecvError> {
        let gate = self.enter(site);
        let found = self.look(gate, site);
        if matches!(found, Err(TryRecvError::Empty)) {
            gate.event(Op::ReceiveFailed, self.object(), 0, site);
        }
        found
    }

    /// Nobody can tell when: while there are senders, it doesn't matter how many.
    fn one_more_sender(&self, site: Site) {
        self.gate(site).changes(self.object());
        self.senders.set(self.senders.get() + 1);
    }

    fn one_less_sender(&self, site: Site) {
        let Some(gate) = self.tag.mine() else { return }; // nobody waits any more
        let _less = AtEnd(|| {
            gate.changes(self.object());
            gate.releases(self.object());
            self.senders.set(self.senders.get() - 1);
        });
        if self.senders.get() == 1 {
            gate.point(self.access(), site);
            gate.event(Op::Close, self.object(), 0, site);
            gate.wake_all(&self.receiving);
        }
    }

    fn no_receiver(&self, site: Site) {
        let Some(gate) = self.tag.mine() else { return }; // nobody waits any more
        let _none = AtEnd(|| {
            gate.event(Op::Close, self.object(), 1, site);
            gate.releases(self.object());
            self.receiver.set(false);
            gate.wake_all(&self.sending);
            if self.bound != Some(0) {
                let rest = self.queue.take();
                drop(rest); // not while the queue is borrowed
            }
        });
        gate.point(self.access(), site);
    }
}

/// See [`std::sync::mpsc::channel`].
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Channel::new(None);
    (Sender { channel: Arc::clone(&channel) }, Receiver { channel, _not_sync: PhantomData })
}

/// See [`std::sync::mpsc::sync_channel`].
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let channel = Channel::new(Some(bound));
    (SyncSender { channel: Arc::clone(&channel) }, Receiver { channel, _not_sync: PhantomData })
}

/// See [`std::sync::mpsc::Sender`].
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// See [`std::sync::mpsc::SyncSender`].
pub struct SyncSender<T> {
    channel: Arc<Channel<T>>,
}

/// See [`std::sync::mpsc::Receiver`].
///
/// ```compile_fail
/// fn share<T: Sync>(_: T) {}
/// share(millpond::sync::mpsc::channel::<u8>().1);
/// ```
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    _not_sync: PhantomData<Cell<()>>,
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// See [`std::sync::mpsc::Sender::send`].
    ///
    /// # Errors
    /// The message, if there is no receiver.
    ///
    /// # Panics
    /// Outside of the execution in which the channel was made, as all operations of channels.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.channel.send(value, Location::caller())
    }
}

impl<T> SyncSender<T> {
    /// See [`std::sync::mpsc::SyncSender::send`].
    ///
    /// # Errors
    /// The message, if there is no receiver.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.channel.send(value, Location::caller())
    }

    /// See [`std::sync::mpsc::SyncSender::try_send`].
    ///
    /// # Errors
    /// The message, if there is no place for it, or no receiver.
    #[track_caller]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.channel.try_send(value, Location::caller())
    }
}

impl<T> Receiver<T> {
    /// See [`std::sync::mpsc::Receiver::try_recv`].
    ///
    /// # Errors
    /// If there is no message.
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.try_receive(Location::caller())
    }

    /// See [`std::sync::mpsc::Receiver::recv`].
    ///
    /// # Errors
    /// If there is no message and no sender.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.channel.receive(None, Location::caller()).map_err(|_| RecvError)
    }

    /// See [`std::sync::mpsc::Receiver::recv_timeout`]. The time is virtual.
    ///
    /// # Errors
    /// If there is no message, and no sender or no more time.
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.channel.receive(Some(limit), Location::caller())
    }

    /// See [`std::sync::mpsc::Receiver::iter`].
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// See [`std::sync::mpsc::Receiver::try_iter`].
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        self.channel.one_more_sender(Location::caller());
        Self { channel: Arc::clone(&self.channel) }
    }
}

impl<T> Clone for SyncSender<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        self.channel.one_more_sender(Location::caller());
        Self { channel: Arc::clone(&self.channel) }
    }
}

impl<T> Drop for Sender<T> {
    #[track_caller]
    fn drop(&mut self) {
        self.channel.one_less_sender(Location::caller());
    }
}

impl<T> Drop for SyncSender<T> {
    #[track_caller]
    fn drop(&mut self) {
        self.channel.one_less_sender(Location::caller());
    }
}

impl<T> Drop for Receiver<T> {
    #[track_caller]
    fn drop(&mut self) {
        self.channel.no_receiver(Location::caller());
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// See [`std::sync::mpsc::Iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// See [`std::sync::mpsc::TryIter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// See [`std::sync::mpsc::IntoIter`].
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
