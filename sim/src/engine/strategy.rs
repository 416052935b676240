//! The strategies: how long the running thread may go on, and who comes after it.
//!
//! **Invariant: a strategy draws from the schedule stream only, and looks at nothing but sets, numbers, what is pending and time.** None
//! ever chooses a thread that yielded before another one has taken a step, if there is another one.
//!
//! ```text
//!   random   the uniform walk                     pct     random priorities, depth - 1 changes
//!   pos      priorities of events                 delays  a deterministic scheduler, delayed here and there
//!   urw      uniform over interleavings           surw    uniform over the orders of a drawn subset of events
//!   replay   what was recorded                    (Dfs is in `search`, Dpor in `dpor`)
//! ```
//!
//! A strategy that is asked at each step hands out a budget of 0.

mod delays;
mod pct;
mod pos;
mod random;
mod replay;
mod surw;
mod urw;

pub use self::delays::DelaySchedules;
pub(super) use self::delays::at_most_two;
pub(super) use self::pct::Ranks;
pub(super) use self::surw::Surw;
use super::core::{Engine, NEVER};
use super::options::{Granularity, Options, Strategy, Switch};
use super::outcome::Verdict;
use super::thread::NONE;

/// Steps in a row that a thread may always take while others could run, before it is taken to wait for one of them in a loop.
const PATIENCE: u64 = 1000;

impl Engine {
    /// What executions with these options have in common.
    pub fn set_up_strategy(&mut self, options: &Options) {
        self.patience.set(options.pct_steps.saturating_mul(2).saturating_add(PATIENCE));
        self.profiling.set(options.profile);
        // Nobody wants to know of a point but the strategy. With a rich record each thread's steps are counted.
        let unwatched = options.granularity == Granularity::Operation && !options.profile && !self.counting.get();
        self.walking.set(unwatched && matches!(options.strategy, Strategy::Random));
        self.prioritising.set(unwatched && matches!(options.strategy, Strategy::Pct { .. }));
        // A clone costs more than to see that there is no need of one.
        let strategy = self.strategy.get_mut();
        if *strategy != options.strategy {
            strategy.clone_from(&options.strategy);
        }
        self.set_up_patience();
    }

    /// Gets ready for an execution.
    #[inline(always)]
    pub fn begin_strategy(&mut self, options: &Options) {
        self.changes.get_mut().clear();
        self.change_at.set(NEVER);
        self.delays.get_mut().clear();
        if !matches!(options.strategy, Strategy::Random) {
            self.draw_strategy(options);
        }
    }

    #[inline(never)]
    fn draw_strategy(&self, options: &Options) {
        match &options.strategy {
            Strategy::Pct { depth } => self.draw_changes(*depth, options.pct_steps.max(1)),
            Strategy::Delays(list) => self.set_delays(list),
            Strategy::DelayBounded { delays } => self.draw_delays(*delays, options.pct_steps),
            Strategy::Surw(profile) => self.draw_subset(profile),
            Strategy::Dfs { .. } | Strategy::Dpor => self.path.borrow_mut().begin(),
            _ => {}
        }
    }

    pub fn time_by_choice(&self) {
        self.note_shift(Switch::TIME);
        self.switched(Switch::TIME);
        let _ = self.fire_timers() || (self.patient.get() && self.move_clock());
    }

    /// Threads in the race.
    fn eligible(&self) -> u32 {
        self.runnable.len() - self.yielded.len()
    }

    /// The choice at which a thread has run for too long in a row, if it goes on or begins now.
    fn patience_ends(&self, slot: u32) -> u64 {
        let from = if slot == self.current.get() { self.turn.get() } else { self.choices.get() };
        from.saturating_add(self.patience.get())
    }

    /// Whether the running thread has run for too long in a row. It starts to count again then.
    fn is_patience_over(&self) -> bool {
        let over = self.choices.get() >= self.patience_ends(self.current.get());
        if over {
            self.turn.set(self.choices.get());
        }
        over
    }

    /// The set of threads changed while the running one goes on.
    #[inline(always)]
    pub fn set_changed(&self) {
        if self.walking.get() {
            return self.set_budget(self.run_length(self.runnable.len()));
        }
        self.set_changed_of_others();
    }

