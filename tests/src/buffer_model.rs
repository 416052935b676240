//! A naive model of buffers, and a machine that does the same to a model and to real buffers and compares.
//!
//! **Invariant: whether an operation is refused, and every byte and number that can be seen after it, is what the model says.** Used by
//! a property test, and by the fuzzer in `tests/fuzz`.
//!
//! ```text
//!   Op ──> Machine ──> Buffer (real)                handle ──> life: count, handles ──> root: bytes
//!              └─────> Model: vectors and indices               (derived: a parent, and the root)
//! ```
//!
//! The model counts, and keeps bytes in vectors. It knows no pins, words, pools or pointers.

use arbitrary::Arbitrary;
use millpond_model::Preset;
use millpond_model::allocator::{Allocator, AllocatorConfig, Derivation, LeakedMemory};
use millpond_model::buffer::{Buffer, Owned};

/// One operation. Handles are meant modulo their number, all other numbers literally.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
#[allow(missing_docs)] // each is the method of that name
pub enum Op {
    Allocate {
        capacity: u8,
        more: u8,
    },
    Put {
        of: u8,
        byte: u8,
        n: u8,
    },
    Advance {
        of: u8,
        n: u8,
    },
    ReadInto {
        of: u8,
        n: u8,
    },
    Slice {
        of: u8,
        at: u8,
        n: u8,
    },
    Duplicate {
        of: u8,
    },
    ReadSlice {
        of: u8,
        n: u8,
    },
    RetainedSlice {
        of: u8,
        at: u8,
        n: u8,
    },
    RetainedDuplicate {
        of: u8,
    },
    ReadRetainedSlice {
        of: u8,
        n: u8,
    },
    Copy {
        of: u8,
        at: u8,
        n: u8,
    },
    ReadBytes {
        of: u8,
        n: u8,
    },
    Retain {
        of: u8,
    },
    RetainMany {
        of: u8,
        n: u8,
    },
    Release {
        of: u8,
    },
    ReleaseMany {
        of: u8,
        n: u8,
    },
    SetCapacity {
        of: u8,
        n: u8,
    },
    EnsureWritable {
        of: u8,
        n: u8,
    },
    /// The handle is dropped, and nothing else.
    Drop {
        of: u8,
    },
    /// It is dropped and released in one.
    End {
        of: u8,
    },
}

/// Handles at most: more are refused by the machine, so that a long input stays fast.
const MAX_HANDLES: usize = 40;

struct Life {
    count: u32,
    handles: usize,
    of: Of,
}

enum Of {
    /// Its bytes, as far as they are known: what was never put is anything.
    Root { bytes: Vec<Option<u8>>, maximum: usize },
    /// A count of its own.
    Derived { parent: usize, root: usize },
}

#[derive(Clone, Copy)]
struct Handle {
    life: usize,
    offset: usize,
    /// `None`: the whole of the root.
    length: Option<usize>,
    reader: usize,
    writer: usize,
}

/// See the [module](self).
pub struct Machine {
    allocator: Allocator,
    own_counts: bool,
    lives: Vec<Life>,
    handles: Vec<(Handle, Buffer)>,
}

impl Machine {
    /// With the rules of `preset`; but what leaks is reclaimed, so that a fuzzer can look for leaks of memory.
    pub fn new(preset: Preset) -> Self {
        let config = AllocatorConfig { leaked: LeakedMemory::Reclaimed, ..preset.into() };
        let own_counts = config.derivation == Derivation::OwnCount;
        Self { allocator: Allocator::new(config), own_counts, lives: Vec::new(), handles: Vec::new() }
    }

    fn root(&self, life: usize) -> usize {
        match self.lives[life].of {
            Of::Root { .. } => life,
            Of::Derived { root, .. } => root,
        }
    }

    fn bytes(&self, life: usize) -> &Vec<Option<u8>> {
        match &self.lives[self.root(life)].of {
            Of::Root { bytes, .. } => bytes,
            Of::Derived { .. } => unreachable!("a root is a root"),
        }
    }

