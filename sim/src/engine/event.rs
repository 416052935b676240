//! What happens in an execution, and its digest.
//!
//! **Invariant: the digest is a function of the sequence of events, and an event holds no address, time of day or hash
//! order.** Two executions with equal digests did the same.
//!
//! ```text
//!   event, 16 bytes:  thread u32 | object u32 | op u8 | class u8 | ordering u8 | 0 | extra u32
//!
//!   events ──> buffer of 1024 ──full──> digest' = XXH3(buffer, seed = digest) ──> checkpoints
//! ```
//!
//! In rich mode the buffer's `limit` is always one ahead, so that every event takes the cold path, which also writes it to a
//! log with its step and source location. The lean path pays nothing for that.

use super::access::Access;
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::atomic::Ordering;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Events between two checkpoints of the digest.
pub const CHECKPOINT_EVERY: u64 = 1024;

/// Most entries that a rich log holds; what comes after is counted and hashed only.
pub const MAX_LOG: usize = 4_000_000;

const BUFFER: usize = CHECKPOINT_EVERY as usize;

/// The kind of an event. The numbers are part of the digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Op {
    /// Atomic read.
    Load = 1,
    /// Atomic write.
    Store = 2,
    /// Atomic exchange.
    Swap = 3,
    /// Atomic compare-and-exchange that found what it expected.
    CompareExchange = 4,
    /// Atomic compare-and-exchange that did not.
    CompareExchangeFailed = 5,
    /// `fetch_add`.
    Add = 6,
    /// `fetch_sub`.
    Sub = 7,
    /// `fetch_or`.
    Or = 8,
    /// `fetch_and`.
    And = 9,
    /// A fence.
    Fence = 10,
    /// A mutex was locked.
    Lock = 11,
    /// A mutex was found locked by `try_lock`.
    TryLockFailed = 12,
    /// A mutex was unlocked.
    Unlock = 13,
    /// A thread was started: the object is its number.
    Spawn = 14,
    /// A thread ended.
    Exit = 15,
    /// A thread's end was awaited: the object is its number.
    Join = 16,
    /// `park` or `park_timeout` returned.
    Park = 17,
    /// A thread was unparked: the object is its number.
    Unpark = 18,
    /// A sleep began.
    Sleep = 19,
    /// A thread yielded.
    Yield = 20,
    /// A thread said that it spins.
    Spin = 21,
    /// Virtual time moved.
    Time = 22,
    /// A thread-local value is about to be destroyed.
    LocalDrop = 23,
    /// Memory was obtained from the platform: `extra` is its size.
    Alloc = 24,
    /// The platform refused memory.
    AllocFailed = 25,
    /// Memory was given back to the platform.
    Dealloc = 26,
    /// A tracked object was created.
    Identify = 27,
    /// A tracked object got an owner.
    Obtained = 28,
    /// Something happened to a tracked object.
    Note = 29,
    /// A tracked object's memory was given up.
    Destroyed = 30,
    /// The end of one unit of work.
    Boundary = 31,
    /// A rare place was reached.
    Reach = 32,
    /// A planted defect struck.
    Planted = 33,
    /// A thread was refused.
    SpawnFailed = 34,
    /// A fault of the environment struck inside the model.
    Struck = 35,
    /// `fetch_xor`.
    Xor = 36,
    /// `fetch_nand`, or `fetch_not`.
    Nand = 37,
    /// `fetch_max`.
    Max = 38,
    /// `fetch_min`.
    Min = 39,
    /// A read-write lock was locked for reading. For writing it is `Lock` and `Unlock`.
    ReadLock = 42,
    /// A read-write lock was unlocked by a reader.
    ReadUnlock = 43,
    /// A thread is about to wait at a condition variable.
    Wait = 44,
    /// A condition variable was notified: `extra` is 1 if for all.
    Notify = 45,
    /// A wait at a condition variable ended: `extra` is 0 for a notification, 1 for a timeout, 2 for no reason.
    Woken = 46,
    /// A message was sent.
    Send = 47,
    /// A message was received.
    Receive = 48,
    /// There was no message.
    ReceiveFailed = 49,
    /// There was no place for a message, or nobody to receive it.
    SendFailed = 50,
    /// An end of a channel was closed.
    Close = 51,
    /// A thread came to a barrier.
    Arrive = 52,
    /// A thread left a barrier.
    Leave = 53,
    /// An initialisation began.
    OnceBegin = 54,
    /// An initialisation ended: `extra` is 1 if by a panic.
    OnceEnd = 55,
    /// Somebody looked whether something is initialised.
    OnceLook = 56,
    /// Virtual time was read.
    Clock = 57,
    /// A plain cell was read. In rich logs only, not in the digest.
    CellRead = 40,
    /// A plain cell was written. In rich logs only, not in the digest.
    CellWrite = 41,
}

