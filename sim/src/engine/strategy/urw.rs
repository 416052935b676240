//! The uniform random walk over interleavings (Zhao, Wolff, Mathur, Roychoudhury, *Selectively uniform concurrency testing*, ASPLOS
//! 2025): URW.
//!
//! **Invariant: a thread's weight is the number of events that it and all that it has yet to start still have**, by the profile,
//! and at least 1. With exact counts and no blocking every interleaving has the same probability.
//!
//! ```text
//!   main: spawn t1, spawn t2          weights:  main 2+3+3    spawn t1:  main 1+3, t1 3    spawn t2:  main 0 -> 1, t1 3, t2 3
//! ```

use super::super::core::Engine;
use super::super::profile::Profile;
use super::super::thread::NONE;

impl Engine {
    /// Below `n`, which is above 0. The draws of a smaller range cost less.
    pub(super) fn below(&self, n: u64) -> u64 {
        self.roll(|g| match u32::try_from(n) {
            Ok(n) => u64::from(g.below(n)),
            Err(_) => g.below_u64(n),
        })
    }

    /// A slot of the race, each with its weight as its share.
    pub(super) fn by_weight(&self) -> Option<u32> {
        let race = || self.runnable.minus(&self.yielded);
        let weight = |slot: u32| self.threads[slot as usize].weight.get();
        let total: u64 = race().map(weight).sum();
        if total == 0 {
            return race().next();
        }
        let mut r = self.below(total);
        race().find(|slot| {
            let here = r < weight(*slot);
            r = r.wrapping_sub(weight(*slot));
            here
        })
    }

    /// One event of the chosen thread.
    pub(super) fn pick_uniformly(&self) -> Option<u32> {
        let next = self.by_weight()?;
        let weight = &self.threads[next as usize].weight;
        weight.set(weight.get().saturating_sub(1).max(1));
        Some(next)
    }

    /// A thread begins in `slot`: it takes over its parent's share of what it has to do.
    pub(super) fn takes_share(&self, slot: u32, parent: Option<u32>, profile: &Profile) {
        let thread = &self.threads[slot as usize];
        let Some(parent) = parent else {
            thread.node.set(0);
            thread.weight.set(profile.events(0).max(1));
            return;
        };
        let parent = &self.threads[parent as usize];
        let share = self.place_in(slot, parent.node.get(), parent.children.get(), profile);
        let share = if share == NONE { 1 } else { profile.events(share).max(1) };
        parent.children.set(parent.children.get() + 1);
        thread.weight.set(share);
        parent.weight.set(parent.weight.get().saturating_sub(share).max(1));
    }

    /// Which thread of the profile the one in `slot` is: the `nth` child of `parent`. `NONE` if it has no such thread.
    pub(super) fn place_in(&self, slot: u32, parent: u32, nth: u32, profile: &Profile) -> u32 {
        let node = profile.child(parent, nth).unwrap_or(NONE);
        self.threads[slot as usize].node.set(node);
        node
    }
}
