//! What happened, one line an operation.
//!
//! **Invariant: lines come in the order in which the operations took effect.** A run of one thread is a paragraph; in a long one the
//! middle is left out and counted.

use crate::engine::{Entry, Execution, Op};
use std::fmt::Write;

/// Lines of one paragraph at most.
const RUN_MAX: usize = 16;

/// How to read a line's values.
pub(crate) const LEGEND: &str = "after a value's arrow: its lowest byte; 0 or 1 for a pointer";

/// The name of thread `id`.
pub(super) fn thread_name(execution: &Execution, id: u32) -> String {
    let name = execution.threads.get(id as usize).map(|t| t.name.clone()).unwrap_or_default();
    if name.is_empty() || name.starts_with('#') { format!("thread {id}") } else { format!("{name} ({id})") }
}

/// An operation in words, with its object.
fn what(entry: &Entry) -> String {
    let Entry { op, object, class, extra, .. } = entry;
    // What the memory model adds: how many newer stores there were than the one that was read.
    let behind = match extra >> 8 & 0xff {
        0 => String::new(),
        1 => "  (stale: there is a newer value)".to_string(),
        n => format!("  (stale: there are {n} newer values)"),
    };
    let extra = extra & 0xff;
    let order = entry.ordering.map(|o| format!(" {o:?}")).unwrap_or_default();
    match op {
        Op::Load => format!("load #{object}{order} -> {class}{behind}"),
        Op::Store => format!("store #{object}{order} <- {class}"),
        Op::CompareExchangeFailed => format!("compare_exchange #{object}{order} fails, found {class}{behind}"),
        Op::CompareExchange => format!("compare_exchange #{object}{order} {class} -> {extra}"),
        Op::Swap | Op::Add | Op::Sub | Op::Or | Op::And => {
            format!("{} #{object}{order} {class} -> {extra}", format!("{op:?}").to_lowercase())
        }
        Op::Fence => format!("fence{order}"),
        Op::Spawn => format!("spawns thread {object}"),
        Op::Join => format!("joins thread {object}"),
        Op::Unpark => format!("unparks thread {object}"),
        Op::Exit => "ends".to_string(),
        Op::Time => "time moves".to_string(),
        Op::CellRead => format!("reads cell #{object}"),
        Op::CellWrite => format!("writes cell #{object}"),
        Op::Lock => format!("locks #{object}"),
        Op::Unlock => format!("unlocks #{object}"),
        Op::TryLockFailed => format!("finds #{object} locked"),
        op if entry.access().object == *object => format!("{op:?} #{object}"),
        op => format!("{op:?}"),
    }
}

/// One operation as a line: thread, what, where.
pub(super) fn line(execution: &Execution, entry: &Entry) -> String {
    let name = thread_name(execution, entry.thread);
    format!("{name}: {}  at {}:{}", what(entry), entry.site.file(), entry.site.line())
}

/// The last `turns` paragraphs: the failure is there.
pub(crate) fn tell(execution: &Execution, turns: usize) -> String {
    let mut out = String::new();
    let runs: Vec<&[Entry]> = execution.log.chunk_by(|a, b| a.thread == b.thread).collect();
    let hidden = runs.len().saturating_sub(turns);
    if hidden > 0 {
        let lines: usize = runs[..hidden].iter().map(|run| run.len()).sum();
        let _ = writeln!(out, "    ... {lines} operations of {hidden} turns ...");
    }
    for run in &runs[hidden..] {
        let Some(first) = run.first() else { continue };
        let _ = writeln!(out, "    {}", thread_name(execution, first.thread));
        let left_out = run.len().saturating_sub(RUN_MAX);
        for (i, entry) in run.iter().enumerate() {
            if left_out > 0 && i >= RUN_MAX / 2 && i < RUN_MAX / 2 + left_out {
                if i == RUN_MAX / 2 {
                    let _ = writeln!(out, "      ... {left_out} more ...");
                }
                continue;
            }
            let _ = writeln!(out, "      {:<44} {}:{}", what(entry), entry.site.file(), entry.site.line());
        }
    }
    out
}
