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
///
/// To make one, to take the data out and to drop it are accesses, too. So it should be shared by this crate's `Arc`, since nobody sees
/// what is ordered by the counts of the host's; if that can't be, see [`Checker::unseen_owners`](crate::Checker::unseen_owners).
pub struct UnsafeCell<T: ?Sized> {
    life: Life, // ends before the data's
    data: HostUnsafeCell<T>,
}

impl<T> UnsafeCell<T> {
    /// A cell that holds `data`.
    #[track_caller]
    pub fn new(data: T) -> Self {
        let Some(gate) = Gate::open() else {
            return Self { life: Life(Tag::unclaimed()), data: HostUnsafeCell::new(data) };
        };
        let tag = Tag::here();
        gate.makes(tag.object(), Location::caller());
        Self { life: Life(tag), data: HostUnsafeCell::new(data) }
    }

    /// Takes the data out.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> UnsafeCell<T> {
    fn begin(&self, op: Op, site: &'static Location<'static>) -> Access {
        self.access(op, site);
        let stamp = self.life.0.mine().map_or(0, Gate::stamp); // 0: nobody's
        Access { stamp, object: self.life.0.object(), op, site }
    }

    #[inline(always)]
    fn access(&self, op: Op, site: &'static Location<'static>) {
        match self.life.0.mine() {
            Some(gate) => gate.cell(op, self.life.0.object(), site),
            None => self.first_access(op, site),
        }
    }

    /// An access ends: what other threads have done since it began must be ordered with it.
    #[inline(always)]
    fn ends(&self, op: Op, site: &'static Location<'static>) {
        if let Some(gate) = self.life.0.mine() {
            gate.cell_ends(op, self.life.0.object(), site);
        }
    }

    /// Of an execution's own cell, by the execution; outside of executions nothing is checked.
    #[cold]
    fn first_access(&self, op: Op, site: &'static Location<'static>) {
        match self.life.0.whose() {
            Whose::Mine(gate) => gate.cell(op, self.life.0.object(), site),
            Whose::Foreign(_) => panic!("a cell of another execution, or of none, was used in an execution, at {site}"),
            Whose::Outside | Whose::Gone => {}
        }
    }

    /// Reads through a pointer that is valid during the call. The caller keeps writers away meanwhile.
    #[inline(always)]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        let site = Location::caller();
        self.access(Op::CellRead, site);
        let result = f(self.data.get());
        self.ends(Op::CellRead, site);
        result
    }

    /// Writes through a pointer that is valid during the call. The caller keeps everyone else away meanwhile.
    #[inline(always)]
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        let site = Location::caller();
        self.access(Op::CellWrite, site);
        let result = f(self.data.get());
        self.ends(Op::CellWrite, site);
        result
    }

    /// Reads for as long as the guard lives.
    #[inline(always)]
    #[track_caller]
    pub fn get(&self) -> ConstPtr<T> {
        ConstPtr { pointer: self.data.get(), access: self.begin(Op::CellRead, Location::caller()) }
    }

    /// Writes for as long as the guard lives.
    #[inline(always)]
    #[track_caller]
    pub fn get_mut(&self) -> MutPtr<T> {
        MutPtr { pointer: self.data.get(), access: self.begin(Op::CellWrite, Location::caller()) }
    }
}

impl<T: Default> Default for UnsafeCell<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for UnsafeCell<T> {
    #[track_caller]
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

impl<T: ?Sized> fmt::Debug for UnsafeCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsafeCell").finish_non_exhaustive()
    }
}

/// Of the cell of an execution, whose end is an access.
struct Life(Tag);

impl Drop for Life {
    #[track_caller]
    fn drop(&mut self) {
        if let Some(gate) = self.0.mine() {
            gate.drops(self.0.object(), Location::caller());
        }
    }
}

/// An access that goes on: it is told when it begins and whenever the guard is used, so that what comes before and after must be ordered
/// with both; and when it ends, so that nothing else came in between. That end is none of a use: a guard may go out of scope
/// just after its data were published, as where it is a field of what publishes them when dropped.
struct Access {
    stamp: u32,
    object: u32,
    op: Op,
    site: &'static Location<'static>,
}

impl Access {
    fn gate<'a>(&self) -> Option<Gate<'a>> {
        Gate::open().filter(|gate| gate.stamp() == self.stamp)
    }

    fn again(&self, site: &'static Location<'static>) {
        if let Some(gate) = self.gate() {
            gate.cell(self.op, self.object, site);
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if let Some(gate) = self.gate() {
            gate.cell_still(self.op, self.object, self.site);
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
    access: Access,
}

impl<T: ?Sized> ConstPtr<T> {
    /// The data. The access is here: how long the reference is used is not seen.
    ///
    /// # Safety
    /// The cell is there, and nobody writes, while the reference lives.
    #[track_caller]
    pub unsafe fn deref(&self) -> &T {
        self.access.again(Location::caller());
        // SAFETY: by the contract.
        unsafe { &*self.pointer }
    }

    /// Hands the pointer to `f`, which must not let it out.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.access.again(Location::caller());
        let result = f(self.pointer);
        self.access.again(Location::caller());
        result
    }
}

/// A write that goes on. Interface of `loom::cell::MutPtr`.
#[derive(Debug)]
pub struct MutPtr<T: ?Sized> {
    pointer: *mut T,
    access: Access,
}

impl<T: ?Sized> MutPtr<T> {
    /// The data. The access is here: how long the reference is used is not seen.
    ///
    /// # Safety
    /// The cell is there, and nobody else reads or writes, while the reference lives.
    #[allow(clippy::mut_from_ref)] // loom's interface
    #[track_caller]
    pub unsafe fn deref(&self) -> &mut T {
        self.access.again(Location::caller());
        // SAFETY: by the contract.
        unsafe { &mut *self.pointer }
    }

    /// Hands the pointer to `f`, which must not let it out.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.access.again(Location::caller());
        let result = f(self.pointer);
        self.access.again(Location::caller());
        result
    }
}
