//! Several buffers that look like one.
//!
//! **Invariant: a composite owns one count of each of its components, and releases exactly the buffer that it was given,
//! exactly once**: when the component is removed, discarded, cut off or copied into another one, or when the composite ends.
//!
//! ```text
//!   Composite / Buffer ──> Shell ──content──> components: [ header ][ body ........ ][ trailer ]
//!     reader, writer         count                          count      count           count     one of each is ours
//!                                                             v          v               v
//!                                                          Memory     Derived ──> Memory  another composite ...
//! ```
//!
//! The handle of a composite is a [`Buffer`] like any other; a [`Composite`] is that handle with the operations on components.
//! Whoever adds a buffer gives it away, **even when adding fails**: then it is released. What is refused leaves the composite as
//! it was. Components are changed under an exclusive pin, whatever the count is; while somebody reads or writes the composite,
//! they can't be. Bytes are written only if the composite and each component concerned, up to the memory, have a count of one.
//!
//! Composites may contain composites, however deep, but none itself. A retained slice of a composite is a slice and a retain, as
//! in Netty, whose composites aren't pooled.
//!
//! | operation | the component's count |
//! |---|---|
//! | `add_component`, `add_components`, `wrapped` | goes to the composite; released when it fails |
//! | `remove_component`, `discard_read_components`, `consolidate`, a smaller capacity, the end | released |
//! | `component`, `component_slice`, `decompose` | unchanged: the composite's |
//! | `retained_decompose` | one more, the caller's |
//!
//! ```
//! use millpond_model::{Preset, allocator::Allocator, buffer::Owned};
//!
//! let allocator = Allocator::new(Preset::Millpond);
//! let (mut header, mut body) = (allocator.allocate(4)?, allocator.allocate(8)?);
//! header.put(b"mill")?;
//! body.put(b"pond")?;
//! let mut message = allocator.composite();
//! message.add_components(true, [header, body])?; // now they are the composite's
//! assert_eq!(message.readable(), 8);
//! assert!(message.bytes().is_err()); // they aren't in one piece ...
//! let pieces: Vec<_> = message.chunks()?.iter().map(<[u8]>::to_vec).collect(); // ... but in two
//! assert_eq!(pieces, [b"mill", b"pond"]);
//! drop(Owned::from(message.into_buffer())); // releases all three
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod change;
mod chunks;
mod list;
mod reach;

pub use chunks::Chunks;
pub(super) use list::Components;

use super::shell::{Content, Shell, ShellBox, ShellClass};
use super::{Buffer, BufferError, Owned, View};
use crate::allocator::{Allocator, AllocatorConfig};
use crate::leak::Tracker;
use crate::memory::Area;
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

/// The components that a composite may have before they are made one, unless it is told otherwise.
pub const MAX_COMPONENTS: usize = 16;

/// A handle to a composite, seen whole. See the [module](self).
///
/// As with any handle, dropping it releases nothing.
pub struct Composite<P: Platform = Std>(Buffer<P>);

impl<P: Platform> Allocator<P> {
    /// An empty composite of at most [`MAX_COMPONENTS`] components, with a count of one. What it needs for itself comes from the
    /// direct area.
    #[track_caller]
    pub fn composite(&self) -> Composite<P> {
        self.composite_in(Area::Direct, MAX_COMPONENTS)
    }

    /// As [`Allocator::composite`], with the area, and the number of components beyond which they are made one.
    ///
    /// # Panics
    /// If `maximum` is 0.
    #[track_caller]
    pub fn composite_in(&self, area: Area, maximum: usize) -> Composite<P> {
        let shell = ShellBox::new(ShellClass::Composite, 0, self.config(), Some(self.common()));
        let tracker = if let Some(detector) = self.leak_detector() { detector.track() } else { None };
        Composite::begin(shell, area, maximum, tracker)
    }
}

impl<P: Platform> Composite<P> {
    /// An empty composite of no allocator: what it needs for itself comes from the platform.
    ///
    /// # Panics
    /// If `maximum` is 0.
    #[track_caller]
    pub fn new(area: Area, maximum: usize) -> Self {
        Self::begin(ShellBox::new(ShellClass::Composite, 0, &AllocatorConfig::default(), None), area, maximum, None)
    }

