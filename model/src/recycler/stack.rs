//! Generation A: a stack a thread, with a list of side queues (Netty 4.0.43, 4.1.2 to 4.1.70).
//!
//! **Invariant: everything but the list's head and the shared capacity belongs to the owner.** Others only push queues at
//! the head; only the owner walks the list and unlinks, and never the head, so that it needs no lock.
//!
//! ```text
//!   owner ─pop/push─> [ elements ]        head ──> WOQ(C) ──> WOQ(B) ──> WOQ(A)      newest first
//!                          ^                          ^prev      ^cursor
//!                          └──── transfer: one link at most ─────┘
//! ```
//!
//! The algorithms are those of Netty's `Recycler.Stack`, with each release's deviations behind the fields of
//! [`RecyclerConfig`]. An object that is to be destroyed inside an operation waits in `grave` until the operation is over:
//! its destructor may come back to this pool.

use super::config::{RatioMode, RecyclerConfig};
use super::counters::{Counters, bump};
use super::domain::{Dummy, Entry, Found, Inner, Target};
use super::error::RecyclerError;
use super::node::{Node, OWN};
use super::weak_order_queue::{SharedCapacity, WeakOrderQueue};
use crate::Platform;
use crate::observe::{Defect, DropReason, Event, Fate, Reach};
use crate::platform::{AtomicOps, CellOps, CounterOps, Lock};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

pub(super) type Queue<T, P> = WeakOrderQueue<T, P>;

/// What only the owner touches.
pub(super) struct Owned<T: Send + 'static, P: Platform> {
    /// The stack. `None` is a hole: up to 4.1.43 a pop that fails leaves one (Netty #9731).
    pub(super) elements: Vec<Option<Arc<Node<T, P>>>>,
    /// Holes among them. They stay: a pop that meets one fails and leaves it.
    holes: usize,
    /// Length of Java's array, which doubles; ours grows as it likes.
    pub(super) array_len: usize,
    /// `handleRecycleCount`.
    pub(super) gate: i32,
    pub(super) cursor: *mut Queue<T, P>,
    pub(super) prev: *mut Queue<T, P>,
    /// To be destroyed when the operation is over.
    pub(super) grave: Vec<Arc<Node<T, P>>>,
}

pub(super) struct Stack<T: Send + 'static, P: Platform> {
    pub(super) owned: P::Cell<Owned<T, P>>,
    /// The newest queue. The list holds one count of each queue in it.
    pub(super) head: P::Atomic<*mut Queue<T, P>>,
    /// The monitor under which queues are inserted.
    monitor: P::Mutex<()>,
    pub(super) shared: Arc<SharedCapacity<P>>,
    pub(super) dummies: Arc<P::Counter>,
    withheld: bool,
}

// SAFETY: nodes move between threads: T: Send. `owned` is touched by the owner only, by the contracts below.
unsafe impl<T: Send + 'static, P: Platform> Send for Stack<T, P> {}
// SAFETY: as above.
unsafe impl<T: Send + 'static, P: Platform> Sync for Stack<T, P> {}

/// What an operation needs of the pool around the stack.
pub(super) struct Around<'a, P: Platform> {
    pub(super) config: &'a RecyclerConfig,
    pub(super) counters: &'a Counters<P>,
    pub(super) domain: &'a Arc<Inner<P>>,
}

