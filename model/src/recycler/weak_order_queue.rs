//! Generation A's side queue: objects of one stack that one other thread recycled.
//!
//! **Invariant: the writer appends and the stack's owner takes; an object is handed over by the write index alone**: slot,
//! then `homed = false`, then the index with Release are three steps, and the owner reads nothing beyond the index that it
//! read with Acquire.
//!
//! ```text
//!   owner's `head`                                   writer's `tail`
//!        v                                                 v
//!   ┌ Link ────────────┐ next  ┌ Link ────────────┐  ┌ Link ────────────┐
//!   │ - - - x x x x x  │──────>│ x x x x x x x x  │─>│ x x x . . . . .  │      x waiting, - taken, . empty
//!   │       ^read  16^ │       │                  │  │       ^write     │
//!   └──────────────────┘       └──────────────────┘  └──────────────────┘
//! ```
//!
//! Each link costs its length of the stack's [`SharedCapacity`] (Netty 4.1.3+). Netty publishes `next` with a plain store
//! (Netty #4830); here it is a Release store, because an index can't be read through an unpublished link.

use super::config::{RecyclerConfig, WoqRatio};
use super::domain::ThreadRecord;
use super::node::Node;
use crate::Platform;
use crate::observe::{Defect, DropReason, Event, Fate, Reach};
use crate::platform::{AtomicOps, CellOps, CounterOps};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// What the side queues of one stack may hold together.
pub(super) struct SharedCapacity<P: Platform> {
    /// `None`: no limit (4.1.2).
    available: Option<P::Atomic<i32>>,
    /// The same, for the statistics.
    mirror: P::Counter,
    pub(super) initial: i32,
}

impl<P: Platform> SharedCapacity<P> {
    pub(super) fn new(config: &RecyclerConfig) -> Self {
        let initial = if config.unbounded_side_queues { 0 } else { config.shared_capacity() };
        let mirror = P::Counter::default();
        mirror.set(u64::from(initial.cast_unsigned()));
        Self { available: (!config.unbounded_side_queues).then(|| P::Atomic::new(initial)), mirror, initial }
    }

    /// Takes `units` if they are there (`reserveSpace`).
    fn reserve(&self, units: i32) -> bool {
        let Some(available) = &self.available else { return true };
        let mut now = available.load(Relaxed); // Relaxed: a guess; the exchange decides
        loop {
            if now < units {
                P::reach(Reach::SharedCapacityExhausted);
                return false;
            }
            // Relaxed: a count of units, which publishes nothing.
            match available.compare_exchange(now, now - units, Relaxed, Relaxed) {
                Ok(_) => break,
                Err(found) => now = found,
            }
        }
        self.mirror.sub(u64::from(units.cast_unsigned()));
        true
    }

    /// Gives `units` back.
    pub(super) fn reclaim(&self, units: i32) {
        if let Some(available) = &self.available {
            available.fetch_add(units, Relaxed); // as in `reserve`
            self.mirror.add(u64::from(units.cast_unsigned()));
        }
    }

    /// What is free, for the statistics.
    pub(super) fn free(&self) -> u64 {
        self.mirror.get()
    }
}

/// An object in a slot, with the ticket that it was recycled on.
pub(super) struct Stored<T: Send + 'static, P: Platform> {
    pub(super) node: Arc<Node<T, P>>,
    pub(super) ticket: P::Ticket,
}

type Slot<T, P> = <P as Platform>::Cell<Option<Stored<T, P>>>;

pub(super) struct Link<T: Send + 'static, P: Platform> {
    /// Not the last field: whether a `Link` has a size must not depend on the type of a pointer to it.
    next: P::Atomic<*mut Link<T, P>>,
    slots: Box<[Slot<T, P>]>,
    read: P::Cell<u32>,
    write: P::Atomic<u32>,
}

impl<T: Send + 'static, P: Platform> Link<T, P> {
    fn allocate(capacity: u32) -> *mut Self {
        Box::into_raw(Box::new(Self {
            slots: (0..capacity).map(|_| P::Cell::new(None)).collect(),
            write: P::Atomic::new(0),
            read: P::Cell::new(0),
            next: P::Atomic::new(ptr::null_mut()),
        }))
    }
}

