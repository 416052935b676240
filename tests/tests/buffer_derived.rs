//! Slices and duplicates: who shares whose count, in which order things go back, and that nothing reaches too far.

mod write_path_support;

use millpond::engine::{Sim, with_ledger};
use millpond_model::allocator::{Allocator, AllocatorConfig, Backend, Derivation, LeakedMemory};
use millpond_model::buffer::{Buffer, BufferError, Owned, ShellClass};
use millpond_model::memory::Area;
use millpond_model::observe::Kind;
use millpond_model::platform::JoinOps;
use millpond_model::recycler::Domain;
use millpond_model::refcnt::IllegalCount;
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, random, soundly, to_the_end};

on_both!(
    plain_ones_share_the_count,
    retained_ones_have_their_own,
    retained_ones_share_in_4_0,
    a_chain_ends_link_by_link,
    a_long_chain_takes_no_stack,
    read_slices_consume,
    windows_nest,
    writing_asks_for_the_whole_chain,
    capacity_changes_keep_the_bytes,
    a_slice_of_a_shrunken_buffer,
    copies_share_nothing,
    the_empty_buffer,
    shells_come_back_to_their_own_recyclers,
    shells_outlive_the_allocator,
    racing_owners_of_slices;
    misusing:
    a_parent_released_too_often,
    derived_after_the_end,
);

fn allocator<P: Platform>(config: impl Into<AllocatorConfig>) -> Allocator<P> {
    Allocator::new_in(&Domain::new(), config.into())
}

/// A buffer of `text`.
fn of<P: Platform>(allocator: &Allocator<P>, text: &str) -> Buffer<P> {
    let mut buffer = allocator.allocate(text.len()).expect("there is memory");
    buffer.put(text.as_bytes()).expect("there is room");
    buffer
}

fn text<P: Platform>(buffer: &Buffer<P>) -> String {
    String::from_utf8(buffer.bytes().expect("it is alive").to_vec()).expect("the tests write text")
}

const DEAD: IllegalCount = IllegalCount { count: 0, change: 0 };

fn plain_ones_share_the_count<P: Platform>() {
    let buffer = of(&allocator::<P>(Preset::Millpond), "millpond");
    let slice = buffer.slice(4, 4).expect("it has these bytes");
    let twin = slice.duplicate().expect("it is alive");
    assert_eq!((buffer.count(), slice.count(), twin.count()), (1, 1, 1));
    assert_eq!((text(&slice), text(&twin)), ("pond".to_string(), "pond".to_string()));
    assert_eq!((slice.capacity(), slice.max_capacity()), (4, 4));
    assert_eq!(twin.retain_many(2), Ok(()));
    assert_eq!(buffer.count(), 3);
    assert_eq!(slice.release_many(2), Ok(false));
    assert_eq!(twin.release(), Ok(true), "any handle may release the last one");
    assert_eq!((buffer.count(), slice.count()), (0, 0));
}

fn retained_ones_have_their_own<P: Platform>() {
    let buffer = of(&allocator::<P>(Preset::Millpond), "millpond");
    let slice = buffer.retained_slice(4, 4).expect("it has these bytes");
    let twin = buffer.retained_duplicate().expect("it is alive");
    assert_eq!((buffer.count(), slice.count(), twin.count()), (3, 1, 1));
    assert_eq!((slice.shell_class(), twin.shell_class()), (Some(ShellClass::Slice), Some(ShellClass::Duplicate)));
    assert_eq!((text(&slice), text(&twin)), ("pond".to_string(), "millpond".to_string()));
    let part = slice.slice(1, 2).expect("it has these bytes");
    assert_eq!(part.retain_many(1), Ok(()));
    assert_eq!((slice.count(), buffer.count()), (2, 3), "a plain slice shares the count of what it is cut from");
    assert_eq!(buffer.release(), Ok(false));
    assert_eq!((part.release(), slice.release()), (Ok(false), Ok(true)));
    assert_eq!((slice.count(), buffer.count()), (0, 1));
    assert_eq!(text(&twin), "millpond", "the last one keeps the bytes");
    assert_eq!(twin.release(), Ok(true));
    assert_eq!(buffer.count(), 0);
}

