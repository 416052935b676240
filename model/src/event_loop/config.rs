//! The rules of an event loop, and what each preset sets them to.
//!
//! **Invariant: each rule names the release that changed it**; no other code knows releases.

use crate::preset::Preset;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// What happens to the last tasks of a loop that shuts down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ShutdownRule {
    /// Netty through 4.1.43: tasks that arrive between the last check and the end are abandoned.
    NoFinalPass,
    /// Netty 4.1.44 and later: one final pass after refusing further tasks. A producer that tested the state before
    /// and adds its task afterwards still loses it.
    FinalPass,
    /// Millpond: the queue is closed by the same operation that tells what has been accepted, and all of that is run.
    CloseQueue,
}

/// What a lazy task (a write without a flush) does to a loop that sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LazyRule {
    /// Netty: nothing; the loop's wait ends after one second at most, and it is run then.
    AtNextWake,
    /// Millpond: it wakes it like any other, so that a write never waits for a second. A loop that is awake isn't woken in
    /// either case.
    Wake,
}

/// What a thread that can't be started leaves behind. The error, and the task, come back to the caller in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StartRule {
    /// Netty through 4.1.18: the state says Started for ever. Later tasks are accepted, and nobody runs them.
    StaysStarted,
    /// Netty 4.1.19 and later: the state goes back to NotStarted, so that the next task tries again. One that was accepted
    /// in between waits for that next task. (From 4.1.24 Netty adds the task before it starts the thread: then the task
    /// that caused the error stays in the queue too. Here a task is in one place.)
    Restored,
    /// Millpond: the state says Started when there is a thread, and no task is accepted before.
    ThreadFirst,
}

/// Which queue holds the tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum QueueRule {
    /// Many producers, one consumer, no way to take a task back: Netty's event loops with channels. A producer that sees, after
    /// its offer, that the loop has shut down leaves its task where it is (from 4.1.32; before, it left it and told its caller
    /// that it was refused).
    Mpsc,
    /// A producer that sees, after its offer, that the loop has shut down takes its task back, and it is refused: Netty's
    /// executors without channels.
    Removable,
}

/// What a full queue does with a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RejectionRule {
    /// It is refused: Netty's default.
    Throw,
    /// A caller from outside the loop wakes the loop, waits and tries again; then it is refused: Netty's
    /// `RejectedExecutionHandlers.backoff`. On the loop's own thread it is refused at once.
    BackOff {
        /// How often it tries again.
        retries: u32,
        /// How long it waits before each time.
        pause: Duration,
    },
}

/// Which tail tasks run after a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TailRule {
    /// Netty: all, those included that tail tasks add. One that adds itself again keeps the loop for ever.
    UntilEmpty,
    /// Millpond: those that were there when the pass ended.
    Present,
}

/// The parameters of an event loop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoopConfig {
    /// The greatest number of tasks in the queue, and in that of tail tasks; `None`: unbounded, the default
    /// (`io.netty.eventLoop.maxPendingTasks`). Netty makes it 16 at least; here it may be less, so that a few tasks fill it.
    pub max_pending_tasks: Option<u32>,
    /// See there.
    pub queue: QueueRule,
    /// See there.
    pub rejection: RejectionRule,
    /// The share of its time that the loop gives to its channels, in percent from 1 to 100 (others count as the nearest): tasks
    /// get `(100 - io_ratio) / io_ratio` of what the channels took, but 64 of them run in any case. 100: all tasks run. Netty's
    /// default is 50.
    pub io_ratio: u8,
    /// See there.
    pub tail: TailRule,
    /// See there.
    pub start: StartRule,
    /// See there.
    pub shutdown: ShutdownRule,
    /// See there.
    pub lazy: LazyRule,
    /// How long a wait lasts when there are lazy tasks only. One second in Netty 4.1.8.
    pub lazy_wait: Duration,
    /// After so long without a task, scheduled ones included, the loop shuts down by itself; `None`: never. One second for
    /// Netty's global executor.
    pub idle_end: Option<Duration>,
}

impl LoopConfig {
    /// An executor without channels: Netty's `DefaultEventExecutor`, which wakes for every task and has a queue out of which a
    /// task can be taken back. Millpond's queue needs no way back: it accepts nothing that isn't run.
    pub fn executor(preset: Preset) -> Self {
        let queue = if preset == Preset::Millpond { QueueRule::Mpsc } else { QueueRule::Removable };
        Self { queue, lazy: LazyRule::Wake, ..preset.into() }
    }
}

impl Default for LoopConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for LoopConfig {
    fn from(preset: Preset) -> Self {
        let ours = preset == Preset::Millpond;
        Self {
            max_pending_tasks: None,
            queue: QueueRule::Mpsc,
            rejection: RejectionRule::Throw,
            io_ratio: 50,
            tail: if ours { TailRule::Present } else { TailRule::UntilEmpty },
            start: match preset {
                Preset::Millpond => StartRule::ThreadFirst,
                p if p >= Preset::Netty4_1_22 => StartRule::Restored,
                _ => StartRule::StaysStarted,
            },
            shutdown: match preset {
                Preset::Millpond => ShutdownRule::CloseQueue,
                p if p >= Preset::Netty4_1_44 => ShutdownRule::FinalPass,
                _ => ShutdownRule::NoFinalPass,
            },
            lazy: if ours { LazyRule::Wake } else { LazyRule::AtNextWake },
            lazy_wait: Duration::from_secs(1),
            idle_end: None,
        }
    }
}
