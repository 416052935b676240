//! The world of a scenario: loops, business threads, channels and peers, over the real pool, on any platform.
//!
//! **Invariant: the world only drives and reads.** What is under test is the model's own code; the world adds no
//! synchronisation to it beyond what a program around it would have, and judges only at quiescence.
//!
//! ```text
//!   main ──orders──> business-0 .. n ──write──> channel 0 .. c ──on──> loop-0 .. m ──> peers
//!     │                        ^──errands── handlers ┘└─ on ─> executor-0 .. k   <─requests─┘
//!     └── stalls loops, waits for quiescence, samples pools, closes, shuts down, judges
//! ```

mod allocator;
mod business;
mod closing;
mod codec;
mod desk;
mod exchange;
mod flight;
mod forms;
mod handlers;
mod life;
mod objects;
mod peer;
mod pipeline;
mod quiescence;
mod requests;
mod wire;

pub(crate) use allocator::pooled as pooled_config;
pub use quiescence::Seen;

use crate::engine::{Generator, Stream};
use crate::scenario::{
    Awaits, ChannelsAre, Collect, Drain, Ending, Entry, Exchange, Fault, From as CalledFrom, HalfClose, Loops, Objects,
    Order, Owns, Peer, Phase, Release, Renew, Requests, Scenario, Shutdown, SideQueueRatio, Step, When,
};
use business::{Business, Job};
use desk::Desk;
use exchange::{ExchangeOf, Table};
use millpond_model::Platform;
use millpond_model::channel::{Channel, ChannelSetup, FillEncoder};
use millpond_model::event_loop::{EventLoop, LoopConfig, Stall};
use millpond_model::observe::Kind;
use millpond_model::platform::JoinOps;
use millpond_model::promise::Promise;
use millpond_model::recycler::{Domain, RecyclerConfig, WoqRatio};
use millpond_model::transport::LocalTransport;
use millpond_model::write_path::{Pools, PoolsConfig, WritePathConfig};
use objects::{ObjectPool, ObjectsOf};
use peer::{Peers, SimPeer};
use pipeline::Setting;
use requests::RequestsOf;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use wire::Wire;

/// The byte that encoded messages are made of.
const FILLING: u8 = 0x5a;

/// Everything of one execution.
pub(crate) struct World<'a, P: Platform> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) pools: Arc<Pools<P>>,
    pub(crate) loops: Vec<EventLoop<P>>,
    executors: Vec<EventLoop<P>>,
    pub(crate) linger: EventLoop<P>,
    pub(crate) channels: Vec<Channel<P>>,
    business: Vec<Business<P>>,
    desk: Arc<Desk<P>>,
    peers: Peers<P>,
    /// Of each channel, where peers send.
    wires: Vec<Arc<Wire<P>>>,
    /// The threads that send for the peers and aren't awaited, and how many there were.
    clients: (Vec<P::Join>, u64),
    stalls: Vec<Option<Stall<P>>>,
    closing: Vec<Promise<P>>,
    table: Arc<Table<P>>,
    /// If there is a step `Objects`.
    objects: Option<Arc<ObjectPool<P>>>,
    /// Threads that the last collection found held.
    held_threads: u64,
    seed: u64,
    seen: &'a RefCell<Seen>,
}

/// Plays `scenario` from its first step to the end of every thread, and leaves in `seen` what was to be seen. Runs as the
/// main thread of an execution.
pub fn play<P: Platform>(scenario: &Scenario, seed: u64, seen: &RefCell<Seen>) {
    let mut world: World<'_, P> = World::build(scenario, seed, seen);
    for (i, step) in scenario.workload.iter().enumerate() {
        world.take(step);
        if ends(step, &scenario.workload[i + 1..]) {
            world.await_threads();
        }
        if quiesces(&scenario.workload[..=i]) {
            world.judge_arenas(step.name());
        }
        let sample = world.read(step.name(), None, &[]);
        seen.borrow_mut().samples.push(sample);
    }
    world.end();
}

