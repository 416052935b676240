//! Random operations on a composite, against a model that is a list of bytes and the counts of everything there is.
//!
//! What the model knows of a buffer: its count, and what it releases when the count is zero. Everything runs on the simulator,
//! whose ledger must find nothing, and whose memory must all be given back.

mod composite_support;

use composite_support::{of, pool};
use millpond::engine::Sim;
use millpond_model::allocator::Allocator;
use millpond_model::buffer::{Buffer, BufferError, Composite};
use millpond_model::memory::Area;
use millpond_tests::sim::{in_turn, soundly};
use proptest::prelude::*;

const MAX_COMPONENTS: usize = 5;

/// A buffer to be added.
#[derive(Clone, Debug)]
enum New {
    Whole(Vec<u8>),
    /// A retained slice of these bytes, whose parent the test keeps or not.
    Part {
        bytes: Vec<u8>,
        from: usize,
        keep: bool,
    },
    /// A slice that shares its parent's count.
    Shared {
        bytes: Vec<u8>,
        from: usize,
    },
    Nested(Vec<Vec<u8>>),
    Empty,
}

#[derive(Clone, Debug)]
enum Step {
    Add {
        increase: bool,
        at: usize,
        new: Vec<New>,
    },
    Flatten(Vec<Vec<u8>>),
    Remove {
        at: usize,
        count: usize,
    },
    Consolidate {
        at: usize,
        count: usize,
    },
    ConsolidateAll,
    DiscardComponents,
    DiscardBytes,
    Capacity(usize),
    Put(Vec<u8>),
    Advance(usize),
    Read(usize),
    Copy {
        at: usize,
        length: usize,
    },
    Decompose {
        at: usize,
        length: usize,
        keep: bool,
    },
    Retain,
    /// One that `Retain` or `keep` took.
    Release(usize),
}

fn bytes() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..9)
}

fn new() -> impl proptest::strategy::Strategy<Value = New> {
    prop_oneof![
        3 => bytes().prop_map(New::Whole),
        2 => (bytes(), 0..9_usize, any::<bool>()).prop_map(|(bytes, from, keep)| New::Part { bytes, from, keep }),
        1 => (bytes(), 0..9_usize).prop_map(|(bytes, from)| New::Shared { bytes, from }),
        2 => prop::collection::vec(bytes(), 0..4).prop_map(New::Nested),
        1 => Just(New::Empty),
    ]
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), 0..8_usize, prop::collection::vec(new(), 0..4))
            .prop_map(|(increase, at, new)| Step::Add { increase, at, new }),
        1 => prop::collection::vec(bytes(), 0..4).prop_map(Step::Flatten),
        2 => (0..8_usize, 0..3_usize).prop_map(|(at, count)| Step::Remove { at, count }),
        1 => (0..8_usize, 0..4_usize).prop_map(|(at, count)| Step::Consolidate { at, count }),
        1 => Just(Step::ConsolidateAll),
        2 => Just(Step::DiscardComponents),
        1 => Just(Step::DiscardBytes),
        2 => (0..60_usize).prop_map(Step::Capacity),
        3 => bytes().prop_map(Step::Put),
        2 => (0..12_usize).prop_map(Step::Advance),
        2 => (0..12_usize).prop_map(Step::Read),
        1 => (0..20_usize, 0..20_usize).prop_map(|(at, length)| Step::Copy { at, length }),
        2 => (0..20_usize, 0..20_usize, any::<bool>())
            .prop_map(|(at, length, keep)| Step::Decompose { at, length, keep }),
        1 => Just(Step::Retain),
        2 => (0..8_usize).prop_map(Step::Release),
    ]
}

/// What the model knows of a buffer.
struct Known {
    /// A handle that has no count of its own; `None`: it is the composite under test.
    witness: Option<Buffer<Sim>>,
    count: u32,
    /// Released when the count is zero.
    owns: Vec<usize>,
}

