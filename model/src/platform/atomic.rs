//! Atomic words.
//!
//! **Invariant: an operation means the same on every platform as the `core` operation of the same name**; a platform adds
//! observation, never behaviour.
#![allow(clippy::disallowed_types)] // the one place besides std.rs that names the `core` atomics: it maps words to them

use core::fmt::Debug;
use core::sync::atomic::Ordering;

/// A value that fits an atomic word: `bool`, an integer, or a raw pointer.
///
/// Sealed by its supertrait: the set is what `core::sync::atomic` offers.
pub trait Word: Copy + PartialEq + Debug + sealed::Sealed {
    /// The `core` atomic that holds it.
    type Std: StdWord<Self>;

    /// A small number that stands for the value in a digest. Never depends on an address: a pointer gives 0 or 1.
    fn class(self) -> u8;
    /// The value as bits. A pointer's provenance is exposed.
    fn bits(self) -> u64;
    /// The value of these bits.
    fn of_bits(bits: u64) -> Self;
}

/// A [`Word`] with arithmetic and bit operations: the integers.
pub trait Arith: Word {
    /// Wrapping sum.
    fn plus(self, other: Self) -> Self;
    /// Wrapping difference.
    fn minus(self, other: Self) -> Self;
    /// Bitwise or.
    fn or(self, other: Self) -> Self;
    /// Bitwise and.
    fn and(self, other: Self) -> Self;
    /// `fetch_add` on the `core` atomic.
    fn std_add(cell: &Self::Std, value: Self, order: Ordering) -> Self;
    /// `fetch_sub` on the `core` atomic.
    fn std_sub(cell: &Self::Std, value: Self, order: Ordering) -> Self;
    /// `fetch_or` on the `core` atomic.
    fn std_or(cell: &Self::Std, value: Self, order: Ordering) -> Self;
    /// `fetch_and` on the `core` atomic.
    fn std_and(cell: &Self::Std, value: Self, order: Ordering) -> Self;
}

