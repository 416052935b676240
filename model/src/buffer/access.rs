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
//!   in a composite: the same again for each component that is reached, when it is reached
//! ```

use super::shell::{Content, Shell};
use super::{Buffer, BufferError};
use crate::Platform;
use crate::allocator::pooled::BlockPlace;
use crate::leak::Access as Use;
use crate::platform::{AtomicOps, CellOps};
use crate::refcnt::IllegalCount;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::Ordering::Relaxed;

/// What an access asks of each shell on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    Write,
    /// To change the root's content.
    Move,
}

impl Mode {
    fn pin<P: Platform>(self, shell: &Shell<P>) -> Result<(), IllegalCount> {
        match self {
            Self::Write => shell.count.pin_to_write(),
            Self::Move if shell.class.is_root() => shell.count.pin_exclusively(),
            Self::Read | Self::Move => shell.count.pin(),
        }
    }
}

/// The shells pinned, each once, in the order in which they were: few, unless the buffer has several components.
pub(super) struct Pins<P: Platform> {
    few: [Option<NonNull<Shell<P>>>; 3],
    more: Vec<NonNull<Shell<P>>>,
    /// The same as `more`, to look them up: there may be more components than a shell may have pins.
    known: BTreeSet<NonNull<Shell<P>>>,
}

impl<P: Platform> Pins<P> {
    const NONE: Self = Self { few: [None; 3], more: Vec::new(), known: BTreeSet::new() };

    fn has(&self, shell: NonNull<Shell<P>>) -> bool {
        self.few.contains(&Some(shell)) || self.known.contains(&shell)
    }

    fn push(&mut self, shell: NonNull<Shell<P>>) {
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(shell),
            None => {
                self.more.push(shell);
                self.known.insert(shell);
            }
        }
    }

    /// Pins `shell` and those on the way to its root, and gives the root. The bytes of what was derived are reached from there,
    /// but a writer asks each shell.
    ///
    /// # Safety
    /// The shell is kept by a handle that stays until these pins end: the caller's, or one in the content of a pinned shell.
    #[track_caller]
    pub(super) unsafe fn climb(
        &mut self,
        mode: Mode,
        shell: NonNull<Shell<P>>,
    ) -> Result<NonNull<Shell<P>>, IllegalCount> {
        let mut next = shell;
        loop {
            // SAFETY: kept by the caller's handle, or by the content of the shell pinned last.
            let shell = unsafe { next.as_ref() };
            if !self.has(next) {
                mode.pin(shell).inspect_err(|refused| shell.note_if_dead(refused))?;
                self.push(next);
            }
            // SAFETY: the pin keeps the content as it is.
            let up = shell.content.with(|c| match unsafe { &*c } {
                Content::Memory(_) | Content::Composite(_) => None,
                Content::Derived { parent, root } => {
                    let up = if mode == Mode::Write { parent } else { root.as_ref().unwrap_or(parent) };
                    Some(up.shell.expect("what is derived has a parent"))
                }
                Content::Nothing | Content::Holding { .. } => unreachable!("a pinned buffer has its content"),
            });
            match up {
                Some(up) => next = up,
                None => return Ok(next),
            }
        }
    }
}

impl<P: Platform> Drop for Pins<P> {
    #[inline]
    fn drop(&mut self) {
        if self.few[0].is_some() {
            self.end(); // places are taken in order, so that there is none otherwise
        }
    }
}

