//! Atomic words of the simulated world.
//!
//! **Invariant: a word is touched only from inside the execution that made it**, which is on one OS thread: the stamp says
//! so on every access. That is what makes a plain `Cell` shareable here.
//!
//! With `MemoryModel::Interleaving` memory is sequentially consistent and the orderings are recorded. Otherwise the memory model
//! (see [`weak`](super::weak)) says what is found, and `value` is the newest value in modification order.

use super::access::Access;
use super::core::{Engine, Site};
use super::event::{Op, ordering_code};
use super::gate::Gate;
use super::sync::Known;
use super::tag::Tag;
use millpond_model::platform::{Arith, AtomicOps, Word};
use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::Ordering;

/// An atomic word. Its layout is that of its value's, whatever that is: the facade needs it.
#[repr(C)]
pub struct SimAtomic<V: Word> {
    value: Cell<V>,
    tag: Known,
}

// SAFETY: every shared access first checks that the running engine is the one that made the word. An engine runs on one OS
// thread from its beginning to its end, so all accesses come from that thread. `V` is a number or a raw pointer, which
// may be moved and dropped anywhere.
unsafe impl<V: Word> Send for SimAtomic<V> {}
// SAFETY: as above.
unsafe impl<V: Word> Sync for SimAtomic<V> {}

/// What the memory model adds to an event's last word: how many newer stores there were than the one that was read.
fn stale(behind: u8) -> u32 {
    u32::from(behind) << 8
}

impl<V: Word> SimAtomic<V> {
    /// A word of the execution that uses it first: for a `static`, and for constructors that are `const`.
    pub const fn unclaimed(value: V) -> Self {
        Self { value: Cell::new(value), tag: Known(Tag::unclaimed()) }
    }

    /// A scheduling point, then the operation: `f` gives the new value.
    #[inline(always)]
    fn update(&self, op: Op, order: Ordering, site: Site, f: impl Fn(V) -> V) -> V {
        self.update_in(Gate::new(self.tag.0.entered(site)), op, order, site, f)
    }

    /// As [`SimAtomic::update`], for who has found out already that the word is the running execution's. So are all that end so.
    #[inline(always)]
    pub(crate) fn update_in(&self, gate: Gate<'_>, op: Op, order: Ordering, site: Site, f: impl Fn(V) -> V) -> V {
        gate.point(Access::rmw(self.tag.0.object()), site);
        self.apply_in(gate, op, order, site, f)
    }

    /// The operation without its scheduling point.
    #[inline(always)]
    pub(crate) fn apply_in(&self, gate: Gate<'_>, op: Op, order: Ordering, site: Site, f: impl Fn(V) -> V) -> V {
        let engine = gate.engine;
        if engine.is_modelled() {
            return self.modelled_update(engine, op, order, site, f);
        }
        let old = self.value.get();
        let new = f(old);
        self.value.set(new);
        engine.event(op, self.tag.0.object(), old.class(), ordering_code(order), u32::from(new.class()), site);
        old
    }

    #[cold]
    fn modelled_update(&self, engine: &Engine, op: Op, order: Ordering, site: Site, f: impl Fn(V) -> V) -> V {
        let object = self.tag.0.object();
        let update = |bits| f(V::of_bits(bits)).bits();
        let done = engine.modelled_update(object, self.value.get().bits(), order, site, &update);
        let old = V::of_bits(done.found);
        let new = f(old);
        if done.is_newest {
            self.value.set(new);
        }
        let extra = u32::from(new.class()) | stale(done.behind);
        engine.event(op, object, old.class(), ordering_code(order), extra, site);
        old
    }

    #[inline(always)]
    fn exchange(&self, current: V, new: V, orders: (Ordering, Ordering), is_weak: bool, site: Site) -> Result<V, V> {
        self.exchange_in(Gate::new(self.tag.0.entered(site)), (current, new), orders, is_weak, site)
    }

    /// A compare-and-exchange: from the first value to the second, with the first ordering if it succeeds.
    #[inline(always)]
    pub(crate) fn exchange_in(
        &self,
        gate: Gate<'_>,
        (current, new): (V, V),
        orders: (Ordering, Ordering),
        is_weak: bool,
        site: Site,
    ) -> Result<V, V> {
        let (success, failure) = orders;
        assert!(
            !matches!(failure, Ordering::Release | Ordering::AcqRel),
            "there is no such thing as a release failure"
        );
        let (engine, object) = (gate.engine, self.tag.0.object());
        engine.point(Access::rmw(object), site);
        let found = self.value.get();
        let (found, succeeds, is_newest, behind) = if engine.is_modelled() {
            let exchange = (current.bits(), new.bits());
            let done = engine.modelled_exchange(object, found.bits(), exchange, orders, is_weak, site);
            (V::of_bits(done.found), done.succeeded, done.is_newest, done.behind)
        } else {
            (found, found == current, true, 0)
        };
        let extra = u32::from(new.class()) | stale(behind);
        if succeeds {
            if is_newest {
                self.value.set(new);
            }
            engine.event(Op::CompareExchange, object, found.class(), ordering_code(success), extra, site);
            Ok(found)
        } else {
            engine.event(Op::CompareExchangeFailed, object, found.class(), ordering_code(failure), extra, site);
            Err(found)
        }
    }

