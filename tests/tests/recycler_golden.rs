//! Golden vectors of Netty's recycler: numbers measured on the unmodified sources, phase by phase, with 8 cores' worth of
//! delayed queues (16), recycling in the order of obtaining.
//!
//! Each vector is a function of the platform and the release; see the end of the file for where they run.

use millpond::engine::{Options, Sim, Strategy};
use millpond_model::Platform;
use millpond_model::observe::Kind;
use millpond_model::recycler::{Domain, PoolStats, Pooled, Recycler, RecyclerConfig};
use millpond_tests::crew::Crew;
use millpond_tests::sim::{scheduled, soundly};
use millpond_tests::versions::netty;

type Items<P> = Vec<Pooled<u32, P>>;

/// A recycler and the threads around it.
struct Bench<P: Platform> {
    crew: Crew<P>,
    recycler: Recycler<u32, P>,
    _domain: Domain<P>,
}

impl<P: Platform> Bench<P> {
    fn new(config: RecyclerConfig, threads: usize) -> Self {
        let domain = Domain::new();
        let recycler = Recycler::new_in(&domain, Kind::Object, config, || 0);
        Self { crew: Crew::new(threads), recycler, _domain: domain }
    }

    /// `thread` gets `n` objects.
    fn get(&self, thread: usize, n: usize) -> Items<P> {
        let recycler = self.recycler.clone();
        self.crew.run(thread, move || (0..n).map(|_| recycler.get()).collect())
    }

    /// `thread` recycles `items`, first to last.
    fn recycle(&self, thread: usize, items: Items<P>) {
        self.crew.run(thread, move || drop(items));
    }

    fn total(&self) -> PoolStats {
        let stats = self.recycler.stats();
        stats.check().expect("conservation");
        stats.total()
    }
}

/// Business thread 0 gets `n`, loop 1 recycles them.
fn round<P: Platform>(bench: &Bench<P>, n: usize) {
    let items = bench.get(0, n);
    bench.recycle(1, items);
}

/// G1: one business thread, one loop, 100,000 objects a round: (round, created in it, retained after it, shared capacity
/// available after it where it was recorded).
fn g1<P: Platform>(version: &str) {
    type Row = (u64, u64, u64, Option<u64>);
    let rows: [Row; 5] = match version {
        "4.1.2" => [
            (1, 100_000, 100_000, None),
            (2, 0, 100_000, None),
            (3, 0, 100_000, None),
            (10, 0, 100_000, None),
            (50, 0, 100_000, None),
        ],
        "4.1.3" => [
            (1, 100_000, 100_000, Some(31_072)),
            (2, 0, 100_000, Some(31_056)),
            (3, 0, 100_000, Some(31_040)),
            (10, 0, 100_000, Some(30_928)),
            (50, 0, 100_000, Some(30_288)),
        ],
        "4.1.4" => [
            (1, 100_000, 16_384, Some(0)),
            (2, 83_616, 16_368, Some(0)),
            (3, 83_632, 16_352, Some(0)),
            (10, 83_744, 16_240, Some(0)),
            (50, 84_384, 15_600, Some(0)),
        ],
        "4.1.8" => [
            (1, 100_000, 16_384, Some(0)),
            (2, 97_952, 16_368, Some(0)),
            (3, 96_162, 16_352, Some(0)),
            (10, 88_596, 16_240, Some(0)),
            (50, 84_384, 15_600, Some(0)),
        ],
        "4.1.22" => [
            (1, 100_000, 2048, Some(0)),
            (2, 99_744, 2032, None),
            (3, 99_522, 2016, None),
            (10, 98_622, 1904, None),
            (50, 98_720, 1264, None),
        ],
        "4.1.38" => [
            (1, 100_000, 2048, Some(0)),
            (2, 99_744, 2032, None),
            (3, 99_522, 2032, None),
            (10, 98_578, 2032, None),
            (50, 97_971, 2032, None),
        ],
        "4.1.44" => [
            (1, 100_000, 2048, Some(0)),
            (2, 99_772, 2032, None),
            (3, 99_752, 2032, None),
            (10, 99_749, 2032, None),
            (50, 99_749, 2032, None),
        ],
        "4.1.66" => [
            (1, 100_000, 2048, Some(0)),
            (2, 99_772, 2032, None),
            (3, 99_572, 2032, None),
            (10, 98_671, 2032, None),
            (50, 97_974, 2032, None),
        ],
        "4.1.71" | "4.1.88" | "4.1.128" | "4.2.7" => [
            (1, 100_000, 4096, None),
            (2, 95_904, 4096, None),
            (3, 95_904, 4096, None),
            (10, 95_904, 4096, None),
            (50, 95_904, 4096, None),
        ],
        other => panic!("no vector for {other}"),
    };
    let bench = Bench::<P>::new(netty(version), 2);
    let (mut at, mut created) = (0, 0);
    for (number, new, retained, available) in rows {
        while at < number {
            created = bench.total().created;
            round(&bench, 100_000);
            at += 1;
        }
        let total = bench.total();
        assert_eq!((total.created - created, total.retained), (new, retained), "Netty {version}, round {number}");
        if let Some(available) = available {
            assert_eq!(total.shared_available, available, "Netty {version}, round {number}");
        }
    }
}

