//! How a decoder joins what it has with what comes.
//!
//! **Invariant: the input is released or has become a part of the cumulation, and a cumulation that others refer to is replaced,
//! not changed**: somebody may hold a slice of it.

use super::{CodecConfig, HandlerError};
use crate::allocator::Allocator;
use crate::buffer::{BufferError, Owned};
use crate::observe::Defect;
use crate::{Platform, Std};
use core::mem::replace;

/// Joins buffers for a decoder.
pub trait Cumulator<P: Platform = Std>: Send {
    /// Adds `input`, which it takes over, to the readable bytes of `cumulation`, or replaces that.
    ///
    /// # Errors
    /// [`HandlerError`] when a buffer is dead or there is no memory. Then `cumulation` is what it was, and the input has been
    /// released: its bytes are lost.
    fn cumulate(
        &self,
        allocator: &Allocator<P>,
        cumulation: &mut Owned<P>,
        input: Owned<P>,
    ) -> Result<(), HandlerError>;
}

/// Copies the input behind the cumulation: Netty's `MERGE_CUMULATOR`, and its default.
#[derive(Clone, Copy, Debug)]
pub struct MergeCumulator {
    releases_input: bool,
    releases_new: bool,
}

impl MergeCumulator {
    /// By these rules.
    pub fn new(config: impl Into<CodecConfig>) -> Self {
        let config = config.into();
        Self { releases_input: config.release_input_on_failure, releases_new: config.release_new_on_failure }
    }

    fn merge<P: Platform>(
        &self,
        allocator: &Allocator<P>,
        cumulation: &mut Owned<P>,
        input: &Owned<P>,
    ) -> Result<(), HandlerError> {
        let bytes = input.bytes()?;
        match cumulation.put(&bytes) {
            Ok(()) => Ok(()),
            Err(BufferError::Memory(refused)) => Err(refused.into()),
            // It is shared, read-only, at its limit, or being read.
            Err(_) => self.expand(allocator, cumulation, &bytes),
        }
    }

    /// Replaces the cumulation by a copy with `more` behind it.
    fn expand<P: Platform>(
        &self,
        allocator: &Allocator<P>,
        cumulation: &mut Owned<P>,
        more: &[u8],
    ) -> Result<(), HandlerError> {
        let length = cumulation.readable() + more.len();
        let mut new = Owned::from(allocator.allocate(length.next_power_of_two())?);
        let copied = cumulation.bytes().and_then(|bytes| new.put(&bytes)).and_then(|()| new.put(more));
        if let Err(refused) = copied {
            if !self.releases_new || P::planted(Defect::CumulationLeak) {
                drop(new.into_buffer()); // without a release
            }
            return Err(refused.into());
        }
        replace(cumulation, new).release()?;
        Ok(())
    }
}

impl<P: Platform> Cumulator<P> for MergeCumulator {
    fn cumulate(
        &self,
        allocator: &Allocator<P>,
        cumulation: &mut Owned<P>,
        input: Owned<P>,
    ) -> Result<(), HandlerError> {
        if cumulation.readable() == 0 {
            replace(cumulation, input).release()?;
            return Ok(());
        }
        let merged = self.merge(allocator, cumulation, &input);
        if merged.is_err() && (!self.releases_input || P::planted(Defect::CumulationLeak)) {
            drop(input.into_buffer()); // without a release
        }
        merged
    }
}