/// The stream of numbers for part `index` of the world: depends on nothing but the seed and the part.
pub(crate) fn stream(seed: u64, index: u64) -> Generator {
    Generator::new(seed, index + 1, Stream::Workload)
}

impl<'a, P: Platform> World<'a, P> {
    fn build(scenario: &'a Scenario, seed: u64, seen: &'a RefCell<Seen>) -> Self {
        let preset = scenario.pool.preset;
        let path = write_path(scenario);
        let domain = Domain::new_with(match scenario.pool.collect {
            Collect::Eager => millpond_model::recycler::Collect::Eager,
            Collect::Withheld => millpond_model::recycler::Collect::Withheld,
        });
        let pools = Arc::new(Pools::new_in(&domain, &pools_config(scenario), path.one_task_pool));
        if let Some(detector) = pools.buffers.leak_detector() {
            detector.set_listener(Some(Arc::new(|_| ()))); // it counts; a report is for people
        }
        let loops: Vec<EventLoop<P>> = (0..scenario.topology.event_loops)
            .map(|i| EventLoop::new(format!("loop-{i}"), LoopConfig::from(preset)))
            .collect();
        for event_loop in &loops {
            // Starts the thread, so that loops have the lowest numbers, in index order; where it can't, its channels try again.
            let _ = event_loop.execute_fn(|| ());
        }
        let executors: Vec<EventLoop<P>> = (0..scenario.topology.executors)
            .map(|i| EventLoop::new(format!("executor-{i}"), LoopConfig::from(preset)))
            .collect();
        let linger = EventLoop::new("linger-0".to_string(), LoopConfig::from(preset));
        let peers = Peers::new();
        let resets = scenario.faults.iter().find_map(|f| match f {
            Fault::PeerReset(when) => Some((*when).into()),
            _ => None,
        });
        let count = match scenario.topology.channels {
            0 => scenario.topology.event_loops,
            n => n,
        };
        let linger_time = linger_of(scenario);
        let config = Arc::new(path);
        let (desk, table) = (Desk::new(gives_errands(scenario)), Table::new());
        let setting = Setting::new(scenario, &executors, &desk, &table, seed);
        let framings = (pipeline::requests(&scenario.pipeline), pipeline::replies(scenario));
        let sends = scenario.workload.iter().any(|step| matches!(step, Step::Requests(_)));
        let wires: Vec<Arc<Wire<P>>> =
            (0..if sends { count } else { 0 }).map(|_| Arc::new(Wire::new(framings.0, framings.1))).collect();
        let pairs = if scenario.socket.peer == Peer::AnotherChannel { count / 2 } else { 0 };
        let locals = RefCell::new((0..pairs).flat_map(|_| <[_; 2]>::from(LocalTransport::pair())));
        let open = |c: u32| {
            let peer =
                SimPeer::new(&scenario.socket, resets, linger_time, stream(seed, 1 << 32 | u64::from(c)), &peers);
            let peer = match scenario.topology.channels_are {
                ChannelsAre::Unconnected => peer.unconnected(connect_takes(scenario)),
                ChannelsAre::Registered | ChannelsAre::Unregistered => peer,
            };
            let peer = match wires.get(c as usize) {
                Some(wire) => {
                    let draws = stream(seed, 1 << 33 | u64::from(c));
                    peer.sending(Arc::clone(wire), &table, scenario.socket.partial_read, draws)
                }
                None => peer,
            };
            let event_loop = &loops[(c % scenario.topology.event_loops) as usize];
            let setup = ChannelSetup {
                linger_executor: Some(linger.clone()),
                pools: Arc::clone(&pools),
                config: Arc::clone(&config),
                transport: match locals.borrow_mut().next() {
                    Some(local) => Box::new(local),
                    None => Box::new(peer),
                },
                encoder: Box::new(FillEncoder(FILLING)),
                handlers: setting.handlers(c),
            };
            match scenario.topology.channels_are {
                ChannelsAre::Unregistered => Ok(Channel::new(setup)),
                ChannelsAre::Registered | ChannelsAre::Unconnected => Channel::open(event_loop, setup),
            }
        };
        let channels = (0..count).map(|c| at_last(|| open(c))).collect();
        let mut world = Self {
            scenario,
            pools,
            stalls: loops.iter().map(|_| None).collect(),
            loops,
            executors,
            linger,
            channels,
            business: Vec::new(),
            desk,
            peers,
            wires,
            clients: (Vec::new(), 0),
            closing: Vec::new(),
            objects: objects_of(scenario, &domain),
            held_threads: 0,
            table,
            seed,
            seen,
        };
        world.settle();
        for i in 0..scenario.topology.business_threads {
            let business = world.start(i, 1);
            world.business.push(business);
        }
        world
    }

