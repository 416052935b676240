//! Where buffers come from.
//!
//! **Invariant: a shell that is in its pool refers to the allocator's inside weakly or to nothing**, so that no pool keeps its
//! allocator, and no allocator itself.
//!
//! ```text
//!   Allocator ──> shells: a recycler for direct buffers, one for heap buffers ──> Shell ──┐
//!       │                                                                                 v
//!       └───────────────────────────────────────────────────────────────────────────> Common
//!                   source of memory; recyclers of retained slices and duplicates <─────┘ (whose shells hold nothing)
//! ```
//!
//! An allocator is a facade: the memory comes from its [`Backend`], the shells from recyclers, and what happens to counts that
//! nobody releases is in its configuration.
//!
//! ```
//! use millpond_model::{Preset, allocator::Allocator, buffer::Owned};
//!
//! let allocator = Allocator::new(Preset::Millpond);
//! let mut buffer = Owned::from(allocator.allocate(256)?);
//! buffer.put(b"ping")?;
//! assert_eq!(&*buffer.bytes()?, b"ping");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod adaptive;
mod config;
mod millpond;
pub mod pooled;
mod source;

pub use config::{AllocatorConfig, Backend, Derivation, LeakedMemory};
pub use millpond::{MillpondBackend, MillpondBlock, MillpondMemory};

use crate::buffer::{Buffer, MAX_CAPACITY, Shell, ShellBox, ShellClass};
use crate::leak::{Detector, LeakGuard};
use crate::memory::{Area, OutOfMemory};
use crate::observe::{Defect, Kind, Reach};
use crate::platform::AtomicOps;
use crate::recycler::{Domain, PoolInspection, Pooled, Recycler, RecyclerStats};
use crate::{Platform, Std};
use adaptive::AdaptiveBackend;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use pooled::PooledBackend;
use source::Source;

type Shells<P> = Recycler<ShellBox<P>, P>;

/// What the shells of an allocator share.
pub(crate) struct Common<P: Platform> {
    pub(crate) source: Source<P>,
    /// `None`: a retained slice is a slice and a retain.
    pub(crate) derived: Option<DerivedShells<P>>,
    /// Who looks for leaks of its buffers.
    pub(crate) leaks: Option<Detector<P>>,
    /// To make independent copies; gone when the allocator is.
    allocator: Weak<Inner<P>>,
}

pub(crate) struct DerivedShells<P: Platform> {
    pub(crate) slices: Shells<P>,
    pub(crate) duplicates: Shells<P>,
    pub(crate) duplicate_of_slice_is_slice: bool,
}

struct Inner<P: Platform> {
    config: AllocatorConfig,
    direct: Shells<P>,
    heap: Shells<P>,
    common: Arc<Common<P>>,
}

/// See the [module](self). Clones are the same allocator.
pub struct Allocator<P: Platform = Std>(Arc<Inner<P>>);

impl<P: Platform> Clone for Allocator<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Allocator {
    /// An allocator in a domain of its own.
    ///
    /// # Panics
    /// If [`RecyclerConfig::validate`](crate::recycler::RecyclerConfig::validate) fails for its shells.
    pub fn new(config: impl Into<AllocatorConfig>) -> Self {
        Self::new_in(&Domain::new(), config.into())
    }
}

