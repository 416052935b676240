//! A thread's cache of blocks, and the blocks.
//!
//! **Invariant: a block is live, or in one queue of one cache, or back in its arena**; only a release into a cache that was
//! freed already loses one (Netty #12749), if the configuration says so.
//!
//! ```text
//!   allocate (the cache's thread)                  release (any thread)
//!     region's queue ── poll ──> block                block ── offer ──> the same region's queue, no lock
//!        │  empty: arena, under its lock                 │  full, or no such region: arena, under its lock
//!        └ every `trim_interval` look-ups: what a region holds beyond what it served goes back to the arena
//! ```
//!
//! What waits in a queue is in a pooled entry: taken from the recycler by the thread that releases, and recycled by the thread
//! that allocates.

use super::Core;
use super::arena::{Arena, Grant, HUGE, Scope};
use super::config::CacheRescue;
use super::sizes::{SizeClass, SizeKind};
use crate::Platform;
use crate::memory::{Area, OutOfMemory};
use crate::mpsc::MpscQueue;
use crate::observe::Defect;
use crate::platform::{AtomicOps, CellOps, CounterOps, Lock, ThreadId};
use crate::recycler::{OwnerExit, Pooled, Recycler, ThreadHold};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release, SeqCst};

/// A block that waits in a queue.
struct Waiting<P: Platform> {
    arena: Arc<Arena<P>>,
    grant: Grant,
    /// The right to recycle the entry.
    home: Pooled<EntryRef<P>, P>,
}

/// What is pooled: the place for one block that waits.
pub(super) struct Entry<P: Platform> {
    waiting: P::Cell<Option<Waiting<P>>>,
}

/// A pooled reference to an entry.
pub(super) struct EntryRef<P: Platform>(Arc<Entry<P>>);

// SAFETY: the cell is written by the one who obtained the entry from its recycler, before it is in a queue, and emptied by the
// one who polled it; the queue orders the two. A `Waiting` may move between threads: its memory is nobody's.
unsafe impl<P: Platform> Send for Entry<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Entry<P> {}

impl<P: Platform> EntryRef<P> {
    pub fn new() -> Self {
        Self(Arc::new(Entry { waiting: P::Cell::new(None) }))
    }
}

impl<P: Platform> Entry<P> {
    /// # Safety
    /// The entry is the caller's alone.
    unsafe fn take(&self) -> Waiting<P> {
        // SAFETY: by the contract of this function.
        let waiting = self.waiting.with_mut(|w| unsafe { (*w).take() });
        waiting.unwrap_or_else(|| unreachable!("an entry in a queue has a block"))
    }
}

/// The cached blocks of one size (`MemoryRegionCache`).
struct Region<P: Platform> {
    queue: MpscQueue<Entry<P>, P>,
    /// Blocks served since the last trim. The owner's alone.
    served: P::Cell<u32>,
}

impl<P: Platform> Region<P> {
    fn new(capacity: u32) -> Self {
        Self { queue: MpscQueue::new(capacity as usize), served: P::Cell::new(0) }
    }

    /// Puts a block in; gives it back when there is no room.
    fn offer(
        &self,
        entries: &Recycler<EntryRef<P>, P>,
        arena: Arc<Arena<P>>,
        grant: Grant,
    ) -> Result<(), Arc<Arena<P>>> {
        let home = entries.get();
        let entry = Arc::clone(&home.0);
        arena.cached.add(grant.len as u64);
        // SAFETY: the entry was obtained just now, so it is in no queue.
        entry.waiting.with_mut(|w| unsafe { *w = Some(Waiting { arena, grant, home }) });
        self.queue.offer(entry, || ()).map_err(|entry| {
            // SAFETY: the queue refused it.
            let Waiting { arena, grant, home } = unsafe { entry.take() };
            arena.cached.sub(grant.len as u64);
            drop(home);
            arena
        })
    }

    /// # Safety
    /// As [`MpscQueue::poll`].
    unsafe fn poll(&self) -> Option<Waiting<P>> {
        // SAFETY: by the contract of this function; what was polled is the caller's alone.
        let waiting = unsafe { self.queue.poll()?.take() };
        waiting.arena.cached.sub(waiting.grant.len as u64);
        Some(waiting)
    }
}

/// The regions of one area, by kind of size; none: the kind isn't cached.
type Regions<P> = [Option<Vec<Region<P>>>; 3];

