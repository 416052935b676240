//! A leak detector: which objects were lost without being released, where they were made, and where they were last used.
//!
//! **Invariant: a tracker is opened once and ends once: closed by its object's last release, or found leaked.** Which of the
//! two comes first is decided under one lock.
//!
//! ```text
//!   track ──> open ──record──> open ──close──> closed             the object was released
//!              │
//!              └─ tracker dropped: the object has gone, with a positive count
//!                   Exact:      found ──> report                  at that moment
//!                   Enqueued:   queue ──next track──> found ──> report, unless it is closed meanwhile
//!                   Collected:  waits ──collect──> queue ──> as above
//! ```
//!
//! This is Netty's `ResourceLeakDetector` (section by section: levels, sampling, records with their back-off, duplicates,
//! hints, listener) with one difference: Rust knows the moment when an object becomes unreachable, so that ours reports then,
//! and no garbage collector is waited for. Netty's way can be chosen: see [`Detection`].
//!
//! A [`Tracker`] belongs to its object and is dropped with it. Whoever counts by hand asks [`Detector::track`] for one when
//! the object is made, calls [`Tracker::record`] along the way, and [`Tracker::close`] when the count reaches zero.
//!
//! The lock is the detector's: at the levels `Simple` and `Advanced` few objects take it, and `Paranoid` is for tests.

mod config;
mod guard;
mod later;
mod records;
mod report;
mod stats;

pub use self::config::{Detection, LeakConfig, Level, RecordPolicy, Sampling};
pub use self::guard::{LeakGuard, LeakWatch, LeaksFound};
pub use self::later::ReleaseLater;
pub use self::records::{Access, Change, LeakHint, Record, Records};
pub use self::report::{Finding, Leak};
pub use self::stats::{LeakStats, LeakViolation};

use crate::platform::{AtomicOps, CounterOps, Lock};
use crate::{Platform, Std};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::panic::Location;
use core::sync::atomic::Ordering;

/// The number of a tracker: dense, in the order in which its detector opened them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrackId(pub u64);

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tracker {}", self.0)
    }
}

/// What is given each report.
pub type Listener = Arc<dyn Fn(&Leak) + Send + Sync>;

/// What a detector knows of one tracker.
struct Node {
    /// Whether the [`Tracker`] exists.
    held: bool,
    state: Tracked,
}

enum Tracked {
    Open {
        records: Records,
        /// A reference to it is enqueued, which happens once, or waits for the collector.
        unreachable: bool,
    },
    Closed(Option<&'static Location<'static>>),
    Found,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Those that are open, or held.
    nodes: BTreeMap<TrackId, Node>,
    /// Unreachable, and not yet seen by the collector.
    uncollected: Vec<TrackId>,
    /// Enqueued, and not yet looked at.
    queue: Vec<TrackId>,
    /// The texts that were reported.
    reported: BTreeSet<String>,
    stats: LeakStats,
    /// Number of [`LeakWatch`]es.
    watches: usize,
    /// What was found while there was one.
    found: Vec<Leak>,
}

struct Shared<P: Platform> {
    resource: &'static str,
    config: LeakConfig,
    level: P::Atomic<u8>,
    seen: P::Counter,
    /// Candidates counted by `Sampling::Count`.
    counted: P::Atomic<u64>,
    state: P::Mutex<State>,
    listener: P::Mutex<Option<Listener>>,
}

/// Tracks objects of one kind and finds those that are lost. A clone is the same detector. See the [module](self).
pub struct Detector<P: Platform = Std>(Arc<Shared<P>>);

impl<P: Platform> Clone for Detector<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> fmt::Debug for Detector<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Detector").field(&self.0.resource).finish()
    }
}

impl<P: Platform> Detector<P> {
    /// A detector of lost objects that reports call `resource`. Reports go to the standard error, as long as there is no
    /// [listener](Detector::set_listener).
    pub fn new(resource: &'static str, config: LeakConfig) -> Self {
        Self(Arc::new(Shared {
            resource,
            config,
            level: P::Atomic::new(config.level as u8),
            seen: P::Counter::default(),
            counted: P::Atomic::new(0),
            state: P::Mutex::new(State::default()),
            listener: P::Mutex::new(None),
        }))
    }