/// G2: a steady window of `w` objects, 20,000 times: (rounds, created, retained, available) where recorded.
fn g2<P: Platform>(version: &str) {
    type Row = (usize, Option<(u64, u64)>, Option<u64>);
    let (one, hundred): (&[Row], Row) = match version {
        "4.1.4" => (
            &[(10_000, Some((1, 1)), Some(6384)), (20_000, Some((3616, 0)), Some(0))],
            (20_000, Some((1_592_464, 0)), Some(0)),
        ),
        "4.1.8" => (
            &[
                (100, None, Some(16_272)),
                (1000, None, Some(15_376)),
                (10_000, None, Some(6384)),
                (20_000, Some((3616, 0)), Some(0)),
            ],
            (20_000, Some((1_593_157, 0)), Some(0)),
        ),
        "4.1.22" | "4.1.37" => (&[(20_000, Some((17_952, 0)), Some(0))], (20_000, Some((1_951_557, 0)), Some(0))),
        "4.1.38" => (&[(20_000, Some((1, 1)), Some(2032))], (20_000, Some((793, 100)), Some(1936))),
        "4.1.44" => (&[(20_000, Some((19_753, 0)), Some(2032))], (20_000, Some((1_973_333, 11)), Some(2032))),
        "4.1.66" => (&[(20_000, Some((1, 1)), Some(2032))], (20_000, Some((8020, 100)), Some(1936))),
        "4.1.71" | "4.1.88" | "4.1.128" | "4.2.7" => {
            (&[(20_000, Some((1, 1)), None)], (20_000, Some((793, 100)), None))
        }
        other => panic!("no vector for {other}"),
    };
    for (window, rows) in [(1, one), (100, &[hundred])] {
        let bench = Bench::<P>::new(netty(version), 2);
        let mut at = 0;
        for &(rounds, counts, available) in rows {
            while at < rounds {
                round(&bench, window);
                at += 1;
            }
            let total = bench.total();
            if let Some(counts) = counts {
                assert_eq!(
                    (total.created, total.retained),
                    counts,
                    "Netty {version}, window {window}, {rounds} rounds"
                );
            }
            if let Some(available) = available {
                assert_eq!(total.shared_available, available, "Netty {version}, window {window}, {rounds} rounds");
            }
        }
    }
}

/// One round of G3: item j of thread i goes to loop (i + j) mod `loops`; the loops drain one after the other.
fn burst<P: Platform>(bench: &Bench<P>, threads: usize, loops: usize, items: usize) {
    let mut queues: Vec<Items<P>> = (0..loops).map(|_| Vec::new()).collect();
    for i in 0..threads {
        let recycler = bench.recycler.clone();
        let parts = bench.crew.run(i, move || {
            let mut parts: Vec<Items<P>> = (0..loops).map(|_| Vec::new()).collect();
            for j in 0..items {
                parts[(i + j) % loops].push(recycler.get());
            }
            parts
        });
        for (queue, part) in queues.iter_mut().zip(parts) {
            queue.extend(part);
        }
    }
    for (l, queue) in queues.into_iter().enumerate() {
        bench.recycle(threads + l, queue);
    }
}

/// What G3 gives: retained after round 1, side queues and links then, created in round 2, and (round, retained) later.
struct Burst {
    retained: u64,
    queues: Option<(u64, Option<u64>)>,
    created: u64,
    later: Option<(u64, u64)>,
}

fn a(retained: u64, queues: u64, links: u64, created: u64) -> Burst {
    Burst { retained, queues: Some((queues, Some(links))), created, later: None }
}

fn b(retained: u64, created: u64, later: Option<(u64, u64)>) -> Burst {
    Burst { retained, queues: None, created, later }
}

/// Threads, loops, items a thread: the columns of G3.
const COLUMNS: [(usize, usize, usize); 4] = [(200, 16, 5000), (200, 16, 20_000), (16, 16, 60_000), (16, 1, 60_000)];

/// Index of the column of 4,000,000 objects.
const LARGEST: usize = 1;

