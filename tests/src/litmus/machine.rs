//! A program on a `Memory`: every schedule with every choice, or random ones.

use super::program::{Op, Outcome, Outcomes, PLAIN, Program};
use millpond::engine::weak::{HandOver, Memory, Mode, Pick, Race, Use, What};
use std::panic::Location;

/// Who decides: `decide(n)` is below `n`.
pub type Decide<'a> = dyn FnMut(u32) -> u32 + 'a;

/// One execution. An error is its first race.
///
/// # Errors
/// The race.
pub fn execute(
    memory: &mut Memory,
    mode: Mode,
    program: &Program,
    decide: &mut Decide<'_>,
) -> Result<Outcome, Box<Race>> {
    memory.begin(mode);
    execute_on(memory, program, decide)
}

/// As [`execute`], on a memory whose execution has begun.
///
/// # Errors
/// The race.
pub fn execute_on(memory: &mut Memory, program: &Program, decide: &mut Decide<'_>) -> Result<Outcome, Box<Race>> {
    let count = program.threads.len();
    let mut plain = [0; 8];
    let mut next = vec![0; count];
    let mut reads: Outcome = vec![Vec::new(); count];
    for t in 0..count {
        assert_eq!(memory.spawned(0, t as u32 + 1), t + 1, "a lane of its own");
    }
    loop {
        let can: Vec<usize> = (0..count).filter(|&t| next[t] < program.threads[t].len()).collect();
        let t = match can.len() {
            0 => break,
            1 => can[0],
            n => can[decide(n as u32) as usize],
        };
        let op = program.threads[t][next[t]];
        next[t] += 1;
        if let Op::Until(value) = op {
            if reads[t].last() != Some(&value) {
                next[t] = usize::MAX;
            }
        } else {
            step(memory, t, op, &mut reads[t], &mut plain, decide)?;
        }
    }
    for t in 0..count {
        memory.ended(t + 1, t as u32 + 1);
        memory.acquire(0, HandOver::End(t as u32 + 1));
    }
    if program.finals {
        let mut finals = Vec::new();
        for place in 0..program.places() {
            let by = Use { thread: 0, object: place as u32, value: 0, site: Location::caller() };
            let last = memory.load(by, std::sync::atomic::Ordering::Relaxed, &mut |_, n| panic!("{n} final values"))?;
            finals.push(last.bits);
        }
        reads.push(finals);
    }
    Ok(reads)
}

fn step(
    memory: &mut Memory,
    t: usize,
    op: Op,
    reads: &mut Vec<u64>,
    plain: &mut [u64; 8],
    decide: &mut Decide<'_>,
) -> Result<(), Box<Race>> {
    let site = Location::caller();
    let place = op.place().unwrap_or(0);
    let by = Use { thread: t + 1, object: u32::from(place), value: 0, site };
    let mut choose = |_: Pick, n: u32| decide(n);
    match op {
        Op::Load(_, order) => reads.push(memory.load(by, order, &mut choose)?.bits),
        Op::Store(_, value, order) => {
            memory.store(by, value, order, &mut choose)?;
        }
        Op::StoreLast(_, order) => {
            memory.store(by, reads.last().copied().unwrap_or(0), order, &mut choose)?;
        }
        Op::Add(_, n, order) => reads.push(memory.rmw(by, order, |old| old + n, &mut choose)?.0.bits),
        Op::Swap(_, new, order) => reads.push(memory.rmw(by, order, |_| new, &mut choose)?.0.bits),
        Op::Cas(_, expected, new, success, failure, is_weak) => {
            let did = memory.compare_exchange(by, (expected, new), (success, failure), is_weak, &mut choose)?;
            reads.extend([did.loaded.bits, u64::from(did.succeeded)]);
        }
        Op::Fence(order) => memory.fence(t + 1, order),
        Op::Read(_) => {
            memory.plain(t + 1, by.object, What::Read, site)?;
            reads.push(plain[(place - PLAIN) as usize]);
        }
        Op::Write(_, value) => {
            memory.plain(t + 1, by.object, What::Write, site)?;
            plain[(place - PLAIN) as usize] = value;
        }
        Op::Until(_) => {}
    }
    Ok(())
}

/// Every outcome, by every schedule and every choice; and how many executions that were.
pub fn enumerate(program: &Program, mode: Mode) -> (Outcomes, u64) {
    enumerate_after(program, |memory| memory.begin(mode))
}

/// The same; `begin` begins each execution, and may do something first.
pub fn enumerate_after(program: &Program, begin: impl Fn(&mut Memory)) -> (Outcomes, u64) {
    let mut memory = Memory::new();
    let mut outcomes = Outcomes::default();
    let mut path: Vec<(u32, u32)> = Vec::new();
    let mut executions = 0;
    loop {
        let mut at = 0;
        begin(&mut memory);
        let result = execute_on(&mut memory, program, &mut |n| {
            if at == path.len() {
                path.push((0, n));
            }
            let (chosen, of) = path[at];
            assert_eq!(of, n, "the execution depends on nothing but its choices");
            at += 1;
            chosen
        });
        executions += 1;
        path.truncate(at);
        match result {
            Ok(outcome) => {
                outcomes.seen.insert(outcome);
            }
            Err(_) => outcomes.races = true,
        }
        while path.last().is_some_and(|(chosen, of)| chosen + 1 == *of) {
            path.pop();
        }
        match path.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return (outcomes, executions),
        }
    }
}

/// The outcomes of random executions, until all that are `wanted` were seen, or `most` executions were made.
pub fn sample(program: &Program, mode: Mode, wanted: &Outcomes, most: u64, below: &mut Decide<'_>) -> (Outcomes, u64) {
    let mut memory = Memory::new();
    let mut outcomes = Outcomes::default();
    let mut executions = 0;
    while executions < most && (outcomes.seen.len() < wanted.seen.len() || outcomes.races != wanted.races) {
        match execute(&mut memory, mode, program, below) {
            Ok(outcome) => {
                outcomes.seen.insert(outcome);
            }
            Err(_) => outcomes.races = true,
        }
        executions += 1;
    }
    (outcomes, executions)
}
