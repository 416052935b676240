//! The ownership ledger: who holds what, kept outside the pool.
//!
//! **Invariant: a period of ownership is (object, generation). It starts once, ends once, and nothing is done to the object
//! on its authority after the end.** A pool that hands one object to two owners can't see it; the ledger does, because the
//! second start finds the first period open. A stale holder can't be told from a rightful one by the pool; the ledger tells
//! them apart by the generation in the ticket.
//!
//! ```text
//!   identify ──> idle ──obtained──> owned ──recycled / deallocated / completed──> idle ──obtained──> ...
//!                 │                   │  │                                          │
//!                 │                   │  └─ obtained again: TwoOwners               └─ ended again, with the
//!                 └────destroyed <────┴───── still owned at quiescence: Leak            old ticket: DoubleRelease
//! ```
//!
//! Searching is lean: an object costs 32 bytes and no history. A failing execution is run again *rich*, and then every
//! object that is alive has its story. Entries of destroyed objects are reused, so the ledger is as large as the live data.

use millpond_model::observe::{Event, Fate, Kind};
use millpond_model::platform::ThreadId;
use millpond_model::recycler::Drops;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

millpond_model::listed! {
    /// What an oracle found.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    pub enum FindingKind {
        /// An object was never released, and nobody owns it any more.
        Leak,
        /// An object was released again after its release.
        DoubleRelease,
        /// An object was used after its release.
        UseAfterRelease,
        /// One pooled object was given to two owners.
        TwoOwners,
        /// A call failed because of what somebody else had done to the pool before.
        Poisoned,
        /// Bytes were read that had not been written.
        Corrupted,
        /// Two accesses to the same memory, one of them a write and not both atomic, neither of which happens before the other.
        DataRace,
        /// Memory was given up by a thread that the last use does not happen before.
        UnorderedFree,
        /// The leak detector found something that did not leak.
        FalseLeak,
        /// Something leaked, and the leak detector did not find it.
        MissedLeak,
        /// An accepted task was neither run nor refused.
        LostTask,
        /// A promise was never completed.
        PromiseLost,
        /// A promise was completed twice.
        PromiseTwice,
        /// The bytes pending in a channel are not the sum of its entries and queued tasks.
        PendingBytes,
        /// Objects created are not the sum of those retained, in use and dropped.
        Conservation,
        /// Shared capacity and links don't add up.
        SharedCapacity,
        /// A metric went above its bound: memory that stays.
        Bloat,
        /// A metric did not drain, or changed where it must not.
        Stall,
        /// A thread panicked.
        Panic,
        /// Every thread waits for another.
        Deadlock,
        /// Threads spin without progress.
        Livelock,
        /// A thread ran out of stack.
        StackOverflow,
        /// The step budget was used up.
        StepBudget,
    }
}

impl FindingKind {
    /// What it means, in half a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Leak => "an object was never released, and nobody owns it any more",
            Self::DoubleRelease => "an object was released again after its release",
            Self::UseAfterRelease => "an object was used after its release",
            Self::TwoOwners => "one pooled object was given to two owners",
            Self::Poisoned => "a call failed because of what somebody else had done to the pool before",
            Self::Corrupted => "bytes were read that had not been written",
            Self::DataRace => "two accesses to plain memory, one of them a write, with nothing that orders them",
            Self::UnorderedFree => "memory was freed, with nothing that orders the free after the last use",
            Self::FalseLeak => "the leak detector found something that did not leak",
            Self::MissedLeak => "something leaked, and the leak detector did not find it",
            Self::LostTask => "an accepted task was neither run nor refused",
            Self::PromiseLost => "a promise was never completed",
            Self::PromiseTwice => "a promise was completed twice",
            Self::PendingBytes => "a channel's pending bytes are not the sum of its entries and queued tasks",
            Self::Conservation => "objects created are not the sum of those retained, in use and dropped",
            Self::SharedCapacity => "shared capacity and links don't add up",
            Self::Bloat => "a metric went above its bound",
            Self::Stall => "a metric did not drain, or changed where it must not",
            Self::Panic => "a thread panicked",
            Self::Deadlock => "every thread waits for another",
            Self::Livelock => "threads spin without progress",
            Self::StackOverflow => "a thread ran out of stack",
            Self::StepBudget => "the step budget was used up before the end",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where and when something happens.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// On which thread.
    pub thread: ThreadId,
    /// At which scheduling step.
    pub step: u64,
    /// At which virtual time.
    pub time: Duration,
    /// On which line of the code under test.
    pub site: &'static Location<'static>,
}