    fn start(&self, index: u32, age: u32) -> Business<P> {
        Business::start(index, age, self.seed, &self.desk, death(self.scenario))
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Phase(phase) => self.phase(phase),
            Step::Requests(requests) => self.requests(requests),
            Step::Drain(drain) => self.drain(drain),
            Step::Idle(idle) => {
                self.settle();
                P::sleep(idle.lasts.duration());
                self.settle();
            }
            Step::Exchange(exchange) => self.exchange(exchange),
            Step::Objects(objects) => self.obtain(objects),
            Step::Release(release) => self.release(release),
            Step::Collect(_) => {
                self.held_threads = self.pools.domain.collect().uncollected.len() as u64;
                if let Some(detector) = self.pools.buffers.leak_detector() {
                    detector.collect();
                }
            }
            Step::Renew(renew) => self.renew(renew),
            Step::Register(step) => self.register(step),
            Step::Connect(step) => self.connect(step),
            Step::Move(step) => self.move_on(step),
            Step::Close(close) => self.close(close),
            Step::Shutdown(shutdown) => self.shutdown(shutdown),
        }
    }

    fn requests(&mut self, step: &Requests) {
        let channels = range(step.channels.as_ref(), self.wires.len());
        let (threads, number) = &mut self.clients;
        *number += 1;
        let of = RequestsOf {
            step: step.clone(),
            number: *number,
            seed: self.seed,
            wires: channels.map(|c| (c as u64, Arc::clone(&self.wires[c]), self.wires[c].turn())).collect(),
            replies: pipeline::has_replies(&self.scenario.pipeline),
        };
        let join = P::spawn(format!("clients-{}", *number - 1), move || requests::send_all(&of));
        let join = join.expect("`check` limits the number of threads");
        match step.awaits {
            Awaits::Completion => {
                join.join().expect("a client does not panic");
                self.settle();
            }
            Awaits::Nothing => threads.push(join),
        }
    }

    fn phase(&mut self, phase: &Phase) {
        let threads = range(phase.threads.as_ref(), self.business.len());
        let loops = range(phase.loops.as_ref(), self.loops.len());
        if phase.loops_are == Loops::Stalled {
            self.stall(&loops);
        }
        // A loop without a channel has nothing to be written to.
        let with_channels = loops.start..loops.end.min(self.channels.len());
        let channels = self.channels_of(&with_channels);
        let shared = Arc::new((phase.clone(), channels, self.loops[with_channels].to_vec()));
        let mut from = 0;
        for k in &phase.sample_at {
            self.write(&threads, &shared, from..*k);
            from = *k;
            self.settle();
            let writers: Vec<u32> = threads.clone().map(|t| self.business[t].thread().0).collect();
            let sample = self.read(&phase.name, Some(*k), &writers);
            self.seen.borrow_mut().samples.push(sample);
        }
        self.write(&threads, &shared, from..phase.writes);
    }

    /// Lets the threads write their messages number `writes`.
    fn write(&mut self, threads: &Range<usize>, shared: &Arc<business::PhaseOf<P>>, writes: Range<u64>) {
        if writes.is_empty() {
            return;
        }
        let first = threads.start;
        let awaits = shared.0.awaits == Awaits::Completion;
        for t in threads.clone() {
            let index = (t - first) as u64;
            let job = Job { shared: Arc::clone(shared), index, writes: writes.clone(), pools: Arc::clone(&self.pools) };
            self.business[t].order(business::Order::Write(job));
            if shared.0.order == Order::InTurn && awaits {
                self.business[t].await_idle();
            }
        }
        if awaits {
            for t in threads.clone() {
                self.business[t].await_idle();
            }
        }
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let threads = range(exchange.threads.as_ref(), self.business.len());
        let of = Arc::new(ExchangeOf {
            exchange: exchange.clone(),
            loops: self.loops.clone(),
            pools: Arc::clone(&self.pools),
            table: Arc::clone(&self.table),
            codec: self.scenario.pool.preset.into(),
        });
        for (index, t) in threads.clone().enumerate() {
            self.business[t].order(business::Order::Exchange(Arc::clone(&of), index as u64, 0));
        }
        for t in threads {
            self.business[t].await_idle();
        }
    }

    fn obtain(&mut self, objects: &Objects) {
        let threads = range(objects.threads.as_ref(), self.business.len());
        let Some(pool) = &self.objects else { unreachable!("a scenario with this step has a pool") };
        let of = ObjectsOf { objects: objects.clone(), loops: self.loops.clone(), pool: Arc::clone(pool) };
        let of = Arc::new(of);
        for (index, t) in threads.clone().enumerate() {
            self.business[t].order(business::Order::Objects(Arc::clone(&of), index as u64));
        }
        for t in threads {
            self.business[t].await_idle();
        }
    }

    fn release(&mut self, release: &Release) {
        let awaits = release.awaits == Awaits::Completion;
        self.recycle_held(release.from, awaits);
        let count = match release.from {
            CalledFrom::Business => self.business.len(),
            CalledFrom::Loop => self.loops.len(),
        };
        let mut shares: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for (n, parcel) in self.table.take().into_iter().enumerate() {
            shares[n % count].push(parcel);
        }
        match release.from {
            CalledFrom::Business => {
                for (business, share) in self.business.iter_mut().zip(shares) {
                    business.order(business::Order::Release(Arc::clone(&self.table), share));
                }
                self.business.iter().for_each(Business::await_idle);
            }
            CalledFrom::Loop => {
                for (event_loop, share) in self.loops.iter().zip(shares) {
                    let table = Arc::clone(&self.table);
                    exchange::on(event_loop, move || share.into_iter().for_each(|parcel| table.receive(parcel)));
                }
                if awaits {
                    self.settle();
                }
            }
        }
    }

    /// Recycles the objects that are held.
    fn recycle_held(&mut self, from: CalledFrom, awaits: bool) {
        let Some(pool) = self.objects.clone() else { return };
        let count = match from {
            CalledFrom::Business => self.business.len(),
            CalledFrom::Loop => self.loops.len(),
        };
        let mut shares: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for (n, object) in pool.take_held().into_iter().enumerate() {
            shares[n % count].push(object);
        }
        for (n, share) in shares.into_iter().enumerate() {
            let pool = Arc::clone(&pool);
            let recycle = move || share.into_iter().for_each(|object| pool.recycle(object));
            match from {
                CalledFrom::Business => self.business[n].order(business::Order::Run(Box::new(recycle))),
                CalledFrom::Loop => exchange::on(&self.loops[n], recycle),
            }
        }
        self.business.iter().for_each(Business::await_idle);
        if from == CalledFrom::Loop && awaits {
            self.settle();
        }
    }

    fn channels_of(&self, loops: &Range<usize>) -> Vec<Vec<Channel<P>>> {
        loops.clone().map(|l| self.channels.iter().skip(l).step_by(self.loops.len()).cloned().collect()).collect()
    }

    fn stall(&mut self, loops: &Range<usize>) {
        for l in loops.clone() {
            if self.stalls[l].is_none() {
                // `check` lets no phase come after a shutdown.
                let stall = at_last(|| Stall::hold(&self.loops[l]));
                stall.wait_until_reached();
                self.stalls[l] = Some(stall);
            }
        }
    }

    fn drain(&mut self, drain: &Drain) {
        match drain.order {
            Order::Together => {
                for stall in &mut self.stalls {
                    drop(stall.take());
                }
            }
            Order::InTurn => {
                for l in 0..self.stalls.len() {
                    if self.stalls[l].take().is_some() {
                        self.settle_loop(l);
                    }
                }
            }
        }
        self.settle();
    }

    fn renew(&mut self, renew: &Renew) {
        for t in range(renew.threads.as_ref(), self.business.len()) {
            let (index, age) = (self.business[t].index, self.business[t].age);
            self.business[t].end();
            self.business[t] = self.start(index, age + 1);
        }
    }

    fn shutdown(&mut self, shutdown: &Shutdown) {
        let ends = |executors: &[EventLoop<P>]| {
            for executor in executors {
                executor.shutdown_gracefully(shutdown.quiet.duration(), shutdown.timeout.duration());
            }
            executors.iter().for_each(EventLoop::await_termination);
        };
        if shutdown.of == Ending::Everybody {
            for stall in &mut self.stalls {
                drop(stall.take());
            }
            ends(&self.loops);
        }
        ends(&self.executors);
        self.await_errands();
    }

    /// Waits until the threads of the loops and executors, which have shut down, have ended: what they still had in their hands is put
    /// away then, and the numbers are exact.
    fn await_threads(&self) {
        for event_loop in self.loops.iter().chain(&self.executors) {
            event_loop.join().expect("a loop catches the panics of its tasks");
        }
    }

    /// Ends what still runs, in the order in which a program would, and judges.
    fn end(mut self) {
        for business in &mut self.business {
            business.end();
        }
        for channel in self.channels.iter().filter(|c| c.registered_loop().is_none()) {
            channel.close(Promise::untracked()); // no loop does it
        }
        self.shutdown(&Shutdown::default());
        self.linger.shutdown_gracefully(std::time::Duration::ZERO, Shutdown::default().timeout.duration());
        self.linger.await_termination();
        self.peers.end();
        for client in self.clients.0.drain(..) {
            client.join().expect("a client does not panic");
        }
        self.await_threads();
        self.linger.join().expect("a loop catches the panics of its tasks");
        // Caches of dead threads that nobody has freed yet.
        self.pools.domain.collect();
        self.judge(self.seen);
    }
}

