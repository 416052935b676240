//! A little program around one channel, all of its schedules, and what must be true after each.
//!
//! **Invariant: what a schedule came to is judged after its threads have ended**, from the ledger, which saw every operation, and
//! from a report on the host's side, which is no scheduling point.
//!
//! ```text
//!   main:   messages and promises are made ─ open ─ [script ...] ─ join the other ─ shut down ─ join the loop ─ report
//!   other:                                            └─ [script ...]           loop: from open to shutdown
//! ```

use millpond::engine::{Execution, Options, Plant, Sim, Strategy, Switch, Verdict, When, exhaust_with};
use millpond::explore::in_order;
use millpond::ledger::FindingKind;
use millpond::report::numbers::plural;
use millpond_model::buffer::Buffer;
use millpond_model::channel::{Channel, ChannelSetup, Encoder};
use millpond_model::event_loop::{EventLoop, LoopConfig};
use millpond_model::handler::{Context, HandlerError, Inbound};
use millpond_model::message::{Message, Pojo};
use millpond_model::observe::{Defect, Kind};
use millpond_model::pipeline::Named;
use millpond_model::platform::JoinOps;
use millpond_model::promise::{Cause, Outcome, Promise};
use millpond_model::recycler::Domain;
use millpond_model::transport::{MemoryPeer, MemoryTransport};
use millpond_model::write_path::{Pools, PoolsConfig, WritePathConfig};
use millpond_model::{Platform, Preset};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a thread of the program does. Messages are numbered, a byte each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Do {
    Write(usize),
    WriteAndFlush(usize),
    Flush,
    Close,
    CloseForcibly,
    /// Waits until a message has ended.
    Await(usize),
    /// Cancels the promise of a message.
    Cancel(usize),
    /// The peer resets the connection.
    Reset,
    /// The peer takes so many bytes more.
    Open(usize),
    /// The loop is told to end, with no quiet period.
    ShutDown,
    /// The other thread begins.
    Start,
}

/// A program.
#[derive(Clone, Debug)]
pub struct Case {
    pub preset: Preset,
    /// What main does; it begins the other thread with `Start`.
    pub main: Vec<Do>,
    pub other: Vec<Do>,
    /// Bytes that the peer takes by itself.
    pub window: usize,
    /// The bound of the loop's queue.
    pub queue: Option<u32>,
    /// Whether a close goes through an executor of its own, which is a third thread.
    pub linger: bool,
    /// Whether a handler listens; it makes each operation longer.
    pub listens: bool,
    /// A defect that strikes each time.
    pub plant: Option<Defect>,
}

impl Case {
    pub fn new(main: Vec<Do>, other: Vec<Do>) -> Self {
        Self {
            preset: Preset::Millpond,
            main,
            other,
            window: 100,
            queue: None,
            linger: false,
            listens: true,
            plant: None,
        }
    }

    fn messages(&self) -> usize {
        written(&self.main).chain(written(&self.other)).count()
    }
}

/// The messages that a script writes.
pub fn written(script: &[Do]) -> impl Iterator<Item = usize> {
    script.iter().filter_map(|step| match step {
        Do::Write(n) | Do::WriteAndFlush(n) => Some(*n),
        _ => None,
    })
}

/// `script` with `what` in it, at every position.
pub fn at_every_position(script: &[Do], what: Do) -> Vec<Vec<Do>> {
    (0..=script.len()).map(|at| [&script[..at], &[what], &script[at..]].concat()).collect()
}

/// What the host saw of one execution.
#[derive(Default)]
struct Report {
    /// How the message with this number ended, each time that it did.
    ended: Vec<(usize, Outcome)>,
    active: usize,
    inactive: usize,
    /// Heard after that.
    late: usize,
    /// The channel's memory is.
    freed: bool,
    at_rest: Option<AtRest>,
}

struct AtRest {
    received: Vec<u8>,
    pending: u64,
    is_whole: bool,
    in_flight: u64,
    lost_post_backs: u64,
}

type Shared = Arc<Mutex<Report>>;

