//! The planted defects of the outbound side: each is found, and nothing is found without it.

mod write_path_support;

use millpond::engine::{Options, Plant, Sim, When, with_ledger};
use millpond::ledger::FindingKind::{self, DoubleRelease, Leak, PromiseLost, PromiseTwice};
use millpond_model::Preset;
use millpond_model::handler::{Context, HandlerError, Inbound, Outbound};
use millpond_model::handler::{DuplexHandler, Handler};
use millpond_model::message::Message;
use millpond_model::observe::{Defect, Kind};
use millpond_model::pending_queue::PendingWriteQueue;
use millpond_model::pipeline::Named;
use millpond_model::promise::{Cause, Promise};
use millpond_model::transport::MemoryTransport;
use millpond_model::write_path::WritePathConfig;
use millpond_tests::sim::{in_turn, random, to_the_end};
use std::cell::OnceCell;
use write_path_support::World;

/// A message whose only owner is the write.
fn message(world: &World<Sim>, text: &str) -> Message<Sim> {
    let (message, witness) = world.message(text);
    witness.release().expect("it is alive");
    message
}

fn write(world: &World<Sim>, text: &str) -> Promise<Sim> {
    let promise = Promise::new();
    world.channel.write(message(world, text), promise.clone()).expect("the promise is new");
    promise
}

