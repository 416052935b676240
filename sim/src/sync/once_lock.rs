//! `std::sync::OnceLock`, simulated.
//!
//! **Invariant: a value that was handed out by shared reference stays where it is** as long as the lock does, which may be for ever.
//! So a `static` lock, which has a value of its own in every execution, leaks all but the one of the execution that used it
//! first: the program may have kept a `&'static` to it.
//!
//! ```text
//!   slot { progress, value }      the execution's own, in place; of other executions an instance each, leaked
//!   host                          of the world outside; executions that come later find it initialised
//! ```

use super::once::{Progress, State};
use crate::engine::{Gate, Site, Tag, Whose};
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

/// A value, or where it is.
enum Value<T> {
    None,
    Own(T),
    /// In `host` of the lock that this is an instance of.
    Host(*const T),
}

/// What one execution has of a lock.
pub(super) struct Slot<T> {
    pub progress: Progress,
    value: UnsafeCell<Value<T>>,
}

impl<T> Slot<T> {
    const fn new(progress: Progress) -> Self {
        Self { progress, value: UnsafeCell::new(Value::None) }
    }

    /// The value, if it is there.
    ///
    /// # Safety
    /// Nobody is initialising.
    unsafe fn value(&self) -> Option<&T> {
        // SAFETY: it is written while somebody initialises, and by exclusive borrows of the lock.
        match unsafe { &*self.value.get() } {
            Value::None => None,
            Value::Own(value) => Some(value),
            // SAFETY: `host` of the lock is there, and initialised; an exclusive borrow that empties it makes this instance unreachable.
            Value::Host(value) => Some(unsafe { &**value }),
        }
    }

    fn get(&self, gate: Gate<'_>, site: Site) -> Option<&T> {
        // SAFETY: it is done.
        if self.progress.look(gate, site) { unsafe { self.value() } } else { None }
    }

    /// Initialises it unless that is done; after a panic of `f` it is `after`.
    pub fn init(&self, gate: Gate<'_>, after: State, f: impl FnOnce() -> T, site: Site) -> &T {
        let set = || {
            let value = f();
            // SAFETY: only one thread at a time gets here, and nobody looks before it is done.
            unsafe { *self.value.get() = Value::Own(value) };
        };
        self.progress.call(gate, after == State::New, after, |_| set(), site);
        // SAFETY: it is done.
        let value = unsafe { self.value() };
        // In an execution that is given up a destructor may get here, although nobody has finished.
        value.unwrap_or_else(|| gate.give_up_for_good())
    }
}

/// Where the value is to be found.
pub(super) enum Found<'a, T> {
    Inside(&'a Slot<T>, Gate<'a>),
    Outside(&'a std::sync::OnceLock<T>),
}

/// A slot that is never dropped.
struct Leaked(*mut ());

/// See [`std::sync::OnceLock`].
pub struct OnceLock<T> {
    slot: Slot<T>,
    /// For the world outside.
    host: std::sync::OnceLock<T>,
}

