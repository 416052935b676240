//! Promises that are more, or less, than one operation's: void, combined, aggregated, followed, progressive.

mod write_path_support;

use millpond::engine::Sim;
use millpond_model::channel::IllegalPromise;
use millpond_model::handler::{Context, HandlerError, Inbound, Outbound};
use millpond_model::message::{Message, Object};
use millpond_model::observe::Kind;
use millpond_model::pipeline::Named;
use millpond_model::platform::{JoinOps, Lock};
use millpond_model::promise::{
    Cause, NotProgressive, Outcome, Promise, PromiseAggregator, PromiseCombiner, VoidPromise, cascade, notify,
};
use millpond_model::transport::MemoryTransport;
use millpond_model::write_path::WritePathConfig;
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, soundly};
use std::sync::Arc;
use write_path_support::{World, on_loop, until};

on_both!(
    a_void_promise_never_completes,
    a_void_write_is_written,
    a_failed_void_write_is_an_exception,
    a_silent_void_write_is_none,
    a_late_void_write,
    a_void_write_that_a_handler_fails,
    only_writes_take_a_void_promise,
    a_void_promise_belongs_to_its_channel,
    an_unvoided_promise_tells_both,
    combined_promises,
    combined_promises_complete_anywhere,
    aggregated_promises,
    followers,
    cascades,
    progress_is_told,
    progress_ends_with_the_promise,
);

const RESET: Outcome = Err(Cause::ConnectionReset);
const CANCELLED: Outcome = Err(Cause::Cancelled);

/// Hears the failures that come through the pipeline.
struct Failures<P: Platform>(Arc<P::Mutex<Vec<Cause>>>);

impl<P: Platform> Inbound<P> for Failures<P> {
    fn exception(&self, _context: &dyn Context<P>, error: HandlerError) -> Result<(), HandlerError> {
        assert!(matches!(error, HandlerError::Write(_)), "{error}");
        self.0.lock().push(error.cause());
        Ok(())
    }
}

/// Fails what is written, when it has released it.
struct Refuses;

impl<P: Platform> Outbound<P> for Refuses {
    fn write(&self, _context: &dyn Context<P>, message: Message<P>, _: Promise<P>) -> Result<(), HandlerError> {
        message.release();
        Err(HandlerError::other("no"))
    }
}

/// A world with room for `window` bytes; the failures that are heard.
fn world<P: Platform>(preset: Preset, window: usize, refuses: bool) -> (World<P>, Arc<P::Mutex<Vec<Cause>>>) {
    let failures = Arc::new(P::Mutex::new(Vec::new()));
    let mut handlers = vec![Named::inbound("failures", Failures::<P>(Arc::clone(&failures)))];
    if refuses {
        handlers.push(Named::outbound("refuses", Refuses));
    }
    let (transport, peer) = MemoryTransport::pair(window);
    (World::configured(preset, WritePathConfig::from(preset), transport, peer, handlers), failures)
}

fn write<P: Platform>(
    world: &World<P>,
    text: &str,
    promise: &Promise<P>,
    flush: bool,
) -> millpond_model::buffer::Owned<P> {
    let (message, witness) = world.message(text);
    let written = if flush {
        world.channel.write_and_flush(message, promise.clone())
    } else {
        world.channel.write(message, promise.clone())
    };
    written.expect("it may be used as often as wanted");
    witness
}

fn a_void_promise_never_completes<P: Platform>() {
    let (world, failures) = world::<P>(Preset::Millpond, 0, false);
    world.settle();
    for tells in [false, true] {
        let void = Promise::void(&world.channel, tells);
        assert!(void.is_void() && !void.is_progressive());
        assert!(!void.try_complete(Ok(())) && !void.complete(Ok(())));
        assert!(!void.cancel() && void.set_uncancellable());
        assert!(!void.complete(RESET), "it doesn't complete by a failure, either");
        assert_eq!((void.outcome(), void.is_done(), void.is_cancelled()), (None, false, false));
        assert_eq!(void.try_add_listener(|_| unreachable!("it has none")), Err(VoidPromise));
        assert_eq!(void.on_progress(|_, _| unreachable!("it has none")), Err(NotProgressive));
        assert!(!void.try_progress(1, 2));
        for refused in [P::catch(|| void.add_listener(|_| ())), P::catch(|| assert_ne!(void.wait(), Ok(())))] {
            assert!(refused.is_err(), "documented to panic");
        }
    }
    world.settle();
    assert_eq!(*failures.lock(), [Cause::ConnectionReset], "of the one that tells");
    world.shut_down();
}

