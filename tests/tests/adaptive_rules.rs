//! The adaptive allocator step by step on one thread: expected values follow from the rules of Netty 4.2.7 by reasoning, said in
//! each test.

mod adaptive_support;

use adaptive_support::{AREA, check, chunks, place, stats, tiny};
use millpond::engine::{Execution, Sim};
use millpond_model::allocator::adaptive::{
    AdaptiveBackend, AdaptiveConfig, Block, Finalization, Request, SizeClasses, SpentChunk, ThreadMagazines,
};
use millpond_model::memory::Area;
use millpond_model::{Platform, Std};
use millpond_tests::crew::Crew;
use millpond_tests::sim::{in_turn, soundly};

const KIB: usize = 1024;

fn netty() -> AdaptiveBackend {
    AdaptiveBackend::new(AdaptiveConfig::netty_4_2_7(8))
}

fn take<P: Platform>(backend: &AdaptiveBackend<P>, capacity: usize) -> Block<P> {
    backend.allocate(capacity, AREA).expect("there is memory")
}

fn many<P: Platform>(backend: &AdaptiveBackend<P>, n: usize, capacity: usize) -> Vec<Block<P>> {
    (0..n).map(|_| take(backend, capacity)).collect()
}

#[test]
fn each_size_has_its_class() {
    let classes = [
        32, 64, 128, 256, 512, 640, 1024, 1152, 2048, 2304, 4096, 4352, 8192, 8704, 16384, 16896, // spec 5.4
    ];
    assert_eq!(SizeClasses::Sixteen.sizes(), classes);
    assert_eq!(SizeClasses::Eighteen.sizes()[16..], [32768, 65536]);
    let backend = netty();
    let mut below = 0;
    for class in classes.map(|c| c as usize) {
        assert_eq!(take(&backend, below).len(), if below == 0 { 32 } else { below }, "{below} is a class of its own");
        assert_eq!(take(&backend, below + 1).len(), class, "more than {below} is {class}");
        let block = take(&backend, class);
        assert_eq!(block.len(), class);
        assert_eq!(block.chunk_capacity(), (32 * class).max(128 * KIB), "32 segments, and 128 KiB at least");
        below = class;
    }
    assert_eq!(stats(&backend).chunks, 16, "one chunk a class");
    assert_eq!(backend.stats(Area::Heap).chunks, 0, "the areas are apart");
    check(&backend);
}

#[test]
fn segments_are_used_in_order_and_reused_in_the_order_of_their_release() {
    let backend = netty();
    let mut blocks = many(&backend, 4000, 32);
    for (i, block) in blocks.iter().enumerate() {
        assert_eq!(place(block), (0, 32 * i, 32));
    }
    drop(blocks.remove(7));
    drop(blocks.remove(3));
    let rest = many(&backend, 96, 32);
    assert_eq!(place(&rest[95]), (0, 32 * 4095, 32), "what was never used comes first");
    assert_eq!(place(&take(&backend, 1)), (0, 32 * 7, 32), "then what was released first");
    assert_eq!(stats(&backend).chunks_made, 1);
}

#[test]
fn a_class_whose_size_does_not_divide_the_chunk_uses_all_its_segments() {
    let backend = netty();
    let blocks = many(&backend, 204, 640); // 131,072 / 640 = 204.8
    assert!(blocks.iter().all(|b| b.chunk() == 0));
    assert_eq!(take(&backend, 640).chunk(), 1);
    drop(blocks);
    check(&backend);
}

#[test]
fn a_buffer_with_a_bound_gets_no_more() {
    let backend = netty();
    let request = |capacity, max_capacity| Request { capacity, max_capacity, reallocation: false };
    let first = backend.allocate_for(request(10, 20), AREA).unwrap();
    let second = backend.allocate_for(request(10, 1000), AREA).unwrap();
    assert_eq!((place(&first), place(&second)), ((0, 0, 20), (0, 32, 32)), "but a whole segment is taken");
}

