//! The reference count of a buffer, and who else refers to it.
//!
//! **Invariant: once a release has taken the count to zero, every later retain, release or access of that life is refused,
//! whatever races with it**; so zero is reported exactly once. Memory is given back only when nobody is inside it, and the
//! object is reused only when nobody refers to it.
//!
//! ```text
//!    63      44 43      31 30            1 0
//!   ┌──────────┬──────────┬───────────────┬─┐    even: alive, count = bits 1..=30: the releases owed
//!   │ handles  │   pins   │     count     │D│    odd:  dead for the rest of this life
//!   └──────────┴──────────┴───────────────┴─┘    pins: accesses going on; all ones: one that excludes all others
//!
//!   revive ──> alive ──last release──> dead ──last unpin──> memory given back ──last handle──> reused: revive
//! ```
//!
//! The odd/even count is that of Netty 4.1.32 and later. The rest is ours. A *handle* is what the program holds: while there
//! is one the object stays in this life, so that a stale handle sees its own dead life and no later one. A *pin* is not an
//! owner: a release too many can't take it away. One word decides all three, so that the last of several things is known to
//! whoever did it; and who is alone needs no atomic read-modify-write at all.

mod count;
mod scheme;

pub use count::Count;
pub use scheme::Scheme;

use crate::platform::AtomicOps;
use crate::{Platform, Std};
use core::sync::atomic::Ordering;

/// The largest count, 2^30 - 1, as in Netty 4.2.
pub const MAX_COUNT: u32 = (1 << 30) - 1;
/// The most handles that one life may have at a time.
pub const MAX_HANDLES: u32 = (1 << (64 - HANDLE_SHIFT)) - 1;
/// The most accesses that may go on in one life at a time.
pub const MAX_PINS: u32 = EXCLUSIVE - 1;

const PIN_SHIFT: u32 = 31;
const HANDLE_SHIFT: u32 = 44;
/// The value of the pins while one access excludes all others.
const EXCLUSIVE: u32 = (1 << (HANDLE_SHIFT - PIN_SHIFT)) - 1;

/// An operation on a reference count was refused: the object is dead, or would be, or somebody is in the way, or a number
/// would overflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("illegal reference count: {count}, change: {change}")]
pub struct IllegalCount {
    /// The count found; it is unchanged. Negative only where [`Scheme::Optimistic`] lets others see it so.
    pub count: i32,
    /// The change asked for: positive for a retain, negative for a release, 0 for an access.
    pub change: i64,
}

/// The word, unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    handles: u32,
    pins: u32,
    /// 0: dead.
    count: u32,
}

impl State {
    #[inline]
    fn unpack(word: u64) -> Self {
        let raw = (word & ((1 << PIN_SHIFT) - 1)) as u32;
        Self {
            handles: (word >> HANDLE_SHIFT) as u32,
            pins: (word >> PIN_SHIFT) as u32 & EXCLUSIVE,
            count: if raw & 1 == 0 { raw >> 1 } else { 0 },
        }
    }

    #[inline]
    const fn pack(self) -> u64 {
        let raw = if self.count == 0 { 1 } else { self.count << 1 };
        (self.handles as u64) << HANDLE_SHIFT | (self.pins as u64) << PIN_SHIFT | raw as u64
    }

    /// Whether the memory is free to be given back.
    fn is_over(self) -> bool {
        self.count == 0 && self.pins == 0
    }
}

/// Nobody refers to it.
const IDLE: u64 = State { handles: 0, pins: 0, count: 0 }.pack();
/// One handle, one count.
const SOLE: u64 = State { handles: 1, pins: 0, count: 1 }.pack();

/// What a release did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// The count left; 0 is given exactly once in a life.
    pub left: u32,
    /// Whether the caller has to deallocate: the count is zero and nobody is inside.
    pub deallocate: bool,
    /// Whether the count was zero before: only [`Scheme::Optimistic`] says so.
    pub again: bool,
}

/// What a release that also gave its handle up did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// The release.
    pub release: Release,
    /// What became of the handle. `None`: it is still there, so that it protects the object while the caller deallocates, who
    /// then gives it up.
    pub leave: Option<Leave>,
}

/// What giving a handle up did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// Others refer to the object.
    Others,
    /// Nobody does. It is the caller's, who lets it be reused.
    Last,
    /// Nobody does, but this much was never released: a leak. The count is dead now, and the object the caller's.
    Leak(u32),
    /// Nobody does, but an access never ended: a guard was forgotten. Neither object nor memory can ever be given back. The
    /// count that it has.
    Stuck(u32),
}

