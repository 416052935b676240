//! What the memory model keeps is bounded: beyond its bounds it forbids more, and still allows nothing that is forbidden.

use millpond::engine::weak::{HISTORY, HandOver, MAX_LANES, Memory, Mode, Race, RaceKind, Use, What};
use millpond_tests::litmus::axioms::{Event, Graph, Model};
use millpond_tests::litmus::relation::Large;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::panic::Location;
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

#[track_caller]
fn by(thread: usize, object: u32) -> Use {
    Use { thread, object, value: 0, site: Location::caller() }
}

/// A long random execution: its events, who read from whom, and the order of the stores of each place as it came to be.
struct Long {
    events: Vec<Event>,
    reads: Vec<(usize, usize)>,
    orders: Vec<Vec<usize>>,
}

impl Long {
    /// Every value is stored once, so that it tells its store.
    fn run(rng: &mut ChaCha8Rng, threads: usize, places: usize, steps: usize, taste: usize) -> Self {
        let mut memory = Memory::new();
        memory.begin(Mode::Weak);
        for t in 0..threads {
            assert_eq!(memory.spawned(0, t as u32 + 1), t + 1);
        }
        let mut long = Self { events: Vec::new(), reads: Vec::new(), orders: Vec::new() };
        for place in 0..places {
            let event =
                Event { thread: None, place: Some(place as u8), read: None, wrote: Some(0), order: Some(Relaxed) };
            long.events.push(event);
            long.orders.push(vec![place]);
        }
        // Runs of one thread make for old values.
        let mut t = 0;
        for _ in 0..steps {
            if below(rng, 3) == 0 {
                t = below(rng, threads);
            }
            let place = below(rng, places);
            long.step(&mut memory, rng, t, place, taste);
        }
        long
    }

    fn step(&mut self, memory: &mut Memory, rng: &mut ChaCha8Rng, t: usize, place: usize, taste: usize) {
        const ALL: [Ordering; 5] = [Relaxed, Acquire, Release, AcqRel, SeqCst];
        let order = if below(rng, 3) < taste { SeqCst } else { ALL[below(rng, 5)] };
        let (me, value) = (self.events.len(), self.events.len() as u64);
        let mut event =
            Event { thread: Some(t), place: Some(place as u8), read: None, wrote: None, order: Some(order) };
        let site = by(t + 1, place as u32);
        // Old values and early places are what is interesting.
        let mut draws = ChaCha8Rng::seed_from_u64(rng.next_u64());
        let mut choose = |_, n: u32| below(&mut draws, n as usize) as u32;
        match below(rng, 8) {
            0..=2 if !matches!(order, Release | AcqRel) => {
                event.read = Some(memory.load(site, order, &mut choose).expect("no race").bits);
            }
            3..=5 if !matches!(order, Acquire | AcqRel) => {
                memory.store(site, value, order, &mut choose).expect("no race");
                event.wrote = Some(value);
            }
            7 if order != Relaxed => {
                memory.fence(t + 1, order);
                event.place = None;
            }
            _ => {
                let found = memory.rmw(site, order, |_| value, &mut choose).expect("no race").0.bits;
                (event.read, event.wrote) = (Some(found), Some(value));
            }
        }
        if let Some(read) = event.read {
            let from = if read == 0 { place } else { read as usize };
            self.reads.push((from, me));
        }
        if event.wrote.is_some() {
            // It is right above its neighbour in what is kept.
            let kept = memory.history(place as u32);
            let at = kept.iter().position(|kept| *kept == value).expect("it was stored");
            let order = &mut self.orders[place];
            let index = match kept.get(at + 1) {
                Some(0) => 1,
                Some(under) => 1 + order.iter().position(|e| *e as u64 == *under).expect("it was stored"),
                None => order.len() + 1 - kept.len(),
            };
            order.insert(index, me);
            assert!(kept.len() <= HISTORY);
        }
        self.events.push(event);
    }

    fn check(self) {
        let Self { events, reads, orders } = self;
        let n = events.len();
        let (mut rf, mut mo) = (Large::empty(n), Large::empty(n));
        reads.iter().for_each(|(from, to)| rf.add(*from, *to));
        for order in &orders {
            for (i, a) in order.iter().enumerate() {
                order[i + 1..].iter().for_each(|b| mo.add(*a, *b));
            }
        }
        let graph = Graph::<4, 256>::new(events);
        let known = graph.known(rf).expect("no cycle in what happens");
        for place in 0..orders.len() {
            let here = mo.only(|a, _| graph.events[a].place == Some(place as u8));
            assert!(graph.is_coherent(place as u8, &here, &known), "place {place} is incoherent");
        }
        assert!(graph.is_consistent(Model::Cpp20, &mo, &known), "there is no total order of what is SeqCst");
    }
}

