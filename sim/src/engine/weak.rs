//! The memory model: what a load may return, and which accesses race.
//!
//! **Invariant: all that C++20 allows can be chosen, and nothing else**, but for executions in which program order and
//! reads-from form a cycle ("load buffering"): a store is visible no earlier than it is executed. Choice 0 is always the newest
//! store, and the end of modification order, so that an execution in which nothing else is chosen is sequentially consistent.
//!
//! ```text
//!                     ┌─ thread      what each thread knows          clock   vector clocks
//!   Memory ── state ──┼─ word        stores in modification order    order   the order of sequentially consistent events
//!                     ├─ operation   what is done to both            race    two accesses that nothing orders
//!                     ├─ plain       cells and bytes: FastTrack
//!                     └─ table       objects by number, forgotten at once
//! ```
//!
//! Modification order need not be the order of execution, and neither need the total order S of sequentially consistent
//! operations; happens-before, which decides what races, comes from nothing but the orderings that were written. The rules are
//! those of C++20: release sequences are continued by read-modify-writes only, a sequentially consistent fence orders
//! coherence but synchronises with nobody by that, a failed compare-and-exchange is a load.
//!
//! *Bounds*, each of which forbids something that is allowed and allows nothing that is forbidden: [`HISTORY`] stores of a word
//! are kept; of the sequentially consistent events, 32 to 64 may still get another one put before them. The clocks
//! have 8, 16, 32 or 64 lanes, as many as the execution's threads need; [`MAX_LANES`] is the end.

mod clock;
mod operation;
mod order;
mod plain;
mod race;
mod state;
mod table;
mod thread;
mod word;
pub(super) mod world;

pub use self::race::{Access, Race, RaceKind, Site, What};

use self::operation::Found;
use self::state::State;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Threads alive at once that a [`Memory`] can tell apart.
pub const MAX_LANES: usize = 64;

/// Stores of a word that are kept.
pub const HISTORY: usize = word::HISTORY;

/// Who touches which atomic, and where in the program.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// The thread's lane.
    pub thread: usize,
    /// The atomic.
    pub object: u32,
    /// The bits that it holds if nothing was said of it before: everybody knows of them.
    pub value: u64,
    /// The place.
    pub site: Site,
}

/// By what one thread comes after another, other than by atomics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandOver {
    /// A lock, a message or the like, by its number.
    Object(u32),
    /// The end of a thread, by the thread's number. Acquired by who waits for it, released by [`Memory::ended`].
    End(u32),
    /// What an unpark leaves for a thread, by the thread's number.
    Token(u32),
}

/// What is being chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    /// The store to read; 0: the newest.
    Read,
    /// The place of a store in modification order; 0: the end.
    Place,
    /// Whether a weak compare-and-exchange that could succeed fails; 0: no.
    Fail,
}

/// What a load returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The value's bits.
    pub bits: u64,
    /// How many newer stores there are; 0: it is the newest one.
    pub behind: u8,
}

/// What a compare-and-exchange did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchanged {
    /// What it found.
    pub loaded: Loaded,
    /// Whether it stored the new value.
    pub succeeded: bool,
    /// Whether it stored, and the new value is the newest.
    pub is_newest: bool,
}

/// How much of the model there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Each load returns the newest store, as in an interleaving; races are found.
    Races,
    /// Loads may return stale values.
    Weak,
}

/// The memory of one execution at a time. Threads are called by their *lane*, which may be used again once a thread has ended;
/// thread 0 is there from the beginning. Objects are called by numbers, small ones best.
pub struct Memory {
    state: Wide,
    mode: Mode,
    /// Lanes used since the execution began.
    lanes: usize,
    /// Lanes whose thread has ended.
    vacant: u64,
}

enum Wide {
    Lanes8(Box<State<8>>),
    Lanes16(Box<State<16>>),
    Lanes32(Box<State<32>>),
    Lanes64(Box<State<64>>),
}