/// One link's unread part, as the owner sees it.
pub(super) struct Unread<'a, T: Send + 'static, P: Platform> {
    pub(super) link: &'a Link<T, P>,
    pub(super) from: u32,
    pub(super) to: u32,
}

impl<T: Send + 'static, P: Platform> Unread<'_, T, P> {
    /// Runs `f` on the slot at `index`.
    ///
    /// # Safety
    /// On the owner's side; `index` is in `from..to`; `f` destroys no object.
    pub(super) unsafe fn slot<R>(&self, index: u32, f: impl FnOnce(&mut Option<Stored<T, P>>) -> R) -> R {
        // SAFETY: below the write index that was read with Acquire the writer doesn't come back; above `from` only the owner
        // comes.
        self.link.slots[index as usize].with_mut(|slot| f(unsafe { &mut *slot }))
    }
}

struct Writer<T: Send + 'static, P: Platform> {
    tail: *mut Link<T, P>,
    /// Objects dropped since one was taken.
    gate: u32,
}

pub(super) struct WeakOrderQueue<T: Send + 'static, P: Platform> {
    pub(super) number: u32,
    pub(super) writer: Arc<ThreadRecord<P>>,
    /// The older queue of the same stack. Written by the writer before the queue is published, by the owner afterwards.
    pub(super) next: P::Cell<*mut WeakOrderQueue<T, P>>,
    /// Null when the queue has been taken apart.
    head: P::Cell<*mut Link<T, P>>,
    end: P::Cell<Writer<T, P>>,
}

// SAFETY: nodes move between threads: T: Send. The cells belong to one side each: `head` and `next` to the owner, `end` to the
// writer (to the owner when the writer is gone), a slot to the writer before the index passes it and then to the owner.
unsafe impl<T: Send + 'static, P: Platform> Send for WeakOrderQueue<T, P> {}
// SAFETY: as above.
unsafe impl<T: Send + 'static, P: Platform> Sync for WeakOrderQueue<T, P> {}

