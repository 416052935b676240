//! The outbound write path: every message is released once and every promise completes once, on every path.

mod write_path_support;

use millpond_model::buffer::Buffer;
use millpond_model::channel::{Encoder, FillEncoder};
use millpond_model::event_loop::{LoopConfig, Stall};
use millpond_model::message::{Message, Pojo};
use millpond_model::platform::{JoinOps, Lock};
use millpond_model::promise::{Cause, Promise};
use millpond_model::transport::{Readiness, Transport, WriteOutcome};
use millpond_model::write_path::WritePathConfig;
use millpond_model::{Platform, Preset};
use std::sync::Arc;
use std::time::Duration;
use write_path_support::{CLOSED, Heard, World, Written, assert_in_order};

on_both!(
    written_from_outside,
    written_from_the_loop,
    order_of_one_thread_is_kept,
    pojo_is_encoded_on_the_loop,
    encoder_failure_fails_the_write,
    illegal_promise_releases_the_message,
    cancelled_write_gives_its_bytes_back,
    reset_fails_flushed_writes,
    close_fails_what_is_pending,
    write_after_close,
    close_from_a_listener,
    write_and_flush_from_a_listener,
    close_forcibly_then_flush,
    rejected_write_is_released,
    rejected_write_keeps_its_bytes_through_4_1_30,
    full_queue_rejects_a_write,
    queued_writes_end_when_the_loop_does,
    racing_writers_and_shutdown,
    partial_writes,
    spin_count_bounds_a_flush,
    gathering_is_limited_from_4_1_18,
    flush_task_before_4_1_23_flushes_more,
    unwritable_at_the_1171st_write_of_4_1_8,
    unwritable_at_the_1639th_write_of_ours,
    writability_has_hysteresis,
    pending_identity_while_stalled,
    empty_messages,
    presets;
    misusing:
    dead_message_fails_its_own_write_only;
    in_turn: // they need to do something while a close takes its time
    close_twice,
    linger_does_not_block_the_loop,
    linger_way_back_refused,
    linger_way_back_lost_under_netty_rules,
);

const ALL: [Preset; 5] =
    [Preset::Netty4_1_8, Preset::Netty4_1_38, Preset::Netty4_1_44, Preset::Netty4_1_71, Preset::Millpond];

fn written_from_outside<P: Platform>() {
    for preset in ALL {
        let world = World::<P>::new(preset, 1000);
        world.peer.keep_bytes();
        let a = world.write("calm ");
        let b = world.write_and_flush("as a ");
        let c = world.write("millpond");
        b.assert_ended(Ok(()));
        a.assert_ended(Ok(()));
        world.settle();
        assert!(c.promise.outcome().is_none(), "it wasn't flushed");
        world.channel.flush();
        c.assert_ended(Ok(()));
        assert_eq!(world.peer.take_bytes(), b"calm as a millpond");
        world.settle();
        world.assert_clean();
        world.shut_down();
        assert_eq!(world.channel.stats().written, 3);
        assert_eq!(world.told_inactive(), 1);
    }
}

fn written_from_the_loop<P: Platform>() {
    let world = Arc::new(World::<P>::new(Preset::Millpond, 1000));
    let inner = Arc::clone(&world);
    world.on_loop(move || {
        let a = inner.write("a");
        assert!(a.promise.outcome().is_none());
        assert_eq!(inner.channel.stats().pending.entries, 97);
        let b = inner.write_and_flush("b");
        assert!(a.promise.is_done() && b.promise.is_done(), "no hand-over on the loop itself");
        a.assert_ended(Ok(()));
        b.assert_ended(Ok(()));
    });
    assert_eq!(world.peer.received(), 2);
    world.assert_clean();
    world.shut_down();
}