    fn maximum(&self, handle: &Handle) -> usize {
        match (handle.length, &self.lives[self.root(handle.life)].of) {
            (Some(length), _) => length,
            (None, Of::Root { maximum, .. }) => *maximum,
            (None, Of::Derived { .. }) => unreachable!("a root is a root"),
        }
    }

    fn lives(&self, life: usize) -> bool {
        self.lives[life].count > 0
    }

    /// Whether its bytes can be reached, and how many there are.
    fn window(&self, handle: &Handle) -> Option<usize> {
        let all = self.bytes(handle.life).len();
        let length = handle.length.unwrap_or(all);
        let there = self.lives(handle.life) && self.lives(self.root(handle.life));
        (there && handle.offset + length <= all).then_some(length)
    }

    /// What `capacity` says of a living handle: a slice's is fixed.
    fn capacity(&self, handle: &Handle) -> usize {
        handle.length.unwrap_or_else(|| self.window(handle).unwrap_or(0))
    }

    /// Whether it is the sole owner, up to the root.
    fn may_write(&self, life: usize) -> bool {
        self.lives[life].count == 1
            && match self.lives[life].of {
                Of::Root { .. } => true,
                Of::Derived { parent, .. } => self.may_write(parent),
            }
    }

    fn release(&mut self, life: usize, n: u32) -> Option<bool> {
        let count = self.lives[life].count;
        if n == 0 || n > count {
            return None;
        }
        self.lives[life].count -= n;
        if n == count {
            self.end(life);
        }
        Some(n == count)
    }

    /// It is over: what it was derived from gets its count and its handles back.
    fn end(&mut self, life: usize) {
        self.lives[life].count = 0;
        if let Of::Derived { parent, root } = self.lives[life].of {
            let _over_released = self.release(parent, 1);
            self.leave(parent);
            if root != parent {
                self.leave(root);
            }
        }
    }

    /// One handle fewer. With the last one it is over.
    fn leave(&mut self, life: usize) {
        self.lives[life].handles -= 1;
        if self.lives[life].handles == 0 && self.lives(life) {
            self.end(life);
        }
    }

    fn add(&mut self, handle: Handle, buffer: Buffer) {
        self.lives[handle.life].handles += 1;
        self.handles.push((handle, buffer));
    }

    fn add_root(&mut self, bytes: Vec<Option<u8>>, written: usize, maximum: usize, buffer: Buffer) {
        if buffer.is_empty_buffer() {
            return; // nothing can become of it
        }
        self.lives.push(Life { count: 1, handles: 0, of: Of::Root { bytes, maximum } });
        let life = self.lives.len() - 1;
        self.add(Handle { life, offset: 0, length: None, reader: 0, writer: written }, buffer);
    }

    /// A handle with a count of its own, or one more of its parent's.
    fn add_retained(&mut self, handle: Handle, buffer: Buffer) {
        let parent = handle.life;
        self.lives[parent].count += 1;
        if !self.own_counts {
            return self.add(handle, buffer);
        }
        let root = self.root(parent);
        self.lives[parent].handles += 1;
        self.lives[root].handles += usize::from(root != parent);
        self.lives.push(Life { count: 1, handles: 0, of: Of::Derived { parent, root } });
        self.add(Handle { life: self.lives.len() - 1, ..handle }, buffer);
    }

    /// The handle for a part of another's window, if there is such a part.
    fn part(&self, handle: &Handle, at: usize, n: usize) -> Option<Handle> {
        let fits = self.lives(handle.life) && at + n <= self.capacity(handle);
        fits.then_some(Handle { offset: handle.offset + at, length: Some(n), reader: 0, writer: n, ..*handle })
    }

    /// Whether a retained part can be had: what isn't a root has to reach its root.
    fn may_retain(&self, handle: &Handle) -> bool {
        self.lives(handle.life) && (self.root(handle.life) == handle.life || self.window(handle).is_some())
    }

