//! What can be known about an allocator from outside.
//!
//! **Invariant: taking a number changes nothing.** Numbers of different places are exact together only when no thread is inside.

use super::PooledBackend;
use super::arena::{Arena, LISTS, State};
use super::cache::{AREAS, RegionRows};
use super::sizes::{SizeKind, Sizes};
use crate::Platform;
use crate::memory::Area;
use crate::platform::{AtomicOps, CounterOps, ThreadId};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Acquire;

/// The usage lists, in order; the names are Netty's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum UsageList {
    /// New chunks, below 25 %.
    Init,
    /// 1 to 50 %.
    Q000,
    /// 25 to 75 %.
    Q025,
    /// 50 to 100 %.
    Q050,
    /// 75 to 100 %.
    Q075,
    /// Full.
    Q100,
}

impl UsageList {
    /// All of them, in order.
    pub const ALL: [Self; LISTS] = [Self::Init, Self::Q000, Self::Q025, Self::Q050, Self::Q075, Self::Q100];
}

/// Numbers of operations that reached an arena, by kind of size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Tiny ones.
    pub tiny: u64,
    /// Small ones.
    pub small: u64,
    /// Normal ones.
    pub normal: u64,
    /// Huge ones.
    pub huge: u64,
}

impl Counts {
    fn of<C: CounterOps>(counters: &[C; 4]) -> Self {
        let [tiny, small, normal, huge] = counters.each_ref().map(C::get);
        Self { tiny, small, normal, huge }
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.tiny + self.small + self.normal + self.huge
    }

    /// `self` less `other`, each at least 0: what is active when they are allocations and deallocations.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        Self {
            tiny: self.tiny.saturating_sub(other.tiny),
            small: self.small.saturating_sub(other.small),
            normal: self.normal.saturating_sub(other.normal),
            huge: self.huge.saturating_sub(other.huge),
        }
    }
}

/// A chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkMetrics {
    /// Its number: in order of creation in the backend.
    pub number: u32,
    /// Per cent in use, rounded up; 100 only when it is full.
    pub usage: u32,
    /// Bytes in it that are free.
    pub free: u64,
}

/// A page or run with room for elements of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubpageMetrics {
    /// Bytes an element.
    pub element: u64,
    /// Elements it has room for in all.
    pub elements: u32,
    /// Those that are free.
    pub free: u32,
    /// Number of its chunk.
    pub chunk: u32,
}

/// One arena.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArenaMetrics {
    /// The kind of memory.
    pub area: Area,
    /// Index among the arenas of its kind.
    pub index: u32,
    /// Caches of threads bound to it.
    pub thread_caches: u64,
    /// Allocations that reached it; what a cache served isn't counted.
    pub allocations: Counts,
    /// Deallocations that reached it.
    pub deallocations: Counts,
    /// Bytes of all chunks in its lists and of huge blocks (`numActiveBytes`).
    pub active_bytes: u64,
    /// Bytes of blocks that are in use (`numPinnedBytes`).
    pub pinned_bytes: u64,
    /// Bytes that wait in caches of threads.
    pub cached_bytes: u64,
    /// Bytes that were released into a cache after it was freed, and are gone for good.
    pub lost_bytes: u64,
    /// Bytes in the chunks that are free.
    pub free_bytes: u64,
    /// The chunks by usage list, each list from its head.
    pub lists: [Vec<ChunkMetrics>; LISTS],
    /// Subpages with room, by size, the one used next first.
    pub subpages: Vec<SubpageMetrics>,
}

impl ArenaMetrics {
    /// Allocations that haven't come back, each kind at least 0 (`numActive...Allocations`).
    pub fn active(&self) -> Counts {
        self.allocations.less(&self.deallocations)
    }
}

/// The whole allocator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllocatorMetrics {
    /// Direct arenas.
    pub direct: Vec<ArenaMetrics>,
    /// Heap arenas.
    pub heap: Vec<ArenaMetrics>,
    /// Bytes a chunk.
    pub chunk_size: u64,
    /// Blocks in a cache of one (tiny, small, normal) size.
    pub cache_sizes: [u32; 3],
}

impl AllocatorMetrics {
    /// The arenas of both kinds, direct ones first.
    pub fn arenas(&self) -> impl Iterator<Item = &ArenaMetrics> {
        self.direct.iter().chain(&self.heap)
    }

    /// Caches of threads (`numThreadLocalCaches`): those bound to arenas of the kind that there are more of, or to heap arenas.
    pub fn thread_caches(&self) -> u64 {
        let arenas = if self.heap.is_empty() { &self.direct } else { &self.heap };
        arenas.iter().map(|arena| arena.thread_caches).sum()
    }

    /// Active bytes of all arenas of one kind (`usedHeapMemory`, `usedDirectMemory`).
    pub fn used(&self, area: Area) -> u64 {
        self.arenas().filter(|arena| arena.area == area).map(|arena| arena.active_bytes).sum()
    }

