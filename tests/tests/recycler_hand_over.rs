//! Batched hand-over, the recycler of our own preset: what it keeps, for how long, and what becomes of batches.
//!
//! Every number follows from the rules: a batch is 16 objects or a quarter of the capacity; the owner looks after its pool every
//! 256 operations, or up to 512 when it makes objects meanwhile; a period is so many, or twice its array if that is more; of what
//! wasn't used in a period half goes in the next, at most 64 objects a look.

use millpond::engine::{Sim, Strategy};
use millpond_model::observe::Kind;
use millpond_model::platform::CounterOps;
use millpond_model::recycler::{Domain, PoolStats, Pooled, Recycler, RecyclerConfig};
use millpond_model::{Platform, Preset, Std};
use millpond_tests::crew::Crew;
use millpond_tests::sim::{scheduled, soundly};
use std::sync::Arc;

const OWNER: usize = 0;
const OTHER: usize = 1;
const BATCH: u64 = 16;
const LOOK: usize = 256;

/// What is pooled: counted while it exists.
struct Item<P: Platform>(Arc<P::Counter>);

impl<P: Platform> Drop for Item<P> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

type Items<P> = Vec<Pooled<Item<P>, P>>;

/// A recycler and threads around it.
struct Bench<P: Platform> {
    crew: Crew<P>,
    recycler: Recycler<Item<P>, P>,
    domain: Domain<P>,
    alive: Arc<P::Counter>,
}

impl<P: Platform> Bench<P> {
    fn new(config: RecyclerConfig, threads: usize) -> Self {
        let (domain, alive) = (Domain::new(), Arc::new(P::Counter::default()));
        let made = Arc::clone(&alive);
        let make = move || {
            made.add(1);
            Item(Arc::clone(&made))
        };
        let recycler = Recycler::new_in(&domain, Kind::Object, config, make);
        Self { crew: Crew::new(threads), recycler, domain, alive }
    }

    fn get(&self, thread: usize, n: usize) -> Items<P> {
        let recycler = self.recycler.clone();
        self.crew.run(thread, move || (0..n).map(|_| recycler.get()).collect())
    }

    fn recycle(&self, thread: usize, items: Items<P>) {
        self.crew.run(thread, move || drop(items));
    }

    /// So many times, the thread gets `depth` objects and recycles them.
    fn use_lightly(&self, thread: usize, times: usize, depth: usize) {
        let recycler = self.recycler.clone();
        self.crew.run(thread, move || {
            for _ in 0..times {
                drop((0..depth).map(|_| recycler.get()).collect::<Vec<_>>());
            }
        });
    }

    fn flush(&self, thread: usize) {
        let domain = self.domain.clone();
        self.crew.run(thread, move || domain.flush());
    }

    fn trim(&self, thread: usize) {
        let domain = self.domain.clone();
        self.crew.run(thread, move || domain.trim());
    }

    fn total(&self) -> PoolStats {
        let stats = self.recycler.stats();
        stats.check().unwrap_or_else(|e| panic!("{e}\n{stats}"));
        let total = stats.total();
        assert_eq!(self.alive.get().cast_signed(), total.retained.cast_signed() + total.in_use, "{stats}");
        total
    }

    /// How many are made when the owner gets `n` and recycles them.
    fn made_for(&self, n: usize) -> u64 {
        let before = self.total().created;
        let items = self.get(OWNER, n);
        let made = self.total().created - before;
        self.recycle(OWNER, items);
        made
    }
}

fn ours() -> RecyclerConfig {
    Preset::Millpond.into()
}

/// The owner's own store is a stack: the hottest first.
fn last_in_first_out<P: Platform>() {
    let bench = Bench::<P>::new(ours(), 1);
    let address = |item: &Pooled<Item<P>, P>| std::ptr::from_ref::<Item<P>>(item).addr();
    let mut items = bench.get(OWNER, 3);
    let places: Vec<_> = items.iter().map(address).collect();
    items.rotate_left(1); // recycled: 1, 2, 0
    bench.recycle(OWNER, items);
    let again: Vec<_> = bench.get(OWNER, 3).iter().map(address).collect();
    assert_eq!(again, [places[0], places[2], places[1]]);
    assert_eq!(bench.total().created, 3);
}

/// Objects in a batch that isn't full are retained but not there for the owner, until the batch is handed over.
fn a_batch_waits_for_more<P: Platform>(hand_over: impl FnOnce(&mut Bench<P>)) {
    let mut bench = Bench::<P>::new(ours(), 2);
    let items = bench.get(OWNER, 3);
    bench.recycle(OTHER, items);
    let total = bench.total();
    assert_eq!((total.retained, total.queue_len, total.stored_by_other, total.transferred), (3, 3, 3, 0));
    let items = bench.get(OWNER, 1);
    assert_eq!(bench.total().created, 4, "not there yet");
    bench.recycle(OWNER, items);
    hand_over(&mut bench);
    assert_eq!(bench.made_for(4), 0, "all are there");
    let total = bench.total();
    assert_eq!((total.queue_len, total.transferred), (0, 3));
}

