//! What recyclers share: the registry of threads, each thread's map of hand-over queues, and the substitute for a
//! garbage collector.
//!
//! **Invariant: a thread's map is touched by that thread only**, until the thread has ended; an entry of a pool that is gone
//! is removed when the thread touches the map next (as a `WeakHashMap` does).
//!
//! ```text
//!   Domain ── registry ── thread records ── map: pool -> its queue | dummy     (weak in the pool, 4.1.3: strong)
//!     │           └─ recyclers (weak) ── pools (strong while the collection is withheld)
//!     └─ thread-local slot: its destructor tells that the thread ended
//! ```
//!
//! Three things that Java leaves to the collector are events here: a pool becomes unreachable, a dead thread is seen as
//! gone, an unlinked queue is finalised. See [`Collect`] for when they happen.

use super::hand_over::HandOver;
use super::outbox::{Outbox, Parcel};
use super::slot::Head;
use super::weak_order_queue::SharedCapacity;
use crate::Platform;
use crate::platform::{AtomicOps, CellOps, CounterOps, LocalKey, Lock, ThreadId};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// When what nobody refers to any more is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Collect {
    /// At once.
    #[default]
    Eager,
    /// In [`Domain::collect`], as between two garbage collections.
    Withheld,
    /// As `Withheld`, and a dead thread that is held keeps all it has: Netty's own threads have their variables in a field, which
    /// nobody clears when they end (to 4.1.17).
    WithheldByThread,
}

impl Collect {
    /// Whether what nobody refers to stays until the next collection.
    pub(super) fn withholds(self) -> bool {
        self != Self::Eager
    }
}

/// What one [`Domain::collect`] did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// Pools that were given up.
    pub pools: u64,
    /// Buffer caches of dead threads that were given up.
    pub caches: u64,
    /// Threads that have ended but are held by a pool that isn't given up (Netty commit 0276b6e0f6), ascending.
    pub uncollected: Vec<ThreadId>,
}

/// What recyclers share: the hand-over queues and limits of each thread, the registry of threads, and when the memory of what is
/// unreachable goes.
pub struct Domain<P: Platform = crate::Std>(pub(super) Arc<Inner<P>>);

pub(super) struct Inner<P: Platform> {
    pub(super) policy: Collect,
    /// Counts pools that went away, so that a map knows when to look for stale entries.
    pub(super) epoch: P::Atomic<u64>,
    /// Numbers side queues in order of creation (`WeakOrderQueue.ID_GENERATOR`).
    queue_ids: P::Atomic<u32>,
    registry: P::Mutex<Registry<P>>,
    local: P::Local<ThreadSlot<P>>,
}

struct Registry<P: Platform> {
    next_pool: u64,
    threads: Vec<Arc<ThreadRecord<P>>>,
    recyclers: Vec<Weak<dyn Collectable>>,
    finalizers: Vec<Finalizer<P>>,
}

/// Capacity that an unlinked queue gives back when it is finalised.
pub(super) struct Finalizer<P: Platform> {
    pub(super) shared: Arc<SharedCapacity<P>>,
    pub(super) units: i32,
}

/// A recycler, or whatever else has something for each thread, as the collection sees it.
pub(crate) trait Collectable: Send + Sync {
    /// Gives up the pools of dead threads that nobody refers to, but not those of the threads `kept`; adds the threads that the
    /// others hold.
    fn collect(&self, kept: &[ThreadId], result: &mut Collected);

    /// What others have done for dead threads by the time of a collection.
    fn prepare(&self) {}

    /// Adds the dead threads that are held because somebody refers to a pool of theirs.
    fn referenced(&self, _threads: &mut Vec<ThreadId>) {}
}

/// Keeps a thread that ended from being collected.
pub(crate) struct ThreadHold {
    _pin: Arc<()>,
}

