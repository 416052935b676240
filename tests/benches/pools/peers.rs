//! Other people's pools and allocators, behind the feature `peers`.

use crate::floors::Object;
use crate::measure::Source;
use bytes::BytesMut;
use crossbeam_queue::{ArrayQueue, SegQueue};
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use thread_local::ThreadLocal;

pub static MIMALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;
pub static SNMALLOC: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;
pub static JEMALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A pool whose objects go back by a method: this guard calls it when dropped.
pub trait ByHand: Sync {
    /// Takes one if there is one.
    fn take(&self) -> Option<Box<Object>>;
    /// Gives one back.
    fn put(&self, object: Box<Object>);
}

/// A [`ByHand`] as a source.
pub struct Guarded<Q>(pub Q);

/// An object of a [`Guarded`].
pub struct Taken<'a, Q: ByHand> {
    object: Option<Box<Object>>,
    home: &'a Q,
}

impl<Q: ByHand> Source for Guarded<Q> {
    type Held<'a>
        = Taken<'a, Q>
    where
        Q: 'a;

    #[inline]
    fn get(&self) -> Taken<'_, Q> {
        Taken { object: Some(self.0.take().unwrap_or_default()), home: &self.0 }
    }

    #[inline]
    fn word<'a, 'b>(held: &'b mut Taken<'a, Q>) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        held.object.as_mut().map(|object| &mut object.0[0])
    }
}

impl<Q: ByHand> Drop for Taken<'_, Q> {
    #[inline]
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.home.put(object);
        }
    }
}

impl ByHand for ArrayQueue<Box<Object>> {
    #[inline]
    fn take(&self) -> Option<Box<Object>> {
        self.pop()
    }
    #[inline]
    fn put(&self, object: Box<Object>) {
        drop(self.push(object));
    }
}

impl ByHand for SegQueue<Box<Object>> {
    #[inline]
    fn take(&self) -> Option<Box<Object>> {
        self.pop()
    }
    #[inline]
    fn put(&self, object: Box<Object>) {
        self.push(object);
    }
}

impl ByHand for Mutex<Vec<Box<Object>>> {
    #[inline]
    fn take(&self) -> Option<Box<Object>> {
        self.lock().expect("no panic").pop()
    }
    #[inline]
    fn put(&self, object: Box<Object>) {
        self.lock().expect("no panic").push(object);
    }
}

/// Objects go to the thread that gives them back.
impl ByHand for ThreadLocal<RefCell<Vec<Box<Object>>>> {
    #[inline]
    fn take(&self) -> Option<Box<Object>> {
        self.get_or_default().borrow_mut().pop()
    }
    #[inline]
    fn put(&self, object: Box<Object>) {
        let mut list = self.get_or_default().borrow_mut();
        if list.len() < 4096 {
            list.push(object);
        }
    }
}

macro_rules! dereferenced {
    ($name:ident, $pool:ty, $held:ty, |$it:ident| $get:expr) => {
        pub struct $name(pub $pool);
        impl Source for $name {
            type Held<'a> = Sent<$held>;
            #[inline]
            fn get(&self) -> Self::Held<'_> {
                let $it = &self.0;
                Sent($get)
            }
            #[inline]
            fn word<'a, 'b>(held: &'b mut Self::Held<'a>) -> Option<&'b mut u64>
            where
                Self: 'a,
            {
                Some(&mut held.0.deref_mut().0[0])
            }
        }
    };
}

/// An object of a pool that is `Sync`, whose guard refers to the pool.
pub struct Sent<H>(pub H);

// SAFETY: each guard here is a reference to a pool that is `Sync` and an object that is `Send`.
unsafe impl<H> Send for Sent<H> {}

/// What makes opool's objects.
pub struct Make;

impl opool::PoolAllocator<Object> for Make {
    #[inline]
    fn allocate(&self) -> Object {
        Object::default()
    }
}

impl opool::PoolAllocator<Box<Object>> for Make {
    #[inline]
    fn allocate(&self) -> Box<Object> {
        Box::default()
    }
}

/// An object that the slab clears.
#[derive(Default)]
pub struct Cleared(Object);

impl sharded_slab::Clear for Cleared {
    fn clear(&mut self) {}
}

impl Deref for Cleared {
    type Target = [u64; 8];
    fn deref(&self) -> &[u64; 8] {
        &self.0.0
    }
}

dereferenced!(Opool, opool::Pool<Make, Box<Object>>, opool::RefGuard<'a, Make, Box<Object>>, |pool| pool.get());
dereferenced!(ObjectPool, object_pool::Pool<Box<Object>>, object_pool::Reusable<'a, Box<Object>>, |pool| pool
    .pull(Box::default));
dereferenced!(
    Linear,
    lockfree_object_pool::LinearObjectPool<Object>,
    lockfree_object_pool::LinearReusable<'a, Object>,
    |pool| pool.pull()
);
dereferenced!(
    Spin,
    lockfree_object_pool::SpinLockObjectPool<Object>,
    lockfree_object_pool::SpinLockReusable<'a, Object>,
    |pool| pool.pull()
);

/// A slab with a shard a thread.
pub struct Slab(pub sharded_slab::Pool<Cleared>);

impl Source for Slab {
    type Held<'a> = Sent<sharded_slab::pool::RefMut<'a, Cleared>>;

    #[inline]
    fn get(&self) -> Self::Held<'_> {
        Sent(self.0.create().expect("there is room"))
    }

    #[inline]
    fn word<'a, 'b>(held: &'b mut Self::Held<'a>) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        Some(&mut held.0.deref_mut().0.0[0])
    }
}

/// `BytesMut` of `SIZE` bytes, on the process's allocator.
pub struct BytesMuts<const SIZE: usize>;

impl<const SIZE: usize> Source for BytesMuts<SIZE> {
    type Held<'a> = BytesMut;

    #[inline]
    fn get(&self) -> BytesMut {
        BytesMut::with_capacity(SIZE)
    }

    #[inline]
    fn word<'a, 'b>(_: &'b mut BytesMut) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        None
    }
}
