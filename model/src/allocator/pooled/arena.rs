//! An arena: chunks, sorted by how full they are.
//!
//! **Invariant: outside its lock every chunk is in the list that its usage belongs to** (INV-P4), and a subpage is in the
//! list of its element size exactly while it has room.
//!
//! ```text
//!            a chunk that gets fuller moves right, one that gets emptier left        searched in this order:
//!   new ──> qInit ──> q000 ──> q025 ──> q050 ──> q075 ──> q100                       q050 q025 q000 qInit q075
//!           -,25      1,50     25,75    50,100   75,100   100,-                      (never q100)
//!             ^│         └── left of here it is empty: destroyed
//!             └┘ a chunk that never left qInit stays
//! ```

use super::chunk::{Chunk, Place};
use super::config::PooledConfig;
use super::sizes::{SizeClass, SizeKind, Sizes};
use super::subpage::Freed;
use crate::Platform;
use crate::memory::{Area, OutOfMemory};
use crate::observe::Defect;
use crate::platform::{AtomicOps, CounterOps, Lock};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

/// Index of the list of new chunks.
pub(super) const Q_INIT: usize = 0;
const Q_000: usize = 1;
const Q_075: usize = 4;
const Q_100: usize = 5;
/// Usage lists.
pub(super) const LISTS: usize = 6;

/// (least, greatest) usage of a chunk in a list: it moves down below the one and up from the other.
pub(super) const BANDS: [(i64, i64); LISTS] =
    [(i64::MIN, 25), (1, 50), (25, 75), (50, 100), (75, 100), (100, i64::MAX)];
const SEARCHED: [usize; 5] = [3, 2, 1, 0, 4];

/// What all arenas of a backend share.
pub(super) struct Scope<P: Platform> {
    pub config: PooledConfig,
    pub sizes: Sizes,
    /// Numbers chunks in order of creation.
    pub chunks: P::Atomic<u32>,
}

impl<P: Platform> Scope<P> {
    pub fn chunk_layout(&self) -> Layout {
        Layout::from_size_align(self.sizes.chunk, 64).unwrap_or_else(|_| unreachable!("a chunk is at most 1 GiB"))
    }
}

/// Counters by kind of size; the last is for huge blocks.
pub(super) const HUGE: usize = 3;

pub(super) struct Arena<P: Platform> {
    pub area: Area,
    pub index: u32,
    scope: Arc<Scope<P>>,
    /// Caches bound to it: read to choose the arena of a thread.
    pub thread_caches: P::Atomic<u32>,
    state: P::Mutex<State>,
    pub allocations: [P::Counter; 4],
    pub deallocations: [P::Counter; 4],
    /// Blocks that the finalizer gave back without counting them.
    pub silent: P::Counter,
    /// Bytes: of huge blocks, of live blocks, of blocks in caches, of blocks lost in caches that are gone.
    pub huge: P::Counter,
    pub pinned: P::Counter,
    pub cached: P::Counter,
    pub lost: P::Counter,
    /// Blocks lost in caches that are gone.
    pub lost_blocks: P::Counter,
}

pub(super) struct State {
    /// By slot; a granted place names it.
    pub chunks: Vec<Option<Chunk>>,
    vacant: Vec<u32>,
    /// Slots, the head first.
    pub lists: [VecDeque<u32>; LISTS],
    /// For each element size the subpages with room, as (slot, first page), the one used first last.
    pub rooms: Vec<Vec<(u32, u32)>>,
    /// 4.1.114+: an empty chunk.
    spare: Option<Chunk>,
}

/// A place in an arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Grant {
    pub slot: u32,
    pub chunk: u32,
    pub place: Place,
    pub offset: usize,
    pub start: NonNull<u8>,
    pub len: usize,
}

impl<P: Platform> Arena<P> {
    pub fn new(scope: &Arc<Scope<P>>, area: Area, index: u32) -> Self {
        let state = State {
            chunks: Vec::new(),
            vacant: Vec::new(),
            lists: Default::default(),
            rooms: alloc::vec![Vec::new(); scope.sizes.lists()],
            spare: None,
        };
        Self {
            area,
            index,
            scope: Arc::clone(scope),
            thread_caches: P::Atomic::new(0),
            state: P::Mutex::new(state),
            allocations: Default::default(),
            deallocations: Default::default(),
            silent: P::Counter::default(),
            huge: P::Counter::default(),
            pinned: P::Counter::default(),
            cached: P::Counter::default(),
            lost: P::Counter::default(),
            lost_blocks: P::Counter::default(),
        }
    }

