//! The simulator is the same world as real threads: a generated list of operations, each run by one thread while the others
//! wait, gives the same statistics on both, field by field, after every operation.

mod recycler_support;

use millpond::engine::Sim;
use millpond_model::observe::Kind;
use millpond_model::platform::ThreadId;
use millpond_model::recycler::{Collect, Domain, Pooled, Recycler, RecyclerConfig, RecyclerStats};
use millpond_model::{Platform, Std};
use millpond_tests::crew::Crew;
use millpond_tests::sim::soundly;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use recycler_support::{config, schedule};

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
