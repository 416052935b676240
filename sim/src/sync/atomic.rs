//! `std::sync::atomic`, simulated.
//!
//! **Invariant: a word starts from its initial value in every execution**, whoever used it before: so a `static` needs no care.
//!
//! ```text
//!   nobody's ──> first execution: in place      others: an instance each, from `initial`
//!       └──────> outside of executions: in place, with the host's operations; executions start from what it holds then
//!   outside of executions, after one has claimed it: a word of the host's, from `initial`, too
//! ```
//!
//! What `std` has and this has not (`as_ptr`, `from_ptr`) lets the value change unseen.

use crate::engine::{Gate, Op, Sim, SimAtomic, Site, Whose};
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, StdWord, Word};
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;
use std::sync::atomic as host;

pub use std::sync::atomic::{Ordering, compiler_fence};

use Ordering::Relaxed;

/// See [`std::sync::atomic::fence`].
///
/// # Panics
/// If `order` is `Relaxed`.
#[inline]
#[track_caller]
pub fn fence(order: Ordering) {
    match Gate::open() {
        Some(_) => Sim::fence(order),
        None => host::fence(order),
    }
}

/// See [`std::hint::spin_loop`]. The name that it once had in `std`, and has in `loom`.
#[inline]
#[track_caller]
pub fn spin_loop_hint() {
    crate::hint::spin_loop();
}

/// A word's value without lifetimes, for the instances of other executions.
trait Erase: Word {
    type Erased: Word + 'static;
    fn erased(self) -> Self::Erased;
}

impl<T> Erase for *mut T {
    type Erased = *mut ();
    fn erased(self) -> *mut () {
        self.cast()
    }
}

impl Erase for bool {
    type Erased = Self;
    fn erased(self) -> Self {
        self
    }
}

/// A word and what it held at first.
struct Static<V: Erase> {
    word: SimAtomic<V>,
    initial: V,
    /// What the world outside of executions has of a word that one of them claimed.
    outside: OnceLock<Box<V::Std>>,
}

// SAFETY: `word` may be shared, and `initial` is a number or a raw pointer that is only read.
unsafe impl<V: Erase> Send for Static<V> {}
// SAFETY: as above.
unsafe impl<V: Erase> Sync for Static<V> {}

impl<V: Erase> Drop for Static<V> {
    #[track_caller]
    fn drop(&mut self) {
        if let Some(gate) = self.word.tag().mine() {
            gate.drops(self.word.tag().object(), Location::caller());
        }
    }
}

impl<V: Erase> Static<V> {
    /// Somebody has the word to himself: whatever was done with it must have come before.
    #[inline]
    fn alone(&self, site: Site) {
        if let Some(gate) = self.word.tag().mine() {
            gate.gives_up(self.word.tag().object(), site);
        }
    }

    const fn new(value: V) -> Self {
        Self { word: SimAtomic::unclaimed(value), initial: value, outside: OnceLock::new() }
    }

    /// The running execution's word; `None` outside of executions.
    #[inline(always)]
    fn word(&self) -> Option<(&SimAtomic<V>, Gate<'_>)> {
        match self.word.tag().mine() {
            Some(gate) => Some((&self.word, gate)),
            None => self.find(),
        }
    }

    #[cold]
    #[inline(never)]
    fn find(&self) -> Option<(&SimAtomic<V>, Gate<'_>)> {
        match self.word.tag().whose() {
            Whose::Mine(gate) => Some((&self.word, gate)),
            Whose::Foreign(gate) => {
                let instance = gate.instance::<SimAtomic<V::Erased>>(self.word.tag(), || {
                    let outside = self.word.tag().is_outside();
                    let value = if outside { StdWord::load(self.host(), Ordering::Acquire) } else { self.initial };
                    SimAtomic::here(value.erased())
                });
                // SAFETY: `V` and its erased form are the same number, or pointers that differ in what they point to, so that the two
                // words have the same layout, being `repr(C)`.
                Some((unsafe { &*std::ptr::from_ref(instance).cast::<SimAtomic<V>>() }, gate))
            }
            Whose::Outside | Whose::Gone => None,
        }
    }

    /// The word as one of the host's: for the world outside.
    fn host(&self) -> &V::Std {
        if !self.word.tag().is_outside() {
            return self.outside.get_or_init(|| Box::new(V::Std::new(self.initial)));
        }
        const { assert!(size_of::<V>() == size_of::<V::Std>() && align_of::<V>() == align_of::<V::Std>()) };
        // SAFETY: the host's atomic has the size, alignment and bits of its value, as `core` says and the line above checks. As
        // long as the tag says that the world outside owns the word, and this is called at no other time, all accesses
        // are atomic ones through this reference: `Static::find` lets nobody come to the plain ones.
        unsafe { &*self.word.place().cast::<V::Std>() }
    }
}

