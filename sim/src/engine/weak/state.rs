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
use super::order::{Order, bit};
use super::plain::{Bytes, Clash, Plain};
use super::race::{Mark, Race, Site, What};
use super::table::Table;
use super::thread::{Names, Thread};
use super::word::{Does, HISTORY, Word};
use super::{Exchanged, HandOver, Loaded, Pick, Use};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Words that were given up and are remembered, so that a use after that is noticed.
const GRAVES: usize = 256;

pub(super) type Choose<'a> = dyn FnMut(Pick, u32) -> u32 + 'a;

/// The memory of an execution with at most `W` threads.
pub(super) struct State<const W: usize> {
    pub is_weak: bool,
    threads: Vec<Thread<W>>, // W of them; not in place, since a state is made on a thread's stack
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
    object: u32,
    site: Site,
}

fn acquires(order: Ordering) -> bool {
    matches!(order, Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst)
}

fn releases(order: Ordering) -> bool {
    matches!(order, Ordering::Release | Ordering::AcqRel | Ordering::SeqCst)
}

impl<const W: usize> State<W> {
    pub fn new() -> Self {
        Self {
            is_weak: false,
            threads: vec![Thread::NEW; W],
            names: Names::default(),
            words: Table::new(),
            cells: Table::new(),
            buffers: Table::new(),
            published: [const { Table::new() }; 3],
            order: Order::new(),
            graves: VecDeque::new(),
        }
    }

