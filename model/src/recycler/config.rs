//! The parameters of a recycler, and what each preset sets them to.
//!
//! **Invariant: every difference between releases is a field here**; the algorithms read fields, never a version.

use crate::preset::Preset;
use serde::{Deserialize, Serialize};

/// The designs: Netty's two, and ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Generation {
    /// To 4.1.70: a stack a thread, and a side queue (`WeakOrderQueue`) a recycling thread and stack.
    A,
    /// From 4.1.71: one bounded queue a thread, and a batch in front of it.
    B,
    /// Millpond: an array a thread; others collect what they recycle for it in batches, and hand each over with one exchange. It
    /// gives back what it hasn't used for a while.
    HandOver,
}

/// Generation A: how the owner admits objects that were never pooled before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RatioMode {
    /// All (to 4.1.4).
    None,
    /// One of `ratio`, rounded up to a power of two, the first one kept (4.1.5 to 4.1.43).
    Mask,
    /// After each one kept, `ratio` are dropped: one of `ratio + 1` (4.1.44 to 4.1.70).
    Interval,
}

/// Generation A: which objects a side queue applies its own ratio to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WoqRatio {
    /// None: it takes everything (to 4.1.43).
    None,
    /// All (4.1.44 to 4.1.65).
    AllHandles,
    /// Those never pooled before (4.1.66 to 4.1.70).
    NeverRecycledOnly,
}

/// Generation A: how the shared capacity held by the queue of a dead thread comes back once the queue is unlinked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DeadQueueReclaim {
    /// Never (4.1.3).
    Never,
    /// When it is finalised (4.1.4 to 4.1.43).
    Finalizer,
    /// At once (4.1.44 to 4.1.70).
    Explicit,
}

/// What an ending thread does with its pools.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum OwnerExit {
    /// It removes them (`FastThreadLocal.removeAll`).
    RemoveAll,
    /// Nothing.
    Plain,
}

/// Generation B: in which order the batch is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BatchOrder {
    /// Oldest first (4.1.88 to 4.1.113).
    Fifo,
    /// Youngest first (4.1.114+).
    Lifo,
}

/// Generation B: how `get` takes from the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refill {
    /// One object a `get` (4.1.71 to 4.1.87, 4.2.7).
    OneByOne,
    /// Up to `chunk_size` into the batch (4.1.88 to 4.2.6).
    Chunk,
}

/// Generation B: how a double recycle is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Guard {
    /// By an atomic exchange: always.
    Exchange,
    /// As `Exchange`; and a handle that was recycled can't be again, whoever has the object by then (Millpond).
    Period,
    /// By a plain read before a plain write (unguarded handles, 4.1.90+): not when two threads race.
    PlainCheck,
    /// Not at all (unguarded pools, 4.2.7).
    None,
}

/// The parameters of a recycler. The releases in parentheses are those that behave so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecyclerConfig {
    /// The design.
    pub generation: Generation,
    /// Objects a thread's own pool holds at most; 0 turns pooling off. B: at least 4. Hand-over: and a batch in each other thread.
    pub max_capacity: u32,
    /// Admission ratio. A: see [`RatioMode`]. B: of so many created objects the first is poolable; 0 or 1: all. Hand-over: unused.
    pub ratio: u32,
    /// What an ending thread does with its pools. Hand-over: always removes them.
    pub owner_exit: OwnerExit,

    /// A: how the ratio is applied.
    pub ratio_mode: RatioMode,
    /// A: first length of a stack's array.
    pub initial_capacity: u32,
    /// A: objects a link of a side queue.
    pub link_capacity: u32,
    /// A: side queues of one stack hold at most `max_capacity` / this many objects together, at least one link's.
    pub max_shared_capacity_factor: u32,
    /// A: no such limit (to 4.1.2, Netty #5505).
    pub unbounded_side_queues: bool,
    /// A: pools a recycling thread serves at most; none: no limit (to 4.1.4).
    pub max_delayed_queues_per_thread: Option<u32>,
    /// A: a limit of 0 drops at once instead of leaving a dummy in the map (4.1.44+).
    pub zero_limit_skips_map: bool,
    /// A: which objects a side queue's own ratio is for.
    pub woq_ratio: WoqRatio,
    /// A: a side queue drops so many after each one it takes.
    pub delayed_queue_ratio: u32,
    /// A: a recycling thread's queue holds the pool it serves (4.1.3, Netty #5569).
    pub queue_pins_pool: bool,
    /// A: a link read to its end before it has a successor gives its capacity back later (4.1.38+, Netty #9394).
    pub reclaim_skipped_link: bool,
    /// A: a pop stores the new size before it validates (4.1.44+, Netty #9731).
    pub size_stored_before_validation: bool,
    /// A: a recycle looks whether the object is recycled already (4.1.30+, Netty #8220).
    pub already_recycled_check: bool,
    /// A: a recycle claims the object by compare-exchange (4.1.60+, Netty #10986).
    pub claim_by_cas: bool,
    /// A: how the capacity of a dead thread's queue comes back.
    pub dead_queue_reclaim: DeadQueueReclaim,
    /// A: a stack holds its thread (to 4.1.18, Netty commit 0276b6e0f6).
    pub stack_holds_thread: bool,

    /// B: objects in the batch at most, and how many a refill takes. Used as 2 to `max_capacity` / 2. Hand-over: objects of a batch,
    /// used as 1 to `max_capacity` / 4.
    pub chunk_size: u32,
    /// B: the owner is known, and recycles into the batch (4.1.88+, for Netty's own kind of thread).
    pub owner_batch: bool,
    /// B: in which order the batch is used.
    pub batch_order: BatchOrder,
    /// B: how `get` takes from the queue.
    pub refill: Refill,
    /// B: removal of a pool closes its queue (4.1.74+, Netty #11864); before, it emptied it.
    pub close_on_removal: bool,
    /// B: removal of a pool drops the batch too (Millpond).
    pub drop_batch_on_removal: bool,
    /// B: a recycle that finds a known owner dead closes the queue (4.1.88+).
    pub terminated_owner_check: bool,
    /// B: a recycle looks again whether the queue is open after it put something there (Millpond).
    pub recheck_after_offer: bool,
    /// B: how a double recycle is noticed.
    pub guard: Guard,
}

