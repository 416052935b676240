//! The scenario file: the schema.
//!
//! **Invariant: a scenario and a seed decide everything.** Only `name` is required; each default is the value below, so that
//! `( name: "first run" )` is a whole file.
//!
//! ```text
//!   text ──load──> Scenario ──sweep──> cells, one per combination ──run──> one execution per cell and seed
//! ```
//!
//! Names are states of the world, not methods; units are spelled (`KiB(64)`, `Ms(5)`); two-variant enums stand where
//! other languages have booleans.

mod check;
mod diagnose;
mod explain;
pub mod limits;
mod load;
mod locate;
mod sweep;
mod tokens;
mod units;

pub use check::{Flaw, check};
pub use diagnose::{Colour, LoadError, Problem, printable};
pub use load::{Loaded, dialect, load, parse};
pub use locate::locate;
pub use sweep::{Cell, cells};
pub use tokens::{Broken, Token, TokenKind, tokens};
pub use units::{Size, Span};

use millpond_model::observe::{Defect, Kind, Reach};
use millpond_model::preset::Preset;
use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::ledger::FindingKind;

/// A whole scenario file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows: a sentence in lower case.
    pub name: String,
    /// The verdict that makes the run a success.
    #[serde(default)]
    pub expect: Expect,
    /// Threads, loops and channels.
    #[serde(default)]
    pub topology: Topology,
    /// The pools under test.
    #[serde(default)]
    pub pool: Pool,
    /// The channels' outbound side and their peers.
    #[serde(default)]
    pub socket: Socket,
    /// What happens, in order.
    #[serde(default = "default_workload")]
    pub workload: Vec<Step>,
    /// Faults of the environment: they must be survived.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Planted defects: they must be found.
    #[serde(default)]
    pub plant: Vec<Plant>,
    /// How the next thread is chosen.
    #[serde(default)]
    pub schedule: Schedule,
    /// Where a thread may be preempted.
    #[serde(default)]
    pub preempt: Preempt,
    /// The seeds to run, the last one excluded.
    #[serde(default = "default_seeds")]
    pub seeds: Range<u64>,
    /// Where to give up.
    #[serde(default)]
    pub budget: Budget,
    /// What must be true.
    #[serde(default = "default_oracles")]
    pub oracles: Vec<Oracle>,
    /// Several configurations of the same scenario.
    #[serde(default)]
    pub sweep: Sweep,
    /// The columns of the table that compares the cells of a sweep.
    #[serde(default)]
    pub table: Vec<Column>,
}

fn default_seeds() -> Range<u64> {
    0..16
}

fn default_oracles() -> Vec<Oracle> {
    vec![Oracle::Safety]
}

/// 100 writes a business thread with two in flight, then drain, close and shut down.
fn default_workload() -> Vec<Step> {
    vec![
        Step::Phase(Phase { name: "steady".to_string(), ..Phase::default() }),
        Step::Drain(Drain::default()),
        Step::Close(Close::default()),
        Step::Shutdown(Shutdown::default()),
    ]
}

/// The expected verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Expect {
    /// No oracle finds anything, with any seed.
    #[default]
    MustHold,
    /// With at least one seed this is found, and nothing else with any.
    MustFind(FindingKind),
}

/// Threads, loops and channels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Event loops, each a thread: `loop-0`, `loop-1`, ...
    pub event_loops: u32,
    /// Business threads: `business-0`, ...
    pub business_threads: u32,
    /// Channels; channel c is registered on loop c mod `event_loops`. 0: one for each loop.
    pub channels: u32,
}

impl Default for Topology {
    fn default() -> Self {
        Self { event_loops: 2, business_threads: 4, channels: 0 }
    }
}

/// The pools under test: a preset and what differs from it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// Whose behaviour.
    pub preset: Preset,
    /// Pooled types whose pooling is off.
    pub unpooled: Vec<Kind>,
    /// Objects a thread's own pool holds at most.
    pub max_capacity: Option<u32>,
    /// The shared capacity of a pool's side queues is `max_capacity` divided by this.
    pub max_shared_capacity_factor: Option<u32>,
    /// Owners that a recycling thread serves at most (2 x cores in Netty).
    pub max_delayed_queues: Option<u32>,
    /// One in this many objects that were never pooled is admitted.
    pub ratio: Option<u32>,
    /// To which objects the side queues apply their own ratio.
    pub side_queue_ratio: Option<SideQueueRatio>,
    /// When the memory of what is unreachable goes.
    pub collect: Collect,
}

/// To which objects a side queue (WeakOrderQueue) applies an admission ratio.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SideQueueRatio {
    /// To none: through 4.1.43.
    Off,
    /// To every object: 4.1.44 to 4.1.65.
    EveryObject,
    /// To objects never pooled before: 4.1.66 to 4.1.70.
    NeverPooled,
}

