//! A buffer as a file.
//!
//! **Invariant: a refusal is an error of kind `Other` with the [`BufferError`](super::BufferError) inside**; a full buffer takes
//! nothing, and one without readable bytes is at its end, as usual. [`Owned`](super::Owned) has these by way of its buffer.

use super::Buffer;
use crate::Platform;
use std::io::{Error, Read, Result, Write};

impl<P: Platform> Read for Buffer<P> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let n = to.len().min(self.readable());
        self.read_into(&mut to[..n]).map_err(Error::other)?;
        Ok(n)
    }
}

impl<P: Platform> Write for Buffer<P> {
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        let n = data.len().min(self.max_writable());
        self.put(&data[..n]).map_err(Error::other)?;
        Ok(n)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
