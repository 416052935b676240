//! `Checker`: what it finds, how it tells it, and that the answer depends on nothing else.

use millpond::engine::{Sim, Strategy, Verdict, choose};
use millpond::{Checker, Report};
use millpond_model::platform::{AtomicOps, JoinOps, Lock, Platform};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, Ordering};

type Word = <Sim as Platform>::Atomic<u32>;
type Mutex<T> = <Sim as Platform>::Mutex<T>;

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> <Sim as Platform>::Join {
    Sim::spawn(name.to_string(), f).unwrap()
}

/// Two threads release one reference each; each looks before it acts.
fn check_then_act() {
    let (count, frees) = (Arc::new(Word::new(2)), Arc::new(Word::new(0)));
    let threads = ["a", "b"].map(|name| {
        let (count, frees) = (Arc::clone(&count), Arc::clone(&frees));
        spawn(name, move || {
            let now = count.load(SeqCst);
            count.store(now - 1, SeqCst);
            if now - 1 == 0 {
                frees.fetch_add(1, SeqCst);
            }
        })
    });
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(frees.load(SeqCst), 1, "released once");
}

/// The same with a read-modify-write operation.
fn act_at_once() {
    let (count, frees) = (Arc::new(Word::new(2)), Arc::new(Word::new(0)));
    let threads = ["a", "b"].map(|name| {
        let (count, frees) = (Arc::clone(&count), Arc::clone(&frees));
        spawn(name, move || {
            if count.fetch_sub(1, SeqCst) == 1 {
                frees.fetch_add(1, SeqCst);
            }
        })
    });
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(frees.load(SeqCst), 1, "released once");
}

fn lock_order() {
    let locks = Arc::new([Mutex::new(0), Mutex::new(0)]);
    let threads = [0, 1].map(|i| {
        let locks = Arc::clone(&locks);
        spawn(["left", "right"][i], move || {
            let first = locks[i].lock();
            let second = locks[1 - i].lock();
            assert_eq!(*first + *second, 0);
        })
    });
    threads.into_iter().for_each(|t| t.join().unwrap());
}

fn run(program: impl Fn() + Send + Sync) -> Report {
    Checker::new().executions(3000).run(program)
}

#[test]
fn a_lost_update_is_found_reduced_and_repeated() {
    let report = run(check_then_act);
    let failure = report.failure.as_ref().expect("it fails");
    assert!(matches!(&failure.verdict, Verdict::Panic { message, .. } if message.contains("released once")));
    assert_eq!(failure.preemptions, 1, "one switch between the load and the store: {report}");
    let decisive = failure.decisive.as_ref().expect("an order decides");
    assert!(decisive.first.contains("load") && decisive.second.contains("store"), "{decisive}");
    let told = report.to_string();
    let line = told.lines().find(|l| l.contains("replay  millpond::replay(")).expect("a line to paste");
    let token = line.split('"').nth(1).unwrap();
    let again = catch_unwind(AssertUnwindSafe(|| millpond::replay(token, check_then_act))).unwrap_err();
    let again = again.downcast_ref::<String>().unwrap();
    assert!(again.contains("released once"), "{again}");
    millpond::replay(token, act_at_once); // does not fail any longer
}

#[test]
fn a_correct_program_is_clean_and_the_report_says_how_much_was_seen() {
    let report = run(act_at_once);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.executions, 3000);
    // Two decrements in either order, and the increment after the second: two partial orders.
    let seen = report.coverage.seen();
    assert_eq!((seen.distinct, seen.once), (2, 0), "{report}");
    assert_eq!(report.members.iter().map(|m| m.executions).sum::<u64>(), 3000);
}

/// The first 10,000 executions, as many as there are by default, and those later ones whose number is a multiple of 17.
#[test]
fn of_many_executions_the_later_ones_are_sampled() {
    let report = Checker::new().executions(20_000).run(act_at_once);
    let told = (0..20_000).filter(|number| *number < 10_000 || number % 17 == 0).count();
    assert_eq!((report.executions, report.coverage.seen().executions), (20_000, told as u64));
}

