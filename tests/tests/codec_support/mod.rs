//! What the tests of handlers share: a line with one handler in it, and oracles.
#![allow(dead_code)] // each test file uses a part of it

use millpond::engine::{Execution, Options, Plant, When, with_ledger};
use millpond::ledger::FindingKind;
use millpond_model::allocator::{Allocator, AllocatorConfig, Backend};
use millpond_model::buffer::{Buffer, Owned};
use millpond_model::channel::IllegalPromise;
use millpond_model::codec::{
    CodecConfig, Consume, Context, Decode, Encode, EncodeMessages, HandlerError, Inbound, Outbound, Outputs, UserEvent,
};
use millpond_model::message::{Message, Object};
use millpond_model::observe::{Defect, Kind};
use millpond_model::platform::AtomicOps;
use millpond_model::promise::{Cause, Outcome, Promise};
use millpond_model::recycler::Domain;
use millpond_model::refcnt::IllegalCount;
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, soundly, to_the_end};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Makes two tests of each generic function: on `Std`, and on the simulator, whose ledger must find nothing and have nothing
/// left.
#[macro_export]
macro_rules! released_on_both {
    ($($name:ident),* $(,)?) => {
        mod on_std {
            $(#[test] fn $name() { super::$name::<millpond_model::Std>(); })*
        }
        mod on_sim {
            $(#[test] fn $name() { $crate::codec_support::released(super::$name::<millpond::engine::Sim>); })*
        }
    };
}

/// Runs on the simulator: nothing is found, and everything that was counted or promised has ended.
#[track_caller]
pub fn released(f: impl FnOnce()) -> Execution {
    let execution = soundly(&in_turn(), f);
    nothing_left(&execution);
    execution
}

#[track_caller]
pub fn nothing_left(execution: &Execution) {
    for kind in [Kind::Buffer, Kind::Message, Kind::Promise] {
        let left = execution.ledger.owned(kind, 3);
        assert!(left.is_empty(), "{left:#?}");
    }
}

/// Runs on the simulator with a defect planted, if there is one, and gives what the ledger finds, without repetition.
pub fn found(plant: Option<Defect>, f: impl FnOnce()) -> Vec<FindingKind> {
    let plants = plant.map(|defect| Plant { defect, when: When::Always }).into_iter().collect();
    let execution = to_the_end(&Options { plants, ..in_turn() }, || {
        with_ledger(|ledger| ledger.only_count());
        f();
    });
    assert!(execution.plants_struck.iter().all(|&struck| struck > 0), "the planted defect had an occasion");
    let mut found: Vec<FindingKind> = execution.ledger.findings().iter().map(|finding| finding.kind).collect();
    found.sort();
    found.dedup();
    found
}

/// Millpond's rules, and those of each Netty release.
pub fn configs() -> impl Iterator<Item = CodecConfig> {
    Preset::ALL.into_iter().map(CodecConfig::from)
}

pub const OURS: Preset = Preset::Millpond;

/// What came out of a line, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Seen {
    Read(Vec<u8>),
    Object,
    ReadComplete,
    Inactive,
    Event,
    Exception(String),
    Written(Vec<u8>),
}

pub fn read(bytes: impl AsRef<[u8]>) -> Seen {
    Seen::Read(bytes.as_ref().to_vec())
}

pub fn written(bytes: impl AsRef<[u8]>) -> Seen {
    Seen::Written(bytes.as_ref().to_vec())
}

type Reaction<P, H> = Box<dyn Fn(&Line<P, H>, &Seen)>;

/// One handler, and what is before and after it: it records what it is given and releases it.
pub struct Line<P: Platform, H> {
    pub allocator: Allocator<P>,
    pub handler: H,
    removed: Cell<bool>,
    seen: RefCell<Vec<Seen>>,
    /// Called after each thing seen, before that is released; not while it is on the stack already.
    pub reaction: RefCell<Option<Reaction<P, H>>>,
    /// What the transport answers.
    pub transport: Cell<Outcome>,
    /// What is read is kept instead of released.
    pub keeps: Cell<bool>,
    kept: RefCell<Vec<Owned<P>>>,
}

impl<P: Platform, H> Line<P, H> {
    pub fn new(handler: H) -> Self {
        Self {
            allocator: allocator(),
            handler,
            removed: Cell::new(false),
            seen: RefCell::default(),
            reaction: RefCell::new(None),
            transport: Cell::new(Ok(())),
            keeps: Cell::new(false),
            kept: RefCell::default(),
        }
    }

    /// Does `f` each time that something is seen.
    pub fn react(&self, f: impl Fn(&Self, &Seen) + 'static) {
        *self.reaction.borrow_mut() = Some(Box::new(f));
    }

    /// What came out since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.take()
    }

    /// What was kept.
    pub fn take_kept(&self) -> Vec<Owned<P>> {
        self.kept.take()
    }

    /// Does something once, with the thing seen first.
    pub fn react_once(&self, f: impl Fn(&Self) + 'static) {
        let done = Cell::new(false);
        self.react(move |line, _| {
            if !done.replace(true) {
                f(line);
            }
        });
    }

    pub fn buffer(&self, bytes: impl AsRef<[u8]>) -> Buffer<P> {
        let mut buffer = self.allocator.allocate(bytes.as_ref().len().max(1)).expect("there is memory");
        buffer.put(bytes.as_ref()).expect("there is room");
        buffer
    }

    /// A message, and an uncounted handle to see its end by.
    pub fn message(&self, bytes: impl AsRef<[u8]>) -> (Message<P>, Witness<P>) {
        let buffer = self.buffer(bytes);
        let witness = Witness(buffer.duplicate().expect("it is alive"));
        (buffer.into(), witness)
    }

    fn saw(&self, seen: Seen) {
        self.seen.borrow_mut().push(seen.clone());
        let reaction = self.reaction.borrow_mut().take();
        if let Some(f) = reaction {
            f(self, &seen);
            self.reaction.borrow_mut().get_or_insert(f);
        }
    }
}

