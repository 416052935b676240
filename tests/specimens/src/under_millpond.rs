//! The specimens under Millpond.

/// Millpond's types.
pub mod facade {
    pub use millpond::{cell, hint, sync, thread};
}

#[path = "programs/mod.rs"]
pub mod programs;

#[path = "loads/mod.rs"]
pub mod loads;
