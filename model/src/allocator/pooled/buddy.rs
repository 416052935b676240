//! Pages of a chunk as a buddy tree (to 4.1.51).
//!
//! **Invariant: a node's value is the least depth at which its subtree has a free node; one more than the order: none.**
//!
//! ```text
//!   depth 0                 [1]              node n: children 2n, 2n + 1; at depth d its run is 2^(order - d) pages
//!   depth 1        [2]             [3]
//!   depth 2    [4]     [5]     [6]     [7]   the leaves: pages
//! ```

use alloc::vec::Vec;

pub(super) struct Buddy {
    order: u32,
    least: Vec<u8>,
}

impl Buddy {
    pub fn new(order: u32) -> Self {
        let mut least = alloc::vec![0; 2 << order];
        for (node, depth) in least.iter_mut().enumerate().skip(1) {
            *depth = node.ilog2() as u8;
        }
        Self { order, least }
    }

    fn depth_of(&self, pages: u32) -> u32 {
        assert!(pages.is_power_of_two() && pages <= 1 << self.order, "a buddy run of {pages} pages");
        self.order - pages.ilog2()
    }

    /// The first free run of `pages`, left to right: its first page.
    pub fn allocate(&mut self, pages: u32) -> Option<u32> {
        let depth = self.depth_of(pages);
        let fits = |least: &[u8], node: usize| u32::from(least[node]) <= depth;
        if !fits(&self.least, 1) {
            return None;
        }
        let mut node = 1_usize;
        while node.ilog2() < depth {
            node *= 2;
            if !fits(&self.least, node) {
                node += 1;
            }
        }
        assert!(u32::from(self.least[node]) == depth, "the path leads to a free node");
        self.least[node] = self.order as u8 + 1;
        self.update(node);
        Some((node as u32 - (1 << depth)) * pages)
    }

    pub fn free(&mut self, page: u32, pages: u32) {
        let depth = self.depth_of(pages);
        let node = ((1 << depth) + page / pages) as usize;
        assert!(u32::from(self.least[node]) > self.order, "a run that is not in use was freed");
        self.least[node] = depth as u8;
        self.update(node);
    }

    /// Values of the ancestors: two whole free children make a whole free parent.
    fn update(&mut self, mut node: usize) {
        while node > 1 {
            node /= 2;
            let (left, right) = (self.least[2 * node], self.least[2 * node + 1]);
            let below = node.ilog2() as u8 + 1;
            self.least[node] = if left == below && right == below { below - 1 } else { left.min(right) };
        }
    }
}
