//! The leak detector: who is tracked, what is reported and when, and Netty's own mistakes with it (bug corpus, section F).

use millpond::engine::{Options, Sim};
use millpond_model::leak::{
    Access, Detection, Detector, Finding, Leak, LeakConfig, LeakGuard, LeakHint, LeakStats, LeakViolation, LeakWatch,
    Level, RecordPolicy, Sampling, TrackId, Tracker,
};
use millpond_model::{Preset, Std};
use millpond_tests::sim::{in_turn, soundly};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex};

/// A detector, and what its listener is given.
struct Bench {
    detector: Detector,
    heard: Arc<Mutex<Vec<Leak>>>,
}

impl Bench {
    fn new(config: LeakConfig) -> Self {
        let detector = Detector::new("Buffer", config);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&heard);
        detector.set_listener(Some(Arc::new(move |leak| theirs.lock().expect("no panic").push(leak.clone()))));
        Self { detector, heard }
    }

    /// The reports since the last call.
    fn heard(&self) -> Vec<Leak> {
        std::mem::take(&mut self.heard.lock().expect("no panic"))
    }

    fn stats(&self) -> LeakStats {
        let stats = self.detector.stats();
        assert_eq!(stats.check(), Ok(()));
        stats
    }
}

fn paranoid(preset: Preset) -> LeakConfig {
    LeakConfig { level: Level::Paranoid, ..preset.into() }
}

/// A place as reports write it.
fn place(site: &Location<'_>, lines: u32, column: u32) -> String {
    format!("{}:{}:{column}", site.file(), site.line() + lines)
}

fn interval(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

// ---- what is reported, and when

#[test]
fn exact_detection_reports_at_the_drop() {
    let bench = Bench::new(paranoid(Preset::Millpond));
    let here = Location::caller();
    let tracker = bench.detector.track().expect("all are tracked");
    tracker.record(Access::Retained);
    tracker.record_hinted(Access::Touched, &"decoder");
    assert_eq!(bench.heard().len(), 0);
    drop(tracker);
    let heard = bench.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].id, heard[0].finding, heard[0].duplicate), (Some(TrackId(0)), Finding::Dropped, false));
    let expected = format!(
        "LEAK: Buffer was not released before its last handle was dropped.
Recent access records:
#1:
\tHint: decoder
\ttouched at {}
#2:
\tretained at {}
Created at:
\tcreated at {}",
        place(here, 3, 13),
        place(here, 2, 13),
        place(here, 1, 34),
    );
    assert_eq!(heard[0].to_string(), expected);
    let created = heard[0].created.as_ref().expect("it is remembered");
    assert_eq!(created.site().line(), here.line() + 1);
}

#[test]
fn netty_reports_at_the_next_track() {
    let bench = Bench::new(paranoid(Preset::Netty4_2_7));
    drop(bench.detector.track());
    assert_eq!(bench.heard().len(), 0, "enqueued only");
    assert_eq!((bench.stats().enqueued, bench.stats().found, bench.stats().open), (1, 0, 1));
    let next = bench.detector.track().expect("all are tracked");
    let heard = bench.heard();
    assert_eq!((heard.len(), heard[0].id, heard[0].finding), (1, Some(TrackId(0)), Finding::Unreachable));
    assert!(
        heard[0].to_string().starts_with("LEAK: Buffer.release() was not called before it became unreachable.\nRecent"),
        "{}",
        heard[0]
    );
    assert!(next.close());
    assert_eq!((bench.stats().found, bench.stats().closed, bench.stats().open), (1, 1, 0));
}

#[test]
fn netty_reports_only_when_an_object_is_sampled() {
    // One in 2^32 - 1: nothing is sampled any more once the level falls.
    let bench = Bench::new(LeakConfig { interval: interval(u32::MAX), ..paranoid(Preset::Netty4_2_7) });
    drop(bench.detector.track());
    bench.detector.set_level(Level::Advanced);
    for _ in 0..100 {
        assert!(bench.detector.track().is_none());
    }
    assert_eq!(bench.heard().len(), 0);
    bench.detector.report(); // what Netty has not
    assert_eq!(bench.heard().len(), 1);
}