fn a_void_write_is_written<P: Platform>() {
    let (world, failures) = world::<P>(Preset::Millpond, 100, false);
    let void = world.channel.void_promise();
    let witnesses = ["a", "b", "c"].map(|text| write(&world, text, &void, text == "c"));
    world.settle();
    witnesses.iter().for_each(|witness| assert_eq!(witness.count(), 1));
    assert_eq!((world.peer.received(), world.channel.stats().written), (3, 3));
    world.assert_clean();
    world.shut_down();
    assert!(failures.lock().is_empty());
}

/// Netty #6622: through 4.1.9 the failure was told to nobody.
fn a_failed_void_write_is_an_exception<P: Platform>() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_1_22, Preset::Netty4_2_7, Preset::Millpond] {
        let (world, failures) = world::<P>(preset, 0, false);
        let void = world.channel.void_promise();
        let witnesses = ["a", "b", "c"].map(|text| write(&world, text, &void, text == "b"));
        world.settle();
        world.peer.reset();
        world.peer.open_window(1);
        assert_eq!(world.channel.closed().wait(), Ok(()));
        world.settle();
        witnesses.iter().for_each(|witness| assert_eq!(witness.count(), 1));
        let told = [Cause::ConnectionReset, Cause::ConnectionReset, Cause::ClosedChannel];
        assert_eq!(*failures.lock(), if preset == Preset::Netty4_1_8 { &[][..] } else { &told }, "{preset}");
        world.assert_clean();
        world.shut_down();
    }
}

fn a_silent_void_write_is_none<P: Platform>() {
    let (world, failures) = world::<P>(Preset::Millpond, 0, false);
    let witness = write(&world, "a", &Promise::void(&world.channel, false), true);
    assert_eq!(world.close(), Ok(()));
    world.settle();
    assert_eq!(witness.count(), 1);
    world.shut_down();
    assert!(failures.lock().is_empty());
}

/// What no transport writes.
struct Thing;

impl<P: Platform> Object<P> for Thing {}

/// A write that the transport can't take, or finds the channel closed: Netty tells nobody, to this day.
fn a_late_void_write<P: Platform>() {
    for (preset, is_told) in [(Preset::Netty4_1_8, 0), (Preset::Netty4_2_7, 0), (Preset::Millpond, 1)] {
        let (world, failures) = world::<P>(preset, 100, false);
        let void = world.channel.void_promise();
        world.channel.write(Message::object(Thing), void.clone()).expect("it may be used");
        world.settle();
        assert_eq!(*failures.lock(), [Cause::UnsupportedMessage][..is_told], "{preset}");
        assert_eq!(world.close(), Ok(()));
        world.settle();
        let before = world.channel.stats().unhandled_exceptions;
        let witness = write(&world, "late", &void, true);
        world.settle();
        assert_eq!(witness.count(), 1);
        // The handlers have gone with the channel.
        assert_eq!(world.channel.stats().unhandled_exceptions - before, is_told as u64, "{preset}");
        world.shut_down();
    }
}

fn a_void_write_that_a_handler_fails<P: Platform>() {
    for (preset, is_told) in [(Preset::Netty4_1_8, 0), (Preset::Netty4_2_7, 1), (Preset::Millpond, 1)] {
        let (world, failures) = world::<P>(preset, 100, true);
        let witness = write(&world, "a", &world.channel.void_promise(), false);
        world.settle();
        assert_eq!(witness.count(), 1);
        assert_eq!(*failures.lock(), [Cause::EncoderFailed][..is_told], "{preset}");
        world.shut_down();
    }
}

