//! The exhaustive search keeps its promise: every schedule within the bound, each once, and no other.
//!
//! What is counted: an atomic operation, a lock, an unlock, a spawn and a join are one scheduling point each, before the
//! operation. A thread that has not begun does so when it is first chosen, and comes to its first point: a preemption there
//! is a schedule of its own, although it has done nothing. So a thread of n operations is n + 1 *pieces* that others can run
//! between. A lock that is taken and a join of a live thread block, which is no preemption; the end of a thread is none.

use millpond::engine::{
    DFS_THREADS, Execution, Exhaustion, Options, Search, Sim, SimGuard, Strategy, Switch, Verdict, execute, exhaust,
    exhaust_with,
};
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

type Atomic = <Sim as Platform>::Atomic<u64>;
type Mutex<T> = <Sim as Platform>::Mutex<T>;

/// More preemptions than any program here has room for.
const ALL: u32 = 1000;

fn within(preemptions: u32) -> Options {
    Options { strategy: Strategy::Dfs { preemptions }, ..Options::default() }
}

/// All schedules; each must finish.
fn all(preemptions: u32, program: impl FnMut()) -> Exhaustion {
    let reached = exhaust(&within(preemptions), u64::MAX, program).unwrap_or_else(|failure| panic!("{failure:?}"));
    assert!(reached.complete);
    reached
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> <Sim as Platform>::Join {
    Sim::spawn(name.to_string(), f).expect("room")
}

/// What a thread of a little program does, and the model below simulates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Do {
    /// An atomic operation.
    Step,
    /// Start this thread.
    Spawn(usize),
    /// Wait for its end.
    Join(usize),
    Lock(usize),
    Unlock(usize),
}

use Do::{Join, Lock as Take, Spawn, Step, Unlock};

/// Threads by number; 0 is main.
type Program = Vec<Vec<Do>>;

const LOCKS: usize = 2;

/// A thread of the simulator that does what the program says.
fn play(program: &Arc<Program>, me: usize, word: &Arc<Atomic>, locks: &Arc<[Mutex<()>; LOCKS]>) {
    let mut joins: Vec<Option<<Sim as Platform>::Join>> = program.iter().map(|_| None).collect();
    let mut held: [Option<SimGuard<'_, ()>>; LOCKS] = [const { None }; LOCKS];
    for op in &program[me] {
        match *op {
            Step => {
                word.fetch_add(1, SeqCst);
            }
            Spawn(child) => {
                let (program, word, locks) = (Arc::clone(program), Arc::clone(word), Arc::clone(locks));
                joins[child] = Some(spawn("child", move || play(&program, child, &word, &locks)));
            }
            Join(child) => joins[child].take().expect("a child").join().expect("no panic"),
            Take(lock) => held[lock] = Some(locks[lock].lock()),
            Unlock(lock) => held[lock] = None,
        }
    }
}

fn start(program: &Arc<Program>) {
    play(program, 0, &Arc::new(Atomic::new(0)), &Arc::new(std::array::from_fn(|_| Mutex::new(()))));
}

/// Schedules, and how many of them end in a deadlock.
type Count = (u64, u64);

fn count(program: &Program, preemptions: u32) -> Count {
    let program = Arc::new(program.clone());
    let mut deadlocks = 0;
    let reached = exhaust_with(
        &within(preemptions),
        u64::MAX,
        || start(&program),
        |_, execution| {
            match execution.verdict {
                Verdict::Finished => {}
                Verdict::Deadlock { .. } => deadlocks += 1,
                other => panic!("{other:?}"),
            }
            ControlFlow::Continue(())
        },
    );
    assert!(reached.complete);
    (reached.schedules, deadlocks)
}

/// The same threads as numbers, to count their schedules by trying each: an independent model of what a schedule is.
#[derive(Clone)]
struct Model<'a> {
    program: &'a Program,
    next: Vec<usize>,
    /// Started and not ended.
    alive: Vec<bool>,
    started: Vec<bool>,
    blocked: Vec<Option<Do>>,
    /// Has passed the point of its next operation.
    past: Vec<bool>,
    holder: [Option<usize>; LOCKS],
    left: u32,
}

