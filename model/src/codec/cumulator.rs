//! How a decoder joins what it has with what comes.
//!
//! **Invariant: the input is released or has become a part of the cumulation, and a cumulation that others refer to is replaced,
//! not changed**: somebody may hold a slice of it.

use super::{CodecConfig, HandlerError};
use crate::allocator::Allocator;
use crate::buffer::{Buffer, BufferError, Composite, Owned, ShellClass};
use crate::memory::Area;
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
        match input.bytes().map(|bytes| cumulation.put(&bytes)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(BufferError::Memory(refused))) => Err(refused.into()),
            // It is shared, read-only, at its limit, or being read; or the input isn't in one piece.
            _ => self.expand(allocator, cumulation, input),
        }
    }

    /// Replaces the cumulation by a copy with a copy of the input behind it.
    fn expand<P: Platform>(
        &self,
        allocator: &Allocator<P>,
        cumulation: &mut Owned<P>,
        input: &Owned<P>,
    ) -> Result<(), HandlerError> {
        let length = cumulation.readable() + input.readable();
        let mut new = Owned::from(allocator.allocate(length.next_power_of_two())?);
        let copied = append(&mut new, cumulation).and_then(|()| append(&mut new, input));
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

/// Puts the readable bytes of `from`, in how many pieces they ever are, behind those of `to`.
fn append<P: Platform>(to: &mut Buffer<P>, from: &Buffer<P>) -> Result<(), BufferError> {
    from.chunks()?.iter().try_for_each(|piece| to.put(piece))
}

/// Puts the input behind the cumulation without a copy: Netty's `COMPOSITE_CUMULATOR`. A decoder then finds its input in several
/// pieces.
#[derive(Clone, Copy, Debug)]
pub struct CompositeCumulator;

impl CompositeCumulator {
    /// Adds the input to a composite that is nobody else's.
    fn add<P: Platform>(cumulation: &mut Owned<P>, input: Owned<P>) -> Result<(), HandlerError> {
        let whole = replace(cumulation, Owned::from(Buffer::empty())).into_buffer();
        let (mut buffer, added) = match Composite::try_from(whole) {
            Ok(mut composite) => {
                let written = composite.writer_index();
                let cut = if written < composite.capacity() { composite.set_capacity(written) } else { Ok(()) };
                let added = cut.and_then(|()| composite.add_flattened_components(true, input.into_buffer()));
                (Owned::from(composite.into_buffer()), added)
            }
            Err(part) => (Owned::from(part), Err(BufferError::NotComposite)),
        };
        core::mem::swap(cumulation, &mut buffer);
        Ok(added?)
    }

    /// A composite of the cumulation and the input in the place of the cumulation.
    fn compose<P: Platform>(
        allocator: &Allocator<P>,
        cumulation: &mut Owned<P>,
        input: Owned<P>,
    ) -> Result<(), HandlerError> {
        let mut composite = Owned::from(allocator.composite_in(Area::Direct, usize::MAX).into_buffer());
        let before = cumulation.retain()?; // so that it is still there if something fails
        Self::add(&mut composite, Owned::from(before))?;
        Self::add(&mut composite, input)?;
        replace(cumulation, composite).release()?;
        Ok(())
    }
}

impl<P: Platform> Cumulator<P> for CompositeCumulator {
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
        let is_ours = cumulation.shell_class() == Some(ShellClass::Composite) && cumulation.count() == 1;
        if is_ours && !cumulation.is_read_only() {
            return Self::add(cumulation, input);
        }
        Self::compose(allocator, cumulation, input)
    }
}
