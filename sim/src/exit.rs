//! Exit codes.
//!
//! **Invariant: the code alone tells a script what happened**; all are below 126, where shells have their own. A panic of
//! the harness itself exits with 101, as any Rust program.

use std::process::ExitCode;

/// How the command ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Exit {
    /// The verdict is as expected, or there was nothing to judge.
    Expected = 0,
    /// The verdict is not as expected.
    Unexpected = 1,
    /// The arguments or a file are not as they must be; nothing was run.
    BadInput = 2,
    /// The same scenario and seed gave two different executions.
    Nondeterminism = 3,
    /// There is no verdict: something was never reached, or was not told.
    Inconclusive = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