impl<'a> Model<'a> {
    fn count(program: &'a Program, preemptions: u32) -> Count {
        let n = program.len();
        let mut model = Self {
            program,
            next: vec![0; n],
            alive: vec![false; n],
            started: vec![false; n],
            blocked: vec![None; n],
            past: vec![false; n],
            holder: [None; LOCKS],
            left: preemptions,
        };
        (model.alive[0], model.started[0]) = (true, true);
        model.run(0)
    }

    fn runnable(&self) -> impl Iterator<Item = usize> {
        (0..self.program.len()).filter(|t| self.alive[*t] && self.blocked[*t].is_none())
    }

    /// The schedules in which `me` runs now.
    fn run(mut self, me: usize) -> Count {
        let mut sum = (0, 0);
        let mut add = |(schedules, deadlocks): Count| sum = (sum.0 + schedules, sum.1 + deadlocks);
        loop {
            let Some(op) = self.program[me].get(self.next[me]).copied() else {
                self.alive[me] = false;
                self.wake(Join(me));
                add(self.any());
                return sum;
            };
            if !std::mem::replace(&mut self.past[me], true) && self.left > 0 {
                for other in self.runnable().filter(|other| *other != me) {
                    let mut preempted = self.clone();
                    preempted.left -= 1;
                    add(preempted.run(other));
                }
            }
            let waits = match op {
                Join(child) => self.alive[child],
                Take(lock) => self.holder[lock].is_some(),
                _ => false,
            };
            if waits {
                self.blocked[me] = Some(op);
                add(self.any());
                return sum;
            }
            match op {
                Spawn(child) => (self.alive[child], self.started[child]) = (true, true),
                Take(lock) => self.holder[lock] = Some(me),
                Unlock(lock) => {
                    self.holder[lock] = None;
                    self.wake(Take(lock));
                }
                Step | Join(_) => {}
            }
            self.next[me] += 1;
            self.past[me] = false;
        }
    }

    fn wake(&mut self, what: Do) {
        for wait in self.blocked.iter_mut().filter(|wait| **wait == Some(what)) {
            *wait = None;
        }
    }