#[test]
fn long_executions_are_consistent() {
    let count = std::env::var("MILLPOND_LITMUS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    for seed in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (threads, places, taste) = (2 + below(&mut rng, 4), 1 + below(&mut rng, 3), below(&mut rng, 3));
        // More events than are live in S, more stores of a place than are kept.
        Long::run(&mut rng, threads, places, 230, taste).check();
    }
}

#[test]
fn all_lanes_are_exact() {
    // A message goes through all threads: the last one comes after all, and each but those on the way races.
    let mut memory = Memory::new();
    for count in [2, 8, 9, 17, 33, MAX_LANES - 1] {
        for broken in [None, Some(count / 2)] {
            memory.begin(Mode::Weak);
            let site = Location::caller();
            let lanes: Vec<usize> = (0..count).map(|t| memory.spawned(0, t as u32 + 1)).collect();
            let mut result = Ok(());
            for (t, &lane) in lanes.iter().enumerate() {
                let order = if broken == Some(t) { Relaxed } else { AcqRel };
                result = result
                    .and_then(|()| {
                        memory
                            .rmw(by(lane, 0), order, |n| n + 1, &mut |_, _| 0)
                            .map(|found| assert_eq!(found.0.bits, t as u64))
                    })
                    .and_then(|()| memory.plain(lane, 1, What::Write, site));
                // What it wrote it publishes with the next update.
                result = result.and_then(|()| {
                    let order = if broken == Some(t) { Relaxed } else { Release };
                    memory.rmw(by(lane, 0), order, |n| n, &mut |_, _| 0).map(|_| ())
                });
            }
            let who = result.map_err(|race: Box<Race>| (race.kind, race.first.thread, race.second.thread));
            let expected = match broken {
                // It does not see its predecessor's write.
                Some(t) if t > 0 => Err((RaceKind::Data, t as u32, t as u32 + 1)),
                _ => Ok(()),
            };
            assert_eq!(who, expected, "{count} threads");
        }
    }
}

#[test]
fn clocks_grow_in_the_middle_of_an_execution() {
    let mut memory = Memory::new();
    memory.begin(Mode::Weak);
    let site = Location::caller();
    let first = memory.spawned(0, 1);
    memory.plain(first, 5, What::Write, site).expect("no race");
    memory.bytes(first, 6, 10..20, What::Write, site).expect("no race");
    memory.store(by(first, 0), 7, Release, &mut |_, _| 0).expect("no race");
    memory.release(first, HandOver::Object(9));
    let lanes: Vec<usize> = (2..60).map(|number| memory.spawned(0, number)).collect();
    let last = lanes[lanes.len() - 1];
    // It may see the old value: the first one did not start it.
    assert_eq!(memory.load(by(last, 0), Acquire, &mut |_, n| n - 1).expect("no race").bits, 0);
    let race = memory.plain(last, 5, What::Read, site).expect_err("a race");
    assert_eq!((race.first.thread, race.second.thread, race.second.what), (1, 59, What::Read));
    assert_eq!(memory.load(by(last, 0), Acquire, &mut |_, _| 0).expect("no race").bits, 7);
    memory.plain(last, 5, What::Read, site).expect("it synchronised");
    memory.bytes(last, 6, 0..30, What::Write, site).expect("it synchronised");
    let race = memory.bytes(lanes[3], 6, 29..31, What::Read, site).expect_err("a race");
    assert_eq!(race.first.thread, 59);
    memory.acquire(lanes[3], HandOver::Object(9));
    memory.plain(lanes[3], 5, What::Read, site).expect("it synchronised by the object");
}

