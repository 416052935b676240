//! `std::sync::Arc` and `Weak`, simulated.
//!
//! **Invariant: memory is freed when the counts say so, and they are touched only by the execution in which the `Arc` was made**,
//! or by the host's atomic operations, if that was outside. One that outlives its execution is leaked.
//!
//! ```text
//!   Inner { strong, weak, data }       the algorithms and orderings are those of std (alloc/src/sync.rs):
//!      all strong ones hold one weak together; `weak` is locked (MAX) while `get_mut` looks
//! ```
//!
//! Counting is a scheduling point, unless nobody else can hold it. `Arc<dyn T>`: `Arc::from(Box<dyn T>)` or [`unsize!`](crate::unsize).

use super::AtEnd;
use crate::engine::{Access, Gate, Op, SimAtomic, Site};
use millpond_model::platform::AtomicOps;
use std::alloc::{Layout, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicUsize, fence};

/// More references than there can be.
const MOST: usize = isize::MAX as usize;
/// `weak` is locked.
const LOCKED: usize = usize::MAX;

/// A count.
struct Count(SimAtomic<usize>);

/// By whom a count may be touched.
enum Home<'a> {
    Execution(Gate<'a>),
    Outside,
    /// It was left behind by an execution.
    Lost,
}

impl Count {
    fn new(count: usize) -> Self {
        Self(SimAtomic::here(count))
    }

    #[inline]
    fn home<'a>(&self) -> Home<'a> {
        match self.0.tag().mine() {
            Some(gate) => Home::Execution(gate),
            None if self.0.tag().is_outside() => Home::Outside,
            None => Home::Lost,
        }
    }

    /// The count as a word of the host.
    fn host(&self) -> &AtomicUsize {
        // SAFETY: an `AtomicUsize` has the layout of a `usize`. It is called for a count at home outside, whose tag never changes: so
        // that all accesses are atomic ones.
        unsafe { &*self.0.place().cast::<AtomicUsize>() }
    }