    /// Forgets everything; one thread runs.
    pub fn begin(&mut self, is_weak: bool) {
        self.is_weak = is_weak;
        self.threads.fill(Thread::NEW);
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

    #[inline(always)]
    fn by(&mut self, by: Use) -> By {
        By { t: by.thread, at: self.word(by.object, by.value), object: by.object, site: by.site }
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
    fn enter(&mut self, by: By, what: What, order: Ordering) -> Result<(), Box<Race>> {
        let clock = &self.threads[by.t].clock;
        let word = self.words.at(by.at);
        if clock.knows(word.maker as usize, word.made.time) {
            word.last[by.t] = Mark { time: clock.0[by.t], what, order: Some(order), site: by.site };
            return Ok(());
        }
        let clash = Clash { thread: word.maker as usize, mark: word.made };
        Err(self.race(clash, by.object, by.t, what, Some(order), by.site))
    }

    // ---- atomic words: operations

    #[inline]
    pub fn load(&mut self, by: Use, order: Ordering, choose: &mut Choose<'_>) -> Result<Loaded, Box<Race>> {
        let by = self.by(by);
        self.enter(by, What::Load, order)?;
        if !self.is_weak {
            return Ok(self.load_at(by, 0, order));
        }
        let floor = self.words.at(by.at).floor(&self.threads[by.t].clock);
        let mut position = 0;
        if floor != 0 {
            let mut open = (2u32 << floor) - 1;
            if self.is_ordered(order) {
                open = self.admitted(by, open, order, Does::Load);
            }
            position = pick(open, Pick::Read, choose);
        }
        Ok(self.load_at(by, position, order))
    }

    #[inline]
    pub fn store(&mut self, by: Use, value: u64, order: Ordering, choose: &mut Choose<'_>) -> Result<bool, Box<Race>> {
        let by = self.by(by);
        self.enter(by, What::Store, order)?;
        let mut position = 0;
        if self.is_weak {
            let mut open = self.words.at(by.at).open();
            if open != 1 {
                let floor = self.words.at(by.at).floor(&self.threads[by.t].clock);
                open &= (2 << floor) - 1;
                if open != 1 && self.is_ordered(order) {
                    open = self.admitted(by, open, order, Does::Store);
                }
                position = pick(open, Pick::Place, choose);
            }
        }
        self.store_at(by, position, value, order, None);
        Ok(position == 0)
    }

    #[inline]
    pub fn rmw(
        &mut self,
        by: Use,
        order: Ordering,
        update: impl FnOnce(u64) -> u64,
        choose: &mut Choose<'_>,
    ) -> Result<(Loaded, bool), Box<Race>> {
        let by = self.by(by);
        self.enter(by, What::Rmw, order)?;
        let mut position = 0;
        if self.is_weak {
            let mut open = self.words.at(by.at).open();
            if open != 1 {
                let floor = self.words.at(by.at).floor(&self.threads[by.t].clock);
                open &= (2 << floor) - 1;
                if open != 1 && self.is_ordered(order) {
                    open = self.admitted(by, open, order, Does::Update);
                }
                position = pick(open, Pick::Read, choose);
            }
        }
        let found = self.words.at(by.at).store(position).value;
        self.update_at(by, position, update(found), order);
        Ok((Loaded { bits: found, behind: position as u8 }, position == 0))
    }

    /// `orders`: of success and of failure.
    pub fn compare_exchange(
        &mut self,
        by: Use,
        (expected, new): (u64, u64),
        orders: (Ordering, Ordering),
        is_weak: bool,
        choose: &mut Choose<'_>,
    ) -> Result<Exchanged, Box<Race>> {
        let by = self.by(by);
        self.enter(by, What::Rmw, orders.0)?;
        let (mut position, mut may_succeed, mut may_fail) = (0, 1, 1);
        if self.is_weak {
            let word = self.words.at(by.at);
            let floor = word.floor(&self.threads[by.t].clock);
            let within = (2u32 << floor) - 1;
            let equal = (0..=floor).filter(|&k| word.store(k).value == expected).fold(0, |set, k| set | 1 << k);
            may_succeed = word.open() & within & equal;
            may_fail = if is_weak { within } else { within & !equal };
            if within != 1 {
                if self.is_ordered(orders.0) {
                    may_succeed = self.admitted(by, may_succeed, orders.0, Does::Update);
                }
                if self.is_ordered(orders.1) {
                    may_fail = self.admitted(by, may_fail, orders.1, Does::Load);
                }
                position = pick(may_succeed | may_fail, Pick::Read, choose);
            }
        }
        let found = self.words.at(by.at).store(position).value;
        let mut succeeds = found == expected;
        if succeeds && self.is_weak && is_weak {
            let (can, may_not) = (may_succeed >> position & 1 != 0, may_fail >> position & 1 != 0);
            succeeds = can && !(may_not && choose(Pick::Fail, 2) == 1);
        }
        let loaded = Loaded { bits: found, behind: position as u8 };
        if succeeds {
            self.update_at(by, position, new, orders.0);
            return Ok(Exchanged { loaded, succeeded: true, is_newest: position == 0 });
        }
        self.words.at(by.at).last[by.t] =
            Mark { time: self.threads[by.t].clock.0[by.t], what: What::Load, order: Some(orders.1), site: by.site };
        self.load_at(by, position, orders.1);
        Ok(Exchanged { loaded, succeeded: false, is_newest: false })
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

    fn load_at(&mut self, by: By, position: usize, order: Ordering) -> Loaded {
        if self.is_weak && self.is_ordered(order) {
            let (own, event) = self.take_place(by, position, order, Does::Load);
            self.words.at(by.at).note_load(position, own, event, &self.order);
        }
        let thread = &mut self.threads[by.t];
        let store = self.words.at(by.at).store_mut(position);
        let first = &mut store.loads[by.t];
        *first = (*first).min(thread.clock.0[by.t]);
        if acquires(order) {
            thread.clock.join(&store.view);
        } else {
            thread.later.join(&store.view);
        }
        thread.tick(by.t);
        Loaded { bits: store.value, behind: position as u8 }
    }

    /// A read-modify-write of the store at `position`: it continues the release sequences that the store is in.
    fn update_at(&mut self, by: By, position: usize, value: u64, order: Ordering) {
        let view = self.words.at(by.at).store(position).view;
        // Of a sequentially consistent one, its place in S is found before it learns.
        self.store_at(by, position, value, order, Some(&view));
    }

    #[inline]
    fn store_at(&mut self, by: By, position: usize, value: u64, order: Ordering, read: Option<&Clock<W>>) {
        let place = if self.is_weak && self.is_ordered(order) {
            let does = if read.is_some() { Does::Update } else { Does::Store };
            Some(self.take_place(by, position, order, does))
        } else {
            None
        };
        let thread = &mut self.threads[by.t];
        if let Some(view) = read {
            if acquires(order) {
                thread.clock.join(view);
            } else {
                thread.later.join(view);
            }
        }
        let mut view = if releases(order) { thread.clock } else { thread.fenced };
        if let Some(read) = read {
            view.join(read);
        }
        let word = self.words.at(by.at);
        let store = if self.is_weak { word.insert(position, read.is_some(), &self.order) } else { word.store_mut(0) };
        store.value = value;
        store.view = view;
        store.time = thread.clock.0[by.t];
        store.thread = by.t as u8;
        if let Some((own, event)) = place {
            word.note_store(position, own, event, &self.order);
        }
        thread.tick(by.t);
    }

    // ---- sequential consistency

    /// Whether the total order S can matter to an operation.
    #[inline(always)]
    fn is_ordered(&self, order: Ordering) -> bool {
        order == Ordering::SeqCst || self.order.fenced
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
            threads: (0..V).map(|t| self.threads.get(t).map_or(Thread::NEW, Thread::widened)).collect(),
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

/// One of the positions, the newest first.
#[inline]
fn pick(open: u32, what: Pick, choose: &mut Choose<'_>) -> usize {
    if open == 1 {
        return 0;
    }
    let mut rest = open;
    let count = open.count_ones();
    let chosen = if count == 1 { 0 } else { choose(what, count) };
    assert!(chosen < count, "{chosen} was chosen of {count}");
    for _ in 0..chosen {
        rest &= rest - 1;
    }
    rest.trailing_zeros() as usize
}
