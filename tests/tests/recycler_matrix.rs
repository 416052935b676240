//! The double-recycle matrix: who recycles first, who recycles again, and what each release makes of it.
//!
//! Ratios are 1 where the matrix isn't about them, so that every object is kept.
//!
//! On the simulator the ledger looks on: it must see every double recycle, also those that the pool does not.

use millpond::engine::{Execution, Options, Sim, Strategy, with_ledger};
use millpond::ledger::FindingKind::{self, DoubleRelease, TwoOwners};
use millpond_model::observe::Kind;
use millpond_model::platform::{AtomicOps, CounterOps};
use millpond_model::recycler::{
    Collect, Domain, Generation, Guard, Handle, RatioMode, RecyclerConfig, RecyclerError, SharedRecycler, WoqRatio,
};
use millpond_model::{Platform, Preset};
use millpond_tests::crew::Crew;
use millpond_tests::sim::{in_turn, scheduled, to_the_end};
use millpond_tests::versions::netty;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The columns of the matrix, each with the releases that stand for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    /// To 4.1.29.
    Unchecked,
    /// 4.1.30 to 4.1.43: the check, but a failed pop poisons the stack.
    Checked,
    /// 4.1.44 to 4.1.59: the check, and the size is stored first.
    CheckedSizeFirst,
    /// 4.1.60 to 4.1.70.
    Claimed,
    /// 4.1.71+, and ours.
    Guarded,
}

const RELEASES: [(&str, Column); 14] = [
    ("4.0.43", Column::Unchecked),
    ("4.1.2", Column::Unchecked),
    ("4.1.3", Column::Unchecked),
    ("4.1.4", Column::Unchecked),
    ("4.1.8", Column::Unchecked),
    ("4.1.22", Column::Unchecked),
    ("4.1.38", Column::Checked),
    ("4.1.44", Column::CheckedSizeFirst),
    ("4.1.60", Column::Claimed),
    ("4.1.66", Column::Claimed),
    ("4.1.71", Column::Guarded),
    ("4.1.88", Column::Guarded),
    ("4.2.7", Column::Guarded),
    ("millpond", Column::Guarded),
];

/// The release, keeping every object.
fn keeping(version: &str) -> RecyclerConfig {
    let config = netty(version);
    let ratio = if config.generation == Generation::A { 0 } else { 1 };
    RecyclerConfig { ratio, ratio_mode: RatioMode::None, woq_ratio: WoqRatio::None, ..config }
}

/// A recycler of numbered objects, its owner (worker 0) and three others.
struct Bench<P: Platform> {
    crew: Crew<P>,
    recycler: SharedRecycler<u64, P>,
    domain: Domain<P>,
}

const OWNER: usize = 0;
const T: usize = 1;
const T2: usize = 2;

impl<P: Platform> Bench<P> {
    fn new(config: RecyclerConfig) -> Self {
        let domain = Domain::new_with(Collect::Withheld);
        let made = Arc::new(P::Counter::default());
        let recycler = SharedRecycler::new_in(&domain, Kind::Object, config, move || {
            made.add(1);
            made.get()
        });
        Self { crew: Crew::new(4), recycler, domain }
    }

    fn get(&self) -> Result<Handle<u64, P>, RecyclerError> {
        let recycler = self.recycler.clone();
        self.crew.run(OWNER, move || recycler.get())
    }

    fn obtain(&self) -> Handle<u64, P> {
        self.get().expect("a sound pool")
    }

    fn recycle(&self, thread: usize, handle: &Handle<u64, P>) -> Result<(), RecyclerError> {
        let handle = handle.clone();
        self.crew.run(thread, move || handle.recycle())
    }

    /// Objects in the owner's own store, and in hand-over queues.
    fn held(&self) -> (u64, u64) {
        let total = self.recycler.stats().total();
        (total.own_len, total.queue_len)
    }
}

/// The error that a checked release gives, by generation.
fn already(column: Column) -> RecyclerError {
    if column == Column::Guarded { RecyclerError::ObjectRecycledAlready } else { RecyclerError::RecycledAlready }
}

