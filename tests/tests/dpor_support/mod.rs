//! Little programs as data, and what all their executions came to.

use millpond::engine::{Execution, Exhaustion, MemoryModel, Options, Search, Sim, Strategy, Stream, Verdict};
use millpond::sync;
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, CellOps, JoinOps, Lock, ThreadOps};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

type Atomic = <Sim as Platform>::Atomic<u64>;
type Cell = <Sim as Platform>::Cell<u64>;
type Handle = <Sim as Platform>::Thread;

/// What a thread does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Do {
    /// Reads a word.
    Load(usize),
    Store(usize, u64),
    Add(usize, u64),
    /// Of a word, from, to.
    Cas(usize, u64, u64),
    /// If the thread's last read gave this.
    When(u64, Box<Do>),
    /// Holding a mutex.
    Locked(usize, Vec<Do>),
    /// So, if it is free.
    TryLocked(usize, Vec<Do>),
    Park,
    /// Main, if it is 0, or a thread that this one has started.
    Unpark(usize),
    Spawn(usize),
    Join(usize),
    /// Adds to a plain cell: a data race, unless something orders it.
    Touch,
    Yield,
    /// Yields until the word has this value.
    Await(usize, u64),
    Sleep(u64),
    /// Chooses a value.
    Choose(u32),
    /// Draws a random number.
    Draw,
    /// Panics if the thread's last read gave this.
    Fail(u64),
    /// An operation on a word, with another ordering than `SeqCst`.
    With(Ordering, Box<Do>),
    Fence(Ordering),
    /// Holding the read-write lock, with others that read or alone.
    Reading(Vec<Do>),
    Writing(Vec<Do>),
    /// Waits at the condition variable.
    Wait,
    /// Wakes one that waits there, or all.
    Notify(bool),
    Send(u64),
    /// Main receives a message, and waits for it, or does not.
    Receive(bool),
    /// Whoever comes first adds to word 0, and the others wait for that.
    Once,
}

/// Threads by number; 0 is main.
pub type Program = Vec<Vec<Do>>;

pub const WORDS: usize = 3;
pub const LOCKS: usize = 2;

pub struct World {
    program: Arc<Program>,
    words: [Atomic; WORDS],
    locks: [<Sim as Platform>::Mutex<()>; LOCKS],
    cell: Cell,
    main: Handle,
    lock: sync::RwLock<()>,
    waiting: (sync::Mutex<()>, sync::Condvar),
    sender: sync::mpsc::Sender<u64>,
    once: sync::Once,
    /// What each thread has seen, outside the simulated world.
    seen: Seen,
}

// SAFETY: an execution's threads take turns on one OS thread.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

/// What the world outside keeps: what each thread has seen, and the world inside, so that no thread is the one that drops it.
#[derive(Default)]
pub struct Kept {
    seen: Vec<Vec<u64>>,
    world: Option<Arc<World>>,
}

pub type Seen = Arc<Mutex<Kept>>;

struct Player {
    world: Arc<World>,
    me: usize,
    last: u64,
    order: Ordering,
    receiver: Option<sync::mpsc::Receiver<u64>>,
    joins: Vec<Option<<Sim as Platform>::Join>>,
}

impl Player {
    fn sees(&mut self, value: u64) {
        self.last = value;
        self.world.seen.lock().unwrap_or_else(PoisonError::into_inner).seen[self.me].push(value);
    }

    fn play(&mut self, list: &[Do]) {
        list.iter().for_each(|op| self.one(op));
    }

    fn one(&mut self, op: &Do) {
        let world = Arc::clone(&self.world);
        match op {
            Do::Load(w) => self.sees(world.words[*w].load(if self.order == AcqRel { Acquire } else { self.order })),
            Do::Store(w, v) => world.words[*w].store(*v, if self.order == AcqRel { Release } else { self.order }),
            Do::Add(w, v) => self.sees(world.words[*w].fetch_add(*v, self.order)),
            Do::Cas(w, from, to) => {
                let failure = if self.order == SeqCst { SeqCst } else { Relaxed };
                let found = world.words[*w].compare_exchange_weak(*from, *to, self.order, failure);
                self.sees(found.unwrap_or_else(|other| 100 + other));
            }
            Do::When(value, op) => {
                if self.last == *value {
                    self.one(op);
                }
            }
            Do::Locked(l, list) => {
                let _guard = world.locks[*l].lock();
                self.play(list);
            }
            Do::TryLocked(l, list) => match world.locks[*l].try_lock() {
                Some(_guard) => self.play(list),
                None => self.sees(99),
            },
            Do::Park => Sim::park(),
            Do::Unpark(0) => world.main.unpark(),
            Do::Unpark(t) => {
                if let Some(join) = &self.joins[*t] {
                    join.thread().unpark();
                }
            }
            Do::Spawn(t) => {
                let (child, theirs) = (*t, Arc::clone(&world));
                self.joins[*t] = Sim::spawn(format!("t{t}"), move || play(&theirs, child)).ok();
            }
            Do::Join(t) => {
                if let Some(join) = self.joins[*t].take() {
                    join.join().expect("no panic");
                }
            }
            Do::Touch => {
                // SAFETY: threads of one execution take turns on one OS thread.
                let value = world.cell.with_mut(|value| unsafe {
                    *value = *value * 4 + self.me as u64;
                    *value
                });
                self.sees(value);
            }
            Do::Yield => Sim::yield_now(),
            Do::Await(w, value) => {
                while world.words[*w].load(SeqCst) != *value {
                    Sim::spin_hint();
                }
            }
            Do::Sleep(millis) => Sim::sleep(std::time::Duration::from_millis(*millis)),
            Do::Choose(n) => self.sees(millpond::engine::choose(*n).into()),
            Do::Draw => self.sees(millpond::engine::draw(Stream::Workload).next_u64()),
            Do::With(order, op) => {
                self.order = *order;
                self.one(op);
                self.order = SeqCst;
            }
            Do::Fence(order) => Sim::fence(*order),
            Do::Reading(list) => {
                let _guard = world.lock.read();
                self.play(list);
            }
            Do::Writing(list) => {
                let _guard = world.lock.write();
                self.play(list);
            }
            Do::Wait => {
                let guard = world.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
                drop(world.waiting.1.wait(guard));
            }
            Do::Notify(true) => world.waiting.1.notify_all(),
            Do::Notify(false) => world.waiting.1.notify_one(),
            Do::Send(value) => {
                let sent = world.sender.send(*value);
                self.sees(if sent.is_ok() { 0 } else { 97 });
            }
            Do::Receive(waits) => {
                if let Some(receiver) = &self.receiver {
                    let value = if *waits { receiver.recv().ok() } else { receiver.try_recv().ok() };
                    self.sees(value.unwrap_or(98));
                }
            }
            Do::Once => world.once.call_once(|| {
                world.words[0].fetch_add(1, SeqCst);
            }),
            Do::Fail(value) => assert_ne!(self.last, *value, "failed on purpose"),
        }
    }
}

