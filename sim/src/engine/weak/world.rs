//! The memory model under the engine.
//!
//! **Invariant: with `MemoryModel::Interleaving` nothing here is called**, and the program's own memory always holds the newest
//! values: it is what an abandoned execution goes on with.
//!
//! ```text
//!   operation ── point ── is_modelled? ──no── the word itself
//!                              └yes── Memory: choose a store ── race? ── a finding; the thread goes no further
//!                                     (an observer's loads, locks and plain reads don't come here: see `look`)
//! ```

use super::super::core::{Engine, Site};
use super::super::options::MemoryModel;
use super::super::outcome::Verdict;
use super::{HandOver, MAX_LANES, Memory, Mode, Pick, Race, RaceKind, Use, What};
use crate::ledger::{Finding, FindingKind};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// A weak compare-and-exchange that could succeed fails once in so many times.
const SPURIOUS: u32 = 8;

/// The memory model of an engine.
pub(in super::super) struct Modelled {
    is_on: Cell<bool>,
    memory: RefCell<Option<Box<Memory>>>,
    /// Each slot's lane; there are no more slots than lanes.
    lanes: [Cell<u8>; MAX_LANES],
    /// Blocks of memory by address: size and number. Addresses are only looked up, so that they decide nothing.
    blocks: RefCell<BTreeMap<usize, (usize, u32)>>,
    next_block: Cell<u32>,
}

/// What an update did.
pub(in super::super) struct Updated {
    /// What it found.
    pub found: u64,
    /// How many newer stores there were.
    pub behind: u8,
    /// Whether it stored something that is the newest now.
    pub is_newest: bool,
    /// Whether it stored at all.
    pub succeeded: bool,
}

impl Modelled {
    pub fn new() -> Self {
        Self {
            is_on: Cell::new(false),
            memory: RefCell::new(None),
            lanes: [const { Cell::new(0) }; MAX_LANES],
            blocks: RefCell::new(BTreeMap::new()),
            next_block: Cell::new(0),
        }
    }

    /// A new execution begins.
    #[inline(always)]
    pub fn begin(&mut self, model: MemoryModel) {
        self.is_on.set(model != MemoryModel::Interleaving);
        match model {
            MemoryModel::Interleaving => {}
            MemoryModel::Races => self.begin_in(Mode::Races),
            MemoryModel::Weak => self.begin_in(Mode::Weak),
        }
    }

    #[inline(never)]
    fn begin_in(&mut self, mode: Mode) {
        self.blocks.get_mut().clear();
        self.next_block.set(0);
        self.lanes[0].set(0);
        self.memory.get_mut().get_or_insert_default().begin(mode);
    }
}

impl Engine {
    /// Whether memory is more than an interleaving.
    #[inline(always)]
    pub fn is_modelled(&self) -> bool {
        self.modelled.is_on.get()
    }

    /// Runs `f` on the memory, with the running thread's lane; `None` if the execution is being abandoned.
    #[inline]
    fn memory<R>(&self, f: impl FnOnce(&mut Memory, usize) -> R) -> Option<R> {
        if self.stopping.get() {
            return None;
        }
        if self.inside.get() {
            self.check_stack();
        }
        let mut memory = self.modelled.memory.borrow_mut();
        let lane = self.modelled.lanes[self.current.get() as usize % MAX_LANES].get() as usize;
        memory.as_mut().map(|memory| f(memory, lane))
    }

