//! Bytes become messages.
//!
//! **Invariant: the decoder owns each buffer it was given until its bytes are read, and owns one cumulation at most**; it is
//! released when it is read, when the input ends, and with the decoder, and given on when the decoder is removed.
//!
//! ```text
//!   read ──> queue ──> cumulate ──> cumulation ──lend──> decode ──> outputs ──> next handler
//!              ^                        │  ^               │                        │
//!              │                        │  └─what is read──┘                        │
//!              │                     all read: released                             │
//!              └───── fed again, closed or removed while on the stack: later ───────┘
//! ```
//!
//! The cumulation stays the decoder's while `decode` works on it by a second handle of the same count. So whatever user code
//! does meanwhile (it may call anything) the worst it can get is a refusal. Nothing is borrowed while user code runs.
//!
//! What Netty releases do otherwise is in [`CodecConfig`]; there, what is called while the decoder is on the stack happens at
//! once.

use super::resume;
use super::{
    CodecConfig, Context, Cumulator, HandlerError, Inbound, MergeCumulator, Outputs, ReentrantRead, UserEvent,
};
use crate::buffer::{Buffer, Composite, Owned};
use crate::message::Message;
use crate::observe::Defect;
use crate::release::OwnedMessage;
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::RefCell;
use core::mem::{replace, take};

/// The user's part of a [`ByteToMessageDecoder`].
///
/// It is called through `&self`, because it may feed itself through the context.
pub trait Decode<P: Platform = Std>: Send {
    /// Reads from `input` and pushes what it makes of it. Called again as long as it reads something, or reads and makes
    /// something, and bytes are left. `input` isn't the decoder's: what shares its memory and is pushed needs a count of its own
    /// ([`Buffer::read_retained_slice`]).
    ///
    /// # Errors
    /// Whatever. What was pushed is given on all the same, and what is read is read.
    fn decode(&self, context: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>)
    -> Result<(), HandlerError>;

    /// As [`Decode::decode`], once, when no more will come. `input` is the empty buffer if nothing is left.
    ///
    /// # Errors
    /// As [`Decode::decode`].
    fn decode_last(
        &self,
        context: &dyn Context<P>,
        input: &mut Buffer<P>,
        out: &mut Outputs<P>,
    ) -> Result<(), HandlerError> {
        if input.readable() > 0 { self.decode(context, input, out) } else { Ok(()) }
    }
}

/// A handle for `decode`, and since when the cumulation is that buffer.
struct Lent<P: Platform> {
    buffer: Buffer<P>,
    since: u64,
}

/// What has come and has not been looked at.
enum Arrived<P: Platform> {
    Message(OwnedMessage<P>),
    ReadComplete,
    InputShutdown,
    Inactive,
}

struct State<P: Platform> {
    cumulation: Option<Owned<P>>,
    /// How often the cumulation has become another buffer.
    since: u64,
    /// Which of these buffers was read to its end and released last.
    read: u64,
    /// It is the very buffer that was read, which nobody has copied yet.
    is_first: bool,
    /// Since bytes were discarded.
    reads: u32,
    /// Inside `decode`.
    is_decoding: bool,
    /// Somewhere on the stack, and so looking at the queue before it returns.
    is_busy: bool,
    removal_waits: bool,
    queue: VecDeque<Arrived<P>>,
}

/// A handler that cuts a stream of bytes into messages: Netty's `ByteToMessageDecoder`. See the [module](self).
///
/// *Takes* buffers; *gives* what was decoded, onwards, in order, and anything that isn't a buffer as it is; *keeps* the
/// cumulation. When the input ends (the channel becomes inactive or its input is shut down) the rest is offered to
/// [`Decode::decode_last`] and released; when the decoder is removed, given on.
pub struct ByteToMessageDecoder<D, P: Platform = Std> {
    decoder: D,
    config: CodecConfig,
    cumulator: Box<dyn Cumulator<P>>,
    single_decode: bool,
    state: RefCell<State<P>>,
}

