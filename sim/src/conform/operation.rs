//! One operation of a trace.
//!
//! **Invariant: an operation has its number, its result, and the fields that are asked for**; else the trace is unusable.

use super::difference::cut;
use serde_json::Value;

/// One operation, what came of it, and the state after it.
pub struct Operation<'a> {
    line: &'a Value,
    /// What it is: `get`, `alloc`, ...
    pub name: &'a str,
    /// Its result in the trace.
    pub expected: &'a Value,
    /// The state after it in the trace, if it was written down.
    pub statistics: Option<&'a Value>,
}

impl<'a> Operation<'a> {
    /// The operation of a line, which should have this number.
    pub fn read(line: &'a Value, number: u64) -> Result<Self, String> {
        match line.get("i").and_then(Value::as_u64) {
            Some(i) if i == number => {}
            Some(i) => return Err(format!("operation {i} where number {number} should be")),
            None => return Err("no number `i` of the operation".into()),
        }
        let name = line.get("op").and_then(Value::as_str).ok_or("no operation `op`")?;
        let expected = line.get("res").ok_or("no result `res`")?;
        Ok(Self { line, name, expected, statistics: line.get("st") })
    }

    /// A number that the operation must have.
    pub fn number(&self, name: &str) -> Result<u64, String> {
        self.line.get(name).and_then(Value::as_u64).ok_or_else(|| format!("`{}` without a number `{name}`", self.name))
    }

    /// A word that the operation must have.
    pub fn word(&self, name: &str) -> Result<&'a str, String> {
        self.line.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{}` without a word `{name}`", self.name))
    }

    /// Whether the operation has this field.
    pub fn has(&self, name: &str) -> bool {
        self.line.get(name).is_some()
    }

    /// An error: this domain has no such operation.
    pub fn unknown(&self) -> String {
        format!("unknown operation `{}`", cut(self.name))
    }

    /// The operation alone, without its result and statistics.
    pub fn text(&self) -> String {
        let mut operation = self.line.as_object().cloned().unwrap_or_default();
        operation.remove("res");
        operation.remove("st");
        cut(&Value::Object(operation).to_string())
    }
}