/// Chunk 0 is spent, with one of its segments in use; so is chunk 1. Is chunk 0 used again?
fn spent(spent_chunk: SpentChunk) -> (AdaptiveBackend, Vec<Block>, Vec<Block>) {
    let backend = AdaptiveBackend::new(AdaptiveConfig { spent_chunk, ..AdaptiveConfig::netty_4_2_7(8) });
    let mut first = many(&backend, 4096, 32);
    let second = many(&backend, 4096, 32);
    assert_eq!((first[4095].chunk(), second[0].chunk(), second[4095].chunk()), (0, 1, 1));
    first.truncate(1);
    (backend, first, second)
}

#[test]
fn a_spent_chunk_is_used_again_as_its_segments_come_back() {
    let (backend, _first, _second) = spent(SpentChunk::Offered);
    let third = many(&backend, 4095, 32);
    assert!(third.iter().all(|b| b.chunk() == 0), "the 4,095 segments that came back");
    assert_eq!(stats(&backend).chunks_made, 2);
    check(&backend);
}

#[test]
fn to_4_2_2_a_spent_chunk_is_out_of_reach_until_all_its_segments_are_back() {
    // Netty #15424 and the bloat of 4.2.2 (Netty #15691): 4,095 of 4,096 segments are free, and a chunk is made.
    let (backend, first, second) = spent(SpentChunk::Withdrawn);
    let third = many(&backend, 2, 32);
    assert_eq!((third[0].chunk(), stats(&backend).chunks), (2, 3));
    assert_eq!(chunks(&backend)[0].free.len(), 4095);
    assert!(!chunks(&backend)[0].held, "nobody has it");
    drop(first); // the last segment: next in line
    assert!(chunks(&backend)[0].held);
    let fourth = many(&backend, 4095, 32);
    assert_eq!((fourth[4093].chunk(), fourth[4094].chunk()), (2, 0));
    drop((second, third, fourth));
    assert_eq!(stats(&backend).used_memory, 3 * 128 * KIB as u64);
    check(&backend);
}

#[test]
fn chunks_that_the_queue_has_no_room_for_go_with_their_last_block() {
    // One core: a queue of 2. Of 5 chunks, 0 and 1 are in the queue, 2 and 3 were refused, 4 is current.
    let backend = AdaptiveBackend::new(AdaptiveConfig::netty_4_2_7(1));
    let blocks = many(&backend, 4 * 4096 + 1, 32);
    assert_eq!(stats(&backend).chunks, 5);
    assert_eq!(chunks(&backend).iter().map(|c| c.held).collect::<Vec<_>>(), [true, true, false, false, true]);
    drop(blocks);
    assert_eq!(chunks(&backend).iter().map(|c| c.number).collect::<Vec<_>>(), [0, 1, 4]);
    assert_eq!(stats(&backend).used_memory, 3 * 128 * KIB as u64);
}

#[test]
fn large_blocks_are_cut_off_one_after_the_other() {
    let backend = netty();
    let blocks = many(&backend, 10, 20_000);
    // 8 x 20,000 bytes, rounded up to whole 128 KiB. Nine sizes are too few for a percentile; with the tenth it is the bucket's
    // bound of 24 KiB, which is cut off from then on.
    for (i, block) in blocks.iter().take(9).enumerate() {
        assert_eq!((place(block), block.chunk_capacity()), ((0, 20_000 * i, 20_000), 256 * KIB));
    }
    assert_eq!(place(&blocks[9]), (0, 180_000, 24 * KIB));
    let more = many(&backend, 3, 20_000);
    assert_eq!(place(&more[1]), (0, 180_000 + 2 * 24 * KIB, 24 * KIB));
    assert_eq!(place(&more[2]), (1, 0, 24 * KIB), "8,416 bytes are left");
    assert_eq!(more[2].chunk_capacity(), 256 * KIB, "8 x 24 KiB are preferred, in whole 128 KiB");
    check(&backend);
}

#[test]
fn what_is_left_of_a_large_chunk_is_given_whole_if_it_is_enough() {
    let backend = netty();
    let blocks = many(&backend, 12, 21_000); // nine of 21,000 bytes, and two of 24,576
    assert_eq!(place(&blocks[11]), (0, 238_152, 23_992), "the rest of 262,144, which is less than 24 KiB");
    assert_eq!(place(&take(&backend, 21_000)), (1, 0, 24 * KIB));
}

