//! The way in: from the transport to the handlers.
//!
//! **Invariant: a buffer that is read into has one owner: the read loop, until it gives it to the first handler or releases it.**
//! And while the transport has something to read and the channel wants it, either the read loop is going on or the channel is on
//! its loop's list.
//!
//! ```text
//!   readable ──> allocate ─> read ──┬─ bytes ─> fire_read, up to 16 times ─> fire_read_complete ─> more? on the list again
//!                                   ├─ nothing: released
//!                                   ├─ end: released; half-closure allowed? an event : close
//!                                   └─ reset: released, an exception, close
//! ```

use super::Channel;
use crate::Platform;
use crate::buffer::{Buffer, Owned};
use crate::event_loop::{OnLoop, Task};
use crate::handler::{HandlerError, UserEvent};
use crate::message::Message;
use crate::observe::{Defect, Reach};
use crate::pipeline::{Downstream, Upstream};
use crate::promise::Cause;
use crate::transport::{ReadOutcome, told};

/// How one read ended.
enum OneRead {
    Bytes,
    Nothing,
    Ended,
    Reset,
    OutOfMemory,
    /// A handler closed or moved the channel.
    Gone,
}

impl<P: Platform> Channel<P> {
    /// Asks for what the peer sends, once, where the channel doesn't read by itself (`auto_read`). From any thread, through the
    /// handlers.
    pub fn read(&self) {
        if self.registered_loop().is_some() {
            self.go_down(None, Downstream::Read);
        }
    }

    pub(crate) fn read_at_head(&self) {
        match self.here() {
            Some(on) => {
                self.private(on, |p| p.read_wanted = true);
                self.tell_interest(on);
                if self.private(on, |p| p.is_readable && !p.is_reading) {
                    // Later: the caller may be a handler that was called by the read loop of another channel.
                    self.clone().make_ready(told::READABLE);
                }
            }
            // A loop that has shut down has closed the channel.
            None => self.post(Task::Read(self.clone())),
        }
    }

    /// The transport has something to read, or its end.
    pub(super) fn transport_readable(&self, on: OnLoop<'_, P>) {
        let begins = self.private(on, |p| {
            p.is_readable = true;
            let wanted = self.config().auto_read || p.read_wanted;
            let begins = wanted && !p.is_reading && !p.input_ended && p.transport.is_some();
            p.is_reading |= begins;
            begins
        });
        if !begins {
            return;
        }
        let last = self.read_all(on);
        // What a handler did on the way may have closed the channel, or posted its move; the move itself is a task.
        self.private(on, |p| {
            p.is_reading = false;
            p.is_readable = matches!(last, OneRead::Bytes);
        });
        match last {
            OneRead::Bytes => {
                if self.private(on, |p| self.config().auto_read || p.read_wanted) {
                    self.clone().make_ready(told::READABLE); // the others of the loop first
                }
            }
            OneRead::Nothing | OneRead::Gone => (),
            OneRead::Ended => self.input_ended(on),
            OneRead::Reset => {
                self.fire(None, Upstream::Exception(HandlerError::Transport(Cause::ConnectionReset)));
                self.close_if_open();
            }
            OneRead::OutOfMemory => {
                self.fire(None, Upstream::Exception(HandlerError::Transport(Cause::OutOfMemory)));
                if self.config().close_when_out_of_memory {
                    self.close_if_open();
                } else {
                    self.private(on, |p| p.is_readable = true);
                    self.clone().make_ready(told::READABLE); // and again, for as long as there is no memory
                }
            }
        }
        self.tell_interest(on);
    }

