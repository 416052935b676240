//! The pooled allocator by itself: sizes, lists, caches, ends of threads, memory that runs out. Expected values are Netty's,
//! from its documentation and sources, or follow from the sizes by arithmetic.

use millpond::engine::{Options, Sim, When};
use millpond_model::allocator::pooled::{
    Block, CacheRescue, PageDesign, PooledBackend, PooledConfig, SizeKind, UsageList,
};
use millpond_model::memory::Area;
use millpond_model::recycler::{Collect, Domain, OwnerExit};
use millpond_model::{Platform, Preset, Std};
use millpond_tests::crew::Crew;
use millpond_tests::sim::to_the_end;

const KIB: usize = 1024;

/// One arena of each kind, with chunks of 1 MiB.
fn small(preset: Preset) -> PooledConfig {
    PooledConfig { heap_arenas: 1, direct_arenas: 1, order: 7, ..preset.into() }
}

fn backend<P: Platform>(config: PooledConfig) -> PooledBackend<P> {
    PooledBackend::new_in(&Domain::new(), config)
}

fn get<P: Platform>(backend: &PooledBackend<P>, size: usize) -> Block<P> {
    backend.allocate(size, Area::Direct).unwrap_or_else(|error| panic!("{error}"))
}

/// (chunks in each list, free bytes) of the first direct arena.
fn lists<P: Platform>(backend: &PooledBackend<P>) -> ([usize; 6], u64) {
    let arena = &backend.metrics().direct[0];
    (arena.lists.each_ref().map(Vec::len), arena.free_bytes)
}

fn without_caches(preset: Preset) -> PooledConfig {
    PooledConfig { tiny_cache: 0, small_cache: 0, normal_cache: 0, ..small(preset) }
}

#[test]
fn sizes_of_the_blog_era() {
    let backend = backend::<Std>(PooledConfig::from(Preset::Netty4_1_8));
    let class = |n| backend.size_class(n).map(|class| (class.kind, class.index, class.size));
    assert_eq!(class(1), Some((SizeKind::Tiny, 1, 16)));
    assert_eq!(class(16), Some((SizeKind::Tiny, 1, 16)));
    assert_eq!(class(17), Some((SizeKind::Tiny, 2, 32)));
    assert_eq!(class(496), Some((SizeKind::Tiny, 31, 496)));
    assert_eq!(class(497), Some((SizeKind::Small, 0, 512)));
    assert_eq!(class(2049), Some((SizeKind::Small, 3, 4096)));
    assert_eq!(class(4097), Some((SizeKind::Normal, 0, 8 * KIB)));
    assert_eq!(class(16 * KIB + 1), Some((SizeKind::Normal, 2, 32 * KIB)));
    assert_eq!(class(16 * KIB * KIB), Some((SizeKind::Normal, 11, 16 * KIB * KIB)), "a whole chunk");
    assert_eq!(class(16 * KIB * KIB + 1), None, "huge");
}

#[test]
fn sizes_after_jemalloc_4() {
    let backend = backend::<Std>(PooledConfig::from(Preset::Netty4_2_7));
    let sizes: Vec<_> = (0..).map_while(|i| nth_size(&backend, i)).collect();
    assert_eq!(sizes[..16], [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512]);
    assert_eq!(sizes.iter().filter(|size| **size <= 28 * KIB).count(), 39, "small classes");
    assert_eq!(sizes.last(), Some(&(4 * KIB * KIB)), "a chunk of 4 MiB");
    let class = |n| backend.size_class(n).map(|class| (class.kind, class.index, class.size));
    assert_eq!(class(0), Some((SizeKind::Small, 0, 16)));
    assert_eq!(class(28 * KIB), Some((SizeKind::Small, 38, 28 * KIB)));
    assert_eq!(class(28 * KIB + 1), Some((SizeKind::Normal, 0, 32 * KIB)));
    assert_eq!(class(4 * KIB * KIB + 1), None, "huge");
}

