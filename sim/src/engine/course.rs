//! What begins at zero with each execution.
//!
//! **Invariant: nothing here has another value when an execution begins.** In one piece it is set by a few instructions.
//!
//! It is part of the [`Engine`], and is spoken of as such.

use super::core::Engine;
use std::cell::Cell;
use std::ops::Deref;
use std::time::Duration;

/// See the [module](self).
pub(super) struct Course {
    pub budget: Cell<u64>,
    pub thread_id: Cell<u32>,
    pub progressed: Cell<bool>,
    /// Whether the lock that is taken next is one that was waited for.
    pub taking: Cell<bool>,
    pub current: Cell<u32>,
    /// With `Granularity::Task`: the budget that `boundary` uses up, while `budget` counts operations.
    pub tasks: Cell<u64>,
    /// What the budget was when it was last set.
    pub budget_set: Cell<u64>,
    pub contended: Cell<bool>,
    pub steps: Cell<u64>,
    pub choices: Cell<u64>,
    pub spins: Cell<u64>,
    /// Next entry of a replay.
    pub replayed: Cell<usize>,
    pub demoted: Cell<i64>,
    /// The last choice before the running thread's turn.
    pub turn: Cell<u64>,
    pub preemptions: Cell<u64>,
    pub slots_used: Cell<u32>,
    pub leaked_stacks: Cell<u64>,
    pub stopping: Cell<bool>,
    /// Whether a simulated thread has panicked.
    pub panicked: Cell<bool>,
    pub now: Cell<Duration>,
    pub timer_sequence: Cell<u64>,
    pub next_object: Cell<u32>,
    /// Whether somebody has waited for a time, by reading the clock, since it moved.
    pub clock_watched: Cell<bool>,
    pub next_local: Cell<usize>,
    pub local_stamp: Cell<u64>,
}

impl Course {
    pub const fn new() -> Self {
        Self {
            budget: Cell::new(0),
            thread_id: Cell::new(0),
            progressed: Cell::new(false),
            taking: Cell::new(false),
            current: Cell::new(0),
            tasks: Cell::new(0),
            budget_set: Cell::new(0),
            contended: Cell::new(false),
            steps: Cell::new(0),
            choices: Cell::new(0),
            spins: Cell::new(0),
            replayed: Cell::new(0),
            demoted: Cell::new(0),
            turn: Cell::new(0),
            preemptions: Cell::new(0),
            slots_used: Cell::new(0),
            leaked_stacks: Cell::new(0),
            stopping: Cell::new(false),
            panicked: Cell::new(false),
            now: Cell::new(Duration::ZERO),
            timer_sequence: Cell::new(0),
            next_object: Cell::new(0),
            clock_watched: Cell::new(false),
            next_local: Cell::new(0),
            local_stamp: Cell::new(0),
        }
    }
}

impl Deref for Engine {
    type Target = Course;

    #[inline(always)]
    fn deref(&self) -> &Course {
        &self.course
    }
}
