//! A magazine: what one thread at a time allocates from.
//!
//! **Invariant: `current` belongs to whoever has the magazine's lock, or to its thread; the chunk in `next` belongs to nobody, and
//! to whoever takes it out.** A magazine that has been freed has no `current` and keeps the mark FREED in `next`.
//!
//! ```text
//!   with the lock    current ──spent──> handed back          without    next ──> or the queue; what is left goes to
//!      (allocate)      ^ next ^ queue ^ a new chunk         (allocate_unlocked)   next, or is handed back
//!
//!   next:  null | a chunk, as a raw `Arc` with its holder's unit | FREED
//! ```

use super::chunk::{Block, Chunk, Held};
use super::config::AdaptiveConfig;
use super::group::{Group, Want};
use super::histogram::{Histogram, Preference};
use crate::Platform;
use crate::memory::OutOfMemory;
use crate::observe::Defect;
use crate::platform::{AtomicOps, CellOps, CounterOps, Lock};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// The mark of a magazine that has been freed (`MAGAZINE_FREED`): no chunk is at this address.
fn freed<P: Platform>() -> *mut Chunk<P> {
    ptr::without_provenance_mut(1)
}

/// What is in `next`.
enum Next<P: Platform> {
    Nothing,
    Chunk(Held<P>),
    Freed,
}

struct State<P: Platform> {
    current: Option<Held<P>>,
    /// Of the large group.
    histogram: Option<Box<Histogram>>,
}

/// Who may allocate.
enum Access<P: Platform> {
    Shared(P::Mutex<State<P>>),
    /// The one thread that the magazine belongs to.
    Local(P::Cell<State<P>>),
}

/// See the [module](self).
pub(super) struct Magazine<P: Platform> {
    access: Access<P>,
    next: P::Atomic<*mut Chunk<P>>,
    /// Of the large group; otherwise unused.
    pub preference: Preference<P>,
    segment: Option<u32>,
}

// SAFETY: the state is behind a lock, or in a cell that only the owning thread touches, by the contracts below; `next` is
// atomic. Chunks are `Send + Sync`.
unsafe impl<P: Platform> Send for Magazine<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Magazine<P> {}

/// What cutting a block off came to.
enum Cut<P: Platform> {
    /// A block, and there is more.
    More(Block<P>),
    /// A block of all that was left.
    Last(Block<P>),
    /// No: only so many bytes are left.
    Short(usize),
}

/// Cuts off `usable` bytes, or all that is left if that is less but enough.
fn cut<P: Platform>(group: &Group<P>, chunk: &mut Held<P>, want: &Want, usable: u32) -> Cut<P> {
    let left = chunk.remaining();
    if left == 0 || left < want.size as usize {
        return Cut::Short(left);
    }
    let more = left > usable as usize;
    match chunk.take(left.min(usable as usize)) {
        Some(block) if more => Cut::More(block),
        Some(block) => Cut::Last(block),
        None => {
            group.core.starved.add(1);
            Cut::Short(0)
        }
    }
}

impl<P: Platform> Magazine<P> {
    /// A magazine that prefers chunks of `chunk` bytes; for the running thread alone if `local`.
    pub fn new(config: &AdaptiveConfig, segment: Option<u32>, chunk: u32, local: bool) -> Self {
        let histogram = segment.is_none().then(|| Box::new(Histogram::new(config)));
        let state = State { current: None, histogram };
        Self {
            access: if local { Access::Local(P::Cell::new(state)) } else { Access::Shared(P::Mutex::new(state)) },
            next: P::Atomic::new(ptr::null_mut()),
            preference: Preference::new(chunk),
            segment,
        }
    }

    /// `tryAllocate`: a block, or `None` when the magazine can't be used now.
    ///
    /// # Errors
    /// [`OutOfMemory`] when a new chunk is needed and there is no memory for it. Nothing is lost.
    ///
    /// # Safety
    /// A magazine of one thread is used on that thread only.
    pub unsafe fn try_allocate(&self, group: &Arc<Group<P>>, want: &Want) -> Result<Option<Block<P>>, OutOfMemory> {
        match &self.access {
            // SAFETY: on the owning thread, by the contract of this function; nothing inside comes back to this magazine.
            Access::Local(state) => state.with_mut(|state| self.allocate(group, unsafe { &mut *state }, want)),
            Access::Shared(state) => match state.try_lock() {
                Some(mut state) => self.allocate(group, &mut state, want),
                None => Ok(self.allocate_unlocked(group, want)),
            },
        }
    }