fn play(world: &Arc<World>, me: usize) {
    play_with(world, me, None);
}

fn play_with(world: &Arc<World>, me: usize, receiver: Option<sync::mpsc::Receiver<u64>>) {
    let joins = world.program.iter().map(|_| None).collect();
    let mut player = Player { world: Arc::clone(world), me, last: 0, order: SeqCst, receiver, joins };
    player.play(&world.program[me]);
}

/// Plays the program; gives what each thread saw when main ends.
pub fn start(program: &Arc<Program>, seen: &Seen) {
    let (sender, receiver) = sync::mpsc::channel();
    let world = World {
        program: Arc::clone(program),
        words: std::array::from_fn(|_| Atomic::new(0)),
        locks: std::array::from_fn(|_| Lock::new(())),
        cell: CellOps::new(0),
        main: Sim::current(),
        lock: sync::RwLock::new(()),
        waiting: (sync::Mutex::new(()), sync::Condvar::new()),
        sender,
        once: sync::Once::new(),
        seen: Arc::clone(seen),
    };
    let world = Arc::new(world);
    *seen.lock().unwrap_or_else(PoisonError::into_inner) =
        Kept { seen: vec![Vec::new(); program.len()], world: Some(Arc::clone(&world)) };
    play_with(&world, 0, Some(receiver));
}

/// How an execution ended, and what each thread saw.
pub type Outcome = (String, Vec<Vec<u64>>);

/// What all executions of a program came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct All {
    pub outcomes: BTreeSet<Outcome>,
    /// Those of the executions that were not cut short by a panic.
    pub classes: BTreeSet<u64>,
    pub reached: Exhaustion,
}

impl All {
    fn add(&mut self, execution: &Execution, seen: &[Vec<u64>], way: Way) {
        let verdict = match &execution.verdict {
            Verdict::Panic { message, .. } => {
                // What the others had seen when one failed is as it happens.
                self.outcomes.insert((message.clone(), Vec::new()));
                return;
            }
            Verdict::Finding(finding) => {
                self.outcomes.insert((finding.kind.to_string(), Vec::new()));
                return;
            }
            Verdict::Diverged { .. } => panic!("under {way:?}: {}", execution.verdict),
            other => other.name().to_string(),
        };
        self.classes.insert(execution.class);
        self.outcomes.insert((verdict, seen.to_vec()));
    }
}

/// How executions are enumerated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Every schedule.
    Dfs,
    /// With reduction.
    Dpor,
    /// Each order of the reduction's steps.
    Unreduced,
}

fn options(way: Way, memory: MemoryModel) -> Options {
    let strategy = if way == Way::Dfs { Strategy::Dfs { preemptions: u32::MAX } } else { Strategy::Dpor };
    Options { strategy, memory, classes: true, stack_bytes: 64 * 1024, ..Options::default() }
}

/// Main starts these threads, and awaits them.
pub fn beside(threads: &[&[Do]]) -> Program {
    let numbers = 1..=threads.len();
    let main = numbers.clone().map(Do::Spawn).chain(numbers.map(Do::Join)).collect();
    std::iter::once(main).chain(threads.iter().map(|list| list.to_vec())).collect()
}

/// All executions, at most `limit`.
pub fn all(way: Way, program: &Program, limit: u64) -> All {
    all_with(way, program, limit, |_, _| {})
}

/// As [`all`], and looks at each.
pub fn all_with(way: Way, program: &Program, limit: u64, each: impl FnMut(&Search, &Execution)) -> All {
    all_in(MemoryModel::Interleaving, way, program, limit, each)
}

/// So, with another memory.
pub fn all_in(
    memory: MemoryModel,
    way: Way,
    program: &Program,
    limit: u64,
    mut each: impl FnMut(&Search, &Execution),
) -> All {
    let options = options(way, memory);
    let (program, seen) = (Arc::new(program.clone()), Seen::default());
    let mut all = All::default();
    let mut search = if way == Way::Unreduced { Search::unreduced(options) } else { Search::new(options) };
    loop {
        let execution = search.execute(|| start(&program, &seen));
        each(&search, &execution);
        // Dropped after the execution, and not by one of its threads.
        let world = seen.lock().unwrap_or_else(PoisonError::into_inner).world.take();
        drop(world);
        if !search.is_redundant() {
            all.add(&execution, &seen.lock().unwrap_or_else(PoisonError::into_inner).seen, way);
        }
        if !search.advance() || search.reached().schedules == limit {
            all.reached = search.reached();
            return all;
        }
    }
}
