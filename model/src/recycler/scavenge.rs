//! Generation A: how an owner takes over what other threads recycled (Netty's `scavenge` and `transfer`).
//!
//! **Invariant: one pop takes at most one link from one queue**, except that the queue of a dead thread is drained.
//!
//! ```text
//!   cursor ──> queue: transfer one link?  yes ──> stop here, the cursor stays
//!                │ no
//!                ├─ writer gone? drain it; unlink it, unless it is the head of this scan
//!                └─ next queue ... at the end: back to the head, nothing found
//! ```

use super::config::DeadQueueReclaim;
use super::counters::bump;
use super::domain::Finalizer;
use super::error::RecyclerError;
use super::stack::{Around, Owned, Queue, Stack};
use super::weak_order_queue::{Stored, Unread};
use crate::Platform;
use crate::observe::{Defect, DropReason, Event, Fate, Reach};
use crate::platform::{AtomicOps, CellOps, CounterOps};
use alloc::sync::Arc;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed};

impl<T: Send + 'static, P: Platform> Owned<T, P> {
    /// # Safety
    /// As [`Owned::pop`].
    pub(super) unsafe fn scavenge(&mut self, stack: &Stack<T, P>, a: &Around<'_, P>) -> Result<bool, RecyclerError> {
        // SAFETY: as `pop`.
        if unsafe { self.scavenge_some(stack, a)? } {
            return Ok(true);
        }
        self.prev = ptr::null_mut();
        self.cursor = stack.head.load(Acquire); // as in `scavenge_some`
        Ok(false)
    }

    /// # Safety
    /// As [`Owned::pop`].
    unsafe fn scavenge_some(&mut self, stack: &Stack<T, P>, a: &Around<'_, P>) -> Result<bool, RecyclerError> {
        let (mut prev, mut cursor) = (self.prev, self.cursor);
        if cursor.is_null() {
            prev = ptr::null_mut();
            // Acquire: pairs with the Release in `new_queue`; the queue and those behind it are complete.
            cursor = stack.head.load(Acquire);
            if cursor.is_null() {
                return Ok(false);
            }
        }
        let mut success = false;
        loop {
            // SAFETY: a queue in the list is held by the list, and only the owner unlinks, below.
            let queue = unsafe { &*cursor };
            // SAFETY: on the owner's thread.
            if unsafe { self.transfer(queue, stack, a)? } {
                success = true;
                break;
            }
            // SAFETY: the owner's cell: the queue is published.
            let next = queue.next.with(|next| unsafe { *next });
            if queue.writer.is_gone() {
                // SAFETY: on the owner's thread, and the writer is gone.
                unsafe {
                    if queue.has_final_data() {
                        while self.transfer(queue, stack, a)? {
                            success = true;
                        }
                        P::reach(Reach::DeadQueueDrained);
                    }
                    if !prev.is_null() {
                        self.unlink(prev, cursor, next, stack, a);
                    }
                }
            } else {
                prev = cursor;
            }
            cursor = next;
            if cursor.is_null() || success {
                break;
            }
        }
        self.prev = prev;
        self.cursor = cursor;
        Ok(success)
    }

    /// Takes the queue of a dead thread out of the list.
    ///
    /// # Safety
    /// On the owner's thread; `prev`, `queue`, `next` follow each other in the list; the writer is gone; nobody uses
    /// `queue` afterwards.
    unsafe fn unlink(
        &mut self,
        prev: *mut Queue<T, P>,
        queue: *mut Queue<T, P>,
        next: *mut Queue<T, P>,
        stack: &Stack<T, P>,
        a: &Around<'_, P>,
    ) {
        // SAFETY: `prev` is in the list; its cell is the owner's.
        unsafe { (*prev).next.with_mut(|n| *n = next) };
        // SAFETY: the count that the list had.
        let queue = unsafe { Arc::from_raw(queue) };
        let before = self.grave.len();
        // SAFETY: on the owner's thread, and the writer is gone.
        let links = unsafe { queue.dismantle(&a.counters.far.links, &mut self.grave) };
        let left = (self.grave.len() - before) as u64;
        bump(&a.counters.own.taken, left);
        bump(&a.counters.own.full_unlinked, left);
        a.counters.far.queues.sub(1);
        let units = links * a.config.link_capacity.cast_signed();
        match a.config.dead_queue_reclaim {
            DeadQueueReclaim::Never => {}
            DeadQueueReclaim::Explicit => stack.shared.reclaim(units),
            DeadQueueReclaim::Finalizer => a.domain.finalize(Finalizer { shared: Arc::clone(&stack.shared), units }),
        }
    }

    /// Takes at most one link of `queue` over. True if the stack grew.
    ///
    /// # Safety
    /// On the owner's thread.
    unsafe fn transfer(
        &mut self,
        queue: &Queue<T, P>,
        stack: &Stack<T, P>,
        a: &Around<'_, P>,
    ) -> Result<bool, RecyclerError> {
        let links = &a.counters.far.links;
        let units = a.config.link_capacity.cast_signed();
        // SAFETY: on the owner's side.
        let (unread, skipped) = unsafe { queue.unread(links) };
        if skipped && a.config.reclaim_skipped_link {
            stack.shared.reclaim(units); // before 4.1.38 forgotten (Netty #9394)
        }
        let Some(mut unread) = unread else { return Ok(false) };
        let size = self.elements.len();
        let wanted = size + (unread.to - unread.from) as usize;
        if wanted > self.array_len {
            self.grow(wanted, a);
            let room = u32::try_from(self.array_len - size).unwrap_or(u32::MAX);
            unread.to = unread.to.min(unread.from.saturating_add(room));
        }
        if unread.from == unread.to {
            return Ok(false);
        }
        let to = unread.to;
        // SAFETY: on the owner's thread.
        unsafe { self.take_over(unread, size, a)? };
        // SAFETY: on the owner's side; `unread` is gone.
        if unsafe { queue.read_to(to, links) } {
            stack.shared.reclaim(units);
        }
        Ok(self.elements.len() > size || P::planted(Defect::EmptyTransfer))
    }

    /// Doubles the array until it holds `wanted` or is at its maximum (`increaseCapacity`).
    fn grow(&mut self, wanted: usize, a: &Around<'_, P>) {
        let max = a.config.max_capacity as usize;
        let mut len = self.array_len;
        loop {
            len *= 2;
            if len >= wanted || len >= max {
                break;
            }
        }
        self.set_array_len(len.min(max), a);
    }

    /// Moves the unread objects to the stack, or to the grave. On an error those already moved are lost, and the link keeps
    /// their holes (Netty #9640).
    ///
    /// # Safety
    /// On the owner's thread.
    unsafe fn take_over(
        &mut self,
        unread: Unread<'_, T, P>,
        size: usize,
        a: &Around<'_, P>,
    ) -> Result<(), RecyclerError> {
        let own = &a.counters.own;
        for index in unread.from..unread.to {
            // SAFETY: on the owner's side, within the unread part; nothing is destroyed.
            let taken = unsafe { unread.slot(index, confirm) };
            match taken {
                Ok(Stored { node, ticket }) => {
                    bump(&own.taken, 1);
                    if self.gate_drops(a, &node) {
                        bump(&own.ratio_transfer, 1);
                        P::note(ticket, Event::Transferred(Fate::Dropped(DropReason::Ratio)));
                        self.grave.push(node);
                    } else {
                        P::note(ticket, Event::Transferred(Fate::StoredByOwner));
                        node.homed.store(true, Relaxed); // a plain field
                        self.elements.push(Some(node));
                    }
                }
                Err(error) => {
                    bump(&own.lost, (self.elements.len() - size) as u64);
                    self.grave.extend(self.elements.drain(size..).flatten());
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Takes an object out of its slot if its ids agree; the owner confirms the id of the queue.
fn confirm<T: Send + 'static, P: Platform>(slot: &mut Option<Stored<T, P>>) -> Result<Stored<T, P>, RecyclerError> {
    let stored = slot.take().ok_or(RecyclerError::NullSlot)?;
    let last = stored.node.last.load(Relaxed); // plain fields
    match stored.node.confirmed.load(Relaxed) {
        0 => stored.node.confirmed.store(last, Relaxed),
        confirmed if confirmed != last => {
            *slot = Some(stored); // it stays where it is
            return Err(RecyclerError::RecycledAlready);
        }
        _ => {}
    }
    Ok(stored)
}