    fn allocate_unlocked(&self, group: &Arc<Group<P>>, want: &Want) -> Option<Block<P>> {
        let mut chunk = match self.take_next() {
            Next::Chunk(chunk) => chunk,
            Next::Nothing => {
                let mut chunk = group.queue.poll()?;
                chunk.attach(self);
                chunk
            }
            Next::Freed => return None,
        };
        // As Netty does: what counts below is what was left before.
        let left = chunk.remaining();
        let block = match cut(group, &mut chunk, want, self.usable(want)) {
            Cut::More(block) | Cut::Last(block) => Some(block),
            Cut::Short(_) => None,
        };
        if left >= group.core.config.retire_capacity as usize {
            self.transfer(group, chunk, group.core.config.smaller_chunk_released);
        } else {
            chunk.hand_back(group);
        }
        if block.is_some() {
            group.core.unlocked.add(1);
        }
        block
    }

    fn allocate(
        &self,
        group: &Arc<Group<P>>,
        state: &mut State<P>,
        want: &Want,
    ) -> Result<Option<Block<P>>, OutOfMemory> {
        if let Some(histogram) = &mut state.histogram
            && !want.reallocation
        {
            let others = group.magazines().iter().map(|m| m.preference.local());
            histogram.record(want.size, &group.core.config, &self.preference, others);
        }
        let usable = self.usable(want);
        if let Some(mut chunk) = state.current.take() {
            match cut(group, &mut chunk, want, usable) {
                Cut::More(block) => {
                    state.current = Some(chunk);
                    return Ok(Some(block));
                }
                Cut::Last(block) => {
                    chunk.hand_back(group);
                    return Ok(Some(block));
                }
                Cut::Short(left) => self.put_away(group, chunk, left),
            }
        }
        match self.take_next() {
            Next::Freed => return Ok(None), // the magazines were doubled meanwhile
            Next::Nothing => {}
            Next::Chunk(mut chunk) => match cut(group, &mut chunk, want, usable) {
                Cut::More(block) => {
                    state.current = Some(chunk);
                    return Ok(Some(block));
                }
                Cut::Last(block) => {
                    chunk.hand_back(group);
                    return Ok(Some(block));
                }
                Cut::Short(_) => chunk.hand_back(group),
            },
        }
        if let Some(mut chunk) = group.queue.poll() {
            chunk.attach(self);
            match cut(group, &mut chunk, want, usable) {
                Cut::More(block) => {
                    state.current = Some(chunk);
                    return Ok(Some(block));
                }
                Cut::Last(block) => {
                    chunk.hand_back(group);
                    return Ok(Some(block));
                }
                Cut::Short(left) => self.put_away(group, chunk, left),
            }
        }
        let mut chunk = self.new_chunk(group, state, want)?;
        match cut(group, &mut chunk, want, usable) {
            Cut::More(block) => {
                state.current = Some(chunk);
                Ok(Some(block))
            }
            Cut::Last(block) => {
                chunk.hand_back(group);
                Ok(Some(block))
            }
            Cut::Short(left) => unreachable!("a new chunk has room for {want:?}, not {left} bytes"),
        }
    }

    /// `computeBufferCapacity`.
    fn usable(&self, want: &Want) -> u32 {
        match self.segment {
            Some(segment) => segment.min(want.max),
            None => self.preference.usable(want.size, want.max),
        }
    }

    /// `newChunkAllocation`.
    fn new_chunk(&self, group: &Arc<Group<P>>, state: &State<P>, want: &Want) -> Result<Held<P>, OutOfMemory> {
        let config = &group.core.config;
        let capacity = match (self.segment, &state.histogram) {
            (None, Some(histogram)) => histogram.new_chunk(want.size, config, &self.preference),
            (segment, _) => config.segment_chunk(segment.unwrap_or(config.min_chunk)),
        };
        let out_of_memory = OutOfMemory { capacity: want.size as usize };
        Held::new(group, self, capacity, self.segment).ok_or(out_of_memory)
    }

    /// What is done with a chunk that was too small for this allocation.
    fn put_away(&self, group: &Arc<Group<P>>, chunk: Held<P>, left: usize) {
        if left < group.core.config.retire_capacity as usize {
            chunk.hand_back(group);
        } else {
            self.transfer(group, chunk, true);
        }
    }

