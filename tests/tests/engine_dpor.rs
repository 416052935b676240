//! The reduction shows what plain enumeration shows: the same partial orders, and the same outcomes.

mod dpor_support;

use dpor_support::{All, Do, LOCKS, Program, WORDS, Way, all};
use millpond::engine::{Generator, Stream};

use Do::{
    Add, Await, Cas, Choose, Fail, Join, Load, Locked, Park, Sleep, Spawn, Store, Touch, TryLocked, Unpark, When, Yield,
};

/// A random program. `words`, `locks`: how many there are; `odd`: with what is rarer.
struct Random {
    draws: Generator,
    words: u32,
    locks: u32,
    odd: bool,
}

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.draws.below(n)
    }

    fn word(&mut self) -> usize {
        self.below(self.words) as usize
    }

    fn value(&mut self) -> u64 {
        u64::from(self.below(3))
    }

    fn op(&mut self, deep: bool) -> Do {
        match self.below(if deep { 9 } else { 14 }) {
            0..=2 => Load(self.word()),
            3 | 4 => Store(self.word(), self.value()),
            5 => Add(self.word(), 1),
            6 => Cas(self.word(), self.value(), self.value()),
            7 | 8 if !deep => When(self.value(), Box::new(self.op(true))),
            7 => Touch,
            8 => Store(self.word(), self.value()),
            9 | 10 if self.locks > 0 => {
                let (lock, n) = (self.below(self.locks) as usize, self.below(3));
                let list = (0..n).map(|_| self.op(true)).collect();
                if self.below(3) == 0 { TryLocked(lock, list) } else { Locked(lock, list) }
            }
            11 if self.locks == 2 => {
                let outer = self.below(2) as usize;
                Locked(outer, vec![Locked(1 - outer, vec![self.op(true)])])
            }
            12 if self.odd => Unpark(0),
            13 if self.odd => Fail(self.value() + 2),
            _ => Load(self.word()),
        }
    }

    fn program(seed: u64, index: u64) -> Program {
        let draws = Generator::new(seed, index, Stream::Workload);
        let mut random = Self { draws, words: 1, locks: 0, odd: false };
        random.words = 1 + random.below(WORDS as u32);
        random.locks = random.below(LOCKS as u32 + 1);
        random.odd = random.below(3) == 0;
        let children = 1 + random.below(3) as usize;
        let most = [5, 3, 2][children - 1];
        let mut program: Program = (0..=children)
            .map(|_| {
                let n = 1 + random.below(most);
                (0..n).map(|_| random.op(false)).collect()
            })
            .collect();
        // Each child is started somewhere by a thread with a lower number, and joined by it, or not.
        for child in 1..=children {
            let parent = random.below(child as u32) as usize;
            let place = random.below(program[parent].len() as u32 + 1) as usize;
            program[parent].insert(place, Spawn(child));
            if random.below(2) == 0 {
                program[parent].push(Join(child));
            }
        }
        if random.odd && random.below(2) == 0 {
            let place = random.below(program[0].len() as u32 + 1) as usize;
            program[0].insert(place, Park);
        }
        program
    }
}

/// What is counted over many programs.
#[derive(Default, Debug)]
struct Sum {
    programs: u64,
    schedules: u64,
    executions: u64,
    redundant: u64,
    classes: u64,
}

impl Sum {
    fn add(&mut self, plain: &All, reduced: &All) {
        self.programs += 1;
        self.schedules += plain.reached.schedules;
        self.executions += reduced.reached.schedules;
        self.redundant += reduced.reached.redundant;
        self.classes += reduced.classes.len() as u64;
    }
}

#[track_caller]
fn same(program: &Program, plain: &All, reduced: &All) {
    assert!(reduced.reached.complete, "{program:?}");
    let (missed, more): (Vec<_>, Vec<_>) = (
        plain.outcomes.difference(&reduced.outcomes).collect(),
        reduced.outcomes.difference(&plain.outcomes).collect(),
    );
    assert!(missed.is_empty() && more.is_empty(), "{program:?}: missed {missed:?}, invented {more:?}");
    assert_eq!(plain.classes.len(), reduced.classes.len(), "{program:?}");
    assert_eq!(plain.classes, reduced.classes, "{program:?}");
    let useful = reduced.reached.schedules - reduced.reached.redundant;
    assert!(useful >= reduced.classes.len() as u64, "{program:?}: {:?}", reduced.reached);
}

#[test]
fn random_programs_have_the_partial_orders_and_outcomes_of_plain_enumeration() {
    const LIMIT: u64 = 100_000;
    let mut sum = Sum::default();
    for index in 0..3000 {
        let program = Random::program(5, index);
        let plain = all(Way::Dfs, &program, LIMIT);
        if plain.reached.complete {
            let reduced = all(Way::Dpor, &program, LIMIT);
            same(&program, &plain, &reduced);
            sum.add(&plain, &reduced);
        }
    }
    println!("{sum:?}");
    assert!(sum.programs >= 300, "{sum:?}");
    assert!(sum.executions * 3 < sum.schedules, "{sum:?}");
}