fn order_of_one_thread_is_kept<P: Platform>() {
    let world = Arc::new(World::<P>::new(Preset::Millpond, usize::MAX));
    world.peer.keep_bytes();
    let threads: Vec<_> = (0..3_u8)
        .map(|thread| {
            let world = Arc::clone(&world);
            let body = move || {
                for n in 0..100_u8 {
                    let mut buffer = world.pools.buffers.allocate(2).expect("there is memory");
                    buffer.put(&[thread, n]).expect("there is room");
                    let message = Message::Buffer(buffer);
                    let sent = if n % 3 == 0 {
                        world.channel.write_and_flush(message, Promise::new())
                    } else {
                        world.channel.write(message, Promise::new())
                    };
                    sent.expect("the promise is new");
                }
            };
            P::spawn(format!("writer {thread}"), body).expect("threads are to be had")
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
    world.channel.flush();
    world.settle();
    assert_in_order(&world.peer.take_bytes(), [100; 3]);
    world.assert_clean();
    world.shut_down();
}

fn pojo_is_encoded_on_the_loop<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    world.peer.keep_bytes();
    let promise = Promise::new();
    world.channel.write_and_flush(Message::Pojo(Pojo::new(5)), promise.clone()).expect("the promise is new");
    assert_eq!(promise.wait(), Ok(()));
    assert_eq!(world.peer.take_bytes(), [7; 5]);
    world.settle();
    world.assert_clean();
    world.shut_down();
}

/// Fails for a message of one byte, panics for one of two, and writes too much for one of three.
struct BadEncoder;

impl<P: Platform> Encoder<P> for BadEncoder {
    fn encode(&self, message: &Pojo<P>, out: &mut Buffer<P>) -> Result<(), Cause> {
        match message.encoded_size() {
            1 => Err(Cause::EncoderFailed),
            2 => panic!("an encoder's own business"),
            n => out.put_repeated(0, n as usize + 1).map_err(|_| Cause::EncoderFailed),
        }
    }
}

fn encoder_failure_fails_the_write<P: Platform>() {
    let world = World::<P>::with(Preset::Millpond, LoopConfig::default(), 1000, Box::new(BadEncoder));
    for size in 1..=3 {
        let promise = Promise::new();
        world.channel.write_and_flush(Message::Pojo(Pojo::new(size)), promise.clone()).expect("the promise is new");
        assert_eq!(promise.wait(), Err(Cause::EncoderFailed));
    }
    world.settle();
    world.assert_clean();
    assert_eq!((world.channel.stats().failed, world.channel.stats().user_panics), (3, 1));
    world.shut_down();
}

fn illegal_promise_releases_the_message<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    let (message, witness) = world.message("x");
    let promise = Promise::new();
    promise.complete(Ok(()));
    assert!(world.channel.write(message, promise).is_err());
    assert_eq!(witness.count(), 1);

    let (message, witness) = world.message("x");
    let promise = Promise::new();
    promise.cancel();
    assert!(world.channel.write_and_flush(message, promise).is_ok(), "a cancelled write is no error");
    assert_eq!(witness.count(), 1);
    world.assert_clean();
    world.shut_down();
}

fn dead_message_fails_its_own_write_only<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    world.peer.keep_bytes();
    let a = world.write("a");
    let dead = world.write("dead");
    let b = world.write("b");
    dead.witness.release_many(2).expect("the test releases once too often");
    world.channel.flush();
    a.assert_ended(Ok(()));
    assert_eq!(dead.promise.wait(), Err(Cause::IllegalCount));
    b.assert_ended(Ok(()));
    assert_eq!(world.peer.take_bytes(), b"ab");
    world.settle();
    world.assert_clean();
    world.shut_down();
}

fn cancelled_write_gives_its_bytes_back<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    world.peer.keep_bytes();
    let a = world.write("a");
    let gone = world.write("gone");
    let b = world.write("b");
    world.settle();
    assert!(gone.promise.cancel());
    world.channel.flush();
    b.assert_ended(Ok(()));
    a.assert_ended(Ok(()));
    gone.assert_ended(Err(Cause::Cancelled));
    assert!(!b.promise.cancel());
    assert_eq!(world.peer.take_bytes(), b"ab");
    world.settle();
    world.assert_clean();
    assert_eq!(world.channel.stats().cancelled, 1);
    world.shut_down();
}

fn reset_fails_flushed_writes<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 0);
    let flushed = [world.write("a"), world.write_and_flush("b")];
    let unflushed = world.write("c");
    world.settle();
    world.peer.reset();
    world.peer.open_window(1);
    for written in &flushed {
        written.assert_ended(Err(Cause::ConnectionReset));
    }
    unflushed.assert_ended(CLOSED);
    assert_eq!(world.channel.closed().wait(), Ok(()));
    assert!(world.peer.is_closed() && !world.channel.is_active() && !world.channel.is_writable());
    world.settle();
    world.assert_clean();
    assert_eq!(world.told_inactive(), 1);
    world.shut_down();
    assert_eq!(world.told_inactive(), 1);
}