/// Bytes, and the buffers whose counts must be one for writing them.
type Segment = (Vec<usize>, Vec<u8>);

struct Component {
    known: usize,
    segments: Vec<Segment>,
}

impl Component {
    fn length(&self) -> usize {
        self.segments.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    fn cut(&mut self, from: usize, to: usize) {
        let mut at = 0;
        for (_, bytes) in &mut self.segments {
            let end = at + bytes.len();
            let (first, last) = (from.clamp(at, end) - at, to.clamp(at, end) - at);
            at = end;
            *bytes = bytes[first..last].to_vec();
        }
    }
}

struct World {
    pool: Allocator<Sim>,
    composite: Composite<Sim>,
    components: Vec<Component>,
    reader: usize,
    writer: usize,
    known: Vec<Known>,
    /// Counts that the test has to release, and handles for it.
    kept: Vec<(usize, Buffer<Sim>)>,
}

impl World {
    fn new() -> Self {
        let pool = pool();
        let composite = pool.composite_in(Area::Direct, MAX_COMPONENTS);
        let known = vec![Known { witness: None, count: 1, owns: Vec::new() }];
        Self { pool, composite, components: Vec::new(), reader: 0, writer: 0, known, kept: Vec::new() }
    }

    fn know(&mut self, buffer: &Buffer<Sim>, owns: Vec<usize>) -> usize {
        let witness = Some(buffer.duplicate().expect("it is alive"));
        self.known.push(Known { witness, count: 1, owns });
        self.known.len() - 1
    }

    fn release(&mut self, id: usize) {
        self.known[id].count -= 1;
        if self.known[id].count == 0 {
            std::mem::take(&mut self.known[id].owns).into_iter().for_each(|owned| self.release(owned));
        }
    }

    fn capacity(&self) -> usize {
        self.components.iter().map(Component::length).sum()
    }

    fn whole(&mut self, bytes: &[u8]) -> (Buffer<Sim>, usize) {
        let mut buffer = self.pool.allocate(bytes.len()).expect("there is memory");
        buffer.put(bytes).expect("there is room");
        let id = self.know(&buffer, Vec::new());
        (buffer, id)
    }

    fn nested(&mut self, parts: &[Vec<u8>]) -> (Composite<Sim>, usize, Vec<Segment>) {
        let mut inner = self.pool.composite();
        let id = self.know(&inner, Vec::new());
        let mut segments = Vec::new();
        for bytes in parts {
            let (buffer, part) = self.whole(bytes);
            inner.add_component(true, buffer).expect("it can be read");
            self.known[id].owns.push(part);
            segments.push((vec![id, part], bytes.clone()));
        }
        (inner, id, segments)
    }

    fn make(&mut self, new: &New) -> (Buffer<Sim>, Component) {
        match new {
            New::Whole(bytes) => {
                let (buffer, known) = self.whole(bytes);
                (buffer, Component { known, segments: vec![(vec![known], bytes.clone())] })
            }
            New::Part { bytes, from, keep } => {
                let (parent, parent_id) = self.whole(bytes);
                let from = (*from).min(bytes.len());
                let part = parent.retained_slice(from, bytes.len() - from).expect("it has these bytes");
                let known = self.know(&part, vec![parent_id]);
                if *keep {
                    self.known[parent_id].count += 1;
                    self.kept.push((parent_id, parent));
                } else {
                    assert_eq!(parent.release(), Ok(false));
                }
                (part, Component { known, segments: vec![(vec![known, parent_id], bytes[from..].to_vec())] })
            }
            New::Shared { bytes, from } => {
                let (parent, known) = self.whole(bytes);
                let from = (*from).min(bytes.len());
                let slice = parent.slice(from, bytes.len() - from).expect("it has these bytes");
                (slice, Component { known, segments: vec![(vec![known], bytes[from..].to_vec())] })
            }
            New::Nested(parts) => {
                let (inner, known, segments) = self.nested(parts);
                (inner.into_buffer(), Component { known, segments })
            }
            New::Empty => {
                let buffer = Buffer::empty();
                let known = self.know(&buffer, Vec::new());
                (buffer, Component { known, segments: Vec::new() })
            }
        }
    }

