//! Millpond: a deterministic simulation testbed for reference-counted, pooled buffers.

pub mod cli;
pub mod commands;
pub mod exit;
pub mod ledger;
pub mod list;
pub mod new;
pub mod scenario;
pub mod suggest;