    /// Reads as often as one turn allows.
    fn read_all(&self, on: OnLoop<'_, P>) -> OneRead {
        let mut any = false;
        let mut last = OneRead::Nothing;
        for _ in 0..self.config().max_reads.max(1) {
            let wanted = self.private(on, |p| core::mem::take(&mut p.read_wanted));
            last = self.read_one(on);
            if !matches!(last, OneRead::Bytes) {
                self.private(on, |p| p.read_wanted |= wanted); // nothing has come yet: still wanted
                break;
            }
            any = true;
            if !self.private(on, |p| self.config().auto_read || p.read_wanted) {
                break;
            }
        }
        if any {
            self.fire(None, Upstream::ReadComplete);
        }
        last
    }

    fn read_one(&self, on: OnLoop<'_, P>) -> OneRead {
        if self.private(on, |p| p.transport.as_ref().is_some_and(|transport| transport.takes_messages())) {
            return self.read_message(on);
        }
        let Ok(buffer) = self.allocator().allocate(self.config().receive_buffer as usize) else {
            return OneRead::OutOfMemory;
        };
        let mut buffer = Owned::from(buffer); // released unless it is given on
        let outcome = self.private(on, |p| p.transport.as_mut().map(|t| Self::fill(&mut **t, &mut buffer)));
        match outcome {
            None => OneRead::Gone,
            Some(ReadOutcome::Read(_)) => {
                self.fire(None, Upstream::Read(Message::from(buffer)));
                if self.private(on, |p| p.transport.is_some()) { OneRead::Bytes } else { OneRead::Gone }
            }
            Some(nothing) => {
                self.release_unread(buffer);
                match nothing {
                    ReadOutcome::Ended => OneRead::Ended,
                    ReadOutcome::Reset => OneRead::Reset,
                    ReadOutcome::Read(_) | ReadOutcome::WouldBlock => OneRead::Nothing,
                }
            }
        }
    }

    fn read_message(&self, on: OnLoop<'_, P>) -> OneRead {
        match self.private(on, |p| p.transport.as_mut().map(|transport| transport.read_message())) {
            None => OneRead::Gone,
            Some(Ok(message)) => {
                self.fire(None, Upstream::Read(Message::Buffer(message)));
                if self.private(on, |p| p.transport.is_some()) { OneRead::Bytes } else { OneRead::Gone }
            }
            Some(Err(ReadOutcome::Ended)) => OneRead::Ended,
            Some(Err(ReadOutcome::Reset)) => OneRead::Reset,
            Some(Err(ReadOutcome::Read(_) | ReadOutcome::WouldBlock)) => OneRead::Nothing,
        }
    }

    fn fill(transport: &mut dyn crate::transport::Transport<P>, buffer: &mut Buffer<P>) -> ReadOutcome {
        let mut guard = buffer.write_guard(buffer.writable()).expect("a new buffer can be written");
        let room = guard.room();
        let size = room.len();
        let outcome = transport.read(room);
        if let ReadOutcome::Read(n) = outcome {
            assert!(0 < n && n <= size, "a transport gave {n} bytes for room of {size}");
            guard.commit(n);
        }
        outcome
    }

    /// The one place where a buffer that nothing was read into is given up.
    fn release_unread(&self, buffer: Owned<P>) {
        let twice = if P::planted(Defect::ReadBufferReleasedTwice) { buffer.duplicate().ok() } else { None };
        drop(buffer);
        if let Some(stale) = twice {
            let _planted = stale.release();
        }
    }

    /// The peer sends no more.
    fn input_ended(&self, on: OnLoop<'_, P>) {
        P::reach(Reach::InputEnded);
        if !self.config().allow_half_closure {
            self.close_if_open();
            return;
        }
        let first = self.private(on, |p| {
            if let Some(transport) = p.transport.as_mut().filter(|_| !p.input_ended) {
                transport.shutdown_input();
            }
            !core::mem::replace(&mut p.input_ended, true)
        });
        if first {
            self.fire(None, Upstream::UserEvent(UserEvent::InputShutdown));
        }
    }

    /// Closes it, as the loop does by itself.
    fn close_if_open(&self) {
        if let Some(on) = self.here() {
            self.close_here(on, None, Cause::ClosedChannel);
        }
    }
}
