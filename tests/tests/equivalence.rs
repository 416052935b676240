//! The simulator is the same world as real threads: a generated list of operations, each run by one thread while the others
//! wait, gives the same statistics on both, field by field, after every operation.

use millpond::engine::{Granularity, Options, Sim, Strategy as Schedule};
use millpond_model::observe::Kind;
use millpond_model::platform::ThreadId;
use millpond_model::recycler::{
    BatchOrder, Collect, DeadQueueReclaim, Domain, Generation, Guard, OwnerExit, Pooled, RatioMode, Recycler,
    RecyclerConfig, RecyclerStats, Refill, WoqRatio,
};
use millpond_model::{Platform, Preset, Std};
use millpond_tests::crew::Crew;
use millpond_tests::sim::soundly;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;

/// What a thread does. Threads and objects are chosen modulo how many there are.
#[derive(Clone, Copy, Debug)]
enum Operation {
    /// The thread gets an object.
    Get(usize),
    /// The thread recycles the object.
    Recycle(usize, usize),
    /// The thread forgets the object.
    Forget(usize, usize),
    /// The thread ends, and a new one takes its place.
    Die(usize),
    /// What nobody refers to is given up.
    Collect,
}

/// What the world looks like after an operation. Threads by their number among all that there were.
#[derive(PartialEq, Debug)]
struct State {
    stats: RecyclerStats,
    uncollected: Vec<u32>,
}

/// A recycler and the threads around it.
struct World<P: Platform> {
    domain: Domain<P>,
    recycler: Recycler<u32, P>,
    crew: Crew<P>,
    /// Workers that are alive.
    team: Vec<usize>,
    /// All threads there ever were, in order of creation.
    threads: Vec<ThreadId>,
    held: Vec<Pooled<u32, P>>,
}

impl<P: Platform> World<P> {
    fn new(config: RecyclerConfig, collect: Collect, threads: usize) -> Self {
        let domain = Domain::new_with(collect);
        let recycler = Recycler::new_in(&domain, Kind::Object, config, || 0);
        let mut world =
            Self { domain, recycler, crew: Crew::new(0), team: Vec::new(), threads: Vec::new(), held: Vec::new() };
        for _ in 0..threads {
            let hired = world.hire();
            world.team.push(hired);
        }
        world
    }

    fn hire(&mut self) -> usize {
        let worker = self.crew.hire();
        self.threads.push(self.crew.thread(worker));
        worker
    }

    fn number(&self, thread: ThreadId) -> u32 {
        let number = self.threads.iter().position(|t| *t == thread).expect("only the team uses the recycler");
        u32::try_from(number).expect("a small number")
    }

    /// One of the team.
    fn worker(&self, thread: usize) -> usize {
        self.team[thread % self.team.len()]
    }

    /// Takes one of the objects in use.
    fn take(&mut self, object: usize) -> Option<Pooled<u32, P>> {
        (!self.held.is_empty()).then(|| self.held.swap_remove(object % self.held.len()))
    }

    fn step(&mut self, operation: Operation) -> State {
        let mut uncollected = Vec::new();
        match operation {
            Operation::Get(thread) => {
                let recycler = self.recycler.clone();
                let object = self.crew.run(self.worker(thread), move || recycler.get());
                self.held.push(object);
            }
            Operation::Recycle(object, thread) => {
                if let Some(object) = self.take(object) {
                    self.crew.run(self.worker(thread), move || drop(object));
                }
            }
            Operation::Forget(object, thread) => {
                if let Some(object) = self.take(object) {
                    self.crew.run(self.worker(thread), move || object.forget());
                }
            }
            Operation::Die(thread) => {
                let at = thread % self.team.len();
                self.crew.dismiss(self.team[at]);
                self.team[at] = self.hire();
            }
            Operation::Collect => {
                uncollected = self.domain.collect().uncollected.iter().map(|t| self.number(*t)).collect();
            }
        }
        let mut stats = self.recycler.stats();
        stats.check().unwrap_or_else(|e| panic!("{e}\n{stats}"));
        for pool in &mut stats.pools {
            pool.owner = self.number(ThreadId(pool.owner));
        }
        State { stats, uncollected }
    }
}

fn states<P: Platform>(config: RecyclerConfig, collect: Collect, threads: usize, list: &[Operation]) -> Vec<State> {
    let mut world = World::<P>::new(config, collect, threads);
    list.iter().map(|operation| world.step(*operation)).collect()
}

fn operation() -> impl Strategy<Value = Operation> {
    let (thread, object) = (0..4_usize, 0..64_usize);
    prop_oneof![
        10 => thread.clone().prop_map(Operation::Get),
        8 => (object.clone(), thread.clone()).prop_map(|(o, t)| Operation::Recycle(o, t)),
        1 => (object, thread.clone()).prop_map(|(o, t)| Operation::Forget(o, t)),
        1 => thread.prop_map(Operation::Die),
        1 => Just(Operation::Collect),
    ]
}

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
fn config() -> impl Strategy<Value = RecyclerConfig> {
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

fn schedule() -> impl Strategy<Value = Options> {
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

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn threads_and_simulator_agree(
        config in config(),
        collect in select(&[Collect::Eager, Collect::Withheld]),
        threads in 1..5_usize,
        list in prop::collection::vec(operation(), 1..=200),
        options in schedule(),
    ) {
        let real = states::<Std>(config, collect, threads, &list);
        let mut simulated = Vec::new();
        soundly(&options, || simulated = states::<Sim>(config, collect, threads, &list));
        prop_assert_eq!(real.len(), simulated.len());
        for ((operation, real), simulated) in list.iter().zip(real).zip(simulated) {
            prop_assert_eq!(real, simulated, "after {:?}", operation);
        }
    }
}
