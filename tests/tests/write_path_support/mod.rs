//! What the tests of the write path share: a channel over memory, and witnesses.
#![allow(dead_code)] // each test file uses a part of it

use millpond::engine::{Options, Strategy};
use millpond_model::buffer::Owned;
use millpond_model::channel::{Channel, ChannelSetup, Encoder, FillEncoder};
use millpond_model::event_loop::{EventLoop, LoopConfig, LoopState};
use millpond_model::handler::{Context, HandlerError, Inbound};
use millpond_model::message::Message;
use millpond_model::pipeline::Named;
use millpond_model::platform::{AtomicOps, Lock};
use millpond_model::promise::{Cause, Outcome, Promise};
use millpond_model::recycler::Domain;
use millpond_model::transport::{MemoryPeer, MemoryTransport, Transport};
use millpond_model::write_path::{Pools, PoolsConfig, WritePathConfig};
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{random, scheduled};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Makes two tests of each generic function: on threads, and on the simulator in many schedules. The ledger must find
/// nothing but in those that misuse something on purpose.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)? $(; misusing: $($misusing:ident),* $(,)?)? $(; in_turn: $($in_turn:ident),* $(,)?)?) => {
        mod on_std {
            $(#[test] fn $name() { super::$name::<millpond_model::Std>(); })*
            $($(#[test] fn $misusing() { super::$misusing::<millpond_model::Std>(); })*)?
            $($(#[test] fn $in_turn() { super::$in_turn::<millpond_model::Std>(); })*)?
        }
        mod on_sim {
            use millpond::engine::Sim;
            $(#[test] fn $name() {
                $crate::write_path_support::schedules().for_each(|options| {
                    millpond_tests::sim::soundly(&options, super::$name::<Sim>);
                });
            })*
            $($(#[test] fn $misusing() {
                $crate::write_path_support::schedules().for_each(|options| {
                    let execution = millpond_tests::sim::to_the_end(&options, || {
                        millpond::engine::with_ledger(|ledger| ledger.only_count());
                        super::$misusing::<Sim>();
                    });
                    assert!(!execution.ledger.findings().is_empty(), "the ledger sees it");
                });
            })*)?
            $($(#[test] fn $in_turn() {
                let run_on = millpond_tests::sim::in_turn();
                // Where time stands still while a thread can run.
                let strategy = millpond::engine::Strategy::RoundRobin;
                let granularity = millpond::engine::Granularity::Operation;
                let round_robin = millpond::engine::Options { strategy, granularity, ..run_on.clone() };
                [run_on, round_robin].iter().for_each(|options| {
                    millpond_tests::sim::soundly(options, super::$in_turn::<Sim>);
                });
            })*)?
        }
    };
}

/// The schedules in which each test is tried.
pub fn schedules() -> impl Iterator<Item = Options> {
    random(16).chain(scheduled(&[Strategy::Pct { depth: 3 }], 8)).chain(scheduled(&[Strategy::RoundRobin], 1))
}

/// What a channel's handler heard, in order.
pub enum Heard {
    Writable(bool),
    Inactive,
}

pub struct Ears<P: Platform>(pub Arc<P::Mutex<Vec<Heard>>>);

impl<P: Platform> Inbound<P> for Ears<P> {
    fn writability_changed(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        let writable = context.channel().expect("it is in a channel").is_writable();
        self.0.lock().push(Heard::Writable(writable));
        Ok(())
    }
    fn inactive(&self, _context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.0.lock().push(Heard::Inactive);
        Ok(())
    }
}

/// A loop, a channel on it, and the other end.
pub struct World<P: Platform> {
    pub event_loop: EventLoop<P>,
    pub linger: EventLoop<P>,
    pub pools: Arc<Pools<P>>,
    pub channel: Channel<P>,
    pub peer: MemoryPeer<P>,
    pub heard: Arc<P::Mutex<Vec<Heard>>>,
}

impl<P: Platform> World<P> {
    pub fn new(preset: Preset, window: usize) -> Self {
        Self::with(preset, preset.into(), window, Box::new(FillEncoder(7)))
    }

    pub fn with(preset: Preset, loops: LoopConfig, window: usize, encoder: Box<dyn Encoder<P>>) -> Self {
        let (transport, peer) = MemoryTransport::pair(window);
        let (world, none) = Self::over(preset, loops, Box::new(transport), encoder, Some(peer));
        assert!(none.is_none());
        world
    }

    /// With handlers before the ears, and rules of the test's own.
    pub fn with_handlers(preset: Preset, handlers: Vec<Named<P>>, rules: impl FnOnce(&mut WritePathConfig)) -> Self {
        let loops = LoopConfig::from(preset);
        let (event_loop, linger) = (EventLoop::new("loop", loops.clone()), EventLoop::new("linger", loops));
        let made = Self::unregistered(preset, event_loop, linger, handlers, rules);
        let registered = Promise::new();
        made.channel.register(&made.event_loop, registered.clone());
        assert_eq!(registered.wait(), Ok(()));
        made.settle(); // the handlers have been told
        made
    }

