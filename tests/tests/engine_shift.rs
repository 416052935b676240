//! A schedule as its shifts: what differs from the default, told by each thread's own steps.

use millpond::engine::{
    Choice, Execution, Options, Record, Shift, Sim, Strategy, Switch, choose, choose_rarely, execute,
};
use millpond_model::platform::{AtomicOps, JoinOps, Lock, Platform, ThreadOps};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

type Word = <Sim as Platform>::Atomic<u32>;

/// Something of everything: atomics, a lock, a late thread, yields, parking, sleeping with and without an unpark.
fn program() {
    let word = Arc::new(Word::new(0));
    let lock = Arc::new(<Sim as Platform>::Mutex::new(0));
    let parked = {
        let word = Arc::clone(&word);
        Sim::spawn("parked".to_string(), move || {
            Sim::park_timeout(Duration::from_millis(3));
            word.fetch_add(1, SeqCst);
        })
        .unwrap()
    };
    let threads: Vec<_> = (0..3)
        .map(|i| {
            let (word, lock, parked) = (Arc::clone(&word), Arc::clone(&lock), parked.thread().clone());
            Sim::spawn(format!("t{i}"), move || {
                for _ in 0..5 {
                    word.fetch_add(1, SeqCst);
                    *lock.lock() += 1;
                    Sim::yield_now();
                }
                match i {
                    0 => Sim::sleep(Duration::from_millis(1)),
                    1 => parked.unpark(),
                    _ => {
                        let late = Sim::spawn("late".to_string(), move || assert!(word.load(SeqCst) <= 16)).unwrap();
                        late.join().unwrap();
                    }
                }
            })
            .unwrap()
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    parked.join().unwrap();
    assert_eq!(*lock.lock(), 15);
}

fn rich(strategy: Strategy, index: u64) -> Execution {
    let options = Options { strategy, index, record: Record::Rich, pct_steps: 60, ..Options::default() };
    let execution = execute(&options, program);
    assert_eq!(execution.verdict.name(), "Finished");
    execution
}

fn sorted(mut shifts: Vec<Shift>) -> Arc<[Shift]> {
    shifts.sort_by_key(|s| (s.thread, s.at)); // stable: time moves before the switch of the same step
    shifts.into()
}

#[test]
fn the_shifts_of_an_execution_repeat_it() {
    let mut timed = 0;
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::Pct { depth: 4 }] {
        for index in 0..300 {
            let first = rich(strategy.clone(), index);
            timed += u32::from(first.shifts.iter().any(|s| s.to == Switch::TIME));
            let again = rich(Strategy::Shifted(sorted(first.shifts.clone())), index);
            assert_eq!(again.digest, first.digest, "{strategy:?} {index}: {:?}", first.shifts);
            assert_eq!(again.shifts, first.shifts);
        }
    }
    assert!(timed > 0, "no execution moved time by choice");
}

#[test]
fn the_default_schedule_has_none() {
    let default = rich(Strategy::RunOn, 0);
    assert_eq!(default.shifts, []);
    assert_eq!(rich(Strategy::Shifted(Arc::default()), 0).digest, default.digest);
}

#[test]
fn any_part_of_the_list_is_a_schedule() {
    for index in 0..50 {
        let shifts = rich(Strategy::Random, index).shifts;
        for skipped in 0..shifts.len() {
            let mut fewer = shifts.clone();
            fewer.remove(skipped);
            let execution = rich(Strategy::Shifted(sorted(fewer.clone())), index);
            assert!(execution.shifts.len() <= fewer.len(), "{:?} grew from {fewer:?}", execution.shifts);
        }
    }
}

#[test]
fn choices_are_repeated_and_default_to_the_first_alternative() {
    let drawn = |choices: Option<Arc<[Choice]>>, index| {
        let (mut picks, options) = (Vec::new(), Options { index, choices, record: Record::Rich, ..Options::default() });
        let execution =
            execute(&options, || picks.extend((0..20).map(|i| choose(1 + i % 4) + u32::from(choose_rarely(5)))));
        (picks, execution.choices_taken)
    };
    let mut seen = std::collections::BTreeSet::new();
    for index in 0..50 {
        let (picks, taken) = drawn(None, index);
        seen.extend(picks.iter().copied());
        assert!(taken.iter().all(|c| c.pick != 0));
        let again = drawn(Some(taken.clone().into()), index);
        assert_eq!(again, (picks, taken));
        assert_eq!(drawn(Some(Arc::default()), index), (vec![0; 20], Vec::new()));
    }
    assert_eq!(seen, (0..=4).collect(), "every alternative comes up");
}