#[test]
fn a_reference_waits_for_the_collector() {
    let bench = Bench::new(LeakConfig { detection: Detection::Collected, ..paranoid(Preset::Netty4_2_7) });
    drop(bench.detector.track());
    bench.detector.report();
    assert_eq!((bench.stats().enqueued, bench.heard().len()), (0, 0));
    bench.detector.collect();
    bench.detector.collect();
    assert_eq!((bench.stats().enqueued, bench.heard().len()), (1, 0), "a reference is enqueued once");
    bench.detector.report();
    assert_eq!((bench.stats().found, bench.heard().len()), (1, 1));

    let bench = Bench::new(paranoid(Preset::Netty4_2_7));
    let tracker = bench.detector.track().expect("all are tracked");
    tracker.unreachable();
    tracker.unreachable();
    drop(tracker);
    assert_eq!(bench.stats().enqueued, 1, "there is one reference to it");
    bench.detector.report();
    assert_eq!(bench.stats().found, 1);
}

#[test]
fn a_released_object_is_no_leak() {
    for detection in [Detection::Exact, Detection::Enqueued, Detection::Collected] {
        let bench = Bench::new(LeakConfig { detection, ..paranoid(Preset::Millpond) });
        let tracker = bench.detector.track().expect("all are tracked");
        assert!(tracker.close());
        tracker.record(Access::Used); // after the end: nothing
        drop(tracker);
        bench.detector.collect();
        bench.detector.report();
        let stats = bench.stats();
        assert_eq!((stats.closed, stats.enqueued, stats.found, stats.recorded), (1, 0, 0, 0), "{detection:?}");
        assert_eq!(bench.heard().len(), 0, "{detection:?}");
    }
}

#[test]
fn a_tracker_is_closed_once() {
    let bench = Bench::new(paranoid(Preset::Millpond));
    let tracker = bench.detector.track().expect("all are tracked");
    assert_eq!(tracker.closed_at(), None);
    let here = Location::caller();
    assert!(tracker.close());
    assert!(!tracker.close());
    assert_eq!(tracker.closed_at().map(Location::line), Some(here.line() + 1), "the first close counts");
    assert_eq!((bench.stats().closed, bench.stats().closes_refused), (1, 1));

    let found = bench.detector.track().expect("all are tracked");
    found.unreachable();
    assert!(!found.close(), "it was found before");
    assert_eq!(found.closed_at(), None);
    assert_eq!((bench.stats().closed, bench.stats().found, bench.stats().closes_refused), (1, 1, 2));

    let old = Bench::new(paranoid(Preset::Netty4_1_88));
    let tracker = old.detector.track().expect("all are tracked");
    assert!(tracker.close());
    assert_eq!(tracker.closed_at(), None, "4.2.4 and later");
}

#[test]
fn equal_reports_are_told_once() {
    let bench = Bench::new(paranoid(Preset::Millpond));
    let lose = |hint: &'static str| {
        let tracker = bench.detector.track().expect("all are tracked");
        tracker.record_hinted(Access::Touched, &hint);
    };
    lose("a");
    lose("a");
    lose("b");
    lose("a");
    assert_eq!(bench.heard().len(), 2);
    let stats = bench.stats();
    assert_eq!((stats.found, stats.reported, stats.suppressed), (4, 2, 2));
    // Another detector has a memory of its own.
    let other = Bench::new(paranoid(Preset::Millpond));
    drop(other.detector.track());
    assert_eq!(other.stats().reported, 1);
}

#[test]
fn without_records_all_leaks_are_one_report() {
    // At `Simple`, 4.1.22 remembers nothing; 4.1.23 and later remember the creation.
    let every = |preset: Preset| LeakConfig { interval: interval(1), ..preset.into() };
    let bench = Bench::new(every(Preset::Netty4_1_22));
    drop(bench.detector.track());
    drop(bench.detector.track());
    bench.detector.report();
    let heard = bench.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(
        heard[0].to_string(),
        "LEAK: Buffer.release() was not called before it became unreachable. To find out where the leak occurred, set the \
         detector's level to `Advanced`."
    );
    assert_eq!((bench.stats().found, bench.stats().suppressed), (2, 1));

    let bench = Bench::new(every(Preset::Netty4_1_38));
    let first = bench.detector.track().expect("one in one");
    first.record(Access::Used); // not at this level
    drop(first);
    drop(bench.detector.track());
    bench.detector.report();
    let heard = bench.heard();
    assert_eq!(heard.len(), 2, "made in two places");
    assert_eq!(heard[0].records.lines().count(), 4, "{}", heard[0]);
    assert!(heard[0].records.starts_with("\nRecent access records:\nCreated at:\n\tcreated at "), "{}", heard[0]);
    assert_eq!(bench.stats().recorded, 0);
}

