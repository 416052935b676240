//! The reduction shows what plain enumeration shows: the same partial orders, and the same outcomes.
//!
//! ```text
//!   executions                                 every schedule    Dpor     partial orders
//!   store buffering                                   ?            ?            ?
//! ```

mod dpor_support;

use dpor_support::{All, Do, LOCKS, Program, Seen, WORDS, Way, all, all_in, all_with, beside, start};
use millpond::engine::{
    Choice, DPOR_THREADS, Generator, MemoryModel, Options, Record, Sim, Strategy, Stream, Verdict, choose, draw,
    execute, exhaust, exhaust_with,
};
use millpond_model::Platform;
use millpond_model::platform::AtomicOps;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::{self, AcqRel, Relaxed, SeqCst};

use Do::{
    Add, Await, Cas, Choose, Draw, Fail, Fence, Join, Load, Locked, Notify, Once, Park, Reading, Receive, Send, Sleep,
    Spawn, Store, Touch, TryLocked, Unpark, Wait, When, With, Writing, Yield,
};

/// A random program.
struct Random {
    draws: Generator,
    words: u32,
    locks: u32,
    /// Whether there is what is rarer.
    odd: bool,
}

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.draws.below(n)
    }

    fn word(&mut self) -> usize {
        self.below(self.words) as usize
    }

    fn value(&mut self) -> u64 {
        u64::from(self.below(3))
    }

    fn op(&mut self, deep: bool) -> Do {
        match self.below(if deep { 9 } else { 15 }) {
            0..=2 => Load(self.word()),
            3 | 4 => Store(self.word(), self.value()),
            5 => Add(self.word(), 1),
            6 => Cas(self.word(), self.value(), self.value()),
            7 | 8 if !deep => When(self.value(), Box::new(self.op(true))),
            7 => Touch,
            8 => Store(self.word(), self.value()),
            9 | 10 if self.locks > 0 => {
                let (lock, n) = (self.below(self.locks) as usize, self.below(3));
                let list = (0..n).map(|_| self.op(true)).collect();
                if self.below(3) == 0 { TryLocked(lock, list) } else { Locked(lock, list) }
            }
            11 if self.locks == 2 => {
                let outer = self.below(2) as usize;
                Locked(outer, vec![Locked(1 - outer, vec![self.op(true)])])
            }
            12 if self.odd => Unpark(0),
            13 if self.odd => Fail(self.value() + 2),
            14 if self.odd => Draw,
            11 | 13 => Store(self.word(), self.value()),
            _ => Add(self.word(), 1),
        }
    }

    fn new(seed: u64, index: u64) -> Self {
        let draws = Generator::new(seed, index, Stream::Workload);
        let mut random = Self { draws, words: 1, locks: 0, odd: false };
        random.words = [1, 1, 1, 2, 2, WORDS as u32][random.below(6) as usize];
        random.locks = random.below(LOCKS as u32 + 1);
        random.odd = random.below(3) == 0;
        random
    }

    /// One to three threads beside main, up to five operations each.
    fn program(mut self) -> Program {
        let children = 1 + self.below(3) as usize;
        let most = [5, 4, 2][children - 1];
        let mut program: Program = (0..=children)
            .map(|_| {
                let n = 1 + self.below(most);
                (0..n).map(|_| self.op(false)).collect()
            })
            .collect();
        self.starts(&mut program);
        if self.odd && self.below(2) == 0 {
            let place = self.below(program[0].len() as u32 + 1) as usize;
            program[0].insert(place, Park);
        }
        program
    }

    /// Each child is started somewhere by a thread with a lower number, and joined by it, or not.
    fn starts(&mut self, program: &mut Program) {
        for child in 1..program.len() {
            let parent = self.below(child as u32) as usize;
            let place = self.below(program[parent].len() as u32 + 1) as usize;
            program[parent].insert(place, Spawn(child));
            if self.below(2) == 0 {
                program[parent].push(Join(child));
            }
        }
    }

    /// Two or three threads with the locks, channels and condition variables that are simulated as those of `std`.
    fn facade(mut self) -> Program {
        let children = 1 + self.below(2) as usize;
        let mut program: Program = (0..=children)
            .map(|me| {
                let n = 1 + self.below(3);
                (0..n)
                    .map(|_| match self.below(11) {
                        0 | 1 => Reading(vec![Load(0)]),
                        2 | 3 => Writing(vec![Add(0, 1)]),
                        4 if me > 0 => Wait,
                        4 | 5 => Notify(self.below(2) == 0),
                        6 | 7 => Send(me as u64),
                        8 if me == 0 => Receive(self.below(2) == 0),
                        8 | 9 => Once,
                        _ => Load(0),
                    })
                    .collect()
            })
            .collect();
        self.starts(&mut program);
        program
    }

    /// Two threads, and few operations of all orderings.
    fn weak(mut self) -> Program {
        const ORDERS: [Ordering; 4] = [Relaxed, AcqRel, SeqCst, Relaxed];
        let threads: Vec<Vec<Do>> = (0..2)
            .map(|_| {
                let n = 1 + self.below(3);
                (0..n)
                    .map(|_| {
                        let order = ORDERS[self.below(4) as usize];
                        let op = match self.below(8) {
                            0..=2 => Load(self.below(2) as usize),
                            3 | 4 => Store(self.below(2) as usize, 1 + self.value()),
                            5 => Add(self.below(2) as usize, 1),
                            6 => Cas(self.below(2) as usize, 0, 1),
                            _ => return if self.odd { Touch } else { Fence([SeqCst, AcqRel][self.below(2) as usize]) },
                        };
                        With(order, Box::new(op))
                    })
                    .collect()
            })
            .collect();
        beside(&[&threads[0], &threads[1]])
    }

    /// Two or three threads that wait in loops, yield, and sleep. Thread 1 does not wait, and ends with what others wait for.
    fn spinning(mut self) -> Program {
        let children = 1 + self.below(2) as usize;
        let mut program: Program = (0..=children)
            .map(|me| {
                let n = 1 + self.below(2);
                let mut list: Vec<Do> = (0..n)
                    .map(|_| match self.below(6) {
                        0 | 1 => Yield,
                        2 => Sleep(u64::from(self.below(2))),
                        3 => Add(self.below(2) as usize, 1),
                        4 => Load(self.below(3) as usize),
                        _ => Store(self.below(2) as usize, self.value()),
                    })
                    .collect();
                match me {
                    1 => list.push(Store(2, 1)),
                    _ if self.below(3) > 0 => list.push(Await(2, 1)),
                    _ => {}
                }
                list
            })
            .collect();
        self.starts(&mut program);
        // What starts thread 1 must not wait for it before.
        program[0].sort_by_key(|op| !matches!(op, Spawn(_)));
        program
    }
}

