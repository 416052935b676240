//! What came of an execution.
//!
//! **Invariant: an outcome is plain data**: it holds nothing of the engine and may go to another OS thread.

use super::choice::Choice;
use super::event::Entry;
use super::options::Switch;
use super::profile::Profile;
use super::shift::Shift;
use crate::ledger::{Finding, Ledger};
use millpond_model::observe::Reach;
use millpond_model::platform::ThreadId;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// How an execution ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Every thread ended.
    Finished,
    /// The ledger, or an oracle through `engine::stop_with`, found something.
    Finding(Finding),
    /// No thread can run and no timer is set.
    Deadlock {
        /// Every thread that is alive.
        waiting: Vec<Waiting>,
    },
    /// All runnable threads did nothing but yield, over and over.
    Livelock {
        /// Where each of them spins.
        spinning: Vec<Spinning>,
    },
    /// A thread panicked, and no `Platform::catch` was there.
    Panic {
        /// Which thread.
        thread: ThreadId,
        /// Its name.
        name: String,
        /// The panic's message.
        message: String,
        /// `file:line:column` of the panic.
        location: String,
    },
    /// A thread used up its stack.
    StackOverflow {
        /// Which thread.
        thread: ThreadId,
        /// Its name.
        name: String,
    },
    /// `Options::max_steps` were not enough.
    StepBudget {
        /// Steps taken.
        steps: u64,
    },
    /// A recorded switch was impossible.
    Diverged {
        /// At which step.
        step: u64,
    },
    /// `engine::stop` was called, or the host ran out of something.
    Stopped(String),
}

impl Verdict {
    /// The name of the variant.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Finished => "Finished",
            Self::Finding(_) => "Finding",
            Self::Deadlock { .. } => "Deadlock",
            Self::Livelock { .. } => "Livelock",
            Self::Panic { .. } => "Panic",
            Self::StackOverflow { .. } => "StackOverflow",
            Self::StepBudget { .. } => "StepBudget",
            Self::Diverged { .. } => "Diverged",
            Self::Stopped(_) => "Stopped",
        }
    }
}

impl fmt::Display for Verdict {
    /// One sentence, or one line for each thread.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("every thread ended"),
            Self::Finding(finding) => write!(f, "{}: {}", finding.kind, finding.text),
            Self::Deadlock { waiting } => {
                f.write_str("no thread can run, and no timer is set")?;
                for w in waiting {
                    write!(f, "\n  {} waits for {} at {}:{}", w.name, w.wait, w.site.file(), w.site.line())?;
                }
                Ok(())
            }
            Self::Livelock { spinning } => {
                f.write_str("the threads that can run only yield, over and over")?;
                for s in spinning {
                    write!(f, "\n  {} at {}:{}", s.name, s.site.file(), s.site.line())?;
                }
                Ok(())
            }
            Self::Panic { name, message, location, .. } => write!(f, "{name} panicked at {location}: {message}"),
            Self::StackOverflow { name, .. } => write!(f, "{name} used up its stack"),
            Self::StepBudget { steps } => write!(f, "not at rest after {steps} steps"),
            Self::Diverged { step } => write!(f, "the recorded schedule is impossible from step {step} on"),
            Self::Stopped(reason) => f.write_str(reason),
        }
    }
}

