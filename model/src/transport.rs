//! What a channel writes to.
//!
//! **Invariant: after `WouldBlock`, the transport calls [`Writable::notify`] once there is room.** Otherwise the channel waits
//! for ever.

use crate::channel::Channel;
use crate::platform::Lock;
use crate::{Platform, Std};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// How a write to a transport ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteOutcome {
    /// It took this many bytes, at least one.
    Wrote(usize),
    /// It has no room now.
    WouldBlock,
    /// The peer reset the connection.
    Reset,
}

/// The socket of a channel, or what stands for it. It must not call the channel from inside its methods.
pub trait Transport<P: Platform = Std>: Send {
    /// Called once, before anything else: how to say that there is room again.
    fn open(&mut self, writable: Writable<P>);
    /// Offers the bytes of `chunks`, none of them empty, in order.
    fn write(&mut self, chunks: &[&[u8]]) -> WriteOutcome;
    /// The time that a close may block to get the last bytes out (`SO_LINGER`).
    fn linger(&self) -> Option<Duration>;
    /// Closes it; blocks for the linger time at most. Called once.
    fn close(&mut self);
}

/// A channel's ear for its transport.
pub struct Writable<P: Platform = Std>(pub(crate) alloc::sync::Weak<crate::channel::Inner<P>>);

impl<P: Platform> Clone for Writable<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Platform> Writable<P> {
    /// There is room now. From any thread, as often as wanted.
    pub fn notify(&self) {
        if let Some(inner) = self.0.upgrade() {
            Channel::from_inner(inner).make_ready();
        }
    }
}

struct MemoryState<P: Platform> {
    window: usize,
    received: u64,
    writes: u64,
    kept: Option<Vec<u8>>,
    reset: bool,
    closed: bool,
    linger: Option<Duration>,
    writable: Option<Writable<P>>,
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
            writable: None,
        }));
        (Self(Arc::clone(&state)), MemoryPeer(state))
    }
}

impl<P: Platform> Transport<P> for MemoryTransport<P> {
    fn open(&mut self, writable: Writable<P>) {
        self.0.lock().writable = Some(writable);
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
        state.writable = None;
    }
}

impl<P: Platform> MemoryPeer<P> {
    /// Opens the window by `n` bytes.
    pub fn open_window(&self, n: usize) {
        let mut state = self.0.lock();
        state.window += n;
        let writable = state.writable.clone();
        drop(state);
        if let Some(writable) = writable {
            writable.notify();
        }
    }

    /// Resets the connection: the next write fails.
    pub fn reset(&self) {
        self.0.lock().reset = true;
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
