//! The simulated world as a [`Platform`].
//!
//! **Invariant: every operation here is a scheduling point, or is invisible to other threads**, or is an observation, which
//! only the checker sees.

use super::access::Access;
use super::atomic::SimAtomic;
use super::core::{Engine, running};
use super::event::{Op, ordering_code};
use super::options::{Chances, When};
use super::outcome::{Verdict, Wait};
use super::random::{Generator, Stream};
use super::sync::{SimCell, SimCounter, SimLocal, SimMutex};
use super::weak::{HandOver, What};
use crate::ledger::Ticket;
use millpond_model::Platform;
use millpond_model::observe::{Defect, DropReason, Event, Fate, Fault, Kind, Reach};
use millpond_model::platform::{JoinOps, Panicked, SpawnError, ThreadId, ThreadOps, Word};
use std::alloc::Layout;
use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The platform of the simulator: everything goes through the engine that runs on the OS thread.
///
/// Outside an execution its objects can be made and dropped, and nothing else.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sim;

/// The running engine.
///
/// # Panics
/// Outside an execution.
#[inline]
#[track_caller]
pub(super) fn engine<'a>() -> &'a Engine {
    match running() {
        Some(engine) => engine,
        None => panic!("the simulated platform was used outside an execution"),
    }
}

/// A handle to a simulated thread.
#[derive(Clone)]
pub struct SimThread {
    id: u32,
    stamp: u32,
}

impl SimThread {
    #[track_caller]
    fn engine<'a>(&self) -> &'a Engine {
        let engine = engine();
        assert_eq!(engine.stamp.get(), self.stamp, "a thread of another execution");
        engine
    }
}

impl ThreadOps for SimThread {
    fn id(&self) -> ThreadId {
        ThreadId(self.id)
    }

    #[track_caller]
    fn unpark(&self) {
        self.engine().unpark(self.id, Location::caller());
    }
}

/// The right to join a simulated thread.
pub struct SimJoin {
    thread: SimThread,
}

impl JoinOps for SimJoin {
    type Thread = SimThread;

    fn thread(&self) -> &SimThread {
        &self.thread
    }

    /// Never an error: a panic that nobody catches ends the execution.
    #[track_caller]
    fn join(self) -> Result<(), Panicked> {
        self.thread.engine().join(self.thread.id, Location::caller());
        Ok(())
    }
}

/// Identity of a tracked object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SimId(pub u32);

impl SimId {
    /// What an object gets while an execution is being abandoned: nothing is checked any more.
    const NOBODY: Self = Self(u32::MAX);
}

/// One period of ownership of a tracked object.
#[derive(Clone, Copy, Debug)]
pub struct SimTicket(pub Ticket);

impl SimTicket {
    const NOBODY: Self = Self(Ticket { slot: u32::MAX, generation: 0 });
}

/// A fate as a number for the digest: 0 to 7.
fn fate_code(fate: Fate) -> u8 {
    match fate {
        Fate::StoredByOwner => 0,
        Fate::StoredByOther => 1,
        Fate::Dropped(DropReason::Ratio) => 2,
        Fate::Dropped(DropReason::PoolFull) => 3,
        Fate::Dropped(DropReason::NoSharedCapacity) => 4,
        Fate::Dropped(DropReason::DelayedLimit) => 5,
        Fate::Dropped(DropReason::OwnerDead) => 6,
        Fate::Dropped(DropReason::NotPoolable | DropReason::Unused) => 7, // the one is only recycled, the other transferred
    }
}

/// An event as a number for the digest.
fn event_code(event: Event) -> u8 {
    match event {
        Event::Recycled(fate) => 8 + fate_code(fate),
        Event::Transferred(fate) => 16 + fate_code(fate),
        Event::RecycleRefused => 24,
        Event::Retained(count) => 64 | (count as u8 & 31),
        Event::Released(count) => 96 | (count as u8 & 31),
        Event::Deallocated => 25,
        Event::IllegalCount => 26,
        Event::IllegalRelease => 31,
        Event::Touched(_) => 27,
        Event::Succeeded => 28,
        Event::Failed(_) => 29,
        Event::CompletedAgain => 30,
        Event::Leaked(_) => 32,
        Event::DeallocatedAgain => 33,
    }
}

impl Platform for Sim {
    type Atomic<V: Word> = SimAtomic<V>;
    type Cell<T> = SimCell<T>;
    type Mutex<T: Send> = SimMutex<T>;
    type Counter = SimCounter;

    #[track_caller]
    fn fence(order: Ordering) {
        assert!(order != Ordering::Relaxed, "there is no such thing as a relaxed fence");
        let site = Location::caller();
        let engine = engine();
        engine.point(Access::NONE, site);
        engine.modelled_fence(order);
        engine.event(Op::Fence, 0, 0, ordering_code(order), 0, site);
    }

