//! The statistics of the adaptive allocator, and what must hold in it.
//!
//! **Invariant: at a quiescent point `used_memory` is the sum of the capacities of the chunks that exist, and every segment of a
//! chunk is in use or free.** Numbers are exact then, and otherwise each is right for some recent moment of its own.

use super::chunk::ChunkInspection;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The statistics of one area.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AdaptiveStats {
    /// Σ capacity of all chunks that exist, in bytes (`usedMemory`, 4.2.3+).
    pub used_memory: u64,
    /// Chunks that exist.
    pub chunks: u64,
    /// Chunks ever made.
    pub chunks_made: u64,
    /// Allocations that went for a chunk of their own: too large to pool, or all locks were taken.
    pub one_offs: u64,
    /// Magazines of each shared group: the size classes, then the large group.
    pub magazines: Vec<u32>,
    /// How often a shared group doubled its magazines.
    pub expansions: u64,
    /// Allocations that a shared magazine served although its lock was taken.
    pub unlocked: u64,
    /// Times that a free list was found empty although the chunk had room: where Netty throws.
    pub starved: u64,
    /// Chunks that were lost by a historical bug.
    pub lost: u64,
}

/// What the end of an allocator did, in bytes of both areas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Finalized {
    /// Freed by the finaliser.
    pub freed: u64,
    /// Not freed by it. In Netty the garbage collector may get it; here it is freed too, as soon as its last block and the
    /// threads with magazines of their own are gone.
    pub left: u64,
}

/// An invariant of the allocator doesn't hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("adaptive allocator: {0}")]
pub struct AdaptiveBroken(pub String);

impl ChunkInspection {
    /// Whether a chunk is as it should be when nobody is inside.
    pub(super) fn check(&self) -> Result<(), AdaptiveBroken> {
        let broken = |what: &str| Err(AdaptiveBroken(alloc::format!("{what}: {self:?}")));
        if !self.held && self.blocks == 0 {
            return broken("a chunk exists that nobody has");
        }
        if self.one_off && (self.held || self.blocks != 1) {
            return broken("a chunk for one block has one block");
        }
        let Some(segment) = self.segment else {
            let fits = self.allocated <= self.capacity;
            return if fits { Ok(()) } else { broken("more is cut off than there is") };
        };
        let count = self.capacity / segment as usize;
        if self.free.len() + self.blocks as usize != count {
            return broken("every segment is in use or free");
        }
        let mut seen = vec![false; count];
        for &offset in &self.free {
            let index = (offset / segment) as usize;
            if offset % segment != 0 || index >= count || core::mem::replace(&mut seen[index], true) {
                return broken("a free segment is in the list once");
            }
        }
        Ok(())
    }
}
