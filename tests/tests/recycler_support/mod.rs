//! What the property tests of the recycler share: generated configurations and schedules.

use millpond::engine::{Granularity, Options, Strategy as Schedule};
use millpond_model::Preset;
use millpond_model::recycler::{
    BatchOrder, DeadQueueReclaim, Generation, Guard, OwnerExit, RatioMode, RecyclerConfig, Refill, WoqRatio,
};
use proptest::prelude::*;
use proptest::sample::select;

prop_compose! {
    /// Small limits, so that they are met.
    fn sizes()(
        max_capacity in 0..40_u32,
        ratio in 0..5_u32,
        initial_capacity in 1..10_u32,
        link_capacity in 1..5_u32,
        max_shared_capacity_factor in 1..5_u32,
        max_delayed_queues_per_thread in prop::option::of(0..4_u32),
        delayed_queue_ratio in 0..4_u32,
        chunk_size in 0..8_u32,
    ) -> RecyclerConfig {
        RecyclerConfig {
            max_capacity,
            ratio,
            initial_capacity,
            link_capacity,
            max_shared_capacity_factor,
            max_delayed_queues_per_thread,
            delayed_queue_ratio,
            chunk_size,
            ..RecyclerConfig::default()
        }
    }
}

prop_compose! {
    fn rules_of_a()(
        ratio_mode in select(&[RatioMode::None, RatioMode::Mask, RatioMode::Interval]),
        woq_ratio in select(&[WoqRatio::None, WoqRatio::AllHandles, WoqRatio::NeverRecycledOnly]),
        dead_queue_reclaim in
            select(&[DeadQueueReclaim::Never, DeadQueueReclaim::Finalizer, DeadQueueReclaim::Explicit]),
        flags in any::<[bool; 8]>(),
    ) -> RecyclerConfig {
        let [
            unbounded_side_queues,
            zero_limit_skips_map,
            queue_pins_pool,
            reclaim_skipped_link,
            size_stored_before_validation,
            already_recycled_check,
            claim_by_cas,
            stack_holds_thread,
        ] = flags;
        RecyclerConfig {
            generation: Generation::A,
            ratio_mode,
            woq_ratio,
            dead_queue_reclaim,
            unbounded_side_queues,
            zero_limit_skips_map,
            queue_pins_pool,
            reclaim_skipped_link,
            size_stored_before_validation,
            already_recycled_check,
            claim_by_cas,
            stack_holds_thread,
            ..RecyclerConfig::default()
        }
    }
}

prop_compose! {
    fn rules_of_b()(
        batch_order in select(&[BatchOrder::Fifo, BatchOrder::Lifo]),
        refill in select(&[Refill::OneByOne, Refill::Chunk]),
        guard in select(&[Guard::Exchange, Guard::PlainCheck, Guard::None]),
        flags in any::<[bool; 5]>(),
    ) -> RecyclerConfig {
        let [owner_batch, close_on_removal, drop_batch_on_removal, terminated_owner_check, recheck_after_offer] = flags;
        RecyclerConfig {
            generation: Generation::B,
            batch_order,
            refill,
            guard,
            owner_batch,
            close_on_removal,
            drop_batch_on_removal,
            terminated_owner_check,
            recheck_after_offer,
            ..RecyclerConfig::default()
        }
    }
}

/// A preset as it is, a preset with other sizes, or any rules with any sizes.
pub fn config() -> impl Strategy<Value = RecyclerConfig> {
    let preset = || select(&Preset::ALL).prop_map(RecyclerConfig::from);
    let rules = prop_oneof![preset(), rules_of_a(), rules_of_b()];
    let exit = select(&[OwnerExit::RemoveAll, OwnerExit::Plain]);
    let any = (rules, sizes(), exit).prop_map(|(rules, sizes, owner_exit)| RecyclerConfig {
        max_capacity: sizes.max_capacity,
        ratio: sizes.ratio,
        initial_capacity: sizes.initial_capacity,
        link_capacity: sizes.link_capacity,
        max_shared_capacity_factor: sizes.max_shared_capacity_factor,
        max_delayed_queues_per_thread: sizes.max_delayed_queues_per_thread,
        delayed_queue_ratio: sizes.delayed_queue_ratio,
        chunk_size: sizes.chunk_size,
        owner_exit,
        ..rules
    });
    prop_oneof![1 => preset(), 3 => any]
}

/// Any strategy at any granularity.
pub fn schedule() -> impl Strategy<Value = Options> {
    let strategy = prop_oneof![
        Just(Schedule::Random),
        Just(Schedule::RoundRobin),
        Just(Schedule::RunOn),
        (1..5_u32).prop_map(|depth| Schedule::Pct { depth }),
    ];
    let granularity = select(&[Granularity::Operation, Granularity::Task]);
    (any::<u64>(), strategy, granularity).prop_map(|(seed, strategy, granularity)| Options {
        seed,
        strategy,
        granularity,
        pct_steps: 10_000,
        ..Options::default()
    })
}