/// Owner, then owner: refused at the second.
fn owner_owner<P: Platform>(version: &str, column: Column) {
    let bench = Bench::<P>::new(keeping(version));
    let x = bench.obtain();
    assert_eq!(bench.recycle(OWNER, &x), Ok(()));
    assert_eq!(bench.recycle(OWNER, &x), Err(already(column)));
    assert_eq!(*bench.obtain(), *x);
    assert_ne!(*bench.obtain(), *x);
    assert_eq!(bench.recycler.stats().total().double_recycles_refused, 1);
}

/// Owner, then another thread.
fn owner_other<P: Platform>(version: &str, column: Column) {
    let bench = Bench::<P>::new(keeping(version));
    let x = bench.obtain();
    assert_eq!(bench.recycle(OWNER, &x), Ok(()));
    let second = bench.recycle(T, &x);
    match column {
        Column::Unchecked | Column::Checked => {
            assert_eq!(second, Ok(()));
            assert_eq!(bench.held(), (1, 1), "in the stack and in a queue");
            assert_eq!(bench.get().err(), Some(RecyclerError::RecycledMultipleTimes));
            for _ in 0..3 {
                assert_eq!(bench.get().err(), Some(RecyclerError::NullSlot), "poisoned for ever");
            }
        }
        Column::CheckedSizeFirst => {
            assert_eq!(second, Ok(()));
            assert_eq!(bench.held(), (1, 1), "in the stack and in a queue");
            assert_eq!(bench.get().err(), Some(RecyclerError::RecycledMultipleTimes));
            // The copy in the queue is met next: its ids don't agree either, and it stays there.
            assert_eq!(bench.get().err(), Some(RecyclerError::RecycledAlready));
        }
        Column::Claimed => {
            assert_eq!(second, Ok(()), "ignored");
            assert_eq!(bench.held(), (1, 0));
            assert_eq!(bench.recycler.stats().total().double_recycles_ignored, 1);
            assert_eq!(*bench.obtain(), *x);
            assert_ne!(*bench.obtain(), *x);
        }
        Column::Guarded => {
            assert_eq!(second, Err(RecyclerError::ObjectRecycledAlready));
            assert_eq!(*bench.obtain(), *x);
            assert_ne!(*bench.obtain(), *x);
        }
    }
}

/// Another thread, and any thread again before the owner took it over.
fn other_any<P: Platform>(version: &str, column: Column) {
    for again in [OWNER, T, T2] {
        let bench = Bench::<P>::new(keeping(version));
        let x = bench.obtain();
        assert_eq!(bench.recycle(T, &x), Ok(()));
        let refused = if column == Column::Unchecked { RecyclerError::NullHome } else { already(column) };
        assert_eq!(bench.recycle(again, &x), Err(refused), "by {again}");
        assert_eq!(bench.held(), (0, 1), "the pool is sound");
        assert_eq!(*bench.obtain(), *x);
        assert_ne!(*bench.obtain(), *x);
    }
}

/// Another thread; the owner took it over and it is idle in the stack; the same thread again.
fn transferred_again<P: Platform>(version: &str, column: Column) {
    let bench = Bench::<P>::new(keeping(version));
    let (x, y) = (bench.obtain(), bench.obtain());
    assert_eq!(bench.recycle(T, &x), Ok(()));
    assert_eq!(bench.recycle(T, &y), Ok(()));
    if column == Column::Guarded && keeping(version).refill == millpond_model::recycler::Refill::OneByOne {
        // Nothing is taken over in advance here: the object is idle in the queue, and refused all the same.
        assert_eq!(bench.recycle(T, &x), Err(RecyclerError::ObjectRecycledAlready));
        return;
    }
    let taken = bench.obtain(); // takes both over, gives one out
    let idle = if *taken == *x { y } else { x };
    assert_eq!(bench.held(), (1, 0));
    let second = bench.recycle(T, &idle);
    match column {
        Column::Unchecked | Column::Checked | Column::CheckedSizeFirst => {
            assert_eq!(second, Ok(()));
            assert_eq!(*bench.obtain(), *idle, "from the stack");
            assert_eq!(*bench.obtain(), *idle, "again, from the queue: undetected");
        }
        Column::Claimed => {
            assert_eq!(second, Ok(()), "ignored");
            assert_eq!(*bench.obtain(), *idle);
            assert_ne!(*bench.obtain(), *idle);
        }
        Column::Guarded => assert_eq!(second, Err(RecyclerError::ObjectRecycledAlready)),
    }
}