/// Attempts at what the environment may refuse: `check` lets it refuse nine times in ten.
const ATTEMPTS: u32 = 1_000;

/// The first success.
fn at_last<T, E: std::fmt::Debug>(attempt: impl Fn() -> Result<T, E>) -> T {
    let early = (1..ATTEMPTS).find_map(|_| attempt().ok());
    early.unwrap_or_else(|| attempt().expect("no environment refuses for ever"))
}

/// Whether `step` shuts everybody down and nobody does anything in those that are `left`. Otherwise the next one races with what the
/// loops' threads do at their ends.
fn ends(step: &Step, left: &[Step]) -> bool {
    let is_still = |s: &Step| matches!(s, Step::Idle(_) | Step::Collect(_) | Step::Shutdown(_));
    matches!(step, Step::Shutdown(shutdown) if shutdown.of == Ending::Everybody) && left.iter().all(is_still)
}

/// Whether nobody is inside the allocator after these steps: what was written is drained, and the other steps await their end.
fn quiesces(steps: &[Step]) -> bool {
    let is_unawaited = |s: &Step| match s {
        Step::Phase(phase) => phase.awaits == Awaits::Nothing,
        Step::Requests(requests) => requests.awaits == Awaits::Nothing,
        Step::Release(release) => release.awaits == Awaits::Nothing,
        _ => false,
    };
    let unawaited = steps.iter().any(is_unawaited);
    let moves =
        |s: &Step| matches!(s, Step::Phase(_) | Step::Requests(_) | Step::Move(_) | Step::Close(_) | Step::Shutdown(_));
    let moved = steps.iter().rposition(moves);
    let drained = steps.iter().rposition(|s| matches!(s, Step::Drain(_)));
    !unawaited && moved <= drained
}