    #[track_caller]
    fn begin(shell: ShellBox<P>, area: Area, maximum: usize, tracker: Option<Tracker<P>>) -> Self {
        assert!(maximum > 0, "a composite has room for a component");
        let content = Content::Composite(Box::new(Components::new(area, maximum)));
        let view = View { tracked: tracker.is_some(), ..View::WHOLE };
        let shell = Shell::begin_alone(shell, content, 0, super::MAX_CAPACITY as u32, tracker);
        Self(Buffer { shell: Some(shell), view })
    }

    /// One buffer of the readable bytes of all these: Netty's `Unpooled.wrappedBuffer`. Takes them over; those without a
    /// readable byte are released at once. The result is the empty buffer, a slice of the only one left, or a composite that has
    /// room for as many components as there are.
    ///
    /// # Errors
    /// As [`Composite::add_components`]; all buffers have been released then.
    #[track_caller]
    pub fn wrapped(buffers: impl IntoIterator<Item = Buffer<P>>) -> Result<Buffer<P>, BufferError> {
        let mut given: Vec<Owned<P>> = buffers.into_iter().map(Owned::from).collect();
        // Each is released here, or is in the composite: never both (Netty #5597).
        let readable: Vec<Owned<P>> = given.extract_if(.., |buffer| buffer.readable() > 0).collect();
        for unreadable in given {
            unreadable.release()?;
        }
        Self::wrapped_readable(readable)
    }

    #[track_caller]
    fn wrapped_readable(mut buffers: Vec<Owned<P>>) -> Result<Buffer<P>, BufferError> {
        match buffers.len() {
            0 => Ok(Buffer::empty()),
            1 => {
                let only = buffers.remove(0);
                let mut slice = only.slice(only.view.reader as usize, only.readable())?;
                // The slice takes the count over, and the handle goes.
                drop(only.into_buffer());
                slice.view.reader = 0;
                Ok(slice)
            }
            n => {
                let mut composite = Owned::from(Self::new(Area::Heap, n).into_buffer());
                Self::insert(&mut composite, true, 0, buffers)?;
                Ok(composite.into_buffer())
            }
        }
    }

    /// The plain handle.
    pub fn into_buffer(self) -> Buffer<P> {
        self.0
    }

    /// Its number of components; 0 when it is dead.
    pub fn component_count(&self) -> usize {
        self.look(|components| Ok(components.count())).unwrap_or(0)
    }

    /// The number of components beyond which they are made one; 0 when it is dead.
    pub fn max_components(&self) -> usize {
        self.look(|components| Ok(components.maximum)).unwrap_or(0)
    }

    /// Adds a buffer at the end; what is readable of it becomes readable here if `increase_writer_index`. As
    /// [`Composite::add_components`].
    ///
    /// # Errors
    /// As [`Composite::add_components`].
    #[track_caller]
    pub fn add_component(&mut self, increase_writer_index: bool, buffer: Buffer<P>) -> Result<(), BufferError> {
        self.add_components(increase_writer_index, [buffer])
    }

    /// Adds a buffer as component number `at`. As [`Composite::add_components`].
    ///
    /// # Errors
    /// As [`Composite::add_components`]; and when there are fewer than `at` components.
    #[track_caller]
    pub fn add_component_at(
        &mut self,
        increase_writer_index: bool,
        at: usize,
        buffer: Buffer<P>,
    ) -> Result<(), BufferError> {
        self.add_components_at(increase_writer_index, at, [buffer])
    }

    /// Adds buffers at the end, all or none. It **takes them over even when it fails**: then all of them are released. If there
    /// are more components than [`Composite::max_components`] then, they are made one.
    ///
    /// The writer index moves by what is added if `increase_writer_index`, wherever that is added.
    ///
    /// # Errors
    /// [`BufferError::Count`] when the composite or a buffer is dead, or somebody is inside; [`BufferError::Cycle`] when a
    /// buffer is, or contains, this composite; [`BufferError::Full`] beyond [`MAX_CAPACITY`](super::MAX_CAPACITY);
    /// [`BufferError::Memory`] when there is none to make them one; [`BufferError::ReadOnly`] through a read-only handle;
    /// [`BufferError::NotComposite`].
    #[track_caller]
    pub fn add_components(
        &mut self,
        increase_writer_index: bool,
        buffers: impl IntoIterator<Item = Buffer<P>>,
    ) -> Result<(), BufferError> {
        let new = buffers.into_iter().map(Owned::from).collect();
        Self::insert(&mut self.0, increase_writer_index, usize::MAX, new)
    }

