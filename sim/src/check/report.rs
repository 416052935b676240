//! What a check tells.
//!
//! **Invariant: apart from speed it is the same for any number of jobs.**

use super::coverage::Coverage;
use super::failure::Failure;
use super::nondeterminism::Divergence;
use std::fmt;

/// Places that met in one order only, at most so many of them.
const ONE_WAY_MAX: usize = 8;

/// How many executions a strategy had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberCount {
    /// The strategy, as `--strategy` spells it.
    pub name: String,
    /// Its executions.
    pub executions: u64,
}

/// What came of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// Executions, up to and with the one that failed.
    pub executions: u64,
    /// Scheduling points and decisions of all of them; of those made, if one failed.
    pub steps: u64,
    /// Whether no other schedule is left: with an exhaustive strategy only.
    pub complete: bool,
    /// The failure with the smallest number.
    pub failure: Option<Failure>,
    /// A program that does not do the same again: the number of the execution, and where it parts.
    pub diverged: Option<(u64, Divergence)>,
    /// The strategies of the executions.
    pub members: Vec<MemberCount>,
    /// What was seen.
    pub coverage: Coverage,
}

impl Report {
    pub(super) fn new(
        failure: Option<Failure>,
        number: u64,
        diverged: Option<(u64, Divergence)>,
        members: Vec<MemberCount>,
        coverage: Coverage,
        (executions, steps): (u64, u64),
    ) -> Self {
        // What workers did beyond the failure depends on their number.
        let failed = failure.is_some();
        Self {
            executions: if failed { number + 1 } else { executions },
            steps: if failed { 0 } else { steps },
            complete: false,
            failure,
            diverged: diverged.filter(|(at, _)| !failed || *at < number),
            members: if failed { Vec::new() } else { members },
            coverage: if failed { Coverage::default() } else { coverage },
        }
    }

    /// Of a failure that was known before.
    pub(super) fn failed(executions: u64, failure: Failure) -> Self {
        Self::new(Some(failure), executions - 1, None, Vec::new(), Coverage::default(), (executions, 0))
    }

    /// Whether nothing failed and the program is deterministic as far as it was looked at.
    pub fn is_clean(&self) -> bool {
        self.failure.is_none() && self.diverged.is_none()
    }

    /// Whether the program is known not to be deterministic.
    pub fn is_nondeterministic(&self) -> bool {
        self.diverged.is_some() || self.failure.as_ref().is_some_and(|f| f.diverged.is_some())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((number, divergence)) = &self.diverged {
            return write!(f, "millpond: execution {number}: {divergence}");
        }
        if let Some(failure) = &self.failure {
            return write!(f, "millpond: execution {} fails: {failure}", self.executions - 1);
        }
        let end = if self.complete { ": every schedule within the bound" } else { "" };
        writeln!(f, "millpond: {} executions, {} steps, nothing found{end}", self.executions, self.steps)?;
        let members: Vec<String> = self.members.iter().map(|m| format!("{} {}", m.name, m.executions)).collect();
        writeln!(f, "  strategies   {}", members.join(", "))?;
        write!(f, "  seen         {}", self.coverage.seen())?;
        let one_way = self.coverage.one_way();
        for pair in one_way.iter().take(ONE_WAY_MAX) {
            let (a, b) = (pair.first, pair.second);
            let place = |l: &std::panic::Location<'_>| format!("{}:{}", l.file(), l.line());
            write!(f, "\n  one way      {} before {}, never after it", place(a), place(b))?;
        }
        if one_way.len() > ONE_WAY_MAX {
            write!(f, "\n               and {} more pairs", one_way.len() - ONE_WAY_MAX)?;
        }
        Ok(())
    }
}