#[test]
fn only_acquire_and_release_if_so_configured() {
    for (only, recorded) in [(false, 4), (true, 3)] {
        let bench = Bench::new(LeakConfig { acquire_and_release_only: only, ..paranoid(Preset::Millpond) });
        let tracker = bench.detector.track().expect("all are tracked");
        for access in [Access::Retained, Access::Used, Access::Touched, Access::Released] {
            tracker.record(access);
        }
        assert!(tracker.close());
        assert_eq!(bench.stats().recorded, recorded);
    }
}

#[test]
fn records_are_counted() {
    let bench = Bench::new(LeakConfig { records: RecordPolicy::NETTY_4_1_14, ..paranoid(Preset::Millpond) });
    let tracker = bench.detector.track().expect("all are tracked");
    for n in 0..6 {
        tracker.record_hinted(Access::Used, &n.to_string());
        tracker.record_hinted(Access::Used, &"x");
        tracker.record_hinted(Access::Used, &"x"); // another place
    }
    for _ in 0..3 {
        tracker.record(Access::Used);
    }
    assert!(tracker.close());
    let stats = bench.stats();
    assert_eq!((stats.recorded, stats.merged, stats.dropped, stats.kept()), (21, 2, 15, 4));
}

#[test]
fn the_whole_stack_on_request() {
    let bench = Bench::new(LeakConfig { backtraces: true, ..paranoid(Preset::Millpond) });
    drop(bench.detector.track());
    let heard = bench.heard();
    assert!(heard[0].records.contains("the_whole_stack_on_request"), "{}", heard[0]);
}

#[test]
fn a_panicking_listener_harms_nobody() {
    let bench = Bench::new(paranoid(Preset::Millpond));
    bench.detector.set_listener(Some(Arc::new(|_| panic!("a listener's panic"))));
    drop(bench.detector.track());
    let other = bench.detector.track().expect("all are tracked");
    assert!(other.close());
    assert_eq!((bench.stats().found, bench.stats().closed), (1, 1));
}

#[test]
fn a_listener_may_use_the_detector() {
    let detector = <Detector>::new("Buffer", paranoid(Preset::Millpond));
    let inside = detector.clone();
    let seen = Arc::new(Mutex::new(None));
    let theirs = Arc::clone(&seen);
    detector.set_listener(Some(Arc::new(move |_| *theirs.lock().expect("no panic") = Some(inside.stats()))));
    drop(detector.track());
    assert_eq!(seen.lock().expect("no panic").expect("it was called").reported, 1);
    detector.set_listener(None); // the cycle
}

#[test]
fn an_object_out_of_the_sample_leaks_too() {
    let bench = Bench::new(LeakConfig { interval: interval(u32::MAX), ..Preset::Millpond.into() });
    assert!(bench.detector.track().is_none());
    bench.detector.leaked_untracked();
    bench.detector.leaked_untracked();
    assert_eq!(bench.heard().len(), 1);
    assert_eq!((bench.stats().untracked, bench.stats().reported, bench.stats().suppressed), (2, 1, 1));
    let netty = Bench::new(Preset::Netty4_2_7.into());
    netty.detector.leaked_untracked();
    assert_eq!(netty.stats(), LeakStats::default(), "it can't know");
    bench.detector.set_level(Level::Disabled);
    bench.detector.leaked_untracked();
    assert_eq!(bench.stats().untracked, 2);
}

// ---- who is tracked

#[test]
fn one_in_128_by_draws() {
    let rounds = 1000;
    let tracked = |seed: u64, level: Level| {
        let count = Arc::new(Mutex::new(0));
        let theirs = Arc::clone(&count);
        soundly(&Options { seed, ..in_turn() }, move || {
            let detector = Detector::<Sim>::new("Buffer", LeakConfig { level, ..Preset::Netty4_2_7.into() });
            for _ in 0..128 * rounds {
                if let Some(tracker) = detector.track() {
                    assert!(tracker.close());
                    *theirs.lock().expect("no panic") += 1;
                }
            }
            let stats = detector.stats();
            assert_eq!(stats.check(), Ok(()));
            let seen = if level == Level::Disabled { 0 } else { 128 * rounds };
            assert_eq!((stats.seen, stats.forced), (seen, 0));
        });
        let count: u64 = *count.lock().expect("no panic");
        count
    };
    for level in [Level::Simple, Level::Advanced] {
        for seed in 0..3 {
            // The spread is sqrt(1000): 32.
            let n = tracked(seed, level);
            assert!(n.abs_diff(rounds) < 320, "{level:?}, seed {seed}: {n}");
        }
    }
    assert_ne!(tracked(0, Level::Simple), tracked(1, Level::Simple), "the seed decides");
    assert_eq!(tracked(5, Level::Simple), tracked(5, Level::Simple), "and nothing else");
    assert_eq!(tracked(0, Level::Disabled), 0);
    assert_eq!(tracked(0, Level::Paranoid), 128 * rounds);
}

