//! Variables of which each simulated thread has its own.
//!
//! **Invariant: a value is destroyed at the end of its thread**, in the order in which the execution first used the variables; a
//! destructor may use, and make again, other ones.
//!
//! ```text
//!   static X: LocalKey ── its tag ──> this execution's variable ── index ──> this thread's value
//! ```
//!
//! Outside of executions each thread of the host has its own, too.

use crate::engine::{Gate, SimLocal, Tag};
use millpond_model::platform::LocalKey as _;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

thread_local! {
    /// The values of the host's threads.
    static OUTSIDE: RefCell<BTreeMap<u64, Rc<dyn Any>>> = const { RefCell::new(BTreeMap::new()) };
}

/// See [`std::thread::LocalKey`]. It is made by [`thread_local!`](crate::thread_local).
pub struct LocalKey<T: 'static> {
    tag: Tag,
    init: fn() -> T,
}

/// See [`std::thread::AccessError`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessError;

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessError").finish()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("already destroyed")
    }
}

impl Error for AccessError {}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> Self {
        Self { tag: Tag::unclaimed(), init }
    }

    /// Runs `f` on this thread's value; `init` makes it if there is none.
    #[track_caller]
    fn initialised<R>(&'static self, init: impl FnOnce() -> T, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        if let Some(gate) = Gate::open() {
            return gate.instance(&self.tag, SimLocal::<T>::new).with(init, f).map_err(|_| AccessError);
        }
        let key = self.tag.key();
        let known = OUTSIDE.try_with(|map| map.borrow().get(&key).cloned()).map_err(|_| AccessError)?;
        let value = known.unwrap_or_else(|| {
            let value: Rc<dyn Any> = Rc::new(init()); // outside the table: it may use other variables
            OUTSIDE.with(|map| map.borrow_mut().insert(key, Rc::clone(&value)));
            value
        });
        let Some(value) = value.downcast_ref::<T>() else { unreachable!("a tag belongs to one variable") };
        Ok(f(value))
    }

    /// See [`std::thread::LocalKey::with`].
    ///
    /// # Panics
    /// If the thread's variables have been destroyed.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f).unwrap_or_else(|_| {
            panic!("cannot access a Thread Local Storage value during or after destruction: AccessError")
        })
    }

    /// See [`std::thread::LocalKey::try_with`].
    ///
    /// # Errors
    /// If the thread's variables have been destroyed.
    #[track_caller]
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.initialised(self.init, f)
    }

    /// Runs `f` on the value, made from `new` if there was none; with `new` if there was.
    #[track_caller]
    fn first<N>(&'static self, new: N, make: impl FnOnce(N) -> T, f: impl FnOnce(&T, N)) {
        let new = Cell::new(Some(new));
        let init = || make(new.take().unwrap_or_else(|| unreachable!("it is made once")));
        let done = self.initialised(init, |value| {
            if let Some(new) = new.take() {
                f(value, new);
            }
        });
        assert!(done.is_ok(), "cannot access a Thread Local Storage value during or after destruction: AccessError");
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// See [`std::thread::LocalKey::set`].
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.first(value, Cell::new, Cell::set);
    }

    /// See [`std::thread::LocalKey::get`].
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// See [`std::thread::LocalKey::take`].
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// See [`std::thread::LocalKey::replace`].
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// See [`std::thread::LocalKey::with_borrow`].
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// See [`std::thread::LocalKey::with_borrow_mut`].
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// See [`std::thread::LocalKey::set`].
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.first(value, RefCell::new, |cell, value| *cell.borrow_mut() = value);
    }

    /// See [`std::thread::LocalKey::take`].
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// See [`std::thread::LocalKey::replace`].
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// See [`std::thread_local!`].
///
/// ```
/// use std::cell::Cell;
/// millpond::thread_local! {
///     static DEPTH: Cell<u32> = const { Cell::new(0) };
///     pub static NAME: String = String::from("nobody");
/// }
/// DEPTH.set(3);
/// assert_eq!((DEPTH.get(), NAME.with(String::len)), (3, 6));
/// ```
#[macro_export]
macro_rules! thread_local {
    () => {};
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty = const $init:block $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $vis static $name: $crate::thread::LocalKey<$type> = $crate::thread::LocalKey::new(|| const $init);
        $($crate::thread_local!($($rest)*);)?
    };
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $vis static $name: $crate::thread::LocalKey<$type> = $crate::thread::LocalKey::new(|| $init);
        $($crate::thread_local!($($rest)*);)?
    };
}