    /// Does `op` and compares.
    ///
    /// # Panics
    /// If a buffer isn't as the model says.
    pub fn step(&mut self, op: Op) {
        if let Op::Allocate { capacity, more } = op {
            let (capacity, maximum) = (usize::from(capacity), usize::from(capacity) + usize::from(more));
            if self.handles.len() < MAX_HANDLES {
                let buffer = self.allocator.allocate_max(capacity, maximum).expect("there is memory");
                let bytes = vec![None; if buffer.is_empty_buffer() { 0 } else { buffer.capacity() }];
                assert!(bytes.len() >= capacity && bytes.len() <= maximum, "a capacity of {capacity} to {maximum}");
                self.add_root(bytes, 0, maximum, buffer);
            }
            return;
        }
        let of = match op {
            Op::Allocate { .. } => unreachable!("done above"),
            Op::Duplicate { of }
            | Op::RetainedDuplicate { of }
            | Op::Retain { of }
            | Op::Release { of }
            | Op::Drop { of }
            | Op::End { of }
            | Op::Put { of, .. }
            | Op::Advance { of, .. }
            | Op::ReadInto { of, .. }
            | Op::Slice { of, .. }
            | Op::ReadSlice { of, .. }
            | Op::RetainedSlice { of, .. }
            | Op::ReadRetainedSlice { of, .. }
            | Op::Copy { of, .. }
            | Op::ReadBytes { of, .. }
            | Op::RetainMany { of, .. }
            | Op::ReleaseMany { of, .. }
            | Op::SetCapacity { of, .. }
            | Op::EnsureWritable { of, .. } => usize::from(of),
        };
        if self.handles.is_empty() {
            return;
        }
        let at = of % self.handles.len();
        match op {
            Op::Drop { .. } => {
                let (handle, buffer) = self.handles.swap_remove(at);
                drop(buffer);
                self.leave(handle.life);
            }
            Op::End { .. } => {
                let (handle, buffer) = self.handles.swap_remove(at);
                let result = Owned::from(buffer).release();
                assert_eq!(result.ok(), self.release(handle.life, 1), "{op:?}");
                self.leave(handle.life);
            }
            _ => self.use_handle(op, at),
        }
        self.compare(op);
    }

