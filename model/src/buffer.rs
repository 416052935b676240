//! Reference-counted buffers, whose shells are pooled.
//!
//! **Invariant: the memory is touched only under a pin or by the only one who could, and given back only when nobody is
//! inside; a shell is reused only when nobody has a handle.** So a release too many or a use after release is an `Err` and never
//! undefined behaviour.
//!
//! ```text
//!   Buffer (handle)           Shell (pooled, reused)              Memory (a block)
//!   shell ──────────────────> count: handles | pins | count
//!   window: offset, length    content ─────────────────────────> [ written ........ | free ]
//!   reader, writer (its own)  home: itself, while in use            reader^   writer^
//! ```
//!
//! A handle is moved around, not the bytes. The count is the program's: dropping a handle does **not** release, as in Netty.
//! [`Owned`] is the form that releases when dropped. But handles are counted, too: when the last one is dropped and the count is
//! positive, nobody can release any more, and the leak is known at that moment.
//!
//! Unlike Netty's, the indices belong to the handle, and writing asks for the sole owner: a count of one. Errors are values:
//!
//! ```
//! use millpond_model::{Preset, allocator::Allocator};
//!
//! let mut buffer = Allocator::new(Preset::Millpond).allocate(16)?;
//! buffer.put(b"pond")?;
//! let slice = buffer.retained_slice(0, 2)?; // a count of its own, and one of `buffer`'s
//! assert_eq!((buffer.count(), slice.count()), (2, 1));
//! assert!(buffer.put(b"!").is_err()); // somebody else is reading
//! assert_eq!(buffer.release(), Ok(false));
//! assert_eq!(&*slice.bytes()?, b"po");
//! assert_eq!(slice.release(), Ok(true)); // which releases `buffer` for the second time
//! assert!(buffer.release().is_err() && buffer.bytes().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod composite;
mod copy;
mod derive;
mod error;
mod frozen;
mod grow;
mod index;
mod io;
mod owned;
mod readable;
mod shell;
mod typed;
mod views;
mod writable;

pub use crate::memory::OutOfMemory;
pub use composite::{Chunks, Composite, MAX_COMPONENTS};
pub use error::BufferError;
pub use frozen::Frozen;
pub use grow::new_capacity;
pub use owned::Owned;
pub use readable::Readable;
pub use shell::ShellClass;
pub(crate) use shell::{Shell, ShellBox};
pub use writable::Writable;

use crate::leak::Access;
use crate::observe::Event;
use crate::refcnt::IllegalCount;
use crate::{Platform, Std};
use core::mem::ManuallyDrop;
use core::panic::Location;
use core::ptr::NonNull;

/// The most bytes of a buffer: 2^31 - 1, as in Netty.
pub const MAX_CAPACITY: usize = i32::MAX as usize;

/// A handle to a reference-counted buffer. See the [module](self).
pub struct Buffer<P: Platform = Std> {
    /// `None`: the empty buffer, which has none.
    shell: Option<NonNull<Shell<P>>>,
    view: View,
}

/// What a handle sees, and may do.
#[derive(Clone, Copy)]
struct View {
    /// Of its window, in the root's memory.
    offset: u32,
    /// `None`: the whole of the root, however large that is.
    length: Option<u32>,
    /// Within the window, as is `writer`.
    reader: u32,
    writer: u32,
    read_only: bool,
    unreleasable: bool,
    /// The shell has a tracker, which is told of every use.
    tracked: bool,
}

impl View {
    const WHOLE: Self =
        Self { offset: 0, length: None, reader: 0, writer: 0, read_only: false, unreleasable: false, tracked: false };
    const EMPTY: Self = Self { length: Some(0), unreleasable: true, ..Self::WHOLE };
}

// SAFETY: a handle is a counted reference to a shell, which is `Send` and `Sync`.
unsafe impl<P: Platform> Send for Buffer<P> {}
// SAFETY: as above; what changes the handle itself borrows it exclusively.
unsafe impl<P: Platform> Sync for Buffer<P> {}

