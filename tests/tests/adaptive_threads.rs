//! Threads at once in the adaptive allocator: no two blocks overlap, every segment is accounted for, and nothing is left when
//! all is gone. On the simulator with few operations in many schedules, and on real threads with many.

mod adaptive_support;

use adaptive_support::{Marked, Stream, Watched, check, chunks, stats, tiny};
use millpond::engine::{Options, Sim, Strategy as Schedule, Switch, When};
use millpond_model::allocator::adaptive::{
    AdaptiveBackend, AdaptiveConfig, Finalization, SegmentReturn, SizeClasses, SpentChunk, ThreadMagazines,
};
use millpond_model::platform::Lock;
use millpond_model::{Platform, Std};
use millpond_tests::crew::Crew;
use millpond_tests::scale::scaled;
use millpond_tests::sim::{in_turn, random, scheduled, soundly};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use std::collections::VecDeque;
use std::sync::Arc;

type Belt<P> = Arc<<P as Platform>::Mutex<VecDeque<Marked<P>>>>;

/// What is allocated: a few segments make a chunk, and four large blocks.
const SIZES: [usize; 6] = [32, 32, 64, 100, 600, 17_000];

/// Allocates, frees, and passes blocks on through `belt`. Goes on when memory is exhausted.
fn work<P: Platform>(backend: &Watched<P>, belt: &Belt<P>, seed: u64, steps: u64) {
    let mut stream = Stream(seed);
    let mut mine = Vec::new();
    for step in 0..steps {
        match stream.below(8) {
            0..=3 => {
                let size = SIZES[stream.below(SIZES.len() as u64) as usize];
                mine.extend(backend.allocate(size, (seed * 31 + step) as u8).ok());
            }
            4 | 5 => {
                if let Some(block) = mine.pop() {
                    belt.lock().push_back(block);
                }
            }
            6 => {
                let other = belt.lock().pop_front();
                drop(other);
            }
            _ => {
                let n = stream.below(mine.len() as u64 + 1) as usize;
                mine.drain(..n).for_each(drop);
            }
        }
    }
}

/// `lives` times `workers` threads at once, each life on fresh threads except worker 0; every other thread is an executor's.
/// At the end nothing is in use: the chunks that are left, and the bytes.
fn churn<P: Platform>(config: AdaptiveConfig, workers: usize, lives: usize, steps: u64) -> (u64, u64) {
    let backend = Watched::<P>::new(config);
    let belt: Belt<P> = Arc::new(P::Mutex::new(VecDeque::new()));
    let mut crew = Crew::<P>::new(workers);
    let mut team: Vec<usize> = (0..workers).collect();
    for life in 0..lives {
        let started: Vec<_> = team
            .iter()
            .enumerate()
            .map(|(place, &worker)| {
                let (backend, belt) = (backend.clone(), Arc::clone(&belt));
                let seed = (life * workers + place) as u64 + 1;
                crew.start(worker, move || {
                    if place % 2 == 1 {
                        backend.backend.adopt_thread();
                    }
                    work(&backend, &belt, seed, steps);
                })
            })
            .collect();
        started.into_iter().for_each(|s| crew.wait(s));
        let in_use: u32 = chunks(&backend.backend).iter().map(|c| c.blocks).sum();
        let on_belt = belt.lock().len();
        assert_eq!((in_use as usize, backend.live()), (on_belt, on_belt), "what is in use is on the belt");
        for worker in team.iter_mut().skip(1) {
            crew.dismiss(*worker);
            *worker = crew.hire();
        }
    }
    let rest = std::mem::take(&mut *belt.lock());
    crew.run(0, move || drop(rest));
    drop(crew);
    let left = chunks(&backend.backend);
    assert_eq!(backend.live(), 0);
    assert!(left.iter().all(|c| c.blocks == 0), "{left:#?}");
    let used = stats(&backend.backend).used_memory;
    let left = left.len() as u64;
    let end = backend.backend.finalize().expect("the last one");
    match config.finalization {
        Finalization::AllGroups if config.smaller_chunk_released => assert_eq!((end.freed, end.left), (used, 0)),
        _ => assert_eq!(end.freed + end.left, used),
    }
    (left, used)
}

/// As Netty, and mended, with chunks of a few segments.
fn small() -> [AdaptiveConfig; 2] {
    let few = |config| AdaptiveConfig { cores: 2, thread_magazines: ThreadMagazines::Adopted, ..tiny(config) };
    [few(AdaptiveConfig::netty_4_2_7(2)), few(AdaptiveConfig::mended(2))]
}