/// The substitute for garbage collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Collect {
    /// What is unreachable goes at once.
    #[default]
    Eager,
    /// It goes at `Collect` steps only.
    Withheld,
}

/// The outbound side of a channel, and the peer behind it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Socket {
    /// Bytes the peer's window takes before a write would block.
    pub send_window: Size,
    /// How the peer empties its window.
    pub peer: Peer,
    /// Probability that a write takes only a part of what the window has room for.
    pub partial_write: f64,
    /// Attempts to write in one flush.
    pub write_spin: Option<u32>,
    /// High water mark: above it the channel is not writable.
    pub high_water: Option<Size>,
    /// Low water mark: below it the channel is writable again.
    pub low_water: Option<Size>,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            send_window: Size::kib(64),
            peer: Peer::ReadsAtOnce,
            partial_write: 0.0,
            write_spin: None,
            high_water: None,
            low_water: None,
        }
    }
}

/// How a peer reads.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Peer {
    /// Its window is always open.
    ReadsAtOnce,
    /// It empties its window this long after a write filled it.
    ReadsAfter(Span),
    /// It never reads.
    NeverReads,
}

/// One step of a workload.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Business threads write.
    Phase(Phase),
    /// Stalls end; waits until task queues and outbound buffers are empty.
    Drain(Drain),
    /// Nothing happens for a while.
    Idle(Idle),
    /// One full garbage collection.
    Collect(Named),
    /// Business threads end and new ones take their places.
    Renew(Renew),
    /// Channels are closed.
    Close(Close),
    /// Loops shut down gracefully.
    Shutdown(Shutdown),
}

impl Step {
    /// The step's name, by which oracles and columns refer to it.
    pub fn name(&self) -> &str {
        match self {
            Self::Phase(s) => &s.name,
            Self::Drain(s) => &s.name,
            Self::Idle(s) => &s.name,
            Self::Collect(s) => &s.name,
            Self::Renew(s) => &s.name,
            Self::Close(s) => &s.name,
            Self::Shutdown(s) => &s.name,
        }
    }
}

/// Business threads write to channels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// The business threads that write; all of them when absent.
    pub threads: Option<Range<u32>>,
    /// The loops whose channels are written to; all of them when absent.
    pub loops: Option<Range<u32>>,
    /// To which channel each write goes.
    pub spread: Spread,
    /// Writes of each thread.
    pub writes: u64,
    /// How fast a thread writes.
    pub clients: Clients,
    /// What it writes.
    pub message: Message,
    /// Which method it calls.
    pub call: Call,
    /// On which thread the write is called.
    pub from: From,
    /// Whether threads look at the channel's writability.
    pub heeds: Heeds,
    /// Whether the threads write one after another or all together.
    pub order: Order,
    /// What the loops do meanwhile.
    pub loops_are: Loops,
    /// Whether the step waits until all writes have been called before the next step begins.
    pub awaits: Awaits,
    /// Retained objects are sampled when the phase's threads have written this many messages each.
    pub sample_at: Vec<u64>,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            name: "phase".to_string(),
            threads: None,
            loops: None,
            spread: Spread::OverLoops,
            writes: 100,
            clients: Clients::Closed { in_flight: 2, think: Span::ZERO },
            message: Message::Pojo { encoded: Size::b(512) },
            call: Call::WriteAndFlush,
            from: From::Business,
            heeds: Heeds::Nothing,
            order: Order::Together,
            loops_are: Loops::Running,
            awaits: Awaits::Completion,
            sample_at: Vec::new(),
        }
    }
}

/// To which channel each write of a phase goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Spread {
    /// Write j of thread i goes to loop (i + j) mod the number of the phase's loops, and to that loop's channels in turn.
    OverLoops,
    /// All writes of thread i go to channel i mod the number of channels of the phase's loops.
    OwnChannel,
}

/// How fast a thread writes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Clients {
    /// A closed system: at most so many writes are incomplete, with a pause after each completion.
    Closed {
        /// Writes in flight at most.
        in_flight: u32,
        /// Pause before the next one.
        #[serde(default)]
        think: Span,
    },
    /// An open system: writes arrive at a rate, whatever happens to them.
    Open {
        /// Writes a second and thread.
        per_s: u32,
        /// How they are spread.
        #[serde(default)]
        arrival: Arrival,
    },
    /// As fast as the thread can.
    Flood,
}

/// How the arrivals of an open system are spread.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Arrival {
    /// At equal distances.
    #[default]
    Constant,
    /// With exponential distances.
    Poisson,
    /// So many at once at equal distances; the rate then only says when the phase's writes are used up.
    Burst {
        /// Distance of bursts.
        every: Span,
        /// Writes in one.
        size: u32,
    },
}