    /// Runs `f` on the inside.
    pub fn with<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.state.lock())
    }

    /// A block of `class`.
    #[track_caller]
    pub fn allocate(&self, class: SizeClass) -> Result<Grant, OutOfMemory> {
        let sizes = &self.scope.sizes;
        let mut state = self.state.lock();
        let found = match state.element(sizes, class) {
            Some(grant) => Ok((grant, false)),
            None => self.carve(&mut state, class).map(|grant| (grant, true)),
        };
        drop(state);
        let (grant, carved) = found?;
        let normal = carved && self.scope.config.carving_counts_as_normal;
        let kind = if normal { SizeKind::Normal } else { class.kind };
        self.allocations[kind as usize].add(1);
        Ok(grant)
    }

    /// A new run, in a chunk that has room or in a new one.
    #[track_caller]
    fn carve(&self, state: &mut State, class: SizeClass) -> Result<Grant, OutOfMemory> {
        let sizes = &self.scope.sizes;
        for list in SEARCHED {
            let most = sizes.chunk as i64 * (100 - BANDS[list].0.max(1)) / 100;
            if class.size as i64 > most {
                continue;
            }
            for at in 0..state.lists[list].len() {
                let slot = state.lists[list][at];
                if let Some(place) = state.chunk(slot).allocate(sizes, class) {
                    state.move_up(&self.scope, slot);
                    return Ok(state.granted(sizes, slot, place));
                }
            }
        }
        let chunk = match state.spare.take() {
            Some(chunk) => chunk,
            None => {
                let Some(start) = P::alloc(self.scope.chunk_layout()) else {
                    return Err(OutOfMemory { capacity: class.size });
                };
                let number = self.scope.chunks.fetch_add(1, Relaxed); // Relaxed: only uniqueness matters
                Chunk::new(number, start, &self.scope.config, sizes)
            }
        };
        let slot = state.admit(chunk);
        let place = state.chunk(slot).allocate(sizes, class);
        let place = place.unwrap_or_else(|| unreachable!("an empty chunk has room for every class"));
        state.lists[Q_INIT].push_front(slot);
        state.move_up(&self.scope, slot);
        Ok(state.granted(sizes, slot, place))
    }

    /// Takes a block back.
    pub fn free(&self, grant: &Grant, kind: SizeKind, silent: bool) {
        if silent {
            self.silent.add(1);
        } else {
            self.deallocations[kind as usize].add(1);
        }
        let mut state = self.state.lock();
        let gone = state.free(&self.scope, grant);
        let gone = gone.and_then(|chunk| {
            let keeps = self.area == Area::Heap && self.scope.config.spare_heap_chunk && state.spare.is_none();
            if keeps {
                state.spare = Some(chunk);
                return None;
            }
            Some(chunk)
        });
        drop(state);
        if let Some(chunk) = gone {
            // SAFETY: the memory came from `P::alloc` with this layout, and nothing of the chunk is granted.
            unsafe { P::dealloc(chunk.start, self.scope.chunk_layout()) };
        }
    }
}

impl State {
    pub fn chunk(&mut self, slot: u32) -> &mut Chunk {
        self.chunks[slot as usize].as_mut().unwrap_or_else(|| unreachable!("a slot in use has its chunk"))
    }

    /// An element of a subpage that has room.
    fn element(&mut self, sizes: &Sizes, class: SizeClass) -> Option<Grant> {
        let list = sizes.list(class)?;
        let (slot, page) = *self.rooms[list].last()?;
        let subpage = self.chunk(slot).subpages.get_mut(&page);
        let subpage = subpage.unwrap_or_else(|| unreachable!("a list has subpages that exist"));
        assert!(subpage.element == class.size && subpage.list == list, "a list has subpages of its size");
        let (element, pages) = (Some(subpage.allocate()), subpage.pages);
        if subpage.is_full() {
            self.rooms[list].pop();
        }
        let place = Place { page, pages, element };
        let chunk = self.chunk(slot);
        Some(grant_of(chunk, sizes, slot, place))
    }

    /// After a run was taken: a new subpage with room goes to its list.
    fn granted(&mut self, sizes: &Sizes, slot: u32, place: Place) -> Grant {
        let chunk = self.chunk(slot);
        let grant = grant_of(chunk, sizes, slot, place);
        if let Some(subpage) = chunk.subpages.get(&place.page)
            && !subpage.is_full()
        {
            let list = subpage.list;
            self.rooms[list].push((slot, place.page));
        }
        grant
    }

