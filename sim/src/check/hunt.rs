//! The executions of a check, on all cores.
//!
//! **Invariant: of those that fail the one with the smallest number is told, and all before it were executed.** Workers take numbers
//! in ascending blocks, and stop at the smallest failure that is known.
//!
//! ```text
//!   next block: 0, 61, 122, ...     worker: each number of the block below `failed`
//!   failed:     smallest number of a failure so far, or none
//! ```

use super::coverage::{Coverage, Sampled, Wanted};
use super::failure::{self, Failure};
use super::plan::{self, Plans, Turn};
use super::report::{MemberCount, Report};
use super::{Checker, nondeterminism};
use crate::engine::{Exhaustion, MemoryModel, Options, Record, Search, Strategy, Verdict};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Numbers in a block: a multiple of the portfolio's period would give each worker the same member.
const BLOCK: u64 = 61;

/// What workers have found out, all of them together.
#[derive(Default)]
struct Shared {
    members: [u64; Turn::COUNT],
    coverage: Coverage,
    diverged: Option<(u64, nondeterminism::Divergence)>,
    executions: u64,
    steps: u64,
}

/// All executions of `checker`.
pub(super) fn hunt(checker: &Checker, program: &(dyn Fn() + Send + Sync)) -> Report {
    if checker.strategy.as_ref().is_some_and(Strategy::enumerates) {
        return enumerate(checker, program);
    }
    let facts = plan::known(checker, program);
    let start = Instant::now();
    // Relaxed throughout: the counters only hand out numbers; what workers know travels through the mutex.
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let shared = Mutex::new(Shared::default());
    let late = || checker.wall.is_some_and(|wall| start.elapsed() > wall);
    let work = || {
        let mut plans = Plans::new(checker, &facts);
        loop {
            let first = next.fetch_add(BLOCK, Ordering::Relaxed);
            let end = checker.executions.min(first.saturating_add(BLOCK));
            if first >= end || first > failed.load(Ordering::Relaxed) || late() {
                return;
            }
            block(&mut plans, program, first..end, &failed, &shared);
        }
    };
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = checker.jobs.unwrap_or_else(cores).get().min((checker.executions / BLOCK + 1) as usize);
    thread::scope(|scope| {
        let workers: Vec<_> = (1..jobs).map(|_| scope.spawn(work)).collect();
        if checker.progress {
            let watched = scope.spawn(work);
            while !watched.is_finished() || workers.iter().any(|w| !w.is_finished()) {
                thread::park_timeout(Duration::from_secs(1));
                eprintln!("millpond: {}", tell(&shared, start));
            }
        } else {
            work();
        }
    });
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    let number = failed.into_inner();
    // A pilot that failed is told if nothing else does.
    let pilot = facts.failed.as_ref().filter(|_| number == u64::MAX);
    if let Some(options) = pilot {
        let failure = tell_of(checker, options, "a pilot".to_string(), program);
        return Report::failed(shared.executions.max(1), failure);
    }
    let mut plans = Plans::new(checker, &facts);
    let members = Turn::all().zip(shared.members).filter(|(_, n)| *n > 0);
    let members = members.map(|(turn, executions)| MemberCount { name: plans.name(turn), executions }).collect();
    let failed = (number != u64::MAX).then(|| plans.told(number));
    drop(plans); // with the engine that it has
    let failure = failed.map(|(options, member)| tell_of(checker, &options, member, program));
    Report::new(failure, number, shared.diverged, members, shared.coverage, (shared.executions, shared.steps))
}

/// The failure of `options`: the least one like it, if that is asked for.
fn tell_of(checker: &Checker, options: &Options, member: String, program: &(dyn Fn() + Send + Sync)) -> Failure {
    match checker.explain {
        true => failure::explain(options, member, program),
        false => failure::as_found(options, member, program),
    }
}

/// One line about how far it is.
fn tell(shared: &Mutex<Shared>, start: Instant) -> String {
    let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let rate = shared.executions as f64 / start.elapsed().as_secs_f64().max(1e-9);
    format!("{} executions, {rate:.0}/s, {}", shared.executions, shared.coverage.seen())
}

/// The executions `numbers`, up to the first that fails.
fn block(
    plans: &mut Plans<'_>,
    program: &(dyn Fn() + Send + Sync),
    numbers: std::ops::Range<u64>,
    failed: &AtomicU64,
    shared: &Mutex<Shared>,
) {
    let mut mine = Shared::default();
    let mut sampled = Sampled::of_at_most(BLOCK as usize);
    for number in numbers {
        if number > failed.load(Ordering::Relaxed) {
            break;
        }
        let (turn, wanted) = plans.of(number);
        let fails = !sampled.execute(plans.series(), number, wanted, program, &mut mine.steps);
        mine.executions += 1;
        mine.members[turn.index()] += 1;
        if fails {
            failed.fetch_min(number, Ordering::Relaxed);
            break;
        }
        if wanted.has(Wanted::AGAIN) {
            let found = match wanted.has(Wanted::ELSEWHERE) {
                true => nondeterminism::look(plans.series(), number, program),
                false => nondeterminism::look_here(plans.series(), number, program),
            };
            mine.diverged = mine.diverged.take().or(found.map(|d| (number, d)));
        }
    }
    let mut all = shared.lock().unwrap_or_else(PoisonError::into_inner);
    all.executions += mine.executions;
    all.steps += mine.steps;
    for (sum, n) in all.members.iter_mut().zip(mine.members) {
        *sum += n;
    }
    all.coverage.add(sampled);
    if let Some((number, divergence)) = mine.diverged
        && all.diverged.as_ref().is_none_or(|(first, _)| number < *first)
    {
        all.diverged = Some((number, divergence));
    }
}

/// Every schedule that the strategy allows, one after the other.
fn enumerate(checker: &Checker, program: &(dyn Fn() + Send + Sync)) -> Report {
    let strategy = checker.strategy.clone().unwrap_or(Strategy::RunOn);
    let member = strategy.to_string();
    // Without a memory that was asked for, every schedule is looked at for races.
    let memory = checker.memory.unwrap_or(MemoryModel::Races);
    let options = Options { strategy, memory, record: Record::Bare, classes: true, ..checker.base() };
    let mut search = Search::new(options.clone());
    let (mut sampled, mut steps, mut failure) = (Sampled::default(), 0, None);
    let start = Instant::now();
    while search.reached().schedules < checker.executions {
        let execution = search.execute(program);
        steps += execution.steps;
        if !matches!(execution.verdict, Verdict::Finished) {
            let strategy = Strategy::Deviate(search.deviations().to_vec().into());
            let choices = Some(search.choices().to_vec().into());
            failure =
                Some(tell_of(checker, &Options { strategy, choices, ..options.clone() }, member.clone(), program));
            break;
        }
        sampled.add(Wanted::CLASS, execution);
        if !search.advance() || checker.wall.is_some_and(|wall| start.elapsed() > wall) {
            break;
        }
    }
    let Exhaustion { schedules, complete, .. } = search.reached();
    let mut coverage = Coverage::default();
    coverage.add(sampled);
    let members = vec![MemberCount { name: member, executions: schedules }];
    let number = if failure.is_some() { schedules - 1 } else { u64::MAX };
    Report { complete, ..Report::new(failure, number, None, members, coverage, (schedules, steps)) }
}