macro_rules! common {
    ($name:ident, $value:ty $(, $generic:ident)?) => {
        impl$(<$generic>)? $name$(<$generic>)? {
            /// See `std`.
            pub const fn new(value: $value) -> Self {
                Self(Static::new(value))
            }

            /// See `std`.
            #[track_caller]
            pub fn into_inner(self) -> $value {
                self.0.alone(Location::caller());
                self.0.word.newest()
            }

            /// See `std`. Executions that share the word start from what it held when it was made, all the same.
            #[track_caller]
            pub fn get_mut(&mut self) -> &mut $value {
                self.0.alone(Location::caller());
                AtomicOps::get_mut(&mut self.0.word)
            }

            /// See `loom`: `f` changes the value, with nobody else there.
            #[track_caller]
            pub fn with_mut<R>(&mut self, f: impl FnOnce(&mut $value) -> R) -> R {
                f(self.get_mut())
            }

            /// See `loom`: reads without synchronisation.
            ///
            /// # Safety
            /// Nobody writes at the same time.
            #[track_caller]
            pub unsafe fn unsync_load(&self) -> $value {
                self.load(Relaxed)
            }

            /// See `std`.
            ///
            /// # Panics
            /// If the order is one that releases.
            #[inline(always)]
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                match self.0.word() {
                    Some((word, gate)) => word.load_in(gate, order, Location::caller()),
                    None => self.0.host().load(order),
                }
            }

            /// See `std`.
            ///
            /// # Panics
            /// If the order is one that acquires.
            #[inline(always)]
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                match self.0.word() {
                    Some((word, gate)) => word.store_in(gate, value, order, Location::caller()),
                    None => self.0.host().store(value, order),
                }
            }

            /// See `std`.
            #[inline(always)]
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                match self.0.word() {
                    Some((word, gate)) => word.update_in(gate, Op::Swap, order, Location::caller(), |_| value),
                    None => self.0.host().swap(value, order),
                }
            }

            /// See `std`.
            ///
            /// # Errors
            /// The value found, if it isn't `current`.
            #[inline(always)]
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                match self.0.word() {
                    Some((word, gate)) => {
                        word.exchange_in(gate, (current, new), (success, failure), false, Location::caller())
                    }
                    None => self.0.host().compare_exchange(current, new, success, failure),
                }
            }

            /// See `std`.
            ///
            /// # Errors
            /// The value found; may be `current`.
            #[inline(always)]
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                match self.0.word() {
                    Some((word, gate)) => {
                        word.exchange_in(gate, (current, new), (success, failure), true, Location::caller())
                    }
                    None => self.0.host().compare_exchange_weak(current, new, success, failure),
                }
            }

            /// See `std`.
            #[doc(hidden)]
            #[deprecated = "use compare_exchange"]
            #[track_caller]
            pub fn compare_and_swap(&self, current: $value, new: $value, order: Ordering) -> $value {
                let failure = match order {
                    Ordering::Relaxed | Ordering::Release => Ordering::Relaxed,
                    Ordering::Acquire | Ordering::AcqRel => Ordering::Acquire,
                    order => order,
                };
                self.compare_exchange(current, new, order, failure).unwrap_or_else(|found| found)
            }

            /// See `std`.
            ///
            /// # Errors
            /// The value for which `f` gave none.
            #[inline]
            #[track_caller]
            pub fn fetch_update<F>(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut f: F,
            ) -> Result<$value, $value>
            where
                F: FnMut($value) -> Option<$value>,
            {
                let mut old = self.load(fetch_order);
                while let Some(new) = f(old) {
                    match self.compare_exchange_weak(old, new, set_order, fetch_order) {
                        Ok(old) => return Ok(old),
                        Err(found) => old = found,
                    }
                }
                Err(old)
            }

            /// See `std`.
            ///
            /// # Errors
            /// The value for which `f` gave none.
            #[inline]
            #[track_caller]
            pub fn try_update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.fetch_update(set_order, fetch_order, f)
            }

            /// See `std`.
            #[inline]
            #[track_caller]
            pub fn update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut f: impl FnMut($value) -> $value,
            ) -> $value {
                let mut old = self.load(fetch_order);
                loop {
                    match self.compare_exchange_weak(old, f(old), set_order, fetch_order) {
                        Ok(old) => return old,
                        Err(found) => old = found,
                    }
                }
            }

            #[inline(always)]
            fn modify(&self, op: Op, order: Ordering, site: Site, f: impl Fn($value) -> $value) -> $value {
                if let Some((word, gate)) = self.0.word() {
                    return word.update_in(gate, op, order, site, f);
                }
                // as the host's operation of that name
                let failure = match order {
                    Ordering::Relaxed | Ordering::Release => Ordering::Relaxed,
                    Ordering::Acquire | Ordering::AcqRel => Ordering::Acquire,
                    order => order,
                };
                let mut old = self.0.host().load(Relaxed);
                loop {
                    match self.0.host().compare_exchange_weak(old, f(old), order, failure) {
                        Ok(old) => return old,
                        Err(found) => old = found,
                    }
                }
            }
        }

        impl$(<$generic>)? From<$value> for $name$(<$generic>)? {
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }

        impl$(<$generic>)? fmt::Debug for $name$(<$generic>)? {
            /// A relaxed load, as in `std`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.load(Relaxed), f)
            }
        }

        impl$(<$generic>)? UnwindSafe for $name$(<$generic>)? {}
        impl$(<$generic>)? RefUnwindSafe for $name$(<$generic>)? {}
    };
}

