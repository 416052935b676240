//! Every schedule with at most so many preemptions: depth-first, by executing the program again and again.
//!
//! **Invariant: between two executions the path leads to the next schedule, and each schedule to the left of it has been
//! executed exactly once.** A program that does not take the path's decisions again is not deterministic: `Diverged`.
//!
//! ```text
//!   step   1 2 3 4   5      6 7 8 9    10
//!         [. . . .][yield] [. . . .] [exit]     a bracket is one entry of the path
//!                              ^ undone last to first: at step 9 each other thread, then at step 8, 7, 6; then the yield
//! ```
//!
//! This is context bounding (Musuvathi and Qadeer, *Iterative context bounding for systematic testing of multithreaded
//! programs*, PLDI 2007). By default the running thread goes on. At a scheduling point with another runnable thread a switch
//! is a preemption, of which a schedule has a bounded number. Where the running thread can't go on, because it blocks,
//! yields or ends, each runnable thread is an alternative and costs nothing. Time moves only when nothing can run: there
//! is no schedule in which a timer fires early.
//!
//! A spin loop would be enumerated for ever, so that yields are fair (Musuvathi and Qadeer, *Fair stateless model checking*,
//! PLDI 2008): a thread that yields is set aside until another has taken a step. If it yields again it is set aside until
//! each thread that could have run since the yield before, and did not, has taken one.
//!
//! What is chosen besides ([`Engine::choose`]) is a decision, too: it costs nothing, and each alternative is tried.
//!
//! Points that are passed cost nothing: the path holds one entry for a whole run of them, told from the numbers of the steps.

use super::core::{Engine, NEVER};
use super::dpor::Reduction;
use super::options::{Strategy, Switch};
use super::outcome::Verdict;
use super::thread::NONE;

/// Most threads that may be alive at once under [`Strategy::Dfs`](super::Strategy::Dfs): a bit of a word for each.
pub const DFS_THREADS: u32 = 64;

/// An entry of the path.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Decision {
    /// The first and the last of its steps: one step unless it is a run of points with the same runnable threads.
    first: u64,
    last: u64,
    /// Slots that may run at each of its steps; without the running thread's at a point.
    others: u64,
    /// Those of them not tried yet at `last`.
    untried: u64,
    /// The slot that runs from `last` on. `NONE`: the running thread goes on.
    /// Or the alternative.
    taken: u32,
    what: Choosing,
}

/// What a decision was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Choosing {
    /// Whether the running thread goes on.
    Points,
    /// Who goes on in its place.
    Forced,
    /// Which alternative. `others` is how many there are, `untried` how many are left.
    Value,
}

/// What a thread that yielded waits for: slots, each a bit.
#[derive(Clone, Copy, Default)]
struct Fairness {
    /// Could run at its last yield, and has not since.
    passed_over: u64,
    /// Must take a step before this thread is an alternative again.
    first: u64,
}

/// Where the enumeration is.
pub(super) struct Path {
    /// Under `Strategy::Dpor`: all of it.
    reduction: Option<Box<Reduction>>,
    preemptions: u32,
    decisions: Vec<Decision>,
    // The running execution:
    /// Entries of the path that lead to its schedule; it adds the rest.
    given: usize,
    /// Entries that lie behind it.
    at: usize,
    used: u32,
    /// The run of points that is being passed: the first one's step, and the other threads.
    open: Option<(u64, u64)>,
    /// Decisions that `RunOn` would have taken otherwise.
    deviations: Vec<Switch>,
    /// By slot; empty as long as nobody has yielded.
    fairness: Vec<Fairness>,
}

impl Path {
    pub fn new(preemptions: u32) -> Self {
        Self {
            reduction: None,
            preemptions,
            decisions: Vec::new(),
            given: 0,
            at: 0,
            used: 0,
            open: None,
            deviations: Vec::new(),
            fairness: Vec::new(),
        }
    }

    /// What `strategy` begins with.
    pub fn of(strategy: &Strategy) -> Self {
        match strategy {
            Strategy::Dfs { preemptions } => Self::new(*preemptions),
            Strategy::Dpor => Self::reduced(true),
            _ => Self::new(0),
        }
    }

    /// Under `Strategy::Dpor`. If it does not reduce, each order of steps is another execution.
    pub fn reduced(reduces: bool) -> Self {
        Self { reduction: Some(Box::new(Reduction::new(reduces))), ..Self::new(0) }
    }

    pub fn reduction(&self) -> &Reduction {
        self.reduction.as_ref().unwrap_or_else(|| unreachable!("the strategy is another"))
    }

    pub fn reduction_mut(&mut self) -> &mut Reduction {
        self.reduction.as_mut().unwrap_or_else(|| unreachable!("the strategy is another"))
    }

    /// Gets ready to follow the path, for the first time or again.
    pub fn begin(&mut self) {
        if let Some(reduction) = &mut self.reduction {
            reduction.begin();
        }
        self.decisions.truncate(self.given);
        self.at = 0;
        self.used = 0;
        self.open = None;
        self.deviations.clear();
        self.fairness.clear();
    }