    /// The parameters; the level is the one that it started at.
    pub fn config(&self) -> &LeakConfig {
        &self.0.config
    }

    /// The level now.
    pub fn level(&self) -> Level {
        // Relaxed: whoever sees another level a little later tracks a few objects more or fewer.
        Level::unpack(self.0.level.load(Ordering::Relaxed))
    }

    /// From now on new objects are tracked at this level. Those that are tracked stay as they are.
    pub fn set_level(&self, level: Level) {
        // Relaxed: as in `level`.
        self.0.level.store(level as u8, Ordering::Relaxed);
    }

    /// Gives each report to `listener`, on the thread that finds the leak, and not to the standard error (4.1.95 and later).
    /// `None`: to the standard error again. A panic of the listener is caught and forgotten: an innocent thread calls it.
    pub fn set_listener(&self, listener: Option<Listener>) {
        let before = mem::replace(&mut *self.0.listener.lock(), listener);
        drop(before); // after unlocking: it is the user's
    }

    /// An object was made: its tracker, if it belongs to the sample.
    #[inline]
    #[track_caller]
    pub fn track(&self) -> Option<Tracker<P>> {
        let site = Location::caller(); // here: a closure has a place of its own
        self.level_of_candidate().map(|level| self.open(level >= Level::Advanced, false, None, site))
    }

    /// As [`Detector::track`], with a hint for the record of the creation. If its text panics, nothing is tracked.
    #[track_caller]
    pub fn track_hinted(&self, hint: &dyn LeakHint) -> Option<Tracker<P>> {
        let site = Location::caller();
        self.level_of_candidate().map(|level| self.open(level >= Level::Advanced, false, Some(hint), site))
    }

    /// An object with a count of its own was derived from a tracked one. With [`LeakConfig::force_derived`] it is tracked in
    /// any case, as closely as its parent; otherwise it is a candidate like any other.
    #[track_caller]
    pub fn track_derived(&self, parent: &Tracker<P>) -> Option<Tracker<P>> {
        if !self.0.config.force_derived {
            return self.track();
        }
        self.0.seen.add(1);
        Some(self.open(parent.records, true, None, Location::caller()))
    }

    /// An object that was not tracked was lost. Only where the moment is known ([`Detection::Exact`]) is it reported, without
    /// records and therefore once.
    pub fn leaked_untracked(&self) {
        if self.0.config.detection != Detection::Exact || self.level() == Level::Disabled {
            return;
        }
        let leak = {
            let mut state = self.0.state.lock();
            state.stats.untracked += 1;
            state.tell(self.leak(None, Finding::Dropped, None))
        };
        self.emit(&[leak]);
    }

    /// A run of the garbage collector: references to the objects lost until now are enqueued. For [`Detection::Collected`];
    /// otherwise there is nothing to do.
    pub fn collect(&self) {
        let mut state = self.0.state.lock();
        let lost = mem::take(&mut state.uncollected);
        state.stats.enqueued += lost.len() as u64;
        state.queue.extend(lost);
    }

    /// Looks at the queue now. Netty does so only when the next object of the sample is tracked, so that a program that
    /// allocates no more gets no reports.
    pub fn report(&self) {
        let leaks = self.drain(&mut self.0.state.lock());
        self.emit(&leaks);
    }

    /// The statistics.
    pub fn stats(&self) -> LeakStats {
        let state = self.0.state.lock();
        let open = state.nodes.values().filter(|node| matches!(node.state, Tracked::Open { .. })).count();
        LeakStats { seen: self.0.seen.get(), open: open as u64, ..state.stats }
    }

    /// The level, if the object that is being made is to be tracked.
    #[inline]
    fn level_of_candidate(&self) -> Option<Level> {
        let level = self.level();
        if level == Level::Disabled {
            return None;
        }
        self.0.seen.add(1);
        (level == Level::Paranoid || self.is_sampled()).then_some(level)
    }