    /// The schedules in which somebody runs now, whoever it is.
    fn any(&self) -> Count {
        if self.runnable().next().is_none() {
            return (1, u64::from(self.alive.contains(&true)));
        }
        let each = self.runnable().map(|t| self.clone().run(t));
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

fn steps(n: usize) -> Vec<Do> {
    vec![Step; n]
}

fn choose(n: u64, k: u64) -> u64 {
    (1..=k).fold(1, |product, i| product * (n - k + i) / i)
}

/// Main starts a thread of `theirs` operations, does `mine` and joins it.
fn two_threads(mine: usize, theirs: usize) -> Program {
    vec![[vec![Spawn(1)], steps(mine), vec![Join(1)]].concat(), steps(theirs)]
}

#[test]
fn two_threads_have_as_many_schedules_as_paths_through_a_grid() {
    for (mine, theirs) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (7, 6)] {
        // main: its operations and the join; the other: its beginning and its operations
        let (p, q) = (mine as u64 + 1, theirs as u64 + 1);
        assert_eq!(count(&two_threads(mine, theirs), ALL), (choose(p + q, p), 0), "{mine} {theirs}");
    }
}

#[test]
fn two_threads_with_few_preemptions_have_as_many_as_the_formula_says() {
    for (mine, theirs) in [(0, 0), (1, 1), (2, 3), (5, 4), (30, 40)] {
        // Places to preempt main: before each of its operations and before the join. The other one: before each operation.
        let (m, t) = (mine as u64 + 1, theirs as u64);
        let program = two_threads(mine, theirs);
        assert_eq!(count(&program, 0).0, 1);
        assert_eq!(count(&program, 1).0, 1 + m, "{mine} {theirs}");
        // the second preemption hits the other one: main goes on to its end
        assert_eq!(count(&program, 2).0, 1 + m + m * t, "{mine} {theirs}");
        // the third hits main again, at any of its points after the first
        assert_eq!(count(&program, 3).0, 1 + m + m * t + m * (m - 1) / 2 * t, "{mine} {theirs}");
    }
}

#[test]
fn three_threads_have_as_many_schedules_as_words() {
    // main starts two threads and does `k` operations; it joins nobody. The first may do j of its b pieces before the second is
    // started: then as many as there are words with k, b - j and c letters.
    let factorial = |n: usize| (1..=n as u64).product::<u64>();
    for (k, b, c) in [(0, 1, 1), (1, 2, 2), (2, 2, 3), (2, 3, 2), (3, 3, 2)] {
        let program = vec![[vec![Spawn(1), Spawn(2)], steps(k)].concat(), steps(b - 1), steps(c - 1)];
        let words = |j: usize| factorial(k + b - j + c) / (factorial(k) * factorial(b - j) * factorial(c));
        let expected = (0..=b).map(words).sum::<u64>();
        assert_eq!(count(&program, ALL), (expected, 0), "{k} {b} {c}");
    }
}

#[test]
fn it_goes_on_after_an_execution_that_fails() {
    // The other panics in its last operation, whatever main has done by then: a path through the grid ends there.
    for (mine, theirs) in [(0, 1), (3, 1), (2, 4), (5, 3)] {
        let mut failed = 0;
        let program = || {
            let word = Arc::new(Atomic::new(0));
            let there = Arc::clone(&word);
            let other = spawn("other", move || {
                (1..theirs).for_each(|i| there.store(i, SeqCst));
                assert_eq!(there.swap(0, SeqCst), 1000, "planted");
            });
            (0..mine).for_each(|i| word.store(i, SeqCst));
            other.join().expect("no panic");
        };
        let reached = exhaust_with(&within(ALL), u64::MAX, program, |_, execution| {
            failed += u64::from(matches!(execution.verdict, Verdict::Panic { .. }));
            ControlFlow::Continue(())
        });
        // Main has done i of its p pieces, in any order with the other's first j; then the other fails. The sum over i:
        let (p, j) = (mine + 1, theirs);
        assert_eq!(
            (reached.schedules, failed),
            (choose(p + j + 1, j + 1), choose(p + j + 1, j + 1)),
            "{mine} {theirs}"
        );
        assert!(reached.complete);
    }
}

/// A program drawn from `seed`: main starts one or two threads, all of them step and lock.
fn drawn(seed: u64) -> Program {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    let threads = 2 + below(2) as usize;
    let mut program = Vec::new();
    for me in 0..threads {
        let mut ops = if me == 0 { (1..threads).map(Spawn).collect() } else { Vec::new() };
        let mut held: Vec<usize> = Vec::new();
        for _ in 0..below(if threads == 2 { 6 } else { 4 }) {
            let lock = below(LOCKS as u64) as usize;
            match below(4) {
                0 | 1 if held.contains(&lock) => {
                    held.retain(|l| *l != lock);
                    ops.push(Unlock(lock));
                }
                0 | 1 => {
                    held.push(lock);
                    ops.push(Take(lock));
                }
                _ => ops.push(Step),
            }
        }
        ops.extend(held.into_iter().map(Unlock));
        if me == 0 && below(3) > 0 {
            ops.extend((1..threads).map(Join));
        }
        program.push(ops);
    }
    program
}

#[test]
fn random_programs_have_as_many_schedules_as_a_model_counts() {
    let (mut schedules, mut deadlocks) = (0, 0);
    for seed in 0..150 {
        let program = drawn(seed);
        for preemptions in 0..=3 {
            let expected = Model::count(&program, preemptions);
            assert_eq!(count(&program, preemptions), expected, "seed {seed}, {preemptions} of {program:?}");
            schedules += expected.0;
            deadlocks += expected.1;
        }
    }
    assert!(schedules > 50_000 && deadlocks > 10, "{schedules} schedules, {deadlocks} deadlocks");
}

/// The values that `program` gives over all schedules.
fn outcomes<T: Ord>(preemptions: u32, mut program: impl FnMut() -> T) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    all(preemptions, || {
        seen.insert(program());
    });
    seen
}

