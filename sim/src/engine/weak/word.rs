//! An atomic word: its last stores, in modification order.
//!
//! **Invariant: the stores are in modification order, which need not be the order of execution**, and nothing stands between
//! a read-modify-write and the store that it read.
//!
//! ```text
//!   position       5      4      3      2      1      0  (newest)
//!   store       [ x=0 ][ x=1 ][ +1  ][ x=7 ][ x=3 ][ x=9 ]
//!                          └taken┘     └ floor: known to happen before, or read by what is known to: a load may return
//!                                        this one or a newer one, a store goes above this one or a newer one
//! ```
//!
//! `order` holds the places of the stores as sixteen digits of four bits, the newest lowest, so that a store is put in anywhere
//! by shifts. *Bound*: sixteen stores are kept; older ones are as if everybody knew that they are overwritten.

use super::clock::{Clock, NEVER, Time, widened};
use super::order::Order;
use super::race::{Mark, Site, What};

/// Stores that are kept.
pub(super) const HISTORY: usize = 16;

/// What an operation does with a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// It reads a store.
    Load,
    /// It writes right above a store.
    Store,
    /// It reads a store and writes right above it.
    Update,
}

/// A store.
#[derive(Clone, Copy)]
pub(super) struct Store<const W: usize> {
    pub value: u64,
    /// What whoever synchronises with it learns.
    pub view: Clock<W>,
    /// When each thread first loaded it.
    pub loads: [Time; W],
    pub time: Time,
    pub thread: u8,
    /// Its event in the order of sequentially consistent ones; 0: it is none.
    pub event: u32,
    /// The first such event that loaded it; `u32::MAX`: none.
    pub first_load: u32,
    /// When the three sets were written down; 0: they are empty.
    stamp: u32,
    /// What precedes those that it is coherence-ordered before: itself, and the fences before it.
    own: u64,
    /// The same of its loads.
    loaded: u64,
    /// The events that loaded it.
    load_events: u64,
}

impl<const W: usize> Store<W> {
    const INITIAL: Self = Self {
        value: 0,
        view: Clock::ZERO,
        loads: [NEVER; W],
        time: 0,
        thread: 0,
        event: 0,
        first_load: u32::MAX,
        stamp: 0,
        own: 0,
        loaded: 0,
        load_events: 0,
    };

    /// The sets are up to date.
    fn refresh(&mut self, order: &Order<W>) {
        let range = order.range(self.stamp);
        self.own &= range;
        self.loaded &= range;
        self.load_events &= range;
        self.stamp = order.stamp();
    }

    fn widened<const V: usize>(&self) -> Store<V> {
        Store {
            value: self.value,
            view: self.view.widened(),
            loads: widened(&self.loads, NEVER),
            time: self.time,
            thread: self.thread,
            event: self.event,
            first_load: self.first_load,
            stamp: self.stamp,
            own: self.own,
            loaded: self.loaded,
            load_events: self.load_events,
        }
    }
}

/// An atomic word.
pub(super) struct Word<const W: usize> {
    order: u64,
    /// Bit k: the store at position k was read by the read-modify-write at k - 1. Bits of stores that are not kept mean nothing.
    taken: u32,
    pub len: u8,
    /// Who made it, or gave it up.
    pub maker: u8,
    pub made: Mark,
    /// Bit t: thread t is known to come after that, and so is whoever has its lane later.
    pub later: u64,
    /// Each thread's last access.
    pub last: [Mark; W],
    /// Events of stores that are forgotten.
    old: u64,
    old_stamp: u32,
    /// Events of all stores but the newest, and of their loads, and of those that are forgotten.
    lower: u64,
    lower_stamp: u32,
    /// No event in the stores' sets is newer.
    pub newest_event: u32,
    stores: [Store<W>; HISTORY],
}

impl<const W: usize> Word<W> {
    pub fn new(value: u64) -> Self {
        let mut word = Self {
            order: 0,
            taken: 0,
            len: 1,
            maker: 0,
            made: Mark::none(),
            later: u64::MAX,
            last: [Mark::none(); W],
            old: 0,
            old_stamp: 0,
            lower: 0,
            lower_stamp: 0,
            newest_event: 0,
            stores: [Store::INITIAL; HISTORY],
        };
        word.renew(value);
        word
    }