    fn load(&self, order: Ordering) -> usize {
        match self.home() {
            Home::Execution(_) => self.0.load(order),
            Home::Outside => self.host().load(order),
            Home::Lost => lost(),
        }
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn lost() -> ! {
    panic!("an Arc of a simulated execution was used outside of it: it can be dropped and read, and nothing else");
}

#[doc(hidden)]
#[repr(C)]
pub struct Inner<T: ?Sized> {
    strong: Count,
    weak: Count,
    data: T,
}

/// See [`std::sync::Arc`], and the differences in the [module](self).
///
/// ```compile_fail
/// fn send<T: Send>(_: T) {}
/// send(millpond::sync::Arc::new(std::cell::Cell::new(1)));
/// ```
pub struct Arc<T: ?Sized> {
    inner: NonNull<Inner<T>>,
    _owns: PhantomData<Inner<T>>,
}

// SAFETY: as for `std`'s: all handles give shared access, and any may be the one that drops. The counts are touched as the module says.
unsafe impl<T: ?Sized + Sync + Send> Send for Arc<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync + Send> Sync for Arc<T> {}

/// See [`std::sync::Weak`].
pub struct Weak<T: ?Sized> {
    /// Dangling with the address `usize::MAX` if it never was one of an `Arc`.
    inner: NonNull<Inner<T>>,
}

// SAFETY: as for `Arc`.
unsafe impl<T: ?Sized + Sync + Send> Send for Weak<T> {}
// SAFETY: as for `Arc`.
unsafe impl<T: ?Sized + Sync + Send> Sync for Weak<T> {}

/// Memory for the data that `layout` describes, behind the counts; and where the data begins.
fn memory(data: Layout) -> (NonNull<u8>, usize) {
    let (layout, offset) = layout(data);
    // SAFETY: the layout holds the counts, so that it isn't empty.
    let memory = unsafe { std::alloc::alloc(layout) };
    let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
    (memory, offset)
}

/// Of `Inner` around data of this layout, and the place of the data.
fn layout(data: Layout) -> (Layout, usize) {
    let (layout, offset) = Layout::new::<Inner<()>>().extend(data).unwrap_or_else(|_| panic!("too large for memory"));
    (layout.pad_to_align(), offset)
}

/// The data moves; the box's memory is freed.
pub(super) fn from_box<T: ?Sized>(data: Box<T>) -> Arc<T> {
    let data = Box::into_raw(data);
    // SAFETY: the data is copied out and has moved then, so that its old memory is freed as that of a box of something that needs no
    // destructor.
    unsafe {
        let arc = copied(data);
        drop(Box::from_raw(data as *mut ManuallyDrop<T>));
        arc
    }
}

/// An `Arc` of a copy of the data.
///
/// # Safety
/// The data is there, and is used as if it had moved.
unsafe fn copied<T: ?Sized>(data: *mut T) -> Arc<T> {
    // SAFETY: by the contract it is there.
    let layout = Layout::for_value(unsafe { &*data });
    let (memory, offset) = memory(layout);
    // SAFETY: the memory is for the counts and data of this layout; both are written here.
    unsafe {
        memory.cast::<Inner<()>>().write(Inner { strong: Count::new(1), weak: Count::new(1), data: () });
        std::ptr::copy_nonoverlapping(data.cast::<u8>(), memory.byte_add(offset).as_ptr(), layout.size());
        Arc::of(NonNull::new_unchecked(with_address(data as *mut Inner<T>, memory.as_ptr())))
    }
}

/// A pointer with the metadata of `pointer` and another address.
fn with_address<T: ?Sized>(mut pointer: *mut T, address: *mut u8) -> *mut T {
    let size = size_of::<*mut T>();
    assert!(size == size_of::<usize>() || size == 2 * size_of::<usize>(), "a pointer is thin, or fat");
    // SAFETY: a pointer begins with its address, whether metadata follows or not: `std` relied on it until it had a function for
    // this (`set_data_ptr`), and the assertion below sees it.
    unsafe { (&raw mut pointer).cast::<*mut u8>().write(address) };
    assert_eq!(pointer.cast::<u8>(), address, "a pointer begins with its address");
    pointer
}

impl<T> Arc<T> {
    /// See [`std::sync::Arc::new`].
    #[inline]
    pub fn new(data: T) -> Self {
        let inner = Box::new(Inner { strong: Count::new(1), weak: Count::new(1), data });
        Self::of(NonNull::from(Box::leak(inner)))
    }

    /// See [`std::sync::Arc::pin`].
    pub fn pin(data: T) -> Pin<Self> {
        // SAFETY: the data stays where it is, and is reached through shared references, or exclusive ones of which `Pin` takes care.
        unsafe { Pin::new_unchecked(Self::new(data)) }
    }

    /// See [`std::sync::Arc::new_cyclic`].
    pub fn new_cyclic<F: FnOnce(&Weak<T>) -> T>(data: F) -> Self {
        let uninit = Inner { strong: Count::new(0), weak: Count::new(1), data: MaybeUninit::<T>::uninit() };
        let inner = NonNull::from(Box::leak(Box::new(uninit))).cast::<Inner<T>>();
        let weak = Weak { inner };
        let data = data(&weak);
        // SAFETY: as long as `strong` is 0 nobody looks at the data. Afterwards it is there.
        unsafe {
            (&raw mut (*inner.as_ptr()).data).write(data);
            let strong = &(*inner.as_ptr()).strong;
            strong.store(1, Release); // who upgrades a weak one sees the data
        }
        std::mem::forget(weak); // the strong ones' together
        Self::of(inner)
    }

    /// See [`std::sync::Arc::try_unwrap`].
    ///
    /// # Errors
    /// The `Arc`, if it isn't the only one.
    #[track_caller]
    pub fn try_unwrap(this: Self) -> Result<T, Self> {
        let strong = &this.inner().strong;
        if strong.exchange(1, 0, Relaxed).is_err() {
            return Err(this);
        }
        strong.acquire();
        Ok(this.take(Location::caller()))
    }

    /// See [`std::sync::Arc::into_inner`].
    #[track_caller]
    pub fn into_inner(this: Self) -> Option<T> {
        let site = Location::caller();
        let strong = &this.inner().strong;
        strong.before_less(this.inner().is_alone(), site);
        if !strong.less(site) {
            std::mem::forget(this);
            return None;
        }
        Some(this.take(site))
    }

    /// The data of the last one, whose count is 0 already.
    fn take(self, site: Site) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: nobody else has a strong one, and this one is not used again.
        let data = unsafe { (&raw const (*this.inner.as_ptr()).data).read() };
        // SAFETY: the weak one that the strong ones held together, after the last of them.
        unsafe { free(this.inner, site) };
        data
    }

    /// See [`std::sync::Arc::unwrap_or_clone`].
    #[track_caller]
    pub fn unwrap_or_clone(this: Self) -> T
    where
        T: Clone,
    {
        Self::try_unwrap(this).unwrap_or_else(|this| (*this).clone())
    }
}

impl Count {
    /// The scheduling point of counting down; none if nobody else can see it.
    #[inline]
    fn before_less(&self, alone: bool, site: Site) {
        if let (Some(gate), false) = (self.0.tag().mine(), alone) {
            gate.point(Access::rmw(self.0.tag().object()), site);
        }
    }

