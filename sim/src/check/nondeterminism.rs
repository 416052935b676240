//! Programs that do not do the same again.
//!
//! **Invariant: two executions of one program with equal options have equal events.** If they haven't, the program looks at something
//! that is not under control: a clock, a hash map's order, an address, a global that an earlier execution changed.
//!
//! ```text
//!   execution on this OS thread ──> events ──┐
//!                                            ├── the first place at which they part
//!   execution on a fresh one ────> events ──┘       (other addresses, other hash keys, other thread-locals)
//! ```

use crate::engine::{Entry, Execution, Options, Record, Series, execute};
use std::fmt;
use std::thread;

/// Where two executions part that should be the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Number of the event, from 0.
    pub event: u64,
    /// What happened in the one, by thread and place; `None`: it had ended.
    pub one: Option<String>,
    /// What happened in the other.
    pub other: Option<String>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "the end".to_string());
        writeln!(f, "the program is not deterministic: two executions with one schedule part at event {}", self.event)?;
        writeln!(f, "  once   {}", text(&self.one))?;
        writeln!(f, "  again  {}", text(&self.other))?;
        f.write_str(
            "  It looks at something that is not under control: a clock, a hash map's order, an address, a random number, or what an\n  \
             earlier execution left in a global. Use millpond::time, a BTreeMap or a fixed hasher, and millpond's types in globals.",
        )
    }
}

/// Makes execution `number` twice; where the two part, if they do.
pub(super) fn look(series: &mut Series, number: u64, program: &(dyn Fn() + Send + Sync)) -> Option<Divergence> {
    series.options_mut().record = Record::Rich;
    let once = series.execute_fully(number, program);
    compare(&once, &elsewhere(series.options(), program))
}

/// As [`look`], on this OS thread: for less, and seeing less.
pub(super) fn look_here(series: &mut Series, number: u64, program: &(dyn Fn() + Send + Sync)) -> Option<Divergence> {
    series.options_mut().record = Record::Rich;
    compare(&series.execute_fully(number, program), &series.execute_fully(number, program))
}

/// Executes `program` on an OS thread of its own.
pub(super) fn elsewhere(options: &Options, program: &(dyn Fn() + Send + Sync)) -> Execution {
    thread::scope(|scope| match scope.spawn(|| execute(options, program)).join() {
        Ok(execution) => execution,
        Err(payload) => std::panic::resume_unwind(payload),
    })
}

/// Where two executions with a log part, if they do.
pub(super) fn compare(once: &Execution, again: &Execution) -> Option<Divergence> {
    if once.digest == again.digest && once.verdict.to_string() == again.verdict.to_string() {
        return None;
    }
    let same = |(a, b): &(&Entry, &Entry)| a == b;
    let at = once.log.iter().zip(&again.log).take_while(same).count();
    let text = |execution: &Execution| execution.log.get(at).map(|entry| super::story::line(execution, entry));
    let event = once.log.get(at).or(again.log.get(at)).map_or(once.events, |entry| entry.event);
    Some(Divergence { event, one: text(once), other: text(again) })
}