fn with<R>(report: &Shared, f: impl FnOnce(&mut Report) -> R) -> R {
    f(&mut report.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Ears(Shared);

impl Inbound<Sim> for Ears {
    fn active(&self, _context: &dyn Context<Sim>) -> Result<(), HandlerError> {
        with(&self.0, |report| {
            report.active += 1;
            report.late += usize::from(report.inactive > 0);
        });
        Ok(())
    }
    fn writability_changed(&self, _context: &dyn Context<Sim>) -> Result<(), HandlerError> {
        with(&self.0, |report| report.late += usize::from(report.inactive > 0));
        Ok(())
    }
    fn inactive(&self, _context: &dyn Context<Sim>) -> Result<(), HandlerError> {
        with(&self.0, |report| report.inactive += 1);
        Ok(())
    }
}

/// Encodes nothing, and says when the channel that owns it is gone.
struct Last(Shared);

impl Encoder<Sim> for Last {
    fn encode(&self, _message: &Pojo<Sim>, _out: &mut Buffer<Sim>) -> Result<(), Cause> {
        Err(Cause::EncoderFailed)
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        with(&self.0, |report| report.freed = true);
    }
}

/// What a thread works with.
struct Hands {
    channel: Channel<Sim>,
    event_loop: EventLoop<Sim>,
    peer: MemoryPeer<Sim>,
    promises: Vec<Promise<Sim>>,
    messages: Vec<Option<Message<Sim>>>,
}

impl Hands {
    fn take(&mut self, message: usize) -> (Message<Sim>, Promise<Sim>) {
        (self.messages[message].take().expect("a message is written once"), self.promises[message].clone())
    }

    fn perform(&mut self, step: Do) {
        match step {
            Do::Write(n) => {
                let (message, promise) = self.take(n);
                self.channel.write(message, promise).expect("the promise is pending, or cancelled");
            }
            Do::WriteAndFlush(n) => {
                let (message, promise) = self.take(n);
                self.channel.write_and_flush(message, promise).expect("the promise is pending, or cancelled");
            }
            Do::Flush => self.channel.flush(),
            Do::Close => self.channel.close(Promise::new()),
            Do::CloseForcibly => self.channel.close_forcibly(),
            Do::Await(n) => drop(self.promises[n].wait()),
            Do::Cancel(n) => {
                self.promises[n].cancel();
            }
            Do::Reset => self.peer.reset(),
            Do::Open(n) => self.peer.open_window(n),
            Do::ShutDown => self.event_loop.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5)),
            Do::Start => unreachable!("only main begins the other"),
        }
    }
}

/// The program.
fn play(case: &Case, report: &Shared) {
    let loops = LoopConfig { max_pending_tasks: case.queue, ..case.preset.into() };
    let event_loop = EventLoop::new("loop", loops);
    let linger = case.linger.then(|| EventLoop::new("linger", case.preset.into()));
    let config = WritePathConfig::from(case.preset);
    let pools = Arc::new(Pools::new_in(&Domain::new(), &PoolsConfig::from(case.preset), config.one_task_pool));
    let (transport, peer) = MemoryTransport::pair(case.window);
    peer.keep_bytes();
    if case.linger {
        peer.set_linger(Duration::from_millis(1));
    }
    let mut messages = Vec::new();
    let mut promises = Vec::new();
    // All that can be made before there is a second thread is.
    for n in 0..case.messages() {
        let mut buffer = pools.buffers.allocate(1).expect("there is memory");
        buffer.put(&[b'0' + n as u8]).expect("there is room");
        messages.push(Some(Message::Buffer(buffer)));
        let (promise, report) = (Promise::new(), Arc::clone(report));
        promise.add_listener(move |outcome| with(&report, |report| report.ended.push((n, outcome))));
        promises.push(promise);
    }
    let ears = case.listens.then(|| Named::inbound("ears", Ears(Arc::clone(report))));
    let setup = ChannelSetup {
        linger_executor: linger.clone(),
        pools: Arc::clone(&pools),
        config: Arc::new(config),
        transport: Box::new(transport),
        encoder: Box::new(Last(Arc::clone(report))),
        handlers: ears.into_iter().collect(),
    };
    let channel = Channel::open(&event_loop, setup).unwrap_or_else(|e| panic!("{e}"));
    let mut given: Vec<Option<Message<Sim>>> = promises.iter().map(|_| None).collect();
    written(&case.other).for_each(|n| given[n] = messages[n].take());
    let hands = |messages| Hands {
        channel: channel.clone(),
        event_loop: event_loop.clone(),
        peer: peer.clone(),
        promises: promises.clone(),
        messages,
    };
    let mut other = Some((hands(given), case.other.clone())).filter(|_| !case.other.is_empty());
    let mut mine = hands(messages);
    let mut join = None;
    for step in &case.main {
        if *step != Do::Start {
            mine.perform(*step);
            continue;
        }
        let (mut hands, script) = other.take().expect("it begins once");
        let other = Sim::spawn("other".to_string(), move || script.into_iter().for_each(|step| hands.perform(step)));
        join = Some(other.expect("there is room for a thread"));
    }
    if let Some(join) = join {
        join.join().expect("no panic");
    }
    assert!(other.is_none() && mine.messages.iter().all(Option::is_none), "the script does everything");
    let end = |event_loop: &EventLoop<Sim>| {
        event_loop.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5));
        event_loop.join().expect("the loop ends well");
    };
    end(&event_loop);
    linger.iter().for_each(end);
    let stats = channel.stats();
    let at_rest = AtRest {
        received: peer.take_bytes(),
        pending: stats.pending.total,
        is_whole: stats.pending.holds(),
        in_flight: stats.in_flight(),
        lost_post_backs: stats.lost_post_backs,
    };
    with(report, |report| report.at_rest = Some(at_rest));
}

