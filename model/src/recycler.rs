//! The recycler: a pool of objects per thread. (API first; the generations follow.)

mod config;
mod stats;

pub use config::RecyclerConfig;
pub use stats::{Drops, PoolStats, RecyclerStats};

use crate::observe::{DropReason, Event, Fate, Kind};
use crate::{Platform, Std};
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// What recyclers share: the hand-over queues of each thread, its limit, and the registry of threads.
pub struct Domain<P: Platform = Std>(PhantomData<P>);

impl<P: Platform> Clone for Domain<P> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<P: Platform> Default for Domain<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Domain<P> {
    /// A new domain.
    pub fn new() -> Self {
        Self(PhantomData)
    }
    /// One garbage collection.
    pub fn collect(&self) {}
}

/// A pool of `T` per thread.
pub struct Recycler<T: Send + 'static, P: Platform = Std>(Arc<Core<T, P>>);

struct Core<T, P: Platform> {
    kind: Kind,
    make: alloc::boxed::Box<dyn Fn() -> T + Send + Sync>,
    _platform: PhantomData<P>,
}

impl<T: Send + 'static, P: Platform> Clone for Recycler<T, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static, P: Platform> Recycler<T, P> {
    /// A recycler in `domain`.
    pub fn new_in(
        _domain: &Domain<P>,
        kind: Kind,
        _config: RecyclerConfig,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Core { kind, make: alloc::boxed::Box::new(make), _platform: PhantomData }))
    }

    /// An object, reused or new.
    pub fn get(&self) -> Pooled<T, P> {
        let id = P::identify(self.0.kind);
        Pooled { value: (self.0.make)(), id, ticket: P::obtained(id) }
    }

    /// The statistics.
    pub fn stats(&self) -> RecyclerStats {
        RecyclerStats { kind: self.0.kind, pools: alloc::vec::Vec::new() }
    }
}

/// An object that returns itself to its pool when dropped.
pub struct Pooled<T: Send + 'static, P: Platform = Std> {
    value: T,
    id: P::Id,
    ticket: P::Ticket,
}

impl<T: Send + 'static, P: Platform> Deref for Pooled<T, P> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Send + 'static, P: Platform> DerefMut for Pooled<T, P> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Send + 'static, P: Platform> Drop for Pooled<T, P> {
    fn drop(&mut self) {
        P::note(self.ticket, Event::Recycled(Fate::Dropped(DropReason::NotPoolable)));
        P::destroyed(self.id);
    }
}