/// One thread's cache (`PoolThreadCache`).
pub(super) struct ThreadCache<P: Platform> {
    pub owner: ThreadId,
    pub arenas: [Option<Arc<Arena<P>>>; 2],
    regions: [Regions<P>; 2],
    /// Look-ups since the last automatic trim. The owner's alone.
    lookups: P::Cell<u32>,
    freed: P::Atomic<bool>,
    /// Who takes out of a freed cache.
    emptying: P::Mutex<()>,
    dead: P::Atomic<bool>,
    scope: Arc<Scope<P>>,
    entries: Recycler<EntryRef<P>, P>,
    backend: Weak<Core<P>>,
    _hold: Option<ThreadHold>,
}

// SAFETY: `lookups`, `served` and the consuming side of the queues are the owner's alone, and after its end belong to the one
// who frees the cache, which `dead` and the last reference order; everything else is shared by design.
unsafe impl<P: Platform> Send for ThreadCache<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for ThreadCache<P> {}

/// Both areas, in the order in which a cache is trimmed and freed.
pub(super) const AREAS: [Area; 2] = [Area::Direct, Area::Heap];

/// What an arena's caches look like from outside: (class, blocks, blocks served since the last trim) of each that isn't unused.
pub(super) type RegionRows = Vec<(u32, u64, u32)>;

impl<P: Platform> ThreadCache<P> {
    /// A cache bound to `arenas`, by area. `counted`: it is a living thread's.
    pub fn new(backend: &Core<P>, arenas: [Option<Arc<Arena<P>>>; 2], counted: bool, hold: Option<ThreadHold>) -> Self {
        let Core { scope, entries, this, .. } = backend;
        let config = &scope.config;
        let caches = counted && config.caches();
        let capacities = [config.tiny_cache, config.small_cache, config.normal_cache];
        let regions = |arena: &Option<Arc<Arena<P>>>| {
            SizeKind::ALL.map(|kind| {
                let capacity = capacities[kind as usize];
                let off = kind == SizeKind::Normal && config.max_cached_capacity == 0 && config.zero_caches_nothing;
                if !caches || arena.is_none() || capacity == 0 || off {
                    return None;
                }
                let classes = scope.sizes.cached(kind, config.max_cached_capacity as usize);
                Some((0..classes).map(|_| Region::new(capacity)).collect())
            })
        };
        let regions = [regions(&arenas[0]), regions(&arenas[1])];
        let keeps_any = regions.iter().flatten().any(Option::is_some); // else nobody needs to know of the thread's end
        if counted {
            for arena in arenas.iter().flatten() {
                arena.thread_caches.fetch_add(1, AcqRel); // AcqRel: pairs with the Acquire load that looks for the least
            }
        }
        Self {
            owner: P::current_id(),
            arenas,
            regions,
            lookups: P::Cell::new(0),
            freed: P::Atomic::new(!counted),
            emptying: P::Mutex::new(()),
            dead: P::Atomic::new(!counted),
            scope: Arc::clone(scope),
            entries: entries.clone(),
            backend: Weak::clone(this),
            _hold: hold.filter(|_| keeps_any),
        }
    }

    /// Whether any size is cached.
    pub fn keeps_any(&self) -> bool {
        self.regions.iter().flatten().any(Option::is_some)
    }

