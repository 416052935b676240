//! A series of executions, whose engine is set up once, against as many executions alone.

mod facade_support;

use facade_support::Plain;
use millpond::engine::{
    Execution, Facts, MemoryModel, Options, Record, Series, Sim, Strategy, Verdict, choose, execute, observed,
};
use millpond::sync::atomic::{AtomicUsize, Ordering};
use millpond::sync::{Arc, Condvar, LazyLock, Mutex, mpsc};
use millpond::{thread, time};
use millpond_model::Platform;
use millpond_model::platform::LocalKey;
use std::cell::Cell;
use std::time::Duration;

static MADE_ANEW: LazyLock<AtomicUsize> = LazyLock::new(|| AtomicUsize::new(5));

millpond::thread_local! {
    static MINE: Cell<usize> = const { Cell::new(0) };
}

/// Something of everything that an execution may leave behind: threads, timers, thread-local variables, statics, choices, looks.
fn mixed() {
    let words = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let gate = Arc::new((Mutex::new(0), Condvar::new()));
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..3)
        .map(|i| {
            let (words, gate, sender) = (Arc::clone(&words), Arc::clone(&gate), sender.clone());
            thread::spawn(move || {
                MINE.set(MINE.get() + i);
                words[0].store(i, Ordering::Relaxed);
                words[1].fetch_add(words[0].load(Ordering::Relaxed), Ordering::AcqRel);
                MADE_ANEW.fetch_add(1, Ordering::SeqCst);
                let (number, grown) = &*gate;
                *number.lock().unwrap() += choose(3) as usize;
                grown.notify_one();
                if i == 1 {
                    thread::sleep(Duration::from_millis(3));
                }
                thread::yield_now();
                sender.send(MINE.get()).unwrap();
            })
        })
        .collect();
    drop(sender);
    let begin = time::Instant::now();
    let (number, grown) = &*gate;
    let (number, _) = grown.wait_timeout(number.lock().unwrap(), Duration::from_millis(2)).unwrap();
    assert!(*number <= 6);
    drop(number);
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(receiver.iter().sum::<usize>(), 3);
    // Two of them; the third is left to end when it likes.
    threads.into_iter().skip(1).for_each(|thread| thread.join().unwrap());
    assert!(observed(|| words[0].load(Ordering::Relaxed)) < 3);
    assert!(MADE_ANEW.load(Ordering::SeqCst) >= 7);
    // The platform's own variables have places, which are used again: sometimes more of them than before.
    let variables: Vec<_> = (0..3 + choose(2)).map(|_| <Sim as Platform>::Local::<u32>::new()).collect();
    for (i, variable) in (0..).zip(&variables) {
        variable.with(|| i, |_| ()).unwrap();
    }
    for (i, variable) in (0..).zip(&variables) {
        assert_eq!(variable.with_existing(|value| *value), Some(i), "each has a place of its own");
    }
}

/// Fails in some schedules: an update is lost, nobody wakes a waiter, a cell is raced for.
fn faulty() {
    let word = Arc::new((AtomicUsize::new(0), Plain::new(0), Mutex::new(false), Condvar::new()));
    let theirs = Arc::clone(&word);
    let other = thread::spawn(move || {
        let seen = theirs.0.load(Ordering::Relaxed);
        theirs.0.store(seen + 1, Ordering::Relaxed);
        if seen == 1 {
            theirs.1.write();
        }
        theirs.3.notify_all(); // and `true` is never said
    });
    let seen = word.0.load(Ordering::Relaxed);
    word.0.store(seen + 1, Ordering::Relaxed);
    if seen == 0 {
        word.1.write();
    } else if choose(2) == 1 {
        let opened = word.2.lock().unwrap();
        drop(word.3.wait_while(opened, |opened| !*opened).unwrap());
    }
    other.join().unwrap();
    assert_eq!(word.0.load(Ordering::Relaxed), 2, "a lost update");
}

/// What has to be the same.
fn told(execution: &Execution) -> (String, [u64; 5]) {
    let e = execution;
    (e.verdict.to_string(), [e.digest, e.class, e.steps, e.choices, e.preemptions])
}

/// Executes `program` in a series whose options change now and then, and each of them alone; how many failed.
fn compare(program: fn(), executions: u64) -> usize {
    let pilot = Facts::of(&execute(&Facts::pilot(&Options::default()), program));
    let strategies = [
        Strategy::Random,
        Strategy::Pct { depth: 3 },
        Strategy::Surw(pilot.profile.clone()),
        Strategy::Urw(pilot.profile.clone()),
        Strategy::Pos,
        Strategy::DelayBounded { delays: 2 },
        Strategy::RoundRobin,
    ];
    // Three times the choices that there are, so that changes and delays are left over.
    let mut series = Series::new(Options { pct_steps: 3 * pilot.choices, ..Options::default() });
    let mut failed = 0;
    for index in 0..executions {
        // Nothing changes for 16 executions; then one thing does, in a rotation with periods that have no divisor in common.
        let turn = usize::try_from(index / 16).unwrap();
        if index % 16 == 0 {
            match turn % 3 {
                0 => series.options_mut().strategy = strategies[turn / 3 % strategies.len()].clone(),
                1 => series.options_mut().memory = MemoryModel::ALL[turn / 3 % 3],
                _ => series.options_mut().record = [Record::Bare, Record::Lean][turn / 3 % 2],
            }
        }
        series.set_classes(index % 5 == 0);
        let of_series = match index % 31 {
            30 => told(&series.execute_fully(index, program)),
            _ => match series.execute(index, program) {
                Ok(brief) => {
                    let numbers = [brief.digest, brief.class, brief.steps, brief.choices, brief.preemptions];
                    (Verdict::Finished.to_string(), numbers)
                }
                Err(execution) => told(&execution),
            },
        };
        // On an OS thread of its own, whose engine has executed nothing before.
        let options = Options { index, ..series.options().clone() };
        let alone = std::thread::spawn(move || execute(&options, program)).join().unwrap();
        assert_eq!(of_series, told(&alone), "execution {index}, {:?}", series.options());
        failed += usize::from(of_series.0 != Verdict::Finished.to_string());
    }
    failed
}

#[test]
fn a_series_is_as_many_executions_alone() {
    assert_eq!(compare(mixed, 2000), 0);
}

#[test]
fn a_series_goes_on_after_executions_that_failed() {
    let failed = compare(faulty, 2000);
    assert!((100..1900).contains(&failed), "{failed} failed");
}

#[test]
fn a_series_inside_an_execution_is_refused() {
    let mut outer = Series::new(Options::default());
    let inside = || {
        let text = millpond::panic::catch_unwind(|| Series::new(Options::default()).execute(0, || ()).is_ok());
        let text = text.expect_err("it is refused");
        assert_eq!(*text.downcast_ref::<&str>().unwrap(), "an execution can't run inside another one");
    };
    for index in 0..3 {
        let told = outer.execute(index, inside).map_err(|execution| execution.verdict.to_string());
        assert!(told.is_ok(), "{told:?}");
    }
}

#[test]
#[should_panic(expected = "an enumeration has a path")]
fn a_series_of_an_enumeration_is_refused() {
    let _ = Series::new(Options { strategy: Strategy::Dpor, ..Options::default() }).execute(0, || ());
}
