//! Leaks of buffers, from end to end: a buffer whose last handle is dropped too early is reported at that moment, with its
//! history.

use millpond::engine::{Options, Sim, Strategy, When, with_ledger};
use millpond::ledger::{FindingKind, Ledger};
use millpond_model::allocator::{Allocator, AllocatorConfig, Backend};
use millpond_model::buffer::{Buffer, BufferError, Owned};
use millpond_model::leak::{Detection, Finding, Leak, LeakConfig, LeakGuard, LeakWatch, Level, ReleaseLater, TrackId};
use millpond_model::memory::Area;
use millpond_model::platform::Lock;
use millpond_model::recycler::Domain;
use millpond_model::{Platform, Preset, Std};
use millpond_tests::crew::Crew;
use millpond_tests::sim::{scheduled, soundly, to_the_end};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex};

/// The allocator of a preset that tracks everything.
fn watched(preset: Preset) -> AllocatorConfig {
    AllocatorConfig {
        leak_detection: Some(LeakConfig { level: Level::Paranoid, ..preset.into() }),
        ..AllocatorConfig::from(preset)
    }
}

fn quiet<P: Platform>(config: AllocatorConfig) -> Allocator<P> {
    let allocator = Allocator::<P>::new_in(&Domain::new(), config);
    allocator.leak_detector().expect("configured").set_listener(Some(Arc::new(|_| ())));
    allocator
}

/// What its listener is given.
fn heard(allocator: &Allocator) -> Arc<Mutex<Vec<Leak>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&heard);
    let listener = Arc::new(move |leak: &Leak| theirs.lock().expect("no panic").push(leak.clone()));
    allocator.leak_detector().expect("configured").set_listener(Some(listener));
    heard
}

fn place(site: &Location<'_>, lines: u32) -> String {
    format!("{}:{}:", site.file(), site.line() + lines)
}

#[test]
fn a_leak_is_reported_when_the_last_handle_goes() {
    let allocator = Allocator::new(watched(Preset::Millpond));
    let heard = heard(&allocator);
    let here = Location::caller();
    let mut buffer = allocator.allocate(64).expect("room");
    buffer.put(b"lost").expect("it is ours");
    let twin = buffer.retain().expect("alive");
    buffer.touch("decoder");
    assert_eq!(buffer.release(), Ok(false));
    drop(buffer);
    assert!(heard.lock().expect("no panic").is_empty(), "the twin could still be released");
    drop(twin);
    let leaks = heard.lock().expect("no panic");
    assert_eq!(leaks.len(), 1);
    assert_eq!((leaks[0].finding, leaks[0].id), (Finding::Dropped, Some(TrackId(0))));
    let text = leaks[0].to_string();
    let told: Vec<&str> = text.lines().collect();
    let starts = [
        "LEAK: Buffer was not released before its last handle was dropped.".to_string(),
        "Recent access records:".to_string(),
        "#1:".to_string(),
        format!("\treleased at {}", place(here, 5)),
        "#2:".to_string(),
        "\tHint: decoder".to_string(),
        format!("\ttouched at {}", place(here, 4)),
        "#3:".to_string(),
        format!("\tretained at {}", place(here, 3)),
        "#4:".to_string(),
        format!("\tused at {}", place(here, 2)),
        "Created at:".to_string(),
        format!("\tcreated at {}", place(here, 1)),
    ];
    // The fourth access finds four records: it replaces none. The creation is one of them.
    assert_eq!(told.len(), starts.len(), "{text}");
    for (line, start) in told.iter().zip(&starts) {
        assert!(line.starts_with(start.as_str()), "{line:?} begins with {start:?}\n{text}");
    }
}

/// What was done last, and where, with the first buffer that is alive.
fn newest(watch: &LeakWatch) -> String {
    let text = watch.alive()[0].to_string();
    let told = text.lines().skip_while(|line| *line != "#1:").skip(1).find(|line| !line.contains("Hint: "));
    told.expect("it was used").trim().to_string()
}