/// What is counted over many programs.
#[derive(Default, Debug)]
struct Sum {
    programs: u64,
    schedules: u64,
    executions: u64,
    redundant: u64,
    classes: u64,
}

impl Sum {
    fn add(&mut self, plain: &All, reduced: &All) {
        self.programs += 1;
        self.schedules += plain.reached.schedules;
        self.executions += reduced.reached.schedules;
        self.redundant += reduced.reached.redundant;
        self.classes += reduced.reached.classes;
    }
}

#[track_caller]
fn same(program: &Program, plain: &All, reduced: &All) {
    assert!(reduced.reached.complete, "{program:?}");
    let missed: Vec<_> = plain.outcomes.difference(&reduced.outcomes).collect();
    let more: Vec<_> = reduced.outcomes.difference(&plain.outcomes).collect();
    assert!(missed.is_empty() && more.is_empty(), "{program:?}: missed {missed:?}, invented {more:?}");
    assert_eq!(plain.classes, reduced.classes, "{program:?}");
    let useful = reduced.reached.schedules - reduced.reached.redundant;
    assert!(useful >= reduced.classes.len() as u64, "{program:?}: {:?}", reduced.reached);
}

#[test]
fn random_programs_have_the_partial_orders_and_outcomes_of_plain_enumeration() {
    const LIMIT: u64 = 20_000;
    let mut sum = Sum::default();
    for index in 0..700 {
        let program = Random::new(5, index).program();
        let plain = all(Way::Dfs, &program, LIMIT);
        if plain.reached.complete {
            let reduced = all(Way::Dpor, &program, LIMIT);
            same(&program, &plain, &reduced);
            sum.add(&plain, &reduced);
        }
    }
    println!("{sum:?}");
    assert!(sum.programs >= 500, "{sum:?}");
    assert!(sum.executions * 100 < sum.schedules, "a reduction: {sum:?}");
    assert!(sum.executions * 100 < sum.classes * 105, "near to one execution a partial order: {sum:?}");
}

