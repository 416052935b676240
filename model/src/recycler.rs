//! The recycler: a pool of objects per thread.
//!
//! **Invariant: an object is in use, or in one place of one pool, or gone**; only a misuse by hand
//! ([`SharedRecycler`]) can break this, and then it is a wrong result, not a memory error.
//!
//! ```text
//!        get                                   recycle on the owner's thread: into its own store
//!   pool ───> in use, on any thread ───────────┤
//!    ^                                         recycle elsewhere: into a hand-over queue
//!    └── the owner takes from the queue when its own store is empty
//! ```
//!
//! [`Recycler`] gives out exclusive objects that return themselves: they can't be recycled twice. One implementation of
//! each of Netty's two designs reproduces its releases, and a third one is ours; which one is data: [`RecyclerConfig`].
//!
//! ```
//! use millpond_model::{Preset, recycler::Recycler};
//!
//! let buffers = Recycler::new(Preset::Millpond, || Vec::<u8>::with_capacity(4096));
//! let mut buffer = buffers.get();
//! buffer.extend_from_slice(b"ping");
//! std::thread::spawn(move || drop(buffer)).join().unwrap(); // back to this thread's pool
//!
//! let buffer = buffers.get(); // the same one: it keeps its contents
//! assert_eq!(*buffer, b"ping");
//! assert_eq!(buffers.stats().total().created, 1);
//! ```

mod config;
mod counters;
mod domain;
mod error;
mod hand_over;
mod inspect;
mod local_pool;
mod node;
mod outbox;
mod pool;
mod scavenge;
mod shared;
mod slot;
mod stack;
mod stats;
mod weak_order_queue;

pub use config::{
    BatchOrder, ConfigError, DeadQueueReclaim, Generation, Guard, OwnerExit, RatioMode, RecyclerConfig, Refill,
    WoqRatio,
};
pub use domain::{Collect, Collected, Domain};
pub(crate) use domain::{Collectable, ThreadHold};
pub use error::RecyclerError;
pub use inspect::{
    HOLE, HandOverInspection, LocalPoolInspection, PoolInspection, QueueInspection, StackInspection, StoreInspection,
};
pub use shared::{Handle, SharedRecycler};
pub use stats::{Drops, PoolStats, RecyclerStats, StatsError};

use crate::observe::Kind;
use crate::platform::CounterOps;
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use hand_over::HandOver;
use node::Node;
use pool::{Core, Obtained};
use slot::{Gate, Head, Slot};

/// A pool of `T` per thread. See the [module](self).
pub struct Recycler<T: Send + 'static, P: Platform = Std>(Arc<Core<T, P>>);

impl<T: Send + 'static, P: Platform> Clone for Recycler<T, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static> Recycler<T> {
    /// A recycler in a domain of its own.
    ///
    /// # Panics
    /// If [`RecyclerConfig::validate`] fails.
    pub fn new(config: impl Into<RecyclerConfig>, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self::new_in(&Domain::new(), Kind::Object, config.into(), make)
    }
}

impl<T: Send + 'static, P: Platform> Recycler<T, P> {
    /// A recycler in `domain`.
    ///
    /// # Panics
    /// If [`RecyclerConfig::validate`] fails.
    pub fn new_in(
        domain: &Domain<P>,
        kind: Kind,
        config: RecyclerConfig,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        Self(Core::new(&domain.0, kind, config, Box::new(make)))
    }

    /// An object, reused or new. A reused one is as its last user left it.
    ///
    /// # Panics
    /// If making a new object panics.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Pooled<T, P> {
        Pooled { slot: self.0.lend(), _value: PhantomData }
    }

    /// Hands over what the running thread has recycled for others in this recycler's domain: see [`Domain::flush`].
    pub fn flush(&self) {
        self.0.flush();
    }

    /// Gives up what the running thread's pool hasn't needed lately: see [`Domain::trim`].
    pub fn trim(&self) {
        self.0.trim();
    }

    /// The statistics.
    pub fn stats(&self) -> RecyclerStats {
        self.0.stats()
    }

    /// The inside of every pool, in order of creation; `id` names an object.
    ///
    /// # Safety
    /// No thread is inside a pool of this recycler, and what they did there happened before.
    pub unsafe fn inspect(&self, id: impl Fn(&T) -> i64) -> Vec<PoolInspection> {
        // SAFETY: by the contract of this function.
        unsafe { self.0.inspect(&id) }
    }
}

/// An object in use: one pointer. It returns itself to its pool when dropped, on whatever thread.
pub struct Pooled<T: Send + 'static, P: Platform = Std> {
    slot: NonNull<Slot<T, P>>,
    _value: PhantomData<T>,
}

