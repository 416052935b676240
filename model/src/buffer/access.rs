//! How bytes are reached.
//!
//! **Invariant: whoever touches memory holds a pin on the shell of its handle and one on the root's, or is the only one who
//! could.**
//!
//! ```text
//!   sole handle, count one, nobody inside, &mut: no pin needed
//!   otherwise, reading:                          a pin on the shell, and one on the root if that is another
//!              writing: the same, but exclusive, on each shell from the handle's to the root, each with a count of one
//!              moving:  an exclusive pin on the root, whatever its count
//! ```

use super::shell::{Content, Shell};
use super::{Buffer, BufferError};
use crate::Platform;
use crate::allocator::pooled::BlockPlace;
use crate::platform::{AtomicOps, CellOps};
use crate::refcnt::IllegalCount;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::Ordering::Relaxed;

/// What an access asks of each shell on its way.
type Ask<P> = fn(&Shell<P>) -> Result<(), IllegalCount>;

/// The shells pinned, in the order in which they were.
struct Pins<P: Platform> {
    own: Option<NonNull<Shell<P>>>,
    root: Option<NonNull<Shell<P>>>,
    /// Between the two.
    between: Vec<NonNull<Shell<P>>>,
}

impl<P: Platform> Pins<P> {
    const NONE: Self = Self { own: None, root: None, between: Vec::new() };
}

impl<P: Platform> Drop for Pins<P> {
    fn drop(&mut self) {
        // From the root on: each shell keeps the next one towards the root, as long as it is pinned itself.
        let pinned = self.root.into_iter().chain(self.between.drain(..).rev()).chain(self.own);
        for shell in pinned {
            // SAFETY: the shell is kept by a handle: the first one by the one that the access borrows, each other one by the
            // content of a shell that is pinned still.
            unsafe {
                if shell.as_ref().count.unpin() {
                    Shell::deallocate(shell);
                }
            }
        }
    }
}

/// An access that goes on.
pub(super) struct Access<'a, P: Platform> {
    /// The first byte of the handle's window.
    pub(super) start: NonNull<u8>,
    /// Bytes in the window.
    pub(super) capacity: u32,
    /// `None`: the empty buffer has none.
    root: Option<NonNull<Shell<P>>>,
    _pins: Pins<P>,
    _handle: PhantomData<&'a Buffer<P>>,
}

impl<P: Platform> Access<'_, P> {
    /// The shell with the memory; the empty buffer has none.
    pub(super) fn root(&self) -> Option<&Shell<P>> {
        // SAFETY: kept by the handle, or by the content of its shell, which is pinned.
        self.root.map(|root| unsafe { root.as_ref() })
    }

    /// Bytes of the whole block of memory.
    pub(super) fn block_length(&self) -> usize {
        let length = |root: &Shell<P>| {
            // SAFETY: pinned, or the handle is the only one.
            root.content.with(|c| if let Content::Memory(memory) = unsafe { &*c } { memory.len() } else { 0 })
        };
        self.root().map_or(0, length)
    }

    /// Where the block is, if it is pooled.
    pub(super) fn place(&self) -> Option<BlockPlace> {
        // SAFETY: pinned, or the handle is the only one.
        self.root()?.content.with(|c| if let Content::Memory(memory) = unsafe { &*c } { memory.place() } else { None })
    }

    fn check(&self, at: usize, length: usize) -> Result<(), BufferError> {
        let capacity = self.capacity as usize;
        let fits = at.checked_add(length).is_some_and(|end| end <= capacity);
        if fits { Ok(()) } else { Err(BufferError::Range { at, length, capacity }) }
    }

    /// Bytes of the window.
    #[inline]
    pub(super) fn slice(&self, at: usize, length: usize) -> Result<&[u8], BufferError> {
        self.check(at, length)?;
        // SAFETY: within the window, which is within initialised memory, which the access keeps and keeps writers out of.
        Ok(unsafe { slice::from_raw_parts(self.start.add(at).as_ptr(), length) })
    }

    /// Bytes of the window, of an access that excludes all others.
    #[inline]
    pub(super) fn slice_mut(&mut self, at: usize, length: usize) -> Result<&mut [u8], BufferError> {
        self.check(at, length)?;
        // SAFETY: as in `slice`; and only `enter_to_write` gives an access that its holder calls this on.
        Ok(unsafe { slice::from_raw_parts_mut(self.start.add(at).as_ptr(), length) })
    }
}

