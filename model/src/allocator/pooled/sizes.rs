//! Size classes: which block a request gets.
//!
//! **Invariant: a class's size is at least the request, and a page run is a whole number of pages.**
//!
//! ```text
//!   Buddy   16 32 48 ... 496 | 512 1024 2048 4096 | 8192 16384 ... chunk        tiny | small | normal
//!   Runs    16 32 48 64  80 96 112 128  160 192 224 256 ... 28672 | 32768 ...   small        | normal
//! ```

use super::config::{PageDesign, PooledConfig};
use alloc::vec::Vec;

/// The three kinds of pooled sizes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SizeKind {
    /// Below 512 bytes; only with [`PageDesign::Buddy`].
    Tiny,
    /// Elements of a page, or of a run of pages.
    Small,
    /// Whole pages.
    Normal,
}

impl SizeKind {
    /// All, smallest first.
    pub const ALL: [Self; 3] = [Self::Tiny, Self::Small, Self::Normal];
}

/// What a request is served with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeClass {
    /// The kind.
    pub kind: SizeKind,
    /// Index among the classes of its kind.
    pub index: u32,
    /// Bytes. 0 for a request of none with [`PageDesign::Buddy`].
    pub size: usize,
}

/// Sizes of tiny classes: multiples of 16, below 512.
const TINY: u32 = 32;
const SMALLEST_SMALL: usize = 512;

/// The table of one configuration.
pub(super) struct Sizes {
    design: PageDesign,
    pub page: usize,
    pub chunk: usize,
    /// `Runs`: all sizes, ascending.
    sizes: Vec<usize>,
    /// Classes with elements, tiny ones not counted.
    smalls: u32,
    /// `Runs`: the sizes that are whole pages, in pages, ascending.
    runs: Vec<u32>,
}

fn log2(n: usize) -> u32 {
    n.checked_ilog2().unwrap_or_else(|| unreachable!("a size of 0 has no logarithm"))
}

impl Sizes {
    pub fn new(config: &PooledConfig) -> Self {
        let (page, chunk) = (config.page_size as usize, config.chunk_size());
        let mut sizes = Vec::new();
        if config.design == PageDesign::Runs {
            sizes.extend([16, 32, 48, 64]);
            let mut group = 64;
            while group < chunk {
                sizes.extend((1..=4).map(|n| group + n * group / 4));
                group *= 2;
            }
        }
        let smalls = match config.design {
            PageDesign::Buddy => log2(page) - log2(SMALLEST_SMALL),
            PageDesign::Runs => sizes.iter().take_while(|size| **size < 4 * page).count() as u32,
        };
        let runs = sizes.iter().filter(|size| size.is_multiple_of(page)).map(|size| (size / page) as u32).collect();
        Self { design: config.design, page, chunk, sizes, smalls, runs }
    }

    /// The class of a request; none: it is huge.
    pub fn class(&self, request: usize) -> Option<SizeClass> {
        if request > self.chunk {
            return None;
        }
        Some(match self.design {
            PageDesign::Buddy => self.buddy_class(request),
            PageDesign::Runs => {
                let index = self.sizes.partition_point(|size| *size < request);
                let (kind, first) =
                    if index < self.smalls as usize { (SizeKind::Small, 0) } else { (SizeKind::Normal, self.smalls) };
                SizeClass { kind, index: index as u32 - first, size: self.sizes[index] }
            }
        })
    }

    fn buddy_class(&self, request: usize) -> SizeClass {
        if request < SMALLEST_SMALL {
            let size = request.next_multiple_of(16);
            if size < SMALLEST_SMALL {
                return SizeClass { kind: SizeKind::Tiny, index: (size / 16) as u32, size };
            }
        }
        let size = request.next_power_of_two();
        if size < self.page {
            SizeClass { kind: SizeKind::Small, index: log2(size) - log2(SMALLEST_SMALL), size }
        } else {
            SizeClass { kind: SizeKind::Normal, index: log2(size / self.page), size }
        }
    }

    /// Classes of a kind that a thread caches, if it caches any of them.
    pub fn cached(&self, kind: SizeKind, max_cached: usize) -> u32 {
        match (kind, self.design) {
            (SizeKind::Tiny, PageDesign::Buddy) => TINY,
            (SizeKind::Tiny, PageDesign::Runs) => 0,
            (SizeKind::Small, _) => self.smalls,
            (SizeKind::Normal, PageDesign::Buddy) => (max_cached.min(self.chunk) / self.page).max(1).ilog2() + 1,
            (SizeKind::Normal, PageDesign::Runs) => {
                let upto = self.sizes.partition_point(|size| *size <= max_cached.min(self.chunk)) as u32;
                upto.saturating_sub(self.smalls)
            }
        }
    }

    /// The list of an element size.
    pub fn list(&self, class: SizeClass) -> Option<usize> {
        match (class.kind, self.design) {
            (SizeKind::Normal, _) => None,
            (SizeKind::Small, PageDesign::Buddy) => Some((TINY + class.index) as usize),
            _ => Some(class.index as usize),
        }
    }

    /// Lists of element sizes.
    pub fn lists(&self) -> usize {
        (self.cached(SizeKind::Tiny, 0) + self.smalls) as usize
    }

    /// Pages a run: of a normal class, or as many as its elements are carved from.
    pub fn pages(&self, class: SizeClass) -> u32 {
        let bytes = match (class.kind, self.design) {
            (SizeKind::Normal, _) => class.size,
            (_, PageDesign::Buddy) => self.page,
            (_, PageDesign::Runs) => self.element_run(class.size),
        };
        (bytes / self.page) as u32
    }

    /// The least common multiple of the page and the element, but no more than `page / 16` elements.
    fn element_run(&self, element: usize) -> usize {
        let most = self.page / 16;
        let mut run = self.page;
        while run / element < most && !run.is_multiple_of(element) {
            run += self.page;
        }
        while run / element > most {
            run -= self.page;
        }
        run
    }

    /// `Runs`: queues of free runs.
    pub fn queues(&self) -> usize {
        self.runs.len()
    }

    /// `Runs`: the first queue whose runs are long enough for `pages`.
    pub fn queue_for(&self, pages: u32) -> usize {
        self.runs.partition_point(|run| *run < pages)
    }

    /// `Runs`: the queue that a free run of `pages` is in.
    pub fn queue_of(&self, pages: u32) -> usize {
        self.runs.partition_point(|run| *run <= pages) - 1
    }
}