impl Op {
    /// What an atomic operation's last word tells of the memory model: how many newer stores there were than the one that was read.
    #[inline(always)]
    pub(super) fn seen(self, extra: u32) -> u64 {
        let atomic = self as u8 <= Self::And as u8;
        u64::from(atomic) * u64::from(extra >> 8 & 0xff)
    }

    /// What the operation of `thread`, done to the object of its event, did to it.
    #[inline(always)]
    pub(crate) fn access(self, object: u32, thread: u32) -> Access {
        match self {
            Self::Load | Self::CompareExchangeFailed | Self::TryLockFailed => Access::load(object),
            Self::Store => Access::store(object),
            Self::Swap | Self::CompareExchange | Self::Add | Self::Sub | Self::Or | Self::And => Access::rmw(object),
            Self::Xor | Self::Nand | Self::Max | Self::Min => Access::rmw(object),
            Self::Lock | Self::Unlock => Access::rmw(object),
            Self::ReadLock | Self::ReadUnlock | Self::ReceiveFailed | Self::SendFailed | Self::OnceLook => {
                Access::load(object)
            }
            Self::Wait | Self::Notify | Self::Woken | Self::Send | Self::Receive | Self::Close => Access::rmw(object),
            Self::Arrive | Self::Leave | Self::OnceBegin | Self::OnceEnd => Access::rmw(object),
            Self::Unpark => Access::thread(object),
            Self::Park => Access::thread(thread),
            _ => Access::NONE,
        }
    }
}

/// An entry of a rich log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Number of the event, from 0; a cell access has the number of the event that comes next.
    pub event: u64,
    /// Step of the execution at which it happened.
    pub step: u64,
    /// Number of the thread.
    pub thread: u32,
    /// What happened.
    pub op: Op,
    /// Object: dense, in order of creation, one sequence for all kinds that threads synchronise with.
    pub object: u32,
    /// A small number that stands for the value seen.
    pub class: u8,
    /// The ordering that the program asked for, where there is one.
    pub ordering: Option<Ordering>,
    /// A further small number; its meaning depends on the operation.
    pub extra: u32,
    /// Where in the source.
    pub site: &'static Location<'static>,
}

impl Entry {
    /// What the operation touched.
    pub fn access(&self) -> Access {
        self.op.access(self.object, self.thread)
    }
}

/// The value an ordering has in an event: 0 for none.
#[inline(always)]
pub(super) fn ordering_code(order: Ordering) -> u8 {
    match order {
        Ordering::Relaxed => 1,
        Ordering::Release => 2,
        Ordering::Acquire => 3,
        Ordering::AcqRel => 4,
        Ordering::SeqCst => 5,
        _ => 6,
    }
}

pub(super) fn ordering_of(code: u8) -> Option<Ordering> {
    match code {
        1 => Some(Ordering::Relaxed),
        2 => Some(Ordering::Release),
        3 => Some(Ordering::Acquire),
        4 => Some(Ordering::AcqRel),
        5 => Some(Ordering::SeqCst),
        _ => None,
    }
}

/// Everything about an event but the thread.
#[derive(Clone, Copy)]
pub(super) struct What {
    pub op: Op,
    pub object: u32,
    pub class: u8,
    pub order: u8,
    pub extra: u32,
}