    pub fn arena(&self, area: Area) -> Option<&Arc<Arena<P>>> {
        self.arenas[area as usize].as_ref()
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Acquire) // pairs with the Release in `owner_exited`: the owner has left the cache
    }

    pub fn is_freed(&self) -> bool {
        self.freed.load(Acquire) // pairs with the AcqRel in `free`
    }

    /// Whether it was freed, for a release.
    fn refuses(&self) -> bool {
        self.is_freed() && !P::planted(Defect::DeadCacheAccepts)
    }

    fn region(&self, area: Area, class: SizeClass) -> Option<&Region<P>> {
        self.regions[area as usize][class.kind as usize].as_ref()?.get(class.index as usize)
    }

    /// A cached block, if there is one.
    ///
    /// # Safety
    /// On the owner's thread.
    pub unsafe fn take(&self, area: Area, class: SizeClass) -> Option<(Arc<Arena<P>>, Grant)> {
        let region = self.region(area, class)?;
        // SAFETY: on the owner's thread, which is the one consumer; its own cells.
        let (found, lookups) = unsafe {
            let found = region.poll();
            if found.is_some() {
                region.served.with_mut(|n| *n += 1);
            }
            let lookups = self.lookups.with_mut(|n| {
                *n += 1;
                *n
            });
            (found, lookups)
        };
        let found = found.map(|Waiting { arena, grant, home }| {
            if P::planted(Defect::EntryForgotten) {
                home.forget();
            } else {
                drop(home);
            }
            (arena, grant)
        });
        if lookups >= self.scope.config.trim_interval {
            // SAFETY: on the owner's thread.
            unsafe {
                self.lookups.with_mut(|n| *n = 0);
                self.trim();
            }
        }
        found
    }

    /// Puts a released block in; gives it back when it can't.
    fn put(&self, arena: Arc<Arena<P>>, grant: Grant, class: SizeClass) -> Result<(), Arc<Arena<P>>> {
        let Some(region) = self.region(arena.area, class) else { return Err(arena) };
        if self.scope.config.freed_cache_refuses && self.refuses() {
            return Err(arena);
        }
        region.offer(&self.entries, arena, grant)?;
        if self.scope.config.recheck_after_offer {
            // SeqCst: with the one in `free`, either this thread sees that the cache was freed, or who frees it sees the block.
            P::fence(SeqCst);
            if self.refuses() {
                // SAFETY: the cache was freed.
                unsafe { self.empty(false) };
            }
        }
        Ok(())
    }

    /// Gives back what the regions of a freed cache hold.
    ///
    /// # Safety
    /// The owner doesn't use the cache any more; and where that isn't checked again, nobody else is here.
    unsafe fn empty(&self, finalizer: bool) {
        let _guard = self.scope.config.recheck_after_offer.then(|| self.emptying.lock());
        for (kind, region) in self.all_regions() {
            // SAFETY: by the contract of this function, or by the lock, one thread at a time takes out of a freed cache.
            unsafe { self.give_back(kind, region, usize::MAX, finalizer) };
        }
    }

    fn all_regions(&self) -> impl Iterator<Item = (SizeKind, &Region<P>)> {
        let kinds = self.regions.iter().flat_map(|area| SizeKind::ALL.into_iter().zip(area));
        kinds.flat_map(|(kind, regions)| regions.iter().flatten().map(move |region| (kind, region)))
    }

    /// Gives back what the regions hold beyond what they served since the last trim.
    ///
    /// # Safety
    /// On the owner's thread.
    pub unsafe fn trim(&self) {
        for (kind, region) in self.all_regions() {
            // SAFETY: the owner's own cell.
            let served = region.served.with_mut(|n| unsafe { core::mem::take(&mut *n) });
            let surplus = region.queue.capacity().saturating_sub(served as usize);
            // SAFETY: on the owner's thread.
            unsafe { self.give_back(kind, region, surplus, false) };
        }
    }

    /// # Safety
    /// As [`MpscQueue::poll`].
    unsafe fn give_back(&self, kind: SizeKind, region: &Region<P>, most: usize, finalizer: bool) {
        for _ in 0..most {
            // SAFETY: by the contract of this function.
            let Some(Waiting { arena, grant, home }) = (unsafe { region.poll() }) else { return };
            if finalizer {
                home.forget();
            } else {
                drop(home);
            }
            arena.free(&grant, kind, finalizer && self.scope.config.finalizer_is_silent);
        }
    }

    /// Gives everything back, once.
    ///
    /// # Safety
    /// On the owner's thread, or after its end.
    pub unsafe fn free(&self, finalizer: bool) {
        // AcqRel: pairs with the Acquire in `is_freed`.
        if self.freed.swap(true, AcqRel) && !P::planted(Defect::CacheFreedTwice) {
            return;
        }
        if self.scope.config.recheck_after_offer {
            P::fence(SeqCst); // pairs with the one in `put`
        }
        // SAFETY: by the contract of this function.
        unsafe { self.empty(finalizer) };
        for arena in self.arenas.iter().flatten() {
            arena.thread_caches.fetch_sub(1, AcqRel); // AcqRel: as in `new`
        }
    }

    /// The thread ends.
    pub fn owner_exited(&self, withheld: bool) {
        let config = &self.scope.config;
        let watched = config.cache_rescue == CacheRescue::Watcher && self.keeps_any() && !withheld;
        if (config.owner_exit == OwnerExit::RemoveAll || watched) && !P::planted(Defect::CacheLeft) {
            // SAFETY: the thread-local's destructor runs on the owner's thread.
            unsafe { self.free(false) };
        }
        self.dead.store(true, Release); // pairs with the Acquire in `is_dead`
    }

    /// What a collection does for a dead thread before it looks who still refers to the cache.
    pub fn watch(&self) {
        if self.scope.config.cache_rescue == CacheRescue::Watcher && self.keeps_any() && self.is_dead() {
            // SAFETY: the owner has ended, and `is_dead` has ordered what it did before.
            unsafe { self.free(false) };
        }
    }

    /// The state: look-ups since the last automatic trim, and the rows of every region.
    ///
    /// # Safety
    /// No thread is inside the cache, and what they did there happened before.
    pub unsafe fn inspect(&self) -> (u32, [[Option<RegionRows>; 3]; 2]) {
        let rows = |regions: &Vec<Region<P>>| {
            let rows = regions.iter().zip(0..).map(|(region, index)| {
                let mut blocks = 0;
                // SAFETY: nobody is here.
                let served = unsafe {
                    region.queue.peek(|_| blocks += 1);
                    region.served.with(|n| *n)
                };
                (index, blocks, served)
            });
            rows.filter(|(_, blocks, served)| *blocks > 0 || *served > 0).collect()
        };
        let rows = self.regions.each_ref().map(|area| area.each_ref().map(|kind| kind.as_ref().map(rows)));
        // SAFETY: nobody is here.
        (self.lookups.with(|n| unsafe { *n }), rows)
    }
}