/// What the ledger finds in `program`, or has left at its end, without repetition.
fn found(options: &Options, plants: Vec<Plant>, program: fn()) -> Vec<FindingKind> {
    let execution = to_the_end(&Options { plants, ..options.clone() }, || {
        with_ledger(|ledger| ledger.only_count());
        program();
    });
    assert!(execution.plants_struck.iter().all(|struck| *struck > 0), "the planted defect had an occasion");
    let left = [Kind::Buffer, Kind::Promise].into_iter().flat_map(|kind| execution.ledger.owned(kind, 9));
    let mut kinds: Vec<_> = execution.ledger.findings().iter().cloned().chain(left).map(|f| f.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn with_and_without(defect: Defect, program: fn(), expected: &[FindingKind]) {
    for options in random(8).chain([in_turn()]) {
        let plants = vec![Plant { defect, when: When::Always }];
        assert_eq!(found(&options, plants, program), expected, "{options:?}");
        assert_eq!(found(&options, vec![], program), [], "{options:?}");
    }
}

/// D4: a listener closes the channel while flushed writes fail; there is an unflushed one.
fn close_while_flushed_writes_fail() {
    let (transport, peer) = MemoryTransport::pair(0);
    peer.disconnect();
    let config = WritePathConfig::from(Preset::Millpond);
    let world = World::<Sim>::configured(Preset::Millpond, config, transport, peer, Vec::new());
    world.settle();
    let (channel, first, unflushed) = (world.channel.clone(), message(&world, "a"), message(&world, "b"));
    world.on_loop(move || {
        let (closing, promise) = (channel.clone(), Promise::new());
        promise.add_listener(move |_| {
            closing.write(unflushed, Promise::new()).expect("the promise is new");
            closing.close(Promise::untracked());
        });
        channel.write_and_flush(first, promise).expect("the promise is new");
    });
    world.settle();
    world.shut_down();
}

#[test]
fn skipped_unflushed_messages_are_found() {
    with_and_without(Defect::UnflushedSkipped, close_while_flushed_writes_fail, &[Leak, PromiseLost]);
}

/// D6: a listener closes the channel when its message is written.
fn close_from_a_listener() {
    let world = World::<Sim>::new(Preset::Millpond, 1000);
    let first = write(&world, "a");
    let channel = world.channel.clone();
    first.add_listener(move |_| channel.close(Promise::untracked()));
    write(&world, "b");
    world.channel.flush();
    first.wait().expect("it is written");
    world.settle();
    world.shut_down();
}

#[test]
fn a_promise_told_too_early_is_found() {
    with_and_without(Defect::ToldBeforeRemoved, close_from_a_listener, &[DoubleRelease, PromiseTwice]);
}

/// D19: nobody hears that a write has failed.
fn a_void_write_that_fails() {
    let world = World::<Sim>::new(Preset::Millpond, 0);
    world.channel.write_and_flush(message(&world, "a"), world.channel.void_promise()).expect("it may be used");
    assert_eq!(world.close(), Ok(()));
    world.shut_down();
    let unhandled = world.channel.stats().unhandled_exceptions;
    // The count is a number of the channel's, the promise the ledger's: both see it.
    let planted = with_ledger(|ledger| ledger.owned(Kind::Promise, 9).len());
    assert_eq!(unhandled + planted as u64, 1);
}

#[test]
fn a_swallowed_failure_is_found() {
    with_and_without(Defect::VoidFailureSwallowed, a_void_write_that_fails, &[PromiseLost]);
}

/// Keeps what is written, and gives one on at each flush, and when the channel becomes writable; what is left fails at its removal.
#[derive(Default)]
struct OneByOne(OnceCell<PendingWriteQueue<Sim>>);

impl OneByOne {
    fn give_on(&self, context: &dyn Context<Sim>) -> Result<(), HandlerError> {
        if let Some(queue) = self.0.get() {
            queue.remove_and_write(context).transpose()?;
            context.flush();
        }
        Ok(())
    }
}

impl Outbound<Sim> for OneByOne {
    fn write(
        &self,
        context: &dyn Context<Sim>,
        message: Message<Sim>,
        promise: Promise<Sim>,
    ) -> Result<(), HandlerError> {
        self.0.get_or_init(|| PendingWriteQueue::new(context)).add(message, promise);
        Ok(())
    }
    fn flush(&self, context: &dyn Context<Sim>) -> Result<(), HandlerError> {
        self.give_on(context)
    }
}

impl Inbound<Sim> for OneByOne {
    fn writability_changed(&self, context: &dyn Context<Sim>) -> Result<(), HandlerError> {
        if context.channel().expect("it is in a channel").is_writable() { self.give_on(context) } else { Ok(()) }
    }
    fn removed(&self, _context: &dyn Context<Sim>) -> Result<(), HandlerError> {
        if let Some(queue) = self.0.get() {
            queue.remove_and_fail_all(Cause::ClosedChannel);
        }
        Ok(())
    }
}

fn gated(handler: impl Handler<Sim> + 'static) -> World<Sim> {
    // Two writes of one byte count 130: above the high mark; one is below the low one.
    let config = WritePathConfig { high_water_mark: 120, low_water_mark: 100, ..Preset::Millpond.into() };
    let (transport, peer) = MemoryTransport::pair(1000);
    let world = World::configured(Preset::Millpond, config, transport, peer, vec![Named::new("gate", handler)]);
    world.settle();
    world
}

/// A9: a handler gives a write on when it hears that the channel is writable, which it becomes as another one is given on.
fn give_on_when_writable() {
    let world = gated(DuplexHandler(OneByOne::default()));
    let promises = ["a", "b"].map(|text| write(&world, text));
    world.settle();
    assert!(!world.channel.is_writable());
    world.channel.flush();
    world.settle();
    world.channel.flush();
    world.settle();
    assert!(promises.iter().any(Promise::is_done));
    assert_eq!(world.close(), Ok(()));
    world.shut_down();
}

#[test]
fn a_queue_that_tells_too_early_is_found() {
    with_and_without(Defect::QueueToldFirst, give_on_when_writable, &[DoubleRelease]);
}

/// As [`OneByOne`], but a flush fails everything.
#[derive(Default)]
struct FailsAll(OneByOne);

impl Outbound<Sim> for FailsAll {
    fn write(
        &self,
        context: &dyn Context<Sim>,
        message: Message<Sim>,
        promise: Promise<Sim>,
    ) -> Result<(), HandlerError> {
        self.0.write(context, message, promise)
    }
    fn flush(&self, _context: &dyn Context<Sim>) -> Result<(), HandlerError> {
        self.0.0.get().expect("something was written").remove_and_fail_all(Cause::Rejected);
        Ok(())
    }
}

impl Inbound<Sim> for FailsAll {}

/// A10: a listener of a write that fails has all of them failed.
fn flush_from_a_failure() {
    let world = gated(DuplexHandler(FailsAll::default()));
    let first = Promise::new();
    let channel = world.channel.clone();
    first.add_listener(move |_| channel.flush());
    world.channel.write(message(&world, "a"), first.clone()).expect("the promise is new");
    let second = write(&world, "b");
    world.channel.flush();
    assert_eq!((first.wait(), second.wait()), (Err(Cause::Rejected), Err(Cause::Rejected)));
    world.settle();
    world.shut_down();
}

#[test]
fn a_queue_that_fails_in_place_is_found() {
    with_and_without(Defect::QueueFailedInPlace, flush_from_a_failure, &[DoubleRelease, PromiseTwice]);
}