/// The events of the running execution.
pub(super) struct Events {
    buffer: Box<[Cell<[u64; 2]>; BUFFER]>,
    /// Events in the buffer.
    len: Cell<usize>,
    /// `push` returns true when `len` reaches it.
    limit: Cell<usize>,
    /// Events hashed already.
    hashed: Cell<u64>,
    digest: Cell<u64>,
    checkpoints: RefCell<Vec<u64>>,
    rich: Cell<bool>,
    log: RefCell<Vec<Entry>>,
}

impl Events {
    pub fn new() -> Self {
        Self {
            buffer: Box::new([const { Cell::new([0; 2]) }; BUFFER]),
            len: Cell::new(0),
            limit: Cell::new(BUFFER),
            hashed: Cell::new(0),
            digest: Cell::new(0),
            checkpoints: RefCell::new(Vec::new()),
            rich: Cell::new(false),
            log: RefCell::new(Vec::new()),
        }
    }

    pub fn begin(&self, rich: bool) {
        self.len.set(0);
        self.limit.set(if rich { 1 } else { BUFFER });
        self.hashed.set(0);
        self.digest.set(0);
        self.checkpoints.borrow_mut().clear();
        self.rich.set(rich);
        self.log.borrow_mut().clear();
    }

    /// Appends an event; true when `cold` must be called.
    #[inline(always)]
    pub fn push(&self, thread: u32, what: What) -> bool {
        let len = self.len.get();
        let first = u64::from(thread) | u64::from(what.object) << 32;
        let second = u64::from(what.op as u8)
            | u64::from(what.class) << 8
            | u64::from(what.order) << 16
            | u64::from(what.extra) << 32;
        self.buffer[len % BUFFER].set([first.to_le(), second.to_le()]);
        self.len.set(len + 1);
        len + 1 >= self.limit.get()
    }

    /// Hashes a full buffer and writes the log.
    pub fn cold(&self, thread: u32, step: u64, what: What, site: &'static Location<'static>) {
        if self.rich.get() {
            self.log_entry(self.count() - 1, thread, step, what, site);
        }
        if self.len.get() == BUFFER {
            self.hash();
            self.checkpoints.borrow_mut().push(self.digest.get());
        }
        self.limit.set(if self.rich.get() { self.len.get() + 1 } else { BUFFER });
    }

    /// From here on every event comes to `cold`, for `undo`.
    pub fn freeze(&self) {
        self.limit.set(0);
    }

    /// Takes the last event back.
    pub fn undo(&self) {
        self.len.set(self.len.get() - 1);
    }

    fn log_entry(&self, event: u64, thread: u32, step: u64, what: What, site: &'static Location<'static>) {
        let mut log = self.log.borrow_mut();
        if log.len() < MAX_LOG {
            let What { op, object, class, order, extra } = what;
            log.push(Entry { event, step, thread, op, object, class, ordering: ordering_of(order), extra, site });
        }
    }

    /// Whether there is a log.
    #[inline(always)]
    pub fn is_rich(&self) -> bool {
        self.rich.get()
    }

    /// A log entry that is no event.
    #[cold]
    pub fn log_only(&self, thread: u32, step: u64, what: What, site: &'static Location<'static>) {
        self.log_entry(self.count(), thread, step, what, site);
    }

    /// Events so far.
    pub fn count(&self) -> u64 {
        self.hashed.get() + self.len.get() as u64
    }

    fn hash(&self) {
        let len = self.len.get();
        // SAFETY: a `Cell<[u64; 2]>` has the layout of `[u64; 2]`, any byte may be read of it, `len` is at most the buffer's
        // length, and nothing writes to the buffer before the slice is gone: `Events` stays on one OS thread.
        let bytes = unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast::<u8>(), len * 16) };
        self.digest.set(xxh3_64_with_seed(bytes, self.digest.get()));
        self.hashed.set(self.hashed.get() + len as u64);
        self.len.set(0);
    }

    /// Digest of the finished execution.
    pub fn finish_digest(&self) -> u64 {
        if self.len.get() != 0 {
            self.hash();
        }
        self.digest.get()
    }

    /// Digest, checkpoints and log of the finished execution.
    pub fn finish(&self) -> (u64, Vec<u64>, Vec<Entry>) {
        (self.finish_digest(), self.checkpoints.take(), self.log.take())
    }
}
