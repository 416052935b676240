//! How the bytes of components are reached.
//!
//! **Invariant: a component is touched under pins of its own, which end before those of the composite do.** They are taken when
//! the component is reached, so that reading a few bytes of many components costs little.
//!
//! ```text
//!   bytes at..at + n of the composite ──> parts of components ──> pieces of memory
//!                                            │         ^
//!                                            └─────────┘ of a composite in it: its parts, before what comes next
//! ```
//!
//! What is still to come waits in a list, so that composites in composites take no stack.

use super::list::{Components, Part};
use crate::Platform;
use crate::buffer::access::{Access, Mode};
use crate::buffer::shell::{Content, Shell, ShellClass};
use crate::buffer::{Buffer, BufferError};
use crate::memory::Area;
use crate::platform::{AtomicOps, CellOps};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::Ordering::Relaxed;

/// Bytes in one piece, pinned by the access that found them.
pub(in crate::buffer) struct Piece<P: Platform> {
    pub(super) start: NonNull<u8>,
    pub(super) length: usize,
    _platform: PhantomData<P>,
}

impl<P: Platform> Piece<P> {
    /// The bytes; `access` is the one that found the piece.
    pub(in crate::buffer) fn bytes<'b>(&self, _access: &'b Access<'_, P>) -> &'b [u8] {
        P::touches(self.start, self.length, false);
        // SAFETY: initialised memory, which the access keeps and keeps writers out of.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

/// What a root has.
enum Root<P: Platform> {
    Memory(NonNull<u8>),
    Composite(NonNull<Components<P>>),
}

/// # Safety
/// The caller has a pin on the shell, which is a root.
unsafe fn look<P: Platform>(root: &Shell<P>) -> Root<P> {
    // SAFETY: the pin keeps the content as it is.
    root.content.with(|c| match unsafe { &*c } {
        Content::Memory(memory) => Root::Memory(memory.start()),
        Content::Composite(components) => Root::Composite(NonNull::from(&**components)),
        _ => unreachable!("a pinned root has its content"),
    })
}

impl<P: Platform> Access<'_, P> {
    /// Which area the bytes are in; of a composite, what it was told.
    pub(in crate::buffer) fn area(&self) -> Area {
        match self.components() {
            Some(components) => components.area,
            None if self.root().is_some_and(|root| root.class == ShellClass::Heap) => Area::Heap,
            None => Area::Direct,
        }
    }

    /// `None`: the root is no composite.
    pub(super) fn components(&self) -> Option<&Components<P>> {
        let root = self.root().filter(|root| root.class == ShellClass::Composite)?;
        // SAFETY: the access has a pin, which keeps the components, and keeps them as they are.
        match unsafe { look(root) } {
            // SAFETY: as above.
            Root::Composite(components) => Some(unsafe { components.as_ref() }),
            Root::Memory(_) => None,
        }
    }

    /// To change them. `None`: the root is no composite.
    pub(super) fn components_mut(&mut self) -> Option<&mut Components<P>> {
        assert!(self.mode == Mode::Move, "an access that excludes all others");
        // SAFETY: the exclusive pin keeps everybody else out.
        let components = self.root()?.content.with_mut(|c| match unsafe { &mut *c } {
            Content::Composite(components) => Some(NonNull::from(&mut **components)),
            _ => None,
        });
        // SAFETY: as above; and the access is borrowed exclusively.
        components.map(|mut components| unsafe { components.as_mut() })
    }

    /// The place of bytes that the access doesn't have in one piece, as far as it knows.
    #[cold]
    #[track_caller]
    pub(in crate::buffer) fn far_place(&self, at: usize, length: usize) -> Result<NonNull<u8>, BufferError> {
        self.check(at, length)?;
        let mut found: Option<Piece<P>> = None;
        self.walk(at, length, 2, |piece| {
            found.get_or_insert(piece);
        })?;
        match found {
            None => Ok(NonNull::dangling()), // no bytes
            Some(piece) if piece.length == length => Ok(piece.start),
            Some(piece) => Err(BufferError::Split { at, length, contiguous: piece.length }),
        }
    }

    /// Copies out what isn't in one piece that is known.
    #[cold]
    #[track_caller]
    pub(in crate::buffer) fn far_read(&self, at: usize, to: &mut [u8]) -> Result<(), BufferError> {
        self.check(at, to.len())?;
        let mut rest = to;
        for piece in self.pieces(at, rest.len(), usize::MAX)? {
            let (part, next) = rest.split_at_mut(piece.length);
            part.copy_from_slice(piece.bytes(self));
            rest = next;
        }
        Ok(())
    }

    /// Lets `fill` write what isn't in one piece that is known; nothing, if one of the pieces may not be written.
    #[cold]
    #[track_caller]
    pub(in crate::buffer) fn far_write(
        &mut self,
        at: usize,
        length: usize,
        fill: &mut dyn FnMut(usize, &mut [u8]),
    ) -> Result<(), BufferError> {
        assert!(self.mode == Mode::Write, "an access that excludes all others");
        self.check(at, length)?;
        let mut done = 0;
        for piece in self.pieces(at, length, usize::MAX)? {
            P::touches(piece.start, piece.length, true);
            // SAFETY: initialised memory, which the access keeps and keeps everybody else out of. The access is borrowed
            // exclusively, and there is one piece at a time: of a buffer that was given twice they overlap.
            fill(done, unsafe { slice::from_raw_parts_mut(piece.start.as_ptr(), piece.length) });
            done += piece.length;
        }
        Ok(())
    }

    /// The pieces of `length` bytes, which there are; no more than the first `limit` pieces.
    #[track_caller]
    pub(in crate::buffer) fn pieces(
        &self,
        at: usize,
        length: usize,
        limit: usize,
    ) -> Result<Vec<Piece<P>>, BufferError> {
        let mut pieces = Vec::new();
        self.walk(at, length, limit, |piece| pieces.push(piece))?;
        Ok(pieces)
    }

    /// Visits the pieces of `length` bytes in order, no more than `limit` of them, and pins each. The bytes are within the
    /// window.
    #[track_caller]
    fn walk(
        &self,
        at: usize,
        length: usize,
        mut limit: usize,
        mut visit: impl FnMut(Piece<P>),
    ) -> Result<(), BufferError> {
        let Some(mut root) = self.root().filter(|_| length > 0 && limit > 0) else { return Ok(()) };
        let mut now = Part {
            shell: NonNull::from(root),
            offset: self.offset + at as u32,
            length: length as u32,
            read_only: false,
        };
        let mut later: Vec<Part<P>> = Vec::new();
        loop {
            let all = root.capacity.load(Relaxed); // ordered by the pin
            if u64::from(now.offset) + u64::from(now.length) > u64::from(all) {
                return Err(BufferError::range(now.offset, now.length, all)); // it has become smaller than what is shown of it
            }
            // SAFETY: `climb` has pinned it, or whoever made the access.
            match unsafe { look(root) } {
                Root::Memory(memory) => {
                    // SAFETY: within the memory.
                    let start = unsafe { memory.add(now.offset as usize) };
                    visit(Piece { start, length: now.length as usize, _platform: PhantomData });
                    limit -= 1;
                }
                Root::Composite(components) => {
                    // SAFETY: the pin keeps the components as they are.
                    let parts = unsafe { components.as_ref() }.parts(now.offset, now.length);
                    let first = later.len();
                    later.extend(parts.take(limit));
                    later[first..].reverse();
                }
            }
            let Some(next) = later.pop().filter(|_| limit > 0) else { return Ok(()) };
            if self.mode == Mode::Write && next.read_only {
                return Err(BufferError::ReadOnly);
            }
            // SAFETY: the component's shell is kept by the handle in its composite, which is pinned as long as `self.pins`.
            root = unsafe { self.pins.borrow_mut().climb(self.mode, next.shell)?.as_ref() };
            now = next;
        }
    }
}

impl<P: Platform> Buffer<P> {
    /// Whether it can be read, and adding it to the composite in `target` makes no cycle. One that isn't `nested` yet, in any
    /// other composite, can't be in this one.
    ///
    /// The one who asks has pinned `target` exclusively. If several threads were to close a cycle together, each of them would
    /// have pinned the composite that another one has to pass here, so that not all of them can succeed.
    #[track_caller]
    pub(super) fn check_component(&self, target: NonNull<Shell<P>>, nested: bool) -> Result<(), BufferError> {
        let Some(own) = self.shell else { return Ok(()) };
        if own == target {
            return Err(BufferError::Cycle);
        }
        let access = self.reach()?;
        access.check(self.view.reader as usize, self.readable())?;
        let Some(components) = access.components() else { return Ok(()) };
        components.nested.store(true, Relaxed); // published by the end of the pin
        let mut seen = BTreeSet::from([own]);
        let mut unseen: Vec<NonNull<Shell<P>>> = components.composites().filter(|_| nested).collect();
        while let Some(shell) = unseen.pop() {
            if shell == target {
                return Err(BufferError::Cycle);
            }
            if !seen.insert(shell) {
                continue;
            }
            // SAFETY: kept by the handle in its composite, which is pinned as long as `access.pins`.
            let root = unsafe { access.pins.borrow_mut().climb(Mode::Read, shell)?.as_ref() };
            // SAFETY: it has just been pinned.
            if let Root::Composite(components) = unsafe { look(root) } {
                // SAFETY: the pin keeps the components as they are.
                unseen.extend(unsafe { components.as_ref() }.composites());
            }
        }
        Ok(())
    }
}