/// What G3 gives, column by column.
fn bursts(version: &str) -> [Burst; 4] {
    match version {
        "4.1.2" => [
            a(1_000_000, 3200, 64_000, 0),
            a(4_000_000, 3200, 252_800, 0),
            a(960_000, 256, 60_160, 0),
            a(960_000, 16, 60_000, 0),
        ],
        "4.1.3" => [a(1_000_000, 3200, 64_000, 0), b(4_000_000, 0, None), b(960_000, 0, None), b(960_000, 0, None)],
        "4.1.4" => [
            a(1_000_000, 3200, 64_000, 0),
            a(3_243_200, 2600, 204_800, 756_800),
            a(261_504, 80, 16_384, 698_496),
            a(262_144, 16, 16_384, 697_856),
        ],
        "4.1.8" => [
            a(80_000, 256, 5120, 990_000),
            a(319_456, 256, 20_176, 3_960_064),
            a(261_504, 80, 16_384, 927_312),
            a(262_144, 16, 16_384, 927_232),
        ],
        "4.1.22" | "4.1.38" => [
            a(74_096, 256, 4736, 990_717),
            a(260_352, 256, 16_384, 3_967_360),
            a(32_768, 16, 2048, 955_904),
            a(32_768, 16, 2048, 955_904),
        ],
        "4.1.44" | "4.1.66" => [
            a(8960, 256, 768, 998_992),
            a(33_872, 256, 2192, 3_996_224),
            a(31_808, 80, 2048, 956_464),
            a(32_768, 16, 2048, 956_352),
        ],
        "4.1.71" | "4.1.88" | "4.1.128" => [
            b(125_000, 875_000, Some((5, 487_200))),
            b(500_000, 3_500_000, Some((2, 819_200))),
            b(65_536, 894_464, None),
            b(65_536, 894_464, None),
        ],
        other => panic!("no vector for {other}"),
    }
}

/// G3: the riddle's burst, without the largest column.
fn g3<P: Platform>(version: &str) {
    for (column, expected) in bursts(version).into_iter().enumerate().filter(|(column, _)| *column != LARGEST) {
        riddle::<P>(version, column, &expected);
    }
}

/// G3: its largest column.
fn g3_largest<P: Platform>(version: &str) {
    riddle::<P>(version, LARGEST, &bursts(version)[LARGEST]);
}

fn riddle<P: Platform>(version: &str, column: usize, expected: &Burst) {
    let (threads, loops, items) = COLUMNS[column];
    let what = format!("Netty {version}, {threads} threads, {loops} loops, {items} items");
    let bench = Bench::<P>::new(netty(version), threads + loops);
    burst(&bench, threads, loops, items);
    let first = bench.total();
    assert_eq!(first.retained, expected.retained, "{what}: retained after round 1");
    if let Some((queues, links)) = expected.queues {
        assert_eq!((first.queues, Some(first.links)), (queues, links), "{what}: side queues and links");
    }
    burst(&bench, threads, loops, items);
    assert_eq!(bench.total().created - first.created, expected.created, "{what}: created in round 2");
    if let Some((rounds, retained)) = expected.later {
        for _ in 2..rounds {
            burst(&bench, threads, loops, items);
        }
        assert_eq!(bench.total().retained, retained, "{what}: retained after round {rounds}");
    }
}

/// G4: a burst of 20,000, then one in flight: retained after so many operations more.
fn g4<P: Platform>(version: &str) {
    const AFTER: [usize; 12] = [0, 1, 2, 3, 16, 100, 500, 1000, 2000, 2048, 5000, 40_000];
    let expected: [u64; 12] = match version {
        "4.1.2" => [20_000; 12],
        "4.1.4" => [16_384; 12],
        "4.1.8" => [16_384, 16_370, 16_370, 16_356, 16_272, 15_684, 12_884, 9384, 2384, 2048, 2048, 2048],
        "4.1.38" => [2048, 2034, 2034, 2020, 1936, 1348, 256, 256, 256, 256, 256, 256],
        "4.1.44" => [2048, 2033, 2032, 2017, 1905, 1163, 0, 0, 0, 0, 0, 0],
        "4.1.66" => [2048, 2034, 2034, 2020, 1920, 1252, 228, 228, 228, 228, 228, 228],
        "4.1.71" | "4.1.88" | "4.1.128" => [2500; 12],
        other => panic!("no vector for {other}"),
    };
    let bench = Bench::<P>::new(netty(version), 2);
    round(&bench, 20_000);
    let mut at = 0;
    for (after, expected) in AFTER.into_iter().zip(expected) {
        while at < after {
            round(&bench, 1);
            at += 1;
        }
        assert_eq!(bench.total().retained, expected, "Netty {version}, {after} operations after the burst");
    }
}

