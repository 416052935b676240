//! `loom::alloc`: memory whose leaks are findings.
//!
//! **Invariant: what was allocated here and not given back when an execution finishes is reported**, with the place where it was made.

use crate::engine::{Gate, Tag};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;

pub use std::alloc::Layout;

/// The numbers of the blocks that are there, by address: which finds a number, and does nothing else.
#[derive(Default)]
struct Blocks(RefCell<BTreeMap<usize, u32>>);

static BLOCKS: Tag = Tag::unclaimed();

#[track_caller]
fn made(pointer: *mut u8) {
    let Some(gate) = Gate::open().filter(|_| !pointer.is_null()) else { return };
    let object = gate.new_object();
    gate.instance(&BLOCKS, Blocks::default).0.borrow_mut().insert(pointer.addr(), object);
    gate.owes(object, Location::caller());
}

/// As [`std::alloc::alloc`].
///
/// # Safety
/// As of that.
#[track_caller]
pub unsafe fn alloc(layout: Layout) -> *mut u8 {
    // SAFETY: by the contract.
    let pointer = unsafe { std::alloc::alloc(layout) };
    made(pointer);
    pointer
}

/// As [`std::alloc::alloc_zeroed`].
///
/// # Safety
/// As of that.
#[track_caller]
pub unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
    // SAFETY: by the contract.
    let pointer = unsafe { std::alloc::alloc_zeroed(layout) };
    made(pointer);
    pointer
}

/// As [`std::alloc::dealloc`].
///
/// # Safety
/// As of that, for what [`alloc`] gave.
///
/// # Panics
/// If it is no block that this execution has.
#[track_caller]
pub unsafe fn dealloc(pointer: *mut u8, layout: Layout) {
    if let Some(gate) = Gate::open() {
        let object = gate.instance(&BLOCKS, Blocks::default).0.borrow_mut().remove(&pointer.addr());
        match object {
            Some(object) => gate.gives_back(object),
            None => assert!(gate.stopping(), "memory was given back that this execution does not have"),
        }
    }
    // SAFETY: by the contract.
    unsafe { std::alloc::dealloc(pointer, layout) };
}

/// A value that has to be dropped before its execution finishes.
pub struct Track<T> {
    value: T,
    owed: Owed,
}

struct Owed(Tag);

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(gate) = self.0.mine() {
            gate.gives_back(self.0.object());
        }
    }
}

impl<T> Track<T> {
    /// Tracks `value`.
    #[track_caller]
    pub fn new(value: T) -> Self {
        let owed = Owed(Tag::here());
        if let Some(gate) = owed.0.mine() {
            gate.owes(owed.0.object(), Location::caller());
        }
        Self { value, owed }
    }

    /// The value.
    pub fn get_ref(&self) -> &T {
        &self.value
    }

    /// The value.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// The value, tracked no more.
    pub fn into_inner(self) -> T {
        drop(self.owed);
        self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Track<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Track").field(&self.value).finish()
    }
}