impl<P: Platform> Drop for ThreadCache<P> {
    fn drop(&mut self) {
        P::inherits(); // the last `Arc` of it
        let config = &self.scope.config;
        let freed = match config.cache_rescue {
            CacheRescue::Watcher => self.keeps_any(),
            CacheRescue::Finalizer => config.caches() || config.finalizes_uncached,
        };
        if freed {
            // SAFETY: nobody else refers to the cache.
            unsafe { self.free(true) };
        }
        for (_, region) in self.all_regions() {
            // SAFETY: nobody else refers to the cache.
            while let Some(Waiting { arena, grant, home }) = unsafe { region.poll() } {
                arena.lost.add(grant.len as u64);
                arena.lost_blocks.add(1);
                home.forget();
            }
        }
    }
}

/// Where a block goes back to.
enum Origin<P: Platform> {
    /// No cache: straight to the arena.
    Chunk {
        arena: Arc<Arena<P>>,
        cache: Option<Arc<ThreadCache<P>>>,
        grant: Grant,
        class: SizeClass,
    },
    Huge {
        arena: Option<Arc<Arena<P>>>,
        layout: Layout,
        area: Area,
        backend: Weak<Core<P>>,
    },
}

/// Memory of one owner. It gives itself back when dropped, on whatever thread: into the cache of the thread that allocated it, or
/// to its arena.
pub struct Block<P: Platform> {
    start: NonNull<u8>,
    len: usize,
    /// Taken out once, by `drop` or `give_back`.
    origin: ManuallyDrop<Origin<P>>,
}

// SAFETY: the memory belongs to the block alone.
unsafe impl<P: Platform> Send for Block<P> {}
// SAFETY: a shared block gives out a pointer only.
unsafe impl<P: Platform> Sync for Block<P> {}

/// Where a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockPlace {
    /// The kind of memory.
    pub area: Area,
    /// Index of the arena among those of its kind; none: the allocator has none, and the memory is the platform's.
    pub arena: Option<u32>,
    /// Number of the chunk, in order of creation; none: a huge block, which has one of its own.
    pub chunk: Option<u32>,
    /// Offset in the chunk, in bytes.
    pub offset: usize,
}

/// Keeps the cache that a released block was from, as the shells of buffers did to 4.1.82.
pub struct CacheHold<P: Platform> {
    _cache: Arc<ThreadCache<P>>,
}

impl<P: Platform> Block<P> {
    pub(super) fn granted(arena: Arc<Arena<P>>, cache: Arc<ThreadCache<P>>, grant: Grant, class: SizeClass) -> Self {
        arena.pinned.add(grant.len as u64);
        let origin = Origin::Chunk { arena, cache: Some(cache), grant, class };
        Self { start: grant.start, len: grant.len, origin: ManuallyDrop::new(origin) }
    }

    /// A block of its own, whose memory is `start`.
    pub(super) fn huge(
        arena: Option<Arc<Arena<P>>>,
        start: NonNull<u8>,
        layout: Layout,
        area: Area,
        backend: Weak<Core<P>>,
    ) -> Self {
        let len = layout.size();
        if let Some(arena) = &arena {
            arena.allocations[HUGE].add(1);
            arena.huge.add(len as u64);
            arena.pinned.add(len as u64);
        }
        Self { start, len, origin: ManuallyDrop::new(Origin::Huge { arena, layout, area, backend }) }
    }

