//! Reference-counted pooled buffers, recyclers, and the event-loop code that passes them between threads.
//!
//! **Invariant: this crate knows nothing of the simulator.** It takes its world through [`Platform`].

extern crate alloc;

pub mod allocator;
pub mod buffer;
pub mod channel;
pub mod codec;
pub mod event_loop;
pub mod handler;
pub mod holder;
pub mod leak;
pub mod memory;
pub mod message;
pub mod mpsc;
pub mod observe;
mod outbound;
pub mod pending_queue;
pub mod pipeline;
pub mod platform;
pub mod preset;
pub mod promise;
pub mod recycler;
pub mod refcnt;
pub mod release;
pub mod task_queue;
pub mod transport;
pub mod write_path;
mod write_task;

pub use platform::{Platform, Std};
pub use preset::Preset;
