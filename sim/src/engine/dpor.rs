//! Every partial order of a program's operations, few of them twice: dynamic partial order reduction.
//!
//! **Invariant: when the search has ended, each execution that could be has the same partial order of conflicting steps as one that
//! was executed.** A *step* is what a thread does from one decision to the next: an operation on an object, and what follows it that
//! nobody else can see. Two steps *conflict* if they touch the same object and one of them writes it.
//!
//! ```text
//!   execute ──> close each step: clock, races ──> for each race (e, f): before e, want a thread that leads to f first
//!      ^                                                              │
//!      └──── the deepest step with somebody wanted, not tried, not asleep <────┘     none left: complete
//! ```
//!
//! This is *source-DPOR* (Abdulla, Aronis, Jonsson, Sagonas, *Optimal dynamic partial order reduction*, POPL 2014) with sleep sets
//! (Godefroid 1996). What has to be argued for is what their model does not have:
//!
//! **All accesses count.** A race is looked for with each read since the last write, not with one last access: a thread's own read
//! does not hide another's.
//!
//! **Waiting.** Their operations never disable one another, and a lock does. Here an operation that waits is made of *attempts*: an
//! attempt never waits; one that fails reads the object and leaves everything as it was, and the thread waits for a change. So nothing
//! disables anything, and the theorem holds. Failed attempts are cheap to leave out: an execution with one ends in the same state as
//! that without it. So such a step is taken back at once, and its thread can't run until it is woken; but *its race is looked for*,
//! with the last write, as that of any read (which is what finds a deadlock: nobody's second lock ever succeeds there). Two shortcuts
//! save executions that would be of failed attempts only. A lock is taken after it was given back: to run before that is impossible,
//! to run before it was *taken* is the race (the lock's holder is told apart from `try_lock`, which does not wait). And a park comes after
//! the unpark whose token it consumes, unless there was a token already. What waits for a thread's end is never in a race with it.
//!
//! An attempt that sets a timer, or comes after something else in its step, is left standing, as the read that it is: where nobody
//! can run the timer has to be there.
//!
//! **Wakes.** If a step ends with a block and had touched something (a condition variable), what its thread does next comes after the
//! step that woke it. Time moves only when nobody can run: all steps before come before all after, in every execution. If
//! all that can run have tired (see below), that is the same.
//!
//! **Yields** are fair, or a spin loop would have no end. A thread may go on after a yield, except if it has made the same round
//! twice, from one yield to the next: the same operations on the same objects with nothing changed by others. Then it can't run until
//! another thread has written to one of those objects, or nobody else can run. It looks at them again then, which is a read. All
//! of that depends on the partial order alone. So *complete* means: but for third rounds of loops that wait.
//!
//! **Failures.** A panic keeps other threads from going on: each of them is tried in place of the step that failed. Of executions that
//! fail in the same way, with the same operations before the failure, one is seen, whatever others did meanwhile.
//!
//! **An operation that writes no event down**, but had said at its scheduling point what it was about to touch, has read that: a
//! `Once` that is done already, say. What changes an object without an event says so ([`Engine::reduced_change`]).
//!
//! **What else depends on the order** counts as an object: plain cells, streams of random numbers, occasions of a fault
//! that are counted, what the ledger watches, the end of a thread. **What does not**: numbers of threads and of objects, statistics
//! (`Platform::Counter`), how much memory is used at most, what an observer looks at ([`observed`](super::observed)), and anything
//! outside of the simulated world. A program, or an oracle, that looks at one of these sees one order out of each class.
//!
//! What a step chooses besides ([`Engine::choose`]: stale loads) is tried one after the other before the step is left. Where a
//! sequentially consistent fence comes among the others counts, too. That this is all that a weak memory needs is not proved but
//! compared with plain enumeration, over random programs (`tests/engine_dpor.rs`).

mod order;
mod tree;

use self::order::{End, How, Order, Space};
use self::tree::{Choice, Sleepers};
use super::access::{Access, Touch};
use super::core::{Engine, NEVER};
use super::event::Op;
use super::options::Switch;
use super::outcome::Verdict;
use super::random::Stream;

/// Most threads that an execution may start under [`Strategy::Dpor`], main included.
pub const DPOR_THREADS: u32 = 64;

/// An alternative that was chosen.
#[derive(Clone, Copy)]
struct Value {
    step: u32,
    n: u32,
    taken: u32,
}

/// How a decision came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// The running thread is about to do something.
    Point,
    Yield,
    /// It waits for another.
    Block,
    /// It waits for a time, too.
    Sleep,
    Exit,
}

