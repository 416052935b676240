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

mod allocator;
mod check;
mod closing;
mod diagnose;
mod exchange;
mod explain;
pub mod limits;
mod load;
mod locate;
mod objects;
mod oracles;
mod phase;
mod pipeline;
mod requests;
mod step;
mod swarm;
mod sweep;
mod text;
mod tokens;
mod units;

pub use allocator::{Allocator, Backend, Found, LeakedMemory, ThreadEnd};
pub use check::{Flaw, check};
pub use closing::{ChannelsAre, Close, Closer, Connect, Move, Register, Way};
pub use diagnose::{Colour, LoadError, Problem, printable};
pub use exchange::{Exchange, Form, Keeps, Release, Through, To};
pub use load::{Loaded, dialect, load, parse};
pub use locate::locate;
pub use objects::{Misuse, Objects};
pub use oracles::{Column, Expect, Metric, Oracle};
pub use phase::{Arrival, Call, Clients, From, Heeds, Loops, Message, Payload, Phase, Spread};
pub use pipeline::{Decoder, Does, Encoder, Entry, Handler, In, On, Owns, There, Threads};
pub use requests::{Ends, Requests};
pub use step::{Awaits, Drain, Ending, Idle, Named, Order, Renew, Shutdown, Step};
pub use swarm::{Swarm, of_seed};
pub use sweep::{Cell, cells};
pub use text::text_of;
pub use tokens::{Broken, Token, TokenKind, tokens};
pub use units::{Size, Span};

use crate::deviations::Deviations;
use crate::engine::MemoryModel;
use millpond_model::observe::{self, Defect, Kind};
use millpond_model::preset::Preset;
use serde::{Deserialize, Serialize};
use std::ops::Range;

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
    /// Where the memory of buffers comes from.
    #[serde(default)]
    pub allocator: Allocator,
    /// The channels' outbound side and their peers.
    #[serde(default)]
    pub socket: Socket,
    /// The codecs and handlers of every channel, from the transport to the application.
    #[serde(default)]
    pub pipeline: Vec<Entry>,
    /// What happens, in order.
    #[serde(default = "step::default_workload")]
    pub workload: Vec<Step>,
    /// Faults of the environment: they must be survived.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Whether each seed draws which faults are on.
    #[serde(default)]
    pub swarm: Swarm,
    /// Planted defects: they must be found.
    #[serde(default)]
    pub plant: Vec<Plant>,
    /// For a scenario that must find a bug of its preset: the first preset in which it is mended. Ours when absent. With it, and
    /// without `plant`, the same scenario holds: a test says so.
    #[serde(default)]
    pub mended_in: Option<Preset>,
    /// How the next thread is chosen.
    #[serde(default)]
    pub schedule: Schedule,
    /// In place of any schedule: the default one but for these, as `keep` writes it down. Thread numbers and steps are those of the
    /// simulation; what is impossible is skipped.
    #[serde(default)]
    pub deviations: Option<Deviations>,
    /// What a load may return, and whether accesses are checked for races. Absent: every other execution of the portfolio has `Weak`,
    /// unless threads are preempted at tasks only or are too many for it; everything else has `Interleaving`.
    #[serde(default)]
    pub memory: Option<MemoryModel>,
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

/// Threads, loops and channels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Event loops, each a thread: `loop-0`, `loop-1`, ...
    pub event_loops: u32,
    /// Business threads: `business-0`, ...
    pub business_threads: u32,
    /// Business executors, each a thread that calls handlers: `executor-0`, ...
    pub executors: u32,
    /// Channels; channel c is registered on loop c mod `event_loops`. 0: one for each loop.
    pub channels: u32,
    /// What they are at the beginning.
    pub channels_are: ChannelsAre,
}

impl Default for Topology {
    fn default() -> Self {
        Self { event_loops: 2, business_threads: 4, executors: 0, channels: 0, channels_are: ChannelsAre::Registered }
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
    /// Probability that a read gives only a part of what the peer has sent.
    pub partial_read: f64,
    /// What a channel does when its peer sends no more.
    pub half_close: HalfClose,
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
            partial_read: 0.0,
            half_close: HalfClose::Refused,
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
    /// It is another channel of the same program: channels 0 and 1 are each other's peers, as are 2 and 3, and so on. The
    /// rest of `socket` has no meaning then, but for the water marks.
    AnotherChannel,
}

/// What a channel does when its peer sends no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HalfClose {
    /// It closes.
    Refused,
    /// It tells its handlers, and stays open for what they write.
    Allowed,
}

