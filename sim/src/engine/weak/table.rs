//! From an object's number to what is known about it.
//!
//! **Invariant: an entry counts only if it bears the stamp of the execution**, so that a new execution forgets everything by
//! taking a new stamp. What is known is kept in a second list and made anew in place: nothing is allocated once it is long enough.
//!
//! ```text
//!   number   0     1     2     3     4            items   0      1      2
//!          [7|1] [7|0] [3|2] [7|2] [0|0]  ──────────>  [ #1 ] [ #0 ] [ #3 ]      stamp 7: two is of an earlier execution
//! ```

/// A map from object numbers to `T`.
pub(super) struct Table<T> {
    entries: Vec<Entry>,
    items: Vec<T>,
    used: u32,
    free: Vec<u32>,
    stamp: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    stamp: u32,
    at: u32,
}

impl<T> Table<T> {
    pub const fn new() -> Self {
        Self { entries: Vec::new(), items: Vec::new(), used: 0, free: Vec::new(), stamp: 1 }
    }

    /// Forgets everything.
    pub fn begin(&mut self) {
        self.stamp = match self.stamp.checked_add(1) {
            Some(stamp) => stamp,
            None => {
                self.entries.clear();
                1
            }
        };
        self.used = 0;
        self.free.clear();
    }

    /// The place of the object's item, if it has one.
    #[inline(always)]
    pub fn find(&self, object: u32) -> Option<u32> {
        match self.entries.get(object as usize) {
            Some(entry) if entry.stamp == self.stamp => Some(entry.at),
            _ => None,
        }
    }

    /// Gives the object an item: `renew` makes it from an old one, `make` from nothing.
    #[cold]
    #[inline(never)]
    pub fn insert(&mut self, object: u32, make: impl FnOnce() -> T, renew: impl FnOnce(&mut T)) -> u32 {
        let at = self.free.pop().unwrap_or(self.used);
        if at == self.used {
            self.used += 1;
        }
        match self.items.get_mut(at as usize) {
            Some(item) => renew(item),
            None => self.items.push(make()),
        }
        let object = object as usize;
        if object >= self.entries.len() {
            self.entries.resize((object + 1).max(64), Entry { stamp: 0, at: 0 });
        }
        self.entries[object] = Entry { stamp: self.stamp, at };
        at
    }

    /// Takes the object's item away.
    pub fn remove(&mut self, object: u32) {
        if let Some(at) = self.find(object) {
            self.entries[object as usize].stamp = 0;
            self.free.push(at);
        }
    }

    #[inline(always)]
    pub fn at(&mut self, at: u32) -> &mut T {
        &mut self.items[at as usize]
    }

    /// The items in use, and some that are free.
    pub fn items(&mut self) -> &mut [T] {
        &mut self.items[..self.used as usize]
    }

    /// The same with each item made into another type.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Table<U> {
        let Self { entries, items, used, free, stamp } = self;
        Table { entries, items: items.into_iter().map(f).collect(), used, free, stamp }
    }
}