fn close_fails_what_is_pending<P: Platform>() {
    for preset in ALL {
        let world = World::<P>::new(preset, 3);
        let first = world.write_and_flush("abcd"); // three of four bytes go out
        let second = world.write_and_flush("efgh");
        let unflushed = world.write("ijkl");
        world.settle();
        assert_eq!(world.close(), Ok(()));
        for written in [first, second, unflushed] {
            written.assert_ended(CLOSED);
        }
        world.settle();
        world.assert_clean();
        assert_eq!((world.told_inactive(), world.peer.received()), (1, 3));
        world.shut_down();
    }
}

fn close_twice<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 0);
    world.peer.set_linger(Duration::from_millis(50));
    let (first, second) = (Promise::new(), Promise::new());
    world.channel.close(first.clone());
    world.channel.close(second.clone());
    world.settle();
    assert!(!second.is_done(), "the second waits for the first");
    assert_eq!((first.wait(), second.wait()), (Ok(()), Ok(())));
    assert_eq!(world.close(), Ok(()), "and a third is late");
    world.shut_down();
    assert_eq!(world.told_inactive(), 1);
}

fn write_after_close<P: Platform>() {
    for preset in ALL {
        let world = World::<P>::new(preset, 100);
        assert_eq!(world.close(), Ok(()));
        let outside = world.write_and_flush("late");
        outside.assert_ended(CLOSED);
        let promise = Promise::new();
        world.channel.write(Message::Pojo(Pojo::new(8)), promise.clone()).expect("the promise is new");
        world.channel.flush(); // wakes the loop
        assert_eq!(promise.wait(), CLOSED);
        world.settle();
        world.assert_clean();
        assert_eq!(world.channel.stats().closed, 2);
        world.shut_down();
    }
}

/// The listener of the first of three writes closes the channel, in the middle of the removal of written bytes.
fn close_from_a_listener<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    let first = world.write("a");
    let channel = world.channel.clone();
    let closed = Promise::new();
    let closing = closed.clone();
    first.promise.add_listener(move |_| channel.close(closing));
    let second = world.write("b");
    let third = world.write_and_flush("c");
    let unflushed = world.write("d");
    first.assert_ended(Ok(()));
    assert_eq!(closed.wait(), Ok(()));
    for written in [second, third, unflushed] {
        written.assert_ended(CLOSED);
    }
    world.settle();
    world.assert_clean();
    assert_eq!(world.told_inactive(), 1);
    world.shut_down();
}

fn write_and_flush_from_a_listener<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    world.peer.keep_bytes();
    let first = world.write("a");
    let (message, witness) = world.message("c");
    let inner = Written::new(witness);
    let (channel, promise) = (world.channel.clone(), inner.promise.clone());
    first.promise.add_listener(move |_| channel.write_and_flush(message, promise).expect("the promise is new"));
    let second = world.write_and_flush("b");
    for written in [first, second, inner] {
        written.assert_ended(Ok(()));
    }
    assert_eq!(world.peer.take_bytes(), b"abc");
    world.settle();
    world.assert_clean();
    world.shut_down();
}

fn close_forcibly_then_flush<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    let first = world.write("a");
    world.channel.close_forcibly();
    world.settle();
    assert!(world.peer.is_closed() && !world.channel.is_active());
    assert!(first.promise.outcome().is_none(), "nobody has looked after it yet");
    // The listener of a write that fails flushes another one: it belongs to the same round.
    let second = world.write("b");
    let channel = world.channel.clone();
    first.promise.add_listener(move |_| channel.flush());
    world.channel.flush();
    first.assert_ended(CLOSED);
    second.assert_ended(CLOSED);
    assert_eq!(world.close(), Ok(()));
    world.settle();
    world.assert_clean();
    world.shut_down();
    assert_eq!(world.told_inactive(), 1);
}

