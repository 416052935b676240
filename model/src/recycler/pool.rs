//! One thread's pool, and the recycler that has one for every thread.
//!
//! **Invariant: an object in use holds its pool; a pool doesn't hold what is in use.** So a pool lives as long as its thread,
//! plus as long as any of its objects is out, plus (if collection is withheld) until the next collection.
//!
//! ```text
//!   Core (a recycler) ── thread-local ──> Pool ──> Store::A Stack | Store::B LocalPool ──> Node, Node, ...
//!     │  │ └─ pools: weak, or strong while collection is withheld     ^
//!     │  │                                        Home::Pool ──────┘ of each object in use
//!     │  └─────────── thread-local ──> Seat ──> HandOver <──> Slot, Slot, ...   (counted by its objects; emptied when its owner ends)
//!     └──> Scope: config, kind, domain <── Pool, HandOver
//! ```

use super::config::{Generation, OwnerExit, RecyclerConfig};
use super::counters::{Counters, bump};
use super::domain::{Collectable, Collected, Inner};
use super::error::RecyclerError;
use super::hand_over::HandOver;
use super::local_pool::{From, LocalPool};
use super::node::Node;
use super::slot::{Head, Slot};
use super::stack::{Around, Stack};
use super::stats::{PoolStats, RecyclerStats};
use crate::Platform;
use crate::observe::{DropReason, Event, Fate, Kind};
use crate::platform::{AtomicOps, CounterOps, LocalKey, Lock, ThreadId};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What a recycler's pools share.
pub(super) struct Scope<P: Platform> {
    pub(super) config: RecyclerConfig,
    pub(super) kind: Kind,
    pub(super) domain: Arc<Inner<P>>,
    /// The history of pools that are gone, and of objects without one.
    pub(super) rest: Counters<P>,
}

pub(super) enum Store<T: Send + 'static, P: Platform> {
    A(Stack<T, P>),
    B(LocalPool<T, P>),
}

/// One thread's pool.
pub(super) struct Pool<T: Send + 'static, P: Platform> {
    /// In order of creation in the domain.
    pub(super) number: u64,
    pub(super) owner: ThreadId,
    dead: P::Atomic<bool>,
    pub(super) counters: Counters<P>,
    pub(super) store: Store<T, P>,
    scope: Arc<Scope<P>>,
    /// Holds the owner's record (to 4.1.18).
    _pin: Option<Arc<()>>,
}

