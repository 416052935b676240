//! The state of one run, and the way to it.
//!
//! **Invariant: a thread belongs to one run from its start to its end**; threads that it starts belong to the same.
//!
//! ```text
//!   host ──start──> main ──spawn──> loop-0, business-0, ...      each has `Here` in a thread-local
//!    │                                  │
//!    └── waits for the end              └──> Run: clock, books, findings, faults
//! ```

use super::Options;
use super::books::Books;
use super::clock::{Clock, Site, Slot};
use super::platform::Watched;
use crate::engine::{Chances, Generator, Plant, Stream, When};
use crate::ledger::{At, Finding, FindingKind};
use millpond_model::observe::{Defect, Fault, Reach};
use millpond_model::platform::{Platform, SpawnError, Std, StdJoin, ThreadId};
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Findings kept: a run goes on after one.
const FINDINGS_MAX: usize = 64;

/// Everything that the threads of a run share.
pub(super) struct Run {
    pub(super) clock: Clock,
    pub(super) books: Books,
    /// In order of arrival.
    findings: Mutex<Vec<Finding>>,
    seed: u64,
    stories: bool,
    plants: Vec<(Plant, Mutex<Chances>)>,
    faults: Vec<(Fault, When, Mutex<Chances>)>,
    alloc_fails: Option<(When, Mutex<Chances>)>,
    memory_limit: u64,
    /// Bytes of `alloc` that are outstanding.
    bytes: AtomicU64,
    reached: Mutex<[u64; Reach::ALL.len()]>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    pub(super) fn new(options: &Options) -> Arc<Self> {
        let chances = || Mutex::new(Chances::default());
        Arc::new(Self {
            clock: Clock::new(options.rate),
            books: Books::new(options.stories, options.tolerance),
            findings: Mutex::new(Vec::new()),
            seed: options.seed,
            stories: options.stories,
            plants: options.plants.iter().map(|plant| (*plant, chances())).collect(),
            faults: options.faults.iter().map(|(fault, when)| (*fault, *when, chances())).collect(),
            alloc_fails: options.alloc_fails.map(|when| (when, chances())),
            memory_limit: options.memory_limit.unwrap_or(u64::MAX),
            bytes: AtomicU64::new(0),
            reached: Mutex::new([0; Reach::ALL.len()]),
        })
    }

    /// Starts a thread of this run.
    pub(super) fn spawn(
        self: &Arc<Self>,
        name: String,
        f: impl FnOnce() + Send + 'static,
    ) -> Result<(Arc<Slot>, StdJoin), SpawnError> {
        let slot = self.clock.enlist(name.clone());
        let (run, theirs) = (Arc::clone(self), Arc::clone(&slot));
        let body = move || {
            Here::enter(run, theirs);
            f();
        };
        match Std::spawn(name, body) {
            Ok(join) => Ok((slot, join)),
            Err(error) => {
                self.clock.retire(&slot);
                Err(error)
            }
        }
    }