impl<P: Platform, D: Decode<P>> ByteToMessageDecoder<D, P> {
    /// A decoder that merges.
    pub fn new(decoder: D, config: impl Into<CodecConfig>) -> Self {
        let config = config.into();
        let state = State {
            cumulation: None,
            since: 0,
            read: 0,
            is_first: false,
            reads: 0,
            is_decoding: false,
            is_busy: false,
            removal_waits: false,
            queue: VecDeque::new(),
        };
        let cumulator = Box::new(MergeCumulator::new(config));
        Self { decoder, config, cumulator, single_decode: false, state: RefCell::new(state) }
    }

    /// With another cumulator.
    pub fn cumulate_by(self, cumulator: impl Cumulator<P> + 'static) -> Self {
        Self { cumulator: Box::new(cumulator), ..self }
    }

    /// Whether one message at most is decoded for each buffer read, so that a decoder that replaces this one gets the rest.
    pub fn single_decode(self, single_decode: bool) -> Self {
        Self { single_decode, ..self }
    }

    /// The decoder.
    pub fn decoder(&self) -> &D {
        &self.decoder
    }

    /// Bytes kept.
    pub fn readable(&self) -> usize {
        self.state.borrow().cumulation.as_ref().map_or(0, |c| c.readable())
    }

    /// Bytes that the cumulation has room for, read ones included.
    pub fn capacity(&self) -> usize {
        self.state.borrow().cumulation.as_ref().map_or(0, |c| c.capacity())
    }

    fn queues(&self) -> bool {
        self.config.reentrant_read == ReentrantRead::Queued && !P::planted(Defect::ReentrantRead)
    }

    /// Takes care of what has come: now, or when the call on the stack has done with what came before.
    fn arrive(&self, context: &dyn Context<P>, arrived: Arrived<P>) -> Result<(), HandlerError> {
        if !self.queues() {
            return self.process(context, arrived);
        }
        let mut state = self.state.borrow_mut();
        state.queue.push_back(arrived);
        if replace(&mut state.is_busy, true) {
            return Ok(());
        }
        drop(state);
        let drained = P::catch(|| self.drain(context));
        self.state.borrow_mut().is_busy = false;
        resume(drained)
    }

    fn drain(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        let mut result = Ok(());
        loop {
            let Some(next) = self.state.borrow_mut().queue.pop_front() else { return result };
            if let Err(error) = replace(&mut result, Ok(())) {
                context.fire_exception(error); // only the last one can be the answer
            }
            result = if context.is_removed() { self.forward(context, next) } else { self.process(context, next) };
        }
    }

    fn forward(&self, context: &dyn Context<P>, arrived: Arrived<P>) -> Result<(), HandlerError> {
        match arrived {
            Arrived::Message(message) => context.fire_read(message.into_message()),
            Arrived::ReadComplete => context.fire_read_complete(),
            Arrived::InputShutdown => context.fire_user_event(UserEvent::InputShutdown),
            Arrived::Inactive => context.fire_inactive(),
        }
        Ok(())
    }

    fn process(&self, context: &dyn Context<P>, arrived: Arrived<P>) -> Result<(), HandlerError> {
        let ended = match arrived {
            Arrived::Message(message) => match message.into_message() {
                Message::Buffer(input) => return self.decode_input(context, Owned::from(input)),
                other => return self.forward(context, Arrived::Message(other.into())),
            },
            Arrived::ReadComplete => {
                self.discard();
                Ok(Ok(()))
            }
            Arrived::InputShutdown | Arrived::Inactive => P::catch(|| self.end_input(context)),
        };
        let forwarded = self.forward(context, arrived);
        resume(ended).and(forwarded)
    }

    fn decode_input(&self, context: &dyn Context<P>, input: Owned<P>) -> Result<(), HandlerError> {
        let mut out = Outputs::new();
        let decoded = P::catch(|| {
            self.cumulate(context, input)?;
            self.decode_all(context, &mut out)
        });
        let settled = self.settle();
        out.fire(context);
        let removed = self.finish_waiting_removal(context);
        resume(decoded).and(settled).and(removed)
    }

    fn cumulate(&self, context: &dyn Context<P>, input: Owned<P>) -> Result<(), HandlerError> {
        let Some(mut cumulation) = self.take() else {
            self.put(input, true, true);
            return Ok(());
        };
        let before = cumulation.shell_serial();
        let cumulated = self.cumulator.cumulate(context.allocator(), &mut cumulation, input);
        let is_new = cumulation.shell_serial() != before;
        self.put(cumulation, false, is_new);
        cumulated
    }

