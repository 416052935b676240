//! What a check has seen, and how much it hasn't.
//!
//! **Invariant: every number told is of executions that were made**; what is estimated says so.
//!
//! With `n` executions of which `f1` showed a partial order that no other one showed, the chance that the next one shows another
//! new one is about `f1 / n`: I. J. Good, *The population frequencies of species and the estimation of population parameters* (1953).
//!
//! ```text
//!   execution   0 .. FIRST      short ones, and one long one in SAMPLE, tell their class; one in LOG_EVERY its log
//!               FIRST ..        one in SAMPLE tells its class, of which one in LOG_EVERY its log
//!   log ──> which two places met on an object, in which order
//! ```

use crate::engine::{Entry, Execution, Series, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::Location;

/// An execution with more choices than this is as good as surely a partial order of its own.
const LONG: u64 = 2000;

/// Executions from this number on tell less: those of a check that says nothing all tell what they have to.
const FIRST: u64 = super::EXECUTIONS;

/// Of later and of long executions, one in so many tells its class. It has no divisor in common with the portfolio's rotation of 16.
const SAMPLE: u64 = 17;

/// One execution in so many is logged; of those that are sampled later.
const LOG_EVERY: u64 = 127;

/// One execution in so many is made again, of those that are sampled later; number 1 is the first.
const AGAIN_EVERY: u64 = 499;

/// Executions from this number on do not tell their classes: what is kept is bounded.
const CLASSES_MAX: u64 = 1 << 26;

/// Most choices of an execution that is logged.
const LOG_STEPS: u64 = 20_000;

type Site = &'static Location<'static>;

/// What is written down of an execution, besides how it ended: bits, because a structure of flags that is put together and taken apart
/// in memory costs a short execution a tenth of its time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted(u8);

impl Wanted {
    /// Nothing.
    const NOTHING: Self = Self(0);

    /// Which partial order it was.
    pub const CLASS: Self = Self(1);

    /// What happened.
    pub const LOG: Self = Self(2);

    /// That it is made again, to see whether the program is deterministic.
    pub const AGAIN: Self = Self(4);

    /// That it is made again on an OS thread of its own, which costs as much as a thousand short executions.
    pub const ELSEWHERE: Self = Self(8);

    /// Of execution `number` of a program with so many choices.
    #[inline]
    pub fn of(number: u64, choices: u64) -> Self {
        let (is_sampled, is_early) = (number.is_multiple_of(SAMPLE), number < FIRST);
        if !is_sampled && !is_early {
            return Self::NOTHING;
        }
        let nth = if is_early { number } else { number / SAMPLE };
        let again = nth % AGAIN_EVERY == 1;
        let all = [
            (Self::CLASS, number < CLASSES_MAX && (is_sampled || choices <= LONG)),
            (Self::LOG, nth.is_multiple_of(LOG_EVERY) && choices <= LOG_STEPS),
            (Self::AGAIN, again),
            (Self::ELSEWHERE, again && (number == 1 || (nth / AGAIN_EVERY).is_power_of_two())),
        ];
        all.into_iter().filter(|(_, is)| *is).fold(Self::NOTHING, |sum, (one, _)| Self(sum.0 | one.0))
    }

    /// Whether that is wanted.
    #[inline]
    pub fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
}

/// What one worker has seen.
#[derive(Default)]
pub(super) struct Sampled {
    classes: Vec<u64>,
    met: BTreeSet<(Site, Site)>,
}

impl Sampled {
    /// With room for so many executions.
    pub fn of_at_most(executions: usize) -> Self {
        Self { classes: Vec::with_capacity(executions), met: BTreeSet::new() }
    }

    /// Executes `program`, of which this is wanted; whether nothing failed. `steps` grows by its steps.
    #[inline(always)]
    pub fn execute(
        &mut self,
        series: &mut Series,
        number: u64,
        wanted: Wanted,
        program: &dyn Fn(),
        steps: &mut u64,
    ) -> bool {
        let passes = |execution: &Execution| matches!(execution.verdict, Verdict::Finished);
        if wanted.has(Wanted::LOG) {
            let execution = series.execute_fully(number, program);
            *steps += execution.steps;
            let passed = passes(&execution);
            if passed {
                self.add(wanted, execution);
            }
            return passed;
        }
        match series.execute(number, program) {
            Ok(brief) => {
                *steps += brief.steps;
                if wanted.has(Wanted::CLASS) {
                    self.classes.push(brief.class);
                }
                true
            }
            Err(execution) => {
                *steps += execution.steps;
                passes(&execution) // it was skipped
            }
        }
    }

    /// An execution of which this was wanted.
    pub fn add(&mut self, wanted: Wanted, execution: Execution) {
        if wanted.has(Wanted::CLASS) {
            self.classes.push(execution.class);
        }
        if wanted.has(Wanted::LOG) {
            meetings(&execution.log, |before, after| {
                self.met.insert((before, after));
            });
        }
    }
}

/// Calls `each` with the places of every two operations of different threads that come next to each other on an object and whose
/// order can matter.
fn meetings(log: &[Entry], mut each: impl FnMut(Site, Site)) {
    let mut last: BTreeMap<u32, &Entry> = BTreeMap::new();
    for entry in log {
        let access = entry.access();
        if access.object == u32::MAX {
            continue;
        }
        if let Some(before) = last.insert(access.object, entry)
            && before.thread != entry.thread
            && before.access().conflicts(access)
        {
            each(before.site, entry.site);
        }
    }
}

/// Two places in the source that met on an object in one order only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneWay {
    /// It always came first.
    pub first: &'static Location<'static>,
    /// It always came second.
    pub second: &'static Location<'static>,
}

/// What a check has seen.
#[derive(Clone, Default, Debug)]
pub struct Coverage {
    classes: Vec<u64>,
    met: BTreeSet<(Site, Site)>,
}

/// Partial orders seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Executions that told theirs.
    pub executions: u64,
    /// The different ones among them.
    pub distinct: u64,
    /// Those that one execution showed.
    pub once: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chance = self.once as f64 / self.executions.max(1) as f64;
        let Self { executions, distinct, .. } = self;
        write!(f, "{distinct} partial orders in {executions} executions; the next one is new with a chance of about ")?;
        if self.once == 0 { write!(f, "0 (less than 1 in {executions})") } else { write!(f, "{chance:.2e}") }
    }
}

impl Coverage {
    /// What a worker has seen besides.
    pub(super) fn add(&mut self, sampled: Sampled) {
        self.classes.extend(sampled.classes);
        self.met.extend(sampled.met);
    }

    /// The partial orders seen.
    pub fn seen(&self) -> Seen {
        let mut sorted = self.classes.clone();
        sorted.sort_unstable();
        let groups = sorted.chunk_by(|a, b| a == b);
        let (mut distinct, mut once) = (0, 0);
        for group in groups {
            distinct += 1;
            once += u64::from(group.len() == 1);
        }
        Seen { executions: sorted.len() as u64, distinct, once }
    }

    /// The estimated chance that another execution shows a partial order that none has shown.
    pub fn chance_of_new(&self) -> f64 {
        let seen = self.seen();
        seen.once as f64 / seen.executions.max(1) as f64
    }

    /// Places that met in one order only, among the executions that were logged.
    pub fn one_way(&self) -> Vec<OneWay> {
        let never = |pair: &&(Site, Site)| pair.0 != pair.1 && !self.met.contains(&(pair.1, pair.0));
        self.met.iter().filter(never).map(|(first, second)| OneWay { first, second }).collect()
    }
}
