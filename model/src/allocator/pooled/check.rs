//! The laws of the allocator, as functions (INV-P1 to INV-P5).
//!
//! **Invariant: a law that is broken is named, with the numbers that contradict each other.**

use super::PooledBackend;
use super::arena::{Arena, BANDS};
use super::sizes::Sizes;
use crate::Platform;
use crate::platform::CounterOps;
use alloc::format;
use alloc::string::String;

/// A law that doesn't hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{law}: {what}")]
pub struct Broken {
    /// The law: `INV-P1` to `INV-P5`.
    pub law: &'static str,
    /// What contradicts it.
    pub what: String,
}

fn holds(condition: bool, law: &'static str, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(Broken { law, what: what() }) }
}

/// INV-P1, INV-P4 and INV-P5; INV-P2 is asserted whenever something is granted.
fn laws<P: Platform>(arena: &Arena<P>, sizes: &Sizes) -> Result<(), Broken> {
    let name = || format!("arena {:?} {}", arena.area, arena.index);
    let in_use = arena.with(|state| {
        let mut in_use = 0;
        for (list, (slots, (least, greatest))) in state.lists.iter().zip(BANDS).enumerate() {
            for slot in slots {
                let chunk = state.chunks[*slot as usize].as_ref();
                let chunk =
                    chunk.ok_or(Broken { law: "INV-P4", what: format!("{}: an empty slot in a list", name()) })?;
                let (free, granted) = (chunk.free, chunk.granted(sizes));
                holds(free + granted == sizes.chunk, "INV-P1", || {
                    format!("{} chunk {}: {free} bytes free, {granted} granted", name(), chunk.number)
                })?;
                let usage = chunk.usage(sizes.chunk);
                holds((least..greatest).contains(&usage) && chunk.list == list, "INV-P4", || {
                    format!("{} chunk {}: {usage} % in list {list}", name(), chunk.number)
                })?;
                in_use += chunk.in_use(sizes) as u64;
            }
        }
        let listed: usize = state.lists.iter().map(|list| list.len()).sum();
        let exist = state.chunks.iter().flatten().count();
        holds(listed == exist, "INV-P4", || format!("{}: {exist} chunks, {listed} in lists", name()))?;
        for (list, (slot, page)) in state.rooms.iter().enumerate().flat_map(|(i, l)| l.iter().map(move |r| (i, *r))) {
            let subpage = state.chunks[slot as usize].as_ref().and_then(|chunk| chunk.subpages.get(&page));
            let fits = subpage.is_some_and(|subpage| subpage.list == list && !subpage.is_full());
            holds(fits, "INV-P1", || format!("{}: list {list} has a subpage that can't serve it", name()))?;
        }
        Ok(in_use)
    })?;
    let (pinned, huge) = (arena.pinned.get(), arena.huge.get());
    let (cached, lost) = (arena.cached.get(), arena.lost.get());
    holds(in_use + huge == pinned + cached + lost, "INV-P5", || {
        format!("{}: {in_use} + {huge} huge bytes in use; {pinned} pinned, {cached} cached, {lost} lost", name())
    })
}

/// INV-P3.
fn drained<P: Platform>(arena: &Arena<P>, sizes: &Sizes) -> Result<(), Broken> {
    let name = || format!("arena {:?} {}", arena.area, arena.index);
    let (pinned, cached) = (arena.pinned.get(), arena.cached.get());
    holds(pinned == 0 && cached == 0, "INV-P3", || format!("{}: {pinned} bytes pinned, {cached} cached", name()))?;
    let total = |counters: &[P::Counter; 4]| counters.iter().map(P::Counter::get).sum::<u64>();
    let came = total(&arena.allocations);
    let went = total(&arena.deallocations) + arena.silent.get() + arena.lost_blocks.get();
    holds(came == went, "INV-P3", || format!("{}: {came} allocations, {went} given back or lost", name()))?;
    let lost = arena.lost.get();
    arena.with(|state| {
        let listed = state.lists.iter().enumerate().flat_map(|(list, slots)| slots.iter().map(move |s| (list, *s)));
        for (list, slot) in listed {
            let Some(chunk) = state.chunks[slot as usize].as_ref() else { continue };
            let idle: usize = chunk.subpages.values().map(|s| s.pages as usize * sizes.page).sum();
            let (free, used) = (chunk.free, chunk.in_use(sizes) as u64);
            holds(used <= lost, "INV-P3", || format!("{} chunk {}: {used} bytes in use", name(), chunk.number))?;
            let empty = list == super::arena::Q_INIT || idle > 0 || lost > 0;
            holds(empty, "INV-P3", || format!("{} chunk {}: {free} bytes free, kept", name(), chunk.number))?;
        }
        Ok(())
    })
}

impl<P: Platform> PooledBackend<P> {
    /// Whether the laws hold that hold whenever no thread is inside: what is granted and what is free make up the chunks
    /// (INV-P1), each chunk is in the list of its usage (INV-P4), and live blocks are what is pinned (INV-P5). That blocks don't
    /// overlap (INV-P2) is asserted whenever one is granted.
    ///
    /// # Errors
    /// The first law that doesn't hold.
    pub fn check(&self) -> Result<(), Broken> {
        self.0.direct.iter().chain(&self.0.heap).try_for_each(|arena| laws(arena, &self.0.scope.sizes))
    }

    /// Whether, in addition, everything has come back (INV-P3): for when all blocks were dropped and all caches freed. What was lost
    /// in a freed cache, which some releases do, is an exception, and is counted in the metrics.
    ///
    /// # Errors
    /// The first law that doesn't hold.
    pub fn check_drained(&self) -> Result<(), Broken> {
        self.check()?;
        self.0.direct.iter().chain(&self.0.heap).try_for_each(|arena| drained(arena, &self.0.scope.sizes))
    }
}