    /// Decodes as long as that gets on.
    fn decode_all(&self, context: &dyn Context<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        let Some(mut lent) = self.lend()? else { return Ok(()) };
        while lent.buffer.readable() > 0 {
            if !out.is_empty() {
                out.fire(context);
                if context.is_removed() {
                    break;
                }
                self.refresh(&mut lent)?;
            }
            let before = lent.buffer.readable();
            self.decode_once(context, &mut lent, out, D::decode)?;
            if context.is_removed() {
                break;
            }
            let has_read = lent.buffer.readable() != before;
            match (out.is_empty(), has_read) {
                (true, true) => continue,
                (true, false) => break,
                (false, false) => return Err(HandlerError::NoProgress),
                (false, true) if self.single_decode => break,
                (false, true) => {}
            }
        }
        Ok(())
    }

    fn decode_once(
        &self,
        context: &dyn Context<P>,
        lent: &mut Lent<P>,
        out: &mut Outputs<P>,
        decode: impl FnOnce(&D, &dyn Context<P>, &mut Buffer<P>, &mut Outputs<P>) -> Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        let outer = replace(&mut self.state.borrow_mut().is_decoding, true);
        let decoded = P::catch(|| decode(&self.decoder, context, &mut lent.buffer, out));
        self.state.borrow_mut().is_decoding = outer;
        self.give_back(lent);
        resume(decoded)
    }

    /// Releases the cumulation if it is read, or is dead, which it can't be unless somebody released it who had no right to.
    fn settle(&self) -> Result<(), HandlerError> {
        let mut state = self.state.borrow_mut();
        state.reads += 1;
        let is_due = state.reads >= self.config.discard_after_reads;
        if state.cumulation.as_ref().is_some_and(|c| c.readable() == 0 || c.count() == 0) {
            state.read = state.since;
            drop(state);
            return self.release();
        }
        drop(state);
        if is_due {
            self.discard();
        }
        Ok(())
    }

    /// The end of the input: what is left is decoded as far as possible, and released.
    fn end_input(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        let mut out = Outputs::new();
        let decoded = P::catch(|| {
            self.decode_all(context, &mut out)?;
            if context.is_removed() {
                return Ok(());
            }
            let mut lent = self.lend()?.unwrap_or(Lent { buffer: Buffer::empty(), since: 0 });
            self.decode_once(context, &mut lent, &mut out, D::decode_last)
        });
        let is_kept = self.state.borrow().removal_waits; // the removal gives it on
        let released = if is_kept { Ok(()) } else { self.release() };
        if out.fire(context) > 0 {
            context.fire_read_complete();
        }
        let removed = self.finish_waiting_removal(context);
        resume(decoded).and(released).and(removed)
    }

    fn finish_waiting_removal(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        let mut state = self.state.borrow_mut();
        let is_due = !state.is_decoding && take(&mut state.removal_waits);
        drop(state);
        if is_due { self.finish_removal(context) } else { Ok(()) }
    }

    /// Gives on what hasn't been read.
    fn finish_removal(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        if P::planted(Defect::CumulationKept) {
            return self.finish_removal_late(context);
        }
        let Some(mut rest) = self.take() else { return Ok(()) };
        let readable = rest.readable();
        if readable == 0 || rest.count() == 0 {
            return rest.release().map(drop).map_err(HandlerError::InputReleased);
        }
        let rest = if self.config.copy_on_removal { Owned::from(rest.read_bytes(readable)?) } else { rest };
        context.fire_read(rest.into());
        context.fire_read_complete();
        Ok(())
    }

    /// As through Netty 4.1.0: the field is cleared too late. Planted only.
    fn finish_removal_late(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        let Some(lent) = self.lend()? else { return Ok(()) };
        context.fire_read(lent.buffer.into());
        context.fire_read_complete();
        drop(self.take().map(Owned::into_buffer));
        Ok(())
    }

    // ---- the cumulation

    fn take(&self) -> Option<Owned<P>> {
        self.state.borrow_mut().cumulation.take()
    }