/// The size of the class after `index` others.
fn nth_size(backend: &PooledBackend<Std>, index: usize) -> Option<usize> {
    let mut size = 0;
    for _ in 0..=index {
        size = backend.size_class(size + 1)?.size;
    }
    Some(size)
}

#[test]
fn a_chunk_wanders_through_the_lists_and_is_destroyed_once_it_left_the_first() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_2_7] {
        let backend = backend::<Std>(without_caches(preset));
        let mut blocks: Vec<_> = (0..32).map(|_| get(&backend, 32 * KIB)).collect();
        assert_eq!(lists(&backend), ([0, 0, 0, 0, 0, 1], 0), "{preset}: 32 x 32 KiB fill it");
        // (blocks left, list): from below the list's least usage a chunk moves down, not before.
        for (left, list) in [(31, 4), (24, 4), (23, 3), (16, 3), (15, 2), (8, 2), (7, 1), (1, 1)] {
            blocks.truncate(left);
            let mut expected = [0; 6];
            expected[list] = 1;
            assert_eq!(lists(&backend).0, expected, "{preset}: {left} blocks left, {:?}", UsageList::ALL[list]);
            backend.check().unwrap();
        }
        blocks.clear();
        assert_eq!(lists(&backend), ([0; 6], 0), "{preset}: it was in a list after the first, and is gone");
        backend.check_drained().unwrap();

        let block = get(&backend, 32 * KIB);
        drop(block);
        assert_eq!(lists(&backend).0, [1, 0, 0, 0, 0, 0], "{preset}: it never left the first list, and stays");
        backend.check_drained().unwrap();
    }
}

/// Netty commit 88b093c481 (B15): one large free can cross several bands.
#[test]
fn one_free_moves_a_chunk_down_several_lists() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_2_7] {
        let backend = backend::<Std>(without_caches(preset));
        let (half, quarter) = (get(&backend, 512 * KIB), get(&backend, 256 * KIB));
        let eighth = get(&backend, 128 * KIB);
        assert_eq!(lists(&backend).0, [0, 0, 0, 1, 0, 0], "{preset}: 87 %");
        drop(quarter);
        drop(half);
        assert_eq!(lists(&backend).0, [0, 1, 0, 0, 0, 0], "{preset}: 12 %");
        drop(eighth);
        assert_eq!(lists(&backend).0, [0; 6], "{preset}");
        backend.check_drained().unwrap();
    }
}

#[test]
fn elements_share_pages() {
    let backend = backend::<Std>(without_caches(Preset::Netty4_2_7));
    let blocks: Vec<_> = (0..512).map(|_| get(&backend, 48)).collect();
    assert_eq!(lists(&backend).1, (1024 - 24) * KIB as u64, "512 x 48 bytes in the least run of whole pages");
    let offsets: Vec<_> = blocks.iter().map(|block| block.place().offset).collect();
    assert_eq!(offsets, (0..512).map(|i| i * 48).collect::<Vec<_>>(), "in order of address");
    let more = get(&backend, 48);
    assert_eq!(more.place().offset, 24 * KIB, "a second run");
    drop(blocks);
    assert_eq!(lists(&backend).1, (1024 - 24) * KIB as u64, "the first run is given back, as there is another one");
    drop(more);
    assert_eq!(lists(&backend).1, (1024 - 24) * KIB as u64, "the last run of a size stays");
    backend.check_drained().unwrap();
}

#[test]
fn a_huge_block_is_exactly_as_large() {
    let backend = backend::<Std>(small(Preset::Netty4_1_8));
    let block = get(&backend, 1024 * KIB + 1);
    assert_eq!((block.len(), block.place().chunk), (1024 * KIB + 1, None));
    let metrics = backend.metrics();
    assert_eq!(metrics.direct[0].allocations.huge, 1);
    assert_eq!(
        (metrics.used(Area::Direct), metrics.pinned(Area::Direct)),
        (1024 * KIB as u64 + 1, 1024 * KIB as u64 + 1)
    );
    drop(block);
    assert_eq!(backend.metrics().direct[0].deallocations.huge, 1);
    assert_eq!(backend.metrics().used(Area::Direct), 0);
    backend.check_drained().unwrap();
}