    #[track_caller]
    fn alloc(layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return Some(NonNull::without_provenance(std::num::NonZero::new(layout.align())?));
        }
        let site = Location::caller();
        let engine = engine();
        engine.check_stack();
        let size = layout.size() as u64;
        if engine.blocks.bytes().saturating_add(size) > engine.memory_limit.get() || engine.allocation_fails() {
            engine.event(Op::AllocFailed, 0, 0, 0, size as u32, site);
            return None;
        }
        let block = engine.blocks.allocate(layout, engine.stamp.get());
        if block.is_none() {
            engine.fail_here(Verdict::Stopped(format!("the host has no memory for {size} bytes")));
        }
        if let Some(start) = block
            && engine.is_modelled()
        {
            engine.modelled_block(start, layout.size(), site);
        }
        engine.event(Op::Alloc, 0, 0, 0, size as u32, site);
        block
    }

    #[track_caller]
    unsafe fn dealloc(ptr: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        match running() {
            Some(engine) => {
                let site = Location::caller();
                if engine.is_modelled() {
                    engine.modelled_free(ptr, site);
                }
                engine.event(Op::Dealloc, 0, 0, 0, layout.size() as u32, site);
                // SAFETY: by the contract of this function the block came from `alloc` above with `layout`, and was not
                // freed with an abandoned execution: nothing of it may be used after that.
                unsafe { engine.blocks.free(ptr, layout, engine.stamp.get()) };
            }
            // SAFETY: as above.
            None => unsafe { super::blocks::Blocks::new().free(ptr, layout, 0) },
        }
    }

    fn inherits() {
        if let Some(engine) = running() {
            engine.modelled_inherits();
        }
    }

    #[track_caller]
    fn touches(start: NonNull<u8>, length: usize, writes: bool) {
        if let Some(engine) = running()
            && engine.is_modelled()
        {
            let what = if writes { What::Write } else { What::Read };
            engine.modelled_bytes(start, length, what, Location::caller());
        }
    }

    type Thread = SimThread;
    type Join = SimJoin;
    type Local<T: 'static> = SimLocal<T>;

    #[track_caller]
    fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> Result<SimJoin, SpawnError> {
        let engine = engine();
        let id = engine.spawn(name, f, Location::caller())?;
        Ok(SimJoin { thread: SimThread { id, stamp: engine.stamp.get() } })
    }

    #[track_caller]
    fn current() -> SimThread {
        let engine = engine();
        SimThread { id: engine.thread_id.get(), stamp: engine.stamp.get() }
    }

    #[inline]
    #[track_caller]
    fn current_id() -> ThreadId {
        ThreadId(engine().thread_id.get())
    }

    #[track_caller]
    fn park() {
        let site = Location::caller();
        let engine = engine();
        let access = Access::thread(engine.thread_id.get());
        engine.point(access, site);
        if !engine.here().token.get() && !engine.stopping.get() {
            engine.block(Wait::Park, access, site);
        }
        engine.here().token.set(false);
        engine.acquired(HandOver::Token(engine.thread_id.get()));
        engine.event(Op::Park, 0, 0, 0, 0, site);
    }

    #[track_caller]
    fn park_timeout(limit: Duration) {
        let site = Location::caller();
        let engine = engine();
        let access = Access::thread(engine.thread_id.get());
        engine.point(access, site);
        if !engine.here().token.get() && !engine.stopping.get() && !limit.is_zero() {
            let until = engine.now.get().saturating_add(limit);
            engine.set_timer(until);
            engine.block(Wait::ParkTimeout(until), access, site);
        }
        let unparked = engine.here().token.replace(false);
        if unparked {
            engine.acquired(HandOver::Token(engine.thread_id.get()));
        }
        engine.event(Op::Park, 0, u8::from(unparked), 0, 1, site);
    }

    #[track_caller]
    fn sleep(time: Duration) {
        let site = Location::caller();
        let engine = engine();
        engine.point(Access::NONE, site);
        engine.event(Op::Sleep, 0, 0, 0, time.as_nanos() as u32, site);
        if !engine.stopping.get() && !time.is_zero() {
            let until = engine.now.get().saturating_add(time);
            engine.set_timer(until);
            engine.block(Wait::Sleep(until), Access::NONE, site);
        }
    }

    #[track_caller]
    fn yield_now() {
        engine().yield_now(Op::Yield, Location::caller());
    }

    #[track_caller]
    fn spin_hint() {
        engine().yield_now(Op::Spin, Location::caller());
    }

    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
        match running() {
            Some(engine) => engine.catch(f),
            None => catch_unwind(AssertUnwindSafe(f)),
        }
    }

    fn unwinding() -> bool {
        running().map_or_else(std::thread::panicking, |engine| engine.stopping.get() || !engine.can_raise())
    }

    fn now() -> Duration {
        engine().now.get()
    }

    type Id = SimId;
    type Ticket = SimTicket;

    #[track_caller]
    fn identify(kind: Kind) -> SimId {
        let (engine, site) = (engine(), Location::caller());
        if engine.stopping.get() {
            return SimId::NOBODY;
        }
        let id = engine.judge(site, |ledger, at| Ok(ledger.identify(at, kind))).unwrap_or(u32::MAX);
        engine.event(Op::Identify, id, kind as u8, 0, 0, site);
        SimId(id)
    }

    #[track_caller]
    fn obtained(id: SimId) -> SimTicket {
        let (engine, site) = (engine(), Location::caller());
        if engine.stopping.get() || id == SimId::NOBODY {
            return SimTicket::NOBODY;
        }
        engine.event(Op::Obtained, id.0, 0, 0, 0, site);
        engine.judge(site, |ledger, at| ledger.obtained(at, id.0)).map_or(SimTicket::NOBODY, SimTicket)
    }

    #[track_caller]
    fn note(ticket: SimTicket, event: Event) {
        let (engine, site) = (engine(), Location::caller());
        if engine.stopping.get() || ticket.0.slot == u32::MAX {
            return;
        }
        engine.event(Op::Note, ticket.0.slot, event_code(event), 0, ticket.0.generation, site);
        engine.judge(site, |ledger, at| ledger.note(at, ticket.0, event));
    }

    #[track_caller]
    fn destroyed(id: SimId) {
        // An object that outlives its execution is not watched any more.
        let Some(engine) = running().filter(|e| !e.stopping.get() && id != SimId::NOBODY) else { return };
        let site = Location::caller();
        engine.event(Op::Destroyed, id.0, 0, 0, 0, site);
        engine.judge(site, |ledger, at| ledger.destroyed(at, id.0));
    }

    #[track_caller]
    fn boundary() {
        engine().boundary(Location::caller());
    }

    fn random() -> u64 {
        engine().draw(Stream::LeakSampling, Generator::next_u64)
    }

    #[track_caller]
    fn reach(point: Reach) {
        let engine = engine();
        if engine.stopping.get() {
            return;
        }
        let count = &engine.reached[point as usize];
        count.set(count.get() + 1);
        engine.observed.set(true);
        engine.event(Op::Reach, point as u32, 0, 0, 0, Location::caller());
    }

    #[track_caller]
    fn strikes(fault: Fault) -> bool {
        let engine = engine();
        !engine.stopping.get() && engine.fails(fault, Location::caller())
    }

    #[track_caller]
    fn planted(defect: Defect) -> bool {
        let engine = engine();
        !engine.stopping.get() && engine.strikes(defect, Location::caller())
    }
}