/// What is to be done.
enum Next {
    /// This thread runs.
    Thread(u32),
    /// All that can run have tired.
    AllTired,
    /// The program is not deterministic.
    Diverged,
}

/// Where the search is.
pub(super) struct Reduction {
    /// Or every thread is tried at every step.
    reduces: bool,
    order: Order,
    choices: Vec<Choice>,
    sleepers: Sleepers,
    values: Vec<Value>,
    /// Steps that were executed and closed before: the execution repeats them, and the choice after them.
    known: usize,
    /// Who sleeps before the next step.
    asleep: u64,
    races: Vec<u32>,
    // The running execution:
    /// Steps begun.
    at: usize,
    /// Alternatives given.
    valued: usize,
    /// Whether it is of no use any more.
    spent: bool,
    /// Whether a thread runs only to find that it has to wait.
    attempting: bool,
    /// Whether time has moved since the last decision.
    time_moved: bool,
    /// Whether it did when the running thread had just set a timer.
    timed: bool,
    /// Whether it did because all that could run had tired.
    fired: bool,
    /// Whether something came in that the order does not tell.
    pub cut: bool,
    /// Executions that were of no use.
    pub redundant: u64,
}

fn bits(mut set: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = set.trailing_zeros();
        (set != 0).then(|| {
            set &= set - 1;
            bit
        })
    })
}

impl Reduction {
    pub fn new(reduces: bool) -> Self {
        Self {
            reduces,
            order: Order::new(),
            choices: Vec::new(),
            sleepers: Sleepers::default(),
            values: Vec::new(),
            known: 0,
            asleep: 0,
            races: Vec::new(),
            at: 0,
            valued: 0,
            spent: false,
            attempting: false,
            time_moved: false,
            timed: false,
            fired: false,
            cut: false,
            redundant: 0,
        }
    }

    /// Gets ready to follow the path, for the first time or again.
    pub fn begin(&mut self) {
        self.at = 0;
        self.valued = 0;
        self.spent = false;
        self.attempting = false;
        self.time_moved = false;
        self.timed = false;
        self.fired = false;
    }

    /// Whether the last execution was of no use.
    pub fn is_redundant(&self) -> bool {
        self.spent
    }

    /// Decisions of the last execution.
    pub fn decisions(&self) -> u64 {
        self.choices.iter().filter(|c| c.able.count_ones() > 1).count() as u64
    }

    /// Whether what happens is written down: it is repeated, or of no use, otherwise.
    fn records(&self) -> bool {
        !self.spent && self.at > self.known
    }

    /// Thread `id` begins.
    pub fn starts(&mut self, id: u32) {
        if id == 0 {
            if self.order.threads() == 0 {
                self.order.starts(0);
            }
            if self.choices.is_empty() {
                self.choices.push(Choice { thread: 0, able: 1, wanted: 1, tried: 0, asleep: 0, fired: false });
            }
            self.step();
        } else if self.records() {
            self.order.starts(id);
        }
    }

    /// The next step of the path begins.
    fn step(&mut self) -> Next {
        let id = self.choices[self.at].thread;
        if self.at == self.known {
            let before = self.order.last(id);
            self.order.begin(id);
            if self.order.events.get(before as usize).is_some_and(|e| e.end == End::Tired) {
                self.order.look_again(before);
            }
        }
        self.at += 1;
        self.fired = false;
        Next::Thread(id)
    }

    /// Who runs. `able`: who can, each a bit; `default`: who would if nobody cared; `pending`: what the running thread waits for.
    fn next(&mut self, why: Why, able: u64, default: u32, pending: Access) -> Next {
        if self.spent {
            return Next::Thread(default);
        }
        if std::mem::take(&mut self.attempting) {
            if why != Why::Block {
                return Next::Diverged;
            }
        } else if self.records() {
            self.close(why, pending);
            if self.spent {
                return Next::Thread(default);
            }
        }
        self.timed = false;
        let moved = std::mem::take(&mut self.time_moved);
        if self.at < self.choices.len() {
            // The path says who.
            if able >> self.choices[self.at].thread & 1 != 0 {
                return self.step();
            }
            if self.choices[self.at].fired {
                return Next::AllTired;
            }
            // It waits for a time: the others have to find that they can't run.
            self.attempting = able != 0;
            return if self.attempting { Next::Thread(able.trailing_zeros()) } else { Next::Diverged };
        }
        if moved {
            self.order.barrier();
        }
        let awake = bits(able).filter(|id| !self.order.idle(*id)).fold(0, |set, id| set | 1 << id);
        if awake == 0 { Next::AllTired } else { self.branch(awake, default) }
    }