impl<T: Send + 'static, P: Platform> Pool<T, P> {
    fn new(scope: &Arc<Scope<P>>) -> Self {
        let config = &scope.config;
        let counters = Counters::default();
        let store = match config.generation {
            Generation::A => Store::A(Stack::new(config, &counters, scope.domain.policy.withholds())),
            Generation::B => Store::B(LocalPool::new(config)),
            Generation::HandOver => unreachable!("it has pools of its own kind"),
        };
        let holds = config.generation == Generation::A && config.stack_holds_thread;
        Self {
            number: scope.domain.next_pool(),
            owner: P::current_id(),
            dead: P::Atomic::new(false),
            counters,
            store,
            scope: Arc::clone(scope),
            _pin: if holds { scope.domain.with_record(|r| Arc::clone(&r.pin)) } else { None },
        }
    }

    pub(super) fn config(&self) -> &RecyclerConfig {
        &self.scope.config
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Acquire) // pairs with the Release in `owner_exited`: the owner has left the pool
    }

    /// Whether the pool keeps its thread from being collected.
    fn holds_thread(&self) -> bool {
        match &self.store {
            Store::A(_) => self.config().stack_holds_thread,
            Store::B(pool) => pool.owner_known.load(Relaxed), // Relaxed: only for the report of a collection
        }
    }

    fn around(&self) -> Around<'_, P> {
        Around { config: self.config(), counters: &self.counters, domain: &self.scope.domain }
    }

    /// # Safety
    /// On the owner's thread.
    unsafe fn take(&self) -> Result<Option<Arc<Node<T, P>>>, RecyclerError> {
        match &self.store {
            // SAFETY: on the owner's thread.
            Store::A(stack) => unsafe { stack.pop(&self.around()) },
            // SAFETY: on the owner's thread.
            Store::B(pool) => Ok(unsafe { pool.claim(self.config(), &self.counters) }),
        }
    }

    /// Puts an object back, or drops it, as the configuration says.
    fn give_back(self: &Arc<Self>, node: Arc<Node<T, P>>, ticket: P::Ticket) -> Result<(), RecyclerError> {
        let mut object = Some(node);
        let result = match &self.store {
            Store::A(stack) => self.give_back_a(stack, &mut object, ticket),
            Store::B(pool) => {
                let owner = P::current_id() == self.owner;
                let from = From { owner, dead: !owner && self.is_dead() };
                pool.release(self.config(), &self.counters, &from, &mut object, ticket)
            }
        };
        if result.is_err() {
            self.counters.far.refused.add(1);
            P::note(ticket, Event::RecycleRefused);
        }
        drop(object); // after every note: it may be destroyed, and its destructor may come back here
        result
    }

    fn give_back_a(
        self: &Arc<Self>,
        stack: &Stack<T, P>,
        object: &mut Option<Arc<Node<T, P>>>,
        ticket: P::Ticket,
    ) -> Result<(), RecyclerError> {
        let Some(node) = object.as_ref() else { unreachable!("the caller has it") };
        let homed = node.homed.load(Relaxed); // plain fields
        if self.config().already_recycled_check && (!homed || node.last.load(Relaxed) != node.confirmed.load(Relaxed)) {
            return Err(RecyclerError::RecycledAlready);
        }
        if !homed {
            return Err(RecyclerError::NullHome);
        }
        if P::current_id() == self.owner {
            // SAFETY: on the owner's thread: a thread's number is never reused.
            return unsafe { stack.push_now(&self.around(), object, ticket) };
        }
        let this = || -> Arc<dyn Any + Send + Sync> { Arc::<Self>::clone(self) };
        stack.push_later(&self.around(), self.number, this, object, ticket);
        Ok(())
    }

    fn owner_exited(&self) {
        if let Store::B(pool) = &self.store
            && self.config().owner_exit == OwnerExit::RemoveAll
        {
            // SAFETY: the thread-local's destructor runs on the owner's thread.
            unsafe { pool.remove(self.config(), &self.counters) };
        }
        self.dead.store(true, Release); // pairs with the Acquire in `is_dead`
    }

    fn stats(&self) -> PoolStats {
        let mut stats = self.counters.stats();
        stats.owner = self.owner.0;
        stats.dead = self.is_dead();
        if let Store::A(stack) = &self.store {
            stats.dummies = stack.dummies.get();
            stats.link_capacity = u64::from(self.config().link_capacity);
            stats.shared_capacity = u64::from(stack.shared.initial.cast_unsigned());
            stats.shared_available = stack.shared.free();
        }
        stats
    }
}

impl<T: Send + 'static, P: Platform> Drop for Pool<T, P> {
    fn drop(&mut self) {
        self.scope.rest.absorb(&self.counters);
        self.scope.domain.epoch.fetch_add(1, Relaxed); // Relaxed: a hint that some map entry is stale
    }
}

/// The thread-local value: its destructor tells that the owner ended.
struct PoolSlot<T: Send + 'static, P: Platform>(Arc<Pool<T, P>>);

impl<T: Send + 'static, P: Platform> Drop for PoolSlot<T, P> {
    fn drop(&mut self) {
        self.0.owner_exited();
    }
}

/// Where an object in use belongs.
pub(super) enum Home<T: Send + 'static, P: Platform> {
    /// To this pool.
    Pool(Arc<Pool<T, P>>),
    /// Nowhere: it was never poolable. It is counted where it was made.
    Nowhere(Weak<Pool<T, P>>, Arc<Scope<P>>),
}

impl<T: Send + 'static, P: Platform> Home<T, P> {
    /// Ends a period of ownership.
    pub(super) fn give_back(&self, node: Arc<Node<T, P>>, ticket: P::Ticket) -> Result<(), RecyclerError> {
        match self {
            Self::Pool(pool) => pool.give_back(node, ticket),
            Self::Nowhere(..) => {
                P::note(ticket, Event::Recycled(Fate::Dropped(DropReason::NotPoolable)));
                self.count(|counters| counters.far_fate(Fate::Dropped(DropReason::NotPoolable)));
                drop(node);
                Ok(())
            }
        }
    }

    /// The rules of the pool that it belongs to, if it does.
    pub(super) fn config(&self) -> Option<&RecyclerConfig> {
        match self {
            Self::Pool(pool) => Some(pool.config()),
            Self::Nowhere(..) => None,
        }
    }

    /// Counts where the object was made.
    pub(super) fn count(&self, f: impl FnOnce(&Counters<P>)) {
        match self {
            Self::Pool(pool) => f(&pool.counters),
            Self::Nowhere(pool, scope) => match pool.upgrade() {
                Some(pool) => f(&pool.counters),
                None => f(&scope.rest),
            },
        }
    }
}

/// An object that was just obtained.
pub(super) struct Obtained<T: Send + 'static, P: Platform> {
    pub(super) node: Arc<Node<T, P>>,
    pub(super) ticket: P::Ticket,
    pub(super) home: Home<T, P>,
}