// SAFETY: the value may go where it likes, being `Send`.
unsafe impl<T: Send> Send for OnceLock<T> {}
// SAFETY: `slot` is touched by the execution only that the lock belongs to, which is on one OS thread; `host` is `Sync`. Through a
// shared lock a value can be put in, so that it must be `Send`, and shared, so that it must be `Sync`.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// See [`std::sync::OnceLock::new`].
    pub const fn new() -> Self {
        Self { slot: Slot::new(Progress::new(Tag::unclaimed())), host: std::sync::OnceLock::new() }
    }

    /// Whether another execution, or the world outside, used it first.
    pub(super) fn is_foreign(&self) -> bool {
        self.slot.progress.tag.mine().is_none()
    }

    pub(super) fn find(&self, site: Site) -> Found<'_, T> {
        let tag = &self.slot.progress.tag;
        match tag.whose() {
            Whose::Mine(gate) => Found::Inside(&self.slot, gate),
            Whose::Foreign(gate) => Found::Inside(self.instance(gate), gate),
            Whose::Outside => Found::Outside(&self.host),
            Whose::Gone => panic!("a lock of a simulated execution was used outside of it, at {site}"),
        }
    }

    #[cold]
    fn instance(&self, gate: Gate<'_>) -> &Slot<T> {
        let tag = &self.slot.progress.tag;
        let instance = gate.instance(tag, || {
            let known = self.host.get().filter(|_| tag.is_outside());
            let slot = match known {
                Some(value) => {
                    Slot { progress: Progress::done(Tag::here()), value: UnsafeCell::new(Value::Host(value)) }
                }
                None => Slot::new(Progress::new(Tag::here())),
            };
            Leaked(Box::into_raw(Box::new(slot)).cast())
        });
        // SAFETY: it is leaked, and was made for this lock, which no other has the tag of: so it is of this type. This execution is the
        // only one that knows it.
        unsafe { &*instance.0.cast::<Slot<T>>() }
    }

    /// See [`std::sync::OnceLock::get`].
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        let site = Location::caller();
        match self.find(site) {
            Found::Inside(slot, gate) => slot.get(gate, site),
            Found::Outside(host) => host.get(),
        }
    }

    /// See [`std::sync::OnceLock::get_mut`].
    pub fn get_mut(&mut self) -> Option<&mut T> {
        let tag = &self.slot.progress.tag;
        if let Some(gate) = Gate::open().filter(|_| tag.mine().is_none() && tag.is_claimed()) {
            let slot = self.instance(gate);
            // SAFETY: the lock is borrowed exclusively, and nothing else leads to its instance.
            match unsafe { &mut *slot.value.get() } {
                Value::Own(value) => return Some(value),
                Value::None => return None,
                Value::Host(_) => {}
            }
        }
        match self.slot.value.get_mut() {
            Value::Own(value) => Some(value),
            _ => self.host.get_mut(),
        }
    }

    /// See [`std::sync::OnceLock::set`].
    ///
    /// # Errors
    /// The value, if there is one already.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().unwrap_or_else(|| unreachable!("it is run once")));
        value.map_or(Ok(()), Err)
    }

    /// See [`std::sync::OnceLock::get_or_init`].
    #[track_caller]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        let site = Location::caller();
        match self.find(site) {
            Found::Inside(slot, gate) => slot.init(gate, State::New, f, site),
            Found::Outside(host) => host.get_or_init(f),
        }
    }

    /// See [`std::sync::OnceLock::wait`].
    ///
    /// # Panics
    /// Outside of executions, if there is no value.
    #[track_caller]
    pub fn wait(&self) -> &T {
        let site = Location::caller();
        let value = match self.find(site) {
            Found::Inside(slot, gate) => {
                slot.progress.wait(gate, true, site);
                // SAFETY: it is done.
                unsafe { slot.value() }
            }
            Found::Outside(host) => host.get(),
        };
        value.unwrap_or_else(|| panic!("outside of executions nobody initialises it, at {site}"))
    }

    /// See [`std::sync::OnceLock::take`].
    pub fn take(&mut self) -> Option<T> {
        let tag = &self.slot.progress.tag;
        let gate = Gate::open().filter(|_| tag.mine().is_none() && tag.is_claimed());
        let mut value = Value::None;
        if let Some(gate) = gate {
            let slot = self.instance(gate);
            // SAFETY: as in `get_mut`.
            value = unsafe { std::mem::replace(&mut *slot.value.get(), Value::None) };
        }
        let host = self.host.take();
        // A new lock: nothing leads to instances of the old one any more.
        let old = std::mem::replace(&mut self.slot, Slot::new(Progress::new(Tag::unclaimed())));
        match (gate, value, old.value.into_inner()) {
            (Some(_), Value::Own(value), _) | (None, _, Value::Own(value)) => Some(value),
            (Some(_), Value::None, _) => None,
            _ => host,
        }
    }

    /// See [`std::sync::OnceLock::into_inner`].
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => tuple.field(value).finish(),
            None => tuple.field(&format_args!("<uninit>")).finish(),
        }
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().map_or_else(Self::new, |value| Self::from(value.clone()))
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let lock = Self::new();
        assert!(lock.set(value).is_ok(), "it is new");
        lock
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
