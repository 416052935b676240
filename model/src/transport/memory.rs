//! A transport that ends in memory.
//!
//! **Invariant: what the peer has sent is read in order, once, and its end after that**; what is written is counted, and kept if
//! that is wanted.
//!
//! | trigger | tells that there is room, or something to read |
//! |---|---|
//! | edge | when that was not so before, whoever is interested |
//! | level | to who is interested: when it becomes so, when the interest begins, and after each look at it |

use super::{ConnectOutcome, Interest, ReadOutcome, Readiness, Transport, WriteOutcome};
use crate::platform::Lock;
use crate::{Platform, Std};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// What makes a transport tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trigger {
    /// A change (`EPOLLET`).
    #[default]
    Edge,
    /// A state, as long as it is of interest (`select`, NIO).
    Level,
}

struct MemoryState<P: Platform> {
    trigger: Trigger,
    interest: Interest,
    /// Notifications so far.
    told: u64,
    send_buffer: Option<usize>,
    window: usize,
    received: u64,
    writes: u64,
    kept: Option<Vec<u8>>,
    reset: bool,
    /// The other end can know of the reset.
    shows_reset: bool,
    closed: bool,
    linger: Option<Duration>,
    readiness: Option<Readiness<P>>,
    sent: VecDeque<u8>,
    has_ended: bool,
    output_shut: bool,
    connection: ConnectOutcome,
    is_connected: bool,
}

/// A transport that ends in memory: it takes as many bytes as its peer has opened the window for.
pub struct MemoryTransport<P: Platform = Std>(Arc<P::Mutex<MemoryState<P>>>);

/// The other end of a [`MemoryTransport`].
pub struct MemoryPeer<P: Platform = Std>(Arc<P::Mutex<MemoryState<P>>>);

impl<P: Platform> Clone for MemoryPeer<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> MemoryTransport<P> {
    /// A connection with room for `window` bytes.
    pub fn pair(window: usize) -> (Self, MemoryPeer<P>) {
        let state = Arc::new(P::Mutex::new(MemoryState {
            trigger: Trigger::Edge,
            interest: Interest::default(),
            told: 0,
            send_buffer: None,
            window,
            received: 0,
            writes: 0,
            kept: None,
            reset: false,
            shows_reset: false,
            closed: false,
            linger: None,
            readiness: None,
            sent: VecDeque::new(),
            has_ended: false,
            output_shut: false,
            connection: ConnectOutcome::Connected,
            is_connected: true,
        }));
        (Self(Arc::clone(&state)), MemoryPeer(state))
    }
}

/// What there is to tell whom.
struct News<P: Platform> {
    readiness: Option<Readiness<P>>,
    now: Interest,
}

impl<P: Platform> News<P> {
    fn tell(self) {
        let Some(readiness) = self.readiness else { return };
        if self.now.write {
            readiness.writable();
        }
        if self.now.read {
            readiness.readable();
        }
    }
}

impl<P: Platform> MemoryState<P> {
    /// What can be done, whether or not it is of interest.
    fn possible(&self) -> Interest {
        let read = !self.sent.is_empty() || self.has_ended || self.shows_reset;
        Interest { read, write: self.window > 0 || self.shows_reset }
    }

    /// The news after a change of what was possible `before`; to be told when the state is unlocked.
    #[must_use]
    fn changed(&mut self, before: Interest) -> News<P> {
        let now = self.possible();
        let was = if self.trigger == Trigger::Edge { before } else { Interest::default() };
        self.news(Interest { read: now.read && !was.read, write: now.write && !was.write })
    }

    /// The news where nothing has changed but the interest, or somebody has looked.
    #[must_use]
    fn still(&mut self) -> News<P> {
        let now = if self.trigger == Trigger::Level { self.possible() } else { Interest::default() };
        self.news(now)
    }

    fn news(&mut self, mut now: Interest) -> News<P> {
        if self.trigger == Trigger::Level {
            now.read &= self.interest.read;
            now.write &= self.interest.write;
        }
        self.told += u64::from(now.read) + u64::from(now.write);
        News { readiness: self.readiness.clone(), now }
    }
}

impl<P: Platform> Transport<P> for MemoryTransport<P> {
    fn interest(&mut self, interest: Interest) {
        let news = {
            let mut state = self.0.lock();
            state.interest = interest;
            state.still()
        };
        news.tell();
    }

    fn looked(&mut self) {
        let news = self.0.lock().still();
        news.tell();
    }

    fn send_buffer(&self) -> Option<usize> {
        self.0.lock().send_buffer
    }

    fn open(&mut self, readiness: Readiness<P>) {
        let mut state = self.0.lock();
        state.readiness = Some(readiness.clone());
        let readable = state.possible().read;
        drop(state); // before the channel is told
        if readable {
            readiness.readable();
        }
    }

    fn is_connected(&self) -> bool {
        self.0.lock().is_connected
    }

    fn connect(&mut self) -> ConnectOutcome {
        self.finish_connect()
    }

