//! Handles that may do less, and buffers over memory that was there before.
//!
//! **Invariant: no handle may do more than the one that it was made from**; so memory that is shared with others is never
//! written, for its first handle is read-only.

use super::shell::{Content, Shell, ShellBox, ShellClass};
use super::{Buffer, BufferError, MAX_CAPACITY, View};
use crate::Platform;
use crate::allocator::AllocatorConfig;
use crate::memory::{Memory, OutOfMemory, Wrapped};
use alloc::vec::Vec;
use bytes::Bytes;

impl<P: Platform> Buffer<P> {
    /// A further handle through which nobody can write. It shares the count, which stays as it is.
    ///
    /// # Errors
    /// As [`Buffer::duplicate`].
    #[track_caller]
    pub fn as_read_only(&self) -> Result<Self, BufferError> {
        Ok(self.another(0, View { read_only: true, ..self.view })?)
    }

    /// A further handle that can neither retain nor release: both do nothing. For a buffer that its users must not end.
    ///
    /// # Errors
    /// As [`Buffer::duplicate`].
    #[track_caller]
    pub fn as_unreleasable(&self) -> Result<Self, BufferError> {
        Ok(self.another(0, View { unreleasable: true, ..self.view })?)
    }

    /// A buffer whose memory is `vec`, all of it readable, with a count of one. It can't grow.
    ///
    /// # Errors
    /// [`OutOfMemory`] beyond [`MAX_CAPACITY`].
    #[track_caller]
    pub fn wrap_vec(vec: Vec<u8>) -> Result<Self, OutOfMemory> {
        Self::wrap(vec.into())
    }

    /// A read-only buffer over `bytes`, all readable, with a count of one.
    ///
    /// # Errors
    /// [`OutOfMemory`] beyond [`MAX_CAPACITY`].
    #[track_caller]
    pub fn wrap_static(bytes: &'static [u8]) -> Result<Self, OutOfMemory> {
        Self::wrap(bytes.into())
    }

    /// A read-only buffer that shares `bytes`, all readable, with a count of one.
    ///
    /// # Errors
    /// [`OutOfMemory`] beyond [`MAX_CAPACITY`].
    #[track_caller]
    pub fn wrap_bytes(bytes: Bytes) -> Result<Self, OutOfMemory> {
        Self::wrap(bytes.into())
    }

    #[track_caller]
    fn wrap(wrapped: Wrapped) -> Result<Self, OutOfMemory> {
        let read_only = !wrapped.is_writable();
        let memory = Memory::Wrapped(wrapped);
        let length = match memory.len() {
            0 => return Ok(Self::empty()),
            length if length > MAX_CAPACITY => return Err(OutOfMemory { capacity: length }),
            length => length as u32,
        };
        let shell = ShellBox::new(ShellClass::Heap, 0, &AllocatorConfig::default(), None);
        let shell = Shell::begin_alone(shell, Content::Memory(memory), length, length, None);
        Ok(Self { shell: Some(shell), view: View { writer: length, read_only, ..View::WHOLE } })
    }
}
