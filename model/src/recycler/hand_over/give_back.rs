//! How a pool of batched hand-over shrinks.
//!
//! **Invariant: only what a whole period didn't touch goes, and a look takes bounded time**, but for one that the owner asks for.
//!
//! ```text
//!   period: LOOK operations, or twice the array's length at its start, if that is more
//!   array:  [ untouched ....... | floor ... used ... ]        chain: untouched if no miss took from it
//!             half of it: the surplus of the next period, a part of which goes at each look
//! ```

use super::{Grave, HandOver, LOOK, Owned, ROOM};
use crate::Platform;
use crate::observe::{DropReason, Event, Fate};
use crate::platform::{AtomicOps, CellOps, CounterOps};
use crate::recycler::counters::bump;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Objects given up at a look, at most, from the array and from the chain each.
const GIVEN_UP: usize = 64;

impl<P: Platform> HandOver<P> {
    /// Gives up all that wasn't used in this period, and starts a new one.
    ///
    /// # Safety
    /// On the owner's thread.
    pub(in crate::recycler) unsafe fn trim(&self) {
        // SAFETY: on the owner's thread.
        unsafe { self.look_after(true) };
    }

    /// Gives up some of what is to be given up. Ends the period if it is over; or anyway, and gives up `at_once` what wasn't used.
    ///
    /// # Safety
    /// On the owner's thread.
    pub(super) unsafe fn look_after(&self, at_once: bool) {
        let mut grave = Grave(ptr::null_mut());
        // SAFETY: the owner's cell; objects are destroyed outside.
        self.owned.with_mut(|o| unsafe {
            let o = &mut *o;
            o.looked = self.operations();
            let is_over = at_once || o.looked.wrapping_sub(o.since) >= LOOK.max(2 * o.mark as u64);
            if is_over {
                let part = |unused: usize| if at_once { unused } else { unused.div_ceil(2) };
                let waiting = if o.refilled { 0 } else { self.shared.waiting.load(Relaxed) }; // Relaxed: about so many
                o.surplus = [part(o.floor), part(waiting)];
            }
            let at_most = if at_once { usize::MAX } else { GIVEN_UP };
            self.give_up_array(o, at_most, &mut grave);
            self.give_up_chain(o, at_most, &mut grave);
            if is_over {
                if o.chain.is_null() {
                    self.take_all(o); // for the next period to use, or not
                }
                let len = self.counters.own.len.get() as usize;
                (o.since, o.mark, o.floor, o.refilled) = (o.looked, len, len, false);
                self.shrink(o);
            }
        });
        // SAFETY: they have just been taken out.
        unsafe { Self::bury(grave) };
    }

    /// Gives up objects at the bottom of the array.
    ///
    /// # Safety
    /// On the owner's thread; `o` is its cell.
    unsafe fn give_up_array(&self, o: &mut Owned<P>, at_most: usize, grave: &mut Grave<P>) {
        let own = &self.counters.own;
        let len = own.len.get() as usize;
        let n = o.surplus[0].min(o.floor).min(at_most);
        for head in &o.array[..n] {
            // SAFETY: the array holds objects, which are the owner's.
            unsafe { grave.add(NonNull::new_unchecked(*head)) };
        }
        if n > 0 {
            o.array.copy_within(n..len, 0);
            own.len.set((len - n) as u64);
            bump(&own.unused, n as u64);
            o.surplus[0] -= n;
            o.floor -= n;
            o.mark = o.mark.saturating_sub(n);
        }
    }

    /// Gives up objects at the start of the chain.
    ///
    /// # Safety
    /// On the owner's thread; `o` is its cell.
    unsafe fn give_up_chain(&self, o: &mut Owned<P>, at_most: usize, grave: &mut Grave<P>) {
        let mut n = 0;
        while n < o.surplus[1].min(at_most)
            && let Some(head) = NonNull::new(o.chain)
        {
            // SAFETY: in the chain, and so the owner's.
            unsafe {
                o.chain = head.as_ref().next();
                P::note(head.as_ref().ticket(), Event::Transferred(Fate::Dropped(DropReason::Unused)));
                grave.add(head);
            }
            n += 1;
        }
        if n > 0 {
            self.shared.waiting.fetch_sub(n, SeqCst); // SeqCst: see `grow`
            bump(&self.counters.own.taken, n as u64);
            bump(&self.counters.own.unused, n as u64);
            o.surplus[1] -= n;
        }
    }

    /// Leaves half of the free places to others, and a long array's memory.
    fn shrink(&self, o: &mut Owned<P>) {
        let len = self.counters.own.len.get() as usize;
        o.limit -= (o.limit - len) / 2; // nothing is left of both when the owner has left
        self.shared.limit.store(o.limit, SeqCst); // SeqCst: see `grow`
        let places = (2 * o.limit).max(ROOM);
        if o.array.len() > 2 * places {
            let mut array = alloc::vec![ptr::null_mut(); places].into_boxed_slice();
            array[..len].copy_from_slice(&o.array[..len]);
            o.array = array;
        }
    }
}
