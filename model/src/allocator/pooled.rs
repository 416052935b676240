//! Netty's pooled allocator: arenas of chunks, and a cache of blocks in front for each thread (`PooledByteBufAllocator`).
//!
//! **Invariant: the bytes of every chunk are free, or in a live block, or in a block that waits in one cache**, and no two
//! blocks overlap; [`PooledBackend::check`] says whether it holds.
//!
//! ```text
//!   allocate: class of the size ─> the thread's cache ─> a subpage with room ─> a run in a chunk ─> a new chunk
//!                                   no lock               └───────── under the arena's lock ─────────┘
//!   drop of a block:               the cache of the thread that allocated it ─> its arena
//!   larger than a chunk:           a block of its own, exactly as large
//! ```
//!
//! Both of Netty's designs of a chunk are here; which one, and every other difference between releases, is data:
//! [`PooledConfig`].
//!
//! ```
//! use millpond_model::allocator::pooled::{PooledBackend, PooledConfig};
//! use millpond_model::memory::Area;
//! use millpond_model::recycler::Domain;
//! use millpond_model::{Preset, Std};
//!
//! let backend = PooledBackend::<Std>::new_in(&Domain::new(), PooledConfig::from(Preset::Netty4_1_8));
//! let block = backend.allocate(3000, Area::Direct).unwrap();
//! assert_eq!(block.len(), 4096);
//! drop(block); // into this thread's cache
//! assert_eq!(backend.metrics().direct[0].deallocations.total(), 0);
//! backend.check().unwrap();
//! ```

mod arena;
mod buddy;
mod cache;
mod check;
mod chunk;
mod config;
mod metrics;
mod runs;
mod sizes;
mod subpage;

pub use cache::{Block, BlockPlace, CacheHold};
pub use check::Broken;
pub use config::{CacheRescue, PageDesign, PooledConfig, PooledConfigError};
pub use metrics::{
    AllocatorMetrics, ArenaMetrics, CacheInspection, CachedClass, ChunkMetrics, Counts, SubpageMetrics, UsageList,
};
pub use sizes::{SizeClass, SizeKind};

use crate::memory::{Area, OutOfMemory};
use crate::observe::Kind;
use crate::platform::{AtomicOps, LocalKey, Lock, ThreadId};
use crate::recycler::{Collectable, Collected, Domain, Recycler, RecyclerStats};
use crate::{Platform, Std};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use arena::{Arena, Scope};
use cache::{EntryRef, ThreadCache};
use core::alloc::Layout;
use core::sync::atomic::Ordering::Acquire;
use sizes::Sizes;

/// The thread-local value: its destructor tells that the owner ended.
struct CacheSlot<P: Platform> {
    cache: Arc<ThreadCache<P>>,
    withheld: bool,
}

impl<P: Platform> Drop for CacheSlot<P> {
    fn drop(&mut self) {
        self.cache.owner_exited(self.withheld);
    }
}

/// A cache as the backend knows it.
struct Registered<P: Platform> {
    cache: Weak<ThreadCache<P>>,
    /// While collection is withheld.
    keep: Option<Arc<ThreadCache<P>>>,
}

struct Core<P: Platform> {
    scope: Arc<Scope<P>>,
    direct: Vec<Arc<Arena<P>>>,
    heap: Vec<Arc<Arena<P>>>,
    entries: Recycler<EntryRef<P>, P>,
    domain: Domain<P>,
    local: P::Local<CacheSlot<P>>,
    /// Also the lock under which a thread gets its arenas. In order of creation.
    caches: P::Mutex<Vec<Registered<P>>>,
    this: Weak<Self>,
}

/// The arena with the fewest caches, the first of them.
fn least_used<P: Platform>(arenas: &[Arc<Arena<P>>]) -> Option<Arc<Arena<P>>> {
    // Acquire: pairs with the AcqRel of the counts; a cache that was freed is gone from its arena.
    arenas.iter().min_by_key(|arena| arena.thread_caches.load(Acquire)).cloned()
}

impl<P: Platform> Core<P> {
    fn new_cache(&self) -> CacheSlot<P> {
        let withheld = self.domain.withholds();
        let hold = if self.scope.config.cache_holds_thread { self.domain.hold_thread() } else { None };
        let mut caches = self.caches.lock();
        let arenas = [least_used(&self.direct), least_used(&self.heap)];
        let cache = Arc::new(ThreadCache::new(self, arenas, true, hold));
        caches.retain(|registered| registered.cache.strong_count() > 0);
        let keep = withheld.then(|| Arc::clone(&cache));
        caches.push(Registered { cache: Arc::downgrade(&cache), keep });
        drop(caches);
        CacheSlot { cache, withheld }
    }

    /// The running thread's cache, and whether the thread may take from it; past its end a thread has one that keeps nothing.
    fn cache(&self) -> (Arc<ThreadCache<P>>, bool) {
        match self.local.with(|| self.new_cache(), |slot| Arc::clone(&slot.cache)) {
            Ok(cache) => (cache, true),
            Err(_) => {
                let arenas = [self.direct.first().cloned(), self.heap.first().cloned()];
                (Arc::new(ThreadCache::new(self, arenas, false, None)), false)
            }
        }
    }

