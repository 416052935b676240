//! Business threads: they wait for orders, and carry them out.
//!
//! **Invariant: a thread's writes depend on the order, the seed and its own index only**: it draws from a stream of its own,
//! so that what it writes does not depend on the schedule.

use super::desk::{Desk, Errand};
use super::exchange::{ExchangeOf, Parcel, Table, exchange, on};
use super::flight::Flight;
use super::life::Life;
use super::objects::{ObjectsOf, objects};
use super::stream;
use crate::engine::{Chances, Generator};
use crate::scenario::{
    Arrival, Call, Clients, From as CalledFrom, Heeds, Message as Wanted, Payload, Phase, Spread, When,
};
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
    /// To take the part of this index among those who obtain objects.
    Objects(Arc<ObjectsOf<P>>, u64),
    /// To do this.
    Run(Box<dyn FnOnce() + Send>),
    /// To take the part of this index in an exchange, from this buffer on.
    Exchange(Arc<ExchangeOf<P>>, u64, u64),
    /// To read and release these.
    Release(Arc<Table<P>>, Vec<Parcel<P>>),
    /// To run an errand, of which the master knows nothing.
    Errand(Arc<Desk<P>>, Errand<P>),
}

/// An order to write.
pub(super) struct Job<P: Platform> {
    pub(super) shared: Arc<PhaseOf<P>>,
    /// The thread's index within the phase.
    pub(super) index: u64,
    pub(super) writes: Range<u64>,
    pub(super) pools: Arc<Pools<P>>,
}

pub(super) struct Mailbox<P: Platform> {
    orders: P::Mutex<VecDeque<Option<Order<P>>>>,
    /// Orders given and not yet carried out.
    open: P::Atomic<u32>,
    master: P::Thread,
}

impl<P: Platform> Mailbox<P> {
    /// Puts an order at the end; the thread is then to be woken.
    pub(super) fn give(&self, order: Option<Order<P>>) {
        self.orders.lock().push_back(order);
    }

    /// Puts an order back that isn't carried out to its end.
    pub(super) fn give_back(&self, order: Order<P>) {
        self.orders.lock().push_front(Some(order));
    }
}

/// A business thread, as its master sees it.
pub(super) struct Business<P: Platform> {
    pub(super) index: u32,
    /// How many threads had this place, it included.
    pub(super) age: u32,
    mailbox: Arc<Mailbox<P>>,
    join: Option<P::Join>,
    /// Those that took its place when it died, where threads die.
    heirs: Option<Heirs<P>>,
    desk: Arc<Desk<P>>,
}

/// Threads that took the place of one that died, in order.
pub(super) type Heirs<P> = Arc<<P as Platform>::Mutex<Vec<<P as Platform>::Join>>>;

impl<P: Platform> Business<P> {
    pub(super) fn start(index: u32, age: u32, seed: u64, desk: &Arc<Desk<P>>, dies: Option<When>) -> Self {
        let mailbox = Arc::new(Mailbox::<P> {
            orders: P::Mutex::new(VecDeque::new()),
            open: P::Atomic::new(0),
            master: P::current(),
        });
        let heirs: Option<Heirs<P>> = dies.map(|_| Heirs::<P>::new(P::Mutex::new(Vec::new())));
        let life =
            Life { index, age, seed, desk: Arc::clone(desk), heirs: heirs.clone(), dies, chances: Chances::default() };
        let theirs = Arc::clone(&mailbox);
        let join =
            P::spawn(name(index, age), move || serve(theirs, life)).expect("`check` limits the number of threads");
        if desk.is_manned() {
            desk.seat(index, &mailbox, join.thread());
        }
        Self { index, age, mailbox, join: Some(join), heirs, desk: Arc::clone(desk) }
    }

    pub(super) fn thread(&self) -> ThreadId {
        if let Some(heir) = self.heirs.as_ref().and_then(|heirs| heirs.lock().last().map(|heir| heir.thread().id())) {
            return heir;
        }
        self.join.as_ref().expect("a thread that ended is not asked").thread().id()
    }

    pub(super) fn order(&mut self, order: Order<P>) {
        self.send(Some(order));
    }

    fn send(&mut self, order: Option<Order<P>>) {
        let Some(join) = &self.join else { return };
        // Relaxed: counts; `await_idle` is ordered by the release in `serve`.
        self.mailbox.open.fetch_add(1, Ordering::Relaxed);
        self.mailbox.give(order);
        // The lock isn't held while a thread is woken.
        match self.heirs.as_ref().and_then(|heirs| heirs.lock().last().map(|heir| heir.thread().clone())) {
            Some(heir) => heir.unpark(),
            None => join.thread().unpark(),
        }
    }

