//! Buffers as they are given away.
//!
//! **Invariant: whatever the form, one release of what is given ends it**, and what stays with the giver is released here.

use crate::scenario::Form;
use millpond_model::Platform;
use millpond_model::allocator::Allocator;
use millpond_model::buffer::{Buffer, BufferError, MAX_CAPACITY, Owned};
use millpond_model::holder::{BufferHolder, Holder};
use millpond_model::memory::Area;

/// A buffer of `size` bytes in this form, full of `byte`.
///
/// # Errors
/// When there is no memory for it. Nothing is left then.
pub(super) fn make<P: Platform>(
    allocator: &Allocator<P>,
    area: Area,
    form: Form,
    size: usize,
    byte: u8,
) -> Result<Buffer<P>, BufferError> {
    let first = if form == Form::Grown { size / 2 } else { size };
    let mut whole = Owned::from(allocator.allocate_in(area, first, MAX_CAPACITY)?);
    whole.put_repeated(byte, first)?;
    whole.put_repeated(byte, size - first)?;
    derive(allocator, area, whole, form)
}

/// `whole` in this form; what isn't given away of it is released.
fn derive<P: Platform>(
    allocator: &Allocator<P>,
    area: Area,
    whole: Owned<P>,
    form: Form,
) -> Result<Buffer<P>, BufferError> {
    let size = whole.readable();
    let half = size / 2;
    match form {
        Form::Plain | Form::Grown => Ok(whole.into_buffer()),
        // They share the count, so that it goes with them.
        Form::Slice => whole.slice(half, size - half).inspect(|_| drop(whole.into_buffer())),
        Form::Duplicate => whole.duplicate().inspect(|_| drop(whole.into_buffer())),
        Form::RetainedSlice => whole.retained_slice(half, size - half),
        Form::RetainedDuplicate => whole.retained_duplicate(),
        Form::Composite | Form::ShrunkComposite => {
            let halves = [whole.retained_slice(0, half)?, whole.retained_slice(half, size - half)?];
            let mut composite = allocator.composite_in(area, halves.len());
            composite.add_components(true, halves)?;
            if form == Form::ShrunkComposite {
                composite.set_capacity(half)?;
            }
            Ok(composite.into_buffer())
        }
        Form::Holder => {
            let holder = Holder::new((), whole.into_buffer());
            let given = holder.retained_duplicate().map(|given| given.into_parts().1);
            drop(holder.into_owned_content());
            given
        }
        Form::Nested => {
            let slice = Owned::from(whole.retained_slice(half, size - half)?);
            let duplicate = Owned::from(slice.retained_duplicate()?);
            duplicate.retained_slice(0, size - half)
        }
    }
}