    /// One less; whether it was the last. Then everything that was done with the others has happened before.
    #[inline]
    fn less(&self, site: Site) -> bool {
        match self.home() {
            Home::Execution(gate) => {
                let last = self.0.apply_in(gate, Op::Sub, Release, site, |count| count - 1) == 1;
                if last {
                    gate.acquire_fence();
                }
                last
            }
            Home::Outside => {
                let last = self.host().fetch_sub(1, Release) == 1;
                if last {
                    fence(Acquire); // pairs with the Release of the others
                }
                last
            }
            Home::Lost => false, // leaked
        }
    }

    /// One more; not beyond what there can be.
    #[inline]
    fn more(&self, site: Site) {
        let before = match self.home() {
            Home::Execution(gate) => self.0.update_in(gate, Op::Add, Relaxed, site, |count| count + 1),
            Home::Outside => self.host().fetch_add(1, Relaxed),
            Home::Lost => lost(),
        };
        assert!(before <= MOST, "too many references");
    }

    /// From `current` to `new`, with this order if it succeeds.
    #[inline]
    fn exchange(&self, current: usize, new: usize, order: Ordering) -> Result<usize, usize> {
        match self.home() {
            Home::Execution(_) => self.0.compare_exchange(current, new, order, Relaxed),
            Home::Outside => self.host().compare_exchange(current, new, order, Relaxed),
            Home::Lost => lost(),
        }
    }

    fn store(&self, count: usize, order: Ordering) {
        match self.home() {
            Home::Execution(_) => self.0.store(count, order),
            Home::Outside => self.host().store(count, order),
            Home::Lost => lost(),
        }
    }

    /// The scheduling point of [`Count::set_back`].
    fn point(&self, site: Site) {
        if let Home::Execution(gate) = self.home() {
            gate.point(Access::rmw(self.0.tag().object()), site);
        }
    }

    /// Stores what was there before, with Release and with no scheduling point: also when the thread is unwound.
    fn set_back(&self, count: usize, site: Site) {
        match self.home() {
            Home::Execution(gate) => {
                self.0.apply_in(gate, Op::Swap, Release, site, |_| count);
            }
            Home::Outside => self.host().store(count, Release), // pairs with the Acquire of whoever counts next
            Home::Lost => {}
        }
    }

