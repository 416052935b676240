//! A reference-counted buffer whose shell is pooled.
//!
//! **Invariant: the memory is touched only under a pin, and given back only when nobody holds one**; so a release too
//! many or a use after release is an `Err` and never undefined behaviour.
//!
//! ```text
//!   Buffer (handle)            Shell (pooled, reused)            memory (P::alloc)
//!   shell ────────────────────> count: generation | raw
//!   generation  (of its life)   memory ───────────────────────> [ written ........ | free ]
//!   reader, writer (its own)    home: itself, while in use         reader^   writer^
//! ```
//!
//! A handle is moved around, not the bytes. It owns nothing by itself: dropping one does **not** release, as in Netty, so
//! that a forgotten release is a leak that a checker can see. [`Owned`] is the form that releases when dropped. Unlike
//! Netty's, the indices belong to the handle.

pub use crate::memory::OutOfMemory;

use crate::observe::{Event, Kind, Reach};
use crate::platform::CellOps;
use crate::recycler::{Domain, Pooled, Recycler, RecyclerConfig, RecyclerStats};
use crate::refcnt::{IllegalCount, RefCount};
use crate::{Platform, Std};
use alloc::sync::Arc;
use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

/// Bytes could not be put into a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PutError {
    /// The buffer is dead or has several owners.
    #[error(transparent)]
    Count(#[from] IllegalCount),
    /// It is too small.
    #[error("no room for {needed} bytes: {room} are free")]
    Full {
        /// Bytes to put.
        needed: usize,
        /// Bytes free.
        room: usize,
    },
}

struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

/// What is pooled: everything of a buffer but its bytes.
struct Shell<P: Platform> {
    count: RefCount<P>,
    id: P::Id,
    memory: P::Cell<Option<Memory>>,
    /// The right to recycle the shell, kept here while a buffer lives in it.
    home: P::Cell<Option<Pooled<ShellRef<P>, P>>>,
}

/// A pooled reference to a shell; handles of earlier lives may refer to the same one.
struct ShellRef<P: Platform>(Arc<Shell<P>>);

// SAFETY: the two cells are written only by the one who obtained the dead shell from its recycler and by the one whom
// `count` told to deallocate, and `memory` is read only under a pin; `count` orders all of these (see `RefCount::change`). What is in
// the cells (bytes, a `Pooled` of a `Send` type) may move between threads.
unsafe impl<P: Platform> Send for Shell<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Shell<P> {}

impl<P: Platform> Shell<P> {
    fn new() -> Self {
        Self {
            count: RefCount::new(),
            id: P::identify(Kind::Buffer),
            memory: P::Cell::new(None),
            home: P::Cell::new(None),
        }
    }
}

impl<P: Platform> Drop for Shell<P> {
    fn drop(&mut self) {
        debug_assert!(P::unwinding() || self.memory.get_mut().is_none(), "a live buffer keeps its shell alive");
        P::destroyed(self.id);
    }
}

/// Where buffers come from: their shells from a recycler, their memory from the platform.
pub struct BufferPool<P: Platform = Std> {
    shells: Recycler<ShellRef<P>, P>,
}

impl<P: Platform> Clone for BufferPool<P> {
    fn clone(&self) -> Self {
        Self { shells: self.shells.clone() }
    }
}

impl<P: Platform> BufferPool<P> {
    /// A pool whose shells are recycled in `domain`.
    pub fn new_in(domain: &Domain<P>, config: RecyclerConfig) -> Self {
        let make = || ShellRef(Arc::new(Shell::new()));
        Self { shells: Recycler::new_in(domain, Kind::BufferShell, config, make) }
    }

    /// An empty buffer with room for `capacity` bytes and a count of one.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the platform has none, or `capacity` exceeds 4 GiB.
    #[track_caller]
    pub fn allocate(&self, capacity: usize) -> Result<Buffer<P>, OutOfMemory> {
        let refused = OutOfMemory { capacity };
        let layout = Layout::array::<u8>(capacity).map_err(|_| refused)?;
        let mut home = self.shells.get();
        let start = u32::try_from(capacity).ok().and_then(|_| P::alloc(layout));
        let Some(start) = start else {
            P::reach(Reach::AllocationFailed);
            return Err(refused);
        };
        let generation = home.0.count.revive().unwrap_or_else(|| {
            *home = ShellRef(Arc::new(Shell::new())); // the old one has used up its generations
            home.0.count.revive().expect("a new shell has generations")
        });
        let shell = Arc::clone(&home.0);
        let ticket = P::obtained(shell.id);
        // SAFETY: the shell came from its recycler, so that nobody is inside; the new generation is known to nobody yet,
        // and handles of earlier ones can't pin it.
        shell.memory.with_mut(|m| unsafe { *m = Some(Memory { start, layout }) });
        // SAFETY: as above.
        shell.home.with_mut(|h| unsafe { *h = Some(home) });
        Ok(Buffer { shell, ticket, generation, reader: 0, writer: 0 })
    }

