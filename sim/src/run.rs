//! One execution of one cell with one seed, and how a person asks for it again.
//!
//! **Invariant: (cell, seed, strategy, binary) decide the outcome.** Nothing else reaches [`execute`]. Of the schedules of an
//! enumeration each has its deviations besides.

use crate::deviations::Deviations;
use crate::engine::{
    self, Execution, Facts, Granularity, MAX_MODELLED_THREADS, MemoryModel, Options, Plan, Record, Strategy, Verdict,
};
use crate::ledger::{Finding, FindingKind, Tolerance};
use crate::observed::Samples;
use crate::oracle;
use crate::outcome::Outcome;
use crate::scenario::{Cell, Fault, Oracle, Plant, Preempt, Scenario, Schedule, Step, limits, of_seed};
use crate::threads::On;
use crate::world;
use millpond_model::leak::Level;
use millpond_model::observe::{self, Kind};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// How to execute.
#[derive(Clone, Default)]
pub struct How {
    /// In place of the scenario's schedule.
    pub schedule: Option<Schedule>,
    /// In place of any schedule: the default one, but for these. They tell the executions of an enumeration apart.
    pub deviations: Option<Deviations>,
    /// Keep stories and the event log.
    pub rich: bool,
    /// PCT's estimate of the number of steps with a choice; measured by a pilot execution when absent.
    pub pct_steps: Option<u64>,
    /// In place of the scenario's memory.
    pub memory: Option<MemoryModel>,
    /// What a pilot execution told, for the strategies that draw by it; it is made when absent.
    pub facts: Option<Facts>,
    /// Count events, for `facts`.
    pub profile: bool,
}

/// The seed of the pilot execution that measures how many choices a cell has.
const PILOT_SEED: u64 = 0;

impl How {
    /// With the pilot's estimate, so that each seed of `cell` needn't measure it again. The estimate is a function of the
    /// cell alone, so that an execution can be reproduced without the others.
    #[must_use]
    pub fn for_cell(&self, cell: &Cell) -> Self {
        let schedule = self.schedule.unwrap_or(cell.scenario.schedule);
        let counts = match schedule {
            _ if deviations(&cell.scenario, self).is_some() => return self.clone(),
            Schedule::Pct { .. } | Schedule::Delays { .. } if self.pct_steps.is_none() => false,
            Schedule::Urw | Schedule::Surw | Schedule::Portfolio if self.facts.is_none() => true,
            _ => return self.clone(),
        };
        let pilot = Self { schedule: Some(Schedule::Random), profile: counts, ..Self::default() };
        let (_, execution) = execute(cell, PILOT_SEED, &pilot);
        let facts = counts.then(|| Facts::of(&execution));
        Self { pct_steps: Some(execution.choices.max(1)), facts, ..self.clone() }
    }
}

/// Executes `cell` with `seed`. With PCT and without an estimate, a pilot execution comes first. Switches and checkpoints are
/// in the outcome, no longer in the execution; switches are kept by rich executions only, so that the memory of a lean one
/// is bounded by what is alive in it. Of an enumeration this is the first schedule.
pub fn execute(cell: &Cell, seed: u64, how: &How) -> (Outcome, Execution) {
    let how = how.for_cell(cell);
    let (cell, swarm) = drawn(cell, seed);
    let options = options(&cell, seed, &how);
    let (outcome, execution) =
        perform(&cell, &Arc::new(cell.scenario.clone()), seed, |main| engine::execute(&options, main));
    let turn = plan(&cell, seed, &how).map(|plan| format!("{} ({})", plan.member, plan.strategy));
    (Outcome { deviations: how.deviations, swarm, turn, memory: options.memory, ..outcome }, execution)
}

/// The cell that `seed` draws, in a swarm, and in words what it drew.
pub(crate) fn drawn(cell: &Cell, seed: u64) -> (Cell, Option<String>) {
    let (scenario, swarm) = of_seed(&cell.scenario, seed);
    (Cell { scenario, ..cell.clone() }, swarm)
}