#[test]
fn the_histogram_looks_at_more_sizes_while_the_preference_stays() {
    // Ten sizes of 30,000: 8 x 32 KiB is what the first chunk had already, so that the next period takes 2 x 9 + 1 sizes.
    let backend = netty();
    let mut blocks = many(&backend, 10, 30_000);
    assert_eq!((blocks[8].len(), blocks[9].len()), (30_000, 32 * KIB));
    blocks.extend(many(&backend, 19, 200_000));
    // 99 % of 29 is 28 whole sizes; 10 of them are in the 32 KiB bucket, and the 19 in the 256 KiB bucket exceed the other 18.
    assert_eq!((blocks[27].len(), blocks[28].len()), (200_000, 256 * KIB));
    // The preference changed: 1,024 + 1 sizes until it is looked at again.
    let next: Vec<usize> = (0..1025).map(|_| take(&backend, 500_000).len()).collect();
    assert_eq!((next[1023], next[1024]), (500_000, 512 * KIB));
}

#[test]
fn growing_buffers_are_not_counted() {
    let backend = netty();
    let growing = Request { reallocation: true, ..Request::new(20_000) };
    let grown: Vec<_> = (0..20).map(|_| backend.allocate_for(growing, AREA).unwrap()).collect();
    assert!(grown.iter().all(|b| b.len() == 20_000));
    let counted = many(&backend, 10, 20_000);
    assert_eq!((counted[8].len(), counted[9].len()), (20_000, 24 * KIB));
}

#[test]
fn a_buffer_that_grows_stays_with_its_allocator_as_long_as_that_is_there() {
    let backend = netty();
    let block = backend.allocate(100, Area::Heap).unwrap();
    let grown = block.sibling(Request { reallocation: true, ..Request::new(200) }).unwrap();
    assert_eq!((place(&grown), grown.area()), ((1, 0, 256), Area::Heap));
    assert_eq!((backend.stats(Area::Heap).chunks, backend.stats(Area::Direct).chunks), (2, 0));
    drop((grown, backend));
    let alone = block.sibling(Request::new(200)).unwrap();
    assert_eq!((place(&alone), alone.chunk_capacity(), alone.area()), ((0, 0, 200), 200, Area::Heap));
    let next = alone.sibling(Request::new(300)).unwrap();
    assert_eq!(next.len(), 300);
}

#[test]
fn at_most_twice_what_is_asked_for_or_64_kib_is_cut_off() {
    let backend = netty();
    let mut blocks = many(&backend, 10, 1000 * KIB); // the percentile is 1 MiB
    assert_eq!(blocks[9].len(), 1024 * KIB);
    blocks.push(take(&backend, 32 * KIB));
    blocks.push(take(&backend, 32 * KIB + 1));
    assert_eq!((blocks[10].len(), blocks[11].len()), (64 * KIB, 64 * KIB + 2));
    assert_eq!(blocks[0].chunk_capacity(), 63 * 128 * KIB, "8 x 1,000 KiB in whole 128 KiB");
}

#[test]
fn what_is_too_large_has_a_chunk_of_its_own() {
    let backend = netty();
    let pooled = take(&backend, 1 << 20);
    assert_eq!((pooled.chunk_capacity(), stats(&backend).one_offs), (8 << 20, 0));
    let one_off = take(&backend, (1 << 20) + 1);
    assert_eq!((place(&one_off), one_off.chunk_capacity()), ((1, 0, (1 << 20) + 1), (1 << 20) + 1));
    assert_eq!((stats(&backend).one_offs, stats(&backend).used_memory), (1, (9 << 20) + 1));
    check(&backend);
    drop(one_off);
    assert_eq!((stats(&backend).chunks, stats(&backend).used_memory), (1, 8 << 20));
}

#[test]
fn an_impossible_size_is_an_error() {
    let backend = netty();
    let error = backend.allocate(usize::MAX, AREA).unwrap_err();
    assert_eq!(error.capacity, usize::MAX);
    check(&backend);
}