/// Another thread drops it for want of a further link; then anyone.
fn no_room_for_a_further_link<P: Platform>(version: &str, column: Column) {
    // Shared capacity for one link.
    let config = RecyclerConfig { max_capacity: 32, max_shared_capacity_factor: 2, ..keeping(version) };
    if config.generation != Generation::A || config.unbounded_side_queues {
        return; // no shared capacity there
    }
    for again in [OWNER, T, T2] {
        let bench = Bench::<P>::new(config);
        let full: Vec<_> = (0..16).map(|_| bench.obtain()).collect();
        let x = bench.obtain();
        full.iter().for_each(|h| assert_eq!(bench.recycle(T, h), Ok(())));
        assert_eq!(bench.recycle(T, &x), Ok(()));
        assert_eq!(bench.recycler.stats().total().dropped.no_shared_capacity, 1);
        let second = bench.recycle(again, &x);
        match (column, again) {
            // It has the queue's id, which the owner takes for a recycle.
            (Column::Unchecked, OWNER) => assert_eq!(second, Err(RecyclerError::RecycledAlready)),
            (Column::Unchecked, _) => assert_eq!(second, Ok(()), "accepted, may be queued"),
            _ => assert_eq!(second, Err(RecyclerError::RecycledAlready), "the ids differ"),
        }
    }
}

/// Another thread drops it without a mark: a dummy, a limit of 0, no first link; then anyone: undetected in generation A.
fn dropped_unmarked<P: Platform>(version: &str, column: Column) {
    let config = keeping(version);
    if config.generation == Generation::A {
        let limit = |n| RecyclerConfig { max_delayed_queues_per_thread: Some(n), ..config };
        undetected::<P>(limit(0));
        dummy::<P>(limit(1));
        if !config.unbounded_side_queues {
            no_first_link::<P>(RecyclerConfig { max_capacity: 32, ..config });
        }
    } else {
        // Dropped because the queue is full: marked before the offer.
        let bench = Bench::<P>::new(RecyclerConfig { max_capacity: 4, ..config });
        let full: Vec<_> = (0..4).map(|_| bench.obtain()).collect();
        let x = bench.obtain();
        full.iter().for_each(|h| assert_eq!(bench.recycle(T, h), Ok(())));
        assert_eq!(bench.recycle(T, &x), Ok(()));
        assert_eq!(bench.recycler.stats().total().dropped.pool_full, 1);
        assert_eq!(bench.recycle(T2, &x), Err(already(column)));
    }
}

/// T drops a recycle; whoever recycles again isn't told.
fn undetected<P: Platform>(config: RecyclerConfig) {
    let bench = Bench::<P>::new(config);
    let x = bench.obtain();
    assert_eq!(bench.recycle(T, &x), Ok(()));
    assert_eq!(bench.recycler.stats().total().dropped.delayed_limit, 1);
    assert_eq!(bench.recycle(T, &x), Ok(()));
    assert_eq!(bench.recycle(OWNER, &x), Ok(()), "the owner keeps it");
    assert_eq!(bench.held(), (1, 0));
}

/// T serves another owner already.
fn dummy<P: Platform>(config: RecyclerConfig) {
    let bench = Bench::<P>::new(config);
    let recycler = bench.recycler.clone();
    let other = bench.crew.run(3, move || recycler.get()).expect("a sound pool");
    assert_eq!(bench.recycle(T, &other), Ok(()));
    let x = bench.obtain();
    assert_eq!(bench.recycle(T, &x), Ok(()));
    let total = bench.recycler.stats().total();
    assert_eq!((total.dropped.delayed_limit, total.dummies, total.queues), (1, 1, 1));
    assert_eq!(bench.recycle(T, &x), Ok(()));
    assert_eq!(bench.recycle(T2, &x), Ok(()), "T2 has room");
    assert_eq!(*bench.obtain(), *x);
}

