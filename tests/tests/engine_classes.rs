//! The classes of executions: as many as there are partial orders.

use millpond::engine::{Options, Sim, Strategy, exhaust_with};
use millpond_model::platform::{AtomicOps, JoinOps, Lock, Platform, ThreadOps};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

type Word = <Sim as Platform>::Atomic<u32>;

/// Schedules of `program`, and the different classes among them.
fn count(program: impl Fn() + Copy) -> (u64, usize) {
    let options = Options { strategy: Strategy::Dfs { preemptions: u32::MAX }, classes: true, ..Options::default() };
    let mut classes = BTreeSet::new();
    let reached = exhaust_with(&options, 1_000_000, program, |_, execution| {
        assert_eq!(execution.verdict.name(), "Finished");
        classes.insert(execution.class);
        ControlFlow::Continue(())
    });
    assert!(reached.complete);
    (reached.schedules, classes.len())
}

/// Two threads, each doing `f` with its number, and main joining both.
fn two(f: impl Fn(usize, &[Word; 2]) + Copy + Send + 'static) -> (u64, usize) {
    count(move || {
        let words = Arc::new([Word::new(0), Word::new(0)]);
        let threads = [0, 1].map(|i| {
            let words = Arc::clone(&words);
            Sim::spawn(format!("t{i}"), move || f(i, &words)).unwrap()
        });
        threads.into_iter().for_each(|t| t.join().unwrap());
    })
}

#[test]
fn writes_to_one_word_give_a_class_each_order() {
    for (n, orders) in [(1, 2), (2, 6), (3, 20)] {
        // C(2n, n) orders of two sequences of n conflicting operations
        let (schedules, classes) = two(move |_, words| (0..n).for_each(|_| words[0].store(1, SeqCst)));
        assert_eq!(classes, orders, "{n} writes each");
        assert!(schedules >= orders as u64);
    }
}

#[test]
fn independent_operations_give_one_class() {
    let (schedules, classes) = two(|i, words| (0..3).for_each(|_| words[i].store(1, SeqCst)));
    assert_eq!(classes, 1, "two words");
    assert!(schedules > 20, "{schedules}");
    assert_eq!(two(|_, words| (0..3).for_each(|_| assert_eq!(words[0].load(SeqCst), 0))).1, 1, "reads only");
}

#[test]
fn a_read_is_ordered_with_each_write() {
    // One write, n reads of one thread: the write comes before, after or between them.
    let read_or_write = |i: usize, words: &[Word; 2]| match i {
        0 => words[0].store(1, SeqCst),
        _ => (0..3).for_each(|_| assert!(words[0].load(SeqCst) <= 1)),
    };
    assert_eq!(two(read_or_write).1, 4);
}

#[test]
fn which_thread_made_an_object_first_does_not_matter() {
    let (_, classes) = two(|_, _| {
        let mine = Word::new(0);
        mine.store(1, SeqCst);
        assert_eq!(mine.load(SeqCst), 1);
    });
    assert_eq!(classes, 1);
}

#[test]
fn critical_sections_are_ordered() {
    let (_, classes) = count_locked();
    assert_eq!(classes, 2);
}

fn count_locked() -> (u64, usize) {
    count(|| {
        let lock = Arc::new(<Sim as Platform>::Mutex::new(0));
        let threads = [0, 1].map(|i| {
            let lock = Arc::clone(&lock);
            Sim::spawn(format!("t{i}"), move || *lock.lock() += 1).unwrap()
        });
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*lock.lock(), 2);
    })
}

#[test]
fn an_unpark_before_and_after_the_park_differ() {
    let (_, classes) = count(|| {
        let main = Sim::current();
        let other = Sim::spawn("other".to_string(), move || main.unpark()).unwrap();
        Sim::park();
        other.join().unwrap();
    });
    assert_eq!(classes, 1, "a token is taken after it was given, whether the thread waited or not");
}
