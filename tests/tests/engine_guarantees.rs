//! Each strategy keeps its promise: distributions against exact probabilities, bounds against measured frequencies.
//!
//! The programs are of one kind: main starts some threads and ends; each thread has a number of operations. A thread's *pieces* are what
//! runs between two points: that of a spawn or of an operation, and for a thread that was started the one that brings it to its
//! first point. Every piece writes its thread's letter down, so that the text is the whole interleaving.

use millpond::engine::{DelaySchedules, Execution, Facts, Options, Sim, Strategy, Verdict, execute, exhaust_with};
use millpond_model::Platform;
use millpond_model::platform::AtomicOps;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

type Atomic = <Sim as Platform>::Atomic<u64>;

/// The letter of thread `i` of those that main starts; main is `m`.
fn letter(i: usize) -> char {
    char::from(b'a' + i as u8)
}

fn put(log: &Mutex<String>, c: char) {
    log.lock().expect("no panic").push(c);
}

/// Main starts a thread for each length, with that many operations on one word, and then does `main` of them itself.
fn program(log: &Arc<Mutex<String>>, lengths: &[usize], main: usize) {
    let word = Arc::new(Atomic::new(0));
    for (i, length) in lengths.iter().copied().enumerate() {
        let (word, theirs) = (Arc::clone(&word), Arc::clone(log));
        let thread = move || {
            put(&theirs, letter(i));
            for _ in 0..length {
                word.fetch_add(1, SeqCst);
                put(&theirs, letter(i));
            }
        };
        Sim::spawn(letter(i).to_string(), thread).expect("room");
        put(log, 'm');
    }
    for _ in 0..main {
        word.fetch_add(1, SeqCst);
        put(log, 'm');
    }
}

/// Executes it, and gives the interleaving.
fn interleaving(options: &Options, lengths: &[usize], main: usize) -> (String, Execution) {
    let log = Arc::default();
    let execution = execute(options, || program(&log, lengths, main));
    assert!(matches!(execution.verdict, Verdict::Finished), "{}", execution.verdict);
    let text = log.lock().expect("no panic").clone();
    (text, execution)
}

/// How often each interleaving comes in `runs` executions.
fn sample(strategy: &Strategy, lengths: &[usize], runs: u64, pct_steps: u64) -> BTreeMap<String, f64> {
    let mut seen = BTreeMap::new();
    for index in 0..runs {
        let options = Options { strategy: strategy.clone(), index, pct_steps, ..Options::default() };
        *seen.entry(interleaving(&options, lengths, 0).0).or_default() += 1.0;
    }
    seen
}

/// What a pilot execution tells.
fn facts_of(lengths: &[usize]) -> Facts {
    Facts::of(&interleaving(&Facts::pilot(&Options::default()), lengths, 0).1)
}

/// Pieces that each thread has left; those of threads that are not started yet count too.
#[derive(Clone)]
struct Pieces {
    main: usize,
    threads: Vec<usize>,
}

impl Pieces {
    fn of(lengths: &[usize]) -> Self {
        Self { main: lengths.len(), threads: lengths.iter().map(|n| n + 1).collect() }
    }

    /// Threads that can run: `None` is main.
    fn runnable(&self) -> Vec<Option<usize>> {
        let started = self.threads.len() - self.main;
        let main = (self.main > 0).then_some(None);
        main.into_iter().chain((0..started).filter(|i| self.threads[*i] > 0).map(Some)).collect()
    }

    fn after(&self, who: Option<usize>) -> Self {
        let mut next = self.clone();
        match who {
            None => next.main -= 1,
            Some(i) => next.threads[i] -= 1,
        }
        next
    }
}

/// The probability of each interleaving when every runnable thread is as likely at each step.
fn walk(left: &Pieces, text: &str, p: f64, into: &mut BTreeMap<String, f64>) {
    let runnable = left.runnable();
    if runnable.is_empty() {
        into.insert(text.to_string(), p);
    }
    for who in &runnable {
        let text = format!("{text}{}", who.map_or('m', letter));
        walk(&left.after(*who), &text, p / runnable.len() as f64, into);
    }
}

fn walk_of(lengths: &[usize]) -> BTreeMap<String, f64> {
    let mut into = BTreeMap::new();
    walk(&Pieces::of(lengths), "", 1.0, &mut into);
    into
}

