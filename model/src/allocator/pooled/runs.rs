//! Pages of a chunk as runs (4.1.52+).
//!
//! **Invariant: free runs don't touch each other, and each is in the queue of the largest class that it can serve.**
//!
//! ```text
//!   pages    [ used ][ free, 5 ........ ][ used ][ free, 1 ]
//!   edges             5       0 0 0     5         1            length of the free run at its first and last page
//!   queues   1: {first page of the second}   2: {}   ...   5: {first page of the first}
//! ```

use super::sizes::Sizes;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

pub(super) struct Runs {
    edges: Vec<u32>,
    queues: Vec<BTreeSet<u32>>,
    free: u32,
}

impl Runs {
    pub fn new(sizes: &Sizes) -> Self {
        let pages = (sizes.chunk / sizes.page) as u32;
        let mut runs = Self {
            edges: alloc::vec![0; pages as usize],
            queues: alloc::vec![BTreeSet::new(); sizes.queues()],
            free: pages,
        };
        runs.insert(sizes, 0, pages);
        runs
    }

    fn insert(&mut self, sizes: &Sizes, page: u32, pages: u32) {
        let new = self.queues[sizes.queue_of(pages)].insert(page);
        assert!(new, "a page is in one free run");
        self.edges[page as usize] = pages;
        self.edges[(page + pages - 1) as usize] = pages;
    }

    fn remove(&mut self, sizes: &Sizes, page: u32, pages: u32) {
        let found = self.queues[sizes.queue_of(pages)].remove(&page);
        assert!(found, "a free run is in its queue");
        self.edges[page as usize] = 0;
        self.edges[(page + pages - 1) as usize] = 0;
    }

    /// A run of `pages` from the shortest sufficient class, the lowest offset first: its first page and its length,
    /// which is less than asked for only when the whole chunk is (an element size whose run doesn't fit into a chunk).
    pub fn allocate(&mut self, sizes: &Sizes, pages: u32) -> Option<(u32, u32)> {
        let whole = self.free as usize == self.edges.len();
        let first = if whole { self.queues.len() - 1 } else { sizes.queue_for(pages) };
        let queue = self.queues.get(first..)?.iter().find(|queue| !queue.is_empty())?;
        let page = *queue.first()?;
        let length = self.edges[page as usize];
        self.remove(sizes, page, length);
        let taken = pages.min(length);
        if taken < length {
            self.insert(sizes, page + taken, length - taken);
        }
        self.free -= taken;
        Some((page, taken))
    }

    /// Frees a run, together with its free neighbours.
    pub fn free(&mut self, sizes: &Sizes, page: u32, pages: u32) {
        self.free += pages;
        let (mut first, mut length) = (page, pages);
        if let Some(before) = first.checked_sub(1).map(|p| self.edges[p as usize]).filter(|n| *n > 0) {
            first -= before;
            length += before;
            self.remove(sizes, first, before);
        }
        let after = self.edges.get((page + pages) as usize).copied().unwrap_or(0);
        if after > 0 {
            self.remove(sizes, page + pages, after);
            length += after;
        }
        self.insert(sizes, first, length);
    }
}
