//! Business threads: they wait for orders, and carry them out.
//!
//! **Invariant: a thread's writes depend on the order, the seed and its own index only**: it draws from a stream of its own,
//! so that what it writes does not depend on the schedule.

use super::exchange::{ExchangeOf, Parcel, Table, exchange, on};
use super::flight::Flight;
use super::objects::{ObjectsOf, objects};
use super::stream;
use crate::engine::Generator;
use crate::scenario::{Arrival, Call, Clients, From as CalledFrom, Heeds, Message as Wanted, Payload, Phase, Spread};
use millpond_model::Platform;
use millpond_model::channel::Channel;
use millpond_model::event_loop::EventLoop;
use millpond_model::message::{Message, Pojo};
use millpond_model::platform::{AtomicOps, JoinOps, Lock, ThreadId, ThreadOps};
use millpond_model::promise::Promise;
use millpond_model::write_path::Pools;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What the threads of a phase share: the phase, the channels of each of its loops, and these loops.
pub(super) type PhaseOf<P> = (Phase, Vec<Vec<Channel<P>>>, Vec<EventLoop<P>>);

/// What a thread is ordered to do.
pub(super) enum Order<P: Platform> {
    /// To write.
    Write(Job<P>),
    /// To take the part of this index in an exchange.
    Exchange(Arc<ExchangeOf<P>>, u64),
    /// To take the part of this index among those who obtain objects.
    Objects(Arc<ObjectsOf<P>>, u64),
    /// To do this.
    Run(Box<dyn FnOnce() + Send>),
    /// To read and release these.
    Release(Arc<Table<P>>, Vec<Parcel<P>>),
}

/// An order to write.
pub(super) struct Job<P: Platform> {
    pub(super) shared: Arc<PhaseOf<P>>,
    /// The thread's index within the phase.
    pub(super) index: u64,
    pub(super) writes: Range<u64>,
    pub(super) pools: Arc<Pools<P>>,
}

struct Mailbox<P: Platform> {
    orders: P::Mutex<VecDeque<Option<Order<P>>>>,
    /// Orders given and not yet carried out.
    open: P::Atomic<u32>,
    master: P::Thread,
}

/// A business thread, as its master sees it.
pub(super) struct Business<P: Platform> {
    pub(super) index: u32,
    /// How many threads had this place, it included.
    pub(super) age: u32,
    mailbox: Arc<Mailbox<P>>,
    join: Option<P::Join>,
}

impl<P: Platform> Business<P> {
    pub(super) fn start(index: u32, age: u32, seed: u64) -> Self {
        let mailbox = Arc::new(Mailbox::<P> {
            orders: P::Mutex::new(VecDeque::new()),
            open: P::Atomic::new(0),
            master: P::current(),
        });
        let name = if age == 1 { format!("business-{index}") } else { format!("business-{index}.{age}") };
        let draws = stream(seed, u64::from(age) << 16 | u64::from(index));
        let theirs = Arc::clone(&mailbox);
        let join = P::spawn(name, move || serve(&theirs, draws)).expect("`check` limits the number of threads");
        Self { index, age, mailbox, join: Some(join) }
    }

    pub(super) fn thread(&self) -> ThreadId {
        self.join.as_ref().expect("a thread that ended is not asked").thread().id()
    }

    pub(super) fn order(&mut self, order: Order<P>) {
        self.send(Some(order));
    }

    fn send(&mut self, order: Option<Order<P>>) {
        let Some(join) = &self.join else { return };
        // Relaxed: counts; `await_idle` is ordered by the release in `serve`.
        self.mailbox.open.fetch_add(1, Ordering::Relaxed);
        self.mailbox.orders.lock().push_back(order);
        join.thread().unpark();
    }

    pub(super) fn await_idle(&self) {
        // Acquire: pairs with the release in `serve`.
        while self.mailbox.open.load(Ordering::Acquire) > 0 {
            P::park();
        }
    }

