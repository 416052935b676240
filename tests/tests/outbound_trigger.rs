//! Readiness by level and by edge: a channel gets on, and rests when there is nothing to do.

mod write_path_support;

use millpond_model::handler::{Context, HandlerError, Inbound};
use millpond_model::message::Message;
use millpond_model::pipeline::Named;
use millpond_model::platform::{JoinOps, Lock};
use millpond_model::promise::{Cause, Promise};
use millpond_model::transport::{Interest, MemoryTransport, Trigger};
use millpond_model::write_path::WritePathConfig;
use millpond_model::{Platform, Preset};
use std::sync::Arc;
use write_path_support::{CLOSED, World, until};

on_both!(
    a_slow_peer_gets_everything,
    a_flush_that_used_its_spins_goes_on,
    interest_ends_with_the_flush,
    interest_ends_with_the_output,
    nothing_is_told_without_interest,
    what_was_sent_before_is_read,
    reading_on_demand,
    an_ended_input_is_left_alone,
    a_reset_while_it_waits,
);

const TRIGGERS: [Trigger; 2] = [Trigger::Edge, Trigger::Level];
const PRESETS: [Preset; 3] = [Preset::Netty4_1_8, Preset::Netty4_1_38, Preset::Millpond];
const NOTHING: Interest = Interest { read: false, write: false };

/// Keeps what is read.
struct Reads<P: Platform>(Arc<P::Mutex<Vec<u8>>>);

impl<P: Platform> Inbound<P> for Reads<P> {
    fn read(&self, _context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        let Message::Buffer(buffer) = &message else { panic!("a transport gives buffers") };
        self.0.lock().extend_from_slice(&buffer.bytes().expect("it is alive"));
        message.release();
        Ok(())
    }
}

fn world<P: Platform>(
    trigger: Trigger,
    preset: Preset,
    window: usize,
    change: impl FnOnce(&mut WritePathConfig),
) -> (World<P>, Arc<P::Mutex<Vec<u8>>>) {
    let mut config = WritePathConfig::from(preset);
    change(&mut config);
    let (transport, peer) = MemoryTransport::pair(window);
    peer.set_trigger(trigger);
    let read = Arc::new(P::Mutex::new(Vec::new()));
    let handlers = vec![Named::inbound("reads", Reads::<P>(Arc::clone(&read)))];
    (World::configured(preset, config, transport, peer, handlers), read)
}

/// The transport tells nothing more: the channel has said that it waits for nothing that is there.
fn assert_at_rest<P: Platform>(world: &World<P>) {
    world.settle();
    let told = world.peer.told();
    (0..3).for_each(|_| world.settle());
    assert_eq!(world.peer.told(), told, "nobody looks at nothing");
}

fn a_slow_peer_gets_everything<P: Platform>() {
    for trigger in TRIGGERS {
        for preset in PRESETS {
            let (world, _) = world::<P>(trigger, preset, 3, |_| ());
            world.peer.keep_bytes();
            let peer = world.peer.clone();
            let reader = P::spawn("reader".to_string(), move || {
                for n in 0..40 {
                    peer.open_window(1 + n % 3);
                    P::yield_now();
                }
            });
            let written: Vec<_> = (0..10).map(|n| world.write_and_flush(&n.to_string().repeat(5))).collect();
            written.iter().for_each(|w| w.assert_ended(Ok(())));
            reader.expect("threads are to be had").join().expect("no panic");
            let expected: String = (0..10).map(|n| n.to_string().repeat(5)).collect();
            assert_eq!(world.peer.take_bytes(), expected.as_bytes());
            assert_at_rest(&world);
            assert!(!world.peer.interest().write);
            world.assert_clean();
            world.shut_down();
        }
    }
}

/// There is room, so that no edge comes: the rest goes by a task. And no level is told meanwhile.
fn a_flush_that_used_its_spins_goes_on<P: Platform>() {
    for trigger in TRIGGERS {
        for preset in PRESETS {
            let spins = |config: &mut WritePathConfig| (config.write_spin_count, config.max_gather) = (2, 1);
            let (world, _) = world::<P>(trigger, preset, 0, spins);
            let written: Vec<_> = (0..20).map(|_| world.write("abc")).collect();
            world.channel.flush();
            world.settle();
            assert!(world.peer.interest().write, "it waits");
            world.peer.open_window(1000);
            written.iter().for_each(|w| w.assert_ended(Ok(())));
            assert_at_rest(&world);
            assert!(!world.peer.interest().write);
            world.assert_clean();
            world.shut_down();
        }
    }
}

