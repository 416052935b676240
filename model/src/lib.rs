//! Reference-counted pooled buffers, recyclers, and the event-loop code that passes them between threads.
//!
//! **Invariant: this crate knows nothing of the simulator.** It takes its world through [`Platform`].

extern crate alloc;

pub mod mpsc;
pub mod observe;
pub mod platform;
pub mod preset;
pub mod recycler;

pub use platform::{Platform, Std};
pub use preset::Preset;
