//! Stub.

use millpond_model::Platform;
use millpond_model::allocator::pooled::{Block, BlockPlace, CacheHold, PooledBackend, PooledConfig};
use millpond_model::memory::Area;
use millpond_model::observe::Kind;
use millpond_model::recycler::{Domain, Handle, PoolInspection, SharedRecycler};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

pub struct Shell<P: Platform> {
    pub bid: i64,
    hold: Mutex<Option<CacheHold<P>>>,
}

pub struct Shells<P: Platform> {
    pub backend: PooledBackend<P>,
    pub recyclers: Vec<SharedRecycler<Arc<Shell<P>>, P>>,
    pub made: Arc<AtomicI64>,
    own: bool,
}

enum Content<P: Platform> {
    Root { block: Option<Block<P>>, len: usize, area: Area },
    Derived(Buffer<P>),
}

struct Inner<P: Platform> {
    count: u32,
    handle: Option<Handle<Arc<Shell<P>>, P>>,
    content: Content<P>,
}

#[derive(Clone)]
pub struct Buffer<P: Platform> {
    inner: Arc<Mutex<Inner<P>>>,
    pub bid: i64,
    pub class: &'static str,
}

impl<P: Platform> Shells<P> {
    pub fn new(domain: &Domain<P>, config: PooledConfig, own: bool) -> Self {
        let backend = PooledBackend::new_in(domain, config);
        let made = Arc::new(AtomicI64::new(0));
        let n = if own { 4 } else { 2 };
        let recyclers = (0..n)
            .map(|_| {
                let made = Arc::clone(&made);
                SharedRecycler::new_in(domain, Kind::BufferShell, config.entries, move || {
                    Arc::new(Shell { bid: made.fetch_add(1, Ordering::Relaxed), hold: Mutex::new(None) })
                })
            })
            .collect();
        Self { backend, recyclers, made, own }
    }
    pub fn inspect(&self, r: usize) -> Vec<PoolInspection> {
        unsafe { self.recyclers[r].inspect(|s| s.bid) }
    }
    pub fn allocate(&self, area: Area, size: usize) -> Buffer<P> {
        let handle = self.recyclers[area as usize].get().unwrap();
        *handle.hold.lock().unwrap() = None;
        let bid = handle.bid;
        let block = self.backend.allocate(size, area).unwrap();
        let inner =
            Inner { count: 1, handle: Some(handle), content: Content::Root { block: Some(block), len: size, area } };
        let class = ["PooledUnsafeDirectByteBuf", "PooledUnsafeHeapByteBuf"][area as usize];
        Buffer { inner: Arc::new(Mutex::new(inner)), bid, class }
    }
    pub fn derive(&self, of: &Buffer<P>, slice: bool) -> Buffer<P> {
        of.inner.lock().unwrap().count += 1;
        if !self.own {
            let class = if slice { "SlicedAbstractByteBuf" } else { "DuplicatedAbstractByteBuf" };
            let bid = self.made.fetch_add(1, Ordering::Relaxed);
            return Buffer { inner: Arc::clone(&of.inner), bid, class };
        }
        let handle = self.recyclers[if slice { 2 } else { 3 }].get().unwrap();
        let bid = handle.bid;
        let class = if slice { "PooledSlicedByteBuf" } else { "PooledDuplicatedByteBuf" };
        let inner = Inner { count: 1, handle: Some(handle), content: Content::Derived(of.clone()) };
        Buffer { inner: Arc::new(Mutex::new(inner)), bid, class }
    }
    pub fn set_capacity(&self, buffer: &Buffer<P>, n: usize) {
        let mut inner = buffer.inner.lock().unwrap();
        let Content::Root { block, len, area } = &mut inner.content else { panic!() };
        let block = block.as_mut().unwrap();
        if !block.keeps(*len, n) {
            self.backend.reallocate(block, n, *area, n.min(*len)).unwrap();
        }
        *len = n;
    }
}

impl<P: Platform> Buffer<P> {
    pub fn count(&self) -> u32 {
        self.inner.lock().unwrap().count
    }
    pub fn retain(&self) {
        self.inner.lock().unwrap().count += 1;
    }
    pub fn place(&self) -> (BlockPlace, usize, usize) {
        let inner = self.inner.lock().unwrap();
        let Content::Root { block, len, area } = &inner.content else { panic!() };
        let block = block.as_ref().unwrap();
        (block.place(*area), *len, block.len())
    }
    pub fn release(&self) -> bool {
        let mut inner = self.inner.lock().unwrap();
        inner.count -= 1;
        if inner.count > 0 {
            return false;
        }
        let handle = inner.handle.take().unwrap();
        let parent = match &mut inner.content {
            Content::Root { block, .. } => {
                *handle.hold.lock().unwrap() = block.take().unwrap().give_back();
                None
            }
            Content::Derived(parent) => Some(parent.clone()),
        };
        handle.recycle().unwrap();
        drop(inner);
        if let Some(parent) = parent {
            parent.release();
        }
        true
    }
}