/// A period of ownership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// The object's entry.
    pub slot: u32,
    /// Which period.
    pub generation: u32,
}

/// One line of an object's story.
#[derive(Clone, PartialEq, Debug)]
pub struct StoryLine {
    /// The thread.
    pub thread: ThreadId,
    /// The step.
    pub step: u64,
    /// The virtual time.
    pub time: Duration,
    /// `file:line` of the code under test.
    pub site: String,
    /// What happened.
    pub what: String,
}

/// Something that must not be.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// A sentence.
    pub text: String,
    /// The object, by its serial number, if it is about one.
    pub object: Option<(Kind, u64)>,
    /// The step at which it was seen.
    pub step: u64,
    /// The object's story, oldest first; empty after a lean execution.
    pub story: Vec<StoryLine>,
}

impl Finding {
    /// A finding that isn't about one object.
    pub fn plain(kind: FindingKind, step: u64, text: String) -> Self {
        Self { kind, text, object: None, step, story: Vec::new() }
    }
}

/// What became of objects that one thread obtained and one thread recycled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Fates {
    /// Stored in the owner's own pool.
    pub stored_by_owner: u64,
    /// Stored in a hand-over queue to the owner.
    pub stored_by_other: u64,
    /// Not kept.
    pub dropped: Drops,
}

impl Fates {
    fn count(&mut self, fate: Fate) {
        match fate {
            Fate::StoredByOwner => self.stored_by_owner += 1,
            Fate::StoredByOther => self.stored_by_other += 1,
            Fate::Dropped(reason) => self.dropped.count(reason),
        }
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.stored_by_owner += other.stored_by_owner;
        self.stored_by_other += other.stored_by_other;
        self.dropped += other.dropped;
    }

    /// All objects counted.
    pub fn total(&self) -> u64 {
        self.stored_by_owner + self.stored_by_other + self.dropped.total()
    }
}

/// The attribution matrix of one kind: *obtained on thread* by *released on thread*.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attribution {
    rows: Vec<Vec<Fates>>,
}

impl Attribution {
    #[inline]
    fn cell(&mut self, obtained: ThreadId, released: ThreadId) -> &mut Fates {
        let (o, r) = (obtained.0 as usize, released.0 as usize);
        if self.rows.get(o).is_none_or(|row| row.len() <= r) {
            self.grow(o, r);
        }
        &mut self.rows[o][r]
    }

    #[cold]
    fn grow(&mut self, o: usize, r: usize) {
        if self.rows.len() <= o {
            self.rows.resize_with(o + 1, Vec::new);
        }
        let row = &mut self.rows[o];
        if row.len() <= r {
            row.resize(r + 1, Fates::default());
        }
    }

    /// Adds another matrix.
    fn add(&mut self, other: &Self) {
        for (obtained, released, fates) in other.cells() {
            self.cell(obtained, released).add(fates);
        }
    }

    /// The cells that are not empty: (obtained on, released on, what became of the objects).
    pub fn cells(&self) -> impl Iterator<Item = (ThreadId, ThreadId, &Fates)> {
        self.rows.iter().enumerate().flat_map(|(o, row)| {
            row.iter()
                .enumerate()
                .filter(|(_, fates)| fates.total() > 0)
                .map(move |(r, fates)| (ThreadId(o as u32), ThreadId(r as u32), fates))
        })
    }
}

/// Numbers about one kind of object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KindLedger {
    /// Objects that came into being.
    pub created: u64,
    /// Periods of ownership that began.
    pub obtained: u64,
    /// Objects that exist.
    pub live: u64,
    /// Objects that are owned.
    pub owned: u64,
    /// Who obtained, who released, what became of them.
    pub attribution: Attribution,
}

impl KindLedger {
    /// Adds the numbers of another ledger.
    pub fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.obtained += other.obtained;
        self.live += other.live;
        self.owned += other.owned;
        self.attribution.add(&other.attribution);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Exists, owned by nobody: in a pool, or on its way to destruction.
    Idle,
    Owned,
    /// The entry belongs to no object.
    Vacant,
}

/// Aligned so that no entry is in two cache lines: with a million objects alive each look at one is a cache miss.
#[repr(align(32))]
struct Entry {
    serial: u64,
    generation: u32,
    holder: ThreadId,
    kind: Kind,
    state: State,
    /// Step of the last event, to say when it was last seen.
    seen: u64,
}

/// What a program does on purpose, so that it is counted and not found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tolerance {
    /// It loses objects: a leak detector is to find them.
    pub leaks: bool,
    /// It releases or recycles too often: that is to be refused.
    pub refusals: bool,
}

