//! Which execution a number stands for.
//!
//! **Invariant: number, seed and what the pilots told decide**; no execution depends on what came of another one.
//!
//! ```text
//!   pilots: random walks, no delay, round robin ──> Known: most choices, most threads, a profile
//!   Plans:  number, Known ──> strategy, memory
//! ```

use super::Checker;
use super::coverage::Wanted;
use crate::engine::{
    Facts, MAX_MODELLED_THREADS, Member, MemoryModel, Options, PCT_DEPTHS, Profile, Record, Series, Strategy, Verdict,
    execute, memory_of, plan,
};
use std::sync::Arc;

/// What pilot executions tell of the program: the same for all numbers.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// For the strategies: the most that any of them had.
    pub most: Facts,
    /// The options of the first pilot that failed.
    pub failed: Option<Options>,
}

/// The number of the first pilot; the others have those before.
const PILOT: u64 = u64::MAX;

/// Executes `program` a few times. Strategies differ in how long threads live side by side, and each bound wants the most.
pub(super) fn known(checker: &Checker, program: &dyn Fn()) -> Known {
    let base = Options { record: Record::Bare, ..Facts::pilot(&checker.base()) };
    let strategies =
        [Strategy::Random, Strategy::Random, Strategy::Random, Strategy::Delays(Arc::default()), Strategy::RoundRobin];
    let mut known = Known { most: Facts { choices: 1, threads: 0, profile: Arc::default() }, failed: None };
    for (number, strategy) in strategies.into_iter().enumerate() {
        let options = Options { strategy, index: PILOT - number as u64, ..base.clone() };
        let execution = execute(&options, program);
        let facts = Facts::of(&execution);
        known.most.threads = known.most.threads.max(facts.threads);
        let longer = facts.choices >= known.most.choices;
        if matches!(options.strategy, Strategy::Random) && (number == 0 || longer) {
            known.most.profile = facts.profile;
        }
        known.most.choices = known.most.choices.max(facts.choices);
        if known.failed.is_none() && !matches!(execution.verdict, Verdict::Finished) {
            known.failed = Some(options);
        }
    }
    known
}

/// Who an execution counts for: the one strategy that was asked for, a member of the portfolio, or PCT of some depth. A number, as it is
/// handed on in each execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn(u8);

impl Turn {
    /// Number of turns.
    pub const COUNT: usize = Self::PCT as usize + (*PCT_DEPTHS.end() + 1) as usize;

    /// The one strategy that was asked for.
    const ASKED: Self = Self(0);

    /// The first member of the portfolio.
    const MEMBER: u8 = 1;

    /// PCT of depth 0.
    const PCT: u8 = Self::MEMBER + Member::ALL.len() as u8;

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Where it comes in [`Turn::all`].
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The executions of a check.
pub(super) struct Plans<'a> {
    asked: Option<&'a Strategy>,
    facts: Facts,
    /// Which take turns.
    memories: [MemoryModel; 2],
    /// Has the options of the one that comes, or of the one before, with changes.
    series: Series,
}

impl<'a> Plans<'a> {
    /// Those of `checker`. A worker has its own, so that workers share no counter.
    pub fn new(checker: &'a Checker, known: &Known) -> Self {
        let facts = Facts { profile: Arc::new(Profile::clone(&known.most.profile)), ..known.most };
        // Clocks have a bounded number of lanes: more threads interleave.
        let few = facts.threads <= MAX_MODELLED_THREADS;
        let memory = checker.memory.or((!few).then_some(MemoryModel::Interleaving));
        let memories = memory.map_or([MemoryModel::Interleaving, MemoryModel::Weak], |memory| [memory; 2]);
        let strategy = checker.strategy.clone().unwrap_or(Strategy::Random);
        let options = Options { pct_steps: facts.choices, strategy, memory: memories[0], ..checker.base() };
        Self { asked: checker.strategy.as_ref(), facts, memories, series: Series::new(options) }
    }

    /// Gets ready for execution `number`: who it counts for, and what is wanted of it.
    #[inline]
    pub fn of(&mut self, number: u64) -> (Turn, Wanted) {
        let turn = match self.asked {
            Some(_) => {
                if self.memories[0] != self.memories[1] {
                    self.series.options_mut().memory = memory_of(number, &self.facts, self.memories);
                }
                Turn::ASKED
            }
            None => self.take_turn(number),
        };
        let wanted = Wanted::of(number, self.facts.choices);
        let record = if wanted.has(Wanted::LOG) { Record::Rich } else { Record::Bare };
        // What all have in common is set up once: it takes as long as a short execution.
        self.series.set_classes(wanted.has(Wanted::CLASS));
        if self.series.options().record != record {
            self.series.options_mut().record = record;
        }
        (turn, wanted)
    }

    /// The turn of a member of the portfolio.
    #[inline(never)]
    fn take_turn(&mut self, number: u64) -> Turn {
        let planned = plan(number, &self.facts, self.memories);
        let options = self.series.options_mut();
        options.memory = planned.memory;
        options.strategy = planned.strategy;
        match options.strategy {
            Strategy::Pct { depth } => Turn(Turn::PCT + depth as u8),
            _ => Turn(Turn::MEMBER + planned.member as u8),
        }
    }

    /// Who executes them.
    pub fn series(&mut self) -> &mut Series {
        &mut self.series
    }

    /// The options of execution `number`, as a search has them, and the name of its strategy.
    pub fn told(&mut self, number: u64) -> (Options, String) {
        let (turn, _) = self.of(number);
        let options = Options { index: number, record: Record::Bare, classes: false, ..self.series.options().clone() };
        (options, self.name(turn))
    }

    /// The name of the strategy of all executions with this turn.
    pub fn name(&self, turn: Turn) -> String {
        match turn.0 {
            ..Turn::MEMBER => self.asked.map(Strategy::to_string).unwrap_or_default(),
            Turn::PCT.. => format!("pct:{}", turn.0 - Turn::PCT),
            _ => Member::ALL[usize::from(turn.0 - Turn::MEMBER)].to_string(),
        }
    }
}
