//! The parameters of an allocator, and what each preset sets them to.
//!
//! **Invariant: each field names the release that changed it**; no other code knows releases.

use super::pooled::PooledConfig;
use crate::preset::Preset;
use crate::recycler::RecyclerConfig;
use serde::{Deserialize, Serialize};

/// Where the memory of buffers comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Backend {
    /// The platform, for each buffer.
    #[default]
    Unpooled,
    /// Arenas of chunks, with a cache for each thread: [`PooledBackend`](super::pooled::PooledBackend).
    Pooled(PooledConfig),
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
    /// Whether retained slices and duplicates have counts of their own: from 4.1.
    pub derivation: Derivation,
    /// A retained duplicate of a retained slice is a slice again (4.1.94+, and so far as recorded: 4.1.118), with the shell of one.
    pub duplicate_of_slice_is_slice: bool,
    /// What becomes of leaked memory: reclaimed by Millpond, lost by Netty.
    pub leaked: LeakedMemory,
}

impl AllocatorConfig {
    /// The rules of a release, with its pooled allocator.
    pub fn pooled(preset: Preset) -> Self {
        Self { backend: Backend::Pooled(preset.into()), ..preset.into() }
    }
}

impl Default for AllocatorConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for AllocatorConfig {
    fn from(preset: Preset) -> Self {
        let is_4_0 = preset == Preset::Netty4_0_43;
        let is_ours = preset == Preset::Millpond;
        Self {
            backend: Backend::Unpooled,
            shells: preset.into(),
            derivation: if is_4_0 { Derivation::SharedCount } else { Derivation::OwnCount },
            duplicate_of_slice_is_slice: is_ours || preset == Preset::Netty4_2_7,
            leaked: if is_ours { LeakedMemory::Reclaimed } else { LeakedMemory::Lost },
        }
    }
}