/// All shared capacity is in T's queue.
fn no_first_link<P: Platform>(config: RecyclerConfig) {
    let bench = Bench::<P>::new(config);
    let y = bench.obtain();
    let x = bench.obtain();
    assert_eq!(bench.recycle(T, &y), Ok(()));
    assert_eq!(bench.recycle(T2, &x), Ok(()));
    assert_eq!(bench.recycler.stats().total().dropped.no_shared_capacity, 1);
    assert_eq!(bench.recycle(T2, &x), Ok(()));
    assert_eq!(bench.recycle(OWNER, &x), Ok(()), "the owner keeps it");
    assert_eq!(bench.held(), (1, 1));
}

/// A stale holder recycles after the object was obtained again: undetected in every release, and handed out twice. Ours looks at
/// the handle, not only at the object.
fn stale<P: Platform>(version: &str, _column: Column) {
    let bench = Bench::<P>::new(keeping(version));
    let x = bench.obtain();
    assert_eq!(bench.recycle(T, &x), Ok(()));
    let again = bench.obtain();
    assert_eq!(*again, *x);
    if keeping(version).guard == Guard::Period {
        assert_eq!(bench.recycle(T, &x), Err(RecyclerError::ObjectRecycledAlready), "the stale handle");
        assert_ne!(*bench.obtain(), *again, "it has one owner");
        assert_eq!(bench.recycle(T2, &again), Ok(()), "which may recycle it");
        return;
    }
    assert_eq!(bench.recycle(T, &x), Ok(()), "the stale handle");
    let twice = bench.obtain();
    assert_eq!(*twice, *again, "handed out while it is in use");
    let total = bench.recycler.stats().total();
    assert_eq!((total.in_use, total.double_recycles_refused), (1, 0), "two holders, counted as one");
}

/// Two other threads at once. A release that doesn't claim may store an object twice, and then hands it out twice without
/// noticing; one that does stores it once. A platform that explores interleavings needs one object.
fn concurrent<P: Platform>(version: &str, column: Column) {
    for _ in 0..RACES {
        race::<P>(version, column, OBJECTS);
    }
}

/// Races for each release, and objects in each, on a platform that doesn't choose the interleaving.
const RACES: usize = 20;
const OBJECTS: usize = 400;

/// T and T2 recycle the same objects in the same order: how many places in the pool they got.
fn race<P: Platform>(version: &str, column: Column, objects: usize) -> usize {
    let bench = Bench::<P>::new(keeping(version));
    let held: Vec<_> = (0..objects).map(|_| bench.obtain()).collect();
    let arrived = Arc::new(P::Atomic::<u32>::new(0));
    let both = [T, T2].map(|thread| {
        let (held, arrived) = (held.clone(), Arc::clone(&arrived));
        bench.crew.start(thread, move || {
            arrived.fetch_add(1, Ordering::Relaxed);
            while arrived.load(Ordering::Relaxed) < 2 {
                P::spin_hint();
                P::yield_now();
            }
            held.into_iter().map(Handle::recycle).collect::<Vec<_>>()
        })
    });
    let results = both.map(|started| bench.crew.wait(started));
    let accepted = results.iter().flatten().filter(|r| r.is_ok()).count();
    let total = bench.recycler.stats().total();
    let stored = usize::try_from(total.queue_len).expect("a small number");
    match column {
        Column::Guarded => {
            assert_eq!((accepted, stored), (objects, objects), "one of two wins");
            assert_eq!(total.double_recycles_refused, objects as u64);
        }
        Column::Claimed => {
            assert_eq!(stored, objects, "the loser is ignored or refused");
            assert_eq!(total.double_recycles_refused + total.double_recycles_ignored, objects as u64);
        }
        Column::Unchecked | Column::Checked | Column::CheckedSizeFirst => {
            assert_eq!(stored, accepted, "each accepted one is stored");
            assert!((objects..=2 * objects).contains(&stored));
        }
    }
    let handed_out: Vec<_> = (0..stored).map(|_| bench.obtain()).collect();
    assert!(handed_out.iter().all(|h| **h <= objects as u64), "an object a place, though some are there twice");
    assert!(*bench.obtain() > objects as u64, "then a new one");
    stored
}

