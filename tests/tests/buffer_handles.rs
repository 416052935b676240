//! Buffers against a model that has no trick in it: every operation of any number of handles says what the model says.

use millpond_model::allocator::{Allocator, AllocatorConfig, Backend};
use millpond_model::buffer::{Buffer, new_capacity};
use millpond_model::{Preset, Std};
use proptest::prelude::*;

const MAX: usize = 150;

/// One count.
struct Life {
    count: u32,
    handles: u32,
    /// Of what is derived: the one that it holds a count and a handle of.
    parent: Option<usize>,
    /// Whose bytes they are.
    root: usize,
    bytes: Vec<u8>,
}

/// One handle.
#[derive(Clone)]
struct View {
    life: usize,
    offset: usize,
    length: Option<usize>,
    reader: usize,
    writer: usize,
}

#[derive(Default)]
struct Model {
    lives: Vec<Life>,
}

impl Model {
    fn is_alive(&self, view: &View) -> bool {
        self.lives[view.life].count > 0 && self.root(view).count > 0
    }

    fn root(&self, view: &View) -> &Life {
        &self.lives[self.lives[view.life].root]
    }

    fn capacity(&self, view: &View) -> usize {
        view.length.unwrap_or(self.root(view).bytes.len())
    }

    /// Where the window's byte `at` is, if the window is within the memory.
    fn range(&self, view: &View, at: usize, length: usize) -> Option<std::ops::Range<usize>> {
        let fits = view.offset + self.capacity(view) <= self.root(view).bytes.len();
        (self.is_alive(view) && fits && at + length <= self.capacity(view)).then(|| {
            let from = view.offset + at;
            from..from + length
        })
    }

    fn is_writable(&self, view: &View) -> bool {
        let mut chain = std::iter::successors(Some(view.life), |life| self.lives[*life].parent);
        chain.all(|life| self.lives[life].count == 1) && self.range(view, 0, 0).is_some()
    }

    fn release(&mut self, life: usize, n: u32) -> bool {
        let legal = n > 0 && n <= self.lives[life].count;
        if legal {
            self.lives[life].count -= n;
            if self.lives[life].count == 0 {
                self.over(life);
            }
        }
        legal
    }

    /// What it was derived from is released, and the handles on that dropped.
    fn over(&mut self, life: usize) {
        let Some(parent) = self.lives[life].parent else { return };
        let root = self.lives[life].root;
        if root != parent {
            self.leave(root);
        }
        self.release(parent, 1);
        self.leave(parent);
    }

    fn leave(&mut self, life: usize) {
        self.lives[life].handles -= 1;
        if self.lives[life].handles == 0 && self.lives[life].count > 0 {
            self.lives[life].count = 0; // a leak, reclaimed
            self.over(life);
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Allocate(usize),
    Put(Vec<u8>),
    Read(usize),
    Set(usize, u8),
    Retain(u32),
    Release(u32),
    Another,
    Drop,
    Slice(usize, usize),
    RetainedSlice(usize, usize),
    RetainedDuplicate,
    SetCapacity(usize),
    Discard,
    Copy(usize, usize),
}

fn operation() -> impl Strategy<Value = (prop::sample::Index, Operation)> {
    let at = || 0..40_usize;
    let operation = prop_oneof![
        (0..70_usize).prop_map(Operation::Allocate),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Operation::Put),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Operation::Put),
        at().prop_map(Operation::Read),
        (at(), any::<u8>()).prop_map(|(at, value)| Operation::Set(at, value)),
        (0..3_u32).prop_map(Operation::Retain),
        (0..3_u32).prop_map(Operation::Release),
        Just(Operation::Another),
        Just(Operation::Drop),
        Just(Operation::Drop),
        (at(), at()).prop_map(|(at, n)| Operation::Slice(at, n)),
        (at(), at()).prop_map(|(at, n)| Operation::RetainedSlice(at, n)),
        Just(Operation::RetainedDuplicate),
        (0..MAX + 9).prop_map(Operation::SetCapacity),
        Just(Operation::Discard),
        (at(), at()).prop_map(|(at, n)| Operation::Copy(at, n)),
    ];
    (any::<prop::sample::Index>(), operation)
}

type Handle = (Buffer<Std>, View);