    /// The statistics of the shells.
    pub fn stats(&self) -> RecyclerStats {
        self.shells.stats()
    }
}

/// A handle to a reference-counted buffer. See the [module](self).
pub struct Buffer<P: Platform = Std> {
    shell: Arc<Shell<P>>,
    ticket: P::Ticket,
    generation: u32,
    reader: u32,
    writer: u32,
}

impl<P: Platform> Buffer<P> {
    /// The count; 0 when the buffer is dead.
    pub fn count(&self) -> u32 {
        self.shell.count.count(self.generation)
    }

    /// Adds one owner and gives its handle, with indices of its own.
    ///
    /// # Errors
    /// [`IllegalCount`] when the buffer is dead or the count would overflow.
    #[track_caller]
    pub fn retain(&self) -> Result<Self, IllegalCount> {
        self.retain_many(1)?;
        Ok(Self {
            shell: Arc::clone(&self.shell),
            ticket: self.ticket,
            generation: self.generation,
            reader: self.reader,
            writer: self.writer,
        })
    }

    /// Adds `n` to the count.
    ///
    /// # Errors
    /// [`IllegalCount`] when the buffer is dead, `n` is 0, or the count would overflow.
    #[track_caller]
    pub fn retain_many(&self, n: u32) -> Result<(), IllegalCount> {
        let count = self.shell.count.retain(self.generation, n).inspect_err(|refused| self.note_if_dead(refused))?;
        P::note(self.ticket, Event::Retained(count));
        Ok(())
    }

    /// Subtracts one from the count; the last release gives memory and shell back, on this thread, and says `true`.
    ///
    /// # Errors
    /// [`IllegalCount`] when the buffer is dead.
    #[track_caller]
    pub fn release(&self) -> Result<bool, IllegalCount> {
        self.release_many(1)
    }

    /// Subtracts `n` from the count, as [`Buffer::release`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the buffer is dead, `n` is 0, or `n` exceeds the count.
    #[track_caller]
    pub fn release_many(&self, n: u32) -> Result<bool, IllegalCount> {
        let result = self.shell.count.release(self.generation, n);
        P::note(self.ticket, result.map_or(Event::IllegalRelease, |r| Event::Released(r.left)));
        let release = result?;
        if release.deallocate {
            self.deallocate();
        }
        Ok(release.left == 0)
    }

    /// Tells a checker where the buffer passes.
    #[track_caller]
    pub fn touch(&self, place: &'static str) {
        P::note(self.ticket, Event::Touched(place));
    }

    /// Bytes put and not yet consumed through this handle.
    pub fn readable(&self) -> usize {
        (self.writer - self.reader) as usize
    }