/// A count that starts at one in each life. See the [module](self).
pub struct RefCount<P: Platform = Std>(P::Atomic<u64>);

impl<P: Platform> Default for RefCount<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> RefCount<P> {
    /// A dead count without handles: [`RefCount::revive`] starts its first life.
    pub fn new() -> Self {
        Self(P::Atomic::new(IDLE))
    }

    /// Starts the next life, with one handle and a count of one. Only the one who owns the dead object calls this.
    ///
    /// # Panics
    /// When somebody still refers to it.
    #[inline]
    pub fn revive(&self) {
        // Relaxed: whoever owns the dead object got it from the one who gave the last handle up, through the pool.
        let word = self.0.load(Ordering::Relaxed);
        assert!(word == IDLE, "an object is revived that somebody refers to: {:?}", State::unpack(word));
        // Release: pairs with the acquire half of `change`: who uses the new life sees a complete object. Nobody else
        // writes the word of an object without handles, so that a plain store is enough.
        self.0.store(SOLE, Ordering::Release);
    }

    /// The count, 0 when dead. Acquire, so that it may be used to decide ("am I the only owner?").
    #[inline]
    pub fn count(&self) -> u32 {
        // Acquire: pairs with the release half of `change`.
        State::unpack(self.0.load(Ordering::Acquire)).count
    }

    /// Whether there is one handle, a count of one and no access: then whoever has that handle for itself has the object for
    /// itself, and everything that others did with it has happened before.
    #[inline]
    pub fn is_sole(&self) -> bool {
        // Acquire: pairs with the release half of `change`, by which others left.
        self.0.load(Ordering::Acquire) == SOLE
    }

    /// Adds `n` and gives the new count.
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead, `n` is 0, or the count would exceed [`MAX_COUNT`].
    #[inline]
    pub fn retain(&self, n: u32) -> Result<u32, IllegalCount> {
        let (_, new) = self.change(i64::from(n), |s| {
            let count = s.count.checked_add(n).filter(|&sum| n != 0 && s.count != 0 && sum <= MAX_COUNT)?;
            Some(State { count, ..s })
        })?;
        Ok(new.count)
    }

    /// Adds a handle and `n`, which may be 0, to the count; gives the new count.
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead, or a number would exceed [`MAX_COUNT`] or [`MAX_HANDLES`].
    #[inline]
    pub fn join(&self, n: u32) -> Result<u32, IllegalCount> {
        let (_, new) = self.change(i64::from(n), |s| {
            let count = s.count.checked_add(n).filter(|&sum| s.count != 0 && sum <= MAX_COUNT)?;
            (s.handles < MAX_HANDLES).then_some(State { handles: s.handles + 1, count, ..s })
        })?;
        Ok(new.count)
    }

    /// Adds a handle, dead or alive, for somebody who has one.
    pub(super) fn join_any(&self) -> Result<(), IllegalCount> {
        let more = |s: State| (s.handles < MAX_HANDLES).then_some(State { handles: s.handles + 1, ..s });
        self.change(0, more).map(drop)
    }

    /// Subtracts `n`.
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead, `n` is 0, or `n` exceeds the count.
    #[inline]
    pub fn release(&self, n: u32) -> Result<Release, IllegalCount> {
        let (_, new) = self.change(-i64::from(n), |s| {
            let count = s.count.checked_sub(n).filter(|_| n != 0)?;
            Some(State { count, ..s })
        })?;
        Ok(Release { left: new.count, deallocate: new.is_over(), again: false })
    }

    /// Subtracts one from the count and gives the caller's handle up, in one step.
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead; the handle is still there then.
    #[inline]
    pub fn end(&self) -> Result<End, IllegalCount> {
        if self.is_sole() {
            // Relaxed: the caller has the only handle for itself, so that nobody else reads or writes the word until the pool
            // has handed the object on.
            self.0.store(IDLE, Ordering::Relaxed);
            return Ok(End { release: Release { left: 0, deallocate: true, again: false }, leave: Some(Leave::Last) });
        }
        let (old, new) = self.change(-1, |s| match s.count.checked_sub(1)? {
            0 => Some(State { count: 0, ..s }), // the handle keeps the object while the caller deallocates
            _ if s.handles == 1 && s.pins == 0 => Some(State { handles: 0, pins: 0, count: 0 }), // a leak
            count => Some(State { count, handles: s.handles - 1, ..s }),
        })?;
        let left = old.count - 1;
        let leave = match (left, new.handles) {
            (0, _) => None,
            (left, 0) if old.pins == 0 => Some(Leave::Leak(left)),
            (left, 0) => Some(Leave::Stuck(left)),
            _ => Some(Leave::Others),
        };
        Ok(End { release: Release { left, deallocate: left == 0 && new.is_over(), again: false }, leave })
    }

