//! Copies.
//!
//! **Invariant: a copy shares nothing**: it has its own memory, and its own count of one, which is the caller's.

use super::shell::{Shell, ShellBox, ShellClass};
use super::{Buffer, BufferError, View};
use crate::Platform;
use crate::allocator::AllocatorConfig;
use crate::buffer::shell::Content;
use crate::memory::{Area, Memory, OutOfMemory, UnpooledBlock};

impl<P: Platform> Buffer<P> {
    /// A new buffer with a copy of `length` bytes of the window, readable. From the same allocator; from the platform, if that is
    /// gone.
    ///
    /// # Errors
    /// [`BufferError`] when the buffer is dead, somebody is writing, it has no such bytes, or there is no memory.
    #[track_caller]
    pub fn copy(&self, at: usize, length: usize) -> Result<Self, BufferError> {
        let access = self.enter()?;
        access.check(at, length)?;
        let Some(root) = access.root() else { return Ok(Self::empty()) };
        let pieces = access.pieces(at, length, usize::MAX)?;
        let maximum = self.max_capacity().max(length);
        let mut copy = Self::fresh(root, access.area(), length, maximum)?;
        for piece in &pieces {
            copy.put(piece.bytes(&access))?;
        }
        Ok(copy)
    }

    /// The next `length` readable bytes as a new buffer, as [`Buffer::copy`]; they are consumed.
    ///
    /// # Errors
    /// As [`Buffer::copy`]; [`BufferError::Short`] when fewer are readable.
    #[track_caller]
    pub fn read_bytes(&mut self, length: usize) -> Result<Self, BufferError> {
        self.check_readable(length)?;
        let copy = self.copy(self.view.reader as usize, length)?;
        self.view.reader += length as u32;
        Ok(copy)
    }

    /// Reads into `to`, all of it.
    ///
    /// # Errors
    /// [`BufferError`] when the buffer is dead, somebody is writing, or fewer bytes are readable.
    #[track_caller]
    pub fn read_into(&mut self, to: &mut [u8]) -> Result<(), BufferError> {
        self.check_readable(to.len())?;
        let at = self.view.reader as usize;
        self.enter_alone()?.read_at(at, to)?;
        self.view.reader += to.len() as u32;
        Ok(())
    }

    /// A buffer from the allocator of `root`; from the platform, if that is gone.
    #[track_caller]
    pub(super) fn fresh(root: &Shell<P>, area: Area, initial: usize, maximum: usize) -> Result<Self, OutOfMemory> {
        match root.common.as_ref().and_then(|common| common.allocator()) {
            Some(allocator) => allocator.allocate_in(area, initial, maximum),
            None => Self::unpooled(area, initial, maximum),
        }
    }

    /// A buffer of no allocator: its shell is freed at its end.
    fn unpooled(area: Area, capacity: usize, maximum: usize) -> Result<Self, OutOfMemory> {
        let memory = UnpooledBlock::allocate(capacity, area)?;
        let class = if area == Area::Heap { ShellClass::Heap } else { ShellClass::Direct };
        let shell = ShellBox::new(class, 0, &AllocatorConfig::default(), None);
        let content = Content::Memory(Memory::Unpooled(memory));
        let shell = Shell::begin_alone(shell, content, capacity as u32, maximum as u32, None);
        Ok(Self { shell: Some(shell), view: View::WHOLE })
    }
}