    /// A load.
    #[inline(always)]
    pub(crate) fn load_in(&self, gate: Gate<'_>, order: Ordering, site: Site) -> V {
        assert!(!matches!(order, Ordering::Release | Ordering::AcqRel), "there is no such thing as a release load");
        let (engine, object) = (gate.engine, self.tag.0.object());
        engine.point(Access::load(object), site);
        let (mut value, mut behind) = (self.value.get(), 0);
        if engine.is_modelled() {
            let (bits, stores) = engine.modelled_load(object, value.bits(), order, site);
            (value, behind) = (V::of_bits(bits), stores);
        }
        engine.event(Op::Load, object, value.class(), ordering_code(order), stale(behind), site);
        value
    }

    /// A store.
    #[inline(always)]
    pub(crate) fn store_in(&self, gate: Gate<'_>, value: V, order: Ordering, site: Site) {
        assert!(!matches!(order, Ordering::Acquire | Ordering::AcqRel), "there is no such thing as an acquire store");
        let (engine, object) = (gate.engine, self.tag.0.object());
        engine.point(Access::store(object), site);
        let (old, new) = (self.value.get().bits(), value.bits());
        if !engine.is_modelled() || engine.modelled_store(object, old, new, order, site) {
            self.value.set(value);
        }
        engine.event(Op::Store, object, value.class(), ordering_code(order), 0, site);
    }

    /// A word of the running execution, or, outside of all, one that is used there only.
    #[inline]
    pub(crate) fn here(value: V) -> Self {
        Self { value: Cell::new(value), tag: Known(Tag::here()) }
    }

    /// Whose it is.
    #[inline(always)]
    pub(crate) fn tag(&self) -> &Tag {
        &self.tag.0
    }

    /// The newest value, by no operation: for what no other thread can tell from an operation, and for who owns it.
    #[inline(always)]
    pub(crate) fn newest(&self) -> V {
        self.value.get()
    }

    /// Where the value is: for the world outside, whose words are those of the host.
    #[inline(always)]
    pub(crate) fn place(&self) -> *mut V {
        self.value.as_ptr()
    }
}

impl<V: Word> AtomicOps<V> for SimAtomic<V> {
    #[track_caller]
    fn new(value: V) -> Self {
        let tag = Tag::new();
        if let Some(engine) = tag.engine()
            && engine.is_modelled()
        {
            engine.modelled_made(tag.object(), value.bits(), Location::caller());
        }
        Self { value: Cell::new(value), tag: Known(tag) }
    }

    #[inline(always)]
    #[track_caller]
    fn load(&self, order: Ordering) -> V {
        let site = Location::caller();
        self.load_in(Gate::new(self.tag.0.entered(site)), order, site)
    }

    #[inline(always)]
    #[track_caller]
    fn store(&self, value: V, order: Ordering) {
        let site = Location::caller();
        self.store_in(Gate::new(self.tag.0.entered(site)), value, order, site);
    }

    #[inline(always)]
    #[track_caller]
    fn swap(&self, value: V, order: Ordering) -> V {
        self.update(Op::Swap, order, Location::caller(), |_| value)
    }

    #[inline(always)]
    #[track_caller]
    fn compare_exchange(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V> {
        self.exchange(current, new, (success, failure), false, Location::caller())
    }

    #[inline(always)]
    #[track_caller]
    fn compare_exchange_weak(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V> {
        self.exchange(current, new, (success, failure), true, Location::caller())
    }

    #[inline(always)]
    #[track_caller]
    fn fetch_add(&self, value: V, order: Ordering) -> V
    where
        V: Arith,
    {
        self.update(Op::Add, order, Location::caller(), |old| old.plus(value))
    }

    #[inline(always)]
    #[track_caller]
    fn fetch_sub(&self, value: V, order: Ordering) -> V
    where
        V: Arith,
    {
        self.update(Op::Sub, order, Location::caller(), |old| old.minus(value))
    }

    #[inline(always)]
    #[track_caller]
    fn fetch_or(&self, value: V, order: Ordering) -> V
    where
        V: Arith,
    {
        self.update(Op::Or, order, Location::caller(), |old| old.or(value))
    }

    #[inline(always)]
    #[track_caller]
    fn fetch_and(&self, value: V, order: Ordering) -> V
    where
        V: Arith,
    {
        self.update(Op::And, order, Location::caller(), |old| old.and(value))
    }

    fn get_mut(&mut self) -> &mut V {
        self.tag.forget();
        self.value.get_mut()
    }
}
