//! The statistics of a recycler.
//!
//! **Invariant: at a quiescent point every object ever created is in use, retained, dropped or forgotten**: [`PoolStats::check`].
//!
//! Numbers are exact when no thread is inside the pool, and otherwise each is right for some recent moment of its own.

use crate::observe::{DropReason, Kind};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::AddAssign;
use serde::{Deserialize, Serialize};

/// Recycled objects that were not kept, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Drops {
    /// By an admission ratio.
    pub ratio: u64,
    /// The owner's pool was full.
    pub pool_full: u64,
    /// No shared capacity for a further link.
    pub no_shared_capacity: u64,
    /// The recycling thread had its maximum of owners.
    pub delayed_limit: u64,
    /// The owner had ended, or ended with them in its pool.
    pub owner_dead: u64,
    /// Never poolable.
    pub not_poolable: u64,
    /// Hand-over: given back because the pool had not needed them for a while.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unused: u64,
    /// Lost in a transfer or a pop that failed because of a double recycle.
    pub lost: u64,
}

/// What only one generation has isn't written for the others.
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Drops {
    /// Counts one more.
    pub fn count(&mut self, reason: DropReason) {
        *match reason {
            DropReason::Ratio => &mut self.ratio,
            DropReason::PoolFull => &mut self.pool_full,
            DropReason::NoSharedCapacity => &mut self.no_shared_capacity,
            DropReason::DelayedLimit => &mut self.delayed_limit,
            DropReason::OwnerDead => &mut self.owner_dead,
            DropReason::NotPoolable => &mut self.not_poolable,
            DropReason::Unused => &mut self.unused,
        } += 1;
    }

    /// The numbers by reason, in the order of [`DropReason`]; `lost` has none.
    pub fn by_reason(&self) -> [(DropReason, u64); 7] {
        [
            (DropReason::Ratio, self.ratio),
            (DropReason::PoolFull, self.pool_full),
            (DropReason::NoSharedCapacity, self.no_shared_capacity),
            (DropReason::DelayedLimit, self.delayed_limit),
            (DropReason::OwnerDead, self.owner_dead),
            (DropReason::NotPoolable, self.not_poolable),
            (DropReason::Unused, self.unused),
        ]
    }

    /// All reasons together.
    pub fn total(&self) -> u64 {
        self.ratio
            + self.pool_full
            + self.no_shared_capacity
            + self.delayed_limit
            + self.owner_dead
            + self.not_poolable
            + self.unused
            + self.lost
    }
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
    /// Of these, made without a place in the pool (generation B's ratio; pooling off).
    pub created_unpoolable: u64,
    /// Objects given out again.
    pub reused: u64,
    /// Objects stored by their owner.
    pub stored_by_owner: u64,
    /// Objects stored by other threads.
    pub stored_by_other: u64,
    /// Objects that the owner took out of a hand-over queue (to keep, to use, or to drop).
    pub transferred: u64,
    /// Objects not kept.
    pub dropped: Drops,
    /// Objects that left for good without being recycled.
    pub forgotten: u64,
    /// Objects in the pool.
    pub retained: u64,
    /// Of these, in the owner's own store: A: the stack; B: the batch.
    pub own_len: u64,
    /// Of these, in hand-over queues: A: the side queues; B: the queue.
    pub queue_len: u64,
    /// Objects in use. Negative after a double recycle that the pool did not notice.
    pub in_use: i64,
    /// A: length of the stack's array.
    pub array_len: u64,
    /// A: side queues.
    pub queues: u64,
    /// A: recycling threads that never serve this pool because they have their maximum.
    pub dummies: u64,
    /// A: links of all side queues.
    pub links: u64,
    /// A: objects a link.
    pub link_capacity: u64,
    /// A: shared capacity of the side queues; 0: unbounded.
    pub shared_capacity: u64,
    /// A: shared capacity that is free.
    pub shared_available: u64,
    /// A: objects that passed the owner's ratio.
    pub admitted: u64,
    /// Double recycles that were refused.
    pub double_recycles_refused: u64,
    /// Double recycles that were noticed and ignored (4.1.60+).
    pub double_recycles_ignored: u64,
    /// B: times the pool was given up because its owner was found dead.
    pub abandoned: u64,
}

