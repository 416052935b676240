//! The real world, watched, as a [`Platform`].
//!
//! **Invariant: shared memory is that of `Std`**: the same atomics, cells, counters, locks and thread-locals, on threads of the
//! operating system. What is added is told to the run, and changes nothing but how long things take.

use super::books::{WatchedId, WatchedTicket};
use super::clock::Slot;
use super::run::{Run, here, try_here};
use super::sync::WatchedMutex;
use millpond_model::Platform;
use millpond_model::observe::{Defect, Event, Fault, Kind, Reach};
use millpond_model::platform::{
    JoinOps, Panicked, SpawnError, Std, StdAtomic, StdCell, StdCounter, StdJoin, StdLocal, ThreadId, ThreadOps, Word,
};
use std::alloc::Layout;
use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// Real threads that tell what they do. Only threads of a [run](super::execute) may wait, start others or ask for the time.
#[derive(Clone, Copy, Default, Debug)]
pub struct Watched;

/// A handle to a thread of a run.
#[derive(Clone)]
pub struct WatchedThread {
    run: Arc<Run>,
    slot: Arc<Slot>,
}

impl ThreadOps for WatchedThread {
    fn id(&self) -> ThreadId {
        ThreadId(self.slot.id)
    }

    fn unpark(&self) {
        self.run.clock.unpark(&self.slot);
    }
}

/// The right to join a thread of a run.
pub struct WatchedJoin {
    thread: WatchedThread,
    join: StdJoin,
}

impl JoinOps for WatchedJoin {
    type Thread = WatchedThread;

    fn thread(&self) -> &WatchedThread {
        &self.thread
    }

    #[track_caller]
    fn join(self) -> Result<(), Panicked> {
        let site = Location::caller();
        here(|me| {
            me.slot.count();
            me.run.clock.join(&me.slot, &self.thread.slot, site);
        });
        self.join.join()
    }
}

impl Platform for Watched {
    type Atomic<V: Word> = StdAtomic<V>;
    type Cell<T> = StdCell<T>;
    type Mutex<T: Send> = WatchedMutex<T>;
    type Counter = StdCounter;

    #[inline(always)]
    fn fence(order: Ordering) {
        Std::fence(order);
    }

    fn alloc(layout: Layout) -> Option<NonNull<u8>> {
        let size = layout.size() as u64;
        if size > 0 && !here(|me| me.takes_memory(size)) {
            return None;
        }
        let block = Std::alloc(layout);
        if block.is_none() {
            here(|me| me.gives_memory(size));
        }
        block
    }

    unsafe fn dealloc(ptr: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            try_here(|me| me.gives_memory(layout.size() as u64));
        }
        // SAFETY: the contract is that of this function, and `alloc` hands on what `Std` gave.
        unsafe { Std::dealloc(ptr, layout) };
    }

    type Thread = WatchedThread;
    type Join = WatchedJoin;
    type Local<T: 'static> = StdLocal<T>;

    fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> Result<WatchedJoin, SpawnError> {
        let run = here(|me| Arc::clone(&me.run));
        let (slot, join) = run.spawn(name, f)?;
        Ok(WatchedJoin { thread: WatchedThread { run, slot }, join })
    }

    fn current() -> WatchedThread {
        here(|me| WatchedThread { run: Arc::clone(&me.run), slot: Arc::clone(&me.slot) })
    }

    #[inline]
    fn current_id() -> ThreadId {
        here(|me| ThreadId(me.slot.id))
    }

    #[track_caller]
    fn park() {
        let site = Location::caller();
        here(|me| {
            me.slot.count();
            me.run.clock.park(&me.slot, None, site);
        });
    }

    #[track_caller]
    fn park_timeout(limit: Duration) {
        let site = Location::caller();
        here(|me| {
            me.slot.count();
            me.run.clock.park(&me.slot, Some(limit), site);
        });
    }

    #[track_caller]
    fn sleep(time: Duration) {
        let site = Location::caller();
        here(|me| {
            me.slot.count();
            me.run.clock.sleep(&me.slot, time, site);
        });
    }

    fn yield_now() {
        thread::yield_now();
    }

    #[inline(always)]
    fn spin_hint() {
        Std::spin_hint();
    }

    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
        let count = |by: fn(u32) -> u32| try_here(|me| me.catches.set(by(me.catches.get())));
        count(|n| n + 1);
        let result = catch_unwind(AssertUnwindSafe(f));
        count(|n| n - 1);
        result
    }

    fn unwinding() -> bool {
        thread::panicking()
    }

    fn now() -> Duration {
        here(|me| me.run.clock.now())
    }

    fn random() -> u64 {
        here(|me| me.random())
    }

    type Id = WatchedId;
    type Ticket = WatchedTicket;

    #[track_caller]
    fn identify(kind: Kind) -> WatchedId {
        let site = Location::caller();
        try_here(|me| me.run.books.identify(&me.at(site), kind)).unwrap_or(WatchedId::NOBODY)
    }

    #[track_caller]
    fn obtained(id: WatchedId) -> WatchedTicket {
        let site = Location::caller();
        let ticket = try_here(|me| me.judge(me.run.books.obtained(&me.at(site), id))).flatten();
        ticket.unwrap_or(WatchedTicket::NOBODY)
    }

    #[track_caller]
    fn note(ticket: WatchedTicket, event: Event) {
        let site = Location::caller();
        try_here(|me| me.judge(me.run.books.note(&me.at(site), ticket, event)));
    }

    #[track_caller]
    fn destroyed(id: WatchedId) {
        let site = Location::caller();
        try_here(|me| me.judge(me.run.books.destroyed(&me.at(site), id)));
    }

    fn boundary() {
        here(|me| me.slot.count());
    }

    fn reach(point: Reach) {
        try_here(|me| me.reach(point));
    }

    fn strikes(fault: Fault) -> bool {
        try_here(|me| me.fails(fault)).unwrap_or(false)
    }

    fn planted(defect: Defect) -> bool {
        try_here(|me| me.strikes(defect)).unwrap_or(false)
    }
}
