//! Atomic words of the simulated world.
//!
//! **Invariant: a word is touched only from inside the execution that made it**, which is on one OS thread: the stamp says
//! so on every access. That is what makes a plain `Cell` shareable here.
//!
//! Memory is sequentially consistent; the orderings are recorded. A weak compare-and-exchange does not fail spuriously.

use super::access::Access;
use super::core::Site;
use super::event::{Op, ordering_code};
use super::tag::Tag;
use millpond_model::platform::{Arith, AtomicOps, Word};
use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::Ordering;

/// An atomic word. Its layout is that of its value's, whatever that is: the facade needs it.
#[repr(C)]
pub struct SimAtomic<V: Word> {
    value: Cell<V>,
    tag: Tag,
}

// SAFETY: every shared access first checks that the running engine is the one that made the word. An engine runs on one OS
// thread from its beginning to its end, so all accesses come from that thread. `V` is a number or a raw pointer, which
// may be moved and dropped anywhere.
unsafe impl<V: Word> Send for SimAtomic<V> {}
// SAFETY: as above.
unsafe impl<V: Word> Sync for SimAtomic<V> {}

impl<V: Word> SimAtomic<V> {
    /// A scheduling point, then the operation: `f` gives the new value.
    #[inline(always)]
    pub(crate) fn update(&self, op: Op, order: Ordering, site: Site, f: impl FnOnce(V) -> V) -> V {
        let engine = self.tag.entered(site);
        engine.point(Access::rmw(self.tag.object()), site);
        self.apply(op, order, site, f)
    }

    /// The operation without its scheduling point.
    #[inline(always)]
    pub(crate) fn apply(&self, op: Op, order: Ordering, site: Site, f: impl FnOnce(V) -> V) -> V {
        let engine = self.tag.entered(site);
        let old = self.value.get();
        let new = f(old);
        self.value.set(new);
        engine.event(op, self.tag.object(), old.class(), ordering_code(order), u32::from(new.class()), site);
        old
    }
}

impl<V: Word> SimAtomic<V> {
    /// A word of the execution that uses it first: for a `static`, and for constructors that are `const`.
    pub const fn unclaimed(value: V) -> Self {
        Self { value: Cell::new(value), tag: Tag::unclaimed() }
    }

    /// A word of the running execution, or, outside of all, one that is used there only.
    #[inline]
    pub(crate) fn here(value: V) -> Self {
        Self { value: Cell::new(value), tag: Tag::here() }
    }

    /// Whose it is.
    #[inline(always)]
    pub(crate) fn tag(&self) -> &Tag {
        &self.tag
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

    /// The value.
    pub(crate) fn into_value(self) -> V {
        self.value.into_inner()
    }
}

impl<V: Word> AtomicOps<V> for SimAtomic<V> {
    fn new(value: V) -> Self {
        Self { value: Cell::new(value), tag: Tag::new() }
    }

    #[inline(always)]
    #[track_caller]
    fn load(&self, order: Ordering) -> V {
        assert!(!matches!(order, Ordering::Release | Ordering::AcqRel), "there is no such thing as a release load");
        let site = Location::caller();
        let engine = self.tag.entered(site);
        engine.point(Access::load(self.tag.object()), site);
        let value = self.value.get();
        engine.event(Op::Load, self.tag.object(), value.class(), ordering_code(order), 0, site);
        value
    }

    #[inline(always)]
    #[track_caller]
    fn store(&self, value: V, order: Ordering) {
        assert!(!matches!(order, Ordering::Acquire | Ordering::AcqRel), "there is no such thing as an acquire store");
        let site = Location::caller();
        let engine = self.tag.entered(site);
        engine.point(Access::store(self.tag.object()), site);
        self.value.set(value);
        engine.event(Op::Store, self.tag.object(), value.class(), ordering_code(order), 0, site);
    }

    #[inline(always)]
    #[track_caller]
    fn swap(&self, value: V, order: Ordering) -> V {
        self.update(Op::Swap, order, Location::caller(), |_| value)
    }

    #[inline(always)]
    #[track_caller]
    fn compare_exchange(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V> {
        assert!(
            !matches!(failure, Ordering::Release | Ordering::AcqRel),
            "there is no such thing as a release failure"
        );
        let site = Location::caller();
        let engine = self.tag.entered(site);
        engine.point(Access::rmw(self.tag.object()), site);
        let found = self.value.get();
        if found == current {
            self.value.set(new);
            let extra = u32::from(new.class());
            engine.event(Op::CompareExchange, self.tag.object(), found.class(), ordering_code(success), extra, site);
            Ok(found)
        } else {
            let extra = u32::from(new.class());
            engine.event(
                Op::CompareExchangeFailed,
                self.tag.object(),
                found.class(),
                ordering_code(failure),
                extra,
                site,
            );
            Err(found)
        }
    }

    #[inline(always)]
    #[track_caller]
    fn compare_exchange_weak(&self, current: V, new: V, success: Ordering, failure: Ordering) -> Result<V, V> {
        self.compare_exchange(current, new, success, failure)
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
        self.value.get_mut()
    }
}