/// What was tolerated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tolerated {
    /// Objects that were lost.
    pub leaks: u64,
    /// Operations that were refused.
    pub refusals: u64,
}

/// The ledger. See the [module](self).
pub struct Ledger {
    entries: Vec<Entry>,
    vacant: Vec<u32>,
    kinds: Vec<(Kind, KindLedger)>,
    /// Where in `kinds` each kind is, or beyond its end.
    place: [usize; KINDS],
    next_serial: u64,
    /// Between two serials.
    stride: u64,
    stop: bool,
    /// Other threads run between an operation and its note.
    shared: bool,
    tolerance: Tolerance,
    tolerated: Tolerated,
    findings: Vec<Finding>,
    stories: Option<BTreeMap<u32, Vec<StoryLine>>>,
}

/// Number of kinds: the last one declared is the last number.
const KINDS: usize = Kind::Object as usize + 1;

const _: () = assert!(size_of::<Entry>() == 32);

/// Findings kept when the execution goes on after one.
const FINDINGS_MAX: usize = 64;

impl Ledger {
    /// A ledger without objects; `rich` ones keep each object's story.
    pub fn new(rich: bool) -> Self {
        Self {
            entries: Vec::new(),
            vacant: Vec::new(),
            kinds: Vec::new(),
            place: [usize::MAX; KINDS],
            next_serial: 0,
            stride: 1,
            stop: true,
            shared: false,
            tolerance: Tolerance::default(),
            tolerated: Tolerated::default(),
            findings: Vec::new(),
            stories: rich.then(BTreeMap::new),
        }
    }

    /// One of `count` ledgers of threads that really run at once, with serials of its own. A release or a retain that is noted
    /// after the end of its period may have been made before it, so that it is no finding.
    pub fn one_of(rich: bool, index: u64, count: u64) -> Self {
        Self { next_serial: index, stride: count, shared: true, ..Self::new(rich) }
    }

    /// Notes what it finds without ending the execution: for tests of the pool's own detection.
    pub fn only_count(&mut self) {
        self.stop = false;
    }

    /// From now on counts what it would find.
    pub fn tolerate(&mut self, tolerance: Tolerance) {
        self.tolerance = tolerance;
    }

    /// What was tolerated so far.
    pub fn tolerated(&self) -> Tolerated {
        self.tolerated
    }

    /// What was found so far.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The numbers about `kind`.
    pub fn kind(&self, kind: Kind) -> KindLedger {
        self.kinds.iter().find(|(k, _)| *k == kind).map(|(_, l)| l.clone()).unwrap_or_default()
    }

    /// The numbers about every kind that occurred, in order of first occurrence.
    pub fn kinds(&self) -> &[(Kind, KindLedger)] {
        &self.kinds
    }

    /// A new object; the result is its entry.
    pub fn identify(&mut self, at: &At, kind: Kind) -> u32 {
        let entry = Entry {
            serial: self.next_serial,
            generation: 0,
            holder: at.thread,
            kind,
            state: State::Idle,
            seen: at.step,
        };
        self.next_serial += self.stride;
        let sums = self.sums(kind);
        sums.created += 1;
        sums.live += 1;
        if let Some(slot) = self.vacant.pop() {
            let old = &mut self.entries[slot as usize];
            assert_eq!(old.state, State::Vacant, "a vacant entry is in the list of vacant ones");
            // The generation goes on, so that a ticket of the entry's former object stays stale.
            let generation = old.generation;
            *old = Entry { generation, ..entry };
            return slot;
        }
        self.entries.push(entry);
        u32::try_from(self.entries.len() - 1).expect("the host has no memory for 2^32 live objects")
    }

    /// A period of ownership begins.
    ///
    /// # Errors
    /// [`FindingKind::TwoOwners`] if the object has an owner.
    pub fn obtained(&mut self, at: &At, slot: u32) -> Result<Ticket, Finding> {
        let entry = &mut self.entries[slot as usize];
        assert_ne!(entry.state, State::Vacant, "an object that was destroyed is obtained");
        let twice = entry.state == State::Owned;
        let first = entry.holder;
        let kind = entry.kind;
        entry.generation += 1;
        entry.holder = at.thread;
        entry.state = State::Owned;
        entry.seen = at.step;
        let ticket = Ticket { slot, generation: entry.generation };
        let sums = self.sums(kind);
        sums.obtained += 1;
        sums.owned += u64::from(!twice);
        self.tell(at, slot, || "obtained".to_string());
        if twice {
            let text = format!("was given to thread {} while thread {} still owned it", at.thread.0, first.0);
            self.found(at, slot, FindingKind::TwoOwners, text)?;
        }
        Ok(ticket)
    }