fn only_writes_take_a_void_promise<P: Platform>() {
    let (world, failures) = world::<P>(Preset::Millpond, 100, false);
    world.settle();
    let (channel, void) = (&world.channel, world.channel.void_promise());
    channel.close(void.clone());
    channel.deregister(void.clone());
    channel.connect(void.clone());
    channel.shutdown_output(void.clone());
    channel.register(&world.linger, void);
    world.settle();
    assert_eq!(*failures.lock(), [Cause::VoidPromise; 5]);
    assert!(channel.is_active() && channel.is_registered(), "nothing has been done");
    world.write_and_flush("a").assert_ended(Ok(()));
    world.shut_down();
}

fn a_void_promise_belongs_to_its_channel<P: Platform>() {
    let (one, _) = world::<P>(Preset::Millpond, 100, false);
    let (other, _) = world::<P>(Preset::Millpond, 100, false);
    let (message, witness) = one.message("a");
    assert_eq!(one.channel.write(message, other.channel.void_promise()), Err(IllegalPromise));
    assert_eq!(witness.count(), 1);
    [one, other].iter().for_each(World::shut_down);
}

fn an_unvoided_promise_tells_both<P: Platform>() {
    let (world, failures) = world::<P>(Preset::Millpond, 0, false);
    let real = Promise::<P>::new();
    let same = real.clone().unvoid();
    same.complete(Ok(()));
    assert_eq!(real.outcome(), Some(Ok(())), "what isn't void is itself");

    let unvoided = [true, false].map(|tells| Promise::void(&world.channel, tells).unvoid());
    assert!(unvoided.iter().all(|promise| !promise.is_void()));
    let _witnesses = [write(&world, "a", &unvoided[0], false), write(&world, "b", &unvoided[1], true)];
    assert_eq!(world.close(), Ok(()));
    unvoided.iter().for_each(|promise| assert_eq!(promise.wait(), Err(Cause::ClosedChannel)));
    world.settle();
    assert_eq!(*failures.lock(), [Cause::ClosedChannel], "of the one that tells");
    world.shut_down();
}

/// A failure that nobody is told of is a promise that was lost.
#[test]
fn the_ledger_sees_a_swallowed_failure() {
    for (preset, lost) in [(Preset::Netty4_1_8, 2), (Preset::Netty4_2_7, 1), (Preset::Millpond, 0)] {
        let execution = soundly(&in_turn(), || {
            let (world, _) = world::<Sim>(preset, 0, false);
            let void = world.channel.void_promise();
            let _pending = write(&world, "a", &void, true);
            assert_eq!(world.close(), Ok(()));
            let _late = write(&world, "b", &void, true);
            world.shut_down();
        });
        assert_eq!(execution.ledger.owned(Kind::Promise, 9).len(), lost, "{preset}");
    }
}

