//! `std::sync::Barrier`, simulated.
//!
//! **Invariant: the one that makes a round full leads it**, and the others of the round leave after it came.
//!
//! ```text
//!   arrived: 1 ── 2 ── ... ── n = full: round += 1, arrived = 0, all wake
//! ```

use crate::engine::{Access, Gate, NONE, Op, Site, Tag, Wait, Whose};
use std::cell::Cell;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

/// What the execution knows of it.
struct Rounds {
    tag: Tag,
    waiters: Cell<u32>,
    arrived: Cell<usize>,
    round: Cell<u64>,
}

impl Rounds {
    const fn new(tag: Tag) -> Self {
        Self { tag, waiters: Cell::new(NONE), arrived: Cell::new(0), round: Cell::new(0) }
    }

    fn wait(&self, size: usize, gate: Gate<'_>, site: Site) -> bool {
        let object = self.tag.object();
        gate.point(Access::rmw(object), site);
        let round = self.round.get();
        self.arrived.set(self.arrived.get() + 1);
        gate.event(Op::Arrive, object, 0, site);
        gate.releases(object);
        let leads = self.arrived.get() >= size;
        if leads {
            self.arrived.set(0);
            self.round.set(round + 1);
            gate.wake_all(&self.waiters);
        }
        while self.round.get() == round {
            let missing = (size - self.arrived.get()) as u32;
            gate.wait_in(&self.waiters, Wait::Barrier { object, missing }, Access::rmw(object), site);
        }
        gate.event(Op::Leave, object, u32::from(leads), site);
        gate.acquires(object);
        leads
    }
}

/// See [`std::sync::Barrier`].
pub struct Barrier {
    rounds: Rounds,
    size: usize,
}

// SAFETY: what it knows is touched by the execution only that it belongs to, which is on one OS thread.
unsafe impl Send for Barrier {}
// SAFETY: as above.
unsafe impl Sync for Barrier {}
impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

impl Barrier {
    /// See [`std::sync::Barrier::new`].
    pub const fn new(n: usize) -> Self {
        Self { rounds: Rounds::new(Tag::unclaimed()), size: n }
    }

    /// See [`std::sync::Barrier::wait`].
    ///
    /// # Panics
    /// Outside of executions, if it would have to wait.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        let site = Location::caller();
        let (rounds, gate) = match self.rounds.tag.whose() {
            Whose::Mine(gate) => (&self.rounds, gate),
            Whose::Foreign(gate) => (gate.instance(&self.rounds.tag, || Rounds::new(Tag::here())), gate),
            Whose::Outside | Whose::Gone => {
                assert!(self.size <= 1, "outside of executions nobody else comes to a Barrier, at {site}");
                return BarrierWaitResult(true);
            }
        };
        BarrierWaitResult(rounds.wait(self.size, gate, site))
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// See [`std::sync::BarrierWaitResult`].
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// See [`std::sync::BarrierWaitResult::is_leader`].
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader()).finish()
    }
}
