//! The components of a composite.
//!
//! **Invariant: each component ends where the next one begins**, and what is in the list has one count of its buffer.
//!
//! ```text
//!   component 0      component 1   component 2
//!   [ ..shown.. ]    [ shown ]     [ shown ....... ]
//!   0           end  0       end   0               end     ends: where each of them stops within the composite
//! ```
//!
//! What a component shows of its buffer is what was readable through the handle that was given; that handle is kept as it is,
//! and its reader and writer index say what is shown. It is this handle, and no other buffer that it may be a part of, that has
//! the count (Netty #8495, #8946, #11696).

use crate::Platform;
use crate::buffer::access::Access;
use crate::buffer::shell::{Shell, ShellClass};
use crate::buffer::{Buffer, BufferError, MAX_CAPACITY, Owned};
use crate::memory::Area;
use crate::observe::Defect;
use crate::platform::AtomicOps;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;

/// A buffer that is a part of a composite.
struct Component<P: Platform> {
    buffer: Owned<P>,
    /// Where it stops within the composite.
    end: u32,
}

impl<P: Platform> Component<P> {
    fn length(&self) -> u32 {
        self.buffer.readable() as u32
    }
}

/// A part of a component.
pub(crate) struct Part<P: Platform> {
    /// The component's shell.
    pub(crate) shell: NonNull<Shell<P>>,
    /// In the memory, or in the composite, that the component is a part of.
    pub(crate) offset: u32,
    /// Never 0.
    pub(crate) length: u32,
    /// Whether the component refuses writing.
    pub(crate) read_only: bool,
}

/// What a composite's shell has instead of memory.
pub(crate) struct Components<P: Platform> {
    list: Vec<Component<P>>,
    /// More than these are made one.
    pub(super) maximum: usize,
    /// Of memory that the composite needs for itself.
    pub(super) area: Area,
    /// Whether it may be a component itself. Set under a pin, read under an exclusive one.
    pub(super) nested: P::Atomic<bool>,
}

impl<P: Platform> Components<P> {
    pub(super) fn new(area: Area, maximum: usize) -> Self {
        Self { list: Vec::new(), maximum, area, nested: P::Atomic::new(false) }
    }

    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// Bytes of all of them.
    pub(super) fn length(&self) -> u32 {
        self.list.last().map_or(0, |last| last.end)
    }

    /// Where component `i` begins.
    pub(super) fn start(&self, i: usize) -> u32 {
        if i == 0 { 0 } else { self.list[i - 1].end }
    }

    pub(super) fn get(&self, i: usize) -> Option<&Buffer<P>> {
        self.list.get(i).map(|component| &*component.buffer)
    }

    pub(super) fn buffers(&self, range: Range<usize>) -> impl Iterator<Item = &Buffer<P>> {
        self.list[range].iter().map(|component| &*component.buffer)
    }

    /// The shells of those that are composites themselves.
    pub(super) fn composites(&self) -> impl Iterator<Item = NonNull<Shell<P>>> {
        let is_composite = |buffer: &&Owned<P>| buffer.shell_class() == Some(ShellClass::Composite);
        self.list.iter().map(|component| &component.buffer).filter(is_composite).filter_map(|buffer| buffer.shell)
    }

    /// Whether there are `count` components from `at` on.
    pub(super) fn check(&self, at: usize, count: usize) -> Result<Range<usize>, BufferError> {
        let components = self.count();
        match at.checked_add(count).filter(|&end| end <= components) {
            Some(end) => Ok(at..end),
            None => Err(BufferError::NoComponent { at, count, components }),
        }
    }

    /// Whether there is room for `needed` bytes more.
    pub(super) fn check_room(&self, needed: usize) -> Result<(), BufferError> {
        let room = MAX_CAPACITY - self.length() as usize;
        if needed <= room { Ok(()) } else { Err(BufferError::Full { needed, room }) }
    }

    /// The first component that ends beyond `at`.
    fn index_of(&self, at: u32) -> usize {
        self.list.partition_point(|component| component.end <= at)
    }

