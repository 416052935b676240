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

use crate::engine::{Op, Tag, Whose};
use std::cell::UnsafeCell as HostUnsafeCell;
use std::fmt;
use std::marker::PhantomData;
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
    #[inline(always)]
    #[track_caller]
    fn access(&self, op: Op) {
        let site = Location::caller();
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
        self.access(Op::CellRead);
        f(self.data.get())
    }

    /// Writes through a pointer that is valid during the call. The caller keeps everyone else away meanwhile.
    #[inline(always)]
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.access(Op::CellWrite);
        f(self.data.get())
    }

    /// Reads for as long as the guard lives.
    #[inline(always)]
    #[track_caller]
    pub fn get(&self) -> ConstPtr<'_, T> {
        self.access(Op::CellRead);
        ConstPtr { pointer: self.data.get(), _cell: PhantomData }
    }

    /// Writes for as long as the guard lives.
    #[inline(always)]
    #[track_caller]
    pub fn get_mut(&self) -> MutPtr<'_, T> {
        self.access(Op::CellWrite);
        MutPtr { pointer: self.data.get(), _cell: PhantomData }
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

/// A read that goes on. Interface of `loom::cell::ConstPtr`.
#[derive(Debug)]
pub struct ConstPtr<'a, T: ?Sized> {
    pointer: *const T,
    _cell: PhantomData<&'a T>,
}

impl<T: ?Sized> ConstPtr<'_, T> {
    /// The data.
    ///
    /// # Safety
    /// Nobody writes while the reference lives.
    pub unsafe fn deref(&self) -> &T {
        // SAFETY: the cell is borrowed, and by the contract nobody writes.
        unsafe { &*self.pointer }
    }

    /// Hands the pointer to `f`, which must not let it out.
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.pointer)
    }
}

/// A write that goes on. Interface of `loom::cell::MutPtr`.
#[derive(Debug)]
pub struct MutPtr<'a, T: ?Sized> {
    pointer: *mut T,
    _cell: PhantomData<&'a T>,
}

impl<T: ?Sized> MutPtr<'_, T> {
    /// The data.
    ///
    /// # Safety
    /// Nobody else reads or writes while the reference lives.
    #[allow(clippy::mut_from_ref)] // loom's interface
    pub unsafe fn deref(&self) -> &mut T {
        // SAFETY: the cell is borrowed, and by the contract nobody else is there.
        unsafe { &mut *self.pointer }
    }

    /// Hands the pointer to `f`, which must not let it out.
    pub fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.pointer)
    }
}
