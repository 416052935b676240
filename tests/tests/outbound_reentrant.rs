//! Who is told of a write may do anything: write, flush, close, from inside everything.

mod write_path_support;

use millpond_model::handler::{Context, HandlerError, Inbound};
use millpond_model::message::{Message, Object};
use millpond_model::pipeline::Named;
use millpond_model::platform::{AtomicOps, Lock};
use millpond_model::promise::{Cause, Promise};
use millpond_model::refcnt::IllegalCount;
use millpond_model::transport::{MemoryTransport, Trigger};
use millpond_model::write_path::WritePathConfig;
use millpond_model::{Platform, Preset};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use write_path_support::{CLOSED, World, Written};

on_both!(
    flush_from_a_listener,
    flush_from_a_writability_handler,
    flush_from_the_release_of_a_message,
    write_and_flush_from_progress,
    write_and_flush_while_flushed_writes_fail,
    close_while_flushed_writes_fail,
    cancelled_before_its_flush_only,
    cancelled_in_the_middle_of_a_partial_write,
    closed_forcibly_while_it_waits,
    a_failed_write_without_auto_close,
    a_failed_write_goes_on_for_ever_before_4_1_16,
);

const ALL: [Preset; 4] = [Preset::Netty4_1_8, Preset::Netty4_1_38, Preset::Netty4_1_71, Preset::Millpond];

fn flush_from_a_listener<P: Platform>() {
    for preset in ALL {
        let world = World::<P>::new(preset, 1000);
        world.peer.keep_bytes();
        let first = world.write("a");
        let (channel, second) = (world.channel.clone(), world.message("b"));
        let (message, second) = (second.0, Written::new(second.1));
        let promise = second.promise.clone();
        first.promise.add_listener(move |_| {
            channel.write(message, promise).expect("the promise is new");
            channel.flush();
            channel.flush();
        });
        world.channel.flush();
        first.assert_ended(Ok(()));
        second.assert_ended(Ok(()));
        assert_eq!(world.peer.take_bytes(), b"ab");
        world.settle();
        world.assert_clean();
        world.shut_down();
    }
}

type Promises<P> = Arc<<P as Platform>::Mutex<Vec<Promise<P>>>>;

/// Writes and flushes so many times when it hears that the channel is writable.
struct Fills<P: Platform> {
    left: P::Atomic<u32>,
    outcomes: Promises<P>,
}

impl<P: Platform> Fills<P> {
    fn new(times: u32) -> (Self, Promises<P>) {
        let outcomes = Arc::new(P::Mutex::new(Vec::new()));
        (Self { left: P::Atomic::new(times), outcomes: Arc::clone(&outcomes) }, outcomes)
    }
}

impl<P: Platform> Inbound<P> for Fills<P> {
    fn writability_changed(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        let channel = context.channel().expect("it is in a channel");
        while channel.is_writable() && self.left.load(Ordering::SeqCst) > 0 {
            self.left.fetch_sub(1, Ordering::SeqCst);
            let mut buffer = context.allocator().allocate(10)?;
            buffer.put(b"0123456789")?;
            let promise = Promise::new();
            self.outcomes.lock().push(promise.clone());
            context.write(Message::Buffer(buffer), promise)?;
            context.flush();
        }
        context.fire_writability_changed();
        Ok(())
    }
}

/// A world that is unwritable with two entries of 106 bytes, and writable with none.
fn narrow<P: Platform>(
    preset: Preset,
    window: usize,
    times: u32,
    change: impl FnOnce(&mut WritePathConfig),
) -> (World<P>, Promises<P>) {
    let mut config = WritePathConfig { high_water_mark: 200, low_water_mark: 100, ..preset.into() };
    change(&mut config);
    let (transport, peer) = MemoryTransport::pair(window);
    peer.set_trigger(Trigger::Level);
    let (fills, outcomes) = Fills::new(times);
    let world = World::configured(preset, config, transport, peer, vec![Named::inbound("fills", fills)]);
    world.settle();
    (world, outcomes)
}

fn flush_from_a_writability_handler<P: Platform>() {
    for preset in ALL {
        let (world, outcomes) = narrow::<P>(preset, 0, 6, |_| ());
        let first = [world.write("0123456789"), world.write_and_flush("0123456789")];
        world.settle();
        assert!(!world.channel.is_writable());
        world.peer.open_window(1000);
        first.iter().for_each(|w| w.assert_ended(Ok(())));
        world.settle();
        let outcomes = outcomes.lock().clone();
        assert!(outcomes.iter().all(|promise| promise.wait() == Ok(())));
        assert_eq!((outcomes.len(), world.peer.received()), (6, 80), "{preset}");
        world.settle();
        world.assert_clean();
        world.shut_down();
    }
}