#[test]
fn every_outcome_of_store_buffering_is_seen_and_no_other() {
    let program = || {
        let words: Arc<[Atomic; 2]> = Arc::new(std::array::from_fn(|_| Atomic::new(0)));
        let theirs = Arc::clone(&words);
        let read = Arc::new(Atomic::new(9));
        let there = Arc::clone(&read);
        let other = spawn("other", move || {
            theirs[1].store(1, SeqCst);
            there.store(theirs[0].load(SeqCst), SeqCst);
        });
        words[0].store(1, SeqCst);
        let mine = words[1].load(SeqCst);
        other.join().expect("no panic");
        (mine, read.load(SeqCst))
    };
    assert_eq!(outcomes(ALL, program), [(0, 1), (1, 0), (1, 1)].into());
    // Without a preemption main comes first; with one the other may.
    assert_eq!(outcomes(0, program), [(0, 1)].into());
    assert_eq!(outcomes(1, program), [(0, 1), (1, 0), (1, 1)].into());
}

#[test]
fn every_order_of_three_threads_is_seen_without_a_preemption() {
    let program = || {
        let list = Arc::new(Mutex::new(Vec::new()));
        let joins: Vec<_> = (0..3)
            .map(|i| {
                let list = Arc::clone(&list);
                spawn("worker", move || list.lock().push(i))
            })
            .collect();
        joins.into_iter().for_each(|join| join.join().expect("no panic"));
        list.lock().clone()
    };
    let orders = outcomes(0, program);
    assert_eq!(orders.len(), 6, "{orders:?}");
}

/// Two threads count in turn, `rounds` times each: a bug if every turn comes off.
fn planted(rounds: u64, main_first: bool) {
    let word = Arc::new(Atomic::new(0));
    let theirs = Arc::clone(&word);
    let (mine, others) = (u64::from(!main_first), u64::from(main_first));
    let go = move |word: &Atomic, mine: u64| {
        for round in 0..rounds {
            let _ = word.compare_exchange(2 * round + mine, 2 * round + mine + 1, SeqCst, SeqCst);
        }
    };
    let other = spawn("other", move || go(&theirs, others));
    go(&word, mine);
    other.join().expect("no panic");
    assert_ne!(word.load(SeqCst), 2 * rounds, "planted");
}

#[test]
fn a_planted_bug_is_found_with_as_many_preemptions_as_it_needs_and_not_with_fewer() {
    for rounds in 1..=3 {
        for main_first in [true, false] {
            // Main first: 2 x rounds turns, 2 x rounds - 1 changes; the last one is free, because main blocks in its join.
            // The other first: one change more, to it, and the last one is free again: the other has ended.
            let needed = 2 * rounds as u32 - 2 + u32::from(!main_first);
            let found = |preemptions| exhaust(&within(preemptions), u64::MAX, || planted(rounds, main_first));
            for fewer in 0..needed {
                assert!(found(fewer).expect("nothing").complete, "{rounds} {main_first}");
            }
            let failure = found(needed).expect_err("the bug");
            assert!(
                matches!(&failure.execution.verdict, Verdict::Panic { message, .. } if message.contains("planted"))
            );
            assert_eq!(failure.execution.preemptions, u64::from(needed));
            assert_eq!(failure.deviations.len(), needed as usize);
        }
    }
}

/// A program with all the usual operations.
fn mixed() {
    let word = Arc::new(Atomic::new(0));
    let list = Arc::new(Mutex::new(Vec::new()));
    let joins: Vec<_> = (0..2_u64)
        .map(|i| {
            let (word, list) = (Arc::clone(&word), Arc::clone(&list));
            spawn("worker", move || {
                word.fetch_add(i, SeqCst);
                list.lock().push(i);
                if i == 0 {
                    Sim::sleep(Duration::from_millis(1));
                }
                Sim::yield_now();
                word.fetch_add(1, SeqCst);
            })
        })
        .collect();
    while word.load(SeqCst) < 2 {
        Sim::spin_hint();
    }
    joins.into_iter().for_each(|join| join.join().expect("no panic"));
}

