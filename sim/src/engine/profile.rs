//! How many events each thread of a program has, and which objects are shared: what URW and SURW draw by.
//!
//! **Invariant: a profile is plain data that names threads and objects by what the program does**, never by the numbers that one schedule
//! gave them. So one execution's profile serves all others, on any OS thread.
//!
//! ```text
//!   thread:   the 2nd child of the 1st child of main                        number in the profile, main 0, parents first
//!   object:   the 3rd that thread 0 touched = the 1st that thread 2 did     one number, several names
//! ```

use super::access::{Access, Touch};
use super::thread::NONE;
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the [module](self). [`Options::profile`](super::Options::profile) asks for one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Profile {
    threads: Vec<Counts>,
    /// For each shared object who touched it and how often.
    objects: Vec<Vec<(u32, u64)>>,
}

/// A thread's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Counts {
    parent: u32,
    children: Vec<u32>,
    /// Events of its own.
    own: u64,
    /// Events of its own, and of all that it starts.
    all: u64,
    /// Accesses to shared objects.
    shared: u64,
    /// The number of the `n`th object that it touched; `NONE` for one that is not shared.
    names: Vec<u32>,
}

impl Profile {
    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Number of objects that more than one thread touched, one of them not only to read.
    pub fn shared(&self) -> u32 {
        self.objects.len() as u32
    }

    /// Events of a thread and of all that it starts; 0 if there is no such thread.
    pub fn events(&self, thread: u32) -> u64 {
        self.threads.get(thread as usize).map_or(0, |t| t.all)
    }

    /// The `nth` thread (from 0) that `parent` starts.
    pub(super) fn child(&self, parent: u32, nth: u32) -> Option<u32> {
        self.threads.get(parent as usize)?.children.get(nth as usize).copied()
    }

    /// The shared object that is the `nth` (from 0) that `thread` touches.
    pub(super) fn object(&self, thread: u32, nth: u32) -> Option<u32> {
        let number = self.threads.get(thread as usize)?.names.get(nth as usize)?;
        Some(*number).filter(|number| *number != NONE)
    }

    /// For each thread its accesses to `object`, or to all shared ones, and those of all that it starts.
    pub(super) fn weigh(&self, object: Option<u32>, into: &mut Vec<u64>) {
        into.clear();
        match object {
            Some(object) => {
                into.resize(self.threads.len(), 0);
                for (thread, n) in &self.objects[object as usize] {
                    into[*thread as usize] = *n;
                }
            }
            None => into.extend(self.threads.iter().map(|t| t.shared)),
        }
        for child in (1..self.threads.len()).rev() {
            into[self.threads[child].parent as usize] += into[child];
        }
    }
}

/// What was seen of an object.
#[derive(Default)]
struct Seen {
    /// Accesses by thread.
    by: BTreeMap<u32, u64>,
    /// Somebody did more than read.
    changed: bool,
}

/// A profile that is being made.
#[derive(Default)]
pub(super) struct Profiler {
    threads: Vec<Counts>,
    /// The objects that each thread touched, in the order in which it did so first.
    touched: Vec<Vec<u32>>,
    seen: BTreeMap<u32, Seen>,
}

impl Profiler {
    /// Thread `id` begins.
    pub fn starts(&mut self, id: u32, parent: Option<u32>) {
        assert_eq!(self.threads.len(), id as usize, "threads are numbered in order");
        if let Some(parent) = parent {
            self.threads[parent as usize].children.push(id);
        }
        self.threads.push(Counts { parent: parent.unwrap_or(NONE), ..Counts::default() });
        self.touched.push(Vec::new());
    }

    /// Thread `id` was chosen, to do this.
    pub fn event(&mut self, id: u32, access: Access) {
        self.threads[id as usize].own += 1;
        if access == Access::NONE {
            return;
        }
        let seen = self.seen.entry(access.object).or_default();
        let count = seen.by.entry(id).or_default();
        *count += 1;
        if *count == 1 {
            self.touched[id as usize].push(access.object);
        }
        seen.changed |= access.touch != Touch::Load;
    }

    /// The profile.
    pub fn finish(self) -> Arc<Profile> {
        let Self { mut threads, touched, seen } = self;
        let shared: BTreeMap<u32, &Seen> =
            seen.iter().filter(|(_, s)| s.changed && s.by.len() > 1).map(|(object, s)| (*object, s)).collect();
        // Numbered by name, not by the object's number: first the objects of main in its order, then those of its first child ...
        let mut numbers = BTreeMap::new();
        for object in touched.iter().flatten().filter(|object| shared.contains_key(object)) {
            let next = numbers.len() as u32;
            numbers.entry(*object).or_insert(next);
        }
        let mut objects = vec![Vec::new(); numbers.len()];
        for (object, seen) in shared {
            objects[numbers[&object] as usize] = seen.by.iter().map(|(thread, n)| (*thread, *n)).collect();
        }
        for (thread, touched) in threads.iter_mut().zip(touched) {
            thread.names = touched.iter().map(|object| numbers.get(object).copied().unwrap_or(NONE)).collect();
            thread.all = thread.own;
        }
        for (thread, n) in objects.iter().flatten() {
            threads[*thread as usize].shared += n;
        }
        for child in (1..threads.len()).rev() {
            let (parent, all) = (threads[child].parent, threads[child].all);
            threads[parent as usize].all += all;
        }
        Arc::new(Profile { threads, objects })
    }
}