/// What calls back when it is released.
struct Calls<P: Platform>(Arc<World<P>>, P::Mutex<Option<Written<P>>>);

impl<P: Platform> Object<P> for Calls<P> {
    fn release(&self) -> Result<bool, IllegalCount> {
        *self.1.lock() = Some(self.0.write_and_flush("b"));
        Ok(true)
    }
}

fn flush_from_the_release_of_a_message<P: Platform>() {
    for preset in ALL {
        let world = Arc::new(World::<P>::new(preset, 1000));
        world.peer.keep_bytes();
        let first = world.write("a");
        let calls = Calls(Arc::clone(&world), P::Mutex::new(None));
        let promise = Promise::new();
        world.channel.write_and_flush(Message::object(calls), promise.clone()).expect("the promise is new");
        assert_eq!(promise.wait(), Err(Cause::UnsupportedMessage));
        first.assert_ended(Ok(()));
        world.settle();
        assert_eq!(world.peer.take_bytes(), b"ab");
        world.assert_clean();
        world.shut_down();
    }
}

fn write_and_flush_from_progress<P: Platform>() {
    let world = Arc::new(World::<P>::new(Preset::Millpond, 4));
    world.peer.keep_bytes();
    let promise = Promise::progressive();
    let written = Arc::new(P::Mutex::new(Vec::new()));
    let (inner, writes) = (Arc::clone(&world), Arc::clone(&written));
    promise
        .on_progress(move |done, _| {
            let text = if done == 4 { "x" } else { "y" };
            let next = inner.write_and_flush(text);
            writes.lock().push(next);
        })
        .expect("it tells");
    let (message, witness) = world.message("012345");
    world.channel.write_and_flush(message, promise.clone()).expect("the promise is new");
    world.settle();
    world.peer.open_window(100);
    assert_eq!(promise.wait(), Ok(()));
    world.settle();
    written.lock().iter().for_each(|w| w.assert_ended(Ok(())));
    assert_eq!((world.peer.take_bytes(), witness.count()), (b"012345xy".to_vec(), 1));
    world.settle();
    world.assert_clean();
    world.shut_down();
}

/// A channel that isn't connected: what is flushed fails.
fn unconnected<P: Platform>(preset: Preset) -> World<P> {
    let (transport, peer) = MemoryTransport::pair(1000);
    peer.disconnect();
    World::configured(preset, preset.into(), transport, peer, Vec::new())
}

/// D5: what is written and flushed in the middle of a failure belongs to the same round, and the channel works afterwards.
fn write_and_flush_while_flushed_writes_fail<P: Platform>() {
    for preset in ALL {
        let world = Arc::new(unconnected::<P>(preset));
        let inner = Arc::clone(&world);
        let late = Arc::new(P::Mutex::new(None));
        let (first, kept) = (world.write("a"), Arc::clone(&late));
        first.promise.add_listener(move |_| *kept.lock() = Some(inner.write_and_flush("c")));
        let second = world.write_and_flush("b");
        for written in [&first, &second] {
            written.assert_ended(Err(Cause::NotYetConnected));
        }
        world.settle();
        late.lock().take().expect("it was written").assert_ended(Err(Cause::NotYetConnected));
        world.assert_clean();
        world.peer.answer_connect(millpond_model::transport::ConnectOutcome::Connected);
        let connected = Promise::new();
        world.channel.connect(connected.clone());
        assert_eq!(connected.wait(), Ok(()));
        world.write_and_flush("d").assert_ended(Ok(()));
        world.settle();
        world.assert_clean();
        world.shut_down();
    }
}

/// D4: a listener of a failed write closes the channel; the unflushed ones end, too.
fn close_while_flushed_writes_fail<P: Platform>() {
    for preset in ALL {
        let world = unconnected::<P>(preset);
        let [first, second, unflushed] = ["a", "b", "c"].map(|text| {
            let (message, witness) = world.message(text);
            (message, Written::new(witness))
        });
        let (channel, closed) = (world.channel.clone(), Promise::new());
        let closing = closed.clone();
        first.1.promise.add_listener(move |_| channel.close(closing));
        let channel = world.channel.clone();
        let (a, b, c) = (first.1.promise.clone(), second.1.promise.clone(), unflushed.1.promise.clone());
        let all = move || {
            channel.write(first.0, a).expect("the promise is new");
            channel.write(second.0, b).expect("the promise is new");
            channel.flush();
            channel.write(unflushed.0, c).expect("the promise is new");
        };
        // The unflushed one is there before the failure only if the flush comes last.
        world.on_loop(all);
        first.1.assert_ended(Err(Cause::NotYetConnected));
        second.1.assert_ended(CLOSED);
        unflushed.1.assert_ended(CLOSED);
        assert_eq!(closed.wait(), Ok(()));
        world.settle();
        world.assert_clean();
        assert_eq!(world.told_inactive(), 0, "it never was active");
        world.shut_down();
    }
}