fn flushed<P: Platform>() {
    a_batch_waits_for_more::<P>(|bench| bench.flush(OTHER));
}

fn handed_over_by_a_thread_that_ends<P: Platform>() {
    a_batch_waits_for_more::<P>(|bench| bench.crew.dismiss(OTHER));
}

/// A thread with objects of its own hands over within two looks.
fn handed_over_by_a_thread_that_is_at_work<P: Platform>() {
    a_batch_waits_for_more::<P>(|bench| bench.use_lightly(OTHER, 2 * LOOK, 1));
}

/// A thread that recycles for a third one hands over within 512 posts.
fn handed_over_by_a_thread_that_posts_elsewhere<P: Platform>() {
    let bench = Bench::<P>::new(ours(), 3);
    let items = bench.get(OWNER, 3);
    bench.recycle(OTHER, items);
    let items = bench.get(2, 512);
    bench.recycle(OTHER, items);
    assert_eq!(bench.made_for(3), 0);
}

fn a_full_batch_is_handed_over_at_once<P: Platform>() {
    let bench = Bench::<P>::new(ours(), 2);
    let items = bench.get(OWNER, BATCH as usize + 1);
    bench.recycle(OTHER, items);
    assert_eq!(bench.made_for(BATCH as usize + 1), 1, "the last one is the first of the next batch");
    assert_eq!(bench.total().transferred, BATCH);
}

/// Two pools whose numbers share a place: the batch of the one makes room for the other's.
fn a_place_serves_one_pool_at_a_time<P: Platform>() {
    let bench = Bench::<P>::new(ours(), 33);
    // Pools 0 to 31 belong to workers 1 to 32, and number 32 to worker 0.
    let first = bench.get(1, 3);
    (2..33).for_each(|thread| {
        let items = bench.get(thread, 1);
        bench.recycle(thread, items);
    });
    let last = bench.get(OWNER, 3);
    bench.recycle(2, first);
    assert_eq!(bench.total().transferred, 0);
    bench.recycle(2, last);
    let items = bench.get(1, 3);
    assert_eq!(bench.total().transferred, 3, "the first owner has its objects");
    drop(items);
}

/// The array and what waits are together at most `max_capacity`; a batch more is in each other thread.
fn bounded<P: Platform>() {
    for max in [1, 2, 7, 40, 4096] {
        let config = RecyclerConfig { max_capacity: max, ..ours() };
        let batch = (u64::from(max) / 4).clamp(1, BATCH);
        let bench = Bench::<P>::new(config, 4);
        for own in [0, 1, 3, 100, 5000] {
            let items = bench.get(OWNER, own);
            bench.recycle(OWNER, items);
            for other in 1..4 {
                let items = bench.get(OWNER, 3000);
                bench.recycle(other, items);
                let total = bench.total();
                let bound = u64::from(max) + 3 * (batch - 1);
                assert!(total.retained <= bound, "{max}: {} of {bound}", total.retained);
            }
        }
        assert!(bench.total().dropped.pool_full > 0);
        let items = bench.get(OWNER, 5000);
        bench.recycle(OWNER, items);
        assert_eq!(bench.total().own_len, u64::from(max), "the whole room is the owner's if nobody else needs it");
    }
}

/// After a burst a light use finds the pool as small as it needs it. From the array of 4,096: two periods of 8,192 operations until
/// half is gone, then one of 4,096, 2,048 and so on. From the chain: 64 looks, and one for each of the last halves. Both are less
/// than 80 looks of up to 512 operations.
fn gives_back<P: Platform>() {
    for recycler in [OWNER, OTHER] {
        for depth in [1, 16, 100] {
            let bench = Bench::<P>::new(ours(), 2);
            let items = bench.get(OWNER, 20_000);
            bench.recycle(recycler, items);
            assert!(bench.total().retained >= 4096);
            bench.use_lightly(OWNER, 80 * 512 / depth, depth);
            let total = bench.total();
            let bound = (depth as u64 * 5).div_ceil(4) + if recycler == OTHER { BATCH } else { 0 };
            assert!(total.retained <= bound, "recycled by {recycler}, {depth} at once: {} of {bound}", total.retained);
            let made = bench.made_for(depth);
            assert_eq!(made, 0, "what the light use needs is kept");
        }
    }
}

/// A use that goes on as it is costs no object.
fn keeps_what_is_used<P: Platform>() {
    let bench = Bench::<P>::new(ours(), 2);
    for depth in [1, 16, 300] {
        bench.use_lightly(OWNER, 4, depth);
        let before = bench.total();
        bench.use_lightly(OWNER, 20_000 / depth, depth);
        let after = bench.total();
        assert_eq!(after.created, before.created.max(depth as u64), "{depth} at once");
    }
    // Across threads, with 100 on their way at a time.
    let bench = Bench::<P>::new(ours(), 2);
    for _ in 0..200 {
        let items = bench.get(OWNER, 100);
        bench.recycle(OTHER, items);
    }
    let total = bench.total();
    assert!(total.created <= 100 + 2 * BATCH, "{total:?}");
}

