//! The engine's state, and the scheduling point.
//!
//! **Invariant: exactly one simulated thread of an OS thread's engine runs at a time, and everything it does to others
//! begins with [`Engine::point`].** So all state is in `Cell`s: no locks, no atomics, no borrow across a switch.
//!
//! ```text
//!   operation ── stamp check ── budget? ──yes── budget -= 1 ────────────────┐
//!                                  │ no                                     ├── do it ── push the event
//!                             slow_point: ask the strategy ── switch? ──────┘
//! ```
//!
//! A strategy hands out a budget: the points that the running thread may pass before it wants to be asked again.

use super::access::{Access, Touch};
use super::blocks::Blocks;
use super::choice::Choice;
use super::classes::Classes;
use super::coroutine::{Resume, Scheduler};
use super::course::Course;
use super::event::{Events, Op, What};
use super::look::Look;
use super::options::{Chances, Granularity, MemoryModel, Options, Plant, Record, Strategy, Switch, When};
use super::outcome::Verdict;
use super::profile::Profiler;
use super::random::{Generator, Stream};
use super::search::{DFS_THREADS, Path};
use super::set::Set;
use super::shift::Shift;
use super::statics::Statics;
use super::strategy::{Ranks, Surw};
use super::thread::{HandOff, Info, Thread};
use super::weak::MAX_LANES;
use super::weak::world::Modelled;
use crate::ledger::Ledger;
use millpond_model::observe::{Fault, Reach};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// A place in the source.
pub(crate) type Site = &'static Location<'static>;

/// More points than anyone passes.
pub(super) const NEVER: u64 = u64::MAX;

/// With `Granularity::Task`, a thread that does so many operations between two scheduling points is taken to be spinning.
const TASK_OPERATIONS: u64 = 1 << 20;

/// Operations that an abandoned thread may do while it is unwound.
pub(super) const UNWIND_OPERATIONS: u64 = 1 << 20;

thread_local! {
    /// The engine that runs on this OS thread.
    static RUNNING: Cell<*const Engine> = const { Cell::new(std::ptr::null()) };
    /// Stamp of the last execution that began on this OS thread.
    static LAST: Cell<u32> = const { Cell::new(0) };
}

/// Whether the execution with this stamp is the last one that began on this OS thread: then none of its code is on any other.
#[inline(always)]
pub(crate) fn is_last_here(stamp: u32) -> bool {
    LAST.get() == stamp
}

/// The engine that runs on this OS thread. The reference must not be kept beyond the caller's own work: the lifetime is
/// as long as the caller says.
#[inline(always)]
pub(super) fn running<'a>() -> Option<&'a Engine> {
    // SAFETY: the pointer is null or was set by `Running::enter` from a reference that outlives the `Running`, whose drop
    // sets it back. Code that calls this runs inside `execute`, below that `Running` on the same OS thread; it hands the
    // reference to nobody who outlives its own call.
    unsafe { RUNNING.get().as_ref() }
}

/// Makes an engine the running one until it is dropped.
pub(super) struct Running<'a>(std::marker::PhantomData<&'a Engine>);

impl<'a> Running<'a> {
    pub fn enter(engine: &'a Engine) -> Self {
        let before = RUNNING.replace(engine);
        if !before.is_null() {
            RUNNING.set(before);
            panic!("an execution can't run inside another one");
        }
        Self(std::marker::PhantomData)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        RUNNING.set(std::ptr::null());
    }
}

/// A timer's key: time, then order of creation.
pub(super) type TimerKey = (Duration, u64);

