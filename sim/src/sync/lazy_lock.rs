//! `std::sync::LazyLock`, simulated.
//!
//! **Invariant: a function pointer is only ever copied out of `init`; any other initialiser is taken out once**, by whoever the lock
//! belongs to. So a `static` lock, whose initialiser is a function pointer, is initialised anew in every execution.

use super::once::State;
use super::once_lock::{Found, OnceLock};
use std::any::TypeId;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::transmute;
use std::ops::Deref;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

/// See [`std::sync::LazyLock`]. As a `static` it leaks a value for each execution but the first: see `OnceLock`.
pub struct LazyLock<T, F = fn() -> T> {
    lock: OnceLock<T>,
    init: UnsafeCell<Option<F>>,
}

// SAFETY: `init` is written by one thread only, the one that initialises; all else is as for `OnceLock`.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}

/// The type, whatever lifetimes it has.
fn type_of<T: ?Sized>() -> TypeId {
    trait Tell {
        fn tell(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T: ?Sized> Tell for PhantomData<T> {
        fn tell(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let marker: &dyn Tell = &PhantomData::<T>;
    // SAFETY: only the lifetime of the trait object changes, and the function that is called depends on none.
    unsafe { transmute::<&dyn Tell, &(dyn Tell + 'static)>(marker) }.tell()
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// See [`std::sync::LazyLock::new`].
    pub const fn new(f: F) -> Self {
        Self { lock: OnceLock::new(), init: UnsafeCell::new(Some(f)) }
    }

    /// See [`std::sync::LazyLock::force`].
    ///
    /// # Panics
    /// If the initialisation panicked before. If the initialiser captures something, in every execution but the first.
    #[track_caller]
    pub fn force(this: &Self) -> &T {
        let site = Location::caller();
        match this.lock.find(site) {
            Found::Inside(slot, gate) => {
                let foreign = this.lock.is_foreign();
                slot.init(gate, State::Poisoned, || this.run(foreign), site)
            }
            Found::Outside(host) => host.get_or_init(|| this.run(false)),
        }
    }

    fn run(&self, foreign: bool) -> T {
        if type_of::<F>() == type_of::<fn() -> T>() {
            // SAFETY: a function pointer can be copied, and nobody ever writes to its place.
            let init = unsafe { std::ptr::read(self.init.get()) };
            return init.map_or_else(|| unreachable!("it is never taken out"), |init| init());
        }
        assert!(
            !foreign,
            "a LazyLock whose initialiser captures something was used in a second execution: it can be run once only"
        );
        // SAFETY: whoever the lock belongs to runs this in one thread at a time, and nobody else comes here.
        let init = unsafe { (*self.init.get()).take() };
        let Some(init) = init else { panic!("LazyLock instance has previously been poisoned") };
        init()
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;
    #[track_caller]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("LazyLock");
        match self.lock.get() {
            Some(value) => tuple.field(value).finish(),
            None => tuple.field(&format_args!("<uninit>")).finish(),
        }
    }
}
