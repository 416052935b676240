//! The pipeline: handlers are called in order, each on its own executor, and what passes them has one owner at a time.

mod write_path_support;

use millpond::engine::{Execution, Plant, Sim, When, with_ledger};
use millpond::ledger::FindingKind;
use millpond_model::buffer::Buffer;
use millpond_model::codec::{
    ByteToMessageDecoder, Decode, FixedLengthFrameDecoder, LengthField, LengthFieldFrameDecoder, LengthFieldPrepender,
    MessageToMessageEncoder, Outputs,
};
use millpond_model::event_loop::{EventLoop, LoopConfig};
use millpond_model::handler::{Context, DuplexHandler, HandlerError, Inbound, Outbound, UserEvent};
use millpond_model::message::Message;
use millpond_model::observe::{Defect, Kind};
use millpond_model::pipeline::{Named, PipelineError};
use millpond_model::platform::{JoinOps, Lock, ThreadOps};
use millpond_model::promise::{Cause, Promise};
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{random, soundly, to_the_end};
use std::sync::Arc;
use std::time::Duration;
use write_path_support::{CLOSED, World, end, on_loop, until};

on_both!(
    inbound_in_order_and_outbound_in_reverse,
    the_tail_releases_what_nobody_took,
    a_failure_is_told_to_the_handler_itself_and_goes_on,
    a_failed_write_fails_its_promise,
    a_handler_is_called_by_its_own_executor,
    a_handler_added_inside_its_own_callback,
    a_handler_removed_inside_its_own_callback,
    what_a_removed_handler_gives_on_finds_its_old_neighbours,
    a_replaced_handler_gives_on_to_its_successor,
    names_are_unique_and_positions_are_kept,
    a_handler_that_fails_to_be_added_is_removed,
    all_are_told_once_of_the_end,
    close_and_flush_pass_the_handlers,
    codecs_in_a_pipeline,
    handlers_come_and_go_while_messages_pass,
    an_executor_that_ended_refuses_and_nothing_is_lost,
);

/// What handlers saw, with their names and threads.
type Log<P> = Arc<<P as Platform>::Mutex<Vec<(String, u32)>>>;

fn log<P: Platform>() -> Log<P> {
    Arc::new(P::Mutex::new(Vec::new()))
}

fn texts<P: Platform>(log: &Log<P>) -> Vec<String> {
    log.lock().iter().map(|(text, _)| text.clone()).collect()
}

type Does<P> = Box<dyn Fn(&dyn Context<P>) -> Result<(), HandlerError> + Send>;

/// Writes down what it is called with, and passes it on, unless it has something else to do.
struct Scribe<P: Platform> {
    name: &'static str,
    log: Log<P>,
    /// Done at each read, before it is passed on.
    on_read: Option<Does<P>>,
    on_added: Option<Does<P>>,
    on_write: Option<Does<P>>,
    takes: bool,
}

impl<P: Platform> Scribe<P> {
    fn new(name: &'static str, log: &Log<P>) -> Self {
        Self { name, log: Arc::clone(log), on_read: None, on_added: None, on_write: None, takes: false }
    }

    fn named(self) -> Named<P> {
        Named::new(self.name, DuplexHandler(self))
    }

    fn note(&self, what: &str) {
        self.log.lock().push((format!("{} {what}", self.name), P::current().id().0));
    }

    fn also(what: &Option<Does<P>>, context: &dyn Context<P>) -> Result<(), HandlerError> {
        what.as_ref().map_or(Ok(()), |f| f(context))
    }
}

impl<P: Platform> Inbound<P> for Scribe<P> {
    fn added(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.note("added");
        Self::also(&self.on_added, context)
    }
    fn removed(&self, _: &dyn Context<P>) -> Result<(), HandlerError> {
        self.note("removed");
        Ok(())
    }
    fn read(&self, context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        self.note("read");
        let message = millpond_model::release::OwnedMessage::from(message);
        Self::also(&self.on_read, context)?;
        if !self.takes {
            context.fire_read(message.into_message());
        }
        Ok(())
    }
    fn active(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.note("active");
        context.fire_active();
        Ok(())
    }
    fn inactive(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.note("inactive");
        context.fire_inactive();
        Ok(())
    }
    fn unregistered(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.note("unregistered");
        context.fire_unregistered();
        Ok(())
    }
    fn exception(&self, context: &dyn Context<P>, error: HandlerError) -> Result<(), HandlerError> {
        self.note(&format!("exception: {error}"));
        context.fire_exception(error);
        Ok(())
    }
}

