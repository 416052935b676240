//! Nanoseconds a scheduling point, and executions a second, of the bare engine.
//!
//! `cargo bench -p millpond --bench points [-- NAME ...]`
//!
//! W2: four threads with a thousand `fetch_add` each on one word, `SeqCst`; W2a: the same, `AcqRel`. W3: two producers and two
//! consumers, a mutex around a queue, and parking. The last three are for what an execution costs by itself. The fastest
//! of nine rounds is told: what else the machine does can only make it slower.

use millpond::engine::{Facts, MemoryModel, Options, Record, Series, Sim, SimThread, Strategy, execute};
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, JoinOps, Lock, ThreadOps};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{self, AcqRel, SeqCst};
use std::time::Instant;

type Atomic = <Sim as Platform>::Atomic<u64>;
type Mutex<T> = <Sim as Platform>::Mutex<T>;
type Join = <Sim as Platform>::Join;

fn spawn(f: impl FnOnce() + Send + 'static) -> Join {
    Sim::spawn(String::new(), f).unwrap_or_else(|e| panic!("{e:?}"))
}

fn join(threads: impl IntoIterator<Item = Join>) {
    threads.into_iter().for_each(|t| t.join().unwrap_or_else(|e| panic!("{e:?}")));
}

/// `threads` threads with `n` operations on one word.
fn words(threads: usize, n: u64, order: Ordering) {
    let word = Arc::new(Atomic::new(0));
    let each = |_| {
        let word = Arc::clone(&word);
        spawn(move || {
            for _ in 0..n {
                word.fetch_add(1, order);
            }
        })
    };
    let all: Vec<Join> = (0..threads).map(each).collect();
    join(all);
}

struct Queue {
    items: VecDeque<u64>,
    waiting: Vec<SimThread>,
    left: u64,
}

/// Producers put, consumers take and park when there is nothing.
fn queue() {
    let queue = Arc::new(Mutex::new(Queue { items: VecDeque::new(), waiting: Vec::new(), left: 400 }));
    let mut all = Vec::new();
    for _ in 0..2 {
        let queue = Arc::clone(&queue);
        all.push(spawn(move || {
            for i in 0..200 {
                let mut q = queue.lock();
                q.items.push_back(i);
                let sleeper = q.waiting.pop();
                drop(q);
                if let Some(sleeper) = sleeper {
                    sleeper.unpark();
                }
            }
        }));
    }
    for _ in 0..2 {
        let queue = Arc::clone(&queue);
        all.push(spawn(move || {
            loop {
                let mut q = queue.lock();
                if q.items.pop_front().is_some() {
                    q.left -= 1;
                } else if q.left == 0 {
                    let others = std::mem::take(&mut q.waiting);
                    drop(q);
                    others.iter().for_each(ThreadOps::unpark);
                    return;
                } else {
                    q.waiting.push(Sim::current());
                    drop(q);
                    Sim::park();
                }
            }
        }));
    }
    join(all);
}

/// Nanoseconds of an execution in the fastest of nine rounds of `runs`, and the steps of one.
fn time(options: Options, runs: u64, program: impl Fn()) -> (f64, f64) {
    let mut series = Series::new(options);
    let mut rounds: Vec<(f64, f64)> = (0..9)
        .map(|round| {
            let (start, mut steps) = (Instant::now(), 0);
            for i in 0..runs {
                let brief = series.execute(round * runs + i, &program).unwrap_or_else(|e| panic!("{}", e.verdict));
                steps += brief.steps;
            }
            (start.elapsed().as_nanos() as f64 / runs as f64, steps as f64 / runs as f64)
        })
        .collect();
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    rounds[0]
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let base = Options { record: Record::Bare, keep_switches: false, ..Options::default() };
    let programs: [(&str, u64, fn()); 6] = [
        ("W2", 200, || words(4, 1000, SeqCst)),
        ("W2a", 200, || words(4, 1000, AcqRel)),
        ("W3", 200, queue),
        ("empty", 200_000, || {}),
        ("2x1", 50_000, || words(2, 1, SeqCst)),
        ("3x10", 20_000, || words(3, 10, SeqCst)),
    ];
    println!("{:<18} {:>12} {:>10} {:>10} {:>14}", "", "ns/execution", "steps", "ns/step", "executions/s");
    for (name, runs, program) in programs {
        let facts = Facts::of(&execute(&Facts::pilot(&base), program));
        let strategies = [
            Strategy::Random,
            Strategy::Pct { depth: 3 },
            Strategy::Pos,
            Strategy::Urw(Arc::clone(&facts.profile)),
            Strategy::Surw(Arc::clone(&facts.profile)),
            Strategy::Delays([3, 7].into()),
            Strategy::RunOn,
        ];
        let plain = strategies.into_iter().map(|strategy| (strategy, MemoryModel::Interleaving));
        let surw = Strategy::Surw(Arc::clone(&facts.profile));
        let others =
            [(Strategy::Random, MemoryModel::Races), (Strategy::Random, MemoryModel::Weak), (surw, MemoryModel::Weak)];
        for (strategy, memory) in plain.chain(others) {
            let memory_name = if memory == MemoryModel::Interleaving { String::new() } else { format!("+{memory:?}") };
            let label = format!("{name} {}{memory_name}", strategy.to_string().split(' ').next().unwrap_or_default());
            if !wanted.is_empty() && !wanted.iter().any(|w| label.to_lowercase().starts_with(&w.to_lowercase())) {
                continue;
            }
            let options = Options { strategy, memory, pct_steps: facts.choices, ..base.clone() };
            let (ns, steps) = time(options, runs, program);
            println!("{label:<18} {ns:>12.0} {steps:>10.0} {:>10.1} {:>14.0}", ns / steps.max(1.0), 1e9 / ns);
        }
    }
}