/// All state of one execution, kept for the next one on the same OS thread.
pub(super) struct Engine {
    pub course: Course,
    pub stamp: Cell<u32>,
    /// For the executions to come: see [`next_stamp`].
    pub stamps: (u64, u64),
    pub events: Events,
    /// Whether nobody wants to know of events.
    pub quiet: Cell<bool>,
    /// Whether it is quiet, and memory is an interleaving.
    pub plain: Cell<bool>,
    /// Whether events are not hashed.
    pub bare: Cell<bool>,
    /// Whether anyone wants to know what each operation touches.
    pub watched: Cell<bool>,
    /// Whether the strategy is `Dpor`, which does.
    pub reducing: Cell<bool>,
    /// Whether the strategy is `Dfs` or `Dpor`.
    pub enumerates: Cell<bool>,
    /// Whether time waits for those that spin: it moves when nobody can run, and where a list says so.
    pub patient: Cell<bool>,
    pub classes: Classes,
    pub modelled: Modelled,
    /// If an observer looks: what that has set aside.
    pub look: Cell<Option<Look>>,
    // Scheduling.
    /// Whether points are those of a walk that nobody watches.
    pub walking: Cell<bool>,
    /// Whether the budget is what the strategy drew, rather than shortened.
    pub natural: Cell<bool>,
    pub runnable: Set,
    /// Runnable, but set aside until another thread has taken a step.
    pub yielded: Set,
    /// Runnable, and yielded since anyone made progress.
    pub spun: Set,
    pub strategy: RefCell<Strategy>,
    /// PCT: (step, priority), the earliest last.
    pub changes: RefCell<Vec<(u64, i64)>>,
    /// The choice of the earliest of them.
    pub change_at: Cell<u64>,
    pub ranks: Ranks,
    /// Whether points are those of PCT, and nobody watches.
    pub prioritising: Cell<bool>,
    /// Choices in a row after which a thread is taken to wait in a loop.
    pub patience: Cell<u64>,
    /// Delays: at which choices, the earliest last.
    pub delays: RefCell<Vec<u64>>,
    pub surw: Surw,
    /// Whether there is to be a profile.
    pub profiling: Cell<bool>,
    pub profiler: RefCell<Profiler>,
    /// Dfs: where the enumeration is.
    pub path: RefCell<Path>,
    pub switches: RefCell<Vec<Switch>>,
    /// With a rich record: what differs from `RunOn`.
    pub shifts: RefCell<Vec<Shift>>,
    pub rich: Cell<bool>,
    /// The choices that were asked for.
    pub given_choices: RefCell<Option<Arc<[Choice]>>>,
    /// With a rich record: the choices that were taken.
    pub taken: RefCell<Vec<Choice>>,
    /// Whether each thread's own steps are counted.
    pub counting: Cell<bool>,
    pub keep_switches: Cell<bool>,
    pub granularity: Cell<Granularity>,
    pub max_steps: Cell<u64>,
    pub streams: [RefCell<Generator>; Stream::COUNT],
    // Threads.
    pub threads: Box<[Thread]>,
    pub infos: RefCell<Vec<Info>>,
    pub alive: Set,
    pub free_slots: RefCell<Vec<u32>>,
    pub stack_bytes: Cell<usize>,
    pub page_bytes: usize,
    pub max_threads: Cell<u32>,
    /// The limit that the options say.
    pub asked_threads: Cell<u32>,
    /// Whether a simulated thread runs now, rather than the scheduler.
    pub inside: Cell<bool>,
    /// What for a thread was last resumed.
    pub how: Cell<Resume>,
    pub scheduler: Scheduler,
    // The end.
    pub verdict: RefCell<Option<Verdict>>,
    /// Panics in flight on other stacks make `std::thread::panicking` useless.
    pub in_flight: Cell<u32>,
    // The world.
    pub timers: RefCell<BTreeMap<TimerKey, u32>>,
    /// Whether there are any.
    pub timed: Cell<bool>,
    /// What the program has to give back, and where it was made: see `millpond::alloc`.
    pub owed: RefCell<BTreeMap<u32, Site>>,
    /// Whether waits at condition variables may end for no reason, once it is drawn.
    pub spurious: Cell<Option<bool>>,
    /// This execution's own instances of objects that are not its own.
    pub statics: Statics,
    pub free_locals: RefCell<Vec<usize>>,
    pub blocks: Blocks,
    pub memory_limit: Cell<u64>,
    pub unseen_owners: Cell<bool>,
    pub alloc_fails: Cell<(Option<When>, Chances)>,
    pub plants: RefCell<Vec<(Plant, Chances)>>,
    pub faults: RefCell<Vec<(Fault, When, Chances)>>,
    pub reached: [Cell<u64>; Reach::ALL.len()],
    /// Whether `reached` or `ledger` may be other than at the beginning.
    pub observed: Cell<bool>,
    pub ledger: RefCell<Ledger>,
}

