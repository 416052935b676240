//! The life of a channel: registered, moved, connected, read from, half closed, closed: in every order that there is.

mod write_path_support;

use millpond::engine::{Options, Sim, with_ledger};
use millpond::ledger::FindingKind;
use millpond_model::event_loop::{EventLoop, LoopConfig, LoopState};
use millpond_model::handler::{Context, HandlerError, Inbound, UserEvent};
use millpond_model::message::Message;
use millpond_model::observe::Kind;
use millpond_model::pipeline::Named;
use millpond_model::platform::{JoinOps, Lock};
use millpond_model::promise::{Cause, Outcome, Promise};
use millpond_model::transport::ConnectOutcome;
use millpond_model::write_path::WritePathConfig;
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{random, soundly, to_the_end};
use std::sync::Arc;
use std::time::Duration;
use write_path_support::{CLOSED, World, end, until};

on_both!(
    a_write_before_the_registration_is_refused,
    an_unregistered_channel_can_be_closed,
    a_channel_is_registered_once,
    a_loop_that_ended_refuses_a_channel,
    a_channel_moves_to_another_loop,
    what_was_told_between_two_loops_is_heard,
    a_loop_that_ended_refuses_a_channel_that_moves,
    moves_race_with_writes,
    bytes_are_read_in_order,
    nothing_is_read_until_it_is_asked_for,
    the_end_of_the_input_closes,
    the_end_of_the_input_leaves_the_output,
    a_reset_while_reading_closes,
    nothing_is_flushed_before_it_is_connected,
    a_connect_ends_once,
    output_shutdown_fails_what_is_pending,
    output_shutdown_before_4_1_15_fails_nothing,
    closes_from_everywhere,
    closes_race,
);

fn elsewhere<P: Platform>() -> EventLoop<P> {
    EventLoop::new("elsewhere", LoopConfig::default())
}

fn done<P: Platform>(f: impl FnOnce(Promise<P>)) -> Outcome {
    let promise = Promise::new();
    f(promise.clone());
    promise.wait()
}

fn ends<P: Platform>(world: &World<P>) {
    assert_eq!(world.close(), Ok(()));
    world.settle();
    world.assert_clean();
    world.shut_down();
}

fn unregistered<P: Platform>(preset: Preset) -> World<P> {
    let [event_loop, linger] = ["loop", "linger"].map(|name| EventLoop::new(name, LoopConfig::from(preset)));
    World::unregistered(preset, event_loop, linger, Vec::new(), |_| ())
}

fn with<P: Platform>(handler: impl Inbound<P> + 'static, rules: impl FnOnce(&mut WritePathConfig)) -> World<P> {
    World::with_handlers(Preset::Millpond, vec![Named::inbound("handler", handler)], rules)
}

fn a_write_before_the_registration_is_refused<P: Platform>() {
    let world = unregistered::<P>(Preset::Millpond);
    world.write_and_flush("early").assert_ended(Err(Cause::NotRegistered));
    world.channel.flush();
    world.channel.read();
    assert_eq!(done(|p| world.channel.connect(p)), Err(Cause::NotRegistered));
    assert_eq!(done(|p| world.channel.shutdown_output(p)), Err(Cause::NotRegistered));
    assert!(world.channel.registered_loop().is_none() && !world.channel.is_registered());
    assert_eq!(done(|p| world.channel.register(&world.event_loop, p)), Ok(()));
    world.write_and_flush("in time").assert_ended(Ok(()));
    ends(&world);
    assert_eq!(world.told_inactive(), 1);
}

#[test]
fn under_nettys_rules_a_write_before_the_registration_leaks() {
    let execution = to_the_end(&Options::default(), || {
        with_ledger(|ledger| ledger.only_count());
        let world = unregistered::<Sim>(Preset::Netty4_2_7);
        let message = world.pools.buffers.allocate(8).expect("there is memory");
        world.channel.write(message.into(), Promise::new()).expect("the promise is new");
        assert_eq!(world.close(), Ok(()));
    });
    let found = |f: &millpond::ledger::Finding| f.kind == FindingKind::Leak;
    let leaked =
        execution.ledger.findings().iter().any(found) || execution.ledger.owned(Kind::Buffer, 8).iter().any(found);
    assert!(leaked, "{:#?}", execution.ledger.findings());
}

