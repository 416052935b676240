//! Writes that wait in a handler: in order, once, and seen by whoever writes.

mod write_path_support;

use millpond_model::codec::{CoalescingQueue, CompositeCumulator};
use millpond_model::handler::{Context, HandlerError, Outbound};
use millpond_model::message::Message;
use millpond_model::pending_queue::{PENDING_WRITE_OVERHEAD, PendingWriteQueue};
use millpond_model::pipeline::Named;
use millpond_model::platform::AtomicOps;
use millpond_model::promise::{Cause, Promise};
use millpond_model::transport::MemoryTransport;
use millpond_model::write_path::WritePathConfig;
use millpond_model::{Platform, Preset};
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use write_path_support::{CLOSED, World, Written};

on_both!(
    what_waits_counts_as_pending,
    all_are_written_in_order,
    one_by_one,
    writes_that_come_while_all_are_written,
    writes_that_come_while_all_fail,
    a_refused_write_does_not_stop_the_others,
    a_removed_handler_fails_what_it_keeps,
    a_closed_channel_fails_what_waits,
    what_is_coalesced_counts_as_pending,
);

const SHUT: u32 = 0;
const ONE: u32 = 1;
const ALL: u32 = 2;
const FAIL_ONE: u32 = 3;
const FAIL_ALL: u32 = 4;

/// Keeps what is written until a flush, which does as the gate says.
struct Gate<P: Platform> {
    gate: Arc<P::Atomic<u32>>,
    queue: OnceCell<PendingWriteQueue<P>>,
}

impl<P: Platform> Outbound<P> for Gate<P> {
    fn write(&self, context: &dyn Context<P>, message: Message<P>, promise: Promise<P>) -> Result<(), HandlerError> {
        self.queue.get_or_init(|| PendingWriteQueue::new(context)).add(message, promise);
        Ok(())
    }

    fn flush(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        let Some(queue) = self.queue.get() else { return Ok(()) };
        let (before, bytes) = (queue.len(), queue.bytes());
        match self.gate.load(Ordering::SeqCst) {
            ONE => {
                let first = queue.with_current(|message| u64::from(message.estimated_size()));
                if queue.remove_and_write(context).transpose()?.is_some() {
                    let size = first.expect("there was one") + PENDING_WRITE_OVERHEAD;
                    assert_eq!((queue.len(), queue.bytes()), (before - 1, bytes - size));
                }
                context.flush();
            }
            ALL => {
                let whole = queue.remove_and_write_all(context);
                assert_eq!(whole.is_some(), before > 0);
                context.flush();
                assert!(queue.is_empty() && queue.bytes() == 0);
            }
            FAIL_ONE => assert_eq!(queue.remove_and_fail(Cause::Rejected), before > 0),
            FAIL_ALL => {
                queue.remove_and_fail_all(Cause::Rejected);
                assert!(queue.is_empty() && queue.bytes() == 0);
            }
            _ => (),
        }
        Ok(())
    }

    fn removed(&self, _context: &dyn Context<P>) -> Result<(), HandlerError> {
        if let Some(queue) = self.queue.get() {
            queue.remove_and_fail_all(Cause::ClosedChannel);
        }
        Ok(())
    }
}

struct Gated<P: Platform> {
    world: Arc<World<P>>,
    gate: Arc<P::Atomic<u32>>,
}

impl<P: Platform> Gated<P> {
    fn new(change: impl FnOnce(&mut WritePathConfig)) -> Self {
        let gate = Arc::new(P::Atomic::new(SHUT));
        let handler = Gate::<P> { gate: Arc::clone(&gate), queue: OnceCell::new() };
        let mut config = WritePathConfig::from(Preset::Millpond);
        change(&mut config);
        let (transport, peer) = MemoryTransport::pair(1000);
        peer.keep_bytes();
        let handlers = vec![Named::outbound("gate", handler)];
        let world = World::configured(Preset::Millpond, config, transport, peer, handlers);
        world.settle();
        Self { world: Arc::new(world), gate }
    }

