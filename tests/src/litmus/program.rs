//! A litmus program: what each thread does, as data.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Atomic locations are 0 and up, plain ones [`PLAIN`] and up. All begin as 0.
pub type Place = u8;

/// The first plain location.
pub const PLAIN: Place = 8;

/// One step of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// A load.
    Load(Place, Ordering),
    /// A store.
    Store(Place, u64, Ordering),
    /// A store of what the thread read last.
    StoreLast(Place, Ordering),
    /// A fetch-and-add.
    Add(Place, u64, Ordering),
    /// A swap.
    Swap(Place, u64, Ordering),
    /// A compare-and-exchange: expected, new, orderings of success and failure, whether it is a weak one.
    Cas(Place, u64, u64, Ordering, Ordering, bool),
    /// A fence.
    Fence(Ordering),
    /// A plain read.
    Read(Place),
    /// A plain write.
    Write(Place, u64),
    /// The thread goes on only if it read this last.
    Until(u64),
}

/// A program: threads that are started together and waited for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// The threads.
    pub threads: Vec<Vec<Op>>,
    /// Whether the final values of the atomic locations are part of the outcome.
    pub finals: bool,
}

/// What each thread read, in order (a compare-and-exchange also says whether it succeeded), and the final values if asked for.
pub type Outcome = Vec<Vec<u64>>;

/// What can come of a program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcomes {
    /// The outcomes of executions without a race.
    pub seen: BTreeSet<Outcome>,
    /// Whether some execution has a race.
    pub races: bool,
}

impl Program {
    /// Number of atomic locations.
    pub fn places(&self) -> usize {
        let places = self.threads.iter().flatten().filter_map(|op| op.place()).filter(|place| *place < PLAIN);
        places.max().map_or(0, |place| place as usize + 1)
    }
}

impl Op {
    /// The location that it is about.
    pub fn place(&self) -> Option<Place> {
        match *self {
            Self::Load(place, _)
            | Self::Store(place, ..)
            | Self::StoreLast(place, _)
            | Self::Add(place, ..)
            | Self::Swap(place, ..)
            | Self::Cas(place, ..)
            | Self::Read(place)
            | Self::Write(place, _) => Some(place),
            Self::Fence(_) | Self::Until(_) => None,
        }
    }
}
