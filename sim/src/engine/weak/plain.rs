//! Plain memory: cells, and the bytes of a buffer.
//!
//! **Invariant: of each cell the last write is known, and each thread's last read since.** An access races if it does not come
//! after the last write, a write also if it does not come after all those reads; earlier ones came before, or were races.
//!
//! ```text
//!   bytes   0 ........ 100 ........ 164 ...................... 4096
//!           [ piece    ][ piece     ]       (never touched)            each piece is a cell; an access splits pieces at its ends
//! ```
//!
//! (Flanagan, Freund, *FastTrack*, PLDI 2009. Reads are always a vector here: at eight threads that is as cheap as an epoch.)

use super::clock::{Clock, Time, widened};
use super::race::{Access, Mark, Race, RaceKind, Site, What};
use super::thread::Names;
use std::ops::Range;

/// What is known about a piece of plain memory.
#[derive(Clone, Copy)]
pub(super) struct Plain<const W: usize> {
    write: Mark,
    writer: u8,
    /// Since the last write; 0: none.
    reads: [Time; W],
    sites: [Site; W],
}

impl<const W: usize> Plain<W> {
    /// Memory that nobody has touched.
    pub fn new() -> Self {
        let none = Mark::none();
        Self { write: none, writer: 0, reads: [0; W], sites: [none.site; W] }
    }

    /// A read, a write or a free by thread `t`; a race if it is one.
    #[inline]
    pub fn access(&mut self, t: usize, clock: &Clock<W>, what: What, site: Site) -> Result<(), Clash> {
        if !clock.knows(self.writer as usize, self.write.time) {
            return Err(Clash { thread: self.writer as usize, mark: self.write });
        }
        let now = clock.0[t];
        if what == What::Read {
            self.reads[t] = now;
            self.sites[t] = site;
            return Ok(());
        }
        if let Some(u) = clock.first_unknown(&self.reads) {
            return Err(Clash {
                thread: u,
                mark: Mark { time: self.reads[u], what: What::Read, order: None, site: self.sites[u] },
            });
        }
        self.write = Mark { time: now, what, order: None, site };
        self.writer = t as u8;
        self.reads = [0; W];
        Ok(())
    }

    fn is_like(&self, other: &Self) -> bool {
        self.write.time == other.write.time
            && self.writer == other.writer
            && self.write.what == other.write.what
            && self.reads == other.reads
            && std::ptr::eq(self.write.site, other.write.site)
            && (0..W).all(|u| self.reads[u] == 0 || std::ptr::eq(self.sites[u], other.sites[u]))
    }

    /// The same with room for more threads.
    pub fn widened<const V: usize>(&self) -> Plain<V> {
        Plain {
            write: self.write,
            writer: self.writer,
            reads: widened(&self.reads, 0),
            sites: widened(&self.sites, self.write.site),
        }
    }
}

/// The earlier access of a race.
pub(super) struct Clash {
    pub thread: usize,
    pub mark: Mark,
}

impl Clash {
    /// The race with what thread `t` does at `time`.
    #[cold]
    pub fn race(self, object: u32, names: &Names, t: usize, second: Mark) -> Box<Race> {
        let access = |thread, mark: Mark| Access {
            thread: names.of(thread, mark.time),
            what: mark.what,
            order: mark.order,
            site: mark.site,
        };
        let is_free = self.mark.what == What::Freed || second.what == What::Freed;
        let kind = if is_free { RaceKind::Free } else { RaceKind::Data };
        Box::new(Race { kind, object, first: access(self.thread, self.mark), second: access(t, second) })
    }
}

/// What is known about the bytes of a buffer: pieces that have been touched, in order, without overlap.
pub(super) struct Bytes<const W: usize> {
    pieces: Vec<(Range<usize>, Plain<W>)>,
}

impl<const W: usize> Bytes<W> {
    pub fn new() -> Self {
        Self { pieces: Vec::new() }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pieces.clear();
    }

    /// An access to the bytes of `range`.
    pub fn access(
        &mut self,
        t: usize,
        clock: &Clock<W>,
        what: What,
        site: Site,
        range: Range<usize>,
    ) -> Result<(), Clash> {
        if range.is_empty() {
            return Ok(());
        }
        self.split(range.start);
        self.split(range.end);
        self.fill(&range);
        let from = self.first_from(range.start);
        let to = self.first_from(range.end);
        for (_, piece) in &mut self.pieces[from..to] {
            piece.access(t, clock, what, site)?;
        }
        self.merge(from, to);
        Ok(())
    }

    /// A free of all of it.
    pub fn free(&mut self, t: usize, clock: &Clock<W>, site: Site) -> Result<(), Clash> {
        for (_, piece) in &mut self.pieces {
            piece.access(t, clock, What::Freed, site)?;
        }
        Ok(())
    }

    /// The first piece that ends after `at`.
    fn first_from(&self, at: usize) -> usize {
        self.pieces.partition_point(|(range, _)| range.end <= at)
    }

    /// No piece reaches across `at`.
    fn split(&mut self, at: usize) {
        let i = self.first_from(at);
        if let Some((range, piece)) = self.pieces.get_mut(i)
            && range.start < at
        {
            let upper = (at..range.end, *piece);
            range.end = at;
            self.pieces.insert(i + 1, upper);
        }
    }

    /// All of `range` is in pieces; none reaches across its ends.
    fn fill(&mut self, range: &Range<usize>) {
        let (mut i, mut at) = (self.first_from(range.start), range.start);
        while at < range.end {
            let next = self.pieces.get(i).map_or(range.end, |(piece, _)| piece.start.min(range.end));
            if at < next {
                self.pieces.insert(i, (at..next, Plain::new()));
            }
            at = self.pieces[i].0.end;
            i += 1;
        }
    }

    /// Neighbours that are alike become one, from the one before `from` to the one at `to`.
    fn merge(&mut self, from: usize, to: usize) {
        let end = (to + 1).min(self.pieces.len());
        let mut kept = from.saturating_sub(1);
        for i in kept + 1..end {
            let (range, piece) = self.pieces[i].clone();
            let last = &mut self.pieces[kept];
            if last.0.end == range.start && last.1.is_like(&piece) {
                last.0.end = range.end;
            } else {
                kept += 1;
                self.pieces[kept] = (range, piece);
            }
        }
        if kept + 1 < end {
            self.pieces.drain(kept + 1..end);
        }
    }

    /// The same with room for more threads.
    pub fn widened<const V: usize>(&self) -> Bytes<V> {
        Bytes { pieces: self.pieces.iter().map(|(range, piece)| (range.clone(), piece.widened())).collect() }
    }
}