    /// As [`Engine::set_changed`], for strategies but the walk.
    #[inline(never)]
    fn set_changed_of_others(&self) {
        if self.prioritising.get() {
            return self.set_budget(self.until_overtaken(self.current.get()));
        }
        self.new_budget(&self.strategy.borrow(), self.current.get());
    }

    /// A thread begins in `slot`.
    #[inline(always)]
    pub fn starts(&self, slot: u32, parent: Option<u32>) {
        if !self.walking.get() {
            self.starts_of_others(slot, parent);
        }
    }

    #[inline(never)]
    fn starts_of_others(&self, slot: u32, parent: Option<u32>) {
        let parent = parent.map(|_| self.current.get());
        match &*self.strategy.borrow() {
            Strategy::Pct { depth } => self.first_priority(*depth, &self.threads[slot as usize]),
            Strategy::Urw(profile) => self.takes_share(slot, parent, profile),
            Strategy::Surw(profile) => self.takes_interest(slot, parent, profile),
            Strategy::Dfs { .. } | Strategy::Dpor => self.starts_on_path(slot),
            _ => {}
        }
    }

    /// The running thread yields.
    pub fn yields(&self) {
        match *self.strategy.borrow() {
            Strategy::Pct { .. } => self.demote(),
            Strategy::Pos => self.forget_priorities(),
            Strategy::Dfs { .. } => self.yields_on_path(),
            _ => {}
        }
    }

    /// The budget of `slot`, which runs from here on.
    fn new_budget(&self, strategy: &Strategy, slot: u32) {
        let budget = match strategy {
            Strategy::Random => self.run_length(self.runnable.len()),
            Strategy::RoundRobin => self.until_round_robin(),
            Strategy::RunOn => NEVER,
            Strategy::Pct { .. } => self.until_overtaken(slot),
            Strategy::Pos => self.until_company(),
            Strategy::Urw(_) | Strategy::Surw(_) => 0,
            Strategy::Delays(_) | Strategy::DelayBounded { .. } => self.until_delay(slot),
            Strategy::Replay(list) | Strategy::Deviate(list) => self.until_switch(list),
            Strategy::Shifted(list) => self.until_shift(list, slot),
            Strategy::Dfs { .. } => self.until_decision(slot),
            Strategy::Dpor => self.reduced_budget(),
        };
        self.set_budget(budget);
    }

    fn until_round_robin(&self) -> u64 {
        if self.runnable.len() > 1 { 0 } else { NEVER }
    }

    /// The choice at a point that the running thread may pass. `natural`: the budget ran out by itself.
    #[inline]
    pub fn pick_at_point(&self, natural: bool) -> Option<u32> {
        let current = self.current.get();
        let strategy = self.strategy.borrow();
        let next = match &*strategy {
            Strategy::Random => self.walk_on(natural),
            Strategy::RoundRobin => {
                let next = self.runnable.after(current, &self.yielded);
                self.set_budget(self.until_round_robin());
                next
            }
            Strategy::RunOn => {
                self.set_budget(NEVER);
                Some(current)
            }
            Strategy::Pct { .. } => {
                self.maybe_time();
                self.pick_by_priority()
            }
            Strategy::Pos => {
                self.maybe_time();
                if self.is_patience_over() {
                    self.forget_priorities();
                }
                let next = self.pick_by_event();
                self.set_budget(self.until_company());
                next
            }
            Strategy::Urw(_) => {
                self.maybe_time();
                let next = self.pick_uniformly();
                self.set_budget(0);
                next
            }
            Strategy::Surw(profile) => {
                self.maybe_time();
                self.judge_pending(profile);
                let next = self.pick_selectively();
                self.set_budget(0);
                next
            }
            Strategy::Delays(_) | Strategy::DelayBounded { .. } => self.go_on_or_delay(),
            Strategy::Replay(list) => {
                let next = self.follow(list);
                self.set_budget(self.until_switch(list));
                next
            }
            Strategy::Deviate(list) => {
                let next = self.deviate(list).unwrap_or(current);
                self.set_budget(self.until_switch(list));
                Some(next)
            }
            Strategy::Shifted(list) => {
                let next = self.shifted(list).unwrap_or(current);
                self.set_budget(self.until_shift(list, next));
                Some(next)
            }
            Strategy::Dfs { .. } => {
                let (next, budget) = self.follow_path();
                self.set_budget(budget);
                next
            }
            Strategy::Dpor => self.reduced_point(),
        };
        self.profiled(next)
    }

