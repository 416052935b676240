//! A count in any scheme.
//!
//! **Invariant: a scheme decides what retain and release say; the word decides when memory goes.** So a scheme that says "zero"
//! twice frees nothing twice.
//!
//! ```text
//!             Scheme::OneWord                       a scheme of Netty's
//!   word:  handles | pins | count | dead    handles | pins | 1 or dead     memory is given back when this is dead
//!   raw:   unused                           Netty's integer: what retain, release and refCnt say
//! ```

use super::scheme::Raw;
use super::{End, IllegalCount, Leave, RefCount, Release, Scheme};
use crate::{Platform, Std};

/// A reference count of a buffer. See the [module](self).
pub struct Count<P: Platform = Std> {
    word: RefCount<P>,
    raw: Raw<P>,
    scheme: Scheme,
}

/// As Java's `int`, which must be positive.
fn positive(n: u32) -> Option<i32> {
    i32::try_from(n).ok().filter(|&n| n > 0)
}

impl<P: Platform> Count<P> {
    /// A dead count without handles.
    pub fn new(scheme: Scheme) -> Self {
        Self { word: RefCount::new(), raw: Raw::new(), scheme }
    }

    #[inline]
    fn is_one_word(&self) -> bool {
        self.scheme == Scheme::OneWord
    }

    /// See [`RefCount::revive`].
    ///
    /// # Panics
    /// When somebody still refers to it.
    #[inline]
    pub fn revive(&self) {
        if !self.is_one_word() {
            self.raw.reset(self.scheme);
        }
        self.word.revive();
    }

    /// The count, 0 when dead. [`Scheme::Optimistic`] may show a dead one as alive while a retain is about to fail.
    #[inline]
    pub fn count(&self) -> u32 {
        if self.is_one_word() { self.word.count() } else { self.raw.count(self.scheme).max(0).cast_unsigned() }
    }

    /// See [`RefCount::is_sole`].
    #[inline]
    pub fn is_sole(&self) -> bool {
        self.word.is_sole() && (self.is_one_word() || self.raw.count(self.scheme) == 1)
    }

    /// See [`RefCount::retain`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead, `n` is 0, or the count would overflow: above 2^30 - 1, or above 2^31 - 1 in
    /// [`Scheme::CasLoop`] and [`Scheme::Optimistic`].
    #[inline]
    pub fn retain(&self, n: u32) -> Result<u32, IllegalCount> {
        if self.is_one_word() { self.word.retain(n) } else { self.retain_raw(n) }
    }

    fn retain_raw(&self, n: u32) -> Result<u32, IllegalCount> {
        match positive(n) {
            Some(n) => self.raw.retain(self.scheme, n).map(i32::cast_unsigned),
            None => Err(self.seen(i64::from(n))),
        }
    }

    /// See [`RefCount::join`].
    ///
    /// # Errors
    /// As [`Count::retain`], but 0 is legal; and when there are too many handles.
    #[inline]
    pub fn join(&self, n: u32) -> Result<u32, IllegalCount> {
        if self.is_one_word() {
            return self.word.join(n);
        }
        let count = match (n, self.count()) {
            (0, 0) => return Err(self.seen(0)),
            (0, count) => count,
            _ => self.retain_raw(n)?,
        };
        if self.word.join_any().is_err() {
            let refused = self.seen(i64::from(n));
            let _undone = positive(n).map(|n| self.raw.release(self.scheme, n));
            return Err(refused);
        }
        Ok(count)
    }

    /// See [`RefCount::release`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead, `n` is 0, or `n` exceeds the count.
    #[inline]
    pub fn release(&self, n: u32) -> Result<Release, IllegalCount> {
        if self.is_one_word() { self.word.release(n) } else { self.release_raw(n) }
    }

    fn release_raw(&self, n: u32) -> Result<Release, IllegalCount> {
        let Some(change) = positive(n) else { return Err(self.seen(-i64::from(n))) };
        match self.raw.release(self.scheme, change)? {
            0 => {
                let word = self.word.release(1);
                Ok(word.unwrap_or(Release { left: 0, deallocate: false, again: true }))
            }
            left => Ok(Release { left: left.cast_unsigned(), deallocate: false, again: false }),
        }
    }

    /// See [`RefCount::end`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead; the handle is still there then.
    #[inline]
    pub fn end(&self) -> Result<End, IllegalCount> {
        if self.is_one_word() {
            return self.word.end();
        }
        self.release_raw(1).map(|release| End { release, leave: None })
    }

    /// See [`RefCount::end_alone`]; never of a scheme of Netty's.
    #[inline(always)]
    pub fn end_alone(&self) -> bool {
        self.is_one_word() && self.word.end_alone()
    }

    /// See [`RefCount::leave`].
    #[inline]
    pub fn leave(&self) -> Leave {
        let count = if self.is_one_word() { None } else { Some(self.count()) };
        match (self.word.leave(), count) {
            (Leave::Leak(_), Some(count)) => Leave::Leak(count),
            (Leave::Stuck(1), Some(count)) => Leave::Stuck(count),
            (leave, _) => leave,
        }
    }

    /// See [`RefCount::pin`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead or being written, or pinned too often.
    #[inline]
    pub fn pin(&self) -> Result<(), IllegalCount> {
        self.word.pin().map_err(|refused| self.named(refused))
    }

    /// See [`RefCount::pin_exclusively`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the object is dead or somebody is inside.
    #[inline]
    pub fn pin_exclusively(&self) -> Result<(), IllegalCount> {
        self.word.pin_exclusively().map_err(|refused| self.named(refused))
    }

    /// See [`RefCount::pin_to_write`].
    ///
    /// # Errors
    /// [`IllegalCount`] when the count isn't one or somebody is inside.
    #[inline]
    pub fn pin_to_write(&self) -> Result<(), IllegalCount> {
        if !self.is_one_word() && self.count() != 1 {
            return Err(self.seen(0));
        }
        self.word.pin_to_write().map_err(|refused| self.named(refused))
    }

    /// See [`RefCount::unpin`].
    ///
    /// # Panics
    /// When there is no pin.
    #[must_use]
    #[inline]
    pub fn unpin(&self) -> bool {
        self.word.unpin()
    }

    /// A refusal that names what the scheme says.
    fn seen(&self, change: i64) -> IllegalCount {
        let count = if self.is_one_word() { self.word.count().cast_signed() } else { self.raw.count(self.scheme) };
        IllegalCount { count, change }
    }

    /// The word's refusal of an access, with the count of the scheme unless that is dead.
    fn named(&self, refused: IllegalCount) -> IllegalCount {
        if self.is_one_word() || refused.count == 0 { refused } else { self.seen(refused.change) }
    }
}