#[test]
fn every_use_is_recorded_with_its_place() {
    let allocator = quiet::<Std>(watched(Preset::Millpond));
    let detector = allocator.leak_detector().expect("configured");
    for derived in [false, true] {
        let root = Owned::from(allocator.allocate(64).expect("room"));
        let watch = LeakWatch::new(detector);
        let mut buffer = match derived {
            true => root.retained_duplicate().expect("alive"),
            false => allocator.allocate(64).expect("room"),
        };
        assert_eq!(watch.alive().len(), 1);
        let recorded = || detector.stats().recorded;
        let mut held = Vec::new();
        let mut step = |what: &str, use_it: &mut dyn FnMut(&mut Buffer) -> &'static Location<'static>| {
            let before = recorded();
            let site = use_it(&mut buffer);
            assert_eq!(recorded(), before + 1, "{what} of {site}, derived: {derived}");
            let expected = format!("{what} at {}:{}:", site.file(), site.line());
            let newest = newest(&watch);
            assert!(newest.starts_with(&expected), "{newest:?}, expected {expected:?}, derived: {derived}");
        };
        // Each closure is one line, so that its location is that of the use.
        let here = Location::caller;
        if !derived {
            step("used", &mut |b| (b.put(b"abcdef").expect("it is ours"), here()).1);
            step("used", &mut |b| (b.put(&[7; 100]).expect("it grows"), here()).1);
            step("used", &mut |b| (b.ensure_writable(500).expect("it grows"), here()).1);
            step("used", &mut |b| (b.ensure_writable(1).expect("there is room"), here()).1);
            step("used", &mut |b| (b.set_capacity(1000).expect("it is ours"), here()).1);
            step("used", &mut |b| (b.read_into(&mut [0; 1]).expect("readable"), here()).1);
        }
        step("retained", &mut |b| (b.retain_many(3).expect("alive"), here()).1);
        step("released", &mut |b| (b.release_many(2).expect("alive"), here()).1);
        step("released", &mut |b| (b.release().expect("alive"), here()).1);
        step("touched", &mut |b| (b.touch("here"), here()).1);
        step("used", &mut |b| (b.bytes().map(|bytes| bytes.len()).expect("alive"), here()).1);
        step("used", &mut |b| (held.push(b.duplicate().expect("alive")), here()).1);
        step("retained", &mut |b| (held.push(b.retain().expect("alive")), here()).1);
        let twin = held.pop().expect("retained");
        let mut twin = Some(Owned::from(twin));
        step("released", &mut |_| (twin.take().expect("once").release().expect("alive"), here()).1);
        step("retained", &mut |b| (held.push(b.retained_duplicate().expect("alive")), here()).1);
        held.pop().expect("derived").release().expect("alive");
        assert_eq!(buffer.release(), Ok(true));
        assert!(watch.alive().is_empty());
        drop((held, buffer, root));
        assert!(watch.found().is_empty());
    }
}

#[test]
fn netty_reports_a_buffer_at_the_next_allocation() {
    let allocator = Allocator::new(watched(Preset::Netty4_2_7));
    let heard = heard(&allocator);
    drop(allocator.allocate(64).expect("room"));
    assert!(heard.lock().expect("no panic").is_empty());
    drop(Owned::from(allocator.allocate(64).expect("room")));
    assert_eq!(heard.lock().expect("no panic").len(), 1);
    assert_eq!(heard.lock().expect("no panic")[0].finding, Finding::Unreachable);
}

#[test]
fn an_allocator_without_a_detector_says_nothing() {
    let allocator = Allocator::new(AllocatorConfig { leak_detection: None, ..Preset::Millpond.into() });
    assert!(allocator.leak_detector().is_none());
    let buffer = allocator.allocate(64).expect("room");
    buffer.touch("nowhere");
    assert_eq!(buffer.released_at(), None);
    drop(buffer);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(allocator.guard_leaks()))).is_err());
}

#[test]
fn a_buffer_out_of_the_sample_is_reported_without_a_history() {
    let rare = LeakConfig { interval: u32::MAX.try_into().expect("not zero"), ..Preset::Millpond.into() };
    let allocator = Allocator::new(AllocatorConfig { leak_detection: Some(rare), ..Preset::Millpond.into() });
    let heard = heard(&allocator);
    let parent = allocator.allocate(64).expect("room");
    drop(parent.retained_slice(0, 1).expect("alive"));
    assert_eq!(heard.lock().expect("no panic").len(), 1, "a derivative's leak");
    drop(parent);
    let leaks = heard.lock().expect("no panic");
    assert_eq!((leaks.len(), leaks[0].id), (1, None), "all of them have one text");
    assert_eq!(allocator.leak_detector().expect("configured").stats().untracked, 2);
}