/// Checklist: a thread parks at most 9,699,328 bytes of each area in the blog era.
#[test]
fn a_cache_holds_so_many_bytes_and_no_more() {
    let config = PooledConfig { trim_interval: u32::MAX, ..small(Preset::Netty4_1_8) };
    let backend = backend::<Std>(config);
    let sizes = (1..32).map(|i| (16 * i, 512)).chain([512, 1024, 2048, 4096].map(|n| (n, 256)));
    let sizes = sizes.chain([8 * KIB, 16 * KIB, 32 * KIB].map(|n| (n, 64)));
    for (size, capacity) in sizes {
        let blocks: Vec<_> = (0..capacity + 1).map(|_| get(&backend, size)).collect();
        drop(blocks);
    }
    drop(get(&backend, 64 * KIB)); // never cached
    assert_eq!(backend.metrics().direct[0].cached_bytes, 9_699_328);
    backend.check().unwrap();
}

#[test]
fn a_cache_is_trimmed_after_8192_look_ups() {
    let backend = backend::<Std>(small(Preset::Netty4_1_8));
    let cached = || backend.metrics().direct[0].cached_bytes;
    drop((0..100).map(|_| get(&backend, 64)).collect::<Vec<_>>()); // 100 look-ups
    assert_eq!(cached(), 6400);
    // 60 of them are served once more: then 512 - 60 of the capacity are surplus, and all are gone.
    drop((0..60).map(|_| get(&backend, 64)).collect::<Vec<_>>());
    for _ in 160..8191 {
        drop(get(&backend, 4096)); // elsewhere
    }
    assert_eq!(cached(), 6400 + 4096);
    drop(get(&backend, 4096));
    assert_eq!(
        cached(),
        4096,
        "trimmed: of 64 bytes none is left; of 4096 bytes 8,031 were served, and the capacity is 256"
    );
    assert!(backend.trim());
    assert_eq!(cached(), 0, "nothing was served since");
    backend.check_drained().unwrap();
}

/// Netty commit 81fee66c78 (E7): whoever releases, it is the cache of the thread that allocated.
#[test]
fn a_block_returns_to_the_cache_of_the_thread_that_allocated_it() {
    let backend = backend::<Std>(PooledConfig { direct_arenas: 2, heap_arenas: 2, ..small(Preset::Netty4_2_7) });
    let crew = Crew::<Std>::new(2);
    let inside = backend.clone();
    let block = crew.run(0, move || get(&inside, 1000));
    let place = block.place();
    crew.run(1, move || drop(block));
    let allocated = |backend: &PooledBackend<Std>| backend.metrics().direct[0].allocations.total();
    assert_eq!((allocated(&backend), backend.metrics().direct[0].deallocations.total()), (1, 0));
    let inside = backend.clone();
    let other = crew.run(1, move || get(&inside, 1000));
    assert_ne!(other.place(), place, "another thread, another arena");
    let inside = backend.clone();
    let again = crew.run(0, move || get(&inside, 1000));
    assert_eq!((again.place(), allocated(&backend)), (place, 1), "a hit");
    drop((other, again));
    drop(crew);
    backend.check_drained().unwrap();
    assert_eq!(backend.metrics().thread_caches(), 0);
}

#[test]
fn threads_get_the_arenas_with_the_fewest_caches() {
    let backend = backend::<Std>(PooledConfig { direct_arenas: 3, heap_arenas: 2, ..small(Preset::Netty4_2_7) });
    let mut crew = Crew::<Std>::new(4);
    let arena = |crew: &Crew<Std>, worker, area| {
        let backend = backend.clone();
        crew.run(worker, move || backend.allocate(1, area).map(|block| block.place().arena))
    };
    let direct: Vec<_> = (0..4).map(|worker| arena(&crew, worker, Area::Direct)).collect();
    assert_eq!(direct, [0, 1, 2, 0].map(|i| Ok(Some(i))));
    let heap: Vec<_> = (0..4).map(|worker| arena(&crew, worker, Area::Heap)).collect();
    assert_eq!(heap, [0, 1, 0, 1].map(|i| Ok(Some(i))), "chosen at the same time");
    crew.dismiss(1);
    let newcomer = crew.hire();
    assert_eq!(arena(&crew, newcomer, Area::Direct), Ok(Some(1)), "the place of the one that left");
}

