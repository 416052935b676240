//! A magazine group: the magazines for one size class, or for all large sizes, and the chunks that they share.
//!
//! **Invariant: magazines live as long as their group**; when a group doubles them, the old ones are freed of their chunks and
//! serve nobody any more.
//!
//! ```text
//!   level 0   [ 0 ]                      each level has twice the magazines of the one before; threads start
//!   level 1   [ 0 | 1 ]                  at their number modulo the length, and try all twice before they
//!   level 2   [ 0 | 1 | 2 | 3 ]          double them; `level` says which row is in use
//!                                                     │ hand_back            ^ poll
//!                                                     └──> queue, bounded ───┘
//! ```

use super::chunk::{Block, Chunk, Held};
use super::chunk_queue::ChunkQueue;
use super::magazine::Magazine;
use super::registry::Core;
use crate::Platform;
use crate::memory::OutOfMemory;
use crate::platform::{AtomicOps, CellOps, CounterOps, Lock};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr;
use core::slice;
use core::sync::atomic::Ordering::{Acquire, Release, SeqCst};

/// What an allocation asks for, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub size: u32,
    /// No more than this is of use.
    pub max: u32,
    /// A buffer grows: its size says nothing about what is asked for.
    pub reallocation: bool,
}

/// See the [module](self).
pub(super) struct Group<P: Platform> {
    pub core: Arc<Core<P>>,
    segment: Option<u32>,
    /// The group belongs to one thread, and has one magazine.
    local: bool,
    pub queue: ChunkQueue<P>,
    freed: P::Atomic<bool>,
    /// Who doubles the magazines or frees the group.
    growing: P::Mutex<()>,
    level: P::Atomic<usize>,
    /// The first of the magazines of each level, or null; 2 to the power of the level are in one box.
    levels: Box<[P::Cell<*mut Magazine<P>>]>,
}

// SAFETY: a cell of `levels` is written once, under `growing`, before `level` is raised to it by a Release, and read only after an
// Acquire that saw that. The rest is `Send + Sync`.
unsafe impl<P: Platform> Send for Group<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Group<P> {}

impl<P: Platform> Group<P> {
    /// A group for segments of this size, or for large blocks; for the running thread alone if `local`.
    pub fn new(core: &Arc<Core<P>>, segment: Option<u32>, local: bool) -> Arc<Self> {
        let config = &core.config;
        let first = if local { 0 } else { config.initial_magazines.trailing_zeros() as usize };
        let last = config.max_magazines().next_power_of_two().trailing_zeros() as usize;
        let levels = (0..=first.max(last)).map(|_| P::Cell::new(ptr::null_mut())).collect();
        let group = Self {
            core: Arc::clone(core),
            segment,
            local,
            queue: ChunkQueue::new(config.queue_capacity()),
            freed: P::Atomic::new(false),
            growing: P::Mutex::new(()),
            level: P::Atomic::new(first),
            levels,
        };
        group.fill(first, config.min_chunk);
        Arc::new(group)
    }

    /// Makes the magazines of a level that is not in use yet.
    fn fill(&self, level: usize, chunk: u32) {
        let magazine = |_| Magazine::new(&self.core.config, self.segment, chunk, self.local);
        let magazines: Box<[Magazine<P>]> = (0..1_usize << level).map(magazine).collect();
        let first = Box::into_raw(magazines).cast::<Magazine<P>>();
        // SAFETY: nobody reads the cell yet: see `Group`'s `unsafe impl`.
        self.levels[level].with_mut(|p| unsafe { *p = first });
    }

    /// The magazines in use.
    pub fn magazines(&self) -> &[Magazine<P>] {
        let level = self.level.load(Acquire); // pairs with the Release in `double`
        // SAFETY: the level in use has been written.
        let first = self.levels[level].with(|p| unsafe { *p });
        // SAFETY: `fill` boxed so many of them, and they live as long as the group.
        unsafe { slice::from_raw_parts(first, 1 << level) }
    }