    /// Adds a finding.
    pub(super) fn found(&self, finding: Finding) {
        let mut findings = open(&self.findings);
        if findings.len() < FINDINGS_MAX {
            findings.push(finding);
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        open(&self.findings).clone()
    }

    /// How often each place was reached by threads that have ended.
    pub(super) fn reached(&self) -> [u64; Reach::ALL.len()] {
        *open(&self.reached)
    }

    /// How often each planted defect struck.
    pub(super) fn struck(&self) -> Vec<u64> {
        self.plants.iter().map(|(_, chances)| open(chances).strikes).collect()
    }
}

/// A thread of a run.
pub(super) struct Here {
    pub(super) run: Arc<Run>,
    pub(super) slot: Arc<Slot>,
    faults: RefCell<Generator>,
    random: RefCell<Generator>,
    /// `Platform::catch`es that it is in.
    pub(super) catches: Cell<u32>,
    reached: [Cell<u64>; Reach::ALL.len()],
}

thread_local! {
    static HERE: OnceCell<Here> = const { OnceCell::new() };
}

/// Runs `f` on the running thread's part of its run; `None` on a thread of no run, or at the very end of one.
#[inline]
pub(super) fn try_here<R>(f: impl FnOnce(&Here) -> R) -> Option<R> {
    HERE.try_with(|here| here.get().map(f)).ok().flatten()
}

/// As [`try_here`].
///
/// # Panics
/// Where there is none.
#[inline]
#[track_caller]
pub(super) fn here<R>(f: impl FnOnce(&Here) -> R) -> R {
    match try_here(f) {
        Some(result) => result,
        None => panic!("the watched platform was used outside a run"),
    }
}

impl Here {
    fn enter(run: Arc<Run>, slot: Arc<Slot>) {
        slot.begin();
        let stream = |stream| RefCell::new(Generator::new(run.seed, u64::from(slot.id), stream));
        let here = Self {
            faults: stream(Stream::Faults),
            random: stream(Stream::LeakSampling),
            catches: Cell::new(0),
            reached: [const { Cell::new(0) }; Reach::ALL.len()],
            run,
            slot,
        };
        HERE.with(|cell| assert!(cell.set(here).is_ok(), "a thread belongs to one run"));
    }

    /// Where and when something happens that the ledger is told of.
    #[inline]
    pub(super) fn at(&self, site: Site) -> At {
        // A lean ledger keeps no times.
        let time = if self.run.stories { Watched::now() } else { Duration::ZERO };
        At { thread: ThreadId(self.slot.id), step: self.slot.count(), time, site }
    }

    /// Something that the run's threads found themselves.
    pub(super) fn found(&self, kind: FindingKind, text: String) {
        self.run.found(Finding::plain(kind, self.slot.count(), text));
    }

    /// What the ledger says to something: what it violates is a finding.
    #[inline]
    pub(super) fn judge<R>(&self, result: Result<R, Finding>) -> Option<R> {
        result.map_err(|finding| self.run.found(finding)).ok()
    }

    pub(super) fn reach(&self, point: Reach) {
        let count = &self.reached[point as usize];
        count.set(count.get() + 1);
    }

    /// 64 random bits.
    pub(super) fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    /// Whether what was asked for at `when` happens on this occasion. Occasions are counted over all threads.
    fn takes(&self, when: When, chances: &Mutex<Chances>) -> bool {
        open(chances).strike(when, self.run.clock.now(), |odds| self.faults.borrow_mut().chance(odds))
    }

    /// Whether one of the planted defects strikes now. Each counts its own occasions.
    pub(super) fn strikes(&self, defect: Defect) -> bool {
        let planted = self.run.plants.iter().filter(|(plant, _)| plant.defect == defect);
        planted.fold(false, |struck, (plant, chances)| self.takes(plant.when, chances) | struck)
    }

    /// Whether one of the faults asked for happens now. Each counts its own occasions.
    pub(super) fn fails(&self, fault: Fault) -> bool {
        let asked = self.run.faults.iter().filter(|(of, ..)| *of == fault);
        asked.fold(false, |failed, (_, when, chances)| self.takes(*when, chances) | failed)
    }

    /// Whether there is memory for `size` bytes more; they are taken then.
    pub(super) fn takes_memory(&self, size: u64) -> bool {
        if self.run.alloc_fails.as_ref().is_some_and(|(when, chances)| self.takes(*when, chances)) {
            return false;
        }
        let fits = |bytes: u64| bytes.checked_add(size).filter(|sum| *sum <= self.run.memory_limit);
        // Relaxed, both: a count that orders nothing.
        self.run.bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    pub(super) fn gives_memory(&self, size: u64) {
        self.run.bytes.fetch_sub(size, Ordering::Relaxed); // Relaxed: as above
    }
}

impl Drop for Here {
    /// The last that a thread does.
    fn drop(&mut self) {
        let mut sums = open(&self.run.reached);
        for (sum, count) in sums.iter_mut().zip(&self.reached) {
            *sum += count.get();
        }
        drop(sums);
        self.run.clock.retire(&self.slot);
    }
}
