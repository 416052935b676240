//! Millpond.

pub mod engine;
pub mod ledger;