fn combined_promises<P: Platform>() {
    let outcomes = [Ok(()), RESET, CANCELLED];
    for first in outcomes {
        for second in outcomes {
            for finished_after in 0..3 {
                let (parts, whole) = ([Promise::<P>::new(), Promise::new()], Promise::new());
                let mut combiner = PromiseCombiner::new();
                // Late to come, soon to end: where a part is complete already, it counts all the same.
                combiner.add(&parts[0]).expect("it isn't void");
                let mut combiner = Some(combiner);
                for (n, (part, outcome)) in parts.iter().zip([first, second]).enumerate() {
                    if n == finished_after {
                        combiner.take().expect("once").finish(whole.clone());
                    }
                    end(part, outcome);
                    if let Some(combiner) = combiner.as_mut().filter(|_| n == 0) {
                        combiner.add(&parts[1]).expect("it isn't void");
                    }
                }
                if let Some(combiner) = combiner {
                    assert!(!whole.is_done());
                    combiner.finish(whole.clone());
                }
                let expected = if finished_after == 0 { first } else { first.and(second) };
                assert_eq!(whole.outcome(), Some(expected), "{first:?}, {second:?}, {finished_after}");
            }
        }
    }
    let none = Promise::<P>::new();
    PromiseCombiner::new().finish(none.clone());
    assert_eq!(none.outcome(), Some(Ok(())), "nothing is awaited");
    // One that can't be cancelled follows a cancellation, or nobody would end it.
    let (part, whole) = (Promise::<P>::new(), Promise::new());
    let mut combiner = PromiseCombiner::new();
    combiner.add(&part).expect("it isn't void");
    combiner.finish(whole.clone());
    assert!(whole.set_uncancellable() && part.cancel());
    assert_eq!(whole.outcome(), Some(CANCELLED));
    // A void part is refused.
    let (world, _) = world::<P>(Preset::Millpond, 0, false);
    let void = world.channel.void_promise();
    assert_eq!(PromiseCombiner::new().add(&void), Err(VoidPromise));
    assert_eq!(PromiseAggregator::new(none.clone(), true).add(&void), Err(VoidPromise));
    assert_eq!((notify(&void, [none.clone()]), cascade(&void, &none)), (Err(VoidPromise), Err(VoidPromise)));
    world.shut_down();
}

fn end<P: Platform>(promise: &Promise<P>, outcome: Outcome) {
    let ended = if outcome == CANCELLED { promise.cancel() } else { promise.try_complete(outcome) };
    assert!(ended, "it was pending");
}

