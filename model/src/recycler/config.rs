//! The parameters of a recycler, and what each preset sets them to.

use crate::preset::Preset;
use serde::{Deserialize, Serialize};

/// The parameters of a recycler.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecyclerConfig {
    /// Objects a thread's own pool holds at most; 0 turns pooling off.
    pub max_capacity: u32,
}

impl RecyclerConfig {
    /// No pooling: every `get` makes an object, every recycle drops it.
    pub fn off() -> Self {
        Self { max_capacity: 0 }
    }
}

impl From<Preset> for RecyclerConfig {
    fn from(_preset: Preset) -> Self {
        Self { max_capacity: 4096 }
    }
}
