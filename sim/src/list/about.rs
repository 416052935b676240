//! One line about each name.
//!
//! **Invariant: every name that `list` shows has one**; a test asks for all of them.

use super::Topic;

/// What is to be said about a name of a topic.
pub fn about(topic: Topic, name: &str) -> &'static str {
    match topic {
        Topic::Scenarios => "",
        Topic::Presets => preset(name),
        Topic::Strategies => strategy(name),
        Topic::Steps => step(name),
        Topic::Entries => entry(name),
        Topic::Owns => owns(name),
        Topic::Does => does(name),
        Topic::Callbacks => callback(name),
        Topic::Forms => form(name),
        Topic::Backends => backend(name),
        Topic::Schemes => scheme(name),
        Topic::Levels => level(name),
        Topic::Oracles => oracle(name),
        Topic::Metrics => metric(name),
        Topic::Faults => fault(name),
        Topic::Defects => defect(name),
        Topic::Reach => reach(name),
        Topic::Columns => column(name),
        Topic::Kinds => kind(name),
        Topic::Findings => finding(name),
    }
}

fn preset(name: &str) -> &'static str {
    match name {
        "Netty4_0_43" => "the policy of 4.1.5 to 4.1.21, on the old branch",
        "Netty4_1_2" => "the side queues have no bound at all",
        "Netty4_1_3" => "bounded by 131_072, but the queues hold the pools of dead threads",
        "Netty4_1_4" => "bounded by 16_384, no ratio",
        "Netty4_1_8" => "ratio 8 on the owner's side, at most 2 x cores queues a thread",
        "Netty4_1_22" => "capacity 4_096",
        "Netty4_1_38" => "a link that is skipped gives its capacity back",
        "Netty4_1_44" => "the ratio applies to every object that another thread recycles",
        "Netty4_1_66" => "... only to those never pooled before",
        "Netty4_1_71" => "the rewrite: one queue a thread",
        "Netty4_1_88" => "with a batch in front of the queue",
        "Netty4_2_7" => "the batch is not refilled from the queue",
        "Millpond" => "ours, the default: bounded, and it gives memory back",
        _ => "",
    }
}

fn strategy(name: &str) -> &'static str {
    match name {
        "Random" => "uniformly among the runnable threads; the default",
        "RoundRobin" => "in turn",
        "RunOn" => "the running thread until it waits, then the one that came first",
        "Dfs" => "every schedule with at most so many preemptions: `Dfs(preemptions: 1)`, `--strategy dfs:1`",
        "Dpor" => "every partial order of what threads do to shared objects, once or a few times",
        "Pos" => "random priorities of operations; what conflicts with one that was done draws anew: `--strategy pos`",
        "Urw" => "uniformly among all interleavings, by a pilot execution's counts: `--strategy urw`",
        "Surw" => "uniformly among all orders of the operations on one shared object, or on all: `--strategy surw`",
        "Delays" => "in turn, with so many skipped turns: `Delays(delays: 2)`, `--strategy delay:2`",
        "Portfolio" => {
            "the default: few delays, SURW, PCT, POS and the random walk by turns, half of them on weak memory"
        }
        "Pct" => "random priorities with depth - 1 change points: `Pct(depth: 3)`, `--strategy pct:3`",
        _ => "",
    }
}

fn step(name: &str) -> &'static str {
    match name {
        "Phase" => "business threads write to channels: `Phase(writes: 100, clients: Flood)`",
        "Requests" => "peers send requests, and await replies if there are any: `Requests(requests: 20, in_flight: 2)`",
        "Drain" => "stalls end; waits until task queues and outbound buffers are empty",
        "Idle" => "nothing happens for a while: `Idle(lasts: S(1))`",
        "Exchange" => "business threads allocate buffers, others read and release them: `Exchange(form: Slice)`",
        "Objects" => {
            "business threads obtain pooled objects, others recycle them: `Objects(rounds: 10, together: 100)`"
        }
        "Release" => "the buffers of `Exchange(to: Held)` are read and released: `Release(from: Loop)`",
        "Collect" => "one full garbage collection",
        "Renew" => "business threads end and new ones take their places",
        "Register" => "channels that have no event loop get theirs: with `channels_are: Unregistered`",
        "Connect" => "channels that aren't connected get connected: with `channels_are: Unconnected`",
        "Move" => "each channel leaves its event loop for the next one",
        "Close" => "channels are closed: `Close(way: OutputFirst, from: Listener, callers: 3, linger: Ms(5))`",
        "Shutdown" => "loops and executors shut down gracefully: `Shutdown(of: Executors)`",
        _ => "",
    }
}