impl<P: Platform> Allocator<P> {
    /// An allocator whose shells are recycled in `domain`.
    ///
    /// # Panics
    /// If [`RecyclerConfig::validate`](crate::recycler::RecyclerConfig::validate) fails for its shells.
    pub fn new_in(domain: &Domain<P>, config: AllocatorConfig) -> Self {
        let serial = Arc::new(P::Atomic::new(0_u32));
        let shells = |class: ShellClass, common: Option<Arc<Common<P>>>| {
            let serial = Arc::clone(&serial);
            let kind = if common.is_some() { Kind::BufferShell } else { Kind::DerivedShell };
            // Relaxed: the number has only to be another one.
            let make = move || ShellBox::new(class, serial.fetch_add(1, Relaxed), &config, common.clone());
            Recycler::new_in(domain, kind, config.shells, make)
        };
        Self(Arc::new_cyclic(|allocator| {
            let derived = (config.derivation == Derivation::OwnCount).then(|| DerivedShells {
                slices: shells(ShellClass::Slice, None),
                duplicates: shells(ShellClass::Duplicate, None),
                duplicate_of_slice_is_slice: config.duplicate_of_slice_is_slice,
            });
            let source = Source::new(domain, &config);
            let leaks = config.leak_detection.map(|config| Detector::new("Buffer", config));
            let common = Arc::new(Common { source, derived, leaks, allocator: Weak::clone(allocator) });
            Inner {
                config,
                direct: shells(ShellClass::Direct, Some(Arc::clone(&common))),
                heap: shells(ShellClass::Heap, Some(Arc::clone(&common))),
                common,
            }
        }))
    }

    /// Its configuration.
    pub fn config(&self) -> &AllocatorConfig {
        &self.0.config
    }

    /// An empty direct buffer with room for `capacity` bytes, which may grow without limit, and a count of one.
    ///
    /// # Errors
    /// [`OutOfMemory`] when there is none, or `capacity` exceeds [`MAX_CAPACITY`].
    #[inline(always)]
    #[track_caller]
    pub fn allocate(&self, capacity: usize) -> Result<Buffer<P>, OutOfMemory> {
        self.allocate_in(Area::Direct, capacity, MAX_CAPACITY)
    }

    /// As [`Allocator::allocate`], but it may grow to `maximum` bytes only.
    ///
    /// # Errors
    /// [`OutOfMemory`] when there is none, or `initial` exceeds `maximum` or [`MAX_CAPACITY`].
    #[track_caller]
    pub fn allocate_max(&self, initial: usize, maximum: usize) -> Result<Buffer<P>, OutOfMemory> {
        self.allocate_in(Area::Direct, initial, maximum)
    }

    /// As [`Allocator::allocate_max`], with the area. A buffer that can never have a byte is [the empty one](Buffer::empty).
    ///
    /// # Errors
    /// As [`Allocator::allocate_max`].
    #[inline(always)] // a handle is small, but costly to hand through memory
    #[track_caller]
    pub fn allocate_in(&self, area: Area, initial: usize, maximum: usize) -> Result<Buffer<P>, OutOfMemory> {
        let maximum = maximum.min(MAX_CAPACITY);
        if maximum == 0 || initial > maximum {
            return if initial == 0 { Ok(Buffer::empty()) } else { Err(OutOfMemory { capacity: initial }) };
        }
        let shells = match area {
            Area::Direct => &self.0.direct,
            Area::Heap => &self.0.heap,
        };
        let home = shells.get(); // before the memory, as in Netty
        let (shell, tracked) = match self.0.common.source.reuse(initial) {
            Some(block) if self.0.common.leaks.is_none() => {
                (Shell::begin_in(home, block, initial as u32, maximum as u32), false)
            }
            // What is at hand is at hand again.
            _ => self.begin_anew(home, area, initial, maximum)?,
        };
        Ok(Buffer::first(shell, tracked))
    }