    pub(super) fn await_idle(&self) {
        // Acquire: pairs with the release in `serve`.
        while self.mailbox.open.load(Ordering::Acquire) > 0 {
            P::park();
        }
    }

    /// Lets it end and waits until it has.
    pub(super) fn end(&mut self) {
        if self.desk.is_manned() {
            self.desk.unseat(self.index);
        }
        self.send(None);
        if let Some(join) = self.join.take() {
            join.join().expect("a writer does not panic");
        }
        // A thread that dies leaves its heir here before it ends.
        while let Some(heir) = self.heirs.as_ref().and_then(|heirs| heirs.lock().pop()) {
            heir.join().expect("a writer does not panic");
        }
    }
}

/// The name of the thread number `index`, the `age`th in its place.
pub(super) fn name(index: u32, age: u32) -> String {
    if age == 1 { format!("business-{index}") } else { format!("business-{index}.{age}") }
}

/// Carries out orders until there is one to end, or until its life ends.
pub(super) fn serve<P: Platform>(mailbox: Arc<Mailbox<P>>, mut life: Life<P>) {
    let mut draws = stream(life.seed, u64::from(life.age) << 16 | u64::from(life.index));
    loop {
        let order = mailbox.orders.lock().pop_front();
        match order {
            None => P::park(),
            Some(None) => return,
            Some(Some(Order::Errand(desk, errand))) => {
                desk.run(errand);
                if life.ends() && life.bequeath(&mailbox, None) {
                    return;
                }
            }
            Some(Some(order)) => {
                if let Some(rest) = carry_out(order, &mut draws, &mut life) {
                    if life.bequeath(&mailbox, Some(rest)) {
                        return;
                    }
                    continue;
                }
                // Release: what was written happens before the master sees that it was.
                mailbox.open.fetch_sub(1, Ordering::Release);
                mailbox.master.unpark();
            }
        }
    }
}

/// What is left of the order, if the thread's life ends.
fn carry_out<P: Platform>(order: Order<P>, draws: &mut Generator, life: &mut Life<P>) -> Option<Order<P>> {
    match order {
        Order::Write(job) => {
            let mut writer = Writer {
                job: &job,
                draws,
                flight: Flight::new(),
                unflushed: Vec::new(),
                cancelled: Chances::default(),
                completed: Chances::default(),
            };
            let from = writer.write_all(|| life.ends())?;
            Some(Order::Write(Job { writes: from..job.writes.end, ..job }))
        }
        Order::Exchange(of, index, from) => {
            let from = exchange(&of, index, from, draws, || life.ends())?;
            Some(Order::Exchange(of, index, from))
        }
        Order::Release(table, parcels) => {
            parcels.into_iter().for_each(|parcel| table.receive(parcel));
            None
        }
        Order::Errand(desk, errand) => {
            desk.run(errand);
            None
        }
        Order::Objects(of, index) => {
            objects(&of, index, draws);
            None
        }
        Order::Run(f) => {
            f();
            None
        }
    }
}

struct Writer<'a, P: Platform> {
    job: &'a Job<P>,
    draws: &'a mut Generator,
    flight: Arc<Flight<P>>,
    /// Channels with writes that were not flushed yet, and their loops' places.
    unflushed: Vec<(usize, Channel<P>)>,
    cancelled: Chances,
    completed: Chances,
}

impl<'a, P: Platform> Writer<'a, P> {
    /// If the thread `dies`, the number of the first write that is left to do; what it wrote is flushed.
    fn write_all(&mut self, mut dies: impl FnMut() -> bool) -> Option<u64> {
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
            if dies() {
                self.flush();
                return Some(j + 1);
            }
        }
        self.flush();
        if let Clients::Closed { .. } = phase.clients {
            self.flight.await_below(1);
        }
        None
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
        if strikes::<P>(phase.completed, &mut self.completed, self.draws) {
            promise.try_complete(Ok(()));
        }
        let cancelled = strikes::<P>(phase.cancels, &mut self.cancelled, self.draws).then(|| promise.clone());
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
        if let Some(promise) = cancelled {
            promise.cancel();
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
    // Refused where the promise was complete before; the message has been released.
    let _refused = written;
}

/// Whether what happens at `when` happens now.
fn strikes<P: Platform>(when: Option<When>, chances: &mut Chances, draws: &mut Generator) -> bool {
    when.is_some_and(|when| chances.strike(when.into(), P::now(), |threshold| draws.chance(threshold)))
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
