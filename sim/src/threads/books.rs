//! The ledger of a run on real threads: many small ones, each behind a lock.
//!
//! **Invariant: all that is noted about an object goes to one ledger**, in the order in which it arrives; the rules there are
//! those of the simulation, and they speak of one object at a time.
//!
//! ```text
//!   thread 0 ──identify──> books 0: lock, Ledger        an object's ticket names its books, whoever notes
//!   thread 1 ──identify──> books 1: lock, Ledger
//! ```

use crate::ledger::{At, Finding, KindLedger, Ledger, Ticket, Tolerance, Tolerated};
use millpond_model::observe::{Event, Kind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Books: enough that threads seldom meet.
const BOOKS: u32 = 64;

/// Threads write in different ones at once.
#[repr(align(128))]
struct Book(Mutex<Ledger>);

impl Book {
    fn open(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Identity of a tracked object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchedId {
    book: u32,
    slot: u32,
}

impl WatchedId {
    /// What an object gets that nobody watches.
    pub(super) const NOBODY: Self = Self { book: u32::MAX, slot: 0 };
}

/// One period of ownership of a tracked object.
#[derive(Clone, Copy, Debug)]
pub struct WatchedTicket {
    book: u32,
    ticket: Ticket,
}

impl WatchedTicket {
    /// What an object gets that nobody watches.
    pub(super) const NOBODY: Self = Self { book: u32::MAX, ticket: Ticket { slot: 0, generation: 0 } };
}

/// See the [module](self).
pub(super) struct Books(Box<[Book]>);

impl Books {
    pub(super) fn new(stories: bool, tolerance: Tolerance) -> Self {
        let book = |index: u32| {
            let mut ledger = Ledger::one_of(stories, index.into(), BOOKS.into());
            ledger.tolerate(tolerance);
            Book(Mutex::new(ledger))
        };
        Self((0..BOOKS).map(book).collect())
    }

    fn book(&self, index: u32) -> Option<MutexGuard<'_, Ledger>> {
        self.0.get(index as usize).map(Book::open)
    }

    /// A new object, in the books of its thread.
    pub(super) fn identify(&self, at: &At, kind: Kind) -> WatchedId {
        let book = at.thread.0 % BOOKS;
        WatchedId { book, slot: self.0[book as usize].open().identify(at, kind) }
    }

    pub(super) fn obtained(&self, at: &At, id: WatchedId) -> Result<WatchedTicket, Finding> {
        let Some(mut book) = self.book(id.book) else { return Ok(WatchedTicket::NOBODY) };
        Ok(WatchedTicket { book: id.book, ticket: book.obtained(at, id.slot)? })
    }

    pub(super) fn note(&self, at: &At, of: WatchedTicket, event: Event) -> Result<(), Finding> {
        self.book(of.book).map_or(Ok(()), |mut book| book.note(at, of.ticket, event))
    }

    pub(super) fn destroyed(&self, at: &At, id: WatchedId) -> Result<(), Finding> {
        self.book(id.book).map_or(Ok(()), |mut book| book.destroyed(at, id.slot))
    }

    /// What was tolerated in all of them.
    pub(super) fn tolerated(&self) -> Tolerated {
        let mut sum = Tolerated::default();
        for book in &self.0 {
            let tolerated = book.open().tolerated();
            sum.leaks += tolerated.leaks;
            sum.refusals += tolerated.refusals;
        }
        sum
    }

    /// The numbers about every kind that occurred, in the order of the kinds.
    pub(super) fn kinds(&self) -> Vec<(Kind, KindLedger)> {
        let mut sums: Vec<(Kind, KindLedger)> = Vec::new();
        for book in &self.0 {
            for (kind, numbers) in book.open().kinds() {
                match sums.iter_mut().find(|(k, _)| k == kind) {
                    Some((_, sum)) => sum.add(numbers),
                    None => sums.push((*kind, numbers.clone())),
                }
            }
        }
        sums.sort_by_key(|(kind, _)| *kind);
        sums
    }

    /// Objects of `kind` that are owned, at most `limit` of them, in the order of their numbers.
    pub(super) fn owned(&self, kind: Kind, limit: usize) -> Vec<Finding> {
        let mut all: Vec<Finding> = self.0.iter().flat_map(|book| book.open().owned(kind, limit)).collect();
        all.sort_by_key(|finding| finding.object);
        all.truncate(limit);
        all
    }
}
