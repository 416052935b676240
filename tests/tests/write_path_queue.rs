//! Promises and the task queue: exactly once.

mod write_path_support;

use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, JoinOps};
use millpond_model::promise::{Cause, Promise};
use millpond_model::task_queue::{Refusal, task_queue};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

on_both!(
    promise_cancel,
    promise_listeners_run_once,
    promise_listener_runs_on_the_completing_thread,
    promise_racing_completers_and_listeners,
    promise_wait,
    queue_is_fifo_per_producer,
    queue_bound_and_close,
    queue_close_races_with_offers,
    queue_drops_what_is_left;
    misusing:
    promise_completes_once,
    promise_listener_may_panic_and_reenter,
);

type Count<P> = Arc<<P as Platform>::Atomic<u32>>;

fn counter<P: Platform>() -> Count<P> {
    Arc::new(P::Atomic::new(0))
}

fn bump<P: Platform>(count: &P::Atomic<u32>) {
    count.fetch_add(1, Ordering::SeqCst);
}

fn promise_completes_once<P: Platform>() {
    let promise = Promise::<P>::new();
    assert_eq!((promise.is_done(), promise.outcome()), (false, None));
    assert!(promise.complete(Ok(())));
    assert!(!promise.try_complete(Err(Cause::Rejected)));
    assert!(!promise.complete(Err(Cause::Rejected)));
    assert!(!promise.cancel());
    assert_eq!(promise.outcome(), Some(Ok(())));
    for cause in Cause::ALL.into_iter().filter(|c| *c != Cause::Cancelled) {
        let promise = Promise::<P>::new();
        assert!(promise.complete(Err(cause)));
        assert_eq!(promise.outcome(), Some(Err(cause)));
    }
}

fn promise_cancel<P: Platform>() {
    let promise = Promise::<P>::new();
    assert!(promise.cancel());
    assert!(promise.is_cancelled() && !promise.cancel());
    assert!(!promise.set_uncancellable());
    assert!(!promise.complete(Ok(())));

    let promise = Promise::<P>::new();
    assert!(promise.set_uncancellable() && promise.set_uncancellable());
    assert!(!promise.cancel());
    assert!(promise.complete(Ok(())));
    assert!(promise.set_uncancellable(), "complete and not cancelled");
}

