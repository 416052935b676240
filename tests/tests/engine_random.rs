//! Streams of random numbers, and the strategies that draw from them.

use millpond::engine::{Generator, Options, Sim, Strategy, Stream, Verdict, draw, execute};
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, JoinOps};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

type Atomic = <Sim as Platform>::Atomic<u64>;

const STREAMS: [Stream; 4] = [Stream::Schedule, Stream::Workload, Stream::Faults, Stream::LeakSampling];

#[test]
fn a_stream_is_chacha8_keyed_by_seed_index_and_stream() {
    for (number, stream) in STREAMS.into_iter().enumerate() {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&0xfeed_u64.to_le_bytes());
        key[8..16].copy_from_slice(&7_311_204_u64.to_le_bytes());
        key[16] = number as u8;
        key[24..].copy_from_slice(b"millpond");
        let mut expected = ChaCha8Rng::from_seed(key);
        let mut ours = Generator::new(0xfeed, 7_311_204, stream);
        for _ in 0..200 {
            assert_eq!(ours.next_u32(), expected.next_u32());
            assert_eq!(ours.next_u64(), expected.next_u64());
        }
    }
}

#[test]
fn a_bounded_draw_is_the_high_half_of_the_product() {
    // Lemire 2019, algorithm 5, written out with the remainder for every draw.
    let (mut ours, mut raw) = (Generator::new(1, 2, Stream::Workload), Generator::new(1, 2, Stream::Workload));
    for n in [1, 2, 3, 7, 1000, 1 << 31, (1 << 31) + 1, u32::MAX] {
        for _ in 0..500 {
            let expected = loop {
                let product = u64::from(raw.next_u32()) * u64::from(n);
                if product % (1 << 32) >= (1_u64 << 32) % u64::from(n) {
                    break (product >> 32) as u32;
                }
            };
            assert_eq!(ours.below(n), expected, "n = {n}");
        }
    }
    for n in [1, 10, 1 << 40, (1 << 63) + 12345, u64::MAX] {
        for _ in 0..500 {
            assert!(ours.below_u64(n) < n);
        }
    }
}

#[test]
fn bounded_draws_are_uniform() {
    let mut generator = Generator::new(3, 0, Stream::Workload);
    let mut counts = [0_u32; 5];
    for _ in 0..50_000 {
        counts[generator.below(5) as usize] += 1;
    }
    // 10,000 each, standard deviation 89.
    assert!(counts.iter().all(|c| (9_550..10_450).contains(c)), "{counts:?}");
}

#[test]
fn how_much_is_drawn_from_one_stream_changes_no_other() {
    let program = |drawn: u32, stream: Stream| {
        let mut seen = Vec::new();
        let execution = execute(&Options { seed: 5, ..Options::default() }, || {
            let word = Arc::new(Atomic::new(0));
            let theirs = Arc::clone(&word);
            let t = Sim::spawn("t".into(), move || {
                for _ in 0..20 {
                    theirs.fetch_add(1, Relaxed);
                }
            });
            for _ in 0..20 {
                word.fetch_add(1, Relaxed);
                for _ in 0..drawn {
                    draw(stream).next_u64();
                }
            }
            t.expect("room").join().expect("no panic");
            seen = STREAMS[1..].iter().filter(|s| **s != stream).map(|s| draw(*s).next_u64()).collect();
        });
        assert!(matches!(execution.verdict, Verdict::Finished));
        (execution.digest, seen)
    };
    for stream in [Stream::Workload, Stream::Faults, Stream::LeakSampling] {
        assert_eq!(program(0, stream), program(1000, stream));
    }
}

/// Probability of each order of the marks of two threads, when each decision is a fair coin. The main thread has two
/// operations, the other one has to start and then has two.
fn expected(main: usize, other: usize, order: &str, p: f64, into: &mut BTreeMap<String, f64>) {
    let mut next = Vec::new();
    if main < 2 {
        next.push((main + 1, other, format!("{order}m")));
    }
    if other < 3 {
        next.push((main, other + 1, if other == 0 { order.to_string() } else { format!("{order}t") }));
    }
    if next.is_empty() {
        *into.entry(order.to_string()).or_default() += p;
    }
    // When the main thread has no operation left it still has to arrive at its join: that is a choice with no mark, which
    // changes no order.
    let share = p / next.len() as f64;
    for (main, other, order) in next {
        expected(main, other, &order, share, into);
    }
}