    /// What others did before they counted down happens before what comes.
    fn acquire(&self) {
        match self.home() {
            Home::Execution(gate) => gate.acquire_fence(),
            Home::Outside => fence(Acquire), // pairs with the Release of whoever dropped one before
            Home::Lost => {}
        }
    }
}

impl<T: ?Sized> Inner<T> {
    /// Nobody else has the memory, so that nobody can see what happens to the counts. Only for who holds a strong one.
    #[inline]
    fn is_alone(&self) -> bool {
        self.strong.0.tag().mine().is_some() && self.strong.0.newest() == 1 && self.weak.0.newest() == 1
    }
}

/// Gives up the memory, if this was the last weak one.
///
/// # Safety
/// The caller owned a weak one, which is gone now.
unsafe fn free<T: ?Sized>(inner: NonNull<Inner<T>>, site: Site) {
    /// Also when the point before unwinds.
    struct Rest<T: ?Sized>(NonNull<Inner<T>>, Site);
    impl<T: ?Sized> Drop for Rest<T> {
        fn drop(&mut self) {
            // SAFETY: the memory is there until the last weak one is gone. The data may have been dropped: only its size is asked for.
            let (inner, layout) = unsafe { (self.0.as_ref(), Layout::for_value(self.0.as_ref())) };
            if inner.weak.less(self.1) {
                // SAFETY: it was allocated with this layout, and nobody has a reference to it any more.
                unsafe { dealloc(self.0.as_ptr().cast(), layout) };
            }
        }
    }
    let rest = Rest(inner, site);
    // SAFETY: as above.
    let weak = unsafe { &(*inner.as_ptr()).weak };
    weak.before_less(weak.0.tag().mine().is_some() && weak.0.newest() == 1, site);
    drop(rest);
}

impl<T: ?Sized> Drop for Arc<T> {
    #[inline]
    #[track_caller]
    fn drop(&mut self) {
        /// Also when the point before unwinds.
        struct Rest<T: ?Sized>(NonNull<Inner<T>>, Site);
        impl<T: ?Sized> Drop for Rest<T> {
            fn drop(&mut self) {
                // SAFETY: this strong one has not been counted down yet.
                if unsafe { self.0.as_ref() }.strong.less(self.1) {
                    let _weak = Weak { inner: self.0 }; // the strong ones' together; also if the data's destructor panics
                    // SAFETY: nobody has a strong one any more, and nobody ever will.
                    unsafe { std::ptr::drop_in_place(&raw mut (*self.0.as_ptr()).data) };
                }
            }
        }
        let site = Location::caller();
        let rest = Rest(self.inner, site);
        self.inner().strong.before_less(self.inner().is_alone(), site);
        drop(rest);
    }
}

impl<T: ?Sized> Drop for Weak<T> {
    #[track_caller]
    fn drop(&mut self) {
        if !self.is_dangling() {
            // SAFETY: this was a weak one.
            unsafe { free(self.inner, Location::caller()) };
        }
    }
}

impl<T: ?Sized> Arc<T> {
    /// See `loom::sync::Arc::from_std`: the data of an `Arc` of the host, which must be the only one. For types that only the compiler
    /// can make.
    ///
    /// # Panics
    /// If it isn't the only one.
    pub fn from_std(mut std: std::sync::Arc<T>) -> Self {
        assert!(std::sync::Arc::get_mut(&mut std).is_some(), "the data of an Arc with another owner can't move");
        let data = std::sync::Arc::into_raw(std);
        // SAFETY: it is the only one, so that the data can be copied out, and then has moved: the host's memory is freed as that of
        // something that needs no destructor, which has the same layout.
        unsafe {
            let arc = copied(data.cast_mut());
            drop(std::sync::Arc::from_raw(data as *const ManuallyDrop<T>));
            arc
        }
    }

    fn of(inner: NonNull<Inner<T>>) -> Self {
        Self { inner, _owns: PhantomData }
    }

    #[inline(always)]
    fn inner(&self) -> &Inner<T> {
        // SAFETY: the memory and the data are there as long as this strong one is.
        unsafe { self.inner.as_ref() }
    }

    #[doc(hidden)]
    pub fn into_inner_pointer(this: Self) -> NonNull<Inner<T>> {
        ManuallyDrop::new(this).inner
    }

    /// # Safety
    /// `inner` came from `into_inner_pointer`, and has only been unsized since.
    #[doc(hidden)]
    pub unsafe fn from_inner_pointer(inner: NonNull<Inner<T>>) -> Self {
        Self::of(inner)
    }

    /// See [`std::sync::Arc::as_ptr`].
    pub fn as_ptr(this: &Self) -> *const T {
        // SAFETY: the memory is there.
        unsafe { &raw const (*this.inner.as_ptr()).data }
    }

    /// See [`std::sync::Arc::into_raw`].
    #[must_use = "losing the pointer will leak memory"]
    pub fn into_raw(this: Self) -> *const T {
        Self::as_ptr(&ManuallyDrop::new(this))
    }

    /// See [`std::sync::Arc::from_raw`].
    ///
    /// # Safety
    /// `data` came from [`Arc::into_raw`] of an `Arc` of this type, or one of the same size and alignment, and is not used again.
    pub unsafe fn from_raw(data: *const T) -> Self {
        // SAFETY: by the contract it points to data inside an `Inner`.
        Self::of(unsafe { inner_of(data) })
    }

