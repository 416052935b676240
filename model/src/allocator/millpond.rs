//! Our own backend: a recycler of whole blocks for each size.
//!
//! **Invariant: a block is as large as its size class, and belongs to the pool of the thread that allocated it**; so an allocation is
//! a pop from an array, a release a push or a place in a batch, and neither touches the bytes.
//!
//! ```text
//!   capacity ──> class: 16, 32, 48, 64, 80, 96, 112, 128, 160, ... four sizes a doubling, as Netty's from 4.1.52 on
//!                  │
//!                  └─> Recycler<Chunk> ──> Chunk: memory from the platform, for as long as the recycler keeps it
//!   larger than 1 MiB: straight from the platform
//! ```
//!
//! What it keeps is bounded for each thread and class, and given back when it isn't used: see
//! [`Generation::HandOver`](crate::recycler::Generation::HandOver).

use crate::memory::{Area, OutOfMemory, UnpooledBlock};
use crate::observe::Kind;
use crate::platform::AtomicOps;
use crate::preset::Preset;
use crate::recycler::{Domain, Pooled, Recycler, RecyclerConfig};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{AcqRel, Acquire};

/// The quantum: the first classes are its multiples.
const QUANTUM: usize = 16;
/// The largest class: 1 MiB.
const LARGEST: usize = 1 << 20;
/// Bytes that a thread's pool of one class keeps at most, but never fewer than [`FEWEST`] blocks or more than [`MOST`].
const KEPT: usize = 32 << 20;
const FEWEST: usize = 16;
const MOST: usize = 4096;
/// Number of classes.
const CLASSES: usize = class_of(LARGEST) + 1;
/// Where blocks start at least.
const ALIGN: usize = 16;

/// The class of a capacity from 1 to [`LARGEST`].
#[inline]
const fn class_of(capacity: usize) -> usize {
    let last = if capacity == 0 { 0 } else { capacity - 1 };
    if last < 4 * QUANTUM {
        return last / QUANTUM;
    }
    // `last` is at least 64: its highest bit says the doubling, the next two the class in it.
    let bit = last.ilog2() as usize;
    4 * (bit - 6) + 4 + (last >> (bit - 2)) - 4
}

/// The size of a class.
const fn size_of_class(class: usize) -> usize {
    if class < 4 {
        return QUANTUM * (class + 1);
    }
    let (doubling, part) = ((class - 4) / 4, (class - 4) % 4);
    (5 + part) << (doubling + 4)
}

const _: () = {
    let mut class = 0;
    while class < CLASSES {
        assert!(class_of(size_of_class(class)) == class && class_of(size_of_class(class) + 1) == class + 1);
        class += 1;
    }
    assert!(size_of_class(CLASSES - 1) == LARGEST);
};

/// What is pooled: a block's memory, once it has some.
struct Chunk<P: Platform> {
    start: Option<NonNull<u8>>,
    size: usize,
    /// To find another size.
    backend: Weak<Classes<P>>,
}

// SAFETY: the memory is the chunk's alone.
unsafe impl<P: Platform> Send for Chunk<P> {}
// SAFETY: a shared chunk gives away a pointer and a length; who uses the pointer has to say why.
unsafe impl<P: Platform> Sync for Chunk<P> {}

/// The layout of a block of a class.
fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).unwrap_or_else(|_| unreachable!("a class is small"))
}

impl<P: Platform> Drop for Chunk<P> {
    fn drop(&mut self) {
        if let Some(start) = self.start {
            // SAFETY: it came from `P::alloc` with this layout, and its only owner is dropped.
            unsafe { P::dealloc(start, layout(self.size)) };
        }
    }
}

/// A block of a size class.
pub struct MillpondBlock<P: Platform = Std>(Pooled<Chunk<P>, P>);

impl<P: Platform> MillpondBlock<P> {
    /// Its first byte. All of them are initialised.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.0.start.unwrap_or_else(|| unreachable!("a block has memory"))
    }

    /// Bytes that can be used: the size of its class.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.size
    }

    /// Never: a class has a size.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// A block of another size from the same backend; `None` when that is gone, or has none so large.
    pub(crate) fn sibling(&self, capacity: usize) -> Option<Result<Self, OutOfMemory>> {
        let backend = self.0.backend.upgrade()?;
        Classes::allocate(&backend, capacity)
    }
}

/// The recyclers, each made when it is first needed.
struct Classes<P: Platform> {
    domain: Domain<P>,
    recyclers: [P::Atomic<*mut Recycler<Chunk<P>, P>>; CLASSES],
    _chunks: PhantomData<Recycler<Chunk<P>, P>>,
}