impl<P: Platform> Buffer<P> {
    /// To read.
    #[track_caller]
    pub(super) fn enter(&self) -> Result<Access<'_, P>, BufferError> {
        self.enter_asking(|shell| shell.count.pin(), false)
    }

    /// To read, with the handle for itself.
    #[track_caller]
    #[inline]
    pub(super) fn enter_alone(&mut self) -> Result<Access<'_, P>, BufferError> {
        // SAFETY: the access borrows `self` as this function does.
        match unsafe { self.sole() } {
            Some(access) => access,
            None => self.enter(),
        }
    }

    /// To write.
    #[track_caller]
    #[inline]
    pub(super) fn enter_to_write(&mut self) -> Result<Access<'_, P>, BufferError> {
        if self.is_read_only() {
            return Err(BufferError::ReadOnly);
        }
        // SAFETY: the access borrows `self` as this function does.
        match unsafe { self.sole() } {
            Some(access) => access,
            None => self.enter_asking(|shell| shell.count.pin_to_write(), true),
        }
    }

    /// Without a pin, if nobody else could be there.
    ///
    /// # Safety
    /// The caller has borrowed the handle exclusively, for as long as the access lives.
    #[inline]
    unsafe fn sole(&self) -> Option<Result<Access<'_, P>, BufferError>> {
        let shell = self.shell()?;
        if !shell.count.is_sole() {
            return None;
        }
        // SAFETY: this is the only handle, it is borrowed exclusively, and nobody is inside; so nobody else is in the cell.
        let start = shell.content.with(|c| match unsafe { &*c } {
            Content::Memory(memory) => Some(memory.start()),
            _ => None,
        })?;
        Some(self.window(start, shell, Pins::NONE))
    }

    #[track_caller]
    fn enter_asking(&self, ask: Ask<P>, whole_chain: bool) -> Result<Access<'_, P>, BufferError> {
        let mut pins = Pins::NONE;
        let Some(own) = self.shell else {
            let (start, root) = (NonNull::dangling(), None);
            return Ok(Access { start, capacity: 0, root, _pins: pins, _handle: PhantomData });
        };
        let mut next = own;
        loop {
            // SAFETY: kept by our handle, or by the content of the shell pinned last.
            let shell = unsafe { next.as_ref() };
            ask(shell).inspect_err(|refused| shell.note_if_dead(refused))?;
            if pins.own.is_none() {
                pins.own = Some(next);
            } else if whole_chain {
                pins.between.push(next);
            } else {
                pins.root = Some(next);
            }
            // SAFETY: the pin keeps the content as it is.
            let found = shell.content.with(|c| match unsafe { &*c } {
                Content::Memory(memory) => Ok(memory.start()),
                Content::Derived { parent, root } => {
                    let up = if whole_chain { parent } else { root.as_ref().unwrap_or(parent) };
                    Err(up.shell.expect("what is derived has a parent"))
                }
                Content::Nothing | Content::Holding { .. } => unreachable!("a pinned buffer has its content"),
            });
            match found {
                Ok(start) => return self.window(start, shell, pins),
                Err(up) => next = up,
            }
        }
    }

    /// The handle's part of the memory.
    #[inline]
    fn window(&self, start: NonNull<u8>, root: &Shell<P>, pins: Pins<P>) -> Result<Access<'_, P>, BufferError> {
        let all = root.capacity.load(Relaxed); // ordered by the pin, as `content` is
        let capacity = self.view.length.unwrap_or(all);
        if u64::from(self.view.offset) + u64::from(capacity) > u64::from(all) {
            return Err(BufferError::range(self.view.offset, capacity, all)); // the buffer has become smaller than its slice
        }
        // SAFETY: `offset` is within the memory, whose length is at least the capacity.
        let start = unsafe { start.add(self.view.offset as usize) };
        Ok(Access { start, capacity, root: Some(NonNull::from(root)), _pins: pins, _handle: PhantomData })
    }

    /// Sets the capacity of the root, and moves the bytes if they don't fit any more or would use too little of their block.
    #[track_caller]
    pub(super) fn resize(&mut self, capacity: u32) -> Result<(), BufferError> {
        let to_move: Ask<P> =
            |shell| if shell.class.is_root() { shell.count.pin_exclusively() } else { shell.count.pin() };
        // SAFETY: `self` is borrowed exclusively, and the access ends here.
        let access = match unsafe { self.sole() } {
            Some(access) => access?,
            None => self.enter_asking(to_move, false)?,
        };
        let Some(root) = access.root() else { return Err(BufferError::Fixed) };
        let old = root.capacity.load(Relaxed) as usize; // ordered by the pin
        let new = capacity as usize;
        // SAFETY: the pin excludes everybody else, or there is nobody else.
        root.content.with_mut(|c| match unsafe { &mut *c } {
            Content::Memory(memory) if memory.fits(old, new) => Ok::<_, BufferError>(()),
            Content::Memory(memory) => {
                let moved = memory.sibling(new)?;
                // SAFETY: both blocks are exclusive, so that they don't overlap, and at least as long.
                unsafe { moved.start().copy_from_nonoverlapping(memory.start(), old.min(new)) };
                drop(core::mem::replace(memory, moved));
                Ok(())
            }
            _ => unreachable!("a root has memory"),
        })?;
        root.capacity.store(capacity, Relaxed); // published by the end of the pin
        Ok(())
    }
}