#[test]
fn random_programs_that_spin_have_those_of_each_order_of_the_same_steps() {
    const LIMIT: u64 = 4_000;
    let mut sum = Sum::default();
    for index in 0..500 {
        let program = Random::new(6, index).spinning();
        let unreduced = all(Way::Unreduced, &program, LIMIT);
        let plain = all(Way::Dfs, &program, LIMIT);
        if unreduced.reached.complete && plain.reached.complete {
            let reduced = all(Way::Dpor, &program, LIMIT);
            same(&program, &unreduced, &reduced);
            sum.add(&unreduced, &reduced);
            // The other enumeration is fair in another way: it lets a thread pass later, or earlier.
            let missed: Vec<_> = plain.outcomes.difference(&reduced.outcomes).collect();
            assert!(missed.is_empty(), "{program:?}: {missed:?}");
        }
    }
    println!("{sum:?}");
    assert!(sum.programs >= 200, "{sum:?}");
}

#[test]
fn so_have_programs_with_what_is_simulated_for_std() {
    const LIMIT: u64 = 20_000;
    let mut sum = Sum::default();
    for index in 0..500 {
        let program = Random::new(9, index).facade();
        let plain = all(Way::Dfs, &program, LIMIT);
        if plain.reached.complete {
            let reduced = all(Way::Dpor, &program, LIMIT);
            same(&program, &plain, &reduced);
            sum.add(&plain, &reduced);
        }
    }
    println!("{sum:?}");
    assert!(sum.programs >= 150, "{sum:?}");
}

#[test]
fn stale_loads_and_races_are_those_of_plain_enumeration() {
    const LIMIT: u64 = 20_000;
    for memory in [MemoryModel::Races, MemoryModel::Weak] {
        let mut sum = Sum::default();
        for index in 0..300 {
            let program = Random::new(10, index).weak();
            let plain = all_in(memory, Way::Dfs, &program, LIMIT, |_, _| {});
            if plain.reached.complete {
                let reduced = all_in(memory, Way::Dpor, &program, LIMIT, |_, _| {});
                assert!(reduced.reached.complete);
                let missed: Vec<_> = plain.outcomes.difference(&reduced.outcomes).collect();
                // Of executions that differ in nothing else, one may show a race and another hide it.
                let races = |all: &All| all.outcomes.iter().any(|(verdict, _)| verdict == "DataRace");
                assert!(missed.is_empty() || races(&reduced), "{memory:?} {program:?}: {missed:?}");
                assert_eq!(races(&plain), races(&reduced), "{memory:?} {program:?}");
                assert!(reduced.outcomes.is_subset(&plain.outcomes));
                sum.add(&plain, &reduced);
            }
        }
        println!("{memory:?}: {sum:?}");
        assert!(sum.programs >= 150, "{sum:?}");
    }
}

/// What the last read of thread 1 gave, in all executions; 0 if it has read nothing. Both enumerations agree.
fn last_reads(program: &Program, thread: usize) -> BTreeSet<u64> {
    let reduced = all(Way::Dpor, program, u64::MAX);
    same(program, &all(Way::Dfs, program, u64::MAX), &reduced);
    reduced.outcomes.iter().map(|(_, seen)| seen[thread].last().copied().unwrap_or(0)).collect()
}

#[test]
fn a_threads_own_read_does_not_hide_anothers() {
    // Programs for which `loom` 0.7.2 says that it is complete, and shows {1}, or in the second case {0, 2}.
    let when = |value, then: Do| When(value, Box::new(then));
    let b: &[Do] = &[Load(0), when(1, Store(0, 2))];
    let c: &[Do] = &[Load(0), when(2, Store(0, 3))];
    assert_eq!(last_reads(&beside(&[&[Store(0, 1), Load(0)], b]), 1), [1, 2].into());
    // Thread 2 reads after its own store: 1 is what it has read before.
    let twice: &[Do] = &[Load(0), when(1, Store(0, 2)), when(1, Load(0))];
    assert_eq!(last_reads(&beside(&[&[Store(0, 1)], twice, c]), 2), [0, 2, 3].into());
    assert_eq!(last_reads(&beside(&[&[Store(0, 1), Load(0)], b, c]), 1), [1, 2, 3].into());
    let more: &[Do] = &[Load(0), when(1, Store(0, 2)), Load(0), when(3, Store(0, 4))];
    assert_eq!(last_reads(&beside(&[&[Store(0, 1), Load(0)], more, c]), 1), [1, 2, 3, 4].into());
}