    /// `transferToNextInLineOrRelease`: keeps the bigger one of `chunk` and the next, and hands the other back.
    ///
    /// Netty looks at what is left in the next chunk without holding it. We take it out to look, so that for a moment there is
    /// none.
    fn transfer(&self, group: &Arc<Group<P>>, chunk: Held<P>, release_smaller: bool) {
        let Err(mut chunk) = self.set_next(chunk) else { return };
        let Next::Chunk(mut next) = self.take_next() else { return self.set_next_or_hand_back(group, chunk) };
        if chunk.remaining() > next.remaining() {
            self.set_next_or_hand_back(group, chunk);
            next.hand_back(group);
        } else {
            self.set_next_or_hand_back(group, next);
            if release_smaller && !P::planted(Defect::SmallerChunkLost) {
                chunk.hand_back(group);
            } else {
                chunk.lose(&group.core);
            }
        }
    }

    fn set_next_or_hand_back(&self, group: &Arc<Group<P>>, chunk: Held<P>) {
        if let Err(chunk) = self.set_next(chunk) {
            chunk.hand_back(group);
        }
    }

    /// `trySetNextInLine`.
    ///
    /// # Errors
    /// The chunk, if there is one, or the magazine has been freed.
    pub fn set_next(&self, chunk: Held<P>) -> Result<(), Held<P>> {
        let raw = Arc::into_raw(chunk.into_arc()).cast_mut();
        // AcqRel: the chunk goes with it; pairs with the Acquire of the swap in `swap_next`. Relaxed: nothing is read of another.
        match self.next.compare_exchange(ptr::null_mut(), raw, AcqRel, Relaxed) {
            Ok(_) => Ok(()),
            // SAFETY: the pointer is the one made above, and nobody has seen it.
            Err(_) => Err(unsafe { Held::from_arc(Arc::from_raw(raw)) }),
        }
    }

    fn swap_next(&self, raw: *mut Chunk<P>) -> Next<P> {
        // AcqRel: pairs with the exchange in `set_next`, and with itself.
        let found = self.next.swap(raw, AcqRel);
        if found.is_null() {
            Next::Nothing
        } else if found == freed() {
            Next::Freed
        } else {
            // SAFETY: `set_next` made the pointer from a hold that it put down, and the swap took it out once.
            Next::Chunk(unsafe { Held::from_arc(Arc::from_raw(found)) })
        }
    }

    /// Takes the next chunk out; a freed magazine stays freed.
    fn take_next(&self) -> Next<P> {
        let found = self.swap_next(ptr::null_mut());
        if matches!(found, Next::Freed) {
            self.mark_freed();
        }
        found
    }

    /// `restoreMagazineFreed`. A chunk that came in meanwhile is given up by its holder.
    fn mark_freed(&self) {
        drop(self.swap_next(freed()));
    }

    /// `free`: the magazine gives up its chunks, for good.
    ///
    /// # Safety
    /// As [`Magazine::try_allocate`].
    pub unsafe fn free(&self, group: &Arc<Group<P>>) {
        if let Next::Chunk(chunk) = self.swap_next(freed()) {
            chunk.hand_back(group);
        }
        let current = match &self.access {
            // SAFETY: on the owning thread, by the contract of this function.
            Access::Local(state) => state.with_mut(|state| unsafe { (*state).current.take() }),
            Access::Shared(state) => state.lock().current.take(),
        };
        if let Some(chunk) = current {
            chunk.hand_back(group);
        }
    }

    /// Whether an empty chunk of `capacity` bytes that this magazine made is retired.
    pub fn retires(&self, config: &AdaptiveConfig, capacity: usize) -> bool {
        self.segment.is_none() && self.preference.retires(capacity, config)
    }

    /// Shows the chunks it has.
    ///
    /// # Safety
    /// No thread is inside the allocator, and what they did there happened before.
    pub unsafe fn peek(&self, mut show: impl FnMut(&Chunk<P>)) {
        let next = self.next.load(Acquire); // pairs with the exchange in `set_next`
        if !next.is_null() && next != freed() {
            // SAFETY: the magazine owns one count of it, and nobody takes it out meanwhile.
            show(unsafe { &*next });
        }
        match &self.access {
            // SAFETY: nobody is inside.
            Access::Local(state) => state.with(|state| unsafe { (*state).current.as_ref().map(|c| c.show(&mut show)) }),
            Access::Shared(state) => state.lock().current.as_ref().map(|c| c.show(&mut show)),
        };
    }
}

impl<P: Platform> Drop for Magazine<P> {
    fn drop(&mut self) {
        let next = core::mem::replace(self.next.get_mut(), freed());
        if !next.is_null() && next != freed() {
            // SAFETY: as in `swap_next`; nobody else is in the magazine.
            drop(unsafe { Held::from_arc(Arc::from_raw(next)) });
        }
    }
}