    /// All of `able` have tired: they go on, the one first that has waited longest.
    fn wakes_all(&mut self, able: u64) -> Next {
        if self.at < self.choices.len() {
            return Next::Diverged; // a timer was set
        }
        self.order.barrier();
        let first = bits(able & !self.asleep).min_by_key(|id| self.order.last(*id));
        self.branch(able, first.unwrap_or(able.trailing_zeros()))
    }

    /// A step with a choice among `able`.
    fn branch(&mut self, able: u64, default: u32) -> Next {
        let awake = able & !self.asleep;
        if awake == 0 {
            self.spent = true;
            return Next::Thread(default);
        }
        let thread = if awake >> default & 1 != 0 { default } else { awake.trailing_zeros() };
        let wanted = if self.reduces { 1 << thread } else { able };
        self.choices.push(Choice { thread, able, wanted, tried: 0, asleep: self.asleep, fired: self.fired });
        self.step()
    }

    /// The step that runs has ended.
    fn close(&mut self, why: Why, pending: Access) {
        let step = self.known;
        if why == Why::Block && self.order.touched().is_empty() {
            return self.take_back(pending);
        }
        // What is not written down has not been written.
        self.order.look_at(self.order.events[step].pending);
        if matches!(why, Why::Block | Why::Sleep) {
            self.order.look_at(pending);
        }
        self.order.close(match why {
            Why::Point | Why::Sleep | Why::Exit => End::Plain,
            Why::Yield => End::Yielded,
            Why::Block => End::Blocked,
        });
        self.known = self.at;
        if why == Why::Yield && self.order.repeats(step as u32) {
            self.order.events[step].end = End::Tired;
        }
        if !self.reduces {
            return;
        }
        let choice = self.choices[step];
        let asleep = (choice.asleep | choice.tried) & !(1 << choice.thread);
        self.asleep = if asleep == 0 { 0 } else { self.sleepers.undisturbed(asleep, self.order.touched()) };
        let mut races = std::mem::take(&mut self.races);
        self.order.races(&mut races);
        for earlier in races.drain(..) {
            let initials = self.order.initials(earlier, None);
            self.want(earlier, initials, choice.thread);
        }
        self.races = races;
    }

    /// The step that begins is of a thread that is about to do `pending`.
    fn announce(&mut self, pending: Access) {
        if self.records()
            && let Some(event) = self.order.events.last_mut()
        {
            event.pending = pending;
        }
    }

    /// The step that runs was an attempt that failed: it has not been.
    fn take_back(&mut self, pending: Access) {
        self.order.undo();
        self.at = self.known;
        let step = self.at as u32;
        while self.values.pop_if(|v| v.step == step).is_some() {}
        self.valued = self.values.len();
        let choice = &mut self.choices[self.at];
        let thread = choice.thread;
        choice.able &= !(1 << thread);
        let (first, rest) = (choice.tried == 0, choice.rest());
        if first {
            (self.asleep, self.fired) = (choice.asleep, choice.fired);
            self.choices.pop(); // who can run is asked again: it may be that time has to move
        } else if rest != 0 {
            choice.thread = rest.trailing_zeros();
        } else {
            self.choices.pop();
            self.sleepers.pop(step);
            self.spent = true;
        }
        if self.reduces {
            let mut races = std::mem::take(&mut self.races);
            self.order.in_the_way_of(thread, pending, &mut races);
            for earlier in races.drain(..) {
                let initials = self.order.initials(earlier, Some(thread));
                self.want(earlier, initials, thread);
            }
            self.races = races;
        }
    }

    /// Before `step` one of `initials` has to run, if none did or will.
    fn want(&mut self, step: u32, initials: u64, preferred: u32) {
        let choice = &mut self.choices[step as usize];
        let possible = initials & choice.able;
        if initials & (choice.wanted | choice.tried | choice.asleep) != 0 || possible == 0 {
            return;
        }
        let one = if possible >> preferred & 1 != 0 { 1 << preferred } else { possible & possible.wrapping_neg() };
        choice.wanted |= one;
    }

    /// Nobody can run, and no timer is set.
    fn stuck(&mut self, why: Why, pending: Access) {
        if !std::mem::take(&mut self.attempting) && self.records() {
            self.close(why, pending);
        }
    }

    /// The execution has ended; `failed`: with threads that could have gone on. False if it should not have ended yet.
    pub fn end(&mut self, failed: bool) -> bool {
        if self.spent {
            return true;
        }
        if self.at < self.choices.len() {
            return false;
        }
        if self.records() {
            let step = self.known;
            self.close(Why::Exit, Access::NONE);
            if failed {
                let choice = &mut self.choices[step];
                choice.wanted |= choice.able;
            }
        }
        true
    }