/// Executions of `threads` side by side; each is of another partial order.
#[track_caller]
fn exactly(threads: &[&[Do]]) -> u64 {
    let reached = all(Way::Dpor, &beside(threads), u64::MAX).reached;
    assert!(reached.complete);
    assert_eq!((reached.redundant, reached.classes), (0, reached.schedules), "{threads:?}");
    reached.schedules
}

#[test]
fn executions_are_as_many_as_partial_orders() {
    for n in 1..=5 {
        let threads = |list: &[Do]| exactly(&vec![list; n]);
        let factorial: u64 = (1..=n as u64).product();
        assert_eq!(threads(&[Store(0, 1)]), factorial, "each order of the stores");
        assert_eq!(threads(&[Locked(0, Vec::new())]), factorial, "who is first, second, ...");
        assert_eq!(threads(&[Load(0), Load(1), Load(2)]), 1, "reads commute");
        // Each reader comes before or after the store.
        let mut one_writes: Vec<&[Do]> = vec![&[Load(0)]; n];
        one_writes.push(&[Store(0, 1)]);
        assert_eq!(exactly(&one_writes), 1 << n);
    }
    // Orders of two sequences of n each: n out of 2 n.
    for (n, orders) in [(1, 2), (2, 6), (3, 20), (4, 70), (5, 252)] {
        let list = vec![Add(0, 1); n];
        assert_eq!(exactly(&[&list, &list]), orders);
        let locked = vec![Locked(0, Vec::new()); n];
        assert_eq!(exactly(&[&locked, &locked]), orders);
    }
    // Independent threads: one order, whatever they do.
    let own = |word| vec![Store(word, 1), Add(word, 1), Load(word), Cas(word, 2, 3)];
    assert_eq!(exactly(&[&own(0), &own(1), &own(2)]), 1);
    // Two locks that exclude different pairs.
    let (left, both, right): (&[Do], &[Do], &[Do]) =
        (&[Locked(0, Vec::new())], &[Locked(0, Vec::new()), Locked(1, Vec::new())], &[Locked(1, Vec::new())]);
    assert_eq!(exactly(&[left, both, right]), 4);
}

fn verdicts(program: &Program) -> BTreeSet<String> {
    let reduced = all(Way::Dpor, program, u64::MAX);
    same(program, &all(Way::Dfs, program, u64::MAX), &reduced);
    reduced.outcomes.iter().map(|(verdict, _)| verdict.clone()).collect()
}

fn two(a: &str, b: &str) -> BTreeSet<String> {
    [a.to_string(), b.to_string()].into()
}

#[test]
fn bugs_are_found_and_none_is_invented() {
    let nested = |first: usize, second| Locked(first, vec![Locked(second, Vec::new())]);
    assert_eq!(verdicts(&beside(&[&[nested(0, 1)], &[nested(1, 0)]])), two("Deadlock", "Finished"));
    assert_eq!(verdicts(&beside(&[&[nested(0, 1)], &[nested(0, 1)]])), ["Finished".to_string()].into());
    // Free? Then take it, and say so. Who takes it second fails.
    let check_then_act: &[Do] = &[Load(0), When(0, Box::new(Add(1, 1))), Store(0, 2), Fail(1)];
    let failed = "assertion `left != right` failed: failed on purpose\n  left: 1\n right: 1";
    let found = verdicts(&beside(&[check_then_act, check_then_act]));
    assert_eq!(found, two("Finished", failed));
    // Those that do both in one operation, or with a lock, can't.
    let taken: &[Do] = &[Cas(0, 0, 5), Fail(1)];
    assert_eq!(verdicts(&beside(&[taken, taken])), ["Finished".to_string()].into());
    // A wakeup lost: main looks, the other stores and wakes nobody, main parks.
    let lost = vec![vec![Spawn(1), Load(0), When(0, Box::new(Park))], vec![Store(0, 1)]];
    assert_eq!(verdicts(&lost), two("Deadlock", "Finished"));
    let kept = vec![vec![Spawn(1), Load(0), When(0, Box::new(Park))], vec![Store(0, 1), Unpark(0)]];
    assert_eq!(verdicts(&kept), ["Finished".to_string()].into());
}