    /// A block from the running thread's cache, or from `arena`; none: the thread's own.
    #[track_caller]
    fn allocate(&self, arena: Option<Arc<Arena<P>>>, capacity: usize, area: Area) -> Result<Block<P>, OutOfMemory> {
        let refused = OutOfMemory { capacity };
        let (cache, own) = self.cache();
        let arena = arena.or_else(|| cache.arena(area).cloned());
        let class = self.scope.sizes.class(capacity);
        let (Some(class), Some(arena)) = (class, &arena) else { return self.huge(arena, capacity, area) };
        // SAFETY: `own`: it is the running thread's cache.
        let found = if own { unsafe { cache.take(area, class) } } else { None };
        let (arena, grant) = match found {
            Some(found) => found,
            None => (Arc::clone(arena), arena.allocate(class).map_err(|_| refused)?),
        };
        assert!(grant.len >= capacity, "a block holds what was asked for");
        Ok(Block::granted(arena, cache, grant, class))
    }

    /// A block straight from the platform.
    #[track_caller]
    fn huge(&self, arena: Option<Arc<Arena<P>>>, capacity: usize, area: Area) -> Result<Block<P>, OutOfMemory> {
        let refused = OutOfMemory { capacity };
        let layout = Layout::from_size_align(capacity, 64).map_err(|_| refused)?;
        let start = P::alloc(layout).ok_or(refused)?;
        Ok(Block::huge(arena, start, layout, area, Weak::clone(&self.this)))
    }

    fn living(&self) -> Vec<Arc<ThreadCache<P>>> {
        self.caches.lock().iter().filter_map(|registered| registered.cache.upgrade()).collect()
    }
}

impl<P: Platform> Collectable for Core<P> {
    fn prepare(&self) {
        for cache in self.living() {
            cache.watch();
        }
    }

    fn collect(&self, kept: &[ThreadId], result: &mut Collected) {
        let mut given_up = Vec::new();
        for registered in self.caches.lock().iter_mut() {
            let alone = |cache: &mut Arc<ThreadCache<P>>| cache.is_dead() && Arc::strong_count(cache) == 1;
            let alone = |cache: &mut Arc<ThreadCache<P>>| alone(cache) && !kept.contains(&cache.owner);
            given_up.extend(registered.keep.take_if(alone));
        }
        result.caches += given_up.len() as u64;
        drop(given_up); // finalises them
        if self.scope.config.cache_holds_thread {
            result.uncollected.extend(
                self.living().iter().filter(|cache| cache.is_dead() && cache.keeps_any()).map(|cache| cache.owner),
            );
        }
    }
}

/// The pooled allocator. See the [module](self).
pub struct PooledBackend<P: Platform = Std>(Arc<Core<P>>);

impl<P: Platform> Clone for PooledBackend<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> PooledBackend<P> {
    /// A backend whose entries are recycled in `domain`, which also says when the caches of dead threads are collected.
    ///
    /// # Panics
    /// If [`PooledConfig::validate`] fails.
    pub fn new_in(domain: &Domain<P>, config: PooledConfig) -> Self {
        if let Err(error) = config.validate() {
            panic!("unusable configuration of the pooled allocator: {error}");
        }
        let scope = Arc::new(Scope { config, sizes: Sizes::new(&config), chunks: P::Atomic::new(0) });
        let arenas = |area, n| (0..n).map(|index| Arc::new(Arena::new(&scope, area, index))).collect();
        let core = Arc::new_cyclic(|this| Core {
            direct: arenas(Area::Direct, config.direct_arenas),
            heap: arenas(Area::Heap, config.heap_arenas),
            entries: Recycler::new_in(domain, Kind::CacheEntry, config.entries, EntryRef::new),
            domain: domain.clone(),
            local: P::Local::new(),
            caches: P::Mutex::new(Vec::new()),
            scope: Arc::clone(&scope),
            this: Weak::clone(this),
        });
        let weak = Arc::downgrade(&core);
        domain.register(weak);
        Self(core)
    }

    /// The parameters.
    pub fn config(&self) -> &PooledConfig {
        &self.0.scope.config
    }

    /// What a request of `capacity` bytes is served with; none: a huge block of its own.
    pub fn size_class(&self, capacity: usize) -> Option<SizeClass> {
        self.0.scope.sizes.class(capacity)
    }

    /// A block of at least `capacity` bytes, initialised with whatever an earlier user left.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the platform has none. Nothing is lost.
    #[track_caller]
    pub fn allocate(&self, capacity: usize, area: Area) -> Result<Block<P>, OutOfMemory> {
        self.0.allocate(None, capacity, area)
    }

    /// Trims the running thread's cache (`trimCurrentThreadCache`): whether it has one.
    pub fn trim(&self) -> bool {
        let cache = self.0.local.with_existing(|slot| Arc::clone(&slot.cache));
        // SAFETY: the running thread's own cache.
        cache.is_some_and(|cache| unsafe {
            cache.trim();
            true
        })
    }

    /// The statistics of the recycler of cache entries.
    pub fn entries(&self) -> RecyclerStats {
        self.0.entries.stats()
    }
}
