//! The specimens on `std`, whose threads are the system's: what the paths look like, and a check that the twins run.

/// `std` itself, and a cell in the shape of loom's.
pub mod facade {
    pub use std::{hint, sync, thread};
    pub mod cell {
        //! The cell that testers track, and `std` doesn't.
        pub use crate::thin::UnsafeCell;
    }
}

#[path = "programs/mod.rs"]
pub mod programs;

#[path = "loads/mod.rs"]
pub mod loads;