impl<P: Platform> Outbound<P> for Scribe<P> {
    fn write(&self, context: &dyn Context<P>, message: Message<P>, promise: Promise<P>) -> Result<(), HandlerError> {
        self.note("write");
        let message = millpond_model::release::OwnedMessage::from(message);
        Self::also(&self.on_write, context)?;
        Ok(context.write(message.into_message(), promise)?)
    }
    fn flush(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.note("flush");
        context.flush();
        Ok(())
    }
    fn close(&self, context: &dyn Context<P>, promise: Promise<P>) -> Result<(), HandlerError> {
        self.note("close");
        context.close(promise);
        Ok(())
    }
}

fn ends<P: Platform>(world: &World<P>) {
    assert_eq!(world.close(), Ok(()));
    world.settle();
    world.assert_clean();
    world.shut_down();
}

fn inbound_in_order_and_outbound_in_reverse<P: Platform>() {
    let log = log::<P>();
    let handlers = ["a", "b", "c"].map(|name| Scribe::new(name, &log).named()).into();
    let world = World::<P>::with_handlers(Preset::Millpond, handlers, |_| ());
    world.receive(b"x");
    world.write_and_flush("y").assert_ended(Ok(()));
    world.settle();
    let added = ["a added", "b added", "c added", "a active", "b active", "c active"];
    let read = ["a read", "b read", "c read"];
    let written = ["c write", "b write", "a write", "c flush", "b flush", "a flush"];
    assert_eq!(texts::<P>(&log), [&added[..], &read, &written].concat());
    assert_eq!(world.channel.stats().unhandled_messages, 1, "nobody took it");
    ends(&world);
}

fn the_tail_releases_what_nobody_took<P: Platform>() {
    /// Fires a buffer as an event, after what was read.
    struct Fires;
    impl<P: Platform> Inbound<P> for Fires {
        fn read(&self, context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
            context.fire_read(message);
            let event = context.allocator().allocate(16)?;
            context.fire_user_event(UserEvent::Message(event.into()));
            context.fire_exception(HandlerError::other("nobody wants it"));
            Ok(())
        }
    }
    for preset in [Preset::Millpond, Preset::Netty4_1_8] {
        let world = World::<P>::with_handlers(preset, vec![Named::inbound("fires", Fires)], |_| ());
        world.receive(b"lost");
        let stats = world.channel.stats();
        assert_eq!((stats.unhandled_messages, stats.unhandled_exceptions), (1, 1));
        ends(&world);
    }
}

fn a_failure_is_told_to_the_handler_itself_and_goes_on<P: Platform>() {
    for panics in [false, true] {
        let log = log::<P>();
        let fails = Scribe {
            on_read: Some(Box::new(
                move |_| if panics { panic!("it broke") } else { Err(HandlerError::other("it broke")) },
            )),
            ..Scribe::new("fails", &log)
        };
        let handlers = vec![Scribe::new("before", &log).named(), fails.named(), Scribe::new("after", &log).named()];
        let world = World::<P>::with_handlers(Preset::Millpond, handlers, |_| ());
        log.lock().clear();
        world.receive(b"x");
        let said = if panics { "the handler panicked: it broke" } else { "it broke" };
        let expected = [
            "before read".into(),
            "fails read".into(),
            format!("fails exception: {said}"),
            format!("after exception: {said}"),
        ];
        assert_eq!(texts::<P>(&log), expected);
        let stats = world.channel.stats();
        assert_eq!((stats.user_panics, stats.unhandled_exceptions), (u64::from(panics), 1));
        ends(&world);
    }
}