/// Numbers executions, so that an object of one is not taken for one of another. 0: made outside any. It is compared for
/// equality only and so can't influence a result.
static NEXT_STAMP: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Numbers that an engine takes at once, so that executions on several OS threads share nothing.
const STAMPS: u64 = 1024;

/// The next execution's stamp: half a word, because every object of the simulated world has one, and there are millions.
/// So it comes again after 2^32 - 1 executions: two that run at the same time never have the same one, as that many would
/// have to begin and end on the other OS threads during one execution. An engine that has had its numbers for half of that takes
/// others. `taken`: the next number, and the end of those that it has.
#[inline(always)]
fn next_stamp(taken: &mut (u64, u64)) -> u32 {
    use std::sync::atomic::Ordering::Relaxed; // numbers only, no data goes with them
    let (mut next, mut end) = *taken;
    if next == end || NEXT_STAMP.load(Relaxed) - end > u64::from(u32::MAX / 2) {
        next = NEXT_STAMP.fetch_add(STAMPS, Relaxed);
        end = next + STAMPS;
    }
    *taken = (next + 1, end);
    1 + (next % u64::from(u32::MAX)) as u32
}

impl Engine {
    pub fn new() -> Self {
        Self {
            course: Course::new(),
            stamp: Cell::new(0),
            stamps: (0, 0),
            events: Events::new(),
            quiet: Cell::new(false),
            plain: Cell::new(false),
            bare: Cell::new(false),
            watched: Cell::new(false),
            reducing: Cell::new(false),
            enumerates: Cell::new(false),
            patient: Cell::new(false),
            classes: Classes::default(),
            modelled: Modelled::new(),
            look: Cell::new(None),
            walking: Cell::new(false),
            natural: Cell::new(true),
            runnable: Set::default(),
            yielded: Set::default(),
            spun: Set::default(),
            strategy: RefCell::new(Strategy::RunOn),
            changes: RefCell::new(Vec::new()),
            change_at: Cell::new(NEVER),
            ranks: Ranks::default(),
            prioritising: Cell::new(false),
            patience: Cell::new(0),
            delays: RefCell::new(Vec::new()),
            surw: Surw::new(),
            profiling: Cell::new(false),
            profiler: RefCell::default(),
            path: RefCell::new(Path::new(0)),
            switches: RefCell::new(Vec::new()),
            shifts: RefCell::new(Vec::new()),
            rich: Cell::new(false),
            given_choices: RefCell::new(None),
            taken: RefCell::new(Vec::new()),
            counting: Cell::new(false),
            keep_switches: Cell::new(true),
            granularity: Cell::new(Granularity::Operation),
            max_steps: Cell::new(0),
            streams: Stream::ALL.map(|stream| RefCell::new(Generator::new(0, 0, stream))),
            threads: Box::new([]),
            infos: RefCell::new(Vec::new()),
            alive: Set::default(),
            free_slots: RefCell::new(Vec::new()),
            stack_bytes: Cell::new(0),
            page_bytes: super::overflow::page_bytes(),
            max_threads: Cell::new(0),
            asked_threads: Cell::new(0),
            inside: Cell::new(false),
            how: Cell::new(Resume::Run),
            scheduler: Scheduler::default(),
            verdict: RefCell::new(None),
            in_flight: Cell::new(0),
            timers: RefCell::new(BTreeMap::new()),
            timed: Cell::new(false),
            owed: RefCell::default(),
            spurious: Cell::new(None),
            statics: Statics::default(),
            free_locals: RefCell::new(Vec::new()),
            blocks: Blocks::new(),
            memory_limit: Cell::new(u64::MAX),
            unseen_owners: Cell::new(false),
            alloc_fails: Cell::new((None, Chances::default())),
            plants: RefCell::new(Vec::new()),
            faults: RefCell::new(Vec::new()),
            reached: [const { Cell::new(0) }; Reach::ALL.len()],
            observed: Cell::new(true),
            ledger: RefCell::new(Ledger::new(false)),
        }
    }

