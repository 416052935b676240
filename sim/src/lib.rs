//! Millpond: a deterministic simulation testbed for reference-counted, pooled buffers.

pub mod ledger;
pub mod scenario;
