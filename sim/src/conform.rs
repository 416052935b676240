//! Replays a trace recorded from real Netty on the model, and compares every result and every statistic.
//!
//! **Invariant: the trace decides**: the expected value is always the one in the file.
//!
//! A trace (`netty-lockstep/1`, JSON lines, plain or gzipped) is one run of a seeded list of operations: a header with the
//! configuration, then an operation, its result and the private state after it. Its threads ran strictly one after the
//! other; so do the threads here, real or simulated.
//!
//! ```text
//!   file ──lines──> header ─────> recycler | allocator ─┐
//!                   operation ──> operate ──> result ───┴─difference──> the first that differs
//!                                             statistics
//! ```
//!
//! The frame reads and compares; what an operation does and what a statistic is, the domains know.

mod allocator;
pub mod command;
mod difference;
mod header;
mod lines;
mod operation;
mod recycler;
mod threads;

use header::{Domain, Header};
use lines::{Line, lines};
use millpond_model::{Platform, Std};
use operation::Operation;
use serde_json::Value;
use std::any::Any;
use std::path::Path;

use crate::scenario::printable;
use difference::{Differs, first_difference};

/// A trace that was reproduced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The release it was recorded from.
    pub netty: String,
    /// Name of the configuration.
    pub name: String,
    /// Operations compared.
    pub operations: u64,
}

/// Why a trace was not reproduced.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Difference {
    /// The file is not a whole trace that can be replayed.
    #[error("{file}{}: {reason}", line.map(|n| format!(" line {n}")).unwrap_or_default())]
    Unusable {
        /// The file.
        file: String,
        /// The line, from 1, if it is one line's fault.
        line: Option<u64>,
        /// What is wrong with it.
        reason: String,
    },
    /// The first operation where the two differ.
    #[error(transparent)]
    Differs(Box<FirstDifference>),
}

/// The first operation of a trace where the two differ.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file} line {line}, operation {operation}: {what}: trace {trace}, here {here}")]
pub struct FirstDifference {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The operation, as in the file.
    pub operation: String,
    /// What differs, as a path from the line's object: `st.p[0].sz`.
    pub what: String,
    /// The value in the file.
    pub trace: String,
    /// Our value.
    pub here: String,
}

/// Runs the operations of one domain. What it gives is written as the traces write it; fields that belong to the JVM
/// rather than to Netty it takes from the trace.
trait Replay {
    /// Runs one operation: its `res`. An error is one of the trace: the operation makes no sense there.
    fn operate(&mut self, operation: &Operation<'_>) -> Result<Value, String>;

    /// The private state after it: its `st`. What the trace has there says how much is asked for: some lines have more.
    fn statistics(&mut self, trace: &Value) -> Value;
}

/// Replays the trace in `path` on real threads.
///
/// # Errors
/// The first difference, or why the file can't be used.
pub fn conform_file(path: impl AsRef<Path>) -> Result<Summary, Difference> {
    conform_on::<Std>(path)
}

/// Replays the trace in `path` on the threads of `P`.
///
/// # Errors
/// The first difference, or why the file can't be used.
pub fn conform_on<P: Platform>(path: impl AsRef<Path>) -> Result<Summary, Difference> {
    let path = path.as_ref();
    let mut at = None;
    replay::<P>(path, &mut at).map_err(|stop| {
        let file = printable(path);
        match stop {
            Stop::Unusable(reason) => Difference::Unusable { file, line: at, reason },
            Stop::Differs(operation, Differs { what, trace, here }) => {
                let line = at.unwrap_or_else(|| unreachable!("an operation has a line"));
                Difference::Differs(Box::new(FirstDifference { file, line, operation, what, trace, here }))
            }
        }
    })
}

/// Operations of a trace at most; the longest recorded one has 16,200.
const MAX_OPERATIONS: u64 = 10_000_000;

/// What ends a replay early.
enum Stop {
    Unusable(String),
    Differs(String, Differs),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Unusable(reason)
    }
}

/// Replays the lines of a file; `at` is the one at hand.
fn replay<P: Platform>(path: &Path, at: &mut Option<u64>) -> Result<Summary, Stop> {
    let mut lines = lines(path)?;
    let mut next = |at: &mut Option<u64>| {
        *at = Some(at.unwrap_or(0) + 1);
        lines.next()
    };
    let header = match next(at)? {
        Some(Line(value)) => Header::read(&value)?,
        None => return Err(Stop::Unusable("it is empty".into())),
    };
    let mut domain: Box<dyn Replay> = match header.domain {
        Domain::Recycler => Box::new(recycler::Recyclers::<P>::new(&header)?),
        Domain::Allocator => Box::new(allocator::Allocator::<P>::new(&header)?),
    };
    let mut operations = 0;
    while let Some(Line(line)) = next(at)? {
        if line.get("end").is_some() {
            let said = line.get("ops").and_then(Value::as_u64);
            if said != Some(operations) {
                return Err(Stop::Unusable(format!("it ends after {operations} operations and says otherwise")));
            }
            return match next(at)? {
                None => Ok(Summary { netty: header.netty, name: header.name, operations }),
                Some(_) => Err(Stop::Unusable("there is a line after the last one".into())),
            };
        }
        if operations == MAX_OPERATIONS {
            return Err(Stop::Unusable(format!("too many operations: the limit is {MAX_OPERATIONS}")));
        }
        let operation = Operation::read(&line, operations)?;
        operations += 1;
        if let Some(differs) = step::<P>(domain.as_mut(), &operation)? {
            return Err(Stop::Differs(operation.text(), differs));
        }
    }
    *at = None;
    Err(Stop::Unusable(format!("it breaks off after {operations} operations: the line that ends a trace is missing")))
}

/// Runs one operation and compares. Netty survived it, so that a panic is a difference.
fn step<P: Platform>(domain: &mut dyn Replay, operation: &Operation<'_>) -> Result<Option<Differs>, String> {
    let done = P::catch(|| {
        let result = domain.operate(operation)?;
        let differs = first_difference("res", operation.expected, &result);
        Ok(differs.or_else(|| {
            let trace = operation.statistics?;
            first_difference("st", trace, &domain.statistics(trace))
        }))
    });
    done.unwrap_or_else(|payload| {
        let here = message(payload.as_ref()).to_string();
        Ok(Some(Differs { what: "a panic".into(), trace: "none".into(), here }))
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("one without a message")
}