#[test]
fn random_is_the_uniform_walk() {
    let runs = 40_000;
    let mut seen = BTreeMap::<String, u32>::new();
    for index in 0..runs {
        let order = Arc::new(std::sync::Mutex::new(String::new()));
        let theirs = Arc::clone(&order);
        execute(&Options { index, ..Options::default() }, || {
            let word = Arc::new(Atomic::new(0));
            let mine = Arc::clone(&word);
            let log = Arc::clone(&theirs);
            let t = Sim::spawn("t".into(), move || {
                for _ in 0..2 {
                    mine.fetch_add(1, Relaxed);
                    log.lock().expect("no panic").push('t');
                }
            });
            for _ in 0..2 {
                word.fetch_add(1, Relaxed);
                theirs.lock().expect("no panic").push('m');
            }
            t.expect("room").join().expect("no panic");
        });
        let order = order.lock().expect("no panic").clone();
        *seen.entry(order).or_default() += 1;
    }
    let mut probabilities = BTreeMap::new();
    expected(0, 0, "", 1.0, &mut probabilities);
    assert_eq!(probabilities.len(), 6);
    assert!(seen.keys().eq(probabilities.keys()));
    for (order, p) in probabilities {
        let (mean, sigma) = (p * runs as f64, (p * (1.0 - p) * runs as f64).sqrt());
        let count = f64::from(seen[&order]);
        assert!((count - mean).abs() < 5.0 * sigma, "{order}: {count}, expected {mean} +- {sigma}");
    }
}

/// A bug of depth 2: the reader must come between two adjacent writes, somewhere in the middle of many operations.
fn window(found: &mut bool) {
    let word = Arc::new(Atomic::new(0));
    let theirs = Arc::clone(&word);
    let writer = Sim::spawn("writer".into(), move || {
        for i in 0..20 {
            theirs.store(u64::from(i == 10), Release);
        }
    });
    let reader = Sim::spawn("reader".into(), move || assert_eq!(word.load(Acquire), 0, "found"));
    writer.expect("room").join().expect("no panic");
    let _ = reader.map(|r| r.join());
    *found = false;
}

#[test]
fn pct_finds_a_bug_of_depth_2_as_often_as_promised_and_with_depth_1_never() {
    let measured = execute(&Options { strategy: Strategy::Pct { depth: 1 }, ..Options::default() }, || {
        window(&mut false);
    });
    let (threads, steps) = (3.0, measured.choices as f64);
    assert!(steps > 20.0, "{steps}");
    let runs = (threads * steps * 200.0) as u64;
    let hits = |depth| {
        (0..runs)
            .filter(|index| {
                let strategy = Strategy::Pct { depth };
                let pct_steps = measured.choices;
                let mut found = true;
                execute(&Options { strategy, pct_steps, index: *index, ..Options::default() }, || window(&mut found));
                found
            })
            .count()
    };
    assert_eq!(hits(1), 0);
    // At least 200 expected; 57 is four standard deviations.
    let found = hits(2);
    assert!(found >= 200 - 57, "{found} of {runs}");
}

#[test]
fn pct_can_continue_two_demoted_threads_in_either_order() {
    // A stops, B stops, C runs, then B before A: unreachable if change points got their priorities in order of time.
    let mut orders = BTreeMap::<String, u32>::new();
    for index in 0..20_000 {
        let log = Arc::new(std::sync::Mutex::new(String::new()));
        let theirs = Arc::clone(&log);
        execute(&Options { strategy: Strategy::Pct { depth: 3 }, pct_steps: 12, index, ..Options::default() }, || {
            let word = Arc::new(Atomic::new(0));
            for name in ['A', 'B', 'C'] {
                let (word, log) = (Arc::clone(&word), Arc::clone(&theirs));
                Sim::spawn(name.into(), move || {
                    for _ in 0..2 {
                        word.fetch_add(1, Relaxed);
                        log.lock().expect("no panic").push(name);
                    }
                })
                .expect("room");
            }
        });
        let order = log.lock().expect("no panic").clone();
        *orders.entry(order).or_default() += 1;
    }
    assert!(orders.contains_key("ABCCAB") && orders.contains_key("ABCCBA"), "{orders:?}");
}

#[test]
fn pct_lets_a_thread_run_to_its_end_however_many_there_are() {
    // Nothing changes with depth 1, and nobody waits: the operations of a thread are never interrupted. 100 threads are more than a word
    // has bits.
    for threads in [2, 10, 100] {
        let mut orders = BTreeSet::new();
        for index in 0..20 {
            let log = Arc::new(std::sync::Mutex::new(Vec::new()));
            let theirs = Arc::clone(&log);
            let options =
                Options { strategy: Strategy::Pct { depth: 1 }, pct_steps: 1000, index, ..Options::default() };
            execute(&options, || {
                let word = Arc::new(Atomic::new(0));
                for number in 0..threads {
                    let (word, log) = (Arc::clone(&word), Arc::clone(&theirs));
                    Sim::spawn(String::new(), move || {
                        for _ in 0..3 {
                            word.fetch_add(1, Relaxed);
                            log.lock().expect("no panic").push(number);
                        }
                    })
                    .expect("room");
                }
            });
            let mut log = log.lock().expect("no panic").clone();
            assert_eq!(log.len(), 3 * threads);
            log.dedup();
            assert_eq!(log.len(), threads, "{log:?}");
            orders.insert(log);
        }
        // Of two threads there are two orders, and 20 executions all have the same one of them once in 2^19.
        assert_eq!(orders.len().min(2), 2, "{threads} threads");
    }
}