    fn flush(&self, how: u32) {
        self.gate.store(how, Ordering::SeqCst);
        self.world.channel.flush();
        self.world.settle();
    }

    fn end(self) {
        self.world.settle();
        self.world.assert_clean_but_for_the_queue();
        self.world.shut_down();
        self.world.assert_clean();
    }
}

trait CleanQueue {
    fn assert_clean_but_for_the_queue(&self);
}

impl<P: Platform> CleanQueue for World<P> {
    fn assert_clean_but_for_the_queue(&self) {
        let pending = self.channel.pending_identity();
        assert!(pending.holds() && pending.total == pending.queues, "{pending:?}");
    }
}

fn what_waits_counts_as_pending<P: Platform>() {
    let marks = |config: &mut WritePathConfig| (config.high_water_mark, config.low_water_mark) = (200, 100);
    let gated = Gated::<P>::new(marks);
    let written = ["abc", "de", ""].map(|text| gated.world.write(text));
    gated.world.settle();
    let pending = gated.world.channel.pending_identity();
    assert_eq!((pending.queues, pending.entries, pending.tasks), (5 + 3 * 64, 0, 0));
    assert!(pending.holds() && gated.world.channel.is_writable());
    let last = gated.world.write("12345");
    gated.world.settle();
    assert!(!gated.world.channel.is_writable(), "198 + 69 bytes: whoever writes is slowed down");
    gated.flush(ALL);
    written.iter().chain([&last]).for_each(|w| w.assert_ended(Ok(())));
    assert!(gated.world.channel.is_writable());
    assert_eq!(gated.world.channel.pending_identity().queues, 0);
    gated.end();
}

fn all_are_written_in_order<P: Platform>() {
    let gated = Gated::<P>::new(|_| ());
    let written = ["a", "b", "c"].map(|text| gated.world.write(text));
    gated.flush(SHUT);
    assert!(written.iter().all(|w| !w.promise.is_done()));
    gated.flush(ALL);
    written.iter().for_each(|w| w.assert_ended(Ok(())));
    assert_eq!(gated.world.peer.take_bytes(), b"abc");
    gated.flush(ALL);
    gated.end();
}

fn one_by_one<P: Platform>() {
    let gated = Gated::<P>::new(|_| ());
    let written = ["a", "b", "c"].map(|text| gated.world.write(text));
    gated.flush(ONE);
    written[0].assert_ended(Ok(()));
    gated.flush(FAIL_ONE);
    written[1].assert_ended(Err(Cause::Rejected));
    assert!(!written[2].promise.is_done());
    gated.flush(ONE);
    written[2].assert_ended(Ok(()));
    for how in [ONE, FAIL_ONE, ALL, FAIL_ALL] {
        gated.flush(how); // there is none
    }
    assert_eq!(gated.world.peer.take_bytes(), b"ac");
    gated.end();
}

/// `text`, and what `then` does when it has ended.
fn write_then<P: Platform>(gated: &Gated<P>, text: &str, then: impl FnOnce(&World<P>) + Send + 'static) -> Written<P> {
    let (message, witness) = gated.world.message(text);
    let written = Written::new(witness);
    let world = Arc::clone(&gated.world);
    written.promise.add_listener(move |_| then(&world));
    gated.world.channel.write(message, written.promise.clone()).expect("the promise is new");
    written
}

fn writes_that_come_while_all_are_written<P: Platform>() {
    let gated = Gated::<P>::new(|_| ());
    let (sender, late) = std::sync::mpsc::channel();
    let first = write_then(&gated, "a", move |world| {
        sender.send(world.write("c")).expect("somebody waits");
        world.channel.flush(); // back into the handler
    });
    let second = gated.world.write("b");
    gated.flush(ALL);
    gated.world.settle();
    for written in [first, second, late.try_recv().expect("it was written")] {
        written.assert_ended(Ok(()));
    }
    assert_eq!(gated.world.peer.take_bytes(), b"abc");
    gated.end();
}

