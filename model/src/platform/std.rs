//! The real world: `std` atomics, threads and clock.
//!
//! **Invariant: nothing here adds an instruction to what a hand-written `std` program would do**; a test compares the
//! machine code. This is the only file of the crate that names `std::sync`, `std::thread` or `std::time`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use super::local::{Table, View};
use super::{
    Arith, AtomicOps, CellOps, CounterOps, JoinOps, LocalGone, LocalKey, Lock, Panicked, Platform, SpawnError, StdWord,
    ThreadId, ThreadOps, Word,
};
use crate::observe::{Defect, Event, Kind, Reach};
use ::std::alloc::{Layout, alloc_zeroed, dealloc};
use ::std::any::Any;
use ::std::boxed::Box;
use ::std::cell::UnsafeCell;
use ::std::panic::{AssertUnwindSafe, catch_unwind};
use ::std::ptr::NonNull;
use ::std::rc::Rc;
use ::std::string::{String, ToString};
use ::std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use ::std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use ::std::time::{Duration, Instant};
use ::std::vec::Vec;
use ::std::{hint, thread};

/// The platform of production code: `std`, with nothing added. See the [module](super).
#[derive(Clone, Copy, Default, Debug)]
pub struct Std;

/// A `core` atomic.
#[repr(transparent)]
pub struct StdAtomic<V: Word>(V::Std);

impl<V: Word> AtomicOps<V> for StdAtomic<V> {
    #[inline(always)]
    fn new(value: V) -> Self {
        Self(V::Std::new(value))
    }
    #[inline(always)]
    fn load(&self, order: Ordering) -> V {
        self.0.load(order)
    }
    #[inline(always)]
    fn store(&self, value: V, order: Ordering) {
        self.0.store(value, order);
    }
    #[inline(always)]
    fn swap(&self, value: V, order: Ordering) -> V {
        self.0.swap(value, order)
    }
    #[inline(always)]
    fn compare_exchange(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V> {
        self.0.compare_exchange(current, new, success, failure)
    }
    #[inline(always)]
    fn compare_exchange_weak(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V> {
        self.0.compare_exchange_weak(current, new, success, failure)
    }
    #[inline(always)]
    fn fetch_add(&self, value: V, order: Ordering) -> V
    where
        V: Arith,
    {
        V::std_add(&self.0, value, order)
    }
    #[inline(always)]
    fn fetch_sub(&self, value: V, order: Ordering) -> V
    where
        V: Arith,
    {
        V::std_sub(&self.0, value, order)
    }
    #[inline(always)]
    fn fetch_or(&self, value: V, order: Ordering) -> V
    where
        V: Arith,
    {
        V::std_or(&self.0, value, order)
    }
    #[inline(always)]
    fn fetch_and(&self, value: V, order: Ordering) -> V
    where
        V: Arith,
    {
        V::std_and(&self.0, value, order)
    }
    #[inline(always)]
    fn get_mut(&mut self) -> &mut V {
        self.0.get_mut()
    }
}

/// A bare `UnsafeCell`.
#[repr(transparent)]
pub struct StdCell<T>(UnsafeCell<T>);

impl<T> CellOps<T> for StdCell<T> {
    #[inline(always)]
    fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }
    #[inline(always)]
    fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
    #[inline(always)]
    fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
    #[inline(always)]
    fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// A `std` mutex that ignores poisoning.
pub struct StdMutex<T>(Mutex<T>);

impl<T> Lock<T> for StdMutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
    #[inline]
    fn lock(&self) -> Self::Guard<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    #[inline]
    fn try_lock(&self) -> Option<Self::Guard<'_>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(::std::sync::TryLockError::Poisoned(p)) => Some(p.into_inner()),
            Err(::std::sync::TryLockError::WouldBlock) => None,
        }
    }
    fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
    fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A relaxed counter: no ordering is needed because nothing is decided by it.
#[derive(Default)]
pub struct StdCounter(AtomicU64);