    fn use_handle(&mut self, op: Op, at: usize) {
        // The handle is out of the list meanwhile.
        let (mut handle, mut buffer) = self.handles.swap_remove(at);
        let full = self.handles.len() >= MAX_HANDLES;
        let readable = handle.writer - handle.reader;
        let known =
            |bytes: &[Option<u8>], h: &Handle, at: usize, n: usize| bytes[h.offset + at..h.offset + at + n].to_vec();
        match op {
            Op::Put { byte, n, .. } => self.put(&mut handle, &mut buffer, byte, usize::from(n)),
            Op::SetCapacity { n, .. } => self.set_capacity(&mut handle, &mut buffer, usize::from(n)),
            Op::EnsureWritable { n, .. } => self.ensure_writable(&mut handle, &mut buffer, usize::from(n)),
            Op::Advance { n, .. } => {
                let n = usize::from(n).min(readable);
                buffer.advance(n);
                handle.reader += n;
            }
            Op::ReadInto { n, .. } => {
                let n = usize::from(n);
                let mut to = vec![0; n];
                let result = buffer.read_into(&mut to);
                let fits = self.window(&handle).is_some_and(|window| handle.reader + n <= window);
                assert_eq!(result.is_ok(), n <= readable && fits, "{op:?}: {result:?}");
                if result.is_ok() {
                    same(&to, &known(self.bytes(handle.life), &handle, handle.reader, n));
                    handle.reader += n;
                }
            }
            Op::Retain { .. } if !full => {
                let result = buffer.retain();
                assert_eq!(result.is_ok(), self.lives(handle.life), "{op:?}");
                if let Ok(other) = result {
                    self.lives[handle.life].count += 1;
                    self.add(handle, other);
                }
            }
            Op::RetainMany { n, .. } => {
                let result = buffer.retain_many(u32::from(n));
                assert_eq!(result.is_ok(), n > 0 && self.lives(handle.life), "{op:?}: {result:?}");
                self.lives[handle.life].count += if result.is_ok() { u32::from(n) } else { 0 };
            }
            Op::Release { .. } => assert_eq!(buffer.release().ok(), self.release(handle.life, 1), "{op:?}"),
            Op::ReleaseMany { n, .. } => {
                let result = buffer.release_many(u32::from(n));
                assert_eq!(result.ok(), self.release(handle.life, u32::from(n)), "{op:?}");
            }
            Op::Duplicate { .. } if !full => {
                let result = buffer.duplicate();
                assert_eq!(result.is_ok(), self.lives(handle.life), "{op:?}");
                result.into_iter().for_each(|other| self.add(handle, other));
            }
            Op::RetainedDuplicate { .. } if !full => {
                let result = buffer.retained_duplicate();
                assert_eq!(result.is_ok(), self.may_retain(&handle), "{op:?}");
                result.into_iter().for_each(|other| self.add_retained(handle, other));
            }
            Op::Slice { at, n, .. } if !full => {
                let result = buffer.slice(at.into(), n.into());
                let part = self.part(&handle, at.into(), n.into());
                assert_eq!(result.is_ok(), part.is_some(), "{op:?}");
                part.into_iter().zip(result).for_each(|(part, other)| self.add(part, other));
            }
            Op::ReadSlice { n, .. } if !full => {
                let result = buffer.read_slice(n.into());
                let part = self.part(&handle, handle.reader, n.into()).filter(|_| usize::from(n) <= readable);
                assert_eq!(result.is_ok(), part.is_some(), "{op:?}");
                handle.reader += if part.is_some() { usize::from(n) } else { 0 };
                part.into_iter().zip(result).for_each(|(part, other)| self.add(part, other));
            }
            Op::RetainedSlice { at, n, .. } if !full => {
                let result = buffer.retained_slice(at.into(), n.into());
                let part = self.part(&handle, at.into(), n.into()).filter(|_| self.may_retain(&handle));
                assert_eq!(result.is_ok(), part.is_some(), "{op:?}: {:?}", result.err());
                part.into_iter().zip(result).for_each(|(part, other)| self.add_retained(part, other));
            }
            Op::ReadRetainedSlice { n, .. } if !full => {
                let result = buffer.read_retained_slice(n.into());
                let part = self.part(&handle, handle.reader, n.into());
                let part = part.filter(|_| usize::from(n) <= readable && self.may_retain(&handle));
                assert_eq!(result.is_ok(), part.is_some(), "{op:?}");
                handle.reader += if part.is_some() { usize::from(n) } else { 0 };
                part.into_iter().zip(result).for_each(|(part, other)| self.add_retained(part, other));
            }
            Op::Copy { at, n, .. } if !full => {
                let (at, n) = (usize::from(at), usize::from(n));
                let result = buffer.copy(at, n);
                let fits = self.window(&handle).is_some_and(|window| at + n <= window);
                assert_eq!(result.is_ok(), fits, "{op:?}: {:?}", result.err());
                result.into_iter().for_each(|copy| self.add_copy(&handle, at, n, copy));
            }
            Op::ReadBytes { n, .. } if !full => {
                let (at, n) = (handle.reader, usize::from(n));
                let result = buffer.read_bytes(n);
                let fits = n <= readable && self.window(&handle).is_some_and(|window| at + n <= window);
                assert_eq!(result.is_ok(), fits, "{op:?}: {:?}", result.err());
                handle.reader += if fits { n } else { 0 };
                result.into_iter().for_each(|copy| self.add_copy(&handle, at, n, copy));
            }
            _ => {} // the list is full
        }
        self.handles.push((handle, buffer));
    }

    fn add_copy(&mut self, handle: &Handle, at: usize, n: usize, copy: Buffer) {
        let maximum = self.maximum(handle).max(n);
        let from = handle.offset + at;
        let mut bytes = self.bytes(handle.life)[from..from + n].to_vec();
        bytes.resize(if copy.is_empty_buffer() { 0 } else { copy.capacity() }, None);
        self.add_root(bytes, n, maximum, copy);
    }

