//! The memory model against an exhaustive oracle and the books, shape by shape.

use millpond::engine::weak::{Mode, Use};
use millpond_tests::litmus::oracle::{self, Model};
use millpond_tests::litmus::shapes::{self, Shape, Verdict};
use millpond_tests::litmus::{Outcomes, Program, fuzz, machine};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::panic::Location;
use std::sync::atomic::Ordering::SeqCst;

/// Executions after which a random search has seen everything: the rarest outcome here has about one in two thousand.
const SAMPLES: u64 = 400_000;

fn holds(verdict: Verdict, outcome: &Vec<Vec<u64>>, outcomes: &Outcomes) -> bool {
    match verdict {
        Verdict::Allowed => outcomes.seen.contains(outcome),
        Verdict::Forbidden | Verdict::LoadBuffering => !outcomes.seen.contains(outcome),
        Verdict::Race => outcomes.races,
        Verdict::NoRace => !outcomes.races,
    }
}

/// All shapes, named where something is wrong with one.
fn each(check: impl Fn(&Shape) -> Result<(), String>) {
    let shapes = shapes::all();
    assert!(shapes.len() >= 45, "{} shapes", shapes.len());
    let wrong: Vec<String> =
        shapes.iter().filter_map(|shape| check(shape).err().map(|why| format!("{}: {why}", shape.name))).collect();
    assert!(wrong.is_empty(), "{} of {} shapes:\n{}", wrong.len(), shapes.len(), wrong.join("\n"));
}

fn below(rng: &mut ChaCha8Rng, n: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(n)) >> 32) as u32
}

#[test]
fn the_oracle_agrees_with_the_books() {
    each(|shape| {
        let cpp = oracle::outcomes(&shape.program, Model::Cpp20);
        let rc11 = oracle::outcomes(&shape.program, Model::Rc11);
        if !holds(shape.verdict, &shape.outcome, &cpp) {
            return Err(format!("not {:?}: {cpp:?}", shape.verdict));
        }
        let agree = cpp == rc11;
        if agree == shape.is_disputed {
            return Err(format!("RC11 and C++20 agree: {agree}"));
        }
        Ok(())
    });
}

#[test]
fn the_engine_shows_what_the_oracle_allows_and_nothing_else() {
    each(|shape| {
        let expected = oracle::outcomes(&shape.program, Model::Cpp20);
        let (found, executions) = machine::enumerate(&shape.program, Mode::Weak);
        if found != expected {
            return Err(format!("{executions} executions gave\n  {found:?}\nthe oracle\n  {expected:?}"));
        }
        Ok(())
    });
}

/// What came before everybody changes nothing, and neither does the age of what is kept of it.
#[test]
fn a_long_past_changes_nothing() {
    each(|shape| {
        let expected = oracle::outcomes(&shape.program, Model::Cpp20);
        let (found, _) = machine::enumerate_after(&shape.program, |memory| {
            memory.begin(Mode::Weak);
            for i in 0..70 {
                let by = Use { thread: 0, object: i % 3, value: 0, site: Location::caller() };
                memory.load(by, SeqCst, &mut |_, n| panic!("{n} stores")).expect("nobody else is there");
            }
        });
        if found != expected { Err(format!("{found:?}, and not {expected:?}")) } else { Ok(()) }
    });
}

#[test]
fn a_random_search_sees_all_of_it() {
    each(|shape| {
        let expected = oracle::outcomes(&shape.program, Model::Cpp20);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (found, executions) =
            machine::sample(&shape.program, Mode::Weak, &expected, SAMPLES, &mut |n| below(&mut rng, n));
        if found != expected {
            return Err(format!("{executions} random executions gave\n  {found:?}\nthe oracle\n  {expected:?}"));
        }
        Ok(())
    });
}

#[test]
fn without_deviations_memory_is_sequentially_consistent() {
    each(|shape| {
        // The same schedules on a memory without histories, and on one with them where the newest is always chosen.
        let (races, _) = machine::enumerate(&shape.program, Mode::Races);
        let strong = sc(&shape.program);
        let newest = oracle::outcomes(&strong, Model::Cpp20);
        if !races.races && races.seen != newest.seen {
            return Err(format!("{races:?}, sequentially consistent is {newest:?}"));
        }
        Ok(())
    });
}

/// The program with every ordering sequentially consistent, which is what an interleaving shows.
fn sc(program: &Program) -> Program {
    use millpond_tests::litmus::Op;
    use std::sync::atomic::Ordering::SeqCst as SC;
    let strong = |op: &Op| match *op {
        Op::Load(place, _) => Op::Load(place, SC),
        Op::Store(place, value, _) => Op::Store(place, value, SC),
        Op::StoreLast(place, _) => Op::StoreLast(place, SC),
        Op::Add(place, n, _) => Op::Add(place, n, SC),
        Op::Swap(place, new, _) => Op::Swap(place, new, SC),
        // An interleaving has no spurious failures.
        Op::Cas(place, expected, new, _, _, _) => Op::Cas(place, expected, new, SC, SC, false),
        Op::Fence(_) => Op::Fence(SC),
        Op::Read(_) | Op::Write(..) | Op::Until(_) => *op,
    };
    Program { threads: program.threads.iter().map(|ops| ops.iter().map(strong).collect()).collect(), ..program.clone() }
}

#[test]
fn random_programs_have_the_oracles_outcomes() {
    let count = std::env::var("MILLPOND_LITMUS").ok().and_then(|n| n.parse().ok()).unwrap_or(1500);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (mut weaker, mut racy) = (0, 0);
    for i in 0..count {
        let program = fuzz::program(8, &mut |n| below(&mut rng, n));
        let expected = oracle::outcomes(&program, Model::Cpp20);
        let (found, executions) = machine::enumerate(&program, Mode::Weak);
        assert_eq!(found, expected, "program {i}, {executions} executions: {program:#?}");
        let (strong, _) = machine::enumerate(&program, Mode::Races);
        assert!(strong.seen.is_subset(&found.seen), "program {i}: {program:#?}");
        weaker += u32::from(strong.seen != found.seen);
        racy += u32::from(found.races);
    }
    assert!(weaker > count / 10 && racy > count / 60, "{weaker} and {racy} of {count} are of interest");
}
