//! Parts and twins of a buffer.
//!
//! **Invariant: what is derived never reaches beyond the window that it was derived from.**
//!
//! | operation | count | handle |
//! |---|---|---|
//! | `slice`, `duplicate`, `read_slice` | the buffer's own, unchanged | a further one of the same shell |
//! | `retained_slice`, `retained_duplicate`, `read_retained_slice` | its own, one; it holds one of the buffer's | of a shell of its own |
//!
//! In Netty 4.0, of a composite, and of a buffer without an allocator, the retained ones are the plain ones and a retain.

use super::shell::{Content, Shell, ShellClass};
use super::{Buffer, BufferError, Owned, View};
use crate::Platform;
use crate::platform::AtomicOps;
use crate::refcnt::IllegalCount;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

impl<P: Platform> Buffer<P> {
    /// Bytes of the window: of a whole buffer, what it has now; 0 when it is dead.
    pub fn capacity(&self) -> usize {
        let capacity = match (self.view.length, self.shell()) {
            (Some(length), _) => length,
            // Relaxed: a whole buffer may change as soon as this returns, anyway.
            (None, Some(shell)) if shell.class.is_root() => shell.capacity.load(Relaxed),
            (None, _) => self.reach().map_or(0, |access| access.capacity),
        };
        capacity as usize
    }

    /// The capacity that it may grow to.
    pub fn max_capacity(&self) -> usize {
        let whole = || self.shell().map_or(0, |shell| shell.max_capacity());
        self.view.length.unwrap_or_else(whole) as usize
    }

    /// A further handle with the same window and the same indices. It shares the count, which stays as it is.
    ///
    /// # Errors
    /// [`BufferError::Count`] when the buffer is dead, or the handles would overflow.
    #[track_caller]
    pub fn duplicate(&self) -> Result<Self, BufferError> {
        Ok(self.another(0, self.view)?)
    }

    /// A further handle whose window is `length` bytes of this one's, all of them readable. It shares the count, which stays as
    /// it is.
    ///
    /// # Errors
    /// [`BufferError`] when the buffer is dead, or has no such bytes.
    #[track_caller]
    pub fn slice(&self, at: usize, length: usize) -> Result<Self, BufferError> {
        Ok(self.another(0, self.part(at, length)?)?)
    }

    /// [`Buffer::slice`] of the next `length` readable bytes, which are consumed.
    ///
    /// # Errors
    /// [`BufferError`] when the buffer is dead, or fewer are readable.
    #[track_caller]
    pub fn read_slice(&mut self, length: usize) -> Result<Self, BufferError> {
        self.check_readable(length)?;
        let slice = self.slice(self.view.reader as usize, length)?;
        self.view.reader += length as u32;
        Ok(slice)
    }

    /// As [`Buffer::slice`], with a count of its own.
    ///
    /// # Errors
    /// As [`Buffer::slice`]; and when the count would overflow.
    #[track_caller]
    pub fn retained_slice(&self, at: usize, length: usize) -> Result<Self, BufferError> {
        self.retained(ShellClass::Slice, self.part(at, length)?)
    }

    /// As [`Buffer::duplicate`], with a count of its own.
    ///
    /// # Errors
    /// [`BufferError::Count`] when the buffer is dead, or the count would overflow.
    #[track_caller]
    pub fn retained_duplicate(&self) -> Result<Self, BufferError> {
        self.retained(ShellClass::Duplicate, self.view)
    }

    /// [`Buffer::retained_slice`] of the next `length` readable bytes, which are consumed.
    ///
    /// # Errors
    /// As [`Buffer::read_slice`]; and when the count would overflow.
    #[track_caller]
    pub fn read_retained_slice(&mut self, length: usize) -> Result<Self, BufferError> {
        self.check_readable(length)?;
        let slice = self.retained_slice(self.view.reader as usize, length)?;
        self.view.reader += length as u32;
        Ok(slice)
    }

    pub(super) fn check_readable(&self, needed: usize) -> Result<(), BufferError> {
        let readable = self.readable();
        if needed <= readable { Ok(()) } else { Err(BufferError::Short { needed, readable }) }
    }

    /// The view of a part of the window.
    #[track_caller]
    fn part(&self, at: usize, length: usize) -> Result<View, BufferError> {
        let capacity = self.capacity();
        if at.checked_add(length).is_some_and(|end| end <= capacity) {
            let (offset, length) = (self.view.offset + at as u32, length as u32);
            return Ok(View { offset, length: Some(length), reader: 0, writer: length, ..self.view });
        }
        self.another(0, self.view)?; // a dead one is refused for that
        Err(BufferError::Range { at, length, capacity })
    }

    /// A handle that sees `view`, with a count of its own.
    #[track_caller]
    fn retained(&self, class: ShellClass, view: View) -> Result<Self, BufferError> {
        let Some(own) = self.shell().filter(|_| !self.view.unreleasable) else { return Ok(self.another(0, view)?) };
        if own.class == ShellClass::Composite {
            return Ok(self.another(1, view)?);
        }
        let parent = Owned::from(self.another(1, view)?);
        // What isn't a root finds it, and keeps it by a handle of its own.
        let access = if own.class.is_root() { None } else { Some(self.reach()?) };
        let far = access.as_ref().and_then(|access| access.root());
        let common = far.unwrap_or(own).common.as_ref();
        let Some(derived) = common.and_then(|common| common.derived.as_ref()) else { return Ok(parent.into_buffer()) };
        let root = far.map(Self::of_shell).transpose()?;
        let slice_again = derived.duplicate_of_slice_is_slice && own.class == ShellClass::Slice;
        let home = match class {
            ShellClass::Duplicate if slice_again => derived.slices.get(),
            ShellClass::Slice => derived.slices.get(),
            _ => derived.duplicates.get(),
        };
        let maximum = parent.max_capacity() as u32;
        let tracker = if let Some(tracker) = own.tracker() { tracker.detector().track_derived(tracker) } else { None };
        let view = View { tracked: tracker.is_some(), ..view };
        let shell = Shell::begin(home, Content::Derived { parent: parent.into_buffer(), root }, 0, maximum, tracker);
        Ok(Self { shell: Some(shell), view })
    }

    /// A further handle of `shell`.
    fn of_shell(shell: &Shell<P>) -> Result<Self, IllegalCount> {
        shell.count.join(0)?;
        Ok(Self { shell: Some(NonNull::from(shell)), view: View::WHOLE })
    }
}
