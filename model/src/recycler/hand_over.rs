//! Batched hand-over: an array a thread, which only its owner touches, and one word where others put whole batches.
//!
//! **Invariant: the array, the chain and the floor are the owner's; `top` is a stack onto which anybody pushes a batch with one
//! compare-exchange, and which the owner takes whole with one swap; once it is CLOSED it holds nothing, for ever.**
//!
//! ```text
//!   owner:   get <──pop── [ array, LIFO ] ──push <── recycle       no atomic operation, no line that others write
//!                  ^ on a miss, some at a time
//!               [ chain ] <──swap── top <──push a batch── [ batch of thread B, for this owner ] <── recycle on B
//!                                       <──push a batch── [ batch of thread C, ...            ] <── recycle on C
//! ```
//!
//! *Bound*: array and waiting objects together at most `max_capacity`; besides, at most one batch in each other thread.
//! *Give-back*: `floor` is how far down the array was used in this period; what is below it was not, and half of that goes in the next
//! one, some at a time, or all when the owner says so ([`HandOver::trim`]). A period is long enough for the whole array to be used.
//! A chain that was not needed during a period is treated alike. *Guard*: the link of an object in use has a value of its own.
//!
//! It absorbs what snmalloc and mimalloc know (one contended write a batch; the owner looks on a miss only), for objects that keep
//! their contents.

mod give_back;

use super::counters::{Counters, bump};
use super::domain::Inner;
use super::error::RecyclerError;
use super::inspect::{HandOverInspection, PoolInspection, StoreInspection};
use super::outbox::Parcel;
use super::pool::Scope;
use super::slot::{Gate, Head};
use super::stats::PoolStats;
use crate::Platform;
use crate::observe::{Defect, DropReason, Event, Fate, Reach};
use crate::platform::{AtomicOps, CellOps, CounterOps};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// Operations of the owner after which it looks after the pool; twice as many at most, when it makes objects meanwhile.
const LOOK: u64 = 1 << u8::BITS;
/// Objects that a miss takes over at most.
const CHUNK: usize = 32;
/// Places of the array that are kept even when they are free.
const ROOM: usize = 64;

/// What `top` is once the owner has ended: the address of nothing.
fn closed<P: Platform>() -> *mut Head<P> {
    ptr::without_provenance_mut(1)
}

/// What only the owner touches. How many places of the array are filled is the counter `len`.
struct Owned<P: Platform> {
    array: Box<[*mut Head<P>]>,
    /// Places that may be filled: at most the array's length.
    limit: usize,
    /// Below this, the array wasn't touched in this period.
    floor: usize,
    /// `len` at the start of the period.
    mark: usize,
    /// Taken from `top`, not yet in the array.
    chain: *mut Head<P>,
    /// A miss took from the chain in this period.
    refilled: bool,
    /// Operations at the start of the period.
    since: u64,
    /// Operations at the last look.
    looked: u64,
    /// Objects to be given up: of the array's bottom, and of the chain.
    surplus: [usize; 2],
    /// The owner has left.
    exited: bool,
}

/// What others touch, on a line of its own.
#[repr(align(64))]
struct Shared<P: Platform> {
    top: P::Atomic<*mut Head<P>>,
    /// Objects in `top` and in the chain, and those of batches about to be pushed.
    waiting: P::Atomic<usize>,
    /// The owner's `limit`, for whoever pushes.
    limit: P::Atomic<usize>,
}

/// One thread's pool. It starts with its gate, to which its objects point; each object has a count of the pool.
#[repr(C)]
pub(super) struct HandOver<P: Platform> {
    gate: Gate,
    /// The owner has left: a hint that saves a batch.
    closed: P::Atomic<bool>,
    pub(super) number: u64,
    /// Objects of a batch.
    pub(super) batch: u64,
    max_capacity: usize,
    /// Destroys an object.
    destroy: unsafe fn(NonNull<Head<P>>),
    domain: Arc<Inner<P>>,
    scope: Arc<Scope<P>>,
    owned: P::Cell<Owned<P>>,
    counters: Counters<P>,
    shared: Shared<P>,
}