    /// Adds buffers before component number `at`. As [`Composite::add_components`].
    ///
    /// # Errors
    /// As [`Composite::add_components`]; and [`BufferError::NoComponent`] when there are fewer than `at` components.
    #[track_caller]
    pub fn add_components_at(
        &mut self,
        increase_writer_index: bool,
        at: usize,
        buffers: impl IntoIterator<Item = Buffer<P>>,
    ) -> Result<(), BufferError> {
        let new = buffers.into_iter().map(Owned::from).collect();
        let at = at.min(usize::MAX - 1); // which is the end
        Self::insert(&mut self.0, increase_writer_index, at, new)
    }

    /// Adds the components of `buffer` that are readable, each retained, and then releases `buffer`; of one that is no
    /// composite, as [`Composite::add_component`]. Of nothing readable, no component is added.
    ///
    /// # Errors
    /// As [`Composite::add_components`]; `buffer` has been released then.
    #[track_caller]
    pub fn add_flattened_components(
        &mut self,
        increase_writer_index: bool,
        buffer: Buffer<P>,
    ) -> Result<(), BufferError> {
        let buffer = Owned::from(buffer);
        if buffer.readable() == 0 {
            buffer.release()?;
            return Ok(());
        }
        if buffer.shell_class() != Some(ShellClass::Composite) {
            return self.add_component(increase_writer_index, buffer.into_buffer());
        }
        let (at, length) = (buffer.view.reader as usize, buffer.readable());
        let parts = Self::slices(&buffer, at, length, 1)?;
        self.add_components(increase_writer_index, parts)
    }

    /// Component number `at`: a further handle of that buffer, which shares its count. Its readable bytes are what the composite
    /// shows of it.
    ///
    /// # Errors
    /// [`BufferError::NoComponent`]; [`BufferError::Count`] when the composite or the component is dead.
    #[track_caller]
    pub fn component(&self, at: usize) -> Result<Buffer<P>, BufferError> {
        self.look(|components| match components.get(at) {
            Some(buffer) => buffer.duplicate(),
            None => Err(BufferError::NoComponent { at, count: 1, components: components.count() }),
        })
    }

    /// As [`Composite::component`], of nothing but what the composite shows of it.
    ///
    /// # Errors
    /// As [`Composite::component`].
    #[track_caller]
    pub fn component_slice(&self, at: usize) -> Result<Buffer<P>, BufferError> {
        let buffer = self.component(at)?;
        buffer.slice(buffer.view.reader as usize, buffer.readable())
    }

    /// `length` bytes as slices of the components that they are in: [`Buffer::slice`]s of the buffers that were added, which
    /// share their counts. Retain what has to outlive the composite.
    ///
    /// # Errors
    /// [`BufferError`] when the composite or a component is dead, or there are no such bytes.
    #[track_caller]
    pub fn decompose(&self, at: usize, length: usize) -> Result<Vec<Buffer<P>>, BufferError> {
        Self::slices(&self.0, at, length, 0)
    }

    /// As [`Composite::decompose`], each with one more count of its component, which is the caller's to release.
    ///
    /// # Errors
    /// As [`Composite::decompose`]; nothing is retained then.
    #[track_caller]
    pub fn retained_decompose(&self, at: usize, length: usize) -> Result<Vec<Buffer<P>>, BufferError> {
        Self::slices(&self.0, at, length, 1)
    }
}

impl<P: Platform> Deref for Composite<P> {
    type Target = Buffer<P>;
    fn deref(&self) -> &Buffer<P> {
        &self.0
    }
}

impl<P: Platform> DerefMut for Composite<P> {
    fn deref_mut(&mut self) -> &mut Buffer<P> {
        &mut self.0
    }
}

impl<P: Platform> From<Composite<P>> for Buffer<P> {
    fn from(composite: Composite<P>) -> Self {
        composite.0
    }
}

impl<P: Platform> TryFrom<Buffer<P>> for Composite<P> {
    /// The handle, if it isn't one of a whole composite.
    type Error = Buffer<P>;

    fn try_from(buffer: Buffer<P>) -> Result<Self, Buffer<P>> {
        let whole = buffer.is_whole_composite();
        if whole { Ok(Self(buffer)) } else { Err(buffer) }
    }
}