/// Has `run` execute the program of `cell`, whose scenario `scenario` is.
pub fn perform(
    cell: &Cell,
    scenario: &Arc<Scenario>,
    seed: u64,
    run: impl FnOnce(&mut dyn FnMut()) -> Execution,
) -> (Outcome, Execution) {
    let seen: Rc<RefCell<world::Seen>> = Rc::default();
    let mut execution = run(&mut || {
        engine::with_ledger(|ledger| ledger.tolerate(tolerance(scenario)));
        world::play::<engine::Sim>(scenario, seed, &seen);
    });
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
        swarm: None,
        turn: None,
        memory: MemoryModel::Interleaving,
        deviations: None,
        enumeration: None,
    };
    (outcome, execution)
}

/// Whose turn it is, if `cell` is searched by the portfolio: the seed is the index.
fn plan(cell: &Cell, seed: u64, how: &How) -> Option<Plan> {
    let schedule = how.schedule.unwrap_or(cell.scenario.schedule);
    let facts =
        how.facts.as_ref().filter(|_| schedule == Schedule::Portfolio && deviations(&cell.scenario, how).is_none())?;
    Some(engine::plan(engine::interleaved(seed, facts), facts, memories(cell, how, facts)))
}

/// The memories that the executions of the portfolio have by turns: if nothing else is asked for, half of them have a weak one. Not where
/// threads are preempted at tasks only, which is asked for where there is too much to look at each operation; and not with more threads
/// than clocks have lanes.
fn memories(cell: &Cell, how: &How, facts: &Facts) -> [MemoryModel; 2] {
    match how.memory.or(cell.scenario.memory) {
        Some(memory) => [memory; 2],
        None if cell.scenario.preempt == Preempt::AtOperations && facts.threads <= MAX_MODELLED_THREADS => {
            [MemoryModel::Interleaving, MemoryModel::Weak]
        }
        None => [MemoryModel::Interleaving; 2],
    }
}

/// What the schedule is instead of any, if it is told by its deviations.
pub(crate) fn deviations<'a>(scenario: &'a Scenario, how: &'a How) -> Option<&'a Deviations> {
    how.deviations.as_ref().or(scenario.deviations.as_ref().filter(|_| how.schedule.is_none()))
}

/// What the engine is told.
pub fn options(cell: &Cell, seed: u64, how: &How) -> Options {
    let scenario = &cell.scenario;
    let plan = plan(cell, seed, how);
    let facts = || how.facts.as_ref().map(|facts| Arc::clone(&facts.profile)).unwrap_or_default();
    let strategy = match how.schedule.unwrap_or(scenario.schedule) {
        Schedule::Portfolio => plan.as_ref().map_or(Strategy::Random, |plan| plan.strategy.clone()),
        Schedule::Pos => Strategy::Pos,
        Schedule::Urw => Strategy::Urw(facts()),
        Schedule::Surw => Strategy::Surw(facts()),
        Schedule::Delays { delays } => Strategy::DelayBounded { delays },
        Schedule::Random => Strategy::Random,
        Schedule::RoundRobin => Strategy::RoundRobin,
        Schedule::RunOn => Strategy::RunOn,
        Schedule::Pct { depth } => Strategy::Pct { depth },
        Schedule::Dfs { preemptions } => Strategy::Dfs { preemptions },
        Schedule::Dpor => Strategy::Dpor,
    };
    let options = Options {
        seed,
        strategy,
        granularity: match scenario.preempt {
            Preempt::AtOperations => Granularity::Operation,
            Preempt::AtTasks => Granularity::Task,
        },
        pct_steps: how.pct_steps.unwrap_or_else(|| Options::default().pct_steps),
        memory: plan.map_or_else(|| how.memory.or(scenario.memory).unwrap_or_default(), |plan| plan.memory),
        profile: how.profile,
        max_steps: scenario.budget.steps,
        record: if how.rich { Record::Rich } else { Record::Lean },
        keep_switches: how.rich,
        plants: plants(scenario),
        memory_limit: Some(memory_limit(scenario)),
        alloc_fails: alloc_fails(scenario),
        faults: inside(scenario),
        ..Options::default()
    };
    match deviations(&cell.scenario, how) {
        Some(deviations) => deviations.applied(options),
        None => options,
    }
}