#[test]
fn the_report_is_the_same_for_any_number_of_jobs() {
    for program in [check_then_act as fn(), act_at_once, lock_order] {
        let told = |jobs| {
            let report = Checker::new().executions(2000).seed(7).jobs(NonZeroUsize::new(jobs).unwrap()).run(program);
            (report.to_string(), report.executions)
        };
        let one = told(1);
        for jobs in [2, 3, 5] {
            assert_eq!(told(jobs), one);
        }
    }
}

#[test]
fn a_deadlock_says_who_waits_for_whom() {
    let report = run(lock_order);
    let failure = report.failure.as_ref().expect("it fails");
    assert!(matches!(&failure.verdict, Verdict::Deadlock { .. }));
    assert_eq!(failure.preemptions, 1, "{report}");
    let told = report.to_string();
    assert!(told.contains("left waits for mutex") && told.contains("right waits for mutex"), "{told}");
}

#[test]
fn a_program_that_does_not_do_the_same_again_is_told_apart() {
    let calls = AtomicU32::new(0);
    let report = run(|| {
        let word = Word::new(0);
        // What an earlier execution left behind.
        if calls.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            word.store(1, SeqCst);
        }
        word.store(2, SeqCst);
    });
    assert!(report.is_nondeterministic(), "{report}");
    let told = report.to_string();
    assert!(told.contains("not deterministic") && told.contains("check.rs"), "{told}");
}

#[test]
fn an_order_of_a_hash_map_is_noticed() {
    let report = run(|| {
        let words: Vec<Word> = (0..8).map(|_| Word::new(0)).collect();
        // The standard hasher has random keys: each map has another order.
        let keys: std::collections::HashSet<usize> = (0..8).collect();
        keys.iter().for_each(|k| words[*k].store(1, SeqCst));
    });
    assert!(report.is_nondeterministic(), "{report}");
}

#[test]
fn all_schedules_are_executed_on_request() {
    let strategy = Strategy::Dfs { preemptions: u32::MAX };
    let report = Checker::new().executions(100_000).strategy(strategy.clone()).run(act_at_once);
    assert!(report.is_clean() && report.complete, "{report}");
    assert_eq!(report.coverage.seen().distinct, 2);
    let report = Checker::new().executions(3).strategy(strategy.clone()).run(act_at_once);
    assert!(report.is_clean() && !report.complete, "a cut-off enumeration is not complete");
    let report = Checker::new().executions(100_000).strategy(strategy).run(check_then_act);
    assert_eq!(report.failure.expect("it fails").preemptions, 1);
}

#[test]
fn a_choice_of_the_program_is_reduced_too() {
    let report = run(|| {
        let picks: Vec<u32> = (0..12).map(|_| choose(4)).collect();
        assert!(!(picks[3] == 2 && picks[7] == 1), "both");
    });
    let failure = report.failure.expect("it fails");
    let picks: Vec<_> = failure.token.deviations.choices().iter().map(|c| (c.nth, c.pick)).collect();
    assert_eq!(picks, [(4, 2), (8, 1)]);
}

#[test]
fn a_failure_is_kept_and_repeated_first() {
    let directory = std::env::temp_dir().join(format!("millpond-regressions-{}", std::process::id()));
    let checker = Checker::new().executions(2000).regressions(&directory, "releases");
    let first = checker.run(check_then_act);
    let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(&files[0]).unwrap();
    assert!(text.contains(&first.failure.unwrap().token.to_string()) && text.starts_with("// "), "{text}");
    let second = checker.run(check_then_act);
    assert_eq!(second.executions, 1);
    assert!(second.to_string().contains("the regression"), "{second}");
    assert!(checker.run(act_at_once).is_clean(), "mended: the file stays");
    std::fs::write(&files[0], "(v: 1, failure: \"x\", replay: \"nonsense\")").unwrap();
    let broken = catch_unwind(AssertUnwindSafe(|| checker.run(act_at_once))).unwrap_err();
    assert!(broken.downcast_ref::<String>().unwrap().contains("nonsense"));
    std::fs::remove_dir_all(directory).unwrap();
}
