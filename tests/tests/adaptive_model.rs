//! The size classes of the adaptive allocator against a naive model: on one thread every block's chunk and offset is foretold,
//! and the memory used after every operation.

mod adaptive_support;

use adaptive_support::{AREA, chunks, place, stats};
use millpond_model::allocator::adaptive::{AdaptiveBackend, AdaptiveConfig, Block};
use millpond_tests::scale::scaled;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::{BTreeMap, VecDeque};

/// Classes whose size divides their chunk: there the rule is simple. A magazine gives a chunk to the queue when it takes the last
/// free segment; it looks at the oldest chunk of the queue when it needs one, and makes a new one if that has none free.
const CLASSES: [usize; 5] = [32, 64, 128, 256, 512];
const MIN_CHUNK: usize = 256;

struct ModelChunk {
    class: usize,
    free: VecDeque<usize>,
    segments: usize,
    /// The queue had no room for it.
    refused: bool,
}

#[derive(Default)]
struct ModelClass {
    current: Option<u64>,
    queue: VecDeque<u64>,
}

struct Model {
    classes: [ModelClass; CLASSES.len()],
    chunks: BTreeMap<u64, ModelChunk>,
    made: u64,
    queue_capacity: usize,
}

impl Model {
    fn new(queue_capacity: usize) -> Self {
        Self { classes: Default::default(), chunks: BTreeMap::new(), made: 0, queue_capacity }
    }

    fn allocate(&mut self, size: usize) -> (u64, usize, usize) {
        let index = CLASSES.iter().position(|class| size <= *class).expect("a size of one of the classes");
        let class = &mut self.classes[index];
        let candidate = class.current.take().or_else(|| class.queue.pop_front());
        let number = match candidate {
            Some(number) if !self.chunks[&number].free.is_empty() => number,
            other => {
                class.queue.extend(other);
                let segments = MIN_CHUNK.max(2 * CLASSES[index]) / CLASSES[index];
                let free = (0..segments).map(|i| i * CLASSES[index]).collect();
                self.chunks.insert(self.made, ModelChunk { class: index, free, segments, refused: false });
                self.made += 1;
                self.made - 1
            }
        };
        let chunk = self.chunks.get_mut(&number).expect("it exists");
        let offset = chunk.free.pop_front().expect("one is free");
        if !chunk.free.is_empty() {
            class.current = Some(number);
        } else if class.queue.len() < self.queue_capacity {
            class.queue.push_back(number);
        } else {
            chunk.refused = true;
        }
        (number, offset, CLASSES[index])
    }

    fn free(&mut self, (number, offset, _): (u64, usize, usize)) {
        let chunk = self.chunks.get_mut(&number).expect("it exists");
        chunk.free.push_back(offset);
        if chunk.refused && chunk.free.len() == chunk.segments {
            self.chunks.remove(&number);
        }
    }

    fn used(&self) -> usize {
        self.chunks.values().map(|chunk| MIN_CHUNK.max(2 * CLASSES[chunk.class])).sum()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate(usize),
    /// The block at this place of those in use.
    Free(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![3 => (0..513_usize).prop_map(Step::Allocate), 2 => (0..64_usize).prop_map(Step::Free)];
    prop::collection::vec(step, 1..scaled(300, 60) as usize)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: scaled(2000, 8) as u32,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_block_is_where_the_model_says(steps in steps(), cores in 1..3_u32) {
        let config =
            AdaptiveConfig { min_chunk: MIN_CHUNK as u32, min_segments: 2, ..AdaptiveConfig::netty_4_2_7(cores) };
        let backend = AdaptiveBackend::new(config);
        let mut model = Model::new(2 * cores as usize);
        let mut blocks: Vec<Block> = Vec::new();
        for step in steps {
            match step {
                Step::Allocate(size) => {
                    let block = backend.allocate(size, AREA).expect("there is memory");
                    prop_assert_eq!(place(&block), model.allocate(size), "{:?}", step);
                    blocks.push(block);
                }
                Step::Free(at) if at < blocks.len() => model.free(place(&blocks.swap_remove(at))),
                Step::Free(_) => {}
            }
            prop_assert_eq!(stats(&backend).used_memory, model.used() as u64);
        }
        let there: Vec<_> = chunks(&backend).into_iter().map(|c| (c.number, c.free)).collect();
        let foretold = |chunk: &ModelChunk| chunk.free.iter().map(|offset| *offset as u32).collect();
        let foretold: Vec<_> = model.chunks.iter().map(|(number, chunk)| (*number, foretold(chunk))).collect();
        prop_assert_eq!(there, foretold);
        blocks.drain(..).for_each(|block| model.free(place(&block)));
        prop_assert_eq!(stats(&backend).used_memory, model.used() as u64);
    }
}