    /// The real capacity is taken over, if it is one that is allowed.
    fn resized(&mut self, handle: &Handle, buffer: &Buffer, at_least: usize) {
        let (new, maximum) = (buffer.capacity(), self.maximum(handle));
        assert!(new >= at_least && new <= maximum, "a capacity of {new}, for {at_least} to {maximum}");
        let root = self.root(handle.life);
        if let Of::Root { bytes, .. } = &mut self.lives[root].of {
            bytes.resize(new, None);
        }
    }

    fn put(&mut self, handle: &mut Handle, buffer: &mut Buffer, byte: u8, n: usize) {
        let result = if n.is_multiple_of(2) { buffer.put_repeated(byte, n) } else { buffer.put(&vec![byte; n]) };
        let end = handle.writer + n;
        let fits = |window: usize| end <= window || handle.length.is_none() && end <= self.maximum(handle);
        let may = self.may_write(handle.life) && self.window(handle).is_some_and(fits);
        assert_eq!(result.is_ok(), may, "put {n} bytes: {result:?}");
        if result.is_err() {
            return;
        }
        if end > self.capacity(handle) {
            self.resized(handle, buffer, end);
        }
        let root = self.root(handle.life);
        if let Of::Root { bytes, .. } = &mut self.lives[root].of {
            bytes[handle.offset + handle.writer..handle.offset + end].fill(Some(byte));
        }
        handle.writer = end;
    }

    fn set_capacity(&mut self, handle: &mut Handle, buffer: &mut Buffer, n: usize) {
        let result = buffer.set_capacity(n);
        let may = handle.length.is_none() && n <= self.maximum(handle) && self.window(handle).is_some();
        assert_eq!(result.is_ok(), may, "a capacity of {n}: {result:?}");
        if result.is_ok() {
            assert_eq!(buffer.capacity(), n);
            self.resized(handle, buffer, n);
            handle.reader = handle.reader.min(n);
            handle.writer = handle.writer.min(n);
        }
    }

    fn ensure_writable(&mut self, handle: &mut Handle, buffer: &mut Buffer, n: usize) {
        let result = buffer.ensure_writable(n);
        let (end, capacity) = (handle.writer + n, self.capacity(handle));
        let enough = capacity.saturating_sub(handle.writer) >= n;
        let grows = handle.length.is_none() && end <= self.maximum(handle);
        let may = self.window(handle).is_some() && (enough || grows);
        assert_eq!(result.is_ok(), may, "room for {n}: {result:?}");
        if result.is_ok() && !enough {
            self.resized(handle, buffer, end);
            handle.reader = handle.reader.min(buffer.capacity());
            handle.writer = handle.writer.min(buffer.capacity());
        }
    }

    /// Whatever can be seen of all handles is as the model says.
    fn compare(&self, op: Op) {
        for (handle, buffer) in &self.handles {
            assert_eq!(buffer.count(), self.lives[handle.life].count, "after {op:?}");
            assert_eq!(buffer.readable(), handle.writer - handle.reader, "after {op:?}");
            if self.window(handle).is_some() {
                assert_eq!(buffer.capacity(), self.capacity(handle), "after {op:?}");
            }
            let seen = self.window(handle).filter(|window| handle.writer <= *window);
            match buffer.bytes() {
                Ok(bytes) => {
                    assert!(seen.is_some(), "after {op:?}: bytes that can't be seen");
                    let (from, to) = (handle.offset + handle.reader, handle.offset + handle.writer);
                    same(&bytes, &self.bytes(handle.life)[from..to]);
                }
                Err(error) => assert!(seen.is_none(), "after {op:?}: {error}"),
            }
        }
    }

    /// Does all of `ops`, and drops what is left.
    ///
    /// # Panics
    /// As [`Machine::step`].
    pub fn run(preset: Preset, ops: impl IntoIterator<Item = Op>) {
        let mut machine = Self::new(preset);
        ops.into_iter().for_each(|op| machine.step(op));
        while !machine.handles.is_empty() {
            machine.step(Op::Drop { of: 0 });
        }
    }
}

/// Real bytes are the known ones.
fn same(real: &[u8], known: &[Option<u8>]) {
    assert_eq!(real.len(), known.len());
    assert!(real.iter().zip(known).all(|(r, k)| k.is_none_or(|k| k == *r)), "{real:?} is not {known:?}");
}