    /// What is in the model's list and isn't the composite's any more.
    fn drop_components(&mut self, range: std::ops::Range<usize>) {
        let dropped: Vec<usize> = self.components.drain(range).map(|component| component.known).collect();
        dropped.into_iter().for_each(|known| self.release(known));
    }

    /// Replaces components by one of memory, which the composite has made already at `at`.
    fn one(&mut self, range: std::ops::Range<usize>, bytes: Vec<u8>) {
        let at = range.start;
        self.drop_components(range);
        let made = self.composite.component(at).expect("it is there");
        let known = self.know(&made, Vec::new());
        self.components.insert(at, Component { known, segments: vec![(vec![known], bytes)] });
    }

    fn bytes_of(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        self.components[range].iter().flat_map(|c| &c.segments).flat_map(|(_, bytes)| bytes).copied().collect()
    }

    fn consolidate_if_needed(&mut self) {
        if self.components.len() > MAX_COMPONENTS {
            let all = 0..self.components.len();
            self.one(all.clone(), self.bytes_of(all));
        }
    }

    fn cut_indices(&mut self) {
        let capacity = self.capacity();
        self.reader = self.reader.min(capacity);
        self.writer = self.writer.min(capacity);
    }

    /// The model of a change of capacity; the composite has changed already.
    fn resized(&mut self, capacity: usize) {
        let more = capacity.saturating_sub(self.capacity());
        if more > 0 {
            let at = self.components.len();
            if at == MAX_COMPONENTS {
                let mut bytes = self.bytes_of(0..at);
                bytes.resize(capacity, 0);
                return self.one(0..at, bytes);
            }
            return self.one(at..at, vec![0; more]); // the platform's memory is zero
        }
        let mut start = 0;
        let kept = self.components.iter().take_while(|component| {
            let begins_within = start < capacity;
            start += component.length();
            begins_within
        });
        let kept = kept.count();
        self.drop_components(kept..self.components.len());
        let too_much = self.capacity() - capacity;
        if let Some(last) = self.components.last_mut() {
            last.cut(0, last.length() - too_much);
        }
        self.cut_indices();
    }

    /// Whether the bytes from `at` to `end` may be written.
    fn writable(&self, at: usize, end: usize) -> bool {
        let mut start = 0;
        self.known[0].count == 1
            && self.components.iter().flat_map(|c| &c.segments).all(|(owners, bytes)| {
                let (first, last) = (start, start + bytes.len());
                start = last;
                let touched = first.max(at) < last.min(end);
                !touched || owners.iter().all(|&owner| self.known[owner].count == 1)
            })
    }

    fn write(&mut self, at: usize, data: &[u8]) {
        let all = self.components.iter_mut().flat_map(|c| &mut c.segments).flat_map(|(_, bytes)| bytes);
        all.skip(at).zip(data).for_each(|(to, from)| *to = *from);
    }

    fn put(&mut self, data: &[u8]) {
        let (at, end) = (self.writer, self.writer + data.len());
        let writable = self.writable(at, end);
        assert_eq!(self.composite.put(data).is_ok(), writable, "{at} to {end}");
        if !writable {
            return;
        }
        if end > self.capacity() {
            self.resized(end.next_power_of_two().max(64));
        }
        self.write(at, data);
        self.writer = end;
    }

    fn discard(&mut self, bytes: bool) {
        let discard = if bytes { Composite::discard_read_bytes } else { Composite::discard_read_components };
        discard(&mut self.composite).expect("it is alive");
        let mut end = 0;
        let consumed = self.components.iter().take_while(|component| {
            end += component.length();
            self.reader > 0 && end <= self.reader
        });
        let consumed = consumed.count();
        let gone: usize = self.components[..consumed].iter().map(Component::length).sum();
        self.drop_components(0..consumed);
        self.reader -= gone;
        self.writer -= gone;
        if bytes && self.reader > 0 {
            let first = &mut self.components[0];
            first.cut(self.reader, first.length());
            self.writer -= self.reader;
            self.reader = 0;
        }
    }