impl<T: Send + 'static, P: Platform> Stack<T, P> {
    /// `withheld`: what a writer's map refers to stays until the writer touches the map.
    pub(super) fn new(config: &RecyclerConfig, counters: &Counters<P>, withheld: bool) -> Self {
        let array_len = config.initial_capacity.min(config.max_capacity) as usize;
        counters.own.array_len.set(array_len as u64);
        let gate = match config.ratio_mode {
            RatioMode::None | RatioMode::Mask => -1,
            RatioMode::Interval => config.ratio.cast_signed(),
        };
        let owned = Owned {
            elements: Vec::new(),
            holes: 0,
            array_len,
            gate,
            cursor: ptr::null_mut(),
            prev: ptr::null_mut(),
            grave: Vec::new(),
        };
        Self {
            owned: P::Cell::new(owned),
            head: P::Atomic::new(ptr::null_mut()),
            monitor: P::Mutex::new(()),
            shared: Arc::new(SharedCapacity::new(config)),
            dummies: Arc::new(P::Counter::default()),
            withheld,
        }
    }

    /// Takes an object (`pop`).
    ///
    /// # Safety
    /// On the owner's thread.
    pub(super) unsafe fn pop(&self, a: &Around<'_, P>) -> Result<Option<Arc<Node<T, P>>>, RecyclerError> {
        // SAFETY: the owner's cell, by the contract of this function; nothing is destroyed inside: `grave`.
        let (result, mut grave) = self.owned.with_mut(|o| unsafe {
            let o = &mut *o;
            let result = o.pop(self, a);
            a.counters.own.len.set((o.elements.len() - o.holes) as u64);
            (result, core::mem::take(&mut o.grave))
        });
        if grave.capacity() > 0 {
            grave.clear(); // runs destructors, which may come back here
            // SAFETY: as above; an empty vector is destroyed at most.
            self.owned.with_mut(|o| unsafe {
                if (*o).grave.capacity() == 0 {
                    (*o).grave = grave;
                }
            });
        }
        result
    }

    /// Puts an object back (`pushNow`): takes it out of `object`, or leaves it there to be dropped.
    ///
    /// # Safety
    /// On the owner's thread.
    pub(super) unsafe fn push_now(
        &self,
        a: &Around<'_, P>,
        object: &mut Option<Arc<Node<T, P>>>,
        ticket: P::Ticket,
    ) -> Result<(), RecyclerError> {
        let Some(node) = object.as_ref() else { unreachable!("the caller has it") };
        // Relaxed: plain fields of Java; 4.1.60+ claims `last`.
        if node.confirmed.load(Relaxed) != 0 {
            return Err(RecyclerError::RecycledAlready);
        }
        if a.config.claim_by_cas {
            // AcqRel: as in `WeakOrderQueue::add`.
            node.last.compare_exchange(0, OWN, AcqRel, Relaxed).map_err(|_| RecyclerError::RecycledAlready)?;
        } else if node.last.load(Relaxed) != 0 {
            return Err(RecyclerError::RecycledAlready);
        } else {
            node.last.store(OWN, Relaxed);
        }
        node.confirmed.store(OWN, Relaxed); // Relaxed: a plain field
        let own = &a.counters.own;
        // SAFETY: the owner's cell, by the contract of this function; nothing is destroyed in the closure.
        let dropped = self.owned.with_mut(|o| unsafe {
            let o = &mut *o;
            if o.elements.len() >= a.config.max_capacity as usize && !P::planted(Defect::StackUnbounded) {
                return Some((DropReason::PoolFull, &own.full));
            }
            if object.as_deref().is_some_and(|node| o.gate_drops(a, node)) {
                return Some((DropReason::Ratio, &own.ratio));
            }
            if o.elements.len() == o.array_len {
                o.set_array_len((o.array_len * 2).min(a.config.max_capacity as usize), a);
            }
            o.elements.push(object.take());
            None
        });
        let fate = match dropped {
            None => {
                bump(&own.stored, 1);
                bump(&own.len, 1);
                Fate::StoredByOwner
            }
            Some((reason, counter)) => {
                bump(counter, 1);
                Fate::Dropped(reason)
            }
        };
        P::note(ticket, Event::Recycled(fate));
        Ok(())
    }

    /// Hands an object over (`pushLater`): takes it out of `object`, or leaves it there to be dropped. `pool` gives the
    /// pool around this stack, which the caller holds.
    pub(super) fn push_later(
        &self,
        a: &Around<'_, P>,
        number: u64,
        pool: impl Fn() -> Arc<dyn Any + Send + Sync>,
        object: &mut Option<Arc<Node<T, P>>>,
        ticket: P::Ticket,
    ) {
        P::reach(Reach::RecycledByOtherThread);
        let queue = self.queue_of_this_thread(a, number, pool);
        let fate = match queue {
            // SAFETY: the queue of the running thread, which `pool` and the thread's map keep.
            Ok(queue) => unsafe { (*queue).add(a.config, &self.shared, &a.counters.far.links, object, ticket) },
            Err(reason) => Some(Fate::Dropped(reason)),
        };
        match fate {
            None => {
                a.counters.far.ignored.add(1);
                P::note(ticket, Event::RecycleRefused);
            }
            Some(fate) => {
                a.counters.far_fate(fate);
                if fate != Fate::StoredByOther {
                    P::note(ticket, Event::Recycled(fate)); // a stored one was noted before it was published
                }
            }
        }
    }

    /// The running thread's queue for this stack, made if there is room for it.
    fn queue_of_this_thread(
        &self,
        a: &Around<'_, P>,
        number: u64,
        pool: impl Fn() -> Arc<dyn Any + Send + Sync>,
    ) -> Result<*const Queue<T, P>, DropReason> {
        let limit = a.config.max_delayed_queues_per_thread.map(|n| n as usize);
        if limit == Some(0) && a.config.zero_limit_skips_map {
            P::reach(Reach::DelayedLimitHit);
            return Err(DropReason::DelayedLimit);
        }
        let entries = match a.domain.look_up(number) {
            None => return Err(DropReason::DelayedLimit), // the thread is past its end: it serves nobody any more
            Some(Found::Dummy) => {
                P::reach(Reach::DelayedLimitHit);
                return Err(DropReason::DelayedLimit);
            }
            Some(Found::Queue(queue)) => return Ok(queue.cast()),
            Some(Found::Absent(entries)) => entries,
        };
        let weak = Arc::downgrade(&pool());
        if limit.is_some_and(|limit| entries >= limit) {
            P::reach(Reach::DelayedLimitHit);
            let target = Target::Dummy { _mark: Dummy::new(&self.dummies) };
            a.domain.insert(number, Entry { pool: weak, _pin: None, target });
            return Err(DropReason::DelayedLimit);
        }
        self.new_queue(a, number, pool, weak)
    }

    /// A new queue of the running thread, linked at the head of the list.
    fn new_queue(
        &self,
        a: &Around<'_, P>,
        number: u64,
        pool: impl Fn() -> Arc<dyn Any + Send + Sync>,
        weak: Weak<dyn Any + Send + Sync>,
    ) -> Result<*const Queue<T, P>, DropReason> {
        let writer = a.domain.with_record(Arc::clone).ok_or(DropReason::DelayedLimit)?;
        let queue = Queue::new(a.config, &self.shared, writer, || a.domain.next_queue());
        let queue = Arc::new(queue.ok_or(DropReason::NoSharedCapacity)?);
        a.counters.far.links.add(1);
        a.counters.far.queues.add(1);
        let linked = Arc::into_raw(Arc::clone(&queue)).cast_mut();
        let monitor = self.monitor.lock();
        let head = self.head.load(Relaxed); // ordered by the monitor
        // SAFETY: the queue isn't published yet: the cell is ours.
        queue.next.with_mut(|next| unsafe { *next = head });
        let order = if P::planted(Defect::QueueNotVolatile) { Relaxed } else { Release };
        // Release: pairs with the Acquire in `scavenge_some`; the queue is complete (Netty commit 3c5e677964).
        self.head.store(linked, order);
        drop(monitor);
        let pin = a.config.queue_pins_pool.then(pool);
        a.domain.insert(number, Entry { pool: weak, _pin: pin, target: Target::Queue(queue) });
        Ok(linked)
    }
}

