//! A transport between two channels of one program: messages change hands, and nothing is copied.
//!
//! **Invariant: a message that was taken over is in the inbox of an end that is open, and nowhere else**: it is read from there, or
//! released when that end closes.
//!
//! ```text
//!   channel a ── write_message ──> inbox of b ── read_message ──> channel b
//!            <── read_message ─── inbox of a <── write_message ──
//! ```
//!
//! After Netty's `LocalChannel`. An inbox is open or closed under the same lock under which messages are put into it: a look
//! before is not enough (Netty 4.0.31 and 4.1.7 had to learn that), because the other end closes on a loop of its own.

use super::{ReadOutcome, Readiness, Transport, WriteOutcome};
use crate::buffer::{Buffer, Owned};
use crate::observe::Defect;
use crate::platform::Lock;
use crate::{Platform, Std};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

struct Inbox<P: Platform> {
    messages: VecDeque<Buffer<P>>,
    is_closed: bool,
    /// The other end sends no more.
    has_ended: bool,
    readiness: Option<Readiness<P>>,
}

type Shared<P> = Arc<<P as Platform>::Mutex<Inbox<P>>>;

/// One end of a pair. See the [module](self).
pub struct LocalTransport<P: Platform = Std> {
    mine: Shared<P>,
    theirs: Shared<P>,
}

impl<P: Platform> LocalTransport<P> {
    /// Two ends of one connection.
    pub fn pair() -> (Self, Self) {
        let inbox = || {
            let empty = Inbox { messages: VecDeque::new(), is_closed: false, has_ended: false, readiness: None };
            Arc::new(P::Mutex::new(empty))
        };
        let (a, b) = (inbox(), inbox());
        (Self { mine: Arc::clone(&a), theirs: Arc::clone(&b) }, Self { mine: b, theirs: a })
    }

    /// Puts a message into the other end's inbox, or gives it back if that is closed.
    fn put(&self, message: Buffer<P>) -> Result<Option<Readiness<P>>, Buffer<P>> {
        let mut inbox = self.theirs.lock();
        // The plant: as if it had been open at a look a moment ago. Nobody will ever look into a closed inbox again.
        if inbox.is_closed && !P::planted(Defect::PeerLookedAtOnce) {
            return Err(message);
        }
        inbox.messages.push_back(message);
        Ok(inbox.readiness.clone())
    }

    /// The other end hears nothing more from this one.
    fn end(&self) {
        let mut inbox = self.theirs.lock();
        inbox.has_ended = true;
        let readiness = inbox.readiness.clone();
        drop(inbox);
        if let Some(readiness) = readiness {
            readiness.readable();
        }
    }
}

impl<P: Platform> Transport<P> for LocalTransport<P> {
    fn open(&mut self, readiness: Readiness<P>) {
        let mut inbox = self.mine.lock();
        inbox.readiness = Some(readiness.clone());
        let readable = !inbox.messages.is_empty() || inbox.has_ended;
        drop(inbox); // before the channel is told
        if readable {
            readiness.readable();
        }
    }

    fn takes_messages(&self) -> bool {
        true
    }

    fn write_message(&mut self, message: Buffer<P>) -> WriteOutcome {
        match self.put(message) {
            Ok(readiness) => {
                if let Some(readiness) = readiness {
                    readiness.readable();
                }
                WriteOutcome::Wrote(1)
            }
            Err(refused) => {
                drop(Owned::from(refused));
                WriteOutcome::Reset
            }
        }
    }

    fn read_message(&mut self) -> Result<Buffer<P>, ReadOutcome> {
        let mut inbox = self.mine.lock();
        let ended = inbox.has_ended;
        inbox.messages.pop_front().ok_or(if ended { ReadOutcome::Ended } else { ReadOutcome::WouldBlock })
    }

    /// Only messages are taken.
    fn write(&mut self, _chunks: &[&[u8]]) -> WriteOutcome {
        WriteOutcome::Reset
    }

    fn shutdown_output(&mut self) {
        self.end();
    }

    fn linger(&self) -> Option<Duration> {
        None
    }

    fn close(&mut self) {
        let mut inbox = self.mine.lock();
        inbox.is_closed = true;
        inbox.readiness = None;
        let unread = core::mem::take(&mut inbox.messages);
        drop(inbox); // before the releases, which may do anything
        for message in unread {
            drop(Owned::from(message));
        }
        self.end();
    }
}