    /// Goes to the next execution. False if there is none.
    pub fn advance(&mut self) -> bool {
        self.redundant += u64::from(std::mem::take(&mut self.spent));
        if self.order.events.len() != self.choices.len() {
            self.cut = true; // the last execution did not come to its end
            return false;
        }
        while let Some(last) = self.choices.len().checked_sub(1) {
            let step = last as u32;
            self.sleepers.push(self.choices[last].thread, step, self.order.touched());
            self.order.undo();
            self.known = last;
            if self.next_value(step) {
                return true;
            }
            let choice = &mut self.choices[last];
            choice.tried |= 1 << choice.thread;
            if choice.rest() != 0 {
                choice.thread = choice.rest().trailing_zeros();
                return true;
            }
            self.sleepers.pop(step);
            self.choices.pop();
        }
        false
    }

    /// Whether there is another alternative for the step to go on with.
    fn next_value(&mut self, step: u32) -> bool {
        while let Some(value) = self.values.last_mut().filter(|v| v.step == step) {
            value.taken += 1;
            if value.taken < value.n {
                return true;
            }
            self.values.pop();
        }
        false
    }

    /// One of `n` alternatives for the step that runs. `None`: the program is not deterministic.
    fn value(&mut self, n: u32) -> Option<u32> {
        if self.spent {
            return Some(0);
        }
        let step = self.at as u32 - 1;
        if self.valued == self.values.len() {
            self.values.push(Value { step, n, taken: 0 });
        }
        let value = self.values[self.valued];
        self.valued += 1;
        (value.step == step && value.n == n).then_some(value.taken)
    }
}

/// What no thread calls an object, and depends on the order all the same.
const FENCES: u32 = 8;
const OCCASIONS: u32 = 9;

impl Engine {
    fn number(&self, slot: u32) -> u32 {
        self.threads[slot as usize].id.get()
    }

    /// *Dpor* at a point.
    pub fn reduced_point(&self) -> Option<u32> {
        let next = self.reduced(Why::Point, || Some(self.current.get()));
        self.set_budget(self.reduced_budget());
        next
    }

    /// *Dpor* where the running thread can't go on; `default`: who would.
    pub fn reduced_other(&self, default: impl Fn() -> Option<u32>, yielding: bool) -> Option<u32> {
        self.reduced(if yielding { Why::Yield } else { self.gone() }, default)
    }

    /// Why the running thread can't go on, if it did not yield.
    fn gone(&self) -> Why {
        match self.alive.contains(self.current.get()) {
            true if self.here().timer.get().is_some() || self.path.borrow().reduction().timed => Why::Sleep,
            true => Why::Block,
            false => Why::Exit,
        }
    }

    /// *Dpor*: points to pass.
    pub fn reduced_budget(&self) -> u64 {
        if self.path.borrow().reduction().spent { NEVER } else { 0 }
    }

    fn reduced(&self, why: Why, default: impl Fn() -> Option<u32>) -> Option<u32> {
        let pending = self.here().pending.get();
        loop {
            let default = default().unwrap_or_else(|| self.runnable.low().trailing_zeros());
            let able = bits(self.runnable.low()).fold(0, |set, slot| set | 1 << self.number(slot));
            let mut path = self.path.borrow_mut();
            let mut next = path.reduction_mut().next(why, able, self.number(default), pending);
            if matches!(next, Next::AllTired) {
                drop(path);
                let fired = self.fire_timers() || self.move_clock();
                path = self.path.borrow_mut();
                if fired {
                    self.note_shift(Switch::TIME);
                    self.switched(Switch::TIME);
                    path.reduction_mut().fired = true;
                    path.deviates(Switch { step: self.steps.get(), to: Switch::TIME });
                    continue;
                }
                next = path.reduction_mut().wakes_all(able);
            }
            let Next::Thread(id) = next else {
                drop(path);
                self.fail(Verdict::Diverged { step: self.steps.get() });
                return None;
            };
            let slot = self.infos.borrow()[id as usize].slot;
            path.reduction_mut().announce(self.threads[slot as usize].pending.get());
            if slot != default {
                path.deviates(Switch { step: self.steps.get(), to: id });
            }
            return Some(slot);
        }
    }

    /// *Dpor*: nobody can run.
    pub fn reduced_stuck(&self) {
        if self.reduces() {
            let (why, pending) = (self.gone(), self.here().pending.get());
            self.path.borrow_mut().reduction_mut().stuck(why, pending);
        }
    }