fn entry(name: &str) -> &'static str {
    match name {
        "Decoder" => {
            "cuts what comes in into messages: `Decoder(LengthField(max_frame: KiB(8)))`, `Decoder(FixedLength(B(64)))`"
        }
        "Encoder" => "makes bytes of what goes out: `Encoder(LengthField(max_frame: KiB(8)))`, `Encoder(Copies)`",
        "Handler" => "is given what comes in: `Handler(name: \"business\", owns: Replies, on: Executor(0))`",
        _ => "",
    }
}

fn owns(name: &str) -> &'static str {
    match name {
        "Forwards" => "it gives messages to the next handler; the default",
        "Releases" => "it releases messages, and user events",
        "Retains" => "it gives messages on, and keeps references for a while",
        "Transfers" => "business threads get messages, reply with copies and release: `Transfers(Business)`",
        "Replies" => "it writes messages back",
        _ => "",
    }
}

fn does(name: &str) -> &'static str {
    match name {
        "Removes" => "it removes an entry, or itself: `Removes(\"decoder\", Read(3))`",
        "Adds" => "it adds an entry that isn't there: `Adds(\"late\", Read(3))`, for a `Handler(there: Later)`",
        "Closes" => "it closes the channel: `Closes(Read(9))`",
        "Fires" => "it fires a user event that carries a buffer: `Fires(Inactive)`",
        "Writes" => "it writes a buffer and flushes: `Writes(WritabilityChanged)`",
        _ => "",
    }
}

fn callback(name: &str) -> &'static str {
    match name {
        "Added" => "when it was added",
        "Read" => "when it is given its n-th message: `Read(3)`",
        "WritabilityChanged" => "when the channel became writable or unwritable",
        "UserEvent" => "when a user event reaches it",
        "Inactive" => "when the channel became inactive",
        "Removed" => "when it was removed",
        _ => "",
    }
}

fn backend(name: &str) -> &'static str {
    match name {
        "Unpooled" => "from the platform, for each buffer; the default",
        "Adaptive" => "from magazines of chunks, as many as threads meet at: as 4.2.7, mended in Millpond's preset",
        "Pooled" => "from arenas of chunks, with a cache for each thread, by the rules of the preset's release",
        _ => "",
    }
}

fn scheme(name: &str) -> &'static str {
    match name {
        "CasLoop" => "compare and swap: through 4.1.16",
        "Optimistic" => "add, and undo what was wrong: 4.1.17 to 4.1.31, which may deallocate twice",
        "OddEven" => "twice the count, odd when dead: from 4.1.32",
        "OneWord" => "ours: count, handles and pins in one word",
        _ => "",
    }
}

fn level(name: &str) -> &'static str {
    match name {
        "Disabled" => "nothing is watched",
        "Simple" => "one buffer in 128, without its accesses",
        "Advanced" => "one buffer in 128, with its accesses",
        "Paranoid" => "every buffer, with its accesses",
        _ => "",
    }
}

fn form(name: &str) -> &'static str {
    match name {
        "Plain" => "the buffer as it was allocated; the default",
        "Grown" => "allocated with half its size, and grown",
        "Slice" => "a slice of its second half, which shares the count",
        "Duplicate" => "a duplicate, which shares the count",
        "RetainedSlice" => "a retained slice of its second half, with a count of its own",
        "RetainedDuplicate" => "a retained duplicate, with a count of its own",
        "Composite" => "a composite of two retained slices, its halves",
        "ShrunkComposite" => "a composite of two, made smaller so that the second one is dropped",
        "Holder" => "the content of a retained duplicate of a holder",
        "Nested" => "a retained slice of a retained duplicate of a retained slice",
        _ => "",
    }
}