/// 4.2.7's unguarded pools notice nothing at all; 4.1.90's unguarded handles notice what doesn't race.
fn unguarded<P: Platform>() {
    let config = RecyclerConfig { ratio: 1, ..Preset::Netty4_2_7.into() };
    let bench = Bench::<P>::new(RecyclerConfig { guard: Guard::None, ..config });
    let x = bench.obtain();
    assert_eq!(bench.recycle(T, &x), Ok(()));
    assert_eq!(bench.recycle(T, &x), Ok(()));
    assert_eq!([*bench.obtain(), *bench.obtain()], [*x, *x], "handed out twice");
    let bench = Bench::<P>::new(RecyclerConfig { guard: Guard::PlainCheck, ..config });
    let x = bench.obtain();
    assert_eq!(bench.recycle(T, &x), Ok(()));
    assert_eq!(bench.recycle(T2, &x), Err(RecyclerError::ObjectRecycledAlready));
}

/// A transfer that fails in the middle loses what it had moved, and the link keeps holes: every later get fails (Netty #9640,
/// with the releases' ratio).
fn failed_transfer<P: Platform>(version: &str) {
    let bench = Bench::<P>::new(netty(version));
    let (y, z, x) = (bench.obtain(), bench.obtain(), bench.obtain());
    assert_eq!(bench.recycle(OWNER, &y), Ok(()));
    assert_eq!(bench.recycle(OWNER, &x), Ok(()), "dropped by the ratio, but marked");
    assert_eq!(bench.recycle(T, &z), Ok(()));
    assert_eq!(bench.recycle(T, &x), Ok(()));
    assert_eq!(*bench.obtain(), *y);
    assert_eq!(bench.get().err(), Some(RecyclerError::RecycledAlready));
    assert_eq!(bench.get().err(), Some(RecyclerError::NullSlot));
    assert_eq!(bench.get().err(), Some(RecyclerError::NullSlot));
}

/// A pool whose owner is dead and that nobody can reach goes away with the next collection, not before; one object in use
/// keeps it, and up to 4.1.18 its thread (Netty commit 0276b6e0f6); in 4.1.3 a recycling thread's map keeps it (Netty #5569).
fn dead_owner<P: Platform>(version: &str, _column: Column) {
    let mut bench = Bench::<P>::new(keeping(version));
    let (x, y) = (bench.obtain(), bench.obtain());
    let thread = bench.crew.thread(OWNER);
    assert_eq!(bench.recycle(T, &x), Ok(()));
    drop(x);
    bench.crew.dismiss(OWNER);
    let config = keeping(version);
    let kept = bench.domain.collect();
    assert_eq!(kept.pools, 0, "an object is in use");
    let pinned = if config.generation == Generation::A && config.stack_holds_thread { vec![thread] } else { vec![] };
    assert_eq!(kept.uncollected, pinned);
    assert_eq!(bench.recycler.stats().pools.len(), 1);
    drop(y);
    assert_eq!(bench.domain.collect().pools, u64::from(!config.queue_pins_pool));
    assert_eq!(bench.recycler.stats().pools.len(), usize::from(config.queue_pins_pool));
    bench.recycler.stats().check().expect("conservation");
    bench.crew.dismiss(T);
    assert_eq!(bench.domain.collect().pools, u64::from(config.queue_pins_pool), "the map that held it is gone");
}

macro_rules! matrix {
    ($platform:ty: $($row:ident)*) => {
        $(#[test] fn $row() {
            for (version, column) in crate::RELEASES {
                crate::$row::<$platform>(version, column);
            }
        })*
    };
}

mod on_std {
    matrix!(::millpond_model::Std: owner_owner owner_other other_any transferred_again no_room_for_a_further_link
        dropped_unmarked stale concurrent dead_owner);

    #[test]
    fn unguarded() {
        crate::unguarded::<::millpond_model::Std>();
    }

    #[test]
    fn failed_transfer() {
        ["4.1.8", "4.1.22"].into_iter().for_each(crate::failed_transfer::<::millpond_model::Std>);
    }
}

/// Runs `misuse` under a ledger that doesn't end the execution: what it found.
fn looked_on(options: &Options, misuse: impl FnOnce()) -> Vec<FindingKind> {
    let execution = to_the_end(options, || {
        with_ledger(|ledger| ledger.only_count());
        misuse();
    });
    found(&execution)
}

/// What the ledger sees of a stale recycle: that it happened, and unless it was refused what came of it.
fn stale_seen(version: &str) -> &'static [FindingKind] {
    if keeping(version).guard == Guard::Period { &[DoubleRelease] } else { &[DoubleRelease, TwoOwners] }
}

