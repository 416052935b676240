//! The parameters of the pooled allocator, and what each preset sets them to.
//!
//! **Invariant: every difference between releases is a field here**; the algorithms read fields, never a version.

use crate::preset::Preset;
use crate::recycler::{OwnerExit, RecyclerConfig};
use serde::{Deserialize, Serialize};

/// How a chunk is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PageDesign {
    /// A buddy tree of pages; sizes are powers of two, below 512 multiples of 16 (to 4.1.51).
    Buddy,
    /// Runs of pages, the lowest offset first; four sizes a doubling (4.1.52+, after jemalloc 4).
    Runs,
}

/// What frees the cache of a thread that ended without removing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CacheRescue {
    /// A watcher that looks for dead threads once a second (to 4.1.19).
    Watcher,
    /// The collector's finalizer, once nothing refers to the cache (4.1.26+).
    Finalizer,
}

/// The parameters of the pooled allocator. The releases in parentheses are those that behave so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PooledConfig {
    /// Heap arenas; 0: heap buffers are not pooled.
    pub heap_arenas: u32,
    /// Direct arenas; 0: direct buffers are not pooled.
    pub direct_arenas: u32,
    /// Bytes a page: a power of two.
    pub page_size: u32,
    /// A chunk is `page_size << order` bytes.
    pub order: u32,
    /// Blocks in a thread's cache of one tiny size; 0: no cache. Rounded up to a power of two, as the next two.
    pub tiny_cache: u32,
    /// Blocks in a thread's cache of one small size.
    pub small_cache: u32,
    /// Blocks in a thread's cache of one normal size.
    pub normal_cache: u32,
    /// Larger blocks are not cached, in bytes.
    pub max_cached_capacity: u32,
    /// A thread's cache is trimmed after so many look-ups.
    pub trim_interval: u32,
    /// Ordinary threads have a cache too (default to 4.1.74).
    pub cache_for_all_threads: bool,
    /// Threads are of Netty's own class.
    pub fast_threads: bool,
    /// What an ending thread does with its cache.
    pub owner_exit: OwnerExit,

    /// How a chunk is divided.
    pub design: PageDesign,
    /// The allocation that takes a new page for tiny or small elements counts as a normal one (to 4.1.9).
    pub carving_counts_as_normal: bool,
    /// `max_cached_capacity` 0 turns the caches of normal sizes off (4.1.16+); before, one size was cached all the same.
    pub zero_caches_nothing: bool,
    /// A run with room for one element only is given back (4.1.59+, Netty #10896).
    pub single_element_released: bool,
    /// What frees the cache of a thread that ended without removing it.
    pub cache_rescue: CacheRescue,
    /// The finalizer frees a cache that keeps nothing, too (to 4.1.111): it stays counted otherwise.
    pub finalizes_uncached: bool,
    /// What the finalizer frees isn't counted as a deallocation (4.1.35+).
    pub finalizer_is_silent: bool,
    /// A release into a cache that was freed goes to the arena (4.1.85+, Netty #12749); before, it was lost.
    pub freed_cache_refuses: bool,
    /// A release looks again whether the cache was freed after it put something there (Millpond); to this day Netty only looks before.
    pub recheck_after_offer: bool,
    /// A cache holds its thread (to 4.1.19).
    pub cache_holds_thread: bool,
    /// The shell of a released buffer holds the cache that it was from (to 4.1.82).
    pub shell_holds_cache: bool,
    /// The old block of a buffer that moved goes to the cache that it was from (4.1.118); before, to where the new block will go:
    /// the running thread's cache, or the arena if the new one is huge.
    pub old_block_to_its_cache: bool,
    /// The list for 50 to 100 % is followed by that for 100 % (4.1.115+); before, by that for 75 to 100 %.
    pub half_full_to_full: bool,
    /// A heap arena keeps one empty chunk for reuse (4.1.114+).
    pub spare_heap_chunk: bool,
    /// The recycler of the entries of the caches.
    pub entries: RecyclerConfig,
}

/// Why a configuration can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} is {value}: {rule}")]
pub struct PooledConfigError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// What it must be.
    pub rule: &'static str,
}

impl PooledConfig {
    /// The smallest page, in bytes.
    pub const MIN_PAGE: u32 = 4096;
    /// The largest order.
    pub const MAX_ORDER: u32 = 14;
    /// The largest chunk, in bytes: 1 GiB.
    pub const MAX_CHUNK: u64 = 1 << 30;
    /// Arenas of one kind at most.
    pub const MAX_ARENAS: u32 = 1 << 12;
    /// Blocks in one cache at most.
    pub const MAX_CACHE: u32 = 1 << 20;