impl<P: Platform> Pins<P> {
    fn end(&mut self) {
        // The last one first: each shell keeps the next ones, as long as it is pinned itself.
        let few = self.few.iter_mut().rev().filter_map(Option::take);
        for shell in self.more.drain(..).rev().chain(few) {
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
    start: NonNull<u8>,
    /// Bytes from there on in one piece: the capacity, or 0 in a composite.
    direct: u32,
    /// Bytes in the window.
    pub(super) capacity: u32,
    /// Of the window, in its root.
    pub(super) offset: u32,
    pub(super) mode: Mode,
    /// `None`: the empty buffer has none.
    root: Option<NonNull<Shell<P>>>,
    /// Those of components are added when they are reached.
    pub(super) pins: RefCell<Pins<P>>,
    _handle: PhantomData<&'a Buffer<P>>,
}

impl<P: Platform> Access<'_, P> {
    /// The shell with the memory; the empty buffer has none.
    pub(super) fn root(&self) -> Option<&Shell<P>> {
        // SAFETY: kept by the handle, or by the content of its shell, which is pinned.
        self.root.map(|root| unsafe { root.as_ref() })
    }

    /// The access without the borrow that it began with.
    ///
    /// # Safety
    /// It ends before the handle that it began with.
    pub(super) unsafe fn unbound(self) -> Access<'static, P> {
        let Self { start, direct, capacity, offset, mode, root, pins, .. } = self;
        Access { start, direct, capacity, offset, mode, root, pins, _handle: PhantomData }
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
    pub(super) fn block_place(&self) -> Option<BlockPlace> {
        // SAFETY: pinned, or the handle is the only one.
        self.root()?.content.with(|c| if let Content::Memory(memory) = unsafe { &*c } { memory.place() } else { None })
    }

    pub(super) fn check(&self, at: usize, length: usize) -> Result<(), BufferError> {
        let capacity = self.capacity as usize;
        let fits = at.checked_add(length).is_some_and(|end| end <= capacity);
        if fits { Ok(()) } else { Err(BufferError::Range { at, length, capacity }) }
    }

    /// Whether these bytes are of the window and all in one piece that is known.
    #[inline]
    fn is_direct(&self, at: usize, length: usize) -> bool {
        at.checked_add(length).is_some_and(|end| end <= self.direct as usize)
    }

    /// Where `length` bytes are.
    #[inline]
    fn place(&self, at: usize, length: usize) -> Result<NonNull<u8>, BufferError> {
        if !self.is_direct(at, length) {
            return self.far_place(at, length);
        }
        // SAFETY: within the window, which is within the memory.
        Ok(unsafe { self.start.add(at) })
    }

    /// Bytes of the window that are in one piece.
    #[inline]
    pub(super) fn slice(&self, at: usize, length: usize) -> Result<&[u8], BufferError> {
        let start = self.place(at, length)?;
        P::touches(start, length, false);
        // SAFETY: initialised memory, which the access keeps and keeps writers out of.
        Ok(unsafe { slice::from_raw_parts(start.as_ptr(), length) })
    }

    /// Bytes of the window that are in one piece, of an access that excludes all others.
    #[inline]
    pub(super) fn slice_mut(&mut self, at: usize, length: usize) -> Result<&mut [u8], BufferError> {
        let start = self.place(at, length)?;
        P::touches(start, length, true);
        // SAFETY: as in `slice`; and only `enter_to_write` gives an access that its holder calls this on.
        Ok(unsafe { slice::from_raw_parts_mut(start.as_ptr(), length) })
    }

    /// Copies bytes of the window out, also from several pieces.
    #[inline]
    pub(super) fn read_at(&self, at: usize, to: &mut [u8]) -> Result<(), BufferError> {
        if !self.is_direct(at, to.len()) {
            return self.far_read(at, to);
        }
        to.copy_from_slice(self.slice(at, to.len())?);
        Ok(())
    }

    /// Lets `fill` write `length` bytes of the window, piece by piece: each with its distance from the first.
    #[inline]
    pub(super) fn write_at(
        &mut self,
        at: usize,
        length: usize,
        mut fill: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), BufferError> {
        if !self.is_direct(at, length) {
            return self.far_write(at, length, &mut fill);
        }
        fill(0, self.slice_mut(at, length)?);
        Ok(())
    }
}

impl<P: Platform> Buffer<P> {
    /// To read.
    #[track_caller]
    pub(super) fn enter(&self) -> Result<Access<'_, P>, BufferError> {
        self.record(Use::Used);
        self.reach()
    }

