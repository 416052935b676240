//! Thread-local variables as an index into a per-thread table (Netty's FastThreadLocal).
//!
//! **Invariant: a thread's values are destroyed on that thread, in ascending order of index, before the thread ends**; a
//! destructor may use and even fill other variables, which are then destroyed in a further pass.
//!
//! ```text
//!   Local{index 2, stamp 7}──┐        thread A's table        thread B's table
//!                            │        0: (stamp 1, value)     0: empty
//!                            │        1: empty                1: (stamp 5, value)
//!                            └──────> 2: (stamp 7, value)     2: (stamp 3, stale: another variable had this index)
//! ```
//!
//! [`Table`] is the part that platforms share: they differ only in where a thread's table lives and when it is cleared.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::RefCell;
use core::ptr::NonNull;

/// The thread's variables have been destroyed already: it is ending.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the thread's local variables have been destroyed")]
pub struct LocalGone;

/// A thread-local variable of a platform.
pub trait LocalKey<T: 'static>: Send + Sync {
    /// A new variable, unset on every thread.
    fn new() -> Self;
    /// Runs `f` on the running thread's value; `init` makes it on first use.
    ///
    /// # Errors
    /// [`LocalGone`] when the thread is past the destruction of its variables; neither closure has run.
    #[track_caller]
    fn with<R>(&self, init: impl FnOnce() -> T, f: impl FnOnce(&T) -> R) -> Result<R, LocalGone>;
    /// Runs `f` on the running thread's value if there is one.
    #[track_caller]
    fn with_existing<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R>;
    /// Where the running thread's value is, if there is one: the shortest way to it. It is there until it is removed, the
    /// variable is dropped, or the thread ends.
    #[track_caller]
    fn peek(&self) -> Option<NonNull<T>>;
    /// Destroys the running thread's value now, and says whether there was one.
    #[track_caller]
    fn remove(&self) -> bool;
}

/// How often destructors may re-create values before the thread gives up and leaks none of them but runs no more of
/// the program's code: POSIX's `PTHREAD_DESTRUCTOR_ITERATIONS` is 4 at least.
const DESTRUCTOR_PASSES: usize = 8;

/// A place for one value.
pub struct Place {
    /// Whose value it is; 0: nobody's.
    stamp: u64,
    /// Where the value is.
    address: *const (),
    value: Option<Rc<dyn Any>>,
}

impl Place {
    const EMPTY: Self = Self { stamp: 0, address: core::ptr::null(), value: None };

    fn take(&mut self) -> Option<Rc<dyn Any>> {
        self.stamp = 0;
        self.value.take()
    }
}

/// Where a table's places are, for who can't afford to ask.
#[derive(Clone, Copy)]
pub struct View {
    places: *const Place,
    len: usize,
}

impl View {
    /// Of a table without places.
    pub const EMPTY: Self = Self { places: core::ptr::null(), len: 0 };

    /// Where the value at `index` is, if it belongs to the variable with `stamp`.
    ///
    /// # Safety
    /// On the table's thread; the table lives, and has got no further places since [`Table::view`]. The stamp is not 0.
    #[inline(always)]
    pub unsafe fn find(self, index: usize, stamp: u64) -> Option<NonNull<()>> {
        if index >= self.len {
            return None;
        }
        // SAFETY: by the contract of this function there are `len` places; one with a stamp has an address.
        unsafe {
            let place = &*self.places.add(index);
            if place.stamp == stamp { Some(NonNull::new_unchecked(place.address.cast_mut())) } else { None }
        }
    }
}

/// One thread's table of variables.
#[derive(Default)]
pub struct Table {
    places: RefCell<Vec<Place>>,
}

impl Table {
    /// Where the places are now.
    pub fn view(&self) -> View {
        let places = self.places.borrow();
        View { places: places.as_ptr(), len: places.len() }
    }

    /// Whether no variable has ever had a value here.
    pub fn is_unused(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// The value at `index` if it belongs to the variable with `stamp`.
    #[inline]
    pub fn get<T: 'static>(&self, index: usize, stamp: u64) -> Option<Rc<T>> {
        let places = self.places.borrow();
        let place = places.get(index)?;
        if place.stamp != stamp {
            return None;
        }
        let value = place.value.clone()?.downcast::<T>();
        Some(value.unwrap_or_else(|_| unreachable!("a stamp belongs to one variable and so to one type")))
    }

    /// Sets the value of the variable with `stamp`, which isn't 0; a stale value of an earlier variable with this index is
    /// destroyed. The places may move.
    pub fn set<T: 'static>(&self, index: usize, stamp: u64, value: Rc<T>) {
        assert!(stamp != 0, "0 is nobody's stamp");
        let mut places = self.places.borrow_mut();
        if places.len() <= index {
            places.resize_with(index + 1, || Place::EMPTY);
        }
        let stale = places[index].take();
        places[index] = Place { stamp, address: Rc::as_ptr(&value).cast(), value: Some(value) };
        drop(places); // before the stale value's destructor, which may come back here
        drop(stale);
    }

    /// Takes the value of the variable with `stamp` out.
    pub fn take(&self, index: usize, stamp: u64) -> Option<Rc<dyn Any>> {
        let mut places = self.places.borrow_mut();
        let place = places.get_mut(index)?;
        if place.stamp != stamp {
            return None;
        }
        place.take()
    }

    /// Destroys all values in ascending order of index, calling `step` before each; repeats while destructors
    /// re-create some, for a bounded number of passes.
    pub fn clear(&self, mut step: impl FnMut()) {
        for _ in 0..DESTRUCTOR_PASSES {
            let mut any = false;
            let mut index = 0;
            loop {
                let mut places = self.places.borrow_mut();
                if index >= places.len() {
                    break;
                }
                let value = places[index].take();
                drop(places);
                if let Some(value) = value {
                    any = true;
                    step();
                    drop(value);
                }
                index += 1;
            }
            if !any {
                return;
            }
        }
    }
}