    /// See [`std::sync::Arc::increment_strong_count`].
    ///
    /// # Safety
    /// As of [`Arc::from_raw`], but the pointer may be used again; there is a strong one during the call.
    #[track_caller]
    pub unsafe fn increment_strong_count(data: *const T) {
        // SAFETY: by the contract.
        unsafe { inner_of(data).as_ref() }.strong.more(Location::caller());
    }

    /// See [`std::sync::Arc::decrement_strong_count`].
    ///
    /// # Safety
    /// As of [`Arc::from_raw`].
    #[track_caller]
    pub unsafe fn decrement_strong_count(data: *const T) {
        // SAFETY: by the contract.
        drop(unsafe { Self::from_raw(data) });
    }

    /// See [`std::sync::Arc::downgrade`].
    #[track_caller]
    pub fn downgrade(this: &Self) -> Weak<T> {
        let weak = &this.inner().weak;
        let mut count = weak.load(Relaxed);
        loop {
            if count == LOCKED {
                crate::hint::spin_loop();
                count = weak.load(Relaxed);
                continue;
            }
            assert!(count <= MOST, "too many references");
            // Acquire: pairs with the Release that unlocks in `is_unique`.
            match weak.exchange(count, count + 1, Acquire) {
                Ok(_) => return Weak { inner: this.inner },
                Err(found) => count = found,
            }
        }
    }

    /// See [`std::sync::Arc::weak_count`].
    #[track_caller]
    pub fn weak_count(this: &Self) -> usize {
        match this.inner().weak.load(Relaxed) {
            LOCKED => 0,
            count => count - 1,
        }
    }

    /// See [`std::sync::Arc::strong_count`].
    #[track_caller]
    pub fn strong_count(this: &Self) -> usize {
        this.inner().strong.load(Relaxed)
    }

    /// See [`std::sync::Arc::ptr_eq`].
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::ptr::addr_eq(this.inner.as_ptr(), other.inner.as_ptr())
    }

    /// See [`std::sync::Arc::get_mut`].
    #[track_caller]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        if !this.is_unique() {
            return None;
        }
        // SAFETY: there is no other one, strong or weak, and this one is borrowed exclusively.
        Some(unsafe { &mut (*this.inner.as_ptr()).data })
    }

    /// Whether there is no other one, strong or weak.
    #[track_caller]
    fn is_unique(&mut self) -> bool {
        let site = Location::caller();
        let Inner { strong, weak, .. } = self.inner();
        // Acquire: pairs with the Release of whoever dropped a weak one, so that an upgrade before that is seen.
        if weak.exchange(1, LOCKED, Acquire).is_err() {
            return false;
        }
        let unlock = AtEnd(|| weak.set_back(1, site)); // for the Acquire of `downgrade`
        // Acquire: pairs with the Release of whoever dropped a strong one. A load that is stale shows more than there are, never less,
        // as nobody can make more of them; `newest` says so again, since memory depends on it.
        let unique = strong.load(Acquire) == 1 && strong.0.newest() == 1;
        weak.point(site);
        drop(unlock);
        unique
    }

    /// See [`std::sync::Arc::make_mut`].
    #[track_caller]
    pub fn make_mut(this: &mut Self) -> &mut T
    where
        T: Clone + Sized,
    {
        let site = Location::caller();
        let Inner { strong, weak, .. } = this.inner();
        if strong.exchange(1, 0, Acquire).is_err() {
            *this = Arc::new((**this).clone());
            // SAFETY: as below.
            return unsafe { &mut (*this.inner.as_ptr()).data };
        }
        // A point that unwinds must not leave an `Arc` that isn't counted.
        let counted = AtEnd(|| strong.set_back(1, site));
        if weak.load(Relaxed) != 1 {
            std::mem::forget(counted);
            // Only weak ones are left: the data moves, and they find none.
            let rest = Weak { inner: this.inner };
            // SAFETY: nobody has a strong one any more, and nobody ever will; what is in `this` is overwritten below.
            let data = unsafe { (&raw const (*this.inner.as_ptr()).data).read() };
            // SAFETY: the old one is `rest` now.
            unsafe { std::ptr::write(this, Arc::new(data)) };
            drop(rest);
        } else {
            strong.point(site);
            drop(counted);
        }
        // SAFETY: there is no other one, and this one is borrowed exclusively.
        unsafe { &mut (*this.inner.as_ptr()).data }
    }
}