impl<T: Send + 'static, P: Platform> Pooled<T, P> {
    #[inline(always)]
    fn head(&self) -> &Head<P> {
        // SAFETY: the object is ours.
        unsafe { &self.slot.as_ref().head }
    }

    /// Whether it is of batched hand-over; else it is a node.
    #[inline(always)]
    fn gate(&self) -> &Gate {
        // SAFETY: the gate is part of the pool, which lives as long as the object, or a constant.
        unsafe { self.head().gate.as_ref() }
    }

    /// The object leaves the pool for good and is destroyed now. A checker sees an object that nobody recycled.
    pub fn forget(self) {
        let this = ManuallyDrop::new(self);
        if this.gate().hand_over {
            // SAFETY: ours, and not used again.
            unsafe { HandOver::<P>::forget(this.slot.cast()) };
        } else {
            // SAFETY: it is a node, ours, and not used again.
            let Obtained { node, home, .. } = unsafe { Node::returned(this.slot) };
            home.count(|counters| counters.far.forgotten.add(1));
            drop(node);
        }
    }

    /// Whether it has a place in the pool; generation B decides so when it makes the object.
    pub fn is_poolable(&self) -> bool {
        // SAFETY: if it isn't of batched hand-over, it is a node.
        self.gate().hand_over || unsafe { Node::is_poolable(self.slot) }
    }

    /// The period of ownership.
    pub fn ticket(&self) -> P::Ticket {
        // SAFETY: ours.
        unsafe { self.head().ticket() }
    }

    /// The right to the object as a pointer to its value: somebody is to make it a `Pooled` again, once.
    #[inline(always)]
    #[allow(dead_code)]
    pub(crate) fn into_raw(self) -> NonNull<T> {
        Slot::to_value(ManuallyDrop::new(self).slot)
    }

    /// The right to an object that was made a pointer.
    ///
    /// # Safety
    /// `value` came from [`Pooled::into_raw`], and this is called once for it.
    #[inline(always)]
    #[allow(dead_code)]
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Self {
        // SAFETY: by the contract of this function.
        Self { slot: unsafe { Slot::of_value(value) }, _value: PhantomData }
    }
}

impl<T: Send + 'static, P: Platform> Deref for Pooled<T, P> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the object is exclusively ours: the pool gave it to nobody else, and nobody else can reach it.
        unsafe { &*self.slot.as_ref().value() }
    }
}

impl<T: Send + 'static, P: Platform> DerefMut for Pooled<T, P> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        unsafe { &mut *self.slot.as_ref().value() }
    }
}

impl<T: Send + 'static, P: Platform> Drop for Pooled<T, P> {
    #[inline]
    #[track_caller]
    fn drop(&mut self) {
        let head = self.slot.cast::<Head<P>>();
        // SAFETY: the gate of an owner is that of its pool, this is its thread, and the object isn't used again if it was pushed.
        if P::is_current(self.gate().owner) && unsafe { HandOver::of(head).push(head) } {
            return;
        }
        // SAFETY: ours, and not used again.
        unsafe { give_back(self.slot) };
    }
}

/// Gives an object back by the long way.
///
/// # Safety
/// It is the caller's, and not used again.
#[cold]
#[inline(never)]
#[track_caller]
unsafe fn give_back<T: Send + 'static, P: Platform>(slot: NonNull<Slot<T, P>>) {
    // SAFETY: the object is ours; its gate is part of its pool, or a constant.
    let result = if unsafe { slot.as_ref().head.gate.as_ref().hand_over } {
        // SAFETY: of batched hand-over, ours, and not used again.
        unsafe { HandOver::<P>::give_back(slot.cast()) }
    } else {
        // SAFETY: it is a node, ours, and not used again.
        let Obtained { node, ticket, home } = unsafe { Node::returned(slot) };
        home.give_back(node, ticket)
    };
    assert!(result.is_ok() || P::unwinding(), "an exclusive owner can't recycle twice");
}

// SAFETY: a `Pooled` is the one way to its value: sending it sends the value. Everything else in the slot is its holder's, or
// constant.
unsafe impl<T: Send + 'static, P: Platform> Send for Pooled<T, P> {}
// SAFETY: sharing it shares only a `&T`.
unsafe impl<T: Send + Sync + 'static, P: Platform> Sync for Pooled<T, P> {}

impl<T: Send + fmt::Debug + 'static, P: Platform> fmt::Debug for Pooled<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&**self).finish()
    }
}