#[test]
fn the_interval_is_heeded() {
    // F6: Netty to 4.1.50 used the default whatever it was told.
    let bench = Bench::new(LeakConfig { interval: interval(1), ..Preset::Millpond.into() });
    for _ in 0..500 {
        assert!(bench.detector.track().expect("one in one").close());
    }
    assert_eq!(bench.stats().sampled, 500);
}

#[test]
fn the_first_object_is_not_always_sampled() {
    // F8: Netty to 4.1.5 counted after looking. A draw has no first.
    let first_of = |sampling: Sampling| {
        let config = LeakConfig { sampling, interval: interval(5), ..Preset::Netty4_1_2.into() };
        let bench = Bench::new(config);
        let tracked: Vec<u32> =
            (0..32).filter(|_| bench.detector.track().is_some_and(|tracker| tracker.close())).collect();
        tracked
    };
    assert_eq!(first_of(Sampling::Count { first: true }), [0, 8, 16, 24], "5 is rounded up to 8");
    assert_eq!(first_of(Sampling::Count { first: false }), [7, 15, 23, 31]);
    let config = LeakConfig::from(Preset::Netty4_1_8);
    let firsts = (0..20)
        .filter(|seed| {
            let sampled = Arc::new(Mutex::new(false));
            let theirs = Arc::clone(&sampled);
            soundly(&Options { seed: *seed, ..in_turn() }, move || {
                let tracker = Detector::<Sim>::new("Buffer", config).track();
                *theirs.lock().expect("no panic") = tracker.is_some_and(|tracker| tracker.close());
            });
            *sampled.lock().expect("no panic")
        })
        .count();
    assert!(firsts < 5, "{firsts} of 20 first objects were sampled at one in 128");
}

#[test]
fn derivatives_of_a_tracked_object() {
    // F3: until 4.1.93 a chain of d derivatives is tracked with a probability of 1 / 128^d.
    let rare = |preset: Preset| LeakConfig { interval: interval(u32::MAX), ..paranoid(preset) };
    let depth = 5;
    let chain = |preset: Preset| {
        let bench = Bench::new(rare(preset));
        let mut held: Vec<Tracker> = vec![bench.detector.track().expect("all are tracked")];
        bench.detector.set_level(Level::Simple);
        while held.len() <= depth {
            match bench.detector.track_derived(held.last().expect("a parent")) {
                Some(tracker) => held.push(tracker),
                None => break,
            }
        }
        let deepest = held.last().expect("a parent");
        deepest.record(Access::Touched);
        assert!(held.iter().all(Tracker::close));
        let stats = bench.stats();
        (held.len() - 1, stats.forced, stats.recorded)
    };
    assert_eq!(chain(Preset::Netty4_1_88), (0, 0, 1));
    assert_eq!(chain(Preset::Netty4_2_7), (5, 5, 1), "as closely as the parent, whose level was `Paranoid`");
    assert_eq!(chain(Preset::Millpond), (5, 5, 1));
}

// ---- Netty's mistakes

/// The number of the only tracker of a detector, as what really leaked.
fn truly(leaked: bool) -> BTreeSet<TrackId> {
    leaked.then_some(TrackId(0)).into_iter().collect()
}

