//! `std::sync`, simulated: the same paths and signatures, for code that is to be checked.
//!
//! **Invariant: every operation is a scheduling point before it acts**, or can't be told by another thread. What isn't modelled
//! doesn't exist here, and so fails to compile.
//!
//! ```text
//!   code under test ──> millpond::sync::Mutex ──> engine (inside an execution)
//!                                └──────────────> the host (outside: set-up and tear-down of tests)
//! ```
//!
//! An object belongs to the execution that uses it first. A `static` outlives executions: an atomic starts from its initial value in
//! each of them; of anything with a value that can't be copied, as a `Mutex`, one execution only can be the owner, and a
//! second one panics with a message that says so.

pub mod atomic;
pub mod mpsc;

mod arc;
mod arc_traits;
mod barrier;
mod condvar;
mod lazy_lock;
mod mutex;
mod once;
mod once_lock;
mod rwlock;

pub use self::arc::{Arc, Weak};
pub use self::barrier::{Barrier, BarrierWaitResult};
pub use self::condvar::{Condvar, WaitTimeoutResult};
pub use self::lazy_lock::LazyLock;
pub use self::mutex::{Mutex, MutexGuard};
pub use self::once::{Once, OnceState};
pub use self::once_lock::OnceLock;
pub use self::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use crate::compat::Notify;
pub use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use crate::engine::{Gate, Site, Tag, Whose};

/// Does what must be done when a scope is left, however that is.
struct AtEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtEnd<F> {
    #[inline(always)]
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The gate to the execution that the object belongs to; `None` outside of executions.
///
/// # Panics
/// If the object belongs to another execution: it can't be shared, unlike an atomic.
#[inline(always)]
fn enter<'a>(tag: &Tag, what: &str, site: Site) -> Option<Gate<'a>> {
    match tag.mine() {
        Some(gate) => Some(gate),
        None => enter_first(tag, what, site),
    }
}

#[cold]
#[inline(never)]
fn enter_first<'a>(tag: &Tag, what: &str, site: Site) -> Option<Gate<'a>> {
    match tag.whose() {
        Whose::Mine(gate) => Some(gate),
        Whose::Outside => None,
        Whose::Foreign(_) => panic!(
            "a {what} that was used outside of this execution, or in another one, was used at {site}: each execution must start from \
             the same state, so make it inside; for a static use millpond::sync::LazyLock or millpond::thread_local"
        ),
        Whose::Gone => panic!("a {what} of a simulated execution was used outside of it, at {site}"),
    }
}

/// The gate to the execution in which the object was made.
///
/// # Panics
/// If that isn't the running one.
fn enter_own<'a>(tag: &Tag, what: &str, site: Site) -> Gate<'a> {
    let Some(gate) = tag.mine() else { not_own(what, site) };
    gate
}

#[cold]
#[inline(never)]
fn not_own(what: &str, site: Site) -> ! {
    panic!(
        "a {what} was used, at {site}, outside of the execution in which it was made, or was made outside of executions"
    )
}

/// Turns an `Arc<T>` into an `Arc<dyn Trait>` or `Arc<[T]>`: what `std`'s does by itself, and a type of ours can't in stable Rust.
///
/// ```
/// use millpond::sync::Arc;
/// let shape: Arc<dyn Fn() -> u32> = millpond::unsize!(Arc::new(|| 3));
/// assert_eq!(shape(), 3);
/// ```
#[macro_export]
macro_rules! unsize {
    ($arc:expr) => {{
        let inner: ::core::ptr::NonNull<_> = $crate::sync::Arc::into_inner_pointer($arc);
        // SAFETY: it comes from the line above; between the two the compiler may unsize it.
        unsafe { $crate::sync::Arc::from_inner_pointer(inner) }
    }};
}