fn rejected_write_is_released<P: Platform>() {
    for preset in [Preset::Netty4_1_38, Preset::Netty4_1_71, Preset::Millpond] {
        let world = World::<P>::new(preset, 100);
        world.settle();
        world.shut_down();
        let written = world.write_and_flush("late");
        written.assert_ended(Err(Cause::Rejected));
        world.assert_clean();
        assert_eq!(world.channel.stats().rejected, 1);
        assert_eq!(world.event_loop.stats().tasks_rejected, 1);
        let promise = Promise::new();
        world.channel.close(promise.clone());
        // The loop has closed it at its end. Ours says so; Netty's can't be asked any more.
        assert_eq!(promise.wait(), if preset == Preset::Millpond { Ok(()) } else { Err(Cause::Rejected) });
    }
}

/// Netty #8343: a write that a full queue rejects leaves its 4 + 48 bytes behind.
fn rejected_write_keeps_its_bytes_through_4_1_30<P: Platform>() {
    for (preset, left) in [(Preset::Netty4_1_8, 52), (Preset::Netty4_1_22, 52), (Preset::Netty4_1_38, 0)] {
        let loops = LoopConfig { max_pending_tasks: Some(16), ..preset.into() };
        let world = World::<P>::with(preset, loops, 100, Box::new(FillEncoder(0)));
        let stall = stalled(&world);
        (0..16).for_each(|_| world.event_loop.execute_fn(|| ()).expect("there is room"));
        world.write("late").assert_ended(Err(Cause::Rejected));
        stall.release();
        while world.event_loop.stats().queue_length > 0 {
            P::yield_now();
        }
        world.settle();
        let pending = world.channel.stats().pending;
        assert_eq!((pending.total, pending.holds()), (left, left == 0), "{preset}");
        world.shut_down();
    }
}

fn full_queue_rejects_a_write<P: Platform>() {
    let loops = LoopConfig { max_pending_tasks: Some(16), ..LoopConfig::default() };
    let world = World::<P>::with(Preset::Millpond, loops, 1000, Box::new(FillEncoder(0)));
    let stall = stalled(&world);
    let written: Vec<_> = (0..20).map(|_| world.write_and_flush("m")).collect();
    for rejected in &written[16..] {
        rejected.assert_ended(Err(Cause::Rejected));
    }
    stall.release();
    for accepted in &written[..16] {
        accepted.assert_ended(Ok(()));
    }
    world.settle();
    world.assert_clean();
    world.shut_down();
}

/// Stalls the loop of a world whose registration has run.
fn stalled<P: Platform>(world: &World<P>) -> Stall<P> {
    world.settle();
    let stall = Stall::hold(&world.event_loop).expect("it is open");
    stall.wait_until_reached();
    stall
}

fn queued_writes_end_when_the_loop_does<P: Platform>() {
    for preset in ALL {
        let world = World::<P>::new(preset, 1000);
        let stall = stalled(&world);
        let written: Vec<_> = (0..50).map(|_| world.write("m")).collect();
        world.event_loop.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5));
        let late = world.write_and_flush("m");
        stall.release();
        world.event_loop.join().expect("the loop ends well");
        // The loop runs its tasks, up to 64, before it sees that it shuts down: the last one flushes all.
        for written in written.iter().chain([&late]) {
            written.assert_ended(Ok(()));
        }
        world.assert_clean();
        world.shut_down();
    }
}

/// Whatever the race, each write ends once: written, closed or rejected.
fn racing_writers_and_shutdown<P: Platform>() {
    for _ in 0..30 {
        let world = Arc::new(World::<P>::new(Preset::Millpond, 300));
        world.settle();
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let world = Arc::clone(&world);
                let body = move || {
                    for n in 0..200 {
                        let written = if n % 2 == 0 { world.write_and_flush("m") } else { world.write("m") };
                        if thread == 0 && n == 100 {
                            world.event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
                        }
                        if n >= 150 {
                            let outcome = written.promise.wait();
                            written.assert_ended(outcome);
                        }
                    }
                };
                P::spawn(format!("writer {thread}"), body).expect("threads are to be had")
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        world.shut_down();
        world.assert_clean();
        let stats = world.channel.stats();
        assert_eq!(stats.written + stats.closed + stats.rejected, 400, "{stats:?}");
        assert_eq!(world.told_inactive(), 1);
    }
}