fn retained_ones_share_in_4_0<P: Platform>() {
    let config = AllocatorConfig::from(Preset::Netty4_0_43);
    assert_eq!(config.derivation, Derivation::SharedCount);
    let buffer = of(&allocator::<P>(config), "millpond");
    let slice = buffer.retained_slice(4, 4).expect("it has these bytes");
    assert_eq!((buffer.count(), slice.count(), text(&slice)), (2, 2, "pond".to_string()));
    assert_eq!((buffer.release(), slice.release()), (Ok(false), Ok(true)));
}

fn a_chain_ends_link_by_link<P: Platform>() {
    let root = of(&allocator::<P>(Preset::Millpond), "abcdef");
    let middle = root.retained_slice(1, 4).expect("it has these bytes");
    let end = middle.retained_slice(1, 2).expect("it has these bytes");
    assert_eq!((root.count(), middle.count(), end.count()), (2, 2, 1), "the direct parent is retained, not the root");
    assert_eq!((root.release(), middle.release()), (Ok(false), Ok(false)));
    assert_eq!(text(&end), "cd");
    assert_eq!(end.release(), Ok(true));
    assert_eq!((root.count(), middle.count(), end.count()), (0, 0, 0));
}

fn a_long_chain_takes_no_stack<P: Platform>() {
    let mut last = Owned::from(of(&allocator::<P>(Preset::Millpond), "x"));
    for _ in 0..20_000 {
        let next = Owned::from(last.retained_duplicate().expect("it is alive"));
        last = next; // the one before is kept by this one only
    }
    assert_eq!(text(&last), "x");
    last.put(b"y").expect("each has one owner");
    assert_eq!(text(&last), "xy");
}

fn read_slices_consume<P: Platform>() {
    let mut buffer = of(&allocator::<P>(Preset::Millpond), "millpond");
    let first = buffer.read_slice(4).expect("four are readable");
    let second = Owned::from(buffer.read_retained_slice(3).expect("three are readable"));
    assert_eq!((text(&first), text(&second), text(&buffer)), ("mill".into(), "pon".into(), "d".into()));
    let short = BufferError::Short { needed: 2, readable: 1 };
    assert_eq!(buffer.read_slice(2).err(), Some(short));
    assert_eq!(buffer.read_retained_slice(2).err(), Some(short));
    assert_eq!((buffer.readable(), buffer.count()), (1, 2));
    drop((second, Owned::from(buffer)));
}

fn windows_nest<P: Platform>() {
    let buffer = Owned::from(of(&allocator::<P>(Preset::Millpond), "millpond"));
    let slice = buffer.slice(2, 5).expect("it has these bytes");
    assert_eq!(text(&slice.slice(2, 3).expect("it has these bytes")), "pon");
    for (at, length) in [(0, 6), (6, 0), (5, 1), (usize::MAX, 1), (1, usize::MAX)] {
        let refused = BufferError::Range { at, length, capacity: 5 };
        assert_eq!(slice.slice(at, length).err(), Some(refused));
        assert_eq!(slice.retained_slice(at, length).err(), Some(refused));
    }
    assert_eq!(text(&slice.slice(5, 0).expect("nothing is within")), "");
    assert_eq!(buffer.count(), 1, "a refused one leaves nothing behind");
}