    fn add(&mut self, increase: bool, at: usize, new: &[New]) {
        let (buffers, components): (Vec<_>, Vec<_>) = new.iter().map(|new| self.make(new)).unzip();
        let there_are = self.components.len();
        let result = self.composite.add_components_at(increase, at, buffers);
        if at > there_are {
            assert_eq!(result, Err(BufferError::NoComponent { at, count: 0, components: there_are }));
            components.into_iter().for_each(|component| self.release(component.known));
            return;
        }
        assert_eq!(result, Ok(()));
        let length: usize = components.iter().map(Component::length).sum();
        self.components.splice(at..at, components);
        self.writer += if increase { length } else { 0 };
        self.consolidate_if_needed();
    }

    fn decompose(&mut self, at: usize, length: usize, keep: bool) {
        let (capacity, composite) = (self.capacity(), &self.composite);
        let parts = composite.retained_decompose(at, length);
        if at + length > capacity {
            assert_eq!(parts.map(drop), Err(BufferError::Range { at, length, capacity }));
            return;
        }
        let mut start = 0;
        let mut parts = parts.expect("it has these bytes").into_iter();
        let touched: Vec<(usize, Vec<u8>)> = self
            .components
            .iter()
            .filter_map(|component| {
                let (first, last) = (start.max(at), (start + component.length()).min(at + length));
                let bytes: Vec<u8> = component.segments.iter().flat_map(|(_, bytes)| bytes).copied().collect();
                let part = (first < last).then(|| (component.known, bytes[first - start..last - start].to_vec()));
                start += component.length();
                part
            })
            .collect();
        for (known, bytes) in touched {
            let part = parts.next().expect("one for each component that is touched");
            assert_eq!(read(&part), bytes);
            self.known[known].count += 1;
            if keep {
                self.kept.push((known, part));
            } else {
                self.release(known);
                assert_eq!(part.release(), Ok(self.known[known].count == 0));
            }
        }
        assert!(parts.next().is_none());
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Add { increase, at, new } => self.add(*increase, *at, new),
            Step::Flatten(parts) => {
                let (inner, id, segments) = self.nested(parts);
                let readable = inner.readable() > 0;
                self.composite.add_flattened_components(true, inner.into_buffer()).expect("it can be read");
                let parts = self.known[id].owns.clone();
                for (part, (_, bytes)) in parts.into_iter().zip(segments).filter(|(_, (_, bytes))| !bytes.is_empty()) {
                    assert!(readable);
                    self.known[part].count += 1;
                    self.writer += bytes.len();
                    self.components.push(Component { known: part, segments: vec![(vec![part], bytes)] });
                }
                self.release(id);
                self.consolidate_if_needed();
            }
            Step::Remove { at, count } => {
                let result = self.composite.remove_components(*at, *count);
                assert_eq!(result.is_ok(), at + count <= self.components.len());
                if result.is_ok() {
                    self.drop_components(*at..at + count);
                    self.cut_indices();
                }
            }
            Step::Consolidate { at, count } => {
                let result = self.composite.consolidate_components(*at, *count);
                assert_eq!(result.is_ok(), at + count <= self.components.len());
                if result.is_ok() && *count > 1 {
                    let range = *at..at + count;
                    self.one(range.clone(), self.bytes_of(range));
                }
            }
            Step::ConsolidateAll => {
                self.composite.consolidate().expect("there is memory");
                if self.components.len() > 1 {
                    let all = 0..self.components.len();
                    self.one(all.clone(), self.bytes_of(all));
                }
            }
            Step::DiscardComponents => self.discard(false),
            Step::DiscardBytes => self.discard(true),
            Step::Capacity(capacity) => {
                self.composite.set_capacity(*capacity).expect("it may have any");
                self.resized(*capacity);
            }
            Step::Put(data) => self.put(data),
            Step::Advance(n) => {
                let n = (*n).min(self.writer - self.reader);
                self.composite.advance(n);
                self.reader += n;
            }
            Step::Read(n) => {
                let mut to = vec![0; *n];
                let result = self.composite.read_into(&mut to);
                assert_eq!(result.is_ok(), *n <= self.writer - self.reader);
                if result.is_ok() {
                    assert_eq!(to, self.bytes_of(0..self.components.len())[self.reader..self.reader + n]);
                    self.reader += n;
                }
            }
            Step::Copy { at, length } => match self.composite.copy(*at, *length) {
                Ok(copy) => {
                    assert_eq!(read(&copy), self.bytes_of(0..self.components.len())[*at..at + length]);
                    assert_eq!(copy.release(), Ok(true));
                }
                Err(refused) => {
                    let capacity = self.capacity();
                    assert!(at + length > capacity);
                    assert_eq!(refused, BufferError::Range { at: *at, length: *length, capacity });
                }
            },
            Step::Decompose { at, length, keep } => self.decompose(*at, *length, *keep),
            Step::Retain => {
                self.known[0].count += 1;
                self.kept.push((0, self.composite.retain().expect("it is alive")));
            }
            Step::Release(which) => {
                if !self.kept.is_empty() {
                    let (known, kept) = self.kept.swap_remove(which % self.kept.len());
                    self.release(known);
                    assert_eq!(kept.release(), Ok(self.known[known].count == 0 && !kept.is_empty_buffer()));
                }
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.composite.capacity(), self.capacity());
        assert_eq!((self.composite.reader_index(), self.composite.writer_index()), (self.reader, self.writer));
        assert_eq!(self.composite.component_count(), self.components.len());
        let all = self.composite.slice(0, self.capacity()).expect("it has these bytes");
        assert_eq!(read(&all), self.bytes_of(0..self.components.len()));
        self.check_counts();
    }