fn linger_does_not_block_the_loop<P: Platform>() {
    let world = World::<P>::new(Preset::Netty4_1_8, 0);
    world.peer.set_linger(Duration::from_millis(200));
    let flushed = world.write_and_flush("a");
    let unflushed = world.write("b");
    let closed = Promise::new();
    world.channel.close(closed.clone());
    world.settle(); // the loop is free
    assert!(!closed.is_done() && !flushed.promise.is_done(), "the messages are parked meanwhile");
    assert_eq!(world.told_inactive(), 0);
    world.write_and_flush("c").assert_ended(CLOSED);
    assert_eq!(closed.wait(), Ok(()));
    flushed.assert_ended(CLOSED);
    unflushed.assert_ended(CLOSED);
    world.settle();
    world.assert_clean();
    assert_eq!(world.told_inactive(), 1);
    world.shut_down();
}

/// Closes through the linger executor while the loop ends.
fn lingering_while_the_loop_ends<P: Platform>(preset: Preset) -> (World<P>, [Written<P>; 2]) {
    let world = World::<P>::new(preset, 0);
    world.peer.set_linger(Duration::from_millis(200));
    let written = [world.write_and_flush("a"), world.write("b")];
    let closed = Promise::new();
    world.channel.close(closed.clone());
    world.settle();
    world.event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    world.event_loop.join().expect("the loop ends well");
    assert!(!closed.is_done(), "the test is too slow");
    assert_eq!(closed.wait(), Ok(()));
    world.linger.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    world.linger.join().expect("the executor ends well");
    (world, written)
}

/// The loop has ended when the close wants to come back: Netty through 4.1.128 loses what was queued.
fn linger_way_back_refused<P: Platform>() {
    let (world, written) = lingering_while_the_loop_ends::<P>(Preset::Millpond);
    written.iter().for_each(|w| w.assert_ended(CLOSED));
    world.assert_clean();
    assert_eq!((world.told_inactive(), world.channel.stats().lost_post_backs), (1, 0));
}

fn linger_way_back_lost_under_netty_rules<P: Platform>() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_2_7] {
        let (world, written) = lingering_while_the_loop_ends::<P>(preset);
        assert!(written.iter().all(Written::is_lost));
        assert_eq!((world.told_inactive(), world.channel.stats().lost_post_backs), (0, 1));
        assert_eq!(world.channel.stats().in_flight(), 2);
        // The channel's own handles are gone, so that only the witnesses can release what it owed.
        written.iter().for_each(|w| assert_eq!(w.witness.release_many(1), Ok(false)));
    }
}

fn partial_writes<P: Platform>() {
    for preset in ALL {
        let world = World::<P>::new(preset, 3);
        world.peer.keep_bytes();
        let a = world.write("abcd");
        let b = world.write_and_flush("efgh");
        world.settle();
        assert_eq!((a.promise.outcome(), world.peer.received()), (None, 3));
        world.peer.open_window(2);
        a.assert_ended(Ok(()));
        world.settle();
        assert_eq!((b.promise.outcome(), world.peer.received()), (None, 5));
        // The bytes of an entry count until it is gone.
        assert_eq!(world.channel.pending_bytes(), 4 + 96);
        (0..3).for_each(|_| world.peer.open_window(1));
        b.assert_ended(Ok(()));
        assert_eq!(world.peer.take_bytes(), b"abcdefgh");
        world.settle();
        world.assert_clean();
        world.shut_down();
    }
}

/// Takes a fixed number of bytes a call.
struct Trickle(usize, Arc<std::sync::atomic::AtomicUsize>);

impl<P: Platform> Transport<P> for Trickle {
    fn open(&mut self, _readiness: Readiness<P>) {}
    fn write(&mut self, chunks: &[&[u8]]) -> WriteOutcome {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        WriteOutcome::Wrote(self.0.min(chunks.iter().map(|chunk| chunk.len()).sum()))
    }
    fn linger(&self) -> Option<Duration> {
        None
    }
    fn close(&mut self) {}
}

