//! What an operation is about to do.
//!
//! **Invariant: two operations whose order can matter touch the same object, and one of them changes it.** So that
//! [`Access::conflicts`] is all that a strategy or a reduction needs to know.
//!
//! ```text
//!   point(access) ──> suspended: `Thread::pending` = access ──> chosen ──> the operation
//! ```

/// How an operation touches its object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// It reads.
    Load,
    /// It writes, whatever was there.
    Store,
    /// It reads and may write: a read-modify-write operation, a lock, a token.
    Rmw,
    /// It touches no object that another thread could.
    Other,
}

/// An object, and how it is touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Number of the object.
    pub object: u32,
    /// How.
    pub touch: Touch,
}

/// The objects from here on are threads: what is woken or awaited.
const THREADS: u32 = 1 << 31;

impl Access {
    /// Touches nothing.
    pub const NONE: Self = Self { object: u32::MAX, touch: Touch::Other };

    /// Reads `object`.
    #[inline(always)]
    pub const fn load(object: u32) -> Self {
        Self { object, touch: Touch::Load }
    }

    /// Writes `object`.
    #[inline(always)]
    pub const fn store(object: u32) -> Self {
        Self { object, touch: Touch::Store }
    }

    /// Reads and may write `object`.
    #[inline(always)]
    pub const fn rmw(object: u32) -> Self {
        Self { object, touch: Touch::Rmw }
    }

    /// Wakes or awaits thread `id`.
    #[inline(always)]
    pub const fn thread(id: u32) -> Self {
        Self::rmw(THREADS | id)
    }

    /// The thread that is woken or awaited.
    pub(super) fn thread_number(self) -> Option<u32> {
        (self.object != u32::MAX && self.object & THREADS != 0).then_some(self.object & !THREADS)
    }

    /// Whether the order of the two can matter.
    #[inline]
    pub fn conflicts(self, other: Self) -> bool {
        let quiet = |a: Self| matches!(a.touch, Touch::Load);
        self.object == other.object
            && self.touch != Touch::Other
            && other.touch != Touch::Other
            && !(quiet(self) && quiet(other))
    }
}
