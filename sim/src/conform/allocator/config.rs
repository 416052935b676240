//! The header of a trace, as a configuration of the pooled allocator.
//!
//! **Invariant: parameters come from the header, rules from the release's generation.**

use super::super::header::{Dialect, Header};
use millpond_model::Preset;
use millpond_model::allocator::pooled::PooledConfig;
use millpond_model::allocator::{AllocatorConfig, Backend};
use millpond_model::recycler::{BatchOrder, OwnerExit, RecyclerConfig};

/// Bytes of all first chunks at most: the file is not trusted.
const MAX_CHUNK: u64 = 1 << 28;

/// A system property that was set on the recorded process.
fn property(jvm: &str, name: &str) -> Result<Option<u32>, String> {
    let mut set =
        jvm.split_whitespace().filter_map(|word| word.strip_prefix("-D")?.strip_prefix(name)?.strip_prefix('='));
    set.next_back().map(|value| value.parse().map_err(|_| format!("`{name}` is not a number of 32 bits"))).transpose()
}

/// The release of a generation whose rules apply.
fn preset(dialect: Dialect) -> Preset {
    match dialect {
        Dialect::A1 => Preset::Netty4_0_43,
        Dialect::A2 => Preset::Netty4_1_44,
        Dialect::A3 => Preset::Netty4_1_66,
        Dialect::B1 => Preset::Netty4_1_71,
        Dialect::B2 | Dialect::C => Preset::Netty4_2_7,
    }
}

/// The configuration of every recycler in the process: its defaults, as the trace has them.
fn recycler(header: &Header) -> Result<RecyclerConfig, String> {
    let Header { dialect, statics, .. } = header;
    let exit = if header.removes_at_exit { OwnerExit::RemoveAll } else { OwnerExit::Plain };
    let most = |name| statics.at_most(name, RecyclerConfig::MAX_CAPACITY.into()).map(|n| n as u32);
    let ratio = statics.at_most("RATIO", RecyclerConfig::MAX_RATIO.into())? as u32;
    let from = if *dialect == Dialect::B2 { Preset::Netty4_1_88 } else { preset(*dialect) };
    let mut config = RecyclerConfig { ratio, owner_exit: exit, ..from.into() };
    config.max_capacity = most("DEFAULT_MAX_CAPACITY_PER_THREAD").or_else(|_| most("DEFAULT_MAX_CAPACITY"))?;
    if dialect.has_delayed() {
        config.max_shared_capacity_factor = statics.small("MAX_SHARED_CAPACITY_FACTOR")?.max(1);
        config.max_delayed_queues_per_thread = Some(statics.small("MAX_DELAYED_QUEUES_PER_THREAD")?);
        config.link_capacity = statics.small("LINK_CAPACITY")?;
        // At most the capacity, so 0 when nothing is pooled: then there is no array.
        config.initial_capacity = statics.small("INITIAL_CAPACITY")?.max(u32::from(config.max_capacity == 0));
        if *dialect == Dialect::A2 {
            config.ratio = ratio.next_power_of_two(); // to 4.1.49
            config.delayed_queue_ratio = config.ratio;
        } else if *dialect == Dialect::A3 {
            config.delayed_queue_ratio = statics.small("DELAYED_QUEUE_RATIO")?;
        }
    } else {
        config.chunk_size = statics.small("DEFAULT_QUEUE_CHUNK_SIZE_PER_THREAD")?;
        config.close_on_removal = true; // 4.1.74+; no trace is older
        let fast_only = statics.truth("BATCH_FAST_TL_ONLY").unwrap_or(true);
        config.owner_batch = *dialect != Dialect::B1 && (header.fast_threads || !fast_only);
        if *dialect == Dialect::B2 {
            config.batch_order = BatchOrder::Lifo; // 4.1.114+
        }
    }
    config.validate().map_err(|e| e.to_string())?;
    Ok(config)
}

/// The configuration of the trace's allocator.
pub fn read(header: &Header) -> Result<AllocatorConfig, String> {
    let config = pooled(header)?;
    Ok(AllocatorConfig { backend: Backend::Pooled(config), shells: config.entries, ..preset(header.dialect).into() })
}

fn pooled(header: &Header) -> Result<PooledConfig, String> {
    let Header { cfg, dialect, .. } = header;
    let entries = recycler(header)?;
    let defaults = PooledConfig::from(preset(*dialect));
    let jvm = cfg.text("jvm").unwrap_or_default();
    let caches = |name| cfg.at_most(name, PooledConfig::MAX_CACHE.into()).map(|n| n as u32);
    let config = PooledConfig {
        heap_arenas: cfg.small("nHeap")?,
        direct_arenas: cfg.small("nDirect")?,
        page_size: cfg.small("page")?,
        order: cfg.small("order")?,
        tiny_cache: caches("tiny")?,
        small_cache: caches("small")?,
        normal_cache: caches("normal")?,
        max_cached_capacity: property(jvm, "io.netty.allocator.maxCachedBufferCapacity")?
            .unwrap_or(defaults.max_cached_capacity),
        trim_interval: property(jvm, "io.netty.allocator.cacheTrimInterval")?.unwrap_or(defaults.trim_interval),
        cache_for_all_threads: cfg.number("cacheAll")? == 1,
        fast_threads: header.fast_threads,
        owner_exit: entries.owner_exit,
        entries,
        ..defaults
    };
    config.validate().map_err(|e| e.to_string())?;
    match config.chunk_size() as u64 {
        n if n > MAX_CHUNK => Err(format!("a chunk of {n} bytes, and the limit is {MAX_CHUNK}")),
        _ => Ok(config),
    }
}