fn found(execution: &Execution) -> Vec<FindingKind> {
    execution.ledger.findings().iter().map(|f| f.kind).collect()
}

macro_rules! seen {
    ($($row:ident: |$version:pat_param, $column:pat_param| $expected:expr;)*) => {
        $(#[test] fn $row() {
            for (version, column) in RELEASES {
                let seen = looked_on(&in_turn(), || super::$row::<Sim>(version, column));
                let ($version, $column) = (version, column);
                assert_eq!(seen, $expected, "{version}");
            }
        })*
    };
}

/// What the pool makes of a misuse is as on `Std`; the ledger finds one `DoubleRelease` for each recycle too many, and
/// `TwoOwners` where an object is handed out while it is in use.
mod on_sim {
    use super::*;

    fn generation(version: &str) -> Generation {
        keeping(version).generation
    }

    seen! {
        owner_owner: |_, _| [DoubleRelease];
        owner_other: |_, _| [DoubleRelease];
        other_any: |_, _| [DoubleRelease; 3];
        transferred_again: |_, column| match column {
            Column::Unchecked | Column::Checked | Column::CheckedSizeFirst => vec![DoubleRelease, TwoOwners],
            Column::Claimed | Column::Guarded => vec![DoubleRelease],
        };
        no_room_for_a_further_link: |version, _| {
            let bounded = generation(version) == Generation::A && !keeping(version).unbounded_side_queues;
            vec![DoubleRelease; if bounded { 3 } else { 0 }]
        };
        dropped_unmarked: |version, _| {
            // Two recycles too many in each of generation A's ways to drop without a mark.
            let too_many = match generation(version) {
                Generation::A if keeping(version).unbounded_side_queues => 2 * 2,
                Generation::A => 3 * 2,
                Generation::B | Generation::HandOver => 1,
            };
            vec![DoubleRelease; too_many]
        };
        stale: |version, _| stale_seen(version);
        dead_owner: |_, _| [];
    }

    #[test]
    fn unguarded() {
        let seen = looked_on(&in_turn(), super::unguarded::<Sim>);
        assert_eq!(seen, [DoubleRelease, TwoOwners, DoubleRelease]);
    }

    #[test]
    fn failed_transfer() {
        for version in ["4.1.8", "4.1.22"] {
            assert_eq!(looked_on(&in_turn(), || super::failed_transfer::<Sim>(version)), [DoubleRelease]);
        }
    }

    /// The rows are hand-offs: the schedule changes nothing.
    #[test]
    fn whatever_the_schedule() {
        for options in scheduled(&[Strategy::Random, Strategy::RoundRobin, Strategy::Pct { depth: 3 }], 5) {
            for (version, column) in RELEASES {
                assert_eq!(looked_on(&options, || super::owner_other::<Sim>(version, column)), [DoubleRelease]);
                assert_eq!(looked_on(&options, || super::stale::<Sim>(version, column)), stale_seen(version));
            }
        }
    }

    /// Both ways in which a race between two recycles of one object ends are reached in a release that doesn't claim:
    /// one is refused, or both are accepted and the object then has two owners. A release that claims only knows the first.
    #[test]
    fn concurrent() {
        for (version, column) in RELEASES {
            let (mut kept_once, mut kept_twice) = (0, 0);
            for options in scheduled(&[Strategy::Random, Strategy::Pct { depth: 2 }, Strategy::Pct { depth: 3 }], 400) {
                let options = Options { pct_steps: 200, ..options };
                let mut stored = 0;
                let seen = looked_on(&options, || stored = race::<Sim>(version, column, 1));
                match stored {
                    1 => assert_eq!(seen, [DoubleRelease], "{version}, {options:?}"),
                    _ => assert_eq!(seen, [DoubleRelease, TwoOwners], "{version}, {options:?}"),
                }
                *if stored == 1 { &mut kept_once } else { &mut kept_twice } += 1;
            }
            assert!(kept_once > 0, "{version}: the second recycle is always accepted");
            let claims = matches!(column, Column::Claimed | Column::Guarded);
            assert_eq!(kept_twice == 0, claims, "{version}: stored twice in {kept_twice} schedules");
        }
    }
}
