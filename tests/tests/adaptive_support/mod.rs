//! What the tests of the adaptive allocator share: small configurations, and blocks that notice when somebody else writes
//! to them.
#![allow(dead_code)] // each test binary uses its part

use millpond_model::Platform;
use millpond_model::allocator::adaptive::{AdaptiveBackend, AdaptiveConfig, AdaptiveStats, Block, ChunkInspection};
use millpond_model::memory::{Area, OutOfMemory};
use millpond_model::platform::Lock;
use millpond_tests::scale::scaled;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const AREA: Area = Area::Direct;

/// Chunks of a few segments, so that a few operations meet every limit: 8 segments of 32 bytes, 4 of 64, 2 of 128 and more.
pub fn tiny(config: AdaptiveConfig) -> AdaptiveConfig {
    AdaptiveConfig { min_chunk: 256, min_segments: 2, ..config }
}

/// The statistics of the direct area.
pub fn stats<P: Platform>(backend: &AdaptiveBackend<P>) -> AdaptiveStats {
    backend.stats(AREA)
}

/// The chunks of the direct area, when no thread is inside; all invariants hold.
pub fn chunks<P: Platform>(backend: &AdaptiveBackend<P>) -> Vec<ChunkInspection> {
    check(backend);
    // SAFETY: the tests call this when nobody else is at work, and have waited for whoever was.
    unsafe { backend.chunks(AREA) }
}

/// All invariants hold, when no thread is inside.
#[track_caller]
pub fn check<P: Platform>(backend: &AdaptiveBackend<P>) {
    // SAFETY: as in `chunks`.
    unsafe { backend.check() }.unwrap_or_else(|e| panic!("{e}"));
}

/// The parts of memory in use: start -> end.
type Live<P> = Arc<<P as Platform>::Mutex<BTreeMap<usize, usize>>>;

/// A backend whose blocks are known to be disjoint.
pub struct Watched<P: Platform> {
    pub backend: AdaptiveBackend<P>,
    live: Live<P>,
}

impl<P: Platform> Clone for Watched<P> {
    fn clone(&self) -> Self {
        Self { backend: self.backend.clone(), live: Arc::clone(&self.live) }
    }
}

/// A block in use, full of its own mark. Looks whether the mark is still there when it is dropped, and gives the block back.
pub struct Marked<P: Platform> {
    block: Option<Block<P>>,
    mark: u8,
    live: Live<P>,
}

impl<P: Platform> Watched<P> {
    pub fn new(config: AdaptiveConfig) -> Self {
        Self { backend: AdaptiveBackend::new_on(config), live: Arc::new(P::Mutex::new(BTreeMap::new())) }
    }

    /// A block of `capacity` bytes, marked.
    pub fn allocate(&self, capacity: usize, mark: u8) -> Result<Marked<P>, OutOfMemory> {
        let block = self.backend.allocate(capacity, AREA)?;
        assert!(block.len() >= capacity, "{block:?} has at least {capacity} bytes");
        let start = block.start().as_ptr() as usize;
        let mut live = self.live.lock();
        let before = live.range(..start + block.len()).next_back().map(|(_, end)| *end);
        assert!(before.is_none_or(|end| end <= start), "{block:?} overlaps a block in use");
        live.insert(start, start + block.len());
        drop(live);
        // SAFETY: the block is ours alone.
        unsafe { block.start().write_bytes(mark, block.len()) };
        Ok(Marked { block: Some(block), mark, live: Arc::clone(&self.live) })
    }

    /// Blocks in use.
    pub fn live(&self) -> usize {
        self.live.lock().len()
    }
}

impl<P: Platform> Marked<P> {
    pub fn block(&self) -> &Block<P> {
        self.block.as_ref().expect("until it is dropped")
    }
}

impl<P: Platform> Drop for Marked<P> {
    fn drop(&mut self) {
        let Some(block) = self.block.take() else { return };
        if P::unwinding() {
            return;
        }
        // SAFETY: the block is ours, and was written from end to end.
        let bytes = unsafe { std::slice::from_raw_parts(block.start().as_ptr(), block.len()) };
        let step = scaled(1, 61) as usize;
        assert!(bytes.iter().step_by(step).all(|b| *b == self.mark), "somebody else wrote to {block:?}");
        let start = block.start().as_ptr() as usize;
        assert!(self.live.lock().remove(&start).is_some(), "{block:?} is in use once");
        drop(block);
    }
}

/// Where a block lies: number of its chunk, offset, usable bytes.
pub fn place<P: Platform>(block: &Block<P>) -> (u64, usize, usize) {
    (block.chunk(), block.offset(), block.len())
}

/// A deterministic stream of small numbers (SplitMix64).
pub struct Stream(pub u64);

impl Stream {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
