//! `std::time`, simulated.
//!
//! **Invariant: time moves only when no thread can run, or when the strategy lets it**; no clock of the host has a say.
//!
//! ```text
//!   Instant::now() ── reads virtual time, which is 0 at the start of an execution
//!        └─ a thread that sees the same time again and again waits for a later one: others run first, and if all do nothing else,
//!           time moves in growing steps, so that every deadline comes
//! ```
//!
//! There is no `SystemTime`: what the calendar says is not decided by the execution.

use crate::engine::{Gate, Site};
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::panic::Location;

pub use std::time::Duration;

/// See [`std::time::Instant`]. Time since the start of the execution.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(Duration);

fn clock(site: Site) -> Duration {
    let Some(gate) = Gate::open() else { panic!("outside of executions there is no virtual time, at {site}") };
    gate.read_clock(site)
}

impl Instant {
    /// See [`std::time::Instant::now`].
    ///
    /// # Panics
    /// Outside of executions.
    #[track_caller]
    pub fn now() -> Self {
        Self(clock(Location::caller()))
    }

    /// See [`std::time::Instant::duration_since`].
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// See [`std::time::Instant::checked_duration_since`].
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }

    /// See [`std::time::Instant::saturating_duration_since`].
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// See [`std::time::Instant::elapsed`].
    #[track_caller]
    pub fn elapsed(&self) -> Duration {
        clock(Location::caller()).saturating_sub(self.0)
    }

    /// See [`std::time::Instant::checked_add`].
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// See [`std::time::Instant::checked_sub`].
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or_else(|| panic!("overflow when adding duration to instant"))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        self.checked_sub(duration).unwrap_or_else(|| panic!("overflow when subtracting duration from instant"))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}
