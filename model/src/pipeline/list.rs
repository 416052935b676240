//! The order of the handlers.
//!
//! **Invariant: from any place, in the list or removed, the way to either end passes every handler that is in the list at most
//! once, in order.** A place that was removed remembers its neighbours, as in Netty, and they theirs.

use super::context::Links;
use super::{Named, PipelineError, Place, Position, same};
use crate::Platform;
use crate::platform::{AtomicOps, Lock};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

/// Which handlers are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

struct List<P: Platform> {
    places: Vec<Arc<Place<P>>>,
    is_closed: bool,
}

/// The handlers of a channel.
pub(crate) struct Contexts<P: Platform> {
    list: P::Mutex<List<P>>,
    /// How many there are: a channel without handlers needn't lock.
    count: P::Atomic<u32>,
}

/// The index in `places` at which `position` is.
pub(super) fn index<P: Platform>(places: &[Arc<Place<P>>], position: &Position<'_>) -> Result<usize, PipelineError> {
    let at = |name: &str| {
        let at = places.iter().position(|place| place.name() == name);
        at.ok_or_else(|| PipelineError::NoSuchHandler(name.into()))
    };
    Ok(match position {
        Position::First => 0,
        Position::Last => places.len(),
        Position::Before(name) => at(name)?,
        Position::After(name) => at(name)? + 1,
    })
}

impl<P: Platform> Contexts<P> {
    /// With these handlers, from the transport to the application.
    ///
    /// # Panics
    /// If two have the same name.
    pub(crate) fn new(handlers: Vec<Named<P>>) -> Self {
        let this =
            Self { list: P::Mutex::new(List { places: Vec::new(), is_closed: false }), count: P::Atomic::new(0) };
        for handler in handlers {
            let added = this.add(handler, |places| Ok(places.len()));
            assert!(added.is_ok(), "{:?}", added.err());
        }
        this
    }

    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // Acquire: pairs with the release in `set_count`: who is told of a change finds it.
        self.count.load(Ordering::Acquire) == 0
    }

    fn set_count(&self, list: &List<P>) {
        // Release: pairs with the acquire in `is_empty`.
        self.count.store(list.places.len() as u32, Ordering::Release);
    }

    pub(super) fn add(
        &self,
        handler: Named<P>,
        at: impl FnOnce(&[Arc<Place<P>>]) -> Result<usize, PipelineError>,
    ) -> Result<Arc<Place<P>>, PipelineError> {
        // Before the lock, which isn't held while the program's code runs; dropped after it, too.
        let place = Arc::new(Place::new(handler));
        let mut list = self.list.lock();
        if list.is_closed {
            return Err(PipelineError::Closed);
        }
        if list.places.iter().any(|other| other.name() == place.name()) {
            return Err(PipelineError::NameTaken(place.name().into()));
        }
        let at = at(&list.places)?;
        list.places.insert(at, Arc::clone(&place));
        self.set_count(&list);
        Ok(place)
    }

    /// Takes `place` out; `false`: it wasn't there.
    pub(super) fn remove(&self, place: &Arc<Place<P>>) -> bool {
        let mut list = self.list.lock();
        let Some(at) = list.places.iter().position(|p| same(p, place)) else { return false };
        let removed = list.places.remove(at);
        let before = at.checked_sub(1).map(|i| Arc::clone(&list.places[i]));
        let after = list.places.get(at).cloned();
        self.set_count(&list);
        removed.unlink(Links { before, after });
        true
    }

    /// Puts a handler in the place of `name`: the old place and the new one.
    pub(super) fn replace(&self, name: &str, handler: Named<P>) -> Result<[Arc<Place<P>>; 2], PipelineError> {
        let new = Arc::new(Place::new(handler)); // as in `add`
        let mut list = self.list.lock();
        if list.is_closed {
            return Err(PipelineError::Closed);
        }
        if list.places.iter().any(|place| place.name() == new.name() && place.name() != name) {
            return Err(PipelineError::NameTaken(new.name().into()));
        }
        let Some(at) = list.places.iter().position(|place| place.name() == name) else {
            return Err(PipelineError::NoSuchHandler(name.into()));
        };
        let old = core::mem::replace(&mut list.places[at], Arc::clone(&new));
        // What the old one still gives on, in either direction, goes to the new one.
        old.unlink(Links { before: Some(Arc::clone(&new)), after: Some(Arc::clone(&new)) });
        Ok([old, new])
    }

    /// The next handler of that direction after `from`: towards the application for what comes in, towards the transport for
    /// what goes out. `None` for `from`: all the way. `None`: there is none.
    pub(crate) fn next(&self, from: Option<&Arc<Place<P>>>, direction: Direction) -> Option<Arc<Place<P>>> {
        if self.is_empty() && from.is_none() {
            return None;
        }
        let list = self.list.lock();
        let inwards = direction == Direction::Inbound;
        // The first candidate; the places from there on are looked at in turn.
        let mut at = match from {
            None if inwards => Some(0),
            None => list.places.len().checked_sub(1),
            Some(place) => Self::beyond(&list, place, inwards),
        };
        while let Some(place) = at.and_then(|at| list.places.get(at)) {
            if place.takes(direction) {
                return Some(Arc::clone(place));
            }
            at = if inwards { at.map(|at| at + 1) } else { at.and_then(|at| at.checked_sub(1)) };
        }
        None
    }

    /// The index of the place after `place`.
    fn beyond(list: &List<P>, place: &Arc<Place<P>>, inwards: bool) -> Option<usize> {
        let mut place = Arc::clone(place);
        let mut is_candidate = false;
        loop {
            if let Some(at) = list.places.iter().position(|p| same(p, &place)) {
                return match (is_candidate, inwards) {
                    (true, _) => Some(at),
                    (false, true) => Some(at + 1),
                    (false, false) => at.checked_sub(1),
                };
            }
            // Removed: what was its neighbour then is the next candidate.
            place = place.neighbour(inwards)?;
            is_candidate = true;
        }
    }

    pub(super) fn named(&self, name: &str) -> Option<Arc<Place<P>>> {
        self.list.lock().places.iter().find(|place| place.name() == name).cloned()
    }

    /// All of them, from the transport to the application.
    pub(crate) fn all(&self) -> Vec<Arc<Place<P>>> {
        // Always under the lock: a handler that is added while the channel is registered is seen here, or sees the registration.
        self.list.lock().places.clone()
    }

    /// Takes no handlers any more: those that are there.
    pub(crate) fn close(&self) -> Vec<Arc<Place<P>>> {
        let mut list = self.list.lock();
        list.is_closed = true;
        list.places.clone()
    }
}
