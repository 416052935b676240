//! A piece of memory that blocks are cut from, and such a block.
//!
//! **Invariant: whoever holds a chunk ([`Held`]) is alone in its plain fields; a chunk has at most one holder, and when it has
//! none and no block, whoever saw that is its holder until it has decided what becomes of it.**
//!
//! ```text
//!   units = blocks + (1 if held)           memory of a chunk
//!     0: empty, see `deallocate`           segments   [ 64 | 64 | 64 | .. ]   a free list of offsets
//!                                          bump       [ block | block |  left ]   ^ allocated
//! ```
//!
//! The count `units` is Netty's, and decides what happens to the chunk. The `Arc` decides when its memory goes: a block that
//! has given up its unit may still have to put its segment back.

use super::Request;
use super::config::{AdaptiveConfig, SegmentReturn, SpentChunk};
use super::free_list::FreeList;
use super::group::Group;
use super::magazine::Magazine;
use super::registry::Core;
use crate::memory::{Area, OutOfMemory};
use crate::observe::Defect;
use crate::platform::{AtomicOps, CellOps, CounterOps};
use crate::{Platform, Std};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{AcqRel, Relaxed};

/// Chunks start at a cache line.
const ALIGN: usize = 64;

/// What only the holder of a chunk touches.
struct Owned<P: Platform> {
    held: bool,
    /// `allocatedBytes`: with segments, a lower bound of what is free is computed from it.
    allocated: usize,
    /// The magazine that the chunk is attached to, or null; valid while the group lives.
    magazine: *const Magazine<P>,
}

/// Segments of equal size.
pub(super) struct Segments<P: Platform> {
    pub size: u32,
    pub free: FreeList<P>,
}

/// See the [module](self).
pub(super) struct Chunk<P: Platform> {
    /// In order of creation.
    pub number: u64,
    start: NonNull<u8>,
    layout: Layout,
    units: P::Atomic<u32>,
    owned: P::Cell<Owned<P>>,
    pub segments: Option<Segments<P>>,
    /// `None`: for one block only.
    home: Option<Home<P>>,
    core: Weak<Core<P>>,
    area: Area,
    segment_return: SegmentReturn,
}

/// Where a chunk belongs.
struct Home<P: Platform> {
    group: Weak<Group<P>>,
    /// The magazine that made it, whose preference decides about retirement; valid while the group lives.
    maker: *const Magazine<P>,
}

// SAFETY: `owned` is touched by the holder only, and the unit by which a hold changes hands orders that: what the holder does
// happens before its release (AcqRel) or before the Release that publishes the chunk in a shared place. Bytes may move between
// threads; the pointers to magazines are read only while their group is held by an `Arc`, and magazines are `Sync`.
unsafe impl<P: Platform> Send for Chunk<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Chunk<P> {}

impl<P: Platform> Chunk<P> {
    /// A chunk of `capacity` bytes with one unit; `None` when memory is exhausted.
    fn new(
        core: &Arc<Core<P>>,
        capacity: usize,
        segment: Option<u32>,
        home: Option<Home<P>>,
        magazine: *const Magazine<P>,
    ) -> Option<Arc<Self>> {
        let layout = Layout::from_size_align(capacity, ALIGN).ok()?;
        let start = P::alloc(layout)?;
        let segments = segment.map(|size| {
            let count = capacity as u32 / size;
            Segments { size, free: FreeList::new(count, size) }
        });
        let held = home.is_some();
        let make = |number| Self {
            number,
            start,
            layout,
            units: P::Atomic::new(1),
            owned: P::Cell::new(Owned { held, allocated: 0, magazine }),
            segments,
            home,
            core: Arc::downgrade(core),
            area: core.area,
            segment_return: core.config.segment_return,
        };
        Some(core.add(make))
    }

    /// Bytes.
    pub fn capacity(&self) -> usize {
        self.layout.size()
    }

    /// Whether the memory is for one block only.
    pub fn is_one_off(&self) -> bool {
        self.home.is_none()
    }

