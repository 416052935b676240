//! A failure, reduced and explained.
//!
//! **Invariant: what is told is of an execution that was made**: the reduced schedule was executed and failed in the same way.
//!
//! ```text
//!   options that fail ──rich──> shifts, choices ──shrink──> as few as still fail ──rich──> story, token
//!                        └─ again elsewhere: nondeterminism        └─ without one: passes ──> decisive
//! ```

use super::decisive::{self, Decisive};
use super::nondeterminism::{self, Divergence};
use super::shrink::shrink;
use super::story;
use super::token::{Token, limits};
use crate::deviations::{Deviations, Entry};
use crate::engine::{Choice, Execution, Options, Record, Strategy, Verdict, execute, exhaust_with};
use crate::ledger::FindingKind;
use std::fmt;
use std::ops::ControlFlow;

/// Turns of threads that a story tells at most.
const TURNS: usize = 24;

/// Executions that a reduction may use at most.
const TRIES: u64 = 20_000;

/// Steps that it may take at most, all executions together; of the search for fewer preemptions, with each number of them.
const STEPS: u64 = 300_000_000;

/// Preemptions of a schedule on a plain memory that is looked for, when the one found needs a weak one: less than these.
const PLAIN_PREEMPTIONS: u64 = 3;

/// Executions for each number of preemptions, in the search for one with fewer.
const FEWER_TRIES: u64 = 3000;

/// An execution that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Who found it: a strategy, as `--strategy` spells it, or a regression.
    pub member: String,
    /// How the execution ended.
    pub verdict: Verdict,
    /// The execution, reduced.
    pub token: Token,
    /// Switches away from a thread that could have gone on, in the reduced execution.
    pub preemptions: u64,
    /// Entries of the schedule before it was reduced.
    pub entries_before: usize,
    /// The two operations whose order decides.
    pub decisive: Option<Decisive>,
    /// What happened.
    pub story: String,
    /// If the same options don't give the same execution: where the two part.
    pub diverged: Option<Divergence>,
}

/// What makes two failures the same.
pub(super) fn signature(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Panic { location, .. } => format!("panic at {location}"),
        Verdict::Finding(finding) => format!("{} {}", finding.kind, places(&finding.text)),
        Verdict::Stopped(reason) => format!("stopped: {reason}"),
        other => other.name().to_string(),
    }
}

/// The places in the source that a text names.
fn places(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c == ';' || c == ',');
    let mut places: Vec<&str> = words.filter(|word| word.contains(".rs:")).collect();
    places.sort_unstable();
    places.join(" ")
}

/// The least failure like that of `options`.
pub(super) fn explain(options: &Options, member: String, program: &(dyn Fn() + Send + Sync)) -> Failure {
    let rich = Options { record: Record::Rich, classes: false, ..options.clone() };
    let original = execute(&rich, program);
    let again = nondeterminism::elsewhere(&rich, program);
    let diverged = nondeterminism::compare(&original, &again);
    let wanted = signature(&original.verdict);
    if diverged.is_some() || matches!(original.verdict, Verdict::Finished) {
        // Nothing to rely on: told as it is.
        let unexplained = Divergence { event: 0, one: Some("it failed".to_string()), other: None };
        let token = token_of(options, &original);
        return Failure { diverged: diverged.or(Some(unexplained)), ..told(member, &original, token, 0, None) };
    }
    let fails = |entries: &[Entry]| {
        let lean = Options { record: Record::Bare, classes: false, ..apply(options, entries) };
        signature(&execute(&lean, program).verdict) == wanted
    };
    let all = Deviations::of(&original).entries();
    if !fails(&all) {
        // Not one that a list of deviations repeats: told as it was found.
        return told(member, &original, token_of(options, &original), 0, None);
    }
    let affordable = |least: u64, most: u64| (STEPS / original.steps.max(1)).clamp(least, most);
    let (tries, fewer_tries) = (affordable(50, TRIES), affordable(5, FEWER_TRIES));
    let shrunk = shrink(&all, tries as u32, fails);
    let mut least =
        execute(&Options { record: Record::Rich, classes: false, ..apply(options, &shrunk.entries) }, program);
    let choices = Deviations::of(&least);
    // What needs no weak memory is told without it.
    let plain = !choices.choices().is_empty();
    let plain =
        plain.then(|| with_preemptions(options, (PLAIN_PREEMPTIONS, fewer_tries), &[], &wanted, program)).flatten();
    let fewer =
        || with_preemptions(options, (least.preemptions.min(4), fewer_tries), choices.choices(), &wanted, program);
    if let Some(better) = plain.or_else(fewer) {
        least = better;
    }
    let decisive = decide(options, &least, program);
    let token = token_of(options, &least);
    told(member, &least, token, all.len(), decisive)
}

