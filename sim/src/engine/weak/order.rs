//! The order of sequentially consistent events.
//!
//! **Invariant: what must precede what is a partial order without a cycle, closed under transitivity**: `before[n]` has every
//! event that must precede event n in the single total order S of all sequentially consistent operations. S exists exactly if
//! there is no cycle, so that it never has to be chosen.
//!
//! ```text
//!   events, numbered as executed      base            next
//!   ... old, old, old, old         |  41  42  43  44 |        at most 64 are live; a set of them is one word, bit n mod 64
//!   precede all later ones         |      43 -> 42   |        43 was executed after 42 and precedes it in S
//! ```
//!
//! The rules are those of C++20 ([atomics.order] 4, after Lahav et al., *Repairing sequential consistency in C/C++11*, PLDI 2017).
//! A precedes B in S if A *strongly* happens before B, and for accesses a, b to one object with a *coherence-ordered* before b:
//! the event a, or any fence that happens before a, precedes the event b, and any fence that b happens before. S need not agree
//! with the order of execution, nor with plain happens-before: a mixture of orderings may be weaker than it looks.
//!
//! *Bound*: when 64 events are live the older half becomes old: old ones precede all others for good. That forbids some outcomes
//! that the standard allows, never the reverse.

use super::clock::{Clock, NEVER, Time, widened};
use std::sync::atomic::Ordering;

/// Live events.
const LIVE: u32 = 64;

/// The sequentially consistent events of an execution, counted from 1.
pub(super) struct Order<const W: usize> {
    base: u32,
    next: u32,
    before: [u64; LIVE as usize],
    thread: [u8; LIVE as usize],
    time: [Time; LIVE as usize],
    /// The event before in its thread.
    previous: [u32; LIVE as usize],
    /// The last event of each thread.
    last: [u32; W],
    /// Of these the live ones.
    lasts: u64,
    /// Which live events are fences.
    fences: u64,
    /// What happens before a fence.
    known: Vec<Clock<W>>,
    /// The first old fence of each thread.
    old_fences: [Time; W],
    /// What happens before some old fence.
    old_known: Clock<W>,
    /// Whether there was any fence.
    pub fenced: bool,
}

#[inline(always)]
pub(super) fn bit(event: u32) -> u64 {
    1 << (event % LIVE)
}

impl<const W: usize> Order<W> {
    pub fn new() -> Self {
        Self {
            base: 1,
            next: 1,
            before: [0; LIVE as usize],
            thread: [0; LIVE as usize],
            time: [0; LIVE as usize],
            previous: [0; LIVE as usize],
            last: [0; W],
            lasts: 0,
            fences: 0,
            known: vec![Clock::ZERO; LIVE as usize],
            old_fences: [NEVER; W],
            old_known: Clock([-1; W]),
            fenced: false,
        }
    }

    /// Forgets everything.
    pub fn begin(&mut self) {
        self.base = 1;
        self.next = 1;
        self.last = [0; W];
        self.lasts = 0;
        self.fences = 0;
        self.old_fences = [NEVER; W];
        self.old_known = Clock([-1; W]);
        self.fenced = false;
    }

    /// Whether S can matter to an operation.
    #[inline(always)]
    pub fn matters(&self, ordering: Ordering) -> bool {
        ordering == Ordering::SeqCst || self.fenced
    }

    /// The stamp of a set that is written down now.
    pub fn stamp(&self) -> u32 {
        self.next
    }

    /// Whether the event is old.
    pub fn is_old(&self, event: u32) -> bool {
        event < self.base
    }

    /// The events of the set that are live still.
    #[inline]
    pub fn live(&self, set: u64, stamp: u32) -> u64 {
        if set == 0 { 0 } else { set & self.range(stamp) }
    }

    /// The live events below `end`.
    #[inline]
    pub fn range(&self, end: u32) -> u64 {
        let count = end.saturating_sub(self.base);
        let range = if count >= LIVE { u64::MAX } else { (1 << count) - 1 };
        range.rotate_left(self.base % LIVE)
    }

    /// The events and all that must precede them.
    pub fn closed(&self, events: u64) -> u64 {
        let (mut all, mut rest) = (0, events);
        while rest != 0 {
            // The newest first: it mostly comes after the others.
            let newest = (63 - rest.rotate_right(self.base % LIVE).leading_zeros() + self.base) % LIVE;
            all |= 1 << newest | self.before[newest as usize];
            rest &= !all;
        }
        all
    }

    /// The live fences that happen before what `clock` stands for, and whether an old one does.
    pub fn fences_before(&self, clock: &Clock<W>) -> (u64, bool) {
        let found = self.fences_that(|n| clock.knows(self.thread[n] as usize, self.time[n]));
        (found, clock.knows_any(&self.old_fences))
    }

