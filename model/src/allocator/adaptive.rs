//! The adaptive allocator: Netty 4.2's default (`AdaptivePoolingAllocator`).
//!
//! **Invariant: a byte of a chunk belongs to one block, or to whoever holds the chunk, and to nobody else**; a chunk goes back to
//! the platform when it has neither.
//!
//! ```text
//!                        ┌ 16 size classes: a group each ┐
//!   allocate ──> thread's own groups, or the shared ones ├──> magazine ──> chunk ──> Block
//!      │          large ──> the one large group ─────────┘    (striped)
//!      └── larger still, or every magazine busy: a chunk for this block alone
//! ```
//!
//! A group has one magazine at first and doubles them when threads meet at their locks. A magazine cuts blocks from its `current`
//! chunk, keeps a second one `next` in line, and shares the rest with its group in a bounded queue. Chunks of the size classes are
//! cut into segments, which come back one by one; chunks of the large group are as large as the histogram of sizes suggests,
//! are cut off one block after the other, and are used again when all blocks are back.
//!
//! ```
//! use millpond_model::allocator::adaptive::{AdaptiveBackend, AdaptiveConfig};
//! use millpond_model::memory::Area;
//!
//! let backend = AdaptiveBackend::new(AdaptiveConfig::netty_4_2_7(8));
//! let block = backend.allocate(1000, Area::Direct)?;
//! assert_eq!(block.len(), 1024);
//! std::thread::spawn(move || drop(block)).join().unwrap(); // from any thread
//! assert_eq!(backend.stats(Area::Direct).used_memory, 128 << 10); // the chunk stays
//! # Ok::<(), millpond_model::memory::OutOfMemory>(())
//! ```

mod chunk;
mod chunk_queue;
mod config;
mod free_list;
mod group;
mod histogram;
mod magazine;
mod registry;
mod stats;

pub use chunk::{Block, ChunkInspection};
pub use config::{
    AdaptiveConfig, AdaptiveConfigError, Finalization, SegmentReturn, SizeClasses, SpentChunk, ThreadMagazines,
};
pub use stats::{AdaptiveBroken, AdaptiveStats, Finalized};

use crate::memory::{Area, OutOfMemory};
use crate::platform::LocalKey;
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use group::{Group, Want};
use registry::Core;

/// The adaptive allocator; clones share it. Its end, when the last clone is dropped, frees what the configuration says
/// ([`Finalization`]); blocks in use stay good.
pub struct AdaptiveBackend<P: Platform = Std>(Arc<Pools<P>>);

impl<P: Platform> Clone for AdaptiveBackend<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What an allocation asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Bytes at least.
    pub capacity: usize,
    /// Bytes at most that are of use.
    pub max_capacity: usize,
    /// A buffer grows: the histogram of sizes doesn't count it.
    pub reallocation: bool,
}

impl Request {
    /// So many bytes for a new buffer without a bound.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, max_capacity: i32::MAX as usize, reallocation: false }
    }
}

/// The two areas: allocators of their own in Netty.
struct Pools<P: Platform> {
    direct: Pool<P>,
    heap: Pool<P>,
    finalized: bool,
}

struct Pool<P: Platform> {
    core: Arc<Core<P>>,
    /// By size class.
    classes: Groups<P>,
    large: Arc<Group<P>>,
    own: P::Local<Own<P>>,
}

type Groups<P> = Box<[Arc<Group<P>>]>;

/// A thread's own groups, by size class. They are freed when the thread ends.
struct Own<P: Platform>(Groups<P>);

impl<P: Platform> Drop for Own<P> {
    fn drop(&mut self) {
        for group in &self.0 {
            // SAFETY: a thread-local value is destroyed on its thread.
            unsafe { group.free() };
        }
    }
}

fn groups<P: Platform>(core: &Arc<Core<P>>, local: bool) -> Groups<P> {
    core.config.size_classes.sizes().iter().map(|&segment| Group::new(core, Some(segment), local)).collect()
}