fn combined_promises_complete_anywhere<P: Platform>() {
    let whole = Promise::<P>::new();
    let parts: Vec<Promise<P>> = (0..3).map(|_| Promise::new()).collect();
    let mut combiner = PromiseCombiner::new();
    let threads: Vec<_> = parts
        .iter()
        .map(|part| {
            combiner.add(part).expect("it isn't void");
            let part = part.clone();
            P::spawn("completes".to_string(), move || assert!(part.complete(Ok(())))).expect("threads are to be had")
        })
        .collect();
    combiner.finish(whole.clone());
    assert_eq!(whole.wait(), Ok(()));
    assert!(parts.iter().all(Promise::is_done));
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

fn aggregated_promises<P: Platform>() {
    for fail_pending in [false, true] {
        let (parts, whole) = ([(); 3].map(|()| Promise::<P>::new()), Promise::new());
        let aggregator = PromiseAggregator::new(whole.clone(), fail_pending);
        parts.iter().for_each(|part| aggregator.add(part).expect("it isn't void"));
        end(&parts[0], Ok(()));
        assert!(!whole.is_done());
        end(&parts[1], RESET);
        assert_eq!(whole.outcome(), Some(RESET), "at once");
        assert_eq!(parts[2].outcome(), fail_pending.then_some(RESET));
        assert_eq!(parts[2].try_complete(Ok(())), !fail_pending);
        assert_eq!(whole.outcome(), Some(RESET));
    }
    let (parts, whole) = ([(); 2].map(|()| Promise::<P>::new()), Promise::new());
    let aggregator = PromiseAggregator::new(whole.clone(), true);
    parts.iter().for_each(|part| aggregator.add(part).expect("it isn't void"));
    parts.iter().for_each(|part| end(part, Ok(())));
    assert_eq!(whole.outcome(), Some(Ok(())));
    // It succeeds when nothing is pending, also when more was to come: as in Netty.
    let (parts, whole) = ([(); 2].map(|()| Promise::<P>::new()), Promise::new());
    let aggregator = PromiseAggregator::new(whole.clone(), true);
    end(&parts[0], Ok(()));
    aggregator.add(&parts[0]).expect("it isn't void");
    assert_eq!(whole.outcome(), Some(Ok(())));
    aggregator.add(&parts[1]).expect("it isn't void");
    end(&parts[1], RESET);
    assert_eq!(whole.outcome(), Some(Ok(())));
}

fn followers<P: Platform>() {
    for outcome in [Ok(()), RESET, CANCELLED] {
        let (source, targets) = (Promise::<P>::new(), [(); 3].map(|()| Promise::<P>::new()));
        notify(&source, targets.clone()).expect("it isn't void");
        end(&targets[1], Err(Cause::Rejected));
        end(&source, outcome);
        let outcomes = targets.map(|target| target.outcome());
        assert_eq!(outcomes, [Some(outcome), Some(Err(Cause::Rejected)), Some(outcome)], "the complete one stays so");
    }
}

fn cascades<P: Platform>() {
    for outcome in [Ok(()), RESET, CANCELLED] {
        let [source, target] = [(); 2].map(|()| Promise::<P>::new());
        cascade(&source, &target).expect("they aren't void");
        end(&source, outcome);
        assert_eq!(target.outcome(), Some(outcome));
    }
    let [source, target] = [(); 2].map(|()| Promise::<P>::new());
    cascade(&source, &target).expect("they aren't void");
    end(&target, CANCELLED);
    assert_eq!(source.outcome(), Some(CANCELLED), "a cancellation goes both ways");
    let [source, target] = [(); 2].map(|()| Promise::<P>::new());
    cascade(&source, &target).expect("they aren't void");
    end(&target, RESET);
    assert_eq!(source.outcome(), None, "and nothing else");
    end(&source, Ok(()));
}

fn progress_is_told<P: Platform>() {
    let (world, _) = world::<P>(Preset::Millpond, 4, false);
    let promises = [Promise::<P>::progressive(), Promise::progressive()];
    let told = Arc::new(P::Mutex::new(Vec::new()));
    for (n, promise) in promises.iter().enumerate() {
        let told_here = Arc::clone(&told);
        promise.on_progress(move |done, total| told_here.lock().push((n, done, total))).expect("it tells");
        let (told_here, again) = (Arc::clone(&told), promise.clone());
        promise.add_listener(move |outcome| {
            assert_eq!(outcome, Ok(()));
            assert!(!again.try_progress(1, 10), "it has ended");
            told_here.lock().push((n, u64::MAX, 0));
        });
    }
    let _witnesses = [write(&world, "0123456789", &promises[0], false), write(&world, "ab", &promises[1], true)];
    world.settle();
    assert_eq!(*told.lock(), [(0, 4, 10)]);
    world.peer.open_window(7);
    until::<P>(|| told.lock().len() >= 4, "the transport takes the rest, and a part of the second one");
    assert_eq!(told.lock()[1..], [(0, 10, 10), (0, u64::MAX, 0), (1, 1, 2)]);
    world.peer.open_window(1);
    assert_eq!(promises[1].wait(), Ok(()));
    world.settle();
    assert_eq!(told.lock()[4..], [(1, 2, 2), (1, u64::MAX, 0)]);
    world.shut_down();
}

/// A listener that closes the channel when it hears of the first part: nobody hears of more.
fn progress_ends_with_the_promise<P: Platform>() {
    let (world, _) = world::<P>(Preset::Millpond, 4, false);
    let promise = Promise::<P>::progressive();
    let told = Arc::new(P::Mutex::new(Vec::new()));
    for n in 0..2 {
        let (told, channel) = (Arc::clone(&told), world.channel.clone());
        let listener = move |done, total| {
            told.lock().push((n, done, total));
            channel.close(Promise::untracked());
        };
        promise.on_progress(listener).expect("it tells");
    }
    let witness = write(&world, "0123456789", &promise, true);
    assert_eq!(promise.wait(), Err(Cause::ClosedChannel));
    world.peer.open_window(100);
    world.settle();
    assert_eq!((witness.count(), &*told.lock()), (1, &vec![(0, 4, 10)]));
    assert_eq!(Promise::<P>::untracked().on_progress(|_, _| ()), Err(NotProgressive));
    on_loop(&world.event_loop, || ());
    world.shut_down();
}