    /// Forgets the execution before and gets ready for the next one.
    pub fn begin(&mut self, options: &Options) {
        self.set_up(options);
        self.restart(options);
    }

    /// What executions with these options have in common, whatever the index.
    #[inline(never)]
    pub fn set_up(&mut self, options: &Options) {
        assert!(
            (1..=super::set::MAX_THREADS).contains(&options.max_threads),
            "max_threads must be from 1 to {}",
            super::set::MAX_THREADS
        );
        if self.threads.len() < options.max_threads as usize {
            self.threads = (0..options.max_threads).map(|_| Thread::new()).collect();
        }
        if self.stack_bytes.get() != options.stack_bytes {
            self.stack_bytes.set(options.stack_bytes);
            self.threads.iter_mut().for_each(|thread| *thread.coroutine.get_mut() = None);
        }
        let (rich, bare) = (options.record == Record::Rich, options.record == Record::Bare);
        let (reduces, interleaves) =
            (matches!(options.strategy, Strategy::Dpor), options.memory == MemoryModel::Interleaving);
        self.reducing.set(reduces);
        self.look.set(None); // of an execution that failed meanwhile
        self.stopping.set(false);
        self.enumerates.set(options.strategy.enumerates());
        self.bare.set(bare);
        self.set_up_classes(options);
        self.rich.set(rich);
        self.counting.set(rich || matches!(options.strategy, Strategy::Shifted(_)));
        self.given_choices.get_mut().clone_from(&options.choices);
        let most = if options.strategy.enumerates() { DFS_THREADS } else { u32::MAX };
        let lanes = if interleaves { u32::MAX } else { MAX_LANES as u32 };
        self.max_threads.set(options.max_threads.min(most).min(lanes));
        self.asked_threads.set(options.max_threads.min(most));
        self.memory_limit.set(options.memory_limit.unwrap_or(u64::MAX));
        self.unseen_owners.set(options.unseen_owners);
        self.keep_switches.set(options.keep_switches);
        self.granularity.set(options.granularity);
        self.max_steps.set(options.max_steps);
        self.set_up_strategy(options);
    }

    /// What of [`Engine::set_up`] depends on whether classes are told.
    #[inline]
    pub fn set_up_classes(&self, options: &Options) {
        let watched = options.classes || self.reducing.get();
        let quiet = self.bare.get() && !watched;
        self.watched.set(watched);
        self.quiet.set(quiet);
        self.plain.set(quiet && options.memory == MemoryModel::Interleaving);
    }

    /// Forgets the execution before. [`Engine::set_up`] was called with these options, but for the index, and no execution since
    /// then has failed.
    #[inline(always)]
    pub fn restart(&mut self, options: &Options) {
        assert!(!self.is_looking(), "a look ends before its execution does");
        assert!(!self.stopping.get(), "the engine is set up anew after an execution that failed");
        self.course = const { Course::new() }; // as a constant: else it is made elsewhere and copied
        self.stamp.set(next_stamp(&mut self.stamps));
        self.events.begin(self.rich.get());
        self.classes.begin(options.classes);
        self.modelled.begin(options.memory);
        self.shifts.get_mut().clear();
        self.taken.get_mut().clear();
        self.begin_schedule(options);
        self.infos.get_mut().clear();
        self.alive.clear();
        self.free_slots.get_mut().clear();
        *self.verdict.get_mut() = None;
        // A panic in flight below `execute` counts as one on another stack.
        self.in_flight.set(u32::from(std::thread::panicking()));
        if self.timed.replace(false) {
            self.timers.get_mut().clear();
        }
        // To clear an empty map takes as long as ten of these.
        if !self.owed.get_mut().is_empty() {
            self.owed.get_mut().clear();
        }
        self.spurious.set(None);
        self.statics.clear();
        self.free_locals.get_mut().clear();
        self.alloc_fails.set((options.alloc_fails, Chances::default()));
        let (plants, faults) = (self.plants.get_mut(), self.faults.get_mut());
        plants.clear();
        faults.clear();
        if !options.plants.is_empty() || !options.faults.is_empty() {
            plants.extend(options.plants.iter().map(|p| (*p, Chances::default())));
            faults.extend(options.faults.iter().map(|(fault, when)| (*fault, *when, Chances::default())));
        }
        let rich = self.rich.get();
        if self.observed.replace(rich) || rich {
            self.forget_observed(rich);
        }
        LAST.set(self.stamp.get());
    }