fn a_failed_write_fails_its_promise<P: Platform>() {
    for panics in [false, true] {
        let log = log::<P>();
        let fails = Scribe {
            on_write: Some(Box::new(move |_| if panics { panic!("no") } else { Err(HandlerError::other("no")) })),
            ..Scribe::new("fails", &log)
        };
        let world = World::<P>::with_handlers(Preset::Millpond, vec![fails.named()], |_| ());
        world.write_and_flush("x").assert_ended(Err(Cause::EncoderFailed));
        ends(&world);
    }
}

fn a_handler_is_called_by_its_own_executor<P: Platform>() {
    let log = log::<P>();
    let business = EventLoop::<P>::new("business", LoopConfig::default());
    let handlers = vec![
        Scribe::new("near", &log).named(),
        Scribe::new("far", &log).named().on(&business),
        Scribe { takes: true, ..Scribe::new("last", &log) }.named(),
    ];
    let world = World::<P>::with_handlers(Preset::Millpond, handlers, |_| ());
    for _ in 0..3 {
        world.receive(b"x");
    }
    until::<P>(|| texts::<P>(&log).iter().filter(|t| *t == "last read").count() > 0, "the message comes through");
    world.write_and_flush("y").assert_ended(Ok(()));
    assert_eq!(world.close(), Ok(()));
    until::<P>(|| texts::<P>(&log).contains(&"far removed".to_string()), "it is told of the end");
    world.settle();
    let thread = |event_loop: &EventLoop<P>| {
        let id = Arc::new(P::Mutex::new(0));
        let theirs = Arc::clone(&id);
        on_loop(event_loop, move || *theirs.lock() = P::current().id().0);
        *id.lock()
    };
    let (near, far) = (thread(&world.event_loop), thread(&business));
    for (text, on) in &*log.lock() {
        assert_eq!(*on, if text.starts_with("far") { far } else { near }, "{text}");
    }
    world.assert_clean();
    world.shut_down();
    end(&business);
}

fn a_handler_added_inside_its_own_callback<P: Platform>() {
    let log = log::<P>();
    let inner = Arc::clone(&log);
    let adds = Scribe {
        on_added: Some(Box::new(move |context| {
            let channel = context.channel().expect("it is in a channel");
            channel.pipeline().add_after("adds", Scribe::new("child", &inner).named()).expect("the name is free");
            Ok(())
        })),
        ..Scribe::new("adds", &log)
    };
    let world = World::<P>::with_handlers(Preset::Millpond, vec![adds.named()], |_| ());
    assert_eq!(world.channel.pipeline().names(), ["adds", "child", "ears"]);
    world.receive(b"x");
    let expected = ["adds added", "child added", "adds active", "child active", "adds read", "child read"];
    assert_eq!(texts::<P>(&log), expected);
    ends(&world);
}

fn a_handler_removed_inside_its_own_callback<P: Platform>() {
    let log = log::<P>();
    let once = Scribe {
        on_read: Some(Box::new(|context| {
            assert!(!context.is_removed());
            context.remove();
            assert!(context.is_removed());
            context.remove(); // for the second time: nothing happens
            Ok(())
        })),
        ..Scribe::new("once", &log)
    };
    let world =
        World::<P>::with_handlers(Preset::Millpond, vec![once.named(), Scribe::new("stays", &log).named()], |_| ());
    log.lock().clear();
    world.receive(b"1");
    world.receive(b"2");
    assert_eq!(texts::<P>(&log), ["once read", "once removed", "stays read", "stays read"]);
    assert_eq!(world.channel.pipeline().remove("once"), Err(PipelineError::NoSuchHandler("once".into())));
    ends(&world);
}

fn what_a_removed_handler_gives_on_finds_its_old_neighbours<P: Platform>() {
    // Both are removed, the second while the first is on the stack: the message goes to the third.
    let log = log::<P>();
    let first = Scribe {
        on_read: Some(Box::new(|context| {
            context.remove();
            let pipeline = context.channel().expect("it is in a channel").pipeline();
            pipeline.remove("second").expect("it is there");
            Ok(())
        })),
        ..Scribe::new("first", &log)
    };
    let handlers = vec![first.named(), Scribe::new("second", &log).named(), Scribe::new("third", &log).named()];
    let world = World::<P>::with_handlers(Preset::Millpond, handlers, |_| ());
    log.lock().clear();
    world.receive(b"x");
    assert_eq!(texts::<P>(&log), ["first read", "first removed", "second removed", "third read"]);
    ends(&world);
}