fn oracle(name: &str) -> &'static str {
    match name {
        "Safety" => "no leak, double release, use after release, lost task; sums add up; the default",
        "Bounded" => "a metric is within limits: `Bounded(metric: RetainedObjects, at_most: 4_096)`",
        "Drains" => "a metric comes down: `Drains(metric: QueuedTasks, to: 0, after: \"drain\")`",
        "Unchanged" => {
            "a metric is the same before and after a step: `Unchanged(metric: LiveBuffers, during: \"idle\")`"
        }
        "LeaksAreFound" => "the leak detector finds what leaks, and nothing else; a leak is then no finding by itself",
        "Sometimes" => "at least one execution reaches a place: `Sometimes(PartialWrite)`",
        _ => "",
    }
}

fn metric(name: &str) -> &'static str {
    match name {
        "RetainedObjects" => "objects in all pools",
        "RequestsRead" => "requests of peers that channels have read so far",
        "RepliesReceived" => "replies that peers have received so far",
        "UnhandledMessages" => "messages so far that no handler took, and the end of the pipeline released",
        "RetainedBytes" => "estimated bytes of the objects in all pools",
        "CrossThreadRetained" => "objects in pools whose type crosses threads: the write tasks",
        "SameThreadRetained" => "outbound entries and buffer shells in the loops' own pools",
        "DeadRetained" => "objects in pools of threads that have ended",
        "CreatedObjects" => "objects made so far, of all pooled types",
        "HeldThreads" => "threads that had ended and that a pool still held at the last `Collect`",
        "QueuedTasks" => "tasks in the queues of all loops",
        "PeakQueuedTasks" => "the most tasks that were in the queue of one loop so far",
        "PendingBytes" => "bytes pending in all channels",
        "LiveBuffers" => "buffers that are alive",
        "LostCapacity" => "shared capacity that no link holds and no pool can use",
        "Chunks" => "pooled and adaptive: chunks that exist",
        "FoundLeaks" => "leaks that the leak detector has found",
        "ReportedLeaks" => "leaks that the leak detector has reported: the first of each history",
        "WatchedBuffers" => "buffers that the leak detector watches",
        "UsedMemory" => "pooled and adaptive: bytes of all chunks and of all blocks larger than a chunk",
        "PinnedMemory" => "pooled: bytes of the blocks that are in use",
        "CachedMemory" => "pooled: bytes of the blocks that wait in threads' caches",
        "LostMemory" => "pooled: bytes that were released into a cache after it was freed",
        "ArenaAllocations" => "pooled: allocations that reached an arena; a cache served the others",
        "ActiveAllocations" => "pooled: allocations that reached an arena and have not come back to it",
        "ThreadCaches" => "pooled: threads' caches that are bound to an arena",
        _ => "",
    }
}

fn fault(name: &str) -> &'static str {
    match name {
        "PeerReset" => "a write to the socket or a read from it finds the connection reset: `PeerReset(Rate(0.02))`",
        "HandlerThrows" => "a handler fails when it is given a message: `HandlerThrows(\"offload\", Nth(3))`",
        "HandlerPanics" => "a handler panics when it is given a message: `HandlerPanics(\"offload\", Nth(3))`",
        "ThreadDies" => "a thread ends in the middle of its work: `ThreadDies(Business, Rate(0.01))`",
        "MemoryLimit" => "buffer memory beyond this can't be had: `MemoryLimit(MiB(16))`",
        "TaskRejected" => "an executor refuses a task as if its queue were full: `TaskRejected(Rate(0.1))`",
        "ThreadStartFails" => "an executor can't have a thread: `ThreadStartFails(Nth(1))`",
        "AllocationFails" => "an allocation of buffer memory fails: `AllocationFails(Nth(5_000))`",
        _ => "",
    }
}