    #[inline(never)]
    fn forget_observed(&mut self, rich: bool) {
        for count in &self.reached {
            count.set(0);
        }
        *self.ledger.get_mut() = Ledger::new(rich);
    }

    /// The running thread's slot.
    #[inline(always)]
    pub fn here(&self) -> &Thread {
        &self.threads[self.current.get() as usize]
    }

    /// A scheduling point.
    #[inline(always)]
    pub fn point(&self, access: Access, site: Site) {
        if !self.passes() {
            self.slow_point(access, site);
        }
    }

    /// The scheduling point of `Granularity::Task`.
    #[inline]
    pub fn boundary(&self, site: Site) {
        self.event(Op::Boundary, 0, 0, 0, 0, site);
        if self.granularity.get() == Granularity::Task {
            let tasks = self.tasks.get();
            if tasks != 0 {
                self.tasks.set(tasks - 1);
                self.budget.set(TASK_OPERATIONS);
            } else if !self.stopping.get()
                && let Some(switch) = self.scheduled_point(Access::NONE, site)
            {
                self.perform(switch);
            }
        }
    }

    /// Whether the budget has room for another point.
    #[inline(always)]
    pub fn passes(&self) -> bool {
        let budget = self.budget.get();
        if budget != 0 {
            self.budget.set(budget - 1);
        }
        budget != 0
    }

    #[cold]
    #[inline(never)]
    fn slow_point(&self, access: Access, site: Site) {
        self.point_here(access, site);
    }

    /// A scheduling point with no budget left. The switch is in the caller's frame: of a thread that is resumed, the processor foresees
    /// no return, so that there should be few.
    #[inline(always)]
    pub fn point_here(&self, access: Access, site: Site) {
        if let Some(switch) = self.hand_off(access, site) {
            self.perform(switch);
        }
    }

