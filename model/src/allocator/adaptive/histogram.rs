//! The sizes that a magazine of the large group is asked for, and the size of chunk that follows from them.
//!
//! **Invariant: the preferred size is 8 times the 99th percentile of the sizes of the last four periods**, within the bounds of the
//! configuration; a period ends after a number of sizes that grows while the preference stays.
//!
//! ```text
//!   periods  [ 3 0 1 .. ] [ 0 2 0 .. ] [ .. ] [ .. ]     16 buckets each, 16 KiB to 3 MiB
//!              now: counts              oldest: cleared when the next period starts
//! ```

use super::config::AdaptiveConfig;
use crate::Platform;
use crate::platform::AtomicOps;
use core::sync::atomic::Ordering::Relaxed;

const KIB: u32 = 1024;

/// The upper bounds of the buckets, in bytes (`HISTO_BUCKETS`).
const BUCKETS: [u32; 16] = [
    16 * KIB,
    24 * KIB,
    32 * KIB,
    48 * KIB,
    64 * KIB,
    96 * KIB,
    128 * KIB,
    192 * KIB,
    256 * KIB,
    384 * KIB,
    512 * KIB,
    768 * KIB,
    1024 * KIB,
    1792 * KIB,
    2048 * KIB,
    3072 * KIB,
];

/// What other magazines and the ends of blocks read of a magazine's statistics. Relaxed throughout: each is a hint, read and
/// written alone.
pub(super) struct Preference<P: Platform> {
    /// The size of chunk to make: the largest preference of the group's magazines when last asked.
    shared: P::Atomic<u32>,
    /// The magazine's own preference.
    local: P::Atomic<u32>,
    /// The 99th percentile; 0 at first.
    upper: P::Atomic<u32>,
}

impl<P: Platform> Preference<P> {
    pub fn new(chunk: u32) -> Self {
        Self { shared: P::Atomic::new(chunk), local: P::Atomic::new(chunk), upper: P::Atomic::new(0) }
    }

    /// Size of chunk, in bytes.
    pub fn chunk(&self) -> u32 {
        self.shared.load(Relaxed) // see `Preference`
    }

    /// `computeBufferCapacity`: how much to cut off for `size` bytes, of at most `max`.
    pub fn usable(&self, size: u32, max: u32) -> u32 {
        let limit = if size <= 32 * KIB { 64 * KIB } else { size * 2 };
        let upper = self.upper.load(Relaxed); // see `Preference`
        size.max(max.min(limit.min(upper)))
    }
}

/// See the [module](self).
pub(super) struct Histogram {
    periods: [[u16; BUCKETS.len()]; 4],
    now: usize,
    count: u32,
    target: u32,
    rotated: bool,
}

impl Histogram {
    pub fn new(config: &AdaptiveConfig) -> Self {
        Self { periods: [[0; BUCKETS.len()]; 4], now: 0, count: 0, target: config.initial_datum_target, rotated: false }
    }

    /// `recordAllocationSize`: counts a size; at the end of a period `largest` gives the largest preference of the group, which
    /// becomes the magazine's.
    pub fn record<P: Platform>(
        &mut self,
        size: u32,
        config: &AdaptiveConfig,
        preference: &Preference<P>,
        group: impl Iterator<Item = u32>,
    ) {
        if size == 0 {
            return;
        }
        let bucket = BUCKETS.partition_point(|&bound| bound < size).min(BUCKETS.len() - 1);
        self.periods[self.now][bucket] = self.periods[self.now][bucket].wrapping_add(1);
        self.count += 1;
        if self.count == self.target + 1 {
            self.rotate(config, preference, group);
        }
    }

    fn rotate<P: Platform>(
        &mut self,
        config: &AdaptiveConfig,
        preference: &Preference<P>,
        group: impl Iterator<Item = u32>,
    ) {
        let sums: [u32; BUCKETS.len()] =
            core::array::from_fn(|bucket| self.periods.iter().map(|period| u32::from(period[bucket])).sum());
        // As Netty computes it, in floating point, rounded down: at most 4 x 65,535, so exact on every machine.
        let mut target = (f64::from(sums.iter().sum::<u32>()) * 0.99) as u32;
        let mut percentile = BUCKETS.len() - 1;
        for (bucket, &sum) in sums.iter().enumerate() {
            if sum > target {
                percentile = bucket;
                break;
            }
            target -= sum;
        }
        let upper = BUCKETS[percentile];
        let local = (upper * config.buffers_per_chunk).max(config.min_chunk);
        self.rotated = true;
        preference.upper.store(upper, Relaxed); // see `Preference`
        preference.local.store(local, Relaxed); // see `Preference`
        let shared = group.fold(local, u32::max);
        if preference.chunk() == shared {
            self.target = (self.target << 1).min(config.max_datum_target);
        } else {
            self.target = (self.target >> 1).max(config.min_datum_target);
            preference.shared.store(shared, Relaxed); // see `Preference`
        }
        self.now = (self.now + 1) % self.periods.len();
        self.periods[self.now] = [0; BUCKETS.len()];
        self.count = 0;
    }

    /// Size of a new chunk, asked for because of `size` bytes. Before the end of the first period the first such size becomes the
    /// preference.
    pub fn new_chunk<P: Platform>(&self, size: u32, config: &AdaptiveConfig, preference: &Preference<P>) -> u32 {
        let wanted = (size * config.buffers_per_chunk).max(preference.chunk());
        let chunk = wanted.next_multiple_of(config.min_chunk).min(config.max_chunk);
        if !self.rotated && preference.chunk() == config.min_chunk {
            preference.shared.store(chunk, Relaxed); // see `Preference`
        }
        chunk
    }
}

impl<P: Platform> Preference<P> {
    /// The magazine's own preference, in bytes.
    pub fn local(&self) -> u32 {
        self.local.load(Relaxed) // see `Preference`
    }

    /// `shouldReleaseChunk`: whether an empty chunk of `capacity` bytes is retired. Draws only if it isn't of the preferred size.
    pub fn retires(&self, capacity: usize, config: &AdaptiveConfig) -> bool {
        let units = |bytes: usize| bytes / config.min_chunk as usize;
        let deviation = units(capacity).abs_diff(units(self.chunk() as usize));
        // 53 bits, as Java's `nextDouble`: uniform in [0, 1).
        let draw = || (P::random() >> 11) as f64 / (1_u64 << 53) as f64;
        deviation != 0 && draw() * 100.0 < (deviation * config.retirement_percent as usize) as f64
    }
}
