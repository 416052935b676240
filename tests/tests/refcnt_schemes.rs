//! The counts of Netty's releases and ours: one contract, and the places where they differ.

mod write_path_support;

use millpond::engine::{Sim, with_ledger};
use millpond::ledger::FindingKind;
use millpond_model::allocator::{Allocator, AllocatorConfig};
use millpond_model::buffer::{Buffer, Owned};
use millpond_model::platform::{AtomicOps, JoinOps};
use millpond_model::recycler::Domain;
use millpond_model::refcnt::{Count, IllegalCount, MAX_COUNT, MAX_HANDLES, MAX_PINS, RefCount, Release, Scheme};
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{random, to_the_end};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

on_both!(
    contract,
    overflow,
    last_release_is_unique,
    racing_handles,
    buffers_in_each_scheme,
    writing_needs_one;
    misusing:
    over,
);

fn alive<P: Platform>(scheme: Scheme) -> Count<P> {
    let count = Count::new(scheme);
    count.revive();
    count
}

fn illegal<T>(count: i32, change: i64) -> Result<T, IllegalCount> {
    Err(IllegalCount { count, change })
}

fn left(left: u32) -> Result<Release, IllegalCount> {
    Ok(Release { left, deallocate: left == 0, again: false })
}

fn contract<P: Platform>() {
    for scheme in Scheme::ALL {
        let count = alive::<P>(scheme);
        assert_eq!((count.retain(1), count.retain(3), count.count()), (Ok(2), Ok(5), 5), "{scheme:?}");
        assert_eq!(count.release(4), left(1), "{scheme:?}");
        assert_eq!((count.release(3), count.count()), (illegal(1, -3), 1), "{scheme:?}: over-release changes nothing");
        assert_eq!((count.retain(0), count.release(0)), (illegal(1, 0), illegal(1, 0)), "{scheme:?}");
        assert_eq!(count.release(1), left(0), "{scheme:?}");
        for _ in 0..2 {
            assert_eq!(
                (count.retain(1), count.release(1)),
                (illegal(0, 1), illegal(0, -1)),
                "{scheme:?}: dead for ever"
            );
        }
        assert_eq!((count.count(), count.pin()), (0, illegal(0, 0)), "{scheme:?}");
    }
}

/// Java's `int` is full at 2^31 - 1; a raw count of twice as much at 2^30 - 1.
fn overflow<P: Platform>() {
    for scheme in Scheme::ALL {
        let doubled = matches!(scheme, Scheme::OddEven | Scheme::OneWord);
        let most = if doubled { MAX_COUNT } else { i32::MAX as u32 };
        let count = alive::<P>(scheme);
        assert_eq!(count.retain(most), illegal(1, i64::from(most)), "{scheme:?}");
        assert_eq!(count.retain(u32::MAX), illegal(1, i64::from(u32::MAX)), "{scheme:?}");
        assert_eq!(count.retain(most - 1), Ok(most), "{scheme:?}");
        assert_eq!((count.retain(1), count.count()), (illegal(most as i32, 1), most), "{scheme:?}: it is undone");
        assert_eq!(count.release(most), left(0), "{scheme:?}");
    }
}

