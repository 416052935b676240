//! Partial order sampling (Yuan, Yang, Gu, *Partial order aware concurrency sampling*, CAV 2018).
//!
//! **Invariant: an event keeps its priority until it happens or another one that conflicts with it does**, and the highest runs.
//!
//! ```text
//!   pending:   A: store x  0.71      B: load x  0.35      C: store y  0.52
//!   A runs:    A: its next event draws                B: conflicts, draws anew       C: keeps 0.52
//! ```
//!
//! An event that conflicts with none would wait for a spinning thread for 1/p steps, and the mean of that is infinite. So all draw
//! anew when a thread yields, or has run for very long while others could.

use super::super::core::{Engine, NEVER};
use super::super::random::Generator;

impl Engine {
    /// Points that may be passed without asking: those of a thread that is alone.
    pub(super) fn until_company(&self) -> u64 {
        if self.runnable.len() > 1 || self.timed.get() { 0 } else { NEVER }
    }

    /// Takes the event with the highest priority.
    pub(super) fn pick_by_event(&self) -> Option<u32> {
        let mut best: Option<(i64, u32)> = None;
        for slot in self.runnable.minus(&self.yielded) {
            let priority = &self.threads[slot as usize].priority;
            if priority.get() == 0 {
                priority.set(1 + i64::from(self.roll(Generator::next_u32)));
            }
            if best.is_none_or(|(most, _)| priority.get() > most) {
                best = Some((priority.get(), slot));
            }
        }
        let (_, chosen) = best?;
        let event = self.threads[chosen as usize].pending.get();
        for slot in self.runnable.iter() {
            let thread = &self.threads[slot as usize];
            if slot == chosen || thread.pending.get().conflicts(event) {
                thread.priority.set(0);
            }
        }
        Some(chosen)
    }

    /// All pending events draw anew.
    pub(super) fn forget_priorities(&self) {
        for slot in self.runnable.iter() {
            self.threads[slot as usize].priority.set(0);
        }
    }
}
