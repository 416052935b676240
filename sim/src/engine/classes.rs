//! Which partial order an execution was.
//!
//! **Invariant: two executions in which every two conflicting operations come in the same order have the same class**, however
//! their threads were interleaved; two others have different ones but for a collision of 64-bit hashes. A class stands for
//! a Mazurkiewicz trace (*Trace theory*, 1986).
//!
//! ```text
//!   name of a thread:  hash(its parent's name, how many the parent had started)
//!
//!   object:  write ── reads (a sum: they commute) ── write ── ...      history = hash(history + reads, the write)
//!   class = sum over the objects of hash(history + reads)
//! ```
//!
//! An operation is (name of its thread, its number in the thread): what it does, and to which object, follows from what its thread
//! has seen. So objects need no names.

use super::access::{Access, Touch};
use std::cell::{Cell, RefCell};

/// Mixes two words well (the finalizer of MurmurHash3, on a multiplicative combination).
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.rotate_left(29).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    x = (x ^ x >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x ^ x >> 29
}

/// What is known of an object.
#[derive(Clone, Copy, Default)]
struct Object {
    /// Everything up to the last write.
    history: u64,
    /// Sum of the reads since.
    reads: u64,
}

/// What is known of a thread.
#[derive(Clone, Copy, Default)]
struct Actor {
    name: u64,
    operations: u64,
    children: u64,
}

/// The object with this number.
#[inline(always)]
fn of(objects: &mut Vec<Object>, number: u32) -> &mut Object {
    let index = number as usize;
    if index >= objects.len() {
        grow(objects, index);
    }
    &mut objects[index]
}

#[cold]
#[inline(never)]
fn grow(objects: &mut Vec<Object>, index: usize) {
    objects.resize(index + 1, Object::default());
}

/// The running execution's class, as far as it has come.
#[derive(Default)]
pub(super) struct Classes {
    on: Cell<bool>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    actors: Vec<Actor>,
    objects: Vec<Object>,
    /// Tokens and ends of threads.
    threads: Vec<Object>,
}

impl Classes {
    /// Forgets the execution before.
    pub fn begin(&self, on: bool) {
        self.on.set(on);
        if on {
            let mut state = self.state.borrow_mut();
            state.actors.clear();
            state.objects.clear();
            state.threads.clear();
        }
    }

    /// Whether anyone wants to know.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Thread `id` begins.
    #[inline(always)]
    pub fn starts(&self, id: u32, parent: Option<u32>) {
        if self.on.get() {
            self.enrols(id, parent);
        }
    }

    fn enrols(&self, id: u32, parent: Option<u32>) {
        let actors = &mut self.state.borrow_mut().actors;
        assert_eq!(actors.len(), id as usize, "threads are numbered in order");
        let name = match parent {
            Some(parent) => {
                let parent = &mut actors[parent as usize];
                parent.children += 1;
                mix(parent.name, parent.children)
            }
            None => 1,
        };
        actors.push(Actor { name, ..Actor::default() });
    }

    /// Thread `id` touches an object. `seen` tells apart what else the operation depended on: which store it read, if that was not
    /// the newest.
    #[inline]
    pub fn touches(&self, id: u32, access: Access, seen: u64) {
        if access.touch == Touch::Other {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        let Some(actor) = state.actors.get_mut(id as usize) else { return };
        actor.operations += 1;
        let operation = mix(actor.name, actor.operations.wrapping_add(seen << 32));
        let object = match access.thread_number() {
            Some(thread) => of(&mut state.threads, thread),
            None => of(&mut state.objects, access.object),
        };
        if access.touch == Touch::Load {
            object.reads = object.reads.wrapping_add(mix(object.history, operation));
        } else {
            *object = Object { history: mix(object.history.wrapping_add(object.reads), operation), reads: 0 };
        }
    }

    /// The class; 0 if nobody wanted to know.
    #[inline(always)]
    pub fn finish(&self) -> u64 {
        if self.on.get() { self.sum() } else { 0 }
    }

    fn sum(&self) -> u64 {
        let sum = |objects: &[Object]| {
            let touched = objects.iter().filter(|o| o.history != 0 || o.reads != 0);
            let each = touched.map(|o| mix(o.history.wrapping_add(o.reads), 0));
            each.fold(0_u64, u64::wrapping_add)
        };
        let state = self.state.borrow();
        sum(&state.objects).wrapping_add(sum(&state.threads))
    }
}