fn writing_asks_for_the_whole_chain<P: Platform>() {
    let mut root = of(&allocator::<P>(Preset::Millpond), "ab");
    let middle = root.retained_duplicate().expect("it is alive");
    let mut end = middle.retained_duplicate().expect("it is alive");
    let several = |count| Err(BufferError::Count(IllegalCount { count, change: 0 }));
    assert_eq!(root.put(b"!"), several(2));
    assert_eq!(end.put(b"!"), several(2));
    assert_eq!(middle.release(), Ok(false));
    assert_eq!(end.put(b"!"), several(2), "the root has another owner still");
    assert_eq!(root.release(), Ok(false));
    end.put(b"c").expect("each has one owner");
    assert_eq!(text(&end), "abc");
    assert_eq!(end.release(), Ok(true));
}

fn capacity_changes_keep_the_bytes<P: Platform>() {
    // Of exact blocks: what a longer one has anyway would be used first.
    let config = AllocatorConfig { backend: Backend::Unpooled, ..Preset::Millpond.into() };
    let mut buffer = allocator::<P>(config).allocate_max(4, 300).expect("there is memory");
    buffer.put(b"pond").expect("there is room");
    buffer.put(b"!").expect("it grows");
    assert_eq!((buffer.capacity(), text(&buffer)), (64, "pond!".to_string()), "64 is the first step");
    let twin = buffer.retain().expect("it is alive");
    buffer.set_capacity(100).expect("a change of capacity asks for no sole owner");
    assert_eq!((twin.capacity(), text(&twin)), (100, "pond!".to_string()));
    buffer.set_capacity(3).expect("it may shrink");
    assert_eq!((buffer.readable(), text(&buffer)), (3, "pon".to_string()));
    assert_eq!(twin.bytes().err(), Some(BufferError::Range { at: 0, length: 5, capacity: 3 }));
    assert_eq!(buffer.set_capacity(301), Err(BufferError::Full { needed: 301, room: 300 }));
    let inside = twin.slice(0, 3).expect("it has these bytes");
    let bytes = inside.bytes().expect("it is alive");
    assert_eq!(buffer.set_capacity(200), Err(BufferError::Count(IllegalCount { count: 2, change: 0 })));
    drop(bytes);
    let mut duplicate = buffer.retained_duplicate().expect("it is alive");
    duplicate.set_capacity(200).expect("a duplicate has the whole buffer");
    assert_eq!((buffer.capacity(), duplicate.capacity()), (200, 200));
    assert_eq!(inside.duplicate().expect("it is alive").set_capacity(2), Err(BufferError::Fixed));
    assert_eq!((duplicate.release(), buffer.release(), twin.release()), (Ok(true), Ok(false), Ok(true)));
}

fn a_slice_of_a_shrunken_buffer<P: Platform>() {
    let mut buffer = of(&allocator::<P>(Preset::Millpond), "millpond");
    let slice = buffer.retained_slice(4, 4).expect("it has these bytes");
    buffer.set_capacity(6).expect("nobody is inside");
    assert_eq!(slice.bytes().err(), Some(BufferError::Range { at: 4, length: 4, capacity: 6 }));
    assert_eq!((slice.release(), buffer.release()), (Ok(true), Ok(true)));
}

fn copies_share_nothing<P: Platform>() {
    let allocator = allocator::<P>(Preset::Millpond);
    let mut heap = Owned::from(allocator.allocate_in(Area::Heap, 8, 8).expect("there is memory"));
    heap.put(b"millpond").expect("there is room");
    let slice = Owned::from(heap.retained_slice(2, 6).expect("it has these bytes"));
    let mut copy = Owned::from(slice.copy(2, 4).expect("it has these bytes"));
    assert_eq!((copy.count(), copy.shell_class()), (1, Some(ShellClass::Heap)));
    let read = Owned::from(heap.read_bytes(4).expect("four are readable"));
    drop((heap, slice, allocator));
    copy.put(b"s").expect("it may grow as far as the slice, which had six bytes");
    assert_eq!(copy.put(b"!!"), Err(BufferError::Full { needed: 2, room: 1 }));
    assert_eq!((text(&copy), text(&read)), ("ponds".to_string(), "mill".to_string()));
    let orphan = Owned::from(read.copy(0, 2).expect("without its allocator, from the platform"));
    assert_eq!(text(&orphan), "mi");
}

