//! What a channel writes to and reads from.
//!
//! **Invariant: after a [`WriteOutcome::WouldBlock`] the transport calls [`Readiness::writable`] once there is room, and after a
//! [`ReadOutcome::WouldBlock`] [`Readiness::readable`] once there is something to read.** Otherwise the channel waits for ever.
//!
//! A notification is an edge. A transport that stands for a level-triggered selector is told by [`Transport::interest`] what the
//! channel waits for, and notifies at once when that is so already, and again after each look at it ([`Transport::looked`]). So the
//! channel says as soon as it waits for nothing any more.

mod local;
mod memory;

pub use local::LocalTransport;
pub use memory::{MemoryPeer, MemoryTransport, Trigger};

use crate::buffer::{Buffer, Owned};
use crate::channel::Channel;
use crate::{Platform, Std};
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

/// How a read from a transport ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOutcome {
    /// It gave this many bytes, at least one.
    Read(usize),
    /// There is nothing now.
    WouldBlock,
    /// The peer sends no more.
    Ended,
    /// The peer reset the connection.
    Reset,
}

/// How a connect ended, or didn't yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectOutcome {
    /// There is a connection.
    Connected,
    /// Not yet: [`Readiness::connected`] will tell.
    InProgress,
    /// There won't be one.
    Refused,
}

/// What a channel waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interest {
    /// Something to read (`OP_READ`).
    pub read: bool,
    /// Room to write (`OP_WRITE`).
    pub write: bool,
}

/// The socket of a channel, or what stands for it. It must not call the channel from inside its methods, but through
/// [`Readiness`].
pub trait Transport<P: Platform = Std>: Send {
    /// Called once, before anything else: how to say that there is room again, or something to read. What there is to read already
    /// is to be told at once.
    fn open(&mut self, readiness: Readiness<P>);
    /// Whether it is connected from the beginning.
    fn is_connected(&self) -> bool {
        true
    }
    /// Begins to connect. Called at most once, unless it is connected.
    fn connect(&mut self) -> ConnectOutcome {
        ConnectOutcome::Connected
    }
    /// Asked after [`Readiness::connected`].
    fn finish_connect(&mut self) -> ConnectOutcome {
        ConnectOutcome::Connected
    }
    /// What the channel waits for from now on.
    fn interest(&mut self, _interest: Interest) {}
    /// The channel has acted on what it was told: who stands for a level-triggered selector tells again what is still so, and of
    /// interest.
    fn looked(&mut self) {}
    /// Bytes that it buffers on their way out (`SO_SNDBUF`), where there is such a number.
    fn send_buffer(&self) -> Option<usize> {
        None
    }
    /// Gives bytes, if there are some. `into` isn't empty.
    fn read(&mut self, _into: &mut [u8]) -> ReadOutcome {
        ReadOutcome::WouldBlock
    }
    /// Offers the bytes of `chunks`, none of them empty, in order.
    fn write(&mut self, chunks: &[&[u8]]) -> WriteOutcome;
    /// Whether it takes and gives whole messages instead of bytes: its other end is in the same program.
    fn takes_messages(&self) -> bool {
        false
    }
    /// Takes a message over, whatever the outcome; only where it takes messages.
    fn write_message(&mut self, message: Buffer<P>) -> WriteOutcome {
        drop(Owned::from(message));
        WriteOutcome::Reset
    }
    /// Gives the next message, or says why there is none; only where it takes messages.
    ///
    /// # Errors
    /// How a read of no bytes would have ended.
    fn read_message(&mut self) -> Result<Buffer<P>, ReadOutcome> {
        Err(ReadOutcome::WouldBlock)
    }
    /// Tells the peer that nothing more will be written. Called once at most, and no write after it.
    fn shutdown_output(&mut self) {}
    /// Nothing more will be read. Called once at most, and no read after it.
    fn shutdown_input(&mut self) {}
    /// The time that a close may block to get the last bytes out (`SO_LINGER`).
    fn linger(&self) -> Option<Duration>;
    /// Closes it; blocks for the linger time at most. Called once.
    fn close(&mut self);
}

/// What a transport has told, as bits.
pub(crate) mod told {
    pub(crate) const WRITABLE: u32 = 1;
    pub(crate) const READABLE: u32 = 2;
    pub(crate) const CONNECTED: u32 = 4;
}

/// A channel's ear for its transport. Every call may be made from any thread, as often as wanted.
pub struct Readiness<P: Platform = Std>(pub(crate) alloc::sync::Weak<crate::channel::Inner<P>>);

impl<P: Platform> Clone for Readiness<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Platform> Readiness<P> {
    /// There is room now.
    pub fn writable(&self) {
        self.tell(told::WRITABLE);
    }

    /// There is something to read now, or the end of the input.
    pub fn readable(&self) {
        self.tell(told::READABLE);
    }

    /// A connect that was in progress has ended.
    pub fn connected(&self) {
        self.tell(told::CONNECTED);
    }

    fn tell(&self, bit: u32) {
        if let Some(inner) = self.0.upgrade() {
            Channel::from_inner(inner).make_ready(bit);
        }
    }
}