#[test]
fn a_buffer_that_is_read_for_ever_is_lost() {
    for (level, untracked) in [(Level::Paranoid, 0), (Level::Simple, 1)] {
        let leaks = LeakConfig { level, interval: u32::MAX.try_into().expect("not zero"), ..Preset::Millpond.into() };
        let allocator = quiet::<Std>(AllocatorConfig { leak_detection: Some(leaks), ..Preset::Millpond.into() });
        let mut buffer = allocator.allocate(64).expect("room");
        buffer.put(b"read").expect("it is ours");
        std::mem::forget(buffer.bytes().expect("alive"));
        drop(buffer);
        let stats = allocator.leak_detector().expect("configured").stats();
        assert_eq!((stats.found, stats.untracked), (1 - untracked, untracked), "{level:?}");
        assert_eq!(stats.check(), Ok(()));
    }
}

#[test]
fn the_place_of_the_last_release_is_kept() {
    for (preset, kept) in [(Preset::Millpond, true), (Preset::Netty4_2_7, true), (Preset::Netty4_1_88, false)] {
        let allocator = quiet::<Std>(watched(preset));
        let buffer = allocator.allocate(64).expect("room");
        let here = Location::caller();
        assert_eq!(buffer.release(), Ok(true));
        assert!(buffer.release().is_err());
        let line = buffer.released_at().map(Location::line);
        assert_eq!(line, kept.then_some(here.line() + 1), "{preset}");
    }
}

#[test]
fn f2_a_release_through_a_derivative_closes_the_tracker() {
    let allocator = quiet::<Std>(watched(Preset::Millpond));
    let guard = allocator.guard_leaks();
    let mut buffer = allocator.allocate(64).expect("room");
    buffer.put(b"abcdef").expect("room");
    let derived = [buffer.duplicate(), buffer.slice(1, 2), buffer.read_slice(3)];
    for (n, buffer) in derived.into_iter().enumerate() {
        let buffer = buffer.expect("alive");
        if n < 2 {
            buffer.retain_many(1).expect("alive");
        }
        assert_eq!(buffer.release(), Ok(n == 2));
    }
    drop(buffer);
    let stats = allocator.leak_detector().expect("configured").stats();
    assert_eq!((stats.sampled, stats.closed), (1, 1), "they share the tracker as they share the count");
    guard.finish();
}

#[test]
fn f3_derivatives_of_a_tracked_buffer_are_tracked() {
    for (preset, forced) in [(Preset::Millpond, 3), (Preset::Netty4_2_7, 3), (Preset::Netty4_1_88, 0)] {
        let allocator = quiet::<Std>(watched(preset));
        let detector = allocator.leak_detector().expect("configured");
        let mut chain = vec![Owned::from(allocator.allocate(64).expect("room"))];
        for _ in 0..3 {
            let next = chain.last().expect("a parent").retained_slice(0, 8).expect("alive");
            chain.push(next.into());
        }
        assert_eq!((detector.stats().forced, detector.stats().sampled), (forced, 4 - forced), "{preset}");
        // The deepest one is lost; what it holds is, too, where nothing is reclaimed.
        let deepest = chain.pop().expect("four");
        let deepest = deepest.into_buffer();
        deepest.touch("lost");
        drop(deepest);
        drop(chain);
        detector.collect();
        detector.report();
        assert_eq!(detector.stats().check(), Ok(()));
        assert_eq!(detector.stats().found, if preset == Preset::Millpond { 1 } else { 4 }, "{preset}");
    }
}

#[test]
fn f4_no_way_to_a_buffer_passes_the_detector() {
    let allocator = quiet::<Std>(watched(Preset::Millpond));
    let seen = || allocator.leak_detector().expect("configured").stats().seen;
    let guard = allocator.guard_leaks();
    let mut buffer = Owned::from(allocator.allocate(64).expect("room"));
    assert_eq!(seen(), 1);
    drop(Owned::from(allocator.allocate_max(16, 32).expect("room")));
    assert_eq!(seen(), 2);
    for (n, area) in [Area::Direct, Area::Heap].into_iter().enumerate() {
        drop(Owned::from(allocator.allocate_in(area, 16, 32).expect("room")));
        assert_eq!(seen(), 3 + n as u64);
    }
    buffer.put(b"abcdef").expect("room");
    drop(Owned::from(buffer.copy(0, 2).expect("alive")));
    assert_eq!(seen(), 5);
    drop(Owned::from(buffer.read_bytes(2).expect("alive")));
    assert_eq!(seen(), 6);
    drop(Owned::from(buffer.retained_slice(2, 2).expect("alive")));
    drop(Owned::from(buffer.retained_duplicate().expect("alive")));
    drop(Owned::from(buffer.read_retained_slice(1).expect("alive")));
    assert_eq!(seen(), 9);
    drop(Owned::from(allocator.composite().into_buffer()));
    drop(Owned::from(allocator.composite_in(Area::Heap, 1).into_buffer()));
    assert_eq!(seen(), 11);
    drop(Buffer::<Std>::empty());
    drop(buffer);
    assert_eq!(seen(), 11, "there is one empty buffer, which nobody releases");
    guard.finish();
}

