//! A chunk: the unit in which an arena gets memory.
//!
//! **Invariant: the runs granted don't overlap, and together with the free bytes they are the chunk** (INV-P1, INV-P2).

use super::buddy::Buddy;
use super::config::{PageDesign, PooledConfig};
use super::runs::Runs;
use super::sizes::{SizeClass, Sizes};
use super::subpage::Subpage;
use alloc::collections::BTreeMap;
use core::ptr::NonNull;

enum Pages {
    Buddy(Buddy),
    Runs(Runs),
}

pub(super) struct Chunk {
    /// In order of creation in the backend.
    pub number: u32,
    pub start: NonNull<u8>,
    pub free: usize,
    /// The usage list it is in.
    pub list: usize,
    pages: Pages,
    /// Every run that is not free: first page -> pages.
    granted: BTreeMap<u32, u32>,
    /// Of those the ones that are divided: first page -> elements.
    pub subpages: BTreeMap<u32, Subpage>,
}

// SAFETY: the memory that `start` points to belongs to the chunk, which gives it out and never touches it.
unsafe impl Send for Chunk {}

/// A place in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub page: u32,
    pub pages: u32,
    pub element: Option<u32>,
}

impl Chunk {
    pub fn new(number: u32, start: NonNull<u8>, config: &PooledConfig, sizes: &Sizes) -> Self {
        let pages = match config.design {
            PageDesign::Buddy => Pages::Buddy(Buddy::new(config.order)),
            PageDesign::Runs => Pages::Runs(Runs::new(sizes)),
        };
        Self { number, start, free: sizes.chunk, list: 0, pages, granted: BTreeMap::new(), subpages: BTreeMap::new() }
    }

    /// How much of it is granted, in per cent: rounded up, but 100 only when it is full.
    pub fn usage(&self, size: usize) -> i64 {
        match (self.free, self.free * 100 / size) {
            (0, _) => 100,
            (_, 0) => 99,
            (_, free) => 100 - free as i64,
        }
    }

    /// A run for `class`; for elements it is divided, and the first one is taken.
    pub fn allocate(&mut self, sizes: &Sizes, class: SizeClass) -> Option<Place> {
        let want = sizes.pages(class);
        let (page, pages) = match &mut self.pages {
            Pages::Buddy(buddy) => (buddy.allocate(want)?, want),
            Pages::Runs(runs) => runs.allocate(sizes, want)?,
        };
        self.free -= pages as usize * sizes.page;
        self.grant(page, pages);
        let element = sizes.list(class).map(|list| {
            let mut subpage = Subpage::new(class.size, list, pages, sizes.page);
            let element = subpage.allocate();
            self.subpages.insert(page, subpage);
            element
        });
        Some(Place { page, pages, element })
    }

    fn grant(&mut self, page: u32, pages: u32) {
        let before = self.granted.range(..=page).next_back();
        let after = self.granted.range(page..).next();
        assert!(
            before.is_none_or(|(p, n)| p + n <= page) && after.is_none_or(|(p, _)| page + pages <= *p),
            "two runs overlap in a chunk"
        );
        self.granted.insert(page, pages);
    }

    /// Gives a run back, with the division of it if there is one.
    pub fn free_run(&mut self, sizes: &Sizes, page: u32) {
        let pages = self.granted.remove(&page).unwrap_or_else(|| panic!("a run is freed once"));
        self.subpages.remove(&page);
        match &mut self.pages {
            Pages::Buddy(buddy) => buddy.free(page, pages),
            Pages::Runs(runs) => runs.free(sizes, page, pages),
        }
        self.free += pages as usize * sizes.page;
    }

    /// Offset and usable bytes of a place.
    pub fn extent(&self, sizes: &Sizes, place: Place) -> (usize, usize) {
        let start = place.page as usize * sizes.page;
        match place.element {
            None => (start, place.pages as usize * sizes.page),
            Some(element) => {
                let size = self.subpages.get(&place.page).map_or(0, |subpage| subpage.element);
                (start + element as usize * size, size)
            }
        }
    }

    /// Bytes granted in all.
    pub fn granted(&self, sizes: &Sizes) -> usize {
        self.granted.values().map(|pages| *pages as usize * sizes.page).sum()
    }

    /// Bytes in runs and elements that are in use.
    pub fn in_use(&self, sizes: &Sizes) -> usize {
        let runs = self.granted.iter().filter(|(page, _)| !self.subpages.contains_key(page));
        let runs: usize = runs.map(|(_, pages)| *pages as usize * sizes.page).sum();
        runs + self.subpages.values().map(|s| s.used() as usize * s.element).sum::<usize>()
    }
}