fn interest_ends_with_the_flush<P: Platform>() {
    for trigger in TRIGGERS {
        let (world, _) = world::<P>(trigger, Preset::Millpond, 0, |_| ());
        for _ in 0..3 {
            let written = world.write_and_flush("abc");
            world.settle();
            assert!(world.peer.interest().write);
            world.peer.open_window(3);
            written.assert_ended(Ok(()));
            world.settle();
            assert_eq!(world.peer.interest(), Interest { read: true, write: false });
        }
        world.peer.open_window(1000);
        assert_at_rest(&world);
        world.shut_down();
    }
}

/// The output is shut down while the channel waits: then there is room, and nobody to use it.
fn interest_ends_with_the_output<P: Platform>() {
    for trigger in TRIGGERS {
        let (world, _) = world::<P>(trigger, Preset::Millpond, 0, |_| ());
        let written = world.write_and_flush("abc");
        world.settle();
        let shut = Promise::new();
        world.channel.shutdown_output(shut.clone());
        assert_eq!(shut.wait(), Ok(()));
        written.assert_ended(Err(Cause::OutputShutdown));
        world.settle();
        assert!(!world.peer.interest().write);
        world.peer.open_window(1000);
        assert_at_rest(&world);
        world.shut_down();
    }
}

fn nothing_is_told_without_interest<P: Platform>() {
    let (world, _) = world::<P>(Trigger::Level, Preset::Millpond, 100, |_| ());
    world.settle();
    assert_eq!((world.peer.told(), world.peer.interest()), (0, Interest { read: true, write: false }));
    world.peer.open_window(5);
    world.write_and_flush("abc").assert_ended(Ok(()));
    world.settle();
    assert_eq!(world.peer.told(), 0, "there was always room");
    world.shut_down();
}

/// Before the channel is at its loop, and asks.
fn what_was_sent_before_is_read<P: Platform>() {
    let (world, read) = world::<P>(Trigger::Level, Preset::Millpond, 0, |_| ());
    world.peer.send(b"early");
    until::<P>(|| *read.lock() == b"early", "what is there is read");
    world.peer.send(b", and late");
    until::<P>(|| *read.lock() == b"early, and late", "what comes is read");
    assert_at_rest(&world);
    world.shut_down();
}

fn reading_on_demand<P: Platform>() {
    for trigger in TRIGGERS {
        let on_demand = |config: &mut WritePathConfig| (config.auto_read, config.receive_buffer) = (false, 2);
        let (world, read) = world::<P>(trigger, Preset::Millpond, 0, on_demand);
        world.settle();
        world.peer.send(b"abcdef");
        assert_at_rest(&world);
        assert!(read.lock().is_empty(), "nobody has asked");
        for n in 1..=3 {
            world.channel.read();
            until::<P>(|| read.lock().len() == 2 * n, "as much as was asked for");
            assert_at_rest(&world);
        }
        world.channel.read();
        assert_at_rest(&world);
        world.peer.send(b"gh");
        until::<P>(|| *read.lock() == b"abcdefgh", "it was asked for before");
        world.shut_down();
    }
}

fn an_ended_input_is_left_alone<P: Platform>() {
    for trigger in TRIGGERS {
        let half = |config: &mut WritePathConfig| config.allow_half_closure = true;
        let (world, read) = world::<P>(trigger, Preset::Millpond, 100, half);
        world.settle();
        world.peer.send(b"last");
        world.peer.end();
        until::<P>(|| *read.lock() == b"last", "it is read");
        until::<P>(|| world.peer.interest() == NOTHING, "its end is seen");
        assert_at_rest(&world);
        world.write_and_flush("more").assert_ended(Ok(()));
        assert_at_rest(&world);
        world.shut_down();
    }
}

fn a_reset_while_it_waits<P: Platform>() {
    for trigger in TRIGGERS {
        let (world, _) = world::<P>(trigger, Preset::Millpond, 0, |_| ());
        let (flushed, unflushed) = (world.write_and_flush("abc"), world.write("def"));
        world.settle();
        world.peer.reset_now();
        flushed.assert_ended(Err(Cause::ConnectionReset));
        unflushed.assert_ended(CLOSED);
        assert_at_rest(&world);
        world.assert_clean();
        world.shut_down();
    }
}
