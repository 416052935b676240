//! What is still to be tried, and what would be nothing new.
//!
//! **Invariant: a thread sleeps before a step if each execution in which it runs next has the partial order of one that was executed
//! already.** It wakes when something runs that is in conflict with what it would do.
//!
//! ```text
//!   before step i:   able     threads that can run          tried    ran here, and all that follows was executed
//!                    wanted   one of these has to, or did   asleep   from the steps before
//!
//!   sleepers:   [thread, step at which it was tried, what it touched]  a stack, as the steps are
//! ```

use super::order::{How, Touched, conflict};

/// The choice of a step. Threads are bits.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Who runs.
    pub thread: u32,
    pub able: u64,
    pub wanted: u64,
    pub tried: u64,
    pub asleep: u64,
    /// Whether time was moved before it, as all that could run had tired.
    pub fired: bool,
}

impl Choice {
    /// Those that are still to be tried here.
    pub fn rest(&self) -> u64 {
        self.wanted & self.able & !self.tried & !self.asleep
    }
}

/// What a thread would do.
struct Sleeper {
    thread: u32,
    /// The step at which it did.
    step: u32,
    first: u32,
}

/// All that was tried along the path.
#[derive(Default)]
pub struct Sleepers {
    stack: Vec<Sleeper>,
    touches: Vec<(u32, How)>,
}

impl Sleepers {
    /// `thread` was tried at `step` and touched these. Again for each value that it was given.
    pub fn push(&mut self, thread: u32, step: u32, touched: &[Touched]) {
        self.stack.push(Sleeper { thread, step, first: self.touches.len() as u32 });
        self.touches.extend(touched.iter().map(|t| (t.object, t.how)));
    }

    /// Forgets what was tried at `step`.
    pub fn pop(&mut self, step: u32) {
        while let Some(sleeper) = self.stack.pop_if(|s| s.step >= step) {
            self.touches.truncate(sleeper.first as usize);
        }
    }

    /// Those of `asleep` that what was `touched` does not wake.
    pub fn undisturbed(&self, asleep: u64, touched: &[Touched]) -> u64 {
        let mut left = asleep;
        let mut end = self.touches.len();
        // What a thread did where it was tried last: it may be there several times, with different values.
        let mut newest = [u32::MAX; 64];
        for sleeper in self.stack.iter().rev() {
            let touches = &self.touches[sleeper.first as usize..end];
            end = sleeper.first as usize;
            if asleep >> sleeper.thread & 1 == 0 {
                continue;
            }
            let place = &mut newest[sleeper.thread as usize];
            if *place == u32::MAX {
                *place = sleeper.step;
            }
            let disturbed = || touched.iter().any(|t| touches.iter().any(|own| conflict((t.object, t.how), *own)));
            if *place == sleeper.step && disturbed() {
                left &= !(1 << sleeper.thread);
            }
        }
        left
    }
}