/// What is known about a thread.
pub(super) struct ThreadRecord<P: Platform> {
    pub(super) id: ThreadId,
    eager: bool,
    dead: P::Atomic<bool>,
    gone: P::Atomic<bool>,
    /// A pool that holds its thread has a clone.
    pub(super) pin: Arc<()>,
    delayed: P::Cell<DelayedMap<P>>,
    outbox: Outbox<P>,
    /// The thread's own pools of batched hand-over.
    pools: P::Cell<Vec<Weak<HandOver<P>>>>,
}

/// `DELAYED_RECYCLED`: pool number -> where this thread puts that pool's objects.
struct DelayedMap<P: Platform> {
    /// The thread has looked something up.
    used: bool,
    seen_epoch: u64,
    entries: BTreeMap<u64, Entry<P>>,
}

impl<P: Platform> DelayedMap<P> {
    /// What is there, and the stale entries, taken out.
    fn look_up(&mut self, pool: u64, epoch: u64) -> (Found, Vec<(u64, Entry<P>)>) {
        self.used = true;
        let stale = if self.seen_epoch == epoch { Vec::new() } else { self.expunge(epoch) };
        let found = match self.entries.get(&pool) {
            Some(Entry { target: Target::Queue(queue), .. }) => Found::Queue(Arc::as_ptr(queue)),
            Some(Entry { target: Target::Dummy { .. }, .. }) => Found::Dummy,
            None => Found::Absent(self.entries.len()),
        };
        (found, stale)
    }

    /// Takes the entries out whose pools are gone.
    fn expunge(&mut self, epoch: u64) -> Vec<(u64, Entry<P>)> {
        self.seen_epoch = epoch;
        self.entries.extract_if(.., |_, e| e.pool.strong_count() == 0).collect()
    }
}

/// A thread's relation to one pool.
pub(super) struct Entry<P: Platform> {
    pub(super) pool: Weak<dyn Any + Send + Sync>,
    /// 4.1.3: the queue holds the pool.
    pub(super) _pin: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) target: Target<P>,
}

pub(super) enum Target<P: Platform> {
    /// A `WeakOrderQueue` of the pool's type.
    Queue(Arc<dyn Any + Send + Sync>),
    /// This thread never serves that pool.
    Dummy { _mark: Dummy<P> },
}

/// Counted in the pool as long as it exists.
pub(super) struct Dummy<P: Platform>(Arc<P::Counter>);

impl<P: Platform> Dummy<P> {
    pub(super) fn new(counter: &Arc<P::Counter>) -> Self {
        counter.add(1);
        Self(Arc::clone(counter))
    }
}

impl<P: Platform> Drop for Dummy<P> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

// SAFETY: `delayed`, `pools` and the cells of `outbox` are touched by the record's thread only, by the contracts of
// `ThreadRecord::map` and `Outbox` and in `Inner`; what is in them is `Send + Sync`, and so is the rest.
unsafe impl<P: Platform> Send for ThreadRecord<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for ThreadRecord<P> {}

/// The thread-local value whose destructor tells that the thread ended.
struct ThreadSlot<P: Platform> {
    record: Arc<ThreadRecord<P>>,
    domain: Weak<Inner<P>>,
}

impl<P: Platform> Drop for ThreadSlot<P> {
    fn drop(&mut self) {
        // SAFETY: this is the record's thread. The entries are destroyed outside: that may run destructors of objects.
        let entries = self.record.delayed.with_mut(|map| unsafe { core::mem::take(&mut (*map).entries) });
        drop(entries);
        // SAFETY: as above.
        unsafe { self.record.outbox.flush() };
        // Release: pairs with the Acquire in `is_gone`; what the thread did to its queues happened before.
        self.record.dead.store(true, Release);
        if self.record.eager
            && let Some(domain) = self.domain.upgrade()
        {
            domain.registry.lock().threads.retain(|t| !Arc::ptr_eq(t, &self.record));
        }
    }
}

