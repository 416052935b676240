//! Leaks as failures of a test.
//!
//! **Invariant: a guard answers for exactly the objects that were tracked while it existed**, also when others guard the
//! same detector.

use super::{Detector, Finding, Leak, LeakViolation, Level, TrackId, Tracked};
use crate::platform::Lock;
use crate::{Platform, Std};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

/// Collects what a detector finds while it exists: duplicates, too.
pub struct LeakWatch<P: Platform = Std> {
    detector: Detector<P>,
    /// The first tracker that is its business.
    since: TrackId,
    /// Where its findings begin.
    from: usize,
}

impl<P: Platform> LeakWatch<P> {
    /// Watches `detector`.
    pub fn new(detector: &Detector<P>) -> Self {
        let mut state = detector.0.state.lock();
        state.watches += 1;
        let (since, from) = (TrackId(state.next), state.found.len());
        drop(state);
        Self { detector: detector.clone(), since, from }
    }

    /// The detector.
    pub fn detector(&self) -> &Detector<P> {
        &self.detector
    }

    /// The objects made since and found leaked, in the order in which they were found, and all that were not tracked.
    pub fn found(&self) -> Vec<Leak> {
        let state = self.detector.0.state.lock();
        state.found[self.from..].iter().filter(|leak| leak.id.is_none_or(|id| id >= self.since)).cloned().collect()
    }

    /// The tracked objects made since that are neither released nor found leaked.
    pub fn alive(&self) -> Vec<Leak> {
        let state = self.detector.0.state.lock();
        let open = state.nodes.range(self.since..).filter_map(|(id, node)| match &node.state {
            Tracked::Open { records, .. } => Some(self.detector.leak(Some(*id), Finding::Alive, Some(records))),
            Tracked::Closed(_) | Tracked::Found => None,
        });
        open.collect()
    }

    /// Compares the detector with the truth: of the trackers opened since, those whose objects really leaked. With queued
    /// detection the caller sees to it that the queue is empty: [`Detector::collect`] and [`Detector::report`].
    ///
    /// # Errors
    /// A [`LeakViolation`]: INV-L1, nothing else was found; INV-L2, nothing else leaked; INV-L3, the numbers agree.
    pub fn check(&self, leaked: &BTreeSet<TrackId>) -> Result<(), LeakViolation> {
        let mut found = BTreeSet::new();
        for id in self.found().iter().filter_map(|leak| leak.id) {
            if !leaked.contains(&id) {
                return Err(LeakViolation::NotLeaked(id));
            }
            if !found.insert(id) {
                return Err(LeakViolation::Twice(id));
            }
        }
        match leaked.difference(&found).next() {
            Some(id) => Err(LeakViolation::NotFound(*id)),
            None => self.detector.stats().check(),
        }
    }
}

impl<P: Platform> Drop for LeakWatch<P> {
    fn drop(&mut self) {
        let mut state = self.detector.0.state.lock();
        state.watches -= 1;
        if state.watches == 0 {
            state.found.clear();
        }
    }
}

/// What a [`LeakGuard`] has to complain of. Displays as all the reports.
#[derive(Clone, Debug)]
pub struct LeaksFound(Vec<Leak>);

impl LeaksFound {
    /// One by one: first those that are lost, then those that are still held.
    pub fn leaks(&self) -> &[Leak] {
        &self.0
    }
}

impl fmt::Display for LeaksFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not released", self.0.len())?;
        self.0.iter().try_for_each(|leak| write!(f, "\n{leak}"))
    }
}

impl core::error::Error for LeaksFound {}

/// Fails a test that leaks: while it exists everything is tracked, and when it ends, all of it must have been released.
///
/// ```
/// use millpond_model::leak::{Access, Detector, LeakConfig, LeakGuard};
///
/// let detector = <Detector>::new("Connection", LeakConfig::default());
/// let guard = LeakGuard::new(&detector);
/// let connection = detector.track().expect("everything is tracked");
/// connection.record(Access::Retained);
/// connection.close();
/// guard.finish(); // would panic, with the places of creation and last use, without the line before
/// ```
pub struct LeakGuard<P: Platform = Std> {
    watch: LeakWatch<P>,
    before: Level,
    /// Whether the end is still to be judged.
    armed: bool,
}

impl<P: Platform> LeakGuard<P> {
    /// Guards what `detector` sees from now on; its level is `Paranoid` until the guard ends.
    pub fn new(detector: &Detector<P>) -> Self {
        let before = detector.level();
        let watch = LeakWatch::new(detector);
        detector.set_level(Level::Paranoid);
        Self { watch, before, armed: true }
    }

    /// What was lost, or is still held, up to now. References to lost objects are collected first.
    ///
    /// # Errors
    /// [`LeaksFound`], if there is any.
    pub fn check(&self) -> Result<(), LeaksFound> {
        self.watch.detector.collect();
        self.watch.detector.report();
        let mut leaks = self.watch.found();
        leaks.extend(self.watch.alive());
        if leaks.is_empty() { Ok(()) } else { Err(LeaksFound(leaks)) }
    }

    /// Ends the guard.
    ///
    /// # Panics
    /// With the reports, if anything was lost, or is still held.
    #[track_caller]
    pub fn finish(mut self) {
        self.armed = false;
        if let Err(leaks) = self.check() {
            panic!("{leaks}");
        }
    }
}

impl<P: Platform> Drop for LeakGuard<P> {
    /// As [`LeakGuard::finish`]; but a test that fails already is left alone.
    fn drop(&mut self) {
        self.watch.detector.set_level(self.before);
        if !self.armed || P::unwinding() {
            return;
        }
        if let Err(leaks) = self.check() {
            panic!("{leaks}");
        }
    }
}
