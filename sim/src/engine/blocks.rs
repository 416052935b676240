//! Memory of the simulated world.
//!
//! **Invariant: every block of a running execution is in its engine's list**, so that an abandoned execution leaves nothing
//! behind.
//!
//! ```text
//!   host block:  | padding | header: prev, next, layout | what the program sees ... |
//! ```
//!
//! The header makes giving a block back two pointer writes, with no look-up.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

struct Header {
    previous: Cell<*mut Header>,
    next: Cell<*mut Header>,
    /// Of the execution in whose list it is; 0: in none. Atomic, for the one field that a stranger on another OS thread may
    /// read; relaxed, because a stranger only compares it.
    stamp: AtomicU32,
    /// Start of the host block.
    start: NonNull<u8>,
    /// Of the host block.
    layout: Layout,
}

/// The blocks of one execution.
pub(super) struct Blocks {
    first: Cell<*mut Header>,
    bytes: Cell<u64>,
}

/// The layout of the host block, and the offset of the program's part in it.
fn host_layout(layout: Layout) -> Option<(Layout, usize)> {
    let (whole, offset) = Layout::new::<Header>().extend(layout).ok()?;
    // The header goes right in front of the program's part: keep its alignment.
    debug_assert_eq!(offset % align_of::<Header>(), 0, "an offset is a multiple of the larger alignment");
    Some((whole.pad_to_align(), offset))
}

impl Blocks {
    pub fn new() -> Self {
        Self { first: Cell::new(null_mut()), bytes: Cell::new(0) }
    }

    /// Bytes outstanding, as the program counts them.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// A block in the list.
    pub fn allocate(&self, layout: Layout, stamp: u32) -> Option<NonNull<u8>> {
        let (whole, offset) = host_layout(layout)?;
        // SAFETY: `whole` contains a header, so its size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(whole) })?;
        let next = self.first.get();
        let header = Header {
            previous: Cell::new(null_mut()),
            next: Cell::new(next),
            stamp: AtomicU32::new(stamp),
            start,
            layout: whole,
        };
        // SAFETY: `offset` is within the block and a multiple of both alignments, and the header fits in front of it: that is
        // how `extend` computed it.
        let (program, place) = unsafe {
            let program = start.add(offset);
            (program, program.cast::<Header>().sub(1))
        };
        // SAFETY: `place` is inside the block, aligned, and not in use by anyone yet. `next` is null or a header in this list,
        // whose block is live.
        unsafe {
            place.write(header);
            if let Some(next) = next.as_ref() {
                next.previous.set(place.as_ptr());
            }
        }
        self.first.set(place.as_ptr());
        self.bytes.set(self.bytes.get() + layout.size() as u64);
        Some(program)
    }

    /// Takes a block out of the list and gives it to the host. A block in the list of another execution, which may be
    /// running on another OS thread, stays where it is.
    ///
    /// # Safety
    /// `program` came from `allocate` of some `Blocks` with `layout`, and was not freed. `stamp` is that of the execution
    /// that these `Blocks` belong to.
    pub unsafe fn free(&self, program: NonNull<u8>, layout: Layout, stamp: u32) {
        let place = program.cast::<Header>().as_ptr().wrapping_sub(1);
        // SAFETY: `allocate` put a header right in front of the block; neighbours in the list are live.
        let (start, whole, listed) = unsafe {
            let header = &*place;
            if header.stamp.load(Ordering::Relaxed) != 0 && header.stamp.load(Ordering::Relaxed) != stamp {
                return;
            }
            let (previous, next) = (header.previous.get(), header.next.get());
            if let Some(next) = next.as_ref() {
                next.previous.set(previous);
            }
            if let Some(previous) = previous.as_ref() {
                previous.next.set(next);
            }
            if self.first.get() == place {
                self.first.set(next);
            }
            (header.start, header.layout, header.stamp.load(Ordering::Relaxed) != 0)
        };
        if listed {
            self.bytes.set(self.bytes.get() - layout.size() as u64);
        }
        // SAFETY: `start` came from `alloc_zeroed` with this layout, and the caller gives the block up.
        unsafe { dealloc(start.as_ptr(), whole) };
    }

    /// Lets go of all blocks: whoever still has one gives it back to the host by itself.
    pub fn release(&self) {
        let mut at = self.first.replace(null_mut());
        // SAFETY: the list holds live headers.
        while let Some(header) = unsafe { at.as_ref() } {
            at = header.next.replace(null_mut());
            header.previous.set(null_mut());
            header.stamp.store(0, Ordering::Relaxed);
        }
        self.bytes.set(0);
    }

    /// Gives all blocks to the host.
    ///
    /// # Safety
    /// Nobody uses any of them again.
    pub unsafe fn free_all(&self) {
        let mut at = self.first.replace(null_mut());
        // SAFETY: the list holds live headers, each freed once, after its link was read.
        while let Some(header) = unsafe { at.as_ref() } {
            let (start, whole) = (header.start, header.layout);
            at = header.next.get();
            // SAFETY: `start` came from `alloc_zeroed` with this layout, and by the contract nobody uses the block.
            unsafe { dealloc(start.as_ptr(), whole) };
        }
        self.bytes.set(0);
    }
}