    /// Whether every field can be used.
    ///
    /// # Errors
    /// The first field that can't.
    pub fn validate(&self) -> Result<(), PooledConfigError> {
        let wrong = |field, value, rule| Err(PooledConfigError { field, value, rule });
        if !self.page_size.is_power_of_two() || self.page_size < Self::MIN_PAGE {
            return wrong("page_size", self.page_size.into(), "it must be a power of two of at least 4096");
        }
        if self.order > Self::MAX_ORDER {
            return wrong("order", self.order.into(), "it must be from 0 to 14");
        }
        if u64::from(self.page_size) << self.order > Self::MAX_CHUNK {
            return wrong("page_size", self.page_size.into(), "a chunk must not exceed 1 GiB");
        }
        for (field, value) in [("heap_arenas", self.heap_arenas), ("direct_arenas", self.direct_arenas)] {
            if value > Self::MAX_ARENAS {
                return wrong(field, value.into(), "it must be from 0 to 4096");
            }
        }
        for (field, value) in
            [("tiny_cache", self.tiny_cache), ("small_cache", self.small_cache), ("normal_cache", self.normal_cache)]
        {
            if value > Self::MAX_CACHE {
                return wrong(field, value.into(), "it must be from 0 to 2^20");
            }
        }
        if self.trim_interval == 0 {
            return wrong("trim_interval", 0, "it must be at least 1");
        }
        if self.entries.validate().is_err() {
            return wrong("entries", 0, "the recycler's configuration must be usable");
        }
        Ok(())
    }

    /// Bytes a chunk.
    pub fn chunk_size(&self) -> usize {
        (self.page_size as usize) << self.order
    }

    /// Whether a thread has a cache.
    pub(super) fn caches(&self) -> bool {
        self.cache_for_all_threads || self.fast_threads
    }

    /// 4.1.8: the blog's era. Arenas are those of 8 cores.
    fn netty_4_1_8(preset: Preset) -> Self {
        Self {
            heap_arenas: 16,
            direct_arenas: 16,
            page_size: 8192,
            order: 11,
            tiny_cache: 512,
            small_cache: 256,
            normal_cache: 64,
            max_cached_capacity: 32_768,
            trim_interval: 8192,
            cache_for_all_threads: true,
            fast_threads: true,
            owner_exit: OwnerExit::RemoveAll,
            design: PageDesign::Buddy,
            carving_counts_as_normal: true,
            zero_caches_nothing: false,
            single_element_released: false,
            cache_rescue: CacheRescue::Watcher,
            finalizes_uncached: true,
            finalizer_is_silent: false,
            freed_cache_refuses: false,
            recheck_after_offer: false,
            cache_holds_thread: true,
            shell_holds_cache: true,
            old_block_to_its_cache: false,
            half_full_to_full: false,
            spare_heap_chunk: false,
            entries: preset.into(),
        }
    }

    /// As 4.1.8, with the finalizer of 4.1.26 instead of the watcher.
    fn netty_4_1_26(preset: Preset) -> Self {
        Self {
            carving_counts_as_normal: false,
            zero_caches_nothing: true,
            cache_rescue: CacheRescue::Finalizer,
            cache_holds_thread: false,
            ..Self::netty_4_1_8(preset)
        }
    }

    fn netty_4_1_48(preset: Preset) -> Self {
        Self { finalizer_is_silent: true, ..Self::netty_4_1_26(preset) }
    }

    /// The sizes and runs of 4.1.52, mended as in 4.1.59.
    fn netty_4_1_68(preset: Preset) -> Self {
        Self { design: PageDesign::Runs, single_element_released: true, ..Self::netty_4_1_48(preset) }
    }

    fn netty_4_1_75(preset: Preset) -> Self {
        Self { order: 9, cache_for_all_threads: false, ..Self::netty_4_1_68(preset) }
    }

    fn netty_4_1_88(preset: Preset) -> Self {
        Self { freed_cache_refuses: true, shell_holds_cache: false, ..Self::netty_4_1_75(preset) }
    }

    fn netty_4_1_118(preset: Preset) -> Self {
        Self {
            finalizes_uncached: false,
            old_block_to_its_cache: true,
            half_full_to_full: true,
            spare_heap_chunk: true,
            ..Self::netty_4_1_88(preset)
        }
    }

    /// 4.1.74, the last release with chunks of 16 MiB: the rules of generation B's first recycler.
    pub fn netty_4_1_74() -> Self {
        Self::netty_4_1_68(Preset::Netty4_1_71)
    }

    /// 4.1.118, with the recycler of 4.1.114+.
    pub fn netty_4_1_118_defaults() -> Self {
        let mut config = Self::netty_4_1_118(Preset::Netty4_1_88);
        config.entries.batch_order = crate::recycler::BatchOrder::Lifo;
        config
    }
}

impl Default for PooledConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for PooledConfig {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Netty4_1_2 | Preset::Netty4_1_3 | Preset::Netty4_1_4 | Preset::Netty4_0_43 | Preset::Netty4_1_8 => {
                Self::netty_4_1_8(preset)
            }
            // 4.1.22 had a cleaner thread (4.1.20 to 4.1.25) that did what the finalizer did later.
            Preset::Netty4_1_22 => Self::netty_4_1_26(preset),
            Preset::Netty4_1_38 | Preset::Netty4_1_44 => Self::netty_4_1_48(preset),
            Preset::Netty4_1_66 | Preset::Netty4_1_71 => Self::netty_4_1_68(preset),
            Preset::Netty4_1_88 => Self::netty_4_1_88(preset),
            Preset::Netty4_2_7 => Self::netty_4_1_118(preset),
            // Ours allocates whole buffers instead; as a pooled allocator it has the rules of the latest release, mended.
            Preset::Millpond => Self { recheck_after_offer: true, ..Self::netty_4_1_118(preset) },
        }
    }
}