/// A fault of the environment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// A write to the socket, or a read from it, finds the connection reset.
    PeerReset(When),
    /// An allocation of buffer memory fails.
    AllocationFails(When),
    /// Allocations fail that would make the buffer memory larger than this.
    MemoryLimit(Size),
    /// An executor refuses a task as if its queue were full.
    TaskRejected(When),
    /// An executor can't have a thread.
    ThreadStartFails(When),
    /// The handler of this name fails when it is given a message. Counted for each channel.
    HandlerThrows(String, When),
    /// The handler of this name panics when it is given a message. Counted for each channel.
    HandlerPanics(String, When),
    /// A thread ends in the middle of its work, after its current message, and another takes its place. Counted for each place.
    ThreadDies(Threads, When),
}

impl Fault {
    /// When it happens, if there is a choice.
    pub fn when(&self) -> Option<When> {
        self.clone().when_mut().copied()
    }

    /// The same, to change it.
    pub fn when_mut(&mut self) -> Option<&mut When> {
        match self {
            Self::PeerReset(when)
            | Self::AllocationFails(when)
            | Self::TaskRejected(when)
            | Self::ThreadStartFails(when)
            | Self::HandlerThrows(_, when)
            | Self::HandlerPanics(_, when)
            | Self::ThreadDies(_, when) => Some(when),
            Self::MemoryLimit(_) => None,
        }
    }

    /// Which fault of the model it is, if it happens inside the model.
    pub fn inside(&self) -> Option<(observe::Fault, When)> {
        match self {
            Self::TaskRejected(when) => Some((observe::Fault::TaskRejected, *when)),
            Self::ThreadStartFails(when) => Some((observe::Fault::ThreadStartFails, *when)),
            _ => None,
        }
    }
}

/// The enum of planted defects, with the variants of [`Defect`].
macro_rules! plants {
    ($($defect:ident)*) => {
        /// A planted defect. The variants are those of [`Defect`].
        #[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
        pub enum Plant {
            $(#[doc = concat!("See [`Defect::", stringify!($defect), "`].")] $defect(When),)*
        }

        impl Plant {
            /// Which defect, and when it strikes.
            pub fn parts(self) -> (Defect, When) {
                match self {
                    $(Self::$defect(when) => (Defect::$defect, when),)*
                }
            }
        }
    };
}

plants! {
    ForgottenRelease
    DuplicateRelease
    RejectedWriteLeaks
    IllegalPromiseLeaks
    OutboundNotVolatile
    QueueNotVolatile
    LinkNotVolatile
    PeerLookedAtOnce
    ReadBufferReleasedTwice
    UnflushedSkipped
    ToldBeforeRemoved
    VoidFailureSwallowed
    QueueToldFirst
    QueueFailedInPlace
    LostTask
    CompositeReleasesRoot
    CompositeForgetsDropped
    OutputKept
    CumulationLeak
    EarlyRemoval
    ReentrantRead
    CumulationKept
    ForgottenParent
    RacyClaim
    StaleRecycle
    EmptyTransfer
    StackUnbounded
    UnboundedBatches
    WaitingKept
    DeadPoolAccepts
    ShellBeforeParent
    EntryForgotten
    DeadCacheAccepts
    CacheFreedTwice
    CacheLeft
    WrongCache
    OneListDown
    SpentChunkDropped
    SmallerChunkLost
    CollectedTooEarly
    TrackerKept
    UntrackedAllocation
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
    /// By random priorities of operations; what conflicts with an operation that was done draws anew (Yuan et al. 2018).
    Pos,
    /// Uniformly among all interleavings, as far as a pilot execution can tell (Zhao et al. 2025).
    Urw,
    /// Uniformly among all orders of the operations on one shared object, or on all of them (same paper).
    Surw,
    /// Each runs until it waits, then the next in turn; at random points the one that would run is skipped (Emmi et al. 2011).
    Delays {
        /// How often.
        delays: u32,
    },
    /// All of these in turn: first the schedules with at most two delays, then SURW, PCT of depth 2 to 6, POS and the random walk, so
    /// that each has about the same time.
    #[default]
    Portfolio,
    /// All schedules, one after the other, in which the running thread is preempted at most so many times: an enumeration for
    /// each seed (Musuvathi and Qadeer 2007). Time moves only when no thread can run. One seed (`seeds: 0..1`) is enough,
    /// unless the workload or a fault draws random numbers.
    Dfs {
        /// Switches away from a thread that could have gone on.
        preemptions: u32,
    },
    /// All partial orders of what the threads do to shared objects, one execution each or a few more: an enumeration for each
    /// seed (Abdulla et al. 2014). Time moves only when no thread can run; a loop that waits is cut after two rounds in which
    /// nothing changed. Executions of one partial order may differ in statistics and in how much memory is in use at a time: an
    /// oracle that looks at these sees one of them.
    Dpor,
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
    /// Wall-clock time of the whole run, looked at between executions only: it never influences what one of them finds.
    pub wall: Option<Span>,
    /// Schedules of one enumeration (`Dfs`, `Dpor`).
    pub schedules: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 100_000_000, wall: None, schedules: 1_000_000 }
    }
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
