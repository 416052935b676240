//! Testers by the clock: how long one operation takes, and how many executions a second has.
//!
//! **Invariant: only pairs are compared.** The machine is noisy for longer than a measurement and shorter than a table, so that the
//! two sides of a ratio are measured in turns, in small slices, and the ratio is the median of those of the turns.
//!
//! ```text
//!   ours ▇▇   ▇▇   ▇▇   ▇▇      a slice: executions for some ten milliseconds, timed from one
//!   peer   ▇▇   ▇▇   ▇▇   ▇▇    call of the program to another, so that no start-up is in it
//!         │    │    └ one ratio each: median, and the middle half of them
//! ```

use crate::{Load, points};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What tells the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// The time of the processors that this process had, all threads together: what others do on the machine isn't in it.
    Processor,
    /// That of this thread alone: where threads wait for each other asleep, they don't get any.
    Thread,
    /// The time of the wall.
    Wall,
}

impl Clock {
    /// The time now.
    pub fn now(self) -> Duration {
        let clock = match self {
            Self::Processor => libc::CLOCK_PROCESS_CPUTIME_ID,
            Self::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
            Self::Wall => libc::CLOCK_MONOTONIC,
        };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes a time to where the pointer points.
        let result = unsafe { libc::clock_gettime(clock, &mut time) };
        assert_eq!(result, 0, "the clock goes");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// What a slice measured.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Executions timed.
    pub executions: u64,
    /// Operations in them.
    pub points: u64,
    /// For so long.
    pub time: Duration,
}

impl Slice {
    /// Nanoseconds of one operation.
    pub fn nanos_per_point(&self) -> f64 {
        self.time.as_nanos() as f64 / self.points as f64
    }

    /// Nanoseconds of one execution.
    pub fn nanos_per_execution(&self) -> f64 {
        self.time.as_nanos() as f64 / self.executions as f64
    }
}

/// Executes a program so many times.
pub type Run = dyn Fn(Box<dyn Fn() + Send + Sync>, u64);

/// Calls before the clock starts.
const WARM: u64 = 32;

/// A slice of so many executions.
///
/// # Panics
/// If the tester executes fewer than it was asked to.
pub fn slice(load: Load, executions: u64, clock: Clock, run: &Run) -> Slice {
    let calls = AtomicU64::new(0);
    let marks = Arc::new(Mutex::new(Vec::new()));
    let mark = marks.clone();
    let program = move || {
        // Relaxed, and in two steps, which take less: one thread counts.
        let call = calls.load(Relaxed);
        calls.store(call + 1, Relaxed);
        if call == WARM || call == WARM + executions {
            mark.lock().expect("no panic").push((clock.now(), points()));
        }
        (load.run)();
    };
    run(Box::new(program), WARM + executions + 1);
    let marks = marks.lock().expect("no panic");
    let [(start, before), (end, after)] = marks[..] else { panic!("{}: {} marks", load.name, marks.len()) };
    Slice { executions, points: after - before, time: end - start }
}

/// Executions for a slice of about `time`.
pub fn executions_for(load: Load, time: Duration, run: &Run) -> u64 {
    let mut executions = 4;
    loop {
        let slice = slice(load, executions, Clock::Processor, run);
        if slice.time >= time / 4 || executions > 1 << 30 {
            let per_nano = executions as f64 / slice.time.as_nanos().max(1) as f64;
            return ((per_nano * time.as_nanos() as f64) as u64).max(2);
        }
        executions *= 4;
    }
}

/// The medians of two sides and the quartiles of the ratios of their turns, second to first.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Median of the first side.
    pub first: f64,
    /// Median of the second side.
    pub second: f64,
    /// Ratio: lower quartile, median, upper quartile.
    pub ratio: [f64; 3],
    /// Ratio of the largest numbers: of rates, which what else the machine does can only lower.
    pub peak: f64,
}

/// `turns` of both sides, each of which measures one number.
pub fn pair(turns: usize, first: impl Fn() -> f64, second: impl Fn() -> f64) -> Pair {
    let measured: Vec<(f64, f64)> = (0..turns).map(|_| (first(), second())).collect();
    let ratio = quartiles(measured.iter().map(|(a, b)| b / a));
    let middle = |values| quartiles(values)[1];
    let (a, b): (Vec<f64>, Vec<f64>) = measured.into_iter().unzip();
    let largest = |values: &[f64]| values.iter().copied().fold(f64::MIN, f64::max);
    let peak = largest(&b) / largest(&a);
    Pair { first: middle(a.into_iter()), second: middle(b.into_iter()), ratio, peak }
}

/// The quartiles of some numbers.
///
/// # Panics
/// If there are none.
pub fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
