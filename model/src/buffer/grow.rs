//! The capacity of a buffer.
//!
//! **Invariant: a buffer never exceeds its maximal capacity, and a change of capacity loses no byte below the new one.**

use super::{Buffer, BufferError, ShellClass};
use crate::Platform;
use crate::allocator::pooled::BlockPlace;
use crate::leak::Access;

/// Up to here a buffer doubles; beyond, it grows by this much.
const STEP: usize = 4 * 1024 * 1024;

/// The capacity that a buffer of at least `needed` bytes gets: the next power of two from 64 to 4 MiB, then the next multiple
/// of 4 MiB (Netty's `calculateNewCapacity`).
pub fn new_capacity(needed: usize, maximum: usize) -> usize {
    if needed <= STEP {
        return needed.next_power_of_two().max(64).min(maximum);
    }
    let below = needed / STEP * STEP;
    if below > maximum.saturating_sub(STEP) { maximum } else { below + STEP }
}

impl<P: Platform> Buffer<P> {
    /// Sets the capacity, whatever the count is, and moves the bytes if their block is too small, or much too large. This
    /// handle's indices are cut to it; other handles that see more are refused it from now on.
    ///
    /// # Errors
    /// [`BufferError::Full`] beyond the maximal capacity, [`BufferError::Fixed`] for a slice, [`BufferError::ReadOnly`];
    /// [`BufferError::Count`] when the buffer is dead or somebody is inside; [`BufferError::Memory`] when there is none.
    #[track_caller]
    pub fn set_capacity(&mut self, capacity: usize) -> Result<(), BufferError> {
        self.record(Access::Used);
        self.change_capacity(capacity)
    }

    #[track_caller]
    fn change_capacity(&mut self, capacity: usize) -> Result<(), BufferError> {
        if self.view.read_only {
            return Err(BufferError::ReadOnly);
        }
        if self.view.length.is_some() {
            return Err(BufferError::Fixed);
        }
        let maximum = self.max_capacity();
        if capacity > maximum {
            return Err(BufferError::Full { needed: capacity, room: maximum });
        }
        let capacity = capacity as u32;
        if self.shell_class() == Some(ShellClass::Composite) {
            self.resize_composite(capacity)?;
        } else {
            self.resize(capacity)?;
        }
        self.view.reader = self.view.reader.min(capacity);
        self.view.writer = self.view.writer.min(capacity);
        Ok(())
    }

    /// Makes room for `n` more bytes, as Netty does: what the block has anyway, or else [`new_capacity`].
    ///
    /// # Errors
    /// As [`Buffer::set_capacity`].
    #[track_caller]
    pub fn ensure_writable(&mut self, n: usize) -> Result<(), BufferError> {
        self.record(Access::Used);
        let at = self.view.writer as usize;
        let capacity = self.capacity();
        if capacity.saturating_sub(at) >= n {
            self.reach()?; // a dead buffer has no room
            return Ok(());
        }
        self.grow(n)
    }

    /// Bytes of the block that the buffer's bytes are in (Netty's `maxLength`), and where that is if it is pooled.
    ///
    /// # Errors
    /// [`BufferError::Count`] when the buffer is dead.
    #[track_caller]
    pub fn block(&self) -> Result<(usize, Option<BlockPlace>), BufferError> {
        let access = self.enter()?;
        Ok((access.block_length(), access.block_place()))
    }

    #[track_caller]
    pub(super) fn grow(&mut self, n: usize) -> Result<(), BufferError> {
        let at = self.view.writer as usize;
        let room = self.max_capacity().saturating_sub(at);
        if n > room || self.view.length.is_some() {
            return Err(BufferError::Full { needed: n, room: room.min(self.capacity().saturating_sub(at)) });
        }
        let fast = self.reach()?.block_length().min(self.max_capacity());
        self.change_capacity(if fast >= at + n { fast } else { new_capacity(at + n, self.max_capacity()) })
    }
}
