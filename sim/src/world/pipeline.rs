//! The pipeline of a scenario, built for each channel.
//!
//! **Invariant: an entry that is added at run time comes to its place in the order of the scenario**, next to the nearest one
//! before it that is there.

use super::desk::Desk;
use super::exchange::Table;
use super::handlers::Acting;
use super::wire::{Framing, LENGTH};
use crate::scenario::{Decoder, Does, Encoder, Entry, Fault, On, Owns, Scenario, limits};
use millpond_model::Platform;
use millpond_model::buffer::Buffer;
use millpond_model::channel::Channel;
use millpond_model::codec::{
    ByteToMessageDecoder, CodecConfig, Context, Encode, FixedLengthFrameDecoder, HandlerError, LengthField,
    LengthFieldFrameDecoder, LengthFieldPrepender, MessageToByteEncoder, MessageToMessageEncoder,
};
use millpond_model::event_loop::EventLoop;
use millpond_model::pipeline::{Named, PipelineError};
use millpond_model::platform::AtomicOps;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a handler knows of the messages that it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// Each is one request, the one after the last one.
    Requests,
    /// Each is one request.
    AnyRequests,
    /// They are a part of the stream of requests.
    Stream,
    /// Nothing.
    Unknown,
}

/// What the handlers of all channels share.
pub(super) struct Setting<P: Platform> {
    pub(super) entries: Vec<Entry>,
    pub(super) faults: Vec<Fault>,
    executors: Vec<EventLoop<P>>,
    codec: CodecConfig,
    pub(super) desk: Arc<Desk<P>>,
    pub(super) table: Arc<Table<P>>,
    pub(super) content: Content,
    pub(super) seed: u64,
}

/// What the handlers of one channel share.
pub(super) struct Line<P: Platform> {
    pub(super) setting: Arc<Setting<P>>,
    /// The channel's index.
    pub(super) channel: u32,
    /// Entries added at run time.
    additions: P::Atomic<u32>,
}

impl<P: Platform> Setting<P> {
    pub(super) fn new(
        scenario: &Scenario,
        executors: &[EventLoop<P>],
        desk: &Arc<Desk<P>>,
        table: &Arc<Table<P>>,
        seed: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            entries: scenario.pipeline.clone(),
            faults: scenario.faults.clone(),
            executors: executors.to_vec(),
            codec: scenario.pool.preset.into(),
            desk: Arc::clone(desk),
            table: Arc::clone(table),
            content: content(&scenario.pipeline),
            seed,
        })
    }

    /// The handlers that channel `channel` has from the beginning.
    pub(super) fn handlers(self: &Arc<Self>, channel: u32) -> Vec<Named<P>> {
        let line = Arc::new(Line { setting: Arc::clone(self), channel, additions: P::Atomic::new(0) });
        let there = (0..self.entries.len()).filter(|&i| self.entries[i].is_there());
        there.map(|i| line.named(i)).collect()
    }
}

impl<P: Platform> Line<P> {
    /// The entry of this index, made for this channel.
    fn named(self: &Arc<Self>, index: usize) -> Named<P> {
        let entry = &self.setting.entries[index];
        let (name, codec) = (entry.name(), self.setting.codec);
        let bytes = |size: crate::scenario::Size| usize::try_from(size.bytes()).expect("`check` limits sizes");
        match entry {
            Entry::Decoder(Decoder::FixedLength(size)) => {
                Named::inbound(name, ByteToMessageDecoder::new(FixedLengthFrameDecoder::new(bytes(*size)), codec))
            }
            Entry::Decoder(Decoder::LengthField { max_frame }) => {
                let frames = LengthFieldFrameDecoder::new(LengthField::first(LENGTH), bytes(*max_frame), LENGTH);
                Named::inbound(name, ByteToMessageDecoder::new(frames, codec))
            }
            Entry::Encoder(Encoder::LengthField { .. }) => {
                Named::outbound(name, MessageToMessageEncoder::new(LengthFieldPrepender::new(LENGTH), codec))
            }
            Entry::Encoder(Encoder::Copies) => Named::outbound(name, MessageToByteEncoder::new(Copies, codec)),
            Entry::Handler(handler) => {
                let named = Named::inbound(name, Acting::new(self, index));
                match handler.on {
                    On::Loop => named,
                    On::Executor(k) => named.on(&self.setting.executors[k as usize]),
                }
            }
        }
    }

