//! A release number as a configuration: the preset that behaves like it, or that preset with what differs.

use millpond_model::Preset;
use millpond_model::recycler::{BatchOrder, RecyclerConfig};

/// The recycler of Netty `version` with its default parameters, on threads of Netty's own kind.
///
/// # Panics
/// If no preset is near it.
pub fn netty(version: &str) -> RecyclerConfig {
    let preset = Preset::ALL.into_iter().find(|p| p.version() == version);
    match (preset, version) {
        (Some(preset), _) => preset.into(),
        (None, "4.1.5" | "4.1.21") => Preset::Netty4_1_8.into(),
        // The explicit check came in 4.1.30, the skipped link's capacity in 4.1.38.
        (None, "4.1.37") => RecyclerConfig { already_recycled_check: true, ..Preset::Netty4_1_22.into() },
        (None, "4.1.43") => Preset::Netty4_1_38.into(),
        // Claimed by compare-exchange, but the queue's ratio is still for every object.
        (None, "4.1.60") => RecyclerConfig { claim_by_cas: true, ..Preset::Netty4_1_44.into() },
        (None, "4.1.70") => Preset::Netty4_1_66.into(),
        (None, "4.1.74") => RecyclerConfig { close_on_removal: true, ..Preset::Netty4_1_71.into() },
        // The batch is used youngest first from 4.1.114 on.
        (None, "4.1.128" | "4.2.2") => RecyclerConfig { batch_order: BatchOrder::Lifo, ..Preset::Netty4_1_88.into() },
        (None, other) => panic!("no configuration for Netty {other}"),
    }
}