/// Writes `texts` from a stalled loop with one flush, over a transport that takes `step` bytes a call; gives the calls and
/// the tasks run.
fn trickle<P: Platform>(preset: Preset, step: usize, texts: &[&str]) -> (usize, u64) {
    let calls = Arc::default();
    let transport = Box::new(Trickle(step, Arc::clone(&calls)));
    let (world, _) = World::<P>::over(preset, preset.into(), transport, Box::new(FillEncoder(0)), None);
    let stall = stalled(&world);
    let before = world.event_loop.stats().tasks_run;
    let written: Vec<_> = texts.iter().map(|text| world.write(text)).collect();
    world.channel.flush();
    stall.release();
    written.iter().for_each(|w| w.assert_ended(Ok(())));
    world.settle();
    world.assert_clean();
    let tasks = world.event_loop.stats().tasks_run - before - 2; // without those of `settle`
    world.shut_down();
    (calls.load(std::sync::atomic::Ordering::SeqCst), tasks)
}

fn spin_count_bounds_a_flush<P: Platform>() {
    let text = "x".repeat(100);
    // 100 writes of one byte, 16 in each flush: the flush and six continuations, after the task of the write.
    for preset in ALL {
        assert_eq!(trickle::<P>(preset, 1, &[&text]), (100, 1 + 1 + 6), "{preset}");
    }
    // Twenty messages in one gathered write.
    assert_eq!(trickle::<P>(Preset::Millpond, 1000, &["m"; 20]), (1, 20 + 1));
}

/// Through 4.1.17 one write gathers all that is flushed; since then 1,024 buffers at most.
fn gathering_is_limited_from_4_1_18<P: Platform>() {
    let old = WritePathConfig::from(Preset::Netty4_1_8);
    assert_eq!((old.spin_bounds_flush, old.max_gather), (false, u32::MAX));
    assert_eq!(trickle::<P>(Preset::Netty4_1_8, 1_000_000, &["m"; 3000]).0, 1);
    // 3,000 messages: 1,024 a write.
    assert_eq!(trickle::<P>(Preset::Millpond, 1_000_000, &["m"; 3000]).0, 3);
}

/// A flush that is continued by a task: through 4.1.22 the task also flushes what was written meanwhile without a flush
/// (Netty commit 0a8e1aaf19).
fn flush_task_before_4_1_23_flushes_more<P: Platform>() {
    for (preset, goes_too) in [(Preset::Netty4_1_22, true), (Preset::Netty4_1_38, false), (Preset::Millpond, false)] {
        let calls = Arc::default();
        let transport = Box::new(Trickle(1, Arc::clone(&calls)));
        let (world, _) = World::<P>::over(preset, preset.into(), transport, Box::new(FillEncoder(0)), None);
        let stall = stalled(&world);
        let flushed = world.write_and_flush(&"x".repeat(20));
        let unflushed = world.write("y");
        stall.release();
        flushed.assert_ended(Ok(()));
        world.settle();
        assert_eq!(unflushed.promise.is_done(), goes_too, "{preset}");
        world.shut_down();
    }
}

/// Writes 8-byte messages to a stalled loop; gives the number of the one that makes the channel unwritable.
fn first_unwritable<P: Platform>(preset: Preset) -> u64 {
    let world = World::<P>::new(preset, usize::MAX);
    let stall = stalled(&world);
    let mut n = 0;
    let mut promises = Vec::new();
    while world.channel.is_writable() {
        let promise = Promise::new();
        world.channel.write(Message::Pojo(Pojo::new(512)), promise.clone()).expect("the promise is new");
        promises.push(promise);
        n += 1;
        assert!(n < 10_000);
    }
    assert_eq!(world.channel.bytes_before_unwritable(), 0);
    assert_eq!(world.channel.stats().became_unwritable, 1);
    stall.release();
    world.channel.flush();
    assert!(promises.iter().all(|promise| promise.wait() == Ok(())));
    world.settle();
    world.assert_clean();
    assert!(world.channel.is_writable());
    world.shut_down();
    n
}

/// 48 bytes a task and 8 for a message that isn't a buffer: 1,171 x 56 is the first multiple above 65,536.
fn unwritable_at_the_1171st_write_of_4_1_8<P: Platform>() {
    assert_eq!(first_unwritable::<P>(Preset::Netty4_1_8), 1171);
}

/// 32 bytes a task since 4.1.44: 1,639 x 40 is the first multiple above 65,536.
fn unwritable_at_the_1639th_write_of_ours<P: Platform>() {
    assert_eq!(first_unwritable::<P>(Preset::Netty4_1_44), 1639);
    assert_eq!(first_unwritable::<P>(Preset::Millpond), 1639);
}