/// G5: one thread gets and recycles 9,000: (created, retained, length of the array, of them in the batch) a round; then
/// the plateau of bursts of 1,000,000.
fn g5<P: Platform>(version: &str) {
    let rounds: &[(u64, u64, Option<u64>)] = match version {
        "4.1.4" => &[(9000, 9000, Some(16_384)), (0, 9000, Some(16_384))],
        "4.0.43" | "4.1.8" | "4.1.38" => {
            &[(9000, 1125, Some(2048)), (7875, 2110, Some(4096)), (6890, 2971, Some(4096))]
        }
        "4.1.44" | "4.1.66" => &[(9000, 1000, Some(1024)), (8000, 1889, Some(2048)), (7111, 2679, Some(4096))],
        "4.1.71" | "4.1.88" | "4.1.128" | "4.2.7" => &[(9000, 1125, None), (7875, 2110, None), (6890, 2971, None)],
        other => panic!("no vector for {other}"),
    };
    let batch = matches!(version, "4.1.88" | "4.1.128" | "4.2.7");
    let bench = Bench::<P>::new(netty(version), 1);
    let mut before = 0;
    for &(created, retained, array) in rounds {
        let items = bench.get(0, 9000);
        bench.recycle(0, items);
        let total = bench.total();
        assert_eq!((total.created - before, total.retained), (created, retained), "Netty {version}");
        if let Some(array) = array {
            assert_eq!(total.array_len, array, "Netty {version}: length of the array");
        } else {
            assert_eq!(total.own_len, if batch { 32 } else { 0 }, "Netty {version}: in the batch");
        }
        before = total.created;
    }
    let plateau = match version {
        "4.1.4" | "4.1.8" => 32_768,
        "4.1.88" | "4.1.128" | "4.2.7" => 4128,
        _ => 4096,
    };
    let bench = Bench::<P>::new(netty(version), 1);
    for _ in 0..3 {
        let items = bench.get(0, 1_000_000);
        bench.recycle(0, items);
    }
    assert_eq!(bench.total().retained, plateau, "Netty {version}: after bursts of 1,000,000");
}

/// The names that the owner gets after A, B and C each recycled `n` objects; it stops at the first new one.
fn order<P: Platform>(config: RecyclerConfig, n: usize) -> String {
    let bench = Bench::<P>::new(config, 4);
    let mut items = bench.get(0, 3 * n);
    for (number, item) in (1..).zip(&mut items) {
        **item = number;
    }
    for thread in 1..=3 {
        let rest = items.split_off(n);
        bench.recycle(thread, std::mem::replace(&mut items, rest));
    }
    let n = u32::try_from(n).expect("a small number");
    let mut names = Vec::new();
    let mut held = Vec::new(); // what was obtained stays in use meanwhile
    loop {
        let item = bench.get(0, 1).remove(0);
        let Some(number) = item.checked_sub(1) else { break };
        names.push(format!("{}{}", ["A", "B", "C"][(number / n) as usize], number % n));
        held.push(item);
    }
    bench.recycle(0, held);
    names.join(" ")
}

/// Names like `C15 C14 ... C0`.
fn names(thread: &str, numbers: impl Iterator<Item = u32>) -> String {
    numbers.map(|n| format!("{thread}{n}")).collect::<Vec<_>>().join(" ")
}

/// G6: the order in which objects come back.
fn g6<P: Platform>(version: &str) {
    let with = |ratio| RecyclerConfig { ratio, ..netty(version) };
    let (one, eight): (String, &str) = match version {
        "4.1.8" => {
            let part = |t| format!("{} {}", names(t, (0..16).rev()), names(t, (16..20).rev()));
            let one = ["C", "B", "A"].map(part).join(" ");
            (one, "C8 C0 C24 C16 C32 B8 B0 B24 B16 B32 A8 A0 A24 A16 A32")
        }
        "4.1.66" => ("C18 C0 B9 A18 A0".into(), "C0 B36"),
        "4.1.71" => {
            let one = ["A", "B", "C"].map(|t| names(t, 0..20)).join(" ");
            (one, "A0 A8 A16 A24 A32 B0 B8 B16 B24 B32 C0 C8 C16 C24 C32")
        }
        other => panic!("no vector for {other}"),
    };
    assert_eq!(order::<P>(with(1), 20), one, "Netty {version}, ratio 1");
    assert_eq!(order::<P>(with(8), 40), eight, "Netty {version}, ratio 8");
}

