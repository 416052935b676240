//! Every operation, for clocks of one width.
//!
//! **Invariant: the graph of all events executed so far is a consistent execution of C++20**: an operation may choose exactly
//! those stores, and those places in modification order, that keep it so. An execution whose program order and reads-from
//! have no cycle can be reached event by event, and each of its prefixes is consistent; so all such outcomes show, and no other.
//!
//! ```text
//!   load:  the word's stores ── not below the floor (coherence) ── no cycle in S (sequential consistency) ── choose ── learn
//!   store: the gaps between them, likewise ─────────────────────────────────────────────────────────────── choose ── put in
//! ```

use super::clock::Clock;
use super::operation::{Choose, Found, Operation, pick};
use super::order::{Order, bit};
use super::plain::{Bytes, Clash, Plain};
use super::race::{Mark, Race, Site, What};
use super::table::Table;
use super::thread::{Names, Thread, acquires, releases};
use super::word::{Does, HISTORY, Word};
use super::{HandOver, Pick, Use};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Words that were given up and are remembered, so that a use after that is noticed.
const GRAVES: usize = 256;

/// The memory of an execution with at most `W` threads.
pub(super) struct State<const W: usize> {
    pub is_weak: bool,
    threads: Box<[Thread<W>; W]>, // not in place, since a state is made on a thread's stack
    pub names: Names,
    words: Table<Word<W>>,
    cells: Table<Plain<W>>,
    buffers: Table<Bytes<W>>,
    /// What was handed over, by objects, by ends and by tokens.
    published: [Table<Clock<W>>; 3],
    order: Order<W>,
    graves: VecDeque<u32>,
}

/// An access to a word by a thread.
#[derive(Clone, Copy)]
struct By {
    t: usize,
    at: u32,
    site: Site,
}

impl<const W: usize> State<W> {
    pub fn new() -> Self {
        Self {
            is_weak: false,
            threads: threads(|_| Thread::NEW),
            names: Names::default(),
            words: Table::new(),
            cells: Table::new(),
            buffers: Table::new(),
            published: [const { Table::new() }; 3],
            order: Order::new(),
            graves: VecDeque::new(),
        }
    }

    /// Forgets everything, which includes threads in the first `lanes`; one thread runs.
    pub fn begin(&mut self, is_weak: bool, lanes: usize) {
        self.is_weak = is_weak;
        self.threads[..lanes].fill(Thread::NEW);
        self.threads[0].clock.0[0] = 1;
        self.names.begin();
        self.words.begin();
        self.cells.begin();
        self.buffers.begin();
        for table in &mut self.published {
            table.begin();
        }
        self.order.begin();
        self.graves.clear();
    }

    // ---- threads and locks

    /// Whether `t` comes after everything that was done in `lane`.
    pub fn knows_all_of(&self, t: usize, lane: usize) -> bool {
        // The last event was the end, which was published.
        self.threads[lane].clock.0[lane] - 1 <= self.threads[t].clock.0[lane]
    }

    pub fn spawned(&mut self, parent: usize, child: usize, number: u32) {
        // A lane's later thread comes after its earlier ones, and knows what they knew.
        let mut clock = self.threads[child].clock;
        clock.0[child] += 1;
        clock.join(&self.threads[parent].clock);
        self.names.add(child, clock.0[child], number);
        self.threads[child] = Thread { clock, ..Thread::NEW };
        self.threads[parent].tick(parent);
    }

    pub fn acquire(&mut self, t: usize, by: HandOver) {
        let (table, number) = Self::published(&mut self.published, by);
        if let Some(at) = table.find(number) {
            self.threads[t].clock.join(table.at(at));
        }
        self.threads[t].tick(t);
    }

    pub fn release(&mut self, t: usize, by: HandOver) {
        let (table, number) = Self::published(&mut self.published, by);
        let at = match table.find(number) {
            Some(at) => at,
            None => table.insert(number, || Clock::ZERO, |clock| *clock = Clock::ZERO),
        };
        table.at(at).join(&self.threads[t].clock);
        self.threads[t].tick(t);
    }

    pub fn inherit(&mut self, t: usize, lanes: usize) {
        for u in (0..lanes).filter(|u| *u != t) {
            let clock = self.threads[u].clock;
            self.threads[t].clock.join(&clock);
            self.threads[u].tick(u);
        }
        self.threads[t].tick(t);
    }

    pub fn clear(&mut self, object: u32) {
        self.published[0].remove(object);
    }

