//! The parameters of an allocator, and what each preset sets them to.
//!
//! **Invariant: each field names the release that changed it**; no other code knows releases.

use super::adaptive::AdaptiveConfig;
use super::pooled::PooledConfig;
use crate::leak::LeakConfig;
use crate::preset::Preset;
use crate::recycler::RecyclerConfig;
use crate::refcnt::Scheme;
use serde::{Deserialize, Serialize};

/// Where the memory of buffers comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Backend {
    /// The platform, for each buffer.
    #[default]
    Unpooled,
    /// Ours: a recycler of blocks for each size class.
    Millpond,
    /// Arenas of chunks, with a cache for each thread: [`PooledBackend`](super::pooled::PooledBackend).
    Pooled(PooledConfig),
    /// Magazines of chunks, as many as threads meet at: [`AdaptiveBackend`](super::adaptive::AdaptiveBackend).
    Adaptive(AdaptiveConfig),
}

/// What `retained_slice` and `retained_duplicate` are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Derivation {
    /// A pooled object with a count of its own, which holds one count of its parent: 4.1.
    OwnCount,
    /// A slice or duplicate that shares the count, and one retain: 4.0.
    SharedCount,
}

/// What becomes of the memory of a buffer whose last handle is dropped while its count is positive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LeakedMemory {
    /// It is lost to its pool, as in Netty, and its shell to the recycler. What it was derived from is never released.
    Lost,
    /// It is given back as if it had been released.
    Reclaimed,
}

/// The rules of an [`Allocator`](super::Allocator).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllocatorConfig {
    /// Where the memory comes from.
    pub backend: Backend,
    /// The recyclers of the shells: of direct and heap buffers, slices and duplicates, one of each.
    pub shells: RecyclerConfig,
    /// How counts are kept: compare and swap through 4.1.16, optimistically 4.1.17 to 4.1.31, odd and even from 4.1.32.
    pub scheme: Scheme,
    /// Whether retained slices and duplicates have counts of their own: from 4.1.
    pub derivation: Derivation,
    /// A retained duplicate of a retained slice is a slice again (4.1.94+, and so far as recorded: 4.1.118), with the shell of one.
    pub duplicate_of_slice_is_slice: bool,
    /// What becomes of leaked memory: reclaimed by Millpond, lost by Netty.
    pub leaked: LeakedMemory,
    /// Who looks for leaks. `None`, the default of all presets: nobody, at no cost. What a release of Netty does by default is
    /// `Some` of its preset's.
    pub leak_detection: Option<LeakConfig>,
}

impl AllocatorConfig {
    /// The rules of a release, with its pooled allocator.
    pub fn pooled(preset: Preset) -> Self {
        Self { backend: Backend::Pooled(preset.into()), ..preset.into() }
    }

    /// The rules of 4.2.7 with its default, the adaptive allocator, on a machine with `cores` cores.
    pub fn adaptive(cores: u32) -> Self {
        Self { backend: Backend::Adaptive(AdaptiveConfig::netty_4_2_7(cores)), ..Preset::Netty4_2_7.into() }
    }
}

impl Default for AllocatorConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for AllocatorConfig {
    fn from(preset: Preset) -> Self {
        let from = |first: Preset| preset >= first;
        let is_4_0 = preset == Preset::Netty4_0_43;
        let is_ours = preset == Preset::Millpond;
        Self {
            backend: if is_ours { Backend::Millpond } else { Backend::Unpooled },
            shells: preset.into(),
            scheme: match preset {
                Preset::Millpond => Scheme::OneWord,
                _ if from(Preset::Netty4_1_38) => Scheme::OddEven,
                _ if from(Preset::Netty4_1_22) => Scheme::Optimistic,
                _ => Scheme::CasLoop,
            },
            derivation: if is_4_0 { Derivation::SharedCount } else { Derivation::OwnCount },
            duplicate_of_slice_is_slice: is_ours || preset == Preset::Netty4_2_7,
            leaked: if is_ours { LeakedMemory::Reclaimed } else { LeakedMemory::Lost },
            leak_detection: None,
        }
    }
}
