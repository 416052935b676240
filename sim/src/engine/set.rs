//! A set of thread slots: a bit for each.
//!
//! **Invariant: `count` is the number of bits set, and no word at or above `used` has a bit.** Up to 64 threads it is one
//! word; nothing walks over sixteen of them before there are so many threads.

use std::cell::Cell;

/// Most threads that may be alive at once.
pub const MAX_THREADS: u32 = 1024;

const WORDS: usize = MAX_THREADS as usize / 64;

/// The `n`th bit of `word` that is set, from 0; 64 if there is none. The first four cost no branch: which one is random here.
#[inline(always)]
fn nth_bit(word: u64, n: u32) -> u32 {
    let without_last = |word: u64| word & word.wrapping_sub(1);
    let choose = |no: u64, yes: u64, bit: u32| no ^ (no ^ yes) & 0_u64.wrapping_sub(u64::from(bit & 1));
    let one = without_last(word);
    let two = without_last(one);
    let three = without_last(two);
    if n < 4 {
        return choose(choose(word, one, n), choose(two, three, n), n >> 1).trailing_zeros();
    }
    nth_bit_of_many(without_last(three), n - 4)
}

/// As [`nth_bit`].
#[inline(never)]
fn nth_bit_of_many(mut word: u64, n: u32) -> u32 {
    for _ in 0..n {
        word &= word.wrapping_sub(1);
    }
    word.trailing_zeros()
}

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

    #[inline]
    pub fn clear(&self) {
        if self.used.get() > 1 {
            self.words[1..self.used.get()].iter().for_each(|word| word.set(0));
        }
        self.words[0].set(0);
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
    #[inline]
    pub fn iter(&self) -> Slots<'_> {
        Slots { set: self, without: None, index: 0, word: self.words[0].get() }
    }

    /// The slots in ascending order that are not in `without`.
    #[inline]
    pub fn minus<'a>(&'a self, without: &'a Self) -> Slots<'a> {
        let word = self.words[0].get() & !without.words[0].get();
        Slots { set: self, without: Some(without), index: 0, word }
    }

    /// The `n`th slot (from 0) that is neither in `without` nor `except`.
    #[inline(always)]
    pub fn nth(&self, n: u32, without: &Self, except: u32) -> Option<u32> {
        if self.used.get() > 1 {
            return self.nth_of_many(n, without, except);
        }
        let mut word = self.words[0].get() & !without.words[0].get();
        if except < 64 {
            word &= !(1 << except);
        }
        Some(nth_bit(word, n)).filter(|bit| *bit < 64)
    }

    #[inline(never)]
    fn nth_of_many(&self, n: u32, without: &Self, except: u32) -> Option<u32> {
        self.minus(without).filter(|slot| *slot != except).nth(n as usize)
    }

    /// The next slot after `slot`, going round, that is not in `without`; `slot` itself comes last.
    pub fn after(&self, slot: u32, without: &Self) -> Option<u32> {
        self.minus(without).find(|s| *s > slot).or_else(|| self.minus(without).next())
    }
}

/// The slots of a set, in ascending order.
#[derive(Clone)]
pub(super) struct Slots<'a> {
    set: &'a Set,
    without: Option<&'a Set>,
    index: usize,
    /// What is left of the word at `index`.
    word: u64,
}

impl Slots<'_> {
    #[inline(never)]
    fn next_word(&mut self) -> bool {
        while self.word == 0 && self.index + 1 < self.set.used.get() {
            self.index += 1;
            let without = self.without.map_or(0, |set| set.words[self.index].get());
            self.word = self.set.words[self.index].get() & !without;
        }
        self.word != 0
    }
}

impl Iterator for Slots<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.word == 0 && (self.set.used.get() <= 1 || !self.next_word()) {
            return None;
        }
        let bit = self.word.trailing_zeros();
        self.word &= self.word - 1;
        Some(self.index as u32 * 64 + bit)
    }
}