    /// *Dpor*: time moves, because nobody can run.
    pub fn reduced_time(&self) {
        if self.reduces() {
            let mut path = self.path.borrow_mut();
            let reduction = path.reduction_mut();
            reduction.timed |= !reduction.time_moved && self.here().timer.get().is_some();
            reduction.time_moved = true;
        }
    }

    /// *Dpor*: the running thread wakes another.
    pub fn reduced_wake(&self, slot: u32) {
        if self.reduces() {
            let mut path = self.path.borrow_mut();
            if path.reduction().records() {
                path.reduction_mut().order.wakes(self.number(slot));
            }
        }
    }

    /// *Dpor*: whether there are as many threads as can be told apart.
    pub fn reduced_full(&self) -> bool {
        self.reduces() && self.infos.borrow().len() >= DPOR_THREADS as usize
    }

    /// Whether the strategy is *Dpor*, and the execution goes on.
    #[inline(always)]
    pub fn reduces(&self) -> bool {
        self.reducing.get() && !self.stopping.get()
    }

    /// The next lock that the running thread takes is one that it would have waited for.
    #[inline(always)]
    pub fn takes_lock(&self) {
        self.taking.set(true);
    }

    /// *Dpor*: the running step does `op`.
    pub fn reduced_event(&self, op: Op, object: u32, order: u8) {
        let took = self.taking.replace(false);
        if !self.reduces() {
            return;
        }
        let mut path = self.path.borrow_mut();
        let reduction = path.reduction_mut();
        reduction.cut |= matches!(op, Op::AllocFailed | Op::SpawnFailed);
        if !reduction.records() {
            return;
        }
        let me = self.thread_id.get();
        let order_of = &mut reduction.order;
        match op {
            Op::Lock if took => order_of.touch(Space::Objects, object, How::Took),
            Op::ReadLock if took => order_of.touch(Space::Objects, object, How::Shared),
            Op::Unlock => order_of.touch(Space::Objects, object, How::Gave),
            Op::ReadUnlock => order_of.touch(Space::Objects, object, How::Unshared),
            Op::Unpark => order_of.touch(Space::Tokens, object, How::Unparked),
            Op::Park => order_of.touch(Space::Tokens, me, How::Parked),
            Op::Exit => order_of.touch(Space::Ends, object, How::Ended),
            Op::Join => order_of.touch(Space::Ends, object, How::Joined),
            Op::CellRead => order_of.touch(Space::Objects, object, How::Read),
            Op::CellWrite => order_of.touch(Space::Objects, object, How::Wrote),
            Op::Obtained | Op::Note | Op::Destroyed => order_of.touch(Space::Ledger, object, How::Wrote),
            // The fences that are sequentially consistent have one order, and it counts.
            Op::Fence if order == super::event::ordering_code(std::sync::atomic::Ordering::SeqCst) => {
                if self.is_modelled() {
                    order_of.touch(Space::World, FENCES, How::Wrote);
                }
            }
            _ => {
                let access = op.access(object, me);
                let how = if access.touch == Touch::Load { How::Read } else { How::Wrote };
                match access.thread_number() {
                    _ if access.touch == Touch::Other => {}
                    Some(thread) => order_of.touch(Space::Tokens, thread, how),
                    None => order_of.touch(Space::Objects, access.object, how),
                }
            }
        }
    }

    /// *Dpor*: the running step changes `object`, and writes nothing down.
    pub fn reduced_change(&self, object: u32) {
        self.reduced_touch(Space::Objects, object, How::Wrote);
    }

    /// *Dpor*: the running step looks whether thread `id` has ended.
    pub fn reduced_look(&self, id: u32) {
        self.reduced_touch(Space::Ends, id, How::Read);
    }

    /// *Dpor*: the running step draws a number of a stream.
    pub fn reduced_draw(&self, stream: Stream) {
        if stream != Stream::Schedule {
            self.reduced_touch(Space::World, stream as u32, How::Wrote);
        }
    }

    /// *Dpor*: an occasion is counted.
    pub fn reduced_occasion(&self) {
        self.reduced_touch(Space::World, OCCASIONS, How::Wrote);
    }

    fn reduced_touch(&self, space: Space, id: u32, how: How) {
        if self.reduces() && !self.is_looking() {
            let mut path = self.path.borrow_mut();
            if path.reduction().records() {
                path.reduction_mut().order.touch(space, id, how);
            }
        }
    }

    /// *Dpor*: one of `n` alternatives. `None`: the program is not deterministic.
    pub fn reduced_value(&self, n: u32) -> Option<u32> {
        self.path.borrow_mut().reduction_mut().value(n)
    }
}