    /// As `enter`, as a part of an operation that the leak detector has been told of.
    #[track_caller]
    pub(super) fn reach(&self) -> Result<Access<'_, P>, BufferError> {
        self.enter_in(Mode::Read)
    }

    /// To read, with the handle for itself.
    #[track_caller]
    #[inline]
    pub(super) fn enter_alone(&mut self) -> Result<Access<'_, P>, BufferError> {
        self.record(Use::Used);
        // SAFETY: the access borrows `self` as this function does.
        match unsafe { self.sole() } {
            Some(access) => access,
            None => self.reach(),
        }
    }

    /// To write.
    #[track_caller]
    #[inline]
    pub(super) fn enter_to_write(&mut self) -> Result<Access<'_, P>, BufferError> {
        if self.is_read_only() {
            return Err(BufferError::ReadOnly);
        }
        self.record(Use::Used);
        self.reach_to_write()
    }

    /// As `enter_to_write` of a handle that isn't only for reading, as a part of an operation that the leak detector has been
    /// told of.
    #[track_caller]
    #[inline]
    pub(super) fn reach_to_write(&mut self) -> Result<Access<'_, P>, BufferError> {
        // SAFETY: the access borrows `self` as this function does.
        match unsafe { self.sole() } {
            Some(access) => access,
            None => self.enter_in(Mode::Write),
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
        Some(self.window(Mode::Write, Some(start), shell, Pins::NONE))
    }

    /// To change the content of the root.
    #[track_caller]
    pub(super) fn enter_to_move(&mut self) -> Result<Access<'_, P>, BufferError> {
        self.enter_in(Mode::Move)
    }

    #[track_caller]
    fn enter_in(&self, mode: Mode) -> Result<Access<'_, P>, BufferError> {
        let mut pins = Pins::NONE;
        let Some(own) = self.shell else {
            let (start, pins) = (NonNull::dangling(), RefCell::new(pins));
            return Ok(Access {
                start,
                direct: 0,
                capacity: 0,
                offset: 0,
                mode,
                root: None,
                pins,
                _handle: PhantomData,
            });
        };
        // SAFETY: our handle keeps the shell, and the access borrows it.
        let root = unsafe { pins.climb(mode, own)?.as_ref() };
        // SAFETY: the pin keeps the content as it is.
        let start = root.content.with(|c| match unsafe { &*c } {
            Content::Memory(memory) => Some(memory.start()),
            _ => None,
        });
        self.window(mode, start, root, pins)
    }

    /// The handle's part of the memory that starts at `start`, or of the composite.
    #[inline]
    fn window(
        &self,
        mode: Mode,
        start: Option<NonNull<u8>>,
        root: &Shell<P>,
        pins: Pins<P>,
    ) -> Result<Access<'_, P>, BufferError> {
        let all = root.capacity.load(Relaxed); // ordered by the pin, as `content` is
        let offset = self.view.offset;
        let capacity = self.view.length.unwrap_or(all);
        if u64::from(offset) + u64::from(capacity) > u64::from(all) {
            return Err(BufferError::range(offset, capacity, all)); // the buffer has become smaller than its slice
        }
        let (start, direct) = match start {
            // SAFETY: `offset` is within the memory, whose length is at least the capacity.
            Some(start) => (unsafe { start.add(offset as usize) }, capacity),
            None => (NonNull::dangling(), 0),
        };
        let (root, pins) = (Some(NonNull::from(root)), RefCell::new(pins));
        Ok(Access { start, direct, capacity, offset, mode, root, pins, _handle: PhantomData })
    }

    /// Sets the capacity of the root, and moves the bytes if they don't fit any more or would use too little of their block.
    #[track_caller]
    pub(super) fn resize(&mut self, capacity: u32) -> Result<(), BufferError> {
        // SAFETY: `self` is borrowed exclusively, and the access ends here.
        let access = match unsafe { self.sole() } {
            Some(access) => access?,
            None => self.enter_to_move()?,
        };
        let Some(root) = access.root() else { return Err(BufferError::Fixed) };
        let old = root.capacity.load(Relaxed) as usize; // ordered by the pin
        let new = capacity as usize;
        // SAFETY: the pin excludes everybody else, or there is nobody else.
        root.content.with_mut(|c| match unsafe { &mut *c } {
            Content::Memory(memory) if memory.fits(old, new) => Ok::<_, BufferError>(()),
            Content::Memory(memory) => {
                let moved = match &root.common {
                    Some(common) => common.source.sibling(memory, new)?,
                    None => memory.sibling(new)?,
                };
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