fn writability_has_hysteresis<P: Platform>() {
    let world = Arc::new(World::<P>::new(Preset::Netty4_1_8, 0));
    let text = "x".repeat(1024 - 96);
    let (inner, whole) = (Arc::clone(&world), text.clone());
    world.on_loop(move || {
        // 64 entries of 1,024 bytes are 64 KiB: not above the mark yet.
        (0..64).for_each(|_| drop(inner.write(&whole)));
        assert!(inner.channel.is_writable());
        assert_eq!((inner.channel.pending_bytes(), inner.channel.bytes_before_unwritable()), (65_536, 0));
        drop(inner.write(&whole));
        assert!(!inner.channel.is_writable());
        inner.channel.flush();
    });
    let heard = |world: &World<P>| -> Vec<bool> {
        let heard = world.heard.lock();
        heard.iter().filter_map(|h| if let Heard::Writable(w) = h { Some(*w) } else { None }).collect()
    };
    assert_eq!(heard(&world), [false]);
    // 33 of 65 entries gone: 32 KiB are left, not below the low mark.
    world.peer.open_window(33 * text.len());
    while world.peer.received() < 33 * text.len() as u64 {
        P::yield_now();
    }
    world.settle();
    assert_eq!((world.channel.pending_bytes(), world.channel.is_writable()), (32_768, false));
    world.peer.open_window(text.len());
    while !world.channel.is_writable() {
        P::yield_now();
    }
    world.settle();
    assert_eq!(heard(&world), [false, true]);
    assert_eq!(world.channel.bytes_before_unwritable(), 65_536 - 31 * 1024);
    world.shut_down();
    assert_eq!(world.told_inactive(), 1);
}

fn pending_identity_while_stalled<P: Platform>() {
    let world = World::<P>::new(Preset::Netty4_1_8, 0);
    let early = world.write("early");
    let stall = stalled(&world);
    let late: Vec<_> = (0..10).map(|_| world.write("late")).collect();
    let pending = world.channel.pending_identity();
    assert_eq!((pending.entries, pending.tasks), (5 + 96, 10 * (4 + 48)));
    assert!(pending.holds());
    stall.release();
    world.settle();
    let pending = world.channel.pending_identity();
    assert_eq!((pending.entries, pending.tasks, pending.holds()), (101 + 10 * 100, 0, true));
    assert_eq!(world.close(), Ok(()));
    late.iter().chain([&early]).for_each(|w| w.assert_ended(CLOSED));
    world.settle();
    world.assert_clean();
    world.shut_down();
}

fn empty_messages<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 1000);
    let written = [world.write(""), world.write("a"), world.write(""), world.write("b"), world.write_and_flush("")];
    written.iter().for_each(|w| w.assert_ended(Ok(())));
    world.write_and_flush("").assert_ended(Ok(()));
    assert_eq!(world.peer.received(), 2);
    world.settle();
    world.assert_clean();
    world.shut_down();
}

fn presets<P: Platform>() {
    let at = |preset: Preset| WritePathConfig::from(preset);
    let overheads = |preset| (at(preset).task_overhead, at(preset).entry_overhead);
    assert_eq!(overheads(Preset::Netty4_1_2), (48, 0));
    assert_eq!(overheads(Preset::Netty4_0_43), (48, 96));
    assert_eq!(overheads(Preset::Netty4_1_8), (48, 96));
    assert_eq!(overheads(Preset::Netty4_1_38), (48, 96));
    assert_eq!(overheads(Preset::Netty4_1_44), (32, 96));
    assert_eq!(overheads(Preset::Millpond), (32, 96));
    let pools = |preset: Preset| {
        let world = World::<P>::new(preset, 0);
        world.shut_down();
        world.pools.stats().len()
    };
    assert_eq!((pools(Preset::Netty4_1_38), pools(Preset::Netty4_1_44)), (4, 3));
    let text = ron::to_string(&at(Preset::Netty4_1_8)).expect("a configuration is data");
    assert_eq!(ron::from_str::<WritePathConfig>(&text).expect("and comes back"), at(Preset::Netty4_1_8));
    assert_eq!(ron::from_str::<WritePathConfig>("()").expect("all fields have defaults"), at(Preset::Millpond));
}
