//! The memory model under the engine: the litmus shapes as simulated threads, races as findings, choices that repeat.

use millpond::engine::{Execution, MemoryModel, Options, Record, Sim, Strategy, Verdict, execute};
use millpond::ledger::FindingKind;
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, CellOps, JoinOps, Lock, ThreadOps};
use millpond_tests::litmus::oracle::{self, Model};
use millpond_tests::litmus::program::PLAIN;
use millpond_tests::litmus::shapes::{self, Shape, Verdict as Books};
use millpond_tests::litmus::{Op, Outcome, Outcomes, Program};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::{Arc, Mutex};

type Atomic = <Sim as Platform>::Atomic<u64>;
type Cell<T> = <Sim as Platform>::Cell<T>;

struct World {
    places: [Atomic; 3],
    plain: Cell<u64>,
}

// SAFETY: the cell is what races are looked for in; an execution is on one OS thread, so that there is none of the host's.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

fn thread(world: &World, ops: &[Op]) -> Vec<u64> {
    let mut reads = Vec::new();
    let at = |place: u8| &world.places[place as usize];
    for op in ops {
        match *op {
            Op::Load(place, order) => reads.push(at(place).load(order)),
            Op::Store(place, value, order) => at(place).store(value, order),
            Op::StoreLast(place, order) => at(place).store(reads.last().copied().unwrap_or(0), order),
            Op::Add(place, n, order) => reads.push(at(place).fetch_add(n, order)),
            Op::Swap(place, new, order) => reads.push(at(place).swap(new, order)),
            Op::Cas(place, expected, new, success, failure, is_weak) => {
                let found = if is_weak {
                    at(place).compare_exchange_weak(expected, new, success, failure)
                } else {
                    at(place).compare_exchange(expected, new, success, failure)
                };
                reads.extend(match found {
                    Ok(found) => [found, 1],
                    Err(found) => [found, 0],
                });
            }
            Op::Fence(order) => Sim::fence(order),
            Op::Read(place) => {
                assert_eq!(place, PLAIN, "there is one plain place");
                // SAFETY: the engine ends the execution before a race is committed.
                reads.push(world.plain.with(|p| unsafe { *p }));
            }
            // SAFETY: as above.
            Op::Write(_, value) => world.plain.with_mut(|p| unsafe { *p = value }),
            Op::Until(value) => {
                if reads.last() != Some(&value) {
                    break;
                }
            }
        }
    }
    reads
}

/// One execution of the program; its outcome, if it ended.
fn run(program: &Program, options: &Options) -> (Execution, Option<Outcome>) {
    let got = Arc::new(Mutex::new(vec![Vec::new(); program.threads.len()]));
    let execution = execute(options, || {
        let world = Arc::new(World { places: std::array::from_fn(|_| Atomic::new(0)), plain: Cell::new(0) });
        let join: Vec<_> = (0..program.threads.len())
            .map(|t| {
                let (world, got, ops) = (Arc::clone(&world), Arc::clone(&got), program.threads[t].clone());
                let body = move || {
                    let reads = thread(&world, &ops);
                    got.lock().expect("no panic")[t] = reads;
                };
                Sim::spawn(format!("t{t}"), body).expect("a thread")
            })
            .collect();
        for thread in join {
            thread.join().expect("no panic");
        }
        if program.finals {
            let finals = (0..program.places()).map(|place| world.places[place].load(Relaxed)).collect();
            got.lock().expect("no panic").push(finals);
        }
    });
    let outcome = matches!(execution.verdict, Verdict::Finished).then(|| got.lock().expect("no panic").clone());
    (execution, outcome)
}

fn weak(index: u64) -> Options {
    Options { index, memory: MemoryModel::Weak, stack_bytes: 64 * 1024, ..Options::default() }
}

fn is_race(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Finding(finding) if finding.kind == FindingKind::DataRace)
}

/// Runs the shape until all that `expected` has was seen, and some more.
fn sample(shape: &Shape, expected: &Outcomes, most: u64) -> Outcomes {
    let mut seen = Outcomes::default();
    for index in 0..most {
        let (execution, outcome) = run(&shape.program, &weak(index));
        match outcome {
            Some(outcome) => {
                assert!(expected.seen.contains(&outcome), "{}: {outcome:?} is forbidden", shape.name);
                seen.seen.insert(outcome);
            }
            None => {
                assert!(is_race(&execution.verdict), "{}: {}", shape.name, execution.verdict);
                assert!(expected.races, "{}: {}", shape.name, execution.verdict);
                seen.races = true;
            }
        }
        if seen == *expected && index > 300 {
            break;
        }
    }
    seen
}

#[test]
fn every_shape_shows_its_outcomes_as_simulated_threads() {
    for shape in shapes::all() {
        let expected = oracle::outcomes(&shape.program, Model::Cpp20);
        assert_eq!(sample(&shape, &expected, 200_000), expected, "{}", shape.name);
    }
}