fn an_unregistered_channel_can_be_closed<P: Platform>() {
    let world = unregistered::<P>(Preset::Millpond);
    assert_eq!(world.close(), Ok(()));
    assert!(world.peer.is_closed() && !world.channel.is_open());
    assert_eq!(world.close(), Ok(()), "twice is harmless");
    world.write("late").assert_ended(CLOSED);
    assert_eq!(done(|p| world.channel.register(&world.event_loop, p)), CLOSED);
    assert_eq!(world.told_inactive(), 0, "it never was active");
    world.assert_clean();
    world.shut_down();
}

fn a_channel_is_registered_once<P: Platform>() {
    let world = unregistered::<P>(Preset::Millpond);
    let other = elsewhere::<P>();
    let promises = [Promise::new(), Promise::new()];
    world.channel.register(&world.event_loop, promises[0].clone());
    world.channel.register(&other, promises[1].clone());
    assert_eq!(promises.each_ref().map(Promise::wait), [Ok(()), Err(Cause::AlreadyRegistered)]);
    assert!(world.channel.event_loop().is_same(&world.event_loop));
    ends(&world);
    end(&other);
}

fn a_loop_that_ended_refuses_a_channel<P: Platform>() {
    let world = unregistered::<P>(Preset::Millpond);
    end(&world.event_loop);
    assert_eq!(done(|p| world.channel.register(&world.event_loop, p)), Err(Cause::Rejected));
    assert!(world.peer.is_closed());
    assert_eq!(world.channel.closed().wait(), Ok(()));
    world.write("late").assert_ended(CLOSED);
    world.assert_clean();
    world.shut_down();
}

fn a_channel_moves_to_another_loop<P: Platform>() {
    let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
    let other = elsewhere::<P>();
    world.peer.keep_bytes();
    assert_eq!(done(|p| world.channel.register(&other, p)), Err(Cause::AlreadyRegistered));
    world.write_and_flush("here ").assert_ended(Ok(()));
    let kept = world.write("and ");
    assert_eq!(done(|p| world.channel.deregister(p)), Ok(()));
    assert!(!world.channel.is_registered() && world.channel.is_open());
    assert_eq!(done(|p| world.channel.register(&other, p)), Ok(()));
    assert!(world.channel.is_registered() && world.channel.event_loop().is_same(&other));
    world.write_and_flush("there").assert_ended(Ok(()));
    kept.assert_ended(Ok(()));
    assert_eq!(world.peer.take_bytes(), b"here and there");
    // The loop that it left ends, and it stays open.
    end(&world.event_loop);
    world.write_and_flush("!").assert_ended(Ok(()));
    assert_eq!(world.close(), Ok(()));
    end(&other);
    world.shut_down();
    world.assert_clean();
    assert_eq!(world.told_inactive(), 1);
}

/// Counts the bytes that it is given.
struct Counts<P: Platform>(Arc<P::Mutex<Vec<u8>>>);

impl<P: Platform> Inbound<P> for Counts<P> {
    fn read(&self, _: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        if let Message::Buffer(buffer) = &message {
            self.0.lock().extend(&*buffer.bytes()?);
        }
        message.release();
        Ok(())
    }
}

fn what_was_told_between_two_loops_is_heard<P: Platform>() {
    let got = Arc::new(P::Mutex::new(Vec::new()));
    let world = with(Counts::<P>(Arc::clone(&got)), |_| ());
    let other = elsewhere::<P>();
    assert_eq!(done(|p| world.channel.deregister(p)), Ok(()));
    world.peer.send(b"meanwhile");
    world.settle();
    assert_eq!(world.peer.unread(), 9, "no loop serves it");
    assert_eq!(done(|p| world.channel.register(&other, p)), Ok(()));
    until::<P>(|| got.lock().len() == 9, "it is heard after all");
    assert_eq!(world.close(), Ok(()));
    end(&other);
    world.shut_down();
    world.assert_clean();
}

fn a_loop_that_ended_refuses_a_channel_that_moves<P: Platform>() {
    let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
    let other = elsewhere::<P>();
    end(&other);
    let waits = world.write("pending");
    assert_eq!(done(|p| world.channel.deregister(p)), Ok(()));
    assert_eq!(done(|p| world.channel.register(&other, p)), Err(Cause::Rejected));
    waits.assert_ended(CLOSED);
    assert!(world.peer.is_closed());
    world.settle();
    world.assert_clean();
    world.shut_down();
    assert_eq!(world.told_inactive(), 1);
}

