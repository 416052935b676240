//! What is known of a specimen besides its code.

/// A program with one bug, and with none.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What it is.
    pub about: &'static About,
    /// One execution: of the repaired twin if the first argument says so, with so many unrelated operations before, and half as
    /// many in the middle of, each thread.
    pub run: fn(bool, usize),
}

/// What is known of a specimen.
#[derive(Debug)]
pub struct About {
    /// The name, which is its module's.
    pub name: &'static str,
    /// Where the bug happened.
    pub history: &'static str,
    /// How a tester learns of it.
    pub finding: Finding,
    /// The least that a tester has to model to see it.
    pub needs: Needs,
}

/// How a tester learns of a bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The program asserts what is not so.
    Assertion,
    /// Two accesses to a plain variable, or a use and a free, are not ordered; in some specimens an assertion may come first.
    Race,
    /// Every thread waits.
    Deadlock,
}

/// What a tester has to model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Needs {
    /// The orders in which threads take steps.
    Interleaving,
    /// Also what happens before what, by the orderings that are written.
    Races,
    /// Also loads that see older values, and weak exchanges that fail for no reason.
    Weak,
}

/// A program to time testers by.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Its name in the tables.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// One execution.
    pub run: fn(),
}

impl Load {
    /// The one with this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(all: &[Self], name: &str) -> Self {
        *all.iter().find(|load| load.name == name).expect("a load is called so")
    }
}