#[test]
fn a_token_is_consumed_before_or_after_another_is_given() {
    // Two parks, two unparks: one token may cover the other.
    let program = vec![vec![Spawn(1), Spawn(2), Park, Park], vec![Unpark(0)], vec![Unpark(0)]];
    assert_eq!(verdicts(&program), two("Deadlock", "Finished"));
}

#[test]
fn what_is_no_operation_on_a_word_depends_on_the_order_too() {
    // Plain cells, numbers from one stream: thread 1 comes first, or thread 2.
    for op in [Touch, Draw] {
        let reduced = all(Way::Dpor, &beside(&[std::slice::from_ref(&op), std::slice::from_ref(&op)]), u64::MAX);
        assert_eq!(reduced.outcomes.len(), 2, "{op:?}");
    }
}

#[test]
fn after_a_failure_the_others_go_on() {
    // Thread 1 fails at once. Thread 2 fails only if it comes before the store of thread 3.
    let program = beside(&[&[Load(0), Fail(0)], &[Load(1), Fail(0)], &[Store(1, 1)]]);
    let mut threads = BTreeSet::new();
    let reduced = all_with(Way::Dpor, &program, u64::MAX, |_, execution| {
        if let Verdict::Panic { name, .. } = &execution.verdict {
            threads.insert(name.clone());
        }
    });
    assert!(reduced.reached.complete);
    assert_eq!(threads, two("t1", "t2"));
}

#[test]
fn every_value_is_chosen_with_every_order() {
    // 3 x 4 values, in two orders of the stores.
    let program = beside(&[&[Choose(3), Store(0, 1)], &[Store(0, 2), Choose(4)]]);
    let plain = all(Way::Dfs, &program, u64::MAX);
    let reduced = all(Way::Dpor, &program, u64::MAX);
    assert!(plain.reached.complete && reduced.reached.complete);
    assert_eq!((plain.outcomes.len(), reduced.outcomes.len()), (12, 12));
    assert_eq!(plain.outcomes, reduced.outcomes);
    assert_eq!((reduced.reached.schedules, reduced.classes.len()), (24, 2));
    // Alone: each tuple of values is one execution, under both.
    let chain = vec![vec![Choose(2), Choose(3), Load(0), Choose(1), Choose(4)]];
    for way in [Way::Dfs, Way::Dpor] {
        let all = all(way, &chain, u64::MAX);
        assert_eq!((all.reached.schedules, all.outcomes.len()), (24, 24), "{way:?}");
    }
}

#[test]
fn an_execution_is_repeated_with_its_switches_or_deviations_and_choices() {
    let mut executions = 0;
    for index in 0..150 {
        let mut spinning = Random::new(7, index).spinning();
        spinning[0].push(Choose(2));
        let last = spinning.len() - 1;
        spinning[last].insert(0, Choose(2));
        for program in [Random::new(7, index).program(), spinning] {
            let shared = Arc::new(program.clone());
            for way in [Way::Dfs, Way::Dpor] {
                all_with(way, &program, 30, |search, execution| {
                    let again = |strategy, choices: &[Choice], record| {
                        let choices = Some(choices.into());
                        let options =
                            Options { strategy, choices, record, stack_bytes: 64 * 1024, ..Options::default() };
                        let again = execute(&options, || start(&shared, &Seen::default()));
                        assert_eq!(again.verdict.name(), execution.verdict.name(), "{program:?} {options:?}");
                        assert_eq!(again.digest, execution.digest, "{program:?} {options:?}");
                        again
                    };
                    let choices = search.choices();
                    again(Strategy::Replay(execution.switches.clone().into()), choices, Record::Lean);
                    let rich = again(Strategy::Deviate(search.deviations().into()), choices, Record::Rich);
                    // And as it is written into a file.
                    let mut shifts = rich.shifts;
                    shifts.sort_by_key(|shift| (shift.thread, shift.at));
                    let mut choices = rich.choices_taken;
                    choices.sort_unstable();
                    again(Strategy::Shifted(shifts.into()), &choices, Record::Lean);
                    executions += 1;
                });
            }
        }
    }
    assert!(executions > 1000, "{executions}");
}

