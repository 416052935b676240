//! Vector clocks.
//!
//! **Invariant: an event of thread u with time i happens before what a clock stands for if and only if `clock[u] >= i`.**
//! That holds because every synchronising event has a time of its own, which it writes into what it publishes, and everything
//! after it in its thread has a greater one.
//!
//! ```text
//!             thread 0   1   2   3  ...            W lanes: 8, 16, 32 or 64
//!   clock   [     12     7   0   3  ... ]          join: the greater of each pair
//! ```
//!
//! (Mattern, *Virtual time and global states of distributed systems*, 1989.)

/// A thread's own count of events, from 1; 0 is before everything. Signed, because baseline x86-64 compares signed lanes only.
pub(super) type Time = i32;

/// Later than everything: the time of what has not happened.
pub(super) const NEVER: Time = Time::MAX;

/// How far one knows each thread.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Clock<const W: usize>(pub [Time; W]);

impl<const W: usize> Clock<W> {
    pub const ZERO: Self = Self([0; W]);

    /// Learns what `other` knows.
    #[inline(always)]
    pub fn join(&mut self, other: &Self) {
        for i in 0..W {
            self.0[i] = self.0[i].max(other.0[i]);
        }
    }

    /// Whether that event happens before.
    #[inline(always)]
    pub fn knows(&self, thread: usize, time: Time) -> bool {
        time <= self.0[thread]
    }

    /// Whether any of these events, one of each thread, happens before.
    #[inline(always)]
    pub fn knows_any(&self, times: &[Time; W]) -> bool {
        let mut any = false;
        for (known, time) in self.0.iter().zip(times) {
            any |= time <= known;
        }
        any
    }

    /// A thread of whose event one does not know.
    pub fn first_unknown(&self, times: &[Time; W]) -> Option<usize> {
        let mut any = false;
        for (known, time) in self.0.iter().zip(times) {
            any |= time > known;
        }
        if any { (0..W).find(|&u| times[u] > self.0[u]) } else { None }
    }

    /// The same with more lanes.
    pub fn widened<const V: usize>(&self) -> Clock<V> {
        Clock(widened(&self.0, 0))
    }
}

/// The same lanes and more of them, which hold `rest`.
pub(super) fn widened<T: Copy, const W: usize, const V: usize>(lanes: &[T; W], rest: T) -> [T; V] {
    std::array::from_fn(|i| if i < W { lanes[i] } else { rest })
}
