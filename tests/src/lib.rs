//! Shared helpers of the test suite.

pub mod crew;
pub mod versions;