    /// Its units, whether it is held, and what is taken of it.
    ///
    /// # Safety
    /// No thread is inside the allocator, and what they did there happened before.
    pub unsafe fn state(&self) -> (u32, bool, usize) {
        // SAFETY: by the contract of this function.
        let (held, allocated) = self.owned.with(|o| unsafe { ((*o).held, (*o).allocated) });
        (self.units.load(Relaxed), held, allocated) // Relaxed: nobody is inside
    }

    /// Gives up one unit.
    fn release(self: &Arc<Self>) {
        // AcqRel: pairs with itself: what the holders of all units did happens before the chunk is used again or freed.
        if self.units.fetch_sub(1, AcqRel) == 1 {
            self.deallocate();
        }
    }

    /// `Chunk.deallocate`: nobody has a unit. The chunk is used again, or given up.
    fn deallocate(self: &Arc<Self>) {
        // SAFETY: we saw the last unit go: we are the holder.
        let magazine = self.owned.with(|o| unsafe { (*o).magazine });
        let group = self.home.as_ref().and_then(|home| home.group.upgrade().map(|group| (group, home.maker)));
        let group = group.filter(|(group, maker)| {
            // SAFETY: the group lives, and its magazines as long as it.
            let maker = unsafe { &**maker };
            !maker.retires(&group.core.config, self.capacity()) && !magazine.is_null()
        });
        let Some((group, _)) = group else { return self.give_up() };
        // SAFETY: as above.
        self.owned.with_mut(|o| unsafe {
            (*o).allocated = 0;
            (*o).held = true;
        });
        self.units.store(1, Relaxed); // published by the place that the chunk goes to
        // SAFETY: the unit just stored is the holder's.
        let held = unsafe { Held::from_arc(Arc::clone(self)) };
        // SAFETY: the group lives.
        let Err(mut held) = (unsafe { &*magazine }).set_next(held) else { return };
        held.detach();
        if let Err(held) = group.offer(held) {
            held.settle(); // the queue is full, or the group has been freed
            self.give_up();
        }
    }

    /// The chunk doesn't exist for the allocator any more. Its memory goes with the last reference.
    fn give_up(self: &Arc<Self>) {
        if let Some(core) = self.core.upgrade() {
            core.remove(self);
        }
    }

    /// A block is done with its part.
    fn release_block(self: &Arc<Self>, offset: usize) {
        match &self.segments {
            Some(segments) if self.segment_return == SegmentReturn::ListFirst => {
                segments.free.offer(offset as u32);
                self.release();
            }
            Some(segments) => {
                self.release();
                segments.free.offer(offset as u32);
            }
            None => self.release(),
        }
    }
}

impl<P: Platform> Drop for Chunk<P> {
    fn drop(&mut self) {
        P::inherits(); // the last `Arc` of it
        // SAFETY: it came from `alloc` with this layout, and nobody refers to the chunk any more, hence no block.
        unsafe { P::dealloc(self.start, self.layout) };
    }
}

/// The right to cut blocks from a chunk: one unit of it. Gives the unit up when dropped.
pub(super) struct Held<P: Platform>(ManuallyDrop<Arc<Chunk<P>>>);

impl<P: Platform> Held<P> {
    /// A new chunk for `group`, attached to `magazine`; `None` when memory is exhausted.
    pub fn new(group: &Arc<Group<P>>, magazine: &Magazine<P>, capacity: u32, segment: Option<u32>) -> Option<Self> {
        let home = Home { group: Arc::downgrade(group), maker: magazine };
        let chunk = Chunk::new(&group.core, capacity as usize, segment, Some(home), magazine)?;
        // SAFETY: a new chunk has one unit, for its holder.
        Some(unsafe { Self::from_arc(chunk) })
    }