impl<T: Send + 'static, P: Platform> Owned<T, P> {
    pub(super) fn set_array_len(&mut self, len: usize, a: &Around<'_, P>) {
        self.array_len = len;
        a.counters.own.array_len.set(len as u64);
    }

    /// Whether the ratio lets the object go (`dropHandle`).
    pub(super) fn gate_drops(&mut self, a: &Around<'_, P>, node: &Node<T, P>) -> bool {
        // Relaxed: a plain field.
        if a.config.ratio_mode == RatioMode::None || node.admitted.load(Relaxed) {
            return false;
        }
        let drops = match a.config.ratio_mode {
            RatioMode::None => false,
            RatioMode::Mask => {
                self.gate = self.gate.wrapping_add(1);
                self.gate & (a.config.ratio.next_power_of_two().cast_signed() - 1) != 0
            }
            RatioMode::Interval if self.gate < a.config.ratio.cast_signed() => {
                self.gate += 1;
                true
            }
            RatioMode::Interval => {
                self.gate = 0;
                false
            }
        };
        if !drops {
            node.admitted.store(true, Relaxed); // Relaxed: a plain field
            bump(&a.counters.own.admitted, 1);
        }
        drops
    }

    /// # Safety
    /// On the owner's thread; `self` is `stack.owned`.
    unsafe fn pop(&mut self, stack: &Stack<T, P>, a: &Around<'_, P>) -> Result<Option<Arc<Node<T, P>>>, RecyclerError> {
        // SAFETY: on the owner's thread.
        if self.elements.is_empty() && !unsafe { self.scavenge(stack, a)? } {
            return Ok(None);
        }
        let Some(slot) = self.elements.last_mut() else {
            unreachable!("a scavenge that succeeds leaves something (Netty #9609)")
        };
        let node = slot.take();
        if a.config.size_stored_before_validation {
            self.elements.pop();
        }
        let node = node.ok_or(RecyclerError::NullSlot)?;
        // Relaxed: plain fields; what publishes the object is the queue that brought it.
        if node.last.load(Relaxed) != node.confirmed.load(Relaxed) {
            bump(&a.counters.own.lost, 1);
            self.holes += usize::from(!a.config.size_stored_before_validation);
            self.grave.push(node);
            return Err(RecyclerError::RecycledMultipleTimes);
        }
        // Relaxed: plain fields.
        node.confirmed.store(0, Relaxed);
        node.last.store(0, Relaxed);
        if !a.config.size_stored_before_validation {
            self.elements.pop();
        }
        bump(&a.counters.own.reused, 1);
        Ok(Some(node))
    }
}

impl<T: Send + 'static, P: Platform> Drop for Stack<T, P> {
    fn drop(&mut self) {
        P::inherits(); // the pool's `Arc` was the last one
        let owned = self.owned.get_mut();
        let mut rest: Vec<_> = owned.elements.drain(..).flatten().collect();
        let mut queue = *self.head.get_mut();
        while !queue.is_null() {
            // SAFETY: the count that the list had. A writer's map may hold another, but the writer can't come: it would
            // need an object in use, and that would hold this pool.
            let unlinked = unsafe { Arc::from_raw(queue) };
            // SAFETY: `&mut self` is the owner's side now.
            queue = unlinked.next.with(|next| unsafe { *next });
            if self.withheld && Arc::strong_count(&unlinked) > 1 {
                continue; // its objects stay with it
            }
            // SAFETY: as above.
            unsafe { unlinked.dismantle(&P::Counter::default(), &mut rest) };
        }
        drop(rest); // runs destructors
    }
}