/// What the `core` atomics have in common.
pub trait StdWord<V>: Send + Sync {
    /// See `core`.
    fn new(value: V) -> Self;
    /// See `core`.
    fn load(&self, order: Ordering) -> V;
    /// See `core`.
    fn store(&self, value: V, order: Ordering);
    /// See `core`.
    fn swap(&self, value: V, order: Ordering) -> V;
    /// See `core`.
    ///
    /// # Errors
    /// The value found, if it isn't `current`.
    fn compare_exchange(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V>;
    /// See `core`.
    ///
    /// # Errors
    /// The value found; may be `current`.
    fn compare_exchange_weak(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V>;
    /// See `core`.
    fn get_mut(&mut self) -> &mut V;
}

/// An atomic word of a platform. Orderings and panics are those of `core::sync::atomic`.
pub trait AtomicOps<V: Word>: Send + Sync {
    /// A word that holds `value`.
    fn new(value: V) -> Self;
    /// Reads.
    #[track_caller]
    fn load(&self, order: Ordering) -> V;
    /// Writes.
    #[track_caller]
    fn store(&self, value: V, order: Ordering);
    /// Writes and gives the value before.
    #[track_caller]
    fn swap(&self, value: V, order: Ordering) -> V;
    /// Writes `new` if the value is `current`.
    ///
    /// # Errors
    /// The value found, if it isn't `current`.
    #[track_caller]
    fn compare_exchange(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V>;
    /// As [`AtomicOps::compare_exchange`], but may fail although the value is `current`.
    ///
    /// # Errors
    /// The value found; may be `current`.
    #[track_caller]
    fn compare_exchange_weak(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V>;
    /// Adds, wrapping, and gives the value before.
    #[track_caller]
    fn fetch_add(&self, value: V, order: Ordering) -> V
    where
        V: Arith;
    /// Subtracts, wrapping, and gives the value before.
    #[track_caller]
    fn fetch_sub(&self, value: V, order: Ordering) -> V
    where
        V: Arith;
    /// Sets bits and gives the value before.
    #[track_caller]
    fn fetch_or(&self, value: V, order: Ordering) -> V
    where
        V: Arith;
    /// Keeps bits and gives the value before.
    #[track_caller]
    fn fetch_and(&self, value: V, order: Ordering) -> V
    where
        V: Arith;
    /// Plain access: the borrow proves that nobody else is there.
    fn get_mut(&mut self) -> &mut V;
}

mod sealed {
    /// Keeps `Word` to the types listed in this file.
    pub trait Sealed {}
}

macro_rules! std_word {
    ($atomic:ty, $value:ty $(, $generic:ident)?) => {
        impl $(<$generic>)? StdWord<$value> for $atomic {
            #[inline(always)]
            fn new(value: $value) -> Self {
                Self::new(value)
            }
            #[inline(always)]
            fn load(&self, order: Ordering) -> $value {
                self.load(order)
            }
            #[inline(always)]
            fn store(&self, value: $value, order: Ordering) {
                self.store(value, order);
            }
            #[inline(always)]
            fn swap(&self, value: $value, order: Ordering) -> $value {
                self.swap(value, order)
            }
            #[inline(always)]
            fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
            #[inline(always)]
            fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange_weak(current, new, success, failure)
            }
            #[inline(always)]
            fn get_mut(&mut self) -> &mut $value {
                self.get_mut()
            }
        }
    };
}

macro_rules! integer {
    ($($value:ident $atomic:ident),*) => {$(
        impl sealed::Sealed for $value {}
        impl Word for $value {
            type Std = core::sync::atomic::$atomic;
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, trivial_numeric_casts)]
            fn class(self) -> u8 {
                self as u8
            }
            #[inline(always)]
            #[allow(clippy::cast_sign_loss, clippy::cast_lossless, trivial_numeric_casts)]
            fn bits(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, trivial_numeric_casts)]
            fn of_bits(bits: u64) -> Self {
                bits as $value
            }
        }
        impl Arith for $value {
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self & other
            }
            #[inline(always)]
            fn std_add(cell: &Self::Std, value: Self, order: Ordering) -> Self {
                cell.fetch_add(value, order)
            }
            #[inline(always)]
            fn std_sub(cell: &Self::Std, value: Self, order: Ordering) -> Self {
                cell.fetch_sub(value, order)
            }
            #[inline(always)]
            fn std_or(cell: &Self::Std, value: Self, order: Ordering) -> Self {
                cell.fetch_or(value, order)
            }
            #[inline(always)]
            fn std_and(cell: &Self::Std, value: Self, order: Ordering) -> Self {
                cell.fetch_and(value, order)
            }
        }
        std_word!(core::sync::atomic::$atomic, $value);
    )*};
}

integer!(u8 AtomicU8, u16 AtomicU16, u32 AtomicU32, u64 AtomicU64, usize AtomicUsize);
integer!(i8 AtomicI8, i16 AtomicI16, i32 AtomicI32, i64 AtomicI64, isize AtomicIsize);

impl sealed::Sealed for bool {}
impl Word for bool {
    type Std = core::sync::atomic::AtomicBool;
    #[inline(always)]
    fn class(self) -> u8 {
        u8::from(self)
    }
    #[inline(always)]
    fn bits(self) -> u64 {
        u64::from(self)
    }
    #[inline(always)]
    fn of_bits(bits: u64) -> Self {
        bits != 0
    }
}
std_word!(core::sync::atomic::AtomicBool, bool);

impl<T> sealed::Sealed for *mut T {}
impl<T> Word for *mut T {
    type Std = core::sync::atomic::AtomicPtr<T>;
    #[inline(always)]
    fn class(self) -> u8 {
        u8::from(!self.is_null())
    }
    #[inline(always)]
    fn bits(self) -> u64 {
        self.expose_provenance() as u64
    }
    #[inline(always)]
    fn of_bits(bits: u64) -> Self {
        core::ptr::with_exposed_provenance_mut(bits as usize)
    }
}
std_word!(core::sync::atomic::AtomicPtr<T>, *mut T, T);