#[test]
fn f7_an_allocation_that_fails_leaves_no_tracker() {
    let options = Options { alloc_fails: Some(When::Nth(3)), ..Options::default() };
    soundly(&options, || {
        let config = AllocatorConfig { backend: Backend::Unpooled, ..watched(Preset::Millpond) };
        let allocator = quiet::<Sim>(config);
        let guard = allocator.guard_leaks();
        let mut failed = 0;
        for _ in 0..10 {
            match allocator.allocate(64) {
                Ok(buffer) => drop(Owned::from(buffer)),
                Err(_) => failed += 1,
            }
        }
        assert_eq!(failed, 1);
        assert_eq!(allocator.leak_detector().expect("configured").stats().sampled, 9);
        guard.finish();
    });
}

#[test]
fn a_guard_of_an_allocator_fails_the_test() {
    let allocator = Allocator::new(AllocatorConfig {
        leak_detection: Some(LeakConfig { level: Level::Disabled, ..LeakConfig::default() }),
        ..AllocatorConfig::default()
    });
    heard(&allocator);
    let failure = catch_unwind(AssertUnwindSafe(|| {
        let guard = allocator.guard_leaks();
        drop(allocator.allocate(64).expect("room"));
        guard.finish();
    }));
    let text = failure.expect_err("it leaks").downcast_ref::<String>().expect("a text").clone();
    assert!(text.contains("LEAK: Buffer was not released") && text.contains("leak_buffers.rs:"), "{text}");
    let detector = allocator.leak_detector().expect("configured");
    assert_eq!(detector.level(), Level::Disabled);
    let guard = LeakGuard::new(detector);
    drop(Owned::from(allocator.allocate(64).expect("room")));
    guard.finish();
}

#[test]
fn a_composite_is_watched_and_so_are_its_components() {
    for (preset, lost) in [(Preset::Millpond, 1), (Preset::Netty4_2_7, 3)] {
        let allocator = quiet::<Std>(watched(preset));
        let detector = allocator.leak_detector().expect("configured");
        let made = || {
            let mut composite = allocator.composite();
            composite.add_components(true, [(); 2].map(|()| allocator.allocate(4).expect("room"))).expect("ours");
            composite
        };
        let guard = allocator.guard_leaks();
        let mut composite = made();
        let before = detector.stats().recorded;
        composite.remove_component(0).expect("there are two");
        composite.set_capacity(100).expect("it grows");
        let recorded = detector.stats().recorded - before;
        assert_eq!(recorded, 3, "{preset}: its own two uses, and the release of a component");
        drop(Owned::from(composite.into_buffer()));
        guard.finish();

        // The composite is lost: what it owns is, too, where nothing is reclaimed.
        let watch = LeakWatch::new(detector);
        let here = Location::caller();
        drop(made());
        detector.collect();
        detector.report();
        let found = watch.found();
        assert_eq!(found.len(), lost, "{preset}");
        assert!(watch.alive().is_empty(), "{preset}");
        let created = |leak: &Leak| leak.created.as_ref().expect("known").site().line();
        assert!(found.iter().all(|leak| created(leak) < here.line()), "{preset}: in `made`");
        assert_eq!(detector.stats().check(), Ok(()));
    }
}

// ---- release_later

#[test]
fn releases_are_put_off_to_the_end() {
    let allocator = quiet::<Std>(watched(Preset::Millpond));
    let guard = allocator.guard_leaks();
    let buffer = {
        let mut later = ReleaseLater::new();
        let one = later.release_later(allocator.allocate(8).expect("room")).expect("alive");
        let two = allocator.allocate(8).expect("room");
        two.retain_many(2).expect("alive");
        let two = later.release_many_later(two, 3).expect("alive");
        drop(two);
        assert_eq!(one.count(), 1);
        one
    };
    assert_eq!(buffer.count(), 0);
    assert_eq!(buffer.release().map_err(|refused| refused.count), Err(0));
    drop(buffer);
    guard.finish();
}