    /// Lets it end and waits until it has.
    pub(super) fn end(&mut self) {
        self.send(None);
        if let Some(join) = self.join.take() {
            join.join().expect("a writer does not panic");
        }
    }
}

fn serve<P: Platform>(mailbox: &Mailbox<P>, mut draws: Generator) {
    loop {
        let order = mailbox.orders.lock().pop_front();
        match order {
            None => P::park(),
            Some(None) => return,
            Some(Some(order)) => {
                carry_out(order, &mut draws);
                // Release: what was written happens before the master sees that it was.
                mailbox.open.fetch_sub(1, Ordering::Release);
                mailbox.master.unpark();
            }
        }
    }
}

fn carry_out<P: Platform>(order: Order<P>, draws: &mut Generator) {
    match order {
        Order::Write(job) => {
            Writer { job: &job, draws, flight: Flight::new(), unflushed: Vec::new() }.write_all();
        }
        Order::Exchange(of, index) => exchange(&of, index, draws),
        Order::Objects(of, index) => objects(&of, index, draws),
        Order::Run(f) => f(),
        Order::Release(table, parcels) => parcels.into_iter().for_each(|parcel| table.receive(parcel)),
    }
}

struct Writer<'a, P: Platform> {
    job: &'a Job<P>,
    draws: &'a mut Generator,
    flight: Arc<Flight<P>>,
    /// Channels with writes that were not flushed yet, and their loops' places.
    unflushed: Vec<(usize, Channel<P>)>,
}

impl<'a, P: Platform> Writer<'a, P> {
    fn write_all(&mut self) {
        let phase = &self.job.shared.0;
        let mut due = P::now();
        for j in self.job.writes.clone() {
            self.pace(&phase.clients, j, &mut due);
            let (l, channel) = self.target(j);
            if phase.heeds == Heeds::Writability && !channel.is_writable() {
                self.flush();
                // A channel that is closed never becomes writable again: the write itself tells.
                while channel.is_active() && !channel.is_writable() {
                    P::sleep(WRITABILITY_POLL);
                }
            }
            self.write(j, l, channel);
            P::boundary();
        }
        self.flush();
        if let Clients::Closed { .. } = phase.clients {
            self.flight.await_below(1);
        }
    }

    /// Flushes what was written without. A thread does that before it waits for its own writes.
    fn flush(&mut self) {
        for (l, channel) in std::mem::take(&mut self.unflushed) {
            match self.job.shared.0.from {
                CalledFrom::Business => channel.flush(),
                CalledFrom::Loop => {
                    // A loop that has shut down has nothing left to flush.
                    let _ = self.job.shared.2[l].execute_fn(move || channel.flush());
                }
            }
        }
    }

    /// Waits until write `j` may be called.
    fn pace(&mut self, clients: &Clients, j: u64, due: &mut Duration) {
        match clients {
            Clients::Flood => {}
            Clients::Closed { in_flight, think } => {
                if !self.flight.is_below(*in_flight) {
                    self.flush();
                    self.flight.await_below(*in_flight);
                }
                if j > 0 && !think.duration().is_zero() {
                    P::sleep(think.duration());
                }
            }
            Clients::Open { per_s, arrival } => {
                let mean = Duration::from_secs(1) / *per_s;
                *due += match arrival {
                    Arrival::Constant => mean,
                    Arrival::Poisson => exponential(self.draws, mean),
                    Arrival::Burst { every, size } if j.is_multiple_of(u64::from(*size)) => every.duration(),
                    Arrival::Burst { .. } => Duration::ZERO,
                };
                let now = P::now();
                if *due > now {
                    P::sleep(*due - now);
                }
            }
        }
    }