    /// A channel that has no event loop yet, nor a connection.
    pub fn unconnected(event_loop: EventLoop<P>, linger: EventLoop<P>) -> Self {
        let (transport, peer) = MemoryTransport::pair(usize::MAX);
        peer.disconnect();
        Self::apart(Preset::Millpond, [event_loop, linger], Vec::new(), |_| (), (transport, peer))
    }

    /// A channel that has no event loop yet.
    pub fn unregistered(
        preset: Preset,
        event_loop: EventLoop<P>,
        linger: EventLoop<P>,
        handlers: Vec<Named<P>>,
        rules: impl FnOnce(&mut WritePathConfig),
    ) -> Self {
        Self::apart(preset, [event_loop, linger], handlers, rules, MemoryTransport::pair(usize::MAX))
    }

    fn apart(
        preset: Preset,
        [event_loop, linger]: [EventLoop<P>; 2],
        handlers: Vec<Named<P>>,
        rules: impl FnOnce(&mut WritePathConfig),
        (transport, peer): (MemoryTransport<P>, MemoryPeer<P>),
    ) -> Self {
        let mut config = WritePathConfig::from(preset);
        rules(&mut config);
        let encoder = Box::new(FillEncoder(7));
        Self::assemble(
            preset,
            config,
            [event_loop, linger],
            Box::new(transport),
            encoder,
            handlers,
            peer,
            |_, setup| Channel::new(setup),
        )
    }

    /// Over a transport of the test's own; the peer is an idle one.
    pub fn over(
        preset: Preset,
        loops: LoopConfig,
        transport: Box<dyn Transport<P>>,
        encoder: Box<dyn Encoder<P>>,
        peer: Option<MemoryPeer<P>>,
    ) -> (Self, Option<()>) {
        let config = WritePathConfig::from(preset);
        (Self::made(preset, config, loops, transport, encoder, Vec::new(), peer), None)
    }

    /// With a configuration of the test's own, and handlers, which are nearer to the transport than the one that hears.
    pub fn configured(
        preset: Preset,
        config: WritePathConfig,
        transport: MemoryTransport<P>,
        peer: MemoryPeer<P>,
        handlers: Vec<Named<P>>,
    ) -> Self {
        let encoder = Box::new(FillEncoder(7));
        Self::made(preset, config, preset.into(), Box::new(transport), encoder, handlers, Some(peer))
    }

    fn made(
        preset: Preset,
        config: WritePathConfig,
        loops: LoopConfig,
        transport: Box<dyn Transport<P>>,
        encoder: Box<dyn Encoder<P>>,
        handlers: Vec<Named<P>>,
        peer: Option<MemoryPeer<P>>,
    ) -> Self {
        let peer = peer.unwrap_or_else(|| MemoryTransport::pair(0).1);
        let loops = [EventLoop::new("loop", loops.clone()), EventLoop::new("linger", loops)];
        Self::assemble(preset, config, loops, transport, encoder, handlers, peer, |event_loop, setup| {
            Channel::open(event_loop, setup).unwrap_or_else(|e| panic!("{e}"))
        })
    }

    /// The ears come last: they hear what the handlers give on.
    #[allow(clippy::too_many_arguments)] // the parts of a world
    fn assemble(
        preset: Preset,
        config: WritePathConfig,
        [event_loop, linger]: [EventLoop<P>; 2],
        transport: Box<dyn Transport<P>>,
        encoder: Box<dyn Encoder<P>>,
        mut handlers: Vec<Named<P>>,
        peer: MemoryPeer<P>,
        channel: impl FnOnce(&EventLoop<P>, ChannelSetup<P>) -> Channel<P>,
    ) -> Self {
        let pools = Arc::new(Pools::new_in(&Domain::new(), &PoolsConfig::from(preset), config.one_task_pool));
        let heard = Arc::new(P::Mutex::new(Vec::new()));
        handlers.push(Named::inbound("ears", Ears::<P>(Arc::clone(&heard))));
        let setup = ChannelSetup {
            linger_executor: Some(linger.clone()),
            pools: Arc::clone(&pools),
            config: Arc::new(config),
            transport,
            encoder,
            handlers,
        };
        let channel = channel(&event_loop, setup);
        Self { event_loop, linger, pools, channel, peer, heard }
    }

    /// A message of `text`, and a second count on it.
    pub fn message(&self, text: &str) -> (Message<P>, Owned<P>) {
        let mut buffer = self.pools.buffers.allocate(text.len()).expect("there is memory");
        buffer.put(text.as_bytes()).expect("there is room");
        let witness = buffer.retain().expect("it is alive");
        (Message::Buffer(buffer), Owned::from(witness))
    }