impl<P: Platform> Buffer<P> {
    /// The buffer that never has a byte. It isn't counted: a release does nothing, says `false`, and never fails.
    pub const fn empty() -> Self {
        Self { shell: None, view: View::EMPTY }
    }

    /// A handle of a life that has just begun: the first and only one. Made of small parts where it is needed, for a handle that
    /// is written by parts and copied as a whole waits for its own writes.
    #[inline(always)]
    pub(crate) fn first(shell: NonNull<Shell<P>>, tracked: bool) -> Self {
        Self { shell: Some(shell), view: View { tracked, ..View::WHOLE } }
    }

    #[inline]
    fn shell(&self) -> Option<&Shell<P>> {
        // SAFETY: our handle keeps the shell.
        self.shell.map(|shell| unsafe { shell.as_ref() })
    }

    /// Whether it is the empty buffer, which has no count.
    pub fn is_empty_buffer(&self) -> bool {
        self.shell.is_none()
    }

    /// The count; 0 when the buffer is dead. The empty buffer's is 1.
    pub fn count(&self) -> u32 {
        self.shell().map_or(1, |shell| shell.count.count())
    }

    /// Adds one owner and gives its handle, with indices of its own.
    ///
    /// # Errors
    /// [`IllegalCount`] when the buffer is dead, or count or handles would overflow.
    #[track_caller]
    pub fn retain(&self) -> Result<Self, IllegalCount> {
        self.another(1, self.view)
    }

    /// Adds `n` to the count.
    ///
    /// # Errors
    /// [`IllegalCount`] when the buffer is dead, `n` is 0, or the count would overflow.
    #[track_caller]
    pub fn retain_many(&self, n: u32) -> Result<(), IllegalCount> {
        let Some(shell) = self.shell().filter(|_| !self.view.unreleasable) else { return Ok(()) };
        self.record(Access::Retained);
        let count = shell.count.retain(n).inspect_err(|refused| shell.note_if_dead(refused))?;
        shell.note(Event::Retained(count));
        Ok(())
    }