    /// As [`RefCount::end`] with a leave that is the last, if the caller is the sole one; says whether.
    #[inline(always)]
    pub fn end_alone(&self) -> bool {
        let sole = self.is_sole();
        if sole {
            self.0.store(IDLE, Ordering::Relaxed); // Relaxed: as in `end`
        }
        sole
    }

    /// Gives the caller's handle up.
    #[inline]
    pub fn leave(&self) -> Leave {
        // Acquire: pairs with the release half of `change`: what those did who left before happened before.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let found = State::unpack(word);
            if found.handles == 1 {
                let (pins, count) = if found.pins == 0 { (0, 0) } else { (found.pins, found.count) };
                // Relaxed: as in `end`.
                self.0.store(State { handles: 0, pins, count }.pack(), Ordering::Relaxed);
                return match found.count {
                    count if pins != 0 => Leave::Stuck(count),
                    0 => Leave::Last,
                    count => Leave::Leak(count),
                };
            }
            let new = State { handles: found.handles - 1, ..found };
            // Release: what this handle's holder did happens before the reuse. Acquire, when it fails: as above.
            match self.0.compare_exchange_weak(word, new.pack(), Ordering::Release, Ordering::Acquire) {
                Ok(_) => return Leave::Others,
                Err(other) => word = other,
            }
        }
    }

    /// Keeps the memory, and writers out of it, until [`RefCount::unpin`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead or being written, or pinned [`MAX_PINS`] times.
    #[inline]
    pub fn pin(&self) -> Result<(), IllegalCount> {
        let pinned = self.change(0, |s| (s.count != 0 && s.pins < MAX_PINS).then_some(State { pins: s.pins + 1, ..s }));
        pinned.map(drop)
    }

    /// Keeps everyone else out of the memory until [`RefCount::unpin`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead or somebody is inside.
    #[inline]
    pub fn pin_exclusively(&self) -> Result<(), IllegalCount> {
        let alone = |s: State| (s.count != 0 && s.pins == 0).then_some(State { pins: EXCLUSIVE, ..s });
        self.change(0, alone).map(drop)
    }

    /// As [`RefCount::pin_exclusively`], for the sole owner.
    ///
    /// # Errors
    /// [`IllegalCount`] when the count isn't one or somebody is inside.
    #[inline]
    pub fn pin_to_write(&self) -> Result<(), IllegalCount> {
        let alone = |s: State| (s.count == 1 && s.pins == 0).then_some(State { pins: EXCLUSIVE, ..s });
        self.change(0, alone).map(drop)
    }

    /// Ends one pin of either kind. `true`: the object died meanwhile and the caller has to deallocate.
    ///
    /// # Panics
    /// When there is no pin.
    #[must_use]
    #[inline]
    pub fn unpin(&self) -> bool {
        let unpinned = self.change(0, |s| {
            let pins = if s.pins == EXCLUSIVE { Some(0) } else { s.pins.checked_sub(1) };
            pins.map(|pins| State { pins, ..s })
        });
        unpinned.expect("who is inside holds a pin").1.is_over()
    }

    /// The states before and after.
    #[inline]
    fn change(&self, change: i64, next: impl Fn(State) -> Option<State>) -> Result<(State, State), IllegalCount> {
        // Relaxed: the value is only a first guess for the exchange below.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let found = State::unpack(word);
            let new = next(found).ok_or(IllegalCount { count: found.count as i32, change })?;
            // Release: what the caller did to the object happens before its deallocation, or before the next writer.
            // Acquire: the one who deallocates, or reads after a writer, sees it. Both pair with this operation elsewhere.
            match self.0.compare_exchange_weak(word, new.pack(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok((found, new)),
                Err(other) => word = other,
            }
        }
    }
}