    /// The place of write `j`'s loop among the phase's loops, and its channel.
    fn target(&self, j: u64) -> (usize, &'a Channel<P>) {
        let (phase, channels, loops) = &*self.job.shared;
        let count = loops.len() as u64;
        let i = self.job.index;
        match phase.spread {
            Spread::OverLoops => {
                let l = ((i + j) % count) as usize;
                let of = &channels[l];
                (l, &of[((j / count) % of.len() as u64) as usize])
            }
            Spread::OwnChannel => {
                let all: u64 = channels.iter().map(|c| c.len() as u64).sum();
                let c = i % all;
                let l = (c % count) as usize;
                (l, &channels[l][(c / count) as usize])
            }
        }
    }

    fn write(&mut self, j: u64, l: usize, channel: &Channel<P>) {
        let phase = &self.job.shared.0;
        let Some(message) = self.message(&phase.message) else { return };
        let promise = Promise::new();
        if let Clients::Closed { .. } = phase.clients {
            let landing = self.flight.takes_off();
            promise.add_listener(move |_| drop(landing));
        }
        let call = phase.call;
        match phase.from {
            CalledFrom::Business => write(channel, message, promise, call),
            CalledFrom::Loop => {
                let theirs = channel.clone();
                // The closure holds the message: where the loop refuses it, the channel does too, and releases it.
                on(&self.job.shared.2[l], move || write(&theirs, message, promise, call));
            }
        }
        if let Call::Write { flush_every } = call {
            if !self.unflushed.iter().any(|(_, c)| c.is(channel)) {
                self.unflushed.push((l, channel.clone()));
            }
            if (j + 1).is_multiple_of(u64::from(flush_every)) {
                self.flush();
            }
        }
    }

    fn message(&mut self, wanted: &Wanted) -> Option<Message<P>> {
        match wanted {
            Wanted::Pojo { encoded } => Some(Message::Pojo(Pojo::new(encoded.bytes() as u32))),
            Wanted::Buffer(payload) => {
                let size = size(payload, self.draws) as usize;
                let mut buffer = self.job.pools.buffers.allocate(size).ok()?;
                buffer.put_repeated(super::FILLING, size).expect("a new buffer has room for its capacity");
                Some(Message::Buffer(buffer))
            }
        }
    }
}

/// How often a thread looks whether a channel is writable again.
const WRITABILITY_POLL: Duration = Duration::from_micros(10);

fn write<P: Platform>(channel: &Channel<P>, message: Message<P>, promise: Promise<P>, call: Call) {
    let written = match call {
        Call::WriteAndFlush => channel.write_and_flush(message, promise),
        Call::Write { .. } => channel.write(message, promise),
    };
    written.expect("a new promise can be completed");
}

pub(super) fn size(payload: &Payload, draws: &mut Generator) -> u64 {
    match payload {
        Payload::Exactly(size) => size.bytes(),
        Payload::Uniform(low, high) => low.bytes() + draws.below_u64(high.bytes() - low.bytes() + 1),
        Payload::Mix(parts) => {
            let total: u32 = parts.iter().map(|(weight, _)| weight).sum();
            let mut drawn = draws.below(total);
            for (weight, size) in parts {
                if drawn < *weight {
                    return size.bytes();
                }
                drawn -= weight;
            }
            unreachable!("the draw is below the sum of the weights")
        }
    }
}

/// An exponential time with this mean, by comparisons of uniform numbers only (von Neumann, 1951), so that no
/// floating-point library can change it.
fn exponential(draws: &mut Generator, mean: Duration) -> Duration {
    let mut whole = 0;
    loop {
        let first = draws.next_u32();
        let (mut last, mut falling) = (first, 1);
        loop {
            let next = draws.next_u32();
            if next >= last {
                break;
            }
            last = next;
            falling += 1;
        }
        if falling % 2 == 1 {
            let nanos = mean.as_nanos();
            let part = (nanos * u128::from(first)) >> 32;
            return Duration::from_nanos(u64::try_from(nanos * whole + part).unwrap_or(u64::MAX));
        }
        whole += 1;
    }
}