#[test]
fn each_schedule_comes_once_and_its_switches_replay_it() {
    let mut seen: BTreeSet<Vec<Switch>> = BTreeSet::new();
    let mut again = Vec::new();
    let reached = exhaust_with(&within(2), u64::MAX, mixed, |search, execution| {
        assert!(matches!(execution.verdict, Verdict::Finished), "{:?}", execution.verdict);
        assert!(execution.preemptions <= 2);
        assert!(seen.insert(execution.switches.clone()), "twice: {:?}", execution.switches);
        again.push((search.deviations().to_vec(), execution));
        ControlFlow::Continue(())
    });
    assert!(reached.complete && reached.schedules == seen.len() as u64);
    assert!(reached.schedules > 1000, "{reached:?}");
    for (deviations, execution) in again {
        let same = |strategy| {
            let replayed = execute(&Options { strategy, ..Options::default() }, mixed);
            assert_eq!(replayed.digest, execution.digest);
            assert_eq!(replayed.switches, execution.switches);
        };
        same(Strategy::Replay(execution.switches.clone().into()));
        same(Strategy::Deviate(deviations.into()));
    }
}

#[test]
fn the_first_schedule_is_that_of_run_on() {
    let alone = execute(&within(5), mixed);
    let run_on = execute(&Options { strategy: Strategy::RunOn, ..Options::default() }, mixed);
    assert_eq!((alone.digest, alone.switches), (run_on.digest, run_on.switches));
}

#[test]
fn the_same_schedules_come_in_the_same_order_on_every_os_thread() {
    let digests = || {
        let mut digests = Vec::new();
        let reached = exhaust_with(&within(1), u64::MAX, mixed, |_, execution| {
            digests.push(execution.digest);
            ControlFlow::Continue(())
        });
        (digests, reached)
    };
    let first = digests();
    assert_eq!(first, digests());
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..2).map(|_| scope.spawn(digests)).collect();
        others.into_iter().for_each(|other| assert_eq!(other.join().expect("no panic"), first));
    });
}

#[test]
fn a_limit_ends_it_and_is_not_complete_unless_it_is() {
    let program = two_threads(2, 2);
    let total = count(&program, ALL).0;
    let program = Arc::new(program);
    let limited = |limit| exhaust(&within(ALL), limit, || start(&program)).expect("nothing");
    assert_eq!((limited(0).schedules, limited(0).complete), (0, false));
    assert_eq!((limited(total - 1).schedules, limited(total - 1).complete), (total - 1, false));
    assert_eq!((limited(total).schedules, limited(total).complete), (total, true));
    // 1 spawn, 2 + 2 operations, 1 join; with the join's block or the other's end as a step, and main's end
    assert!((7..=9).contains(&limited(total).most_steps), "{:?}", limited(total));
}

#[test]
fn a_spin_loop_is_enumerated_to_its_end() {
    // The other waits for main's last store.
    let program = |operations: u64| {
        let word = Arc::new(Atomic::new(0));
        let theirs = Arc::clone(&word);
        let other = spawn("other", move || {
            while theirs.load(SeqCst) != 1000 {
                Sim::spin_hint();
            }
        });
        (0..operations).for_each(|i| word.store(i, SeqCst));
        word.store(1000, SeqCst);
        other.join().expect("no panic");
    };
    for n in 0..5 {
        assert_eq!(all(0, || program(n)).schedules, 1);
        // Main is preempted before one of its stores or before the join: the other looks once, and lets main go on.
        assert_eq!(all(1, || program(n)).schedules, 1 + n + 2, "{n}");
    }
    let most = all(ALL, || program(4));
    assert!(most.schedules > 100 && most.most_steps < 100, "{most:?}");
}