fn dpor() -> Options {
    Options { strategy: Strategy::Dpor, ..Options::default() }
}

#[test]
fn the_same_executions_come_in_the_same_order_on_every_os_thread() {
    let digests = || {
        let mut digests = Vec::new();
        for index in 0..20 {
            all_with(Way::Dpor, &Random::new(8, index).program(), 1000, |_, e| digests.push(e.digest));
        }
        digests
    };
    let first = digests();
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..2).map(|_| scope.spawn(digests)).collect();
        others.into_iter().for_each(|other| assert_eq!(other.join().expect("no panic"), first));
    });
}

#[test]
fn a_program_that_is_not_deterministic_is_caught() {
    let runs = Cell::new(0);
    let mut verdicts = Vec::new();
    let reached = exhaust_with(
        &dpor(),
        u64::MAX,
        || {
            runs.set(runs.get() + 1);
            let word = Arc::new(<Sim as Platform>::Atomic::<u64>::new(0));
            // The first execution starts three threads, later ones fewer.
            for _ in runs.get().min(3)..4 {
                let word = Arc::clone(&word);
                Sim::spawn("other".to_string(), move || word.store(1, SeqCst)).expect("room");
            }
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
fn what_is_cut_off_is_not_complete() {
    let forever = || {
        let word = <Sim as Platform>::Atomic::<u64>::new(0);
        while word.load(SeqCst) == 0 {
            Sim::spin_hint();
        }
    };
    let ignore = |_: &_, _| ControlFlow::Continue(());
    assert!(!exhaust_with(&dpor(), u64::MAX, forever, ignore).complete, "a livelock");
    let short = Options { max_steps: 3, ..dpor() };
    let long = || assert_eq!((0..10).map(|_| choose(1)).sum::<u32>(), 0);
    assert!(exhaust_with(&short, u64::MAX, long, ignore).complete, "no step at all");
    let word = || {
        let word = <Sim as Platform>::Atomic::<u64>::new(0);
        (0..10).for_each(|i| word.store(i, SeqCst));
    };
    assert!(!exhaust_with(&short, u64::MAX, word, ignore).complete, "too few steps");
    let many = || {
        for _ in 1..DPOR_THREADS {
            Sim::spawn("child".to_string(), || ()).expect("room");
        }
        assert!(Sim::spawn("one too many".to_string(), || ()).is_err());
    };
    assert!(!exhaust_with(&dpor(), u64::MAX, many, ignore).complete, "a thread that was refused");
    let limited = exhaust(&dpor(), 1, || assert!(draw(Stream::Workload).below(2) < 2)).expect("no failure");
    assert_eq!((limited.schedules, limited.complete), (1, true));
}

#[test]
fn how_many_executions_are_left() {
    let add = |word| Add(word, 1);
    let table: &[(&str, &[&[Do]], u64)] = &[
        ("store buffering", &[&[Store(0, 1), Load(1)], &[Store(1, 1), Load(0)]], 3),
        ("message passing", &[&[Store(0, 1), Store(1, 1)], &[Load(1), Load(0)]], 3),
        ("two writers, two readers", &[&[Store(0, 1)], &[Store(1, 1)], &[Load(0), Load(1)], &[Load(1), Load(0)]], 15),
        ("3 threads, 2 additions", &[&[add(0), add(0)], &[add(0), add(0)], &[add(0), add(0)]], 90),
        ("3 threads, 3 words", &[&[add(0), add(1)], &[add(1), add(2)], &[add(2), add(0)]], 7),
        (
            "2 threads, 2 locks",
            &[&[Locked(0, vec![add(0)]), Locked(1, vec![add(1)])], &[Locked(1, vec![add(1)]), Locked(0, vec![add(0)])]],
            3,
        ),
    ];
    for (name, threads, orders) in table {
        let (plain, reduced) = (all(Way::Dfs, &beside(threads), 3_000_000), all(Way::Dpor, &beside(threads), u64::MAX));
        let more = if plain.reached.complete { "" } else { "more than " };
        println!("{name:30} {more}{} {} {}", plain.reached.schedules, reduced.reached.schedules, reduced.classes.len());
        assert_eq!(reduced.reached.classes, *orders, "{name}");
        if plain.reached.complete {
            assert_eq!(plain.reached.classes, *orders, "{name}");
        }
    }
}