#[test]
fn f1_unreachable_before_it_is_closed() {
    // A collector that enqueues the object between its last release and the closing of its tracker (Netty to 4.1.30), and an
    // innocent allocation in between: a false report, which the ledger shows.
    let bench = Bench::new(paranoid(Preset::Netty4_1_8));
    let watch = LeakWatch::new(&bench.detector);
    let tracker = bench.detector.track().expect("all are tracked");
    tracker.record(Access::Released); // to 0
    tracker.unreachable();
    let innocent = bench.detector.track().expect("all are tracked");
    assert!(!tracker.close(), "too late");
    assert_eq!(watch.check(&truly(false)), Err(LeakViolation::NotLeaked(TrackId(0))));
    assert!(innocent.close());

    // Without the allocation in between the closing wins, and the enqueued reference says nothing.
    let bench = Bench::new(paranoid(Preset::Netty4_1_8));
    let watch = LeakWatch::new(&bench.detector);
    let tracker = bench.detector.track().expect("all are tracked");
    tracker.unreachable();
    assert!(tracker.close());
    bench.detector.report();
    assert_eq!(watch.check(&truly(false)), Ok(()));
    assert_eq!((bench.stats().enqueued, bench.stats().found), (1, 0));

    // A tracker that its object holds until it is closed can't be enqueued before.
    let bench = Bench::new(LeakConfig { detection: Detection::Collected, ..paranoid(Preset::Netty4_2_7) });
    let watch = LeakWatch::new(&bench.detector);
    let tracker = bench.detector.track().expect("all are tracked");
    bench.detector.collect();
    bench.detector.report();
    assert!(tracker.close());
    drop(tracker);
    bench.detector.collect();
    bench.detector.report();
    assert_eq!(watch.check(&truly(false)), Ok(()));
}

#[test]
fn f5_a_report_has_the_newest_access_and_the_creation() {
    let report = |policy: RecordPolicy, accesses: u64| {
        let bench = Bench::new(LeakConfig { records: policy, ..paranoid(Preset::Millpond) });
        let tracker = bench.detector.track_hinted(&"born").expect("all are tracked");
        for n in 0..accesses {
            tracker.record_hinted(Access::Used, &format!("access {n}."));
        }
        drop(tracker);
        bench.heard().remove(0).to_string()
    };
    for policy in [
        RecordPolicy::NETTY_4_1_2,
        RecordPolicy::NETTY_4_1_14,
        RecordPolicy::NETTY_4_1_17,
        RecordPolicy::BackOff { target: 1 },
    ] {
        for accesses in [1, 4, 5, 6, 7, 100] {
            let text = report(policy, accesses);
            assert!(text.contains(&format!("Hint: access {}.", accesses - 1)), "{policy:?}, {accesses}: {text}");
            assert!(text.contains("Created at:\n\tHint: born\n\tcreated at "), "{policy:?}, {accesses}: {text}");
        }
    }
    // 4.1.16 shows the oldest.
    assert!(report(RecordPolicy::NETTY_4_1_16, 4).contains("Hint: access 3."));
    assert!(!report(RecordPolicy::NETTY_4_1_16, 5).contains("Hint: access 4."));
}

/// A hint without a text.
struct Panics;

impl LeakHint for Panics {
    fn leak_hint(&self) -> Cow<'static, str> {
        panic!("a hint's panic")
    }
}

#[test]
fn f7_a_hint_that_panics_leaves_nothing_behind() {
    let bench = Bench::new(paranoid(Preset::Netty4_1_88));
    let watch = LeakWatch::new(&bench.detector);
    let made = catch_unwind(AssertUnwindSafe(|| bench.detector.track_hinted(&Panics).is_some()));
    assert!(made.is_err());
    assert_eq!((bench.stats().sampled, bench.stats().open), (0, 0), "nothing half-built is registered");

    let tracker = bench.detector.track().expect("all are tracked");
    let recorded = catch_unwind(AssertUnwindSafe(|| tracker.record_hinted(Access::Touched, &Panics)));
    assert!(recorded.is_err());
    assert_eq!(bench.stats().recorded, 0);
    assert!(tracker.close(), "the tracker works as before");

    bench.detector.report();
    assert_eq!(watch.check(&BTreeSet::new()), Ok(()), "an innocent allocation finds nothing");
}

#[test]
fn a_hint_is_asked_only_when_it_is_recorded() {
    let bench = Bench::new(LeakConfig { interval: interval(u32::MAX), ..Preset::Netty4_1_8.into() });
    assert!(bench.detector.track_hinted(&Panics).is_none(), "not in the sample");
    let simple = Bench::new(LeakConfig { interval: interval(1), ..Preset::Netty4_1_8.into() });
    let tracker = simple.detector.track_hinted(&Panics).expect("one in one");
    tracker.record_hinted(Access::Touched, &Panics); // `Simple` records nothing
    assert!(tracker.close());
}

// ---- the checks