#[test]
fn an_empty_chunk_far_from_the_preferred_size_is_retired_and_a_near_one_is_not() {
    let backend = netty();
    let small = take(&backend, 20_000); // the preference: 2 x 128 KiB
    let blocks = many(&backend, 8, 1 << 20); // all of a chunk of 64 x 128 KiB
    assert_eq!((blocks[0].chunk(), blocks[7].chunk(), stats(&backend).used_memory), (1, 1, (8 << 20) + (256 << 10)));
    drop(blocks); // 62 away, 5 % each
    assert_eq!(stats(&backend).used_memory, 256 << 10);
    drop(small);
    let again = many(&backend, 3, 20_000); // the tenth to twelfth size: of the 99th percentile nothing is known ...
    assert_eq!(
        (again[0].chunk(), stats(&backend).chunks_made),
        (0, 2),
        "... but the chunk of the preferred size is there"
    );
}

#[test]
fn a_thread_of_an_executor_has_magazines_of_its_own() {
    let backend = netty();
    let crew = Crew::<Std>::new(2);
    let on = |worker: usize| {
        let backend = backend.clone();
        crew.run(worker, move || take(&backend, 100))
    };
    let shared = (on(0), on(1));
    assert_eq!((shared.0.chunk(), shared.1.chunk()), (0, 0), "a shared magazine");
    let theirs = backend.clone();
    crew.run(1, move || theirs.adopt_thread());
    let (zero, one) = (on(0), on(1));
    assert_eq!((place(&zero), place(&one)), ((0, 256, 128), (1, 0, 128)));
    drop(one); // from here
    assert_eq!(place(&on(1)), (1, 128, 128));
    assert_eq!(stats(&backend).chunks_made, 2);
}

#[test]
fn large_blocks_of_all_threads_come_from_the_one_large_group() {
    let config = AdaptiveConfig { thread_magazines: ThreadMagazines::All, ..AdaptiveConfig::netty_4_2_7(8) };
    let backend = AdaptiveBackend::new(config);
    let crew = Crew::<Std>::new(2);
    let places = [0, 1].map(|worker| {
        let backend = backend.clone();
        crew.run(worker, move || {
            let (small, large) = (take(&backend, 100), take(&backend, 20_000));
            (small.chunk(), large.chunk(), large.offset())
        })
    });
    assert_eq!(places, [(0, 1, 0), (2, 1, 20_000)]);
}

#[test]
fn a_thread_that_ends_gives_up_its_chunks() {
    // Netty #2370, #14286: threads come and go, and what they had doesn't stay.
    let config = AdaptiveConfig { thread_magazines: ThreadMagazines::All, ..AdaptiveConfig::netty_4_2_7(8) };
    let backend = AdaptiveBackend::new(config);
    let mut crew = Crew::<Std>::new(0);
    for i in 0..50 {
        let worker = crew.hire();
        let theirs = backend.clone();
        let kept = crew.run(worker, move || many(&theirs, 4100, 32).pop());
        assert_eq!(stats(&backend).chunks, 2, "in life {i}: a spent chunk in the queue, and the current one");
        crew.dismiss(worker);
        assert_eq!(stats(&backend).chunks, 1, "in life {i}: the block in use has one");
        drop(kept);
        assert_eq!((stats(&backend).chunks, stats(&backend).used_memory), (0, 0));
    }
    check(&backend);
}