    fn published(tables: &mut [Table<Clock<W>>; 3], by: HandOver) -> (&mut Table<Clock<W>>, u32) {
        let (table, number) = match by {
            HandOver::Object(number) => (0, number),
            HandOver::End(number) => (1, number),
            HandOver::Token(number) => (2, number),
        };
        (&mut tables[table], number)
    }

    // ---- plain memory

    pub fn plain(&mut self, t: usize, object: u32, what: What, site: Site) -> Result<(), Box<Race>> {
        let at = match self.cells.find(object) {
            Some(at) => at,
            None => self.cells.insert(object, Plain::new, |cell| *cell = Plain::new()),
        };
        let clock = &self.threads[t].clock;
        let clash = self.cells.at(at).access(t, clock, what, site);
        clash.map_err(|clash| self.race(clash, object, t, what, None, site))
    }

    /// As `plain`, of an access that goes on and may have been the last one: it is compared, and not remembered.
    pub fn still(&mut self, t: usize, object: u32, what: What, site: Site) -> Result<(), Box<Race>> {
        let Some(at) = self.cells.find(object) else { return Ok(()) };
        let mut copy = *self.cells.at(at);
        let clash = copy.access(t, &self.threads[t].clock, what, site);
        clash.map_err(|clash| self.race(clash, object, t, what, None, site))
    }

    pub fn bytes(
        &mut self,
        t: usize,
        object: u32,
        range: Option<Range<usize>>,
        what: What,
        site: Site,
    ) -> Result<(), Box<Race>> {
        let at = match self.buffers.find(object) {
            Some(at) => at,
            None => self.buffers.insert(object, Bytes::new, Bytes::clear),
        };
        let clock = &self.threads[t].clock;
        let bytes = self.buffers.at(at);
        let clash = match range {
            Some(range) => bytes.access(t, clock, what, site, range),
            None => bytes.free(t, clock, site),
        };
        clash.map_err(|clash| self.race(clash, object, t, what, None, site))?;
        if what == What::Freed {
            self.buffers.remove(object);
        }
        Ok(())
    }

    #[cold]
    fn race(&self, clash: Clash, object: u32, t: usize, what: What, order: Option<Ordering>, site: Site) -> Box<Race> {
        let time = self.threads[t].clock.0[t];
        clash.race(object, &self.names, t, Mark { time, what, order, site })
    }

    // ---- atomic words: what they are

    /// The object's word. One that is new has `value`, which everybody knows.
    #[inline(always)]
    fn word(&mut self, object: u32, value: u64) -> u32 {
        match self.words.find(object) {
            Some(at) => at,
            None => self.words.insert(object, || Word::new(value), |word| word.renew(value)),
        }
    }

    /// Thread `t` made the word, or had it for itself: it has one store.
    pub fn made(&mut self, t: usize, object: u32, value: u64, site: Site) -> Result<(), Box<Race>> {
        let at = self.word(object, value);
        self.alone(t, at, object, What::Write, site)?;
        let word = self.words.at(at);
        let what = if word.made.time == 0 { What::Made } else { What::Write };
        word.renew(value);
        word.claim(t, self.threads[t].clock.0[t], what, site);
        Ok(())
    }

    pub fn history(&mut self, object: u32) -> Vec<u64> {
        let Some(at) = self.words.find(object) else { return Vec::new() };
        let word = self.words.at(at);
        (0..word.len as usize).map(|position| word.store(position).value).collect()
    }

    /// What is known of the object is void: it is somebody's alone now, and nobody can tell how it came to that.
    pub fn forget(&mut self, object: u32) {
        if let Some(at) = self.words.find(object) {
            self.words.at(at).newest_event = 0; // no fence looks at it again
            self.words.remove(object);
        }
        self.cells.remove(object);
        self.buffers.remove(object);
    }

    /// Thread `t` gives the word up.
    pub fn freed(&mut self, t: usize, object: u32, site: Site) -> Result<(), Box<Race>> {
        if self.cells.find(object).is_some() {
            self.plain(t, object, What::Freed, site)?;
            self.cells.remove(object);
        }
        let Some(at) = self.words.find(object) else { return Ok(()) };
        self.alone(t, at, object, What::Freed, site)?;
        self.words.at(at).claim(t, self.threads[t].clock.0[t], What::Freed, site);
        self.words.at(at).newest_event = 0;
        self.graves.push_back(object);
        if self.graves.len() > GRAVES
            && let Some(oldest) = self.graves.pop_front()
        {
            self.words.remove(oldest);
        }
        Ok(())
    }

