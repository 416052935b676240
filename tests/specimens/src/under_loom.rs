//! The specimens under loom.

/// loom's types.
pub mod facade {
    pub use loom::{cell, hint, sync, thread};
}

#[path = "programs/mod.rs"]
pub mod programs;

#[path = "loads/mod.rs"]
pub mod loads;