/// A further handle of what `view` sees: derived, with a count of its own, or not.
fn derive(model: &mut Model, view: View, own_count: bool) -> View {
    if !own_count {
        model.lives[view.life].handles += 1;
        return view;
    }
    let (parent, root) = (view.life, model.lives[view.life].root);
    model.lives[parent].count += 1;
    model.lives[parent].handles += 1;
    if root != parent {
        model.lives[root].handles += 1;
    }
    model.lives.push(Life { count: 1, handles: 1, parent: Some(parent), root, bytes: Vec::new() });
    View { life: model.lives.len() - 1, ..view }
}

fn step(
    allocator: &Allocator,
    model: &mut Model,
    handles: &mut Vec<Handle>,
    at: usize,
    operation: &Operation,
) -> Result<(), TestCaseError> {
    if let Operation::Allocate(capacity) = operation {
        let buffer = allocator.allocate_max(*capacity, MAX).expect("there is memory");
        let root = model.lives.len();
        model.lives.push(Life { count: 1, handles: 1, parent: None, root, bytes: vec![0; *capacity] });
        handles.push((buffer, View { life: root, offset: 0, length: None, reader: 0, writer: 0 }));
        return Ok(());
    }
    let (buffer, view) = &mut handles[at];
    let part = |view: &View, at: usize, length: usize| View {
        offset: view.offset + at,
        length: Some(length),
        reader: 0,
        writer: length,
        ..view.clone()
    };
    match operation {
        Operation::Allocate(_) => unreachable!("seen above"),
        Operation::Put(data) => {
            let needed = view.writer + data.len();
            let maximum = view.length.unwrap_or(MAX);
            let legal = model.is_writable(view) && needed <= maximum.max(model.capacity(view));
            prop_assert_eq!(buffer.put(data).is_ok(), legal);
            if legal {
                let root = model.lives[view.life].root;
                if needed > model.capacity(view) {
                    model.lives[root].bytes.resize(new_capacity(needed, MAX), 0);
                }
                let to = view.offset + view.writer;
                model.lives[root].bytes[to..to + data.len()].copy_from_slice(data);
                view.writer += data.len();
            }
        }
        Operation::Read(n) => {
            let mut to = vec![0; *n];
            let legal = model.range(view, view.reader, *n).filter(|_| view.reader + n <= view.writer);
            prop_assert_eq!(buffer.read_into(&mut to).is_ok(), legal.is_some());
            if let Some(range) = legal {
                prop_assert_eq!(&to, &model.root(view).bytes[range]);
                view.reader += n;
            }
        }
        Operation::Set(at, value) => {
            let range = model.range(view, *at, 1).filter(|_| model.is_writable(view));
            prop_assert_eq!(buffer.set_u8(*at, *value).is_ok(), range.is_some());
            if let Some(range) = range {
                let root = model.lives[view.life].root;
                model.lives[root].bytes[range.start] = *value;
            }
        }
        Operation::Retain(n) => {
            let legal = *n > 0 && model.lives[view.life].count > 0;
            prop_assert_eq!(buffer.retain_many(*n).is_ok(), legal);
            model.lives[view.life].count += if legal { *n } else { 0 };
        }
        Operation::Release(n) => {
            let life = view.life;
            prop_assert_eq!(buffer.release_many(*n).is_ok(), model.release(life, *n));
        }
        Operation::Another => {
            let legal = model.lives[view.life].count > 0;
            let twin = buffer.duplicate();
            prop_assert_eq!(twin.is_ok(), legal);
            if let Ok(twin) = twin {
                let view = view.clone();
                let view = derive(model, view, false);
                handles.push((twin, view));
            }
        }
        Operation::Drop => {
            let (buffer, view) = handles.swap_remove(at);
            drop(buffer);
            model.leave(view.life);
        }
        Operation::Slice(from, n) | Operation::RetainedSlice(from, n) => {
            let own = matches!(operation, Operation::RetainedSlice(..));
            let slice = if own { buffer.retained_slice(*from, *n) } else { buffer.slice(*from, *n) };
            let alive = if own { model.is_alive(view) } else { model.lives[view.life].count > 0 };
            let sees = view.length.is_some() || model.lives[view.life].parent.is_none() || model.is_alive(view);
            let shown = !own || model.lives[view.life].parent.is_none() || model.range(view, 0, 0).is_some();
            let legal = alive && sees && shown && from + n <= model.capacity(view);
            prop_assert_eq!(slice.is_ok(), legal, "{:?}", slice.err());
            if let Ok(slice) = slice {
                let view = part(view, *from, *n);
                let view = derive(model, view, own);
                handles.push((slice, view));
            }
        }
        Operation::RetainedDuplicate => {
            let shown = model.lives[view.life].parent.is_none() || model.range(view, 0, 0).is_some();
            let twin = buffer.retained_duplicate();
            prop_assert_eq!(twin.is_ok(), model.is_alive(view) && shown);
            if let Ok(twin) = twin {
                let view = view.clone();
                let view = derive(model, view, true);
                handles.push((twin, view));
            }
        }
        Operation::SetCapacity(capacity) => {
            let legal = model.is_alive(view) && view.length.is_none() && *capacity <= MAX;
            prop_assert_eq!(buffer.set_capacity(*capacity).is_ok(), legal);
            if legal {
                let root = model.lives[view.life].root;
                model.lives[root].bytes.resize(*capacity, 0);
                (view.reader, view.writer) = (view.reader.min(*capacity), view.writer.min(*capacity));
            }
        }
        Operation::Discard => {
            let moves = view.reader > 0 && view.reader < view.writer;
            let range = model.range(view, 0, view.writer).filter(|_| model.is_writable(view));
            let legal = !moves || range.is_some();
            prop_assert_eq!(buffer.discard_read_bytes().is_ok(), legal);
            if legal {
                if let Some(range) = range.filter(|_| moves) {
                    let root = model.lives[view.life].root;
                    model.lives[root].bytes[range].copy_within(view.reader.., 0);
                }
                (view.reader, view.writer) = (0, view.writer - view.reader);
            }
        }
        Operation::Copy(at, n) => {
            let copy = buffer.copy(*at, *n);
            let range = model.range(view, *at, *n);
            prop_assert_eq!(copy.is_ok(), range.is_some());
            if let (Ok(copy), Some(range)) = (copy, range) {
                let bytes = model.root(view).bytes[range].to_vec();
                let maximum = copy.max_capacity();
                prop_assert!(maximum >= *n && copy.count() <= 1);
                prop_assert_eq!(&*copy.bytes().expect("it is alive"), &*bytes);
                prop_assert_eq!(copy.release().is_ok(), true);
            }
        }
    }
    Ok(())
}