#[test]
fn a_lane_is_used_again_by_who_comes_after() {
    let mut memory = Memory::new();
    memory.begin(Mode::Races);
    let site = Location::caller();
    let first = memory.spawned(0, 1);
    memory.plain(first, 0, What::Write, site).expect("no race");
    memory.ended(first, 1);
    // Nobody has waited for it: another thread is no later one.
    let second = memory.spawned(0, 2);
    assert_ne!(second, first);
    let race = memory.plain(second, 0, What::Write, site).expect_err("a race");
    assert_eq!((race.first.thread, race.second.thread), (1, 2));
    memory.acquire(0, HandOver::End(1));
    let third = memory.spawned(0, 3);
    assert_eq!(third, first);
    memory.plain(third, 0, What::Read, site).expect("it was waited for");
    memory.ended(second, 2);
    memory.acquire(0, HandOver::End(2));
    let race = memory.plain(0, 0, What::Write, site).expect_err("the third one reads");
    assert_eq!((race.first.thread, race.first.what), (3, What::Read));
}

/// What each byte was last touched by, one byte at a time.
#[derive(Clone, Default)]
struct Byte {
    write: Option<usize>,
    reads: Vec<usize>,
}

#[test]
fn ranges_of_bytes_are_as_single_bytes() {
    // Threads of which none comes after another: a race is a matter of who touched what.
    for seed in 0..400 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut memory = Memory::new();
        memory.begin(Mode::Races);
        let site = Location::caller();
        let lanes: Vec<usize> = (1..4).map(|number| memory.spawned(0, number)).collect();
        let mut bytes = vec![Byte::default(); 40];
        for _ in 0..60 {
            let t = below(&mut rng, 3);
            let from = below(&mut rng, 40);
            let to = from + below(&mut rng, (41 - from).min(9));
            let what = if below(&mut rng, 4) == 0 { What::Write } else { What::Read };
            let races = bytes[from..to].iter().any(|byte| {
                byte.write.is_some_and(|u| u != t) || what == What::Write && byte.reads.iter().any(|u| *u != t)
            });
            let found = memory.bytes(lanes[t], 3, from..to, what, site);
            assert_eq!(found.is_err(), races, "seed {seed}, {from}..{to}, {found:?}");
            if races {
                break;
            }
            for byte in &mut bytes[from..to] {
                if what == What::Write {
                    *byte = Byte { write: Some(t), reads: Vec::new() };
                } else {
                    byte.reads.push(t);
                }
            }
        }
    }
}

#[test]
fn objects_are_forgotten_with_their_execution() {
    let mut memory = Memory::new();
    let site = Location::caller();
    for value in 1..5 {
        memory.begin(Mode::Weak);
        let other = memory.spawned(0, 1);
        assert!(memory.history(0).is_empty());
        memory.plain(other, 1, What::Write, site).expect("nobody was here");
        memory.store(by(other, 0), value, Relaxed, &mut |_, _| 0).expect("nobody was here");
        assert_eq!(memory.history(0), [value, 0]);
    }
    // An object that is somebody's alone begins anew.
    memory.forget(0);
    memory.forget(1);
    memory.plain(0, 1, What::Write, site).expect("it was forgotten");
    assert_eq!(memory.load(by(0, 0), Relaxed, &mut |_, n| n - 1).expect("no race").bits, 0);
}

#[test]
fn an_atomic_is_made_and_given_up() {
    let mut memory = Memory::new();
    memory.begin(Mode::Weak);
    let site = Location::caller();
    let (first, second) = (memory.spawned(0, 1), memory.spawned(0, 2));
    memory.made(first, 0, 5, site).expect("no race");
    let race = memory.load(by(second, 0), Acquire, &mut |_, _| 0).expect_err("it was not published");
    assert_eq!((race.kind, race.first.what, race.first.thread), (RaceKind::Data, What::Made, 1));
    memory.release(first, HandOver::Object(1));
    memory.acquire(second, HandOver::Object(1));
    assert_eq!(memory.load(by(second, 0), Relaxed, &mut |_, _| 0).expect("no race").bits, 5);
    let race = memory.freed(first, 0, site).expect_err("the other one uses it");
    assert_eq!((race.kind, race.first.what, race.first.thread), (RaceKind::Free, What::Load, 2));
    memory.release(second, HandOver::Object(2));
    memory.acquire(first, HandOver::Object(2));
    memory.freed(first, 0, site).expect("no race");
    let race = memory.store(by(second, 0), 6, SeqCst, &mut |_, _| 0).expect_err("it is gone");
    assert_eq!((race.kind, race.first.what, race.second.order), (RaceKind::Free, What::Freed, Some(SeqCst)));
}