fn moves_race_with_writes<P: Platform>() {
    let world = Arc::new(World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ()));
    let other = elsewhere::<P>();
    let writer = {
        let world = Arc::clone(&world);
        let body = move || {
            let writes: Vec<_> = (0..6).map(|_| world.write_and_flush("x")).collect();
            writes.iter().for_each(|w| w.assert_ended(Ok(())));
        };
        P::spawn("writer".to_string(), body).expect("threads are to be had")
    };
    let writes: Vec<_> = (0..3).map(|_| world.write_and_flush("y")).collect();
    for to in [&other, &world.event_loop, &other] {
        assert_eq!(done(|p| world.channel.deregister(p)), Ok(()));
        assert_eq!(done(|p| world.channel.register(to, p)), Ok(()));
    }
    writes.iter().for_each(|w| w.assert_ended(Ok(())));
    writer.join().expect("no panic");
    assert_eq!(world.close(), Ok(()));
    end(&other);
    world.shut_down();
    world.assert_clean();
}

fn bytes_are_read_in_order<P: Platform>() {
    let got = Arc::new(P::Mutex::new(Vec::new()));
    let world = with(Counts::<P>(Arc::clone(&got)), |rules| (rules.receive_buffer, rules.max_reads) = (7, 2));
    let sent: Vec<u8> = (0..200).collect();
    for part in sent.chunks(33) {
        world.peer.send(part);
    }
    until::<P>(|| got.lock().len() == sent.len(), "everything is read, in more than one turn");
    assert_eq!(*got.lock(), sent);
    ends(&world);
}

fn nothing_is_read_until_it_is_asked_for<P: Platform>() {
    let got = Arc::new(P::Mutex::new(Vec::new()));
    let world = with(Counts::<P>(Arc::clone(&got)), |rules| (rules.receive_buffer, rules.auto_read) = (2, false));
    world.peer.send(b"abcd");
    world.settle();
    assert_eq!(got.lock().len(), 0);
    for n in [2, 4] {
        world.channel.read();
        until::<P>(|| got.lock().len() == n, "one read for each request");
        world.settle();
        assert_eq!(got.lock().len(), n);
    }
    world.channel.read(); // asked before it comes
    world.settle();
    world.receive(b"e");
    assert_eq!(*got.lock(), b"abcde");
    ends(&world);
}