/// Where the `Inner` around the data is.
///
/// # Safety
/// `data` came from [`Arc::as_ptr`].
unsafe fn inner_of<T: ?Sized>(data: *const T) -> NonNull<Inner<T>> {
    // SAFETY: the data is there: at least its size can be asked for.
    let (_, offset) = layout(unsafe { Layout::for_value(&*data) });
    // SAFETY: by the contract that is the address of the counts, in the same allocation.
    unsafe { NonNull::new_unchecked(data.byte_sub(offset) as *mut Inner<T>) }
}

impl<T: ?Sized> Clone for Arc<T> {
    #[inline]
    #[track_caller]
    fn clone(&self) -> Self {
        self.inner().strong.more(Location::caller());
        Self::of(self.inner)
    }
}

impl<T: ?Sized> Deref for Arc<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.inner().data
    }
}

impl<T> Weak<T> {
    /// See [`std::sync::Weak::new`].
    pub const fn new() -> Self {
        Self { inner: NonNull::without_provenance(std::num::NonZero::<usize>::MAX) }
    }
}

impl<T: ?Sized> Weak<T> {
    fn is_dangling(&self) -> bool {
        self.inner.as_ptr().cast::<()>().addr() == usize::MAX
    }

    /// The counts, if it ever was one of an `Arc`.
    fn counts(&self) -> Option<(&Count, &Count)> {
        // SAFETY: the memory is there as long as this weak one is. Nothing is said about the data.
        (!self.is_dangling()).then(|| unsafe { (&(*self.inner.as_ptr()).strong, &(*self.inner.as_ptr()).weak) })
    }

    /// See [`std::sync::Weak::upgrade`].
    #[track_caller]
    pub fn upgrade(&self) -> Option<Arc<T>> {
        let (strong, _) = self.counts()?;
        let mut count = strong.load(Relaxed);
        loop {
            if count == 0 {
                return None;
            }
            assert!(count <= MOST, "too many references");
            // Acquire: pairs with the Release of `new_cyclic`.
            match strong.exchange(count, count + 1, Acquire) {
                Ok(_) => return Some(Arc::of(self.inner)),
                Err(found) => count = found,
            }
        }
    }

    /// See [`std::sync::Weak::strong_count`].
    #[track_caller]
    pub fn strong_count(&self) -> usize {
        self.counts().map_or(0, |(strong, _)| strong.load(Relaxed))
    }

    /// See [`std::sync::Weak::weak_count`].
    #[track_caller]
    pub fn weak_count(&self) -> usize {
        let Some((strong, weak)) = self.counts() else { return 0 };
        let weak = weak.load(Acquire); // pairs with the Release of whoever dropped one
        if strong.load(Relaxed) == 0 { 0 } else { weak - 1 }
    }

    /// See [`std::sync::Weak::ptr_eq`].
    pub fn ptr_eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self.inner.as_ptr(), other.inner.as_ptr())
    }

    /// See [`std::sync::Weak::as_ptr`].
    pub fn as_ptr(&self) -> *const T {
        if self.is_dangling() {
            return self.inner.as_ptr() as *const T;
        }
        // SAFETY: the memory is there.
        unsafe { &raw const (*self.inner.as_ptr()).data }
    }

    /// See [`std::sync::Weak::into_raw`].
    #[must_use = "losing the pointer will leak memory"]
    pub fn into_raw(self) -> *const T {
        ManuallyDrop::new(self).as_ptr()
    }

    /// See [`std::sync::Weak::from_raw`].
    ///
    /// # Safety
    /// `data` came from [`Weak::into_raw`] of a `Weak` of this type, and is not used again.
    pub unsafe fn from_raw(data: *const T) -> Self {
        if data.cast::<()>().addr() == usize::MAX {
            // SAFETY: it isn't null.
            return Self { inner: unsafe { NonNull::new_unchecked(data as *mut Inner<T>) } };
        }
        // SAFETY: by the contract.
        Self { inner: unsafe { inner_of(data) } }
    }
}

impl<T: ?Sized> Clone for Weak<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        if let Some((_, weak)) = self.counts() {
            weak.more(Location::caller());
        }
        Self { inner: self.inner }
    }
}