// SAFETY: `new` is told that what it pools is Send; `owned` is the owner's, by the contracts below; the rest is atomic or constant.
unsafe impl<P: Platform> Send for HandOver<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for HandOver<P> {}

/// Objects to be destroyed when the operation is over: a destructor may come back to the pool.
struct Grave<P: Platform>(*mut Head<P>);

impl<P: Platform> Grave<P> {
    /// # Safety
    /// The object is the caller's alone, and not used again.
    unsafe fn add(&mut self, head: NonNull<Head<P>>) {
        // SAFETY: ours alone.
        unsafe { head.as_ref().set_next(self.0) };
        self.0 = head.as_ptr();
    }
}

impl<P: Platform> Owned<P> {
    /// Fills the first free place, if there is one.
    ///
    /// # Safety
    /// `len` places are filled.
    #[inline(always)]
    unsafe fn put(&mut self, len: usize, head: NonNull<Head<P>>) -> bool {
        if len >= self.limit {
            return false;
        }
        // SAFETY: the limit is within the array.
        unsafe { *self.array.get_unchecked_mut(len) = head.as_ptr() };
        true
    }
}

impl<P: Platform> HandOver<P> {
    /// The running thread's pool, of objects that `destroy` destroys.
    ///
    /// # Safety
    /// `destroy` destroys what is given to [`HandOver::adopt`], on any thread.
    pub(super) unsafe fn new(scope: &Arc<Scope<P>>, destroy: unsafe fn(NonNull<Head<P>>)) -> Arc<Self> {
        let config = &scope.config;
        Arc::new(Self {
            gate: Gate { owner: P::current_id(), hand_over: true },
            closed: P::Atomic::new(false),
            number: scope.domain.next_pool(),
            batch: u64::from(config.chunk_size.min(config.max_capacity / 4).max(1)),
            max_capacity: config.max_capacity as usize,
            destroy,
            domain: Arc::clone(&scope.domain),
            scope: Arc::clone(scope),
            owned: P::Cell::new(Owned {
                array: Box::default(),
                limit: 0,
                floor: 0,
                mark: 0,
                chain: ptr::null_mut(),
                refilled: false,
                since: 0,
                looked: 0,
                surplus: [0; 2],
                exited: false,
            }),
            counters: Counters::default(),
            shared: Shared {
                top: P::Atomic::new(ptr::null_mut()),
                waiting: P::Atomic::new(0),
                limit: P::Atomic::new(0),
            },
        })
    }

    /// The gate, as objects hold it: good for the whole pool.
    pub(super) fn gate(self: Arc<Self>) -> NonNull<Gate> {
        let this = Arc::into_raw(self).cast_mut();
        NonNull::new(this).unwrap_or_else(|| unreachable!("an `Arc` is somewhere")).cast()
    }

    /// The pool of an object.
    ///
    /// # Safety
    /// The object has a gate that came from [`HandOver::gate`], and it or another one of the pool outlives `'a`.
    #[inline(always)]
    pub(super) unsafe fn of<'a>(head: NonNull<Head<P>>) -> &'a Self {
        // SAFETY: by the contract of this function.
        unsafe { head.as_ref().gate.cast::<Self>().as_ref() }
    }

    /// Takes an object, unless it must be looked for: then [`HandOver::pop_slow`].
    ///
    /// # Safety
    /// On the owner's thread.
    #[inline(always)]
    #[track_caller]
    pub(super) unsafe fn pop(&self) -> Option<NonNull<Head<P>>> {
        let own = &self.counters.own;
        let (len, reused) = (own.len.get(), own.reused.get().wrapping_add(1));
        // SAFETY: the owner's cell, by the contract of this function; places below `len` are filled.
        let head = self.owned.with(|o| unsafe {
            let o = &*o;
            let is_there = len as usize > o.floor && reused as u8 != 0; // every LOOK operations it isn't
            is_there.then(|| *o.array.get_unchecked(len as usize - 1))
        })?;
        own.len.set(len - 1);
        own.reused.set(reused);
        // SAFETY: what was in the array is an object, and the owner's alone.
        unsafe {
            (*head).obtain();
            Some(NonNull::new_unchecked(head))
        }
    }