/// A statistic that contradicts another.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StatsError {
    /// Objects came from nowhere or disappeared.
    #[error(
        "pool of thread {owner}: created {created} is not retained {retained} + in use {in_use} + dropped {dropped} + forgotten \
         {forgotten}"
    )]
    Conservation {
        /// The owner's thread number.
        owner: u32,
        /// See [`PoolStats`].
        created: u64,
        /// See [`PoolStats`].
        retained: u64,
        /// See [`PoolStats`].
        in_use: i64,
        /// See [`PoolStats`].
        dropped: u64,
        /// See [`PoolStats`].
        forgotten: u64,
    },
    /// Shared capacity was lost, or given back twice.
    #[error("pool of thread {owner}: {drift} of the shared capacity belong to no link")]
    SharedCapacity {
        /// The owner's thread number.
        owner: u32,
        /// See [`PoolStats::drift`].
        drift: i64,
    },
}

impl PoolStats {
    /// Conservation: created = retained + in use + dropped + forgotten. Retained is measured, in use counted.
    ///
    /// # Errors
    /// The numbers, if they disagree.
    pub fn check(&self) -> Result<(), StatsError> {
        let sum = (self.retained + self.dropped.total() + self.forgotten).cast_signed() + self.in_use;
        if sum == self.created.cast_signed() {
            return Ok(());
        }
        Err(StatsError::Conservation {
            owner: self.owner,
            created: self.created,
            retained: self.retained,
            in_use: self.in_use,
            dropped: self.dropped.total(),
            forgotten: self.forgotten,
        })
    }

    /// A: shared capacity that neither is free nor belongs to a link: what 4.1.3 to 4.1.37 lose (Netty #9394).
    pub fn drift(&self) -> i64 {
        if self.shared_capacity == 0 {
            return 0;
        }
        self.shared_capacity.cast_signed()
            - self.shared_available.cast_signed()
            - (self.links * self.link_capacity).cast_signed()
    }

    /// Shared capacity: available + link capacity x links = initial. Holds from 4.1.38 on.
    ///
    /// # Errors
    /// The drift, if there is one.
    pub fn check_shared(&self) -> Result<(), StatsError> {
        match self.drift() {
            0 => Ok(()),
            drift => Err(StatsError::SharedCapacity { owner: self.owner, drift }),
        }
    }

    /// Bytes that Netty would retain for this pool's objects, if one has `object` bytes: A: a handle of 32 bytes each, and
    /// the links (112 bytes for 16 objects); B: a handle of 24 bytes and a 4-byte place in the queue each (64-bit HotSpot,
    /// compressed pointers).
    pub fn java_bytes(&self, object: u64) -> u64 {
        if self.link_capacity == 0 {
            return self.retained * (object + 24 + 4);
        }
        self.retained * (object + 32) + self.links * (48 + 4 * self.link_capacity)
    }
}

impl AddAssign for Drops {
    fn add_assign(&mut self, o: Self) {
        self.ratio += o.ratio;
        self.pool_full += o.pool_full;
        self.no_shared_capacity += o.no_shared_capacity;
        self.delayed_limit += o.delayed_limit;
        self.owner_dead += o.owner_dead;
        self.not_poolable += o.not_poolable;
        self.unused += o.unused;
        self.lost += o.lost;
    }
}

impl AddAssign for PoolStats {
    /// Sums; the owner stays, and `dead` means any.
    fn add_assign(&mut self, o: Self) {
        self.dead |= o.dead;
        self.created += o.created;
        self.created_unpoolable += o.created_unpoolable;
        self.reused += o.reused;
        self.stored_by_owner += o.stored_by_owner;
        self.stored_by_other += o.stored_by_other;
        self.transferred += o.transferred;
        self.dropped += o.dropped;
        self.forgotten += o.forgotten;
        self.retained += o.retained;
        self.own_len += o.own_len;
        self.queue_len += o.queue_len;
        self.in_use += o.in_use;
        self.array_len += o.array_len;
        self.queues += o.queues;
        self.dummies += o.dummies;
        self.links += o.links;
        self.link_capacity = self.link_capacity.max(o.link_capacity);
        self.shared_capacity += o.shared_capacity;
        self.shared_available += o.shared_available;
        self.admitted += o.admitted;
        self.double_recycles_refused += o.double_recycles_refused;
        self.double_recycles_ignored += o.double_recycles_ignored;
        self.abandoned += o.abandoned;
    }
}

