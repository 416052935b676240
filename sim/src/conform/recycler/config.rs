//! The header of a trace, as a configuration of the recycler.
//!
//! **Invariant: parameters come from the header, rules from the preset of the release's generation.**

use super::super::header::{Dialect, Fields, Header};
use millpond_model::Preset;
use millpond_model::recycler::{BatchOrder, OwnerExit, RecyclerConfig};

/// Slots of a new stack at most: each of a trace's pools has as many from the beginning.
const MAX_INITIAL_CAPACITY: u32 = 1 << 16;

fn at_most(fields: &Fields, name: &str, limit: u32) -> Result<u32, String> {
    fields
        .at_most(name, limit.into())
        .map(|n| u32::try_from(n).unwrap_or_else(|_| unreachable!("it is within the limit")))
}

/// The configuration of the trace's recyclers.
pub fn read(header: &Header) -> Result<RecyclerConfig, String> {
    let Header { dialect, cfg, statics, .. } = header;
    let dialect = *dialect;
    let ratio = at_most(cfg, "ratio", RecyclerConfig::MAX_RATIO)?;
    let preset = match dialect {
        Dialect::A1 => Preset::Netty4_0_43,
        Dialect::A2 => Preset::Netty4_1_44,
        Dialect::A3 => Preset::Netty4_1_66,
        Dialect::B1 => Preset::Netty4_1_71,
        Dialect::B2 => Preset::Netty4_1_88,
        Dialect::C => Preset::Netty4_2_7,
    };
    let mut config = RecyclerConfig {
        max_capacity: at_most(cfg, "maxCap", RecyclerConfig::MAX_CAPACITY)?,
        ratio,
        owner_exit: if header.removes_at_exit { OwnerExit::RemoveAll } else { OwnerExit::Plain },
        ..preset.into()
    };
    if dialect.has_delayed() {
        config.max_shared_capacity_factor = cfg.small("msf")?.max(1);
        config.max_delayed_queues_per_thread = Some(cfg.small("mdq")?);
        config.link_capacity = at_most(statics, "LINK_CAPACITY", RecyclerConfig::MAX_LINK_CAPACITY)?;
        config.initial_capacity = at_most(statics, "INITIAL_CAPACITY", MAX_INITIAL_CAPACITY)?;
        if dialect == Dialect::A2 {
            config.ratio = ratio.next_power_of_two(); // to 4.1.49
            config.delayed_queue_ratio = config.ratio;
        } else {
            config.delayed_queue_ratio = at_most(cfg, "dqr", RecyclerConfig::MAX_RATIO)?;
        }
    } else {
        config.chunk_size = cfg.small("chunk")?;
        config.close_on_removal = true; // 4.1.74+; no trace is older
        let fast_only = statics.truth("BATCH_FAST_TL_ONLY").unwrap_or(true);
        config.owner_batch = dialect != Dialect::B1 && (header.fast_threads || !fast_only);
        if dialect == Dialect::B2 {
            config.batch_order = BatchOrder::Lifo; // 4.1.114+
        }
    }
    config.validate().map_err(|e| e.to_string())?;
    Ok(config)
}
