//! Relations on events, as bit matrices.

/// A relation on at most `M` events, `M` = 64 x `N`: bit b of row a says that a is related to b.
#[derive(Clone, PartialEq, Eq)]
pub struct Relation<const N: usize, const M: usize> {
    events: usize,
    rows: [[u64; N]; M],
}

/// On the events of a litmus test.
pub type Small = Relation<1, 64>;

/// On those of a longer execution.
pub type Large = Relation<4, 256>;

impl<const N: usize, const M: usize> Relation<N, M> {
    /// Nothing is related.
    pub fn empty(events: usize) -> Self {
        assert!(M == 64 * N && events <= M, "{events} events, room for {M}");
        Self { events, rows: [[0; N]; M] }
    }

    /// The pairs of events for which `holds`.
    pub fn of(events: usize, holds: impl Fn(usize, usize) -> bool) -> Self {
        let mut relation = Self::empty(events);
        for a in 0..events {
            for b in 0..events {
                if holds(a, b) {
                    relation.add(a, b);
                }
            }
        }
        relation
    }

    /// Adds a pair.
    pub fn add(&mut self, a: usize, b: usize) {
        self.rows[a][b / 64] |= 1 << (b % 64);
    }

    /// Whether a is related to b.
    pub fn has(&self, a: usize, b: usize) -> bool {
        self.rows[a][b / 64] & 1 << (b % 64) != 0
    }

    fn join(&mut self, a: usize, row: [u64; N]) {
        for (to, from) in self.rows[a].iter_mut().zip(row) {
            *to |= from;
        }
    }

    /// Pairs of either.
    pub fn or(&self, other: &Self) -> Self {
        let mut relation = self.clone();
        for a in 0..self.events {
            relation.join(a, other.rows[a]);
        }
        relation
    }

    /// Pairs of this one for which `holds`.
    pub fn only(&self, holds: impl Fn(usize, usize) -> bool) -> Self {
        Self::of(self.events, |a, b| self.has(a, b) && holds(a, b))
    }

    /// One step of this, then one of the other.
    pub fn then(&self, other: &Self) -> Self {
        let mut relation = Self::empty(self.events);
        for a in 0..self.events {
            for (word, mut rest) in self.rows[a].into_iter().enumerate() {
                while rest != 0 {
                    relation.join(a, other.rows[64 * word + rest.trailing_zeros() as usize]);
                    rest &= rest - 1;
                }
            }
        }
        relation
    }

    /// One step or none.
    pub fn or_same(&self) -> Self {
        let mut relation = self.clone();
        for a in 0..self.events {
            relation.add(a, a);
        }
        relation
    }

    /// One step or more.
    pub fn closed(&self) -> Self {
        let mut relation = self.clone();
        for k in 0..self.events {
            for a in 0..self.events {
                if relation.has(a, k) {
                    relation.join(a, relation.rows[k]);
                }
            }
        }
        relation
    }

    /// The other way round.
    pub fn reversed(&self) -> Self {
        Self::of(self.events, |a, b| self.has(b, a))
    }

    /// Whether nothing is related to itself.
    pub fn is_irreflexive(&self) -> bool {
        (0..self.events).all(|a| !self.has(a, a))
    }

    /// Whether there is no cycle.
    pub fn is_acyclic(&self) -> bool {
        self.closed().is_irreflexive()
    }
}