    fn finish_connect(&mut self) -> ConnectOutcome {
        let mut state = self.0.lock();
        state.is_connected |= state.connection == ConnectOutcome::Connected;
        state.connection
    }

    fn read(&mut self, into: &mut [u8]) -> ReadOutcome {
        let state = &mut *self.0.lock();
        assert!(!state.closed, "a read from a closed transport");
        let n = into.len().min(state.sent.len());
        for (to, from) in into.iter_mut().zip(state.sent.drain(..n)) {
            *to = from;
        }
        match n {
            0 if state.reset => ReadOutcome::Reset,
            0 if state.has_ended => ReadOutcome::Ended,
            0 => ReadOutcome::WouldBlock,
            n => ReadOutcome::Read(n),
        }
    }

    fn shutdown_output(&mut self) {
        self.0.lock().output_shut = true;
    }

    fn write(&mut self, chunks: &[&[u8]]) -> WriteOutcome {
        let state = &mut *self.0.lock();
        assert!(!state.closed, "a write to a closed transport");
        state.writes += 1;
        if state.reset {
            return WriteOutcome::Reset;
        }
        let before = state.window;
        for chunk in chunks {
            let n = chunk.len().min(state.window);
            state.window -= n;
            if let Some(kept) = &mut state.kept {
                kept.extend_from_slice(&chunk[..n]);
            }
        }
        match before - state.window {
            0 => WriteOutcome::WouldBlock,
            n => {
                state.received += n as u64;
                WriteOutcome::Wrote(n)
            }
        }
    }

    fn linger(&self) -> Option<Duration> {
        self.0.lock().linger
    }

    fn close(&mut self) {
        if let Some(linger) = self.linger() {
            P::sleep(linger);
        }
        let mut state = self.0.lock();
        state.closed = true;
        state.readiness = None;
    }
}

impl<P: Platform> MemoryPeer<P> {
    fn change(&self, f: impl FnOnce(&mut MemoryState<P>)) {
        let news = {
            let mut state = self.0.lock();
            let before = state.possible();
            f(&mut state);
            state.changed(before)
        };
        news.tell(); // unlocked
    }

    /// Opens the window by `n` bytes.
    pub fn open_window(&self, n: usize) {
        self.change(|state| state.window += n);
    }

    /// Sends bytes to the other end.
    pub fn send(&self, bytes: &[u8]) {
        self.change(|state| state.sent.extend(bytes));
    }

    /// Bytes sent that the other end has not read.
    pub fn unread(&self) -> usize {
        self.0.lock().sent.len()
    }

    /// Sends no more.
    pub fn end(&self) {
        self.change(|state| state.has_ended = true);
    }

    /// What makes the transport tell; at first an edge. To be set before the channel is registered.
    pub fn set_trigger(&self, trigger: Trigger) {
        self.0.lock().trigger = trigger;
    }

    /// How often it has told.
    pub fn told(&self) -> u64 {
        self.0.lock().told
    }

    /// What the other end waits for.
    pub fn interest(&self) -> Interest {
        self.0.lock().interest
    }

    /// What the other end buffers; at first it says nothing about that. To be set before the channel is made.
    pub fn set_send_buffer(&self, bytes: usize) {
        self.0.lock().send_buffer = Some(bytes);
    }

    /// The other end isn't connected yet; it will be as [`MemoryPeer::answer_connect`] says.
    pub fn disconnect(&self) {
        let mut state = self.0.lock();
        state.is_connected = false;
        state.connection = ConnectOutcome::InProgress;
    }

    /// How a connect ends.
    pub fn answer_connect(&self, outcome: ConnectOutcome) {
        let readiness = {
            let mut state = self.0.lock();
            state.connection = outcome;
            state.readiness.clone()
        };
        if let Some(readiness) = readiness {
            readiness.connected();
        }
    }

    /// Whether the other end has shut its output down.
    pub fn has_seen_end(&self) -> bool {
        let state = self.0.lock();
        state.output_shut || state.closed
    }

    /// Resets the connection: the next write fails, and so does the next read when everything sent is read.
    pub fn reset(&self) {
        self.0.lock().reset = true;
    }

    /// As [`MemoryPeer::reset`], and the other end is told.
    pub fn reset_now(&self) {
        self.change(|state| (state.reset, state.shows_reset) = (true, true));
    }

    /// Makes a close block for `time`.
    pub fn set_linger(&self, time: Duration) {
        self.0.lock().linger = Some(time);
    }

    /// Keeps the bytes received from now on, for [`MemoryPeer::take_bytes`].
    pub fn keep_bytes(&self) {
        self.0.lock().kept = Some(Vec::new());
    }

    /// The bytes kept so far.
    pub fn take_bytes(&self) -> Vec<u8> {
        self.0.lock().kept.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Bytes received.
    pub fn received(&self) -> u64 {
        self.0.lock().received
    }

    /// Calls of [`Transport::write`].
    pub fn writes(&self) -> u64 {
        self.0.lock().writes
    }

    /// Whether the other end has closed.
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }
}