/// The planted defects of a scenario.
pub(crate) fn plants(scenario: &Scenario) -> Vec<engine::Plant> {
    let plant = |p: &Plant| {
        let (defect, when) = p.parts();
        engine::Plant { defect, when: when.into() }
    };
    scenario.plant.iter().map(plant).collect()
}

/// Which allocations fail.
pub(crate) fn alloc_fails(scenario: &Scenario) -> Option<engine::When> {
    scenario.faults.iter().find_map(|f| match f {
        Fault::AllocationFails(when) => Some((*when).into()),
        _ => None,
    })
}

/// The faults that happen inside the model.
pub(crate) fn inside(scenario: &Scenario) -> Vec<(observe::Fault, engine::When)> {
    scenario.faults.iter().filter_map(Fault::inside).map(|(fault, when)| (fault, when.into())).collect()
}

/// What the program of a scenario does wrong on purpose.
pub(crate) fn tolerance(scenario: &Scenario) -> Tolerance {
    let misuses = |step: &Step| match step {
        Step::Exchange(e) => e.misuse.is_some(),
        Step::Objects(o) => o.misuse.is_some(),
        _ => false,
    };
    let leaks = scenario.oracles.contains(&Oracle::LeaksAreFound);
    Tolerance { leaks, refusals: scenario.workload.iter().any(misuses) }
}

/// The least limit that a scenario sets; ours if it sets none.
pub(crate) fn memory_limit(scenario: &Scenario) -> u64 {
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
            let mut findings = unended(|kind, limit| execution.ledger.owned(kind, limit));
            findings.extend(seen.findings.iter().cloned());
            findings.extend(leaks(cell, execution.ledger.tolerated().leaks, step, seen));
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
pub(crate) fn leaks(cell: &Cell, leaked: u64, step: u64, seen: &world::Seen) -> Option<Finding> {
    let stats = seen.leaks?;
    let found = stats.found + stats.untracked;
    let all = cell.scenario.allocator.leak_detection == Some(Level::Paranoid);
    let kind = match found {
        n if n > leaked => FindingKind::FalseLeak,
        n if n < leaked && all => FindingKind::MissedLeak,
        _ => return None,
    };
    Some(Finding::plain(kind, step, format!("{leaked} buffers leaked, and {found} leaks were found")))
}

/// Findings of each kind that are listed at most.
const UNENDED_MAX: usize = 8;

/// What is still owned after the last thread has ended, as the ledger's `owned` tells. Lost tasks first: they explain what they
/// carried.
pub(crate) fn unended(owned: impl Fn(Kind, usize) -> Vec<Finding>) -> Vec<Finding> {
    let kinds = [Kind::WriteAndFlushTask, Kind::WriteTask, Kind::Buffer, Kind::Message, Kind::Promise];
    kinds.iter().flat_map(|kind| owned(*kind, UNENDED_MAX)).collect()
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
    /// `--memory`, if it was given.
    pub memory: Option<MemoryModel>,
    /// `--platform`.
    pub on: On,
    /// `--rate`.
    pub rate: u32,
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
        if let Some(memory) = self.memory.or(outcome.told_memory()) {
            line.push_str(&format!(" --memory {memory}"));
        }
        match &outcome.deviations {
            // A seed has many of them: this one is told by its switches.
            Some(deviations) => {
                line.push_str(" --strategy RunOn");
                // Without a list, what else is chosen on a weak memory would be drawn.
                if !deviations.is_empty() || outcome.told_memory().is_some() {
                    line.push_str(&format!(" --deviate {}", quoted(&deviations.to_string())));
                }
            }
            None => {
                let strategy = self.strategy.iter().map(|strategy| format!(" --strategy {}", quoted(strategy)));
                line.extend(strategy);
            }
        }
        line.push_str(&format!(" --digest {:016x}", outcome.digest));
        line
    }

    /// The line that runs `outcome`'s seed again, on real threads.
    pub fn again(&self, outcome: &Outcome) -> String {
        let rate = if self.rate == 0 { String::new() } else { format!(" --rate {}", self.rate) };
        format!("{PROGRAM} run {} --platform std --seed {}{rate}", quoted(&self.file), outcome.seed)
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