/// A pool as its recycler knows it.
struct Registered<T: Send + 'static, P: Platform> {
    pool: Weak<Pool<T, P>>,
    /// While collection is withheld.
    keep: Option<Arc<Pool<T, P>>>,
}

/// The thread-local value of a pool of batched hand-over: its destructor tells that the owner ended.
struct Seat<P: Platform>(Arc<HandOver<P>>);

impl<P: Platform> Drop for Seat<P> {
    fn drop(&mut self) {
        // SAFETY: the thread-local's destructor runs on the owner's thread.
        unsafe { self.0.leave() };
    }
}

/// A recycler.
pub(super) struct Core<T: Send + 'static, P: Platform> {
    scope: Arc<Scope<P>>,
    make: Box<dyn Fn() -> T + Send + Sync>,
    /// Generations A and B.
    local: P::Local<PoolSlot<T, P>>,
    pools: P::Mutex<Vec<Registered<T, P>>>,
    /// Batched hand-over.
    seats: P::Local<Seat<P>>,
    hand_overs: P::Mutex<Vec<Weak<HandOver<P>>>>,
}

impl<T: Send + 'static, P: Platform> Core<T, P> {
    pub(super) fn new(
        domain: &Arc<Inner<P>>,
        kind: Kind,
        config: RecyclerConfig,
        make: Box<dyn Fn() -> T + Send + Sync>,
    ) -> Arc<Self> {
        if let Err(error) = config.validate() {
            panic!("unusable recycler configuration: {error}");
        }
        let scope = Scope { config, kind, domain: Arc::clone(domain), rest: Counters::default() };
        let core = Arc::new(Self {
            scope: Arc::new(scope),
            make,
            local: P::Local::new(),
            pools: P::Mutex::new(Vec::new()),
            seats: P::Local::new(),
            hand_overs: P::Mutex::new(Vec::new()),
        });
        let weak = Arc::downgrade(&core);
        domain.register_recycler(weak);
        core
    }

    /// An object for an exclusive owner, reused or new: the short way, for batched hand-over.
    #[inline]
    #[track_caller]
    pub(super) fn lend(&self) -> NonNull<Slot<T, P>> {
        if let Some(seat) = self.seats.peek()
            // SAFETY: the running thread's value, which stays while the recycler is there and the thread runs.
            && let Some(head) = unsafe { seat.as_ref().0.pop() }
        {
            return head.cast();
        }
        self.lend_slow()
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn lend_slow(&self) -> NonNull<Slot<T, P>> {
        let config = &self.scope.config;
        if config.generation == Generation::HandOver && config.max_capacity > 0 {
            match self.seats.with(|| self.new_seat(), |seat| Arc::clone(&seat.0)) {
                Ok(pool) => return self.lend_from(pool),
                Err(_) => return Node::lend(self.get_without_pool()), // the thread is past its end
            }
        }
        match self.get() {
            Ok(obtained) => Node::lend(obtained),
            Err(error) => unreachable!("an exclusive owner can't recycle twice: {error}"),
        }
    }

    #[track_caller]
    fn lend_from(&self, pool: Arc<HandOver<P>>) -> NonNull<Slot<T, P>> {
        // SAFETY: the running thread's own pool.
        if let Some(head) = unsafe { pool.pop_slow() } {
            return head.cast();
        }
        let value = (self.make)();
        // SAFETY: as above.
        unsafe { pool.count_created() };
        let slot = Box::into_raw(Box::new(Slot::new(value, HandOver::gate(pool), self.scope.kind)));
        // SAFETY: nobody else has it.
        unsafe { (*slot).head.obtain() };
        NonNull::new(slot).unwrap_or_else(|| unreachable!("a `Box` is somewhere"))
    }

    fn new_seat(&self) -> Seat<P> {
        // SAFETY: `lend_from` gives it boxed slots of `T`, which is Send.
        let pool = unsafe { HandOver::new(&self.scope, destroy::<T, P>) };
        let mut pools = self.hand_overs.lock();
        pools.retain(|p| p.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        drop(pools);
        self.scope.domain.add_pool(&pool);
        Seat(pool)
    }

    /// Gives up what the running thread's pool hasn't needed.
    pub(super) fn trim(&self) {
        let pool = self.seats.with_existing(|seat| Arc::clone(&seat.0));
        if let Some(pool) = pool {
            // SAFETY: the running thread's own pool.
            unsafe { pool.trim() };
        }
    }

    /// Hands over what the running thread has recycled for others.
    pub(super) fn flush(&self) {
        self.scope.domain.flush();
    }

    /// An object, reused or new: of generations A and B.
    #[track_caller]
    pub(super) fn get(&self) -> Result<Obtained<T, P>, RecyclerError> {
        let config = &self.scope.config;
        if config.max_capacity == 0 {
            return Ok(self.get_without_pool());
        }
        let pool = self.local.with(|| PoolSlot(self.new_pool()), |slot| Arc::clone(&slot.0));
        let Ok(pool) = pool else { return Ok(self.get_without_pool()) };
        // SAFETY: the running thread's own pool.
        if let Some(node) = unsafe { pool.take()? } {
            let ticket = P::obtained(node.slot.head.id);
            return Ok(Obtained { node, ticket, home: Home::Pool(pool) });
        }
        let poolable = match &pool.store {
            Store::A(_) => true,
            // SAFETY: the running thread's own pool.
            Store::B(local) => unsafe { local.next_is_poolable(config) },
        };
        let node = Arc::new(Node::new((self.make)(), self.scope.kind));
        bump(&pool.counters.own.created, 1);
        let home = if poolable {
            Home::Pool(pool)
        } else {
            bump(&pool.counters.own.created_unpoolable, 1);
            Home::Nowhere(Arc::downgrade(&pool), Arc::clone(&self.scope))
        };
        Ok(Obtained { ticket: P::obtained(node.slot.head.id), node, home })
    }

    /// Pooling is off, or the thread is past its end.
    #[track_caller]
    fn get_without_pool(&self) -> Obtained<T, P> {
        let node = Arc::new(Node::new((self.make)(), self.scope.kind));
        self.scope.rest.own.created.add(1); // not `bump`: every thread counts here
        self.scope.rest.own.created_unpoolable.add(1);
        Obtained {
            ticket: P::obtained(node.slot.head.id),
            node,
            home: Home::Nowhere(Weak::new(), Arc::clone(&self.scope)),
        }
    }

    fn new_pool(&self) -> Arc<Pool<T, P>> {
        let pool = Arc::new(Pool::new(&self.scope));
        let keep = self.scope.domain.policy.withholds().then(|| Arc::clone(&pool));
        let mut pools = self.pools.lock();
        pools.retain(|r| r.pool.strong_count() > 0);
        pools.push(Registered { pool: Arc::downgrade(&pool), keep });
        pool
    }

    /// The pools that exist, in order of creation.
    pub(super) fn pools(&self) -> Vec<Arc<Pool<T, P>>> {
        self.pools.lock().iter().filter_map(|r| r.pool.upgrade()).collect()
    }

    /// As `pools`, for batched hand-over.
    pub(super) fn hand_overs(&self) -> Vec<Arc<HandOver<P>>> {
        self.hand_overs.lock().iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn stats(&self) -> RecyclerStats {
        let (pools, hand_overs) = (self.pools(), self.hand_overs());
        let of_hand_over = hand_overs.iter().map(|p| p.stats(self.scope.domain.posted(p.number)));
        RecyclerStats {
            kind: self.scope.kind,
            pools: pools.iter().map(|p| p.stats()).chain(of_hand_over).collect(),
            rest: self.scope.rest.stats(),
        }
    }
}

/// Destroys what `lend_from` made.
///
/// # Safety
/// It made it, and nobody else has it.
unsafe fn destroy<T, P: Platform>(head: NonNull<Head<P>>) {
    // SAFETY: by the contract of this function.
    drop(unsafe { Box::from_raw(head.cast::<Slot<T, P>>().as_ptr()) });
}

impl<T: Send + 'static, P: Platform> Collectable for Core<T, P> {
    fn collect(&self, kept: &[ThreadId], result: &mut Collected) {
        let mut given_up = Vec::new();
        let alone = |pool: &mut Arc<Pool<T, P>>| pool.is_dead() && Arc::strong_count(pool) == 1;
        let mut pools = self.pools.lock();
        for registered in pools.iter_mut() {
            if let Some(pool) = registered.keep.take_if(|p| alone(p) && !kept.contains(&p.owner)) {
                given_up.push(pool);
            }
        }
        drop(pools);
        result.pools += given_up.len() as u64;
        drop(given_up); // runs destructors, which may come back here
        let held = self.pools().into_iter().filter(|p| p.is_dead() && p.holds_thread()).map(|p| p.owner);
        result.uncollected.extend(held);
    }

    fn referenced(&self, threads: &mut Vec<ThreadId>) {
        let pools = self.pools.lock();
        let dead = pools.iter().filter_map(|r| r.keep.as_ref()).filter(|pool| pool.is_dead() && pool.holds_thread());
        threads.extend(dead.filter(|pool| Arc::strong_count(pool) > 1).map(|pool| pool.owner));
    }
}