/// Pearson's statistic of `seen` against `expected` probabilities, in standard deviations by which it is above its mean (Wilson and
/// Hilferty's approximation). Anything seen must be expected.
fn excess(seen: &BTreeMap<String, f64>, expected: &BTreeMap<String, f64>) -> f64 {
    let runs: f64 = seen.values().sum();
    assert!(seen.keys().all(|text| expected.contains_key(text)), "something impossible was seen");
    // The rare ones together, so that each class has five at least: the statistic's distribution is an approximation.
    let (mut statistic, mut classes, mut rare) = (0.0, 0.0, (0.0, 0.0));
    for (text, p) in expected {
        let count = seen.get(text).copied().unwrap_or(0.0);
        if p * runs < 5.0 {
            rare = (rare.0 + count, rare.1 + p * runs);
            continue;
        }
        statistic += (count - p * runs).powi(2) / (p * runs);
        classes += 1.0;
    }
    if rare.1 > 5.0 {
        statistic += (rare.0 - rare.1).powi(2) / rare.1;
        classes += 1.0;
    }
    let (freedom, spread) = (classes - 1.0, 2.0 / (9.0 * (classes - 1.0)));
    ((statistic / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// Chance of a false alarm: 3 in ten million; and the executions are always the same ones.
const SIGMAS: f64 = 5.0;

fn uniform(keys: impl Iterator<Item = String>) -> BTreeMap<String, f64> {
    let keys: Vec<String> = keys.collect();
    let share = 1.0 / keys.len() as f64;
    keys.into_iter().map(|key| (key, share)).collect()
}

#[test]
fn random_by_runs_is_a_coin_at_each_step() {
    // 2, 3, 4 and 5 threads at once: each has its own way of drawing the length of a run.
    for (lengths, runs) in
        [(vec![2, 3], 30_000), (vec![1, 1, 1], 60_000), (vec![0, 1, 0, 1], 60_000), (vec![0, 0, 0, 0, 0], 60_000)]
    {
        let seen = sample(&Strategy::Random, &lengths, runs, 1000);
        let above = excess(&seen, &walk_of(&lengths));
        assert!(above < SIGMAS, "{lengths:?}: {above}");
    }
}

#[test]
fn urw_is_uniform_over_interleavings() {
    // Linear extensions of a forest: n! / the sizes of all subtrees (Knuth, TAOCP 3, 5.1.4 exercise 20). A spawn has what comes after
    // it in main and all of its thread below it.
    for (lengths, count, runs) in [
        (vec![2, 3], 56, 40_000),       // 9! / (9 5 3! 4!)
        (vec![0, 6], 9, 40_000),        // 10! / (10 8 7!)
        (vec![1, 2, 3], 3080, 100_000), // 12! / (12 9 5 2! 3! 4!)
    ] {
        let all = walk_of(&lengths);
        assert_eq!(all.len(), count, "{lengths:?}");
        let facts = facts_of(&lengths);
        let seen = sample(&Strategy::Urw(facts.profile), &lengths, runs, 1000);
        assert_eq!(seen.len(), count, "{lengths:?}");
        let all = uniform(all.into_keys());
        let above = excess(&seen, &all);
        assert!(above < SIGMAS, "{lengths:?}: {above}");
        // The tester: the plain walk is seen not to be.
        assert!(excess(&sample(&Strategy::Random, &lengths, runs, 1000), &all) > 4.0 * SIGMAS, "{lengths:?}");
    }
}

/// Three threads with two accesses each to one shared word, among operations on words of their own. Gives the order of the six.
fn among_noise(options: &Options) -> (String, Execution) {
    let log = Arc::new(Mutex::new(String::new()));
    let execution = execute(options, || {
        let shared = Arc::new(Atomic::new(0));
        for (i, noise) in [(0, [25, 0]), (1, [0, 12]), (2, [3, 4])] {
            let (shared, log) = (Arc::clone(&shared), Arc::clone(&log));
            Sim::spawn(letter(i).to_string(), move || {
                let own = Atomic::new(0);
                for n in noise {
                    for _ in 0..n {
                        own.fetch_add(1, SeqCst);
                    }
                    shared.fetch_add(1, SeqCst);
                    log.lock().expect("no panic").push(letter(i));
                }
            })
            .expect("room");
        }
    });
    let order = log.lock().expect("no panic").clone();
    (order, execution)
}

#[test]
fn surw_is_uniform_over_the_orders_of_its_subset() {
    let facts = Facts::of(&among_noise(&Facts::pilot(&Options::default())).1);
    assert_eq!(facts.profile.shared(), 1);
    let mut seen = [BTreeMap::<String, f64>::new(), BTreeMap::new()];
    for (into, strategy) in seen.iter_mut().zip([Strategy::Surw(Arc::clone(&facts.profile)), Strategy::Random]) {
        for index in 0..20_000 {
            let options = Options { strategy: strategy.clone(), index, ..Options::default() };
            *into.entry(among_noise(&options).0).or_default() += 1.0;
        }
    }
    let [selective, walk] = seen;
    // 6! / (2! 2! 2!)
    assert_eq!(selective.len(), 90);
    let all = uniform(selective.keys().cloned());
    let above = excess(&selective, &all);
    assert!(above < SIGMAS, "{above}");
    assert!(walk.len() < 90 || excess(&walk, &all) > 20.0 * SIGMAS, "the noise matters to a plain walk");
}

#[test]
fn pos_reaches_what_a_walk_reaches_once_in_2_to_the_n() {
    // The reader's one event must come after all twelve of the other thread. The walk: a coin at each step. POS: the reader keeps
    // its priority p, and each of the others must draw a higher one: the integral of (1 - p)^13 is 1/14; some more for the pieces
    // that bring the threads to their first point.
    let late = |strategy: &Strategy, index| {
        let log = Arc::new(Mutex::new(Vec::new()));
        execute(&Options { strategy: strategy.clone(), index, ..Options::default() }, || {
            let read = Arc::clone(&log);
            let word = Arc::new(Atomic::new(0));
            let theirs = Arc::clone(&word);
            let join = Sim::spawn("reader".into(), move || {
                read.lock().expect("no panic").push(word.load(SeqCst));
            });
            Sim::spawn("writer".into(), move || {
                let own = Atomic::new(0);
                (0..12).for_each(|_| own.store(1, SeqCst));
                theirs.store(1, SeqCst);
            })
            .expect("room");
            drop(join);
        });
        let read = log.lock().expect("no panic")[0];
        read == 1
    };
    let hits = |strategy: Strategy| (0..20_000).filter(|index| late(&strategy, *index)).count();
    let (pos, walk) = (hits(Strategy::Pos), hits(Strategy::Random));
    assert!(pos > 20_000 / 30, "{pos}");
    assert!(walk < 20_000 / 1000, "{walk}");
}

/// Three threads in a nest: A stops after its first operation, B after its first, C does all of its own, then B, then A. A bug of
/// depth 3, and the one that change points in order of time can't reach.
const NEST: &str = "ABCCBA";

/// Whether three threads with two operations each come in that order.
fn is_nested(text: &str) -> bool {
    // The first letter of a thread is its beginning.
    let mut begun = BTreeSet::new();
    let operations = text.chars().filter(|c| *c != 'm' && !begun.insert(*c));
    operations.map(|c| c.to_ascii_uppercase()).eq(NEST.chars())
}

/// A model of PCT on the same program: main starts three threads, each of which has three pieces. Priorities are ranks; `changes` are
/// (choice, priority). Gives whether the nest came.
fn pct_model(band: [i64; 4], changes: &[(u64, i64)]) -> bool {
    let mut priority = band;
    let mut left = [3, 0, 0, 0];
    let (mut text, mut me, mut choice) = (String::new(), 0, 0);
    let mut changes = changes.to_vec();
    changes.sort_unstable();
    let mut at_point = true;
    loop {
        let alive = |left: &[u32; 4]| (0..4).filter(|t| left[*t] > 0).collect::<Vec<_>>();
        let running = alive(&left);
        // A step is a choice if another thread could have run when it began; the end of a thread is one, too.
        if running.len() + usize::from(!at_point) > 1 {
            choice += 1;
        }
        if at_point {
            while changes.first().is_some_and(|(at, _)| *at <= choice) {
                priority[me] = changes.remove(0).1;
            }
        }
        let Some(next) = running.into_iter().max_by_key(|t| priority[*t]) else { return is_nested(&text) };
        me = next;
        // One piece.
        text.push(['m', 'a', 'b', 'c'][me]);
        left[me] -= 1;
        if me == 0 {
            left[3 - left[0] as usize] = 3;
        }
        at_point = left[me] > 0;
    }
}

/// The share of all draws for which the model finds the nest; `in_time`: the earliest change gets the highest priority.
fn pct_share(depth: u32, steps: u64, in_time: bool) -> f64 {
    let (mut hits, mut all) = (0_u64, 0_u64);
    let points = depth - 1;
    for draw in 0..steps.pow(points) {
        let mut at: Vec<u64> = (0..points).map(|i| 1 + draw / steps.pow(i) % steps).collect();
        if in_time {
            at.sort_unstable_by(|a, b| b.cmp(a));
        }
        let changes: Vec<(u64, i64)> = at.into_iter().zip(1..).collect();
        for order in 0..256_i64 {
            let band = [0, 1, 2, 3].map(|i| 100 + (order >> (2 * i) & 3));
            if BTreeSet::from(band).len() == 4 {
                hits += u64::from(pct_model(band, &changes));
                all += 1;
            }
        }
    }
    hits as f64 / all as f64
}

#[test]
fn pct_finds_a_nest_of_three_as_often_as_the_paper_promises() {
    let lengths = [2, 2, 2];
    let run_on = Options { strategy: Strategy::Pct { depth: 1 }, ..Options::default() };
    let longest = (0..100).map(|index| interleaving(&Options { index, ..run_on.clone() }, &lengths, 0).1.choices).max();
    let steps = longest.expect("a hundred");
    for (depth, runs) in [(3, 200_000), (4, 100_000), (5, 50_000)] {
        let seen = sample(&Strategy::Pct { depth }, &lengths, runs, steps);
        let hits: f64 = seen.iter().filter(|(text, _)| is_nested(text)).map(|(_, n)| n).sum();
        let (runs, threads) = (runs as f64, 4.0);
        let share = pct_share(depth, steps, false);
        let sigma = (share * (1.0 - share) * runs).sqrt();
        assert!((hits - share * runs).abs() < SIGMAS * sigma, "depth {depth}: {hits} of {runs}, {share} expected");
        assert!(share >= 1.0 / (threads * (steps as f64).powi(2)), "depth {depth}: {share} with {steps} steps");
    }
}

#[test]
fn pct_in_order_of_time_never_finds_it() {
    // Not a sample: all change points and all orders of the priorities, in the model that the test above holds against the engine.
    for depth in [3, 4, 5] {
        for steps in [8, 12] {
            assert_eq!(pct_share(depth, steps, true), 0.0, "depth {depth}, {steps} steps");
            assert!(pct_share(depth, steps, false) > 0.0);
        }
    }
}

/// Runs `program` with all schedules of at most `delays` delays.
fn with_delays(delays: u32, mut program: impl FnMut(&Options) -> Execution) -> Vec<Arc<[u64]>> {
    let mut schedules = DelaySchedules::new(delays);
    let (mut next, mut all) = (Some(schedules.first()), Vec::new());
    while let Some(list) = next {
        let options = Options { strategy: Strategy::Delays(Arc::clone(&list)), ..Options::default() };
        all.push(list);
        next = schedules.after(program(&options).choices);
    }
    all
}

#[test]
fn delays_among_two_threads_are_preemptions() {
    // With two threads to skip one is to run the other: as many interleavings as with so many preemptions, found by another search.
    for delays in 0..=3 {
        let mut delayed = BTreeSet::new();
        let all = with_delays(delays, |options| {
            let (text, execution) = interleaving(options, &[3], 4);
            delayed.insert(text);
            execution
        });
        let lists: BTreeSet<_> = all.iter().collect();
        assert_eq!(lists.len(), all.len(), "no list comes twice");
        assert!(all.is_sorted_by_key(|list| list.len()), "fewer delays first");
        let log = Arc::default();
        let mut preempted = BTreeSet::new();
        let options = Options { strategy: Strategy::Dfs { preemptions: delays }, ..Options::default() };
        let reached = exhaust_with(
            &options,
            u64::MAX,
            || program(&log, &[3], 4),
            |_, _| {
                preempted.insert(std::mem::take(&mut *log.lock().expect("no panic")));
                ControlFlow::Continue(())
            },
        );
        assert!(reached.complete);
        assert_eq!(delayed, preempted, "{delays} delays");
    }
}

#[test]
fn one_delay_is_one_thread_skipped() {
    // No delay: each thread to its end, in turn. One at the only choice that main has: `a` begins before the second spawn.
    let run = |list: &[u64]| {
        let options = Options { strategy: Strategy::Delays(list.into()), ..Options::default() };
        interleaving(&options, &[1, 1], 0).0
    };
    assert_eq!(run(&[]), "mmaabb");
    assert_eq!(run(&[1]), "maambb");
    // The second choice is main's end: `a` is skipped.
    assert_eq!(run(&[2]), "mmbbaa");
    // Two at once among two threads: round to where it was.
    assert_eq!(run(&[1, 1]), "mmaabb");
    // The third is the point at which `a` has begun.
    assert_eq!(run(&[3]), "mmabba");
}

/// A loop that waits for a word to change, and for what comes last.
fn wait(word: &Atomic, hint: bool) {
    while word.load(SeqCst) == 0 {
        if hint {
            Sim::spin_hint();
        }
    }
}

/// Two threads wait in loops for a third, which has something else to do first.
fn spinning(options: &Options, hint: bool) -> Execution {
    execute(options, || {
        let word = Arc::new(Atomic::new(0));
        for name in ["spins", "spins too"] {
            let word = Arc::clone(&word);
            Sim::spawn(name.into(), move || wait(&word, hint)).expect("room");
        }
        Sim::spawn("works".into(), move || {
            let own = Atomic::new(0);
            (0..50).for_each(|_| own.store(1, SeqCst));
            word.store(1, SeqCst);
        })
        .expect("room");
    })
}

#[test]
fn no_strategy_lets_a_thread_that_says_it_spins_run_for_ever() {
    let budget = Options { max_steps: 20_000, ..Options::default() };
    let facts = Facts::of(&spinning(&Facts::pilot(&budget), true));
    let recorded = spinning(&budget, true);
    let strategies = [
        Strategy::Random,
        Strategy::RoundRobin,
        Strategy::RunOn,
        Strategy::Pct { depth: 1 },
        Strategy::Pct { depth: 4 },
        Strategy::Pos,
        Strategy::Urw(Arc::clone(&facts.profile)),
        Strategy::Surw(facts.profile),
        Strategy::Delays(Arc::default()),
        Strategy::Delays([1, 2, 3, 40].into()),
        Strategy::DelayBounded { delays: 3 },
        Strategy::Dfs { preemptions: 2 },
        Strategy::Replay(recorded.switches.into()),
        Strategy::Deviate(Arc::default()),
    ];
    for strategy in strategies {
        for index in 0..200 {
            let index = if matches!(strategy, Strategy::Replay(_)) { 0 } else { index };
            let options = Options { strategy: strategy.clone(), index, ..budget.clone() };
            let execution = spinning(&options, true);
            assert!(matches!(execution.verdict, Verdict::Finished), "{strategy}, {index}: {}", execution.verdict);
        }
    }
    let options = Options { strategy: Strategy::Dfs { preemptions: 1 }, ..budget };
    let reached = exhaust_with(
        &options,
        2_000,
        || {
            let word = Arc::new(Atomic::new(0));
            let theirs = Arc::clone(&word);
            Sim::spawn("spins".into(), move || wait(&theirs, true)).expect("room");
            word.store(1, SeqCst);
        },
        |_, execution| {
            assert!(matches!(execution.verdict, Verdict::Finished), "{}", execution.verdict);
            ControlFlow::Continue(())
        },
    );
    assert!(reached.complete);
}

#[test]
fn nor_one_that_does_not_say_so() {
    let budget = Options { max_steps: 100_000, pct_steps: 500, ..Options::default() };
    let facts = Facts::of(&spinning(&Facts::pilot(&budget), false));
    let strategies = [
        Strategy::Random,
        Strategy::RoundRobin,
        Strategy::Pct { depth: 1 },
        Strategy::Pct { depth: 4 },
        Strategy::Pos,
        Strategy::Urw(Arc::clone(&facts.profile)),
        Strategy::Surw(facts.profile),
        Strategy::Delays(Arc::default()),
        Strategy::DelayBounded { delays: 3 },
    ];
    for strategy in strategies {
        for index in 0..100 {
            let options = Options { strategy: strategy.clone(), index, ..budget.clone() };
            let execution = spinning(&options, false);
            assert!(matches!(execution.verdict, Verdict::Finished), "{strategy}, {index}: {}", execution.verdict);
        }
    }
}