    /// A new word in the place of an old one.
    pub fn renew(&mut self, value: u64) {
        self.order = 0;
        self.taken = 0;
        self.len = 1;
        self.maker = 0;
        self.made.time = 0;
        self.later = u64::MAX;
        for mark in &mut self.last {
            mark.time = 0;
        }
        self.old = 0;
        self.lower = 0;
        self.newest_event = 0;
        self.stores[0] = Store { value, ..Store::INITIAL };
    }

    #[inline(always)]
    fn place(&self, position: usize) -> usize {
        (self.order >> (4 * position) & 15) as usize
    }

    #[inline(always)]
    pub fn store(&self, position: usize) -> &Store<W> {
        &self.stores[self.place(position)]
    }

    #[inline(always)]
    pub fn store_mut(&mut self, position: usize) -> &mut Store<W> {
        &mut self.stores[self.place(position)]
    }

    /// The positions of the stores.
    #[inline(always)]
    pub fn kept(&self) -> u32 {
        (1 << self.len) - 1
    }

    /// The positions above which a store may be put, if coherence allows it: bit k for right above position k.
    #[inline(always)]
    pub fn open(&self) -> u32 {
        !self.taken & self.kept()
    }

    /// The lowest position that a load may return and a store may go above.
    #[inline]
    pub fn floor(&self, clock: &Clock<W>) -> usize {
        let last = self.len as usize - 1;
        for position in 0..last {
            let store = self.store(position);
            if clock.knows(store.thread as usize, store.time) || clock.knows_any(&store.loads) {
                return position;
            }
        }
        last
    }

    /// A store right above `position`, with nothing written in it but that nobody loaded it.
    #[inline(always)]
    pub fn insert(&mut self, position: usize, is_rmw: bool, order: &Order<W>) -> &mut Store<W> {
        if self.newest_event != 0 {
            self.bury(position, order);
        }
        let place = if (self.len as usize) < HISTORY {
            self.len += 1;
            self.len as usize - 1
        } else {
            self.place(HISTORY - 1)
        };
        if position == 0 {
            self.order = self.order << 4 | place as u64;
            self.taken = self.taken << 1 | u32::from(is_rmw) << 1;
        } else {
            self.insert_below(position, place, is_rmw);
        }
        let store = &mut self.stores[place];
        store.loads = [NEVER; W];
        store.event = 0;
        store.first_load = u32::MAX;
        store.stamp = 0; // nothing in the sets is live
        store
    }

    /// Puts a store's place in below others.
    #[inline(never)]
    fn insert_below(&mut self, position: usize, place: usize, is_rmw: bool) {
        let above = (1u64 << (4 * position)) - 1;
        let lower = if position == HISTORY - 1 { 0 } else { (self.order & !above) << 4 };
        self.order = lower | (place as u64) << (4 * position) | self.order & above;
        let above = (1 << position) - 1;
        self.taken = (self.taken & !above) << 1 | self.taken & above;
        if is_rmw && position + 1 < HISTORY {
            self.taken |= 1 << (position + 1);
        }
    }

    /// A store is put in: if it is the newest, the events of the one before are lower now. If the oldest one is given up, its events
    /// count as those of what is forgotten.
    #[inline(never)]
    fn bury(&mut self, position: usize, order: &Order<W>) {
        if self.len as usize == HISTORY {
            let events = self.events_at(HISTORY - 1, Does::Update, order);
            self.old = order.live(self.old, self.old_stamp) | events;
            self.old_stamp = order.stamp();
        }
        if position == 0 {
            let events = self.events_at(0, Does::Update, order);
            self.note_lower(events, order);
        }
    }

    /// Notes that an event and the fences before it, `own`, loaded the store at `position`.
    pub fn note_load(&mut self, position: usize, own: u64, event: u32, order: &Order<W>) {
        let store = self.store_mut(position);
        store.refresh(order);
        store.loaded |= own;
        if event != 0 {
            store.load_events |= super::order::bit(event);
            store.first_load = store.first_load.min(event);
        }
        if position != 0 {
            self.note_lower(own, order);
        }
        self.newest_event = self.newest_event.max(order.stamp() - 1);
    }

