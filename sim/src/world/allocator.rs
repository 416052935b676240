//! The allocator of a scenario, and its numbers.
//!
//! **Invariant: what the scenario doesn't say is as in its preset.**

use crate::scenario::{Allocator as Wanted, Backend as From, Found, LeakedMemory as Leaked, Size, ThreadEnd};
use millpond_model::allocator::adaptive::AdaptiveConfig;
use millpond_model::allocator::pooled::{AllocatorMetrics, ArenaMetrics, PooledConfig};
use millpond_model::allocator::{AllocatorConfig, Backend, LeakedMemory};
use millpond_model::leak::{Detection, LeakConfig, Level};
use millpond_model::preset::Preset;
use millpond_model::recycler::{OwnerExit, RecyclerConfig};

/// The configuration that a scenario asks for.
pub(crate) fn config(wanted: &Wanted, preset: Preset, shells: RecyclerConfig) -> AllocatorConfig {
    let mut config = AllocatorConfig { shells, ..preset.into() };
    config.backend = match wanted.backend {
        From::Unpooled => Backend::Unpooled,
        From::Pooled => Backend::Pooled(pooled(wanted, preset)),
        From::Adaptive => Backend::Adaptive(adaptive(wanted, preset)),
    };
    if let Some(scheme) = wanted.scheme {
        config.scheme = scheme;
    }
    config.leak_detection = wanted.leak_detection.map(|level| leaks(wanted, preset, level));
    match wanted.leaked_memory {
        None => {}
        Some(Leaked::Lost) => config.leaked = LeakedMemory::Lost,
        Some(Leaked::Reclaimed) => config.leaked = LeakedMemory::Reclaimed,
    }
    config
}

/// The cores of the machine, as for the pooled presets.
const CORES: u32 = 8;

fn adaptive(wanted: &Wanted, preset: Preset) -> AdaptiveConfig {
    let cores = wanted.cores.unwrap_or(CORES);
    if preset == Preset::Millpond { AdaptiveConfig::mended(cores) } else { AdaptiveConfig::netty_4_2_7(cores) }
}

fn leaks(wanted: &Wanted, preset: Preset, level: Level) -> LeakConfig {
    let mut config = LeakConfig { level, ..preset.into() };
    match wanted.leaks_are_found {
        None => {}
        Some(Found::AtOnce) => config.detection = Detection::Exact,
        Some(Found::ByTheNextAllocation) => config.detection = Detection::Enqueued,
        Some(Found::AfterCollect) => config.detection = Detection::Collected,
    }
    config
}

/// The pooled backend's part of it.
pub(crate) fn pooled(wanted: &Wanted, preset: Preset) -> PooledConfig {
    let bytes = |size: Size| u32::try_from(size.bytes()).unwrap_or(u32::MAX);
    let mut config = PooledConfig::from(preset);
    if let Some(n) = wanted.arenas {
        (config.direct_arenas, config.heap_arenas) = (n, n);
    }
    let chunk = wanted.chunk.map_or(config.page_size << config.order, bytes);
    if let Some(page) = wanted.page {
        config.page_size = bytes(page);
    }
    config.order = (chunk / config.page_size.max(1)).checked_ilog2().unwrap_or(0);
    if let Some(n) = wanted.thread_cache {
        (config.tiny_cache, config.small_cache, config.normal_cache) = (n, n, n);
    }
    if let Some(n) = wanted.trim_every {
        config.trim_interval = n;
    }
    match wanted.thread_end {
        None => {}
        Some(ThreadEnd::FreesItsCache) => config.owner_exit = OwnerExit::RemoveAll,
        Some(ThreadEnd::LeavesItsCache) => config.owner_exit = OwnerExit::Plain,
    }
    config
}

/// The sum of a number over all arenas.
pub(super) fn sum(metrics: Option<&AllocatorMetrics>, f: fn(&ArenaMetrics) -> u64) -> u64 {
    metrics.map_or(0, |metrics| metrics.arenas().map(f).sum())
}