/// Read-modify-write operations that can't fail.
macro_rules! fetch {
    ($value:ty: $($rest:tt)*) => { fetch! { $value => $value: $($rest)* } };
    ($argument:ty => $value:ty: $($method:ident, $op:ident, $f:expr;)*) => {
        $(
            /// See `std`.
            #[inline(always)]
            #[track_caller]
            pub fn $method(&self, value: $argument, order: Ordering) -> $value {
                let f: fn($value, $argument) -> $value = $f;
                self.modify(Op::$op, order, Location::caller(), |old| f(old, value))
            }
        )*
    };
}

macro_rules! integer {
    ($($name:ident, $value:ty;)*) => {
        $(
            impl Erase for $value {
                type Erased = Self;
                fn erased(self) -> Self {
                    self
                }
            }

            /// See `std`.
            pub struct $name(Static<$value>);

            common!($name, $value);

            impl $name {
                fetch! {
                    $value:
                    fetch_add, Add, |old, value| old.wrapping_add(value);
                    fetch_sub, Sub, |old, value| old.wrapping_sub(value);
                    fetch_and, And, |old, value| old & value;
                    fetch_nand, Nand, |old, value| !(old & value);
                    fetch_or, Or, |old, value| old | value;
                    fetch_xor, Xor, |old, value| old ^ value;
                    fetch_max, Max, |old, value| old.max(value);
                    fetch_min, Min, |old, value| old.min(value);
                }
            }

            impl Default for $name {
                fn default() -> Self {
                    Self::new(0)
                }
            }
        )*
    };
}

integer! {
    AtomicU8, u8;
    AtomicU16, u16;
    AtomicU32, u32;
    AtomicU64, u64;
    AtomicUsize, usize;
    AtomicI8, i8;
    AtomicI16, i16;
    AtomicI32, i32;
    AtomicI64, i64;
    AtomicIsize, isize;
}

/// See `std`.
pub struct AtomicBool(Static<bool>);

common!(AtomicBool, bool);

impl AtomicBool {
    fetch! {
        bool:
        fetch_and, And, |old, value| old & value;
        fetch_nand, Nand, |old, value| !(old & value);
        fetch_or, Or, |old, value| old | value;
        fetch_xor, Xor, |old, value| old ^ value;
    }

    /// See `std`.
    #[inline(always)]
    #[track_caller]
    pub fn fetch_not(&self, order: Ordering) -> bool {
        self.modify(Op::Nand, order, Location::caller(), |old| !old)
    }
}

impl Default for AtomicBool {
    fn default() -> Self {
        Self::new(false)
    }
}

/// See `std`.
pub struct AtomicPtr<T>(Static<*mut T>);

common!(AtomicPtr, *mut T, T);

impl<T> AtomicPtr<T> {
    fetch! {
        usize => *mut T:
        fetch_ptr_add, Add, |old, value| old.wrapping_add(value);
        fetch_ptr_sub, Sub, |old, value| old.wrapping_sub(value);
        fetch_byte_add, Add, |old, value| old.wrapping_byte_add(value);
        fetch_byte_sub, Sub, |old, value| old.wrapping_byte_sub(value);
        fetch_or, Or, |old, value| old.map_addr(|a| a | value);
        fetch_and, And, |old, value| old.map_addr(|a| a & value);
        fetch_xor, Xor, |old, value| old.map_addr(|a| a ^ value);
    }
}

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(std::ptr::null_mut())
    }
}

impl<T> fmt::Pointer for AtomicPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.load(Relaxed), f)
    }
}