fn a_replaced_handler_gives_on_to_its_successor<P: Platform>() {
    let log = log::<P>();
    let inner = Arc::clone(&log);
    let old = Scribe {
        on_read: Some(Box::new(move |context| {
            let pipeline = context.channel().expect("it is in a channel").pipeline();
            pipeline.replace("old", Scribe::new("new", &inner).named()).expect("it is there");
            Ok(())
        })),
        ..Scribe::new("old", &log)
    };
    let world = World::<P>::with_handlers(Preset::Millpond, vec![old.named()], |_| ());
    log.lock().clear();
    world.receive(b"x");
    assert_eq!(texts::<P>(&log), ["old read", "new added", "old removed", "new read"]);
    assert_eq!(world.channel.pipeline().names(), ["new", "ears"]);
    ends(&world);
}

fn names_are_unique_and_positions_are_kept<P: Platform>() {
    let log = log::<P>();
    let world = World::<P>::with_handlers(Preset::Millpond, vec![Scribe::new("m", &log).named()], |_| ());
    let pipeline = world.channel.pipeline();
    pipeline.add_first(Scribe::new("a", &log).named()).expect("the name is free");
    pipeline.add_last(Scribe::new("z", &log).named()).expect("the name is free");
    pipeline.add_before("m", Scribe::new("l", &log).named()).expect("the name is free");
    pipeline.add_after("m", Scribe::new("n", &log).named()).expect("the name is free");
    assert_eq!(pipeline.names(), ["a", "l", "m", "n", "ears", "z"]);
    assert_eq!(pipeline.add_last(Scribe::new("m", &log).named()), Err(PipelineError::NameTaken("m".into())));
    assert_eq!(pipeline.add_after("q", Scribe::new("r", &log).named()), Err(PipelineError::NoSuchHandler("q".into())));
    let taken = pipeline.replace("a", Scribe::new("z", &log).named());
    assert_eq!(taken, Err(PipelineError::NameTaken("z".into())));
    ends(&world);
    assert_eq!(world.channel.pipeline().names(), Vec::<String>::new(), "a closed channel has no handlers");
    let late = world.channel.pipeline().add_last(Scribe::new("late", &log).named());
    assert_eq!(late, Err(PipelineError::Closed));
}

fn a_handler_that_fails_to_be_added_is_removed<P: Platform>() {
    let log = log::<P>();
    let bad = Scribe { on_added: Some(Box::new(|_| Err(HandlerError::other("no")))), ..Scribe::new("bad", &log) };
    let world =
        World::<P>::with_handlers(Preset::Millpond, vec![bad.named(), Scribe::new("good", &log).named()], |_| ());
    world.settle();
    let texts = texts::<P>(&log);
    assert_eq!(&texts[..2], ["bad added", "bad removed"]);
    assert!(!texts.contains(&"bad active".to_string()), "{texts:?}");
    assert_eq!(world.channel.pipeline().names(), ["good", "ears"]);
    ends(&world);
}

fn all_are_told_once_of_the_end<P: Platform>() {
    let log = log::<P>();
    let handlers = vec![Scribe::new("a", &log).named(), Scribe::new("b", &log).named()];
    let world = World::<P>::with_handlers(Preset::Millpond, handlers, |_| ());
    log.lock().clear();
    ends(&world);
    let expected = [
        "b close",
        "a close",
        "a inactive",
        "b inactive",
        "a unregistered",
        "b unregistered",
        "b removed",
        "a removed",
    ];
    // The ears, which are the last, hear that it is inactive.
    assert_eq!(texts::<P>(&log), expected);
    assert_eq!(world.told_inactive(), 1);
}

