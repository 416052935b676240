//! The threads of a trace, by their numbers.
//!
//! **Invariant: at most one of them does something**, and the replay waits for it.

use super::header::MAX_COUNT;
use super::operation::Operation;
use crate::crew::Crew;
use millpond_model::Platform;
use millpond_model::platform::ThreadId;
use std::collections::BTreeMap;

/// The threads of a trace.
pub struct Threads<P: Platform> {
    crew: Crew<P>,
    /// Number in the trace -> worker.
    workers: BTreeMap<u64, usize>,
    /// Of the dead ones too.
    numbers: BTreeMap<ThreadId, u64>,
}

/// Threads that a trace starts at most.
const MAX_STARTED: usize = 100_000;

impl<P: Platform> Threads<P> {
    /// `count` threads, numbered from 0.
    pub fn new(count: u64) -> Result<Self, String> {
        let mut threads = Self { crew: Crew::new(0), workers: BTreeMap::new(), numbers: BTreeMap::new() };
        for number in 0..count {
            threads.spawn(number)?;
        }
        Ok(threads)
    }

    /// A new thread.
    pub fn spawn(&mut self, number: u64) -> Result<(), String> {
        if self.workers.contains_key(&number) {
            return Err(format!("thread {number} is there already"));
        }
        if self.workers.len() as u64 == MAX_COUNT || self.numbers.len() == MAX_STARTED {
            return Err(format!("too many threads: the limit is {MAX_COUNT} at a time, {MAX_STARTED} in all"));
        }
        let worker = self.crew.try_hire().map_err(|error| format!("no thread can be started: {error}"))?;
        self.workers.insert(number, worker);
        self.numbers.insert(self.crew.thread(worker), number);
        Ok(())
    }

    /// Does one of the two operations that are about threads: `spawn` and `die`.
    pub fn operate(&mut self, operation: &Operation<'_>) -> Result<(), String> {
        if operation.name == "spawn" {
            return self.spawn(operation.number("t")?);
        }
        let worker = self.worker(operation)?;
        self.workers.remove(&operation.number("t")?);
        self.crew.dismiss(worker);
        Ok(())
    }

    /// The worker of the operation's thread.
    pub fn worker(&self, operation: &Operation<'_>) -> Result<usize, String> {
        let number = operation.number("t")?;
        self.workers.get(&number).copied().ok_or_else(|| format!("there is no thread {number}"))
    }

    /// Has a worker do `job`, and waits for its result.
    pub fn run<R: Send + 'static>(&self, worker: usize, job: impl FnOnce() -> R + Send + 'static) -> R {
        self.crew.run(worker, job)
    }

    /// The number of a thread that may be dead; none: it is no thread of the trace.
    pub fn known(&self, thread: ThreadId) -> Option<u64> {
        self.numbers.get(&thread).copied()
    }

    /// The number of a thread that may be dead.
    pub fn number(&self, thread: ThreadId) -> u64 {
        self.numbers[&thread]
    }
}
