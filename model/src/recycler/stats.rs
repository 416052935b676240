//! The statistics of a recycler.

use crate::observe::Kind;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Recycled objects that were not kept, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Drops {
    /// By the admission ratio.
    pub ratio: u64,
    /// The owner's pool was full.
    pub pool_full: u64,
    /// No shared capacity for a further link.
    pub no_shared_capacity: u64,
    /// The recycling thread had its maximum of owners.
    pub delayed_limit: u64,
    /// The owner had ended.
    pub owner_dead: u64,
    /// Never poolable.
    pub not_poolable: u64,
}

/// The statistics of one thread's pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PoolStats {
    /// The owner's thread number.
    pub owner: u32,
    /// Whether the owner has ended.
    pub dead: bool,
    /// Objects made.
    pub created: u64,
    /// Objects given out again.
    pub reused: u64,
    /// Objects not kept.
    pub dropped: Drops,
    /// Objects in the pool.
    pub retained: u64,
}

/// The statistics of a recycler.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecyclerStats {
    /// What is pooled.
    pub kind: Kind,
    /// One entry a thread's pool, in order of creation.
    pub pools: Vec<PoolStats>,
}