impl CounterOps for StdCounter {
    #[inline(always)]
    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed); // Relaxed: see `StdCounter`
    }
    #[inline(always)]
    fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed); // Relaxed: see `StdCounter`
    }
    #[inline(always)]
    fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed); // Relaxed: see `StdCounter`
    }
    #[inline(always)]
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) // Relaxed: see `StdCounter`
    }
}

/// A thread of the operating system.
#[derive(Clone)]
pub struct StdThread {
    id: ThreadId,
    thread: thread::Thread,
}

impl ThreadOps for StdThread {
    fn id(&self) -> ThreadId {
        self.id
    }
    fn unpark(&self) {
        self.thread.unpark();
    }
}

/// The right to join an operating-system thread.
pub struct StdJoin {
    thread: StdThread,
    join: thread::JoinHandle<()>,
}

impl JoinOps for StdJoin {
    type Thread = StdThread;
    fn thread(&self) -> &StdThread {
        &self.thread
    }
    fn join(self) -> Result<(), Panicked> {
        self.join.join().map_err(|payload| Panicked(panic_text(payload.as_ref())))
    }
}

/// The message of a panic, when it is text.
fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_string()
    }
}

/// Numbers threads in order of creation. Relaxed: only uniqueness matters.
static NEXT_THREAD: AtomicU32 = AtomicU32::new(0);

/// Free indices of thread-local variables, and the next stamp.
struct Indices {
    free: Vec<usize>,
    next: usize,
    stamp: u64,
}

static INDICES: Mutex<Indices> = Mutex::new(Indices { free: Vec::new(), next: 0, stamp: 0 });

/// The origin of [`Platform::now`]: the first reading.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Empties the table when the operating system ends the thread, for threads that `Std::spawn` did not start.
struct Guarded(Table);

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.clear(|| ());
        VIEW.set(View::EMPTY);
    }
}

/// The number of a thread that has none yet.
const UNNUMBERED: u32 = u32::MAX;

thread_local! {
    static ID: ::std::cell::Cell<u32> = const { ::std::cell::Cell::new(UNNUMBERED) };
    static TABLE: Guarded = Guarded(Table::default());
    /// Where the places of `TABLE` are: one load away, and never destroyed.
    static VIEW: ::std::cell::Cell<View> = const { ::std::cell::Cell::new(View::EMPTY) };
}

/// Numbers the running thread.
#[cold]
fn number_thread() -> ThreadId {
    let id = next_thread();
    ID.set(id);
    ThreadId(id)
}

/// The next thread's number.
fn next_thread() -> u32 {
    let id = NEXT_THREAD.fetch_add(1, Ordering::Relaxed); // Relaxed: only uniqueness matters
    assert!(id < UNNUMBERED - 1, "2^32 threads");
    id
}

/// A thread-local variable: an index into the thread's one table.
pub struct StdLocal<T> {
    index: usize,
    stamp: u64,
    _value: ::std::marker::PhantomData<fn() -> T>,
}

impl<T: 'static> LocalKey<T> for StdLocal<T> {
    fn new() -> Self {
        let mut indices = INDICES.lock().unwrap_or_else(PoisonError::into_inner);
        indices.stamp += 1;
        let stamp = indices.stamp;
        let index = indices.free.pop().unwrap_or_else(|| {
            indices.next += 1;
            indices.next - 1
        });
        Self { index, stamp, _value: ::std::marker::PhantomData }
    }

    #[inline]
    fn with<R>(&self, init: impl FnOnce() -> T, f: impl FnOnce(&T) -> R) -> Result<R, LocalGone> {
        let found = TABLE.try_with(|t| t.0.get::<T>(self.index, self.stamp)).map_err(|_| LocalGone)?;
        let value = match found {
            Some(value) => value,
            None => {
                let value = Rc::new(init()); // outside the table: it may use other variables
                let put = |t: &Guarded| {
                    t.0.set(self.index, self.stamp, Rc::clone(&value));
                    VIEW.set(t.0.view());
                };
                TABLE.try_with(put).map_err(|_| LocalGone)?;
                value
            }
        };
        Ok(f(&value))
    }

    fn with_existing<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let value = TABLE.try_with(|t| t.0.get::<T>(self.index, self.stamp)).ok()??;
        Some(f(&value))
    }

    #[inline(always)]
    fn peek(&self) -> Option<NonNull<T>> {
        // SAFETY: the view is that of this thread's table: it is set when the table grows, and emptied before the table goes.
        Some(unsafe { VIEW.get().find(self.index, self.stamp) }?.cast())
    }

    fn remove(&self) -> bool {
        TABLE.try_with(|t| t.0.take(self.index, self.stamp)).is_ok_and(|value| value.is_some())
    }
}

