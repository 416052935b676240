//! The engine runs programs: deterministically, replayably, in parallel.

use millpond::engine::{Execution, Granularity, Options, Sim, Strategy, Switch, Verdict, execute};
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

type Atomic = <Sim as Platform>::Atomic<u64>;
type Mutex<T> = <Sim as Platform>::Mutex<T>;

/// A program with all the usual operations: three threads, a mutex, atomics, a sleep, yields.
fn program() {
    let word = Arc::new(Atomic::new(0));
    let list = Arc::new(Mutex::new(Vec::new()));
    let joins: Vec<_> = (0..3_u64)
        .map(|i| {
            let (word, list) = (Arc::clone(&word), Arc::clone(&list));
            Sim::spawn(format!("worker-{i}"), move || {
                for k in 0..20 {
                    word.fetch_add(i + k, AcqRel);
                    if k % 5 == i {
                        list.lock().push(i);
                        Sim::sleep(Duration::from_millis(i));
                    }
                    if k % 7 == 0 {
                        Sim::yield_now();
                    }
                }
                word.store(word.load(Acquire) + 1, Release);
                Sim::boundary();
            })
            .expect("there is room for a thread")
        })
        .collect();
    for join in joins {
        join.join().expect("no panic");
    }
    assert!(word.load(Relaxed) > 0);
    assert_eq!(list.lock().len(), 12);
}

fn strategies() -> [Strategy; 4] {
    [Strategy::Random, Strategy::RoundRobin, Strategy::RunOn, Strategy::Pct { depth: 3 }]
}

fn all_options() -> Vec<Options> {
    let mut all = Vec::new();
    for strategy in strategies() {
        for granularity in [Granularity::Operation, Granularity::Task] {
            for index in 0..20 {
                all.push(Options {
                    strategy: strategy.clone(),
                    granularity,
                    index,
                    pct_steps: 200,
                    ..Options::default()
                });
            }
        }
    }
    all
}

fn run(options: &Options) -> Execution {
    let execution = execute(options, program);
    assert!(matches!(execution.verdict, Verdict::Finished), "{options:?}: {:?}", execution.verdict);
    execution
}

#[test]
fn equal_options_give_equal_digests() {
    for options in all_options() {
        let (first, second) = (run(&options), run(&options));
        assert_eq!(first.digest, second.digest, "{options:?}");
        assert_eq!(first.switches, second.switches);
        assert_eq!((first.events, first.steps, first.now), (second.events, second.steps, second.now));
    }
}

#[test]
fn another_index_gives_another_digest() {
    let mut digests: Vec<u64> = (0..50).map(|index| run(&Options { index, ..Options::default() }).digest).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 50);
}

#[test]
fn eight_at_once_give_the_digests_they_give_alone() {
    let alone: Vec<u64> = all_options().iter().map(|o| run(o).digest).collect();
    std::thread::scope(|scope| {
        let handles: Vec<_> =
            (0..8).map(|_| scope.spawn(|| all_options().iter().map(|o| run(o).digest).collect::<Vec<_>>())).collect();
        for handle in handles {
            assert_eq!(handle.join().expect("no panic"), alone);
        }
    });
}

#[test]
fn a_replay_of_the_switches_gives_the_digest() {
    for options in all_options() {
        let recorded = run(&options);
        let list: Arc<[Switch]> = recorded.switches.clone().into();
        let replayed = run(&Options { strategy: Strategy::Replay(Arc::clone(&list)), ..options.clone() });
        assert_eq!(replayed.digest, recorded.digest, "{options:?}");
        assert_eq!(replayed.switches, recorded.switches);
        let deviated = run(&Options { strategy: Strategy::Deviate(list), ..options.clone() });
        assert_eq!(deviated.digest, recorded.digest, "{options:?}");
    }
}
