//! Random numbers: five independent streams for every execution.
//!
//! **Invariant: what a stream gives depends on (seed, execution index, stream) and on nothing else**; how much is drawn
//! from one stream never changes another.
//!
//! ```text
//!   key (32 bytes) = seed | index | stream | "millpond"      ChaCha8, counter 0
//!                    u64    u64     u64      8 bytes          (little-endian)
//! ```
//!
//! The key holds everything, so that a new execution costs one refill of the generator and execution 7,311,204 of a
//! campaign needs none of its predecessors.

use rand::SeedableRng;
use rand_chacha::ChaCha8Core;
use rand_chacha::rand_core::block::Generator as _;

/// What the numbers are for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stream {
    /// Who runs next.
    Schedule,
    /// What the program under test is asked to do.
    Workload,
    /// What goes wrong: environment faults and planted defects.
    Faults,
    /// What the pool itself draws: which buffers a leak detector samples, which chunks an allocator retires.
    LeakSampling,
    /// What a memory that is not sequentially consistent does.
    Memory,
}

impl Stream {
    /// Number of streams.
    pub(super) const COUNT: usize = 5;

    /// All streams, in order.
    pub(super) const ALL: [Self; Self::COUNT] =
        [Self::Schedule, Self::Workload, Self::Faults, Self::LeakSampling, Self::Memory];
}

/// Words that the generator makes at once: four blocks.
const WORDS: usize = 64;

/// Nothing was drawn yet.
const BEFORE: usize = WORDS + 1;

/// One stream of one execution.
pub struct Generator {
    /// Seed and index.
    execution: [u64; 2],
    stream: Stream,
    /// Of an execution before, before the first draw: most streams of most executions have none. Without the buffer that `ChaCha8Rng`
    /// has around it: a short execution would copy it twice.
    blocks: Option<ChaCha8Core>,
    words: [u32; WORDS],
    /// The next word; `WORDS`: there is none left.
    at: usize,
}

impl Generator {
    /// The stream from its beginning.
    pub fn new(seed: u64, index: u64, stream: Stream) -> Self {
        Self { execution: [seed, index], stream, blocks: None, words: [0; WORDS], at: BEFORE }
    }

    /// The same stream of another execution, from its beginning.
    #[inline(always)]
    pub(super) fn reset(&mut self, seed: u64, index: u64) {
        self.execution = [seed, index];
        self.at = BEFORE;
    }

    fn key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        let [seed, index] = self.execution;
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        key[16..24].copy_from_slice(&(self.stream as u64).to_le_bytes());
        key[24..].copy_from_slice(b"millpond");
        key
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self) {
        let key = self.key();
        if self.at == BEFORE {
            self.blocks = None;
        }
        self.blocks.get_or_insert_with(|| ChaCha8Core::from_seed(key)).generate(&mut self.words);
        self.at = 0;
    }

    /// 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.at >= WORDS {
            self.refill();
        }
        let word = self.words[self.at % WORDS];
        self.at += 1;
        word
    }

    /// 64 random bits: two words, the low one first.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// Uniform in `0..n`, without bias (Lemire, *Fast random integer generation in an interval*, 2019). Written here rather
    /// than taken from a library, so that an update of the library can't change what a seed means.
    ///
    /// # Panics
    /// If `n` is 0.
    #[inline]
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n != 0, "nothing to choose from");
        let mut wide = u64::from(self.next_u32()) * u64::from(n);
        if (wide as u32) < n {
            let rejected = n.wrapping_neg() % n;
            while (wide as u32) < rejected {
                wide = u64::from(self.next_u32()) * u64::from(n);
            }
        }
        (wide >> 32) as u32
    }

    /// As [`Generator::below`], for 64 bits.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below_u64(&mut self, n: u64) -> u64 {
        assert!(n != 0, "nothing to choose from");
        let rejected = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= rejected {
                return (wide >> 64) as u64;
            }
        }
    }

    /// True with probability `threshold` / 2^32.
    #[inline]
    pub fn chance(&mut self, threshold: u64) -> bool {
        u64::from(self.next_u32()) < threshold
    }
}