fn cancelled_before_its_flush_only<P: Platform>() {
    for preset in ALL {
        let world = World::<P>::new(preset, 0);
        let (before, after) = (world.write("before"), world.write("after"));
        world.settle();
        assert!(before.promise.cancel());
        assert_eq!(world.channel.stats().pending.entries, 11 + 2 * 96, "it is taken out by the flush");
        world.channel.flush();
        before.assert_ended(Err(Cause::Cancelled));
        world.settle();
        assert!(!after.promise.cancel(), "it is flushed");
        assert_eq!(world.channel.stats().pending.entries, 5 + 96);
        world.peer.open_window(100);
        after.assert_ended(Ok(()));
        world.settle();
        assert_eq!(world.peer.received(), 5);
        world.assert_clean();
        world.shut_down();
    }
}

fn cancelled_in_the_middle_of_a_partial_write<P: Platform>() {
    for preset in ALL {
        let world = World::<P>::new(preset, 3);
        world.peer.keep_bytes();
        let written = world.write_and_flush("012345");
        world.settle();
        assert_eq!((world.peer.received(), written.promise.cancel()), (3, false));
        world.peer.open_window(3);
        written.assert_ended(Ok(()));
        assert_eq!(world.peer.take_bytes(), b"012345", "no half messages");
        world.settle();
        world.assert_clean();
        world.shut_down();
    }
}

/// Nobody says that there is room any more: the next flush fails what waits.
fn closed_forcibly_while_it_waits<P: Platform>() {
    let world = World::<P>::new(Preset::Millpond, 0);
    let flushed = world.write_and_flush("a");
    world.settle();
    world.channel.close_forcibly();
    world.settle();
    world.channel.flush();
    flushed.assert_ended(CLOSED);
    world.settle();
    world.assert_clean();
    world.shut_down();
}

/// From 4.1.16 on the output is shut down: all writes fail, the channel can still be read, and closed.
fn a_failed_write_without_auto_close<P: Platform>() {
    for preset in [Preset::Netty4_1_22, Preset::Millpond] {
        let (world, outcomes) = narrow::<P>(preset, 0, 50, |config| config.auto_close = false);
        let first = [world.write("0123456789"), world.write_and_flush("0123456789")];
        let unflushed = world.write("x");
        world.settle();
        world.peer.reset();
        world.peer.open_window(1);
        first.iter().for_each(|w| w.assert_ended(Err(Cause::ConnectionReset)));
        unflushed.assert_ended(Err(Cause::OutputShutdown));
        world.settle();
        assert!(outcomes.lock().is_empty(), "{preset}: nobody is told that it is writable");
        assert!(world.channel.is_open() && !world.channel.is_writable());
        world.write_and_flush("late").assert_ended(CLOSED);
        assert_eq!(world.close(), Ok(()));
        world.settle();
        world.assert_clean();
        world.shut_down();
    }
}

/// D12: before, the failed writes make the channel writable, and whoever then writes fails again, in one stack, as long as he
/// likes.
fn a_failed_write_goes_on_for_ever_before_4_1_16<P: Platform>() {
    for times in [10, 40] {
        let (world, outcomes) = narrow::<P>(Preset::Netty4_1_8, 0, times, |config| config.auto_close = false);
        let first = [world.write("0123456789"), world.write_and_flush("0123456789")];
        world.settle();
        world.peer.reset();
        world.peer.open_window(1);
        first.iter().for_each(|w| w.assert_ended(Err(Cause::ConnectionReset)));
        world.settle();
        let outcomes = outcomes.lock().clone();
        assert_eq!(outcomes.len(), times as usize, "as often as the handler wants");
        assert!(outcomes.iter().all(|promise| promise.wait() == Err(Cause::ConnectionReset)));
        assert!(world.channel.is_writable());
        world.settle();
        world.assert_clean();
        world.shut_down();
    }
}