#[test]
fn races_need_no_stale_value() {
    for shape in shapes::all().into_iter().filter(|shape| matches!(shape.verdict, Books::Race | Books::NoRace)) {
        let races = (0..2000).any(|index| {
            let options = Options { memory: MemoryModel::Races, ..weak(index) };
            is_race(&run(&shape.program, &options).0.verdict)
        });
        // Both see the other one too late: no interleaving shows it.
        let is_weak_only = shape.name == "Dekker+acqrel fences";
        assert_eq!(races, shape.verdict == Books::Race && !is_weak_only, "{}", shape.name);
    }
}

fn shape(name: &str) -> Shape {
    shapes::all().into_iter().find(|shape| shape.name == name).expect("the shape is there")
}

#[test]
fn what_was_chosen_repeats_and_can_be_dropped() {
    let shape = shape("SB+rel+acq");
    let stale: Outcome = vec![vec![0], vec![0]];
    let rich = |index| Options { record: Record::Rich, ..weak(index) };
    let index = (0..10_000).find(|&index| run(&shape.program, &rich(index)).1.as_ref() == Some(&stale));
    let (first, _) = run(&shape.program, &rich(index.expect("store buffering is seen")));
    assert!(!first.choices_taken.is_empty(), "the outcome is no interleaving's");
    let again = |choices: &[millpond::engine::Choice]| {
        let options = Options {
            strategy: Strategy::Shifted(first.shifts.clone().into()),
            choices: Some(choices.to_vec().into()),
            ..rich(0)
        };
        run(&shape.program, &options)
    };
    let (repeated, outcome) = again(&first.choices_taken);
    assert_eq!((outcome.as_ref(), repeated.digest), (Some(&stale), first.digest));
    assert_eq!(repeated.choices_taken, first.choices_taken);
    // Without its choices it is an interleaving, and so not this outcome.
    assert_ne!(again(&[]).1, Some(stale));
}

#[test]
fn the_schedule_is_the_same_on_every_memory() {
    // No load of this program decides what comes next.
    let program = shape("IRIW+rel+acq").program;
    for index in 0..50 {
        let of = |memory| run(&program, &Options { memory, ..weak(index) }).0.switches;
        let plain = of(MemoryModel::Interleaving);
        assert_eq!(of(MemoryModel::Races), plain);
        assert_eq!(of(MemoryModel::Weak), plain);
    }
}

/// The verdicts of some executions of a program of two threads on one shared value.
fn two<T: Send + Sync + 'static>(memory: MemoryModel, make: fn() -> T, first: fn(&T), second: fn(&T)) -> Vec<Verdict> {
    let run = |index| {
        let options = Options { memory, ..weak(index) };
        let execution = execute(&options, || {
            let shared = Arc::new(make());
            let other = Arc::clone(&shared);
            let thread = Sim::spawn("other".into(), move || second(&other)).expect("a thread");
            first(&shared);
            thread.join().expect("no panic");
        });
        execution.verdict
    };
    (0..200).map(run).collect()
}

struct Shared {
    cell: Cell<u64>,
    lock: <Sim as Platform>::Mutex<()>,
    flag: <Sim as Platform>::Atomic<bool>,
    main: Mutex<Option<<Sim as Platform>::Thread>>,
}

// SAFETY: as for `World`.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

fn shared() -> Shared {
    Shared {
        cell: Cell::new(0),
        lock: <Sim as Platform>::Mutex::new(()),
        flag: <Sim as Platform>::Atomic::new(false),
        main: Mutex::new(Some(Sim::current())),
    }
}

fn bump(shared: &Shared) {
    // SAFETY: as in `thread`.
    shared.cell.with_mut(|p| unsafe { *p += 1 });
}

#[test]
fn locks_order_and_nothing_else_does() {
    let locked = |s: &Shared| {
        let _guard = s.lock.lock();
        bump(s);
    };
    for memory in [MemoryModel::Races, MemoryModel::Weak] {
        assert!(two(memory, shared, locked, locked).iter().all(|v| matches!(v, Verdict::Finished)));
        let unlocked = two(memory, shared, bump, bump);
        assert!(unlocked.iter().all(is_race), "whatever the schedule was");
        let apart = |s: &Shared| {
            drop(s.lock.lock());
            bump(s);
        };
        let apart = two(memory, shared, apart, apart);
        assert!(apart.iter().all(is_race), "the lock was open again");
    }
}

#[test]
fn a_race_names_both_accesses() {
    let verdicts = two(MemoryModel::Races, shared, bump, bump);
    let Verdict::Finding(finding) = &verdicts[0] else { panic!("{}", verdicts[0]) };
    let line = format!("{}:", file!().trim_start_matches("tests/"));
    assert_eq!(finding.text.matches(&line).count(), 2, "{}", finding.text);
    assert!(finding.text.contains("main wrote it (plain)"), "{}", finding.text);
    assert!(finding.text.contains("other wrote it (plain)"), "{}", finding.text);
}

