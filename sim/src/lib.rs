//! Millpond: a deterministic simulation testbed for reference-counted, pooled buffers.

pub mod ledger;
pub mod list;
pub mod scenario;
pub mod suggest;
