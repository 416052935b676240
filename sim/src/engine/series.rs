//! Executions on one OS thread, and who has its engine meanwhile.
//!
//! **Invariant: an engine that itself has panicked is leaked**, for threads may be alive on its stacks; any other comes back.
//!
//! ```text
//!   KEPT ──> execute ──> KEPT
//!   KEPT ──> Series ──> set up ──> execution 0, 1, 2, ... ──> set up ──> execution ... ──> KEPT
//! ```

use super::core::{Engine, Running};
use super::options::Options;
use super::outcome::Execution;
use super::search::Path;
use super::{overflow, panics};
use std::cell::Cell;

thread_local! {
    /// This OS thread's engine, with the stacks and buffers of the executions before.
    static KEPT: Cell<Option<Box<Engine>>> = const { Cell::new(None) };
}

/// The engine, on loan.
struct Lent {
    engine: Option<Box<Engine>>,
    /// Whether nothing runs on it.
    is_idle: bool,
}

impl Lent {
    #[inline]
    fn new() -> Self {
        Self { engine: Some(KEPT.take().unwrap_or_else(Self::first)), is_idle: true }
    }

    /// This OS thread's engine, and what it needs.
    #[cold]
    fn first() -> Box<Engine> {
        panics::install();
        overflow::install();
        Box::new(Engine::new())
    }

    #[inline(always)]
    fn engine(&mut self) -> &mut Engine {
        let Some(engine) = &mut self.engine else { unreachable!("it is given back at last") };
        engine
    }

    /// Runs `main`, and tells what `tell` says of it.
    #[inline(always)]
    fn run<R>(&mut self, main: impl FnOnce(), tell: impl FnOnce(&Engine) -> R) -> R {
        assert!(self.is_idle, "the engine has panicked: there may be threads on its stacks");
        let Some(engine) = &self.engine else { unreachable!("it is given back at last") };
        let running = Running::enter(engine);
        self.is_idle = false;
        engine.drive(main);
        drop(running);
        let told = tell(engine);
        self.is_idle = true;
        told
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        let engine = self.engine.take();
        if self.is_idle {
            let _ = KEPT.try_with(|kept| kept.set(engine)); // or else this OS thread ends, and the engine with it
        } else {
            std::mem::forget(engine);
        }
    }
}

/// Runs `main` as simulated thread 0, named `main`, together with all threads that it starts, until all have ended or there
/// is another verdict.
///
/// An execution that ends with another verdict than `Finished` is *abandoned*: each thread is unwound, one after another and
/// with no scheduling, so that destructors run and host memory is freed; memory from `Platform::alloc` is freed after that.
/// **No object that lives in that memory may be used, or dropped, after the execution.**
///
/// # Panics
/// If called inside an execution, or if `options.max_threads` is 0 or above [`MAX_THREADS`](super::MAX_THREADS).
pub fn execute(options: &Options, main: impl FnOnce()) -> Execution {
    if options.strategy.enumerates() {
        return execute_path(options, &mut Path::of(&options.strategy), main);
    }
    let mut lent = Lent::new();
    lent.engine().begin(options);
    lent.run(main, Engine::finish)
}

/// As [`execute`], with the schedule that `path` leads to if the strategy is `Dfs` or `Dpor`.
pub(super) fn execute_path(options: &Options, path: &mut Path, main: impl FnOnce()) -> Execution {
    let mut lent = Lent::new();
    std::mem::swap(lent.engine().path.get_mut(), path);
    lent.engine().begin(options);
    let execution = lent.run(main, Engine::finish);
    std::mem::swap(lent.engine().path.get_mut(), path);
    execution
}

/// What is told of an execution in which nothing went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Brief {
    /// [`Execution::digest`]
    pub digest: u64,
    /// [`Execution::class`]
    pub class: u64,
    /// [`Execution::steps`]
    pub steps: u64,
    /// [`Execution::choices`]
    pub choices: u64,
    /// [`Execution::preemptions`]
    pub preemptions: u64,
}

/// Executions for a search, one after the other: what they have in common is set up once. It has the OS thread's engine; what is
/// executed there meanwhile needs another one.
pub struct Series {
    options: Options,
    /// Whether the engine is set up for them.
    is_set_up: bool,
    lent: Lent,
}

impl Series {
    /// Executions with these options.
    pub fn new(options: Options) -> Self {
        Self { options, is_set_up: false, lent: Lent::new() }
    }

    /// The options as they are, with the index of the last execution.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The options, to be changed: as [`Series::execute`] then sets the engine up anew, it takes longer.
    pub fn options_mut(&mut self) -> &mut Options {
        self.is_set_up = false;
        &mut self.options
    }

    /// Sets whether executions tell their partial orders, `classes` of the options, for less than [`Series::options_mut`] takes.
    #[inline]
    pub fn set_classes(&mut self, on: bool) {
        if self.options.classes != on {
            self.options.classes = on;
            self.lent.engine().set_up_classes(&self.options);
        }
    }

    /// Execution `index`, as [`execute`] does it, of which nothing is put together that only a failure is told by.
    ///
    /// # Errors
    /// All that is known, unless every thread ended and the ledger found nothing.
    ///
    /// # Panics
    /// As [`execute`], and with a strategy that enumerates.
    #[inline]
    pub fn execute(&mut self, index: u64, main: impl FnOnce()) -> Result<Brief, Box<Execution>> {
        let told = self.run(index, main, |engine| engine.brief().ok_or_else(|| Box::new(engine.finish())));
        self.is_set_up = told.is_ok();
        told
    }

    /// As [`Series::execute`], of which everything is told.
    pub fn execute_fully(&mut self, index: u64, main: impl FnOnce()) -> Execution {
        self.run(index, main, Engine::finish)
    }

    /// Runs `main`, and tells what `tell` says of it. Unless it ends well the engine is to be set up anew.
    #[inline(always)]
    fn run<R>(&mut self, index: u64, main: impl FnOnce(), tell: impl FnOnce(&Engine) -> R) -> R {
        self.options.index = index;
        if !std::mem::replace(&mut self.is_set_up, false) {
            assert!(!self.options.strategy.enumerates(), "an enumeration has a path");
            self.lent.engine().set_up(&self.options);
        }
        self.lent.engine().restart(&self.options);
        self.lent.run(main, tell)
    }
}
