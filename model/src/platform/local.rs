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
    /// Destroys the running thread's value now, and says whether there was one.
    #[track_caller]
    fn remove(&self) -> bool;
}

/// How often destructors may re-create values before the thread gives up and leaks none of them but runs no more of
/// the program's code: POSIX's `PTHREAD_DESTRUCTOR_ITERATIONS` is 4 at least.
const DESTRUCTOR_PASSES: usize = 8;

struct Slot {
    stamp: u64,
    value: Rc<dyn Any>,
}

/// One thread's table of variables.
#[derive(Default)]
pub struct Table {
    slots: RefCell<Vec<Option<Slot>>>,
}

impl Table {
    /// The value at `index` if it belongs to the variable with `stamp`.
    #[inline]
    pub fn get<T: 'static>(&self, index: usize, stamp: u64) -> Option<Rc<T>> {
        let slots = self.slots.borrow();
        let slot = slots.get(index)?.as_ref()?;
        if slot.stamp != stamp {
            return None;
        }
        let value = Rc::clone(&slot.value).downcast::<T>();
        Some(value.unwrap_or_else(|_| unreachable!("a stamp belongs to one variable and so to one type")))
    }

    /// Sets the value of the variable with `stamp`; a stale value of an earlier variable with this index is destroyed.
    pub fn set<T: 'static>(&self, index: usize, stamp: u64, value: Rc<T>) {
        let mut slots = self.slots.borrow_mut();
        if slots.len() <= index {
            slots.resize_with(index + 1, || None);
        }
        let stale = slots[index].replace(Slot { stamp, value });
        drop(slots); // before the stale value's destructor, which may come back here
        drop(stale);
    }

    /// Takes the value of the variable with `stamp` out.
    pub fn take(&self, index: usize, stamp: u64) -> Option<Rc<dyn Any>> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(index)?;
        if slot.as_ref()?.stamp != stamp {
            return None;
        }
        slot.take().map(|s| s.value)
    }

    /// Destroys all values in ascending order of index, calling `step` before each; repeats while destructors
    /// re-create some, for a bounded number of passes.
    pub fn clear(&self, mut step: impl FnMut()) {
        for _ in 0..DESTRUCTOR_PASSES {
            let mut any = false;
            let mut index = 0;
            loop {
                let mut slots = self.slots.borrow_mut();
                if index >= slots.len() {
                    break;
                }
                let value = slots[index].take();
                drop(slots);
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
