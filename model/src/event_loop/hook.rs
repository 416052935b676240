//! What an event loop runs when it ends.
//!
//! **Invariant: a hook that was added and not removed runs once, on the loop's thread, before the loop has terminated.** (Under
//! Netty's rules a pass of the shutdown that has tasks runs no hooks; with a quiet period of zero such a pass may be the last.)

use super::{Closure, EventLoop, Rejected};
use crate::{Platform, Std};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The hooks of a loop, in the order in which they were added.
#[derive(Default)]
pub(super) struct Hooks(Vec<(Arc<()>, Closure)>);

impl Hooks {
    pub(super) fn take(&mut self) -> Vec<Closure> {
        self.0.drain(..).map(|(_, hook)| hook).collect()
    }
}

/// A handle to a shutdown hook. Dropping it changes nothing.
pub struct ShutdownHook<P: Platform = Std> {
    event_loop: EventLoop<P>,
    /// Which one: by its address.
    identity: Arc<()>,
}

impl<P: Platform> EventLoop<P> {
    /// Has the loop run `hook` when it ends: in the first pass of its shutdown that has no other tasks. The hooks that a hook adds
    /// run too.
    ///
    /// # Errors
    /// As [`EventLoop::execute`].
    pub fn add_shutdown_hook(&self, hook: impl FnOnce() + Send + 'static) -> Result<ShutdownHook<P>, Rejected<P>> {
        let identity = Arc::new(());
        let (theirs, hook): (_, Closure) = (Arc::clone(&identity), Box::new(hook));
        self.on_own_thread(move |event_loop| {
            let on = event_loop.here().expect("a task runs on its loop");
            event_loop.0.private.with(on, |p| p.hooks.0.push((theirs, hook)));
        })?;
        Ok(ShutdownHook { event_loop: self.clone(), identity })
    }

    /// Runs `f` now if this is the loop's thread, else soon.
    fn on_own_thread(&self, f: impl FnOnce(&Self) + Send + 'static) -> Result<(), Rejected<P>> {
        if self.in_loop() {
            f(self);
            return Ok(());
        }
        let this = self.clone();
        self.execute_fn(move || f(&this))
    }
}

impl<P: Platform> ShutdownHook<P> {
    /// Takes the hook back; it is dropped on the loop's thread. No effect when it has run.
    ///
    /// # Errors
    /// As [`EventLoop::execute`]: a loop that has shut down has run its hooks.
    pub fn remove(self) -> Result<(), Rejected<P>> {
        let identity = self.identity;
        self.event_loop.on_own_thread(move |event_loop| {
            let on = event_loop.here().expect("a task runs on its loop");
            let removed = event_loop.0.private.with(on, |p| {
                let at = p.hooks.0.iter().position(|(theirs, _)| Arc::ptr_eq(theirs, &identity));
                at.map(|at| p.hooks.0.remove(at))
            });
            drop(removed); // outside the borrow
        })
    }
}
