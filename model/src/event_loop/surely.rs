//! Tasks that no loop refuses: the ends of what was begun.
//!
//! **Invariant: a task given to [`EventLoop::execute_surely`] runs once**: on the loop's thread, whatever the bound of its queue, or,
//! when the loop has ended, in its place on the thread that gave it. Two threads never stand in for a loop at once, so that what
//! belongs to the loop's thread still has one user at a time.
//!
//! ```text
//!   execute_surely ──> list ──┬─ the loop lives: its next turn ──> run
//!                             └─ it has ended: nobody stands in for it? we do ──> run until the list is empty
//! ```

use super::{EventLoop, LoopState, Task};
use crate::Platform;
use crate::observe::Reach;
use crate::platform::{AtomicOps, Lock};
use alloc::collections::VecDeque;
use core::sync::atomic::Ordering;

struct List<P: Platform> {
    tasks: VecDeque<Task<P>>,
    /// The loop's thread looks at the list no more.
    has_ended: bool,
    /// A thread stands in for the loop.
    is_taken: bool,
}

/// See the [module](self).
pub(super) struct Surely<P: Platform> {
    list: P::Mutex<List<P>>,
    /// Tasks in the list, so that the loop needn't lock it to find it empty.
    count: P::Atomic<u32>,
}

impl<P: Platform> Surely<P> {
    pub(super) fn new() -> Self {
        let list = List { tasks: VecDeque::new(), has_ended: false, is_taken: false };
        Self { list: P::Mutex::new(list), count: P::Atomic::new(0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        // SeqCst: in one total order with the sleep flag, as the gate of the task queue.
        self.count.load(Ordering::SeqCst) == 0
    }

    /// The oldest one. Without one, and with `ends`, the caller is done with the list.
    fn pop(&self, ends: impl FnOnce(&mut List<P>)) -> Option<Task<P>> {
        let mut list = self.list.lock();
        let task = list.tasks.pop_front();
        match &task {
            // SeqCst: as above. Under the lock, so that the count is that of the list.
            Some(_) => drop(self.count.fetch_sub(1, Ordering::SeqCst)),
            None => ends(&mut list),
        }
        task
    }

    /// The next task of a loop that lives.
    pub(super) fn poll(&self) -> Option<Task<P>> {
        if self.is_empty() { None } else { self.pop(|_| ()) }
    }

    /// The next task of a loop that ends; `None`: it has ended, and its thread `leaves` it.
    pub(super) fn poll_last(&self, leaves: impl FnOnce()) -> Option<Task<P>> {
        self.pop(|list| {
            leaves();
            list.has_ended = true;
        })
    }
}

impl<P: Platform> EventLoop<P> {
    /// Has the task run, whatever the state of the loop. Only for the ends of what was begun: there is no bound.
    pub(crate) fn execute_surely(&self, task: Task<P>) {
        let surely = &self.0.surely;
        // Before the task is in the list; a loop that can't start stays as it is, and the task waits for the next who tries.
        if self.state() == LoopState::NotStarted && !self.in_loop() {
            drop(self.start());
        }
        let mut list = surely.list.lock();
        list.tasks.push_back(task);
        // SeqCst: see `is_empty`.
        surely.count.fetch_add(1, Ordering::SeqCst);
        // One that never had a thread ends without a last look at the list.
        list.has_ended |= self.state() == LoopState::Terminated;
        if !list.has_ended {
            drop(list);
            if !self.in_loop() {
                self.wake(false);
            }
            return;
        }
        drop(list);
        self.stand_in();
    }

    /// A loop has ended without ever having a thread: what waits for it is done here, unless somebody is at it.
    pub(super) fn end_list(&self) {
        self.0.surely.list.lock().has_ended = true;
        self.stand_in();
    }

    /// Does what is in the list of a loop that has ended, unless somebody is at it: who is goes on with all of it.
    fn stand_in(&self) {
        let mut list = self.0.surely.list.lock();
        if list.tasks.is_empty() || core::mem::replace(&mut list.is_taken, true) {
            return;
        }
        drop(list);
        P::reach(Reach::StoodIn);
        let before = self.0.owner.stand_in();
        // Under the lock: the next one stands in when nobody does.
        while let Some(task) = self.0.surely.pop(|list| {
            self.0.owner.step_down(before);
            list.is_taken = false;
        }) {
            self.run_caught(|| task.run());
        }
    }
}