    /// With a block that isn't at hand, or a look at leaks.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn begin_anew(
        &self,
        home: Pooled<ShellBox<P>, P>,
        area: Area,
        initial: usize,
        maximum: usize,
    ) -> Result<(NonNull<Shell<P>>, bool), OutOfMemory> {
        let memory = self.0.common.source.allocate(initial, area).inspect_err(|_| P::reach(Reach::AllocationFailed))?;
        let tracker = match &self.0.common.leaks {
            Some(detector) if !P::planted(Defect::UntrackedAllocation) => detector.track(),
            _ => None,
        };
        let tracked = tracker.is_some();
        Ok((Shell::begin_root(home, memory, initial as u32, maximum as u32, tracker), tracked))
    }

    /// Who looks for leaks of its buffers, if [`AllocatorConfig::leak_detection`] says so.
    pub fn leak_detector(&self) -> Option<&Detector<P>> {
        self.0.common.leaks.as_ref()
    }

    /// Fails a test that leaks buffers of this allocator: see [`LeakGuard`].
    ///
    /// ```
    /// use millpond_model::allocator::{Allocator, AllocatorConfig};
    /// use millpond_model::leak::LeakConfig;
    ///
    /// let config = AllocatorConfig { leak_detection: Some(LeakConfig::default()), ..AllocatorConfig::default() };
    /// let allocator = Allocator::new(config);
    /// let guard = allocator.guard_leaks();
    /// let buffer = allocator.allocate(64)?;
    /// buffer.release()?; // without this line `finish` panics, and says where the buffer was allocated and last used
    /// drop(buffer);
    /// guard.finish();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// When it has no detector.
    pub fn guard_leaks(&self) -> LeakGuard<P> {
        LeakGuard::new(self.leak_detector().expect("an allocator with leak detection"))
    }

    /// What its shells share.
    pub(crate) fn common(&self) -> Arc<Common<P>> {
        Arc::clone(&self.0.common)
    }

    /// Its pooled backend, if it has one.
    pub fn pooled(&self) -> Option<&PooledBackend<P>> {
        self.0.common.source.pooled()
    }

    /// Its adaptive backend, if it has one.
    pub fn adaptive(&self) -> Option<&AdaptiveBackend<P>> {
        self.0.common.source.adaptive()
    }

    /// The inside of every pool of shells, each with the kind of its shells, in order of creation; a shell is its number.
    ///
    /// # Safety
    /// No thread is inside this allocator, and what they did there happened before.
    pub unsafe fn inspect_shells(&self) -> Vec<(ShellClass, PoolInspection)> {
        let derived = self.0.common.derived.as_ref();
        let recyclers = [
            (ShellClass::Direct, Some(&self.0.direct)),
            (ShellClass::Heap, Some(&self.0.heap)),
            (ShellClass::Slice, derived.map(|derived| &derived.slices)),
            (ShellClass::Duplicate, derived.map(|derived| &derived.duplicates)),
        ];
        let recyclers = recyclers.into_iter().filter_map(|(class, recycler)| Some((class, recycler?)));
        let mut pools: Vec<_> = recyclers
            .flat_map(|(class, recycler)| {
                // SAFETY: by the contract of this function.
                let pools = unsafe { recycler.inspect(ShellBox::serial) };
                pools.into_iter().map(move |pool| (class, pool))
            })
            .collect();
        pools.sort_by_key(|(_, pool)| pool.pool);
        pools
    }

    /// The statistics.
    pub fn stats(&self) -> AllocatorStats {
        let derived = self.0.common.derived.as_ref();
        AllocatorStats {
            direct: self.0.direct.stats(),
            heap: self.0.heap.stats(),
            slices: derived.map(|d| d.slices.stats()),
            duplicates: derived.map(|d| d.duplicates.stats()),
        }
    }
}

impl<P: Platform> Common<P> {
    /// The allocator, if it is still there.
    pub(crate) fn allocator(&self) -> Option<Allocator<P>> {
        self.allocator.upgrade().map(Allocator)
    }
}

/// What an [`Allocator`] counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllocatorStats {
    /// Of the shells of direct buffers.
    pub direct: RecyclerStats,
    /// Of the shells of heap buffers.
    pub heap: RecyclerStats,
    /// Of the shells of retained slices, where they have their own.
    pub slices: Option<RecyclerStats>,
    /// Of the shells of retained duplicates, where they have their own.
    pub duplicates: Option<RecyclerStats>,
}