/// What a thread waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// An unpark.
    Park,
    /// An unpark or a time.
    ParkTimeout(Duration),
    /// A time.
    Sleep(Duration),
    /// A mutex that another thread, or the thread itself, holds.
    Lock {
        /// The mutex.
        object: u32,
        /// Its holder.
        holder: ThreadId,
    },
    /// The end of a thread.
    Join(ThreadId),
    /// The ends of the threads of a scope.
    Scope {
        /// Those that are still running.
        running: u32,
    },
    /// To read under a read-write lock.
    Read {
        /// The lock.
        object: u32,
        /// Who writes.
        writer: ThreadId,
    },
    /// To write under a read-write lock.
    Write {
        /// The lock.
        object: u32,
        /// Who writes, if anybody.
        writer: Option<ThreadId>,
        /// How many read.
        readers: u32,
    },
    /// A notification.
    Notify {
        /// The condition variable.
        object: u32,
        /// When it waits no longer.
        until: Option<Duration>,
    },
    /// The other threads at a barrier.
    Barrier {
        /// The barrier.
        object: u32,
        /// How many are still to come.
        missing: u32,
    },
    /// The end of an initialisation.
    Once {
        /// What is initialised.
        object: u32,
        /// By whom; nobody has begun if `None`.
        by: Option<ThreadId>,
    },
    /// A message.
    Receive {
        /// The channel.
        object: u32,
        /// When it waits no longer.
        until: Option<Duration>,
    },
    /// A place in a bounded channel, or, if it has none, a receiver.
    Send {
        /// The channel.
        object: u32,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park => write!(f, "an unpark"),
            Self::ParkTimeout(until) => write!(f, "an unpark, or {until:?}"),
            Self::Sleep(until) => write!(f, "{until:?}"),
            Self::Lock { object, holder } => write!(f, "mutex #{object}, held by thread {}", holder.0),
            Self::Join(thread) => write!(f, "the end of thread {}", thread.0),
            Self::Scope { running } => write!(f, "the end of {running} threads of its scope"),
            Self::Read { object, writer } => write!(f, "lock #{object}, written by thread {}", writer.0),
            Self::Write { object, writer: Some(writer), .. } => {
                write!(f, "lock #{object}, written by thread {}", writer.0)
            }
            Self::Write { object, readers, .. } => write!(f, "lock #{object}, read by {readers}"),
            Self::Notify { object, until: None } => write!(f, "a notification of condition variable #{object}"),
            Self::Notify { object, until: Some(until) } => {
                write!(f, "a notification of condition variable #{object}, or {until:?}")
            }
            Self::Barrier { object, missing } => write!(f, "{missing} more at barrier #{object}"),
            Self::Once { object, by: Some(by) } => write!(f, "the initialisation of #{object} by thread {}", by.0),
            Self::Once { object, by: None } => write!(f, "the initialisation of #{object}, which nobody has begun"),
            Self::Receive { object, until: None } => write!(f, "a message from channel #{object}"),
            Self::Receive { object, until: Some(until) } => write!(f, "a message from channel #{object}, or {until:?}"),
            Self::Send { object } => write!(f, "a place in channel #{object}"),
        }
    }
}

/// A thread that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Which thread.
    pub thread: ThreadId,
    /// Its name.
    pub name: String,
    /// For what.
    pub wait: Wait,
    /// Where in the source.
    pub site: &'static Location<'static>,
}

/// A thread that spins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spinning {
    /// Which thread.
    pub thread: ThreadId,
    /// Its name.
    pub name: String,
    /// Where it last yielded.
    pub site: &'static Location<'static>,
}

/// A thread of an execution.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadInfo {
    /// Its number.
    pub id: ThreadId,
    /// Its name.
    pub name: String,
    /// Who started it; `None` for the main thread.
    pub parent: Option<ThreadId>,
    /// Whether it ended by itself.
    pub finished: bool,
}

/// All that is known of an execution after its end.
pub struct Execution {
    /// How it ended.
    pub verdict: Verdict,
    /// Digest of its events.
    pub digest: u64,
    /// Which partial order of conflicting operations it was, if `Options::classes`; equal for equal ones.
    pub class: u64,
    /// Digest after every `CHECKPOINT_EVERY` events.
    pub checkpoints: Vec<u64>,
    /// Number of events.
    pub events: u64,
    /// Number of scheduling points passed.
    pub steps: u64,
    /// Those of them at which there was more than one thread to choose from.
    pub choices: u64,
    /// Every switch of the running thread, if `Options::keep_switches`: for `Strategy::Replay`.
    pub switches: Vec<Switch>,
    /// Where its schedule is not that of `Strategy::RunOn`, if `Record::Rich` was asked for: `Strategy::Shifted` repeats it.
    pub shifts: Vec<Shift>,
    /// The choices that were not those of a sequentially consistent memory, if `Record::Rich` was asked for.
    pub choices_taken: Vec<Choice>,
    /// Switches away from a thread that could have gone on.
    pub preemptions: u64,
    /// Virtual time at the end.
    pub now: Duration,
    /// The threads, by number.
    pub threads: Vec<ThreadInfo>,
    /// How often each place was reached: see [`Execution::reached`].
    pub reach_counts: [u64; Reach::ALL.len()],
    /// How often each planted defect struck, in the order of `Options::plants`.
    pub plants_struck: Vec<u64>,
    /// Every event, if `Record::Rich` was asked for.
    pub log: Vec<Entry>,
    /// How many events each thread had, if `Options::profile`: for `Strategy::Urw` and `Strategy::Surw`.
    pub profile: Option<Arc<Profile>>,
    /// The ledger as it was at the end.
    pub ledger: Ledger,
    /// Stacks that could not be unwound and were leaked.
    pub leaked_stacks: u64,
    /// Bytes of `Platform::alloc` that were outstanding at the end; freed if the execution was abandoned.
    pub leaked_bytes: u64,
}

impl Execution {
    /// How often `point` was reached.
    pub fn reached(&self, point: Reach) -> u64 {
        self.reach_counts[point as usize]
    }
}
