//! What the facade has for crates that are written for `loom` and `shuttle`.

mod facade_support;

use facade_support::{everywhere, finished, inside, once};
use millpond as loom;
use millpond::Checker;
use millpond::engine::{MemoryModel, Strategy, Verdict};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic as host;
use std::task::Poll;

fn panics(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it fails");
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()))
        .expect("a text")
}

/// Loom's own first example.
fn lossy_counter() {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
    use loom::thread;

    let num = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let num = num.clone();
            thread::spawn(move || {
                let current = num.load(Acquire);
                num.store(current + 1, Release);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(2, num.load(Relaxed), "a lost update");
}

#[test]
fn each_way_to_check_finds_a_lost_update() {
    let ways: [(&str, fn()); 7] = [
        ("model", || loom::model(lossy_counter)),
        ("builder", || {
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(2);
            builder.check(lossy_counter);
        }),
        ("random", || loom::check_random(lossy_counter, 1000)),
        ("seed", || loom::check_random_with_seed(lossy_counter, 9, 1000)),
        ("pct", || loom::check_pct(lossy_counter, 1000, 2)),
        ("dfs", || loom::check_dfs(lossy_counter, None)),
        ("urw", || loom::check_urw(lossy_counter, 1000)),
    ];
    for (name, way) in ways {
        let text = panics(way);
        assert!(text.contains("a lost update"), "{name}: {text}");
    }
}

#[test]
fn a_branch_that_is_skipped_fails_nothing_and_the_others_go_on() {
    let (skipped, ended) = (host::AtomicUsize::new(0), host::AtomicUsize::new(0));
    let program = || {
        let flag = loom::sync::Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let theirs = flag.clone();
        let other = loom::thread::spawn(move || theirs.store(true, host::Ordering::SeqCst));
        if !flag.load(host::Ordering::SeqCst) {
            skipped.fetch_add(1, host::Ordering::Relaxed);
            loom::skip_branch();
            unreachable!("it goes no further");
        }
        other.join().unwrap();
        ended.fetch_add(1, host::Ordering::Relaxed);
    };
    everywhere(1, program);
    assert!(skipped.swap(0, host::Ordering::Relaxed) > 0 && ended.swap(0, host::Ordering::Relaxed) > 0);
    loom::Checker::new().executions(1000).check(program);
    assert!(skipped.into_inner() > 0 && ended.into_inner() > 0);
}

#[test]
fn leaks_of_tracked_memory_are_found() {
    use loom::alloc::{Layout, Track, alloc, dealloc};
    let layout = Layout::new::<u64>();
    inside(|| {
        // SAFETY: the layout isn't empty; the memory is given back once.
        unsafe { dealloc(alloc(layout), layout) };
        assert_eq!(Track::new(3).into_inner(), 3);
        drop(Track::new(4));
    });
    let leaked = once(Strategy::RunOn, 0, || std::mem::forget(Track::new(5)));
    assert!(leaked.verdict.to_string().contains("1 allocations leaked"), "{}", leaked.verdict);
    let foreign = once(Strategy::RunOn, 0, || {
        let mut word = 5_u64;
        // SAFETY: none: it is seen before anything happens.
        unsafe { dealloc((&raw mut word).cast(), layout) };
    });
    assert!(matches!(&foreign.verdict, Verdict::Panic { message, .. } if message.contains("does not have")));
}

#[test]
fn futures_are_run_and_woken() {
    use loom::future::{AtomicWaker, block_on};
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};
    everywhere(2, || {
        let shared = Arc::new((AtomicWaker::new(), AtomicBool::new(false)));
        let theirs = shared.clone();
        let other = loom::thread::spawn(move || {
            theirs.1.store(true, SeqCst);
            theirs.0.wake();
        });
        block_on(poll_fn(|context| {
            shared.0.register_by_ref(context.waker());
            if shared.1.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        }));
        other.join().unwrap();
    });
    // Who looks before it registers can miss the only call.
    let verdict = facade_support::somewhere(2, || {
        let shared = Arc::new((AtomicWaker::new(), AtomicBool::new(false)));
        let theirs = shared.clone();
        loom::thread::spawn(move || {
            theirs.1.store(true, SeqCst);
            theirs.0.wake();
        });
        block_on(poll_fn(|context| {
            if shared.1.load(SeqCst) {
                return Poll::Ready(());
            }
            shared.0.register_by_ref(context.waker());
            Poll::Pending
        }));
    });
    assert!(matches!(verdict, Verdict::Deadlock { .. }), "{verdict}");
}

millpond::lazy_static! {
    static ref LIST: loom::sync::Mutex<Vec<u32>> = loom::sync::Mutex::new(Vec::new());
}

#[test]
fn what_else_loom_has() {
    for index in 0..5 {
        finished(&once(Strategy::Random, index, || {
            LIST.lock().unwrap().push(1);
            assert_eq!(LIST.lock().unwrap().len(), 1);
            let mut word = loom::sync::atomic::AtomicU32::new(3);
            word.with_mut(|n| *n += 1);
            // SAFETY: nobody writes.
            assert_eq!(unsafe { word.unsync_load() }, 4);
            let shape = loom::sync::Arc::from_std(std::sync::Arc::new(|| 5_u32) as std::sync::Arc<dyn Fn() -> u32>);
            assert_eq!(shape(), 5);
            let notify = loom::sync::Notify::new();
            notify.notify();
            notify.wait();
            loom::stop_exploring();
            loom::explore();
        }));
    }
}

/// Two threads use what `std`'s `Arc` owns, and nothing but its counts orders the last use of one before the drop by the other.
fn owned_by_std() {
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    struct Shared(AtomicUsize, UnsafeCell<u32>);
    // SAFETY: the cell is only read.
    unsafe impl Sync for Shared {}
    fn look(shared: &Shared) {
        shared.0.fetch_add(1, Relaxed);
        // SAFETY: nobody writes.
        assert_eq!(shared.1.with(|value| unsafe { *value }), 7);
    }
    let shared = std::sync::Arc::new(Shared(AtomicUsize::new(0), UnsafeCell::new(7)));
    let theirs = shared.clone();
    loom::thread::spawn(move || look(&theirs));
    look(&shared);
}

#[test]
fn who_can_not_see_the_owners_does_not_accuse_the_last_of_them() {
    let report = Checker::new().run(owned_by_std);
    let text = report.to_string();
    assert!(text.contains("UnorderedFree") && text.contains("Checker::unseen_owners"), "{text}");
    for memory in [MemoryModel::Races, MemoryModel::Weak] {
        let report = Checker::new().unseen_owners(true).memory(memory).run(owned_by_std);
        assert!(report.is_clean() && report.executions == 10_000, "{report}");
    }
    loom::model(owned_by_std);
    loom::check_random(owned_by_std, 1000);
    loom::check_urw(owned_by_std, 1000);
    loom::check_dfs(owned_by_std, None);
}

#[test]
fn a_replay_knows_that_owners_are_unseen() {
    let program = || {
        owned_by_std();
        lossy_counter();
    };
    let failure = Checker::new().unseen_owners(true).run(program).failure.expect("a lost update");
    let token = failure.token.to_string();
    assert!(token.contains("/unseen=1"), "{token}");
    let text = panics(|| millpond::replay(&token, program));
    assert!(text.contains("a lost update"), "{text}");
}

#[test]
fn who_has_a_word_to_himself_comes_after_the_others_even_where_owners_are_unseen() {
    use loom::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
    fn program(order: host::Ordering) {
        let word = Box::into_raw(Box::new(AtomicUsize::new(0)));
        let (place, done) = (loom::sync::Arc::new(AtomicPtr::new(word)), loom::sync::Arc::new(AtomicUsize::new(0)));
        let theirs = (place.clone(), done.clone());
        loom::thread::spawn(move || {
            // SAFETY: it is freed after `done` is set.
            unsafe { &*theirs.0.load(Relaxed) }.store(1, Relaxed);
            theirs.1.store(1, order);
        });
        if done.load(Acquire) == 1 {
            // SAFETY: nobody uses it any more; what is tested is whether that is known.
            unsafe { Box::from_raw(word) }.with_mut(|value| assert_eq!(*value, 1));
        }
    }
    let checker = Checker::new().unseen_owners(true);
    let report = checker.run(|| program(Release));
    assert!(report.is_clean(), "{report}");
    let text = checker.run(|| program(Relaxed)).to_string();
    assert!(text.contains("UnorderedFree"), "{text}");
}

#[test]
fn a_promise_that_is_broken_is_seen() {
    let message = |program: fn()| match once(Strategy::RunOn, 0, program).verdict {
        Verdict::Panic { message, .. } => message,
        other => panic!("{other}"),
    };
    // SAFETY: none: it is seen.
    assert!(message(|| unsafe { loom::hint::unreachable_unchecked() }).contains("unreachable"));
    // SAFETY: as above.
    assert!(message(|| unsafe { loom::hint::assert_unchecked(loom::MAX_THREADS == 0) }).contains("said to hold"));
    // SAFETY: it holds.
    inside(|| unsafe { loom::hint::assert_unchecked(loom::MAX_THREADS > 1) });
}