/// The indices that `wanted` names, or all `len` of them.
fn range(wanted: Option<&Range<u32>>, len: usize) -> Range<usize> {
    match wanted {
        Some(r) => r.start as usize..r.end as usize,
        None => 0..len,
    }
}

/// How long a peer takes to answer a connect: the longest that any `Connect` step wants.
fn connect_takes(scenario: &Scenario) -> std::time::Duration {
    let takes = scenario.workload.iter().filter_map(|s| if let Step::Connect(c) = s { Some(c.takes) } else { None });
    takes.map(|span| span.duration()).max().unwrap_or_default()
}

/// Whether handlers give something to business threads.
fn gives_errands(scenario: &Scenario) -> bool {
    let gives =
        |entry: &Entry| matches!(entry, Entry::Handler(h) if matches!(h.owns, Owns::Transfers(_) | Owns::Retains));
    scenario.pipeline.iter().any(gives)
}

/// When a business thread dies.
fn death(scenario: &Scenario) -> Option<When> {
    scenario.faults.iter().find_map(|fault| if let Fault::ThreadDies(_, when) = fault { Some(*when) } else { None })
}

/// SO_LINGER is an option of the socket: the largest that any `Close` step wants.
fn linger_of(scenario: &Scenario) -> Option<std::time::Duration> {
    let longest = scenario
        .workload
        .iter()
        .filter_map(|s| match s {
            Step::Close(close) => Some(close.linger.duration()),
            _ => None,
        })
        .max()?;
    (!longest.is_zero()).then_some(longest)
}

