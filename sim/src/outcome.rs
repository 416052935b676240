//! What one execution of one cell with one seed came to, and what all executions of a cell came to together.
//!
//! **Invariant: everything here is a function of scenario, seed and binary.** No time of day, no duration of the host.

use crate::deviations::Deviations;
use crate::engine::{MemoryModel, Switch};
use crate::enumerate::{Bound, Enumeration};
use crate::ledger::{Finding, FindingKind, KindLedger};
use crate::observed::Samples;
use millpond_model::leak::LeakStats;
use millpond_model::observe::{Kind, Reach};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One execution.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The cell's index in the sweep.
    pub cell: usize,
    /// The seed.
    pub seed: u64,
    /// What was found, in the order in which it was seen; empty when everything held.
    pub findings: Vec<Finding>,
    /// Digest of all scheduling events.
    pub digest: u64,
    /// Prefix digests.
    pub checkpoints: Vec<u64>,
    /// Scheduling events.
    pub events: u64,
    /// Scheduling steps.
    pub steps: u64,
    /// The schedule of a rich execution: each switch of the running thread.
    pub switches: Vec<Switch>,
    /// Virtual time at the end.
    pub now: Duration,
    /// Names of the simulated threads, by number.
    pub threads: Vec<String>,
    /// The samples of the steps.
    pub samples: Samples,
    /// The ledger's numbers.
    pub kinds: Vec<(Kind, KindLedger)>,
    /// How often each reach point was passed, in the order of [`Reach::ALL`].
    pub reached: [u64; Reach::ALL.len()],
    /// The leak detector's numbers at the end, if there is one.
    pub leaks: Option<LeakStats>,
    /// What the seed drew, in a swarm.
    pub swarm: Option<String>,
    /// What loads could return.
    pub memory: MemoryModel,
    /// Which member of the portfolio had its turn, and how.
    pub turn: Option<String>,
    /// If a seed has many executions, or this one was reduced: where its schedule is not the default one.
    pub deviations: Option<Deviations>,
    /// What the enumeration came to whose only outcome this is.
    pub enumeration: Option<Enumeration>,
}

impl Outcome {
    /// The finding that decides: the first.
    pub fn finding(&self) -> Option<&Finding> {
        self.findings.first()
    }

    /// Its memory, if it has to be told: by default, memory is an interleaving where nobody draws which.
    pub fn told_memory(&self) -> Option<MemoryModel> {
        Some(self.memory).filter(|memory| *memory != MemoryModel::default())
    }

    /// Name of the thread with this number.
    pub fn thread(&self, id: u32) -> &str {
        self.threads.get(id as usize).map_or("?", String::as_str)
    }

    /// The ledger's numbers about `kind`.
    pub fn kind(&self, kind: Kind) -> Option<&KindLedger> {
        self.kinds.iter().find(|(k, _)| *k == kind).map(|(_, l)| l)
    }
}

/// All executions of one cell.
#[derive(Debug, Default)]
pub struct CellSummary {
    /// Executions.
    pub executions: u64,
    /// Their steps.
    pub steps: u64,
    /// Different schedules among them, by digest.
    pub distinct: BTreeSet<u64>,
    /// Executions by what they found first.
    pub found: BTreeMap<FindingKind, u64>,
    /// How often each reach point was passed, in the order of [`Reach::ALL`].
    pub reached: [u64; Reach::ALL.len()],
    /// The first execution: the table is made from it.
    pub first: Option<Outcome>,
    /// The execution with the smallest seed that found each kind.
    pub examples: BTreeMap<FindingKind, Outcome>,
    /// The enumerations among them.
    pub enumerated: Option<Enumerated>,
}

/// The enumerations of a cell, one for each seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Enumerated {
    /// The bound.
    pub bound: Bound,
    /// Enumerations.
    pub seeds: u64,
    /// Schedules executed.
    pub schedules: u64,
    /// Partial orders among them, summed over the seeds, where these are enumerated.
    pub classes: u64,
    /// Enumerations that a finding ended.
    pub found: u64,
    /// Enumerations that a budget ended: of schedules, or of time.
    pub cut: u64,
}

impl Enumerated {
    fn none(bound: Bound) -> Self {
        Self { bound, seeds: 0, schedules: 0, classes: 0, found: 0, cut: 0 }
    }

    /// Whether all schedules of all seeds were executed.
    pub fn is_complete(&self) -> bool {
        self.found == 0 && self.cut == 0
    }

    fn add(&mut self, one: &Enumeration, found: bool) {
        self.seeds += 1;
        self.schedules += one.schedules;
        self.classes += one.classes;
        self.found += u64::from(found);
        self.cut += u64::from(!found && !one.complete);
    }
}

impl CellSummary {
    /// Adds the next execution or enumeration, in order of seeds.
    pub fn add(&mut self, mut outcome: Outcome) {
        let reached = match outcome.enumeration.take() {
            Some(mut one) => {
                let enumerated = self.enumerated.get_or_insert(Enumerated::none(one.bound));
                enumerated.add(&one, outcome.finding().is_some());
                self.executions += one.schedules;
                self.steps += one.steps;
                self.distinct.append(&mut one.distinct);
                one.reached
            }
            None => {
                self.executions += 1;
                self.steps += outcome.steps;
                self.distinct.insert(outcome.digest);
                outcome.reached
            }
        };
        for (sum, n) in self.reached.iter_mut().zip(reached) {
            *sum += n;
        }
        if let Some(finding) = outcome.finding() {
            *self.found.entry(finding.kind).or_default() += 1;
            let kind = finding.kind;
            if self.first.is_none() {
                self.first = Some(outcome.clone());
            }
            self.examples.entry(kind).or_insert(outcome);
        } else if self.first.is_none() {
            self.first = Some(outcome);
        }
    }

    /// Times that `point` was passed.
    pub fn times(&self, point: Reach) -> u64 {
        Reach::ALL.iter().position(|p| *p == point).map_or(0, |i| self.reached[i])
    }
}