    /// Takes an object: from below the floor, or from what others put back. First looks after the pool if it is time.
    ///
    /// # Safety
    /// On the owner's thread.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) unsafe fn pop_slow(&self) -> Option<NonNull<Head<P>>> {
        let own = &self.counters.own;
        // SAFETY: the owner's cell.
        if self.operations().wrapping_sub(self.owned.with(|o| unsafe { (*o).looked })) >= LOOK {
            self.domain.flush();
            // SAFETY: on the owner's thread.
            unsafe { self.look_after(false) };
        }
        // SAFETY: the owner's cell; nothing is destroyed.
        let head = self.owned.with_mut(|o| unsafe {
            let o = &mut *o;
            if own.len.get() == 0 && !self.refill(o) {
                return None;
            }
            let len = own.len.get() as usize;
            if len <= o.floor {
                // Some more than what is used now, so that not every new low comes here.
                o.floor = (len - 1).saturating_sub((o.mark.max(len) - len) / 8);
            }
            own.len.set(len as u64 - 1);
            Some(o.array[len - 1])
        })?;
        bump(&own.reused, 1);
        // SAFETY: as in `pop`.
        unsafe {
            (*head).obtain();
            Some(NonNull::new_unchecked(head))
        }
    }

    /// Fills the empty array from the chain, some at a time, and that from what others pushed, all at once.
    ///
    /// # Safety
    /// On the owner's thread; `o` is its cell.
    unsafe fn refill(&self, o: &mut Owned<P>) -> bool {
        // SAFETY: on the owner's thread.
        if o.chain.is_null() && !unsafe { self.take_all(o) } {
            return false;
        }
        let mut moved = 0;
        let room = CHUNK.min(self.max_capacity);
        self.reserve(o, room);
        while moved < room
            && let Some(head) = NonNull::new(o.chain)
        {
            // SAFETY: in the chain, and so the owner's.
            unsafe {
                let head = head.as_ref();
                o.chain = head.next();
                head.set_next(ptr::null_mut());
                P::note(head.ticket(), Event::Transferred(Fate::StoredByOwner));
            }
            o.array[moved] = head.as_ptr();
            moved += 1;
        }
        if moved > o.limit {
            o.limit = moved;
            // SeqCst: see `grow`. What it may be too much for a moment is subtracted below.
            self.shared.limit.store(moved, SeqCst);
        }
        if !P::planted(Defect::WaitingKept) {
            self.shared.waiting.fetch_sub(moved, SeqCst); // SeqCst: see `grow`
        }
        bump(&self.counters.own.taken, moved as u64);
        self.counters.own.len.set(moved as u64);
        (o.refilled, o.floor) = (true, 0);
        o.surplus = [0; 2];
        true
    }

    /// Takes what others pushed into the empty chain, and says whether there was something.
    ///
    /// # Safety
    /// On the owner's thread, which hasn't left; `o` is its cell.
    unsafe fn take_all(&self, o: &mut Owned<P>) -> bool {
        // Relaxed: what is missed now comes with the next miss. The line of others is written only if there is something.
        if o.exited || self.shared.top.load(Relaxed).is_null() {
            return false;
        }
        // Acquire: pairs with the Release in `push_batch`; the objects and their links go with it.
        o.chain = self.shared.top.swap(ptr::null_mut(), Acquire);
        assert!(o.chain != closed(), "only the owner closes");
        true
    }

    /// Makes the array long enough.
    fn reserve(&self, o: &mut Owned<P>, places: usize) {
        if o.array.len() < places {
            let len = self.counters.own.len.get() as usize;
            let mut array = alloc::vec![ptr::null_mut(); places.max(ROOM)].into_boxed_slice();
            array[..len].copy_from_slice(&o.array[..len]);
            o.array = array;
        }
    }

    /// Puts an object back, unless it must be looked at closely: then [`HandOver::push_slow`].
    ///
    /// # Safety
    /// On the owner's thread; the object is of this pool and the caller's alone, and not used again if the result is true.
    #[inline(always)]
    #[track_caller]
    pub(super) unsafe fn push(&self, head: NonNull<Head<P>>) -> bool {
        let own = &self.counters.own;
        let len = own.len.get();
        // SAFETY: the owner's cell and the caller's object, by the contract of this function; `limit` is within the array.
        unsafe {
            let object = head.as_ref();
            if !object.is_in_use() || !self.owned.with_mut(|o| (*o).put(len as usize, head)) {
                return false;
            }
            P::note(object.ticket(), Event::Recycled(Fate::StoredByOwner));
            object.set_next(ptr::null_mut());
        }
        own.len.set(len + 1);
        bump(&own.stored, 1);
        true
    }

    /// Puts an object back where [`HandOver::push`] didn't: into a longer array, or drops it.
    ///
    /// # Safety
    /// On the owner's thread; the object is of this pool and in use, the caller's alone, and not used again.
    unsafe fn push_slow(head: NonNull<Head<P>>) {
        // SAFETY: the pool lives as long as its object.
        let this = unsafe { Self::of(head) };
        // SAFETY: the owner's cell.
        let reason = this.owned.with_mut(|o| unsafe {
            let o = &mut *o;
            if o.exited {
                return Some(DropReason::OwnerDead);
            }
            (!this.grow(o)).then_some(DropReason::PoolFull)
        });
        let Some(reason) = reason else {
            // SAFETY: by the contract of this function.
            let stored = unsafe { this.push(head) };
            assert!(stored, "there is room now");
            return;
        };
        match reason {
            DropReason::PoolFull => bump(&this.counters.own.full, 1),
            _ => this.counters.far_fate(Fate::Dropped(reason)),
        }
        // SAFETY: the caller's object, not used again.
        unsafe {
            P::note(head.as_ref().ticket(), Event::Recycled(Fate::Dropped(reason)));
            Self::destroy(head);
        }
    }

    /// Raises the limit of the full array, at most twofold, and says whether that was possible.
    fn grow(&self, o: &mut Owned<P>) -> bool {
        let wanted = (o.limit * 2).clamp(1, self.max_capacity);
        // SeqCst: with the addition in `push_batch`. Each side says what it wants before it looks at what the other has, so that
        // of two at once one at least sees the other, and the bound holds.
        self.shared.limit.swap(wanted, SeqCst);
        let waiting = self.shared.waiting.load(SeqCst);
        let granted = wanted.min(self.max_capacity.saturating_sub(waiting)).max(o.limit);
        if granted < wanted {
            self.shared.limit.store(granted, SeqCst); // SeqCst: as above
        }
        let grew = granted > o.limit;
        o.limit = granted;
        self.reserve(o, granted);
        grew
    }

    /// Gives an object back: on any thread.
    ///
    /// # Errors
    /// It is not in use.
    ///
    /// # Safety
    /// The object is of this pool and the caller's alone, and not used again.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) unsafe fn give_back(head: NonNull<Head<P>>) -> Result<(), RecyclerError> {
        // SAFETY: the caller's object; the pool lives as long as it.
        let (this, in_use, ticket) = unsafe { (Self::of(head), head.as_ref().is_in_use(), head.as_ref().ticket()) };
        if !in_use {
            this.counters.far.refused.add(1);
            P::note(ticket, Event::RecycleRefused);
            return Err(RecyclerError::ObjectRecycledAlready);
        }
        if P::is_current(this.gate.owner) {
            // SAFETY: by the contract of this function.
            unsafe { Self::push_slow(head) };
            return Ok(());
        }
        P::reach(Reach::RecycledByOtherThread);
        // Relaxed: a hint; whoever misses it learns it from `top`.
        if this.closed.load(Relaxed) {
            this.counters.far_fate(Fate::Dropped(DropReason::OwnerDead));
            P::note(ticket, Event::Recycled(Fate::Dropped(DropReason::OwnerDead)));
            // SAFETY: the caller's object, not used again.
            unsafe { Self::destroy(head) };
            return Ok(());
        }
        P::note(ticket, Event::Recycled(Fate::StoredByOther)); // before anybody can obtain it
        // SAFETY: the caller's object, not used again.
        unsafe { this.domain.post(this, head) };
        Ok(())
    }

    /// Hands a batch over to the owner, or destroys it if it is not wanted.
    ///
    /// # Safety
    /// The parcel's objects are of one pool and the caller's alone, and not used again.
    pub(super) unsafe fn deliver(parcel: Parcel<P>) {
        // SAFETY: by the contract of this function. The pool may be gone after a success: the objects held it.
        let Err(reason) = (unsafe { Self::push_batch(&parcel) }) else { return };
        // SAFETY: the pool lives as long as its objects.
        let far = unsafe { &Self::of(parcel.first).counters.far };
        let late = if reason == DropReason::PoolFull { &far.full_late } else { &far.dead_late };
        late.add(parcel.len);
        let mut next = parcel.first.as_ptr();
        let mut left = parcel.len;
        while left > 0
            && let Some(head) = NonNull::new(next)
        {
            left -= 1;
            // SAFETY: the parcel's objects are linked, first to last, and ours; the pool lives as long as the last.
            unsafe {
                next = head.as_ref().next();
                P::note(head.as_ref().ticket(), Event::Transferred(Fate::Dropped(reason)));
                Self::destroy(head);
            }
        }
    }

    /// # Safety
    /// As [`HandOver::deliver`]; the objects are the owner's if the result is `Ok`.
    unsafe fn push_batch(parcel: &Parcel<P>) -> Result<(), DropReason> {
        // SAFETY: the pool lives as long as the objects, which are ours until the exchange below.
        let this = unsafe { Self::of(parcel.first) };
        let (shared, n) = (&this.shared, parcel.len as usize);
        // SeqCst: see `grow`.
        let waiting = shared.waiting.fetch_add(n, SeqCst) + n;
        if waiting + shared.limit.load(SeqCst) > this.max_capacity && !P::planted(Defect::UnboundedBatches) {
            shared.waiting.fetch_sub(n, SeqCst); // SeqCst: see `grow`
            return Err(DropReason::PoolFull);
        }
        let mut top = shared.top.load(Relaxed); // Relaxed: a guess; the exchange decides
        loop {
            if top == closed() {
                shared.waiting.fetch_sub(n, SeqCst); // SeqCst: see `grow`
                return Err(DropReason::OwnerDead);
            }
            // SAFETY: the caller's object.
            unsafe { parcel.last.as_ref().set_next(top) };
            // Release: pairs with the Acquire in `take_all` and `leave`; the objects and their links go with it.
            match shared.top.compare_exchange_weak(top, parcel.first.as_ptr(), Release, Relaxed) {
                Ok(_) => return Ok(()),
                Err(found) => top = found,
            }
        }
    }

    /// What the owner got.
    fn operations(&self) -> u64 {
        self.counters.own.created.get().wrapping_add(self.counters.own.reused.get())
    }

    /// Destroys an object. Its pool may be gone afterwards.
    ///
    /// # Safety
    /// The object is of such a pool and the caller's alone, and not used again.
    unsafe fn destroy(head: NonNull<Head<P>>) {
        // SAFETY: by the contract of this function; the object's own count of the pool is given up after it.
        unsafe {
            let this = head.as_ref().gate.cast::<Self>();
            let destroy = this.as_ref().destroy;
            destroy(head);
            Arc::decrement_strong_count(this.as_ptr().cast_const());
        }
    }

    /// # Safety
    /// The objects are of such pools and the caller's alone.
    unsafe fn bury(grave: Grave<P>) {
        let mut next = grave.0;
        while let Some(head) = NonNull::new(next) {
            // SAFETY: by the contract of this function.
            unsafe {
                next = head.as_ref().next();
                Self::destroy(head);
            }
        }
    }

    /// An object is made: counts it.
    ///
    /// # Safety
    /// On the owner's thread.
    pub(super) unsafe fn count_created(&self) {
        bump(&self.counters.own.created, 1);
    }

    /// An object in use leaves for good.
    ///
    /// # Safety
    /// The object is of this pool and the caller's alone, and not used again.
    pub(super) unsafe fn forget(head: NonNull<Head<P>>) {
        // SAFETY: by the contract of this function.
        unsafe {
            Self::of(head).counters.far.forgotten.add(1);
            Self::destroy(head);
        }
    }

    /// The owner ends: everything is given up, and nothing is taken any more.
    ///
    /// # Safety
    /// On the owner's thread.
    pub(super) unsafe fn leave(&self) {
        if P::planted(Defect::DeadPoolAccepts) {
            return;
        }
        let own = &self.counters.own;
        let mut grave = Grave(ptr::null_mut());
        self.closed.store(true, Relaxed); // Relaxed: a hint
        // Acquire: as in `take_all`; Release isn't needed: there is nothing behind CLOSED.
        let mut pushed = self.shared.top.swap(closed(), Acquire);
        // SAFETY: the owner's cell and objects; they are destroyed outside.
        self.owned.with_mut(|o| unsafe {
            let o = &mut *o;
            let len = own.len.get() as usize;
            for head in &o.array[..len] {
                grave.add(NonNull::new_unchecked(*head));
            }
            let mut waiting = 0;
            for list in [&mut o.chain, &mut pushed] {
                while let Some(head) = NonNull::new(*list) {
                    *list = head.as_ref().next();
                    P::note(head.as_ref().ticket(), Event::Transferred(Fate::Dropped(DropReason::OwnerDead)));
                    grave.add(head);
                    waiting += 1;
                }
            }
            self.shared.waiting.fetch_sub(waiting, SeqCst); // SeqCst: see `grow`
            bump(&own.taken, waiting as u64);
            own.dead.add((len + waiting) as u64);
            own.len.set(0);
            (o.array, o.limit, o.floor, o.mark, o.exited) = (Box::default(), 0, 0, 0, true);
        });
        // SAFETY: they have just been taken out.
        unsafe { Self::bury(grave) };
    }

    /// The inside; `id` names an object.
    ///
    /// # Safety
    /// No thread is inside the pool, and what they did there happened before.
    pub(super) unsafe fn inspect(&self, id: &impl Fn(NonNull<Head<P>>) -> i64) -> PoolInspection {
        let len = self.counters.own.len.get() as usize;
        let top = self.shared.top.load(Acquire); // Acquire: as in `take_all`
        // SAFETY: nobody is here; the array holds objects up to `len`.
        let (array, chain) = self.owned.with(|o| unsafe {
            let array = (&(*o).array)[..len].iter().map(|head| id(NonNull::new_unchecked(*head))).collect();
            (array, (*o).chain)
        });
        let mut waiting = Vec::new();
        for mut next in [chain, if top == closed() { ptr::null_mut() } else { top }] {
            while let Some(head) = NonNull::new(next) {
                waiting.push(id(head));
                // SAFETY: nobody is here; it is in the list.
                next = unsafe { head.as_ref().next() };
            }
        }
        let dead = self.closed.load(Relaxed); // Relaxed: ordered by the contract of this function
        let store = StoreInspection::HandOver(HandOverInspection { array, waiting });
        PoolInspection { pool: self.number, owner: self.gate.owner, dead, store }
    }

    /// The statistics; `posted` objects are in batches of other threads.
    pub(super) fn stats(&self, posted: u64) -> PoolStats {
        let waiting = self.shared.waiting.load(Relaxed) as u64; // Relaxed: a statistic
        let taken = self.counters.own.taken.get();
        let mut stats = self.counters.stats_with(waiting + taken + posted, taken);
        // Min: while threads are at work, an object on its way may be counted in two places.
        stats.queue_len = stats.queue_len.min(stats.created);
        stats.retained = stats.retained.min(stats.created);
        stats.owner = self.gate.owner.0;
        stats.dead = self.closed.load(Relaxed); // Relaxed: a statistic
        stats
    }
}

impl<P: Platform> Drop for HandOver<P> {
    fn drop(&mut self) {
        let (own, far) = (&self.counters.own, &self.counters.far);
        far.stored.set(own.taken.get()); // nothing waits any more
        self.scope.rest.absorb(&self.counters);
    }
}
