//! The inside of a pool, for a comparison with another implementation, step by step.
//!
//! **Invariant: an inspection changes nothing.** It is exact because its caller vouches that the pool is quiescent.

use super::local_pool::LocalPool;
use super::pool::{Core, Pool, Store};
use super::slot::{Head, Slot};
use super::stack::{Queue, Stack};
use crate::Platform;
use crate::platform::{AtomicOps, CellOps, ThreadId};
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Acquire;

/// An element that isn't there: a hole left by an error.
pub const HOLE: i64 = -1;

/// The inside of one thread's pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolInspection {
    /// The pool's number: in order of creation in the domain.
    pub pool: u64,
    /// The owner.
    pub owner: ThreadId,
    /// Whether the owner has ended.
    pub dead: bool,
    /// What is inside.
    pub store: StoreInspection,
}

/// The inside, by generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreInspection {
    /// Generation A.
    A(StackInspection),
    /// Generation B.
    B(LocalPoolInspection),
    /// Batched hand-over.
    HandOver(HandOverInspection),
}

/// A stack and its side queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StackInspection {
    /// Objects, bottom to top; [`HOLE`]: none.
    pub elements: Vec<i64>,
    /// Length of the array.
    pub array_len: usize,
    /// Counter of the ratio.
    pub gate: i32,
    /// Shared capacity that is free.
    pub shared_available: u64,
    /// Side queues, newest first.
    pub queues: Vec<QueueInspection>,
    /// Where the next scan starts, as an index of `queues`.
    pub cursor: Option<usize>,
    /// The queue before that.
    pub prev: Option<usize>,
}

/// A side queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueInspection {
    /// Its number: in order of creation in the domain.
    pub number: u32,
    /// The thread that fills it.
    pub writer: ThreadId,
    /// Whether that thread is known to have ended.
    pub gone: bool,
    /// Waiting objects, oldest first; [`HOLE`]: none.
    pub items: Vec<i64>,
    /// Links.
    pub links: u64,
    /// Counter of its own ratio.
    pub gate: u32,
}

/// A pool of generation B.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalPoolInspection {
    /// Objects in the queue, oldest first; none: the queue is closed.
    pub queue: Option<Vec<i64>>,
    /// Capacity of the queue.
    pub queue_capacity: usize,
    /// Counter of the ratio.
    pub gate: u32,
    /// Objects in the batch, oldest first.
    pub batch: Vec<i64>,
    /// Whether the pool knows its owner.
    pub owner_known: bool,
}

/// A pool of batched hand-over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandOverInspection {
    /// Objects in the array, bottom to top.
    pub array: Vec<i64>,
    /// Objects that others have handed over, in the order in which the owner takes them.
    pub waiting: Vec<i64>,
}

impl<T: Send + 'static, P: Platform> Core<T, P> {
    /// The inside of every pool, in order of creation; `id` names an object.
    ///
    /// # Safety
    /// No thread is inside a pool, and what they did there happened before.
    pub(super) unsafe fn inspect(&self, id: &impl Fn(&T) -> i64) -> Vec<PoolInspection> {
        // SAFETY: by the contract of this function.
        let mut pools: Vec<_> = self.pools().iter().map(|pool| unsafe { pool.inspect(id) }).collect();
        // SAFETY: as above; the slots of this recycler hold `T`s, which are in no use.
        let id = |head: NonNull<Head<P>>| unsafe { id(&*head.cast::<Slot<T, P>>().as_ref().value()) };
        // SAFETY: as above.
        pools.extend(self.hand_overs().iter().map(|pool| unsafe { pool.inspect(&id) }));
        pools
    }
}

impl<T: Send + 'static, P: Platform> Pool<T, P> {
    /// # Safety
    /// No thread is inside the pool, and what they did there happened before.
    pub(super) unsafe fn inspect(&self, id: &impl Fn(&T) -> i64) -> PoolInspection {
        let store = match &self.store {
            // SAFETY: by the contract of this function.
            Store::A(stack) => StoreInspection::A(unsafe { stack.inspect(id) }),
            // SAFETY: by the contract of this function.
            Store::B(pool) => StoreInspection::B(unsafe { pool.inspect(id) }),
        };
        PoolInspection { pool: self.number, owner: self.owner, dead: self.is_dead(), store }
    }
}

impl<T: Send + 'static, P: Platform> Stack<T, P> {
    /// # Safety
    /// As [`Pool::inspect`].
    unsafe fn inspect(&self, id: &impl Fn(&T) -> i64) -> StackInspection {
        let mut queues = Vec::new();
        let mut places = Vec::new();
        // Acquire: pairs with the Release in `new_queue`, which the contract has ordered before us already.
        let mut queue: *const Queue<T, P> = self.head.load(Acquire);
        // SAFETY: a queue in the list lives, and nobody unlinks meanwhile.
        while let Some(q) = unsafe { queue.as_ref() } {
            places.push(queue);
            let mut items = Vec::new();
            // SAFETY: by the contract of this function.
            let (links, gate) = unsafe { q.inspect(|value| items.push(value.map_or(HOLE, id))) };
            let (number, writer, gone) = (q.number, q.writer.id, q.writer.is_gone());
            queues.push(QueueInspection { number, writer, gone, items, links, gate });
            // SAFETY: nobody is here.
            queue = q.next.with(|next| unsafe { *next });
        }
        // SAFETY: nobody is here; what is in the stack isn't in use.
        self.owned.with(|owned| unsafe {
            let owned = &*owned;
            let place = |queue: *mut Queue<T, P>| places.iter().position(|p| core::ptr::eq(*p, queue));
            StackInspection {
                elements: owned.elements.iter().map(|e| e.as_ref().map_or(HOLE, |n| id(&*n.value()))).collect(),
                array_len: owned.array_len,
                gate: owned.gate,
                shared_available: self.shared.free(),
                queues,
                cursor: place(owned.cursor),
                prev: place(owned.prev),
            }
        })
    }
}

impl<T: Send + 'static, P: Platform> LocalPool<T, P> {
    /// # Safety
    /// As [`Pool::inspect`].
    unsafe fn inspect(&self, id: &impl Fn(&T) -> i64) -> LocalPoolInspection {
        let mut queue = Vec::new();
        // SAFETY: nobody is here; what is in the queue isn't in use.
        unsafe { self.queue.peek(|node| queue.push(id(&*node.value()))) };
        // SAFETY: nobody is here; what is in the batch isn't in use.
        self.owned.with(|owned| unsafe {
            let owned = &*owned;
            LocalPoolInspection {
                // Acquire: pairs with the Release in `close`; nobody is here to race with, as in the load below.
                queue: self.open.load(Acquire).then_some(queue),
                queue_capacity: self.queue.capacity(),
                gate: owned.gate,
                batch: owned.batch.iter().map(|n| id(&*n.value())).collect(),
                owner_known: self.owner_known.load(Acquire),
            }
        })
    }
}