    /// Pinned bytes of all arenas of one kind (`pinnedHeapMemory`, `pinnedDirectMemory`).
    pub fn pinned(&self, area: Area) -> u64 {
        self.arenas().filter(|arena| arena.area == area).map(|arena| arena.pinned_bytes).sum()
    }
}

/// One size in a thread's cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CachedClass {
    /// Index among the classes of its kind.
    pub index: u32,
    /// Blocks that wait.
    pub blocks: u64,
    /// Blocks served since the last trim.
    pub served: u32,
}

/// The inside of a living thread's cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheInspection {
    /// The thread.
    pub thread: ThreadId,
    /// Index of its direct arena, and of its heap arena.
    pub arenas: [Option<u32>; 2],
    /// Look-ups since the last automatic trim.
    pub lookups: u32,
    classes: [[Option<Vec<CachedClass>>; 3]; 2],
}

impl CacheInspection {
    /// The classes that hold a block or served one since the last trim, ascending; none: the kind isn't cached.
    pub fn classes(&self, area: Area, kind: SizeKind) -> Option<&[CachedClass]> {
        self.classes[area as usize][kind as usize].as_deref()
    }

    /// Blocks that wait in the classes of one kind; none: the kind isn't cached.
    pub fn blocks(&self, area: Area, kind: SizeKind) -> Option<u64> {
        Some(self.classes(area, kind)?.iter().map(|class| class.blocks).sum())
    }
}

fn subpages(state: &State) -> Vec<SubpageMetrics> {
    let with_room = state.rooms.iter().flat_map(|room| room.iter().rev());
    let metrics = with_room.filter_map(|(slot, page)| {
        let chunk = state.chunks[*slot as usize].as_ref()?;
        let subpage = chunk.subpages.get(page)?;
        let (elements, free) = subpage.room();
        Some(SubpageMetrics { element: subpage.element as u64, elements, free, chunk: chunk.number })
    });
    metrics.collect()
}

pub(super) fn of_arena<P: Platform>(arena: &Arena<P>, sizes: &Sizes) -> ArenaMetrics {
    let (lists, subpages) = arena.with(|state| {
        let chunk = |slot: &u32| {
            let chunk = state.chunks[*slot as usize].as_ref()?;
            Some(ChunkMetrics { number: chunk.number, usage: chunk.usage(sizes.chunk) as u32, free: chunk.free as u64 })
        };
        let lists = state.lists.each_ref().map(|list| list.iter().filter_map(chunk).collect::<Vec<_>>());
        (lists, subpages(state))
    });
    let chunks = || lists.iter().flatten();
    ArenaMetrics {
        area: arena.area,
        index: arena.index,
        // Acquire: pairs with the AcqRel of whoever counts, as in the choice of an arena.
        thread_caches: u64::from(arena.thread_caches.load(Acquire)),
        allocations: Counts::of(&arena.allocations),
        deallocations: Counts::of(&arena.deallocations),
        active_bytes: chunks().count() as u64 * sizes.chunk as u64 + arena.huge.get(),
        pinned_bytes: arena.pinned.get(),
        cached_bytes: arena.cached.get(),
        lost_bytes: arena.lost.get(),
        free_bytes: chunks().map(|chunk| chunk.free).sum(),
        subpages,
        lists,
    }
}

impl<P: Platform> PooledBackend<P> {
    /// The metrics.
    pub fn metrics(&self) -> AllocatorMetrics {
        let (scope, config) = (&self.0.scope, self.config());
        let of = |arenas: &[Arc<Arena<P>>]| arenas.iter().map(|arena| of_arena(arena, &scope.sizes)).collect();
        AllocatorMetrics {
            direct: of(&self.0.direct),
            heap: of(&self.0.heap),
            chunk_size: scope.sizes.chunk as u64,
            cache_sizes: [config.tiny_cache, config.small_cache, config.normal_cache],
        }
    }

    /// The inside of every living thread's cache, in order of creation.
    ///
    /// # Safety
    /// No thread is inside this backend, and what they did there happened before.
    pub unsafe fn inspect_caches(&self) -> Vec<CacheInspection> {
        let caches = self.0.living();
        let inspections = caches.iter().filter(|cache| !cache.is_dead()).map(|cache| {
            // SAFETY: by the contract of this function.
            let (lookups, rows) = unsafe { cache.inspect() };
            let class = |(index, blocks, served)| CachedClass { index, blocks, served };
            let classes = |rows: RegionRows| rows.into_iter().map(class).collect();
            CacheInspection {
                thread: cache.owner,
                arenas: AREAS.map(|area| cache.arena(area).map(|arena| arena.index)),
                lookups,
                classes: rows.map(|area| area.map(|kind| kind.map(classes))),
            }
        });
        inspections.collect()
    }
}