/// Why a configuration can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} is {value}, but it must be from {min} to {max}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: u32,
    /// The least value allowed.
    pub min: u32,
    /// The greatest value allowed.
    pub max: u32,
}

impl RecyclerConfig {
    /// The largest `max_capacity`: 64 times the largest default that Netty ever had.
    pub const MAX_CAPACITY: u32 = 1 << 24;
    /// The largest `link_capacity`.
    pub const MAX_LINK_CAPACITY: u32 = 1 << 16;
    /// The largest ratio.
    pub const MAX_RATIO: u32 = 1 << 30;

    /// No pooling: every `get` makes an object, every recycle drops it.
    pub fn off() -> Self {
        Self { max_capacity: 0, ..Self::default() }
    }

    /// Whether every field can be used.
    ///
    /// # Errors
    /// The first field that can't.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fields = [
            ("max_capacity", self.max_capacity, 0, Self::MAX_CAPACITY),
            ("ratio", self.ratio, 0, Self::MAX_RATIO),
            ("initial_capacity", self.initial_capacity, 1, Self::MAX_CAPACITY),
            ("link_capacity", self.link_capacity, 1, Self::MAX_LINK_CAPACITY),
            ("max_shared_capacity_factor", self.max_shared_capacity_factor, 1, u32::MAX),
            ("delayed_queue_ratio", self.delayed_queue_ratio, 0, Self::MAX_RATIO),
        ];
        match fields.into_iter().find(|&(_, value, min, max)| !(min..=max).contains(&value)) {
            Some((field, value, min, max)) => Err(ConfigError { field, value, min, max }),
            None => Ok(()),
        }
    }

    /// A: the shared capacity of a stack's side queues, in objects.
    pub(super) fn shared_capacity(&self) -> i32 {
        let capacity = (self.max_capacity / self.max_shared_capacity_factor).max(self.link_capacity);
        i32::try_from(capacity).unwrap_or_else(|_| unreachable!("validated"))
    }

    /// B: the capacity of the queue before it is rounded up.
    pub(super) fn queue_capacity(&self) -> usize {
        self.max_capacity.max(4) as usize
    }

    /// B: the chunk size in use.
    pub(super) fn effective_chunk(&self) -> usize {
        (self.chunk_size as usize).min(self.queue_capacity() / 2).max(2)
    }

    /// 4.1.2: an array stack and unbounded side queues; the root of generation A.
    fn netty_4_1_2() -> Self {
        Self {
            generation: Generation::A,
            max_capacity: 262_144,
            ratio: 8,
            owner_exit: OwnerExit::RemoveAll,
            ratio_mode: RatioMode::None,
            initial_capacity: 256,
            link_capacity: 16,
            max_shared_capacity_factor: 2,
            unbounded_side_queues: true,
            max_delayed_queues_per_thread: None,
            zero_limit_skips_map: false,
            woq_ratio: WoqRatio::None,
            delayed_queue_ratio: 8,
            queue_pins_pool: false,
            reclaim_skipped_link: false,
            size_stored_before_validation: false,
            already_recycled_check: false,
            claim_by_cas: false,
            dead_queue_reclaim: DeadQueueReclaim::Never,
            stack_holds_thread: true,
            chunk_size: 32,
            owner_batch: false,
            batch_order: BatchOrder::Fifo,
            refill: Refill::OneByOne,
            close_on_removal: false,
            drop_batch_on_removal: false,
            terminated_owner_check: false,
            recheck_after_offer: false,
            guard: Guard::Exchange,
        }
    }

    fn netty_4_1_3() -> Self {
        Self { unbounded_side_queues: false, queue_pins_pool: true, ..Self::netty_4_1_2() }
    }

    fn netty_4_1_4() -> Self {
        Self {
            max_capacity: 32_768,
            queue_pins_pool: false,
            dead_queue_reclaim: DeadQueueReclaim::Finalizer,
            ..Self::netty_4_1_3()
        }
    }

    /// 2 x 8 cores queues a thread: the machine that the golden vectors stand for.
    fn netty_4_1_8() -> Self {
        Self { ratio_mode: RatioMode::Mask, max_delayed_queues_per_thread: Some(16), ..Self::netty_4_1_4() }
    }

    fn netty_4_1_22() -> Self {
        Self { max_capacity: 4096, stack_holds_thread: false, ..Self::netty_4_1_8() }
    }

    fn netty_4_1_38() -> Self {
        Self { already_recycled_check: true, reclaim_skipped_link: true, ..Self::netty_4_1_22() }
    }

    fn netty_4_1_44() -> Self {
        Self {
            ratio_mode: RatioMode::Interval,
            woq_ratio: WoqRatio::AllHandles,
            size_stored_before_validation: true,
            zero_limit_skips_map: true,
            dead_queue_reclaim: DeadQueueReclaim::Explicit,
            ..Self::netty_4_1_38()
        }
    }

    fn netty_4_1_66() -> Self {
        Self { woq_ratio: WoqRatio::NeverRecycledOnly, claim_by_cas: true, ..Self::netty_4_1_44() }
    }

    fn netty_4_1_71() -> Self {
        Self { generation: Generation::B, ..Self::netty_4_1_66() }
    }

    fn netty_4_1_88() -> Self {
        Self {
            owner_batch: true,
            refill: Refill::Chunk,
            close_on_removal: true,
            terminated_owner_check: true,
            ..Self::netty_4_1_71()
        }
    }

    fn netty_4_2_7() -> Self {
        Self { batch_order: BatchOrder::Lifo, refill: Refill::OneByOne, ..Self::netty_4_1_88() }
    }

    /// Generation B with its known defects mended: a pool of any kind of thread has a batch and is closed when its thread
    /// ends, with the batch dropped (Netty keeps it while an object is in use); what races with the closing is taken
    /// out again (Netty's check and offer are two steps); every double recycle is refused.
    pub fn mended() -> Self {
        Self {
            batch_order: BatchOrder::Lifo,
            drop_batch_on_removal: true,
            recheck_after_offer: true,
            ..Self::netty_4_1_88()
        }
    }

    /// 16 objects a batch: from 8 on a larger one gains little, and is held up for longer.
    fn millpond() -> Self {
        Self { generation: Generation::HandOver, ratio: 1, chunk_size: 16, guard: Guard::Period, ..Self::mended() }
    }
}

impl Default for RecyclerConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for RecyclerConfig {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Netty4_1_2 => Self::netty_4_1_2(),
            Preset::Netty4_1_3 => Self::netty_4_1_3(),
            Preset::Netty4_1_4 => Self::netty_4_1_4(),
            Preset::Netty4_0_43 | Preset::Netty4_1_8 => Self::netty_4_1_8(),
            Preset::Netty4_1_22 => Self::netty_4_1_22(),
            Preset::Netty4_1_38 => Self::netty_4_1_38(),
            Preset::Netty4_1_44 => Self::netty_4_1_44(),
            Preset::Netty4_1_66 => Self::netty_4_1_66(),
            Preset::Netty4_1_71 => Self::netty_4_1_71(),
            Preset::Netty4_1_88 => Self::netty_4_1_88(),
            Preset::Netty4_2_7 => Self::netty_4_2_7(),
            Preset::Millpond => Self::millpond(),
        }
    }
}