    /// Consumes `n` bytes.
    ///
    /// # Panics
    /// When fewer are readable.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.readable(), "{n} bytes consumed of {}", self.readable());
        self.reader += n as u32;
    }

    /// The readable bytes, pinned until the guard is dropped.
    ///
    /// # Errors
    /// [`IllegalCount`] when the buffer is dead.
    #[track_caller]
    pub fn bytes(&self) -> Result<Bytes<'_, P>, IllegalCount> {
        self.shell.count.pin(self.generation).inspect_err(|refused| self.note_if_dead(refused))?;
        // SAFETY: the pin keeps the memory, so that the cell is only read meanwhile.
        let start = self.shell.memory.with(|m| unsafe { (*m).as_ref().map(|m| m.start) });
        Ok(Bytes { buffer: self, start: start.expect("a pinned buffer has memory") })
    }

    /// Appends `data`. Only the sole owner may.
    ///
    /// # Errors
    /// [`PutError`] when the count isn't one or the room is too small; nothing is put then.
    #[track_caller]
    pub fn put(&mut self, data: &[u8]) -> Result<(), PutError> {
        self.append(data.len(), |to| {
            // SAFETY: `append` gives exclusive memory of `data.len()` bytes, which can't overlap a shared slice.
            unsafe { to.as_ptr().copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        })
    }

    /// Appends `n` bytes of `value`. Only the sole owner may.
    ///
    /// # Errors
    /// As [`Buffer::put`].
    #[track_caller]
    pub fn put_repeated(&mut self, value: u8, n: usize) -> Result<(), PutError> {
        // SAFETY: `append` gives exclusive memory of `n` bytes.
        self.append(n, |to| unsafe { to.as_ptr().write_bytes(value, n) })
    }

    /// A refusal tells the checker of a use after the release only if there was a release: that an owner isn't the only one,
    /// or asks for too much, harms nobody.
    #[track_caller]
    fn note_if_dead(&self, refused: &IllegalCount) {
        if refused.count == 0 {
            P::note(self.ticket, Event::IllegalCount);
        }
    }

    #[track_caller]
    fn append(&mut self, n: usize, fill: impl FnOnce(NonNull<u8>)) -> Result<(), PutError> {
        let granted = self.shell.count.pin_to_write(self.generation);
        granted.inspect_err(|refused| self.note_if_dead(refused))?;
        // SAFETY: the pin keeps the memory, so that the cell is only read meanwhile.
        let (start, size) = self.shell.memory.with(|m| unsafe {
            let memory = (*m).as_ref().expect("a live buffer has memory");
            (memory.start, memory.layout.size())
        });
        let at = self.writer as usize;
        let fits = n <= size - at;
        if fits {
            // SAFETY: `at <= size`, so the result is within the allocation or one past its end.
            fill(unsafe { start.add(at) });
            self.writer += n as u32;
        }
        self.unpin();
        if fits { Ok(()) } else { Err(PutError::Full { needed: n, room: size - at }) }
    }

    fn unpin(&self) {
        if self.shell.count.unpin(self.generation) {
            self.deallocate();
        }
    }

    /// Ends the life that `count` has just said to be over.
    fn deallocate(&self) {
        // SAFETY: `count` says so once in a generation, and orders all earlier accesses before it; nobody can pin or revive
        // the shell until `home` is recycled below.
        let memory = self.shell.memory.with_mut(|m| unsafe { (*m).take() }).expect("a live buffer has memory");
        // SAFETY: it came from `P::alloc` with this layout and has just been taken out of the only place that held it.
        unsafe { P::dealloc(memory.start, memory.layout) };
        P::note(self.ticket, Event::Deallocated);
        // SAFETY: as for `memory`.
        let home = self.shell.home.with_mut(|h| unsafe { (*h).take() });
        drop(home); // last: another thread may reuse the shell at once
    }
}

/// The readable bytes of a buffer, pinned.
pub struct Bytes<'a, P: Platform = Std> {
    buffer: &'a Buffer<P>,
    start: NonNull<u8>,
}

impl<P: Platform> Deref for Bytes<'_, P> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the pin keeps the memory and keeps writers out; the handle's bytes up to `writer` are initialised, by it or
        // by the handle it was retained from.
        unsafe { slice::from_raw_parts(self.start.add(self.buffer.reader as usize).as_ptr(), self.buffer.readable()) }
    }
}

impl<P: Platform> Drop for Bytes<'_, P> {
    fn drop(&mut self) {
        self.buffer.unpin();
    }
}

/// A buffer that is released when dropped.
pub struct Owned<P: Platform = Std>(ManuallyDrop<Buffer<P>>);

impl<P: Platform> Owned<P> {
    /// Keeps the count: the handle is the caller's to release.
    pub fn into_buffer(self) -> Buffer<P> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used or dropped again.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<P: Platform> From<Buffer<P>> for Owned<P> {
    fn from(buffer: Buffer<P>) -> Self {
        Self(ManuallyDrop::new(buffer))
    }
}

impl<P: Platform> Deref for Owned<P> {
    type Target = Buffer<P>;
    fn deref(&self) -> &Buffer<P> {
        &self.0
    }
}

impl<P: Platform> DerefMut for Owned<P> {
    fn deref_mut(&mut self) -> &mut Buffer<P> {
        &mut self.0
    }
}

impl<P: Platform> Drop for Owned<P> {
    fn drop(&mut self) {
        let _refused = self.0.release(); // a double release has been noted already
        // SAFETY: `self` is being dropped, so that the handle is not used again.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}