    /// The first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Usable bytes: at least what was asked for (`maxLength`).
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a buffer of `from` bytes in this block stays in it when it gets `to` bytes: a huge one never does, another one if
    /// it fits and doesn't waste half of the block, or more than 16 bytes of a small one.
    pub fn keeps(&self, from: usize, to: usize) -> bool {
        if from == to {
            return true;
        }
        match &*self.origin {
            Origin::Huge { .. } => false,
            Origin::Chunk { .. } if to > from => to <= self.len,
            Origin::Chunk { .. } => to > self.len >> 1 && (self.len > 512 || to + 16 > self.len),
        }
    }

    /// Gives it back, and says what the shell of the buffer holds on to.
    pub fn give_back(self) -> Option<CacheHold<P>> {
        let hold = match &*self.origin {
            Origin::Chunk { cache: Some(cache), .. } if cache.scope.config.shell_holds_cache => {
                Some(CacheHold { _cache: Arc::clone(cache) })
            }
            _ => None,
        };
        drop(self);
        hold
    }

    /// The block goes back to where `other` goes, rather than to the cache that it is from.
    fn returns_as(&mut self, other: &Self) {
        let theirs = match &*other.origin {
            Origin::Chunk { cache, .. } => cache.clone(),
            Origin::Huge { .. } => None,
        };
        if let Origin::Chunk { cache, .. } = &mut *self.origin {
            *cache = theirs;
        }
    }

    /// Its arena.
    fn arena(&self) -> Option<&Arc<Arena<P>>> {
        match &*self.origin {
            Origin::Chunk { arena, .. } => Some(arena),
            Origin::Huge { arena, .. } => arena.as_ref(),
        }
    }

    /// The kind of memory.
    pub fn area(&self) -> Area {
        match &*self.origin {
            Origin::Chunk { arena, .. } => arena.area,
            Origin::Huge { area, .. } => *area,
        }
    }

    /// Where it is.
    pub fn place(&self) -> BlockPlace {
        let (area, arena) = (self.area(), self.arena().map(|arena| arena.index));
        match &*self.origin {
            Origin::Chunk { grant, .. } => BlockPlace { area, arena, chunk: Some(grant.chunk), offset: grant.offset },
            Origin::Huge { .. } => BlockPlace { area, arena, chunk: None, offset: 0 },
        }
    }

    /// A block of at least `capacity` bytes for a buffer that leaves this one: from the running thread's cache or, if that has
    /// none, from the arena of this one. Where this one goes when it is dropped is then up to
    /// [`PooledConfig::old_block_to_its_cache`](super::PooledConfig::old_block_to_its_cache). Look at [`Block::keeps`] first.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the platform has none, or the allocator is gone.
    #[track_caller]
    pub fn sibling(&mut self, capacity: usize) -> Result<Self, OutOfMemory> {
        let backend = match &*self.origin {
            Origin::Chunk { cache, .. } => cache.as_ref().and_then(|cache| cache.backend.upgrade()),
            Origin::Huge { backend, .. } => backend.upgrade(),
        };
        let backend = backend.ok_or(OutOfMemory { capacity })?;
        let new = backend.allocate(self.arena().cloned(), capacity, self.area())?;
        if !backend.scope.config.old_block_to_its_cache {
            self.returns_as(&new);
        }
        Ok(new)
    }
}

impl<P: Platform> Drop for Block<P> {
    fn drop(&mut self) {
        // SAFETY: `drop` runs once, and nothing else takes the origin out.
        match unsafe { ManuallyDrop::take(&mut self.origin) } {
            Origin::Chunk { arena, mut cache, grant, class } => {
                if P::planted(Defect::WrongCache) {
                    cache = cache.and_then(|cache| Some(cache.backend.upgrade()?.cache().0));
                }
                arena.pinned.sub(grant.len as u64);
                let refused = match cache {
                    Some(cache) => cache.put(arena, grant, class).err(),
                    None => Some(arena),
                };
                if let Some(arena) = refused {
                    arena.free(&grant, class.kind, false);
                }
            }
            Origin::Huge { arena, layout, .. } => {
                if let Some(arena) = arena {
                    arena.deallocations[HUGE].add(1);
                    arena.huge.sub(layout.size() as u64);
                    arena.pinned.sub(layout.size() as u64);
                }
                // SAFETY: the memory came from `P::alloc` with this layout, and the block is its only owner.
                unsafe { P::dealloc(self.start, layout) };
            }
        }
    }
}