    /// Something happens on the authority of the holder of `ticket`.
    ///
    /// # Errors
    /// What it violates.
    pub fn note(&mut self, at: &At, ticket: Ticket, event: Event) -> Result<(), Finding> {
        let slot = ticket.slot;
        let entry = &mut self.entries[slot as usize];
        let stale = entry.generation != ticket.generation || entry.state != State::Owned;
        if stale && self.shared && matches!(event, Event::Released(_) | Event::Retained(_)) {
            return Ok(());
        }
        let (holder, kind) = (entry.holder, entry.kind);
        if !stale {
            entry.seen = at.step;
        }
        self.tell(at, slot, || {
            let label = if stale { " by a holder whose ownership had ended" } else { "" };
            format!("{}{label}", describe(event))
        });
        match event {
            // Whether the pool sees it is its own affair; that it gives the object to two owners is not.
            Event::Recycled(_) if stale && kind == Kind::Object && self.tolerance.refusals => {
                self.tolerated.refusals += 1;
                Ok(())
            }
            Event::Recycled(fate) => {
                self.sums(kind).attribution.cell(holder, at.thread).count(fate);
                self.ends(at, slot, stale, "was recycled again")
            }
            Event::Deallocated => self.ends(at, slot, stale, "was deallocated again"),
            Event::DeallocatedAgain => {
                let text = "was deallocated again: its count reached zero twice".to_string();
                self.found(at, slot, FindingKind::DoubleRelease, text)
            }
            Event::Leaked(count) => {
                self.ends(at, slot, stale, "was dropped after its ownership had ended")?;
                self.tolerated.leaks += 1;
                if self.tolerance.leaks {
                    return Ok(());
                }
                let text = format!("was never released: its last handle was dropped, and its count is {count}");
                self.found(at, slot, FindingKind::Leak, text)
            }
            Event::Succeeded | Event::Failed(_) => {
                if stale {
                    return self.found(at, slot, FindingKind::PromiseTwice, "was completed again".to_string());
                }
                self.ends(at, slot, false, "")
            }
            Event::RecycleRefused | Event::IllegalRelease | Event::IllegalCount if self.tolerance.refusals => {
                self.tolerated.refusals += 1;
                Ok(())
            }
            Event::Touched(_) if stale && self.tolerance.refusals => Ok(()),
            Event::RecycleRefused => {
                let text = "was recycled again: the pool saw it and refused".to_string();
                self.found(at, slot, FindingKind::DoubleRelease, text)
            }
            Event::IllegalRelease => {
                let text = "was released again: its count was illegal and the release refused".to_string();
                self.found(at, slot, FindingKind::DoubleRelease, text)
            }
            Event::IllegalCount => {
                let text = "was used after its release: its count was illegal and the operation refused".to_string();
                self.found(at, slot, FindingKind::UseAfterRelease, text)
            }
            Event::CompletedAgain => self.found(at, slot, FindingKind::PromiseTwice, "was completed again".to_string()),
            Event::Released(_) if stale => {
                self.found(at, slot, FindingKind::DoubleRelease, format!("{} after its release", describe(event)))
            }
            Event::Retained(_) | Event::Touched(_) if stale => {
                self.found(at, slot, FindingKind::UseAfterRelease, format!("{} after its release", describe(event)))
            }
            Event::Retained(_) | Event::Released(_) | Event::Touched(_) | Event::Transferred(_) => Ok(()),
        }
    }

    /// The object's memory goes.
    ///
    /// # Errors
    /// Never now: an object may be forgotten by its owner, which the quiescence check reports through the pool's numbers.
    pub fn destroyed(&mut self, at: &At, slot: u32) -> Result<(), Finding> {
        let entry = &mut self.entries[slot as usize];
        assert_ne!(entry.state, State::Vacant, "an object is destroyed twice");
        let (kind, owned) = (entry.kind, entry.state == State::Owned);
        if owned && counted_by_hand(kind) {
            // The last handle went while the object had an owner: it stays in the ledger as what it is, a leak.
            self.tell(at, slot, || "last handle dropped".to_string());
            return Ok(());
        }
        entry.state = State::Vacant;
        self.vacant.push(slot);
        let sums = self.sums(kind);
        sums.live -= 1;
        sums.owned -= u64::from(owned);
        if let Some(stories) = &mut self.stories {
            stories.remove(&slot);
        }
        Ok(())
    }

