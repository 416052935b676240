//! The outbound buffer of a channel: what has been written and not yet taken by the transport.
//!
//! **Invariant: it calls nobody.** An operation changes the list and hands out what has to be released, completed or told;
//! the channel does that afterwards, when the list is sound again, so that a listener may come back in.
//!
//! ```text
//!   entries:  [ flushed | flushed | flushed | unflushed | unflushed ]
//!               front: partially written      ^ add_flush moves this border to the end
//! ```
//!
//! After Netty's `ChannelOutboundBuffer`; the totals and water marks are in [`pending`](crate::channel), because other
//! threads count there too.

use crate::buffer::{Buffer, BufferError};
use crate::observe::Reach;
use crate::promise::Promise;
use crate::recycler::Pooled;
use crate::transport::{Transport, WriteOutcome};
use crate::{Platform, Std};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A pooled entry of an outbound buffer.
pub struct Entry<P: Platform = Std> {
    /// `None` once the write was cancelled, as in the pool.
    pub(crate) content: Option<(Buffer<P>, Promise<P>)>,
    /// Bytes counted as pending.
    pub(crate) pending: u64,
}

impl<P: Platform> Default for Entry<P> {
    fn default() -> Self {
        Self { content: None, pending: 0 }
    }
}

impl<P: Platform> Entry<P> {
    fn readable(&self) -> usize {
        self.content.as_ref().map_or(0, |(buffer, _)| buffer.readable())
    }
}

type PooledEntry<P> = Pooled<Entry<P>, P>;

/// What one step of writing did.
pub(crate) enum Step {
    /// Nothing is flushed.
    Empty,
    /// So much of so much was taken.
    Wrote { taken: usize, offered: usize },
    /// No room.
    WouldBlock,
    /// Connection reset.
    Reset,
    /// The first message is dead: somebody released it once too often.
    Dead,
}

/// See the [module](self).
pub(crate) struct OutboundBuffer<P: Platform> {
    entries: VecDeque<PooledEntry<P>>,
    flushed: usize,
    /// Set while the flushed entries are being failed: a listener that flushes must not start that again below itself.
    pub(crate) is_failing: bool,
}

impl<P: Platform> OutboundBuffer<P> {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), flushed: 0, is_failing: false }
    }

    pub(crate) fn flushed(&self) -> usize {
        self.flushed
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sum over the entries; the slow way to know the pending bytes.
    pub(crate) fn pending(&self) -> u64 {
        self.entries.iter().map(|entry| entry.pending).sum()
    }

    pub(crate) fn add(&mut self, entry: PooledEntry<P>) {
        assert!(entry.content.is_some(), "an entry carries a message");
        self.entries.push_back(entry);
    }

    /// Flushes the next entry. One whose promise was cancelled is hollowed out: its message and bytes are given back.
    pub(crate) fn flush_next(&mut self) -> Option<Option<(Buffer<P>, u64)>> {
        let entry = self.entries.get_mut(self.flushed)?;
        self.flushed += 1;
        let (_, promise) = entry.content.as_ref().expect("only a flushed entry can be hollow");
        if promise.set_uncancellable() {
            return Some(None);
        }
        let (buffer, _) = entry.content.take().expect("seen above");
        Some(Some((buffer, core::mem::take(&mut entry.pending))))
    }

    /// Takes the first flushed entry out.
    pub(crate) fn pop_flushed(&mut self) -> Option<PooledEntry<P>> {
        self.flushed = self.flushed.checked_sub(1)?;
        let entry = self.entries.pop_front();
        assert!(entry.is_some(), "there are at least as many entries as flushed ones");
        entry
    }

    /// Takes the first entry out, flushed or not.
    pub(crate) fn pop_any(&mut self) -> Option<PooledEntry<P>> {
        self.flushed = self.flushed.saturating_sub(1);
        self.entries.pop_front()
    }

    /// Offers the flushed bytes of at most `max` buffers to the transport, in one write.
    pub(crate) fn write_to(&self, transport: &mut dyn Transport<P>, max: usize) -> Step {
        if self.flushed == 0 {
            return Step::Empty;
        }
        let full = self.entries.iter().take(self.flushed).filter(|entry| entry.readable() > 0);
        let mut buffers = full.take(max).filter_map(|entry| entry.content.as_ref()).map(|(buffer, _)| buffer);
        let Some(first) = buffers.next() else {
            return Step::Wrote { taken: 0, offered: 0 }; // nothing but empty messages
        };
        match buffers.next() {
            None => Self::write_one(first, transport),
            Some(second) => Self::write_many([first, second].into_iter().chain(buffers), transport),
        }
        .unwrap_or(Step::Dead)
    }

    fn write_one(buffer: &Buffer<P>, transport: &mut dyn Transport<P>) -> Result<Step, BufferError> {
        let bytes = buffer.bytes()?;
        Ok(Self::step(transport.write(&[&bytes]), bytes.len()))
    }

    fn write_many<'a>(
        buffers: impl Iterator<Item = &'a Buffer<P>>,
        transport: &mut dyn Transport<P>,
    ) -> Result<Step, BufferError> {
        let mut pinned = Vec::new();
        for buffer in buffers {
            match buffer.bytes() {
                Ok(bytes) => pinned.push(bytes),
                Err(dead) if pinned.is_empty() => return Err(dead),
                Err(_) => break, // it will be the first one before long
            }
        }
        let chunks: Vec<&[u8]> = pinned.iter().map(|bytes| &**bytes).collect();
        let offered = chunks.iter().map(|chunk| chunk.len()).sum();
        Ok(Self::step(transport.write(&chunks), offered))
    }

    fn step(outcome: WriteOutcome, offered: usize) -> Step {
        match outcome {
            WriteOutcome::WouldBlock => Step::WouldBlock,
            WriteOutcome::Reset => Step::Reset,
            WriteOutcome::Wrote(taken) => {
                assert!(0 < taken && taken <= offered, "a transport took {taken} of {offered} bytes");
                if taken < offered {
                    P::reach(Reach::PartialWrite);
                }
                Step::Wrote { taken, offered }
            }
        }
    }

    /// Takes the first flushed entry out if `taken` covers it, and subtracts it there; else advances it by the rest.
    pub(crate) fn pop_written(&mut self, taken: &mut usize) -> Option<PooledEntry<P>> {
        if self.flushed == 0 {
            return None;
        }
        let first = self.entries.front_mut()?;
        let readable = first.readable();
        if readable > *taken {
            if let Some((buffer, _)) = &mut first.content {
                buffer.advance(core::mem::take(taken));
            }
            return None;
        }
        *taken -= readable;
        self.pop_flushed()
    }
}