    /// Subtracts one from the count; the last release gives the memory back, on this thread, and says `true`. The handle stays,
    /// and with it the shell, as long as it isn't dropped: [`Owned::release`] does both at once.
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
        let Some(shell) = self.shell.filter(|_| !self.view.unreleasable) else { return Ok(false) };
        self.record(Access::Released);
        // SAFETY: our handle keeps the shell.
        unsafe { Shell::release(shell, n) }
    }

    /// Tells a checker, and the leak detector, where the buffer passes.
    #[track_caller]
    pub fn touch(&self, place: &'static str) {
        if let Some(shell) = self.shell() {
            shell.note(Event::Touched(place));
            if self.view.tracked
                && let Some(tracker) = shell.tracker()
            {
                tracker.record_hinted(Access::Touched, &place);
            }
        }
    }

    /// Where the buffer was released for the last time: what an [`IllegalCount`] leaves open. Known of those that a leak
    /// detector watches with [`track_close`](crate::leak::LeakConfig::track_close), and as long as the handle exists.
    pub fn released_at(&self) -> Option<&'static Location<'static>> {
        self.shell()?.tracker()?.closed_at()
    }

    /// Tells the leak detector, if it watches this buffer.
    #[track_caller]
    #[inline]
    fn record(&self, access: Access) {
        if self.view.tracked {
            self.record_tracked(access);
        }
    }

    #[track_caller]
    #[cold]
    fn record_tracked(&self, access: Access) {
        if let Some(tracker) = self.shell().and_then(Shell::tracker) {
            tracker.record(access);
        }
    }

    /// A further handle that sees `view`, with `n` more on the count.
    #[track_caller]
    fn another(&self, n: u32, view: View) -> Result<Self, IllegalCount> {
        let n = if self.view.unreleasable { 0 } else { n };
        if let Some(shell) = self.shell() {
            self.record(if n > 0 { Access::Retained } else { Access::Used });
            let count = shell.count.join(n).inspect_err(|refused| shell.note_if_dead(refused))?;
            if n > 0 {
                shell.note(Event::Retained(count));
            }
        }
        Ok(Self { shell: self.shell, view })
    }

    /// The shell, with the handle on it; the handle is the caller's to give up.
    fn into_shell(self) -> Option<NonNull<Shell<P>>> {
        ManuallyDrop::new(self).shell
    }

    /// What kind of object holds its count; `None` for the empty buffer.
    pub fn shell_class(&self) -> Option<ShellClass> {
        self.shell().map(|shell| shell.class)
    }

    /// A number that tells its shell from all others of the same allocator: the shell of an ended buffer comes again. `None`
    /// for the empty buffer.
    pub fn shell_serial(&self) -> Option<u32> {
        self.shell().map(|shell| shell.serial)
    }

    /// Whether writing through this handle is refused.
    pub fn is_read_only(&self) -> bool {
        self.view.read_only
    }

    /// Where this handle reads next, within its window.
    pub fn reader_index(&self) -> usize {
        self.view.reader as usize
    }

    /// Where this handle writes next, within its window.
    pub fn writer_index(&self) -> usize {
        self.view.writer as usize
    }

    /// Bytes put and not yet consumed through this handle.
    pub fn readable(&self) -> usize {
        (self.view.writer - self.view.reader) as usize
    }

    /// Consumes `n` bytes.
    ///
    /// # Panics
    /// When fewer are readable.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.readable(), "{n} bytes consumed of {}", self.readable());
        self.view.reader += n as u32;
    }

    /// The readable bytes, pinned until the guard is dropped. Where [`std::io::Read`] is in scope, which has a method of this
    /// name, it is to be called as `Buffer::bytes(&buffer)`.
    ///
    /// # Errors
    /// [`BufferError`] when the buffer is dead, somebody is writing, or it has become smaller than that.
    #[track_caller]
    pub fn bytes(&self) -> Result<Readable<'_, P>, BufferError> {
        Readable::new(self.enter()?, self.view.reader, self.view.writer)
    }

    /// Appends `data`. Only the sole owner may. Grows as far as it may.
    ///
    /// # Errors
    /// [`BufferError`] when the count isn't one, the buffer is read-only, or the room is too small; nothing is put then.
    #[track_caller]
    pub fn put(&mut self, data: &[u8]) -> Result<(), BufferError> {
        self.append(data.len(), |from, to| to.copy_from_slice(&data[from..from + to.len()]))
    }

    /// Appends `n` bytes of `value`. Only the sole owner may.
    ///
    /// # Errors
    /// As [`Buffer::put`].
    #[track_caller]
    pub fn put_repeated(&mut self, value: u8, n: usize) -> Result<(), BufferError> {
        self.append(n, |_, to| to.fill(value))
    }

    /// Makes room for `n` bytes, lets `fill` write them, piece by piece, and moves the writer index.
    #[track_caller]
    #[inline]
    fn append(&mut self, n: usize, fill: impl FnMut(usize, &mut [u8])) -> Result<(), BufferError> {
        let at = self.view.writer as usize;
        let mut access = self.enter_to_write()?;
        let capacity = access.capacity as usize;
        if capacity < at + n {
            let begun = at.min(capacity); // another handle may have made the buffer smaller than this one's index
            access.write_at(begun, capacity - begun, |_, _| ())?; // a component may refuse: not after growing
            drop(access);
            self.grow(n)?;
            access = self.reach_to_write()?;
        }
        access.write_at(at, n, fill)?;
        drop(access);
        self.view.writer += n as u32;
        Ok(())
    }
}

impl<P: Platform> Drop for Buffer<P> {
    fn drop(&mut self) {
        if let Some(shell) = self.shell {
            // SAFETY: the handle is ours, and not used again.
            unsafe { Shell::leave(shell) };
        }
    }
}