    #[inline(never)]
    fn hand_off(&self, access: Access, site: Site) -> Option<HandOff<'_>> {
        if self.walking.get()
            && let Some(switch) = self.walk(access, site)
        {
            return Some(switch);
        }
        if self.prioritising.get()
            && let Some(switch) = self.overtaken(access, site)
        {
            return Some(switch);
        }
        if self.stopping.get() {
            self.point_of_abandoned();
        } else if self.granularity.get() == Granularity::Task {
            self.yield_now(Op::Spin, site);
        } else {
            return self.scheduled_point(access, site);
        }
        None
    }

    /// What is left of the strategy's budget.
    #[inline(always)]
    fn budget_left(&self) -> u64 {
        match self.granularity.get() {
            Granularity::Operation => self.budget.get(),
            Granularity::Task => self.tasks.get(),
        }
    }

    /// Points passed since the budget was set become steps.
    #[inline(always)]
    pub fn account(&self) {
        let left = self.budget_left();
        let passed = self.budget_set.get() - left;
        self.budget_set.set(left);
        self.steps.set(self.steps.get() + passed);
        self.count_own(passed);
        if self.contended.get() {
            self.choices.set(self.choices.get() + passed);
        }
    }

    /// Steps that the running thread has taken.
    #[inline(always)]
    pub fn count_own(&self, passed: u64) {
        if self.counting.get() {
            let own = &self.here().own_steps;
            own.set(own.get() + passed);
        }
    }

    /// Sets the strategy's budget. Nothing is handed out while a thread is set aside: it comes back after one step; nor while each
    /// event is counted.
    #[inline(always)]
    pub fn set_budget(&self, wanted: u64) {
        let left = self.max_steps.get().saturating_sub(self.steps.get());
        let budget = if self.yielded.is_empty() && !self.profiling.get() { wanted.min(left) } else { 0 };
        self.natural.set(budget == wanted);
        self.budget_set.set(budget);
        self.contended.set(self.runnable.len() > 1);
        match self.granularity.get() {
            Granularity::Operation => self.budget.set(budget),
            Granularity::Task => {
                self.tasks.set(budget);
                self.budget.set(TASK_OPERATIONS);
            }
        }
    }

    /// The number of the step that is being taken.
    #[inline]
    pub fn step(&self) -> u64 {
        let passed =
            if self.stopping.get() || self.is_looking() { 0 } else { self.budget_set.get() - self.budget_left() };
        self.steps.get() + passed
    }

    /// Writes an event down. Nothing is once the execution is being abandoned.
    #[inline(always)]
    pub fn event(&self, op: Op, object: u32, class: u8, order: u8, extra: u32, site: Site) {
        let what = What { op, object, class, order, extra };
        if makes_progress(op) {
            self.progressed.set(true);
        }
        if self.quiet.get() {
            return;
        }
        if self.watched.get() {
            let access = op.access(object, self.thread_id.get());
            if access.touch != Touch::Other || self.reducing.get() {
                self.watch(what, access);
            }
        }
        if self.bare.get() {
            return;
        }
        if self.events.push(self.thread_id.get(), what) {
            self.cold_event(what, site);
        }
    }

    /// Tells what an operation touches.
    #[inline(never)]
    fn watch(&self, what: What, access: Access) {
        if self.stopping.get() {
            return;
        }
        if self.classes.is_on() {
            self.classes.touches(self.thread_id.get(), access, what.op.seen(what.extra));
        }
        if self.reducing.get() {
            self.reduced_event(what.op, what.object, what.order);
        }
    }

    #[cold]
    #[inline(never)]
    fn cold_event(&self, what: What, site: Site) {
        if self.inside.get() {
            self.check_stack();
        }
        if self.stopping.get() {
            self.events.undo();
        } else {
            self.events.cold(self.thread_id.get(), self.step(), what, site);
        }
    }

    /// An access to a plain cell: for rich logs only.
    #[inline(always)]
    pub fn cell_access(&self, op: Op, object: u32, site: Site) {
        if self.watched.get() && self.reducing.get() {
            self.reduced_event(op, object, 0);
        }
        if self.events.is_rich() && !self.stopping.get() && !self.is_looking() {
            let what = What { op, object, class: 0, order: 0, extra: 0 };
            self.events.log_only(self.thread_id.get(), self.step(), what, site);
        }
    }

    /// A fresh object number.
    #[inline]
    pub fn new_object(&self) -> u32 {
        let id = self.next_object.get();
        self.next_object.set(id + 1);
        id
    }

    /// Runs `f` on a stream of random numbers.
    #[inline]
    pub fn draw<R>(&self, stream: Stream, f: impl FnOnce(&mut Generator) -> R) -> R {
        if self.inside.get() {
            self.check_stack();
            self.reduced_draw(stream);
        }
        f(&mut self.streams[stream as usize].borrow_mut())
    }

    /// As [`Engine::draw`] for the schedule, whose decisions have looked at the stack already.
    #[inline(always)]
    pub fn roll<R>(&self, f: impl FnOnce(&mut Generator) -> R) -> R {
        f(&mut self.streams[Stream::Schedule as usize].borrow_mut())
    }

    /// The number and name of every thread, for reports.
    pub fn name_of(&self, id: u32) -> String {
        let infos = self.infos.borrow();
        let named = infos.get(id as usize).filter(|info| !info.name.is_empty());
        named.map_or_else(|| format!("#{id}"), |info| info.name.clone().into_owned())
    }
}

/// Whether the operation may change what another thread that spins is waiting for.
#[inline(always)]
pub(super) fn makes_progress(op: Op) -> bool {
    !matches!(
        op,
        Op::Load
            | Op::CompareExchangeFailed
            | Op::TryLockFailed
            | Op::Fence
            | Op::Yield
            | Op::Spin
            | Op::Reach
            | Op::AllocFailed
            | Op::SpawnFailed
            | Op::Struck
            | Op::ReceiveFailed
            | Op::SendFailed
            | Op::OnceLook
            | Op::Clock
    )
}
