//! `run --platform std`: the same scenario, oracles and report on real threads.
//!
//! **Invariant: a seed decides the workload and what goes wrong, not the schedule.** So nothing here is replayed: there is no
//! digest, no finding file, and a finding may not be found again.
//!
//! ```text
//!   scenario, seed ──> world::play on `Watched` ──> findings while it runs, samples at rest ──> oracles ──> Outcome
//! ```
//!
//! Oracles judge what they judge in a simulation. `schedule`, `preempt` and `budget: (steps: ..)` are the scheduler's, and have
//! no meaning here.

use crate::campaign::{self, Format, RunOptions};
use crate::explore;
use crate::ledger::Finding;
use crate::observed::Samples;
use crate::oracle;
use crate::outcome::{CellSummary, Outcome};
use crate::report::{self, Verdict, json};
use crate::run;
use crate::scenario::{Cell, Loaded, Scenario, Step, of_seed};
use crate::threads::{self, Ended, PATIENCE, Watched};
use crate::world;
use std::cell::RefCell;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How real threads are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Virtual seconds that pass in a second of work. 0: time stands still while any thread works.
    pub rate: u32,
    /// How long threads may work without anything happening, in real time.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rate: 0, patience: PATIENCE }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct Stressed {
    /// What came of it. Its steps are what the threads did: notes, parks, sleeps.
    pub outcome: Outcome,
    /// Whether it hung: its threads are still there.
    pub hung: bool,
}

/// Messages of a run whose objects have stories at most: these cost time and memory.
const STORIES_MAX: u64 = 20_000;

/// Runs `cell` with `seed` on real threads.
pub fn execute(cell: &Cell, seed: u64, pace: Pace) -> Stressed {
    let (scenario, swarm) = of_seed(&cell.scenario, seed);
    let scenario = Arc::new(scenario);
    let options = threads::Options {
        seed,
        plants: run::plants(&scenario),
        faults: run::inside(&scenario),
        alloc_fails: run::alloc_fails(&scenario),
        memory_limit: Some(run::memory_limit(&scenario)),
        tolerance: run::tolerance(&scenario),
        stories: messages(&scenario) <= STORIES_MAX,
        rate: pace.rate,
        patience: pace.patience,
    };
    let shared: Arc<Mutex<world::Seen>> = Arc::default();
    let theirs = Arc::clone(&shared);
    let ended = threads::execute(&options, move || {
        let seen = RefCell::default();
        let played = catch_unwind(AssertUnwindSafe(|| world::play::<Watched>(&scenario, seed, &seen)));
        if let Ok(mut seen) = seen.try_borrow_mut() {
            *theirs.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut seen);
        }
        if let Err(payload) = played {
            resume_unwind(payload); // it is a finding already
        }
    });
    let seen = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
    let findings = findings(cell, &ended, &seen);
    let outcome = Outcome {
        cell: cell.index,
        seed,
        findings,
        steps: ended.operations,
        now: ended.now,
        threads: ended.threads,
        samples: Samples(seen.samples),
        kinds: ended.kinds,
        reached: ended.reached,
        leaks: seen.leaks,
        swarm,
        ..Outcome::default()
    };
    Stressed { outcome, hung: ended.hung }
}

/// What was found while the threads ran, and if nothing was: what the world saw at quiescence, then the numbers.
fn findings(cell: &Cell, ended: &Ended, seen: &world::Seen) -> Vec<Finding> {
    if !ended.findings.is_empty() {
        return ended.findings.clone();
    }
    let step = ended.operations;
    let mut findings: Vec<Finding> = run::unended(|kind, limit| ended.owned(kind, limit));
    findings.extend(seen.findings.iter().cloned());
    findings.extend(run::leaks(cell, ended.tolerated.leaks, step, seen));
    findings.extend(oracle::judge(&cell.scenario, &Samples(seen.samples.clone()), step));
    findings
}

/// Messages and buffers that the workload asks for.
fn messages(scenario: &Scenario) -> u64 {
    let all = scenario.topology.business_threads;
    let threads = |range: Option<&std::ops::Range<u32>>| u64::from(range.map_or(all, |r| r.end - r.start));
    let of = |step: &Step| match step {
        Step::Phase(phase) => threads(phase.threads.as_ref()).saturating_mul(phase.writes),
        Step::Exchange(exchange) => threads(exchange.threads.as_ref()).saturating_mul(exchange.buffers),
        _ => 0,
    };
    scenario.workload.iter().map(of).fold(0, u64::saturating_add)
}

/// Runs a scenario and writes the report to `out`. A run that hangs is the last one: its threads would disturb the others.
///
/// # Errors
/// What writing says.
pub fn run(loaded: &Loaded, options: &RunOptions, out: &mut dyn Write) -> io::Result<Verdict> {
    let scenario = &loaded.scenario;
    let seeds = options.seeds.clone().unwrap_or_else(|| scenario.seeds.clone());
    let per_cell = usize::try_from(seeds.end - seeds.start).expect("the number of seeds was checked");
    let count = loaded.cells.len() * per_cell;
    let mut summaries: Vec<CellSummary> = loaded.cells.iter().map(|_| CellSummary::default()).collect();
    let wall = scenario.budget.wall.map(|w| w.duration());
    if options.format != Format::Json {
        write!(out, "{}", report::title_on_threads(scenario, loaded.cells.len()))?;
        out.flush()?;
    }
    let bar = campaign::progress_bar(options, count);
    let start = Instant::now();
    let mut done = 0;
    let mut written = Ok(());
    explore::in_order(
        count,
        options.jobs.get(),
        |index| {
            let seed = seeds.start + (index % per_cell) as u64;
            execute(&loaded.cells[index / per_cell], seed, options.pace)
        },
        |index, Stressed { outcome, hung }| {
            let cell = &loaded.cells[index / per_cell];
            if options.format == Format::Json {
                let line = json::execution(cell, &outcome, &campaign::command(loaded, cell, options));
                written = writeln!(out, "{line}");
            }
            summaries[cell.index].add(outcome);
            done += 1;
            bar.inc(1);
            let late = wall.is_some_and(|wall| start.elapsed() > wall);
            if hung || late || written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    bar.finish_and_clear();
    written?;
    let cells: Vec<(&Cell, &CellSummary)> = loaded.cells.iter().zip(&summaries).collect();
    campaign::speed(options, &cells, start.elapsed());
    let (verdict, why) = report::judge(scenario, &cells, done == count);
    campaign::tell(loaded, options, &cells, &campaign::Unwritten::new(), (done as u64, verdict, &why), out)?;
    Ok(verdict)
}
