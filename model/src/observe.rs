//! What a checker is told: the vocabulary of [`Platform`](crate::Platform)'s observation group.
//!
//! **Invariant: every name here is the one name of the thing**, in code, RON, JSON, reports and documentation.

use core::fmt;
use serde::{Deserialize, Serialize};

/// An enum of names, with the list of all of them in declaration order as `ALL`.
#[macro_export]
macro_rules! listed {
    ($(#[$of:meta])* pub enum $name:ident { $($(#[$about:meta])* $variant:ident,)* }) => {
        $(#[$of])*
        pub enum $name {
            $($(#[$about])* $variant,)*
        }

        impl $name {
            /// All of them, in declaration order.
            pub const ALL: [Self; [$(stringify!($variant)),*].len()] = [$(Self::$variant),*];
        }
    };
}

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A pooled task that carries one `write` to the channel's event loop.
    WriteTask,
    /// A pooled task that carries one `write_and_flush` to the channel's event loop.
    WriteAndFlushTask,
    /// A pooled entry of an outbound buffer.
    OutboundEntry,
    /// The pooled shell of a buffer: its indices and count, not its memory.
    BufferShell,
    /// A reference-counted buffer: one period from allocation to deallocation.
    Buffer,
    /// A message that is not reference-counted.
    Message,
    /// A promise of an asynchronous operation.
    Promise,
    /// The pooled shell of a retained slice or duplicate: a count and a window of its own on another buffer's memory.
    DerivedShell,
    /// A pooled entry of a thread's buffer cache: one block that waits there.
    CacheEntry,
    /// A pooled object of a user's own recycler.
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What became of a recycled object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Fate {
    /// Stored in the owner's own pool by the owner.
    StoredByOwner,
    /// Stored by another thread, in a hand-over queue to the owner.
    StoredByOther,
    /// Given up: see the reason.
    Dropped(DropReason),
}

/// Why a recycled object was not kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum DropReason {
    /// The admission ratio let it go.
    Ratio,
    /// The owner's pool is at its capacity.
    PoolFull,
    /// No room for a further link in the shared capacity of the owner's hand-over queues.
    NoSharedCapacity,
    /// The recycling thread serves its maximum number of owners already.
    DelayedLimit,
    /// The owner has ended, or its pool has been removed.
    OwnerDead,
    /// The object was never poolable: the ratio decided so when it was created, or pooling is off.
    NotPoolable,
    /// The owner's pool had not needed it for a while and gave it back.
    Unused,
}

/// What happens to a tracked object.
///
/// An event that gives authority away is noted before anybody else can act on it: on real threads others run between an operation
/// and its note. Only `Retained` and `Released` come after their operation, whose outcome they tell.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event {
    /// Its owner gave it back to its pool, which decided its fate. Ends the period of ownership.
    Recycled(Fate),
    /// It was taken from a hand-over queue into its owner's pool, or dropped there.
    Transferred(Fate),
    /// A recycle was refused: the pool saw the double recycle itself.
    RecycleRefused,
    /// Its count went up to this.
    Retained(u32),
    /// Its count went down to this.
    Released(u32),
    /// Its count reached zero and its memory was given back. Ends the period of ownership.
    Deallocated,
    /// Its count reached zero a second time: only the optimistic counts of Netty 4.1.17 to 4.1.31 let it.
    DeallocatedAgain,
    /// Its last handle was dropped while its count was this. Ends the period of ownership.
    Leaked(u32),
    /// A release was refused because its count is illegal: it was released before.
    IllegalRelease,
    /// Another operation on it was refused because its count is zero.
    IllegalCount,
    /// It passed this place.
    Touched(&'static str),
    /// A promise was completed successfully. Ends the period of ownership.
    Succeeded,
    /// A promise was failed. Ends the period of ownership.
    Failed(&'static str),
    /// A promise was completed although it was complete: refused.
    CompletedAgain,
}

listed! {
    /// A rare place that a scenario may want to prove it reached (`Sometimes`).
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    pub enum Reach {
        /// A pooled object was recycled by another thread than the one that obtained it.
        RecycledByOtherThread,
        /// A recycled object was dropped because a recycling thread had its maximum of owners.
        DelayedLimitHit,
        /// A recycled object was dropped because the shared capacity was used up.
        SharedCapacityExhausted,
        /// A dead thread's hand-over queue was drained by the owner.
        DeadQueueDrained,
        /// A write consumed its whole write spin count.
        WriteSpinExhausted,
        /// The peer took only a part of what was offered.
        PartialWrite,
        /// A read gave only a part of what the peer had sent.
        PartialRead,
        /// A channel became unwritable.
        Unwritable,
        /// An executor refused a task.
        TaskRejected,
        /// An executor could not start its thread.
        ThreadStartFailed,
        /// An executor ran a task that was to run after its pass over the others.
        TailTaskRun,
        /// A scheduled task was cancelled before it ran.
        ScheduledTaskCancelled,
        /// A channel was closed with messages in its outbound buffer.
        ClosedWithPendingMessages,
        /// A call passed from a handler to one of another thread.
        HandlerChangedThreads,
        /// The executor of a handler refused a call.
        HandlerCallRefused,
        /// A handler was removed while it was on the stack.
        HandlerRemovedInside,
        /// A message or event reached the end of the pipeline.
        ReachedTheTail,
        /// A channel was written to that had no event loop yet.
        WriteBeforeRegistration,
        /// A channel moved to another event loop.
        Reregistered,
        /// A call for a channel arrived at an event loop that it had left.
        Forwarded,
        /// The peer sent its last byte.
        InputEnded,
        /// The output of a channel was shut down while messages were in its outbound buffer.
        OutputShutDownWithPendingMessages,
        /// A thread did the work of an event loop that had ended.
        StoodIn,
        /// A write found its channel closed.
        WriteAfterClose,
        /// A channel was closed through the linger executor.
        ClosedThroughLinger,
        /// An executor ended with tasks in its queue.
        TerminatedWithTasks,
        /// An allocation failed.
        AllocationFailed,
    }
}

listed! {
    /// A fault of the environment that happens inside the model, behind [`Platform::strikes`](crate::Platform::strikes).
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    pub enum Fault {
        /// An executor refuses a task as if its queue were full.
        TaskRejected,
        /// An executor can't have a thread.
        ThreadStartFails,
    }
}

listed! {
    /// A defect that can be planted behind [`Platform::planted`](crate::Platform::planted), to test the tester.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    pub enum Defect {
        /// A write that failed because its channel is closed forgets to release its message (Netty #1624).
        ForgottenRelease,
        /// A write that failed because its channel is closed releases its message twice (Netty #3368).
        DuplicateRelease,
        /// A write that its executor refused fails its promise and forgets its message (Netty 4.0.12).
        RejectedWriteLeaks,
        /// A write whose promise is complete already forgets its message (Netty #8765).
        IllegalPromiseLeaks,
        /// Whether a channel takes writes is a plain field, which business threads read while the loop closes it (Netty before 4.1.3).
        OutboundNotVolatile,
        /// A hand-over queue is hooked into its owner's list by a plain store, so that the owner may find it unfinished (Netty 4.1.7).
        QueueNotVolatile,
        /// A link of a hand-over queue is hooked in by a plain store, so that its reader may find it unfinished (Netty #4830).
        LinkNotVolatile,
        /// A channel gives a message to its peer in the same program after a look whether it is open (Netty 4.0.31).
        PeerLookedAtOnce,
        /// A read loop releases a buffer that nothing was read into, and then again (Netty #3368).
        ReadBufferReleasedTwice,
        /// A close from inside the failure of flushed writes skips the unflushed ones (Netty a89b17fa94).
        UnflushedSkipped,
        /// A written entry's promise completes before the entry is out of the outbound buffer (Netty #1630).
        ToldBeforeRemoved,
        /// The failure of a write with a void promise is told to nobody (Netty #6622).
        VoidFailureSwallowed,
        /// A handler's queue tells that bytes were given back before the write is out of the queue (Netty #3212).
        QueueToldFirst,
        /// A handler's queue fails its writes while they are still in it (Netty #3367).
        QueueFailedInPlace,
        /// An executor accepts a task while it shuts down and never runs it (Netty #9603).
        LostTask,
        /// A composite releases what its component was derived from, and not the component (Netty #8495).
        CompositeReleasesRoot,
        /// A composite that becomes smaller forgets to release the components that it drops (Netty #8438).
        CompositeForgetsDropped,
        /// An encoder releases its output after the write, which was refused, already did (Netty, to this day).
        OutputKept,
        /// A decoder's failed cumulation leaks what it took (Netty #8325, #9812).
        CumulationLeak,
        /// A decoder that is removed inside `decode` releases what `decode` reads (Netty 4.1.11).
        EarlyRemoval,
        /// A decoder that is fed while it is on the stack decodes at once, under the feet of the outer call (Netty #15834).
        ReentrantRead,
        /// A removed decoder gives its cumulation on and then clears its field (Netty #2183).
        CumulationKept,
        /// A retained slice or duplicate that ends forgets to release what it was derived from.
        ForgottenParent,
        /// Two threads that recycle the same object at the same time both succeed (Netty #10986).
        RacyClaim,
        /// A handle that was recycled before is recycled again when the object has a new owner (Netty, to this day).
        StaleRecycle,
        /// A transfer from a side queue says that it brought something although everything was dropped (Netty #9609).
        EmptyTransfer,
        /// A stack takes what its owner recycles although it is at its maximum (Netty #2848).
        StackUnbounded,
        /// A pool takes what others hand over although it is at its maximum (Netty #5505, in batched hand-over).
        UnboundedBatches,
        /// A pool forgets that what was handed over doesn't wait any more (Netty #9394, in batched hand-over).
        WaitingKept,
        /// The pool of a thread that ended goes on taking what others recycle (Netty #11864, in batched hand-over).
        DeadPoolAccepts,
        /// A retained slice or duplicate that ends gives its shell back before it reads what it was derived from (Netty 4.1.1).
        ShellBeforeParent,
        /// The entry of a thread's cache isn't recycled when its block is taken out (Netty #4071).
        EntryForgotten,
        /// A release goes into a cache that was freed (Netty #12749).
        DeadCacheAccepts,
        /// A cache is freed again by the collector (Netty #8108).
        CacheFreedTwice,
        /// A thread ends without giving up its cache (Netty #2370).
        CacheLeft,
        /// A released block goes into the cache of the thread that releases it (Netty 4.0.24).
        WrongCache,
        /// A chunk that got emptier moves one list down at most (Netty 4.0.37).
        OneListDown,
        /// A magazine that is done with a chunk doesn't offer it to others (Netty #15424).
        SpentChunkDropped,
        /// A magazine with two chunks loses the smaller one (Netty #14348).
        SmallerChunkLost,
        /// The collector takes a buffer whose release hasn't told the leak detector yet (Netty 4.1.7, #8410).
        CollectedTooEarly,
        /// The last release of a buffer doesn't tell the leak detector (Netty 4.0.14).
        TrackerKept,
        /// An allocator hands a buffer out past its leak detector (Netty #14946).
        UntrackedAllocation,
    }
}