    fn check_counts(&self) {
        for known in &self.known {
            let count = known.witness.as_ref().map_or(self.composite.count(), Buffer::count);
            let is_counted = known.witness.as_ref().is_none_or(|witness| !witness.is_empty_buffer());
            assert!(!is_counted || count == known.count, "a count of {count} that should be {}", known.count);
        }
    }

    /// Everything that the test owns is released; then nothing is alive.
    fn end(mut self) {
        for (known, kept) in std::mem::take(&mut self.kept) {
            self.release(known);
            kept.release().expect("it is alive");
        }
        self.known[0].owns = self.components.drain(..).map(|component| component.known).collect();
        self.release(0);
        assert_eq!(self.composite.release(), Ok(true));
        self.check_counts();
        assert!(self.known.iter().all(|known| known.count == 0), "the model has released everything, too");
    }
}

fn read(buffer: &Buffer<Sim>) -> Vec<u8> {
    buffer.chunks().expect("it can be read").iter().flatten().copied().collect()
}

fn run(steps: &[Step]) {
    let execution = soundly(&in_turn(), || {
        let mut world = World::new();
        for step in steps {
            world.apply(step);
            world.check();
        }
        world.end();
    });
    assert_eq!(execution.leaked_bytes, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_composite_is_its_bytes_and_its_counts(steps in prop::collection::vec(step(), 0..24)) {
        run(&steps);
    }
}

#[test]
fn the_model_knows_a_count_that_is_wrong() {
    let execution = millpond::engine::execute(&in_turn(), || {
        let world = World::new();
        let _stray = of(&world.pool, "x");
        let mut world = world;
        world.known[0].count += 1;
        world.check();
    });
    assert_eq!(execution.verdict.name(), "Panic", "{}", execution.verdict);
}