fn promise_listeners_run_once<P: Platform>() {
    let (promise, calls) = (Promise::<P>::new(), counter::<P>());
    for _ in 0..3 {
        let calls = Arc::clone(&calls);
        promise.add_listener(move |outcome| {
            assert_eq!(outcome, Err(Cause::Rejected));
            calls.fetch_add(1, Ordering::SeqCst);
        });
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    promise.complete(Err(Cause::Rejected));
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let late = Arc::clone(&calls);
    promise.add_listener(move |_| bump::<P>(&late));
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

/// A listener that was there before the completion runs on the completing thread, and has run when `complete` returns,
/// whoever adds a late one or waits meanwhile.
fn promise_listener_runs_on_the_completing_thread<P: Platform>() {
    for _ in 0..50 {
        let (promise, ran_on) = (Promise::<P>::new(), Arc::new(P::Atomic::new(u32::MAX)));
        let inside = Arc::clone(&ran_on);
        promise.add_listener(move |_| inside.store(P::current_id().0, Ordering::SeqCst));
        let completed = promise.clone();
        let thread = P::spawn("completer".to_string(), move || {
            completed.complete(Ok(()));
            assert_eq!(ran_on.load(Ordering::SeqCst), P::current_id().0);
        });
        assert_eq!(promise.wait(), Ok(()));
        thread.expect("threads are to be had").join().expect("no panic");
    }
}

fn promise_listener_may_panic_and_reenter<P: Platform>() {
    let (promise, calls) = (Promise::<P>::new(), counter::<P>());
    promise.add_listener(|_| panic!("a listener's own business"));
    let (again, inner) = (promise.clone(), Arc::clone(&calls));
    promise.add_listener(move |_| {
        again.add_listener(move |_| bump::<P>(&inner));
        assert!(!again.complete(Ok(())));
    });
    promise.complete(Ok(()));
    assert!(promise.listener_panicked());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

fn promise_racing_completers_and_listeners<P: Platform>() {
    for _ in 0..200 {
        let (promise, calls, wins) = (Promise::<P>::new(), counter::<P>(), counter::<P>());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (promise, calls, wins) = (promise.clone(), Arc::clone(&calls), Arc::clone(&wins));
                let body = move || {
                    promise.add_listener(move |_| bump::<P>(&calls));
                    if promise.try_complete(Ok(())) {
                        wins.fetch_add(1, Ordering::SeqCst);
                    }
                };
                P::spawn("completer".to_string(), body).expect("threads are to be had")
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        assert_eq!((calls.load(Ordering::SeqCst), wins.load(Ordering::SeqCst)), (2, 1));
    }
}

fn promise_wait<P: Platform>() {
    let promise = Promise::<P>::new();
    let completed = promise.clone();
    let thread = P::spawn("completer".to_string(), move || {
        P::sleep(Duration::from_millis(5));
        completed.complete(Err(Cause::ConnectionReset));
    });
    assert_eq!(promise.wait(), Err(Cause::ConnectionReset));
    thread.expect("threads are to be had").join().expect("no panic");
}

fn queue_is_fifo_per_producer<P: Platform>() {
    const PRODUCERS: usize = 3;
    const EACH: u32 = 5_000;
    let (queue, mut consumer) = task_queue::<(usize, u32), P>(None);
    let threads: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let queue = queue.clone();
            let body = move || (0..EACH).for_each(|n| queue.offer((producer, n)).expect("it is open"));
            P::spawn(format!("producer {producer}"), body).expect("threads are to be had")
        })
        .collect();
    let (mut next, mut seen) = ([0; PRODUCERS], 0);
    while seen < PRODUCERS as u32 * EACH {
        match consumer.poll() {
            Some((producer, n)) => {
                assert_eq!(n, next[producer], "order of one producer");
                next[producer] += 1;
                seen += 1;
            }
            None => P::spin_hint(),
        }
    }
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
    assert_eq!((consumer.poll(), queue.len()), (None, 0));
    assert!((1..=u64::from(seen)).contains(&queue.peak()));
}

fn queue_bound_and_close<P: Platform>() {
    let (queue, mut consumer) = task_queue::<u32, P>(Some(2));
    assert_eq!(queue.offer(1), Ok(()));
    assert_eq!(queue.offer(2), Ok(()));
    assert_eq!(queue.offer(3), Err((3, Refusal::Full)));
    assert_eq!((queue.len(), queue.peak(), consumer.poll()), (2, 2, Some(1)));
    assert_eq!(queue.offer(4), Ok(()));
    queue.close();
    assert_eq!(queue.offer(5), Err((5, Refusal::Closed)));
    assert_eq!((consumer.poll(), consumer.poll(), consumer.poll()), (Some(2), Some(4), None));
    assert_eq!((queue.is_empty(), queue.peak()), (true, 2));
}

/// What was accepted is exactly what can be polled after the close.
fn queue_close_races_with_offers<P: Platform>() {
    for _ in 0..30 {
        let (queue, mut consumer) = task_queue::<u32, P>(None);
        let accepted = counter::<P>();
        let (offering, counting) = (queue.clone(), Arc::clone(&accepted));
        let thread = P::spawn("producer".to_string(), move || {
            // Some bound: a strategy with priorities may run only this thread.
            for _ in 0..10_000 {
                if offering.offer(0).is_err() {
                    break;
                }
                counting.fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut polled = 0;
        while polled < 20 {
            match consumer.poll() {
                Some(_) => polled += 1,
                None => P::spin_hint(),
            }
        }
        queue.close();
        while !queue.is_empty() {
            polled += u32::from(consumer.poll().is_some());
        }
        thread.expect("threads are to be had").join().expect("no panic");
        assert_eq!((polled, queue.len()), (accepted.load(Ordering::SeqCst), 0));
    }
}

fn queue_drops_what_is_left<P: Platform>() {
    let witness = Arc::new(());
    let (queue, mut consumer) = task_queue::<Arc<()>, P>(None);
    for _ in 0..5 {
        queue.offer(Arc::clone(&witness)).expect("it is open");
    }
    drop(consumer.poll());
    assert_eq!(Arc::strong_count(&witness), 5);
    drop((queue, consumer));
    assert_eq!(Arc::strong_count(&witness), 1);
}
