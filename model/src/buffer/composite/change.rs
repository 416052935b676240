//! How the components of a composite change.
//!
//! **Invariant: what is refused has changed nothing, and what was taken out is released after the pin has ended.**
//!
//! ```text
//!   pin exclusively ──> check everything ──> change the list ──> unpin ──> release what is not in it any more
//!                            └─ refused: unpin, release what was to be added
//! ```

use super::list::Components;
use super::{Composite, Owned};
use crate::Platform;
use crate::buffer::shell::{Shell, ShellClass};
use crate::buffer::{Buffer, BufferError, MAX_CAPACITY};
use crate::leak::Access;
use crate::observe::Defect;
use crate::platform::AtomicOps;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

/// Which components, of how many there are.
type Which<P> = fn(&Components<P>, usize, usize) -> Result<Range<usize>, BufferError>;

impl<P: Platform> Composite<P> {
    /// Reads the list.
    #[track_caller]
    pub(super) fn look<R>(&self, f: impl FnOnce(&Components<P>) -> Result<R, BufferError>) -> Result<R, BufferError> {
        f(self.enter()?.components().ok_or(BufferError::NotComposite)?)
    }

    /// Slices of the components of any handle, with `n` more on each count.
    #[track_caller]
    pub(super) fn slices(buffer: &Buffer<P>, at: usize, length: usize, n: u32) -> Result<Vec<Buffer<P>>, BufferError> {
        let access = buffer.enter()?;
        let components = access.components().ok_or(BufferError::NotComposite)?;
        access.check(at, length)?;
        components.slices(access.offset + at as u32, length as u32, n)
    }

    /// Puts `new` in at `at`, or at the end if that is `usize::MAX`. What isn't in the composite in the end is released.
    #[track_caller]
    pub(super) fn insert(
        buffer: &mut Buffer<P>,
        increase_writer_index: bool,
        at: usize,
        mut new: Vec<Owned<P>>,
    ) -> Result<(), BufferError> {
        let length = new.iter().map(|buffer| buffer.readable()).sum::<usize>();
        // As in Netty, where an index can't be beyond the capacity.
        let writer = buffer.view.writer as usize + if increase_writer_index { length } else { 0 };
        let old = buffer.change(|components, own| {
            let at = if at == usize::MAX { components.count() } else { components.check(at, 0)?.start };
            components.check_room(length)?;
            // SAFETY: our handle keeps the shell.
            let root = unsafe { own.as_ref() };
            let nested = components.nested.load(Relaxed); // ordered by the pin
            new.iter().try_for_each(|buffer| buffer.check_component(own, nested))?;
            let added = at..at + new.len();
            components.insert(at, &mut new);
            if components.count() <= components.maximum {
                return Ok(Vec::new());
            }
            let all = 0..components.count();
            components.consolidate(root, all).inspect_err(|_| new = components.remove(added))
        });
        drop(new);
        drop(old?);
        buffer.view.writer = writer.min(buffer.capacity()) as u32;
        Ok(())
    }

    /// Removes component number `at`, and releases it. The indices stay, but for what is beyond the capacity then.
    ///
    /// # Errors
    /// [`BufferError::NoComponent`]; [`BufferError::Count`] when the composite is dead or somebody is inside;
    /// [`BufferError::ReadOnly`], [`BufferError::NotComposite`].
    #[track_caller]
    pub fn remove_component(&mut self, at: usize) -> Result<(), BufferError> {
        self.remove_components(at, 1)
    }

    /// Removes `count` components from number `at` on, as [`Composite::remove_component`].
    ///
    /// # Errors
    /// As [`Composite::remove_component`].
    #[track_caller]
    pub fn remove_components(&mut self, at: usize, count: usize) -> Result<(), BufferError> {
        let removed = self.change(|components, _| Ok(components.remove(components.check(at, count)?)))?;
        drop(removed);
        self.0.cut_indices();
        Ok(())
    }

    /// Removes, and releases, the components whose bytes have all been consumed through this handle. Its indices move with the
    /// bytes; those of other handles stay and see other bytes.
    ///
    /// # Errors
    /// As [`Composite::remove_component`].
    #[track_caller]
    pub fn discard_read_components(&mut self) -> Result<(), BufferError> {
        self.0.discard_whole_components()
    }

    /// As [`Composite::discard_read_components`]; and of the component that has been consumed in part, that part goes, too.
    ///
    /// # Errors
    /// As [`Composite::remove_component`].
    #[track_caller]
    pub fn discard_read_bytes(&mut self) -> Result<(), BufferError> {
        self.0.discard_component_bytes()
    }

    /// Copies all components into a new one, and releases them.
    ///
    /// # Errors
    /// As [`Composite::remove_component`]; [`BufferError::Memory`] when there is none; [`BufferError::Count`] when a component is
    /// dead or being written.
    #[track_caller]
    pub fn consolidate(&mut self) -> Result<(), BufferError> {
        self.consolidate_which(|components, _, _| Ok(0..components.count()), 0, 0)
    }

    /// As [`Composite::consolidate`], of `count` components from number `at` on.
    ///
    /// # Errors
    /// As [`Composite::consolidate`]; [`BufferError::NoComponent`].
    #[track_caller]
    pub fn consolidate_components(&mut self, at: usize, count: usize) -> Result<(), BufferError> {
        self.consolidate_which(Components::check, at, count)
    }