    /// A block, or `None` if every magazine was busy every time.
    ///
    /// # Errors
    /// [`OutOfMemory`] when a new chunk is needed and there is no memory for it. Nothing is lost.
    ///
    /// # Safety
    /// A thread's own group is used on that thread only.
    pub unsafe fn allocate(self: &Arc<Self>, want: &Want) -> Result<Option<Block<P>>, OutOfMemory> {
        if self.local {
            // SAFETY: on the owning thread, by the contract of this function.
            return unsafe { self.magazines()[0].try_allocate(self, want) };
        }
        let start = P::current_id().0 as usize;
        for attempt in 0..=self.core.config.expansion_attempts {
            let magazines = self.magazines();
            for i in 0..2 * magazines.len() {
                let magazine = &magazines[start.wrapping_add(i) & (magazines.len() - 1)];
                // SAFETY: a shared magazine.
                if let Some(block) = unsafe { magazine.try_allocate(self, want) }? {
                    return Ok(Some(block));
                }
            }
            if attempt < self.core.config.expansion_attempts {
                self.double(magazines);
            }
        }
        Ok(None)
    }

    /// `tryExpandMagazines`: twice as many magazines, unless there are enough, or somebody else is at it or has been.
    fn double(self: &Arc<Self>, old: &[Magazine<P>]) {
        let enough = self.core.config.max_magazines();
        if old.len() as u64 >= enough {
            return;
        }
        let Some(growing) = self.growing.try_lock() else { return };
        let now = self.magazines();
        // Acquire: pairs with the store in `free`.
        if now.len() as u64 >= enough || now.len() > old.len() || self.freed.load(Acquire) {
            return;
        }
        let level = now.len().trailing_zeros() as usize + 1;
        self.fill(level, now[0].preference.chunk());
        self.level.store(level, Release); // pairs with the Acquire in `magazines`: they are complete
        drop(growing);
        self.core.expansions.add(1);
        for magazine in old {
            // SAFETY: a shared magazine.
            unsafe { magazine.free(self) };
        }
    }

    /// `offerToQueue`: the chunk is for any magazine of the group.
    ///
    /// # Errors
    /// The chunk, when the queue is full or the group has been freed.
    pub fn offer(&self, chunk: Held<P>) -> Result<(), Held<P>> {
        // Acquire: pairs with the store in `free`.
        if self.freed.load(Acquire) {
            return Err(chunk);
        }
        self.queue.offer(chunk)?;
        // SeqCst: with the fence in `free`: either we see that the group has been freed, or `free` sees the chunk.
        P::fence(SeqCst);
        // Acquire: as above.
        if self.freed.load(Acquire) {
            self.drain();
        }
        Ok(())
    }

    fn drain(&self) {
        while let Some(chunk) = self.queue.poll() {
            drop(chunk);
        }
    }

    /// `free`: gives up all chunks that nobody uses; those in use go with their last block.
    ///
    /// # Safety
    /// A thread's own group is freed on that thread.
    pub unsafe fn free(self: &Arc<Self>) {
        self.freed.store(true, Release); // pairs with the Acquire loads in `double` and `offer`
        P::fence(SeqCst); // see `offer`
        let growing = self.growing.lock();
        for magazine in self.magazines() {
            // SAFETY: by the contract of this function.
            unsafe { magazine.free(self) };
        }
        drop(growing);
        self.drain();
    }

    /// Shows the chunks that a magazine or the queue has.
    ///
    /// # Safety
    /// No thread is inside the allocator, and what they did there happened before.
    pub unsafe fn peek(&self, mut show: impl FnMut(&Chunk<P>)) {
        for magazine in self.magazines() {
            // SAFETY: by the contract of this function.
            unsafe { magazine.peek(&mut show) };
        }
        // SAFETY: by the contract of this function.
        unsafe { self.queue.peek(show) };
    }
}

impl<P: Platform> Drop for Group<P> {
    fn drop(&mut self) {
        for (level, cell) in self.levels.iter_mut().enumerate() {
            let first = core::mem::replace(cell.get_mut(), ptr::null_mut());
            if !first.is_null() {
                let magazines = ptr::slice_from_raw_parts_mut(first, 1 << level);
                // SAFETY: `fill` boxed so many of them, and nobody else is in the group.
                drop(unsafe { Box::from_raw(magazines) });
            }
        }
    }
}