/// What is written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Message {
    /// An object that the loop encodes into a buffer.
    Pojo {
        /// Size of the buffer.
        encoded: Size,
    },
    /// A buffer allocated on the writing thread.
    Buffer(Payload),
}

/// The size of a buffer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// Always the same.
    Exactly(Size),
    /// Uniform between two sizes, both included.
    Uniform(Size, Size),
    /// One of several, by weight.
    Mix(Vec<(u32, Size)>),
}

/// Which method a writer calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Call {
    /// `write_and_flush`: wakes the loop.
    WriteAndFlush,
    /// `write`, with a `flush` of the channels written to after every so many, before the thread waits, and at the end.
    Write {
        /// Writes for each flush.
        flush_every: u32,
    },
}

/// On which thread the write is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum From {
    /// On the business thread.
    Business,
    /// On the loop: the business thread only submits an ordinary task that writes.
    Loop,
}

/// Whether writers look at the channel's writability.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Heeds {
    /// No.
    Nothing,
    /// A thread waits until the channel is writable.
    Writability,
}

/// Whether things happen one after another or all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Order {
    /// All together.
    #[default]
    Together,
    /// One after another, in index order.
    InTurn,
}

/// What the loops do during a phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Loops {
    /// They run.
    Running,
    /// Each is inside one long task, until the next `Drain`.
    Stalled,
}

/// Ends stalls and waits for quiescence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Its name.
    pub name: String,
    /// Whether the loops drain one after another.
    pub order: Order,
}

impl Default for Drain {
    fn default() -> Self {
        Self { name: "drain".to_string(), order: Order::Together }
    }
}

/// Nothing happens.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Idle {
    /// Its name.
    pub name: String,
    /// How long.
    pub lasts: Span,
}

impl Default for Idle {
    fn default() -> Self {
        Self { name: "idle".to_string(), lasts: Span::ms(100) }
    }
}

/// A step without parameters.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Named {
    /// Its name.
    pub name: String,
}

impl Default for Named {
    fn default() -> Self {
        Self { name: "collect".to_string() }
    }
}

/// Business threads end and new ones take their places.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Renew {
    /// Its name.
    pub name: String,
    /// Which ones; all when absent.
    pub threads: Option<Range<u32>>,
}

impl Default for Renew {
    fn default() -> Self {
        Self { name: "renew".to_string(), threads: None }
    }
}

/// Channels are closed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Close {
    /// Its name.
    pub name: String,
    /// SO_LINGER of the channels: above zero, the socket is closed by the linger executor.
    pub linger: Span,
    /// Who calls `close`.
    pub from: From,
    /// Whether the step waits until every close has completed before the next begins.
    pub awaits: Awaits,
}

impl Default for Close {
    fn default() -> Self {
        Self { name: "close".to_string(), linger: Span::ZERO, from: From::Business, awaits: Awaits::Completion }
    }
}

/// Whether a step waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Awaits {
    /// Until what it started has completed.
    Completion,
    /// Not at all: the next step races with it.
    Nothing,
}

/// Loops shut down gracefully.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// Its name.
    pub name: String,
    /// A loop ends when it had nothing to do for so long.
    pub quiet: Span,
    /// It ends after so long in any case.
    pub timeout: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { name: "shutdown".to_string(), quiet: Span::ZERO, timeout: Span::s(15) }
    }
}

/// A fault of the environment.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// A write to the socket finds the connection reset.
    PeerReset(When),
    /// An allocation of buffer memory fails.
    AllocationFails(When),
}

impl Fault {
    /// When it happens.
    pub fn when(self) -> When {
        match self {
            Self::PeerReset(when) | Self::AllocationFails(when) => when,
        }
    }
}

/// A planted defect. The variants are those of [`Defect`].
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Plant {
    /// See [`Defect::ForgottenRelease`].
    ForgottenRelease(When),
    /// See [`Defect::DuplicateRelease`].
    DuplicateRelease(When),
    /// See [`Defect::LostTask`].
    LostTask(When),
}

impl Plant {
    /// Which defect, and when it strikes.
    pub fn parts(self) -> (Defect, When) {
        match self {
            Self::ForgottenRelease(when) => (Defect::ForgottenRelease, when),
            Self::DuplicateRelease(when) => (Defect::DuplicateRelease, when),
            Self::LostTask(when) => (Defect::LostTask, when),
        }
    }
}

/// When a fault or a defect strikes.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum When {
    /// Each time, with this probability.
    Rate(f64),
    /// The n-th time, counted from 1.
    Nth(u64),
    /// The first time at or after this virtual time.
    At(Span),
    /// Every time.
    Always,
}

impl std::convert::From<When> for crate::engine::When {
    fn from(when: When) -> Self {
        match when {
            When::Rate(p) => Self::rate(p),
            When::Nth(n) => Self::Nth(n),
            When::At(span) => Self::At(span.duration()),
            When::Always => Self::Always,
        }
    }
}