fn last_release_is_unique<P: Platform>() {
    for scheme in Scheme::ALL {
        for _ in 0..50 {
            let count = Arc::new(alive::<P>(scheme));
            count.retain(2).expect("it is alive");
            let lasts = Arc::new(P::Atomic::new(0_u32));
            let threads: Vec<_> = (0..3)
                .map(|i| {
                    let (count, lasts) = (Arc::clone(&count), Arc::clone(&lasts));
                    let body = move || {
                        count.retain(1).expect("this thread has one");
                        let first = count.release(1).expect("this thread has two");
                        let second = count.release(1).expect("this thread has one");
                        assert!(!first.deallocate);
                        lasts.fetch_add(u32::from(second.deallocate), Ordering::SeqCst);
                    };
                    P::spawn(format!("owner {i}"), body).expect("threads are to be had")
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().expect("no panic"));
            assert_eq!((lasts.load(Ordering::SeqCst), count.count()), (1, 0), "{scheme:?}");
        }
    }
}

fn allocator<P: Platform>(scheme: Scheme) -> Allocator<P> {
    Allocator::new_in(&Domain::new(), AllocatorConfig { scheme, ..Preset::Millpond.into() })
}

fn racing_handles<P: Platform>() {
    for scheme in Scheme::ALL {
        let allocator = allocator::<P>(scheme);
        for _ in 0..20 {
            let mut buffer = allocator.allocate(4).expect("there is memory");
            buffer.put(b"pond").expect("there is room");
            let threads: Vec<_> = (0..2)
                .map(|i| {
                    let mine = Owned::from(buffer.retain().expect("it is alive"));
                    let body = move || {
                        let twin = Owned::from(mine.retain().expect("it is alive"));
                        drop(mine);
                        assert_eq!(&*twin.bytes().expect("this thread has a count"), b"pond");
                    };
                    P::spawn(format!("reader {i}"), body).expect("threads are to be had")
                })
                .collect();
            drop(Owned::from(buffer));
            threads.into_iter().for_each(|t| t.join().expect("no panic"));
            assert_eq!(allocator.stats().direct.total().in_use, 0, "{scheme:?}: the shell is back");
        }
    }
}

fn buffers_in_each_scheme<P: Platform>() {
    for scheme in Scheme::ALL {
        let allocator = allocator::<P>(scheme);
        let mut buffer = allocator.allocate(4).expect("there is memory");
        buffer.put(b"pond").expect("there is room");
        let slice = buffer.retained_slice(1, 2).expect("it has these bytes");
        let part = slice.slice(0, 1).expect("it has these bytes");
        assert_eq!((buffer.count(), slice.count(), part.count()), (2, 1, 1), "{scheme:?}");
        assert_eq!(buffer.release(), Ok(false), "{scheme:?}");
        assert_eq!(&*part.bytes().expect("it is alive"), b"o", "{scheme:?}");
        drop(slice);
        assert_eq!((part.release(), buffer.count()), (Ok(true), 0), "{scheme:?}");
        drop((part, buffer));
        let stats = allocator.stats();
        assert_eq!((stats.direct.total().in_use, stats.slices.map(|s| s.total().in_use)), (0, Some(0)), "{scheme:?}");
    }
}

fn writing_needs_one<P: Platform>() {
    for scheme in Scheme::ALL {
        let mut buffer = allocator::<P>(scheme).allocate(4).expect("there is memory");
        buffer.retain_many(2).expect("it is alive");
        assert!(buffer.put(b"x").is_err(), "{scheme:?}: three owners, though they have one handle");
        assert_eq!(buffer.release_many(2), Ok(false));
        buffer.put(b"x").expect("one owner");
        assert_eq!(buffer.release(), Ok(true));
    }
}

fn over<P: Platform>() {
    for scheme in Scheme::ALL {
        let buffer = allocator::<P>(scheme).allocate(4).expect("there is memory");
        assert_eq!(buffer.release_many(3), illegal(1, -3), "{scheme:?}");
        assert_eq!((buffer.release(), buffer.release()), (Ok(true), illegal(0, -1)), "{scheme:?}");
        assert!(matches!(buffer.retain(), Err(IllegalCount { count: 0, change: 1 })), "{scheme:?}");
        assert!(buffer.bytes().is_err() && buffer.duplicate().is_err(), "{scheme:?}");
    }
}

/// Netty #8563: one releases, a second one retains what is dead, a third one releases what is dead. How often a release said
/// that it was the last, and how often the memory was deallocated again.
fn two_errors(scheme: Scheme) -> BTreeSet<(u32, usize)> {
    let mut seen = BTreeSet::new();
    for options in random(400) {
        let mut outcome = (0, 0);
        to_the_end(&options, || {
            with_ledger(|ledger| ledger.only_count());
            let mut buffer = allocator::<Sim>(scheme).allocate(4).expect("there is memory");
            buffer.put(b"pond").expect("there is room");
            let lasts = Arc::new(<Sim as Platform>::Atomic::new(0_u32));
            let last: fn(&Buffer<Sim>) -> bool = |b| b.release() == Ok(true);
            let retain: fn(&Buffer<Sim>) -> bool = |b| b.retain_many(1).is_ok_and(|()| false);
            let operations = [("the owner", last), ("an illegal retain", retain), ("an illegal release", last)];
            let handles = operations.map(|_| buffer.duplicate().expect("it is alive"));
            let threads = operations.into_iter().zip(handles).map(|((name, operation), handle)| {
                let lasts = Arc::clone(&lasts);
                let body = move || {
                    lasts.fetch_add(u32::from(operation(&handle)), Ordering::SeqCst);
                };
                Sim::spawn(name.to_string(), body).expect("threads are to be had")
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().for_each(|t| t.join().expect("no panic"));
            let again = |f: &&millpond::ledger::Finding| f.text.contains("reached zero twice");
            let found =
                with_ledger(|ledger| ledger.findings().iter().filter(again).map(|f| f.kind).collect::<Vec<_>>());
            assert!(found.iter().all(|kind| *kind == FindingKind::DoubleRelease));
            outcome = (lasts.load(Ordering::SeqCst), found.len());
            if buffer.count() > 0 {
                buffer.release_many(buffer.count()).expect("the retain came first, and is owed a release");
            }
        });
        seen.insert(outcome);
    }
    seen
}

#[test]
fn only_the_optimistic_count_deallocates_twice() {
    // No release was the last where the retain came first: then it was legal, and one of the two releases ended it.
    for scheme in [Scheme::CasLoop, Scheme::OddEven, Scheme::OneWord] {
        let seen = two_errors(scheme);
        assert!(seen.iter().all(|(lasts, again)| *lasts <= 1 && *again == 0), "{scheme:?}: {seen:?}");
        assert!(seen.contains(&(1, 0)), "{scheme:?}: {seen:?}");
    }
    let seen = two_errors(Scheme::Optimistic);
    assert!(seen.contains(&(2, 1)), "two were the last, and the second one freed nothing: {seen:?}");
    assert!(seen.iter().all(|(lasts, again)| *lasts == 2 && *again == 1 || *lasts <= 1 && *again == 0), "{seen:?}");
}

/// What a count is, told without any trick.
#[derive(Default)]
struct Naive {
    count: u64,
    handles: u64,
    pins: u64,
    exclusive: bool,
}

#[derive(Clone, Debug)]
enum Operation {
    Retain(u32),
    Release(u32),
    Join(u32),
    Leave,
    Pin,
    PinExclusively,
    PinToWrite,
    Unpin,
}

fn operation() -> impl Strategy<Value = Operation> {
    let n = || prop_oneof![8 => 0..4_u32, 1 => Just(MAX_COUNT - 1), 1 => Just(i32::MAX as u32), 1 => any::<u32>()];
    prop_oneof![
        n().prop_map(Operation::Retain),
        n().prop_map(Operation::Release),
        (0..3_u32).prop_map(Operation::Join),
        Just(Operation::Leave),
        Just(Operation::Pin),
        Just(Operation::PinExclusively),
        Just(Operation::PinToWrite),
        Just(Operation::Unpin),
    ]
}

fn follows(scheme: Scheme, operations: &[Operation]) -> Result<(), TestCaseError> {
    let most =
        if matches!(scheme, Scheme::CasLoop | Scheme::Optimistic) { i32::MAX as u64 } else { u64::from(MAX_COUNT) };
    let count = alive::<millpond_model::Std>(scheme);
    let mut naive = Naive { count: 1, handles: 1, ..Naive::default() };
    let mut deallocated = 0;
    for operation in operations {
        let found = naive.count as i32;
        match *operation {
            Operation::Retain(n) => {
                let legal = n > 0 && naive.count > 0 && naive.count + u64::from(n) <= most;
                naive.count += if legal { u64::from(n) } else { 0 };
                let expected = if legal { Ok(naive.count as u32) } else { illegal(found, i64::from(n)) };
                prop_assert_eq!(count.retain(n), expected);
            }
            Operation::Release(n) => {
                let legal = n > 0 && u64::from(n) <= naive.count;
                naive.count -= if legal { u64::from(n) } else { 0 };
                let deallocate = naive.count == 0 && naive.pins == 0 && !naive.exclusive;
                let release = Release { left: naive.count as u32, deallocate, again: false };
                prop_assert_eq!(count.release(n), if legal { Ok(release) } else { illegal(found, -i64::from(n)) });
                deallocated += u32::from(legal && deallocate);
            }
            Operation::Join(n) => {
                let legal = naive.count > 0 && naive.count + u64::from(n) <= most;
                naive.count += if legal { u64::from(n) } else { 0 };
                naive.handles += u64::from(legal);
                let expected = if legal { Ok(naive.count as u32) } else { illegal(found, i64::from(n)) };
                prop_assert_eq!(count.join(n), expected);
            }
            Operation::Leave if naive.handles > 1 => {
                naive.handles -= 1;
                prop_assert_eq!(count.leave(), millpond_model::refcnt::Leave::Others);
            }
            Operation::Pin => {
                let legal = naive.count > 0 && !naive.exclusive;
                naive.pins += u64::from(legal);
                prop_assert_eq!(count.pin(), if legal { Ok(()) } else { illegal(found, 0) });
            }
            Operation::PinExclusively | Operation::PinToWrite => {
                let to_write = matches!(operation, Operation::PinToWrite);
                let legal = naive.count > 0 && naive.pins == 0 && !naive.exclusive && (!to_write || naive.count == 1);
                naive.exclusive |= legal;
                let result = if to_write { count.pin_to_write() } else { count.pin_exclusively() };
                prop_assert_eq!(result, if legal { Ok(()) } else { illegal(found, 0) });
            }
            Operation::Unpin if naive.exclusive || naive.pins > 0 => {
                naive.pins -= u64::from(!naive.exclusive);
                naive.exclusive = false;
                let deallocate = naive.count == 0 && naive.pins == 0;
                prop_assert_eq!(count.unpin(), deallocate);
                deallocated += u32::from(deallocate);
            }
            Operation::Leave | Operation::Unpin => {}
        }
        prop_assert_eq!(u64::from(count.count()), naive.count);
        let sole = naive.count == 1 && naive.handles == 1 && naive.pins == 0 && !naive.exclusive;
        prop_assert_eq!(count.is_sole(), sole);
    }
    prop_assert_eq!(deallocated, u32::from(naive.count == 0 && naive.pins == 0 && !naive.exclusive));
    Ok(())
}

proptest! {
    #[test]
    fn each_scheme_is_a_count(operations in prop::collection::vec(operation(), 0..60)) {
        for scheme in Scheme::ALL {
            follows(scheme, &operations)?;
        }
    }
}

#[test]
fn pins_and_handles_have_limits() {
    let count = RefCount::<millpond_model::Std>::new();
    count.revive();
    for _ in 0..MAX_PINS {
        count.pin().expect("there is room");
    }
    assert_eq!(count.pin(), illegal(1, 0));
    assert_eq!((0..MAX_PINS).filter(|_| count.unpin()).count(), 0);
    for _ in 1..MAX_HANDLES {
        count.join(0).expect("there is room");
    }
    assert_eq!(count.join(0), illegal(1, 0));
    assert_eq!(count.join(1), illegal(1, 1));
    assert_eq!(count.count(), 1);
}