    fn put(&self, cumulation: Owned<P>, is_first: bool, is_new: bool) {
        let mut state = self.state.borrow_mut();
        state.since += u64::from(is_new);
        state.is_first = is_first;
        let before = state.cumulation.replace(cumulation);
        drop(state);
        assert!(before.is_none() || P::unwinding(), "a decoder has one cumulation");
    }

    /// Releases the cumulation, if there is one.
    fn release(&self) -> Result<(), HandlerError> {
        let Some(cumulation) = self.take() else { return Ok(()) };
        self.state.borrow_mut().reads = 0;
        cumulation.release().map(drop).map_err(HandlerError::InputReleased)
    }

    /// A handle for `decode`.
    fn lend(&self) -> Result<Option<Lent<P>>, HandlerError> {
        let state = self.state.borrow();
        let Some(cumulation) = &state.cumulation else { return Ok(None) };
        Ok(Some(Lent { buffer: cumulation.duplicate()?, since: state.since }))
    }

    /// What was read through the lent handle is read. If the cumulation is another one meanwhile, that is over anyway.
    fn give_back(&self, lent: &Lent<P>) {
        let mut state = self.state.borrow_mut();
        let is_same = state.since == lent.since;
        if let Some(cumulation) = state.cumulation.as_mut().filter(|_| is_same) {
            let read = cumulation.readable().saturating_sub(lent.buffer.readable());
            cumulation.advance(read);
        }
    }

    /// Where decoding is immediate an inner call may have read, and appended. If it put another buffer in the place of what is
    /// lent, that is dead now, and will refuse.
    fn refresh(&self, lent: &mut Lent<P>) -> Result<(), HandlerError> {
        if self.queues() {
            return Ok(()); // nobody was here
        }
        match self.lend()? {
            Some(now) if now.since == lent.since => *lent = now,
            _ if self.state.borrow().read == lent.since => lent.buffer.advance(lent.buffer.readable()),
            _ => {}
        }
        Ok(())
    }

    /// Discards bytes that have been read, if they are many, and nobody shares them.
    fn discard(&self) {
        let mut state = self.state.borrow_mut();
        state.reads = 0;
        let is_first = state.is_first;
        if let Some(cumulation) = state.cumulation.as_mut().filter(|c| !is_first && c.count() == 1) {
            discard_read(cumulation);
        }
    }
}

/// Of a composite, whole components go; else the rest is moved. Where somebody is inside, it can wait.
fn discard_read<P: Platform>(buffer: &mut Owned<P>) {
    let whole = replace(buffer, Owned::from(Buffer::empty())).into_buffer();
    let buffer_again = match Composite::try_from(whole) {
        Ok(mut composite) => {
            let _refused = composite.discard_read_components();
            composite.into_buffer()
        }
        Err(mut buffer) => {
            let _refused = buffer.discard_some_read_bytes();
            buffer
        }
    };
    *buffer = Owned::from(buffer_again);
}

impl<P: Platform, D: Decode<P>> Inbound<P> for ByteToMessageDecoder<D, P> {
    fn read(&self, context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        self.arrive(context, Arrived::Message(message.into()))
    }

    fn read_complete(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.arrive(context, Arrived::ReadComplete)
    }

    fn inactive(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.arrive(context, Arrived::Inactive)
    }

    fn user_event(&self, context: &dyn Context<P>, event: UserEvent<P>) -> Result<(), HandlerError> {
        match event {
            UserEvent::InputShutdown => return self.arrive(context, Arrived::InputShutdown),
            other => context.fire_user_event(other),
        }
        Ok(())
    }

    fn removed(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        let (queues, defers) = (self.queues(), !P::planted(Defect::EarlyRemoval));
        let mut state = self.state.borrow_mut();
        let is_inside = if queues { state.is_busy } else { self.config.defer_removal && state.is_decoding };
        if is_inside && defers {
            state.removal_waits = true;
            return Ok(());
        }
        let has_more = !state.is_busy && !state.queue.is_empty(); // a panic left it
        drop(state);
        let finished = self.finish_removal(context);
        if has_more { finished.and(self.drain(context)) } else { finished }
    }
}
