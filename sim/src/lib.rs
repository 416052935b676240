//! Millpond.

pub mod conform;
pub mod crew;