impl<P: Platform> ThreadRecord<P> {
    /// Whether the thread has ended and its queues can be taken over (`WeakReference.get() == null`).
    pub(super) fn is_gone(&self) -> bool {
        if self.eager {
            // Acquire: pairs with the Release in the slot's destructor.
            self.dead.load(Acquire) && Arc::strong_count(&self.pin) == 1
        } else {
            self.gone.load(Acquire) // pairs with the Release in `Domain::collect`
        }
    }

    /// Runs `f` on the thread's map.
    ///
    /// # Safety
    /// On the record's thread, or when that thread is not in the pool and what it did happened before; not from inside
    /// `f`, which therefore runs no destructor of an object.
    unsafe fn map<R>(&self, f: impl FnOnce(&mut DelayedMap<P>) -> R) -> R {
        // SAFETY: exclusive by the contract of this function.
        self.delayed.with_mut(|map| f(unsafe { &mut *map }))
    }
}

/// What a recycling thread finds in its map.
pub(super) enum Found {
    /// This queue, as an erased `WeakOrderQueue`; valid while the caller holds the pool.
    Queue(*const (dyn Any + Send + Sync)),
    /// A dummy.
    Dummy,
    /// Nothing, and so many entries.
    Absent(usize),
}

impl<P: Platform> Inner<P> {
    /// Looks the pool up in the running thread's map; `None` when the thread is past its end.
    pub(super) fn look_up(self: &Arc<Self>, pool: u64) -> Option<Found> {
        let epoch = self.epoch.load(Relaxed); // Relaxed: a hint to look; an entry's own weak count decides
        let (found, stale) = self.with_record(|record| {
            // SAFETY: the running thread's record. Stale entries are destroyed outside.
            unsafe { record.map(|map| map.look_up(pool, epoch)) }
        })?;
        drop(stale);
        Some(found)
    }

    /// Puts an entry into the running thread's map.
    pub(super) fn insert(self: &Arc<Self>, pool: u64, entry: Entry<P>) {
        self.with_record(|record| {
            // SAFETY: the running thread's record. Nothing is destroyed: the caller saw that `pool` is absent.
            unsafe { record.map(|map| map.entries.insert(pool, entry)).is_none() }
        });
    }

    /// Runs `f` on the running thread's record; `None` when the thread is past its end.
    pub(super) fn with_record<R>(self: &Arc<Self>, f: impl FnOnce(&Arc<ThreadRecord<P>>) -> R) -> Option<R> {
        match self.local.peek() {
            // SAFETY: the running thread's value, which stays while the domain is there and the thread runs.
            Some(slot) => Some(f(unsafe { &slot.as_ref().record })),
            None => self.local.with(|| self.register_thread(), |slot| f(&slot.record)).ok(),
        }
    }

    fn register_thread(self: &Arc<Self>) -> ThreadSlot<P> {
        let record = Arc::new(ThreadRecord {
            id: P::current_id(),
            eager: self.policy == Collect::Eager,
            dead: P::Atomic::new(false),
            gone: P::Atomic::new(false),
            pin: Arc::new(()),
            delayed: P::Cell::new(DelayedMap { used: false, seen_epoch: 0, entries: BTreeMap::new() }),
            outbox: Outbox::new(),
            pools: P::Cell::new(Vec::new()),
        });
        self.registry.lock().threads.push(Arc::clone(&record));
        ThreadSlot { record, domain: Arc::downgrade(self) }
    }

    /// Posts an object to the pool that it belongs to; hands it over at once when the thread is past its end.
    ///
    /// # Safety
    /// The object is of `pool` and the caller's alone, and not used again.
    pub(super) unsafe fn post(self: &Arc<Self>, pool: &HandOver<P>, head: NonNull<Head<P>>) {
        // SAFETY: the running thread's outbox; the caller's object.
        if self.with_record(|record| unsafe { record.outbox.post(pool, head) }).is_none() {
            // SAFETY: the caller's object.
            unsafe {
                head.as_ref().set_next(ptr::null_mut());
                HandOver::deliver(Parcel { first: head, last: head, len: 1 });
            }
        }
    }