    /// Objects of `kind` that are owned, in order of creation, at most `limit` of them.
    pub fn owned(&self, kind: Kind, limit: usize) -> Vec<Finding> {
        let mut slots: Vec<u32> = (0..self.entries.len() as u32)
            .filter(|s| {
                let e = &self.entries[*s as usize];
                e.kind == kind && e.state == State::Owned
            })
            .collect();
        slots.sort_by_key(|s| self.entries[*s as usize].serial);
        slots.truncate(limit);
        slots
            .into_iter()
            .map(|slot| {
                let entry = &self.entries[slot as usize];
                let (found, text) = match kind {
                    Kind::Promise => (FindingKind::PromiseLost, "was never completed"),
                    Kind::WriteTask | Kind::WriteAndFlushTask => {
                        (FindingKind::LostTask, "was accepted by its event loop, never run and never refused")
                    }
                    _ => (FindingKind::Leak, "was never released: every thread has ended, and its count is not zero"),
                };
                Finding {
                    kind: found,
                    text: text.to_string(),
                    object: Some((kind, entry.serial)),
                    step: entry.seen,
                    story: self.story(slot),
                }
            })
            .collect()
    }

    #[inline]
    fn ends(&mut self, at: &At, slot: u32, stale: bool, again: &str) -> Result<(), Finding> {
        if stale {
            return self.found(at, slot, FindingKind::DoubleRelease, again.to_string());
        }
        let entry = &mut self.entries[slot as usize];
        entry.state = State::Idle;
        let kind = entry.kind;
        self.sums(kind).owned -= 1;
        Ok(())
    }

    #[cold]
    fn found(&mut self, at: &At, slot: u32, kind: FindingKind, text: String) -> Result<(), Finding> {
        let entry = &self.entries[slot as usize];
        let finding =
            Finding { kind, text, object: Some((entry.kind, entry.serial)), step: at.step, story: self.story(slot) };
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding.clone());
        }
        if self.stop { Err(finding) } else { Ok(()) }
    }

    fn sums(&mut self, kind: Kind) -> &mut KindLedger {
        let place = &mut self.place[kind as usize];
        if *place >= self.kinds.len() {
            *place = self.kinds.len();
            self.kinds.push((kind, KindLedger::default()));
        }
        &mut self.kinds[*place].1
    }

    #[inline]
    fn tell(&mut self, at: &At, slot: u32, what: impl FnOnce() -> String) {
        if let Some(stories) = &mut self.stories {
            stories.entry(slot).or_default().push(StoryLine {
                thread: at.thread,
                step: at.step,
                time: at.time,
                site: format!("{}:{}", at.site.file(), at.site.line()),
                what: what(),
            });
        }
    }

    fn story(&self, slot: u32) -> Vec<StoryLine> {
        self.stories.as_ref().and_then(|s| s.get(&slot)).cloned().unwrap_or_default()
    }
}

/// Whether the program counts references by hand, so that dropping a handle releases nothing.
fn counted_by_hand(kind: Kind) -> bool {
    matches!(kind, Kind::Buffer | Kind::Message | Kind::Promise)
}

fn describe(event: Event) -> String {
    match event {
        Event::Recycled(Fate::StoredByOwner) => "recycled, into its owner's pool".to_string(),
        Event::Recycled(Fate::StoredByOther) => "recycled, into a hand-over queue".to_string(),
        Event::Recycled(Fate::Dropped(reason)) => format!("recycled and dropped: {reason:?}"),
        Event::Transferred(Fate::Dropped(reason)) => format!("taken over by its owner and dropped: {reason:?}"),
        Event::Transferred(_) => "taken over by its owner".to_string(),
        Event::RecycleRefused => "recycle refused".to_string(),
        Event::Retained(n) => format!("retained, count {n}"),
        Event::Released(n) => format!("released, count {n}"),
        Event::Deallocated => "deallocated".to_string(),
        Event::IllegalRelease => "release refused".to_string(),
        Event::IllegalCount => "operation refused".to_string(),
        Event::DeallocatedAgain => "deallocated again".to_string(),
        Event::Leaked(n) => format!("last handle dropped, count {n}"),
        Event::Touched(hint) => format!("touched: {hint}"),
        Event::Succeeded => "succeeded".to_string(),
        Event::Failed(cause) => format!("failed: {cause}"),
        Event::CompletedAgain => "completed again".to_string(),
    }
}