impl<P: Platform> Pool<P> {
    fn new(config: AdaptiveConfig, area: Area, owner: &Weak<Pools<P>>) -> Self {
        let core = Core::new(config, area, Weak::clone(owner));
        let (classes, large) = (groups(&core, false), Group::new(&core, None, false));
        Self { core, classes, large, own: P::Local::new() }
    }

    fn allocate(&self, request: Request) -> Result<Block<P>, OutOfMemory> {
        let Request { capacity, max_capacity, reallocation } = request;
        let out_of_memory = OutOfMemory { capacity };
        if capacity <= self.core.config.max_pooled() as usize {
            let max = u32::try_from(max_capacity).unwrap_or(u32::MAX);
            let want = Want { size: capacity as u32, max: max.max(capacity as u32), reallocation };
            let class = self.core.config.size_classes.index(want.size);
            let found = if class < self.classes.len() { self.segment(class, &want) } else { self.large(&want) };
            if let Some(block) = found.map_err(|_| out_of_memory)? {
                return Ok(block);
            }
        }
        Block::one_off(&self.core, capacity).ok_or(out_of_memory)
    }

    fn segment(&self, class: usize, want: &Want) -> Result<Option<Block<P>>, OutOfMemory> {
        // SAFETY: the running thread's own groups.
        let allocate = |own: &Own<P>| unsafe { own.0[class].allocate(want) };
        let own = match self.core.config.thread_magazines {
            ThreadMagazines::Nobody => None,
            ThreadMagazines::Adopted => self.own.with_existing(allocate),
            ThreadMagazines::All => self.own.with(|| Own(groups(&self.core, true)), allocate).ok(),
        };
        // SAFETY: a shared group.
        own.unwrap_or_else(|| unsafe { self.classes[class].allocate(want) })
    }

    fn large(&self, want: &Want) -> Result<Option<Block<P>>, OutOfMemory> {
        // SAFETY: a shared group.
        unsafe { self.large.allocate(want) }
    }

    fn shared(&self) -> impl Iterator<Item = &Arc<Group<P>>> {
        self.classes.iter().chain([&self.large])
    }

    /// `finalize`.
    fn finalize(&self) -> Finalized {
        let before = self.core.used();
        self.own.remove(); // the running thread's own groups; those of other threads go with their threads
        let all = match self.core.config.finalization {
            Finalization::LargeGroup => 0,
            Finalization::AllGroups => self.classes.len(),
        };
        for group in self.classes.iter().take(all).chain([&self.large]) {
            // SAFETY: shared groups.
            unsafe { group.free() };
        }
        let left = self.core.used();
        Finalized { freed: before.saturating_sub(left), left }
    }

    /// See [`AdaptiveBackend::check`].
    unsafe fn check(&self) -> Result<(), AdaptiveBroken> {
        let chunks = self.core.chunks();
        let mut used = 0;
        for chunk in &chunks {
            // SAFETY: by the contract of this function.
            unsafe { chunk.inspect() }.check()?;
            used += chunk.capacity() as u64;
        }
        if used != self.core.used() {
            let text = alloc::format!("the chunks have {used} bytes, and {} are counted", self.core.used());
            return Err(AdaptiveBroken(text));
        }
        let mut places = Vec::new();
        for group in self.shared() {
            // SAFETY: by the contract of this function.
            unsafe { group.peek(|chunk| places.push((chunk.number, chunk.state().1))) };
        }
        let known: BTreeSet<u64> = chunks.iter().map(|chunk| chunk.number).collect();
        let mut seen = BTreeSet::new();
        match places.into_iter().find(|&(number, held)| !held || !known.contains(&number) || !seen.insert(number)) {
            Some(place) => Err(AdaptiveBroken(alloc::format!("a shared place has what it can't have: {place:?}"))),
            None => Ok(()),
        }
    }
}

impl<P: Platform> Pools<P> {
    fn pool(&self, area: Area) -> &Pool<P> {
        match area {
            Area::Direct => &self.direct,
            Area::Heap => &self.heap,
        }
    }