impl<T> Drop for StdLocal<T> {
    fn drop(&mut self) {
        // Values of this variable on other threads are stale now: the stamp tells. They go when those threads reuse the
        // index or end.
        INDICES.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.index);
    }
}

impl Platform for Std {
    type Atomic<V: Word> = StdAtomic<V>;
    type Cell<T> = StdCell<T>;
    type Mutex<T: Send> = StdMutex<T>;
    type Counter = StdCounter;

    #[inline(always)]
    fn fence(order: Ordering) {
        fence(order);
    }

    #[inline]
    fn alloc(layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return Some(NonNull::without_provenance(::std::num::NonZero::new(layout.align())?));
        }
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn dealloc(ptr: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: by the contract of this function `ptr` came from `alloc` above with the same layout, and its size is
            // not zero, so it came from the global allocator.
            unsafe { dealloc(ptr.as_ptr(), layout) };
        }
    }

    type Thread = StdThread;
    type Join = StdJoin;
    type Local<T: 'static> = StdLocal<T>;

    fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> Result<StdJoin, SpawnError> {
        let id = next_thread();
        let join = thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                ID.set(id);
                let result = catch_unwind(AssertUnwindSafe(f));
                // Here rather than in the destructor of `TABLE`: other thread-locals of `std` are still alive.
                TABLE.with(|t| t.0.clear(|| ()));
                if let Err(payload) = result {
                    ::std::panic::resume_unwind(payload);
                }
            })
            .map_err(|e| SpawnError { name, reason: e.to_string() })?;
        let thread = StdThread { id: ThreadId(id), thread: join.thread().clone() };
        Ok(StdJoin { thread, join })
    }

    fn current() -> StdThread {
        StdThread { id: Self::current_id(), thread: thread::current() }
    }

    #[inline(always)]
    fn current_id() -> ThreadId {
        match ID.get() {
            UNNUMBERED => number_thread(),
            id => ThreadId(id),
        }
    }

    #[inline(always)]
    fn is_current(id: ThreadId) -> bool {
        ID.get() == id.0 // a thread without a number is nobody
    }

    fn park() {
        thread::park();
    }

    fn park_timeout(limit: Duration) {
        thread::park_timeout(limit);
    }

    fn sleep(time: Duration) {
        thread::sleep(time);
    }

    fn yield_now() {
        thread::yield_now();
    }

    #[inline(always)]
    fn spin_hint() {
        hint::spin_loop();
    }

    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(f))
    }

    fn unwinding() -> bool {
        thread::panicking()
    }

    fn now() -> Duration {
        START.elapsed()
    }

    fn random() -> u64 {
        RANDOM.with(|state| {
            // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one addition and a mix.
            let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            state.set(next);
            let mut mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    type Id = ();
    type Ticket = ();

    #[inline(always)]
    fn identify(_kind: Kind) {}
    #[inline(always)]
    fn obtained((): ()) {}
    #[inline(always)]
    fn note((): (), _event: Event) {}
    #[inline(always)]
    fn destroyed((): ()) {}
    #[inline(always)]
    fn boundary() {}
    #[inline(always)]
    fn reach(_point: Reach) {}
    #[inline(always)]
    fn planted(_defect: Defect) -> bool {
        false
    }
}

thread_local! {
    /// Where this thread's random numbers are; it starts where the standard library's hash keys start.
    static RANDOM: ::std::cell::Cell<u64> =
        ::std::cell::Cell::new(::std::hash::BuildHasher::hash_one(&::std::hash::RandomState::new(), 0));
}