    /// Writes `text` and gives what to check it by.
    pub fn write(&self, text: &str) -> Written<P> {
        let (message, witness) = self.message(text);
        let written = Written::new(witness);
        self.channel.write(message, written.promise.clone()).expect("the promise is new");
        written
    }

    pub fn write_and_flush(&self, text: &str) -> Written<P> {
        let (message, witness) = self.message(text);
        let written = Written::new(witness);
        self.channel.write_and_flush(message, written.promise.clone()).expect("the promise is new");
        written
    }

    /// Runs `f` on the loop and waits for it.
    pub fn on_loop(&self, f: impl FnOnce() + Send + 'static) {
        on_loop(&self.event_loop, f);
    }

    /// Waits until the loop has run what it had, and what that posted.
    pub fn settle(&self) {
        self.on_loop(|| ());
        self.on_loop(|| ());
    }

    /// The peer sends this, and the channel reads it.
    pub fn receive(&self, bytes: &[u8]) {
        self.peer.send(bytes);
        until::<P>(|| self.peer.unread() == 0, "the channel reads");
        self.settle();
    }

    pub fn close(&self) -> Outcome {
        let promise = Promise::new();
        self.channel.close(promise.clone());
        promise.wait()
    }

    pub fn shut_down(&self) {
        self.event_loop.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5));
        self.linger.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5));
        self.event_loop.join().expect("the loop ends well");
        self.linger.join().expect("the loop ends well");
    }

    /// How often the channel became inactive, and that it did so last.
    pub fn told_inactive(&self) -> usize {
        let heard = self.heard.lock();
        let told = heard.iter().filter(|h| matches!(h, Heard::Inactive)).count();
        assert!(told == 0 || matches!(heard.last(), Some(Heard::Inactive)));
        told
    }

    /// The channel has nothing left, and has lost nothing.
    pub fn assert_clean(&self) {
        let stats = self.channel.stats();
        assert!(stats.pending.holds(), "{stats:?}");
        assert_eq!((stats.pending.total, stats.in_flight()), (0, 0), "{stats:?}");
    }
}

/// The rules of our own loops.
pub fn ours() -> LoopConfig {
    Preset::Millpond.into()
}

/// Ends a loop and waits until it has.
pub fn end<P: Platform>(event_loop: &EventLoop<P>) {
    event_loop.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5));
    event_loop.join().expect("the loop ends well");
    assert_eq!(event_loop.state(), LoopState::Terminated);
}

/// Pairs of a thread's number and the number of its write: each thread's come in order, and so many of them.
pub fn assert_in_order(pairs: &[u8], count: [u8; 3]) {
    let mut next = [0_u8; 3];
    for pair in pairs.chunks(2) {
        assert_eq!(pair[1], next[usize::from(pair[0])]);
        next[usize::from(pair[0])] += 1;
    }
    assert_eq!(next, count);
}

pub fn on_loop<P: Platform>(event_loop: &EventLoop<P>, f: impl FnOnce() + Send + 'static) {
    let done = Promise::<P>::untracked();
    let told = done.clone();
    let accepted = event_loop.execute_fn(move || {
        f();
        told.complete(Ok(()));
    });
    accepted.expect("the loop takes tasks");
    assert_eq!(done.wait(), Ok(()));
}

/// Waits until `condition` holds, for some seconds.
pub fn until<P: Platform>(condition: impl Fn() -> bool, what: &str) {
    for _ in 0..5000 {
        if condition() {
            return;
        }
        P::sleep(Duration::from_millis(1));
    }
    panic!("{what}: not within five seconds");
}

/// One write: its promise, how often that completed, and a count of its own on the message.
pub struct Written<P: Platform> {
    pub promise: Promise<P>,
    completions: Arc<P::Atomic<u32>>,
    pub witness: Owned<P>,
}

impl<P: Platform> Written<P> {
    pub fn new(witness: Owned<P>) -> Self {
        let (promise, completions) = (Promise::new(), Arc::new(P::Atomic::new(0)));
        let counted = Arc::clone(&completions);
        promise.add_listener(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        Self { promise, completions, witness }
    }

    /// It ended once, in this way, and its message was released once.
    pub fn assert_ended(&self, outcome: Outcome) {
        assert_eq!(self.promise.wait(), outcome);
        // Complete is seen before the listeners have run.
        until::<P>(|| self.completions.load(Ordering::SeqCst) > 0, "the listener runs");
        self.assert_released();
        assert_eq!(self.completions.load(Ordering::SeqCst), 1, "a promise completes once");
    }

    /// The message was released once: only the witness' own count is left.
    pub fn assert_released(&self) {
        // The promise may complete before the message is released, in old releases.
        until::<P>(|| self.witness.count() == 1, "the message is released once");
    }

    pub fn is_lost(&self) -> bool {
        self.promise.outcome().is_none() && self.witness.count() == 2
    }
}

pub const CLOSED: Outcome = Err(Cause::ClosedChannel);
