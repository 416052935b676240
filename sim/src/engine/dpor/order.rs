//! What happened in an execution, and in which partial order.
//!
//! **Invariant: the row of a step's clock names exactly the steps that come before it in every execution with the same partial
//! order**, itself included.
//!
//! ```text
//!   step     thread  ordinal  touches                     clock: for each thread, the ordinal of its last step before
//!    0       main    1        -                           [1]
//!    1       main    2        x: write                    [2]
//!    2       child   1        x: read ──before──> step 1  [2, 1]
//!
//!   heads:   x ──> the last touch ──before──> the one before it ──> ...
//! ```
//!
//! All of it is a stack: a step is taken back by taking its touches back.

use super::super::access::{Access, Touch};
use super::bits;

/// No step, no touch.
pub const NONE: u32 = u32::MAX;

/// How a step touched an object, as far as its races are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// It read.
    Read,
    /// It found that something it spun for has changed; a read.
    Looked,
    /// It awaited a thread's end: reads it.
    Joined,
    /// It wrote, or both.
    Wrote,
    /// It took a lock, for which it would have waited.
    Took,
    /// It gave a lock back.
    Gave,
    /// It took a lock together with other readers, and would have waited; a read.
    Shared,
    /// It gave back its share; a read.
    Unshared,
    /// It gave a thread its token.
    Unparked,
    /// It consumed its token.
    Parked,
    /// It ended.
    Ended,
}

impl How {
    /// Whether it commutes with its like.
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Looked | Self::Joined | Self::Shared | Self::Unshared)
    }
}

/// What can be touched, besides what the program calls its objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// Atomics, locks, cells.
    Objects,
    /// Tokens of threads.
    Tokens,
    /// Ends of threads.
    Ends,
    /// What the ledger watches.
    Ledger,
    /// Streams of random numbers, counted occasions, fences.
    World,
}

/// The place of an object in `heads`.
fn index(space: Space, id: u32) -> u32 {
    let space = space as u32;
    id.checked_mul(5).and_then(|i| i.checked_add(space)).unwrap_or_else(|| panic!("object {id} is one too many"))
}

/// A touch of an object by a step.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    pub object: u32,
    pub how: How,
    pub step: u32,
    /// The one before of the same object.
    pub before: u32,
}

/// Whether the order of the two can matter.
pub fn conflict(a: (u32, How), b: (u32, How)) -> bool {
    a.0 == b.0 && !(a.1.reads() && b.1.reads())
}

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It has not, or at the thread's next operation, or with the thread.
    Plain,
    /// The thread yielded.
    Yielded,
    /// ... and did for the second time what had not helped it.
    Tired,
    /// The thread waits until it is woken.
    Blocked,
}

/// A step as the order sees it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub thread: u32,
    /// Its number among the steps of its thread, from 1.
    pub ordinal: u32,
    /// The step before of the same thread.
    pub before: u32,
    /// Its first touch.
    pub first: u32,
    /// What its thread was about to do.
    pub pending: Access,
    pub end: End,
}

/// Nobody could run at this step: everything before comes before everything after.
#[derive(Clone, Copy)]
struct Barrier {
    at: u32,
}

/// See the [module](self).
pub struct Order {
    pub events: Vec<Event>,
    pub touches: Vec<Touched>,
    heads: Vec<u32>,
    /// Threads that fit into a row.
    stride: usize,
    rows: Vec<u32>,
    /// By thread: its last step.
    last: Vec<u32>,
    /// By thread: the step that started it.
    born: Vec<u32>,
    /// (step, thread): the step made a thread runnable.
    woken: Vec<(u32, u32)>,
    barriers: Vec<Barrier>,
    barrier_rows: Vec<u32>,
    /// The clock before the step that is being closed, or before a pending operation.
    pre: Vec<u32>,
}

fn join(into: &mut [u32], from: &[u32]) {
    into.iter_mut().zip(from).for_each(|(a, b)| *a = (*a).max(*b));
}

impl Order {
    pub fn new() -> Self {
        Self {
            events: Vec::new(),
            touches: Vec::new(),
            heads: Vec::new(),
            stride: 4,
            rows: Vec::new(),
            last: Vec::new(),
            born: Vec::new(),
            woken: Vec::new(),
            barriers: Vec::new(),
            barrier_rows: Vec::new(),
            pre: Vec::new(),
        }
    }