/// The failure of `options`, as it is.
pub(super) fn as_found(options: &Options, member: String, program: &(dyn Fn() + Send + Sync)) -> Failure {
    let execution = execute(&Options { record: Record::Rich, classes: false, ..options.clone() }, program);
    told(member, &execution, token_of(options, &execution), 0, None)
}

/// The failure of the execution that `options` and `token` say; `None` if it doesn't fail.
pub(super) fn repeat(options: &Options, token: &Token, program: &(dyn Fn() + Send + Sync)) -> Option<Failure> {
    let rich = Options { record: Record::Rich, ..options.clone() };
    let execution = execute(&rich, program);
    if matches!(execution.verdict, Verdict::Finished) {
        return None;
    }
    let diverged = nondeterminism::compare(&execution, &nondeterminism::elsewhere(&rich, program));
    let decisive = decide(options, &execution, program);
    let failure = told("replay".to_string(), &execution, token.clone(), 0, decisive);
    Some(Failure { diverged, ..failure })
}

fn told(
    member: String,
    execution: &Execution,
    token: Token,
    entries_before: usize,
    decisive: Option<Decisive>,
) -> Failure {
    Failure {
        member,
        verdict: execution.verdict.clone(),
        token,
        preemptions: execution.preemptions,
        entries_before,
        decisive,
        story: story::tell(execution, TURNS),
        diverged: None,
    }
}

fn apply(options: &Options, entries: &[Entry]) -> Options {
    entries.iter().copied().collect::<Deviations>().applied(options.clone())
}

fn token_of(options: &Options, execution: &Execution) -> Token {
    let deviations = Deviations::of(execution);
    Token { seed: options.seed, index: options.index, memory: options.memory, limits: limits(options), deviations }
}

/// A failure of the same kind with less than `end` preemptions and these choices, if there is one among the first `tries` schedules
/// with each number of them.
fn with_preemptions(
    options: &Options,
    (end, tries): (u64, u64),
    choices: &[Choice],
    wanted: &str,
    program: &dyn Fn(),
) -> Option<Execution> {
    (0..end).find_map(|preemptions| {
        let options = Options {
            strategy: Strategy::Dfs { preemptions: preemptions as u32 },
            choices: Some(choices.into()),
            record: Record::Rich,
            classes: false,
            ..options.clone()
        };
        let mut found = None;
        exhaust_with(&options, tries, program, |_, execution| {
            if signature(&execution.verdict) == wanted {
                found = Some(execution);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        // Its schedule must be one that a token can repeat.
        let again = Deviations::of(&found?).applied(options);
        let execution = execute(&Options { record: Record::Rich, ..again }, program);
        (signature(&execution.verdict) == wanted).then_some(execution)
    })
}

/// The pair whose order decides.
fn decide(options: &Options, fails: &Execution, program: &dyn Fn()) -> Option<Decisive> {
    decisive::without_one(fails, &Deviations::of(fails).entries(), |fewer| {
        let other = execute(&Options { record: Record::Rich, classes: false, ..apply(options, fewer) }, program);
        matches!(other.verdict, Verdict::Finished).then_some(other)
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(diverged) = &self.diverged {
            writeln!(f, "{diverged}")?;
        }
        writeln!(f, "{}", self.verdict)?;
        if matches!(&self.verdict, Verdict::Finding(finding) if finding.kind == FindingKind::UnorderedFree) {
            writeln!(
                f,
                "  if std's Arc owns it, whose counts are not seen: millpond::sync::Arc, or Checker::unseen_owners"
            )?;
        }
        let count = |n: u64, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        write!(f, "  found by {}", self.member)?;
        if self.entries_before > 0 {
            write!(f, ", reduced from {}", count(self.entries_before as u64, "deviation"))?;
        }
        let choices = self.token.deviations.choices().len() as u64;
        write!(f, " to {}", count(self.preemptions, "preemption"))?;
        if choices > 0 {
            write!(f, " and {}", count(choices, "stale read or spurious failure"))?;
        }
        writeln!(f)?;
        if let Some(decisive) = &self.decisive {
            writeln!(f, "\n  it fails because\n          {decisive}\n  the other way round it does not")?;
        }
        writeln!(f, "\n  what happened ({})", story::LEGEND)?;
        f.write_str(&self.story)?;
        write!(f, "\n  replay  millpond::replay(\"{}\", || ...)", self.token)
    }
}
