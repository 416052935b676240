//! The parameters of the adaptive allocator, and what Netty 4.2.7 sets them to.
//!
//! **Invariant: every difference between releases is a field here**; the algorithms read fields, never a version. The number
//! of cores is a field like any other: nothing asks the machine.
//!
//! ```text
//!   capacity    0 ......... 16896 | 16897 ......... max_chunk / buffers_per_chunk | more
//!   served by   16 size classes   | the large group                               | a chunk of its own
//! ```

use serde::{Deserialize, Serialize};

/// The segment sizes of the size-classed groups (`SIZE_CLASSES`): powers of two, and powers of two and a bit, for frames
/// with a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SizeClasses {
    /// 32 to 16,896 bytes (4.2.2 to 4.2.7).
    Sixteen,
    /// As [`SizeClasses::Sixteen`], and 32,768 and 65,536 (after October 2025).
    Eighteen,
}

const SIZES: [u32; 18] =
    [32, 64, 128, 256, 512, 640, 1024, 1152, 2048, 2304, 4096, 4352, 8192, 8704, 16384, 16896, 32768, 65536];

impl SizeClasses {
    /// The sizes in bytes, ascending.
    pub fn sizes(self) -> &'static [u32] {
        match self {
            Self::Sixteen => &SIZES[..16],
            Self::Eighteen => &SIZES,
        }
    }

    /// The index of the smallest class that fits `size` bytes; the number of classes if none does.
    pub fn index(self, size: u32) -> usize {
        self.sizes().partition_point(|&class| class < size)
    }
}

/// Which threads have magazines of their own, which need no lock. What a thread has goes when the thread ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ThreadMagazines {
    /// None.
    Nobody,
    /// Those that say so: [`AdaptiveBackend::adopt_thread`](super::AdaptiveBackend::adopt_thread). Netty's default: event
    /// loops.
    Adopted,
    /// All (`io.netty.allocator.useCachedMagazinesForNonEventLoopThreads`).
    All,
}

/// What becomes of a size-classed chunk that its magazine is done with while some of its segments are in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SpentChunk {
    /// It goes to the shared queue at once, and is used again as its segments come back (4.2.3+).
    Offered,
    /// Nobody has it until all its segments are back (to 4.2.2, Netty #15424).
    Withdrawn,
}

/// In which order the release of a segment does its two steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SegmentReturn {
    /// The chunk's count, then the free list (through 4.2.7). Between the two a chunk can be empty, and with
    /// [`SpentChunk::Withdrawn`] in use again, although segments are missing from its list; where Netty then throws "Free list is
    /// empty", we count [`AdaptiveStats::starved`](super::AdaptiveStats::starved).
    CountFirst,
    /// The free list, then the count (ours).
    ListFirst,
}

/// What the end of the allocator (its finaliser) frees itself. The rest is left to the collector in Netty, and is freed
/// here without being counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Finalization {
    /// The large group (4.2.7).
    LargeGroup,
    /// All groups (ours).
    AllGroups,
}

/// The parameters of the adaptive allocator. Sizes are in bytes. The releases in parentheses are those that behave so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveConfig {
    /// Cores of the machine (`NettyRuntime.availableProcessors()`).
    pub cores: u32,
    /// The size classes.
    pub size_classes: SizeClasses,
    /// Size of a chunk at least, and the unit of a large group's chunks (`MIN_CHUNK_SIZE`).
    pub min_chunk: u32,
    /// Size of a large group's chunk at most (`MAX_CHUNK_SIZE`).
    pub max_chunk: u32,
    /// Segments of a size-classed chunk at least (`MIN_SEGMENTS_PER_CHUNK`).
    pub min_segments: u32,
    /// A large group's chunk shall hold so many buffers (`BUFS_PER_CHUNK`).
    pub buffers_per_chunk: u32,
    /// A chunk with less left than this isn't worth keeping at hand (`RETIRE_CAPACITY`).
    pub retire_capacity: u32,
    /// Magazines of a shared group at first; a power of two (`INITIAL_MAGAZINES`).
    pub initial_magazines: u32,
    /// A shared group doubles its magazines while it has fewer than this many times `cores` (`MAX_STRIPES`).
    pub magazines_per_core: u32,
    /// An allocation tries so often to get more magazines (`EXPANSION_ATTEMPTS`).
    pub expansion_attempts: u32,
    /// The shared queue of a group holds so many times `cores` chunks, at least 2, rounded up to a power of two
    /// (`CHUNK_REUSE_QUEUE`).
    pub queue_per_core: u32,
    /// The first histogram takes so many sizes, and one more (`INIT_DATUM_TARGET`).
    pub initial_datum_target: u32,
    /// A later one takes no fewer after a change of the preferred size (`MIN_DATUM_TARGET`).
    pub min_datum_target: u32,
    /// And none takes more (`MAX_DATUM_TARGET`); at most 65,534, for Netty counts in 16 bits.
    pub max_datum_target: u32,
    /// An empty chunk of the large group is retired with this probability, in percent, for each `min_chunk` that it is away
    /// from the preferred size.
    pub retirement_percent: u32,
    /// Which threads have magazines of their own.
    pub thread_magazines: ThreadMagazines,
    /// What becomes of a size-classed chunk that its magazine is done with.
    pub spent_chunk: SpentChunk,
    /// An allocation without the lock gives its chunk back also when a bigger one is next in line (4.1.114+, Netty #14348);
    /// before, that chunk was lost.
    pub smaller_chunk_released: bool,
    /// How a segment comes back.
    pub segment_return: SegmentReturn,
    /// What the end of the allocator frees.
    pub finalization: Finalization,
}

