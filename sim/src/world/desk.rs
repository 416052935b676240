//! Errands: what handlers give to business threads.
//!
//! **Invariant: an errand that was taken is run by the thread it was given to, or by its successor; where no thread is left, its
//! message is released at once.**

use super::business::{Mailbox, Order};
use millpond_model::Platform;
use millpond_model::buffer::{Buffer, BufferError, Owned};
use millpond_model::channel::Channel;
use millpond_model::message::Message;
use millpond_model::platform::{AtomicOps, Lock, ThreadOps};
use millpond_model::promise::Promise;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a business thread does with a message.
pub(super) enum Errand<P: Platform> {
    /// It replies with a copy and releases.
    Reply(Channel<P>, Message<P>),
    /// It releases.
    Release(Message<P>),
}

/// A business thread that takes errands.
struct Seat<P: Platform> {
    mailbox: Arc<Mailbox<P>>,
    thread: P::Thread,
}

struct Seats<P: Platform> {
    seats: Vec<Option<Seat<P>>>,
    next: usize,
}

/// Where errands are given to business threads.
pub(super) struct Desk<P: Platform> {
    seats: P::Mutex<Seats<P>>,
    /// Errands that are not run yet.
    open: P::Atomic<u32>,
    is_manned: bool,
}

impl<P: Platform> Desk<P> {
    /// A desk; whether business threads sit at it.
    pub(super) fn new(is_manned: bool) -> Arc<Self> {
        let seats = Seats { seats: Vec::new(), next: 0 };
        Arc::new(Self { seats: P::Mutex::new(seats), open: P::Atomic::new(0), is_manned })
    }

    /// Whether there are errands in this world at all.
    pub(super) fn is_manned(&self) -> bool {
        self.is_manned
    }

    /// `thread` takes the place of the one that had it, if it still had it.
    pub(super) fn succeed(&self, index: u32, mailbox: &Arc<Mailbox<P>>, thread: &P::Thread) {
        if let Some(Some(seat)) = self.seats.lock().seats.get_mut(index as usize)
            && Arc::ptr_eq(&seat.mailbox, mailbox)
        {
            seat.thread = thread.clone();
        }
    }

    /// `thread` serves `mailbox`, as number `index`.
    pub(super) fn seat(&self, index: u32, mailbox: &Arc<Mailbox<P>>, thread: &P::Thread) {
        let mut seats = self.seats.lock();
        let at = index as usize;
        if seats.seats.len() <= at {
            seats.seats.resize_with(at + 1, || None);
        }
        seats.seats[at] = Some(Seat { mailbox: Arc::clone(mailbox), thread: thread.clone() });
    }

    /// The thread of this index takes no more.
    pub(super) fn unseat(&self, index: u32) {
        if let Some(seat) = self.seats.lock().seats.get_mut(index as usize) {
            *seat = None;
        }
    }

    /// Gives an errand to the next thread.
    pub(super) fn submit(self: &Arc<Self>, errand: Errand<P>) {
        let mut seats = self.seats.lock();
        let count = seats.seats.len();
        let free = (seats.next..seats.next + count).map(|i| i % count).find(|&i| seats.seats[i].is_some());
        let Some(seat) = free.and_then(|i| seats.seats[i].as_ref()) else {
            drop(seats);
            return errand.release();
        };
        // Relaxed: a count; whoever looks at it does so again and again.
        self.open.fetch_add(1, Ordering::Relaxed);
        // Under the lock: a thread that is unseated afterwards finds it before its own end.
        seat.mailbox.give(Some(Order::Errand(Arc::clone(self), errand)));
        let thread = seat.thread.clone();
        seats.next = free.map_or(0, |i| i + 1) % count;
        drop(seats);
        thread.unpark();
    }

    /// Whether every errand has been run.
    pub(super) fn is_clear(&self) -> bool {
        // Acquire: pairs with the release in `run`.
        self.open.load(Ordering::Acquire) == 0
    }

    /// Runs an errand, on a business thread.
    pub(super) fn run(&self, errand: Errand<P>) {
        match errand {
            Errand::Reply(channel, message) => {
                if let Message::Buffer(request) = &message
                    && let Ok(reply) = Self::reply(&channel, request)
                {
                    // A new promise can be completed.
                    let _written = channel.write_and_flush(Message::from(reply), Promise::new());
                }
                message.release();
            }
            Errand::Release(message) => message.release(),
        }
        // Release: what was done is seen by whoever sees the count.
        self.open.fetch_sub(1, Ordering::Release);
    }

    /// A copy of `request`.
    fn reply(channel: &Channel<P>, request: &Buffer<P>) -> Result<Owned<P>, BufferError> {
        request.touch("on a business thread");
        let bytes = request.bytes()?;
        let mut reply = Owned::from(channel.allocator().allocate(bytes.len())?);
        reply.put(&bytes)?;
        Ok(reply)
    }
}

impl<P: Platform> Errand<P> {
    fn release(self) {
        let (Self::Reply(_, message) | Self::Release(message)) = self;
        message.release();
    }
}
