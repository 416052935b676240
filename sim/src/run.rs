//! One execution of one cell with one seed, and how a person asks for it again.
//!
//! **Invariant: (cell, seed, strategy, binary) decide the outcome.** Nothing else reaches [`execute`].

use crate::engine::{self, Execution, Granularity, Options, Record, Strategy, Verdict};
use crate::ledger::{Finding, FindingKind, Tolerance};
use crate::observed::Samples;
use crate::oracle;
use crate::outcome::Outcome;
use crate::scenario::{Cell, Fault, Oracle, Preempt, Scenario, Schedule, Step, limits};
use crate::world;
use millpond_model::leak::Level;
use millpond_model::observe::Kind;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// How to execute.
#[derive(Clone, Default)]
pub struct How {
    /// In place of the scenario's schedule.
    pub schedule: Option<Schedule>,
    /// Keep stories and the event log.
    pub rich: bool,
    /// PCT's estimate of the number of steps with a choice; measured by a pilot execution when absent.
    pub pct_steps: Option<u64>,
}

/// The seed of the pilot execution that measures how many choices a cell has.
const PILOT_SEED: u64 = 0;

impl How {
    /// With the pilot's estimate, so that each seed of `cell` needn't measure it again. The estimate is a function of the
    /// cell alone, so that an execution can be reproduced without the others.
    #[must_use]
    pub fn for_cell(&self, cell: &Cell) -> Self {
        let schedule = self.schedule.unwrap_or(cell.scenario.schedule);
        if self.pct_steps.is_some() || !matches!(schedule, Schedule::Pct { .. }) {
            return self.clone();
        }
        let pilot = Self { schedule: Some(Schedule::Random), ..Self::default() };
        let (_, execution) = execute(cell, PILOT_SEED, &pilot);
        Self { pct_steps: Some(execution.choices.max(1)), ..self.clone() }
    }
}

/// Executes `cell` with `seed`. With PCT and without an estimate, a pilot execution comes first. Switches and checkpoints are
/// in the outcome, no longer in the execution; switches are kept by rich executions only, so that the memory of a lean one
/// is bounded by what is alive in it.
pub fn execute(cell: &Cell, seed: u64, how: &How) -> (Outcome, Execution) {
    let how = &how.for_cell(cell);
    let scenario = Arc::new(cell.scenario.clone());
    let seen: Rc<RefCell<world::Seen>> = Rc::default();
    let mut execution = {
        let (scenario, seen) = (Arc::clone(&scenario), Rc::clone(&seen));
        engine::execute(&options(cell, seed, how), move || {
            engine::with_ledger(|ledger| ledger.tolerate(tolerance(&scenario)));
            world::play::<engine::Sim>(&scenario, seed, &seen);
        })
    };
    let seen = seen.take();
    let findings = findings(cell, &execution, &seen);
    let outcome = Outcome {
        cell: cell.index,
        seed,
        findings,
        digest: execution.digest,
        checkpoints: std::mem::take(&mut execution.checkpoints),
        events: execution.events,
        steps: execution.steps,
        switches: std::mem::take(&mut execution.switches),
        now: execution.now,
        threads: execution.threads.iter().map(|t| t.name.clone()).collect(),
        samples: Samples(seen.samples),
        kinds: execution.ledger.kinds().to_vec(),
        reached: execution.reach_counts,
        leaks: seen.leaks,
    };
    (outcome, execution)
}

fn options(cell: &Cell, seed: u64, how: &How) -> Options {
    let scenario = &cell.scenario;
    let strategy = match how.schedule.unwrap_or(scenario.schedule) {
        Schedule::Random => Strategy::Random,
        Schedule::RoundRobin => Strategy::RoundRobin,
        Schedule::RunOn => Strategy::RunOn,
        Schedule::Pct { depth } => Strategy::Pct { depth },
    };
    Options {
        seed,
        strategy,
        granularity: match scenario.preempt {
            Preempt::AtOperations => Granularity::Operation,
            Preempt::AtTasks => Granularity::Task,
        },
        pct_steps: how.pct_steps.unwrap_or_else(|| Options::default().pct_steps),
        max_steps: scenario.budget.steps,
        record: if how.rich { Record::Rich } else { Record::Lean },
        keep_switches: how.rich,
        plants: scenario
            .plant
            .iter()
            .map(|p| {
                let (defect, when) = p.parts();
                engine::Plant { defect, when: when.into() }
            })
            .collect(),
        memory_limit: Some(memory_limit(scenario)),
        alloc_fails: scenario.faults.iter().find_map(|f| match f {
            Fault::AllocationFails(when) => Some((*when).into()),
            _ => None,
        }),
        ..Options::default()
    }
}