impl<T: Send + 'static, P: Platform> WeakOrderQueue<T, P> {
    /// A queue with one link, paid for from `shared`; `None` when there isn't enough.
    pub(super) fn new(
        config: &RecyclerConfig,
        shared: &SharedCapacity<P>,
        writer: Arc<ThreadRecord<P>>,
        number: impl FnOnce() -> u32,
    ) -> Option<Self> {
        if !shared.reserve(config.link_capacity.cast_signed()) {
            return None;
        }
        let link = Link::allocate(config.link_capacity);
        Some(Self {
            number: number(),
            writer,
            next: P::Cell::new(ptr::null_mut()),
            head: P::Cell::new(link),
            // The first one passes: the count starts where one is taken.
            end: P::Cell::new(Writer { tail: link, gate: config.delayed_queue_ratio }),
        })
    }

    /// What `last` becomes in an object that this queue has: unique in the domain, not 0, not [`OWN`](super::node::OWN).
    fn id(&self) -> i32 {
        (self.number % i32::MAX.cast_unsigned()).cast_signed() + 1
    }

    /// Appends an object (`WeakOrderQueue.add`): takes it out of `object`, or leaves it there to be dropped. `None`: a double
    /// recycle, ignored.
    ///
    /// # Safety
    /// On the writer's thread, while the caller holds the pool.
    pub(super) unsafe fn add(
        &self,
        config: &RecyclerConfig,
        shared: &SharedCapacity<P>,
        links: &P::Counter,
        object: &mut Option<Arc<Node<T, P>>>,
        ticket: P::Ticket,
    ) -> Option<Fate> {
        let node = object.as_ref()?;
        if config.claim_by_cas {
            // AcqRel: the winner's work on the object happens before whoever claims it next.
            node.last.compare_exchange(0, self.id(), AcqRel, Relaxed).ok()?;
        } else {
            node.last.store(self.id(), Relaxed); // a plain field until 4.1.59
        }
        let gated = match config.woq_ratio {
            WoqRatio::None => false,
            WoqRatio::AllHandles => true,
            WoqRatio::NeverRecycledOnly => !node.admitted.load(Relaxed), // a plain field
        };
        // SAFETY: the writer's own cell, by the contract of this function; nothing is destroyed in the closure.
        let place = self.end.with_mut(|end| unsafe { self.place(&mut *end, config, shared, links, gated) });
        let (link, at) = match place {
            Ok(place) => place,
            Err(reason) => return Some(Fate::Dropped(reason)),
        };
        // SAFETY: the tail link lives until the owner has read it to its end, which needs the index below.
        let link = unsafe { &*link };
        let homed = &raw const node.homed;
        let stored = object.take().map(|node| Stored { node, ticket });
        // SAFETY: at the write index the slot is the writer's; it is empty, so nothing is destroyed.
        link.slots[at as usize].with_mut(|slot| unsafe { *slot = stored });
        // SAFETY: the slot holds the object, and the owner can't take it before the index is written.
        unsafe { (*homed).store(false, Relaxed) }; // `handle.stack = null`: published by the index
        P::note(ticket, Event::Recycled(Fate::StoredByOther)); // before anybody can obtain it
        // Release: pairs with the Acquire in `unread`; the slot and the object go with it.
        link.write.store(at + 1, Release);
        Some(Fate::StoredByOther)
    }

    /// The writer's gate, then a place at the tail, with a new link if the last one is full.
    ///
    /// # Safety
    /// As [`WeakOrderQueue::add`].
    unsafe fn place(
        &self,
        end: &mut Writer<T, P>,
        config: &RecyclerConfig,
        shared: &SharedCapacity<P>,
        links: &P::Counter,
        gated: bool,
    ) -> Result<(*mut Link<T, P>, u32), DropReason> {
        if gated {
            if end.gate < config.delayed_queue_ratio {
                end.gate += 1;
                return Err(DropReason::Ratio);
            }
            end.gate = 0;
        }
        // SAFETY: the tail link lives: the owner frees a link only when it has a successor.
        let write = unsafe { (*end.tail).write.load(Relaxed) }; // Relaxed: our own index
        if write < config.link_capacity {
            return Ok((end.tail, write));
        }
        if !shared.reserve(config.link_capacity.cast_signed()) {
            return Err(DropReason::NoSharedCapacity);
        }
        let link = Link::allocate(config.link_capacity);
        links.add(1);
        // Relaxed is what Netty had; the next index is written with Release, but to the new link.
        let order = if P::planted(Defect::LinkNotVolatile) { Relaxed } else { Release };
        // Release: pairs with the Acquire in `skip_read_link`; the link is complete. The old tail isn't touched after this.
        // SAFETY: as above.
        unsafe { (*end.tail).next.store(link, order) };
        end.tail = link;
        Ok((link, 0))
    }

    /// The first link, past one that is read to its end and has a successor; `None` when there is nothing to read. The
    /// second value says whether a link was skipped.
    ///
    /// # Safety
    /// On the owner's side.
    pub(super) unsafe fn unread(&self, links: &P::Counter) -> (Option<Unread<'_, T, P>>, bool) {
        // SAFETY: the owner's cell; the first link lives until the owner frees it.
        let first = unsafe { self.head.with(|p| *p).as_ref() };
        let Some(first) = first else { return (None, false) };
        let mut skipped = false;
        let mut link = first;
        // SAFETY: the owner's cell.
        if link.read.with(|p| unsafe { *p }) as usize == link.slots.len() {
            // SAFETY: on the owner's side, by the contract of this function.
            match unsafe { self.skip_read_link(links) } {
                Some(next) => link = next,
                None => return (None, false),
            }
            skipped = true;
        }
        // SAFETY: the owner's cell.
        let from = link.read.with(|p| unsafe { *p });
        let to = link.write.load(Acquire); // pairs with the Release in `add`: the slots below are complete
        ((from != to).then_some(Unread { link, from, to }), skipped)
    }

    /// Frees the first link if it has a successor, and gives that.
    ///
    /// # Safety
    /// On the owner's side, and the first link is read to its end; references to it are dead.
    unsafe fn skip_read_link(&self, links: &P::Counter) -> Option<&Link<T, P>> {
        // SAFETY: the owner's cell.
        let first = self.head.with(|p| unsafe { *p });
        // Acquire: pairs with the Release in `place`; the successor is complete, and the writer is done with this link.
        // SAFETY: the first link lives.
        let next = unsafe { (*first).next.load(Acquire) };
        if next.is_null() {
            return None;
        }
        // SAFETY: the owner's cell.
        self.head.with_mut(|p| unsafe { *p = next });
        // SAFETY: it came from `Link::allocate`; the writer has moved on, and the owner has just unlinked it. Its slots are
        // empty because it was read to its end, so no object is destroyed.
        drop(unsafe { Box::from_raw(first) });
        links.sub(1);
        // SAFETY: the successor lives: it is the first link now.
        Some(unsafe { &*next })
    }

    /// Says that the first link is read up to `to`; frees it if it is read to its end and has a successor, and says so.
    ///
    /// # Safety
    /// On the owner's side; references to the first link are dead.
    pub(super) unsafe fn read_to(&self, to: u32, links: &P::Counter) -> bool {
        // SAFETY: the owner's cell; the first link lives.
        let first = unsafe { &*self.head.with(|p| *p) };
        // SAFETY: the owner's cell.
        first.read.with_mut(|p| unsafe { *p = to });
        // SAFETY: on the owner's side; `first` isn't used after this.
        to as usize == first.slots.len() && unsafe { self.skip_read_link(links) }.is_some()
    }

    /// Whether a dead writer's last link has something unread (`hasFinalData`).
    ///
    /// # Safety
    /// On the owner's side, and the writer is gone.
    pub(super) unsafe fn has_final_data(&self) -> bool {
        // SAFETY: the owner's cell.
        if self.head.with(|p| unsafe { *p }).is_null() {
            return false;
        }
        // SAFETY: the writer is gone: its cell is the owner's now, and the tail lives because it has no successor.
        let tail = unsafe { &*self.end.with(|end| (*end).tail) };
        // SAFETY: the owner's cell.
        tail.read.with(|p| unsafe { *p }) != tail.write.load(Acquire) // pairs with the Release in `add`
    }

    /// Takes the queue apart: gives its objects, and says how many links it had.
    ///
    /// # Safety
    /// On the owner's side, and the writer will not come back: it is gone, or nobody can have an object of this pool.
    pub(super) unsafe fn dismantle(&self, links: &P::Counter, rest: &mut Vec<Arc<Node<T, P>>>) -> i32 {
        // SAFETY: the owner's cell.
        let mut link = self.head.with_mut(|p| unsafe { core::mem::replace(&mut *p, ptr::null_mut()) });
        let mut count: i32 = 0;
        while !link.is_null() {
            // SAFETY: it came from `Link::allocate`, and nobody else is here, by the contract of this function.
            let mut freed = unsafe { Box::from_raw(link) };
            rest.extend(freed.slots.iter_mut().filter_map(|slot| slot.get_mut().take()).map(|s| s.node));
            link = *freed.next.get_mut();
            count += 1;
        }
        links.sub(u64::from(count.cast_unsigned()));
        count
    }

    /// Shows the unread slots, oldest first, and counts the links; and gives the writer's gate.
    ///
    /// # Safety
    /// The owner and the writer are not in the pool, and what they did happened before.
    pub(super) unsafe fn inspect(&self, mut show: impl FnMut(Option<&T>)) -> (u64, u32) {
        // SAFETY: nobody is here.
        let mut link = self.head.with(|p| unsafe { *p });
        let mut count = 0;
        // SAFETY: links live while they are linked, and nobody unlinks meanwhile.
        while let Some(l) = unsafe { link.as_ref() } {
            // SAFETY: nobody is here.
            let from = l.read.with(|p| unsafe { *p });
            // Acquire: pairs with the Release in `add`, which the contract has ordered before us already.
            for slot in &l.slots[from as usize..l.write.load(Acquire) as usize] {
                // SAFETY: nobody is here; a value in a slot isn't in use.
                slot.with(|s| show(unsafe { (*s).as_ref().map(|s| &*s.node.value()) }));
            }
            link = l.next.load(Acquire); // as in `skip_read_link`
            count += 1;
        }
        // SAFETY: nobody is here.
        (count, self.end.with(|end| unsafe { (*end).gate }))
    }
}

impl<T: Send + 'static, P: Platform> Drop for WeakOrderQueue<T, P> {
    fn drop(&mut self) {
        P::inherits(); // the queue's `Arc` was the last one
        let mut rest = Vec::new();
        // SAFETY: `&mut self`. The links were uncounted when the queue was unlinked or its pool went away; a queue that is
        // dropped without that was never linked, or its pool is being forgotten with it.
        unsafe { self.dismantle(&P::Counter::default(), &mut rest) };
    }
}