fn agree(model: &Model, handles: &[Handle]) -> Result<(), TestCaseError> {
    for (buffer, view) in handles {
        prop_assert_eq!(buffer.count(), model.lives[view.life].count);
        prop_assert_eq!((buffer.reader_index(), buffer.writer_index()), (view.reader, view.writer));
        let readable = model.range(view, view.reader, view.writer - view.reader);
        let bytes = buffer.bytes();
        prop_assert_eq!(bytes.is_ok(), readable.is_some());
        if let (Ok(bytes), Some(range)) = (bytes, readable) {
            prop_assert_eq!(&*bytes, &model.root(view).bytes[range]);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn handles_behave_as_the_model_does(operations in prop::collection::vec(operation(), 0..80)) {
        // Of exact blocks: the model knows no size classes.
        let config = AllocatorConfig { backend: Backend::Unpooled, ..Preset::Millpond.into() };
        let allocator = Allocator::new(config);
        let (mut model, mut handles) = (Model::default(), Vec::new());
        step(&allocator, &mut model, &mut handles, 0, &Operation::Allocate(20))?;
        for (which, operation) in &operations {
            if handles.is_empty() {
                step(&allocator, &mut model, &mut handles, 0, &Operation::Allocate(20))?;
            }
            let at = which.index(handles.len());
            step(&allocator, &mut model, &mut handles, at, operation)?;
            agree(&model, &handles)?;
        }
        drop(handles);
        let stats = allocator.stats();
        let in_use = [Some(stats.direct), stats.slices, stats.duplicates].into_iter().flatten();
        prop_assert!(in_use.into_iter().all(|s| s.total().in_use == 0), "every shell is back");
    }
}

/// Found by the test above: the twin's writer index is beyond what is left of the buffer, and it puts nothing.
#[test]
fn a_handle_beyond_the_end_puts_as_any_other() {
    let config = AllocatorConfig { backend: Backend::Unpooled, ..Preset::Millpond.into() };
    let mut buffer = Allocator::new(config).allocate_max(20, MAX).expect("there is memory");
    buffer.put(&[7; 9]).expect("it has room");
    let mut twin = buffer.duplicate().expect("it is alive");
    buffer.set_capacity(0).expect("it may shrink");
    twin.put(&[]).expect("it grows to where the twin writes");
    assert_eq!((twin.capacity(), twin.writer_index()), (new_capacity(9, MAX), 9));
    assert_eq!(buffer.release(), Ok(true));
}
