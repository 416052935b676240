//! A list of switches: replayed to the letter, or as far as it is possible.
//!
//! **Invariant: *Replay* ends with `Diverged` where the list can't be followed; *Deviate* never does.**

use super::super::core::{Engine, NEVER};
use super::super::options::{Strategy, Switch};
use super::super::outcome::Verdict;
use super::super::shift::Shift;
use super::super::thread::NONE;

impl Engine {
    /// Whether time waits for threads that spin: under *Dpor*, and in the repetition of an execution of it.
    pub(super) fn set_up_patience(&mut self) {
        let strategy = self.strategy.get_mut();
        self.patient.set(*strategy == Strategy::Dpor);
        if let Strategy::Replay(list) | Strategy::Deviate(list) = strategy
            && list.first() == Some(&Switch::PATIENT)
        {
            self.patient.set(true);
            *list = list[1..].into();
        }
        if let Strategy::Shifted(list) = strategy
            && list.first() == Some(&Shift::PATIENT)
        {
            self.patient.set(true);
            *list = list[1..].into();
        }
    }

    /// All threads spin, and time does not move: the list of switches says so, if that makes a difference.
    pub fn stay_patient(&self) {
        if self.timers.borrow().is_empty() && !self.clock_watched.get() {
            return;
        }
        let mut shifts = self.shifts.borrow_mut();
        if self.rich.get() && shifts.first() != Some(&Shift::PATIENT) {
            shifts.insert(0, Shift::PATIENT);
        }
        let mut switches = self.switches.borrow_mut();
        if self.keep_switches.get() && switches.first() != Some(&Switch::PATIENT) {
            switches.insert(0, Switch::PATIENT);
        }
        if self.reduces() {
            self.path.borrow_mut().deviates_patiently();
        }
    }

    pub(super) fn until_switch(&self, list: &[Switch]) -> u64 {
        list.get(self.replayed.get()).map_or(NEVER, |s| s.step.saturating_sub(self.steps.get() + 1))
    }

    /// *Replay* at a point: where the list says, or on.
    pub(super) fn follow(&self, list: &[Switch]) -> Option<u32> {
        let overdue = list.get(self.replayed.get()).is_some_and(|s| s.step < self.steps.get());
        let listed = list.get(self.replayed.get()).is_some_and(|s| s.step == self.steps.get());
        let next = self.move_time_as_recorded(list);
        let more = self.replayed.get() > 0 && list[self.replayed.get() - 1].to != Switch::TIME;
        // A recording has no switch to the thread that runs already.
        if overdue || (listed && more && next.is_none_or(|slot| slot == self.current.get())) {
            self.fail(Verdict::Diverged { step: self.steps.get() });
            return None;
        }
        Some(next.unwrap_or(self.current.get()))
    }

    /// *Deviate* at a point: where the list says, if that is possible.
    pub(super) fn deviate(&self, list: &[Switch]) -> Option<u32> {
        while list.get(self.replayed.get()).is_some_and(|s| s.step < self.steps.get()) {
            self.replayed.set(self.replayed.get() + 1);
        }
        self.move_time_as_recorded(list)
    }

    /// Consumes the entries of this step: moves time, and gives the slot of the thread to switch to if it can run.
    pub(super) fn move_time_as_recorded(&self, list: &[Switch]) -> Option<u32> {
        let step = self.steps.get();
        loop {
            let entry = list.get(self.replayed.get()).filter(|s| s.step <= step)?;
            self.replayed.set(self.replayed.get() + 1);
            if entry.step < step {
                continue;
            }
            if entry.to == Switch::TIME {
                self.time_by_choice();
                continue;
            }
            let slot = self.infos.borrow().get(entry.to as usize).map_or(NONE, |info| info.slot);
            // A thread that only a timer can wake becomes runnable if time has to move now.
            while self.runnable.is_empty() && self.fire_timers() {}
            return (slot != NONE && self.runnable.contains(slot)).then_some(slot);
        }
    }
}
