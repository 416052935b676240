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
use crate::platform::CounterOps;
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
    /// Bytes of the message that the transport has taken.
    progress: u64,
    /// Bytes of the message.
    total: u64,
}

impl<P: Platform> Default for Entry<P> {
    fn default() -> Self {
        Self { content: None, pending: 0, progress: 0, total: 0 }
    }
}

impl<P: Platform> Entry<P> {
    /// Gets what it carries, and what that counts as pending.
    pub(crate) fn fill(&mut self, buffer: Buffer<P>, promise: Promise<P>, pending: u64) {
        assert!(self.content.is_none() && self.pending == 0, "a pooled entry refers to nothing");
        (self.pending, self.progress, self.total) = (pending, 0, buffer.readable() as u64);
        self.content = Some((buffer, promise));
    }

    /// What there is to tell whom when `taken` more bytes are out.
    fn advance(&mut self, taken: usize) -> Option<Progress<P>> {
        self.progress += taken as u64;
        let (_, promise) = self.content.as_ref().filter(|(_, promise)| taken > 0 && promise.is_progressive())?;
        Some(Progress { promise: promise.clone(), done: self.progress, total: self.total })
    }

    fn readable(&self) -> usize {
        self.content.as_ref().map_or(0, |(buffer, _)| buffer.readable())
    }
}

type PooledEntry<P> = Pooled<Entry<P>, P>;

/// News for a promise that tells how far it is.
pub(crate) struct Progress<P: Platform> {
    promise: Promise<P>,
    done: u64,
    total: u64,
}

impl<P: Platform> Progress<P> {
    pub(crate) fn tell(self) {
        let _ended = self.promise.try_progress(self.done, self.total);
    }
}

/// What the transport has taken.
pub(crate) struct Written<P: Platform> {
    pub(crate) progress: Option<Progress<P>>,
    /// The entry, if it is out as a whole, and in no list any more.
    pub(crate) entry: Option<PooledEntry<P>>,
}

/// What is gathered into one write at most, and where it is counted.
pub(crate) struct Gather<'a, P: Platform> {
    pub(crate) buffers: usize,
    /// But one buffer always goes.
    pub(crate) bytes: usize,
    pub(crate) count: &'a P::Counter,
}

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
        assert!(self.flushed <= self.entries.len(), "what is flushed is there");
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

    /// Offers flushed bytes to the transport, in one write.
    pub(crate) fn write_to(&self, transport: &mut dyn Transport<P>, gather: &Gather<'_, P>) -> Step {
        if self.flushed == 0 {
            return Step::Empty;
        }
        if transport.takes_messages() {
            return self.write_message(transport);
        }
        let full = self.entries.iter().take(self.flushed).filter(|entry| entry.readable() > 0);
        let buffers = full.take(gather.buffers).filter_map(|entry| entry.content.as_ref()).map(|(buffer, _)| buffer);
        let mut bytes = 0_usize;
        let mut buffers = buffers.take_while(|buffer| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(buffer.readable());
            is_first || bytes <= gather.bytes
        });
        let Some(first) = buffers.next() else {
            return Step::Wrote { taken: 0, offered: 0 }; // only empty ones
        };
        match buffers.next() {
            None => {
                gather.count.add(1);
                Self::write_one(first, transport)
            }
            Some(second) => Self::write_many([first, second].into_iter().chain(buffers), transport, gather.count),
        }
        .unwrap_or(Step::Dead)
    }

    /// Gives the first flushed message to a transport that takes messages, with a count of its own: the entry's is released as
    /// if its bytes had been written.
    fn write_message(&self, transport: &mut dyn Transport<P>) -> Step {
        let Some((buffer, _)) = self.entries.iter().take(self.flushed).find_map(|entry| entry.content.as_ref()) else {
            return Step::Wrote { taken: 0, offered: 0 };
        };
        let Ok(theirs) = buffer.retain() else { return Step::Dead };
        match transport.write_message(theirs) {
            WriteOutcome::Wrote(_) => Step::Wrote { taken: buffer.readable(), offered: buffer.readable() },
            WriteOutcome::WouldBlock => Step::WouldBlock,
            WriteOutcome::Reset => Step::Reset,
        }
    }

    fn write_one(buffer: &Buffer<P>, transport: &mut dyn Transport<P>) -> Result<Step, BufferError> {
        let bytes = buffer.bytes()?;
        Ok(Self::step(transport.write(&[&bytes]), bytes.len()))
    }

    fn write_many<'a>(
        buffers: impl Iterator<Item = &'a Buffer<P>>,
        transport: &mut dyn Transport<P>,
        count: &P::Counter,
    ) -> Result<Step, BufferError> {
        let mut pinned = Vec::new();
        for buffer in buffers {
            match buffer.bytes() {
                Ok(bytes) => pinned.push(bytes),
                Err(dead) if pinned.is_empty() => return Err(dead),
                Err(_) => break, // it will be the first one before long
            }
        }
        count.add(pinned.len() as u64);
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

    /// Takes the first flushed entry out if `taken` covers it, and subtracts it there; else advances it by the rest. `None`: there
    /// is no more to do.
    pub(crate) fn pop_written(&mut self, taken: &mut usize) -> Option<Written<P>> {
        if self.flushed == 0 {
            return None;
        }
        let first = self.entries.front_mut()?;
        let readable = first.readable();
        if readable > *taken {
            let part = core::mem::take(taken);
            if let Some((buffer, _)) = &mut first.content {
                buffer.advance(part);
            }
            let progress = first.advance(part)?;
            return Some(Written { progress: Some(progress), entry: None });
        }
        *taken -= readable;
        let progress = first.advance(readable);
        Some(Written { progress, entry: self.pop_flushed() })
    }

    /// What `taken` bytes have finished, and still in the list: for the one that tells too early, on purpose.
    pub(crate) fn first_written(&self, taken: usize) -> Option<(Buffer<P>, Promise<P>)> {
        let first = self.entries.front().filter(|first| self.flushed > 0 && first.readable() <= taken)?;
        let (buffer, promise) = first.content.as_ref()?;
        Some((buffer.duplicate().ok()?, promise.clone()))
    }
}
