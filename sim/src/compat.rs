//! What `loom` and `shuttle` have and `std` has not, so that a crate that is checked with them is checked with Millpond after a change
//! in its `Cargo.toml`.
//!
//! **Invariant: a name here does at least what it does there**: nothing that was explored is left out without being said.
//!
//! ```text
//!   [target.'cfg(loom)'.dependencies]
//!   loom = { package = "millpond", path = "..." }          shuttle = { package = "millpond", path = "..." }
//! ```

mod notify;

pub use self::notify::Notify;

use crate::Checker;
use crate::engine::{Gate, MemoryModel, Strategy};

/// `shuttle::check_random`: so many executions, each step of a thread drawn at random; sequentially consistent, as there.
///
/// # Panics
/// With the report, if one fails.
pub fn check_random(f: impl Fn() + Send + Sync + 'static, iterations: usize) {
    check_random_with_seed(f, 0, iterations);
}

/// `shuttle::check_random_with_seed`.
///
/// # Panics
/// With the report, if one fails.
pub fn check_random_with_seed(f: impl Fn() + Send + Sync + 'static, seed: u64, iterations: usize) {
    shuttled(iterations).strategy(Strategy::Random).seed(seed).check(f);
}

/// `shuttle::check_pct`: so many executions with random priorities.
///
/// # Panics
/// With the report, if one fails.
pub fn check_pct(f: impl Fn() + Send + Sync + 'static, iterations: usize, depth: usize) {
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    shuttled(iterations).strategy(Strategy::Pct { depth }).check(f);
}

/// `shuttle::check_urw`: the random walk of which all schedules are equally likely. Here it is the portfolio, of which that is a member.
///
/// # Panics
/// With the report, if one fails.
pub fn check_urw(f: impl Fn() + Send + Sync + 'static, iterations: usize) {
    shuttled(iterations).check(f);
}

/// `shuttle::check_dfs`: every schedule, or so many of them.
///
/// # Panics
/// With the report, if one fails.
pub fn check_dfs(f: impl Fn() + Send + Sync + 'static, max_iterations: Option<usize>) {
    let most = max_iterations.unwrap_or(usize::MAX);
    shuttled(most).strategy(Strategy::Dfs { preemptions: u32::MAX }).check(f);
}

fn shuttled(iterations: usize) -> Checker {
    let checker = Checker::new().executions(iterations as u64).memory(MemoryModel::Races);
    checker.unseen_owners(true) // `shuttle` sees no drop
}

/// `loom::MAX_THREADS`: for programs that are as large as `loom` can have them. Here there may be more.
pub const MAX_THREADS: usize = 5;

/// `loom::skip_branch`: this execution ends, and is none that failed.
pub fn skip_branch() {
    if let Some(gate) = Gate::open() {
        gate.finish_early();
    }
}

/// `loom::stop_exploring`: there it keeps what follows from being explored, to save time. Here it is explored.
pub fn stop_exploring() {}

/// `loom::explore`: ends what [`stop_exploring`] begins.
pub fn explore() {}

/// `loom::lazy_static!`: a static that is made anew in each execution.
///
/// ```
/// millpond::lazy_static! {
///     static ref NAMES: Vec<&'static str> = vec!["a", "b"];
///     pub static ref COUNT: usize = NAMES.len();
/// }
/// assert_eq!(*COUNT, 2);
/// ```
#[macro_export]
macro_rules! lazy_static {
    () => {};
    ($(#[$attribute:meta])* $vis:vis static ref $name:ident: $type:ty = $init:expr; $($rest:tt)*) => {
        $(#[$attribute])*
        $vis static $name: $crate::sync::LazyLock<$type> = $crate::sync::LazyLock::new(|| $init);
        $crate::lazy_static!($($rest)*);
    };
}
