//! A transport that ends in memory.
//!
//! **Invariant: what the peer has sent is read in order, once, and its end after that**; what is written is counted, and kept if
//! that is wanted.

use super::{ConnectOutcome, ReadOutcome, Readiness, Transport, WriteOutcome};
use crate::platform::Lock;
use crate::{Platform, Std};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

struct MemoryState<P: Platform> {
    window: usize,
    received: u64,
    writes: u64,
    kept: Option<Vec<u8>>,
    reset: bool,
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
            window,
            received: 0,
            writes: 0,
            kept: None,
            reset: false,
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

impl<P: Platform> Transport<P> for MemoryTransport<P> {
    fn open(&mut self, readiness: Readiness<P>) {
        self.0.lock().readiness = Some(readiness);
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
    /// Opens the window by `n` bytes.
    pub fn open_window(&self, n: usize) {
        let mut state = self.0.lock();
        state.window += n;
        Self::tell(state.readiness.clone(), state, Readiness::writable);
    }

    fn tell(readiness: Option<Readiness<P>>, unlocks: impl Sized, what: impl FnOnce(&Readiness<P>)) {
        drop(unlocks); // before the channel is told
        if let Some(readiness) = readiness {
            what(&readiness);
        }
    }

    /// Sends bytes to the other end.
    pub fn send(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        state.sent.extend(bytes);
        Self::tell(state.readiness.clone(), state, Readiness::readable);
    }

    /// Bytes sent that the other end has not read.
    pub fn unread(&self) -> usize {
        self.0.lock().sent.len()
    }

    /// Sends no more.
    pub fn end(&self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        Self::tell(state.readiness.clone(), state, Readiness::readable);
    }

    /// The other end isn't connected yet; it will be as [`MemoryPeer::answer_connect`] says.
    pub fn disconnect(&self) {
        let mut state = self.0.lock();
        state.is_connected = false;
        state.connection = ConnectOutcome::InProgress;
    }

    /// How a connect ends.
    pub fn answer_connect(&self, outcome: ConnectOutcome) {
        let mut state = self.0.lock();
        state.connection = outcome;
        Self::tell(state.readiness.clone(), state, Readiness::connected);
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

    /// As [`MemoryPeer::reset`], and the other end is told that there is something to read.
    pub fn reset_now(&self) {
        let mut state = self.0.lock();
        state.reset = true;
        Self::tell(state.readiness.clone(), state, Readiness::readable);
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