    /// Hands over what the running thread has recycled for others.
    pub(super) fn flush(&self) {
        // SAFETY: the running thread's outbox.
        self.local.with_existing(|slot| unsafe { slot.record.outbox.flush() });
    }

    /// The running thread has a new pool.
    pub(super) fn add_pool(self: &Arc<Self>, pool: &Arc<HandOver<P>>) {
        self.with_record(|record| {
            // SAFETY: the running thread's cell; the pools are destroyed elsewhere, only their memory goes here.
            record.pools.with_mut(|pools| unsafe {
                (*pools).retain(|p| p.strong_count() > 0);
                (*pools).push(Arc::downgrade(pool));
            });
        });
    }

    /// Objects for the pool of this number in all outboxes.
    pub(super) fn posted(&self, number: u64) -> u64 {
        self.registry.lock().threads.iter().map(|thread| thread.outbox.posted(number)).sum()
    }

    /// The next side queue's number.
    pub(super) fn next_queue(&self) -> u32 {
        self.queue_ids.fetch_add(1, Relaxed) // Relaxed: only uniqueness matters
    }

    /// The next pool's number.
    pub(super) fn next_pool(&self) -> u64 {
        let mut registry = self.registry.lock();
        registry.next_pool += 1;
        registry.next_pool - 1
    }

    pub(super) fn register_recycler(&self, recycler: Weak<dyn Collectable>) {
        let mut registry = self.registry.lock();
        registry.recyclers.retain(|r| r.strong_count() > 0);
        registry.recyclers.push(recycler);
    }

    /// Gives capacity back when the queue is finalised: now, or at the next collection.
    pub(super) fn finalize(&self, finalizer: Finalizer<P>) {
        match self.policy {
            Collect::Eager => finalizer.run(),
            Collect::Withheld | Collect::WithheldByThread => self.registry.lock().finalizers.push(finalizer),
        }
    }
}

impl<P: Platform> Finalizer<P> {
    fn run(self) {
        self.shared.reclaim(self.units);
    }
}

impl<P: Platform> Clone for Domain<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> Default for Domain<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Domain<P> {
    /// A new domain that collects eagerly.
    pub fn new() -> Self {
        Self::new_with(Collect::default())
    }

    /// A new domain.
    pub fn new_with(policy: Collect) -> Self {
        Self(Arc::new(Inner {
            policy,
            epoch: P::Atomic::new(0),
            queue_ids: P::Atomic::new(0),
            registry: P::Mutex::new(Registry {
                next_pool: 0,
                threads: Vec::new(),
                recyclers: Vec::new(),
                finalizers: Vec::new(),
            }),
            local: P::Local::new(),
        }))
    }

    /// Hands over what the running thread has recycled for other threads: a few objects for each at most, which would else stay
    /// with this thread until it recycles more. A thread calls it before it waits for something; one that ends does it by itself.
    pub fn flush(&self) {
        self.0.flush();
    }

    /// Gives up what the running thread's pools of batched hand-over haven't needed since the last time, or since they last looked
    /// by themselves. A thread that calls it twice with no operation between keeps nothing.
    pub fn trim(&self) {
        // SAFETY: the running thread's cell, which is left before a pool is touched.
        let pools = self.0.local.with_existing(|slot| slot.record.pools.with(|pools| unsafe { (*pools).clone() }));
        for pool in pools.iter().flatten().filter_map(Weak::upgrade) {
            // SAFETY: the running thread's pool.
            unsafe { pool.trim() };
        }
    }