impl Engine {
    /// Makes the current or next park of thread `id` return.
    pub fn unpark(&self, id: u32, site: &'static Location<'static>) {
        self.point(Access::thread(id), site);
        self.released(HandOver::Token(id));
        self.event(Op::Unpark, id, 0, 0, 0, site);
        let slot = self.infos.borrow()[id as usize].slot;
        let Some(thread) = self.threads.get(slot as usize) else { return }; // it has ended
        thread.token.set(true);
        if matches!(thread.wait.get(), Some(Wait::Park | Wait::ParkTimeout(_))) && !self.stopping.get() {
            self.wake(slot);
        }
    }

    /// Whether one of the planted defects strikes now. Each counts its own occasions.
    fn strikes(&self, defect: Defect, site: &'static Location<'static>) -> bool {
        let mut struck = false;
        for (plant, chances) in self.plants.borrow_mut().iter_mut().filter(|p| p.0.defect == defect) {
            struck |= self.takes(plant.when, chances);
        }
        if struck {
            self.event(Op::Planted, defect as u32, 0, 0, 0, site);
        }
        struck
    }

    /// Whether one of the faults asked for happens now. Each counts its own occasions.
    fn fails(&self, fault: Fault, site: &'static Location<'static>) -> bool {
        let mut struck = false;
        for (_, when, chances) in self.faults.borrow_mut().iter_mut().filter(|f| f.0 == fault) {
            struck |= self.takes(*when, chances);
        }
        if struck {
            self.event(Op::Struck, fault as u32, 0, 0, 0, site);
        }
        struck
    }

    /// Whether what was asked for at `when` happens on this occasion.
    fn takes(&self, when: When, chances: &mut Chances) -> bool {
        if when != When::Always {
            self.reduced_occasion();
        }
        chances.strike(when, self.now.get(), |threshold| self.draw(Stream::Faults, |g| g.chance(threshold)))
    }

    /// Whether an allocation fails now.
    fn allocation_fails(&self) -> bool {
        let (when, mut chances) = self.alloc_fails.get();
        let fails = when.is_some_and(|when| !self.stopping.get() && self.takes(when, &mut chances));
        self.alloc_fails.set((when, chances));
        fails
    }
}