/// Two threads that spin for a third: `make_progress` says that each look of theirs changes a word nobody reads.
fn spinners(make_progress: bool) {
    let words: Arc<[Atomic; 2]> = Arc::new(std::array::from_fn(|_| Atomic::new(0)));
    let joins: Vec<_> = (0..2)
        .map(|_| {
            let words = Arc::clone(&words);
            spawn("spinner", move || {
                while words[0].load(SeqCst) == 0 {
                    if make_progress {
                        words[1].fetch_add(1, SeqCst);
                    }
                    Sim::yield_now();
                }
            })
        })
        .collect();
    Sim::yield_now();
    words[0].store(1, SeqCst);
    joins.into_iter().for_each(|join| join.join().expect("no panic"));
}

#[test]
fn threads_that_yield_to_one_another_let_the_third_go_on() {
    for make_progress in [false, true] {
        let without = all(0, || spinners(make_progress));
        // Each spinner looks at most twice before main has had its turn: the orders of that, and nothing else.
        assert!((3..=100).contains(&without.schedules) && without.most_steps < 40, "{without:?}");
        let one = all(1, || spinners(make_progress));
        assert!(one.schedules > without.schedules && one.most_steps < 60, "{one:?}");
    }
}

#[test]
fn a_yield_hides_no_outcome() {
    // The yield is not in a loop: the reader may go on after any step of the writer, before or after each store.
    let program = || {
        let word = Arc::new(Atomic::new(0));
        let theirs = Arc::clone(&word);
        let writer = spawn("writer", move || (1..=3).for_each(|i| theirs.store(i, SeqCst)));
        Sim::yield_now();
        let seen = word.load(SeqCst);
        writer.join().expect("no panic");
        seen
    };
    assert_eq!(outcomes(0, program), [3].into());
    // The writer comes to its first point before anything is stored, and can be preempted there.
    assert_eq!(outcomes(1, program), [0, 1, 2, 3].into());
}

#[test]
fn time_moves_only_when_nobody_can_run() {
    let program = || {
        let word = Arc::new(Atomic::new(0));
        let theirs = Arc::clone(&word);
        let other = spawn("other", move || {
            Sim::sleep(Duration::from_millis(1));
            theirs.store(1, SeqCst);
        });
        for _ in 0..3 {
            word.fetch_add(10, SeqCst);
        }
        let now = Sim::now();
        other.join().expect("no panic");
        now
    };
    assert_eq!(outcomes(ALL, program), [Duration::ZERO].into());
}

#[test]
fn a_program_that_is_not_deterministic_is_caught() {
    let executions = RefCell::new(0_usize);
    let mut verdicts = Vec::new();
    let reached = exhaust_with(
        &within(2),
        u64::MAX,
        || {
            let n = executions.replace_with(|n| *n + 1);
            start(&Arc::new(two_threads(3 - n.min(2), 3)));
        },
        |_, execution| {
            verdicts.push(execution.verdict.name());
            ControlFlow::Continue(())
        },
    );
    assert_eq!(verdicts.last(), Some(&"Diverged"), "{verdicts:?}");
    assert!(!reached.complete);
}

#[test]
fn an_execution_can_be_had_again() {
    let program = Arc::new(two_threads(2, 2));
    let mut search = Search::new(within(ALL));
    let mut digests = Vec::new();
    loop {
        let once: Execution = search.execute(|| start(&program));
        let again = search.execute(|| start(&program));
        assert_eq!(once.digest, again.digest);
        digests.push(once.digest);
        if !search.advance() {
            break;
        }
    }
    assert_eq!(search.reached().schedules, choose(6, 3));
    digests.sort_unstable();
    digests.dedup();
    assert!(digests.len() > 1);
}

#[test]
fn no_more_threads_than_a_word_has_bits() {
    let execution = execute(&within(0), || {
        let stay = || Sim::park();
        for _ in 1..DFS_THREADS {
            spawn("parked", stay);
        }
        assert!(Sim::spawn("one too many".to_string(), stay).is_err());
    });
    assert!(matches!(execution.verdict, Verdict::Deadlock { .. }), "{:?}", execution.verdict);
}

#[test]
fn another_strategy_is_refused() {
    let refused = std::panic::catch_unwind(|| Search::new(Options::default()));
    let message = refused.err().and_then(|payload| payload.downcast::<String>().ok()).expect("a message");
    assert!(message.contains("Strategy::Dfs"), "{message}");
}