/// Netty #12749 (B12): to 4.1.84 a release into a cache that was freed is lost; then it goes to the arena.
#[test]
fn a_block_that_outlives_its_thread() {
    for (preset, lost) in [(Preset::Netty4_1_8, 1024), (Preset::Netty4_1_71, 1024), (Preset::Netty4_1_88, 0)] {
        let backend = backend::<Std>(small(preset));
        let mut crew = Crew::<Std>::new(1);
        let inside = backend.clone();
        let block = crew.run(0, move || get(&inside, 1024));
        crew.dismiss(0);
        drop(block);
        let metrics = backend.metrics();
        assert_eq!(metrics.direct[0].lost_bytes, lost, "{preset}");
        assert_eq!(metrics.direct[0].deallocations.total(), u64::from(lost == 0), "{preset}");
        backend.check_drained().unwrap();
    }
}

/// Netty #2370 (E6): nobody removes the caches of ordinary threads; a watcher or the finalizer frees them.
#[test]
fn the_cache_of_a_thread_that_removed_nothing_is_rescued() {
    for (preset, rescue) in [(Preset::Netty4_1_8, CacheRescue::Watcher), (Preset::Netty4_2_7, CacheRescue::Finalizer)] {
        let config = PooledConfig { owner_exit: OwnerExit::Plain, fast_threads: false, ..small(preset) };
        let config = PooledConfig { cache_for_all_threads: true, ..config };
        assert_eq!(config.cache_rescue, rescue);
        let domain = Domain::<Std>::new_with(Collect::Withheld);
        let backend = PooledBackend::new_in(&domain, config);
        let mut crew = Crew::<Std>::new(1);
        let inside = backend.clone();
        let block = crew.run(0, move || {
            drop(get(&inside, 100));
            get(&inside, 5000)
        });
        crew.dismiss(0);
        let state = || {
            let metrics = backend.metrics();
            (metrics.thread_caches(), metrics.direct[0].cached_bytes, metrics.direct[0].deallocations.total())
        };
        let before = state();
        assert_eq!((before.0, before.2), (1, 0), "{preset}: nobody has looked");
        domain.collect();
        match rescue {
            CacheRescue::Watcher => assert_eq!(state(), (0, 0, 1), "{preset}: the thread is dead"),
            CacheRescue::Finalizer => assert_eq!(state(), before, "{preset}: a live block refers to the cache"),
        }
        drop(block);
        domain.collect();
        assert_eq!((state().0, state().1), (0, 0), "{preset}");
        let silent = if rescue == CacheRescue::Finalizer { 0 } else { 1 };
        assert_eq!(state().2, silent, "{preset}: what the finalizer frees isn't counted from 4.1.35 on");
        backend.check_drained().unwrap();
    }
}

#[test]
fn ordinary_threads_have_no_cache_if_so_configured() {
    let config = PooledConfig { fast_threads: false, cache_for_all_threads: false, ..small(Preset::Netty4_2_7) };
    let backend = backend::<Std>(config);
    drop(get(&backend, 100));
    let arena = &backend.metrics().direct[0];
    assert_eq!((arena.allocations.total(), arena.deallocations.total(), arena.thread_caches), (1, 1, 1));
}

