//! Who waits for what, and what time it is.
//!
//! **Invariant: time jumps only when every thread of the run waits, and then to the next timer**, as in the simulator, so that
//! a slow host can't make a timeout strike. With a rate above zero it also passes while threads work.
//!
//! ```text
//!   block ── the last one that worked? ──no──> sleeps until it is woken
//!                     │ yes
//!                 the main thread can go on? ──yes──> it goes on
//!                     │ no
//!                 a timer? ──yes──> time is its time; whoever it is for goes on
//!                     │ no
//!                 every thread waits for another: nobody will ever go on
//! ```
//!
//! The main thread of a run only gives orders and reads numbers. When it parks or sleeps, it goes on when everybody else waits,
//! whatever wakes it, so that what it reads is at rest.
//!
//! A thread that waits is blocked by the operating system, as on `Std`; what is kept here is only who does.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The number of the main thread.
pub(super) const MAIN: u32 = 0;

/// A place in the source.
pub(super) type Site = &'static Location<'static>;

/// What a thread is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It works.
    Runs,
    /// The main thread has been woken, and others still work.
    Ready,
    /// It waits.
    Waits(Wait, Site),
    Ended,
}

/// What a thread waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    Park,
    ParkTimeout(Duration),
    Sleep(Duration),
    /// The mutex at this address.
    Lock(usize),
    Join(u32),
}

impl Wait {
    fn due(self) -> Option<Duration> {
        match self {
            Self::ParkTimeout(due) | Self::Sleep(due) => Some(due),
            Self::Park | Self::Lock(_) | Self::Join(_) => None,
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park => write!(f, "an unpark"),
            Self::ParkTimeout(until) => write!(f, "an unpark, or {until:?}"),
            Self::Sleep(until) => write!(f, "{until:?}"),
            Self::Lock(_) => write!(f, "a mutex"),
            Self::Join(thread) => write!(f, "the end of thread {thread}"),
        }
    }
}

/// What threads know of each other.
#[repr(align(128))] // its counter is written all the time, and by its thread only
pub(super) struct Slot {
    pub(super) id: u32,
    pub(super) name: String,
    /// As of `std::thread`: an unpark came.
    token: AtomicBool,
    /// It is about to wait for an unpark, or does.
    parked: AtomicBool,
    /// It needn't wait any more.
    woken: AtomicBool,
    os: OnceLock<Thread>,
    /// What it did so far; tells the watchdog that it does something.
    pub(super) operations: AtomicU64,
}

impl Slot {
    fn new(id: u32, name: String) -> Self {
        Self {
            id,
            name,
            token: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            os: OnceLock::new(),
            operations: AtomicU64::new(0),
        }
    }

    /// Counts an operation of the slot's own thread, and gives their number.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        let n = self.operations.load(Ordering::Relaxed) + 1; // Relaxed: one writer
        self.operations.store(n, Ordering::Relaxed); // Relaxed: as above
        n
    }

    /// Has the operating system look whether it waits in vain.
    fn rouse(&self) {
        self.os.get().expect("a thread that waits has begun").unpark();
    }

    /// Called on its thread before anything else.
    pub(super) fn begin(&self) {
        assert!(self.os.set(thread::current()).is_ok(), "a slot has one thread");
    }
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Every thread ended.
    Ended,
    /// No thread goes on, and no timer is set: a line for each.
    AllWait(Vec<String>),
    /// Some thread works, and nothing happens: a line for each.
    NoProgress(Vec<String>),
}

struct Threads {
    slots: Vec<Arc<Slot>>,
    states: Vec<State>,
    /// How many of them run.
    running: u32,
    alive: u32,
    /// By time and order of creation.
    timers: BTreeMap<(Duration, u64), u32>,
    next_timer: u64,
    end: Option<End>,
}

/// See the [module](self).
pub(super) struct Clock {
    threads: Mutex<Threads>,
    /// Told when the run has come to an end.
    ended: Condvar,
    /// Virtual nanoseconds that were jumped over.
    jumped: AtomicU64,
    /// Virtual seconds in a second of work.
    rate: u32,
    start: Instant,
}