/// A10: the listener of the first of two writes that fail adds one, and may fail all, below the first call.
fn writes_that_come_while_all_fail<P: Platform>() {
    for flushes in [true, false] {
        let gated = Gated::<P>::new(|_| ());
        let (sender, late) = std::sync::mpsc::channel();
        let first = write_then(&gated, "a", move |world| {
            sender.send(world.write("c")).expect("somebody waits");
            if flushes {
                world.channel.flush();
            }
        });
        let second = gated.world.write("b");
        gated.flush(FAIL_ALL);
        for written in [first, second, late.try_recv().expect("it was written")] {
            written.assert_ended(Err(Cause::Rejected));
        }
        assert_eq!(gated.world.peer.received(), 0);
        gated.end();
    }
}

/// Somebody has completed the promise of the first of two writes: it isn't written, and the second one is.
fn a_refused_write_does_not_stop_the_others<P: Platform>() {
    let gated = Gated::<P>::new(|_| ());
    let written = ["a", "b"].map(|text| gated.world.write(text));
    gated.world.settle();
    written[0].promise.complete(Err(Cause::Rejected));
    gated.flush(ALL);
    written[0].assert_ended(Err(Cause::Rejected));
    written[1].assert_ended(Ok(()));
    assert_eq!(gated.world.peer.take_bytes(), b"b");
    gated.end();
}

fn a_removed_handler_fails_what_it_keeps<P: Platform>() {
    let gated = Gated::<P>::new(|_| ());
    let written = ["a", "b"].map(|text| gated.world.write(text));
    gated.world.settle();
    gated.world.channel.pipeline().remove("gate").expect("it is there");
    written.iter().for_each(|w| w.assert_ended(CLOSED));
    gated.world.write_and_flush("c").assert_ended(Ok(()));
    gated.end();
}

fn a_closed_channel_fails_what_waits<P: Platform>() {
    let gated = Gated::<P>::new(|_| ());
    let written = ["a", "b"].map(|text| gated.world.write(text));
    gated.world.settle();
    assert_eq!(gated.world.close(), Ok(()));
    written.iter().for_each(|w| w.assert_ended(CLOSED));
    gated.end();
}

/// B18 (Netty #7309): what an aggregating handler keeps wasn't counted, and nobody was slowed down.
fn what_is_coalesced_counts_as_pending<P: Platform>() {
    let gated = Gated::<P>::new(|config| (config.high_water_mark, config.low_water_mark) = (20, 10));
    let channel = &gated.world.channel;
    let mut uncounted = CoalescingQueue::<P>::new(CompositeCumulator);
    let mut counted = CoalescingQueue::counted(channel, CompositeCumulator);
    let add = |queue: &mut CoalescingQueue<P>| {
        let (Message::Buffer(buffer), witness) = gated.world.message("0123456789") else { unreachable!("it is one") };
        queue.add(buffer, Promise::untracked());
        witness
    };
    let _witnesses = [0; 3].map(|_| add(&mut uncounted));
    assert!(channel.is_writable() && channel.pending_bytes() == 0);
    let _witnesses = [0; 3].map(|_| add(&mut counted));
    assert!(!channel.is_writable());
    assert_eq!((channel.pending_identity().queues, channel.pending_identity().holds()), (30, true));
    let whole = Promise::untracked();
    let taken = counted.remove(channel.allocator(), 15, &whole).expect("there is memory").expect("there are bytes");
    assert_eq!((taken.readable(), channel.pending_bytes(), channel.is_writable()), (15, 15, false));
    Message::Buffer(taken).release();
    whole.complete(Ok(()));
    // The rest of the second one is 5 bytes.
    let taken = counted.remove(channel.allocator(), 6, &whole).expect("there is memory").expect("there are bytes");
    assert_eq!((channel.pending_bytes(), channel.is_writable()), (9, true), "below the low mark");
    Message::Buffer(taken).release();
    drop(counted);
    assert_eq!((channel.pending_bytes(), channel.pending_identity().holds()), (0, true));
    let void = channel.void_promise();
    assert!(uncounted.remove(channel.allocator(), 1, &void).is_err(), "nothing can follow it");
    assert_eq!(uncounted.readable(), 30);
    drop(uncounted);
    gated.end();
}