/// An owner with nothing to do that looks twice keeps nothing.
fn trimmed<P: Platform>() {
    for recycler in [OWNER, OTHER] {
        let bench = Bench::<P>::new(ours(), 2);
        let items = bench.get(OWNER, 1000);
        bench.recycle(recycler, items);
        bench.flush(OTHER);
        bench.trim(OWNER);
        bench.trim(OWNER);
        let total = bench.total();
        assert_eq!((total.retained, total.dropped.unused, bench.alive.get()), (0, 1000, 0), "by {recycler}");
        assert_eq!(bench.made_for(1), 1);
    }
}

/// An owner that ends gives everything up; what others hold for it goes when they hand it over, or recycle it later.
fn an_owner_ends<P: Platform>() {
    let mut bench = Bench::<P>::new(ours(), 3);
    let mut items = bench.get(OWNER, 30);
    let in_use = items.split_off(28);
    let posted = items.split_off(25);
    let (here, there) = (items.split_off(18), items);
    bench.recycle(OWNER, here); // 7
    bench.recycle(2, there); // a batch and 2
    bench.recycle(OTHER, posted); // 3
    bench.crew.dismiss(OWNER);
    let total = bench.total();
    assert_eq!((total.retained, total.in_use, total.dropped.owner_dead), (5, 2, 7 + BATCH));
    bench.flush(OTHER);
    bench.flush(2);
    assert_eq!((bench.total().retained, bench.total().dropped.owner_dead), (0, 7 + BATCH + 5));
    bench.recycle(OTHER, in_use);
    let stats = bench.recycler.stats();
    assert_eq!((stats.pools.len(), stats.total().dropped.owner_dead, bench.alive.get()), (0, 30, 0));
}

macro_rules! both {
    ($($name:ident)*) => {
        mod on_std {
            $(#[test] fn $name() { crate::$name::<crate::Std>(); })*
        }
        mod on_sim {
            use millpond_tests::sim::{in_turn, soundly};
            $(#[test] fn $name() { soundly(&in_turn(), crate::$name::<crate::Sim>); })*
        }
    };
}

both! {
    last_in_first_out flushed handed_over_by_a_thread_that_ends handed_over_by_a_thread_that_is_at_work
    handed_over_by_a_thread_that_posts_elsewhere a_full_batch_is_handed_over_at_once a_place_serves_one_pool_at_a_time
    bounded gives_back keeps_what_is_used trimmed an_owner_ends
}

/// Owner and others at once: the owner works and looks what to give back, others recycle and flush; then the owner ends, and
/// they go on.
fn at_once(config: RecyclerConfig) -> PoolStats {
    let mut bench = Bench::<Sim>::new(config, 3);
    let mut items = bench.get(OWNER, 24);
    let recycler = bench.recycler.clone();
    let mut working = vec![bench.crew.start(OWNER, move || {
        for round in 0..6 {
            drop((0..round).map(|_| recycler.get()).collect::<Vec<_>>());
            if round % 2 == 0 {
                recycler.trim();
            }
        }
    })];
    let mut parts = [items.split_off(20), items.split_off(16), items.split_off(8), items];
    for (thread, part) in [(OTHER, 3), (2, 2)] {
        let (items, recycler) = (std::mem::take(&mut parts[part]), bench.recycler.clone());
        working.push(bench.crew.start(thread, move || {
            for (i, item) in items.into_iter().enumerate() {
                drop(item);
                if i % 3 == 2 {
                    recycler.flush();
                }
            }
        }));
    }
    working.into_iter().for_each(|work| bench.crew.wait(work));
    let bound = u64::from(config.max_capacity) + 2 * (u64::from(config.max_capacity) / 4).clamp(1, BATCH);
    assert!(bench.total().retained <= bound, "{:?}", bench.total());
    let [in_use, late, ..] = parts;
    let late = bench.crew.start(OTHER, move || drop(late));
    bench.crew.dismiss(OWNER);
    bench.crew.wait(late);
    bench.flush(OTHER);
    bench.flush(2);
    let total = bench.total();
    assert_eq!((total.retained, total.in_use), (0, 4), "nothing is left of a pool whose owner ended");
    bench.recycle(2, in_use);
    let total = bench.total();
    assert_eq!(bench.alive.get(), 0);
    total
}

#[test]
fn threads_at_once_in_many_schedules() {
    let tiny = RecyclerConfig { max_capacity: 8, chunk_size: 2, ..ours() };
    let (mut taken, mut full, mut dead) = (0, 0, 0);
    for config in [ours(), tiny] {
        for options in scheduled(&[Strategy::Random, Strategy::Pct { depth: 3 }], 400) {
            soundly(&options, || {
                let total = at_once(config);
                taken += total.transferred;
                full += total.dropped.pool_full;
                dead += total.dropped.owner_dead;
            });
        }
    }
    assert!(taken > 0 && full > 0 && dead > 0, "every way was gone: {taken} {full} {dead}");
}