    fn is_sampled(&self) -> bool {
        let interval = self.0.config.interval.get();
        match self.0.config.sampling {
            // The high half of the product is uniform in 0..interval.
            Sampling::Draw => (u128::from(P::random()) * u128::from(interval)) >> 64 == 0,
            Sampling::Count { first } => {
                // Relaxed: only the number matters. In Java it isn't even atomic.
                let before = self.0.counted.fetch_add(1, Ordering::Relaxed);
                let mask = u64::from(interval).next_power_of_two() - 1;
                before & mask == if first { 0 } else { mask }
            }
        }
    }

    fn open(
        &self,
        records: bool,
        forced: bool,
        hint: Option<&dyn LeakHint>,
        site: &'static Location<'static>,
    ) -> Tracker<P> {
        let config = &self.0.config;
        let created = (records || config.simple_creation).then(|| self.record(Access::Created, hint, site));
        let (id, leaks) = {
            let mut state = self.0.state.lock();
            let leaks = self.drain(&mut state);
            let id = TrackId(state.next);
            state.next += 1;
            *if forced { &mut state.stats.forced } else { &mut state.stats.sampled } += 1;
            let records = Records::new(config.records, created);
            state.nodes.insert(id, Node { held: true, state: Tracked::Open { records, unreachable: false } });
            (id, leaks)
        };
        let tracker = Tracker { detector: self.clone(), id, records };
        self.emit(&leaks);
        tracker
    }

    /// A record; the text of the hint is asked for here, outside the lock.
    fn record(&self, access: Access, hint: Option<&dyn LeakHint>, site: &'static Location<'static>) -> Record {
        let record = Record::new(access, hint.map(LeakHint::leak_hint), site);
        if self.0.config.backtraces { record.with_stack() } else { record }
    }

    /// Looks at what is enqueued: what is still open is a leak.
    fn drain(&self, state: &mut State) -> Vec<Leak> {
        let queue = mem::take(&mut state.queue);
        queue.into_iter().filter_map(|id| self.find(state, id, Finding::Unreachable)).collect()
    }

    /// The object of an open tracker is lost.
    fn find(&self, state: &mut State, id: TrackId, finding: Finding) -> Option<Leak> {
        let node = state.nodes.get_mut(&id)?;
        let records = match mem::replace(&mut node.state, Tracked::Found) {
            Tracked::Open { records, .. } => records,
            other => {
                node.state = other;
                return None;
            }
        };
        if !node.held {
            state.nodes.remove(&id);
        }
        state.stats.found += 1;
        Some(state.tell(self.leak(Some(id), finding, Some(&records))))
    }

    fn leak(&self, id: Option<TrackId>, finding: Finding, records: Option<&Records>) -> Leak {
        Leak {
            id,
            resource: self.0.resource,
            finding,
            created: records.and_then(Records::created).cloned(),
            records: records.map(Records::text).unwrap_or_default(),
            duplicate: false,
        }
    }

    /// Reports leaks, with nothing locked.
    fn emit(&self, leaks: &[Leak]) {
        if leaks.iter().all(|leak| leak.duplicate) {
            return;
        }
        let listener = self.0.listener.lock().clone();
        for leak in leaks.iter().filter(|leak| !leak.duplicate) {
            match &listener {
                Some(listener) => {
                    let _panicked = P::catch(|| listener(leak)); // see `set_listener`
                }
                None => std::eprintln!("{leak}"),
            }
        }
    }
}

impl State {
    /// Decides whether a leak is news, and keeps it for those who watch.
    fn tell(&mut self, mut leak: Leak) -> Leak {
        leak.duplicate = self.reported.contains(&leak.records);
        if leak.duplicate {
            self.stats.suppressed += 1;
        } else {
            self.stats.reported += 1;
            self.reported.insert(leak.records.clone());
        }
        if self.watches > 0 {
            self.found.push(leak.clone());
        }
        leak
    }
}

/// Watches one object. Dropping it says that the object has gone: a leak, if it was not closed before.
#[must_use = "a tracker that is dropped reports its object as leaked"]
pub struct Tracker<P: Platform = Std> {
    detector: Detector<P>,
    id: TrackId,
    /// Whether accesses are recorded: the level was `Advanced` or `Paranoid` when the object was made.
    records: bool,
}