#[test]
fn the_checks_see_what_is_wrong() {
    let bench = Bench::new(paranoid(Preset::Millpond));
    let watch = LeakWatch::new(&bench.detector);
    drop(bench.detector.track());
    assert_eq!(watch.check(&truly(true)), Ok(()));
    assert_eq!(watch.check(&truly(false)), Err(LeakViolation::NotLeaked(TrackId(0))), "INV-L1");
    let more = [TrackId(0), TrackId(1)].into();
    assert_eq!(watch.check(&more), Err(LeakViolation::NotFound(TrackId(1))), "INV-L2");
    let stats = LeakStats { closed: 1, ..bench.stats() };
    assert_eq!(stats.check(), Err(LeakViolation::Sums(stats)), "INV-L3");
    let stats = LeakStats { reported: 2, ..bench.stats() };
    assert_eq!(stats.check(), Err(LeakViolation::Sums(stats)));
}

#[test]
fn a_watch_sees_what_began_after_it() {
    let bench = Bench::new(paranoid(Preset::Netty4_2_7));
    let before = bench.detector.track().expect("all are tracked");
    let first = LeakWatch::new(&bench.detector);
    drop(bench.detector.track());
    drop(before);
    bench.detector.report();
    let second = LeakWatch::new(&bench.detector);
    let held = bench.detector.track().expect("all are tracked");
    drop(bench.detector.track());
    bench.detector.report();
    let ids = |leaks: Vec<Leak>| leaks.iter().map(|leak| leak.id.expect("tracked").0).collect::<Vec<_>>();
    assert_eq!(ids(first.found()), [1, 3]);
    assert_eq!(ids(second.found()), [3]);
    assert_eq!(ids(first.alive()), [2]);
    assert!(first.alive()[0].to_string().starts_with("LEAK: Buffer is still held.\nRecent access records:\n"));
    drop(first);
    assert_eq!(ids(second.found()), [3], "the other one's end changes nothing");
    assert!(held.close());
    assert!(second.alive().is_empty());
}

// ---- the guard

/// The message of the panic of `f`.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    payload.downcast_ref::<String>().expect("a text").clone()
}

#[test]
fn a_guard_passes_what_is_released() {
    let bench = Bench::new(LeakConfig { level: Level::Disabled, ..Preset::Millpond.into() });
    let guard = LeakGuard::new(&bench.detector);
    assert!(bench.detector.track().expect("everything is tracked now").close());
    assert!(guard.check().is_ok());
    guard.finish();
    assert_eq!(bench.detector.level(), Level::Disabled, "as before");
    drop(LeakGuard::new(&bench.detector));
    assert_eq!(bench.detector.level(), Level::Disabled);
}

#[test]
fn a_guard_fails_what_leaks() {
    for preset in [Preset::Millpond, Preset::Netty4_1_2, Preset::Netty4_2_7] {
        let bench = Bench::new(preset.into());
        let lose = |bench: &Bench| drop(bench.detector.track());
        let message = panic_of(|| {
            let guard = LeakGuard::new(&bench.detector);
            lose(&bench);
            lose(&bench); // a duplicate is a leak, too
            guard.finish();
        });
        assert!(message.starts_with("2 not released\nLEAK: Buffer"), "{preset}: {message}");
        assert!(message.contains("leak_detector.rs:"), "{preset}: {message}");
        let message = panic_of(|| {
            let _guard = LeakGuard::new(&bench.detector);
            lose(&bench);
        });
        assert!(
            message.starts_with("1 not released\nLEAK: Buffer"),
            "{preset}: known to the detector, news here: {message}"
        );
        assert_eq!(bench.detector.level(), Level::Simple);
    }
}

#[test]
fn a_guard_fails_what_is_still_held() {
    let bench = Bench::new(Preset::Millpond.into());
    let mut kept = None;
    let message = panic_of(|| {
        let guard = LeakGuard::new(&bench.detector);
        kept = bench.detector.track();
        assert_eq!(guard.check().expect_err("one is held").leaks().len(), 1);
        guard.finish();
    });
    assert!(message.starts_with("1 not released\nLEAK: Buffer is still held.\n"), "{message}");
    assert!(kept.is_some_and(|tracker| tracker.close()));
}

#[test]
fn a_guard_does_not_add_to_another_panic() {
    let bench = Bench::new(Preset::Millpond.into());
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let _guard = LeakGuard::new(&bench.detector);
        drop(bench.detector.track());
        panic!("the test's own");
    }));
    assert_eq!(payload.expect_err("it panics").downcast_ref::<&str>(), Some(&"the test's own"));
}

#[test]
fn trackers_move_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Tracker<Std>>();
    is_shared::<Detector<Std>>();
    is_shared::<LeakGuard<Std>>();
}