/// An uncounted handle of a buffer.
pub struct Witness<P: Platform>(pub Buffer<P>);

impl<P: Platform> Witness<P> {
    #[track_caller]
    pub fn assert_released(&self) {
        assert_eq!(self.0.count(), 0, "it is released");
    }
}

/// Without a pool: each buffer takes memory from the platform, which may refuse.
pub fn allocator<P: Platform>() -> Allocator<P> {
    let config = AllocatorConfig { backend: Backend::Unpooled, ..Preset::Millpond.into() };
    Allocator::new_in(&Domain::new(), config)
}

/// The bytes of a buffer; nothing for a dead one.
pub fn bytes_of<P: Platform>(buffer: &Buffer<P>) -> Vec<u8> {
    buffer.chunks().map_or_else(|_| b"DEAD".to_vec(), |bytes| bytes.iter().collect::<Vec<_>>().concat())
}

/// Of the handler that each side calls.
pub trait Side<P: Platform>: Sized {
    fn is_told_of_removal(&self, line: &Line<P, Self>);
}

/// An inbound handler.
pub struct In<H>(pub H);
/// An outbound handler.
pub struct Out<H>(pub H);

impl<P: Platform, H: Inbound<P>> Side<P> for In<H> {
    fn is_told_of_removal(&self, line: &Line<P, Self>) {
        let result = self.0.removed(line);
        line.tell(result);
    }
}

impl<P: Platform, H: Outbound<P>> Side<P> for Out<H> {
    fn is_told_of_removal(&self, _line: &Line<P, Self>) {}
}

impl<P: Platform, H: Inbound<P>> Line<P, In<H>> {
    pub fn read(&self, message: impl Into<Message<P>>) {
        let result = self.handler.0.read(self, message.into());
        self.tell(result);
    }

    /// Reads bytes, and sees that their buffer is released at last: the witness is for that.
    pub fn read_bytes(&self, bytes: impl AsRef<[u8]>) -> Witness<P> {
        let (message, witness) = self.message(bytes);
        self.read(message);
        witness
    }

    pub fn read_complete(&self) {
        let result = self.handler.0.read_complete(self);
        self.tell(result);
    }

    pub fn inactive(&self) {
        let result = self.handler.0.inactive(self);
        self.tell(result);
    }

    pub fn event(&self, event: UserEvent<P>) {
        let result = self.handler.0.user_event(self, event);
        self.tell(result);
    }

    fn tell(&self, result: Result<(), HandlerError>) {
        if let Err(error) = result {
            let result = self.handler.0.exception(self, error);
            result.expect("it passes exceptions on");
        }
    }
}

impl<P: Platform, H: Outbound<P>> Line<P, Out<H>> {
    /// Writes as a pipeline does: an error fails the promise.
    pub fn write(&self, message: impl Into<Message<P>>) -> (Promise<P>, Result<(), HandlerError>) {
        let promise = Promise::new();
        let result = self.write_with(message, &promise);
        (promise, result)
    }

    pub fn write_with(&self, message: impl Into<Message<P>>, promise: &Promise<P>) -> Result<(), HandlerError> {
        let result = self.handler.0.write(self, message.into(), promise.clone());
        if let Err(error) = &result {
            promise.try_complete(Err(error.cause()));
        }
        result
    }
}

impl<P: Platform, H: Side<P>> Context<P> for Line<P, H> {
    fn allocator(&self) -> &Allocator<P> {
        &self.allocator
    }

    fn is_removed(&self) -> bool {
        self.removed.get()
    }

    fn remove(&self) {
        assert!(!self.removed.replace(true), "a handler is removed once");
        self.handler.is_told_of_removal(self);
    }

    fn fire_read(&self, message: Message<P>) {
        match message {
            Message::Buffer(buffer) => {
                self.saw(Seen::Read(bytes_of(&buffer)));
                let buffer = Owned::from(buffer);
                if self.keeps.get() {
                    self.kept.borrow_mut().push(buffer);
                }
            }
            other => {
                self.saw(Seen::Object);
                other.release();
            }
        }
    }

    fn fire_read_complete(&self) {
        self.saw(Seen::ReadComplete);
    }

