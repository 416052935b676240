//! The events of an execution as a Chrome trace: one track a thread, one microsecond a step.
//!
//! The format is the JSON array of the Trace Event Format, which Perfetto and `chrome://tracing` open.

use crate::engine::Execution;
use serde_json::json;
use std::io::{self, Write};

/// Writes the log of a rich execution.
///
/// # Errors
/// What writing says.
pub fn write(execution: &Execution, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "[")?;
    for thread in &execution.threads {
        let name = json!({
            "ph": "M", "name": "thread_name", "pid": 1, "tid": thread.id.0, "args": { "name": thread.name },
        });
        writeln!(out, "{name},")?;
    }
    for entry in &execution.log {
        let event = json!({
            "ph": "X", "name": format!("{:?}", entry.op), "pid": 1, "tid": entry.thread, "ts": entry.step, "dur": 1,
            "args": {
                "step": entry.step, "object": entry.object, "class": entry.class,
                "ordering": entry.ordering.map(|o| format!("{o:?}")),
                "site": format!("{}:{}", entry.site.file(), entry.site.line()),
            },
        });
        writeln!(out, "{event},")?;
    }
    let end = json!({ "ph": "M", "name": "process_name", "pid": 1, "args": { "name": "millpond" } });
    writeln!(out, "{end}\n]")
}