/// The parameters contradict each other.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("adaptive allocator: {0}")]
pub struct AdaptiveConfigError(&'static str);

impl AdaptiveConfig {
    /// Netty 4.2.7 on a machine with `cores` cores.
    pub const fn netty_4_2_7(cores: u32) -> Self {
        Self {
            cores,
            size_classes: SizeClasses::Sixteen,
            min_chunk: 128 << 10,
            max_chunk: 8 << 20,
            min_segments: 32,
            buffers_per_chunk: 8,
            retire_capacity: 256,
            initial_magazines: 1,
            magazines_per_core: 2,
            expansion_attempts: 3,
            queue_per_core: 2,
            initial_datum_target: 9,
            min_datum_target: 1024,
            max_datum_target: 65534,
            retirement_percent: 5,
            thread_magazines: ThreadMagazines::Adopted,
            spent_chunk: SpentChunk::Offered,
            smaller_chunk_released: true,
            segment_return: SegmentReturn::CountFirst,
            finalization: Finalization::LargeGroup,
        }
    }

    /// Netty 4.2.7 with its known defects fixed: a segment is back before it counts as back, and the end frees all groups.
    pub const fn mended(cores: u32) -> Self {
        Self {
            segment_return: SegmentReturn::ListFirst,
            finalization: Finalization::AllGroups,
            ..Self::netty_4_2_7(cores)
        }
    }

    /// Whether the parameters make sense together.
    ///
    /// # Errors
    /// What doesn't.
    pub fn validate(&self) -> Result<(), AdaptiveConfigError> {
        let rules = [
            (self.cores >= 1, "there is at least one core"),
            (self.min_chunk >= 1 && self.max_chunk >= self.min_chunk, "a chunk has min_chunk to max_chunk bytes"),
            (self.max_chunk <= 1 << 30, "a chunk has at most 2^30 bytes"),
            (self.min_segments >= 1, "a chunk has segments"),
            (self.buffers_per_chunk >= 1, "a chunk has room for buffers"),
            (self.initial_magazines.is_power_of_two(), "initial_magazines is a power of two"),
            (self.max_magazines() <= 1 << 16, "a group has at most 65,536 magazines"),
            (self.min_datum_target <= self.max_datum_target, "min_datum_target is at most max_datum_target"),
            (self.max_datum_target <= 65534 && self.initial_datum_target <= 65534, "a datum target is at most 65,534"),
            (self.queue_capacity() <= 1 << 16, "a queue holds at most 65,536 chunks"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(AdaptiveConfigError(rule)),
            None => Ok(()),
        }
    }

    /// The largest capacity that is pooled (`MAX_POOLED_BUF_SIZE`).
    pub fn max_pooled(&self) -> u32 {
        self.max_chunk / self.buffers_per_chunk
    }

    /// Size of a chunk with segments of `segment` bytes.
    pub fn segment_chunk(&self, segment: u32) -> u32 {
        self.min_chunk.max(segment.saturating_mul(self.min_segments))
    }

    /// Magazines from which on a shared group doesn't double any more.
    pub fn max_magazines(&self) -> u64 {
        u64::from(self.magazines_per_core) * u64::from(self.cores)
    }

    /// Chunks that a group's shared queue holds.
    pub fn queue_capacity(&self) -> usize {
        (u64::from(self.queue_per_core) * u64::from(self.cores)).clamp(2, 1 << 31).next_power_of_two() as usize
    }
}

impl Default for AdaptiveConfig {
    /// Netty 4.2.7 on 8 cores.
    fn default() -> Self {
        Self::netty_4_2_7(8)
    }
}