    /// A race if somebody else's access does not happen before.
    fn alone(&mut self, t: usize, at: u32, object: u32, what: What, site: Site) -> Result<(), Box<Race>> {
        let clock = &self.threads[t].clock;
        let word = self.words.at(at);
        let clash = if !clock.knows(word.maker as usize, word.made.time) {
            Some(Clash { thread: word.maker as usize, mark: word.made })
        } else {
            word.unknown_to(clock).map(|u| Clash { thread: u, mark: word.last[u] })
        };
        match clash {
            Some(clash) => Err(self.race(clash, object, t, what, None, site)),
            None => Ok(()),
        }
    }

    /// The beginning of an atomic access: whoever made the word did so before.
    #[inline(always)]
    fn enter(&mut self, by: Use, what: What, order: Ordering) -> Result<By, Box<Race>> {
        let Use { thread: t, object, value, site } = by;
        let by = By { t, at: self.word(object, value), site };
        let (word, clock) = (self.words.at(by.at), &self.threads[t].clock);
        if word.later >> t & 1 == 0 {
            if !clock.knows(word.maker as usize, word.made.time) {
                let clash = Clash { thread: word.maker as usize, mark: word.made };
                return Err(self.race(clash, object, t, what, Some(order), site));
            }
            word.later |= 1 << t;
        }
        word.last[t] = Mark { time: clock.0[t], what, order: Some(order), site };
        Ok(by)
    }