    /// The parts that make up `length` bytes at `at`, which there are; empty ones are left out.
    pub(crate) fn parts(&self, at: u32, length: u32) -> impl Iterator<Item = Part<P>> {
        let end = at + length;
        let first = if length == 0 { self.count() } else { self.index_of(at) };
        let mut from = at;
        self.list[first..].iter().take_while(move |c| c.end - c.length() < end).filter_map(move |c| {
            let start = c.end - c.length();
            let until = end.min(c.end);
            let part = Part {
                shell: c.buffer.shell.filter(|_| from < until)?,
                offset: c.buffer.view.offset + c.buffer.view.reader + (from - start),
                length: until - from,
                read_only: c.buffer.view.read_only,
            };
            from = until;
            Some(part)
        })
    }

    /// As `parts`, as slices of the components with `n` more on the count of each.
    #[track_caller]
    pub(super) fn slices(&self, at: u32, length: u32, n: u32) -> Result<Vec<Buffer<P>>, BufferError> {
        let end = at + length;
        let first = if length == 0 { self.count() } else { self.index_of(at) };
        let mut slices = Vec::new();
        let mut from = at;
        for c in self.list[first..].iter().take_while(|c| c.end - c.length() < end) {
            let until = end.min(c.end);
            if from < until {
                let start = c.buffer.view.reader + (from - (c.end - c.length()));
                let slice = c.buffer.slice(start as usize, (until - from) as usize);
                let retain = |slice: &Buffer<P>| if n == 0 { Ok(()) } else { Ok(slice.retain_many(n)?) };
                match slice.and_then(|slice| retain(&slice).map(|()| slice)) {
                    Ok(slice) => slices.push(slice),
                    Err(refused) => {
                        slices.iter().filter(|_| n > 0).for_each(|slice| {
                            let _refused = slice.release_many(n); // noted
                        });
                        return Err(refused);
                    }
                }
            }
            from = until;
        }
        Ok(slices)
    }

    /// Puts `new` in at `at`.
    pub(super) fn insert(&mut self, at: usize, new: &mut Vec<Owned<P>>) {
        self.list.splice(at..at, new.drain(..).map(|buffer| Component { buffer, end: 0 }));
        self.put_in_order(at);
    }

    /// Takes components out, which are the caller's then.
    pub(super) fn remove(&mut self, range: Range<usize>) -> Vec<Owned<P>> {
        let at = range.start;
        let removed = self.list.drain(range).map(|component| component.buffer).collect();
        self.put_in_order(at);
        removed
    }

    /// Takes the components out that end at or before `at`.
    pub(super) fn remove_until(&mut self, at: u32) -> Vec<Owned<P>> {
        self.remove(0..self.index_of(at))
    }

    /// Lets the first component begin `n` bytes later; it has more.
    pub(super) fn cut_front(&mut self, n: u32) {
        if n > 0 {
            self.list[0].buffer.view.reader += n;
            self.put_in_order(0);
        }
    }

    /// Cuts the end off, and takes the components out that were in it, wholly.
    pub(super) fn cut_back(&mut self, length: u32) -> Vec<Owned<P>> {
        let kept = self.list.partition_point(|component| component.end - component.length() < length);
        let removed = self.remove(kept..self.count());
        if let Some(last) = self.list.last_mut() {
            let too_much = last.end.saturating_sub(length);
            last.buffer.view.writer -= too_much;
            last.end -= too_much;
        }
        removed
    }

    /// All of them, the last one first, as shells with a handle, and whether a count is to be released, too.
    pub(in crate::buffer) fn give_up(&mut self, release: bool) -> impl Iterator<Item = (NonNull<Shell<P>>, bool)> {
        self.list.drain(..).rev().filter_map(move |Component { buffer, .. }| {
            let mut release = release && !buffer.view.unreleasable;
            let derived = buffer.shell_class().is_some_and(|class| !class.is_root());
            if release && derived && P::planted(Defect::CompositeReleasesRoot) {
                release = false;
                if let Some(root) = buffer.enter().ok().as_ref().and_then(Access::root) {
                    // SAFETY: kept by the content of the component's shell, which is pinned.
                    let _refused = unsafe { Shell::release(NonNull::from(root), 1) };
                }
            }
            buffer.into_buffer().into_shell().map(|shell| (shell, release))
        })
    }

    fn put_in_order(&mut self, from: usize) {
        let mut at = self.start(from);
        for component in &mut self.list[from..] {
            at += component.length();
            component.end = at;
        }
    }
}
