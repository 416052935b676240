//! The indices of a handle.
//!
//! **Invariant: reader <= writer, and both were within the capacity when they were set.**
//!
//! ```text
//!   0        reader         writer          capacity         max_capacity
//!   [ read   | readable     | writable       | ensure_writable ]
//! ```

use super::{Buffer, BufferError, ShellClass};
use crate::Platform;
use core::fmt;

impl<P: Platform> Buffer<P> {
    /// Bytes that can be put without growing.
    pub fn writable(&self) -> usize {
        self.capacity().saturating_sub(self.writer_index())
    }

    /// Bytes that can be put.
    pub fn max_writable(&self) -> usize {
        self.max_capacity().saturating_sub(self.writer_index())
    }

    /// Sets both indices.
    ///
    /// # Errors
    /// [`BufferError::Range`] unless `reader <= writer <= capacity`.
    pub fn set_indices(&mut self, reader: usize, writer: usize) -> Result<(), BufferError> {
        let capacity = self.capacity();
        if reader > writer || writer > capacity {
            return Err(BufferError::Range { at: reader, length: writer.saturating_sub(reader), capacity });
        }
        (self.view.reader, self.view.writer) = (reader as u32, writer as u32);
        Ok(())
    }

    /// Sets the reader index.
    ///
    /// # Errors
    /// [`BufferError::Range`] beyond the writer index.
    pub fn set_reader_index(&mut self, reader: usize) -> Result<(), BufferError> {
        self.set_indices(reader, self.writer_index())
    }

    /// Sets the writer index.
    ///
    /// # Errors
    /// [`BufferError::Range`] before the reader index or beyond the capacity.
    pub fn set_writer_index(&mut self, writer: usize) -> Result<(), BufferError> {
        self.set_indices(self.reader_index(), writer)
    }

    /// Sets both indices to 0. The bytes stay.
    pub fn clear(&mut self) {
        (self.view.reader, self.view.writer) = (0, 0);
    }

    /// Consumes `n` bytes.
    ///
    /// # Errors
    /// [`BufferError::Short`] when fewer are readable.
    pub fn skip(&mut self, n: usize) -> Result<(), BufferError> {
        self.check_readable(n)?;
        self.view.reader += n as u32;
        Ok(())
    }

    /// Moves the readable bytes to the beginning, so that what was read makes room. Only the sole owner may, unless there is
    /// nothing to move. A composite moves nothing, but lets go of components, as
    /// [`Composite::discard_read_bytes`](super::Composite::discard_read_bytes).
    ///
    /// # Errors
    /// [`BufferError`] when the count isn't one, or the buffer is read-only.
    #[track_caller]
    pub fn discard_read_bytes(&mut self) -> Result<(), BufferError> {
        if self.is_whole_composite() {
            return self.discard_component_bytes();
        }
        let (reader, writer) = (self.reader_index(), self.writer_index());
        if reader == 0 {
            return Ok(());
        }
        if reader < writer {
            let mut access = self.enter_to_write()?;
            match access.slice_mut(0, writer) {
                Ok(bytes) => bytes.copy_within(reader.., 0),
                Err(BufferError::Split { .. }) => {
                    drop(access);
                    self.move_apart(reader, writer - reader)?;
                }
                Err(refused) => return Err(refused),
            }
        }
        (self.view.reader, self.view.writer) = (0, (writer - reader) as u32);
        Ok(())
    }

    pub(super) fn is_whole_composite(&self) -> bool {
        self.shell_class() == Some(ShellClass::Composite) && self.view.length.is_none()
    }

    /// Moves `length` bytes from `from` to the beginning, where they are in several pieces.
    #[cold]
    #[track_caller]
    fn move_apart(&mut self, from: usize, length: usize) -> Result<(), BufferError> {
        let mut bytes = alloc::vec![0; length];
        self.reach()?.read_at(from, &mut bytes)?;
        self.reach_to_write()?.write_at(0, length, |at, to| to.copy_from_slice(&bytes[at..at + to.len()]))
    }

    /// As [`Buffer::discard_read_bytes`], but only if half of the capacity or more has been read: then the move is worth it. A
    /// composite lets go of the components that have been consumed wholly.
    ///
    /// # Errors
    /// As [`Buffer::discard_read_bytes`].
    #[track_caller]
    pub fn discard_some_read_bytes(&mut self) -> Result<(), BufferError> {
        if self.is_whole_composite() {
            return self.discard_whole_components();
        }
        let is_worth_it = self.reader_index() == self.writer_index() || self.reader_index() >= self.capacity() / 2;
        if is_worth_it { self.discard_read_bytes() } else { Ok(()) }
    }
}

impl<P: Platform> fmt::Debug for Buffer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("count", &self.count())
            .field("reader", &self.reader_index())
            .field("writer", &self.writer_index())
            .field("capacity", &self.capacity())
            .finish()
    }
}