    /// The live fences that an event happens after, and whether an old one does: `store` is one, `loads` are others.
    pub fn fences_after(&self, thread: usize, time: Time, loads: &[Time; W]) -> (u64, bool) {
        let after = |clock: &Clock<W>| clock.knows(thread, time) || clock.knows_any(loads);
        (self.fences_that(|n| after(&self.known[n])), after(&self.old_known))
    }

    fn fences_that(&self, holds: impl Fn(usize) -> bool) -> u64 {
        let (mut found, mut rest) = (0, self.fences);
        while rest != 0 {
            let n = rest.trailing_zeros();
            if holds(n as usize) {
                found |= 1 << n;
            }
            rest &= rest - 1;
        }
        found
    }

    /// What must precede the next event of thread `t`, closed: the thread's own last event, `others`, and what *strongly* happens
    /// before it. `clock` is what the thread knows before it synchronises by this event, `then` what it knew at its last one. Of
    /// another thread those events happen strongly before that the thread published *later* than by the event itself.
    pub fn preceding(&self, t: usize, clock: &Clock<W>, then: &Clock<W>, others: u64) -> u64 {
        let own = self.last[t];
        let mut found = self.closed(if own >= self.base { others | bit(own) } else { others });
        // A thread's last event comes after all its earlier ones.
        let mut rest = self.lasts & !found;
        while rest != 0 {
            let mut n = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let u = self.thread[n] as usize;
            if clock.0[u] == then.0[u] {
                continue; // known before the last event, if at all
            }
            while self.time[n] >= clock.0[u] && self.previous[n] >= self.base {
                n = (self.previous[n] % LIVE) as usize;
            }
            if self.time[n] < clock.0[u] {
                found |= 1 << n | self.before[n];
            }
        }
        found
    }

    /// There is room for one more event.
    pub fn make_room(&mut self) {
        if self.next - self.base == LIVE {
            self.age();
        }
    }

    #[cold]
    fn age(&mut self) {
        // What precedes an old event becomes old with it.
        let (mut end, mut from) = (self.base + LIVE / 2, self.base);
        while from < end {
            let early = (from..end).fold(0, |early, event| early | self.before[(event % LIVE) as usize]);
            from = end;
            while let Some(later) = (end..self.next).rev().find(|later| early & bit(*later) != 0) {
                end = later + 1;
            }
        }
        for event in self.base..end {
            let n = (event % LIVE) as usize;
            if self.fences & 1 << n != 0 {
                let first = &mut self.old_fences[self.thread[n] as usize];
                *first = (*first).min(self.time[n]);
                self.old_known.join(&self.known[n]);
                self.fences &= !(1 << n);
            }
        }
        self.base = end;
        let live = self.range(self.next);
        self.lasts &= live;
        for set in &mut self.before {
            *set &= live;
        }
    }

    /// A new event, which `before`, a closed set, must precede. There must be room.
    pub fn add(&mut self, thread: usize, time: Time, before: u64, fence: Option<&Clock<W>>) -> u32 {
        let event = self.next;
        self.next += 1;
        let n = (event % LIVE) as usize;
        let last = std::mem::replace(&mut self.last[thread], event);
        self.previous[n] = last;
        if last >= self.base {
            self.lasts &= !bit(last);
        }
        self.lasts |= 1 << n;
        self.before[n] = before;
        self.thread[n] = thread as u8;
        self.time[n] = time;
        self.fences &= !(1 << n);
        if let Some(clock) = fence {
            self.fences |= 1 << n;
            self.known[n] = *clock;
            self.fenced = true;
        }
        event
    }

    /// The events of `first`, a closed set, must precede those of `then`.
    pub fn put_before(&mut self, first: u64, then: u64) {
        for event in self.base..self.next {
            let n = (event % LIVE) as usize;
            if (1 << n | self.before[n]) & then != 0 {
                self.before[n] |= first;
            }
        }
    }

    /// The same with room for more threads.
    pub fn widened<const V: usize>(&self) -> Order<V> {
        Order {
            base: self.base,
            next: self.next,
            before: self.before,
            thread: self.thread,
            time: self.time,
            previous: self.previous,
            last: widened(&self.last, 0),
            lasts: self.lasts,
            fences: self.fences,
            known: self.known.iter().map(Clock::widened).collect(),
            old_fences: widened(&self.old_fences, NEVER),
            old_known: Clock(widened(&self.old_known.0, -1)),
            fenced: self.fenced,
        }
    }
}
