//! The rules of an event loop, and what each preset sets them to.

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

/// The parameters of an event loop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoopConfig {
    /// The greatest number of tasks in the queue; `None`: unbounded, the default (`io.netty.eventLoop.maxPendingTasks`).
    pub max_pending_tasks: Option<u32>,
    /// Tasks run before the loop looks at its channels and timers again. 64: the interval at which Netty looks at the
    /// clock when input and output take no time.
    pub tasks_per_turn: u32,
    /// See there.
    pub shutdown: ShutdownRule,
    /// See there.
    pub lazy: LazyRule,
    /// How long a wait lasts when there are lazy tasks only. One second in Netty 4.1.8.
    pub lazy_wait: Duration,
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
            tasks_per_turn: 64,
            shutdown: match preset {
                Preset::Millpond => ShutdownRule::CloseQueue,
                p if p >= Preset::Netty4_1_44 => ShutdownRule::FinalPass,
                _ => ShutdownRule::NoFinalPass,
            },
            lazy: if ours { LazyRule::Wake } else { LazyRule::AtNextWake },
            lazy_wait: Duration::from_secs(1),
        }
    }
}