    /// Goes to the next schedule: the last decision that has an alternative is taken otherwise. False if none has.
    pub fn advance(&mut self) -> bool {
        if let Some(reduction) = &mut self.reduction {
            return reduction.advance();
        }
        while let Some(decision) = self.decisions.last_mut() {
            if decision.what == Choosing::Value && decision.untried != 0 {
                decision.taken += 1;
                decision.untried -= 1;
                self.given = self.decisions.len();
                return true;
            }
            if decision.untried != 0 {
                decision.taken = decision.untried.trailing_zeros();
                decision.untried &= decision.untried - 1;
                self.given = self.decisions.len();
                return true;
            }
            if decision.last > decision.first {
                decision.last -= 1;
                decision.untried = decision.others;
            } else {
                self.decisions.pop();
            }
        }
        self.given = 0;
        false
    }

    /// Whether the path's entries are all behind the execution.
    fn is_new(&self) -> bool {
        self.at == self.given
    }

    /// The entry that the execution comes to next. It passes through the runs of points that are not left in between.
    fn next(&mut self) -> Option<&Decision> {
        let ahead = &self.decisions[self.at..self.given];
        self.at += ahead.iter().take_while(|d| d.taken == NONE).count();
        self.decisions[self.at..self.given].first()
    }

    /// Points that may be passed before the next decision, at `step`.
    fn until_decision(&mut self, step: u64) -> u64 {
        self.next().filter(|d| d.what == Choosing::Points).map_or(NEVER, |d| d.last.saturating_sub(step + 1))
    }

    /// A run of points begins at `first`. At each of them `others` could run, too.
    fn open(&mut self, first: u64, others: impl FnOnce(&Self) -> u64) {
        if self.is_new() && self.used < self.preemptions {
            self.open = Some((first, others(self))).filter(|(_, others)| *others != 0);
        }
    }

    /// The run of points ended with the step `last`.
    fn close(&mut self, last: u64) {
        if let Some((first, others)) = self.open.take().filter(|(first, _)| *first <= last) {
            self.decisions.push(Decision { first, last, others, untried: others, taken: NONE, what: Choosing::Points });
        }
    }

    /// The slot that takes over at the point `step`, if the path says so.
    fn preempted_at(&mut self, step: u64) -> Option<u32> {
        let slot = self.next().filter(|d| d.what == Choosing::Points && d.last == step)?.taken;
        self.at += 1;
        self.used += 1;
        Some(slot)
    }

    /// The slot that runs on from `step`, where the running thread can't and one of `others` has to. `None`: the path says
    /// something else.
    fn forced_at(&mut self, step: u64, others: u64, default: u32) -> Option<u32> {
        if others.is_power_of_two() {
            return Some(others.trailing_zeros());
        }
        if !self.is_new() {
            let decision = self.next()?;
            let same = decision.what == Choosing::Forced && decision.last == step && decision.others == others;
            let slot = same.then_some(decision.taken);
            self.at += 1;
            return slot;
        }
        let untried = others & !(1 << default);
        let decision = Decision { first: step, last: step, others, untried, taken: default, what: Choosing::Forced };
        self.decisions.push(decision);
        Some(default)
    }

    /// One of `n` alternatives, at `step`. `None`: the path says something else.
    fn value_at(&mut self, step: u64, n: u32) -> Option<u32> {
        let others = u64::from(n);
        if self.is_new() {
            let (untried, what) = (others - 1, Choosing::Value);
            self.decisions.push(Decision { first: step, last: step, others, untried, taken: 0, what });
            return Some(0);
        }
        let decision = self.next()?;
        let same = decision.what == Choosing::Value && decision.last == step && decision.others == others;
        let value = same.then_some(decision.taken);
        self.at += 1;
        value
    }

    /// The schedule is not `RunOn`'s here.
    pub fn deviates(&mut self, switch: Switch) {
        self.deviations.push(switch);
    }

    /// `slot` takes a step: nobody waits for it any more.
    fn runs(&mut self, slot: u32) {
        for thread in &mut self.fairness {
            thread.first &= !(1 << slot);
            thread.passed_over &= !(1 << slot);
        }
    }

    /// `slot` yields while `runnable` could run.
    fn yields(&mut self, slot: u32, runnable: u64) {
        let slots = self.fairness.len().max(slot as usize + 1);
        self.fairness.resize(slots, Fairness::default());
        let thread = &mut self.fairness[slot as usize];
        thread.first |= thread.passed_over;
        thread.passed_over = runnable & !(1 << slot);
    }

    /// A thread begins in `slot`.
    fn starts(&mut self, slot: u32) {
        if let Some(thread) = self.fairness.get_mut(slot as usize) {
            *thread = Fairness::default();
        }
    }

    /// Those of `slots` that need not let one of `runnable` go first.
    fn fair(&self, slots: u64, runnable: u64) -> u64 {
        let waits = |slot: &usize| self.fairness[*slot].first & runnable != 0;
        slots & !(0..self.fairness.len()).filter(waits).fold(0, |set, slot| set | 1 << slot)
    }

    /// Time waited, where with `RunOn` it would not.
    pub fn deviates_patiently(&mut self) {
        if self.deviations.first() != Some(&Switch::PATIENT) {
            self.deviations.insert(0, Switch::PATIENT);
        }
    }

