//! What a scenario file may ask for.
//!
//! **Invariant: a file within these limits can neither crash, hang nor exhaust the host while it is loaded.** A scenario
//! file is untrusted input; each limit is named in the error of the file that exceeds it.

use std::time::Duration;

/// Bytes of a file.
pub const FILE_BYTES: u64 = 1 << 20;
/// Brackets inside brackets. The deepest useful scenario needs nine.
pub const NESTING: usize = 64;
/// Characters of a name.
pub const NAME_CHARS: usize = 200;
/// Steps of a workload.
pub const STEPS: usize = 100;
/// Faults, and planted defects.
pub const FAULTS: usize = 100;
/// Entries of a pipeline.
pub const ENTRIES: usize = 50;
/// What a handler does besides owning messages.
pub const DOES: usize = 50;
/// Entries that are added to one pipeline at run time; what would exceed them isn't added.
pub const ADDITIONS: u32 = 100;
/// Oracles.
pub const ORACLES: usize = 100;
/// Columns of the table.
pub const COLUMNS: usize = 50;
/// Sizes in a `Mix`.
pub const MIX: usize = 64;
/// Sampling points of all phases together.
pub const SAMPLES: usize = 1_000;

/// Event loops.
pub const EVENT_LOOPS: u32 = 256;
/// Business threads.
pub const BUSINESS_THREADS: u32 = 512;
/// Channels.
pub const CHANNELS: u32 = 100_000;
/// Business executors.
pub const EXECUTORS: u32 = 100;
// A simulated thread has a stack of its own: a thousand of them is what a small machine can carry.
const _: () = assert!(EVENT_LOOPS + BUSINESS_THREADS + EXECUTORS <= 1_000);

/// Writes of one phase, and writes of all phases, cells and seeds together.
pub const WRITES: u64 = 1_000_000_000;
/// Writes of a phase that doesn't wait for them (`Flood`, `Open`): each may be queued, and then takes some 500 bytes.
pub const QUEUED: u64 = 4_000_000;

/// Bytes of buffer memory that one execution may have outstanding; beyond, allocations fail, which a program must survive.
pub const BUFFER_BYTES: u64 = 1 << 30;

/// Writes in flight of one thread.
pub const IN_FLIGHT: u64 = 1_000_000;
/// Writes a second and thread of an open system: one a nanosecond.
pub const PER_SECOND: u64 = 1_000_000_000;
/// Bytes of one size.
pub const SIZE_BYTES: u64 = 1 << 30;
/// A span of virtual time: one year.
pub const SPAN: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Numbers of a pool's configuration.
pub const POOL: u64 = 1 << 30;
/// Arenas of each area.
pub const ARENAS: u64 = 1_000;
/// Cores of the machine that the adaptive allocator is told of.
pub const CORES: u64 = 256;
/// Blocks of each size in a thread's cache.
pub const THREAD_CACHE: u64 = 1 << 16;
/// Bytes of a page at least.
pub const PAGE_BYTES: u64 = 4096;
/// Attempts to write in one flush.
pub const WRITE_SPIN: u64 = 1_000_000;
/// Depth of a PCT schedule.
pub const PCT_DEPTH: u64 = 64;
/// Delays of a schedule.
pub const DELAYS: u64 = 64;
/// Preemptions of a schedule in an enumeration.
pub const PREEMPTIONS: u64 = 64;
/// Cells of a sweep.
pub const CELLS: u64 = 1_000;
/// Seeds, and cells times seeds.
pub const EXECUTIONS: u64 = 10_000_000;
/// Errors reported for one file.
pub const ERRORS: usize = 10;

/// Threads that close at the same time.
pub const CALLERS: u64 = 16;