    fn fire_inactive(&self) {
        self.saw(Seen::Inactive);
    }

    fn fire_user_event(&self, event: UserEvent<P>) {
        self.saw(Seen::Event);
        if let UserEvent::Message(message) = event {
            message.release();
        }
    }

    fn fire_exception(&self, error: HandlerError) {
        self.saw(Seen::Exception(error.to_string()));
    }

    fn write(&self, message: Message<P>, promise: Promise<P>) -> Result<(), IllegalPromise> {
        if promise.is_done() {
            message.release();
            return if promise.is_cancelled() { Ok(()) } else { Err(IllegalPromise) };
        }
        match &message {
            Message::Buffer(buffer) => self.saw(Seen::Written(bytes_of(buffer))),
            _ => self.saw(Seen::Object),
        }
        message.release();
        promise.complete(self.transport.get());
        Ok(())
    }

    fn flush(&self) {}
}

// ---- handlers of closures

pub struct Decoding<F>(F);

pub fn decoding<P: Platform, F>(f: F) -> Decoding<F>
where
    F: Fn(&dyn Context<P>, &mut Buffer<P>, &mut Outputs<P>) -> Result<(), HandlerError> + Send,
{
    Decoding(f)
}

impl<P: Platform, F> Decode<P> for Decoding<F>
where
    F: Fn(&dyn Context<P>, &mut Buffer<P>, &mut Outputs<P>) -> Result<(), HandlerError> + Send,
{
    fn decode(&self, ctx: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        self.0(ctx, input, out)
    }
}

pub struct Consuming<M, F>(F, PhantomData<fn(M)>);

pub fn consuming<P: Platform, M: 'static, F>(f: F) -> Consuming<M, F>
where
    F: Fn(&dyn Context<P>, &M) -> Result<(), HandlerError> + Send,
{
    Consuming(f, PhantomData)
}

impl<P: Platform, M: 'static, F> Consume<P> for Consuming<M, F>
where
    F: Fn(&dyn Context<P>, &M) -> Result<(), HandlerError> + Send,
{
    type Message = M;
    fn consume(&self, ctx: &dyn Context<P>, message: &M) -> Result<(), HandlerError> {
        self.0(ctx, message)
    }
}

pub struct Encoding<M, F>(F, PhantomData<fn(M)>);

pub fn encoding<P: Platform, M: 'static, F>(f: F) -> Encoding<M, F>
where
    F: Fn(&M, &mut Buffer<P>) -> Result<(), HandlerError> + Send,
{
    Encoding(f, PhantomData)
}

impl<P: Platform, M: 'static, F> Encode<P> for Encoding<M, F>
where
    F: Fn(&M, &mut Buffer<P>) -> Result<(), HandlerError> + Send,
{
    type Message = M;
    fn encode(&self, _: &dyn Context<P>, message: &M, out: &mut Buffer<P>) -> Result<(), HandlerError> {
        self.0(message, out)
    }
}

pub fn several<P: Platform, M: 'static, F>(f: F) -> Encoding<M, F>
where
    F: Fn(&M, &mut Outputs<P>) -> Result<(), HandlerError> + Send,
{
    Encoding(f, PhantomData)
}

impl<P: Platform, M: 'static, F> EncodeMessages<P> for Encoding<M, F>
where
    F: Fn(&M, &mut Outputs<P>) -> Result<(), HandlerError> + Send,
{
    type Message = M;
    fn encode(&self, _: &dyn Context<P>, message: &M, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        self.0(message, out)
    }
}

/// Any failure.
pub fn broken() -> HandlerError {
    HandlerError::other("broken on purpose")
}

pub const BROKEN: &str = "broken on purpose";
pub const ENCODER_FAILED: Outcome = Err(Cause::EncoderFailed);

/// A counted object: each handle refers to one count.
pub struct Counted<P: Platform>(pub Arc<P::Atomic<u32>>);

impl<P: Platform> Counted<P> {
    pub fn new() -> (Self, Arc<P::Atomic<u32>>) {
        let count = Arc::new(P::Atomic::new(1));
        (Self(Arc::clone(&count)), count)
    }
}

pub fn count_of<P: Platform>(count: &P::Atomic<u32>) -> u32 {
    count.load(Ordering::SeqCst)
}

impl<P: Platform> Object<P> for Counted<P> {
    fn count(&self) -> Option<u32> {
        Some(count_of::<P>(&self.0))
    }

    fn retain(&self) -> Result<Option<Box<dyn Object<P>>>, IllegalCount> {
        if count_of::<P>(&self.0) == 0 {
            return Err(IllegalCount { count: 0, change: 1 });
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Box::new(Self(Arc::clone(&self.0)))))
    }

    fn release(&self) -> Result<bool, IllegalCount> {
        if count_of::<P>(&self.0) == 0 {
            return Err(IllegalCount { count: 0, change: -1 });
        }
        Ok(self.0.fetch_sub(1, Ordering::SeqCst) == 1)
    }
}

/// An object that isn't counted.
#[derive(PartialEq, Debug)]
pub struct Plain(pub u32);

impl<P: Platform> Object<P> for Plain {}
