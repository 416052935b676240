//! A set of thread slots: a bit for each.
//!
//! **Invariant: `count` is the number of bits set, and no word at or above `used` has a bit.** Up to 64 threads it is one
//! word; nothing walks over sixteen of them before there are so many threads.

use std::cell::Cell;

/// Most threads that may be alive at once.
pub const MAX_THREADS: u32 = 1024;

const WORDS: usize = MAX_THREADS as usize / 64;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Set {
    words: [Cell<u64>; WORDS],
    count: Cell<u32>,
    used: Cell<usize>,
}

impl Set {
    pub fn len(&self) -> u32 {
        self.count.get()
    }

    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    pub fn clear(&self) {
        for word in &self.words[..self.used.get()] {
            word.set(0);
        }
        self.count.set(0);
        self.used.set(0);
    }

    #[inline]
    pub fn contains(&self, slot: u32) -> bool {
        self.words[slot as usize / 64].get() >> (slot % 64) & 1 != 0
    }

    /// Whether it was new.
    #[inline]
    pub fn insert(&self, slot: u32) -> bool {
        let index = slot as usize / 64;
        let (word, bit) = (&self.words[index], 1 << (slot % 64));
        let new = word.get() & bit == 0;
        word.set(word.get() | bit);
        self.count.set(self.count.get() + u32::from(new));
        self.used.set(self.used.get().max(index + 1));
        new
    }

    /// Whether it was there.
    #[inline]
    pub fn remove(&self, slot: u32) -> bool {
        let (word, bit) = (&self.words[slot as usize / 64], 1 << (slot % 64));
        let there = word.get() & bit != 0;
        word.set(word.get() & !bit);
        self.count.set(self.count.get() - u32::from(there));
        there
    }

    /// The slots 0 to 63, each a bit.
    pub fn low(&self) -> u64 {
        self.words[0].get()
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words_of(|_| 0)
    }

    /// The slots in ascending order that are not in `without`.
    pub fn minus<'a>(&'a self, without: &'a Self) -> impl Iterator<Item = u32> + 'a {
        self.words_of(|index| without.words[index].get())
    }

    fn words_of<'a>(&'a self, without: impl Fn(usize) -> u64 + 'a) -> impl Iterator<Item = u32> + 'a {
        (0..self.used.get()).flat_map(move |index| {
            let mut word = self.words[index].get() & !without(index);
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                (word != 0).then(|| {
                    word &= word - 1;
                    index as u32 * 64 + bit
                })
            })
        })
    }

    /// The `n`th slot (from 0) that is neither in `without` nor `except`.
    #[inline]
    pub fn nth(&self, mut n: u32, without: &Self, except: u32) -> Option<u32> {
        for index in 0..self.used.get() {
            let mut word = self.words[index].get() & !without.words[index].get();
            if except / 64 == index as u32 {
                word &= !(1 << (except % 64));
            }
            while word != 0 {
                if n == 0 {
                    return Some(index as u32 * 64 + word.trailing_zeros());
                }
                n -= 1;
                word &= word - 1;
            }
        }
        None
    }

    /// The next slot after `slot`, going round, that is not in `without`; `slot` itself comes last.
    pub fn after(&self, slot: u32, without: &Self) -> Option<u32> {
        self.minus(without).find(|s| *s > slot).or_else(|| self.minus(without).next())
    }
}
