//! Recycling by hand, as in Java: many holders may have a handle of one object, and any of them may recycle it, even twice.
//!
//! **Invariant: a handle gives shared references only, and the pool counts references**, so that a double or a stale recycle
//! is a wrong result that a test can look for, never a memory error.

use super::config::{Generation, Guard, RecyclerConfig};
use super::domain::Domain;
use super::error::RecyclerError;
use super::inspect::PoolInspection;
use super::node::Node;
use super::pool::{Core, Home, Obtained};
use super::stats::RecyclerStats;
use crate::observe::{Defect, Event, Kind};
use crate::platform::{AtomicOps, CounterOps};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic::Ordering::AcqRel;

/// A pool of `T` per thread whose objects are recycled by hand. [`Recycler`](super::Recycler) is the one for programs; this
/// one is for those who want to see what misuse does.
pub struct SharedRecycler<T: Send + Sync + 'static, P: Platform = Std>(Arc<Core<T, P>>);

impl<T: Send + Sync + 'static, P: Platform> Clone for SharedRecycler<T, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + Sync + 'static, P: Platform> SharedRecycler<T, P> {
    /// A recycler in `domain`. Batched hand-over needs exclusive owners: generation B serves in its place.
    ///
    /// # Panics
    /// If [`RecyclerConfig::validate`] fails.
    pub fn new_in(
        domain: &Domain<P>,
        kind: Kind,
        config: RecyclerConfig,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        let config = match config.generation {
            Generation::HandOver => RecyclerConfig { generation: Generation::B, ..config },
            Generation::A | Generation::B => config,
        };
        Self(Core::new(&domain.0, kind, config, Box::new(make)))
    }

    /// An object, reused or new.
    ///
    /// # Errors
    /// An earlier double recycle shows here, or damaged the pool.
    #[track_caller]
    pub fn get(&self) -> Result<Handle<T, P>, RecyclerError> {
        let Obtained { node, ticket, home } = self.0.get()?;
        let lease = Lease { home, ticket, ended: P::Counter::default(), is_over: P::Atomic::new(false) };
        Ok(Handle { node, lease: Arc::new(lease) })
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

/// One period of ownership, shared by the clones of its handle.
struct Lease<T: Send + 'static, P: Platform> {
    home: Home<T, P>,
    ticket: P::Ticket,
    /// How often it was recycled. A statistic: not 1 is a leak or a double recycle.
    ended: P::Counter,
    /// [`Guard::Period`]: it was recycled.
    is_over: P::Atomic<bool>,
}

impl<T: Send + 'static, P: Platform> Drop for Lease<T, P> {
    fn drop(&mut self) {
        if self.ended.get() == 0 {
            self.home.count(|counters| counters.far.forgotten.add(1));
        }
    }
}

/// A reference to an object obtained from a [`SharedRecycler`]. Clones share its period of ownership: one kept after another
/// was recycled is stale. Dropping the last one without recycling gives the object up.
pub struct Handle<T: Send + Sync + 'static, P: Platform = Std> {
    node: Arc<Node<T, P>>,
    lease: Arc<Lease<T, P>>,
}

impl<T: Send + Sync + 'static, P: Platform> Handle<T, P> {
    /// Gives the object back to its pool, which keeps or drops it.
    ///
    /// # Errors
    /// The pool noticed that the object is in it already.
    pub fn recycle(self) -> Result<(), RecyclerError> {
        self.lease.ended.add(1);
        if self.is_stale() {
            self.lease.home.count(|counters| counters.far.refused.add(1));
            P::note(self.lease.ticket, Event::RecycleRefused);
            return Err(RecyclerError::ObjectRecycledAlready);
        }
        self.lease.home.give_back(self.node, self.lease.ticket)
    }

    /// Whether this period of ownership ended before, if the pool looks at that.
    fn is_stale(&self) -> bool {
        let guarded = self.lease.home.config().is_some_and(|config| config.guard == Guard::Period);
        // AcqRel: as the exchange of generation B, which decides when nobody looks here.
        guarded && !P::planted(Defect::StaleRecycle) && self.lease.is_over.swap(true, AcqRel)
    }

    /// Whether it has a place in the pool; generation B decides so when it makes the object.
    pub fn is_poolable(&self) -> bool {
        matches!(self.lease.home, Home::Pool(_))
    }

    /// The period of ownership.
    pub fn ticket(&self) -> P::Ticket {
        self.lease.ticket
    }
}

impl<T: Send + Sync + 'static, P: Platform> Clone for Handle<T, P> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), lease: Arc::clone(&self.lease) }
    }
}

impl<T: Send + Sync + 'static, P: Platform> Deref for Handle<T, P> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: T is Sync, and nobody writes: a core that serves handles gives out no exclusive reference.
        unsafe { &*self.node.value() }
    }
}

impl<T: Send + Sync + fmt::Debug + 'static, P: Platform> fmt::Debug for Handle<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&**self).finish()
    }
}
