//! The specimens under shuttle, which has no cell: plain accesses are neither points nor checked.

/// shuttle's types.
pub mod facade {
    pub use shuttle::{hint, sync, thread};
    pub mod cell {
        //! The cell that shuttle doesn't have.
        pub use crate::thin::UnsafeCell;
    }
}

#[path = "programs/mod.rs"]
pub mod programs;

#[path = "loads/mod.rs"]
pub mod loads;
