//! Threads at once, for every preset: objects pass between them, threads come and go, and at the end every object is
//! accounted for and no two holders ever had the same one. On the simulator with few operations in many schedules.

mod recycler_support;

use millpond::engine::{Options, Sim, Strategy as Schedule};
use millpond_model::observe::Kind;
use millpond_model::platform::{AtomicOps, CounterOps, Lock};
use millpond_model::recycler::{DeadQueueReclaim, Domain, Generation, Pooled, Recycler, RecyclerConfig};
use millpond_model::{Platform, Preset, Std};
use millpond_tests::crew::Crew;
use millpond_tests::scale::scaled;
use millpond_tests::sim::{scheduled, soundly};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is pooled: says whether it is held, and how many exist.
struct Item<P: Platform> {
    held: P::Atomic<bool>,
    alive: Arc<P::Counter>,
    /// Plain memory: a missing happens-before would tear it.
    words: [u64; 4],
}

impl<P: Platform> Item<P> {
    fn new(alive: &Arc<P::Counter>) -> Self {
        alive.add(1);
        Self { held: P::Atomic::new(false), alive: Arc::clone(alive), words: [0; 4] }
    }

    fn take(&mut self, mark: u64) {
        assert!(!self.held.swap(true, Ordering::Relaxed), "held by somebody else");
        assert!(self.words.iter().all(|w| *w == self.words[0]), "a torn object: {:?}", self.words);
        self.words = [mark; 4];
    }

    fn leave(&mut self) {
        assert!(self.words.iter().all(|w| *w == self.words[0]), "a torn object: {:?}", self.words);
        assert!(self.held.swap(false, Ordering::Relaxed), "not held");
    }
}

impl<P: Platform> Drop for Item<P> {
    fn drop(&mut self) {
        self.alive.sub(1);
    }
}

type Belt<P> = Arc<<P as Platform>::Mutex<VecDeque<Pooled<Item<P>, P>>>>;

/// A deterministic stream of small numbers (SplitMix64).
struct Stream(u64);

