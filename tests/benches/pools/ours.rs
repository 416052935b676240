//! Millpond's own pools.

use crate::floors::Object;
use crate::measure::Source;
use millpond_model::allocator::Allocator;
use millpond_model::buffer::Owned;
use millpond_model::recycler::{Pooled, Recycler};
use millpond_model::{Preset, Std};

/// A recycler of objects.
pub struct Objects(pub Recycler<Object>);

impl Objects {
    pub fn new(preset: Preset) -> Self {
        Self(Recycler::new(preset, Object::default))
    }
}

impl Source for Objects {
    type Held<'a> = Pooled<Object>;

    #[inline(always)]
    fn get(&self) -> Pooled<Object> {
        self.0.get()
    }

    #[inline(always)]
    fn word<'a, 'b>(held: &'b mut Pooled<Object>) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        Some(&mut held.0[0])
    }
}

/// Reference-counted buffers of `SIZE` bytes.
pub struct Buffers<const SIZE: usize>(pub Allocator);

impl<const SIZE: usize> Buffers<SIZE> {
    pub fn new() -> Self {
        Self(Allocator::new(Preset::Millpond))
    }
}

impl<const SIZE: usize> Source for Buffers<SIZE> {
    type Held<'a> = Owned<Std>;

    #[inline(always)]
    fn get(&self) -> Owned<Std> {
        Owned::from(self.0.allocate(SIZE).expect("there is memory"))
    }

    #[inline(always)]
    fn word<'a, 'b>(_: &'b mut Owned<Std>) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        None
    }
}