    #[track_caller]
    fn consolidate_which(&mut self, which: Which<P>, at: usize, count: usize) -> Result<(), BufferError> {
        let removed = self.change(|components, own| {
            // SAFETY: our handle keeps the shell.
            components.consolidate(unsafe { own.as_ref() }, which(components, at, count)?)
        })?;
        drop(removed);
        self.0.cut_indices();
        Ok(())
    }
}

impl<P: Platform> Buffer<P> {
    /// Changes the components under an exclusive pin, and tells what the capacity is then.
    #[track_caller]
    fn change<R>(
        &mut self,
        f: impl FnOnce(&mut Components<P>, NonNull<Shell<P>>) -> Result<R, BufferError>,
    ) -> Result<R, BufferError> {
        self.record(Access::Used);
        self.change_silently(f)
    }

    /// As `change`, as a part of an operation that the leak detector has been told of.
    #[track_caller]
    fn change_silently<R>(
        &mut self,
        f: impl FnOnce(&mut Components<P>, NonNull<Shell<P>>) -> Result<R, BufferError>,
    ) -> Result<R, BufferError> {
        let own =
            self.shell.filter(|_| self.shell_class() == Some(ShellClass::Composite) && self.view.length.is_none());
        let own = own.ok_or(BufferError::NotComposite)?;
        if self.view.read_only {
            return Err(BufferError::ReadOnly);
        }
        let mut access = self.enter_to_move()?;
        let components = access.components_mut().ok_or(BufferError::NotComposite)?;
        let result = f(components, own)?;
        let capacity = components.length();
        if let Some(root) = access.root() {
            root.capacity.store(capacity, Relaxed); // published by the end of the pin
        }
        Ok(result)
    }

    /// Of the components of a composite, what has been consumed.
    #[track_caller]
    pub(in crate::buffer) fn discard_component_bytes(&mut self) -> Result<(), BufferError> {
        self.discard_components(Components::cut_front)
    }

    /// Of the components of a composite, those that have been consumed.
    #[track_caller]
    pub(in crate::buffer) fn discard_whole_components(&mut self) -> Result<(), BufferError> {
        self.discard_components(|_, _| ())
    }

    /// `rest` cuts what is left to be discarded off the first component.
    #[track_caller]
    fn discard_components(&mut self, rest: fn(&mut Components<P>, u32)) -> Result<(), BufferError> {
        let reader = self.view.reader;
        if reader == 0 {
            // As in Netty, where empty components stay then.
            return self.enter()?.components().map(|_| ()).ok_or(BufferError::NotComposite);
        }
        let (removed, gone) = self.change(|components, _| {
            let before = components.length();
            let removed = components.remove_until(reader);
            let read = before - components.length(); // not more than the reader index
            rest(components, if components.count() == 0 { 0 } else { reader - read });
            Ok((removed, before - components.length()))
        })?;
        drop(removed);
        self.view.reader -= gone;
        self.view.writer -= gone;
        self.cut_indices();
        Ok(())
    }

    fn cut_indices(&mut self) {
        let capacity = self.capacity() as u32;
        self.view.reader = self.view.reader.min(capacity);
        self.view.writer = self.view.writer.min(capacity);
    }

    /// Sets the capacity of a composite: adds a component of memory at the end, or cuts the end off and releases the components
    /// that were in it.
    #[track_caller]
    pub(in crate::buffer) fn resize_composite(&mut self, capacity: u32) -> Result<(), BufferError> {
        let removed = self.change_silently(|components, own| {
            let Some(more) = capacity.checked_sub(components.length()).filter(|&more| more > 0) else {
                return Ok(components.cut_back(capacity));
            };
            // SAFETY: our handle keeps the shell.
            let root = unsafe { own.as_ref() };
            let mut padding = Self::fresh(root, components.area, more as usize, more as usize)?;
            padding.view.writer = more;
            let at = components.count();
            components.insert(at, &mut Vec::from([Owned::from(padding)]));
            if components.count() <= components.maximum {
                return Ok(Vec::new());
            }
            let mut padding = Vec::new();
            let consolidated = components.consolidate(root, 0..at + 1);
            let consolidated = consolidated.inspect_err(|_| padding = components.remove(at..at + 1));
            drop(padding); // nobody else has seen it
            consolidated
        })?;
        if P::planted(Defect::CompositeForgetsDropped) {
            removed.into_iter().for_each(|component| drop(component.into_buffer()));
        }
        Ok(())
    }
}

impl<P: Platform> Components<P> {
    /// Copies components into one, which takes their place, and gives them out.
    #[track_caller]
    fn consolidate(&mut self, root: &Shell<P>, range: Range<usize>) -> Result<Vec<Owned<P>>, BufferError> {
        if range.len() < 2 {
            return Ok(Vec::new());
        }
        let length = self.buffers(range.clone()).map(Buffer::readable).sum::<usize>();
        let mut one = Owned::from(Buffer::fresh(root, self.area, length, MAX_CAPACITY)?);
        for buffer in self.buffers(range.clone()) {
            let chunks = buffer.chunks_in_reach(usize::MAX, usize::MAX)?;
            chunks.iter().try_for_each(|chunk| one.put(chunk))?;
        }
        let at = range.start;
        let removed = self.remove(range);
        self.insert(at, &mut Vec::from([one]));
        Ok(removed)
    }
}