/// The vectors are also recorded for releases that behave like one below.
#[test]
fn releases_between_presets_behave_like_one() {
    let alike =
        [("4.0.43", "4.1.8"), ("4.1.5", "4.1.8"), ("4.1.21", "4.1.8"), ("4.1.43", "4.1.38"), ("4.1.70", "4.1.66")];
    for (version, preset) in alike {
        assert_eq!(netty(version), netty(preset), "Netty {version}");
    }
    assert_eq!(netty("4.2.2"), netty("4.1.128"));
}

/// A test a release, on threads.
macro_rules! on_std {
    ($vector:ident: $($name:ident $version:literal)*) => {
        mod on_std {
            $(#[test] fn $name() { crate::$vector::<::millpond_model::Std>($version); })*
        }
    };
}

/// A test a release, on the simulator: one thread after the other, and the ledger looks on.
macro_rules! on_sim {
    ($vector:ident: $($name:ident $version:literal)*) => {
        mod on_sim {
            $(#[test] fn $name() {
                ::millpond_tests::sim::soundly(&::millpond_tests::sim::in_turn(), || {
                    crate::$vector::<::millpond::engine::Sim>($version);
                });
            })*
        }
    };
}

macro_rules! on_both {
    ($vector:ident: $($rows:tt)*) => {
        mod $vector {
            on_std!($vector: $($rows)*);
            on_sim!($vector: $($rows)*);
        }
    };
}

on_both!(g1: v4_1_2 "4.1.2" v4_1_3 "4.1.3" v4_1_4 "4.1.4" v4_1_8 "4.1.8" v4_1_22 "4.1.22" v4_1_38 "4.1.38"
    v4_1_44 "4.1.44" v4_1_66 "4.1.66" v4_1_71 "4.1.71" v4_1_88 "4.1.88" v4_1_128 "4.1.128" v4_2_7 "4.2.7");
on_both!(g2: v4_1_4 "4.1.4" v4_1_8 "4.1.8" v4_1_22 "4.1.22" v4_1_37 "4.1.37" v4_1_38 "4.1.38" v4_1_44 "4.1.44"
    v4_1_66 "4.1.66" v4_1_71 "4.1.71" v4_1_88 "4.1.88" v4_1_128 "4.1.128" v4_2_7 "4.2.7");
on_both!(g3: v4_1_2 "4.1.2" v4_1_3 "4.1.3" v4_1_4 "4.1.4" v4_1_8 "4.1.8" v4_1_22 "4.1.22" v4_1_38 "4.1.38"
    v4_1_44 "4.1.44" v4_1_66 "4.1.66" v4_1_71 "4.1.71" v4_1_128 "4.1.128");
on_both!(g4: v4_1_2 "4.1.2" v4_1_4 "4.1.4" v4_1_8 "4.1.8" v4_1_38 "4.1.38" v4_1_44 "4.1.44" v4_1_66 "4.1.66"
    v4_1_71 "4.1.71" v4_1_128 "4.1.128");
on_both!(g5: v4_1_4 "4.1.4" v4_1_8 "4.1.8" v4_1_38 "4.1.38" v4_1_44 "4.1.44" v4_1_66 "4.1.66" v4_1_71 "4.1.71"
    v4_1_88 "4.1.88" v4_1_128 "4.1.128" v4_2_7 "4.2.7");
on_both!(g6: v4_1_8 "4.1.8" v4_1_66 "4.1.66" v4_1_71 "4.1.71");

mod g3_largest {
    on_std!(g3_largest: v4_1_2 "4.1.2" v4_1_3 "4.1.3" v4_1_4 "4.1.4" v4_1_8 "4.1.8" v4_1_22 "4.1.22" v4_1_38 "4.1.38"
        v4_1_44 "4.1.44" v4_1_66 "4.1.66" v4_1_71 "4.1.71" v4_1_128 "4.1.128");
    // Sixteen million operations take seconds: one release of each generation. All have the other columns.
    on_sim!(g3_largest: v4_1_66 "4.1.66" v4_1_71 "4.1.71");
}

/// The phases are hand-offs, so that the schedule changes no number.
#[test]
fn whatever_the_schedule() {
    for options in scheduled(&[Strategy::Random, Strategy::RoundRobin, Strategy::Pct { depth: 3 }], 4) {
        for version in ["4.1.8", "4.1.66", "4.1.71"] {
            soundly(&options, || g6::<Sim>(version));
        }
    }
    let options = Options { max_steps: u64::MAX, ..Options::default() };
    for version in ["4.1.8", "4.1.44", "4.1.128"] {
        soundly(&options, || g4::<Sim>(version));
    }
}