fn schedules(seeds: u64) -> impl Iterator<Item = Options> {
    let strategies = [Schedule::Random, Schedule::Pct { depth: 3 }, Schedule::RoundRobin];
    strategies.into_iter().flat_map(move |strategy| {
        let seeds = if strategy == Schedule::RoundRobin { 1 } else { seeds };
        scheduled(&[strategy], seeds).map(|options| Options { pct_steps: 4000, ..options }).collect::<Vec<_>>()
    })
}

#[test]
fn three_threads_in_many_schedules() {
    for config in small() {
        for options in schedules(200) {
            let execution = soundly(&options, || {
                churn::<Sim>(config, 2 + (options.seed % 2) as usize, 2, 30);
            });
            assert_eq!(execution.leaked_bytes, 0, "all memory is back: seed {}", options.seed);
        }
    }
}

#[test]
fn every_thread_has_magazines_of_its_own_in_many_schedules() {
    for config in small().map(|c| AdaptiveConfig { thread_magazines: ThreadMagazines::All, ..c }) {
        for options in schedules(100) {
            let execution = soundly(&options, || {
                churn::<Sim>(config, 3, 2, 30);
            });
            assert_eq!(execution.leaked_bytes, 0, "all memory is back: seed {}", options.seed);
        }
    }
}

/// Real threads, with as many rules as there are places where they meet: segments that come back, and large chunks.
mod on_std {
    use super::*;

    #[test]
    fn as_netty() {
        let config = AdaptiveConfig::netty_4_2_7(2);
        let (min_chunk, lives) = (scaled(u64::from(config.min_chunk), 4096) as u32, scaled(4, 2) as usize);
        churn::<Std>(AdaptiveConfig { min_chunk, ..config }, 4, lives, scaled(10_000, 20));
        churn::<Std>(tiny(config), 4, scaled(10, 2) as usize, scaled(5_000, 25));
    }

    #[test]
    fn mended() {
        churn::<Std>(tiny(AdaptiveConfig::mended(2)), 4, scaled(10, 2) as usize, scaled(5_000, 25));
    }

    #[test]
    fn spent_chunks_withdrawn() {
        let config = AdaptiveConfig { spent_chunk: SpentChunk::Withdrawn, ..tiny(AdaptiveConfig::netty_4_2_7(1)) };
        churn::<Std>(config, 4, scaled(10, 2) as usize, scaled(5_000, 25));
    }

    #[test]
    fn contended() {
        for _ in 0..scaled(200, 2) {
            contend::<Std>(tiny(AdaptiveConfig::netty_4_2_7(2)), 10);
        }
    }
}

/// Four threads allocate from one class at once: the statistics at the end, when all is back.
fn contend<P: Platform>(config: AdaptiveConfig, blocks: usize) -> millpond_model::allocator::adaptive::AdaptiveStats {
    let backend = Watched::<P>::new(config);
    let crew = Crew::<P>::new(4);
    let started = [0, 1, 2, 3].map(|worker| {
        let backend = backend.clone();
        crew.start(worker, move || {
            for _ in 0..2 {
                drop((0..blocks).map(|_| backend.allocate(64, worker as u8).expect("memory")).collect::<Vec<_>>());
            }
        })
    });
    started.into_iter().for_each(|s| crew.wait(s));
    check(&backend.backend);
    stats(&backend.backend)
}

#[test]
fn contention_doubles_the_magazines_up_to_twice_the_cores() {
    // No chunk is at hand for those who find the lock taken at first, and one lock is there: they go round twice, and double.
    let config = tiny(AdaptiveConfig::netty_4_2_7(2));
    let class = 1; // 64 bytes
    let mut counts = [0; 5];
    for options in random(300) {
        soundly(&options, || {
            let stats = contend::<Sim>(config, 6);
            let magazines = stats.magazines[class];
            assert_eq!(u64::from(magazines.trailing_zeros()), stats.expansions, "each doubles them");
            assert!(stats.magazines.iter().enumerate().all(|(i, n)| i == class || *n == 1), "the others are in peace");
            counts[magazines as usize] += 1;
        });
    }
    assert!(counts[2] > 0 && counts[4] > 0 && counts[3] == 0, "2 or 4 = 2 x cores: {counts:?}");
    // One after the other nobody meets anybody.
    soundly(&in_turn(), || assert_eq!(contend::<Sim>(config, 6).magazines[class], 1));
    // A machine with half a core, so to speak: the magazines stay, and who comes too late gets a chunk for the block alone.
    let single = AdaptiveConfig { magazines_per_core: 1, ..AdaptiveConfig { cores: 1, ..config } };
    let mut one_offs = 0;
    for options in random(300) {
        soundly(&options, || {
            let stats = contend::<Sim>(single, 6);
            assert_eq!((stats.magazines[class], stats.expansions), (1, 0));
            one_offs += stats.one_offs;
        });
    }
    assert!(one_offs > 0, "all lock attempts were lost");
}