    fn note_lower(&mut self, events: u64, order: &Order<W>) {
        self.lower = order.live(self.lower, self.lower_stamp) | events;
        self.lower_stamp = order.stamp();
    }

    /// Notes that an event and the fences before it, `own`, wrote the store at `position`, which is new.
    pub fn note_store(&mut self, position: usize, own: u64, event: u32, order: &Order<W>) {
        let store = self.store_mut(position);
        store.own = own;
        store.loaded = 0;
        store.load_events = 0;
        store.stamp = order.stamp();
        store.event = event;
        if position != 0 {
            self.note_lower(own, order);
        }
        self.newest_event = self.newest_event.max(order.stamp() - 1);
    }

    /// The events of the store at `position`, and of its loads, if they are coherence-ordered before an operation right there.
    #[inline]
    pub fn events_at(&self, position: usize, does: Does, order: &Order<W>) -> u64 {
        let store = self.store(position);
        let loaded = if does == Does::Load { 0 } else { store.loaded };
        order.live(store.own | loaded, store.stamp)
    }

    /// The events that must precede an operation at `position`.
    pub fn events_below(&self, position: usize, does: Does, order: &Order<W>) -> u64 {
        let lower = if position == 0 {
            order.live(self.lower, self.lower_stamp)
        } else {
            let old = order.live(self.old, self.old_stamp);
            (position + 1..self.len as usize).fold(old, |set, at| set | self.events_at(at, Does::Update, order))
        };
        lower | self.events_at(position, does, order)
    }

    /// For each position the events of the stores there and below, and of their loads.
    pub fn all_below(&self, order: &Order<W>) -> [u64; HISTORY + 1] {
        let mut below = [0; HISTORY + 1];
        below[self.len as usize] = order.live(self.old, self.old_stamp);
        for position in (0..self.len as usize).rev() {
            below[position] = below[position + 1] | self.events_at(position, Does::Update, order);
        }
        below
    }

    /// The events that an operation below `position` must precede because of the store there, and whether one of them is old.
    pub fn events_of(&self, position: usize, order: &Order<W>) -> (u64, bool) {
        let store = self.store(position);
        let (mut found, mut an_old_one) = (order.live(store.load_events, store.stamp), order.is_old(store.first_load));
        if store.event != 0 {
            found |= super::order::bit(store.event);
            an_old_one |= order.is_old(store.event);
        }
        if order.fenced {
            let (fences, an_old_fence) = order.fences_after(store.thread as usize, store.time, &store.loads);
            found |= fences;
            an_old_one |= an_old_fence;
        }
        (found, an_old_one)
    }

    /// The events that must precede a fence that comes after what `clock` stands for.
    pub fn events_before_fence(&self, clock: &Clock<W>, order: &Order<W>) -> u64 {
        for position in 0..self.len as usize {
            let store = self.store(position);
            if clock.knows_any(&store.loads) {
                return self.events_below(position, Does::Load, order);
            }
            if clock.knows(store.thread as usize, store.time) && position + 1 < self.len as usize {
                return self.events_below(position + 1, Does::Update, order);
            }
        }
        order.live(self.old, self.old_stamp)
    }

    /// The first access that `clock` does not know, if there is one.
    pub fn unknown_to(&self, clock: &Clock<W>) -> Option<usize> {
        let times: [Time; W] = std::array::from_fn(|u| self.last[u].time);
        clock.first_unknown(&times)
    }

    /// Whoever touches it from now on must come after this: it was made, written as plain memory, or given up.
    pub fn claim(&mut self, t: usize, time: Time, what: What, site: Site) {
        self.maker = t as u8;
        self.made = Mark { time, what, order: None, site };
        self.later = 0;
    }

    /// The same with room for more threads.
    pub fn widened<const V: usize>(&self) -> Word<V> {
        Word {
            order: self.order,
            taken: self.taken,
            len: self.len,
            maker: self.maker,
            made: self.made,
            later: self.later,
            last: widened(&self.last, Mark::none()),
            old: self.old,
            old_stamp: self.old_stamp,
            lower: self.lower,
            lower_stamp: self.lower_stamp,
            newest_event: self.newest_event,
            stores: self.stores.map(|store| store.widened()),
        }
    }
}
