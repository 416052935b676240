//! Simulated threads: coroutines in slots.
//!
//! **Invariant: a thread's number is dense and never reused; its slot is reused after its end.** The slot is an index into
//! sets and arrays, the number is what the program, the digest and the user see.
//!
//! ```text
//!   numbers:  0 main   1 worker   2 worker   3 late        (infos: name, slot or none)
//!                │         │          ×          │
//!   slots:       0         1                     2         (threads: coroutine, stack, wait, table)
//! ```

use super::access::Access;
use super::coroutine::Stackful;
use super::outcome::Wait;
use millpond_model::platform::local::Table;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// The panic payload that abandoned threads are unwound with.
pub(super) struct Abandon;

/// A slot.
pub(super) struct Thread {
    /// Its stack; kept for the slot's next thread.
    pub coroutine: RefCell<Option<Stackful>>,
    /// Lowest address of its stack: the guard page.
    pub guard: Cell<usize>,
    /// How to go on with it while it is suspended; of the portable kind: how it suspends itself.
    pub context: Cell<*mut u8>,
    #[cfg(all(target_arch = "x86_64", unix, not(feature = "portable-switch")))]
    /// Highest address of its stack.
    pub base: Cell<usize>,
    #[cfg(not(all(target_arch = "x86_64", unix, not(feature = "portable-switch"))))]
    pub trap: Cell<Option<corosensei::trap::CoroutineTrapHandler<super::coroutine::Ended>>>,
    pub id: Cell<u32>,
    /// Why it isn't runnable.
    pub wait: Cell<Option<Wait>>,
    /// Where it is suspended.
    pub site: Cell<&'static Location<'static>>,
    /// What it does when it is chosen.
    pub pending: Cell<Access>,
    /// Decisions and points of its own, when they are counted.
    pub own_steps: Cell<u64>,
    /// Choices of its own.
    pub own_choices: Cell<u32>,
    /// Where it last yielded.
    pub spin_site: Cell<&'static Location<'static>>,
    /// The timer that will wake it.
    pub timer: Cell<Option<(Duration, u64)>>,
    /// What it saw when it last read the clock, and how often.
    pub clock: Cell<(Duration, u32)>,
    /// An unpark that no park has consumed.
    pub token: Cell<bool>,
    /// Next in the list of those that wait for one mutex.
    pub next_waiter: Cell<u32>,
    /// PCT's and POS's priority: the highest runs. POS: 0 before it is drawn.
    pub priority: Cell<i64>,
    /// PCT: its bit among the [`Ranks`](super::strategy::Ranks); 0 if it has none.
    pub rank: Cell<u64>,
    /// URW: events left; SURW: interesting ones.
    pub weight: Cell<u64>,
    /// Which thread of the profile it is, or `NONE`.
    pub node: Cell<u32>,
    /// Threads that it has started.
    pub children: Cell<u32>,
    /// Whether its loads return the newest stores.
    pub sees_newest: Cell<bool>,
    /// SURW: objects that it has touched.
    pub touched: Cell<u32>,
    /// SURW: whether what it does next is in the subset.
    pub interesting: Cell<bool>,
    /// Its thread-local variables. Shared, so that no borrow is held while destructors run.
    pub table: RefCell<Rc<Table>>,
    pub locals_gone: Cell<bool>,
    /// Its body has ended: it destroys its thread-local variables.
    pub ending: Cell<bool>,
    /// Being unwound because the execution is abandoned.
    pub unwinding: Cell<bool>,
    /// Between a panic and its catch.
    pub panicking: Cell<bool>,
    /// Nested `Platform::catch` calls.
    pub catch_depth: Cell<u32>,
    /// Message and location of the last panic.
    pub panic: RefCell<Option<(String, String)>>,
    /// It did too much while it was unwound, and waits to be leaked.
    pub hopeless: Cell<bool>,
}

impl Thread {
    pub fn new() -> Self {
        let nowhere = Location::caller();
        Self {
            coroutine: RefCell::new(None),
            guard: Cell::new(0),
            context: Cell::new(std::ptr::null_mut()),
            #[cfg(all(target_arch = "x86_64", unix, not(feature = "portable-switch")))]
            base: Cell::new(0),
            #[cfg(not(all(target_arch = "x86_64", unix, not(feature = "portable-switch"))))]
            trap: Cell::new(None),
            id: Cell::new(NONE),
            wait: Cell::new(None),
            site: Cell::new(nowhere),
            pending: Cell::new(Access::NONE),
            own_steps: Cell::new(0),
            own_choices: Cell::new(0),
            spin_site: Cell::new(nowhere),
            timer: Cell::new(None),
            clock: Cell::new((Duration::ZERO, 0)),
            token: Cell::new(false),
            next_waiter: Cell::new(NONE),
            priority: Cell::new(0),
            rank: Cell::new(0),
            weight: Cell::new(0),
            node: Cell::new(NONE),
            children: Cell::new(0),
            sees_newest: Cell::new(false),
            touched: Cell::new(0),
            interesting: Cell::new(false),
            table: RefCell::default(),
            locals_gone: Cell::new(false),
            ending: Cell::new(false),
            unwinding: Cell::new(false),
            panicking: Cell::new(false),
            catch_depth: Cell::new(0),
            panic: RefCell::new(None),
            hopeless: Cell::new(false),
        }
    }

    /// Its thread-local variables.
    pub fn table(&self) -> Rc<Table> {
        Rc::clone(&self.table.borrow())
    }

    /// Its value of one thread-local variable. No destructor runs meanwhile, so that the table may stay borrowed.
    #[inline]
    pub fn local<T: 'static>(&self, index: usize, stamp: u64) -> Option<Rc<T>> {
        self.table.borrow().get::<T>(index, stamp)
    }

    /// Makes the slot ready for thread `id`.
    #[inline(always)]
    pub fn begin(&self, id: u32, site: &'static Location<'static>) {
        self.id.set(id);
        self.wait.set(None);
        self.site.set(site);
        self.pending.set(Access::NONE);
        self.own_steps.set(0);
        self.own_choices.set(0);
        self.timer.set(None);
        self.clock.set((Duration::ZERO, 0));
        self.token.set(false);
        self.next_waiter.set(NONE);
        self.priority.set(0);
        self.rank.set(0);
        self.weight.set(0);
        self.node.set(NONE);
        self.children.set(0);
        self.sees_newest.set(false);
        self.touched.set(0);
        self.interesting.set(false);
        self.locals_gone.set(false);
        self.ending.set(false);
        self.unwinding.set(false);
        self.panicking.set(false);
        self.catch_depth.set(0);
        if self.panic.borrow().is_some() {
            self.panic.replace(None);
        }
        self.hopeless.set(false);
    }
}

/// The OS thread is to go from one thread to another one, by its slot. The engine's books say that the other one runs already.
pub(super) type HandOff<'a> = (&'a Thread, u32);

/// What is remembered of a thread by its number.
pub(super) struct Info {
    pub name: Cow<'static, str>,
    pub parent: Option<u32>,
    /// Its slot while it is alive, else `NONE`.
    pub slot: u32,
    pub finished: bool,
    /// Slot of the thread that joins it, or `NONE`.
    pub joiner: u32,
}
