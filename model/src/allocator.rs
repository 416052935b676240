//! Allocators: where the memory of buffers comes from.
//!
//! **Invariant: a backend gives out exclusive blocks that return themselves when they are dropped**; it knows nothing of buffers.

pub mod pooled;