impl<P: Platform> Classes<P> {
    /// A chunk of the class of `capacity`, as it comes; `None` when no class is so large, or its recycler isn't made yet.
    #[inline(always)]
    #[track_caller]
    fn get(&self, capacity: usize) -> Option<Pooled<Chunk<P>, P>> {
        if capacity > LARGEST {
            return None;
        }
        // Acquire: pairs with the Release in `make`; the recycler is complete.
        let recycler = self.recyclers[class_of(capacity)].load(Acquire);
        // SAFETY: a recycler that is there stays as long as `self`.
        Some(unsafe { recycler.as_ref() }?.get())
    }

    /// A block of the class of `capacity`; `None` when no class is so large.
    #[track_caller]
    fn allocate(self: &Arc<Self>, capacity: usize) -> Option<Result<MillpondBlock<P>, OutOfMemory>> {
        if capacity > LARGEST {
            return None;
        }
        let chunk = self.get(capacity).unwrap_or_else(|| self.make(class_of(capacity)).get());
        if chunk.start.is_some() {
            return Some(Ok(MillpondBlock(chunk)));
        }
        Some(self.fill(chunk, capacity))
    }

    /// Gives a new chunk its memory.
    #[cold]
    #[track_caller]
    fn fill(&self, mut chunk: Pooled<Chunk<P>, P>, capacity: usize) -> Result<MillpondBlock<P>, OutOfMemory> {
        let layout = layout(chunk.size);
        let start = P::alloc(layout).or_else(|| {
            // What this thread keeps and hasn't used lately may be what is missing.
            self.domain.trim();
            self.domain.trim();
            P::alloc(layout)
        });
        match start {
            Some(start) => {
                chunk.start = Some(start);
                Ok(MillpondBlock(chunk))
            }
            None => {
                chunk.forget();
                Err(OutOfMemory { capacity })
            }
        }
    }

    #[cold]
    fn make(self: &Arc<Self>, class: usize) -> &Recycler<Chunk<P>, P> {
        let size = size_of_class(class);
        let backend = Arc::downgrade(self);
        let kept = (KEPT / size).clamp(FEWEST, MOST) as u32;
        let config = RecyclerConfig { max_capacity: kept, ..Preset::Millpond.into() };
        let make = move || Chunk { start: None, size, backend: Weak::clone(&backend) };
        let made = Box::into_raw(Box::new(Recycler::new_in(&self.domain, Kind::CacheEntry, config, make)));
        // Release: pairs with the Acquire in `allocate`; Acquire on failure: the winner's is complete.
        match self.recyclers[class].compare_exchange(ptr::null_mut(), made, AcqRel, Acquire) {
            // SAFETY: it is there now, and stays as long as `self`.
            Ok(_) => unsafe { &*made },
            Err(winner) => {
                // SAFETY: ours is nobody's, and the winner's stays as long as `self`.
                unsafe {
                    drop(Box::from_raw(made));
                    &*winner
                }
            }
        }
    }
}

impl<P: Platform> Drop for Classes<P> {
    fn drop(&mut self) {
        for recycler in &mut self.recyclers {
            let recycler = *recycler.get_mut();
            if !recycler.is_null() {
                // SAFETY: `make` boxed it, and nobody else is here.
                drop(unsafe { Box::from_raw(recycler) });
            }
        }
    }
}

/// See the [module](self). Areas are the same to it.
pub struct MillpondBackend<P: Platform = Std>(Arc<Classes<P>>);

/// What the backend gives.
pub enum MillpondMemory<P: Platform = Std> {
    /// Up to 1 MiB.
    Pooled(MillpondBlock<P>),
    /// More.
    Unpooled(UnpooledBlock<P>),
}

impl<P: Platform> MillpondBackend<P> {
    /// A backend whose blocks are recycled in `domain`.
    pub fn new(domain: &Domain<P>) -> Self {
        let recyclers = core::array::from_fn(|_| P::Atomic::new(ptr::null_mut()));
        Self(Arc::new(Classes { domain: domain.clone(), recyclers, _chunks: PhantomData }))
    }

    /// A block of at least `capacity` bytes that a pool has, most often. What isn't one is [given back](Self::allocate).
    #[inline(always)]
    #[track_caller]
    pub(crate) fn reuse(&self, capacity: usize) -> Option<MillpondBlock<P>> {
        let chunk = self.0.get(capacity)?;
        // A new chunk without memory goes back to its pool: `allocate` finds it there.
        chunk.start.is_some().then_some(MillpondBlock(chunk))
    }

    /// A block of at least `capacity` bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the platform has none, even after this thread has given up what it keeps.
    #[cold]
    #[track_caller]
    pub fn allocate(&self, capacity: usize, area: Area) -> Result<MillpondMemory<P>, OutOfMemory> {
        match Classes::allocate(&self.0, capacity) {
            Some(block) => block.map(MillpondMemory::Pooled),
            None => UnpooledBlock::allocate(capacity, area).map(MillpondMemory::Unpooled),
        }
    }
}
