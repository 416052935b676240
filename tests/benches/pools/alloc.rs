//! Allocators, called through their own types, so that all are measured in one process.

use crate::measure::Source;
use std::alloc::{GlobalAlloc, Layout, handle_alloc_error};

/// Memory of `SIZE` bytes from an allocator, as a `Box` takes it; its first word is touched if `TOUCH`.
pub struct Boxes<A: 'static, const SIZE: usize, const TOUCH: bool>(pub &'static A);

impl<A, const SIZE: usize, const TOUCH: bool> Boxes<A, SIZE, TOUCH> {
    const LAYOUT: Layout = match Layout::from_size_align(SIZE, 8) {
        Ok(layout) => layout,
        Err(_) => panic!("a size"),
    };
}

/// One of them.
pub struct Boxed<A: GlobalAlloc + Sync + 'static, const SIZE: usize, const TOUCH: bool> {
    start: *mut u8,
    allocator: &'static A,
}

// SAFETY: an exclusive pointer to plain bytes.
unsafe impl<A: GlobalAlloc + Sync, const SIZE: usize, const TOUCH: bool> Send for Boxed<A, SIZE, TOUCH> {}

impl<A: GlobalAlloc + Sync + 'static, const SIZE: usize, const TOUCH: bool> Source for Boxes<A, SIZE, TOUCH> {
    type Held<'a> = Boxed<A, SIZE, TOUCH>;

    #[inline]
    fn get(&self) -> Self::Held<'_> {
        // SAFETY: the size is not zero.
        let start = unsafe { self.0.alloc(Self::LAYOUT) };
        if start.is_null() {
            handle_alloc_error(Self::LAYOUT);
        }
        if TOUCH {
            // SAFETY: it is ours and has room for a word.
            unsafe { start.cast::<u64>().write(0) };
        }
        Boxed { start, allocator: self.0 }
    }

    #[inline]
    fn word<'a, 'b>(held: &'b mut Self::Held<'a>) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        // SAFETY: the memory is ours and aligned for a word, which `get` has written.
        TOUCH.then(|| unsafe { &mut *held.start.cast::<u64>() })
    }
}

impl<A: GlobalAlloc + Sync, const SIZE: usize, const TOUCH: bool> Drop for Boxed<A, SIZE, TOUCH> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `get` allocated it with this layout from this allocator.
        unsafe { self.allocator.dealloc(self.start, Boxes::<A, SIZE, TOUCH>::LAYOUT) };
    }
}