fn write_path(scenario: &Scenario) -> WritePathConfig {
    let mut path = WritePathConfig::from(scenario.pool.preset);
    let socket = &scenario.socket;
    path.allow_half_closure = socket.half_close == HalfClose::Allowed;
    if let Some(spin) = socket.write_spin {
        path.write_spin_count = spin;
    }
    if let Some(high) = socket.high_water {
        path.high_water_mark = high.bytes();
    }
    if let Some(low) = socket.low_water {
        path.low_water_mark = low.bytes();
    }
    path
}

/// The pool of the steps `Objects`.
fn objects_of<P: Platform>(scenario: &Scenario, domain: &Domain<P>) -> Option<Arc<ObjectPool<P>>> {
    let steps = || scenario.workload.iter().filter_map(|s| if let Step::Objects(o) = s { Some(o) } else { None });
    let by_hand = steps().any(|o| o.misuse.is_some());
    steps().next().map(|_| ObjectPool::new(domain, recycler_config(scenario, Kind::Object), by_hand))
}

/// The preset's parameters of the pools of one type, with what the scenario changes.
fn recycler_config(scenario: &Scenario, kind: Kind) -> RecyclerConfig {
    let pool = &scenario.pool;
    if pool.unpooled.contains(&kind) {
        return RecyclerConfig::off();
    }
    let mut config = RecyclerConfig::from(pool.preset);
    if let Some(n) = pool.max_capacity {
        config.max_capacity = n;
    }
    if let Some(n) = pool.max_shared_capacity_factor {
        config.max_shared_capacity_factor = n;
    }
    if let Some(n) = pool.max_delayed_queues {
        config.max_delayed_queues_per_thread = Some(n);
    }
    if let Some(n) = pool.ratio {
        config.ratio = n;
    }
    match pool.side_queue_ratio {
        None => {}
        Some(SideQueueRatio::Off) => config.woq_ratio = WoqRatio::None,
        Some(SideQueueRatio::EveryObject) => config.woq_ratio = WoqRatio::AllHandles,
        Some(SideQueueRatio::NeverPooled) => config.woq_ratio = WoqRatio::NeverRecycledOnly,
    }
    config
}

fn pools_config(scenario: &Scenario) -> PoolsConfig {
    let of = |kind| recycler_config(scenario, kind);
    PoolsConfig {
        write_task: of(Kind::WriteTask),
        write_and_flush_task: of(Kind::WriteAndFlushTask),
        entry: of(Kind::OutboundEntry),
        buffers: allocator::config(&scenario.allocator, scenario.pool.preset, of(Kind::BufferShell)),
    }
}
