//! Sizes and spans of time, spelled with their unit: `KiB(64)`, `Ms(5)`.
//!
//! **Invariant: a value that was parsed fits its base unit** (bytes, nanoseconds, both `u64`); `check` reports one that doesn't.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Size {
    /// Bytes.
    B(u64),
    /// 1024 bytes.
    KiB(u64),
    /// 1024 KiB.
    MiB(u64),
    /// 1024 MiB.
    GiB(u64),
}

impl Size {
    /// So many bytes.
    pub const fn b(n: u64) -> Self {
        Self::B(n)
    }
    /// So many KiB.
    pub const fn kib(n: u64) -> Self {
        Self::KiB(n)
    }
    /// In bytes; `None` if that is above `u64::MAX`.
    pub const fn checked_bytes(self) -> Option<u64> {
        match self {
            Self::B(n) => Some(n),
            Self::KiB(n) => n.checked_mul(1 << 10),
            Self::MiB(n) => n.checked_mul(1 << 20),
            Self::GiB(n) => n.checked_mul(1 << 30),
        }
    }
    /// In bytes.
    ///
    /// # Panics
    /// If that is above `u64::MAX`; a loaded scenario has been checked.
    pub const fn bytes(self) -> u64 {
        self.checked_bytes().expect("checked when the scenario was loaded")
    }
}

/// A span of virtual time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Span {
    /// Nanoseconds.
    Ns(u64),
    /// Microseconds.
    Us(u64),
    /// Milliseconds.
    Ms(u64),
    /// Seconds.
    S(u64),
}

impl Default for Span {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Span {
    /// No time.
    pub const ZERO: Self = Self::Ns(0);
    /// So many milliseconds.
    pub const fn ms(n: u64) -> Self {
        Self::Ms(n)
    }
    /// So many seconds.
    pub const fn s(n: u64) -> Self {
        Self::S(n)
    }
    /// As a duration.
    pub const fn duration(self) -> Duration {
        match self {
            Self::Ns(n) => Duration::from_nanos(n),
            Self::Us(n) => Duration::from_micros(n),
            Self::Ms(n) => Duration::from_millis(n),
            Self::S(n) => Duration::from_secs(n),
        }
    }
}