/// Calls the state, whatever its width.
macro_rules! wide {
    ($memory:expr, $state:ident => $call:expr) => {
        match &mut $memory.state {
            Wide::Lanes8($state) => $call,
            Wide::Lanes16($state) => $call,
            Wide::Lanes32($state) => $call,
            Wide::Lanes64($state) => $call,
        }
    };
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// A memory; call [`Memory::begin`] before each execution.
    pub fn new() -> Self {
        let mut memory = Self { state: Wide::Lanes8(Box::new(State::new())), mode: Mode::Races, lanes: 1, vacant: 0 };
        memory.begin(Mode::Races);
        memory
    }

    /// Forgets everything: a new execution begins, in which thread 0 runs. Its clocks are as wide as the execution before
    /// needed at last.
    pub fn begin(&mut self, mode: Mode) {
        if self.lanes.next_power_of_two().max(8) < self.width() {
            self.state = Wide::Lanes8(Box::new(State::new()));
            self.widen(self.lanes - 1);
        }
        self.mode = mode;
        self.vacant = 0;
        let lanes = std::mem::replace(&mut self.lanes, 1);
        wide!(self, state => state.begin(mode == Mode::Weak, lanes));
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    fn width(&self) -> usize {
        match self.state {
            Wide::Lanes8(_) => 8,
            Wide::Lanes16(_) => 16,
            Wide::Lanes32(_) => 32,
            Wide::Lanes64(_) => 64,
        }
    }

    /// There is a lane `t`.
    #[cold]
    #[inline(never)]
    fn widen(&mut self, t: usize) {
        assert!(t < MAX_LANES, "the memory model has {MAX_LANES} threads");
        while t >= self.width() {
            let state = std::mem::replace(&mut self.state, Wide::Lanes8(Box::new(State::new())));
            self.state = match state {
                Wide::Lanes8(state) => Wide::Lanes16(Box::new(state.widened())),
                Wide::Lanes16(state) => Wide::Lanes32(Box::new(state.widened())),
                Wide::Lanes32(state) => Wide::Lanes64(Box::new(state.widened())),
                Wide::Lanes64(state) => Wide::Lanes64(state),
            };
        }
    }

    /// `parent` started a thread, which reports call `number`: gives its lane. That of a thread which has ended is used again if the
    /// parent comes after that end, so that nothing is taken to be ordered that is not; any that is free if there is no other left.
    ///
    /// # Panics
    /// If [`MAX_LANES`] threads are alive.
    pub fn spawned(&mut self, parent: usize, number: u32) -> usize {
        let mut rest = self.vacant;
        let mut known = None;
        while rest != 0 && known.is_none() {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            known = wide!(self, state => state.knows_all_of(parent, lane)).then_some(lane);
        }
        let child = match known {
            Some(lane) => lane,
            None if self.lanes < MAX_LANES => self.lanes,
            None => self.vacant.trailing_zeros() as usize,
        };
        if child >= self.width() {
            self.widen(child);
        }
        self.vacant &= !(1 << child);
        self.lanes = self.lanes.max(child + 1);
        wide!(self, state => state.spawned(parent, child, number));
        child
    }

    /// Thread `number` in lane `t` has ended: see [`HandOver::End`].
    pub fn ended(&mut self, t: usize, number: u32) {
        self.release(t, HandOver::End(number));
        self.vacant |= 1 << t;
    }

    /// Thread `t` comes after all that have released `by`.
    pub fn acquire(&mut self, t: usize, by: HandOver) {
        wide!(self, state => state.acquire(t, by));
    }

    /// Whoever acquires `by` from now on comes after thread `t`.
    pub fn release(&mut self, t: usize, by: HandOver) {
        wide!(self, state => state.release(t, by));
    }

    /// Thread `t` comes after all that the others have done.
    pub fn inherit(&mut self, t: usize) {
        let lanes = self.lanes;
        wide!(self, state => state.inherit(t, lanes));
    }

    /// Nobody has released the object: its number may be another one's.
    pub fn clear(&mut self, object: u32) {
        wide!(self, state => state.clear(object));
    }

    /// A fence.
    pub fn fence(&mut self, t: usize, order: Ordering) {
        wide!(self, state => state.fence(t, order));
    }

    /// A load of an atomic.
    ///
    /// # Errors
    /// The race with whoever made the atomic or gave it up. The same goes for the others.
    #[inline]
    pub fn load(
        &mut self,
        by: Use,
        order: Ordering,
        choose: &mut dyn FnMut(Pick, u32) -> u32,
    ) -> Result<Loaded, Box<Race>> {
        wide!(self, state => state.load(by, order, choose)).map(Found::loaded)
    }

    /// A store. Gives whether `value` is the newest.
    ///
    /// # Errors
    /// As [`Memory::load`].
    #[inline]
    pub fn store(
        &mut self,
        by: Use,
        value: u64,
        order: Ordering,
        choose: &mut dyn FnMut(Pick, u32) -> u32,
    ) -> Result<bool, Box<Race>> {
        Ok(wide!(self, state => state.store(by, value, order, choose))? == 0)
    }

    /// A read-modify-write. Gives what it found, and whether what it stored is the newest.
    ///
    /// # Errors
    /// As [`Memory::load`].
    #[inline]
    pub fn rmw(
        &mut self,
        by: Use,
        order: Ordering,
        update: impl FnOnce(u64) -> u64,
        choose: &mut dyn FnMut(Pick, u32) -> u32,
    ) -> Result<(Loaded, bool), Box<Race>> {
        let found = wide!(self, state => state.rmw(by, order, update, choose))?;
        Ok((found.loaded(), found.position == 0))
    }

    /// A compare-and-exchange: `exchange` is (expected, new), `orders` are of success and of failure; an `is_weak` one may
    /// fail although it finds what it expects.
    ///
    /// # Errors
    /// As [`Memory::load`].
    #[inline]
    pub fn compare_exchange(
        &mut self,
        by: Use,
        exchange: (u64, u64),
        orders: (Ordering, Ordering),
        is_weak: bool,
        choose: &mut dyn FnMut(Pick, u32) -> u32,
    ) -> Result<Exchanged, Box<Race>> {
        let done = wide!(self, state => state.compare_exchange(by, exchange, orders, is_weak, choose));
        let (found, succeeded) = done?;
        let succeeded = succeeded != 0;
        Ok(Exchanged { loaded: found.loaded(), succeeded, is_newest: succeeded && found.position == 0 })
    }

    /// The values of an atomic's stores that are kept, the newest first; empty if nothing is known of it.
    pub fn history(&mut self, object: u32) -> Vec<u64> {
        wide!(self, state => state.history(object))
    }

    /// Thread `t` makes an atomic, or has it for itself and writes it as plain memory: it has one store from now on, which
    /// whoever uses it must come after.
    ///
    /// # Errors
    /// The race with somebody's access, if the atomic was there before.
    pub fn made(&mut self, t: usize, object: u32, value: u64, site: Site) -> Result<(), Box<Race>> {
        wide!(self, state => state.made(t, object, value, site))
    }

    /// A plain access to all of an object.
    ///
    /// # Errors
    /// The race with an earlier access.
    #[inline]
    pub fn plain(&mut self, t: usize, object: u32, what: What, site: Site) -> Result<(), Box<Race>> {
        wide!(self, state => state.plain(t, object, what, site))
    }

    /// A plain access that began before ends, and may have done nothing since.
    ///
    /// # Errors
    /// The race with an access since it began.
    pub fn still(&mut self, t: usize, object: u32, what: What, site: Site) -> Result<(), Box<Race>> {
        wide!(self, state => state.still(t, object, what, site))
    }

    /// A plain access to some bytes of an object, which are apart from what [`Memory::plain`] is about.
    ///
    /// # Errors
    /// The race with an earlier access.
    pub fn bytes(
        &mut self,
        t: usize,
        object: u32,
        range: Range<usize>,
        what: What,
        site: Site,
    ) -> Result<(), Box<Race>> {
        wide!(self, state => state.bytes(t, object, Some(range), what, site))
    }

    /// An object is somebody's alone now, in a way that nobody here can judge: what was known of it is void.
    pub fn forget(&mut self, object: u32) {
        wide!(self, state => state.forget(object));
    }

    /// Thread `t` gives an atomic or a plain object up.
    ///
    /// # Errors
    /// The race with an access that does not happen before.
    pub fn freed(&mut self, t: usize, object: u32, site: Site) -> Result<(), Box<Race>> {
        wide!(self, state => state.freed(t, object, site))
    }

    /// Thread `t` gives all bytes of an object up.
    ///
    /// # Errors
    /// The race with an access that does not happen before.
    pub fn freed_bytes(&mut self, t: usize, object: u32, site: Site) -> Result<(), Box<Race>> {
        wide!(self, state => state.bytes(t, object, None, What::Freed, site))
    }
}