    /// The word and the thread, found once.
    #[inline(always)]
    fn operation(&mut self, by: By) -> Operation<'_, W> {
        Operation {
            word: self.words.at(by.at),
            thread: &mut self.threads[by.t],
            t: by.t,
            order: &self.order,
            is_weak: self.is_weak,
        }
    }

    // ---- atomic words: operations

    /// Chooses the store that an operation reads, or writes right above.
    #[inline(always)]
    fn chosen(&mut self, by: By, order: Ordering, does: Does, choose: &mut Choose<'_>) -> usize {
        let mut open = self.operation(by).open(does);
        if open != 1 && self.order.matters(order) {
            open = self.admitted(by, open, order, does);
        }
        pick(open, does, choose)
    }

    #[inline(never)]
    pub fn load(&mut self, by: Use, order: Ordering, choose: &mut Choose<'_>) -> Result<Found, Box<Race>> {
        let by = self.enter(by, What::Load, order)?;
        if self.is_placed(order) {
            return Ok(self.any_load(by, order, choose));
        }
        let operation = self.operation(by);
        let position = pick(operation.open(Does::Load), Does::Load, choose);
        Ok(Found { bits: operation.load(position, order), position })
    }

    /// Gives the position of the store that the new one is right above.
    #[inline(never)]
    pub fn store(&mut self, by: Use, value: u64, order: Ordering, choose: &mut Choose<'_>) -> Result<usize, Box<Race>> {
        let by = self.enter(by, What::Store, order)?;
        if self.is_placed(order) {
            return Ok(self.any_store(by, value, order, choose));
        }
        let operation = self.operation(by);
        let position = pick(operation.open(Does::Store), Does::Store, choose);
        operation.store(position, value, order, Does::Store);
        Ok(position)
    }

    #[inline(never)]
    pub fn rmw(
        &mut self,
        by: Use,
        order: Ordering,
        update: impl FnOnce(u64) -> u64,
        choose: &mut Choose<'_>,
    ) -> Result<Found, Box<Race>> {
        let by = self.enter(by, What::Rmw, order)?;
        let operation = self.operation(by);
        if operation.is_weak && (operation.order.matters(order) || operation.word.open() != 1) {
            return Ok(self.any_rmw(by, order, update, choose));
        }
        // There is no choice: the newest store.
        let bits = operation.word.store(0).value;
        operation.store(0, update(bits), order, Does::Update);
        Ok(Found { bits, position: 0 })
    }

    // The same where there is a place in S to take, or a choice.

    #[inline(never)]
    fn any_load(&mut self, by: By, order: Ordering, choose: &mut Choose<'_>) -> Found {
        let position = self.chosen(by, order, Does::Load, choose);
        Found { bits: self.load_at(by, position, order), position }
    }

    #[inline(never)]
    fn any_store(&mut self, by: By, value: u64, order: Ordering, choose: &mut Choose<'_>) -> usize {
        let position = self.chosen(by, order, Does::Store, choose);
        self.store_at(by, position, value, order, Does::Store);
        position
    }

    #[inline(never)]
    fn any_rmw(&mut self, by: By, order: Ordering, update: impl FnOnce(u64) -> u64, choose: &mut Choose<'_>) -> Found {
        let position = self.chosen(by, order, Does::Update, choose);
        let bits = self.words.at(by.at).store(position).value;
        self.store_at(by, position, update(bits), order, Does::Update);
        Found { bits, position }
    }

    /// `orders`: of success and of failure. With what it found, 1 if it succeeded.
    #[inline(never)]
    pub fn compare_exchange(
        &mut self,
        by: Use,
        (expected, new): (u64, u64),
        orders: (Ordering, Ordering),
        is_weak: bool,
        choose: &mut Choose<'_>,
    ) -> Result<(Found, usize), Box<Race>> {
        let by = self.enter(by, What::Rmw, orders.0)?;
        let (mut position, mut may_succeed, mut may_fail) = (0, 1, 1);
        if self.is_weak {
            let word = self.words.at(by.at);
            let floor = word.floor(&self.threads[by.t].clock);
            let within = (2u32 << floor) - 1;
            let equal = (0..=floor).filter(|&k| word.store(k).value == expected).fold(0, |set, k| set | 1 << k);
            may_succeed = word.open() & within & equal;
            may_fail = if is_weak { within } else { within & !equal };
            if within != 1 {
                if self.order.matters(orders.0) {
                    may_succeed = self.admitted(by, may_succeed, orders.0, Does::Update);
                }
                if self.order.matters(orders.1) {
                    may_fail = self.admitted(by, may_fail, orders.1, Does::Load);
                }
                position = pick(may_succeed | may_fail, Does::Update, choose);
            }
        }
        let found = self.words.at(by.at).store(position).value;
        let mut succeeds = found == expected;
        if succeeds && self.is_weak && is_weak {
            let (can, may_not) = (may_succeed >> position & 1 != 0, may_fail >> position & 1 != 0);
            succeeds = can && !(may_not && choose(Pick::Fail, 2) == 1);
        }
        if succeeds {
            self.store_at(by, position, new, orders.0, Does::Update);
            return Ok((Found { bits: found, position }, 1));
        }
        self.words.at(by.at).last[by.t] =
            Mark { time: self.threads[by.t].clock.0[by.t], what: What::Load, order: Some(orders.1), site: by.site };
        self.load_at(by, position, orders.1);
        Ok((Found { bits: found, position }, 0))
    }

    pub fn fence(&mut self, t: usize, order: Ordering) {
        let before = self.threads[t].clock;
        let thread = &mut self.threads[t];
        if acquires(order) {
            let later = thread.later;
            thread.clock.join(&later);
        }
        if releases(order) {
            thread.fenced = thread.clock;
        }
        if order == Ordering::SeqCst && self.is_weak {
            self.sc_fence(t, &before);
        }
        let thread = &mut self.threads[t];
        thread.tick(t);
    }

    // ---- the effects of an operation, once it is chosen

    fn load_at(&mut self, by: By, position: usize, order: Ordering) -> u64 {
        if self.is_placed(order) {
            let (own, event) = self.take_place(by, position, order, Does::Load);
            self.words.at(by.at).note_load(position, own, event, &self.order);
        }
        self.operation(by).load(position, order)
    }

    /// A store right above `position`, or a read-modify-write of the store there.
    fn store_at(&mut self, by: By, position: usize, value: u64, order: Ordering, does: Does) {
        if !self.is_placed(order) {
            return self.operation(by).store(position, value, order, does);
        }
        // Of a sequentially consistent one, its place in S is found before it learns.
        let (own, event) = self.take_place(by, position, order, does);
        self.operation(by).store(position, value, order, does);
        self.words.at(by.at).note_store(position, own, event, &self.order);
    }

    // ---- sequential consistency

    /// Whether an operation has a place in S to take.
    #[inline(always)]
    fn is_placed(&self, order: Ordering) -> bool {
        self.is_weak && self.order.matters(order)
    }

    /// Those of the `open` positions at which S stays possible.
    #[cold]
    #[inline(never)]
    fn admitted(&mut self, by: By, open: u32, order: Ordering, does: Does) -> u32 {
        let is_event = order == Ordering::SeqCst;
        if is_event {
            self.order.make_room();
        }
        let strongly = self.preceding(by, is_event, 0);
        let word = self.words.at(by.at);
        let below = if is_event { word.all_below(&self.order) } else { [0; HISTORY + 1] };
        let mut admitted = open & 1; // nothing is above the newest
        let (mut above, mut an_old_one_above) = (0, false);
        for position in 1..(32 - open.leading_zeros()) as usize {
            let (events, an_old_one) = word.events_of(position - 1, &self.order);
            above |= events;
            an_old_one_above |= an_old_one;
            if open & 1 << position == 0 {
                continue;
            }
            let (fences, an_old_fence) = fences_before(&self.order, &self.threads[by.t], word, position, order, does);
            let must_precede = is_event || fences != 0 || an_old_fence;
            let fits = || {
                let lower =
                    if is_event { word.events_at(position, does, &self.order) | below[position + 1] } else { 0 };
                (strongly | self.order.closed(fences | lower)) & above == 0
            };
            if !must_precede || !an_old_one_above && fits() {
                admitted |= 1 << position;
            }
        }
        admitted
    }

    /// What must precede the operation in S because of its thread, and `others`, closed; nothing, if it is no event of S.
    #[inline]
    fn preceding(&self, by: By, is_event: bool, others: u64) -> u64 {
        if !is_event {
            return 0;
        }
        let thread = &self.threads[by.t];
        self.order.preceding(by.t, &thread.clock, &thread.at_sc, others)
    }

    /// Takes the place in S: gives what others that come after must know, and the event's number, or 0.
    #[cold]
    #[inline(never)]
    fn take_place(&mut self, by: By, position: usize, order: Ordering, does: Does) -> (u64, u32) {
        let is_event = order == Ordering::SeqCst;
        if is_event {
            self.order.make_room();
        }
        let word = self.words.at(by.at);
        let (fences, _) = fences_before(&self.order, &self.threads[by.t], word, position, order, does);
        let (mut own, mut event) = (fences, 0);
        if is_event {
            let others = word.events_below(position, does, &self.order);
            let before = self.preceding(by, true, others);
            let thread = &mut self.threads[by.t];
            event = self.order.add(by.t, thread.clock.0[by.t], before, None);
            thread.at_sc = thread.clock;
            own |= bit(event);
        }
        if position != 0 && own != 0 {
            let word = self.words.at(by.at);
            let above = (0..position).fold(0, |above, at| above | word.events_of(at, &self.order).0);
            self.order.put_before(self.order.closed(own), above);
        }
        (own, event)
    }

    #[cold]
    #[inline(never)]
    fn sc_fence(&mut self, t: usize, before: &Clock<W>) {
        self.order.make_room();
        let thread = &mut self.threads[t];
        let mut others = 0;
        for word in self.words.items() {
            if !self.order.is_old(word.newest_event) {
                others |= word.events_before_fence(&thread.clock, &self.order);
            }
        }
        let first = self.order.preceding(t, before, &thread.at_sc, others);
        self.order.add(t, thread.clock.0[t], first, Some(&thread.clock));
        thread.at_sc = *before;
    }

    // ---- width

    /// The same with room for more threads.
    pub fn widened<const V: usize>(self) -> State<V> {
        State {
            is_weak: self.is_weak,
            threads: threads(|t| self.threads.get(t).map_or(Thread::NEW, Thread::widened)),
            names: self.names,
            words: self.words.map(|word| word.widened()),
            cells: self.cells.map(|cell| cell.widened()),
            buffers: self.buffers.map(|bytes| bytes.widened()),
            published: self.published.map(|table| table.map(|clock| clock.widened())),
            order: self.order.widened(),
            graves: self.graves,
        }
    }
}

/// All threads of a state.
fn threads<const W: usize>(each: impl FnMut(usize) -> Thread<W>) -> Box<[Thread<W>; W]> {
    let all: Box<[Thread<W>]> = (0..W).map(each).collect();
    all.try_into().unwrap_or_else(|_| unreachable!("there are {W}"))
}

/// The live fences that happen before an operation at `position`, and whether an old one does: they precede in S all that the
/// operation is coherence-ordered before.
fn fences_before<const W: usize>(
    order: &Order<W>,
    thread: &Thread<W>,
    word: &Word<W>,
    position: usize,
    ordering: Ordering,
    does: Does,
) -> (u64, bool) {
    if !order.fenced {
        return (0, false);
    }
    let mut clock = thread.clock;
    if acquires(ordering) && does != Does::Store {
        clock.join(&word.store(position).view);
    }
    order.fences_before(&clock)
}
