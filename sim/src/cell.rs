//! `std::cell`, with an `UnsafeCell` whose accesses are seen.
//!
//! **Invariant: nobody gets at the content of an [`UnsafeCell`] unseen.** So its interface is loom's, not `std`'s: the `get` of `std`
//! gives a pointer with which anything may be done at any time.
//!
//! ```text
//!   std:    cell.get() ──> *mut T                    can't be followed
//!   here:   cell.with(|p| ...)   cell.with_mut(|p| ...)      a read, a write, checked for races
//!           cell.get() ──> ConstPtr      cell.get_mut() ──> MutPtr       the same, for as long as the guard lives
//! ```
//!
//! `Cell`, `RefCell` and the others can't be shared between threads and are those of `std`.

use crate::engine::{Gate, Op, Tag, Whose};
use std::cell::UnsafeCell as HostUnsafeCell;
use std::fmt;
use std::panic::Location;

pub use std::cell::{BorrowError, BorrowMutError, Cell, LazyCell, OnceCell, Ref, RefCell, RefMut};

/// A cell for data that several threads touch, with whatever protects it. Interface of `loom::cell::UnsafeCell`.
pub struct UnsafeCell<T: ?Sized> {
    tag: Tag,
    data: HostUnsafeCell<T>,
}

impl<T> UnsafeCell<T> {
    /// A cell that holds `data`.
    pub const fn new(data: T) -> Self {
        Self { tag: Tag::unclaimed(), data: HostUnsafeCell::new(data) }
    }

    /// Takes the data out.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> UnsafeCell<T> {
    fn begin(&self, op: Op, site: &'static Location<'static>) -> Access {
        self.access(op, site);
        let stamp = self.tag.mine().map_or(0, Gate::stamp); // 0: nobody's
        Access { stamp, object: self.tag.object(), op, site }
    }

    #[inline(always)]
    fn access(&self, op: Op, site: &'static Location<'static>) {
        match self.tag.mine() {
            Some(gate) => gate.cell(op, self.tag.object(), site),
            None => self.first_access(op, site),
        }
    }

    /// Of an execution's own cell, by the execution; outside of executions nothing is checked.
    #[cold]
    fn first_access(&self, op: Op, site: &'static Location<'static>) {
        match self.tag.whose() {
            Whose::Mine(gate) => gate.cell(op, self.tag.object(), site),
            Whose::Foreign(_) => panic!("a cell of another execution, or of none, was used in an execution, at {site}"),
            Whose::Outside | Whose::Gone => {}
        }
    }

    /// Reads through a pointer that is valid during the call. The caller keeps writers away meanwhile.
    #[inline(always)]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.access(Op::CellRead, Location::caller());
        f(self.data.get())
    }

    /// Writes through a pointer that is valid during the call. The caller keeps everyone else away meanwhile.
    #[inline(always)]
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.access(Op::CellWrite, Location::caller());
        f(self.data.get())
    }

    /// Reads for as long as the guard lives.
    #[inline(always)]
    #[track_caller]
    pub fn get(&self) -> ConstPtr<T> {
        ConstPtr { pointer: self.data.get(), _access: self.begin(Op::CellRead, Location::caller()) }
    }

    /// Writes for as long as the guard lives.
    #[inline(always)]
    #[track_caller]
    pub fn get_mut(&self) -> MutPtr<T> {
        MutPtr { pointer: self.data.get(), _access: self.begin(Op::CellWrite, Location::caller()) }
    }
}

impl<T: Default> Default for UnsafeCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for UnsafeCell<T> {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

impl<T: ?Sized> fmt::Debug for UnsafeCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsafeCell").finish_non_exhaustive()
    }
}

/// An access that goes on: it is told when it begins, and again when it ends, so that what comes in between must be ordered with both.
struct Access {
    stamp: u32,
    object: u32,
    op: Op,
    site: &'static Location<'static>,
}

impl Drop for Access {
    fn drop(&mut self) {
        if let Some(gate) = Gate::open().filter(|gate| gate.stamp() == self.stamp) {
            gate.cell(self.op, self.object, self.site);
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of #{}", self.op, self.object)
    }
}

/// A read that goes on. Interface of `loom::cell::ConstPtr`.
#[derive(Debug)]
pub struct ConstPtr<T: ?Sized> {
    pointer: *const T,
    _access: Access,
}

impl<T: ?Sized> ConstPtr<T> {
    /// The data.
    ///
    /// # Safety
    /// The cell is there, and nobody writes, while the reference lives.
    pub unsafe fn deref(&self) -> &T {
        // SAFETY: by the contract.
        unsafe { &*self.pointer }
    }

    /// Hands the pointer to `f`, which must not let it out.
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.pointer)
    }
}

/// A write that goes on. Interface of `loom::cell::MutPtr`.
#[derive(Debug)]
pub struct MutPtr<T: ?Sized> {
    pointer: *mut T,
    _access: Access,
}

impl<T: ?Sized> MutPtr<T> {
    /// The data.
    ///
    /// # Safety
    /// The cell is there, and nobody else reads or writes, while the reference lives.
    #[allow(clippy::mut_from_ref)] // loom's interface
    pub unsafe fn deref(&self) -> &mut T {
        // SAFETY: by the contract.
        unsafe { &mut *self.pointer }
    }

    /// Hands the pointer to `f`, which must not let it out.
    pub fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.pointer)
    }
}