/// Writes down the events.
struct Events<P: Platform>(Arc<P::Mutex<Vec<&'static str>>>);

impl<P: Platform> Inbound<P> for Events<P> {
    fn active(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.0.lock().push("active");
        context.fire_active();
        Ok(())
    }
    fn user_event(&self, _: &dyn Context<P>, event: UserEvent<P>) -> Result<(), HandlerError> {
        self.0.lock().push(match event {
            UserEvent::InputShutdown => "input",
            UserEvent::OutputShutdown => "output",
            UserEvent::Message(_) => unreachable!("nobody fires one"),
        });
        Ok(())
    }
    fn exception(&self, _: &dyn Context<P>, error: HandlerError) -> Result<(), HandlerError> {
        assert_eq!(error.cause(), Cause::ConnectionReset);
        self.0.lock().push("exception");
        Ok(())
    }
    fn inactive(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.0.lock().push("inactive");
        context.fire_inactive();
        Ok(())
    }
}

fn events<P: Platform>(rules: impl FnOnce(&mut WritePathConfig)) -> (World<P>, Arc<P::Mutex<Vec<&'static str>>>) {
    let seen = Arc::new(P::Mutex::new(Vec::new()));
    (with(Events::<P>(Arc::clone(&seen)), rules), seen)
}

fn the_end_of_the_input_closes<P: Platform>() {
    let (world, seen) = events::<P>(|_| ());
    let waits = world.write("pending");
    world.peer.send(b"last");
    world.peer.end();
    assert_eq!(world.channel.closed().wait(), Ok(()));
    waits.assert_ended(CLOSED);
    world.settle();
    assert_eq!(*seen.lock(), ["active", "inactive"]);
    assert_eq!(world.channel.stats().unhandled_messages, 1, "what came before was read");
    world.assert_clean();
    world.shut_down();
}

fn the_end_of_the_input_leaves_the_output<P: Platform>() {
    let (world, seen) = events::<P>(|rules| rules.allow_half_closure = true);
    world.peer.end();
    until::<P>(|| seen.lock().contains(&"input"), "the handler hears of it");
    world.peer.end(); // again: nothing happens
    world.write_and_flush("answer").assert_ended(Ok(()));
    ends(&world);
    assert_eq!(*seen.lock(), ["active", "input", "inactive"]);
}

fn a_reset_while_reading_closes<P: Platform>() {
    let (world, seen) = events::<P>(|_| ());
    let waits = world.write("pending");
    world.peer.reset_now();
    assert_eq!(world.channel.closed().wait(), Ok(()));
    waits.assert_ended(CLOSED);
    world.settle();
    assert_eq!(*seen.lock(), ["active", "exception", "inactive"]);
    world.assert_clean();
    world.shut_down();
}

fn nothing_is_flushed_before_it_is_connected<P: Platform>() {
    let world = unregistered_and_unconnected::<P>();
    let waits = world.write("waits");
    world.settle();
    world.write_and_flush("early").assert_ended(Err(Cause::NotYetConnected));
    waits.assert_ended(Err(Cause::NotYetConnected));
    assert!(world.channel.is_open() && !world.channel.is_active());
    let later = world.write("later");
    let connected = Promise::new();
    world.channel.connect(connected.clone());
    assert_eq!(done(|p| world.channel.connect(p)), Err(Cause::AlreadyConnected), "one is in progress");
    assert!(!connected.is_done());
    world.peer.answer_connect(ConnectOutcome::Connected);
    assert_eq!(connected.wait(), Ok(()));
    world.channel.flush();
    later.assert_ended(Ok(()));
    ends(&world);
    assert_eq!(world.told_inactive(), 1);
}

fn unregistered_and_unconnected<P: Platform>() -> World<P> {
    let world = {
        let [event_loop, linger] = ["loop", "linger"].map(|name| EventLoop::new(name, LoopConfig::default()));
        World::<P>::unconnected(event_loop, linger)
    };
    assert_eq!(done(|p| world.channel.register(&world.event_loop, p)), Ok(()));
    world
}

fn a_connect_ends_once<P: Platform>() {
    // Refused: the channel is closed.
    let world = unregistered_and_unconnected::<P>();
    world.peer.answer_connect(ConnectOutcome::Refused);
    assert_eq!(done(|p| world.channel.connect(p)), Err(Cause::ConnectionRefused));
    assert_eq!(world.channel.closed().wait(), Ok(()));
    world.settle();
    world.shut_down();
    assert_eq!(world.told_inactive(), 0, "it never was active");
    // Closed meanwhile.
    let world = unregistered_and_unconnected::<P>();
    let connected = Promise::new();
    world.channel.connect(connected.clone());
    assert_eq!(world.close(), Ok(()));
    assert_eq!(connected.wait(), CLOSED);
    world.peer.answer_connect(ConnectOutcome::Connected);
    world.settle();
    world.shut_down();
    world.assert_clean();
}

fn output_shutdown_fails_what_is_pending<P: Platform>() {
    for preset in [Preset::Millpond, Preset::Netty4_1_22] {
        let world = World::<P>::with_handlers(preset, Vec::new(), |_| ());
        let waits = world.write("pending");
        world.settle();
        assert_eq!(done(|p| world.channel.shutdown_output(p)), Ok(()));
        waits.assert_ended(Err(Cause::OutputShutdown));
        assert!(world.peer.has_seen_end() && world.channel.is_open());
        world.write_and_flush("late").assert_ended(CLOSED);
        assert_eq!(done(|p| world.channel.shutdown_output(p)), CLOSED, "it is shut down");
        ends(&world);
        assert_eq!(world.told_inactive(), 1);
    }
}

fn output_shutdown_before_4_1_15_fails_nothing<P: Platform>() {
    let world = World::<P>::with_handlers(Preset::Netty4_1_8, Vec::new(), |_| ());
    let waits = world.write("pending");
    world.settle();
    assert_eq!(done(|p| world.channel.shutdown_output(p)), Ok(()));
    world.settle();
    assert!(!waits.promise.is_done(), "it stays where it is");
    ends(&world);
    waits.assert_ended(CLOSED);
}

/// Closes its channel when it reads, or when it becomes inactive.
struct Closes;

impl<P: Platform> Inbound<P> for Closes {
    fn read(&self, context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        context.close(Promise::new());
        context.fire_read(message);
        Ok(())
    }
    fn inactive(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.close(Promise::new());
        context.fire_inactive();
        Ok(())
    }
}

fn closes_from_everywhere<P: Platform>() {
    let end = |world: &World<P>| {
        assert_eq!(world.channel.closed().wait(), Ok(()));
        world.settle();
        world.assert_clean();
        world.shut_down();
        assert_eq!(world.told_inactive(), 1);
    };
    // From a handler, inside the read loop.
    let world = with(Closes, |_| ());
    let waits = world.write("pending");
    world.peer.send(b"x");
    waits.assert_ended(CLOSED);
    end(&world);
    // From a promise's listener, inside a flush: the next message of the same flush fails.
    let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |rules| rules.max_gather = 1);
    let first = world.write("first");
    let channel = world.channel.clone();
    first.promise.add_listener(move |_| channel.close(Promise::new()));
    let second = world.write_and_flush("second");
    first.assert_ended(Ok(()));
    second.assert_ended(CLOSED);
    end(&world);
    // From a listener of what the close itself fails.
    let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
    let waits = world.write("pending");
    let channel = world.channel.clone();
    waits.promise.add_listener(move |_| {
        channel.close(Promise::new());
        channel.flush();
        channel.shutdown_output(Promise::new());
    });
    assert_eq!(world.close(), Ok(()));
    waits.assert_ended(CLOSED);
    end(&world);
    // After the output was shut down, with the transport closed forcibly before.
    let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
    assert_eq!(done(|p| world.channel.shutdown_output(p)), Ok(()));
    world.channel.close_forcibly();
    assert_eq!(world.close(), Ok(()));
    end(&world);
    // While it belongs to no loop.
    let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
    let waits = world.write("pending");
    assert_eq!(done(|p| world.channel.deregister(p)), Ok(()));
    assert_eq!(world.close(), Ok(()));
    waits.assert_ended(CLOSED);
    end(&world);
}