#[test]
fn a_buffer_stays_in_its_block_or_moves() {
    let backend = backend::<Std>(small(Preset::Netty4_1_8));
    let block = get(&backend, 3000);
    assert_eq!(block.len(), 4096);
    assert!(block.keeps(3000, 4096) && !block.keeps(3000, 4097), "as far as the block goes");
    assert!(block.keeps(3000, 2049) && !block.keeps(3000, 2048), "not less than half");
    let tiny = get(&backend, 100);
    assert_eq!(tiny.len(), 112);
    assert!(tiny.keeps(100, 97) && !tiny.keeps(100, 96), "not 16 bytes less");
    let mut huge = get(&backend, 2048 * KIB);
    assert!(huge.keeps(2048 * KIB, 2048 * KIB) && !huge.keeps(2048 * KIB, 2048 * KIB - 1), "a huge one always moves");
    let new = huge.sibling(100).unwrap();
    assert_eq!((new.len(), new.place().arena), (112, Some(0)));
}

/// `PoolArena.reallocate`: the new block is from the running thread's cache or the *old* block's arena, and to 4.1.117 the old
/// block goes where the new one will.
#[test]
fn a_block_that_moves_changes_the_cache() {
    for (preset, old_cache) in [(Preset::Netty4_1_71, 1), (Preset::Netty4_2_7, 0)] {
        let backend = backend::<Std>(PooledConfig { direct_arenas: 2, ..small(preset) });
        let crew = Crew::<Std>::new(2);
        let inside = backend.clone();
        let mut block = crew.run(0, move || get(&inside, 1000));
        let new = crew.run(1, move || {
            let new = block.sibling(2000).unwrap();
            drop(block);
            new
        });
        assert_eq!(new.place().arena, Some(0), "{preset}: the arena of the old one");
        // SAFETY: both workers are parked.
        let caches = unsafe { backend.inspect_caches() };
        let blocks: Vec<_> = caches.iter().map(|cache| cache.blocks(Area::Direct, SizeKind::Small)).collect();
        let mut expected = vec![Some(0); 2];
        expected[old_cache] = Some(1);
        assert_eq!(blocks, expected, "{preset}");
    }
}

#[test]
fn memory_that_runs_out_is_an_error_and_loses_nothing() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_2_7] {
        let options = Options { memory_limit: Some(3 << 20), ..Options::default() };
        to_the_end(&options, || {
            let backend = backend::<Sim>(small(preset));
            let mut blocks = Vec::new();
            let refused = loop {
                match backend.allocate(100 * KIB, Area::Direct) {
                    Ok(block) => blocks.push(block),
                    Err(refused) => break refused,
                }
            };
            assert_eq!(refused.capacity, 100 * KIB);
            assert!(blocks.len() >= 2 * 8, "two chunks of 1 MiB fit, of at least 8 blocks each");
            assert!(backend.allocate(2048 * KIB, Area::Direct).is_err(), "nor is there room for a huge one");
            backend.check().unwrap();
            let held = blocks.len() as u64;
            assert_eq!(backend.metrics().direct[0].active().total(), held, "a refused one isn't counted");
            let small = backend.allocate(16, Area::Direct).is_ok();
            drop(blocks);
            assert!(small || backend.allocate(16, Area::Direct).is_ok());
            backend.trim();
            backend.check_drained().unwrap();
        });
    }
}

#[test]
fn an_allocation_that_fails_once_succeeds_the_next_time() {
    let options = Options { alloc_fails: Some(When::Nth(1)), ..Options::default() };
    to_the_end(&options, || {
        let backend = backend::<Sim>(small(Preset::Netty4_2_7));
        let outcomes: Vec<_> = (0..3).map(|_| backend.allocate(5000, Area::Heap).is_ok()).collect();
        assert_eq!(outcomes, [false, true, true]);
        backend.check().unwrap();
        backend.trim();
        backend.check_drained().unwrap();
    });
}

#[test]
fn every_preset_is_usable_and_keeps_the_eras_apart() {
    for preset in Preset::ALL {
        let config = PooledConfig::from(preset);
        assert_eq!(config.validate(), Ok(()), "{preset}");
        let runs = preset >= Preset::Netty4_1_66;
        assert_eq!(config.design == PageDesign::Runs, runs, "{preset}");
        let chunk = if preset >= Preset::Netty4_1_88 { 4 << 20 } else { 16 << 20 };
        assert_eq!(config.chunk_size(), chunk, "{preset}");
    }
}
