//! placeholder, replaced below
use serde::{Deserialize, Serialize};

/// What an oracle found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum FindingKind {
    /// An object has no owner and was never released.
    Leak,
    /// An object was released again after its release.
    DoubleRelease,
    /// An object was used after its release.
    UseAfterRelease,
    /// One pooled object was given to two owners.
    TwoOwners,
    /// An accepted task was neither run nor refused.
    LostTask,
    /// A promise was never completed.
    PromiseLost,
    /// A promise was completed twice.
    PromiseTwice,
    /// The bytes pending in a channel are not the sum of its entries and queued tasks.
    PendingBytes,
    /// Objects created are not the sum of those retained, in use and dropped.
    Conservation,
    /// Shared capacity and links don't add up.
    SharedCapacity,
    /// A metric went above its bound: memory that stays.
    Bloat,
    /// A metric did not drain, or changed where it must not.
    Stall,
    /// A thread panicked.
    Panic,
    /// Every thread waits for another.
    Deadlock,
    /// Threads spin without progress.
    Livelock,
    /// A thread ran out of stack.
    StackOverflow,
    /// The step budget was used up.
    StepBudget,
}