/// The statistics of a recycler.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecyclerStats {
    /// What is pooled.
    pub kind: Kind,
    /// One entry a thread's pool, in order of creation.
    pub pools: Vec<PoolStats>,
    /// Everything else: pools that are gone, and objects made with pooling off.
    pub rest: PoolStats,
}

impl RecyclerStats {
    /// All pools and the rest together.
    pub fn total(&self) -> PoolStats {
        let mut sum = self.rest;
        for pool in &self.pools {
            sum += *pool;
        }
        sum
    }

    /// Objects in the pools of threads that have ended.
    pub fn retained_by_dead(&self) -> u64 {
        self.pools.iter().filter(|p| p.dead).map(|p| p.retained).sum()
    }

    /// [`PoolStats::check`] of every pool and of the rest.
    ///
    /// # Errors
    /// The first pool whose numbers disagree.
    pub fn check(&self) -> Result<(), StatsError> {
        self.pools.iter().chain([&self.rest]).try_for_each(PoolStats::check)
    }

    /// [`PoolStats::check_shared`] of every pool.
    ///
    /// # Errors
    /// The first pool with a drift.
    pub fn check_shared(&self) -> Result<(), StatsError> {
        self.pools.iter().try_for_each(PoolStats::check_shared)
    }
}

/// The columns of the table, left to right.
const COLUMNS: [&str; 12] = [
    "owner",
    "created",
    "reused",
    "in use",
    "retained",
    "own",
    "queued",
    "dropped",
    "queues",
    "links",
    "shared free",
    "double",
];

fn row(name: String, p: &PoolStats) -> [String; 12] {
    let shared = if p.shared_capacity == 0 { "-".to_string() } else { p.shared_available.to_string() };
    [
        name,
        p.created.to_string(),
        p.reused.to_string(),
        p.in_use.to_string(),
        p.retained.to_string(),
        p.own_len.to_string(),
        p.queue_len.to_string(),
        p.dropped.total().to_string(),
        p.queues.to_string(),
        p.links.to_string(),
        shared,
        (p.double_recycles_refused + p.double_recycles_ignored).to_string(),
    ]
}

impl fmt::Display for RecyclerStats {
    /// A table: a line a pool, then the rest if there is any, the total, and the reasons of what was dropped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = Vec::from([COLUMNS.map(str::to_string)]);
        for p in &self.pools {
            rows.push(row(alloc::format!("{}{}", p.owner, if p.dead { " (ended)" } else { "" }), p));
        }
        if self.rest != PoolStats::default() {
            rows.push(row("rest".to_string(), &self.rest));
        }
        let total = self.total();
        rows.push(row("total".to_string(), &total));
        let mut widths = [0; COLUMNS.len()];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        writeln!(f, "{}", self.kind)?;
        for row in &rows {
            write!(f, "  {:<w$}", row[0], w = widths[0])?;
            for (cell, w) in row.iter().zip(widths).skip(1) {
                write!(f, "  {cell:>w$}")?;
            }
            writeln!(f)?;
        }
        let d = total.dropped;
        write!(
            f,
            "  dropped: ratio {}, pool full {}, no shared capacity {}, delayed limit {}, owner dead {}, not poolable {}, lost {}",
            d.ratio, d.pool_full, d.no_shared_capacity, d.delayed_limit, d.owner_dead, d.not_poolable, d.lost
        )?;
        if d.unused > 0 {
            write!(f, ", unused {}", d.unused)?;
        }
        writeln!(f)
    }
}