    /// One garbage collection: pools of dead threads that nobody refers to are given up, dead threads that no pool holds
    /// are seen as gone, unlinked queues are finalised.
    pub fn collect(&self) -> Collected {
        let mut result = self.collect_pools();
        self.finalize_queues();
        result.uncollected.sort_unstable();
        result.uncollected.dedup();
        let mut registry = self.0.registry.lock();
        registry.threads.retain(|thread| {
            // Acquire: pairs with the Release in the slot's destructor.
            let gone = thread.dead.load(Acquire) && Arc::strong_count(&thread.pin) == 1;
            if gone {
                thread.gone.store(true, Release); // pairs with the Acquire in `is_gone`
            }
            !gone
        });
        result
    }

    /// Only the first part of [`Domain::collect`]: gives up pools, until nothing more can be given up.
    pub fn collect_pools(&self) -> Collected {
        let recyclers: Vec<_> = self.0.registry.lock().recyclers.iter().filter_map(Weak::upgrade).collect();
        let mut result = Collected::default();
        recyclers.iter().for_each(|recycler| recycler.prepare());
        loop {
            let before = (result.pools, result.caches);
            result.uncollected.clear();
            let mut kept = Vec::new();
            if self.0.policy == Collect::WithheldByThread {
                recyclers.iter().for_each(|recycler| recycler.referenced(&mut kept));
            }
            for recycler in &recyclers {
                recycler.collect(&kept, &mut result);
            }
            if (result.pools, result.caches) == before {
                return result;
            }
        }
    }

    /// Whether what nobody refers to stays until the next [`Domain::collect`].
    pub(crate) fn withholds(&self) -> bool {
        self.0.policy.withholds()
    }

    /// Has `collectable` take part in the collections.
    pub(crate) fn register(&self, collectable: Weak<dyn Collectable>) {
        self.0.register_recycler(collectable);
    }

    /// Holds the running thread; `None` when it is past its end.
    pub(crate) fn hold_thread(&self) -> Option<ThreadHold> {
        self.0.with_record(|record| ThreadHold { _pin: Arc::clone(&record.pin) })
    }

    /// Only the last part of [`Domain::collect`]: finalises unlinked queues.
    pub fn finalize_queues(&self) {
        let finalizers = core::mem::take(&mut self.0.registry.lock().finalizers);
        for finalizer in finalizers {
            finalizer.run();
        }
    }

    /// Removes from the map of every living thread the entries whose pools are gone, as each thread does itself when it touches its
    /// map.
    ///
    /// # Safety
    /// No thread is inside a pool of this domain, and what they did there happened before.
    pub unsafe fn expunge(&self) {
        let epoch = self.0.epoch.load(Relaxed); // as in `look_up`
        let threads: Vec<_> = self.0.registry.lock().threads.clone();
        for thread in threads {
            // SAFETY: nobody is inside, by the contract of this function. The entries are destroyed outside.
            let stale = unsafe { thread.map(|map| map.expunge(epoch)) };
            drop(stale);
        }
    }

    /// For each living thread that has recycled another thread's object: (thread, entries, dummies among them), ascending.
    ///
    /// # Safety
    /// No thread is inside a pool of this domain, and what they did there happened before.
    pub unsafe fn delayed(&self) -> Vec<(ThreadId, usize, usize)> {
        let threads: Vec<_> = self.0.registry.lock().threads.clone();
        let mut rows: Vec<_> = threads
            .iter()
            .filter(|t| !t.dead.load(Relaxed)) // ordered by the contract of this function
            .filter_map(|t| {
                // SAFETY: nobody is inside, by the contract of this function; nothing is destroyed.
                let (used, live, dummies) = unsafe {
                    t.map(|map| {
                        let live = || map.entries.values().filter(|e| e.pool.strong_count() > 0);
                        let dummies = live().filter(|e| matches!(e.target, Target::Dummy { .. })).count();
                        (map.used, live().count(), dummies)
                    })
                };
                used.then_some((t.id, live, dummies))
            })
            .collect();
        rows.sort_unstable();
        rows
    }
}