    /// The choice when the running thread is out of the race: it yielded, blocked or ended. None: the execution is over.
    #[inline(always)]
    pub fn pick_other(&self, yielding: bool) -> Option<u32> {
        if !self.timed.get() && !self.runnable.is_empty() {
            if self.walking.get() {
                return self.walk_elsewhere();
            }
            if self.prioritising.get()
                && let Some(next) = self.climb()
            {
                return Some(next);
            }
        }
        self.pick_another(yielding)
    }

    #[inline(never)]
    fn pick_another(&self, yielding: bool) -> Option<u32> {
        let strategy = self.strategy.borrow();
        let chosen = match &*strategy {
            Strategy::Random | Strategy::Pct { .. } | Strategy::Pos | Strategy::Urw(_) => {
                self.maybe_time();
                None
            }
            Strategy::Surw(profile) => {
                self.maybe_time();
                self.judge_pending(profile);
                None
            }
            Strategy::Replay(list) | Strategy::Deviate(list) => self.move_time_as_recorded(list),
            Strategy::Shifted(list) => self.shifted(list),
            _ => None,
        };
        while self.runnable.is_empty() {
            if !self.fire_timers() {
                self.deadlock();
                return None;
            }
        }
        let current = self.current.get();
        let next = match &*strategy {
            Strategy::Random => {
                let n = self.eligible();
                let k = if n == 1 { 0 } else { self.below(u64::from(n)) as u32 };
                self.runnable.nth(k, &self.yielded, NONE)
            }
            Strategy::RoundRobin => self.runnable.after(current, &self.yielded),
            Strategy::RunOn => self.by_default(yielding),
            Strategy::Pct { .. } => self.top(),
            Strategy::Pos => self.pick_by_event(),
            Strategy::Urw(_) => self.pick_uniformly(),
            Strategy::Surw(_) => self.pick_selectively(),
            Strategy::Delays(_) | Strategy::DelayBounded { .. } => self.next_in_turn(),
            Strategy::Replay(_) => chosen.or_else(|| self.runnable.contains(current).then_some(current)),
            Strategy::Shifted(_) => chosen.or_else(|| self.by_default(yielding)),
            Strategy::Deviate(_) => chosen.or_else(|| self.by_default(yielding)),
            Strategy::Dfs { .. } => self.forced_by_path(self.by_default(yielding)),
            Strategy::Dpor => self.reduced_other(|| self.by_default(yielding), yielding),
        };
        if let Some(slot) = next.filter(|slot| self.rich.get() && self.by_default(yielding) != Some(*slot)) {
            self.note_shift(self.threads[slot as usize].id.get());
        }
        match next {
            Some(next) => self.new_budget(&strategy, next),
            None => self.fail(Verdict::Diverged { step: self.steps.get() }),
        }
        self.profiled(next)
    }

    /// Counts the event of a thread that was chosen, if there is to be a profile.
    #[inline]
    fn profiled(&self, next: Option<u32>) -> Option<u32> {
        if self.profiling.get()
            && let Some(slot) = next
        {
            let thread = &self.threads[slot as usize];
            self.profiler.borrow_mut().event(thread.id.get(), thread.pending.get());
        }
        next
    }

    /// *RunOn*: the lowest number; after a yield the next one, going round, so that two spinning threads starve no third.
    fn by_default(&self, yielding: bool) -> Option<u32> {
        let id = |slot: &u32| self.threads[*slot as usize].id.get();
        let race = || self.runnable.minus(&self.yielded);
        if yielding {
            let mine = self.thread_id.get();
            let later = race().filter(|slot| id(slot) > mine).min_by_key(id);
            return later.or_else(|| race().min_by_key(id));
        }
        race().min_by_key(id)
    }
}
