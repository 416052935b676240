//! Replays a trace recorded from real Netty on the recycler, and compares every result and every statistic.
//!
//! **Invariant: the trace decides**: the expected value is always the one in the file.
//!
//! A trace (`netty-lockstep/1`, gzipped JSON lines) is one run of a seeded list of operations: a header with the
//! configuration, then an operation, its result and the private state of every pool after it. Its threads ran strictly one
//! after the other; so do the threads here, real or simulated.

mod config;
mod state;

use crate::crew::Crew;
use flate2::read::GzDecoder;
use millpond_model::observe::Kind;
use millpond_model::platform::ThreadId;
use millpond_model::recycler::{Collect, Domain, Handle, PoolInspection, RecyclerError, SharedRecycler};
use millpond_model::{Platform, Std};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

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
    /// The file is not a whole trace of recyclers.
    #[error("{file}: {reason}")]
    Unusable {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The first operation where the two differ.
    #[error(transparent)]
    Differs(Box<FirstDifference>),
}

/// The first operation of a trace where the two differ.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file} line {line}, operation {operation}\n  {what}\n  trace {trace}\n  here  {here}")]
pub struct FirstDifference {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The operation, as in the file.
    pub operation: String,
    /// What differs.
    pub what: String,
    /// The value in the file.
    pub trace: String,
    /// Our value.
    pub here: String,
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
    let file = path.as_ref().display().to_string();
    let unusable = |reason: String| Difference::Unusable { file: file.clone(), reason };
    let reader = File::open(path.as_ref()).map_err(|e| unusable(e.to_string()))?;
    let mut lines = BufReader::new(GzDecoder::new(reader)).lines().zip(1..).map(|(line, number)| {
        let line = line.map_err(|e| unusable(format!("line {number}: {e}")))?;
        let value: Value = serde_json::from_str(&line).map_err(|e| unusable(format!("line {number}: {e}")))?;
        Ok::<_, Difference>((number, value))
    });
    let (_, header) = lines.next().ok_or_else(|| unusable("it is empty".into()))??;
    let mut replay = Replay::<P>::new(&header).map_err(unusable)?;
    for line in lines {
        let (number, entry) = line?;
        if entry.get("end").is_some() {
            if entry.get("ops").and_then(Value::as_u64) != Some(replay.operations) {
                return Err(unusable(format!("it ends after {} operations and says otherwise", replay.operations)));
            }
            return Ok(replay.summary());
        }
        let difference = replay.step(&entry).map_err(|reason| unusable(format!("line {number}: {reason}")))?;
        if let Some((what, trace, here)) = difference {
            let operation = operation_of(&entry);
            let first = FirstDifference { file, line: number, operation, what, trace, here };
            return Err(Difference::Differs(Box::new(first)));
        }
    }
    Err(unusable("it has no last line".into()))
}

/// The operation alone, without its result and statistics.
fn operation_of(entry: &Value) -> String {
    let mut operation = entry.as_object().cloned().unwrap_or_default();
    operation.remove("res");
    operation.remove("st");
    Value::Object(operation).to_string()
}

/// An object: its number, per recycler in order of creation.
type Object = i64;

struct Slot<P: Platform> {
    recycler: usize,
    handle: Handle<Object, P>,
}

/// (what, trace, here)
type Found = Option<(String, String, String)>;

struct Replay<P: Platform> {
    summary: Summary,
    generation: config::Dialect,
    operations: u64,
    domain: Domain<P>,
    recyclers: Vec<SharedRecycler<Object, P>>,
    made: Vec<Arc<AtomicI64>>,
    crew: Crew<P>,
    /// Number in the trace -> worker.
    workers: BTreeMap<u64, usize>,
    numbers: BTreeMap<ThreadId, u64>,
    slots: BTreeMap<u64, Slot<P>>,
}

/// An unsigned field of an operation.
fn field(entry: &Value, name: &str) -> Result<u64, String> {
    entry.get(name).and_then(Value::as_u64).ok_or_else(|| format!("no number `{name}`"))
}

impl<P: Platform> Replay<P> {
    fn new(header: &Value) -> Result<Self, String> {
        let (generation, setup) = config::read(header)?;
        let domain = Domain::new_with(Collect::Withheld);
        let made: Vec<_> = (0..setup.recyclers).map(|_| Arc::new(AtomicI64::new(0))).collect();
        let recyclers = made.iter().map(|made| {
            let made = Arc::clone(made);
            SharedRecycler::new_in(&domain, Kind::Object, setup.config, move || made.fetch_add(1, Ordering::Relaxed))
        });
        let recyclers = recyclers.collect();
        let summary = Summary { netty: setup.netty, name: setup.name, operations: 0 };
        let mut replay = Self {
            summary,
            generation,
            operations: 0,
            domain,
            recyclers,
            made,
            crew: Crew::new(0),
            workers: BTreeMap::new(),
            numbers: BTreeMap::new(),
            slots: BTreeMap::new(),
        };
        for number in 0..setup.threads {
            replay.spawn(number);
        }
        Ok(replay)
    }

    fn summary(&self) -> Summary {
        Summary { operations: self.operations, ..self.summary.clone() }
    }

    fn spawn(&mut self, number: u64) {
        let worker = self.crew.hire();
        self.workers.insert(number, worker);
        self.numbers.insert(self.crew.thread(worker), number);
    }

    fn worker(&self, entry: &Value) -> Result<usize, String> {
        let number = field(entry, "t")?;
        self.workers.get(&number).copied().ok_or_else(|| format!("no thread {number}"))
    }