/// What must hold after each execution.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Law {
    /// Every thread ends.
    Ends,
    /// The ledger sees nothing wrong while it runs: no message is released twice, no promise completed twice.
    AtMostOnce,
    /// Every task is run or refused.
    NoLostTask,
    /// Every message is released, every pooled object goes back.
    Released,
    /// Every promise completes, and its listener hears of it once.
    Completed,
    /// Nothing is pending: no bytes, no message.
    NothingPending,
    /// The end of every close comes back to its loop.
    NoLostPostBack,
    /// Just the messages that succeeded were received, those of a thread in its order, and completed so.
    Order,
    /// The handler that heard that the channel is active hears once that it is not, and nothing after that.
    InactiveOnce,
    /// When every thread has ended the channel's memory is freed: nothing keeps it.
    Freed,
}

/// The law that the ledger saw broken.
fn law(finding: FindingKind) -> Law {
    match finding {
        FindingKind::LostTask => Law::NoLostTask,
        FindingKind::PromiseLost => Law::Completed,
        FindingKind::Leak => Law::Released,
        _ => Law::AtMostOnce,
    }
}

/// The laws that an execution broke, each with how.
fn broken(case: &Case, execution: &Execution, report: &Report) -> BTreeMap<Law, String> {
    let mut broken = BTreeMap::new();
    match &execution.verdict {
        Verdict::Finished => {}
        Verdict::Finding(finding) => drop(broken.insert(law(finding.kind), finding.text.clone())),
        other => drop(broken.insert(Law::Ends, other.to_string())),
    }
    let Some(rest) = &report.at_rest else { return broken };
    let kinds =
        [Kind::WriteAndFlushTask, Kind::WriteTask, Kind::OutboundEntry, Kind::Buffer, Kind::Message, Kind::Promise];
    for finding in kinds.iter().flat_map(|kind| execution.ledger.owned(*kind, 8)) {
        broken.entry(law(finding.kind)).or_insert(finding.text);
    }
    let mut check = |law, holds: bool, text: String| {
        if !holds {
            broken.entry(law).or_insert(text);
        }
    };
    let numbers: BTreeSet<usize> = report.ended.iter().map(|(n, _)| *n).collect();
    let once = report.ended.len() == case.messages() && numbers.len() == case.messages();
    check(Law::Completed, once, format!("{:?}", report.ended));
    let is_empty = rest.is_whole && (rest.pending, rest.in_flight) == (0, 0);
    check(Law::NothingPending, is_empty, format!("{} bytes, {} messages", rest.pending, rest.in_flight));
    check(Law::NoLostPostBack, rest.lost_post_backs == 0, rest.lost_post_backs.to_string());
    let succeeded: Vec<usize> = report.ended.iter().filter(|(_, o)| o.is_ok()).map(|(n, _)| *n).collect();
    let received: Vec<usize> = rest.received.iter().map(|byte| usize::from(byte - b'0')).collect();
    let in_order = [&case.main, &case.other].iter().all(|script| {
        let written: Vec<usize> = written(script).collect();
        let theirs = received.iter().filter(|n| written.contains(n));
        theirs.eq(written.iter().filter(|n| received.contains(n)))
    });
    let text = format!("received {received:?}, succeeded {succeeded:?}");
    check(Law::Order, in_order && received == succeeded, text);
    let heard = (report.active, report.inactive, report.late);
    let text = format!("active {} times, inactive {} times, and {} things after that", heard.0, heard.1, heard.2);
    check(Law::InactiveOnce, heard == (1, 1, 0) || heard == (0, 0, 0), text);
    check(Law::Freed, report.freed, "something keeps it".to_string());
    broken
}