fn close_and_flush_pass_the_handlers<P: Platform>() {
    /// Closes only when asked twice.
    struct Holds<P: Platform>(P::Mutex<u32>);
    impl<P: Platform> Outbound<P> for Holds<P> {
        fn close(&self, context: &dyn Context<P>, promise: Promise<P>) -> Result<(), HandlerError> {
            let mut asked = self.0.lock();
            *asked += 1;
            let asked = *asked;
            if asked == 2 {
                context.close(promise);
                return Ok(());
            }
            Err(HandlerError::other("ask again"))
        }
        fn flush(&self, _: &dyn Context<P>) -> Result<(), HandlerError> {
            Err(HandlerError::other("not now"))
        }
    }
    let holds = Named::outbound("holds", Holds::<P>(P::Mutex::new(0)));
    let world = World::<P>::with_handlers(Preset::Millpond, vec![holds], |_| ());
    let held = world.write_and_flush("x");
    world.settle();
    assert!(held.promise.outcome().is_none(), "the flush was refused");
    // The handler is no inbound one: what it fails with goes on to the next, and nobody there takes it.
    assert_eq!(world.channel.stats().unhandled_exceptions, 1);
    assert_eq!(world.close(), Err(Cause::EncoderFailed));
    assert!(world.channel.is_open());
    ends(&world);
    held.assert_ended(CLOSED);
}

/// Prepends lengths on the way out, cuts by them on the way in, and answers with what came.
struct Echo;

impl<P: Platform> Inbound<P> for Echo {
    fn read(&self, context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        let promise = Promise::new();
        context.channel().expect("it is in a channel").write_and_flush(message, promise)?;
        Ok(())
    }
}

fn framed<P: Platform>() -> Vec<Named<P>> {
    let decoder = LengthFieldFrameDecoder::new(LengthField::first(1), 64, 1);
    vec![
        Named::inbound("decoder", ByteToMessageDecoder::new(decoder, Preset::Millpond)),
        Named::outbound("encoder", MessageToMessageEncoder::new(LengthFieldPrepender::new(1), Preset::Millpond)),
        Named::inbound("echo", Echo),
    ]
}

fn codecs_in_a_pipeline<P: Platform>() {
    let world = World::<P>::with_handlers(Preset::Millpond, framed(), |_| ());
    world.peer.keep_bytes();
    let sent = b"\x03abc\x00\x05hello";
    for part in [&sent[..2], &sent[2..6], &sent[6..]] {
        world.receive(part);
    }
    until::<P>(|| world.peer.received() == sent.len() as u64, "everything comes back");
    assert_eq!(world.peer.take_bytes(), sent);
    ends(&world);
}

/// Gives every frame on, and takes itself out after the first.
struct CutsOnce;

impl<P: Platform> Decode<P> for CutsOnce {
    fn decode(
        &self,
        context: &dyn Context<P>,
        input: &mut Buffer<P>,
        out: &mut Outputs<P>,
    ) -> Result<(), HandlerError> {
        let before = out.len();
        FixedLengthFrameDecoder::new(2).decode(context, input, out)?;
        if out.len() > before {
            context.remove();
        }
        Ok(())
    }
}

#[test]
fn a_decoder_in_a_pipeline_that_removes_itself_gives_the_rest_on() {
    for options in random(8) {
        soundly(&options, || {
            let log = log::<Sim>();
            let decoder = Named::inbound("decoder", ByteToMessageDecoder::new(CutsOnce, Preset::Millpond));
            let last = Scribe { takes: true, ..Scribe::new("last", &log) };
            let world = World::<Sim>::with_handlers(Preset::Millpond, vec![decoder, last.named()], |_| ());
            world.receive(b"abcde");
            world.receive(b"f");
            assert_eq!(texts::<Sim>(&log).iter().filter(|t| *t == "last read").count(), 3, "ab, cde and f");
            ends(&world);
        });
    }
}