#[test]
fn a_release_that_came_first_is_told() {
    let allocator = quiet::<Std>(watched(Preset::Millpond));
    let guard = allocator.guard_leaks();
    let mut later = ReleaseLater::new();
    let early = later.release_later(allocator.allocate(8).expect("room")).expect("alive");
    let other = later.release_later(allocator.allocate(8).expect("room")).expect("alive");
    assert_eq!(early.release(), Ok(true));
    assert!(matches!(later.release_later(early), Err(BufferError::Count(_))), "there is nothing to release");
    assert_eq!(later.finish().map_err(|refused| refused.count), Err(0));
    assert_eq!(other.count(), 0, "released all the same");
    drop(other);
    guard.finish();
}

// ---- among threads

fn config(preset: Preset, detection: Detection) -> AllocatorConfig {
    let leak_detection = LeakConfig { level: Level::Paranoid, detection, ..preset.into() };
    AllocatorConfig { leak_detection: Some(leak_detection), ..preset.into() }
}

type Belt<P> = Arc<<P as Platform>::Mutex<VecDeque<Buffer<P>>>>;

/// Buffers made by one thread, used by a second, released or lost by a third: how many were lost.
fn relay<P: Platform>(allocator: &Allocator<P>, lose_every: usize, buffers: usize) -> usize {
    let belts: [Belt<P>; 2] = [(); 2].map(|()| Arc::new(P::Mutex::new(VecDeque::new())));
    let crew = Crew::<P>::new(3);
    let take = |belt: &Belt<P>| {
        let belt = Arc::clone(belt);
        move || loop {
            match belt.lock().pop_front() {
                Some(buffer) => return buffer,
                None => P::yield_now(),
            }
        }
    };
    let (first, from, maker) = (Arc::clone(&belts[0]), take(&belts[0]), allocator.clone());
    let made = crew.start(0, move || {
        for _ in 0..buffers {
            let mut buffer = maker.allocate(16).expect("room");
            buffer.put(b"relay").expect("it is ours");
            first.lock().push_back(buffer);
        }
    });
    let second = Arc::clone(&belts[1]);
    let used = crew.start(1, move || {
        for n in 0..buffers {
            let buffer = from();
            assert_eq!(buffer.bytes().expect("alive").len(), 5);
            let passed =
                if n % 2 == 0 { buffer.retained_slice(1, 3).expect("alive") } else { buffer.retain().expect("alive") };
            buffer.touch("second");
            second.lock().push_back(passed);
            drop(Owned::from(buffer));
        }
    });
    let from = take(&belts[1]);
    let ended = crew.start(2, move || {
        let mut lost = 0;
        for n in 0..buffers {
            let buffer = from();
            if n % lose_every == lose_every - 1 {
                lost += 1;
                drop(buffer);
            } else {
                drop(Owned::from(buffer));
            }
        }
        lost
    });
    crew.wait(made);
    crew.wait(used);
    crew.wait(ended)
}

#[test]
fn a_relay_loses_what_it_drops_in_many_schedules() {
    for detection in [Detection::Exact, Detection::Enqueued] {
        for options in scheduled(&[Strategy::Random, Strategy::Pct { depth: 3 }], 60) {
            let execution = to_the_end(&options, move || {
                with_ledger(Ledger::only_count);
                let allocator = quiet::<Sim>(config(Preset::Millpond, detection));
                let detector = allocator.leak_detector().expect("configured").clone();
                let watch = LeakWatch::new(&detector);
                let lost = relay(&allocator, 3, 6);
                detector.report();
                assert_eq!((lost, watch.found().len()), (2, 2));
                assert!(watch.alive().is_empty());
                assert_eq!(detector.stats().check(), Ok(()));
            });
            let kinds: Vec<_> = execution.ledger.findings().iter().map(|finding| finding.kind).collect();
            assert_eq!(kinds, [FindingKind::Leak; 2], "the simulator's own ledger agrees");
            soundly(&options, move || {
                let allocator = quiet::<Sim>(config(Preset::Millpond, detection));
                let guard = allocator.guard_leaks();
                assert_eq!(relay(&allocator, usize::MAX, 6), 0);
                guard.finish();
            });
        }
    }
}

#[test]
fn a_relay_loses_what_it_drops_on_real_threads() {
    for preset in [Preset::Millpond, Preset::Netty4_2_7] {
        let allocator = quiet::<Std>(watched(preset));
        let detector = allocator.leak_detector().expect("configured").clone();
        let watch = LeakWatch::new(&detector);
        let lost = relay(&allocator, 10, 2000);
        detector.report();
        assert_eq!(lost, 200);
        // Every tenth is an odd one: a twin, of which nothing is derived.
        assert_eq!(watch.found().len(), 200, "{preset}");
        assert!(watch.alive().is_empty());
        assert_eq!(detector.stats().check(), Ok(()));
    }
}