/// Every way to end a channel, at once.
fn closes_race<P: Platform>() {
    let world = Arc::new(World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ()));
    world.peer.set_linger(Duration::from_millis(1));
    let ways: [fn(&World<P>); 5] = [
        |world| assert_eq!(world.close(), Ok(())),
        |world| {
            let _either = done(|p| world.channel.shutdown_output(p));
        },
        |world| world.peer.end(),
        |world| {
            let _either = done(|p| world.channel.deregister(p));
        },
        |world| world.channel.close_forcibly(),
    ];
    let threads = ways.map(|way| {
        let world = Arc::clone(&world);
        P::spawn("closer".to_string(), move || way(&world)).expect("threads are to be had")
    });
    let writes: Vec<_> = (0..3).map(|_| world.write_and_flush("x")).collect();
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
    assert_eq!(world.close(), Ok(()));
    for write in &writes {
        write.promise.wait().unwrap_or_else(|cause| {
            assert!([Cause::ClosedChannel, Cause::OutputShutdown].contains(&cause), "{cause}");
        });
        write.assert_released();
    }
    world.shut_down();
    until::<P>(|| world.told_inactive() == 1, "it is told once");
    world.assert_clean();
}

/// A loop that ends while the close of its channel lingers: the end of the close finds somebody who does it (Netty loses it).
#[test]
fn the_end_of_a_lingering_close_is_done_in_the_place_of_a_loop_that_ended() {
    let mut stood_in = 0;
    for options in random(64) {
        let execution = soundly(&options, || {
            let (seen, kept) = (Arc::new(<Sim as Platform>::Mutex::new(Vec::new())), Promise::<Sim>::new());
            let world = with(Events::<Sim>(Arc::clone(&seen)), |_| ());
            world.peer.set_linger(Duration::from_secs(1));
            let waits = world.write("pending");
            world.channel.close(kept.clone());
            world.event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
            world.event_loop.join().expect("the loop ends well");
            assert_eq!(world.event_loop.state(), LoopState::Terminated);
            assert_eq!(kept.wait(), Ok(()));
            waits.assert_ended(CLOSED);
            world.shut_down();
            assert_eq!(*seen.lock(), ["active", "inactive"]);
            world.assert_clean();
            assert_eq!(world.channel.pipeline().names(), Vec::<String>::new());
        });
        stood_in += execution.reach_counts[millpond_model::observe::Reach::StoodIn as usize];
    }
    assert!(stood_in > 0, "some schedule has the loop end first");
}