fn handlers_come_and_go_while_messages_pass<P: Platform>() {
    let log = log::<P>();
    let world = Arc::new(World::<P>::with_handlers(Preset::Millpond, framed(), |_| ()));
    let business = EventLoop::<P>::new("business", LoopConfig::default());
    let changer = {
        let (world, log, business) = (Arc::clone(&world), Arc::clone(&log), business.clone());
        let body = move || {
            let pipeline = world.channel.pipeline();
            for _ in 0..3 {
                pipeline
                    .add_after("decoder", Scribe::new("guest", &log).named().on(&business))
                    .expect("the name is free");
                pipeline.add_first(Scribe::new("first", &log).named()).expect("the name is free");
                P::yield_now();
                pipeline.remove("first").expect("it is there");
                pipeline.replace("guest", Scribe::new("other", &log).named()).expect("it is there");
                pipeline.remove("other").expect("it is there");
            }
        };
        P::spawn("changer".to_string(), body).expect("threads are to be had")
    };
    for _ in 0..4 {
        world.peer.send(b"\x02hi");
    }
    changer.join().expect("no panic");
    // A flush overtakes a write whose handler, of another executor, is removed between the two: flushed again.
    let all = || {
        world.channel.flush();
        world.peer.received() == 12
    };
    until::<P>(all, "everything comes back");
    ends(&world);
    end(&business);
    let log = texts::<P>(&log);
    for name in ["guest", "first", "other"] {
        let count = |what| log.iter().filter(|t| **t == format!("{name} {what}")).count();
        assert_eq!(
            count("added"),
            count("removed"),
            "{name}: who was told that it was added is told of its end: {log:?}"
        );
    }
}

fn refuses<P: Platform>(preset: Preset) {
    let log = log::<P>();
    let business = EventLoop::<P>::new("business", LoopConfig::from(preset));
    let far = Scribe::new("far", &log).named().on(&business);
    let world = World::<P>::with_handlers(preset, vec![far], |_| ());
    until::<P>(|| texts::<P>(&log).contains(&"far active".to_string()), "it is told");
    business.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    business.join().expect("it ends well");
    world.receive(b"refused");
    let (message, witness) = world.message("x");
    let written = write_path_support::Written::new(witness);
    world.channel.write_and_flush(message, written.promise.clone()).expect("the promise is new");
    written.assert_ended(Err(Cause::Rejected));
    // A close needs the handler, which can't be asked any more.
    assert_eq!(world.close(), Err(Cause::Rejected));
    world.shut_down();
    world.assert_clean();
    let told = texts::<P>(&log).iter().filter(|t| *t == "far inactive" || *t == "far removed").count();
    assert_eq!(told, if preset == Preset::Millpond { 2 } else { 0 });
}

fn an_executor_that_ended_refuses_and_nothing_is_lost<P: Platform>() {
    refuses::<P>(Preset::Millpond);
}

fn left(execution: &Execution) -> Vec<FindingKind> {
    execution.ledger.owned(Kind::Buffer, 8).iter().map(|finding| finding.kind).collect()
}

#[test]
fn under_nettys_rules_what_a_terminated_executor_refuses_is_lost() {
    for options in random(8) {
        let ours = soundly(&options, || refuses::<Sim>(Preset::Millpond));
        assert_eq!(left(&ours), []);
        let theirs = to_the_end(&options, || {
            with_ledger(|ledger| ledger.only_count());
            refuses::<Sim>(Preset::Netty4_2_7);
        });
        let found: Vec<FindingKind> = theirs.ledger.findings().iter().map(|f| f.kind).chain(left(&theirs)).collect();
        assert!(found.contains(&FindingKind::Leak), "{found:?}");
    }
}

#[test]
fn a_read_buffer_that_is_released_twice_is_found() {
    let plants = vec![Plant { defect: Defect::ReadBufferReleasedTwice, when: When::Always }];
    for options in random(4) {
        let execution = to_the_end(&millpond::engine::Options { plants: plants.clone(), ..options }, || {
            with_ledger(|ledger| ledger.only_count());
            let world = World::<Sim>::with_handlers(Preset::Netty4_1_8, Vec::new(), |_| ());
            world.peer.end();
            world.settle();
            assert_eq!(world.channel.closed().wait(), Ok(()));
            world.shut_down();
        });
        assert_eq!(execution.ledger.findings().iter().map(|f| f.kind).next(), Some(FindingKind::DoubleRelease));
    }
}
