//! What all groups of one area share: the configuration, the list of all chunks, and the statistics.
//!
//! **Invariant: a chunk is in the list from when it is made until it is given up**; the list holds it, so that what a historical
//! bug loses stays countable, and goes with the allocator.

use super::Pools;
use super::chunk::Chunk;
use super::config::AdaptiveConfig;
use super::stats::AdaptiveStats;
use crate::Platform;
use crate::memory::Area;
use crate::platform::{CounterOps, Lock};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

/// See the [module](self).
pub(super) struct Core<P: Platform> {
    pub config: AdaptiveConfig,
    pub area: Area,
    /// The allocator, while it is there.
    pub owner: Weak<Pools<P>>,
    registry: P::Mutex<Registry<P>>,
    used: P::Counter,
    made: P::Counter,
    given_up: P::Counter,
    pub one_offs: P::Counter,
    pub starved: P::Counter,
    pub lost: P::Counter,
    pub expansions: P::Counter,
    pub unlocked: P::Counter,
}

struct Registry<P: Platform> {
    next: u64,
    chunks: BTreeMap<u64, Arc<Chunk<P>>>,
}

impl<P: Platform> Core<P> {
    pub fn new(config: AdaptiveConfig, area: Area, owner: Weak<Pools<P>>) -> Arc<Self> {
        Arc::new(Self {
            config,
            area,
            owner,
            registry: P::Mutex::new(Registry { next: 0, chunks: BTreeMap::new() }),
            used: P::Counter::default(),
            made: P::Counter::default(),
            given_up: P::Counter::default(),
            one_offs: P::Counter::default(),
            starved: P::Counter::default(),
            lost: P::Counter::default(),
            expansions: P::Counter::default(),
            unlocked: P::Counter::default(),
        })
    }

    /// Enters a new chunk, made with its number.
    pub fn add(&self, make: impl FnOnce(u64) -> Chunk<P>) -> Arc<Chunk<P>> {
        let mut registry = self.registry.lock();
        let number = registry.next;
        registry.next += 1;
        let chunk = Arc::new(make(number));
        registry.chunks.insert(number, Arc::clone(&chunk));
        self.made.add(1);
        self.used.add(chunk.capacity() as u64);
        chunk
    }

    /// Strikes a chunk off.
    pub fn remove(&self, chunk: &Chunk<P>) {
        let removed = self.registry.lock().chunks.remove(&chunk.number);
        assert!(removed.is_some() || P::unwinding(), "a chunk is given up once");
        self.given_up.add(1);
        self.used.sub(chunk.capacity() as u64);
        // `removed` goes after the lock: it may be the last reference.
    }

    /// The chunks that exist, in order of creation.
    pub fn chunks(&self) -> Vec<Arc<Chunk<P>>> {
        self.registry.lock().chunks.values().cloned().collect()
    }

    /// `usedMemory`: Σ capacity of the chunks that exist, in bytes.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    pub fn stats(&self, magazines: Vec<u32>) -> AdaptiveStats {
        let made = self.made.get();
        AdaptiveStats {
            used_memory: self.used(),
            chunks: made.saturating_sub(self.given_up.get()),
            chunks_made: made,
            one_offs: self.one_offs.get(),
            magazines,
            expansions: self.expansions.get(),
            unlocked: self.unlocked.get(),
            starved: self.starved.get(),
            lost: self.lost.get(),
        }
    }
}