fn defect(name: &str) -> &'static str {
    match name {
        "ForgottenRelease" => "a write that fails on a closed channel forgets to release its message",
        "DuplicateRelease" => "a write that fails on a closed channel releases its message twice",
        "RejectedWriteLeaks" => "a write that its executor refused forgets its message (4.0.12)",
        "IllegalPromiseLeaks" => "a write whose promise is complete already forgets its message (#8765)",
        "OutboundNotVolatile" => {
            "whether a channel takes writes is read plainly while the loop closes it: no interleaving shows it"
        }
        "QueueNotVolatile" => "a hand-over queue is hooked into its owner's list plainly: no interleaving shows it",
        "LinkNotVolatile" => "a link of a hand-over queue is hooked in plainly: no interleaving shows it",
        "PeerLookedAtOnce" => "a message is given to a peer that has closed since the look (4.0.31)",
        "ReadBufferReleasedTwice" => "a read loop releases a buffer that nothing was read into twice (#3368)",
        "UnflushedSkipped" => "a close from inside a failure skips the unflushed messages (a89b17fa94)",
        "ToldBeforeRemoved" => "a promise completes before its message is out of the outbound buffer (#1630)",
        "VoidFailureSwallowed" => "the failure of a write with a void promise is told to nobody (#6622)",
        "QueueToldFirst" => "a handler's queue tells of a write before that is out of it (#3212)",
        "QueueFailedInPlace" => "a handler's queue fails its writes while they are in it (#3367)",
        "LostTask" => "an executor that shuts down accepts a task and never runs it",
        "CompositeReleasesRoot" => {
            "a composite that ends releases what its component was derived from, not the component"
        }
        "CompositeForgetsDropped" => "a composite that becomes smaller forgets to release the components that it drops",
        "OutputKept" => "an encoder releases its output again when the write was refused",
        "CumulationLeak" => "a decoder that can't join two buffers leaks one of them",
        "EarlyRemoval" => "a decoder removed inside `decode` releases what that reads",
        "ReentrantRead" => "a decoder fed while it is on the stack decodes under the outer call's feet",
        "CumulationKept" => "a removed decoder gives its bytes on and forgets them only then",
        "ForgottenParent" => "a retained slice or duplicate that ends forgets to release what it was derived from",
        "RacyClaim" => "two threads that recycle the same object at the same time both succeed",
        "StaleRecycle" => "a handle that was recycled before is recycled again when the object has a new owner",
        "EmptyTransfer" => "a transfer says that it brought something although everything was dropped",
        "StackUnbounded" => "a stack at its maximum takes what its owner recycles",
        "UnboundedBatches" => "a pool at its maximum takes what others hand over",
        "WaitingKept" => "a pool forgets that what was handed over doesn't wait any more",
        "DeadPoolAccepts" => "the pool of a thread that ended goes on taking what others recycle",
        "ShellBeforeParent" => "a derived buffer's shell goes back before its parent is read",
        "EntryForgotten" => "a cache's entry isn't recycled when its block is taken out",
        "DeadCacheAccepts" => "a release goes into a cache that was freed",
        "CacheFreedTwice" => "a cache is freed again by the collector",
        "CacheLeft" => "a thread ends without giving up its cache",
        "WrongCache" => "a released block goes into the cache of the thread that releases it",
        "OneListDown" => "a chunk that got emptier moves one list down at most",
        "SpentChunkDropped" => "a magazine that is done with a chunk doesn't offer it to others",
        "SmallerChunkLost" => "a magazine with two chunks loses the smaller one",
        "CollectedTooEarly" => "the collector takes a buffer before its release has told the leak detector",
        "TrackerKept" => "the last release of a buffer doesn't tell the leak detector",
        "UntrackedAllocation" => "an allocator hands a buffer out past its leak detector",
        _ => "",
    }
}

fn reach(name: &str) -> &'static str {
    match name {
        "RecycledByOtherThread" => "an object is recycled by another thread than the one that obtained it",
        "DelayedLimitHit" => "an object is dropped: the recycling thread serves its maximum of owners",
        "SharedCapacityExhausted" => "an object is dropped: the shared capacity is used up",
        "DeadQueueDrained" => "the owner drains a dead thread's queue",
        "WriteSpinExhausted" => "a write uses its whole spin count",
        "PartialWrite" => "the peer takes only a part of what is offered",
        "PartialRead" => "a read gives only a part of what the peer has sent",
        "Unwritable" => "a channel becomes unwritable",
        "TaskRejected" => "an executor refuses a task",
        "ThreadStartFailed" => "an executor could not start its thread",
        "TailTaskRun" => "an executor ran a task that was to run after its pass over the others",
        "ScheduledTaskCancelled" => "a scheduled task was cancelled before it ran",
        "ClosedWithPendingMessages" => "a channel is closed with messages in its outbound buffer",
        "HandlerChangedThreads" => "a call passed from a handler to one of another thread",
        "HandlerCallRefused" => "the executor of a handler refused a call",
        "HandlerRemovedInside" => "a handler was removed while it was on the stack",
        "ReachedTheTail" => "a message or event reached the end of the pipeline",
        "WriteBeforeRegistration" => "a channel was written to that had no event loop yet",
        "Reregistered" => "a channel moved to another event loop",
        "Forwarded" => "a call for a channel arrived at an event loop that it had left",
        "InputEnded" => "the peer sent its last byte",
        "OutputShutDownWithPendingMessages" => "the output was shut down with messages in the outbound buffer",
        "StoodIn" => "a thread did the work of an event loop that had ended",
        "WriteAfterClose" => "a write finds its channel closed",
        "ClosedThroughLinger" => "a channel is closed through the linger executor",
        "TerminatedWithTasks" => "an executor ends with tasks in its queue",
        "AllocationFailed" => "an allocation fails",
        _ => "",
    }
}

