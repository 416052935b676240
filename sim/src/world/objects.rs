//! Objects of a recycler of the scenario's own.
//!
//! **Invariant: a round's objects are all obtained before the first one is given away**, so that an object which a pool gives out
//! twice has two owners at the same time.
//!
//! ```text
//!   no misuse:  Recycler        one owner each, as programs have them
//!   misuse:     SharedRecycler  handles, as in Java: who has one may recycle, and a pool is judged by what it does then
//! ```

use super::exchange::on;
use super::flight::Flight;
use crate::engine::{Chances, Generator};
use crate::scenario::{Misuse, Objects, To};
use millpond_model::Platform;
use millpond_model::event_loop::EventLoop;
use millpond_model::observe::Kind;
use millpond_model::platform::Lock;
use millpond_model::recycler::{
    Domain, Handle, Pooled, Recycler, RecyclerConfig, RecyclerError, RecyclerStats, SharedRecycler,
};
use std::sync::Arc;

/// Where objects come from.
enum Source<P: Platform> {
    Owned(Recycler<(), P>),
    ByHand(SharedRecycler<(), P>),
}

/// An object in use.
pub(super) enum Object<P: Platform> {
    Owned(Pooled<(), P>),
    ByHand(Handle<(), P>),
}

/// The recycler, what is held, and where it stumbled.
pub(super) struct ObjectPool<P: Platform> {
    source: Source<P>,
    held: P::Mutex<Vec<Object<P>>>,
    stumbles: P::Mutex<Stumbles>,
}

/// What went wrong that nobody had done wrong there.
#[derive(Default)]
struct Stumbles {
    /// Objects that were recycled twice.
    misuses: u64,
    /// Calls of `get` that failed: each misuse may be told once in this way.
    failed_gets: u64,
    told: Vec<String>,
}

/// Stumbles that are told.
const STUMBLES_MAX: usize = 8;

impl<P: Platform> ObjectPool<P> {
    pub(super) fn new(domain: &Domain<P>, config: RecyclerConfig, by_hand: bool) -> Arc<Self> {
        let source = match by_hand {
            true => Source::ByHand(SharedRecycler::new_in(domain, Kind::Object, config, || ())),
            false => Source::Owned(Recycler::new_in(domain, Kind::Object, config, || ())),
        };
        Arc::new(Self { source, held: P::Mutex::new(Vec::new()), stumbles: P::Mutex::new(Stumbles::default()) })
    }

    pub(super) fn stats(&self) -> RecyclerStats {
        match &self.source {
            Source::Owned(recycler) => recycler.stats(),
            Source::ByHand(recycler) => recycler.stats(),
        }
    }

    pub(super) fn take_held(&self) -> Vec<Object<P>> {
        std::mem::take(&mut *self.held.lock())
    }

    /// What went wrong that nobody had done wrong there.
    pub(super) fn stumbles(&self) -> Vec<String> {
        std::mem::take(&mut self.stumbles.lock().told)
    }

    fn obtain(&self) -> Option<Object<P>> {
        match &self.source {
            Source::Owned(recycler) => Some(Object::Owned(recycler.get())),
            Source::ByHand(recycler) => {
                recycler.get().map(Object::ByHand).map_err(|error| self.refused_get(error)).ok()
            }
        }
    }

    pub(super) fn recycle(&self, object: Object<P>) {
        match object {
            Object::Owned(object) => drop(object),
            Object::ByHand(handle) => {
                // Any other refusal is right: somebody recycles twice.
                if let Err(error @ RecyclerError::NullHome) = handle.recycle() {
                    self.stumbles.lock().tell(format!("a recycle failed: {error}"));
                }
            }
        }
    }

    /// A misuse may be told to the one who gets the object, once; after that a pool has to work again.
    fn refused_get(&self, error: RecyclerError) {
        let mut stumbles = self.stumbles.lock();
        stumbles.failed_gets += 1;
        let (failed, misuses) = (stumbles.failed_gets, stumbles.misuses);
        if failed > misuses {
            stumbles.tell(format!("get number {failed} failed after {misuses} misuses: {error}"));
        }
    }

    /// An object is about to be recycled twice.
    fn misused(&self) {
        self.stumbles.lock().misuses += 1;
    }
}

impl Stumbles {
    fn tell(&mut self, text: String) {
        if self.told.len() < STUMBLES_MAX {
            self.told.push(text);
        }
    }
}

impl<P: Platform> Object<P> {
    /// A second right to recycle it.
    fn again(&self) -> Option<Self> {
        match self {
            Self::Owned(_) => None,
            Self::ByHand(handle) => Some(Self::ByHand(handle.clone())),
        }
    }
}

/// What the threads of the step share.
pub(super) struct ObjectsOf<P: Platform> {
    pub(super) objects: Objects,
    pub(super) loops: Vec<EventLoop<P>>,
    pub(super) pool: Arc<ObjectPool<P>>,
}

/// The part of thread number `index` of the step.
pub(super) fn objects<P: Platform>(of: &ObjectsOf<P>, index: u64, draws: &mut Generator) {
    let Objects { rounds, together, to, misuse, .. } = &of.objects;
    let flight = Flight::<P>::new();
    let mut chances = Chances::default();
    let mut stale: Option<Object<P>> = None;
    let mut j = 0;
    // The loop that recycles object number `j`, or the one after it.
    let away = |j: u64, object: Object<P>| {
        let (pool, landing) = (Arc::clone(&of.pool), flight.takes_off());
        on(&of.loops[((index + j) % of.loops.len() as u64) as usize], move || {
            pool.recycle(object);
            drop(landing);
        });
    };
    for _ in 0..*rounds {
        let mut mine: Vec<Object<P>> = (0..*together).filter_map(|_| of.pool.obtain()).collect();
        if let Some(object) = stale.take() {
            away(j + 1, object);
            flight.await_below(1);
            mine.extend(of.pool.obtain());
        }
        let strikes = misuse.filter(|m| chances.strike(m.parts().0.into(), P::now(), |t| draws.chance(t)));
        let mut again = mine.first().filter(|_| strikes.is_some()).and_then(Object::again);
        if again.is_some() {
            of.pool.misused();
        }
        for object in mine {
            let first = again.take();
            match (first, strikes) {
                (None, _) | (_, None) => match to {
                    To::Loops => away(j, object),
                    To::Itself => of.pool.recycle(object),
                    To::Held => of.pool.held.lock().push(object),
                },
                (Some(second), Some(Misuse::AtOnce(_))) => {
                    away(j, object);
                    away(j + 1, second);
                }
                (Some(second), Some(Misuse::InTurn(_))) => {
                    away(j, object);
                    flight.await_below(1);
                    away(j + 1, second);
                }
                (Some(second), Some(Misuse::AfterItsOwner(_))) => {
                    of.pool.recycle(object);
                    away(j, second);
                }
                (Some(second), Some(Misuse::Stale(_))) => {
                    away(j, object);
                    stale = Some(second);
                }
            }
            j += 1;
        }
        flight.await_below(1);
        P::boundary();
    }
    drop(stale);
}
