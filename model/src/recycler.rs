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
//! each of Netty's two designs reproduces its releases; which one is data: [`RecyclerConfig`].
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
mod inspect;
mod local_pool;
mod node;
mod pool;
mod scavenge;
mod shared;
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
pub use inspect::{HOLE, LocalPoolInspection, PoolInspection, QueueInspection, StackInspection, StoreInspection};
pub use shared::{Handle, SharedRecycler};
pub use stats::{Drops, PoolStats, RecyclerStats, StatsError};

use crate::observe::Kind;
use crate::platform::CounterOps;
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use node::Node;
use pool::{Core, Home, Obtained};

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
    #[track_caller]
    pub fn get(&self) -> Pooled<T, P> {
        let Obtained { node, ticket, home } = match self.0.get() {
            Ok(obtained) => obtained,
            Err(error) => unreachable!("an exclusive owner can't recycle twice: {error}"),
        };
        // What makes `DerefMut` sound, whatever a pool might do wrong.
        assert!(Arc::strong_count(&node) == 1, "a pool gave out an object that somebody else has");
        Pooled { node: ManuallyDrop::new(node), ticket, home }
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
        self.0.pools().iter().map(|pool| unsafe { pool.inspect(&id) }).collect()
    }
}

/// An object in use. It returns itself to its pool when dropped, on whatever thread.
pub struct Pooled<T: Send + 'static, P: Platform = Std> {
    /// Taken out once, by `drop` or `forget`.
    node: ManuallyDrop<Arc<Node<T, P>>>,
    ticket: P::Ticket,
    home: Home<T, P>,
}

impl<T: Send + 'static, P: Platform> Pooled<T, P> {
    /// The object leaves the pool for good and is destroyed now. A checker sees an object that nobody recycled.
    pub fn forget(self) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so `node` and `home` are taken out once.
        let (node, home) = unsafe { (ManuallyDrop::take(&mut this.node), core::ptr::read(&raw const this.home)) };
        home.count(|counters| counters.far.forgotten.add(1));
        drop(node);
    }

    /// Whether it has a place in the pool; generation B decides so when it makes the object.
    pub fn is_poolable(&self) -> bool {
        matches!(self.home, Home::Pool(_))
    }

    /// The period of ownership.
    pub fn ticket(&self) -> P::Ticket {
        self.ticket
    }
}

impl<T: Send + 'static, P: Platform> Deref for Pooled<T, P> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the object is exclusively ours: `Recycler::get` checked it, and nobody else can reach it.
        unsafe { &*self.node.value() }
    }
}

impl<T: Send + 'static, P: Platform> DerefMut for Pooled<T, P> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        unsafe { &mut *self.node.value() }
    }
}

impl<T: Send + 'static, P: Platform> Drop for Pooled<T, P> {
    fn drop(&mut self) {
        // SAFETY: `drop` runs once, and not after `forget`.
        let node = unsafe { ManuallyDrop::take(&mut self.node) };
        let result = self.home.give_back(node, self.ticket);
        assert!(result.is_ok() || P::unwinding(), "an exclusive owner can't recycle twice");
    }
}

// SAFETY: a `Pooled` is the one way to its value, so sharing it shares only a `&T`; sending it sends the value.
unsafe impl<T: Send + Sync + 'static, P: Platform> Sync for Pooled<T, P> {}

impl<T: Send + fmt::Debug + 'static, P: Platform> fmt::Debug for Pooled<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&**self).finish()
    }
}