fn column(name: &str) -> &'static str {
    match name {
        "Retained" => "objects retained at the end of a step: `Retained(after: \"burst\")`",
        "Bytes" => "their estimated bytes",
        "PerThread" => "the most objects retained for one thread",
        "Queues" => "side queues and their links",
        "Created" => "objects created during a step: `Created(during: \"burst\")`",
        "StoppedBy" => "why most recycled objects were not kept during a step",
        "Curve" => "objects retained at the sampling points of a phase",
        "Queued" => "tasks queued at the end of a step",
        "Value" => "a metric at the end of a step: `Value(metric: LiveBuffers, after: \"drain\")`",
        _ => "",
    }
}

fn kind(name: &str) -> &'static str {
    match name {
        "WriteTask" => "a pooled task that carries one `write` to the channel's loop",
        "WriteAndFlushTask" => "a pooled task that carries one `write_and_flush` to the channel's loop",
        "OutboundEntry" => "a pooled entry of an outbound buffer",
        "BufferShell" => "the pooled shell of a buffer: its indices and count, not its memory",
        "Buffer" => "a reference-counted buffer, from allocation to deallocation",
        "Message" => "a message that is not reference-counted",
        "Promise" => "a promise of an asynchronous operation",
        "DerivedShell" => "the pooled shell of a retained slice or duplicate",
        "CacheEntry" => "a pooled entry of a thread's buffer cache",
        "Object" => "a pooled object of a user's own recycler",
        _ => "",
    }
}

fn finding(name: &str) -> &'static str {
    match name {
        "Leak" => "an object has no owner and was never released",
        "DoubleRelease" => "an object is released again after its release",
        "UseAfterRelease" => "an object is used after its release",
        "DataRace" => "two accesses to plain memory, one of them a write, have nothing that orders them",
        "UnorderedFree" => "memory is freed, and nothing orders the free after the last use",
        "FalseLeak" => "the leak detector found something that did not leak",
        "MissedLeak" => "something leaked, and the leak detector did not find it",
        "TwoOwners" => "one pooled object is given to two owners",
        "Poisoned" => "a call fails because of what somebody else did to the pool before",
        "Corrupted" => "a buffer's bytes are not those that were written into it",
        "UnflushedSkipped" => "a close from inside a failure skips the unflushed messages (a89b17fa94)",
        "ToldBeforeRemoved" => "a promise completes before its message is out of the outbound buffer (#1630)",
        "VoidFailureSwallowed" => "the failure of a write with a void promise is told to nobody (#6622)",
        "QueueToldFirst" => "a handler's queue tells of a write before that is out of it (#3212)",
        "QueueFailedInPlace" => "a handler's queue fails its writes while they are in it (#3367)",
        "LostTask" => "an accepted task is neither run nor refused",
        "PromiseLost" => "a promise is never completed",
        "PromiseTwice" => "a promise is completed twice",
        "PendingBytes" => "a channel's pending bytes are not the sum of its entries and queued tasks",
        "Conservation" => "objects created are not the sum of those retained, in use and dropped",
        "SharedCapacity" => "shared capacity and links don't add up",
        "Bloat" => "a metric went above its bound: memory that stays",
        "Stall" => "a metric did not drain, or changed where it must not",
        "Panic" => "a thread panicked",
        "Deadlock" => "every thread waits for another",
        "Livelock" => "threads spin without progress",
        "StackOverflow" => "a thread ran out of stack",
        "StepBudget" => "the step budget was used up",
        _ => "",
    }
}