impl Stream {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Gets, recycles, and passes to others through `belt`.
fn work<P: Platform>(recycler: &Recycler<Item<P>, P>, belt: &Belt<P>, seed: u64, steps: u64) {
    let mut stream = Stream(seed);
    let mut mine = Vec::new();
    for step in 0..steps {
        match stream.below(8) {
            0..=3 => {
                let mut item = recycler.get();
                item.take(seed << 32 | step);
                mine.push(item);
            }
            4 | 5 => {
                if let Some(item) = mine.pop() {
                    belt.lock().push_back(item);
                }
            }
            6 => {
                let other = belt.lock().pop_front();
                other.into_iter().for_each(finish);
            }
            _ => {
                let n = stream.below(mine.len() as u64 + 1);
                mine.drain(..usize::try_from(n).expect("small")).for_each(finish);
            }
        }
    }
    mine.into_iter().for_each(finish);
}

fn finish<P: Platform>(mut item: Pooled<Item<P>, P>) {
    item.leave();
}

/// `lives` times `workers` threads at once, each life on fresh threads except worker 0.
fn churn<P: Platform>(config: RecyclerConfig, workers: usize, lives: usize, steps: u64) {
    let domain = Domain::<P>::new();
    let alive = Arc::new(P::Counter::default());
    let made = Arc::clone(&alive);
    let recycler = Recycler::new_in(&domain, Kind::Object, config, move || Item::<P>::new(&made));
    let belt: Belt<P> = Arc::new(P::Mutex::new(VecDeque::new()));
    let mut crew = Crew::<P>::new(workers);
    let mut team: Vec<usize> = (0..workers).collect();
    for life in 0..lives {
        let started: Vec<_> = team
            .iter()
            .map(|&worker| {
                let (recycler, belt) = (recycler.clone(), Arc::clone(&belt));
                let seed = (life * workers + worker) as u64 + 1;
                crew.start(worker, move || work(&recycler, &belt, seed, steps))
            })
            .collect();
        started.into_iter().for_each(|s| crew.wait(s));
        let stats = recycler.stats();
        stats.check().unwrap_or_else(|e| panic!("{e}\n{stats}"));
        let keeps_capacity = config.reclaim_skipped_link && config.dead_queue_reclaim != DeadQueueReclaim::Never;
        if config.generation == Generation::A && keeps_capacity {
            stats.check_shared().unwrap_or_else(|e| panic!("{e}\n{stats}"));
        }
        assert_eq!(stats.total().in_use, belt.lock().len() as i64, "in use is what is on the belt");
        for worker in team.iter_mut().skip(1) {
            crew.dismiss(*worker);
            *worker = crew.hire();
        }
    }
    let rest = std::mem::take(&mut *belt.lock());
    crew.run(0, move || rest.into_iter().for_each(finish));
    domain.collect();
    let stats = recycler.stats();
    stats.check().unwrap_or_else(|e| panic!("{e}\n{stats}"));
    let total = stats.total();
    assert_eq!((total.in_use, total.retained), (0, alive.get()), "alive is what is in the pools");
    assert_eq!((total.double_recycles_refused, total.double_recycles_ignored), (0, 0));
    drop(crew);
    drop(recycler);
    drop(domain);
    assert_eq!(alive.get(), 0, "nothing outlives its recycler and its threads");
}

/// A preset as it is, and with every object admitted to a tiny pool, where every limit is met.
fn stress<P: Platform>(preset: Preset) {
    churn::<P>(preset.into(), 4, scaled(8, 2) as usize, scaled(20_000, 40));
    let tiny = RecyclerConfig {
        max_capacity: 40,
        ratio: 1,
        link_capacity: 2,
        initial_capacity: 4,
        delayed_queue_ratio: 0,
        max_delayed_queues_per_thread: Some(2),
        chunk_size: 4,
        ..preset.into()
    };
    churn::<P>(tiny, 4, scaled(20, 3) as usize, scaled(10_000, 60));
}

/// Few objects and tiny limits, so that a few operations meet every limit.
fn tiny(preset: Preset) -> RecyclerConfig {
    RecyclerConfig {
        max_capacity: 8,
        ratio: 1,
        link_capacity: 2,
        initial_capacity: 2,
        delayed_queue_ratio: 0,
        max_delayed_queues_per_thread: Some(2),
        chunk_size: 2,
        ..preset.into()
    }
}

/// Schedules of one test and configuration.
fn schedules(seeds: u64) -> impl Iterator<Item = Options> {
    let strategies = [Schedule::Random, Schedule::Pct { depth: 3 }, Schedule::RoundRobin];
    strategies.into_iter().flat_map(move |strategy| {
        // Round robin draws nothing: one schedule of it is all.
        let seeds = if strategy == Schedule::RoundRobin { 1 } else { seeds };
        scheduled(&[strategy], seeds).map(|options| Options { pct_steps: 2000, ..options }).collect::<Vec<_>>()
    })
}

/// Threads at once on the simulator, in many schedules: three with few operations.
fn explored(preset: Preset) {
    for config in [preset.into(), tiny(preset)] {
        for options in schedules(200) {
            soundly(&options, || churn::<Sim>(config, 2 + (options.seed % 2) as usize, 2, 30));
        }
    }
}

/// An owner that ends while two others recycle to it, and is dead when they go on: objects retained at the end, while one
/// that is in use keeps the pool.
fn owner_ends<P: Platform>(config: RecyclerConfig) -> u64 {
    let domain = Domain::<P>::new();
    let alive = Arc::new(P::Counter::default());
    let made = Arc::clone(&alive);
    let recycler = Recycler::new_in(&domain, Kind::Object, config, move || Item::<P>::new(&made));
    let mut crew = Crew::<P>::new(3);
    let theirs = recycler.clone();
    let mut items: Vec<_> = crew.run(0, move || (0..13).map(|_| theirs.get()).collect());
    let in_use = items.pop();
    let mut two = |crew: &Crew<P>| {
        [1, 2].map(|worker| {
            let part = items.split_off(items.len() - 3);
            crew.start(worker, move || drop(part))
        })
    };
    let started = two(&crew);
    crew.dismiss(0);
    started.into_iter().for_each(|s| crew.wait(s));
    two(&crew).into_iter().for_each(|s| crew.wait(s));
    let stats = recycler.stats();
    stats.check().unwrap_or_else(|e| panic!("{e}\n{stats}"));
    let total = stats.total();
    assert_eq!((total.in_use, total.retained), (1, alive.get() - 1), "alive is what is in use and in the pool");
    crew.run(1, move || drop(in_use)); // the main thread's map of 4.1.3 would hold the pool for ever
    domain.collect();
    let stats = recycler.stats();
    stats.check().unwrap_or_else(|e| panic!("{e}\n{stats}"));
    assert_eq!(stats.total().retained, alive.get(), "alive is what is in the pools");
    drop((crew, recycler, domain));
    assert_eq!(alive.get(), 0, "nothing outlives its recycler and its threads");
    total.retained
}

fn owner_ends_explored(preset: Preset) {
    for config in [preset.into(), RecyclerConfig { ratio: 1, ..preset.into() }, tiny(preset)] {
        for options in schedules(200) {
            soundly(&options, || {
                owner_ends::<Sim>(config);
            });
        }
    }
}

/// The pool of a dead owner keeps what is put there between the check and the offer, but not ours, which looks again.
#[test]
fn only_the_second_look_keeps_a_dead_pool_empty() {
    let ours = RecyclerConfig { ratio: 1, ..RecyclerConfig::mended() };
    for (recheck_after_offer, always_empty) in [(true, true), (false, false)] {
        let config = RecyclerConfig { recheck_after_offer, ..ours };
        let retaining = schedules(400).filter(|options| {
            let mut retained = 0;
            soundly(options, || retained = owner_ends::<Sim>(config));
            retained > 0
        });
        assert_eq!(retaining.count() == 0, always_empty, "with a second look: {recheck_after_offer}");
    }
}

/// Statistics that are read while others work are near the truth.
fn read_meanwhile<P: Platform>(config: RecyclerConfig) {
    let domain = Domain::<P>::new();
    let alive = Arc::new(P::Counter::default());
    let recycler = Recycler::new_in(&domain, Kind::Object, config, move || Item::<P>::new(&alive));
    let belt: Belt<P> = Arc::new(P::Mutex::new(VecDeque::new()));
    let crew = Crew::<P>::new(3);
    let started = [0, 1, 2].map(|worker| {
        let (recycler, belt) = (recycler.clone(), Arc::clone(&belt));
        crew.start(worker, move || work(&recycler, &belt, worker as u64, 40))
    });
    for _ in 0..100 {
        let total = recycler.stats().total();
        assert!(total.retained <= total.created && total.queue_len <= total.created, "{total:?}");
        P::yield_now();
    }
    started.into_iter().for_each(|s| crew.wait(s));
    crew.run(0, move || std::mem::take(&mut *belt.lock()).into_iter().for_each(finish));
}

#[test]
fn statistics_are_sane_at_any_moment() {
    for preset in Preset::ALL {
        read_meanwhile::<Std>(tiny(preset));
        schedules(50).for_each(|options| {
            soundly(&options, || read_meanwhile::<Sim>(tiny(preset)));
        });
    }
}

macro_rules! presets {
    ($run:expr) => { presets! { $run, v4_0_43 Netty4_0_43 v4_1_2 Netty4_1_2 v4_1_3 Netty4_1_3 v4_1_4 Netty4_1_4
        v4_1_8 Netty4_1_8 v4_1_22 Netty4_1_22 v4_1_38 Netty4_1_38 v4_1_44 Netty4_1_44 v4_1_66 Netty4_1_66
        v4_1_71 Netty4_1_71 v4_1_88 Netty4_1_88 v4_2_7 Netty4_2_7 millpond Millpond } };
    ($run:expr, $($name:ident $preset:ident)*) => {
        $(#[test] fn $name() { $run(::millpond_model::Preset::$preset); })*
    };
}

mod on_std {
    presets!(crate::stress::<::millpond_model::Std>);
}

mod on_sim {
    presets!(crate::explored);
}

mod owner_ends_on_sim {
    presets!(crate::owner_ends_explored);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// Not only the presets: rules that no release combined.
    #[test]
    fn any_rules_in_any_schedule(
        config in recycler_support::config(),
        options in recycler_support::schedule(),
        workers in 2..4_usize,
        steps in 1..60_u64,
    ) {
        soundly(&options, || churn::<Sim>(config, workers, 2, steps));
        soundly(&options, || {
            owner_ends::<Sim>(config);
        });
    }
}