    /// As `memory`; a race is a finding.
    #[inline]
    fn access<R>(&self, f: impl FnOnce(&mut Memory, usize) -> Result<R, Box<Race>>) -> Option<R> {
        match self.memory(f)? {
            Ok(result) => Some(result),
            Err(race) => {
                self.race(&race);
                None
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn race(&self, race: &Race) {
        let kind = match race.kind {
            RaceKind::Data => FindingKind::DataRace,
            RaceKind::Free => FindingKind::UnorderedFree,
        };
        let text = race.told(|thread| self.name_of(thread));
        self.fail_here(Verdict::Finding(Finding::plain(kind, self.step(), text)));
    }

    fn pick(&self, what: Pick, n: u32) -> u32 {
        match what {
            Pick::Read | Pick::Place if self.here().sees_newest.get() => 0,
            Pick::Read | Pick::Place => self.choose_old(n),
            Pick::Fail => u32::from(self.choose_rarely(SPURIOUS)),
        }
    }

    fn by(&self, lane: usize, object: u32, value: u64, site: Site) -> Use {
        Use { thread: lane, object, value, site }
    }

    /// A load: the value, and how many newer ones there are. `value` is the newest.
    #[cold]
    #[inline(never)]
    pub fn modelled_load(&self, object: u32, value: u64, order: Ordering, site: Site) -> (u64, u8) {
        if self.is_looking() {
            return (value, 0);
        }
        let loaded = self.access(|memory, lane| {
            memory.load(self.by(lane, object, value, site), order, &mut |what, n| self.pick(what, n))
        });
        loaded.map_or((value, 0), |loaded| (loaded.bits, loaded.behind))
    }

    /// A store: whether `new` is the newest value.
    #[cold]
    #[inline(never)]
    pub fn modelled_store(&self, object: u32, value: u64, new: u64, order: Ordering, site: Site) -> bool {
        let is_newest = self.access(|memory, lane| {
            memory.store(self.by(lane, object, value, site), new, order, &mut |what, n| self.pick(what, n))
        });
        is_newest.unwrap_or(true)
    }

    /// A read-modify-write.
    #[inline(always)]
    pub fn modelled_update(
        &self,
        object: u32,
        value: u64,
        order: Ordering,
        site: Site,
        update: &dyn Fn(u64) -> u64,
    ) -> Updated {
        // What is found is the newest value mostly.
        let new = update(value);
        let update = move |found| if found == value { new } else { update(found) };
        let done = self.access(|memory, lane| {
            memory.rmw(self.by(lane, object, value, site), order, update, &mut |what, n| self.pick(what, n))
        });
        let (found, behind, is_newest) =
            done.map_or((value, 0, true), |(loaded, is_newest)| (loaded.bits, loaded.behind, is_newest));
        Updated { found, behind, is_newest, succeeded: true }
    }

    /// A compare-and-exchange: `exchange` is (expected, new).
    #[cold]
    #[inline(never)]
    pub fn modelled_exchange(
        &self,
        object: u32,
        value: u64,
        exchange: (u64, u64),
        orders: (Ordering, Ordering),
        is_weak: bool,
        site: Site,
    ) -> Updated {
        let done = self.access(|memory, lane| {
            let by = self.by(lane, object, value, site);
            memory.compare_exchange(by, exchange, orders, is_weak, &mut |what, n| self.pick(what, n))
        });
        match done {
            Some(done) => Updated {
                found: done.loaded.bits,
                behind: done.loaded.behind,
                is_newest: done.is_newest,
                succeeded: done.succeeded,
            },
            None => Updated { found: value, behind: 0, is_newest: true, succeeded: value == exchange.0 },
        }
    }

    /// A fence.
    pub fn modelled_fence(&self, order: Ordering) {
        if self.is_modelled() && !self.is_looking() {
            self.memory(|memory, lane| memory.fence(lane, order));
        }
    }

    /// An atomic is made: whoever uses it must come after.
    #[cold]
    #[inline(never)]
    pub fn modelled_made(&self, object: u32, value: u64, site: Site) {
        self.access(|memory, lane| memory.made(lane, object, value, site));
    }

    /// A plain access to an object.
    #[inline]
    pub fn modelled_plain(&self, object: u32, what: What, site: Site) {
        if self.is_modelled() && !(what == What::Read && self.is_looking()) {
            self.access(|memory, lane| memory.plain(lane, object, what, site));
        }
    }

    /// A plain access that began before ends, and may have done nothing since.
    pub fn modelled_still(&self, object: u32, what: What, site: Site) {
        if self.is_modelled() && !(what == What::Read && self.is_looking()) {
            self.access(|memory, lane| memory.still(lane, object, what, site));
        }
    }

    /// An atomic or a plain object is given up: all that was done with it must have come before.
    #[cold]
    #[inline(never)]
    pub fn modelled_freed(&self, object: u32, site: Site) {
        if self.is_modelled() {
            self.access(|memory, lane| memory.freed(lane, object, site));
        }
    }

    /// An object is somebody's alone.
    #[inline]
    pub fn modelled_forget(&self, object: u32) {
        if self.is_modelled() {
            self.memory(|memory, _| memory.forget(object));
        }
    }

    /// A new block of memory, which the running thread has cleared.
    #[cold]
    #[inline(never)]
    pub fn modelled_block(&self, start: NonNull<u8>, size: usize, site: Site) {
        let number = self.modelled.next_block.get();
        self.modelled.next_block.set(number + 1);
        self.modelled.blocks.borrow_mut().insert(start.addr().get(), (size, number));
        self.access(|memory, lane| memory.bytes(lane, number, 0..size, What::Made, site));
    }

    /// A plain access to some bytes of a block. Memory that is in no block is nobody's business.
    #[cold]
    #[inline(never)]
    pub fn modelled_bytes(&self, start: NonNull<u8>, length: usize, what: What, site: Site) {
        if what == What::Read && self.is_looking() {
            return;
        }
        let at = start.addr().get();
        let found = self.modelled.blocks.borrow().range(..=at).next_back().map(|(start, block)| (*start, *block));
        let Some((first, (size, number))) = found else { return };
        if at + length <= first + size {
            self.access(|memory, lane| memory.bytes(lane, number, at - first..at - first + length, what, site));
        }
    }

    /// A block is given back.
    #[cold]
    #[inline(never)]
    pub fn modelled_free(&self, start: NonNull<u8>, site: Site) {
        let found = self.modelled.blocks.borrow_mut().remove(&start.addr().get());
        if let Some((_, number)) = found {
            self.access(|memory, lane| memory.freed_bytes(lane, number, site));
        }
    }

    /// The running thread comes after all others: it has something to itself, and nobody here knows how that came about.
    pub fn modelled_inherits(&self) {
        if self.is_modelled() {
            self.memory(|memory, lane| memory.inherit(lane));
        }
    }

    /// Whoever has released `by` comes before what the running thread does from now on: it has taken a lock or a message.
    #[inline]
    pub fn acquired(&self, by: HandOver) {
        if self.is_modelled() && !self.is_looking() {
            self.memory(|memory, lane| memory.acquire(lane, by));
        }
    }

    /// What the running thread has done comes before whoever acquires `by` from now on.
    #[inline]
    pub fn released(&self, by: HandOver) {
        if self.is_modelled() && !self.is_looking() {
            self.memory(|memory, lane| memory.release(lane, by));
        }
    }

    /// The running thread, `number`, has ended.
    #[inline]
    pub fn modelled_end(&self, number: u32) {
        if self.is_modelled() {
            self.memory(|memory, lane| memory.ended(lane, number));
        }
    }

    /// The running thread started thread `number` in slot `child`.
    #[inline]
    pub fn modelled_spawn(&self, child: u32, number: u32) {
        if self.is_modelled() {
            let lane = self.memory(|memory, lane| memory.spawned(lane, number)).unwrap_or(0);
            self.modelled.lanes[child as usize].set(lane as u8);
        }
    }
}