impl<P: Platform> Tracker<P> {
    /// Its number.
    pub fn id(&self) -> TrackId {
        self.id
    }

    /// The detector that it belongs to.
    pub fn detector(&self) -> &Detector<P> {
        &self.detector
    }

    /// The object was used by the caller.
    #[inline]
    #[track_caller]
    pub fn record(&self, access: Access) {
        self.write(access, None, Location::caller());
    }

    /// The object was used by the caller, and `hint` says more. If its text panics, nothing is recorded.
    #[track_caller]
    pub fn record_hinted(&self, access: Access, hint: &dyn LeakHint) {
        self.write(access, Some(hint), Location::caller());
    }

    fn write(&self, access: Access, hint: Option<&dyn LeakHint>, site: &'static Location<'static>) {
        let detector = &self.detector;
        if !self.records || access == Access::Used && detector.0.config.acquire_and_release_only {
            return;
        }
        let record = detector.record(access, hint, site);
        let mut state = detector.0.state.lock();
        let Some(Tracked::Open { records, .. }) = state.nodes.get_mut(&self.id).map(|node| &mut node.state) else {
            return;
        };
        let change = records.record(record, P::random);
        state.stats.recorded += u64::from(change.recorded);
        state.stats.merged += u64::from(change.merged);
        state.stats.dropped += u64::from(change.dropped);
    }

    /// The object was released for the last time. `false`: it was closed, or found leaked, before.
    #[track_caller]
    pub fn close(&self) -> bool {
        let caller = Location::caller();
        let site = self.detector.0.config.track_close.then_some(caller);
        let mut state = self.detector.0.state.lock();
        let node = state.nodes.get_mut(&self.id).expect("a tracker has a node");
        if let Tracked::Open { .. } = node.state {
            node.state = Tracked::Closed(site);
            state.stats.closed += 1;
            true
        } else {
            state.stats.closes_refused += 1;
            false
        }
    }

    /// Where it was closed: what an illegal count wants to know. Only with [`LeakConfig::track_close`].
    pub fn closed_at(&self) -> Option<&'static Location<'static>> {
        match self.detector.0.state.lock().nodes.get(&self.id)?.state {
            Tracked::Closed(site) => site,
            Tracked::Open { .. } | Tracked::Found => None,
        }
    }

    /// The collector believes that nobody will use the object: what it may do to an object in Netty to 4.1.30 as soon as the
    /// last release has begun, before the tracker is closed. A reference to it is enqueued, or with exact detection it is
    /// found. If it isn't the last one who holds the object that says so, the report is false.
    pub fn unreachable(&self) {
        let leak = self.lose(&mut self.detector.0.state.lock(), true);
        self.detector.emit(leak.as_slice());
    }

    /// Its object is lost, and perhaps `collected` already: the leak, if it is found at once.
    fn lose(&self, state: &mut State, collected: bool) -> Option<Leak> {
        let detection = self.detector.0.config.detection;
        if detection == Detection::Exact {
            return self.detector.find(state, self.id, Finding::Dropped);
        }
        let node = state.nodes.get_mut(&self.id)?;
        if let Tracked::Open { unreachable, .. } = &mut node.state
            && !mem::replace(unreachable, true)
        {
            if detection == Detection::Enqueued || collected {
                state.stats.enqueued += 1;
                state.queue.push(self.id);
            } else {
                state.uncollected.push(self.id);
            }
        }
        None
    }
}

impl<P: Platform> Drop for Tracker<P> {
    fn drop(&mut self) {
        let leak = {
            let mut state = self.detector.0.state.lock();
            let node = state.nodes.get_mut(&self.id).expect("a tracker has a node");
            node.held = false;
            if let Tracked::Open { .. } = node.state {
                self.lose(&mut state, false)
            } else {
                state.nodes.remove(&self.id);
                None
            }
        };
        self.detector.emit(leak.as_slice());
    }
}

impl<P: Platform> fmt::Debug for Tracker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.id, self.detector)
    }
}
