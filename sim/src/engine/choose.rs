//! Values that the engine has a choice of: which store a load reads, whether a weak operation fails.
//!
//! **Invariant: a chosen value is a decision like any other**: drawn by the random strategies, enumerated by `Dfs` and `Dpor`, and
//! repeated from the list of switches.
//!
//! ```text
//!   choose(3):   Random, Pct, ...  draw of 0..3      RunOn, RoundRobin   0
//!                Dfs, Dpor         0, then 1, then 2, each with all that follows
//!                Replay, Deviate   the value listed for this step, or 0
//! ```
//!
//! 0 is what would be without a choice, so that a list names exceptions only.

use super::core::Engine;
use super::options::{Strategy, Switch};
use super::outcome::Verdict;
use super::platform::engine;
use super::random::Stream;

/// Most values there may be to choose from.
pub const MAX_VALUES: u32 = 64;

/// One of the values 0 to `n` - 1: of each the strategy decides. 0 after the execution has been given up.
///
/// # Panics
/// Outside an execution, and if `n` is 0 or above [`MAX_VALUES`].
#[track_caller]
pub fn choose(n: u32) -> u32 {
    engine().choose(n)
}

impl Engine {
    /// See [`choose`].
    #[inline]
    #[track_caller]
    pub fn choose(&self, n: u32) -> u32 {
        assert!((1..=MAX_VALUES).contains(&n), "a choice is among 1 to {MAX_VALUES} values, not {n}");
        if n == 1 || self.stopping.get() { 0 } else { self.choose_one(n) }
    }

    fn choose_one(&self, n: u32) -> u32 {
        let value = match &*self.strategy.borrow() {
            Strategy::RunOn | Strategy::RoundRobin => Some(0),
            Strategy::Dfs { .. } => self.value_on_path(n),
            Strategy::Dpor => self.reduced_value(n),
            Strategy::Replay(_) => self.listed_value(true).filter(|value| *value < n),
            Strategy::Deviate(_) => self.listed_value(false).filter(|value| *value < n).or(Some(0)),
            _ => Some(self.draw(Stream::Schedule, |g| g.below(n))),
        };
        let step = self.step();
        let ordinal = self.ordinal(step);
        self.ordinals.set((step, ordinal + 1));
        let Some(value) = value else {
            self.fail_here(Verdict::Diverged { step });
            return 0;
        };
        if value != 0 {
            let switch = Switch::chosen(step, ordinal, value);
            if self.keep_switches.get() {
                self.switches.borrow_mut().push(switch);
            }
            if matches!(*self.strategy.borrow(), Strategy::Dfs { .. } | Strategy::Dpor) {
                self.path.borrow_mut().deviates(switch);
            }
        }
        value
    }

    /// All threads spin, and time does not move: the list of switches says so, if that makes a difference.
    pub fn stay_patient(&self) {
        if !self.reduces() || self.timers.borrow().is_empty() {
            return;
        }
        let mut switches = self.switches.borrow_mut();
        if self.keep_switches.get() && switches.first() != Some(&Switch::PATIENT) {
            switches.insert(0, Switch::PATIENT);
        }
        self.path.borrow_mut().deviates_patiently();
    }

    /// How many values were chosen in `step` before.
    fn ordinal(&self, step: u64) -> u32 {
        let (at, next) = self.ordinals.get();
        if at == step { next } else { 0 }
    }

    /// The value for this choice. `strict`: `None` if the list has one for a choice that did not come.
    fn listed_value(&self, strict: bool) -> Option<u32> {
        let step = self.step();
        let this = Switch::chosen(step, self.ordinal(step), 0);
        let values = self.values.borrow();
        let overdue =
            values[self.valued.get()..].iter().take_while(|v| (v.step, v.to & !0xFF) < (step, this.to)).count();
        let at = self.valued.get() + overdue;
        let value = values.get(at).filter(|v| (v.step, v.to & !0xFF) == (step, this.to)).and_then(|v| v.value());
        self.valued.set(at + usize::from(value.is_some()));
        if strict && overdue != 0 { None } else { Some(value.unwrap_or(0)) }
    }

    /// *Replay*, *Deviate*: takes the values out of the list of switches, and the sign that time waits for those that spin.
    pub fn split_values(&self) {
        let mut values = self.values.borrow_mut();
        values.clear();
        self.valued.set(0);
        self.ordinals.set((0, 0));
        let mut strategy = self.strategy.borrow_mut();
        self.patient.set(matches!(*strategy, Strategy::Dpor));
        if let Strategy::Replay(list) | Strategy::Deviate(list) = &mut *strategy
            && list.iter().any(|switch| switch.value().is_some() || *switch == Switch::PATIENT)
        {
            self.patient.set(list.first() == Some(&Switch::PATIENT));
            values.extend(list.iter().filter(|switch| switch.value().is_some()));
            let rest = list.iter().filter(|switch| switch.value().is_none() && **switch != Switch::PATIENT);
            *list = rest.copied().collect();
        }
    }
}
