//! A program under all its schedules.
//!
//! **Invariant: no schedule is executed twice, and `complete` is said only if none is left.** Which schedules there are, and in
//! which order they come, depends on the options and the program alone.
//!
//! ```text
//!   Search:        execute ──> advance? ──yes──> execute ──> advance? ── ... ──no──> complete
//!   exhaust:       ... until an execution fails
//!   exhaust_with:  ... until the caller breaks
//! ```

use super::choice::Choice;
use super::options::{Options, Strategy, Switch};
use super::outcome::{Execution, Verdict};
use super::search::Path;
use super::series::execute_path;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;

/// How far an enumeration of schedules came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exhaustion {
    /// Schedules executed.
    pub schedules: u64,
    /// Those of them that `Strategy::Dpor` found on the way to be of a partial order that was executed already. The others are of
    /// different ones.
    pub redundant: u64,
    /// Different partial orders of the others, if `Options::classes` is set.
    pub classes: u64,
    /// Whether there is no other one: within the bound of `Strategy::Dfs`, or no other partial order under `Strategy::Dpor`.
    pub complete: bool,
    /// Decisions of the execution that had most of them: times at which another thread could have been chosen.
    pub most_decisions: u64,
    /// Steps of the longest execution.
    pub most_steps: u64,
}

/// An execution that did not finish.
pub struct Failure {
    /// How many schedules were executed before it.
    pub index: u64,
    /// What came of it. `Strategy::Replay` repeats it with its switches, if they were kept.
    pub execution: Execution,
    /// Where its schedule is not that of `Strategy::RunOn`. `Strategy::Deviate` repeats it with these.
    pub deviations: Vec<Switch>,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schedule {}, deviations {:?}: {}", self.index, self.deviations, self.execution.verdict)
    }
}

/// An enumeration of schedules, one at a time.
///
/// Under `Strategy::Dpor` it is one of partial orders. It is not complete then if an execution was cut off by `Options::max_steps` or a
/// livelock, was refused memory or a thread, or was not deterministic.
///
/// ```
/// use millpond::engine::{Options, Search, Strategy};
///
/// let options = Options { strategy: Strategy::Dfs { preemptions: 1 }, ..Options::default() };
/// let mut search = Search::new(options);
/// loop {
///     let execution = search.execute(|| { /* the program */ });
///     assert_eq!(execution.verdict.name(), "Finished");
///     if !search.advance() {
///         break;
///     }
/// }
/// assert!(search.reached().complete);
/// ```
pub struct Search {
    options: Options,
    path: Path,
    reached: Exhaustion,
    classes: BTreeSet<u64>,
    choices: Vec<Choice>,
    executed: bool,
}

impl Search {
    /// Before the first schedule.
    ///
    /// # Panics
    /// If the strategy is neither `Strategy::Dfs` nor `Strategy::Dpor`.
    pub fn new(options: Options) -> Self {
        let known = options.strategy.enumerates();
        assert!(
            known,
            "an enumeration of schedules needs `Strategy::Dfs` or `Strategy::Dpor`, not {:?}",
            options.strategy
        );
        let path = Path::of(&options.strategy);
        let (reached, classes, choices) = Default::default();
        Self { options, path, reached, classes, choices, executed: false }
    }

    /// As [`Search::new`] with `Strategy::Dpor`, but with each order of the same steps: what the reduction is compared with.
    pub fn unreduced(options: Options) -> Self {
        let options = Options { strategy: Strategy::Dpor, ..options };
        Self { path: Path::reduced(false), ..Self::new(options) }
    }

    /// Executes `main` with the schedule whose turn it is, as [`execute`](super::execute()) does; the same one again until
    /// [`Search::advance`] goes to the next. `Verdict::Diverged` if `main` is not the program that was executed before, or is
    /// not deterministic.
    ///
    /// # Panics
    /// As `execute`.
    pub fn execute(&mut self, main: impl FnOnce()) -> Execution {
        let execution = execute_path(&self.options, &mut self.path, main);
        self.reached.schedules += u64::from(!self.executed);
        self.executed = true;
        self.choices.clone_from(&execution.choices_taken);
        self.choices.sort_unstable();
        if self.options.classes && !self.is_redundant() && self.classes.insert(execution.class) {
            self.reached.classes += 1;
        }
        self.reached.most_steps = self.reached.most_steps.max(execution.steps);
        self.reached.most_decisions = self.reached.most_decisions.max(self.path.decisions());
        execution
    }

    /// Goes to the next schedule; false if there is none.
    ///
    /// # Panics
    /// If the schedule whose turn it is was not executed.
    pub fn advance(&mut self) -> bool {
        assert!(std::mem::replace(&mut self.executed, false), "what comes next is known after an execution");
        let more = self.path.advance();
        self.reached.complete = !more && !self.path.is_cut();
        self.reached.redundant = self.path.redundant();
        more
    }

    /// How far it came.
    pub fn reached(&self) -> Exhaustion {
        self.reached
    }

    /// Whether the last execution turned out, on the way, to be of a partial order that was executed already. It went on to its end as
    /// it liked.
    pub fn is_redundant(&self) -> bool {
        self.path.is_redundant()
    }

    /// What the last execution chose besides: for `Options::choices`.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Where the schedule of the last execution is not that of `Strategy::RunOn`: for `Strategy::Deviate`.
    pub fn deviations(&self) -> &[Switch] {
        self.path.deviations()
    }
}

/// Executes `program` under every schedule that `options.strategy`, a [`Strategy::Dfs`] or [`Strategy::Dpor`], allows; at most `limit`
/// of them.
///
/// It starts anew for each: what it leaves behind outside of the execution must not change what it does.
///
/// # Errors
/// The first execution that does not finish.
///
/// # Panics
/// As [`execute`](super::execute()), and with another strategy.
pub fn exhaust(options: &Options, limit: u64, program: impl FnMut()) -> Result<Exhaustion, Box<Failure>> {
    let mut failure = None;
    let reached = exhaust_with(options, limit, program, |search, execution| {
        // What a redundant one found another one finds, too, unless it is how it went on.
        let passes = search.is_redundant() && !matches!(execution.verdict, Verdict::Diverged { .. });
        if passes || matches!(execution.verdict, Verdict::Finished) {
            return ControlFlow::Continue(());
        }
        let (index, deviations) = (search.reached().schedules - 1, search.deviations().to_vec());
        failure = Some(Box::new(Failure { index, execution, deviations }));
        ControlFlow::Break(())
    });
    failure.map_or(Ok(reached), Err)
}

/// As [`exhaust`], and goes on until `each` says otherwise, whatever the executions come to. After a `Verdict::Diverged` it does
/// not go on: there is no next schedule then.
///
/// # Panics
/// As [`exhaust`].
pub fn exhaust_with(
    options: &Options,
    limit: u64,
    mut program: impl FnMut(),
    mut each: impl FnMut(&Search, Execution) -> ControlFlow<()>,
) -> Exhaustion {
    let mut search = Search::new(options.clone());
    while search.reached().schedules < limit {
        let execution = search.execute(&mut program);
        let diverged = matches!(execution.verdict, Verdict::Diverged { .. });
        if each(&search, execution).is_break() || diverged || !search.advance() {
            break;
        }
    }
    search.reached()
}