    fn finalize(&mut self) -> Finalized {
        self.finalized = true;
        let (direct, heap) = (self.direct.finalize(), self.heap.finalize());
        Finalized { freed: direct.freed + heap.freed, left: direct.left + heap.left }
    }
}

impl<P: Platform> Drop for Pools<P> {
    fn drop(&mut self) {
        P::inherits(); // the last `Arc` of it
        if !self.finalized {
            self.finalize();
        }
    }
}

impl AdaptiveBackend {
    /// An allocator on the real platform.
    ///
    /// # Panics
    /// If [`AdaptiveConfig::validate`] fails.
    pub fn new(config: AdaptiveConfig) -> Self {
        Self::new_on(config)
    }
}

impl<P: Platform> AdaptiveBackend<P> {
    /// An allocator on any platform.
    ///
    /// # Panics
    /// If [`AdaptiveConfig::validate`] fails.
    pub fn new_on(config: AdaptiveConfig) -> Self {
        if let Err(error) = config.validate() {
            panic!("{error}");
        }
        Self(Arc::new_cyclic(|owner| Pools {
            direct: Pool::new(config, Area::Direct, owner),
            heap: Pool::new(config, Area::Heap, owner),
            finalized: false,
        }))
    }

    fn pool(&self, area: Area) -> &Pool<P> {
        self.0.pool(area)
    }

    /// A block of at least `capacity` bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`] when a chunk is needed and there is no memory for it. Nothing is lost: all that is pooled still is.
    pub fn allocate(&self, capacity: usize, area: Area) -> Result<Block<P>, OutOfMemory> {
        self.allocate_for(Request::new(capacity), area)
    }

    /// As [`AdaptiveBackend::allocate`], with all that Netty's allocator is told.
    ///
    /// # Errors
    /// As [`AdaptiveBackend::allocate`].
    pub fn allocate_for(&self, request: Request, area: Area) -> Result<Block<P>, OutOfMemory> {
        self.pool(area).allocate(request)
    }

    /// The running thread is one of an executor: it gets magazines of its own, until it ends. Without effect if the configuration
    /// gives magazines to nobody.
    pub fn adopt_thread(&self) {
        for pool in [&self.0.direct, &self.0.heap] {
            if pool.core.config.thread_magazines != ThreadMagazines::Nobody {
                // A thread past the destruction of its variables allocates from the shared groups.
                let _past_its_end = pool.own.with(|| Own(groups(&pool.core, true)), |_| ());
            }
        }
    }

    /// The configuration.
    pub fn config(&self) -> &AdaptiveConfig {
        &self.0.direct.core.config
    }

    /// The statistics of one area.
    pub fn stats(&self, area: Area) -> AdaptiveStats {
        let pool = self.pool(area);
        pool.core.stats(pool.shared().map(|group| group.magazines().len() as u32).collect())
    }

    /// The inside of the chunks of one area, in order of creation.
    ///
    /// # Safety
    /// No thread is inside the allocator, and what they did there happened before.
    pub unsafe fn chunks(&self, area: Area) -> Vec<ChunkInspection> {
        // SAFETY: by the contract of this function.
        self.pool(area).core.chunks().iter().map(|chunk| unsafe { chunk.inspect() }).collect()
    }

    /// Whether the invariants hold: every segment is in use or free, and free once; a chunk that nobody has doesn't exist; used
    /// memory is the sum of the chunks; a chunk is in one place.
    ///
    /// # Errors
    /// The first that doesn't.
    ///
    /// # Safety
    /// No thread is inside the allocator, and what they did there happened before.
    pub unsafe fn check(&self) -> Result<(), AdaptiveBroken> {
        // SAFETY: by the contract of this function.
        unsafe { self.0.direct.check().and_then(|()| self.0.heap.check()) }
    }

    /// Ends the allocator and says what that freed; `None` if it has other clones.
    pub fn finalize(self) -> Option<Finalized> {
        Arc::into_inner(self.0).map(|mut pools| pools.finalize())
    }
}