#[test]
fn a_chunk_put_away_is_next_in_line_if_it_has_more_left() {
    // Units of 256 bytes: the first chunk has 8 x 17,000 = 136,000 bytes in whole 256: 136,192.
    let backend = AdaptiveBackend::new(tiny(AdaptiveConfig::netty_4_2_7(8)));
    let first = take(&backend, 17_000);
    let second = take(&backend, 130_000); // 119,192 are left: next in line, but handed back at once for being too small
    assert_eq!((first.chunk(), place(&second)), (0, (1, 0, 130_000)));
    assert!(!chunks(&backend)[0].held, "its block has it");
    drop(first); // empty: the bytes are away from the preference by nothing, so it is next in line
    assert!(chunks(&backend)[0].held);
    let rest = many(&backend, 7, 130_000); // all of chunk 1, which has 1,040,128 bytes, but 128
    assert_eq!(rest[6].chunk(), 1);
    // The tenth size: the 99th percentile is in the bucket of 128 KiB, of which a small one gets 64.
    assert_eq!(place(&take(&backend, 17_000)), (0, 0, 64 * KIB));
    check(&backend);
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let netty = AdaptiveConfig::netty_4_2_7(8);
    assert_eq!(netty.validate(), Ok(()));
    assert_eq!(AdaptiveConfig::default(), netty);
    for wrong in [
        AdaptiveConfig { cores: 0, ..netty },
        AdaptiveConfig { max_chunk: 1, ..netty },
        AdaptiveConfig { initial_magazines: 3, ..netty },
        AdaptiveConfig { buffers_per_chunk: 0, ..netty },
        AdaptiveConfig { max_datum_target: 65_535, ..netty },
        AdaptiveConfig { cores: u32::MAX, ..netty },
    ] {
        assert!(wrong.validate().is_err(), "{wrong:?}");
    }
}

/// What needs the simulator's chance or its books.
mod on_sim {
    use super::*;

    #[test]
    fn retirement_is_a_matter_of_chance() {
        // Two times 128 KiB away from the preference at 10 % each: 20 % of 2,000 chunks, that is 400, with a standard deviation of 18.
        let config = AdaptiveConfig { retirement_percent: 10, ..AdaptiveConfig::netty_4_2_7(8) };
        let mut retired = 0;
        soundly(&in_turn(), || {
            let backend = AdaptiveBackend::<Sim>::new_on(config);
            let growing = Request { reallocation: true, ..Request::new(160 * KIB) };
            let take = |n: usize| (0..n).map(|_| backend.allocate_for(growing, AREA).unwrap()).collect::<Vec<_>>();
            // The preference is 8 x 128 KiB, because it is the first. Its chunk has no room for more than five of the others.
            let _first = (backend.allocate(120_000, AREA).unwrap(), take(5));
            for _ in 0..2000 {
                let blocks = take(8); // all of a chunk of 10 x 128 KiB: nobody holds it
                let before = stats(&backend).used_memory;
                drop(blocks);
                let fallen = before - stats(&backend).used_memory;
                assert!(fallen == 0 || fallen == 1280 * KIB as u64);
                retired += u32::from(fallen > 0);
            }
            check(&backend);
        });
        assert!((310..490).contains(&retired), "{retired} of 2000");
    }

    /// One block of each of 32 and 20,000 bytes, released: what the end of the allocator frees, and what is left of memory when
    /// all is gone.
    fn ended(config: AdaptiveConfig, keep: bool) -> (u64, u64, Execution) {
        let mut freed = (0, 0);
        let execution = soundly(&in_turn(), || {
            let backend = AdaptiveBackend::<Sim>::new_on(config);
            let blocks = (take(&backend, 32), take(&backend, 20_000));
            let kept = keep.then_some(blocks);
            let clone = backend.clone();
            assert!(clone.finalize().is_none(), "there is another one");
            let end = backend.finalize().expect("the last one");
            freed = (end.freed, end.left);
            drop(kept);
        });
        (freed.0, freed.1, execution)
    }

    #[test]
    fn in_4_2_7_the_end_of_the_allocator_frees_the_large_group() {
        // Spec 5.4: its finaliser frees only that. Here the rest goes too, uncounted.
        let (freed, left, execution) = ended(AdaptiveConfig::netty_4_2_7(8), false);
        assert_eq!((freed, left, execution.leaked_bytes), (256 << 10, 128 << 10, 0));
    }

    #[test]
    fn the_mended_end_frees_all_groups_and_blocks_in_use_stay_good() {
        let config = AdaptiveConfig::mended(8);
        assert_eq!(config.finalization, Finalization::AllGroups);
        let (freed, left, execution) = ended(config, false);
        assert_eq!((freed, left, execution.leaked_bytes), (384 << 10, 0, 0));
        let (freed, left, execution) = ended(config, true);
        assert_eq!((freed, left, execution.leaked_bytes), (0, 384 << 10, 0));
    }
}
