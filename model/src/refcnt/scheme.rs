//! The counts of Netty's releases.
//!
//! **Invariant: each algorithm reads and writes what Netty's does, in the same order**, so that its races are Netty's; what it
//! says is contained by [`Count`](super::Count), which alone decides about memory.
//!
//! | scheme | releases | retain | release | a dead count |
//! |---|---|---|---|---|
//! | [`Scheme::CasLoop`] | through 4.1.16, 4.0.52 | compare and swap | compare and swap | 0 |
//! | [`Scheme::Optimistic`] | 4.1.17 to 4.1.31, from 4.0.53 | add, undone if it was wrong | the same | 0, but for undone ones |
//! | [`Scheme::OddEven`] | from 4.1.32 | add 2, undone on overflow | plain read, compare and swap | odd |
//! | [`Scheme::OneWord`] | ours | one word for all: see [`RefCount`](super::RefCount) | | |

use super::IllegalCount;
use crate::Platform;
use crate::platform::AtomicOps;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use serde::{Deserialize, Serialize};

/// How a buffer's count is kept. See the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Scheme {
    /// Strict: nobody ever sees a wrong value.
    CasLoop,
    /// A failing retain of a dead object makes it look alive for a moment, and a racing release then deallocates it for the
    /// second time (Netty #8563).
    Optimistic,
    /// Once dead, dead for ever. Only releases that race with an overflowing retain may be refused wrongly.
    OddEven,
    /// Ours, and the default.
    #[default]
    OneWord,
}

impl Scheme {
    /// All of them, the oldest first.
    pub const ALL: [Self; 4] = [Self::CasLoop, Self::Optimistic, Self::OddEven, Self::OneWord];
}

/// The integer that a scheme of Netty's keeps; each function is one of Netty's.
pub(super) struct Raw<P: Platform>(P::Atomic<i32>);

/// What is left after a release that was allowed.
type Left = i32;

impl<P: Platform> Raw<P> {
    pub(super) fn new() -> Self {
        Self(P::Atomic::new(0))
    }

    /// A count of one. Legal only while nobody else refers to the object.
    pub(super) fn reset(&self, scheme: Scheme) {
        // Relaxed: Netty's, too, is a plain or an ordered store; `RefCount::revive` publishes it.
        self.0.store(if scheme == Scheme::OddEven { 2 } else { 1 }, Relaxed);
    }

    pub(super) fn count(&self, scheme: Scheme) -> i32 {
        let raw = self.0.load(Acquire); // Acquire: pairs with the Release half of every change
        if scheme == Scheme::OddEven { real(raw) } else { raw }
    }

    pub(super) fn retain(&self, scheme: Scheme, n: i32) -> Result<i32, IllegalCount> {
        let refused = |count| Err(IllegalCount { count, change: i64::from(n) });
        match scheme {
            Scheme::CasLoop => loop {
                let count = self.0.load(Acquire); // Acquire: as in `count`
                let next = count.wrapping_add(n);
                if next <= n {
                    return refused(count);
                }
                if self.swap(count, next) {
                    return Ok(next);
                }
            },
            Scheme::Optimistic => {
                let old = self.add(n);
                if old <= 0 || old.wrapping_add(n) < old {
                    self.add(n.wrapping_neg());
                    return refused(old);
                }
                Ok(old + n)
            }
            Scheme::OddEven => {
                let raw = n.wrapping_mul(2);
                let old = self.add(raw);
                if is_dead(old) {
                    return refused(0); // not undone: it stays odd
                }
                let sum = old.wrapping_add(raw);
                if old <= 0 && sum >= 0 || old >= 0 && sum < old {
                    self.add(raw.wrapping_neg());
                    return refused(real(old));
                }
                Ok(real(sum))
            }
            Scheme::OneWord => unreachable!("it has no raw count"),
        }
    }

    /// 0 left: deallocate.
    pub(super) fn release(&self, scheme: Scheme, n: i32) -> Result<Left, IllegalCount> {
        let refused = |count| Err(IllegalCount { count, change: -i64::from(n) });
        match scheme {
            Scheme::CasLoop => loop {
                let count = self.0.load(Acquire); // Acquire: as in `count`
                if count < n {
                    return refused(count);
                }
                if self.swap(count, count - n) {
                    return Ok(count - n);
                }
            },
            Scheme::Optimistic => {
                let old = self.add(n.wrapping_neg());
                if old == n {
                    return Ok(0);
                }
                if old < n || old.wrapping_sub(n) > old {
                    self.add(n);
                    return refused(old);
                }
                Ok(old - n)
            }
            Scheme::OddEven => {
                // Relaxed: a plain read, as in Netty; the exchange tells whether it was stale.
                let mut raw = self.0.load(Relaxed);
                loop {
                    if is_dead(raw) {
                        return refused(0);
                    }
                    let left = real(raw) - n;
                    if left < 0 {
                        // What the plain read says may be old: look again, as in `retryRelease0`.
                        let again = self.0.load(Acquire); // Acquire: as in `count`
                        if again == raw {
                            return refused(real(raw));
                        }
                        raw = again;
                        continue;
                    }
                    let next = if left == 0 { 1 } else { raw.wrapping_sub(n.wrapping_mul(2)) };
                    if self.swap(raw, next) {
                        return Ok(left);
                    }
                    P::yield_now();
                    raw = self.0.load(Acquire); // Acquire: as in `count`
                }
            }
            Scheme::OneWord => unreachable!("it has no raw count"),
        }
    }

    fn add(&self, n: i32) -> i32 {
        // AcqRel: as in `swap`.
        self.0.fetch_add(n, AcqRel)
    }

    fn swap(&self, old: i32, new: i32) -> bool {
        // Release: what the caller did to the object happens before its deallocation. Acquire: the one who deallocates sees it.
        self.0.compare_exchange(old, new, AcqRel, Relaxed).is_ok()
    }
}

fn is_dead(raw: i32) -> bool {
    raw & 1 != 0
}

/// The count that a raw even number stands for; half of it as an unsigned one.
fn real(raw: i32) -> i32 {
    if is_dead(raw) { 0 } else { (raw.cast_unsigned() >> 1).cast_signed() }
}