#[test]
fn what_is_next_in_line_serves_those_who_find_the_lock_taken() {
    let mut unlocked = 0;
    for options in random(200) {
        soundly(&options, || unlocked += contend::<Sim>(tiny(AdaptiveConfig::netty_4_2_7(2)), 10).unlocked);
    }
    assert!(unlocked > 0);
}

#[test]
fn a_free_list_can_be_empty_although_its_chunk_is() {
    // A release gives up the chunk's count before it puts the segment back. In between, the last ones find the chunk empty, and who
    // gets it next counts on segments that aren't there yet: Netty throws "Free list is empty". With spent chunks offered a chunk
    // isn't used again by that way; to 4.2.2 it was.
    let run = |config: AdaptiveConfig, schedule: &[Switch], starved: &mut u64| {
        soundly(&Options { strategy: Schedule::Deviate(schedule.into()), ..Options::default() }, || {
            let backend = AdaptiveBackend::<Sim>::new_on(config);
            let take = |backend: &AdaptiveBackend<Sim>| backend.allocate(64, adaptive_support::AREA).expect("memory");
            let mut blocks: Vec<_> = (0..3).map(|_| take(&backend)).collect(); // a chunk of three segments, spent
            drop(blocks.pop());
            let crew = Crew::<Sim>::new(3);
            let releases = [0, 1].map(|worker| {
                let block = blocks.pop();
                crew.start(worker, move || drop(block))
            });
            let theirs = backend.clone();
            let takes = crew.start(2, move || (take(&theirs), take(&theirs)));
            releases.into_iter().for_each(|s| crew.wait(s));
            drop(crew.wait(takes));
            check(&backend);
            *starved += stats(&backend).starved;
        })
        .steps
    };
    // Worker 0 is thread 1 and runs first. Every schedule in which it is preempted by worker 1, and that by worker 2.
    let starved = |config: AdaptiveConfig| {
        let mut starved = 0;
        let steps = run(config, &[], &mut starved);
        for first in 0..steps {
            for second in first + 1..steps {
                run(config, &[Switch { step: first, to: 2 }, Switch { step: second, to: 3 }], &mut starved);
            }
        }
        starved
    };
    let netty = AdaptiveConfig { min_chunk: 192, ..tiny(AdaptiveConfig::netty_4_2_7(1)) };
    let before = AdaptiveConfig { spent_chunk: SpentChunk::Withdrawn, ..netty };
    assert!(starved(before) > 0, "counted, and the block comes from elsewhere");
    assert_eq!(starved(netty), 0);
    assert_eq!(starved(AdaptiveConfig { segment_return: SegmentReturn::ListFirst, ..before }), 0);
}

#[test]
fn to_4_1_113_a_chunk_smaller_than_the_next_one_is_lost() {
    // Netty #14348: who has no lock takes a chunk, and meanwhile a bigger one is next in line.
    let lost = |smaller_chunk_released: bool| {
        let config = AdaptiveConfig { smaller_chunk_released, ..tiny(AdaptiveConfig::netty_4_2_7(1)) };
        let mut lost = 0;
        for options in random(600) {
            let execution = soundly(&options, || {
                let backend = Watched::<Sim>::new(config);
                let crew = Crew::<Sim>::new(4);
                let started = [0, 1, 2, 3].map(|worker| {
                    let backend = backend.clone();
                    crew.start(worker, move || {
                        for i in 0..6 {
                            let kept = backend.allocate(17_000 + 9_000 * i, worker as u8).expect("memory");
                            drop(backend.allocate(17_000, worker as u8).expect("memory"));
                            drop(kept);
                        }
                    })
                });
                started.into_iter().for_each(|s| crew.wait(s));
                let nobodys = chunks(&backend.backend).iter().filter(|c| c.held && c.blocks == 0).count() as u64;
                let stats = stats(&backend.backend);
                assert!(stats.lost <= nobodys, "a lost chunk still exists, and is counted as used");
                lost += stats.lost;
            });
            assert_eq!(execution.leaked_bytes, 0, "what is lost goes with the allocator");
        }
        lost
    };
    assert!(lost(false) > 0);
    assert_eq!(lost(true), 0);
}

#[test]
fn a_block_outlives_its_thread_and_its_allocator() {
    for options in random(50) {
        let execution = soundly(&options, || {
            let config = AdaptiveConfig { thread_magazines: ThreadMagazines::All, ..small()[0] };
            let backend = Watched::<Sim>::new(config);
            let mut crew = Crew::<Sim>::new(2);
            let theirs = backend.clone();
            let blocks =
                crew.run(0, move || (0..20).map(|i| theirs.allocate(64, i).expect("memory")).collect::<Vec<_>>());
            let started = crew.start(1, move || drop(blocks)); // while the thread ends, and the allocator
            crew.dismiss(0);
            drop(backend);
            crew.wait(started);
        });
        assert_eq!(execution.leaked_bytes, 0);
    }
}

