//! The reference count of a buffer.
//!
//! **Invariant: once a release has taken the count to zero, every later retain, release or access of that generation is
//! refused, whatever races with it**; so zero is reported exactly once. And memory is given back only when nobody is
//! inside it.
//!
//! ```text
//!    63         40 39       31 30            1 0
//!   ┌─────────────┬───────────┬───────────────┬─┐    even: alive, count = bits 1..=30
//!   │ generation  │   pins    │     count     │D│    odd:  dead for the rest of its generation
//!   └─────────────┴───────────┴───────────────┴─┘    pins: accesses going on; all ones: the sole owner is writing
//! ```
//!
//! The odd/even count is that of Netty 4.1.32 and later. The rest is ours. The shell of a buffer is reused, and a handle of
//! an earlier *generation* must not touch the count of the next one; that is why a retain is a compare-and-swap and
//! not an add: an add would be seen by the wrong generation before it could be undone (the mistake of Netty 4.1.17 to
//! 4.1.31). And a *pin* is not an owner: a release too many can't take it away.

use crate::platform::AtomicOps;
use crate::{Platform, Std};
use core::sync::atomic::Ordering;

/// The largest count, 2^30 - 1, as in Netty.
pub const MAX_COUNT: u32 = (1 << 30) - 1;

const PIN_SHIFT: u32 = 31;
const GENERATION_SHIFT: u32 = 40;
/// The value of the pins while the sole owner writes.
const WRITING: u32 = (1 << (GENERATION_SHIFT - PIN_SHIFT)) - 1;
const LAST_GENERATION: u32 = (1 << (64 - GENERATION_SHIFT)) - 1;

/// An operation on a reference count was refused: the object is dead, or would be, or the count would overflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("illegal reference count: {count}, change: {change}")]
pub struct IllegalCount {
    /// The count found; it is unchanged.
    pub count: u32,
    /// The change asked for: positive for a retain, negative for a release, 0 for an access.
    pub change: i64,
}

/// The word, unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    generation: u32,
    pins: u32,
    /// 0: dead.
    count: u32,
}

impl State {
    fn unpack(word: u64) -> Self {
        let raw = (word & ((1 << PIN_SHIFT) - 1)) as u32;
        Self {
            generation: (word >> GENERATION_SHIFT) as u32,
            pins: (word >> PIN_SHIFT) as u32 & WRITING,
            count: if raw & 1 == 0 { raw >> 1 } else { 0 },
        }
    }

    fn pack(self) -> u64 {
        let raw = if self.count == 0 { 1 } else { self.count << 1 };
        u64::from(self.generation) << GENERATION_SHIFT | u64::from(self.pins) << PIN_SHIFT | u64::from(raw)
    }

    /// Whether the memory is free to be given back.
    fn is_over(self) -> bool {
        self.count == 0 && self.pins == 0
    }
}

/// What a release did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// The count left; 0 is given exactly once in a generation.
    pub left: u32,
    /// Whether the caller has to deallocate: the count is zero and nobody is inside.
    pub deallocate: bool,
}

/// A count that starts at one in each generation. See the [module](self).
pub struct RefCount<P: Platform = Std>(P::Atomic<u64>);

impl<P: Platform> Default for RefCount<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> RefCount<P> {
    /// A dead count of generation 0: [`RefCount::revive`] starts its first life.
    pub fn new() -> Self {
        Self(P::Atomic::new(State { generation: 0, pins: 0, count: 0 }.pack()))
    }

    /// Starts the next generation with a count of one, and names it; `None` when all have been used, so that no
    /// generation ever comes twice. Only the one who owns the dead object calls this.
    ///
    /// # Panics
    /// When the count is alive or pinned.
    pub fn revive(&self) -> Option<u32> {
        // Relaxed: whoever owns the dead object got it from the one who deallocated, through the pool.
        let state = State::unpack(self.0.load(Ordering::Relaxed));
        assert!(state.is_over(), "a live object is revived: {state:?}");
        if state.generation == LAST_GENERATION {
            return None;
        }
        let generation = state.generation + 1;
        // Release: pairs with the acquire half of `change`: who uses the new life sees a complete object. Nobody else
        // writes a dead word, so that a plain store is enough.
        self.0.store(State { generation, pins: 0, count: 1 }.pack(), Ordering::Release);
        Some(generation)
    }

    /// Adds `n` and gives the new count.
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead, `n` is 0, or the count would exceed [`MAX_COUNT`].
    pub fn retain(&self, generation: u32, n: u32) -> Result<u32, IllegalCount> {
        let new = self.change(generation, i64::from(n), |s| {
            let count = s.count.checked_add(n).filter(|&sum| n != 0 && s.count != 0 && sum <= MAX_COUNT)?;
            Some(State { count, ..s })
        });
        new.map(|s| s.count)
    }

    /// Subtracts `n`.
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead, `n` is 0, or `n` exceeds the count.
    pub fn release(&self, generation: u32, n: u32) -> Result<Release, IllegalCount> {
        let new = self.change(generation, -i64::from(n), |s| {
            let count = s.count.checked_sub(n).filter(|_| n != 0)?;
            Some(State { count, ..s })
        });
        new.map(|s| Release { left: s.count, deallocate: s.is_over() })
    }

    /// The count, 0 when dead. Acquire, so that it may be used to decide ("am I the only owner?").
    pub fn count(&self, generation: u32) -> u32 {
        // Acquire: pairs with the release half of `change`.
        let state = State::unpack(self.0.load(Ordering::Acquire));
        if state.generation == generation { state.count } else { 0 }
    }

    /// Keeps the memory, and writers out of it, until [`RefCount::unpin`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead or being written, or pinned by 510 others.
    pub fn pin(&self, generation: u32) -> Result<(), IllegalCount> {
        let new = self.change(generation, 0, |s| {
            (s.count != 0 && s.pins < WRITING - 1).then_some(State { pins: s.pins + 1, ..s })
        });
        new.map(drop)
    }

    /// Keeps everyone out of the memory until [`RefCount::unpin`]; for the sole owner.
    ///
    /// # Errors
    /// [`IllegalCount`] when the count isn't one or somebody is inside.
    pub fn pin_to_write(&self, generation: u32) -> Result<(), IllegalCount> {
        let new = self.change(generation, 0, |s| (s.count == 1 && s.pins == 0).then_some(State { pins: WRITING, ..s }));
        new.map(drop)
    }

    /// Ends one pin of either kind. `true`: the object died meanwhile and the caller has to deallocate.
    ///
    /// # Panics
    /// When there is no pin.
    #[must_use]
    pub fn unpin(&self, generation: u32) -> bool {
        let new = self.change(generation, 0, |s| {
            let pins = if s.pins == WRITING { Some(0) } else { s.pins.checked_sub(1) };
            pins.map(|pins| State { pins, ..s })
        });
        new.expect("a pin keeps its generation").is_over()
    }

    fn change(
        &self,
        generation: u32,
        change: i64,
        next: impl Fn(State) -> Option<State>,
    ) -> Result<State, IllegalCount> {
        // Relaxed: the value is only a first guess for the exchange below.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let found = State::unpack(word);
            if found.generation != generation {
                return Err(IllegalCount { count: 0, change });
            }
            let new = next(found).ok_or(IllegalCount { count: found.count, change })?;
            // Release: what the caller did to the object happens before its deallocation, or before the next writer.
            // Acquire: the one who deallocates, or reads after a writer, sees it. Both pair with this operation elsewhere.
            match self.0.compare_exchange_weak(word, new.pack(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(new),
                Err(other) => word = other,
            }
        }
    }
}
