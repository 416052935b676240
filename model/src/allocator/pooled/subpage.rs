//! A page, or a run of pages, divided into elements of one size.
//!
//! **Invariant: a bit is set exactly while its element is in use.**

use alloc::vec::Vec;

pub(super) struct Subpage {
    /// Bytes an element; 0: one place that all share (a buffer without bytes, with a buddy tree).
    pub element: usize,
    /// Index of its list in the arena.
    pub list: usize,
    /// Pages of the run.
    pub pages: u32,
    elements: u32,
    free: u32,
    /// The element freed last, to be used first.
    next: Option<u32>,
    bits: Vec<u64>,
    /// Elements of 0 bytes in use.
    shared: u32,
}

/// What became of a subpage when an element was freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Freed {
    /// It was full and has room now.
    HasRoom,
    /// It is still in use.
    InUse,
    /// None of its elements is in use; it may have been full before.
    Empty {
        /// It was full: it has one element.
        was_full: bool,
    },
}

impl Subpage {
    pub fn new(element: usize, list: usize, pages: u32, page: usize) -> Self {
        let elements = (pages as usize * page).checked_div(element).unwrap_or(0) as u32;
        let bits = alloc::vec![0; elements.div_ceil(64) as usize];
        Self { element, list, pages, elements, free: elements, next: Some(0), bits, shared: 0 }
    }

    /// An element. It must have room.
    pub fn allocate(&mut self) -> u32 {
        if self.element == 0 {
            self.shared += 1;
            return 0;
        }
        assert!(self.free > 0, "a full subpage is in no list");
        let index = self.next.take().unwrap_or_else(|| {
            let (word, bits) =
                self.bits.iter().enumerate().find(|(_, bits)| **bits != u64::MAX).unwrap_or((0, &u64::MAX));
            word as u32 * 64 + bits.trailing_ones()
        });
        let bit = 1 << (index % 64);
        let word = &mut self.bits[index as usize / 64];
        assert!(index < self.elements && *word & bit == 0, "an element is given out once");
        *word |= bit;
        self.free -= 1;
        index
    }

    pub fn is_full(&self) -> bool {
        self.element != 0 && self.free == 0
    }

    /// `single_released`: a run of one element is given back when it is freed (4.1.59+).
    pub fn free(&mut self, index: u32, single_released: bool) -> Freed {
        if self.element == 0 {
            self.shared -= 1;
            return Freed::InUse; // it is never given back
        }
        let bit = 1 << (index % 64);
        let word = &mut self.bits[index as usize / 64];
        assert!(*word & bit != 0, "an element is freed once");
        *word ^= bit;
        self.next = Some(index);
        self.free += 1;
        let was_full = self.free == 1;
        if was_full && !(single_released && self.elements == 1) {
            Freed::HasRoom
        } else if self.free < self.elements {
            Freed::InUse
        } else {
            Freed::Empty { was_full }
        }
    }

    /// Elements in use.
    pub fn used(&self) -> u32 {
        self.shared + self.bits.iter().map(|bits| bits.count_ones()).sum::<u32>()
    }

    /// Elements it has room for, and of those the free ones.
    pub fn room(&self) -> (u32, u32) {
        (self.elements, self.free)
    }
}
