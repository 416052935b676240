//! Instances of objects that outlive executions: of statics, and of what was made outside.
//!
//! **Invariant: an execution that did not claim such an object has an instance of its own, made at first use**, so that it starts
//! from the initial value, whatever other executions do to theirs.
//!
//! ```text
//!   static X  ── claimed by execution 7, in place
//!      └─ its tag ──> execution 8: its instance      execution 9: its instance      ...
//! ```
//!
//! The tag, which no other object has, finds an instance and does nothing else: numbers are given by order of first use, and
//! nothing walks the map.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Statics {
    found: RefCell<BTreeMap<u64, usize>>,
    /// In order of creation.
    instances: RefCell<Vec<Box<dyn Any>>>,
}

impl Statics {
    /// This execution's instance for the object with the tag `key`; `make` makes it. It is there until the execution is over.
    pub fn instance<T: 'static>(&self, key: u64, make: impl FnOnce() -> T) -> &T {
        let known = self.found.borrow().get(&key).copied();
        let index = known.unwrap_or_else(|| {
            let made = Box::new(make());
            let mut instances = self.instances.borrow_mut();
            instances.push(made);
            self.found.borrow_mut().insert(key, instances.len() - 1);
            instances.len() - 1
        });
        let instances = self.instances.borrow();
        let instance: &dyn Any = &*instances[index];
        let Some(instance) = instance.downcast_ref::<T>() else {
            unreachable!("a tag belongs to one object and so to one type");
        };
        let instance = std::ptr::from_ref(instance);
        // SAFETY: it is boxed, so that it stays where it is; it is dropped by `clear`, which has the engine to itself and
        // so begins after every use of this reference, or with the engine, on which nothing runs then.
        unsafe { &*instance }
    }

    /// Forgets them all, in order of creation.
    #[inline(always)]
    pub fn clear(&mut self) {
        if !self.instances.get_mut().is_empty() {
            self.drop_all();
        }
    }

    #[cold]
    fn drop_all(&mut self) {
        self.found.get_mut().clear();
        self.instances.get_mut().clear();
    }
}