impl Clock {
    pub(super) fn new(rate: u32) -> Self {
        let threads = Threads {
            slots: Vec::new(),
            states: Vec::new(),
            running: 0,
            alive: 0,
            timers: BTreeMap::new(),
            next_timer: 0,
            end: None,
        };
        Self {
            threads: Mutex::new(threads),
            ended: Condvar::new(),
            jumped: AtomicU64::new(0),
            rate,
            start: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual nanoseconds that passed while threads worked.
    fn worked(&self) -> u64 {
        match self.rate {
            0 => 0,
            rate => nanoseconds(self.start.elapsed()).saturating_mul(rate.into()),
        }
    }

    /// Virtual time since the start of the run.
    pub(super) fn now(&self) -> Duration {
        // Acquire: pairs with the Release in `jump_to`: who learns the time knows what happened before.
        Duration::from_nanos(self.jumped.load(Ordering::Acquire).saturating_add(self.worked()))
    }

    /// Under the lock.
    fn jump_to(&self, due: Duration) {
        let behind = due.saturating_sub(self.now());
        self.jumped.fetch_add(nanoseconds(behind), Ordering::Release); // Release: pairs with `now`
    }

    /// A thread is about to be started.
    pub(super) fn enlist(&self, name: String) -> Arc<Slot> {
        let mut threads = self.lock();
        let id = u32::try_from(threads.slots.len()).expect("the host has no 2^32 threads");
        let slot = Arc::new(Slot::new(id, name));
        threads.slots.push(Arc::clone(&slot));
        threads.states.push(State::Runs);
        threads.running += 1;
        threads.alive += 1;
        slot
    }

    /// A thread has ended, or could not be started.
    pub(super) fn retire(&self, slot: &Slot) {
        let mut threads = self.lock();
        threads.states[slot.id as usize] = State::Ended;
        threads.running -= 1;
        threads.alive -= 1;
        threads.wake_all(|state| matches!(state, State::Waits(Wait::Join(id), _) if *id == slot.id));
        self.go_on(&mut threads);
    }

    /// Waits for the thread's token, at most for `limit`, and takes it.
    pub(super) fn park(&self, slot: &Slot, limit: Option<Duration>, site: Site) {
        // Acquire: pairs with the store in `unpark`.
        if slot.token.swap(false, Ordering::Acquire) {
            if slot.id == MAIN {
                self.rest(self.lock(), slot);
            }
            return;
        }
        if limit == Some(Duration::ZERO) {
            return;
        }
        let threads = self.lock();
        // SeqCst, both: with those in `unpark`. Either this thread sees the token, or the other one sees that it parks.
        slot.parked.store(true, Ordering::SeqCst);
        if slot.token.swap(false, Ordering::SeqCst) {
            slot.parked.store(false, Ordering::Relaxed); // Relaxed: at worst somebody looks in vain
            if slot.id == MAIN {
                self.rest(threads, slot);
            }
            return;
        }
        let wait = limit.map_or(Wait::Park, |limit| Wait::ParkTimeout(self.now().saturating_add(limit)));
        self.block(threads, slot, wait, site);
        slot.parked.store(false, Ordering::Relaxed); // Relaxed: as above
        slot.token.swap(false, Ordering::Acquire); // Acquire: as above
    }

    pub(super) fn unpark(&self, slot: &Slot) {
        // SeqCst, both: see `park`.
        slot.token.store(true, Ordering::SeqCst);
        if slot.parked.load(Ordering::SeqCst) {
            let mut threads = self.lock();
            let parks = |wait| matches!(wait, Wait::Park | Wait::ParkTimeout(_));
            if matches!(threads.states[slot.id as usize], State::Waits(wait, _) if parks(wait)) {
                let runs = threads.awaken(slot.id);
                drop(threads);
                if runs {
                    slot.rouse();
                }
            }
        }
    }

    pub(super) fn sleep(&self, slot: &Slot, time: Duration, site: Site) {
        if !time.is_zero() {
            let threads = self.lock();
            self.block(threads, slot, Wait::Sleep(self.now().saturating_add(time)), site);
        }
    }

    /// Waits for the end of a thread.
    pub(super) fn join(&self, slot: &Slot, whom: &Slot, site: Site) {
        let threads = self.lock();
        if threads.states[whom.id as usize] != State::Ended {
            self.block(threads, slot, Wait::Join(whom.id), site);
        }
    }

    /// Waits until the mutex at `address` was opened, unless `is_open` says that it is.
    pub(super) fn wait_for_lock(&self, slot: &Slot, address: usize, site: Site, is_open: impl FnOnce() -> bool) {
        let threads = self.lock();
        if !is_open() {
            self.block(threads, slot, Wait::Lock(address), site);
        }
    }

    /// The mutex at `address` was opened: whoever waits for it looks again.
    pub(super) fn opened(&self, address: usize) {
        self.lock().wake_all(|state| matches!(state, State::Waits(Wait::Lock(at), _) if *at == address));
    }

    /// The running thread waits from here on, and no longer when this returns.
    fn block(&self, mut threads: MutexGuard<'_, Threads>, slot: &Slot, wait: Wait, site: Site) {
        threads.states[slot.id as usize] = State::Waits(wait, site);
        if let Some(due) = wait.due() {
            threads.next_timer += 1;
            let key = (due, threads.next_timer);
            threads.timers.insert(key, slot.id);
        }
        self.stop(threads, slot, wait.due());
    }

    /// The main thread needn't wait, but for the others.
    fn rest(&self, mut threads: MutexGuard<'_, Threads>, slot: &Slot) {
        threads.states[slot.id as usize] = State::Ready;
        self.stop(threads, slot, None);
    }

    fn stop(&self, mut threads: MutexGuard<'_, Threads>, slot: &Slot, due: Option<Duration>) {
        threads.running -= 1;
        self.go_on(&mut threads);
        drop(threads);
        // Acquire: pairs with the Release in `Threads::wake`.
        while !slot.woken.swap(false, Ordering::Acquire) {
            match due {
                Some(due) if self.rate > 0 && slot.id != MAIN => self.wait_while_others_work(slot, due),
                _ => thread::park(),
            }
        }
    }

    /// Waits until `due`, which may come although others work.
    fn wait_while_others_work(&self, slot: &Slot, due: Duration) {
        // Rounded up, so that it is due when the wait is over.
        let left = nanoseconds(due.saturating_sub(self.now())).div_ceil(self.rate.into());
        if left > 0 {
            thread::park_timeout(Duration::from_nanos(left));
        }
        if self.now() >= due {
            let mut threads = self.lock();
            if matches!(threads.states[slot.id as usize], State::Waits(..)) {
                threads.awaken(slot.id); // it is awake
            }
        }
    }

    /// If nobody runs: somebody goes on, or nobody ever will.
    fn go_on(&self, threads: &mut Threads) {
        if threads.running > 0 {
            return;
        }
        if threads.states[MAIN as usize] == State::Ready {
            threads.run_main();
        } else if let Some(due) = threads.timers.first_key_value().map(|((due, _), _)| *due) {
            self.jump_to(due);
            let now = self.now();
            let all = threads.timers.range(..=(now, u64::MAX)).map(|(_, id)| *id);
            let (main, others): (Vec<u32>, Vec<u32>) = all.partition(|id| *id == MAIN);
            if others.is_empty() {
                main.iter().for_each(|id| threads.wake(*id));
                threads.run_main();
            }
            others.iter().for_each(|id| threads.wake(*id));
        } else {
            let end = if threads.alive == 0 { End::Ended } else { End::AllWait(threads.list()) };
            threads.end.get_or_insert(end);
            self.ended.notify_all();
        }
    }

    /// Waits for the end of the run, or until nothing has happened for `patience`. For a thread that isn't of the run.
    pub(super) fn watch(&self, patience: Duration) -> End {
        let tick = (patience / 16).clamp(Duration::from_millis(1), Duration::from_secs(1));
        let (mut seen, mut idle) = (0, Duration::ZERO);
        let mut threads = self.lock();
        loop {
            if let Some(end) = &threads.end {
                return end.clone();
            }
            let before = Instant::now();
            threads = self.ended.wait_timeout(threads, tick).unwrap_or_else(PoisonError::into_inner).0;
            // What is longer than a tick is the host's doing: it was stopped, or has too much to do.
            idle += before.elapsed().min(tick);
            let done = threads.operations();
            if done != seen {
                (seen, idle) = (done, Duration::ZERO);
            }
            if idle >= patience {
                return End::NoProgress(threads.list());
            }
        }
    }

    /// The threads' names, by number.
    pub(super) fn names(&self) -> Vec<String> {
        self.lock().slots.iter().map(|slot| slot.name.clone()).collect()
    }

    /// What all threads did.
    pub(super) fn operations(&self) -> u64 {
        self.lock().operations()
    }
}

impl Threads {
    /// A thread needn't wait any more. Says whether it runs from now on: the main thread waits until nobody else does.
    fn awaken(&mut self, id: u32) -> bool {
        if let State::Waits(wait, _) = self.states[id as usize]
            && let Some(due) = wait.due()
        {
            // Few timers have the same time: those of one thread's naps don't.
            let key = self.timers.range((due, 0)..=(due, u64::MAX)).find(|(_, of)| **of == id).map(|(key, _)| *key);
            self.timers.remove(&key.expect("a timed wait has a timer"));
        }
        if id == MAIN {
            self.states[id as usize] = State::Ready;
        } else {
            self.runs(id);
        }
        id != MAIN
    }

    /// As `awaken`, and rouses it.
    fn wake(&mut self, id: u32) {
        if self.awaken(id) {
            self.slots[id as usize].rouse();
        }
    }

    fn runs(&mut self, id: u32) {
        self.states[id as usize] = State::Runs;
        self.running += 1;
        // Release: pairs with the Acquire in `block`.
        self.slots[id as usize].woken.store(true, Ordering::Release);
    }

    /// The main thread goes on.
    fn run_main(&mut self) {
        self.runs(MAIN);
        self.slots[MAIN as usize].rouse();
    }

    fn wake_all(&mut self, which: impl Fn(&State) -> bool) {
        for id in 0..self.states.len() {
            if which(&self.states[id]) {
                self.wake(id as u32);
            }
        }
    }

    fn operations(&self) -> u64 {
        // Relaxed: statistics.
        self.slots.iter().map(|slot| slot.operations.load(Ordering::Relaxed)).sum()
    }

    /// A line for each thread that is alive.
    fn list(&self) -> Vec<String> {
        let line = |(slot, state): (&Arc<Slot>, &State)| match state {
            State::Ended => None,
            State::Runs => {
                // Relaxed: a statistic.
                Some(format!("{} runs, after {} operations", slot.name, slot.operations.load(Ordering::Relaxed)))
            }
            State::Ready => Some(format!("{} waits for the others to come to rest", slot.name)),
            State::Waits(wait, site) => {
                Some(format!("{} waits for {wait} at {}:{}", slot.name, site.file(), site.line()))
            }
        };
        self.slots.iter().zip(&self.states).filter_map(line).collect()
    }
}

/// Saturating: five hundred years are for ever.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