    /// Thread `id` is started by the step that runs.
    pub fn starts(&mut self, id: u32) {
        assert_eq!(self.born.len(), id as usize, "threads are numbered in order");
        self.born.push(self.events.len().checked_sub(1).map_or(NONE, |step| step as u32));
        self.last.push(NONE);
        if self.born.len() > self.stride {
            self.widen();
        }
    }

    /// Threads started so far.
    pub fn threads(&self) -> usize {
        self.born.len()
    }

    #[cold]
    fn widen(&mut self) {
        let (old, new) = (self.stride, self.stride * 2);
        for rows in [&mut self.rows, &mut self.barrier_rows] {
            let wide = rows.chunks(old).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0, new - old)));
            *rows = wide.collect();
        }
        self.stride = new;
    }

    /// Thread `id` takes a step.
    pub fn begin(&mut self, id: u32) {
        let before = self.last[id as usize];
        let ordinal = self.event(before).map_or(1, |e| e.ordinal + 1);
        self.last[id as usize] = self.events.len() as u32;
        let first = self.touches.len() as u32;
        self.events.push(Event { thread: id, ordinal, before, first, pending: Access::NONE, end: End::Plain });
        self.rows.resize(self.events.len() * self.stride, 0);
    }

    fn event(&self, step: u32) -> Option<&Event> {
        self.events.get(step as usize)
    }

    /// The last step of a thread.
    pub fn last(&self, id: u32) -> u32 {
        self.last[id as usize]
    }

    /// The step that runs touches an object.
    pub fn touch(&mut self, space: Space, id: u32, how: How) {
        let object = index(space, id);
        if object as usize >= self.heads.len() {
            self.heads.resize(object as usize + 1, NONE);
        }
        let (before, step) = (self.heads[object as usize], self.events.len() as u32 - 1);
        let again = self.touches.get(before as usize).filter(|t| t.step == step);
        if again.is_some_and(|t| t.how == how || t.how == How::Wrote || (how == How::Read && t.how != How::Looked)) {
            return;
        }
        self.heads[object as usize] = self.touches.len() as u32;
        self.touches.push(Touched { object, how, step, before });
    }

    /// The step that runs looks at the object of `access`, whatever else it does there.
    pub fn look_at(&mut self, access: Access) {
        match access.thread_number() {
            _ if access.touch == Touch::Other => {}
            Some(thread) => self.touch(Space::Tokens, thread, How::Read),
            None => self.touch(Space::Objects, access.object, How::Read),
        }
    }

    /// The step that runs looks again at what its thread's last round, which ended with `step`, touched.
    pub fn look_again(&mut self, step: u32) {
        let mut touches = Round::ending(self, step);
        while let Some(at) = touches.next(self) {
            let object = self.touches[at as usize].object;
            let (before, step) = (self.heads[object as usize], self.events.len() as u32 - 1);
            if self.touches[before as usize].step != step {
                self.heads[object as usize] = self.touches.len() as u32;
                self.touches.push(Touched { object, how: How::Looked, step, before });
            }
        }
    }

    /// What the last step touched.
    pub fn touched(&self) -> &[Touched] {
        self.events.last().map_or(&[], |event| &self.touches[event.first as usize..])
    }

    /// The step that runs makes a blocked thread runnable.
    pub fn wakes(&mut self, id: u32) {
        self.woken.push((self.events.len() as u32 - 1, id));
    }

    fn row(&self, step: u32) -> &[u32] {
        &self.rows[step as usize * self.stride..][..self.stride]
    }

    /// The clock of thread `id` after its step `before`: what its next one knows before it does anything.
    fn known(&mut self, id: u32, before: u32) {
        let mut pre = std::mem::take(&mut self.pre);
        pre.clear();
        pre.resize(self.stride, 0);
        let came_from = if before == NONE { self.born[id as usize] } else { before };
        if came_from != NONE {
            join(&mut pre, self.row(came_from));
        }
        if let Some(last) = self.barriers.len().checked_sub(1) {
            join(&mut pre, &self.barrier_rows[last * self.stride..][..self.stride]);
        }
        if self.event(before).is_some_and(|e| e.end == End::Blocked) {
            let waker = self.woken.iter().find(|(step, thread)| *thread == id && *step > before);
            if let Some((step, _)) = waker {
                join(&mut pre, self.row(*step));
            }
        }
        self.pre = pre;
    }

    /// The last step has ended: gives it its clock. What came before it by itself is in `pre` now.
    pub fn close(&mut self, end: End) {
        let step = self.events.len() - 1;
        self.events[step].end = end;
        let Event { thread, ordinal, before, first, .. } = self.events[step];
        self.known(thread, before);
        let (rows, row) = self.rows.split_at_mut(step * self.stride);
        row.copy_from_slice(&self.pre);
        row[thread as usize] = ordinal;
        for touch in &self.touches[first as usize..] {
            let mut at = touch.before;
            while let Some(earlier) = self.touches.get(at as usize) {
                at = earlier.before;
                if earlier.step as usize != step && !(touch.how.reads() && earlier.how.reads()) {
                    join(row, &rows[earlier.step as usize * self.stride..][..self.stride]);
                    if !earlier.how.reads() {
                        break; // it knows all that came before
                    }
                }
            }
        }
    }

    /// Nobody could run before the step that comes next.
    pub fn barrier(&mut self) {
        let at = self.events.len() as u32;
        self.barrier_rows.resize((self.barriers.len() + 1) * self.stride, 0);
        let row = &mut self.barrier_rows[self.barriers.len() * self.stride..];
        for step in self.last.iter().filter(|step| **step != NONE) {
            join(row, &self.rows[*step as usize * self.stride..][..self.stride]);
        }
        self.barriers.push(Barrier { at });
    }

    /// Takes the last step back.
    pub fn undo(&mut self) {
        let Some(event) = self.events.pop() else { unreachable!("there is a step") };
        let step = self.events.len() as u32;
        while self.touches.len() > event.first as usize {
            if let Some(touch) = self.touches.pop() {
                self.heads[touch.object as usize] = touch.before;
            }
        }
        self.rows.truncate(self.events.len() * self.stride);
        self.last[event.thread as usize] = event.before;
        while self.woken.pop_if(|(by, _)| *by == step).is_some() {}
        while self.born.pop_if(|by| *by == step).is_some() {
            self.last.pop();
        }
        while self.barriers.pop_if(|b| b.at > step).is_some() {}
        self.barrier_rows.truncate(self.barriers.len() * self.stride);
    }

    /// Whether `pre` knows `step`.
    fn knows(&self, step: u32) -> bool {
        let Event { thread, ordinal, .. } = self.events[step as usize];
        self.pre[thread as usize] >= ordinal
    }

    /// The steps that the last one, just closed, could have come before: those that are in conflict with it, unordered with what
    /// its thread did before, and did not make it possible.
    pub fn races(&self, into: &mut Vec<u32>) {
        let step = self.events.len() as u32 - 1;
        for touch in self.touched() {
            self.races_of(touch, step, into);
        }
    }

    fn races_of(&self, touch: &Touched, step: u32, into: &mut Vec<u32>) {
        let mut at = touch.before;
        let mut given = false;
        let mut reads = false;
        while let Some(earlier) = self.touches.get(at as usize) {
            at = earlier.before;
            if earlier.step == step || (touch.how.reads() && earlier.how.reads()) {
                continue;
            }
            match (touch.how, earlier.how) {
                // Before it the lock was taken: the race is for who takes it first.
                (How::Took | How::Shared, How::Gave) => {
                    given = true;
                    continue;
                }
                (How::Took, How::Unshared) => continue,
                (How::Took, _) if given && earlier.how.reads() => continue,
                // Before it there was no token, unless there was one already.
                (How::Parked, How::Unparked) => {
                    let had = self.touches.get(earlier.before as usize);
                    if had.is_none_or(|had| had.how == How::Parked) {
                        return;
                    }
                }
                (How::Joined, How::Ended) => return,
                _ => {}
            }
            let races = !self.knows(earlier.step);
            if earlier.how.reads() {
                reads |= races;
            } else if reads {
                return; // it comes before those reads
            }
            if races && !into.contains(&earlier.step) {
                into.push(earlier.step);
            }
            if !earlier.how.reads() {
                return;
            }
        }
    }

    /// The steps that thread `id`, which looked at the object of `access` and has to wait, could have come before: `pre` is its
    /// clock then. Those of readers, if there are any since the last write: it may be their lock.
    pub fn in_the_way_of(&mut self, id: u32, access: Access, into: &mut Vec<u32>) {
        if access.touch == Touch::Other {
            return;
        }
        self.known(id, self.last(id));
        let (space, object) = match access.thread_number() {
            Some(thread) => (Space::Tokens, thread),
            None => (Space::Objects, access.object),
        };
        let mut at = self.heads.get(index(space, object) as usize).copied().unwrap_or(NONE);
        while let Some(earlier) = self.touches.get(at as usize) {
            let reads = earlier.how.reads();
            let counts = !reads || (access.touch != Touch::Load && earlier.how != How::Unshared);
            if counts && !self.knows(earlier.step) && (reads || into.is_empty()) && !into.contains(&earlier.step) {
                into.push(earlier.step);
            }
            if !reads {
                return;
            }
            at = earlier.before;
        }
    }

    /// The threads one of which has to run in place of `step` so that the last step, or the pending operation of `pending` whose
    /// clock is `pre`, can come before it: those whose first step in the rest depends on nothing in the rest. The rest is what comes
    /// after `step` and does not depend on it. Each thread a bit.
    pub fn initials(&self, step: u32, pending: Option<u32>) -> u64 {
        let Event { thread, ordinal, .. } = self.events[step as usize];
        let last = self.events.len() as u32 - 1;
        let (mut seen, mut initials) = (0_u64, 0);
        let mut firsts = [0_u32; 64];
        let mut add = |id: u32, ordinal: u32, row: &[u32]| {
            if seen >> id & 1 != 0 {
                return;
            }
            let free = bits(seen).all(|t| row[t as usize] < firsts[t as usize]);
            initials |= u64::from(free) << id;
            seen |= 1 << id;
            firsts[id as usize] = ordinal;
        };
        for later in step + 1..=last {
            let row = self.row(later);
            if row[thread as usize] < ordinal || (later == last && pending.is_none()) {
                let Event { thread, ordinal, .. } = self.events[later as usize];
                add(thread, ordinal, row);
            }
        }
        if let Some(id) = pending {
            add(id, 0, &self.pre);
        }
        initials
    }

    /// Whether the round that ended with `step`, a yield, was as the one before, with nothing changed by others in between.
    pub fn repeats(&self, step: u32) -> bool {
        let Some(start) = self.round_before(step) else { return false };
        let (mut this, mut other) = (Round::ending(self, step), Round::ending(self, start));
        let thread = self.events[step as usize].thread;
        loop {
            let (now, then) = (this.next(self), other.next(self));
            let (Some(now), Some(then)) = (now, then) else { return now.is_none() && then.is_none() };
            let (now_touch, then_touch) = (self.touches[now as usize], self.touches[then as usize]);
            if now_touch.object != then_touch.object
                || now_touch.how != then_touch.how
                || self.changed(now_touch.before, then, thread)
            {
                return false;
            }
        }
    }

    /// The yield that ended the round before.
    fn round_before(&self, step: u32) -> Option<u32> {
        let mut at = self.events[step as usize].before;
        while let Some(event) = self.event(at) {
            if matches!(event.end, End::Yielded | End::Tired) {
                return Some(at);
            }
            at = event.before;
        }
        None
    }

    /// Whether another thread than `thread` wrote to an object with the touches from `until`, exclusively, up to `from`.
    fn changed(&self, from: u32, until: u32, thread: u32) -> bool {
        let mut at = from;
        while at != NONE && at > until {
            let touch = self.touches[at as usize];
            if !touch.how.reads() && self.events[touch.step as usize].thread != thread {
                return true;
            }
            at = touch.before;
        }
        false
    }

    /// Whether thread `id` has tired, and nothing it has looked at in vain has changed.
    pub fn idle(&self, id: u32) -> bool {
        let step = self.last(id);
        if self.event(step).is_none_or(|e| e.end != End::Tired) {
            return false;
        }
        let mut round = Round::ending(self, step);
        while let Some(at) = round.next(self) {
            let head = self.heads[self.touches[at as usize].object as usize];
            if self.changed(head, at, id) {
                return false;
            }
        }
        true
    }
}

/// The touches of one round of a thread, from the last to the first: from one yield to the next.
struct Round {
    step: u32,
    /// Touches of that step left.
    left: u32,
}

impl Round {
    /// The round that ended with `step`.
    fn ending(order: &Order, step: u32) -> Self {
        Self { step, left: order.end_of(step) }
    }

    fn next(&mut self, order: &Order) -> Option<u32> {
        loop {
            let event = order.event(self.step)?;
            while self.left > event.first {
                self.left -= 1;
                if order.touches[self.left as usize].how != How::Looked {
                    return Some(self.left);
                }
            }
            self.step = event.before;
            let before = order.event(self.step).filter(|e| !matches!(e.end, End::Yielded | End::Tired));
            if before.is_none() {
                self.step = NONE;
                return None;
            }
            self.left = order.end_of(self.step);
        }
    }
}

impl Order {
    /// The touch after the last of `step`.
    fn end_of(&self, step: u32) -> u32 {
        self.event(step + 1).map_or(self.touches.len() as u32, |next| next.first)
    }
}