/// What the program of a scenario does wrong on purpose.
fn tolerance(scenario: &Scenario) -> Tolerance {
    let misuses = |step: &Step| matches!(step, Step::Exchange(e) if e.misuse.is_some());
    let leaks = scenario.oracles.contains(&Oracle::LeaksAreFound);
    Tolerance { leaks, refusals: scenario.workload.iter().any(misuses) }
}

/// The least limit that a scenario sets; ours if it sets none.
fn memory_limit(scenario: &Scenario) -> u64 {
    let limits = scenario.faults.iter().filter_map(|f| match f {
        Fault::MemoryLimit(size) => Some(size.bytes()),
        _ => None,
    });
    limits.chain([limits::BUFFER_BYTES]).min().unwrap_or(limits::BUFFER_BYTES)
}

/// The verdict of the engine first: it ended the execution. Then what the world saw at quiescence, then the numbers.
fn findings(cell: &Cell, execution: &Execution, seen: &world::Seen) -> Vec<Finding> {
    let step = execution.steps;
    let plain = |kind, text: String| vec![Finding::plain(kind, step, text)];
    match &execution.verdict {
        Verdict::Finished => {
            let mut findings = unended(execution);
            findings.extend(seen.findings.iter().cloned());
            findings.extend(leaks(cell, execution, seen));
            findings.extend(oracle::judge(&cell.scenario, &Samples(seen.samples.clone()), step));
            findings
        }
        Verdict::Finding(finding) => vec![finding.clone()],
        Verdict::StepBudget { steps } => plain(
            FindingKind::StepBudget,
            format!("not quiescent after {steps} steps: raise `budget: (steps: ..)`, or let the workload end"),
        ),
        Verdict::Deadlock { .. } => plain(FindingKind::Deadlock, execution.verdict.to_string()),
        Verdict::Livelock { .. } => plain(FindingKind::Livelock, execution.verdict.to_string()),
        Verdict::Panic { .. } => plain(FindingKind::Panic, execution.verdict.to_string()),
        Verdict::StackOverflow { .. } => plain(FindingKind::StackOverflow, execution.verdict.to_string()),
        Verdict::Diverged { .. } | Verdict::Stopped(_) => plain(FindingKind::Stall, execution.verdict.to_string()),
    }
}

/// INV-L1 and INV-L2: the detector's numbers beside the ledger's.
fn leaks(cell: &Cell, execution: &Execution, seen: &world::Seen) -> Option<Finding> {
    let stats = seen.leaks?;
    let (found, leaked) = (stats.found + stats.untracked, execution.ledger.tolerated().leaks);
    let all = cell.scenario.allocator.leak_detection == Some(Level::Paranoid);
    let kind = match found {
        n if n > leaked => FindingKind::FalseLeak,
        n if n < leaked && all => FindingKind::MissedLeak,
        _ => return None,
    };
    Some(Finding::plain(kind, execution.steps, format!("{leaked} buffers leaked, and {found} leaks were found")))
}

/// Findings of each kind that are listed at most.
const UNENDED_MAX: usize = 8;

/// What is still owned after the last thread has ended. Lost tasks first: they explain what they carried.
fn unended(execution: &Execution) -> Vec<Finding> {
    let kinds = [Kind::WriteAndFlushTask, Kind::WriteTask, Kind::Buffer, Kind::Message, Kind::Promise];
    kinds.iter().flat_map(|kind| execution.ledger.owned(*kind, UNENDED_MAX)).collect()
}

/// The command that a person typed, as far as it decides the outcome: what a replay line must repeat.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The scenario's path as it was given.
    pub file: String,
    /// The cell's label; empty when there is only one.
    pub cell: String,
    /// `--strategy`, if it was given.
    pub strategy: Option<String>,
}

/// What starts the program from the repository's root.
const PROGRAM: &str = "cargo run -q --release --";

impl Command {
    /// The line that runs `outcome` again.
    pub fn replay(&self, outcome: &Outcome) -> String {
        let mut line = format!("{PROGRAM} replay {} --seed {}", quoted(&self.file), outcome.seed);
        if !self.cell.is_empty() {
            line.push_str(&format!(" --cell {}", quoted(&self.cell)));
        }
        if let Some(strategy) = &self.strategy {
            line.push_str(&format!(" --strategy {}", quoted(strategy)));
        }
        line.push_str(&format!(" --digest {:016x}", outcome.digest));
        line
    }

    /// The line that replays the finding file `file`.
    pub fn replay_file(&self, file: &str) -> String {
        format!("{PROGRAM} replay {}", quoted(file))
    }
}

/// `text` as one word of a POSIX shell.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_string();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