/// What many cases came to.
#[derive(Default, Debug)]
pub struct Total {
    pub cases: u64,
    pub schedules: u64,
    pub most_steps: u64,
    pub most_threads: usize,
    /// How messages ended.
    pub outcomes: BTreeSet<Outcome>,
    /// The laws that were broken, with the fewest preemptions that it took.
    pub broken: BTreeMap<Law, u64>,
    /// The first execution that broke something: the case, where its schedule differs from `RunOn`'s, and what was broken.
    pub first: Option<(Case, Vec<Switch>, BTreeMap<Law, String>)>,
}

/// All schedules of one case with at most so many preemptions.
fn one(case: &Case, preemptions: u32) -> Total {
    let mut total = Total { cases: 1, ..Total::default() };
    let strategy = Strategy::Dfs { preemptions };
    let plants = case.plant.iter().map(|defect| Plant { defect: *defect, when: When::Always }).collect();
    let options = Options { strategy, plants, keep_switches: false, max_steps: 100_000, ..Options::default() };
    let report = Shared::default();
    let reached = exhaust_with(
        &options,
        u64::MAX,
        || play(case, &report),
        |search, execution| {
            let report = with(&report, std::mem::take);
            total.most_threads = total.most_threads.max(execution.threads.len());
            total.outcomes.extend(report.ended.iter().map(|(_, outcome)| *outcome));
            let broken = broken(case, &execution, &report);
            for law in broken.keys() {
                let least = total.broken.entry(*law).or_insert(u64::MAX);
                *least = execution.preemptions.min(*least);
            }
            if total.first.is_none() && !broken.is_empty() {
                total.first = Some((case.clone(), search.deviations().to_vec(), broken));
            }
            ControlFlow::Continue(())
        },
    );
    assert!(reached.complete, "{case:?}");
    Total { schedules: reached.schedules, most_steps: reached.most_steps, ..total }
}

/// All schedules of all cases with at most so many preemptions; says how many that was. Every enumeration is complete.
pub fn all(name: &str, preemptions: u32, cases: &[Case]) -> Total {
    let mut sum = Total::default();
    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
    in_order(
        cases.len(),
        jobs,
        |index| one(&cases[index], preemptions),
        |_, total| {
            sum.cases += total.cases;
            sum.schedules += total.schedules;
            sum.most_steps = sum.most_steps.max(total.most_steps);
            sum.most_threads = sum.most_threads.max(total.most_threads);
            sum.outcomes.extend(total.outcomes);
            for (law, least) in total.broken {
                let known = sum.broken.entry(law).or_insert(u64::MAX);
                *known = least.min(*known);
            }
            sum.first = sum.first.take().or(total.first);
            ControlFlow::Continue(())
        },
    );
    let bound = plural(preemptions.into(), "preemption", "preemptions");
    let schedules = plural(sum.schedules, "schedule", "schedules");
    println!(
        "{name}: {} programs, complete: {schedules} with at most {bound}, of at most {} threads and {} steps",
        sum.cases, sum.most_threads, sum.most_steps
    );
    assert_eq!(sum.cases as usize, cases.len());
    sum
}

/// As [`all`], and every law holds after each execution. The messages ended in just these ways.
#[track_caller]
pub fn all_hold(name: &str, preemptions: u32, cases: &[Case], outcomes: &[Result<(), Cause>]) {
    let total = all(name, preemptions, cases);
    assert!(total.first.is_none(), "{name}: {:?}\n{:?}", total.broken, total.first);
    assert_eq!(total.outcomes, outcomes.iter().copied().collect(), "{name}");
}
