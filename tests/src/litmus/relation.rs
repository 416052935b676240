//! Relations on at most 32 events, as bit matrices.

/// A relation: bit b of row a says that a is related to b.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    rows: [u32; 32],
}

impl Relation {
    /// Nothing is related.
    pub const EMPTY: Self = Self { rows: [0; 32] };

    /// The pairs of events below `n` for which `holds`.
    pub fn of(n: usize, holds: impl Fn(usize, usize) -> bool) -> Self {
        let mut relation = Self::EMPTY;
        for a in 0..n {
            for b in 0..n {
                if holds(a, b) {
                    relation.add(a, b);
                }
            }
        }
        relation
    }

    /// Adds a pair.
    pub fn add(&mut self, a: usize, b: usize) {
        self.rows[a] |= 1 << b;
    }

    /// Whether a is related to b.
    pub fn has(&self, a: usize, b: usize) -> bool {
        self.rows[a] & 1 << b != 0
    }

    /// Pairs of either.
    pub fn or(&self, other: &Self) -> Self {
        Self { rows: std::array::from_fn(|a| self.rows[a] | other.rows[a]) }
    }

    /// Pairs of this one for which `holds`.
    pub fn only(&self, holds: impl Fn(usize, usize) -> bool) -> Self {
        Self::of(32, |a, b| self.has(a, b) && holds(a, b))
    }

    /// One step of this, then one of the other.
    pub fn then(&self, other: &Self) -> Self {
        let mut relation = Self::EMPTY;
        for a in 0..32 {
            let mut rest = self.rows[a];
            while rest != 0 {
                relation.rows[a] |= other.rows[rest.trailing_zeros() as usize];
                rest &= rest - 1;
            }
        }
        relation
    }

    /// One step or none.
    pub fn or_same(&self) -> Self {
        Self { rows: std::array::from_fn(|a| self.rows[a] | 1 << a) }
    }

    /// One step or more.
    pub fn closed(&self) -> Self {
        let mut relation = *self;
        for k in 0..32 {
            for a in 0..32 {
                if relation.has(a, k) {
                    relation.rows[a] |= relation.rows[k];
                }
            }
        }
        relation
    }

    /// The other way round.
    pub fn reversed(&self) -> Self {
        Self::of(32, |a, b| self.has(b, a))
    }

    /// Whether nothing is related to itself.
    pub fn is_irreflexive(&self) -> bool {
        (0..32).all(|a| !self.has(a, a))
    }

    /// Whether there is no cycle.
    pub fn is_acyclic(&self) -> bool {
        self.closed().is_irreflexive()
    }
}