/// How the next thread is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Schedule {
    /// Uniformly among the runnable ones.
    #[default]
    Random,
    /// In turn.
    RoundRobin,
    /// The running one until it waits, then the one that came first.
    RunOn,
    /// By random priorities with `depth` - 1 change points (Burckhardt et al. 2010).
    Pct {
        /// Depth of the bugs that are found with the proven probability.
        depth: u32,
    },
}

/// Where a thread may be preempted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Preempt {
    /// Before every operation on shared memory.
    #[default]
    AtOperations,
    /// Between tasks and messages only: fast enough for millions of them.
    AtTasks,
}

/// Where to give up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Scheduling steps of one execution.
    pub steps: u64,
    /// Wall-clock time of the whole run, looked at between executions only: it never influences a verdict.
    pub wall: Option<Span>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 100_000_000, wall: None }
    }
}

/// What must be true.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Oracle {
    /// No leak, double release, use after release, two owners, lost task; promises complete once; sums add up.
    Safety,
    /// A metric is within limits at the end of a step.
    Bounded {
        /// Which.
        metric: Metric,
        /// The lower limit.
        #[serde(default)]
        at_least: u64,
        /// The upper limit.
        #[serde(default = "unlimited")]
        at_most: u64,
        /// The step; any when absent.
        #[serde(default)]
        after: Option<String>,
    },
    /// A metric has come down to a value at the end of a step.
    Drains {
        /// Which.
        metric: Metric,
        /// The value.
        to: u64,
        /// The step; the last when absent.
        #[serde(default)]
        after: Option<String>,
    },
    /// A metric is the same before and after a step.
    Unchanged {
        /// Which.
        metric: Metric,
        /// The step.
        during: String,
    },
    /// At least one execution of the cell reaches this place; otherwise the run is inconclusive.
    Sometimes(Reach),
}

fn unlimited() -> u64 {
    u64::MAX
}

/// A number that is read at the end of each step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Metric {
    /// Objects in all pools.
    RetainedObjects,
    /// Estimated bytes of the objects in all pools.
    RetainedBytes,
    /// Objects in pools whose type crosses threads (the write tasks).
    CrossThreadRetained,
    /// Outbound entries and buffer shells in the loops' own pools.
    SameThreadRetained,
    /// Objects in pools of threads that have ended.
    DeadRetained,
    /// Tasks in the queues of all loops.
    QueuedTasks,
    /// The most tasks that were in the queue of one loop at any time so far.
    PeakQueuedTasks,
    /// Bytes pending in all channels.
    PendingBytes,
    /// Buffers that are alive.
    LiveBuffers,
    /// Shared capacity that no link holds and no pool can use: the drift of 4.1.3 to 4.1.37.
    LostCapacity,
}

impl Metric {
    /// All of them, in declaration order.
    pub const ALL: [Self; 10] = [
        Self::RetainedObjects,
        Self::RetainedBytes,
        Self::CrossThreadRetained,
        Self::SameThreadRetained,
        Self::DeadRetained,
        Self::QueuedTasks,
        Self::PeakQueuedTasks,
        Self::PendingBytes,
        Self::LiveBuffers,
        Self::LostCapacity,
    ];
}

/// Several configurations of one scenario.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Sweep {
    /// One configuration.
    #[default]
    Single,
    /// The cross product of what is listed.
    Matrix {
        /// Presets.
        #[serde(default)]
        preset: Vec<Preset>,
        /// Numbers of event loops.
        #[serde(default)]
        event_loops: Vec<u32>,
        /// Numbers of business threads.
        #[serde(default)]
        business_threads: Vec<u32>,
    },
}

/// A column of the table that compares the cells of a sweep. All read the crossing types (the write tasks) unless they
/// say otherwise.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Column {
    /// Objects retained at the end of a step.
    Retained {
        /// The step.
        after: String,
    },
    /// Their estimated bytes.
    Bytes {
        /// The step.
        after: String,
    },
    /// The most objects retained for one thread at the end of a step.
    PerThread {
        /// The step.
        after: String,
    },
    /// Side queues and their links at the end of a step.
    Queues {
        /// The step.
        after: String,
    },
    /// Objects created during a step.
    Created {
        /// The step.
        during: String,
    },
    /// Why most recycled objects were not kept during a step.
    StoppedBy {
        /// The step.
        during: String,
    },
    /// Objects retained at the sampling points of a phase.
    Curve {
        /// The phase.
        during: String,
    },
    /// Tasks queued at the end of a step.
    Queued {
        /// The step.
        after: String,
    },
    /// A metric at the end of a step.
    Value {
        /// Which.
        metric: Metric,
        /// The step.
        after: String,
    },
}