fn the_empty_buffer<P: Platform>() {
    let mut empty = allocator::<P>(Preset::Millpond).allocate_max(0, 0).expect("it needs no memory");
    assert!(empty.is_empty_buffer());
    for _ in 0..3 {
        assert_eq!((empty.release(), empty.count()), (Ok(false), 1));
    }
    assert!(empty.retained_slice(0, 0).expect("nothing is within").is_empty_buffer());
    assert_eq!(text(&empty), "");
    assert_eq!(empty.put(b""), Ok(()));
    assert_eq!(empty.put(b"x"), Err(BufferError::Full { needed: 1, room: 0 }));
    assert_eq!(empty.set_capacity(1), Err(BufferError::Fixed));
}

fn shells_come_back_to_their_own_recyclers<P: Platform>() {
    let allocator = allocator::<P>(Preset::Millpond);
    for _ in 0..3 {
        let direct = Owned::from(of(&allocator, "direct"));
        let heap = Owned::from(allocator.allocate_in(Area::Heap, 8, 8).expect("there is memory"));
        let slice = Owned::from(direct.retained_slice(0, 1).expect("it has these bytes"));
        let twin = Owned::from(heap.retained_duplicate().expect("it is alive"));
        drop((direct, heap, slice, twin));
    }
    let stats = allocator.stats();
    let all = [Some(stats.direct), Some(stats.heap), stats.slices, stats.duplicates];
    for stats in all.into_iter().flatten() {
        let total = stats.total();
        assert_eq!((total.created, total.reused, total.in_use), (1, 2, 0), "{:?}", stats.kind);
    }
}

fn shells_outlive_the_allocator<P: Platform>() {
    let buffer = Owned::from(of(&allocator::<P>(Preset::Millpond), "pond"));
    let slice = Owned::from(buffer.retained_slice(1, 2).expect("it has these bytes"));
    drop(buffer);
    assert_eq!(text(&slice), "on");
}

fn racing_owners_of_slices<P: Platform>() {
    let allocator = allocator::<P>(Preset::Millpond);
    let buffer = of(&allocator, "millpond");
    let threads: Vec<_> = (0..3)
        .map(|i| {
            let slice = Owned::from(buffer.retained_slice(i, 4).expect("it has these bytes"));
            let body = move || {
                let part = Owned::from(slice.retained_slice(1, 2).expect("it has these bytes"));
                drop(slice);
                assert_eq!(text(&part), "millpond"[i + 1..i + 3]);
            };
            P::spawn(format!("reader {i}"), body).expect("threads are to be had")
        })
        .collect();
    let last = buffer.release().expect("it is alive");
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
    assert_eq!(buffer.count(), 0);
    drop(buffer);
    let stats = allocator.stats();
    assert!(stats.direct.total().in_use == 0 && stats.slices.is_some_and(|s| s.total().in_use == 0), "{last}");
}

fn a_parent_released_too_often<P: Platform>() {
    let buffer = of(&allocator::<P>(Preset::Millpond), "pond");
    let slice = buffer.retained_slice(0, 2).expect("it has these bytes");
    assert_eq!(buffer.release_many(2), Ok(true), "one of them was the slice's");
    assert_eq!(slice.count(), 1);
    assert_eq!(slice.bytes().err(), Some(BufferError::Count(DEAD)), "the bytes are gone");
    assert_eq!(slice.retained_slice(0, 1).err(), Some(BufferError::Count(DEAD)));
    assert_eq!((slice.release(), slice.count()), (Ok(true), 0), "its own count is in order");
}