#[test]
fn an_allocation_that_fails_loses_nothing() {
    for config in small() {
        // Each of the first chunks fails once.
        for (n, options) in (1..=40).zip(random(40)) {
            let options = Options { alloc_fails: Some(When::Nth(n)), ..options };
            let execution = soundly(&options, || {
                churn::<Sim>(config, 2, 2, 30);
            });
            assert_eq!(execution.leaked_bytes, 0, "allocation {n} fails");
        }
        // Every third fails; and there is room for a few chunks only.
        for options in schedules(50) {
            let often = Options { alloc_fails: Some(When::rate(0.3)), ..options.clone() };
            let scarce = Options { memory_limit: Some(200_000), ..options };
            for options in [often, scarce] {
                let execution = soundly(&options, || {
                    churn::<Sim>(config, 3, 2, 30);
                });
                assert_eq!(execution.leaked_bytes, 0, "seed {}", options.seed);
            }
        }
    }
}

#[test]
fn exhaustion_is_an_error_and_ends_when_memory_is_back() {
    let limit = Options { memory_limit: Some(128 << 10), ..in_turn() };
    let execution = soundly(&limit, || {
        let backend = AdaptiveBackend::<Sim>::new_on(AdaptiveConfig::netty_4_2_7(8));
        let area = adaptive_support::AREA;
        let mut blocks: Vec<_> = (0..4096).map(|_| backend.allocate(32, area).expect("one chunk fits")).collect();
        for _ in 0..3 {
            assert_eq!(backend.allocate(30, area).unwrap_err().capacity, 30);
            assert_eq!(backend.allocate(64, area).unwrap_err().capacity, 64);
            assert_eq!(backend.allocate(20_000, area).unwrap_err().capacity, 20_000);
            assert_eq!(backend.allocate(2 << 20, area).unwrap_err().capacity, 2 << 20);
            check(&backend);
        }
        assert_eq!(stats(&backend).chunks_made, 1);
        blocks.pop();
        assert_eq!(backend.allocate(32, area).expect("one segment is back").offset(), 32 * 4095);
    });
    assert_eq!(execution.leaked_bytes, 0);
}

prop_compose! {
    fn config()(
        cores in 1..4_u32,
        eighteen in any::<bool>(),
        min_chunk in select(&[64_u32, 256, 1000]),
        min_segments in 1..4_u32,
        retire_capacity in select(&[0_u32, 40, 256]),
        initial_magazines in select(&[1_u32, 2]),
        magazines_per_core in 0..3_u32,
        expansion_attempts in 0..4_u32,
        queue_per_core in 0..3_u32,
        datum_target in 0..4_u32,
        retirement_percent in select(&[0_u32, 5, 100]),
        thread_magazines in select(&[ThreadMagazines::Nobody, ThreadMagazines::Adopted, ThreadMagazines::All]),
        flags in any::<[bool; 4]>(),
    ) -> AdaptiveConfig {
        let [withdrawn, smaller_chunk_released, list_first, all_groups] = flags;
        AdaptiveConfig {
            cores,
            size_classes: if eighteen { SizeClasses::Eighteen } else { SizeClasses::Sixteen },
            min_chunk,
            min_segments,
            retire_capacity,
            initial_magazines,
            magazines_per_core,
            expansion_attempts,
            queue_per_core,
            initial_datum_target: datum_target,
            min_datum_target: datum_target,
            retirement_percent,
            thread_magazines,
            spent_chunk: if withdrawn { SpentChunk::Withdrawn } else { SpentChunk::Offered },
            smaller_chunk_released,
            segment_return: if list_first { SegmentReturn::ListFirst } else { SegmentReturn::CountFirst },
            finalization: if all_groups { Finalization::AllGroups } else { Finalization::LargeGroup },
            ..AdaptiveConfig::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// Not only the presets: rules that no release combined.
    #[test]
    fn any_rules_in_any_schedule(
        config in config(),
        seed in any::<u64>(),
        strategy in prop_oneof![Just(Schedule::Random), (1..5_u32).prop_map(|depth| Schedule::Pct { depth })],
        alloc_fails in prop_oneof![Just(None), Just(Some(When::rate(0.1)))],
        workers in 1..4_usize,
        steps in 1..50_u64,
    ) {
        let options = Options { seed, strategy, alloc_fails, pct_steps: 4000, ..Options::default() };
        let execution = soundly(&options, || {
            churn::<Sim>(config, workers, 2, steps);
        });
        prop_assert_eq!(execution.leaked_bytes, 0);
    }
}