#[test]
fn parks_order() {
    let waits = |s: &Shared| {
        while !s.flag.load(Relaxed) {
            Sim::park();
        }
        bump(s);
    };
    let wakes = |s: &Shared| {
        bump(s);
        s.flag.store(true, Relaxed);
        s.main.lock().expect("no panic").take().expect("a thread").unpark();
    };
    // The flag is relaxed, and may be seen before the token: that is a race, and only that.
    let verdicts = two(MemoryModel::Races, shared, waits, wakes);
    assert!(verdicts.iter().any(is_race) && verdicts.iter().any(|v| matches!(v, Verdict::Finished)));
    let waits = |s: &Shared| {
        Sim::park();
        bump(s);
    };
    assert!(two(MemoryModel::Weak, shared, waits, wakes).iter().all(|v| matches!(v, Verdict::Finished)));
}

#[test]
fn memory_is_freed_after_its_last_use() {
    use std::alloc::Layout;
    struct Block {
        start: std::ptr::NonNull<u8>,
        users: Atomic,
    }
    // SAFETY: as for `World`.
    unsafe impl Sync for Block {}
    // SAFETY: as above.
    unsafe impl Send for Block {}
    const LAYOUT: Layout = Layout::new::<[u64; 8]>();
    fn make() -> Block {
        Block { start: Sim::alloc(LAYOUT).expect("memory"), users: Atomic::new(2) }
    }
    fn leave(block: &Block, order: std::sync::atomic::Ordering, fence: bool) {
        Sim::touches(block.start, 8, false);
        if block.users.fetch_sub(1, order) == 1 {
            if fence {
                Sim::fence(Acquire);
            }
            // SAFETY: the count says that it is the last one; what is tested is whether that is known.
            unsafe { Sim::dealloc(block.start, LAYOUT) };
        }
    }
    let is_free = |v: &Verdict| matches!(v, Verdict::Finding(f) if f.kind == FindingKind::UnorderedFree);
    for memory in [MemoryModel::Races, MemoryModel::Weak] {
        let good: fn(&Block) = |b| leave(b, Release, true);
        assert!(two(memory, make, good, good).iter().all(|v| matches!(v, Verdict::Finished)));
        let relaxed: fn(&Block) = |b| leave(b, Relaxed, true);
        assert!(two(memory, make, relaxed, relaxed).iter().all(is_free));
        let no_fence: fn(&Block) = |b| leave(b, Release, false);
        assert!(two(memory, make, no_fence, no_fence).iter().all(is_free));
    }
    // Two threads that use different bytes are no race, the same ones are if one writes.
    fn write(block: &Block, at: usize) {
        // SAFETY: within the block.
        Sim::touches(unsafe { block.start.add(at) }, 16, true);
    }
    let apart = two(MemoryModel::Races, make, |b| write(b, 0), |b| write(b, 16));
    assert!(apart.iter().all(|v| matches!(v, Verdict::Finished)));
    let overlap = two(MemoryModel::Races, make, |b| write(b, 0), |b| write(b, 15));
    assert!(overlap.iter().all(is_race));
}

#[test]
fn publication_without_release_is_found() {
    struct Slot {
        pointer: <Sim as Platform>::Atomic<*mut Cell<u64>>,
    }
    fn make() -> Slot {
        Slot { pointer: <Sim as Platform>::Atomic::new(std::ptr::null_mut()) }
    }
    fn publish(slot: &Slot, order: std::sync::atomic::Ordering) {
        slot.pointer.store(Box::into_raw(Box::new(Cell::new(7))), order);
    }
    fn look(slot: &Slot) {
        let found = slot.pointer.load(Acquire);
        // SAFETY: nobody frees it: it is leaked.
        if let Some(cell) = unsafe { found.as_ref() } {
            // SAFETY: as in `thread`.
            assert_eq!(cell.with(|p| unsafe { *p }), 7);
        }
    }
    let good = two(MemoryModel::Weak, make, |s| publish(s, Release), look);
    assert!(good.iter().all(|v| matches!(v, Verdict::Finished)));
    let bad = two(MemoryModel::Weak, make, |s| publish(s, Relaxed), look);
    assert!(bad.iter().any(is_race), "the cell was made by the other thread");
    let bad = two(MemoryModel::Interleaving, make, |s| publish(s, Relaxed), look);
    assert!(bad.iter().all(|v| matches!(v, Verdict::Finished)), "no interleaving shows it");
}

#[test]
fn a_store_that_waits_in_a_buffer_loses_a_wakeup() {
    // Each announces itself, then looks for the other: with a fence one of them sees the other.
    let program = |fence: bool| {
        let side = move |mine: u8, other: u8| {
            let mut ops = vec![Op::Store(mine, 1, Relaxed)];
            ops.extend(fence.then_some(Op::Fence(SeqCst)));
            ops.push(Op::Load(other, Relaxed));
            ops
        };
        Program { threads: vec![side(0, 1), side(1, 0)], finals: false }
    };
    let both_missed = |fence, memory| {
        (0..2000)
            .any(|index| run(&program(fence), &Options { memory, ..weak(index) }).1 == Some(vec![vec![0], vec![0]]))
    };
    assert!(both_missed(false, MemoryModel::Weak));
    assert!(!both_missed(true, MemoryModel::Weak));
    assert!(!both_missed(false, MemoryModel::Races));
}