    fn admit(&mut self, chunk: Chunk) -> u32 {
        match self.vacant.pop() {
            Some(slot) => {
                self.chunks[slot as usize] = Some(chunk);
                slot
            }
            None => {
                self.chunks.push(Some(chunk));
                self.chunks.len() as u32 - 1
            }
        }
    }

    /// Moves a chunk that got fuller, as far as it goes.
    fn move_up<P: Platform>(&mut self, scope: &Scope<P>, slot: u32) {
        let chunk = self.chunk(slot);
        let (usage, from) = (chunk.usage(scope.sizes.chunk), chunk.list);
        let mut to = from;
        while usage >= BANDS[to].1 {
            to = if to + 1 == Q_075 && scope.config.half_full_to_full { Q_100 } else { to + 1 };
        }
        self.change_list(slot, from, to);
    }

    /// Moves a chunk that got emptier; below the first list it is gone.
    fn move_down<P: Platform>(&mut self, scope: &Scope<P>, slot: u32) -> Option<Chunk> {
        let chunk = self.chunk(slot);
        let (usage, from) = (chunk.usage(scope.sizes.chunk), chunk.list);
        let mut to = from;
        while usage < BANDS[to].0 {
            if to == Q_000 {
                assert!(usage == 0, "only an empty chunk is destroyed");
                self.lists[from].retain(|s| *s != slot);
                self.vacant.push(slot);
                let mut chunk = self.chunks[slot as usize].take();
                if let Some(chunk) = &mut chunk {
                    chunk.list = Q_INIT;
                }
                return chunk;
            }
            to -= 1;
            if P::planted(Defect::OneListDown) {
                break;
            }
        }
        self.change_list(slot, from, to);
        None
    }

    fn change_list(&mut self, slot: u32, from: usize, to: usize) {
        if from != to {
            self.lists[from].retain(|s| *s != slot);
            self.lists[to].push_front(slot);
            self.chunk(slot).list = to;
        }
    }

    /// Frees a place; gives the chunk out when it is to be destroyed.
    fn free<P: Platform>(&mut self, scope: &Scope<P>, grant: &Grant) -> Option<Chunk> {
        let (slot, page) = (grant.slot, grant.place.page);
        let chunk = self.chunk(slot);
        assert!(chunk.number == grant.chunk, "a granted place keeps its chunk");
        if let Some(element) = grant.place.element {
            let subpage = chunk.subpages.get_mut(&page);
            let subpage = subpage.unwrap_or_else(|| unreachable!("an element in use keeps its subpage"));
            let list = subpage.list;
            match subpage.free(element, scope.config.single_element_released) {
                Freed::InUse => return None,
                Freed::HasRoom => {
                    self.rooms[list].push((slot, page));
                    return None;
                }
                Freed::Empty { was_full } => {
                    let room = &mut self.rooms[list];
                    if was_full {
                        room.push((slot, page));
                    }
                    if room.len() == 1 {
                        return None; // the only one of its size stays
                    }
                    let at = room.iter().position(|r| *r == (slot, page));
                    room.remove(at.unwrap_or_else(|| unreachable!("a subpage with room is in its list")));
                }
            }
        }
        self.chunk(slot).free_run(&scope.sizes, page);
        self.move_down(scope, slot)
    }
}

fn grant_of(chunk: &Chunk, sizes: &Sizes, slot: u32, place: Place) -> Grant {
    let (offset, len) = chunk.extent(sizes, place);
    assert!(offset + len <= sizes.chunk, "a place is inside its chunk");
    // SAFETY: the offset is inside the chunk's memory.
    let start = unsafe { chunk.start.add(offset) };
    Grant { slot, chunk: chunk.number, place, offset, start, len }
}

impl<P: Platform> Drop for Arena<P> {
    fn drop(&mut self) {
        P::inherits(); // the last `Arc` of it
        let layout = self.scope.chunk_layout();
        let state = self.state.get_mut();
        for chunk in state.chunks.drain(..).flatten().chain(state.spare.take()) {
            // SAFETY: the memory came from `P::alloc` with this layout. Blocks and caches hold their arena, so there are none.
            unsafe { P::dealloc(chunk.start, layout) };
        }
    }
}