    /// Takes a hold up that was put down with [`Held::into_arc`].
    ///
    /// # Safety
    /// The unit that comes with `chunk` is the holder's, and nobody else has it.
    pub unsafe fn from_arc(chunk: Arc<Chunk<P>>) -> Self {
        Self(ManuallyDrop::new(chunk))
    }

    /// Puts the hold down, to take it up elsewhere.
    pub fn into_arc(self) -> Arc<Chunk<P>> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so the `Arc` is taken out once.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }

    /// Private, for whatever uses it borrows the hold exclusively or takes it.
    fn owned<R>(&self, f: impl FnOnce(&mut Owned<P>) -> R) -> R {
        // SAFETY: the holder is alone: see the module. `f` doesn't come back here.
        self.0.owned.with_mut(|o| f(unsafe { &mut *o }))
    }

    /// Shows the chunk.
    pub fn show(&self, show: &mut impl FnMut(&Chunk<P>)) {
        show(&self.0);
    }

    /// Attaches the chunk to a magazine, of the group that it belongs to.
    pub fn attach(&mut self, magazine: &Magazine<P>) {
        self.owned(|o| {
            debug_assert!(o.magazine.is_null(), "a chunk in the queue is attached to nobody");
            o.magazine = magazine;
        });
    }

    fn detach(&mut self) {
        self.owned(|o| o.magazine = ptr::null());
    }

    /// `remainingCapacity`: bytes that can still be cut off.
    pub fn remaining(&mut self) -> usize {
        let capacity = self.0.capacity();
        let Some(segments) = &self.0.segments else { return self.owned(|o| capacity - o.allocated) };
        let segment = segments.size as usize;
        let left = self.owned(|o| capacity - o.allocated);
        if left > segment {
            return left;
        }
        // SAFETY: the holder is the one consumer.
        let left = unsafe { segments.free.len() } * segment;
        self.owned(|o| o.allocated = capacity - left);
        left
    }

    /// `readInitInto`: cuts a block of `len` bytes off; with segments one of them, of which `len` are to be used. At most
    /// [`Held::remaining`]. `None` only if segments are missing: [`SegmentReturn::CountFirst`].
    pub fn take(&mut self, len: usize) -> Option<Block<P>> {
        let offset = match &self.0.segments {
            None => self.owned(|o| {
                assert!(len <= self.0.capacity() - o.allocated, "a block fits its chunk");
                let offset = o.allocated;
                o.allocated += len;
                offset
            }),
            Some(segments) => {
                let segment = segments.size as usize;
                assert!(len <= segment, "a block fits its segment");
                // SAFETY: the holder is the one consumer.
                let Some(offset) = (unsafe { segments.free.poll() }) else {
                    self.owned(|o| o.allocated = self.0.capacity());
                    return None;
                };
                self.owned(|o| o.allocated += segment);
                offset as usize
            }
        };
        // Relaxed: the holder has a unit, so the count isn't on its way to zero.
        self.0.units.fetch_add(1, Relaxed);
        Some(Block { chunk: Arc::clone(&self.0), offset, len })
    }

    /// `releaseFromMagazine`: the magazine is done with it.
    pub fn hand_back(mut self, group: &Arc<Group<P>>) {
        if self.0.segments.is_some()
            && group.core.config.spent_chunk == SpentChunk::Offered
            && !P::planted(Defect::SpentChunkDropped)
        {
            self.detach();
            drop(group.offer(self)); // refused: only the blocks that are left have it
        }
    }

    /// The hold is lost: nobody will ever have the chunk again (Netty #14348).
    pub fn lose(self, core: &Core<P>) {
        core.lost.add(1);
        drop(self.into_arc()); // the unit stays
    }

    /// Gives the unit up without looking whether it was the last.
    fn settle(self) {
        self.owned(|o| o.held = false);
        self.0.units.store(0, Relaxed); // Relaxed: nobody else has one
        drop(self.into_arc());
    }
}

impl<P: Platform> Drop for Held<P> {
    fn drop(&mut self) {
        self.owned(|o| o.held = false);
        // SAFETY: `drop` runs once, and not after `into_arc`.
        let chunk = unsafe { ManuallyDrop::take(&mut self.0) };
        chunk.release();
    }
}

