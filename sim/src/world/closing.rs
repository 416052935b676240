//! The steps that begin, move and end channels.
//!
//! **Invariant: a step that awaits completion ends when every promise that it gave away has completed**, however it did.

use super::World;
use crate::scenario::{Awaits, Close, Closer, Connect, Move, Register, Way};
use millpond_model::Platform;
use millpond_model::channel::Channel;
use millpond_model::handler::{Context, DuplexHandler, HandlerError, Inbound, Outbound};
use millpond_model::message::{Message, Pojo};
use millpond_model::pipeline::Named;
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use millpond_model::promise::{Cause, Promise};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The name of the handler that closes.
const CLOSER: &str = "closer";

impl<P: Platform> World<'_, P> {
    pub(super) fn close(&mut self, close: &Close) {
        let promises = if close.callers > 1 { self.close_at_once(close) } else { close_all(&self.channels, close) };
        self.await_all(promises, close.awaits);
    }

    /// Several threads close every channel.
    fn close_at_once(&self, close: &Close) -> Vec<Promise<P>> {
        let begun: Vec<_> = (0..close.callers)
            .map(|k| {
                let (channels, close) = (self.channels.clone(), close.clone());
                let promises = Arc::new(P::Mutex::new(Vec::new()));
                let theirs = Arc::clone(&promises);
                let call = move || {
                    let promises = close_all(&channels, &close);
                    *theirs.lock() = promises;
                };
                let join = P::spawn(format!("closer-{k}"), call).expect("`check` limits the number of threads");
                (join, promises)
            })
            .collect();
        let mut all = Vec::new();
        for (join, promises) in begun {
            join.join().expect("a closer does not panic");
            all.append(&mut *promises.lock());
        }
        all
    }

    fn await_all(&mut self, promises: Vec<Promise<P>>, awaits: Awaits) {
        match awaits {
            Awaits::Completion => {
                for promise in &promises {
                    // A close of a channel that a peer's reset has closed, or that a loop refuses, fails: that is an end, too.
                    let _ = promise.wait();
                }
                self.settle();
            }
            Awaits::Nothing => self.closing.extend(promises),
        }
    }

    pub(super) fn register(&mut self, register: &Register) {
        let promises = self.each_channel(|world, c, promise| {
            world.channels[c].register(&world.loops[c % world.loops.len()], promise);
        });
        self.await_all(promises, register.awaits);
    }

    pub(super) fn connect(&mut self, connect: &Connect) {
        let promises = self.each_channel(|world, c, promise| world.channels[c].connect(promise));
        self.await_all(promises, connect.awaits);
    }

    pub(super) fn move_on(&mut self, step: &Move) {
        let promises = self.each_channel(|world, c, promise| {
            let channel = &world.channels[c];
            let at = channel.registered_loop().and_then(|at| world.loops.iter().position(|l| l.is_same(at)));
            let to = world.loops[at.map_or(c, |at| at + 1) % world.loops.len()].clone();
            let (off, moves) = (Promise::untracked(), channel.clone());
            off.add_listener(move |_| moves.register(&to, promise));
            channel.deregister(off);
        });
        self.await_all(promises, step.awaits);
    }

    fn each_channel(&self, begin: impl Fn(&Self, usize, Promise<P>)) -> Vec<Promise<P>> {
        (0..self.channels.len())
            .map(|c| {
                let promise = Promise::untracked();
                begin(self, c, promise.clone());
                promise
            })
            .collect()
    }
}

fn close_all<P: Platform>(channels: &[Channel<P>], close: &Close) -> Vec<Promise<P>> {
    channels
        .iter()
        .map(|channel| {
            let promise = Promise::new();
            close_from(channel, close.from, close.way, promise.clone());
            promise
        })
        .collect()
}

fn close_from<P: Platform>(channel: &Channel<P>, from: Closer, way: Way, promise: Promise<P>) {
    let theirs = channel.clone();
    match from {
        Closer::Business => end(channel, way, promise),
        Closer::Loop => {
            let done = promise.clone();
            let posted = channel.registered_loop().map(|at| at.execute_fn(move || end(&theirs, way, done)));
            if !matches!(posted, Some(Ok(()))) {
                end(channel, way, promise);
            }
        }
        Closer::Listener => {
            let last = Promise::new();
            last.add_listener(move |_| end(&theirs, way, promise));
            channel.write_and_flush(Message::Pojo(Pojo::new(1)), last).expect("a new promise can be completed");
        }
        Closer::Handler => {
            let closes = Closes { way, promise: promise.clone(), done: P::Atomic::new(false) };
            if channel.pipeline().add_last(Named::new(CLOSER, DuplexHandler(closes))).is_err() {
                // Another caller's is there, or the channel is closed. The handler that was refused has ended our promise.
                end(channel, way, Promise::new());
            }
        }
    }
}

/// Ends a channel.
fn end<P: Platform>(channel: &Channel<P>, way: Way, promise: Promise<P>) {
    match way {
        Way::Close => {}
        Way::Twice => channel.close(Promise::new()),
        Way::Forcibly => channel.close_forcibly(),
        Way::OutputFirst => channel.shutdown_output(Promise::new()),
        Way::OutputOnly => return channel.shutdown_output(promise),
        Way::Deregistered => channel.deregister(Promise::untracked()),
    }
    channel.close(promise);
}

/// Closes its channel when it is asked to flush.
struct Closes<P: Platform> {
    way: Way,
    promise: Promise<P>,
    done: P::Atomic<bool>,
}

impl<P: Platform> Outbound<P> for Closes<P> {
    fn flush(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        // Relaxed: the handler has one thread.
        if !self.done.swap(true, Ordering::Relaxed) {
            end(context.channel().expect("a handler of a channel"), self.way, self.promise.clone());
        }
        context.flush();
        Ok(())
    }
}

impl<P: Platform> Inbound<P> for Closes<P> {
    /// Asks for the flush itself, from the end of the pipeline: it knows that it will be asked.
    fn added(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        context.channel().expect("a handler of a channel").flush();
        Ok(())
    }
}

impl<P: Platform> Drop for Closes<P> {
    /// The channel was closed before anybody asked; perhaps even before the handler was told that it was added, and so without
    /// being told of its removal.
    fn drop(&mut self) {
        // Relaxed: the last owner reads what its thread wrote, or what came to it with the handler.
        if !P::unwinding() && !self.done.load(Ordering::Relaxed) {
            self.promise.try_complete(Err(Cause::ClosedChannel));
        }
    }
}