    /// Adds the entry called `name`. One that is there stays; a closed channel takes none.
    pub(super) fn add(self: &Arc<Self>, name: &str, channel: &Channel<P>) {
        let entries = &self.setting.entries;
        let Some(index) = entries.iter().position(|entry| entry.name() == name) else { return };
        // Relaxed: a count; who gets a number uses nothing else.
        if self.additions.fetch_add(1, Ordering::Relaxed) >= limits::ADDITIONS {
            return; // two that add and remove each other
        }
        for before in entries[..index].iter().rev() {
            match channel.pipeline().add_after(before.name(), self.named(index)) {
                Err(PipelineError::NoSuchHandler(_)) => {}
                Ok(()) | Err(_) => return,
            }
        }
        // It is there, or the channel is closed: both are fine.
        let _refused = channel.pipeline().add_first(self.named(index));
    }
}

/// Copies a buffer.
struct Copies;

impl<P: Platform> Encode<P> for Copies {
    type Message = Buffer<P>;

    fn encode(&self, _: &dyn Context<P>, message: &Buffer<P>, out: &mut Buffer<P>) -> Result<(), HandlerError> {
        let bytes = message.bytes()?;
        out.put(&bytes)?;
        Ok(())
    }
}

/// Whether some handler removes the entry of this name.
fn is_removed(entries: &[Entry], name: &str) -> bool {
    let removes = |does: &Does| matches!(does, Does::Removes(removed, _) if removed == name);
    entries.iter().any(|entry| matches!(entry, Entry::Handler(handler) if handler.does.iter().any(removes)))
}

/// How peers send.
pub(super) fn requests(entries: &[Entry]) -> Framing {
    let lengths = entries.iter().find_map(|entry| match entry {
        Entry::Decoder(Decoder::LengthField { max_frame }) => Some(max_frame.bytes() as usize),
        _ => None,
    });
    lengths.map_or(Framing::Bytes, |max_frame| Framing::Lengths { max_frame, is_whole: true })
}

/// How peers read.
pub(super) fn replies(scenario: &Scenario) -> Framing {
    let entries = &scenario.pipeline;
    let lengths = entries.iter().find_map(|entry| match entry {
        Entry::Encoder(Encoder::LengthField { max_frame }) => Some(max_frame.bytes() as usize),
        _ => None,
    });
    let kept = lengths.filter(|_| !is_removed(entries, "encoder"));
    let fails = |fault: &Fault| matches!(fault, Fault::AllocationFails(_) | Fault::MemoryLimit(_));
    let is_whole = !scenario.faults.iter().any(fails);
    kept.map_or(Framing::Bytes, |max_frame| Framing::Lengths { max_frame, is_whole })
}

/// Whether anybody replies.
pub(super) fn has_replies(entries: &[Entry]) -> bool {
    let replies =
        |entry: &Entry| matches!(entry, Entry::Handler(h) if matches!(h.owns, Owns::Replies | Owns::Transfers(_)));
    entries.iter().any(replies)
}

fn content(entries: &[Entry]) -> Content {
    let is_framed = requests(entries) != Framing::Bytes;
    // Calls that wait for the executor of a handler that is removed are overtaken by those that pass it by.
    let is_fickle = |entry: &Entry| {
        let is_elsewhere = matches!(entry, Entry::Handler(handler) if handler.on != On::Loop);
        is_elsewhere && (is_removed(entries, entry.name()) || !entry.is_there())
    };
    match (is_framed, entries.iter().any(is_fickle)) {
        (true, _) if is_removed(entries, "decoder") => Content::Unknown,
        (true, true) => Content::AnyRequests,
        (true, false) => Content::Requests,
        (false, true) => Content::Unknown,
        (false, false) => Content::Stream,
    }
}