    /// The thread's number in the trace.
    fn number(&self, thread: ThreadId) -> u64 {
        self.numbers[&thread]
    }

    /// Runs one operation and compares.
    fn step(&mut self, entry: &Value) -> Result<Found, String> {
        self.operations += 1;
        let result = match entry.get("op").and_then(Value::as_str) {
            Some("get") => self.get(entry)?,
            Some("rec") => self.recycle(entry)?,
            Some("drop") => {
                let slot = self.slots.remove(&field(entry, "h")?);
                json!({ "o": slot.map_or(-1, |slot| *slot.handle) })
            }
            Some("die") => {
                let worker = self.worker(entry)?;
                self.workers.remove(&field(entry, "t")?);
                self.crew.dismiss(worker);
                json!({})
            }
            Some("spawn") => {
                self.spawn(field(entry, "t")?);
                json!({})
            }
            Some("gc") => {
                let collected = self.domain.collect();
                let mut uncollected: Vec<_> = collected.uncollected.iter().map(|t| self.number(*t)).collect();
                uncollected.sort_unstable();
                json!({ "uncollected": uncollected })
            }
            other => return Err(format!("unknown operation {other:?}")),
        };
        let expected = entry.get("res").ok_or("no result")?;
        if *expected != result {
            return Ok(Some(("result".into(), expected.to_string(), result.to_string())));
        }
        match entry.get("st") {
            Some(expected) => Ok(self.compare(expected)),
            None => Ok(None),
        }
    }

    fn get(&mut self, entry: &Value) -> Result<Value, String> {
        let recycler = usize::try_from(field(entry, "r")?).map_err(|e| e.to_string())?;
        let pool = self.recyclers.get(recycler).ok_or("no such recycler")?.clone();
        let before = self.made[recycler].load(Ordering::Relaxed);
        match self.crew.run(self.worker(entry)?, move || pool.get()) {
            Err(error) => Ok(Value::Object(refusal(error))),
            Ok(handle) => {
                let (new, pooled) = (u8::from(*handle >= before), u8::from(handle.is_poolable()));
                let result = json!({ "o": *handle, "new": new, "pooled": pooled });
                self.slots.insert(field(entry, "h")?, Slot { recycler, handle });
                Ok(result)
            }
        }
    }

    fn recycle(&mut self, entry: &Value) -> Result<Value, String> {
        let h = field(entry, "h")?;
        let Some(Slot { recycler, handle }) = self.slots.remove(&h) else { return Ok(json!({ "skip": 1 })) };
        if entry.get("keep").is_some() {
            self.slots.insert(h, Slot { recycler, handle: handle.clone() });
        }
        let before = self.held(recycler);
        let object = *handle;
        let outcome = self.crew.run(self.worker(entry)?, move || handle.recycle());
        let after = self.held(recycler);
        let mut result = outcome.err().map(refusal).unwrap_or_default();
        result.insert("o".into(), object.into());
        let fate = match (after.0 > before.0, after.1 > before.1) {
            (true, _) => "own",
            (false, true) => "far",
            (false, false) => "drop",
        };
        result.insert("fate".into(), fate.into());
        Ok(Value::Object(result))
    }

    fn inspect(&self, recycler: usize) -> Vec<PoolInspection> {
        // SAFETY: every worker is parked, and `Crew::run` has waited for its last job.
        unsafe { self.recyclers[recycler].inspect(|object| *object) }
    }

    /// Objects in own stores and in hand-over queues.
    fn held(&self, recycler: usize) -> (usize, usize) {
        self.inspect(recycler).iter().map(state::held).fold((0, 0), |sum, pool| (sum.0 + pool.0, sum.1 + pool.1))
    }

    /// Compares the private state of every pool, and every thread's map.
    fn compare(&self, expected: &Value) -> Found {
        let mut pools: Vec<_> =
            (0..self.recyclers.len()).flat_map(|r| self.inspect(r).into_iter().map(move |pool| (r, pool))).collect();
        pools.sort_by_key(|(_, pool)| pool.pool);
        let number = |thread| self.number(thread);
        let pools = pools.iter().map(|(r, pool)| state::of_pool(self.generation, *r, pool, &number)).collect();
        // SAFETY: as in `inspect`.
        let mut delayed: Vec<_> =
            unsafe { self.domain.delayed() }.into_iter().map(|(t, n, d)| (number(t), n, d)).collect();
        delayed.sort_unstable();
        let delayed = if self.generation.has_delayed() { json!(delayed) } else { json!([]) };
        first_difference("p", expected.get("p"), &pools)
            .or_else(|| first_difference("dq", expected.get("dq"), &delayed))
    }
}

/// How the trace writes an exception.
fn refusal(error: RecyclerError) -> Map<String, Value> {
    let mut result = Map::new();
    result.insert("ex".into(), error.java_class().into());
    if let Some(message) = error.message() {
        result.insert("msg".into(), message.into());
    }
    result
}

/// The first element of two lists that differs.
fn first_difference(what: &str, trace: Option<&Value>, here: &Value) -> Found {
    let trace = trace.unwrap_or(&Value::Null);
    if trace == here {
        return None;
    }
    if let (Some(a), Some(b)) = (trace.as_array(), here.as_array())
        && let Some(index) = a.iter().zip(b).position(|(a, b)| a != b)
    {
        return Some((format!("{what}[{index}]"), a[index].to_string(), b[index].to_string()));
    }
    Some((what.into(), trace.to_string(), here.to_string()))
}