    /// Where the schedule of the last execution differs from `RunOn`'s.
    pub fn deviations(&self) -> &[Switch] {
        &self.deviations
    }

    /// Whether the enumeration left something out.
    pub fn is_cut(&self) -> bool {
        self.reduction.as_ref().is_some_and(|reduction| reduction.cut)
    }

    /// Whether the last execution was of no use.
    pub fn is_redundant(&self) -> bool {
        self.reduction.as_ref().is_some_and(|reduction| reduction.is_redundant())
    }

    /// Executions that were of no use.
    pub fn redundant(&self) -> u64 {
        self.reduction.as_ref().map_or(0, |reduction| reduction.redundant)
    }

    /// Decisions of the last execution.
    pub fn decisions(&self) -> u64 {
        if let Some(reduction) = &self.reduction {
            return reduction.decisions();
        }
        self.decisions.iter().map(|d| d.last - d.first + 1).sum()
    }
}

impl Engine {
    /// The threads besides `slot` that may run at its next point.
    fn others(&self, path: &Path, slot: u32) -> u64 {
        let runnable = self.runnable.low();
        path.fair(runnable & !self.yielded.low() & !(1 << slot), runnable)
    }

    /// *Dfs*: the points that `slot` passes before the next decision, when the set of threads has changed.
    pub fn until_decision(&self, slot: u32) -> u64 {
        let mut path = self.path.borrow_mut();
        let step = self.steps.get();
        path.close(step);
        path.open(step + 1, |path| self.others(path, slot));
        path.until_decision(step)
    }

    /// *Dfs* at a point: who runs, and how many points it passes.
    pub fn follow_path(&self) -> (Option<u32>, u64) {
        let mut path = self.path.borrow_mut();
        let (step, current) = (self.steps.get(), self.current.get());
        path.close(step - 1);
        let Some(slot) = path.preempted_at(step) else {
            path.open(step, |path| self.others(path, current));
            return (Some(current), path.until_decision(step));
        };
        if self.others(&path, current) >> slot & 1 == 0 {
            drop(path);
            self.fail(Verdict::Diverged { step });
            return (None, 0);
        }
        path.runs(slot);
        path.deviations.push(Switch { step, to: self.threads[slot as usize].id.get() });
        path.open(step + 1, |path| self.others(path, slot));
        (Some(slot), path.until_decision(step))
    }

    /// *Dfs* where the running thread can't go on. `None`: the program is not deterministic.
    pub fn forced_by_path(&self, default: Option<u32>) -> Option<u32> {
        let mut path = self.path.borrow_mut();
        let (step, runnable) = (self.steps.get(), self.runnable.low());
        path.close(step - 1);
        let awake = runnable & !self.yielded.low();
        assert!(awake != 0, "somebody can run");
        // If each must let a thread go first that is set aside, then it is theirs to run.
        let others = Some(path.fair(awake, runnable)).filter(|fair| *fair != 0).unwrap_or(awake);
        let first = default.filter(|slot| others >> slot & 1 != 0).unwrap_or(others.trailing_zeros());
        let slot = path.forced_at(step, others, first)?;
        path.runs(slot);
        if default != Some(slot) {
            path.deviations.push(Switch { step, to: self.threads[slot as usize].id.get() });
        }
        Some(slot)
    }

    /// *Dfs*: the running thread yields.
    pub fn yields_on_path(&self) {
        self.path.borrow_mut().yields(self.current.get(), self.runnable.low());
    }

    /// *Dfs*, *Dpor*: a thread begins.
    pub fn starts_on_path(&self, slot: u32) {
        let mut path = self.path.borrow_mut();
        path.starts(slot);
        if let Some(reduction) = path.reduction.as_mut().filter(|_| self.reduces()) {
            reduction.starts(self.threads[slot as usize].id.get());
        }
    }

    /// *Dfs*: one of `n` alternatives. `None`: the program is not deterministic.
    pub fn value_on_path(&self, n: u32) -> Option<u32> {
        self.account();
        let mut path = self.path.borrow_mut();
        let step = self.steps.get();
        path.close(step);
        let value = path.value_at(step, n);
        drop(path);
        self.set_changed();
        value
    }

    /// *Dfs*, *Dpor*: the execution has ended.
    pub fn end_path(&self) {
        let mut path = self.path.borrow_mut();
        let step = self.steps.get();
        if let Some(reduction) = &mut path.reduction {
            let mut verdict = self.verdict.borrow_mut();
            let ended = matches!(*verdict, None | Some(Verdict::Finished | Verdict::Deadlock { .. }));
            let is_cut = matches!(*verdict, Some(Verdict::StepBudget { .. } | Verdict::Livelock { .. }));
            reduction.cut |= is_cut && !reduction.is_redundant();
            if !reduction.end(!ended || !self.runnable.is_empty()) {
                *verdict = Some(Verdict::Diverged { step });
            }
            return;
        }
        path.close(step);
        if path.next().is_some() {
            *self.verdict.borrow_mut() = Some(Verdict::Diverged { step });
        }
    }
}