fn derived_after_the_end<P: Platform>() {
    let mut buffer = of(&allocator::<P>(Preset::Millpond), "pond");
    let slice = buffer.retained_slice(0, 2).expect("it has these bytes");
    assert_eq!((slice.release(), buffer.release()), (Ok(true), Ok(true)));
    for dead in [&mut buffer, &mut { slice }] {
        assert!(matches!(dead.slice(0, 1), Err(BufferError::Count(IllegalCount { count: 0, .. }))));
        assert!(matches!(dead.slice(0, 9), Err(BufferError::Count(IllegalCount { count: 0, .. }))));
        assert!(matches!(dead.duplicate(), Err(BufferError::Count(IllegalCount { count: 0, .. }))));
        assert!(matches!(dead.retained_duplicate(), Err(BufferError::Count(IllegalCount { count: 0, .. }))));
        assert!(matches!(dead.copy(0, 1), Err(BufferError::Count(IllegalCount { count: 0, .. }))));
        assert!(matches!(dead.read_bytes(1), Err(BufferError::Count(IllegalCount { count: 0, .. }))));
    }
    assert!(matches!(buffer.set_capacity(9), Err(BufferError::Count(IllegalCount { count: 0, .. }))));
}

/// What the ledger says of leaks: each is known when its last handle goes.
fn leaks(config: AllocatorConfig, program: impl Fn(&Allocator<Sim>)) -> (usize, u64, u64) {
    let (mut found, mut lost, mut kept) = (0, 0, 0);
    let execution = to_the_end(&in_turn(), || {
        with_ledger(|ledger| ledger.only_count());
        let allocator = allocator::<Sim>(config);
        program(&allocator);
        found = with_ledger(|ledger| ledger.findings().len());
        let stats = allocator.stats();
        let sum = |f: fn(&millpond_model::recycler::PoolStats) -> u64| {
            let slices = stats.slices.as_ref().map_or(0, |s| f(&s.total()));
            f(&stats.direct.total()) + slices
        };
        (lost, kept) = (sum(|s| s.forgotten), sum(|s| s.retained));
    });
    assert_eq!(execution.ledger.kind(Kind::Buffer).owned, 0, "a leak ends the ownership");
    (found, lost, kept)
}

#[test]
fn a_leak_is_known_when_the_last_handle_goes() {
    let lost = AllocatorConfig { leaked: LeakedMemory::Lost, ..Preset::Millpond.into() };
    let reclaimed = AllocatorConfig { leaked: LeakedMemory::Reclaimed, ..lost };
    let program = |allocator: &Allocator<Sim>| {
        let buffer = of(allocator, "pond");
        let twin = buffer.duplicate().expect("it is alive");
        drop(buffer);
        assert_eq!(with_ledger(|ledger| ledger.findings().len()), 0, "there is another handle");
        drop(twin);
    };
    assert_eq!(leaks(lost, program), (1, 1, 0));
    assert_eq!(leaks(reclaimed, program), (1, 0, 1));
}

#[test]
fn a_leaked_slice_holds_its_parent_or_lets_it_go() {
    let lost = AllocatorConfig { leaked: LeakedMemory::Lost, ..Preset::Millpond.into() };
    let reclaimed = AllocatorConfig { leaked: LeakedMemory::Reclaimed, ..lost };
    let program = |allocator: &Allocator<Sim>| {
        let buffer = Owned::from(of(allocator, "pond"));
        drop(buffer.retained_slice(0, 2).expect("it has these bytes"));
        drop(buffer);
    };
    assert_eq!(leaks(lost, program), (2, 2, 0), "nobody can release what the slice held");
    assert_eq!(leaks(reclaimed, program), (1, 0, 2), "the slice is released for it");
}

#[test]
fn a_forgotten_guard_is_safe() {
    let program = || {
        let allocator = allocator::<Sim>(Preset::Millpond);
        let buffer = of(&allocator, "pond");
        std::mem::forget(buffer.bytes().expect("it is alive"));
        assert_eq!(buffer.release(), Ok(true));
        drop(buffer);
        assert_eq!(allocator.stats().direct.total().in_use, 1, "it can never come back");
    };
    random(4).for_each(|options| drop(soundly(&options, program)));
}