/// A block of memory in use. It goes back when dropped, on whatever thread.
pub struct Block<P: Platform = Std> {
    chunk: Arc<Chunk<P>>,
    offset: usize,
    len: usize,
}

impl<P: Platform> Block<P> {
    /// A block with a chunk of its own; `None` when memory is exhausted.
    pub(super) fn one_off(core: &Arc<Core<P>>, len: usize) -> Option<Self> {
        core.one_offs.add(1);
        Some(Self { chunk: Chunk::new(core, len, None, None, ptr::null())?, offset: 0, len })
    }

    /// Its first byte. All of them are initialised: zero in new memory, and else what the last user left there.
    pub fn start(&self) -> NonNull<u8> {
        // SAFETY: the block lies in its chunk.
        unsafe { self.chunk.start.add(self.offset) }
    }

    /// Usable bytes (`maxFastCapacity`): at least what was asked for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no usable bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Another block, from the same allocator and area: for a buffer that moves (`reallocate`). Once the allocator is gone, from
    /// the platform.
    ///
    /// # Errors
    /// As [`AdaptiveBackend::allocate`](super::AdaptiveBackend::allocate).
    pub fn sibling(&self, request: Request) -> Result<Self, OutOfMemory> {
        let core = self.chunk.core.upgrade();
        if let Some((owner, area)) = core.as_ref().and_then(|core| Some((core.owner.upgrade()?, core.area))) {
            return owner.pool(area).allocate(request);
        }
        let core = core.unwrap_or_else(|| Core::new(AdaptiveConfig::default(), self.chunk.area, Weak::new()));
        Self::one_off(&core, request.capacity).ok_or(OutOfMemory { capacity: request.capacity })
    }

    /// Its area.
    pub fn area(&self) -> Area {
        self.chunk.area
    }

    /// Number of its chunk, in order of creation within its area.
    pub fn chunk(&self) -> u64 {
        self.chunk.number
    }

    /// Bytes of its chunk.
    pub fn chunk_capacity(&self) -> usize {
        self.chunk.capacity()
    }

    /// Where it starts in its chunk.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl<P: Platform> Drop for Block<P> {
    fn drop(&mut self) {
        self.chunk.release_block(self.offset);
    }
}

impl<P: Platform> core::fmt::Debug for Block<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { chunk, offset, len } = self;
        f.debug_struct("Block").field("chunk", &chunk.number).field("offset", offset).field("len", len).finish()
    }
}

/// The inside of a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkInspection {
    /// Its number, in order of creation within its area.
    pub number: u64,
    /// Bytes.
    pub capacity: usize,
    /// Bytes of a segment; `None`: blocks are cut off one after the other.
    pub segment: Option<u32>,
    /// Made for one block only.
    pub one_off: bool,
    /// A magazine or a queue has it.
    pub held: bool,
    /// Blocks in use.
    pub blocks: u32,
    /// Bytes cut off; with segments, those that its holder thinks in use.
    pub allocated: usize,
    /// Offsets of the free segments, in the order in which they will be used.
    pub free: Vec<u32>,
}

impl<P: Platform> Chunk<P> {
    /// Its inside.
    ///
    /// # Safety
    /// No thread is inside the allocator, and what they did there happened before.
    pub unsafe fn inspect(&self) -> ChunkInspection {
        // SAFETY: by the contract of this function.
        let ((units, held, allocated), free) = unsafe {
            let free = self.segments.as_ref().map(|s| s.free.offsets());
            (self.state(), free.unwrap_or_default())
        };
        ChunkInspection {
            number: self.number,
            capacity: self.capacity(),
            segment: self.segments.as_ref().map(|s| s.size),
            one_off: self.is_one_off(),
            held,
            blocks: units.saturating_sub(u32::from(held)),
            allocated,
            free,
        }
    }
}
